/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/picture.h"

#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdlib.h>

struct lvx_scaler {
	uint32_t width, height;
	uint8_t *rgb;
	struct SwsContext *sws;
};

enum lvx_status lvx_scaler_create(
	struct lvx_scaler **out, uint32_t width, uint32_t height, struct lvx_error *err)
{
	struct lvx_scaler *s = calloc(1, sizeof(*s));
	if (!s)
		return lvx_fail(err, LVX_ENOMEM, "pictures: out of memory");
	/* swscale's assembly may store a little past the end of a row. */
	s->rgb = malloc((size_t)width * height * 3 + 64);
	if (!s->rgb) {
		free(s);
		return lvx_fail(err, LVX_ENOMEM, "pictures: out of memory");
	}
	s->width = width;
	s->height = height;
	*out = s;
	return LVX_OK;
}

void lvx_scaler_destroy(struct lvx_scaler *s)
{
	if (!s)
		return;
	sws_freeContext(s->sws);
	free(s->rgb);
	free(s);
}

const uint8_t *lvx_scaler_run(struct lvx_scaler *s, const struct lvx_picture *p)
{
	static const int matrices[] = {
		[LVX_PICTURE_BT601] = SWS_CS_ITU601,
		[LVX_PICTURE_BT709] = SWS_CS_ITU709,
		[LVX_PICTURE_BT2020] = SWS_CS_BT2020,
	};
	enum AVPixelFormat format = av_get_pix_fmt(p->format);
	if (format == AV_PIX_FMT_NONE || !sws_isSupportedInput(format))
		return NULL;
	/* The context is kept as long as the format stays. */
	s->sws = sws_getCachedContext(s->sws, (int)p->width, (int)p->height, format, (int)s->width,
		(int)s->height, AV_PIX_FMT_RGB24, SWS_AREA | SWS_ACCURATE_RND, NULL, NULL, NULL);
	if (!s->sws)
		return NULL;
	sws_setColorspaceDetails(s->sws, sws_getCoefficients(matrices[p->matrix]), p->full_range,
		sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
	uint8_t *to[4] = {s->rgb};
	int to_stride[4] = {(int)s->width * 3};
	int rows = sws_scale(s->sws, p->plane, p->stride, 0, (int)p->height, to, to_stride);
	return rows == (int)s->height ? s->rgb : NULL;
}
