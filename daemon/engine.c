/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* KEEP_STEPS: a lost device costs at most so many ticks to catch up, and each tick the copy of
 * that part of the rows. */
enum { TICKS_KEPT = 1024, KEEP_STEPS = 64 };

struct command {
	enum { CMD_ADD, CMD_REMOVE, CMD_SET_LANES } kind;
	const struct lvx_row_params *params; /* ADD: borrowed, its sender waits */
	uint32_t row, lanes;
	bool waited_for; /* on its sender's stack; else on the heap, freed when done */
	bool done;
	enum lvx_status status;
	struct lvx_error err;
	struct command *next;
};

struct lvx_engine {
	pthread_t thread;
	struct lvx_bell *bell;
	struct lvx_model *model; /* read-only once loaded */

	/* Model thread only, but for the device info, which never changes. */
	struct lvx_runner *runner;
	struct lvx_scheduler *scheduler;

	pthread_mutex_t lock;
	pthread_cond_t done; /* a command is done, or the start-up is over */
	/* {lock} from here on */
	struct command *first, **last;
	bool started, quit, failed;
	struct lvx_error start_err;
	char why[384];
	void (*on_failure)(void *user, const char *why);
	void *on_failure_user;
	struct lvx_engine_stats stats;
	int32_t ticks_us[TICKS_KEPT];
	uint64_t n_ticks;
	int64_t start_us;

	/* Copies of the params; read by the model thread at its start. */
	char *device;
	uint32_t n_rows;
};

/* ---- model thread ---- */

static void run_command(struct lvx_engine *e, struct command *c, bool failed)
{
	switch (c->kind) {
	case CMD_ADD:
		c->status = failed ? lvx_fail(&c->err, LVX_EDEVICE, "the compute device failed: %s",
					     e->why)
				   : lvx_scheduler_add(e->scheduler, c->params, &c->row, &c->err);
		if (c->status == LVX_OK)
			e->stats.n_rows_used++;
		break;
	case CMD_REMOVE:
		lvx_scheduler_remove(e->scheduler, c->row);
		e->stats.n_rows_used--;
		break;
	case CMD_SET_LANES:
		if (!failed)
			lvx_scheduler_set_lanes(e->scheduler, c->row, c->lanes);
		break;
	}
}

/* Works off what others asked for. False: it is time to end. */
static bool run_commands(struct lvx_engine *e)
{
	pthread_mutex_lock(&e->lock);
	while (e->first) {
		struct command *c = e->first;
		e->first = c->next;
		if (!e->first)
			e->last = &e->first;
		/* Under the lock: commands are rare and short, and no callback takes it. */
		run_command(e, c, e->failed);
		if (c->waited_for) {
			c->done = true;
			pthread_cond_broadcast(&e->done);
		} else {
			free(c);
		}
	}
	bool go_on = !e->quit;
	pthread_mutex_unlock(&e->lock);
	return go_on;
}

static void note_tick(struct lvx_engine *e, int64_t took_us)
{
	struct lvx_runner_stats runner;
	lvx_runner_get_stats(e->runner, &runner);
	uint64_t bytes = lvx_runner_device_bytes(e->runner);
	pthread_mutex_lock(&e->lock);
	e->ticks_us[e->n_ticks++ % TICKS_KEPT] = took_us > INT32_MAX ? INT32_MAX : (int32_t)took_us;
	e->stats.busy_us += took_us;
	e->stats.runner = runner;
	e->stats.device_bytes = bytes;
	pthread_mutex_unlock(&e->lock);
}

static void fail_for_good(struct lvx_engine *e, enum lvx_status st)
{
	pthread_mutex_lock(&e->lock);
	e->failed = true;
	e->stats.failed = true;
	snprintf(e->why, sizeof(e->why), "%s: %s", lvx_runner_device(e->runner)->name,
		lvx_status_name(st));
	void (*fn)(void *user, const char *why) = e->on_failure;
	void *user = e->on_failure_user;
	pthread_mutex_unlock(&e->lock);
	lvx_log_error("the compute device failed: %s", e->why);
	if (fn)
		fn(user, e->why);
}

static void work(struct lvx_engine *e)
{
	bool failed = false;
	while (run_commands(e)) {
		uint32_t n_done = 0;
		if (!failed) {
			int64_t begin_us = lvx_now_us();
			enum lvx_status st = lvx_scheduler_tick(e->scheduler, &n_done);
			if (n_done > 0)
				note_tick(e, lvx_now_us() - begin_us);
			if (st != LVX_OK && st != LVX_AGAIN) {
				fail_for_good(e, st);
				failed = true;
			}
		}
		if (failed || n_done == 0)
			lvx_bell_wait(e->bell, -1);
	}
}

static void *model_thread(void *arg)
{
	struct lvx_engine *e = arg;
	struct lvx_error err = {0};
	struct lvx_runner_params rp = {
		.device = e->device, .n_rows = e->n_rows, .keep_steps = KEEP_STEPS};
	enum lvx_status st = lvx_runner_create(&e->runner, e->model, &rp, &err);
	if (st == LVX_OK)
		st = lvx_scheduler_create(&e->scheduler, e->model, e->runner, e->n_rows, &err);
	pthread_mutex_lock(&e->lock);
	e->started = true;
	e->start_err = err;
	e->start_err.status = st;
	if (st == LVX_OK)
		e->stats.device_bytes = lvx_runner_device_bytes(e->runner);
	pthread_cond_broadcast(&e->done);
	pthread_mutex_unlock(&e->lock);
	if (st == LVX_OK)
		work(e);
	lvx_scheduler_destroy(e->scheduler);
	lvx_runner_destroy(e->runner);
	return NULL;
}

