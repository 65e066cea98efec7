/* SPDX-License-Identifier: Apache-2.0 */
/* A programme's pictures or sound, as anybody may send them, on their way into HLS: names of
 * codecs and fragmented MP4. The first byte says what it is; the rest is the first unit. */
#include "daemon/outputs/codec_string.h"
#include "daemon/outputs/fmp4.h"
#include "daemon/outputs/hls_list.h"

#include <libavutil/log.h>
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const codecs[] = {
		"h264", "hevc", "aac", "mp3", "ac3", "eac3", "opus", "vp8"};
	if (size < 2)
		return 0;
	av_log_set_level(AV_LOG_QUIET);
	unsigned kind = data[0] % 8;
	bool pictures = kind < 2;
	size_t n_extra = size / 2;
	struct lvx_unit_format format = {.sample_rate = pictures ? 0 : 48000,
		.channels = pictures ? 0 : 2,
		.width = pictures ? 320 : 0,
		.height = pictures ? 180 : 0,
		.extra = data + 1,
		.n_extra = n_extra};
	strcpy(format.codec, codecs[kind]);
	char name[LVX_CODEC_STRING_SIZE] = "";
	if (lvx_codec_string(name, &format, data + 1, size - 1) &&
		(strlen(name) < 3 || strpbrk(name, "\",\n")))
		abort();

	struct lvx_mux_track track = {.media = pictures ? LVX_UNIT_VIDEO : LVX_UNIT_AUDIO,
		.language = "en",
		.format = &format};
	struct lvx_error err;
	struct lvx_fmp4 *f;
	const struct lvx_text *out;
	if (lvx_fmp4_open(&f, &track, 10000000, &err) == LVX_OK) {
		uint8_t *copy = calloc(1, size - 1 + LVX_UNIT_PADDING);
		memcpy(copy, data + 1, size - 1);
		for (int i = 0; i < 6; i++) {
			struct lvx_unit unit = {.media = track.media,
				.format = &format,
				.pts_us = i * 40000 + (i == 1) * 80000,
				.dts_us = i * 40000,
				.keyframe = i % 3 == 0,
				.len = size - 1,
				.data = copy};
			lvx_fmp4_add(f, &unit, 40000);
			/* Where it cannot describe a track, FFmpeg 5.1 forgets some buffers: once
			 * a track, which is then given up. */
			__lsan_disable();
			if (i % 3 == 2 && lvx_fmp4_cut(f, &out, &err) == LVX_OK && out->len == 0)
				abort();
			__lsan_enable();
		}
		lvx_fmp4_close(f);
		free(copy);
	}
	struct lvx_text t = {0};
	lvx_hls_add_token(&t, (const char *)data, size, "a token");
	lvx_text_finish(&t);
	return 0;
}
