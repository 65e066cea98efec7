/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that a test drives through the scheduler and the real runner: inputs
 * made beforehand, and everything that a row says as lines of text, so that two
 * runs are equal where the lines are.
 */
#ifndef LVX_TESTS_MODEL_STREAMS_H
#define LVX_TESTS_MODEL_STREAMS_H

#include "model/scheduler.h"

struct stream_input {
	struct lvx_feed_item item;
	const float *values; /* borrowed */
};

struct stream {
	struct lvx_row_params params;      /* feed, on_event and user are the harness's */
	const struct stream_input *inputs; /* borrowed */
	size_t slot_values, picture_values;
	uint32_t n, at;
	uint32_t row;
	bool in;            /* has a row */
	_Atomic bool ended; /* END has come, or it has left */
	uint32_t words;
	char *said; /* a line an event */
	size_t len, room;
};

/* Sets what the harness sets of the parameters. */
void stream_prepare(struct stream *s);
void stream_join(struct stream *s, struct lvx_scheduler *scheduler);
void stream_leave(struct stream *s, struct lvx_scheduler *scheduler);
/* For another run of the same inputs; what was said is forgotten. */
void stream_rewind(struct stream *s);
void stream_free(struct stream *s); /* zeroed is fine */

#endif
