/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr: level, monotonic seconds, module file:line, message.
 * Free-threaded; one write(2) a line. Not for real-time callbacks: those count
 * and let another thread log. LVX_LOG=error|warn|info|debug sets the level.
 */
#ifndef LVX_BASE_LOG_H
#define LVX_BASE_LOG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lvx_log_level { LVX_LOG_ERROR, LVX_LOG_WARN, LVX_LOG_INFO, LVX_LOG_DEBUG };

/* Default INFO, or LVX_LOG from the environment. Call before threads start. */
void lvx_log_set_level(enum lvx_log_level level);
bool lvx_log_level_parse(const char *name, enum lvx_log_level *out);
void lvx_log_(enum lvx_log_level level, const char *file, int line, const char *fmt, ...)
	LVX_PRINTF(4, 5);

/* The last warnings and errors, whatever the level is, for who cannot see stderr. */
enum { LVX_LOG_KEPT = 200 };
struct lvx_log_entry {
	uint64_t n; /* counts from 1 */
	int64_t wall_us;
	enum lvx_log_level level;
	char message[384]; /* may end in the middle of a character */
};
/* Copies them, oldest first; returns how many. */
size_t lvx_log_kept(struct lvx_log_entry out[LVX_LOG_KEPT]);

#define lvx_log_error(...) lvx_log_(LVX_LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define lvx_log_warn(...) lvx_log_(LVX_LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define lvx_log_info(...) lvx_log_(LVX_LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define lvx_log_debug(...) lvx_log_(LVX_LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__)

#endif
