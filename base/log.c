/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic int g_level = -1;

static struct {
	pthread_mutex_t lock;
	uint64_t n; /* {lock} how many there were */
	struct lvx_log_entry entries[LVX_LOG_KEPT];
} g_kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool lvx_log_level_parse(const char *name, enum lvx_log_level *out)
{
	for (int i = 0; i < 4; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum lvx_log_level)i;
			return true;
		}
	}
	return false;
}

void lvx_log_set_level(enum lvx_log_level level)
{
	atomic_store_explicit(&g_level, (int)level, memory_order_relaxed);
}

static int current_level(void)
{
	int level = atomic_load_explicit(&g_level, memory_order_relaxed);
	if (level >= 0)
		return level;
	enum lvx_log_level parsed = LVX_LOG_INFO;
	const char *env = getenv("LVX_LOG");
	if (env)
		lvx_log_level_parse(env, &parsed);
	lvx_log_set_level(parsed);
	return (int)parsed;
}

static void keep(enum lvx_log_level level, const char *message)
{
	pthread_mutex_lock(&g_kept.lock);
	struct lvx_log_entry *e = &g_kept.entries[g_kept.n % LVX_LOG_KEPT];
	e->n = ++g_kept.n;
	e->wall_us = lvx_wall_us();
	e->level = level;
	snprintf(e->message, sizeof(e->message), "%s", message);
	pthread_mutex_unlock(&g_kept.lock);
}

size_t lvx_log_kept(struct lvx_log_entry out[LVX_LOG_KEPT])
{
	pthread_mutex_lock(&g_kept.lock);
	size_t n = g_kept.n < LVX_LOG_KEPT ? (size_t)g_kept.n : LVX_LOG_KEPT;
	for (size_t i = 0; i < n; i++)
		out[i] = g_kept.entries[(g_kept.n - n + i) % LVX_LOG_KEPT];
	pthread_mutex_unlock(&g_kept.lock);
	return n;
}

void lvx_log_(enum lvx_log_level level, const char *file, int line, const char *fmt, ...)
{
	bool kept = level <= LVX_LOG_WARN, shown = (int)level <= current_level();
	if (!kept && !shown)
		return;
	const char *slash = strrchr(file, '/');
	int64_t now_us = lvx_now_us();
	char buf[1024];
	int n = snprintf(buf, sizeof(buf), "%-5s %" PRId64 ".%03d %s:%d ", level_names[level],
		now_us / 1000000, (int)(now_us / 1000 % 1000), slash ? slash + 1 : file, line);
	if (n < 0)
		return;
	va_list args;
	va_start(args, fmt);
	int m = vsnprintf(buf + n, sizeof(buf) - (size_t)n, fmt, args);
	va_end(args);
	if (m < 0)
		return;
	size_t len = (size_t)n + (size_t)m;
	if (len > sizeof(buf) - 2)
		len = sizeof(buf) - 2;
	/* A log line is one line, whatever a peer put into the message. */
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)buf[i] < 0x20 || buf[i] == 0x7f)
			buf[i] = ' ';
	}
	buf[len] = '\0';
	if (kept)
		keep(level, buf + n);
	if (!shown)
		return;
	buf[len++] = '\n';
	ssize_t w = write(STDERR_FILENO, buf, len);
	(void)w;
}
