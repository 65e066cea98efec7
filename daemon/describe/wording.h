/* SPDX-License-Identifier: Apache-2.0 */
/* Shorter ways to say a description: without its trailing clauses. Pure; free-threaded. */
#ifndef LVX_DAEMON_DESCRIBE_WORDING_H
#define LVX_DAEMON_DESCRIBE_WORDING_H

#include <stdbool.h>
#include <stddef.h>

enum { LVX_WORDINGS_MAX = 4, LVX_WORDING_BYTES_MAX = 600 };

/*
 * Writes the text itself to out[0] (control characters and runs of spaces become one space; what
 * is longer than fits is cut at a word) and to the others what remains when trailing clauses go:
 * those after a comma, semicolon, colon, dash, bracket or full stop; in English also those that
 * begin with "while", "with", "who", "which" or "as". Each has at least two words and nine tenths
 * or less of the bytes before it. Returns how many; 0: there is nothing to say. language: BCP 47,
 * or NULL.
 */
size_t lvx_wordings(
	char out[LVX_WORDINGS_MAX][LVX_WORDING_BYTES_MAX], const char *text, const char *language);

#endif
