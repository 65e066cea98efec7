/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-mel frames, causal, from an audio spec (docs/MODEL.md section 1). Always
 * whole slots, so that what comes out cannot depend on how samples arrived. One
 * thread; no allocation after create.
 */
#ifndef LVX_PIPELINE_MEL_H
#define LVX_PIPELINE_MEL_H

#include "base/error.h"
#include "base/frontend_spec.h"

struct lvx_mel;

enum lvx_status lvx_mel_create(
	struct lvx_mel **out, const struct lvx_audio_spec *spec, struct lvx_error *err);
void lvx_mel_destroy(struct lvx_mel *mel); /* NULL is fine */

/* The samples before the next slot are silence. */
void lvx_mel_reset(struct lvx_mel *mel);
/* pcm: the slot's samples; out: [frames_per_slot][n_mels]. */
void lvx_mel_slot(struct lvx_mel *mel, const float *pcm, float *out);

#endif
