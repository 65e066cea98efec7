/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded pictures to packed RGB24 of one size (swscale underneath): one module
 * for every source. One thread.
 */
#ifndef LVX_PIPELINE_PICTURE_H
#define LVX_PIPELINE_PICTURE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct lvx_picture {
	const char *format; /* libavutil's name of the pixel format: "yuv420p", ... */
	uint32_t width, height;
	const uint8_t *plane[4]; /* borrowed for the call */
	int stride[4];
	bool full_range; /* of YUV */
	enum { LVX_PICTURE_BT601, LVX_PICTURE_BT709, LVX_PICTURE_BT2020 } matrix;
};

struct lvx_scaler;

enum lvx_status lvx_scaler_create(
	struct lvx_scaler **out, uint32_t width, uint32_t height, struct lvx_error *err);
void lvx_scaler_destroy(struct lvx_scaler *scaler); /* NULL is fine */
/* The scaled picture, valid until the next call; NULL: swscale does not do that format. */
const uint8_t *lvx_scaler_run(struct lvx_scaler *scaler, const struct lvx_picture *picture);

#endif
