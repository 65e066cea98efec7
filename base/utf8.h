/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed UTF-8 (Unicode 15, table 3-7). Free-threaded. */
#ifndef LVX_BASE_UTF8_H
#define LVX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of the character at s, of which left (> 0) bytes are there; 0: it is none.
 * *cut (may be NULL): it may be one once more bytes are there.
 */
size_t lvx_utf8_len(const char *s, size_t left, bool *cut);

/* ---- NUL-terminated text: what is not UTF-8 is a character a byte ---- */

/* The last character of s, up to its end; s itself if it is empty. */
const char *lvx_utf8_last(const char *s);
/*
 * Does a space stand between two words? Not between two Chinese or Japanese characters, nor
 * beside their punctuation. Empty: nothing stands there yet, so no.
 */
bool lvx_utf8_spaced(const char *left, const char *right);
/* Bytes of the word that s begins with: up to a space, or one Chinese or Japanese character. */
size_t lvx_utf8_word(const char *s);
/* Columns of a terminal or a line of subtitles: two for a wide character. */
int lvx_utf8_columns(const char *s);
/* May a line begin with s? Not with what closes a clause or quotation in Chinese or Japanese. */
bool lvx_utf8_begins_line(const char *s);

#endif