/* ---- other threads ---- */

static void free_engine(struct lvx_engine *e)
{
	lvx_model_destroy(e->model);
	lvx_bell_destroy(e->bell);
	free(e->device);
	pthread_cond_destroy(&e->done);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

enum lvx_status lvx_engine_create(
	struct lvx_engine **out, const struct lvx_engine_params *params, struct lvx_error *err)
{
	struct lvx_engine *e = calloc(1, sizeof(*e));
	if (!e)
		return lvx_fail(err, LVX_ENOMEM, "engine: out of memory");
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->done, NULL);
	e->last = &e->first;
	e->n_rows = params->n_rows;
	e->stats.n_rows = params->n_rows;
	e->start_us = lvx_now_us();

	enum lvx_status st = lvx_bell_create(&e->bell, err);
	if (st != LVX_OK)
		goto fail;
	st = lvx_model_load(&e->model, params->model_dir, err);
	if (st != LVX_OK)
		goto fail;
	if (params->device && !(e->device = strdup(params->device))) {
		st = lvx_fail(err, LVX_ENOMEM, "engine: out of memory");
		goto fail;
	}
	int rc = pthread_create(&e->thread, NULL, model_thread, e);
	if (rc != 0) {
		st = lvx_fail(err, LVX_EIO, "engine: no thread: %s", strerror(rc));
		goto fail;
	}
	pthread_mutex_lock(&e->lock);
	while (!e->started)
		pthread_cond_wait(&e->done, &e->lock);
	st = e->start_err.status;
	if (st != LVX_OK && err)
		*err = e->start_err;
	pthread_mutex_unlock(&e->lock);
	if (st != LVX_OK) {
		pthread_join(e->thread, NULL);
		goto fail;
	}
	*out = e;
	return LVX_OK;
fail:
	free_engine(e);
	return st;
}

void lvx_engine_destroy(struct lvx_engine *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->quit = true;
	pthread_mutex_unlock(&e->lock);
	lvx_bell_ring(e->bell);
	pthread_join(e->thread, NULL);
	free_engine(e);
}

const struct lvx_model_info *lvx_engine_model(const struct lvx_engine *e)
{
	return lvx_model_info(e->model);
}

const struct lvx_device_info *lvx_engine_device(const struct lvx_engine *e)
{
	return lvx_runner_device(e->runner);
}

struct lvx_bell *lvx_engine_bell(struct lvx_engine *e)
{
	return e->bell;
}

static void enqueue(struct lvx_engine *e, struct command *c) /* {lock} */
{
	*e->last = c;
	e->last = &c->next;
	lvx_bell_ring(e->bell);
}

static void send_and_wait(struct lvx_engine *e, struct command *c)
{
	c->waited_for = true;
	pthread_mutex_lock(&e->lock);
	enqueue(e, c);
	while (!c->done)
		pthread_cond_wait(&e->done, &e->lock);
	pthread_mutex_unlock(&e->lock);
}

enum lvx_status lvx_engine_add(struct lvx_engine *e, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err)
{
	struct command c = {.kind = CMD_ADD, .params = params};
	send_and_wait(e, &c);
	if (c.status == LVX_OK)
		*row = c.row;
	else if (err)
		*err = c.err;
	return c.status;
}

void lvx_engine_remove(struct lvx_engine *e, uint32_t row)
{
	struct command c = {.kind = CMD_REMOVE, .row = row};
	send_and_wait(e, &c);
}

void lvx_engine_set_lanes(struct lvx_engine *e, uint32_t row, uint32_t lanes)
{
	struct command *c = malloc(sizeof(*c));
	if (!c)
		return;
	*c = (struct command){.kind = CMD_SET_LANES, .row = row, .lanes = lanes};
	pthread_mutex_lock(&e->lock);
	enqueue(e, c);
	pthread_mutex_unlock(&e->lock);
}

void lvx_engine_on_failure(
	struct lvx_engine *e, void (*fn)(void *user, const char *why), void *user)
{
	pthread_mutex_lock(&e->lock);
	e->on_failure = fn;
	e->on_failure_user = user;
	bool failed = e->failed;
	pthread_mutex_unlock(&e->lock);
	if (failed && fn)
		fn(user, e->why);
}

static int by_value(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

void lvx_engine_get_stats(struct lvx_engine *e, struct lvx_engine_stats *out)
{
	int32_t ticks[TICKS_KEPT];
	pthread_mutex_lock(&e->lock);
	*out = e->stats;
	size_t n = e->n_ticks < TICKS_KEPT ? (size_t)e->n_ticks : TICKS_KEPT;
	memcpy(ticks, e->ticks_us, n * sizeof(ticks[0]));
	pthread_mutex_unlock(&e->lock);
	out->up_us = lvx_now_us() - e->start_us;
	out->tick_p50_us = 0;
	out->tick_p99_us = 0;
	if (n == 0)
		return;
	qsort(ticks, n, sizeof(ticks[0]), by_value);
	out->tick_p50_us = ticks[n / 2];
	out->tick_p99_us = ticks[n * 99 / 100];
}
