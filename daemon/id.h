/* SPDX-License-Identifier: Apache-2.0 */
/* What a stream may be called. */
#ifndef LVX_DAEMON_ID_H
#define LVX_DAEMON_ID_H

#include <stdbool.h>
#include <string.h>

enum {
	LVX_ID_MAX = 64, /* bytes */
};

static inline bool lvx_id_valid(const char *id)
{
	size_t n = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	return n > 0 && n <= LVX_ID_MAX && id[n] == '\0';
}

#endif
