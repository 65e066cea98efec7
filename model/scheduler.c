/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into a batch: every row that has a slot ready. Long runs (pictures, prefixes) cost
 * as much as the slots of many streams, so they are taken beside the batches, in
 * pieces: of those that wait a quarter, at least one, begins together, and a tick
 * computes one piece of them, so that others' slots wait for a piece at most. The row's own next
 * slot waits until all of it is done: it says what it would have said. Where not all
 * fit, rows take turns.
 *
 * The prefix moves along with a long stream, so that it is never further back than it was in
 * training (docs/MODEL.md section 2).
 *
 * scheduler_rows.c: rows come and go; scheduler_input.c: what a row runs next.
 */
#include "model/scheduler.h"

#include "model/scheduler_priv.h"

#include <math.h>
#include <stdlib.h>

enum { LONG_SHARE = 4 }; /* one in so many of the long runs that wait begins */

/* ---- set-up ---- */

/* What the front end makes of digital silence. */
static void fill_silence(float *values, const struct lvx_audio_spec *a)
{
	float v = (log10f(a->log_floor) + a->log_offset) * a->log_scale;
	for (uint32_t i = 0; i < lvx_audio_slot_values(a); i++)
		values[i] = v;
}

enum lvx_status lvx_scheduler_create(struct lvx_scheduler **out, const struct lvx_model *model,
	struct lvx_runner *runner, uint32_t n_rows, struct lvx_error *err)
{
	const struct lvx_frontend_spec *spec = &model->info.frontend;
	size_t slot = lvx_audio_slot_values(&spec->audio), room = slot;
	size_t picture = spec->image.enabled ? (size_t)lvx_image_patches(&spec->image) *
						       lvx_image_patch_values(&spec->image)
					     : 0;
	room = picture > room ? picture : room;
	struct lvx_scheduler *s = calloc(1, sizeof(*s));
	if (!s)
		return lvx_fail(err, LVX_ENOMEM, "scheduler: out of memory");
	s->model = model;
	s->runner = runner;
	s->n_rows = n_rows;
	s->n_values = room;
	size_t max_prefix = model->info.max_prefix;
	s->rows = calloc(n_rows, sizeof(*s->rows));
	s->silence = calloc(slot, sizeof(*s->silence));
	s->values = calloc(n_rows * room, sizeof(*s->values));
	s->prefixes = calloc(n_rows * max_prefix + 1, sizeof(*s->prefixes));
	s->slots.runs = calloc(n_rows, sizeof(*s->slots.runs));
	s->longs.runs = calloc(n_rows, sizeof(*s->longs.runs));
	s->outputs = calloc(n_rows, sizeof(*s->outputs));
	if (!s->rows || !s->silence || !s->values || !s->prefixes || !s->slots.runs ||
		!s->longs.runs || !s->outputs) {
		lvx_scheduler_destroy(s);
		return lvx_fail(err, LVX_ENOMEM, "scheduler: out of memory");
	}
	fill_silence(s->silence, &spec->audio);
	for (uint32_t i = 0; i < n_rows; i++) {
		s->rows[i].values = s->values + i * room;
		s->rows[i].prefix = s->prefixes + i * max_prefix;
		s->rows[i].of = NOBODY;
	}
	*out = s;
	return LVX_OK;
}

void lvx_scheduler_destroy(struct lvx_scheduler *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->rows && i < s->n_rows; i++) {
		free(s->rows[i].trail);
		lvx_favour_destroy(s->rows[i].favour);
	}
	free(s->rows);
	free(s->silence);
	free(s->values);
	free(s->prefixes);
	free(s->slots.runs);
	free(s->longs.runs);
	free(s->outputs);
	free(s);
}

/* ---- a tick ---- */

static bool is_long(const struct row *row)
{
	return row->state == ROW_RUNS &&
	       (row->prefix_due || (row->has_item && row->item.kind == LVX_FEED_PICTURE));
}

/* Puts a row's next run into a batch. False: it does not fit. */
static bool put(struct lvx_scheduler *s, struct row *row, struct batch *batch)
{
	struct lvx_run *run = &batch->runs[batch->n];
	if (row->state == ROW_TAIL)
		lvx_delayed_slot(&row->policy, s->silence, run);
	else if (row->prefix_due)
		lvx_delayed_prefix(&row->policy, row->prefix, row->n_prefix, run);
	else if (row->item.kind == LVX_FEED_PICTURE)
		lvx_delayed_picture(&row->policy, row->input, run);
	else
		lvx_delayed_slot(&row->policy, row->input, run);
	if (run->n > batch->room)
		return false;
	if (row->favour && run->kind == LVX_RUN_SLOT)
		run->favoured = lvx_favour_tokens(row->favour, &run->n_favoured, &run->favour);
	batch->room -= run->n;
	batch->n++;
	row->ready = false;
	row->in_batch = true;
	lvx_scheduler_leave_run(row, run);
	return true;
}

/* Every slot that is ready, from the row on whose turn it is. */
static void put_slots(struct lvx_scheduler *s)
{
	uint32_t begin = s->first_slot;
	for (uint32_t k = 0; k < s->n_rows; k++) {
		uint32_t i = (begin + k) % s->n_rows;
		struct row *row = &s->rows[i];
		if (!row->ready || is_long(row))
			continue;
		if (!put(s, row, &s->slots))
			return;
		s->first_slot = (i + 1) % s->n_rows;
	}
}

