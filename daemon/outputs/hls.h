/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream as HLS in a folder: the programme as it came in fragmented MP4, pictures and each
 * track of sound for itself, and every lane of text as WebVTT (docs/OUTPUTS.md).
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_H
#define LVX_DAEMON_OUTPUTS_HLS_H

#include "daemon/outputs/outlet.h"

enum {
	LVX_HLS_SEGMENT_S = 4, /* where nothing is said */
	LVX_HLS_WINDOW_S = 60,
};

/* Are its settings allowed? where begins the message. */
enum lvx_status lvx_hls_check(const struct lvx_stream_settings *settings,
	const struct lvx_model_info *model, const char *where, struct lvx_error *err);

extern const struct lvx_outlet_kind lvx_outlet_hls;

#endif
