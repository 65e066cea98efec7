/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One compute device of the engine: the model thread, which alone owns the device, its runner and
 * its scheduler. Others hand it commands and wait; producers only ring its bell.
 */
#ifndef LVX_DAEMON_WORKER_H
#define LVX_DAEMON_WORKER_H

#include "base/bell.h"
#include "daemon/trace.h"
#include "model/scheduler.h"

enum { LVX_TICKS_KEPT = 1024 };

struct lvx_worker;

struct lvx_worker_params {
	const struct lvx_model *model; /* borrowed */
	const char *device;            /* copied; NULL: the best */
	uint32_t n_rows;
	struct lvx_trace *trace; /* borrowed, or NULL */
	uint32_t number;         /* of the device, in the trace */
};

/* Starts the thread, which opens the device; lvx_worker_wait says how that went. */
enum lvx_status lvx_worker_create(
	struct lvx_worker **out, const struct lvx_worker_params *params, struct lvx_error *err);
enum lvx_status lvx_worker_wait(struct lvx_worker *worker, struct lvx_error *err);
void lvx_worker_destroy(struct lvx_worker *worker); /* after every row was removed; NULL is fine */

/* After lvx_worker_wait. */
const struct lvx_device_info *lvx_worker_device(const struct lvx_worker *worker);
struct lvx_bell *lvx_worker_bell(struct lvx_worker *worker);

/* As those of the engine (engine.h). */
enum lvx_status lvx_worker_add(struct lvx_worker *worker, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err);
void lvx_worker_remove(struct lvx_worker *worker, uint32_t row);
void lvx_worker_set_lanes(struct lvx_worker *worker, uint32_t row, uint32_t lanes);
void lvx_worker_on_failure(
	struct lvx_worker *worker, void (*fn)(void *user, const char *why), void *user);

struct lvx_worker_stats {
	struct lvx_runner_stats runner;
	uint32_t n_rows, n_rows_used;
	int64_t busy_us;
	uint64_t device_bytes;
	bool failed;
};
/* ticks_us: [LVX_TICKS_KEPT], the last that did work, in any order. Returns how many. */
uint32_t lvx_worker_get_stats(
	struct lvx_worker *worker, struct lvx_worker_stats *out, int32_t *ticks_us);

#endif
