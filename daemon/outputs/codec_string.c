/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/codec_string.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { H264_SPS = 7, H265_SPS = 33, HEAD_MAX = 24 };

/* The first bytes of the first NAL unit of the type, without the bytes that keep start codes
 * from appearing in it. Returns how many. */
static size_t find_sps(const uint8_t *p, size_t n, bool hevc, uint8_t out[HEAD_MAX])
{
	for (size_t i = 0; i + 4 <= n; i++) {
		if (p[i] != 0 || p[i + 1] != 0 || p[i + 2] != 1)
			continue;
		unsigned type = hevc ? p[i + 3] >> 1 & 0x3f : p[i + 3] & 0x1f;
		if (type != (hevc ? H265_SPS : H264_SPS))
			continue;
		size_t k = 0, zeros = 0;
		for (i += 3; i < n && k < HEAD_MAX; i++) {
			if (zeros >= 2 && p[i] <= 1)
				break; /* the next start code */
			if (zeros >= 2 && p[i] == 3) {
				zeros = 0;
				continue;
			}
			zeros = p[i] == 0 ? zeros + 1 : 0;
			out[k++] = p[i];
		}
		return k;
	}
	return 0;
}

static bool avc(char *out, const uint8_t *sets, size_t n)
{
	uint8_t sps[HEAD_MAX];
	if (find_sps(sets, n, false, sps) < 4)
		return false;
	snprintf(out, LVX_CODEC_STRING_SIZE, "avc1.%02x%02x%02x", sps[1], sps[2], sps[3]);
	return true;
}

static bool hevc(char *out, const uint8_t *sets, size_t n)
{
	uint8_t sps[HEAD_MAX];
	if (find_sps(sets, n, true, sps) < 15)
		return false;
	/* Behind two bytes of header and one of numbers: profile_tier_level. */
	const uint8_t *ptl = sps + 3;
	static const char *const spaces[] = {"", "A", "B", "C"};
	uint32_t flags = 0;
	for (unsigned i = 0; i < 32; i++)
		flags |= (uint32_t)(ptl[1 + i / 8] >> (7 - i % 8) & 1) << i;
	int at = snprintf(out, LVX_CODEC_STRING_SIZE, "hvc1.%s%u.%" PRIX32 ".%c%u",
		spaces[ptl[0] >> 6], ptl[0] & 0x1fu, flags, ptl[0] & 0x20 ? 'H' : 'L', ptl[11]);
	size_t n_constraints = 6;
	while (n_constraints > 0 && ptl[4 + n_constraints] == 0)
		n_constraints--;
	for (size_t i = 0; i < n_constraints; i++)
		at += snprintf(out + at, LVX_CODEC_STRING_SIZE - (size_t)at, ".%X", ptl[5 + i]);
	return true;
}

bool lvx_codec_string(char out[LVX_CODEC_STRING_SIZE], const struct lvx_unit_format *f,
	const uint8_t *sets, size_t n_sets)
{
	static const char *const plain[][2] = {
		{"mp3", "mp4a.40.34"}, {"ac3", "ac-3"}, {"eac3", "ec-3"}, {"opus", "opus"}};
	if (strcmp(f->codec, "h264") == 0)
		return avc(out, sets, n_sets);
	if (strcmp(f->codec, "hevc") == 0)
		return hevc(out, sets, n_sets);
	if (strcmp(f->codec, "aac") == 0) {
		/* The audio object type of the AudioSpecificConfig; 31 escapes to six more bits. */
		unsigned type = f->n_extra > 0 ? f->extra[0] >> 3 : 2;
		if (type == 31 && f->n_extra > 1)
			type = 32 + ((f->extra[0] & 7u) << 3 | f->extra[1] >> 5);
		snprintf(out, LVX_CODEC_STRING_SIZE, "mp4a.40.%u", type);
		return true;
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		if (strcmp(f->codec, plain[i][0]) == 0) {
			snprintf(out, LVX_CODEC_STRING_SIZE, "%s", plain[i][1]);
			return true;
		}
	}
	return false;
}
