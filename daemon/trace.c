/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/trace.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lvx_trace {
	FILE *file;
	int64_t begin_us;
	pthread_mutex_t lock;
	long long bytes; /* {lock} written */
	bool full;       /* {lock} */
};

enum lvx_status lvx_trace_open(struct lvx_trace **out, const char *path, struct lvx_error *err)
{
	struct lvx_trace *t = calloc(1, sizeof(*t));
	if (!t)
		return lvx_fail(err, LVX_ENOMEM, "trace: out of memory");
	t->file = fopen(path, "we");
	if (!t->file) {
		free(t);
		return lvx_fail(err, LVX_EIO, "trace: %s: %s", path, strerror(errno));
	}
	pthread_mutex_init(&t->lock, NULL);
	t->begin_us = lvx_now_us();
	/* The form in which the bracket at the end may be missing. */
	fputs("[\n", t->file);
	*out = t;
	return LVX_OK;
}

void lvx_trace_close(struct lvx_trace *t)
{
	if (!t)
		return;
	fputs("{}]\n", t->file);
	if (fclose(t->file) != 0)
		lvx_log_warn("trace: %s", strerror(errno));
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Lines: 2 device, 2 device + 1. {lock} */
static void put(struct lvx_trace *t, uint32_t line, const char *name, double at_us, double us,
	const char *key, uint32_t value)
{
	if (t->full)
		return;
	int n = fprintf(t->file,
		"{\"name\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":%" PRIu32
		",\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"%s\":%" PRIu32 "}},\n",
		name, line, at_us, us, key, value);
	t->bytes += n;
	t->full = n < 0 || t->bytes > LVX_TRACE_BYTES;
	if (t->full)
		lvx_log_warn("trace: %s; no more is written",
			n < 0 ? strerror(errno) : "the file is as large as it may be");
}

void lvx_trace_tick(
	struct lvx_trace *t, uint32_t device, int64_t begin_us, int64_t end_us, uint32_t n_runs)
{
	pthread_mutex_lock(&t->lock);
	put(t, 2 * device, "tick", (double)(begin_us - t->begin_us), (double)(end_us - begin_us),
		"runs", n_runs);
	pthread_mutex_unlock(&t->lock);
}

void lvx_trace_batch(struct lvx_trace *t, uint32_t device, int64_t begin_us,
	const struct lvx_runner_mark *m, uint32_t n)
{
	double at_us = (double)(begin_us - t->begin_us);
	pthread_mutex_lock(&t->lock);
	for (uint32_t i = 1; i < n; i++)
		put(t, 2 * device + 1, m[i].name, at_us + m[i - 1].end_us,
			m[i].end_us - m[i - 1].end_us, "layer",
			m[i].layer == LVX_NO_LAYER ? 0 : m[i].layer + 1);
	pthread_mutex_unlock(&t->lock);
}
