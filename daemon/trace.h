/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the compute devices do and when, as a file for Chrome's tracing page or Perfetto: of each
 * device a line of ticks by the host's clock, and a line of the dispatches in them by the device's
 * own timestamps. Any thread. Without its end, after a crash, the file is still readable; beyond
 * LVX_TRACE_BYTES no more is written.
 */
#ifndef LVX_DAEMON_TRACE_H
#define LVX_DAEMON_TRACE_H

#include "model/runner.h"

enum { LVX_TRACE_BYTES = 512 << 20 }; /* about an hour of a small model */

struct lvx_trace;

enum lvx_status lvx_trace_open(struct lvx_trace **out, const char *path, struct lvx_error *err);
void lvx_trace_close(struct lvx_trace *trace); /* NULL is fine */

/* The times are those of lvx_now_us. */
void lvx_trace_tick(struct lvx_trace *trace, uint32_t device, int64_t begin_us, int64_t end_us,
	uint32_t n_runs);
void lvx_trace_batch(struct lvx_trace *trace, uint32_t device, int64_t begin_us,
	const struct lvx_runner_mark *marks, uint32_t n);

#endif
