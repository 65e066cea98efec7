/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image patches and the gate that picks which pictures are worth looking at: a
 * scene change, or max_interval_us since the last, never within
 * min_interval_us. One thread; no allocation after create.
 */
#ifndef LVX_PIPELINE_PATCHES_H
#define LVX_PIPELINE_PATCHES_H

#include "base/error.h"
#include "base/frontend_spec.h"

enum { LVX_THUMB_W = 20, LVX_THUMB_H = 12 };

struct lvx_gate {
	int64_t min_interval_us, max_interval_us;
	bool have;		  /* a picture has passed */
	bool changed;		  /* the last that passed is another scene than the one before it */
	int64_t last_us;	  /* the last that passed: when, and its thumbnail */
	uint8_t last[LVX_THUMB_W * LVX_THUMB_H];
};

enum lvx_status lvx_image_spec_check(const struct lvx_image_spec *spec, struct lvx_error *err);

void lvx_gate_init(struct lvx_gate *gate, const struct lvx_image_spec *spec);
/* Whether this RGB24 picture passes; remembers it if so. */
bool lvx_gate_pass(struct lvx_gate *gate, const uint8_t *rgb, uint32_t width, uint32_t height,
	int64_t pts_us);

/* rgb: width * height * 3 bytes; out: [patches][patch * patch * 3] in -1..1. */
void lvx_patches(const struct lvx_image_spec *spec, const uint8_t *rgb, float *out);

#endif
