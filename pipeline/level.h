/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How loud a stream is, for who watches over it: RMS and peak of the last whole block
 * of 0.4 s, and for how long there has been nothing to hear. One thread adds; any asks.
 */
#ifndef LVX_PIPELINE_LEVEL_H
#define LVX_PIPELINE_LEVEL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* -60 dBFS: a line that is open but carries nothing is about as loud. */
#define LVX_LEVEL_SILENCE 0.001F

struct lvx_level {
	uint32_t sample_rate;
	/* Adding thread only: the block that is being filled. */
	uint32_t n;
	float sum, peak;
	_Atomic float last_rms, last_peak; /* linear, 1: full scale; < 0: no block yet */
	_Atomic int64_t silent_us;         /* of the timeline, up to the end of the last block */
};

void lvx_level_init(struct lvx_level *l, uint32_t sample_rate);
/* Neither allocates, locks nor logs. */
void lvx_level_add(struct lvx_level *l, const float *pcm, size_t n);

#endif
