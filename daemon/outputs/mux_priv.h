/* SPDX-License-Identifier: Apache-2.0 */
/* What the muxers share: a track as libavformat wants it told. */
#ifndef LVX_DAEMON_OUTPUTS_MUX_PRIV_H
#define LVX_DAEMON_OUTPUTS_MUX_PRIV_H

#include "daemon/outputs/mux.h"

struct AVStream;

/* Fills in codec parameters, language and disposition. LVX_EUNSUPPORTED: no such codec. */
enum lvx_status lvx_mux_describe(
	struct AVStream *stream, const struct lvx_mux_track *track, struct lvx_error *err);

#endif
