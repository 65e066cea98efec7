/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One model on one or several devices. A stream's row goes to the device with the fewest, a further
 * row to that of the row that it follows. A row's number says which: number modulo devices.
 */
#include "daemon/engine.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES_MAX = 16 };

struct lvx_engine {
	struct lvx_model *model; /* read-only once loaded */
	struct lvx_trace *trace; /* or NULL */
	struct lvx_worker *workers[DEVICES_MAX];
	uint32_t n_workers;
	uint32_t n_rows;
	int64_t start_us;
	pthread_mutex_t lock;
	uint32_t used[DEVICES_MAX], n_used; /* {lock} rows */
};

/* ---- which devices ---- */

struct choice {
	char *names; /* owned: what the others point into */
	const char *devices[DEVICES_MAX];
	uint32_t n;
};

/*
 * lavapipe shares every dispatch out among its threads and wakes them for it, which costs as much
 * as a small dispatch. Many streams do better with a device a core, each with a share of them. Not
 * where somebody has said how many threads it is to have.
 */
static uint32_t devices_of_cpu(uint32_t n_rows)
{
	cpu_set_t cores;
	uint32_t n = 1;
	if (getenv("LP_NUM_THREADS"))
		return 1;
	if (sched_getaffinity(0, sizeof(cores), &cores) == 0)
		n = (uint32_t)CPU_COUNT(&cores);
	n = n < n_rows ? n : n_rows;
	n = n < DEVICES_MAX ? n : DEVICES_MAX;
	if (n > 1)
		setenv("LP_NUM_THREADS", "0", 1);
	return n;
}

static enum lvx_status choose_all(struct choice *c, struct lvx_error *err)
{
	static const char *const numbers[DEVICES_MAX] = {"0", "1", "2", "3", "4", "5", "6", "7",
		"8", "9", "10", "11", "12", "13", "14", "15"};
	struct lvx_device_info list[DEVICES_MAX];
	int n = lvx_runner_list_devices(list, DEVICES_MAX, err);
	if (n < 0)
		return LVX_EDEVICE;
	/* Beside a GPU a CPU would only be slow. */
	for (int i = 0; i < n && i < DEVICES_MAX; i++)
		if (list[i].usable && strcmp(list[i].type, list[0].type) == 0)
			c->devices[c->n++] = numbers[i];
	return c->n ? LVX_OK : lvx_fail(err, LVX_ENOENT, "device 'all': none can be used");
}

static enum lvx_status choose(
	struct choice *c, const struct lvx_engine_params *p, struct lvx_error *err)
{
	struct lvx_device_info best;
	*c = (struct choice){.n = 1};
	if (!p->device) {
		if (lvx_runner_list_devices(&best, 1, err) >= 1 && strcmp(best.type, "cpu") == 0)
			c->n = devices_of_cpu(p->n_rows);
		return LVX_OK;
	}
	if (strcmp(p->device, "all") == 0) {
		c->n = 0;
		return choose_all(c, err);
	}
	c->names = strdup(p->device);
	if (!c->names)
		return lvx_fail(err, LVX_ENOMEM, "engine: out of memory");
	c->n = 0;
	char *rest = NULL;
	for (char *d = strtok_r(c->names, ",", &rest); d; d = strtok_r(NULL, ",", &rest)) {
		if (c->n == DEVICES_MAX)
			return lvx_fail(err, LVX_ELIMIT, "device: more than %d", DEVICES_MAX);
		c->devices[c->n++] = d;
	}
	return c->n ? LVX_OK : lvx_fail(err, LVX_EINVAL, "device: a number or a name is wanted");
}

/* ---- life ---- */

static enum lvx_status start(
	struct lvx_engine *e, const struct choice *devices, struct lvx_error *err)
{
	uint32_t n = devices->n, share = (e->n_rows + n - 1) / n;
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < n && st == LVX_OK; i++) {
		/* Further rows follow theirs: a device has room for more than its share. */
		struct lvx_worker_params p = {.model = e->model,
			.device = devices->devices[i],
			.n_rows = 2 * share < e->n_rows ? 2 * share : e->n_rows,
			.trace = e->trace,
			.number = i};
		st = lvx_worker_create(&e->workers[i], &p, err);
		e->n_workers += st == LVX_OK;
	}
	for (uint32_t i = 0; i < n && st == LVX_OK; i++)
		st = lvx_worker_wait(e->workers[i], err);
	return st;
}

enum lvx_status lvx_engine_create(
	struct lvx_engine **out, const struct lvx_engine_params *params, struct lvx_error *err)
{
	struct lvx_engine *e = calloc(1, sizeof(*e));
	struct choice devices = {0};
	if (!e)
		return lvx_fail(err, LVX_ENOMEM, "engine: out of memory");
	pthread_mutex_init(&e->lock, NULL);
	e->n_rows = params->n_rows;
	e->start_us = lvx_now_us();
	enum lvx_status st = lvx_model_load(&e->model, params->model_dir, err);
	if (st == LVX_OK && params->trace)
		st = lvx_trace_open(&e->trace, params->trace, err);
	if (st == LVX_OK)
		st = choose(&devices, params, err);
	if (st == LVX_OK)
		st = start(e, &devices, err);
	free(devices.names);
	if (st != LVX_OK) {
		lvx_engine_destroy(e);
		return st;
	}
	*out = e;
	return LVX_OK;
}

