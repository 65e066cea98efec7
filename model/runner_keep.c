/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lost device, survived. Of every row the host keeps a copy of all that its
 * future depends on (keys and values, modality memories, its counters) as it was
 * some steps ago, and the runs since. The device is opened anew, the copies go
 * back to it, the runs are run again, and the row is where it was, bit by bit:
 * what a row computes does not depend on who else is in the batch.
 *
 * The inputs alone would not do: with L layers a slot hears L windows back, and
 * the memories for ever, so a window's inputs are too few; and all that would be
 * needed are more bytes than the state, and minutes of steps.
 *
 * A step copies only some rows, by turns, so that no tick waits for all of them.
 */
#include "base/clock.h"
#include "base/log.h"
#include "model/runner_priv.h"

#include <stdlib.h>
#include <string.h>

/* A run that a row's copy does not have in it. */
struct kept_run {
	enum lvx_run_kind kind;
	uint32_t n;
	int64_t position;
	uint32_t n_conditions;
	int32_t conditions[LVX_CONDITIONS_MAX];
	int32_t tokens[LVX_LANES_MAX]; /* slots */
	size_t at;                     /* in the row's values: features, or a prefix's tokens */
};

struct kept_row {
	struct lvx_row row;    /* as in the copy; zero: an empty row, which has no state */
	uint8_t *state;        /* [state_bytes] */
	struct kept_run *runs; /* [runs_max] since then */
	uint32_t n_runs, n_again;
	float *values; /* [values_max] */
	size_t n_values;
};

struct lvx_keep {
	struct kept_row *rows;
	uint32_t n_rows, n_turn, next; /* rows of a step; whose turn it is */
	uint32_t runs_max;
	size_t values_max, run_values; /* floats; of the largest run */
	size_t state_bytes;
	uint8_t **spare; /* [n_turn] states that a copy goes to first: it may fail half-way */
	struct lvx_vk_piece *pieces; /* [n_turn][of a row] */
	uint32_t n_pieces;           /* of a row */
	uint32_t *due;               /* [n_turn] rows */
	uint8_t *states;             /* all of them */
	struct kept_run *all_runs;
	float *all_values;
	struct lvx_run *runs; /* [n_rows] to run again */
	struct lvx_output *outputs;
};

/* Where a row's state is on the device, and in its copy. */
static size_t row_pieces(
	const struct lvx_runner *r, uint32_t row, uint8_t *state, struct lvx_vk_piece *out)
{
	const struct lvx_config *c = &r->model->config;
	size_t keys = (size_t)r->key_cap * c->n_kv_heads * c->head_dim * (r->half_cache ? 2 : 4);
	size_t memory = (size_t)LVX_MODALITIES * r->nm * sizeof(float), at = 0;
	uint32_t n = 0;
	for (uint32_t i = 0; i < 2 * c->n_layers; i++, at += keys)
		out[n++] = (struct lvx_vk_piece){
			&r->kv_layers[i], row * keys, keys, state ? state + at : NULL};
	for (uint32_t l = 0; l < c->n_layers && memory; l++, at += memory)
		out[n++] =
			(struct lvx_vk_piece){&r->memory, r->layers[l].memory.offset + row * memory,
				memory, state ? state + at : NULL};
	return at;
}

/* ---- set-up ---- */

/* Pictures come no faster than the model allows. */
static size_t values_of(const struct lvx_runner *r, struct lvx_keep *k)
{
	const struct lvx_config *c = &r->model->config;
	size_t slot = r->audio.cols, picture = (size_t)r->n_patches * r->image.cols;
	int64_t us = (int64_t)k->runs_max * c->slot_ms * 1000;
	int64_t least = c->frontend.image.min_interval_us;
	size_t n_pictures = least > 0 ? (size_t)(us / least) + 1 : k->runs_max;
	k->run_values = picture > slot ? picture : slot;
	if (c->max_prefix > k->run_values)
		k->run_values = c->max_prefix;
	return k->runs_max * slot + (n_pictures + 1) * picture + c->max_prefix;
}

