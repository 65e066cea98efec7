/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/wording.h"

#include <ctype.h>
#include <string.h>

static size_t clean(char out[LVX_WORDING_BYTES_MAX], const char *text)
{
	size_t n = 0, last_space = 0;
	for (; *text && n < LVX_WORDING_BYTES_MAX - 1; text++) {
		unsigned char c = (unsigned char)*text;
		if (c > ' ' && c != 0x7f) {
			out[n++] = (char)c;
		} else if (n > 0 && out[n - 1] != ' ') {
			last_space = n;
			out[n++] = ' ';
		}
	}
	if (*text) /* it goes on: not in the middle of a word, nor of a character */
		n = last_space;
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
	return n;
}

static bool begins(const char *text, const char *word)
{
	return strncmp(text, word, strlen(word)) == 0;
}

/* Does a clause end before text[i]? */
static bool is_cut(const char *text, size_t i, bool english)
{
	static const char *const signs[] = {
		", ", "; ", ": ", " (", " - ", " \xe2\x80\x93 ", " \xe2\x80\x94 ", "\xe2\x80\x94"};
	static const char *const words[] = {" while ", " with ", " who ", " which ", " as "};
	for (size_t k = 0; k < sizeof(signs) / sizeof(signs[0]); k++) {
		if (begins(text + i, signs[k]))
			return true;
	}
	for (size_t k = 0; english && k < sizeof(words) / sizeof(words[0]); k++) {
		if (begins(text + i, words[k]))
			return true;
	}
	/* Behind a full stop: it stays. */
	return text[i] == ' ' && i > 0 && strchr(".!?", text[i - 1]);
}

static size_t n_words(const char *text, size_t len)
{
	size_t n = len > 0;
	for (size_t i = 0; i < len; i++)
		n += text[i] == ' ';
	return n;
}

size_t lvx_wordings(
	char out[LVX_WORDINGS_MAX][LVX_WORDING_BYTES_MAX], const char *text, const char *language)
{
	bool english =
		language && strncmp(language, "en", 2) == 0 && !isalpha((unsigned char)language[2]);
	size_t len = clean(out[0], text), n = len > 0;
	for (size_t i = len; i-- > 1 && n > 0 && n < LVX_WORDINGS_MAX;) {
		if (!is_cut(out[0], i, english) || n_words(out[0], i) < 2 ||
			10 * i > 9 * strlen(out[n - 1]) || i + 2 > LVX_WORDING_BYTES_MAX)
			continue;
		memcpy(out[n], out[0], i);
		size_t end = i;
		while (end > 1 && strchr(" ,;:-", out[n][end - 1]))
			end--;
		if (!strchr(".!?", out[n][end - 1]))
			out[n][end++] = '.';
		out[n++][end] = '\0';
	}
	return n;
}
