/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model wants to hear and see, as plain data: the one thing that model/
 * says to pipeline/. Extractors are built from it and know no model.
 */
#ifndef LVX_BASE_FRONTEND_SPEC_H
#define LVX_BASE_FRONTEND_SPEC_H

#include <stdbool.h>
#include <stdint.h>

/* Log-mel patches; docs/MODEL.md section 1 gives the formula. */
struct lvx_audio_spec {
	uint32_t sample_rate;	  /* Hz; the ring is asked for this rate */
	uint32_t window_samples;  /* periodic Hann */
	uint32_t n_fft;		  /* >= window_samples, zero-padded */
	uint32_t hop_samples;
	uint32_t n_mels;
	uint32_t frames_per_slot; /* a slot is frames_per_slot * hop_samples */
	float f_min_hz, f_max_hz;
	float log_floor;	  /* power below this counts as this */
	float log_offset, log_scale; /* out = (log10(power) + offset) * scale */
};

struct lvx_image_spec {
	bool enabled;
	uint32_t width, height;	  /* multiples of patch */
	uint32_t patch;		  /* square, RGB: patch * patch * 3 values, [y][x][rgb] */
	int64_t min_interval_us;  /* rate cap */
	int64_t max_interval_us;  /* a picture at least this often */
};

struct lvx_frontend_spec {
	struct lvx_audio_spec audio;
	struct lvx_image_spec image;
};

static inline uint32_t lvx_audio_slot_samples(const struct lvx_audio_spec *s)
{
	return s->hop_samples * s->frames_per_slot;
}

static inline uint32_t lvx_audio_slot_values(const struct lvx_audio_spec *s)
{
	return s->n_mels * s->frames_per_slot;
}

static inline uint32_t lvx_image_patches(const struct lvx_image_spec *s)
{
	return s->width / s->patch * (s->height / s->patch);
}

static inline uint32_t lvx_image_patch_values(const struct lvx_image_spec *s)
{
	return s->patch * s->patch * 3;
}

#endif