enum lvx_status lvx_keep_create(struct lvx_runner *r, struct lvx_error *err)
{
	uint32_t n = r->n_rows, every = r->params.keep_steps;
	struct lvx_keep *k = r->keep = calloc(1, sizeof(*k));
	if (!k)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	k->n_rows = n;
	k->n_turn = (n + every - 1) / every;
	k->n_pieces = (r->nm ? 3 : 2) * r->model->config.n_layers;
	k->runs_max = every + 2;
	k->values_max = values_of(r, k);
	k->rows = calloc(n, sizeof(*k->rows));
	k->spare = calloc(k->n_turn, sizeof(*k->spare));
	k->pieces = calloc((size_t)k->n_turn * k->n_pieces, sizeof(*k->pieces));
	k->due = calloc(k->n_turn, sizeof(*k->due));
	k->all_runs = calloc((size_t)n * k->runs_max, sizeof(*k->all_runs));
	k->all_values = calloc(n * k->values_max, sizeof(*k->all_values));
	k->runs = calloc(n, sizeof(*k->runs));
	k->outputs = calloc(n, sizeof(*k->outputs));
	if (k->pieces)
		k->state_bytes = row_pieces(r, 0, NULL, k->pieces);
	k->states = calloc(n + k->n_turn, k->state_bytes + 1);
	if (!k->rows || !k->spare || !k->pieces || !k->due || !k->all_runs || !k->all_values ||
		!k->runs || !k->outputs || !k->states)
		return lvx_fail(err, LVX_ENOMEM,
			"no memory to keep %u rows for the case that the device is lost: %zu MiB",
			n, n * (k->state_bytes + k->values_max * sizeof(float)) >> 20);
	for (uint32_t i = 0; i < n; i++)
		k->rows[i] = (struct kept_row){.state = k->states + i * k->state_bytes,
			.runs = k->all_runs + (size_t)i * k->runs_max,
			.values = k->all_values + i * k->values_max};
	for (uint32_t i = 0; i < k->n_turn; i++)
		k->spare[i] = k->states + (n + i) * k->state_bytes;
	return LVX_OK;
}

void lvx_keep_destroy(struct lvx_keep *k)
{
	if (!k)
		return;
	free(k->rows);
	free(k->spare);
	free(k->pieces);
	free(k->due);
	free(k->states);
	free(k->all_runs);
	free(k->all_values);
	free(k->runs);
	free(k->outputs);
	free(k);
}

void lvx_keep_reset_row(struct lvx_keep *k, uint32_t row)
{
	k->rows[row].row = (struct lvx_row){0};
	k->rows[row].n_runs = 0;
	k->rows[row].n_values = 0;
}

/* ---- while all is well ---- */

static bool is_full(const struct lvx_keep *k, const struct kept_row *row)
{
	return row->n_runs == k->runs_max || row->n_values + k->run_values > k->values_max;
}

static void add_run(struct lvx_runner *r, struct kept_row *row, const struct lvx_run *run)
{
	struct kept_run *to = &row->runs[row->n_runs++];
	*to = (struct kept_run){.kind = run->kind,
		.n = run->n,
		.position = run->position,
		.n_conditions = run->n_conditions,
		.at = row->n_values};
	if (run->n_conditions)
		memcpy(to->conditions, run->conditions, run->n_conditions * sizeof(int32_t));
	const void *values = run->features;
	size_t n = run->n * (run->kind == LVX_RUN_SLOT ? r->audio.cols : r->image.cols);
	if (run->kind == LVX_RUN_PREFIX)
		values = run->tokens, n = run->n;
	else if (run->kind == LVX_RUN_SLOT)
		memcpy(to->tokens, run->tokens, r->model->config.n_lanes * sizeof(int32_t));
	memcpy(row->values + row->n_values, values, n * sizeof(float));
	row->n_values += n;
}

/* Copies n rows of k->due as they are now. */
static enum lvx_status copy_rows(struct lvx_runner *r, uint32_t n)
{
	struct lvx_keep *k = r->keep;
	uint32_t n_pieces = 0;
	for (uint32_t i = 0; i < n; i++, n_pieces += k->n_pieces)
		row_pieces(r, k->due[i], k->spare[i], k->pieces + n_pieces);
	enum lvx_status st = lvx_vk_read(r->vk, k->pieces, n_pieces, NULL);
	if (st != LVX_OK) {
		r->lost = true;
		return st;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct kept_row *row = &k->rows[k->due[i]];
		uint8_t *old = row->state;
		row->state = k->spare[i];
		k->spare[i] = old;
		row->row = r->rows[k->due[i]];
		row->n_runs = 0;
		row->n_values = 0;
	}
	return LVX_OK;
}

