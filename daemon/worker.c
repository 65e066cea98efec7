/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/worker.h"

#include "base/clock.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* KEEP_STEPS: a lost device costs at most so many ticks to catch up, and each tick the copy of
 * that part of the rows. */
enum { KEEP_STEPS = 64 };

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

struct lvx_worker {
	pthread_t thread;
	struct lvx_bell *bell;
	const struct lvx_model *model; /* borrowed */

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
	struct lvx_worker_stats stats;
	int32_t ticks_us[LVX_TICKS_KEPT];
	uint64_t n_ticks;

	/* Copies of the params; read by the model thread at its start. */
	char *device;
	uint32_t n_rows;
	struct lvx_trace *trace; /* borrowed, or NULL */
	uint32_t number;
};

/* ---- model thread ---- */

static void run_command(struct lvx_worker *w, struct command *c, bool failed)
{
	switch (c->kind) {
	case CMD_ADD:
		c->status = failed ? lvx_fail(&c->err, LVX_EDEVICE, "the compute device failed: %s",
					     w->why)
				   : lvx_scheduler_add(w->scheduler, c->params, &c->row, &c->err);
		if (c->status == LVX_OK)
			w->stats.n_rows_used++;
		break;
	case CMD_REMOVE:
		lvx_scheduler_remove(w->scheduler, c->row);
		w->stats.n_rows_used--;
		break;
	case CMD_SET_LANES:
		if (!failed)
			lvx_scheduler_set_lanes(w->scheduler, c->row, c->lanes);
		break;
	}
}

/* Works off what others asked for. False: it is time to end. */
static bool run_commands(struct lvx_worker *w)
{
	pthread_mutex_lock(&w->lock);
	while (w->first) {
		struct command *c = w->first;
		w->first = c->next;
		if (!w->first)
			w->last = &w->first;
		/* Under the lock: commands are rare and short, and no callback takes it. */
		run_command(w, c, w->failed);
		if (c->waited_for) {
			c->done = true;
			pthread_cond_broadcast(&w->done);
		} else {
			free(c);
		}
	}
	bool go_on = !w->quit;
	pthread_mutex_unlock(&w->lock);
	return go_on;
}

static void note_tick(struct lvx_worker *w, int64_t took_us)
{
	struct lvx_runner_stats runner;
	lvx_runner_get_stats(w->runner, &runner);
	uint64_t bytes = lvx_runner_device_bytes(w->runner);
	pthread_mutex_lock(&w->lock);
	w->ticks_us[w->n_ticks++ % LVX_TICKS_KEPT] =
		took_us > INT32_MAX ? INT32_MAX : (int32_t)took_us;
	w->stats.busy_us += took_us;
	w->stats.runner = runner;
	w->stats.device_bytes = bytes;
	pthread_mutex_unlock(&w->lock);
}

static void fail_for_good(struct lvx_worker *w, enum lvx_status st)
{
	pthread_mutex_lock(&w->lock);
	w->failed = true;
	w->stats.failed = true;
	snprintf(w->why, sizeof(w->why), "%s: %s", lvx_runner_device(w->runner)->name,
		lvx_status_name(st));
	void (*fn)(void *user, const char *why) = w->on_failure;
	void *user = w->on_failure_user;
	pthread_mutex_unlock(&w->lock);
	lvx_log_error("the compute device failed: %s", w->why);
	if (fn)
		fn(user, w->why);
}

static void work(struct lvx_worker *w)
{
	bool failed = false;
	while (run_commands(w)) {
		uint32_t n_done = 0;
		if (!failed) {
			int64_t begin_us = lvx_now_us();
			enum lvx_status st = lvx_scheduler_tick(w->scheduler, &n_done);
			int64_t end_us = lvx_now_us();
			if (n_done > 0)
				note_tick(w, end_us - begin_us);
			if (n_done > 0 && w->trace)
				lvx_trace_tick(w->trace, w->number, begin_us, end_us, n_done);
			if (st != LVX_OK && st != LVX_AGAIN) {
				fail_for_good(w, st);
				failed = true;
			}
		}
		if (failed || n_done == 0)
			lvx_bell_wait(w->bell, -1);
	}
}

static void on_marks(void *user, const struct lvx_runner_mark *marks, uint32_t n, int64_t begin_us)
{
	struct lvx_worker *w = user;
	lvx_trace_batch(w->trace, w->number, begin_us, marks, n);
}

static void *model_thread(void *arg)
{
	struct lvx_worker *w = arg;
	struct lvx_error err = {0};
	struct lvx_runner_params rp = {.device = w->device,
		.n_rows = w->n_rows,
		.keep_steps = KEEP_STEPS,
		.profile = w->trace,
		.on_marks = w->trace ? on_marks : NULL,
		.on_marks_user = w};
	enum lvx_status st = lvx_runner_create(&w->runner, w->model, &rp, &err);
	if (st == LVX_OK)
		st = lvx_scheduler_create(&w->scheduler, w->model, w->runner, w->n_rows, &err);
	pthread_mutex_lock(&w->lock);
	w->started = true;
	w->start_err = err;
	w->start_err.status = st;
	if (st == LVX_OK)
		w->stats.device_bytes = lvx_runner_device_bytes(w->runner);
	pthread_cond_broadcast(&w->done);
	pthread_mutex_unlock(&w->lock);
	if (st == LVX_OK)
		work(w);
	lvx_scheduler_destroy(w->scheduler);
	lvx_runner_destroy(w->runner);
	return NULL;
}

