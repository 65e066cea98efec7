/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description lane, spoken: a further track of the stream's units that is the programme with
 * a voice in the gaps of its speech (docs/OUTPUTS.md), for all outputs that pass sound on. Where
 * one asks for it, the voice alone is another. A programme without sound counts as silent.
 */
#ifndef LVX_DAEMON_OUTPUTS_DESCRIBE_H
#define LVX_DAEMON_OUTPUTS_DESCRIBE_H

#include "daemon/outputs/outlet.h"

enum {
	LVX_DESCRIBE_DELAY_MS = 8000, /* where nothing is said */
	LVX_DESCRIBE_DELAY_MIN_MS = 4000,
	LVX_DESCRIBE_DUCK_DB = 12,
	LVX_DESCRIBE_LATE_MS = 700, /* so much later than that the mix has left surely */
};

extern const struct lvx_outlet_kind lvx_outlet_describe;

/* Its delay; 0: the stream is not described. */
int64_t lvx_describe_delay_us(const struct lvx_stream_settings *settings);
/* Loudness of the voice; 0: as the programme's speech. */
enum lvx_status lvx_describe_level(
	const struct lvx_stream_settings *settings, double *lufs, struct lvx_error *err);
const char *lvx_describe_command(const struct lvx_stream_settings *settings); /* of the voice */
/* Are the `describe...` settings of a stream allowed? `where` begins each error. */
enum lvx_status lvx_describe_check(const struct lvx_stream_settings *settings,
	const struct lvx_model_info *model, const char *where, struct lvx_error *err);

#endif
