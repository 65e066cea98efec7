/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded sound of any rate and channels to mono f32 at the ring's rate: one
 * module for every source, so that the same file gives the same samples whether
 * it is opened, pushed as PCM or pushed in a container. Input is cut into blocks
 * of a fixed size before the resampler sees it: what comes out does not depend
 * on how it arrived, bit for bit. One thread.
 */
#ifndef LVX_PIPELINE_PCM_H
#define LVX_PIPELINE_PCM_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LVX_PCM_CHANNELS_MAX = 64 };

/* What a channel carries, as far as mixing down for a listener of speech cares. */
enum lvx_pcm_role {
	LVX_PCM_OTHER, /* no position known: all such weigh the same */
	LVX_PCM_CENTRE,
	LVX_PCM_FRONT,
	LVX_PCM_SURROUND,
	LVX_PCM_LFE,
};

struct lvx_pcm_format {
	uint32_t rate;
	uint32_t channels;
	uint8_t role[LVX_PCM_CHANNELS_MAX]; /* enum lvx_pcm_role */
};

/* The roles that so many channels have by convention (WAVE order). */
void lvx_pcm_default_roles(struct lvx_pcm_format *format);

struct lvx_pcm;

/* Takes resampled samples, about 10 ms a call. Not LVX_OK: stop. */
typedef enum lvx_status (*lvx_pcm_emit)(void *user, const float *pcm, size_t n, int64_t pts_us);

/* channel: -1 mixes down, 0.. takes one. */
enum lvx_status lvx_pcm_create(struct lvx_pcm **out, uint32_t out_rate, int channel,
	lvx_pcm_emit emit, void *user, struct lvx_error *err);
void lvx_pcm_destroy(struct lvx_pcm *pcm); /* NULL is fine */

/*
 * Takes interleaved samples whose first has pts_us. A new format, or a pts_us
 * more than 40 ms off the running sample clock, flushes and begins anew.
 * Returns what emit returned, LVX_EINVAL (the channel that was asked for does
 * not exist) or LVX_ENOMEM.
 */
enum lvx_status lvx_pcm_push(struct lvx_pcm *pcm, const struct lvx_pcm_format *format,
	const float *interleaved, size_t frames, int64_t pts_us);
/* Emits what the resampler still holds. */
enum lvx_status lvx_pcm_flush(struct lvx_pcm *pcm);

#endif
