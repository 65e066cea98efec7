/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

/* Bytes of the character that begins with c, and what its second byte may be. 0: none does. */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
	*lo = 0x80;
	*hi = 0xbf;
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef) {
		*lo = c == 0xe0 ? 0xa0 : 0x80;
		*hi = c == 0xed ? 0x9f : 0xbf;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4) {
		*lo = c == 0xf0 ? 0x90 : 0x80;
		*hi = c == 0xf4 ? 0x8f : 0xbf;
		return 4;
	}
	return 0;
}

size_t lvx_utf8_len(const char *s, size_t left, bool *cut)
{
	unsigned char lo, hi;
	size_t want = lead((unsigned char)s[0], &lo, &hi);
	if (cut)
		*cut = false;
	for (size_t i = 1; i < want; i++) {
		if (i == left) {
			if (cut)
				*cut = true;
			return 0;
		}
		unsigned char c = (unsigned char)s[i];
		if (c < lo || c > hi)
			return 0;
		lo = 0x80;
		hi = 0xbf;
	}
	return want;
}
