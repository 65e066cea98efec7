/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/patches.h"

#include <stdlib.h>
#include <string.h>

/*
 * Mean absolute difference of the luma thumbnails, of 255, from which on it is
 * another scene. Camera noise and a talking head stay under 3, a cut is mostly
 * over 20.
 */
enum { SCENE_CHANGE = 8 };

enum lvx_status lvx_image_spec_check(const struct lvx_image_spec *s, struct lvx_error *err)
{
	if (s->patch < 1 || s->patch > 256 || s->width < LVX_THUMB_W || s->height < LVX_THUMB_H ||
		s->width > 4096 || s->height > 4096 || s->width % s->patch || s->height % s->patch)
		return lvx_fail(err, LVX_EINVAL,
			"front end: picture %u x %u with patches of %u: want 20 x 12 to "
			"4096 x 4096, multiples of the patch",
			s->width, s->height, s->patch);
	if (s->min_interval_us < 0 || s->max_interval_us < s->min_interval_us)
		return lvx_fail(err, LVX_EINVAL, "front end: picture intervals %lld to %lld us",
			(long long)s->min_interval_us, (long long)s->max_interval_us);
	return LVX_OK;
}

void lvx_gate_init(struct lvx_gate *gate, const struct lvx_image_spec *spec)
{
	*gate = (struct lvx_gate){
		.min_interval_us = spec->min_interval_us,
		.max_interval_us = spec->max_interval_us,
	};
}

static void thumbnail(const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t *out)
{
	for (uint32_t y = 0; y < LVX_THUMB_H; y++) {
		uint32_t y0 = y * height / LVX_THUMB_H, y1 = (y + 1) * height / LVX_THUMB_H;
		for (uint32_t x = 0; x < LVX_THUMB_W; x++) {
			uint32_t x0 = x * width / LVX_THUMB_W, x1 = (x + 1) * width / LVX_THUMB_W;
			uint64_t sum = 0;
			for (uint32_t v = y0; v < y1; v++) {
				const uint8_t *p = rgb + ((size_t)v * width + x0) * 3;
				for (uint32_t u = x0; u < x1; u++, p += 3)
					sum += 77u * p[0] + 150u * p[1] + 29u * p[2];
			}
			*out++ = (uint8_t)(sum / (y1 - y0) / (x1 - x0) / 256);
		}
	}
}

bool lvx_gate_pass(struct lvx_gate *gate, const uint8_t *rgb, uint32_t width, uint32_t height,
	int64_t pts_us)
{
	int64_t since = pts_us - gate->last_us;
	if (gate->have && since >= 0 && since < gate->min_interval_us)
		return false;
	uint8_t thumb[LVX_THUMB_W * LVX_THUMB_H];
	thumbnail(rgb, width, height, thumb);
	uint32_t sum = 0;
	for (size_t i = 0; i < sizeof(thumb); i++)
		sum += (uint32_t)abs(thumb[i] - gate->last[i]);
	bool changed = !gate->have || sum >= SCENE_CHANGE * sizeof(thumb);
	/* since < 0: the timeline jumped back, so how long ago the last picture was says nothing. */
	if (!changed && since >= 0 && since < gate->max_interval_us)
		return false;
	gate->have = true;
	gate->changed = changed;
	gate->last_us = pts_us;
	memcpy(gate->last, thumb, sizeof(thumb));
	return true;
}

void lvx_patches(const struct lvx_image_spec *s, const uint8_t *rgb, float *out)
{
	for (uint32_t py = 0; py < s->height; py += s->patch)
		for (uint32_t px = 0; px < s->width; px += s->patch)
			for (uint32_t y = 0; y < s->patch; y++) {
				const uint8_t *p = rgb + ((size_t)(py + y) * s->width + px) * 3;
				for (uint32_t i = 0; i < s->patch * 3; i++)
					*out++ = (float)p[i] / 127.5f - 1.0f;
			}
}
