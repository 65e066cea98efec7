/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode to the characters of CEA-608: the North American basic set, special and extended. */
#include "daemon/outputs/cc608.h"

#include <glib.h>
#include <string.h>

static const struct {
	uint32_t unicode;
	struct lvx_cc608_char as;
} table[] = {
	/* Basic: ASCII but for these. */
	{0xe1, {0x2a, 'a'}},   /* á */
	{0xe9, {0x5c, 'e'}},   /* é */
	{0xed, {0x5e, 'i'}},   /* í */
	{0xf3, {0x5f, 'o'}},   /* ó */
	{0xfa, {0x60, 'u'}},   /* ú */
	{0xe7, {0x7b, 'c'}},   /* ç */
	{0xf7, {0x7c, '/'}},   /* ÷ */
	{0xd1, {0x7d, 'N'}},   /* Ñ */
	{0xf1, {0x7e, 'n'}},   /* ñ */
	{0x2588, {0x7f, '-'}}, /* █ */
	{0x2018, {0x27, 0}},   /* ‘ and ’: the apostrophe, which many decoders draw as ’ */
	{0x2019, {0x27, 0}},
	{0x02bc, {0x27, 0}},
	{'`', {0x27, 0}},
	{0xa0, {' ', 0}},
	{0x2013, {'-', 0}},
	/* Special. */
	{0xae, {0x1130, 'R'}},
	{0xb0, {0x1131, 'o'}},
	{0xbd, {0x1132, '/'}},
	{0xbf, {0x1133, '?'}},
	{0x2122, {0x1134, 'T'}},
	{0xa2, {0x1135, 'c'}},
	{0xa3, {0x1136, 'L'}},
	{0x266a, {0x1137, ' '}}, /* ♪ */
	{0x266b, {0x1137, ' '}},
	{0xe0, {0x1138, 'a'}},
	{0xe8, {0x113a, 'e'}},
	{0xe2, {0x113b, 'a'}},
	{0xea, {0x113c, 'e'}},
	{0xee, {0x113d, 'i'}},
	{0xf4, {0x113e, 'o'}},
	{0xfb, {0x113f, 'u'}},
	/* Extended: Spanish, miscellaneous, French. */
	{0xc1, {0x1220, 'A'}},
	{0xc9, {0x1221, 'E'}},
	{0xd3, {0x1222, 'O'}},
	{0xda, {0x1223, 'U'}},
	{0xdc, {0x1224, 'U'}},
	{0xfc, {0x1225, 'u'}},
	{0xa1, {0x1227, '!'}},
	{'*', {0x1228, '+'}},
	{0x2014, {0x122a, '-'}},
	{0xa9, {0x122b, 'c'}},
	{0x2120, {0x122c, 's'}},
	{0x2022, {0x122d, '.'}},
	{0x201c, {0x122e, '"'}},
	{0x201d, {0x122f, '"'}},
	{0xc0, {0x1230, 'A'}},
	{0xc2, {0x1231, 'A'}},
	{0xc7, {0x1232, 'C'}},
	{0xc8, {0x1233, 'E'}},
	{0xca, {0x1234, 'E'}},
	{0xcb, {0x1235, 'E'}},
	{0xeb, {0x1236, 'e'}},
	{0xce, {0x1237, 'I'}},
	{0xcf, {0x1238, 'I'}},
	{0xef, {0x1239, 'i'}},
	{0xd4, {0x123a, 'O'}},
	{0xd9, {0x123b, 'U'}},
	{0xf9, {0x123c, 'u'}},
	{0xdb, {0x123d, 'U'}},
	{0xab, {0x123e, '"'}},
	{0xbb, {0x123f, '"'}},
	/* Extended: Portuguese, German, Danish. */
	{0xc3, {0x1320, 'A'}},
	{0xe3, {0x1321, 'a'}},
	{0xcd, {0x1322, 'I'}},
	{0xcc, {0x1323, 'I'}},
	{0xec, {0x1324, 'i'}},
	{0xd2, {0x1325, 'O'}},
	{0xf2, {0x1326, 'o'}},
	{0xd5, {0x1327, 'O'}},
	{0xf5, {0x1328, 'o'}},
	{'{', {0x1329, '('}},
	{'}', {0x132a, ')'}},
	{'\\', {0x132b, '/'}},
	{'^', {0x132c, '\''}},
	{'_', {0x132d, '-'}},
	{'|', {0x132e, '/'}},
	{'~', {0x132f, '-'}},
	{0xc4, {0x1330, 'A'}},
	{0xe4, {0x1331, 'a'}},
	{0xd6, {0x1332, 'O'}},
	{0xf6, {0x1333, 'o'}},
	{0xdf, {0x1334, 's'}},
	{0xa5, {0x1335, 'Y'}},
	{0xa4, {0x1336, 'o'}},
	{0xa6, {0x1337, '/'}},
	{0xc5, {0x1338, 'A'}},
	{0xe5, {0x1339, 'a'}},
	{0xd8, {0x133a, 'O'}},
	{0xf8, {0x133b, 'o'}},
};

