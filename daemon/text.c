/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/text.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lvx_text_finish(struct lvx_text *t)
{
	free(t->data);
	*t = (struct lvx_text){0};
}

void lvx_text_clear(struct lvx_text *t)
{
	t->len = 0;
	if (t->data)
		t->data[0] = '\0';
}

static void reserve(struct lvx_text *t, size_t more)
{
	size_t want = t->len + more + 1;
	if (want <= t->cap)
		return;
	size_t cap = t->cap > 0 ? t->cap : 256;
	while (cap < want)
		cap *= 2;
	t->data = realloc(t->data, cap);
	if (!t->data)
		abort();
	t->cap = cap;
}

void lvx_text_add(struct lvx_text *t, const char *bytes, size_t n)
{
	reserve(t, n);
	if (n > 0)
		memcpy(t->data + t->len, bytes, n);
	t->len += n;
	t->data[t->len] = '\0';
}

void lvx_text_word(struct lvx_text *t, const char *word)
{
	if (t->len > 0 && lvx_utf8_spaced(t->data, word))
		lvx_text_add(t, " ", 1);
	lvx_text_add(t, word, strlen(word));
}

void lvx_text_vprintf(struct lvx_text *t, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	if (n >= 0) {
		reserve(t, (size_t)n);
		vsnprintf(t->data + t->len, (size_t)n + 1, fmt, again);
		t->len += (size_t)n;
	}
	va_end(again);
}

void lvx_text_printf(struct lvx_text *t, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	lvx_text_vprintf(t, fmt, args);
	va_end(args);
}

void lvx_text_json_n(struct lvx_text *t, const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s;
	lvx_text_add(t, "\"", 1);
	for (size_t i = 0; i < n;) {
		size_t len = lvx_utf8_len(s + i, n - i, NULL);
		if (len == 0) {
			lvx_text_add(t, "\xef\xbf\xbd", 3);
			i++;
		} else if (len > 1) {
			lvx_text_add(t, s + i, len);
			i += len;
		} else {
			if (p[i] == '"' || p[i] == '\\')
				lvx_text_printf(t, "\\%c", p[i]);
			else if (p[i] < 0x20 || p[i] == 0x7f)
				lvx_text_printf(t, "\\u%04x", p[i]);
			else
				lvx_text_add(t, s + i, 1);
			i++;
		}
	}
	lvx_text_add(t, "\"", 1);
}

void lvx_text_json(struct lvx_text *t, const char *s)
{
	if (s)
		lvx_text_json_n(t, s, strlen(s));
	else
		lvx_text_add(t, "null", 4);
}
