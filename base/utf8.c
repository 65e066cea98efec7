/* SPDX-License-Identifier: Apache-2.0 */
#include "base/utf8.h"

#include <string.h>

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

/* ---- words and columns ---- */

/* The character at s, which is not its end, and its bytes. */
static uint32_t decode(const char *s, size_t *len)
{
	const unsigned char *p = (const unsigned char *)s;
	/* A byte that ends the text ends a character too, so this never looks beyond it. */
	*len = lvx_utf8_len(s, 4, NULL);
	switch (*len) {
	case 2:
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	case 3:
		return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	case 4:
		return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
		       (p[3] & 0x3fu);
	default:
		*len = 1;
		return p[0];
	}
}

/* CJK symbols and punctuation, vertical and small forms, the full-width ASCII signs. */
static bool is_mark(uint32_t c)
{
	return (c >= 0x3001 && c <= 0x303f && c != 0x3005 && c != 0x3007) || c == 0x30fb ||
	       (c >= 0xfe10 && c <= 0xfe6f) || (c >= 0xff01 && c <= 0xff0f) ||
	       (c >= 0xff1a && c <= 0xff20) || (c >= 0xff3b && c <= 0xff40) ||
	       (c >= 0xff5b && c <= 0xff65);
}

/* Written without spaces between words; Hangul is not. */
static bool is_solid(uint32_t c)
{
	return is_mark(c) || (c >= 0x2e80 && c <= 0x2fdf) || c == 0x3005 || c == 0x3007 ||
	       (c >= 0x3040 && c <= 0x312f) || (c >= 0x31a0 && c <= 0x9fff) ||
	       (c >= 0xf900 && c <= 0xfaff) || (c >= 0xff01 && c <= 0xff9f) ||
	       (c >= 0x20000 && c <= 0x3ffff);
}

/* Quotation marks, dash, dots: used by both kinds of writing, so the other side decides. */
static bool is_shared(uint32_t c)
{
	return c == 0xb7 || c == 0x2014 || c == 0x2018 || c == 0x2019 || c == 0x201c ||
	       c == 0x201d || c == 0x2026;
}

const char *lvx_utf8_last(const char *s)
{
	const char *end = s + strlen(s);
	for (size_t n = 4; n > 1; n--)
		if ((size_t)(end - s) >= n && lvx_utf8_len(end - n, n, NULL) == n)
			return end - n;
	return end > s ? end - 1 : s;
}

bool lvx_utf8_spaced(const char *left, const char *right)
{
	size_t len;
	if (!*left || !*right)
		return false;
	uint32_t a = decode(lvx_utf8_last(left), &len), b = decode(right, &len);
	if (is_mark(a) || is_mark(b))
		return false;
	return !((is_solid(a) && (is_solid(b) || is_shared(b))) || (is_shared(a) && is_solid(b)));
}

size_t lvx_utf8_word(const char *s)
{
	size_t n = 0;
	for (size_t len; s[n] && s[n] != ' '; n += len) {
		if (is_solid(decode(s + n, &len)))
			return n > 0 ? n : len;
	}
	return n;
}

int lvx_utf8_columns(const char *s)
{
	int n = 0;
	for (size_t len; *s; s += len) {
		uint32_t c = decode(s, &len);
		n += 1 + (is_solid(c) || (c >= 0xac00 && c <= 0xd7a3));
	}
	return n;
}

bool lvx_utf8_begins_line(const char *s)
{
	size_t len;
	uint32_t c = *s ? decode(s, &len) : 0;
	static const uint16_t opening[] = {0x3008, 0x300a, 0x300c, 0x300e, 0x3010, 0x3014, 0x3016,
		0x3018, 0x301a, 0xff08, 0xff3b, 0xff5b, 0xff5f};
	for (size_t i = 0; i < sizeof(opening) / sizeof(opening[0]); i++)
		if (opening[i] == c)
			return true;
	return !is_mark(c);
}