/* Rows that can keep no further run. */
static enum lvx_status copy_full(struct lvx_runner *r)
{
	struct lvx_keep *k = r->keep;
	enum lvx_status st = LVX_OK;
	uint32_t n = 0;
	for (uint32_t i = 0; i < k->n_rows && st == LVX_OK; i++) {
		if (is_full(k, &k->rows[i]))
			k->due[n++] = i;
		if (n == k->n_turn || (n && i + 1 == k->n_rows)) {
			st = copy_rows(r, n);
			n = 0;
		}
	}
	return st;
}

void lvx_keep_took(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs)
{
	struct lvx_keep *k = r->keep;
	uint32_t n = 0;
	for (uint32_t i = 0; i < n_runs; i++)
		add_run(r, &k->rows[runs[i].row], &runs[i]);
	for (uint32_t i = 0; i < k->n_turn; i++, k->next = (k->next + 1) % k->n_rows)
		/* a row that is in the middle of a run is no state to go on from */
		if (k->rows[k->next].n_runs && !r->along.busy[k->next])
			k->due[n++] = k->next;
	/* Where a copy fails nothing is forgotten; the next step finds the device lost. */
	if (copy_rows(r, n) == LVX_OK)
		copy_full(r);
}

/* ---- after a loss ---- */

/* The copies go back to the device. */
static enum lvx_status restore(struct lvx_runner *r)
{
	struct lvx_keep *k = r->keep;
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < k->n_rows && st == LVX_OK; i++) {
		struct kept_row *row = &k->rows[i];
		r->rows[i] = row->row;
		row->n_again = 0;
		if (!row->row.n_prefix && !row->row.n_slots && !row->row.n_pictures)
			continue;
		row_pieces(r, i, row->state, k->pieces);
		st = lvx_vk_write(r->vk, k->pieces, k->n_pieces, NULL);
	}
	return st;
}

/* The next run of every row that has one, as many as fit into a batch. */
static uint32_t collect(struct lvx_runner *r)
{
	struct lvx_keep *k = r->keep;
	uint32_t n = 0, room = lvx_runner_max_positions(r);
	for (uint32_t i = 0; i < k->n_rows; i++) {
		struct kept_row *row = &k->rows[i];
		const struct kept_run *run = &row->runs[row->n_again];
		if (row->n_again == row->n_runs || run->n > room)
			continue;
		room -= run->n;
		row->n_again++;
		bool prefix = run->kind == LVX_RUN_PREFIX;
		float *values = row->values + run->at;
		k->runs[n++] = (struct lvx_run){.row = i,
			.kind = run->kind,
			.n = run->n,
			.position = run->position,
			.features = prefix ? NULL : values,
			.tokens = prefix ? (const int32_t *)(const void *)values : run->tokens,
			.conditions = run->conditions,
			.n_conditions = run->n_conditions};
	}
	return n;
}

static enum lvx_status rebuild(struct lvx_runner *r)
{
	struct lvx_error err = {0};
	uint32_t n;
	lvx_runner_unbuild(r);
	enum lvx_status st = lvx_runner_build(r, &err);
	if (st != LVX_OK)
		lvx_log_error("%s", err.msg);
	if (st == LVX_OK)
		st = restore(r);
	while (st == LVX_OK && (n = collect(r)) > 0)
		st = lvx_runner_try_step(r, r->keep->runs, n, r->keep->outputs);
	return st == LVX_OK ? copy_full(r) : st;
}

enum lvx_status lvx_keep_recover(struct lvx_runner *r)
{
	/* A driver that has reset the device may need a moment. */
	static const int64_t wait_us[] = {0, 100000, 500000, 2000000, 5000000};
	struct lvx_runner_stats stats = r->stats;
	enum lvx_status st = LVX_EDEVICE;
	int64_t begin = lvx_now_us();
	for (size_t i = 0; i < sizeof(wait_us) / sizeof(wait_us[0]) && st != LVX_OK; i++) {
		if (wait_us[i])
			lvx_sleep_us(wait_us[i]);
		st = rebuild(r);
	}
	r->stats = stats;
	if (st != LVX_OK) {
		r->gone = true;
		return LVX_EDEVICE;
	}
	r->along.layer = 0;
	r->stats.recoveries++;
	lvx_log_warn("%s was lost; every row is where it was, after %lld ms", r->info.name,
		(long long)(lvx_now_us() - begin) / 1000);
	return LVX_OK;
}
