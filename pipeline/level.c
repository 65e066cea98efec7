/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/level.h"

#include <math.h>

enum { BLOCKS_IN_TWO_SECONDS = 5 };

void lvx_level_init(struct lvx_level *l, uint32_t sample_rate)
{
	*l = (struct lvx_level){.sample_rate = sample_rate};
	atomic_init(&l->last_rms, -1.0F);
	atomic_init(&l->last_peak, -1.0F);
	atomic_init(&l->silent_us, 0);
}

static void end_block(struct lvx_level *l)
{
	float rms = sqrtf(l->sum / (float)l->n);
	int64_t silent_us = atomic_load_explicit(&l->silent_us, memory_order_relaxed) +
			    (int64_t)l->n * 1000000 / l->sample_rate;
	atomic_store_explicit(&l->last_rms, rms, memory_order_relaxed);
	atomic_store_explicit(&l->last_peak, l->peak, memory_order_relaxed);
	atomic_store_explicit(
		&l->silent_us, rms < LVX_LEVEL_SILENCE ? silent_us : 0, memory_order_relaxed);
	l->n = 0;
	l->sum = l->peak = 0;
}

void lvx_level_add(struct lvx_level *l, const float *pcm, size_t n)
{
	const uint32_t block = l->sample_rate * 2 / BLOCKS_IN_TWO_SECONDS;
	for (size_t i = 0; i < n; i++) {
		float a = fabsf(pcm[i]);
		l->sum += a * a;
		l->peak = a > l->peak ? a : l->peak;
		if (++l->n >= block)
			end_block(l);
	}
}