static bool find(uint32_t unicode, struct lvx_cc608_char *out)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].unicode == unicode) {
			*out = table[i].as;
			return true;
		}
	}
	*out = (struct lvx_cc608_char){.code = (uint16_t)unicode};
	return unicode >= 0x20 && unicode < 0x7f;
}

/* ---- what it does not have ---- */

/* Letter by letter; Russian after BGN/PCGN, the others' letters as they come nearest. */
static const char *const cyrillic[] = {/* from U+0430 */
	"a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p", "r", "s",
	"t", "u", "f", "kh", "ts", "ch", "sh", "shch", "", "y", "", "e", "yu", "ya", "e", "yo",
	"dj", "gj", "ye", "dz", "i", "yi", "j", "lj", "nj", "c", "kj", "i", "w", "dz"};
/* ELOT 743 but for its digraphs. */
static const char *const greek[] = {/* from U+03B1 */
	"a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p", "r", "s",
	"s", "t", "y", "f", "ch", "ps", "o"};

static const char *letter(gunichar small)
{
	switch (small) {
	case 0x0491: /* ґ */
		return "g";
	case 0x0111: /* đ */
		return "d";
	case 0x0127: /* ħ */
		return "h";
	case 0x0131: /* ı */
		return "i";
	case 0x0259: /* ə */
		return "e";
	default:
		break;
	}
	if (small >= 0x0430 && small < 0x0430 + G_N_ELEMENTS(cyrillic))
		return cyrillic[small - 0x0430];
	if (small >= 0x03b1 && small < 0x03b1 + G_N_ELEMENTS(greek))
		return greek[small - 0x03b1];
	return NULL;
}

static size_t add_ascii(const char *ascii, bool capital, struct lvx_cc608_char *out, size_t max)
{
	size_t n = 0;
	for (const char *p = ascii; *p && n < max; p++) {
		char c = capital && p == ascii ? g_ascii_toupper(*p) : *p;
		n += find((unsigned char)c, &out[n]);
	}
	return n;
}

/* Control characters; joiners, directions, soft hyphens; marks that stand on nothing. */
static bool is_nothing(gunichar u)
{
	return u < 0x20 || u == 0x7f || g_unichar_iszerowidth(u) ||
	       g_unichar_type(u) == G_UNICODE_FORMAT;
}

/* The nearest Latin letters; there may be several ("..."), or none at all (ъ). False: there are
 * no such. */
static bool transliterate(gunichar u, size_t *n, struct lvx_cc608_char *out, size_t max)
{
	gunichar small = g_unichar_tolower(u), base[4];
	const char *latin = letter(small);
	if (!latin && g_unichar_fully_decompose(small, FALSE, base, 4) > 0)
		latin = letter(base[0]); /* ά */
	if (latin) {
		*n += add_ascii(latin, small != u, out, max);
		return true;
	}
	char one[8] = {0};
	g_unichar_to_utf8(u, one);
	gchar *ascii = g_str_to_ascii(one, "C");
	bool known = !strchr(ascii, '?');
	if (known)
		*n += add_ascii(ascii, false, out, max);
	g_free(ascii);
	return known;
}

size_t lvx_cc608_chars(const char *text, struct lvx_cc608_char *out, size_t max)
{
	size_t n = 0;
	bool unknown = false; /* the one before */
	gchar *valid = g_utf8_make_valid(text, -1);
	gchar *composed = g_utf8_normalize(valid, -1, G_NORMALIZE_NFC);
	for (const char *p = composed; *p && n < max; p = g_utf8_next_char(p)) {
		gunichar u = g_utf8_get_char(p);
		if (is_nothing(u))
			continue;
		bool known = find(u, &out[n]);
		if (known)
			n++;
		else
			known = transliterate(u, &n, out + n, max - n);
		if (!known && !unknown)
			n += add_ascii(LVX_CC608_UNKNOWN, false, out + n, max - n);
		unknown = !known;
	}
	g_free(composed);
	g_free(valid);
	return n;
}