/* At most max long runs; of rows that follow others all that fit: they go with those. */
static void put_long(struct lvx_scheduler *s, uint32_t max, bool followers)
{
	uint32_t begin = s->first_long;
	for (uint32_t k = 0; k < s->n_rows && max > 0; k++) {
		uint32_t i = (begin + k) % s->n_rows;
		struct row *row = &s->rows[i];
		if (!row->ready || !is_long(row) || (followers && row->of == NOBODY))
			continue;
		if (!put(s, row, &s->longs))
			return;
		row->busy = true;
		if (!followers)
			s->first_long = (i + 1) % s->n_rows;
		max--;
	}
}

static void took(struct lvx_scheduler *s, const struct lvx_run *run, const struct lvx_output *o)
{
	struct row *row = &s->rows[run->row];
	if (row->of != NOBODY && row->state == ROW_RUNS && run->kind != LVX_RUN_PREFIX)
		row->next++;
	row->left_trail = false;
	switch (run->kind) {
	case LVX_RUN_PREFIX:
		row->prefix_due = false;
		row->prefix_at = row->policy.slot;
		break;
	case LVX_RUN_PICTURE:
		row->has_item = false;
		lvx_script_picture(&row->script, row->item.changed);
		break;
	case LVX_RUN_SLOT:
		lvx_delayed_took(&row->policy, run, o);
		if (row->favour && run->want_lanes & 1)
			lvx_favour_took(row->favour, o->token[0], s->model->config.pad_token);
		row->prefix_due = row->n_prefix > 0 && row->policy.slot - row->prefix_at >=
							       2 * (int64_t)s->model->info.window_slots;
		if (row->state == ROW_TAIL) {
			lvx_script_slot(&row->script, row->policy.lanes, o, LVX_NOT_TIMED);
			lvx_scheduler_step_tail(s, row);
			break;
		}
		row->has_item = false;
		row->heard = row->heard || row->item.pts_us != LVX_NOT_TIMED;
		lvx_script_slot(&row->script, row->policy.lanes, o, row->item.pts_us);
		break;
	}
}

/* What these rows follow has just gone into the batch; they go with it. */
static bool get_more(struct lvx_scheduler *s)
{
	bool any = false;
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *row = &s->rows[i];
		if (row->of == NOBODY || row->ready || row->in_batch || row->busy)
			continue;
		row->ready = lvx_scheduler_get_input(s, row);
		any |= row->ready;
	}
	return any;
}

static enum lvx_status run_slots(struct lvx_scheduler *s, uint32_t *n_done)
{
	struct batch *b = &s->slots;
	enum lvx_status st =
		b->n ? lvx_runner_step(s->runner, b->runs, b->n, s->outputs) : LVX_OK;
	if (st != LVX_OK)
		return st;
	for (uint32_t i = 0; i < b->n; i++)
		took(s, &b->runs[i], &s->outputs[i]);
	*n_done += b->n;
	return LVX_OK;
}

/* Long runs that wait are on their way from now on. */
static enum lvx_status begin_long(struct lvx_scheduler *s)
{
	uint32_t n_wait = 0;
	for (uint32_t i = 0; i < s->n_rows; i++)
		n_wait += s->rows[i].ready && is_long(&s->rows[i]);
	if (n_wait == 0)
		return LVX_OK;
	s->longs.room = lvx_runner_max_long(s->runner);
	put_long(s, 1 + (n_wait - 1) / LONG_SHARE, false);
	if (get_more(s))
		put_long(s, s->n_rows, true);
	return lvx_runner_begin(s->runner, s->longs.runs, s->longs.n);
}

/* One piece of them. */
static enum lvx_status run_long(struct lvx_scheduler *s, uint32_t *n_done)
{
	struct batch *b = &s->longs;
	bool done;
	enum lvx_status st = lvx_runner_go_on(s->runner, &done);
	if (st != LVX_OK)
		return st;
	*n_done += b->n;
	if (!done)
		return LVX_OK;
	for (uint32_t i = 0; i < b->n; i++) {
		struct row *row = &s->rows[b->runs[i].row];
		if (row->busy)
			took(s, &b->runs[i], NULL);
		row->busy = false;
	}
	b->n = 0;
	return LVX_OK;
}

enum lvx_status lvx_scheduler_tick(struct lvx_scheduler *s, uint32_t *n_done)
{
	*n_done = 0;
	s->slots.n = 0;
	s->slots.room = lvx_runner_max_positions(s->runner);
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *row = &s->rows[i];
		row->in_batch = false;
		row->ready = !row->busy && lvx_scheduler_trail_has_room(s, i) && lvx_scheduler_get_input(s, row);
	}
	put_slots(s);
	if (get_more(s))
		put_slots(s);
	enum lvx_status st = run_slots(s, n_done);
	if (st == LVX_OK && s->longs.n == 0)
		st = begin_long(s);
	if (st == LVX_OK && s->longs.n)
		st = run_long(s, n_done);
	return st;
}