void lvx_engine_destroy(struct lvx_engine *e)
{
	if (!e)
		return;
	for (uint32_t i = 0; i < e->n_workers; i++)
		lvx_worker_destroy(e->workers[i]);
	lvx_trace_close(e->trace);
	lvx_model_destroy(e->model);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

const struct lvx_model_info *lvx_engine_model(const struct lvx_engine *e)
{
	return lvx_model_info(e->model);
}

const struct lvx_device_info *lvx_engine_device(const struct lvx_engine *e)
{
	return lvx_worker_device(e->workers[0]);
}

uint32_t lvx_engine_n_devices(const struct lvx_engine *e)
{
	return e->n_workers;
}

/* ---- rows ---- */

static struct lvx_worker *worker_of(const struct lvx_engine *e, uint32_t row)
{
	return e->workers[row % e->n_workers];
}

/* Takes a place on a device. */
static enum lvx_status reserve(struct lvx_engine *e, const struct lvx_row_params *params,
	uint32_t *out, struct lvx_error *err)
{
	uint32_t pick = 0;
	enum lvx_status st = LVX_OK;
	pthread_mutex_lock(&e->lock);
	for (uint32_t i = 1; i < e->n_workers; i++)
		pick = e->used[i] < e->used[pick] ? i : pick;
	if (params->follows)
		pick = params->of % e->n_workers;
	if (e->n_used == e->n_rows)
		st = lvx_fail(err, LVX_ELIMIT, "all %u rows are taken", e->n_rows);
	else
		e->n_used++, e->used[pick]++;
	pthread_mutex_unlock(&e->lock);
	*out = pick;
	return st;
}

static void give_back(struct lvx_engine *e, uint32_t worker)
{
	pthread_mutex_lock(&e->lock);
	e->n_used--;
	e->used[worker]--;
	pthread_mutex_unlock(&e->lock);
}

enum lvx_status lvx_engine_add(struct lvx_engine *e, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err)
{
	struct lvx_row_params p = *params;
	uint32_t worker, local;
	enum lvx_status st = reserve(e, params, &worker, err);
	if (st != LVX_OK)
		return st;
	p.of /= e->n_workers;
	st = lvx_worker_add(e->workers[worker], &p, &local, err);
	if (st == LVX_OK)
		*row = local * e->n_workers + worker;
	else
		give_back(e, worker);
	return st;
}

void lvx_engine_remove(struct lvx_engine *e, uint32_t row)
{
	lvx_worker_remove(worker_of(e, row), row / e->n_workers);
	give_back(e, row % e->n_workers);
}

void lvx_engine_set_lanes(struct lvx_engine *e, uint32_t row, uint32_t lanes)
{
	lvx_worker_set_lanes(worker_of(e, row), row / e->n_workers, lanes);
}

struct lvx_bell *lvx_engine_bell(struct lvx_engine *e, uint32_t row)
{
	return lvx_worker_bell(worker_of(e, row));
}

void lvx_engine_on_failure(
	struct lvx_engine *e, void (*fn)(void *user, const char *why), void *user)
{
	for (uint32_t i = 0; i < e->n_workers; i++)
		lvx_worker_on_failure(e->workers[i], fn, user);
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

static void add_stats(struct lvx_engine_stats *to, const struct lvx_worker_stats *w)
{
	to->runner.steps += w->runner.steps;
	to->runner.positions += w->runner.positions;
	to->runner.slots += w->runner.slots;
	to->runner.pictures += w->runner.pictures;
	to->runner.recoveries += w->runner.recoveries;
	to->runner.busy_us += w->runner.busy_us;
	to->runner.last_step_us = w->runner.last_step_us;
	to->n_rows_used += w->n_rows_used;
	to->busy_us += w->busy_us;
	to->device_bytes += w->device_bytes;
	to->failed |= w->failed;
}

void lvx_engine_get_stats(struct lvx_engine *e, struct lvx_engine_stats *out)
{
	int32_t ticks[DEVICES_MAX * LVX_TICKS_KEPT];
	uint32_t n = 0;
	*out = (struct lvx_engine_stats){.n_rows = e->n_rows, .up_us = lvx_now_us() - e->start_us};
	for (uint32_t i = 0; i < e->n_workers; i++) {
		struct lvx_worker_stats w;
		n += lvx_worker_get_stats(e->workers[i], &w, ticks + n);
		add_stats(out, &w);
	}
	if (n == 0)
		return;
	qsort(ticks, n, sizeof(ticks[0]), by_value);
	out->tick_p50_us = ticks[n / 2];
	out->tick_p99_us = ticks[n * 99 / 100];
}