/* ---- other threads ---- */

static void free_worker(struct lvx_worker *w)
{
	lvx_bell_destroy(w->bell);
	free(w->device);
	pthread_cond_destroy(&w->done);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

enum lvx_status lvx_worker_create(
	struct lvx_worker **out, const struct lvx_worker_params *params, struct lvx_error *err)
{
	struct lvx_worker *w = calloc(1, sizeof(*w));
	if (!w)
		return lvx_fail(err, LVX_ENOMEM, "engine: out of memory");
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->done, NULL);
	w->last = &w->first;
	w->model = params->model;
	w->n_rows = params->n_rows;
	w->trace = params->trace;
	w->number = params->number;
	w->stats.n_rows = params->n_rows;
	enum lvx_status st = lvx_bell_create(&w->bell, err);
	if (st != LVX_OK)
		goto fail;
	if (params->device && !(w->device = strdup(params->device))) {
		st = lvx_fail(err, LVX_ENOMEM, "engine: out of memory");
		goto fail;
	}
	int rc = pthread_create(&w->thread, NULL, model_thread, w);
	if (rc != 0) {
		st = lvx_fail(err, LVX_EIO, "engine: no thread: %s", strerror(rc));
		goto fail;
	}
	*out = w;
	return LVX_OK;
fail:
	free_worker(w);
	return st;
}

enum lvx_status lvx_worker_wait(struct lvx_worker *w, struct lvx_error *err)
{
	pthread_mutex_lock(&w->lock);
	while (!w->started)
		pthread_cond_wait(&w->done, &w->lock);
	enum lvx_status st = w->start_err.status;
	if (st != LVX_OK && err)
		*err = w->start_err;
	pthread_mutex_unlock(&w->lock);
	return st;
}

void lvx_worker_destroy(struct lvx_worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->quit = true;
	pthread_mutex_unlock(&w->lock);
	lvx_bell_ring(w->bell);
	pthread_join(w->thread, NULL);
	free_worker(w);
}

const struct lvx_device_info *lvx_worker_device(const struct lvx_worker *w)
{
	return lvx_runner_device(w->runner);
}

struct lvx_bell *lvx_worker_bell(struct lvx_worker *w)
{
	return w->bell;
}

static void enqueue(struct lvx_worker *w, struct command *c) /* {lock} */
{
	*w->last = c;
	w->last = &c->next;
	lvx_bell_ring(w->bell);
}

static void send_and_wait(struct lvx_worker *w, struct command *c)
{
	c->waited_for = true;
	pthread_mutex_lock(&w->lock);
	enqueue(w, c);
	while (!c->done)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

enum lvx_status lvx_worker_add(struct lvx_worker *w, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err)
{
	struct command c = {.kind = CMD_ADD, .params = params};
	send_and_wait(w, &c);
	if (c.status == LVX_OK)
		*row = c.row;
	else if (err)
		*err = c.err;
	return c.status;
}

void lvx_worker_remove(struct lvx_worker *w, uint32_t row)
{
	struct command c = {.kind = CMD_REMOVE, .row = row};
	send_and_wait(w, &c);
}

void lvx_worker_set_lanes(struct lvx_worker *w, uint32_t row, uint32_t lanes)
{
	struct command *c = malloc(sizeof(*c));
	if (!c)
		return;
	*c = (struct command){.kind = CMD_SET_LANES, .row = row, .lanes = lanes};
	pthread_mutex_lock(&w->lock);
	enqueue(w, c);
	pthread_mutex_unlock(&w->lock);
}

void lvx_worker_on_failure(
	struct lvx_worker *w, void (*fn)(void *user, const char *why), void *user)
{
	pthread_mutex_lock(&w->lock);
	w->on_failure = fn;
	w->on_failure_user = user;
	bool failed = w->failed;
	pthread_mutex_unlock(&w->lock);
	if (failed && fn)
		fn(user, w->why);
}

uint32_t lvx_worker_get_stats(struct lvx_worker *w, struct lvx_worker_stats *out, int32_t *ticks_us)
{
	pthread_mutex_lock(&w->lock);
	*out = w->stats;
	uint32_t n = w->n_ticks < LVX_TICKS_KEPT ? (uint32_t)w->n_ticks : LVX_TICKS_KEPT;
	memcpy(ticks_us, w->ticks_us, n * sizeof(ticks_us[0]));
	pthread_mutex_unlock(&w->lock);
	return n;
}
