/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing string, for the JSON and the metrics that go out. Zeroed is empty.
 * Running out of memory aborts. One thread at a time.
 */
#ifndef LVX_DAEMON_TEXT_H
#define LVX_DAEMON_TEXT_H

#include "base/error.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct lvx_text {
	char *data; /* NUL-terminated once anything was added; owned */
	size_t len, cap;
};

void lvx_text_finish(struct lvx_text *t);
void lvx_text_clear(struct lvx_text *t); /* keeps the memory */
void lvx_text_add(struct lvx_text *t, const char *bytes, size_t n);
/* With a space before it, if one belongs there (lvx_utf8_spaced). */
void lvx_text_word(struct lvx_text *t, const char *word);
void lvx_text_printf(struct lvx_text *t, const char *fmt, ...) LVX_PRINTF(2, 3);
void lvx_text_vprintf(struct lvx_text *t, const char *fmt, va_list args) LVX_PRINTF(2, 0);
/* A JSON string with its quotes, "null" for NULL. Bytes that are not UTF-8 become U+FFFD. */
void lvx_text_json(struct lvx_text *t, const char *s);
/* The same for at most n bytes. */
void lvx_text_json_n(struct lvx_text *t, const char *s, size_t n);

#endif
