/* SPDX-License-Identifier: Apache-2.0 */
/* The viewers of bench_viewers: a process of its own, one thread with epoll. */
#ifndef LVX_TESTS_BENCH_VIEWERS_H
#define LVX_TESTS_BENCH_VIEWERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { VIEWERS_EVENTS_MAX = 1 << 16 };

/* What both processes see. */
struct viewers_shared {
	_Atomic int64_t event_us[VIEWERS_EVENTS_MAX]; /* when seq was in the hub */
	_Atomic uint32_t n_ready;
	_Atomic int failed;
	_Atomic int phase; /* 0: connecting; 1: counting; 2: over */
	/* Of the viewers, at the end. */
	uint64_t n_samples, n_events_all, n_missing, n_bytes;
	double p50_ms, p95_ms, p99_ms, max_ms, all_p95_ms;
	double connect_s;
};

struct viewers_params {
	struct viewers_shared *shared; /* borrowed */
	int n, seconds;
	bool tls, deflated;
};

/* Connects them to the port that comes through the pipe, and counts until phase 2; the exit status.
 */
int viewers_watch(const struct viewers_params *params, int port_pipe);
/* Says what went wrong (errno), for both processes; shared may be NULL. */
_Noreturn void viewers_die(struct viewers_shared *shared, const char *what);

#endif
