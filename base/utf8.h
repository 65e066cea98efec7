/* SPDX-License-Identifier: Apache-2.0 */
/* Well-formed UTF-8 (Unicode 15, table 3-7). Free-threaded. */
#ifndef LVX_BASE_UTF8_H
#define LVX_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Bytes of the character at s, of which left (> 0) bytes are there; 0: it is none.
 * *cut (may be NULL): it may be one once more bytes are there.
 */
size_t lvx_utf8_len(const char *s, size_t left, bool *cut);

#endif
