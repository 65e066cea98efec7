/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model on one or several devices, and the rows of all streams, spread over them. Each
 * device has a model thread (worker.h); others hand it commands and wait, producers
 * only ring its bell.
 */
#ifndef LVX_DAEMON_ENGINE_H
#define LVX_DAEMON_ENGINE_H

#include "base/bell.h"
#include "model/scheduler.h"

struct lvx_engine;

struct lvx_engine_params {
	const char *model_dir;
	/*
	 * A number or a part of a name (runner.h), several with commas between, which may be the
	 * same again; "all": all of the best kind. NULL: the best; if that is a CPU, one
	 * for each core, unless $LP_NUM_THREADS says how many threads lavapipe is to have.
	 */
	const char *device;
	uint32_t n_rows;   /* streams and further languages at once, on all devices together */
	const char *trace; /* NULL, or a file to write what the devices do to (trace.h) */
};

/* Loads the model, opens the devices and starts their threads; returns when they are ready. Call it
 * before other threads use the environment. */
enum lvx_status lvx_engine_create(
	struct lvx_engine **out, const struct lvx_engine_params *params, struct lvx_error *err);
void lvx_engine_destroy(struct lvx_engine *engine); /* after every row was removed */

const struct lvx_model_info *lvx_engine_model(const struct lvx_engine *engine);
const struct lvx_device_info *lvx_engine_device(const struct lvx_engine *engine); /* the first */
uint32_t lvx_engine_n_devices(const struct lvx_engine *engine);
/* Whoever feeds the row rings it when there is something to hear. */
struct lvx_bell *lvx_engine_bell(struct lvx_engine *engine, uint32_t row);

/* Any thread but a model thread; blocks for at most a tick. The params and their
 * strings are copied; feed and on_event run on one model thread, feed perhaps before this
 * returns. LVX_ELIMIT: every row is taken. LVX_EDEVICE: the device has failed. */
enum lvx_status lvx_engine_add(struct lvx_engine *engine, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err);
/* Returns when no further call of the row's feed or on_event will come. */
void lvx_engine_remove(struct lvx_engine *engine, uint32_t row);
/* Any thread; does not wait. */
void lvx_engine_set_lanes(struct lvx_engine *engine, uint32_t row, uint32_t lanes);

/*
 * Called on a model thread if its device fails for good; its rows get no more
 * events, but remove still works. If one has failed already, called at once.
 */
void lvx_engine_on_failure(
	struct lvx_engine *engine, void (*fn)(void *user, const char *why), void *user);

struct lvx_engine_stats {
	struct lvx_runner_stats runner;
	uint32_t n_rows, n_rows_used;
	int64_t tick_p50_us, tick_p99_us; /* of the last 1,024 ticks that did work */
	int64_t busy_us, up_us;
	uint64_t device_bytes;
	bool failed;
};
void lvx_engine_get_stats(struct lvx_engine *engine, struct lvx_engine_stats *out);

#endif
