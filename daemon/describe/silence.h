/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sound of a programme that has none: where its pictures are, in stretches without a hole.
 * Zeroed is empty. Times are on the timeline, in µs. One thread.
 */
#ifndef LVX_DAEMON_DESCRIBE_SILENCE_H
#define LVX_DAEMON_DESCRIBE_SILENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LVX_SILENCE_STRETCHES = 16,    /* that wait; of more the oldest go */
	LVX_SILENCE_HOLE_US = 2000000, /* pictures that are further apart do not belong together */
};

struct lvx_silence {
	struct lvx_silence_stretch {
		int64_t from_us, to_us;
	} stretch[LVX_SILENCE_STRETCHES];
	size_t n;
};

/* A picture, in the order of decoding; duration_us: 0 if not known. */
void lvx_silence_picture(struct lvx_silence *s, int64_t dts_us, int64_t duration_us);
/* Takes what comes next, of what is before until_us and max_us at most. False: nothing. */
bool lvx_silence_take(struct lvx_silence *s, int64_t until_us, int64_t max_us, int64_t *from_us,
	int64_t *to_us);

#endif
