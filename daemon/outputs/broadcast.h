/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programme passed on, its pictures untouched but for captions in them: the outputs that
 * `out = URL` asks for (docs/OUTPUTS.md). Units leave `out-delay` after they were heard, so that
 * words can be put where they are spoken.
 */
#ifndef LVX_DAEMON_OUTPUTS_BROADCAST_H
#define LVX_DAEMON_OUTPUTS_BROADCAST_H

#include "daemon/outputs/outlet.h"

enum {
	LVX_BROADCAST_OUTS_MAX = 8,    /* of one stream */
	LVX_BROADCAST_DELAY_MS = 600,  /* over the stream's own, where nothing is said */
};

extern const struct lvx_outlet_kind lvx_outlet_broadcast;

/* Are the `out...` settings of a stream allowed? `where` begins each error. */
enum lvx_status lvx_broadcast_check(const struct lvx_stream_settings *settings,
	const struct lvx_model_info *model, const char *where, struct lvx_error *err);

#endif
