/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long runs in pieces. A picture's patches see each other, so it cannot be cut by patches, only
 * by layers: a piece is some layers of all that began together. What is between two pieces lies
 * in a place of its own on the device. Slots of other rows may be run meanwhile; the row's own
 * wait, so that it hears and sees in the order of its timeline.
 */
#include "base/clock.h"
#include "base/log.h"
#include "model/runner_priv.h"

#include <stdlib.h>
#include <string.h>

enum { LOSSES_MAX = 20 }; /* of one piece */

enum lvx_status lvx_long_create(struct lvx_runner *r, struct lvx_error *err)
{
	struct lvx_long *a = &r->along;
	a->runs = calloc(r->n_rows, sizeof(*a->runs));
	a->conditions = calloc(r->n_rows, sizeof(*a->conditions));
	a->busy = calloc(r->n_rows, sizeof(*a->busy));
	return a->runs && a->conditions && a->busy ? LVX_OK
						   : lvx_fail(err, LVX_ENOMEM, "out of memory");
}

void lvx_long_destroy(struct lvx_runner *r)
{
	free(r->along.runs);
	free(r->along.conditions);
	free(r->along.busy);
}

/* The device goes on with it; nobody looks at what comes of it. */
void lvx_long_drop(struct lvx_runner *r, uint32_t row)
{
	r->along.busy[row] = false;
}

enum lvx_status lvx_runner_begin(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs)
{
	struct lvx_long *a = &r->along;
	uint64_t total = 0;
	if (r->gone)
		return LVX_EDEVICE;
	if (a->n || n_runs == 0 || n_runs > r->n_rows)
		return LVX_EINVAL;
	for (uint32_t i = 0; i < n_runs; i++) {
		if (runs[i].kind == LVX_RUN_SLOT || runs[i].n_conditions > LVX_CONDITIONS_MAX)
			return LVX_EINVAL;
		total += runs[i].n;
	}
	if (total > r->places[LVX_PLACE_LONG].max_positions)
		return LVX_ELIMIT;
	enum lvx_status st =
		r->lost ? LVX_OK : lvx_runner_check(r, &r->places[LVX_PLACE_LONG], runs, n_runs);
	if (st != LVX_OK)
		return st;
	a->n = n_runs;
	a->layer = 0;
	for (uint32_t i = 0; i < n_runs; i++) {
		a->runs[i] = runs[i];
		if (runs[i].n_conditions)
			memcpy(a->conditions[i], runs[i].conditions,
				runs[i].n_conditions * sizeof(int32_t));
		a->runs[i].conditions = a->conditions[i];
		a->busy[runs[i].row] = true;
	}
	return LVX_OK;
}

/* Leaves out the runs of rows that were reset. */
static void leave_out_dropped(struct lvx_long *a)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < a->n; i++) {
		if (!a->busy[a->runs[i].row])
			continue;
		a->runs[n] = a->runs[i];
		memmove(a->conditions[n], a->conditions[i], sizeof(a->conditions[n]));
		a->runs[n].conditions = a->conditions[n];
		n++;
	}
	a->n = n;
}

static void finish(struct lvx_runner *r)
{
	struct lvx_long *a = &r->along;
	r->stats.pictures += a->shape.n_patches / r->n_patches;
	r->stats.positions += a->shape.n_patches + a->shape.n_tokens;
	leave_out_dropped(a);
	for (uint32_t i = 0; i < a->n; i++) {
		r->rows[a->runs[i].row] = r->next[a->runs[i].row];
		a->busy[a->runs[i].row] = false;
	}
	if (r->keep && a->n)
		lvx_keep_took(r, a->runs, a->n);
	a->n = 0;
}

static enum lvx_status try_piece(struct lvx_runner *r)
{
	struct lvx_long *a = &r->along;
	VkCommandBuffer cmd;
	if (r->lost)
		return LVX_EDEVICE;
	r->at = &r->places[LVX_PLACE_LONG];
	if (a->layer == 0) {
		leave_out_dropped(a);
		enum lvx_status st = a->n ? lvx_runner_check(r, r->at, a->runs, a->n) : LVX_OK;
		if (st != LVX_OK || a->n == 0)
			return st;
		lvx_runner_fill(r, a->runs, a->n);
		a->shape = r->at->shape;
	}
	uint32_t end = a->layer + r->piece_layers, all = a->shape.end_layer;
	r->at->shape = a->shape;
	r->at->shape.layer = a->layer;
	r->at->shape.end_layer = end < all ? end : all;
	r->step++;
	enum lvx_status st = lvx_runner_command(r, &cmd);
	if (st != LVX_OK)
		return st;
	int64_t submit = lvx_now_us();
	st = lvx_runner_result(r, lvx_vk_run(r->vk, cmd));
	if (st != LVX_OK)
		return st;
	lvx_runner_tell_marks(r, submit);
	a->layer = r->at->shape.end_layer;
	r->stats.steps++;
	return LVX_OK;
}

enum lvx_status lvx_runner_go_on(struct lvx_runner *r, bool *done)
{
	struct lvx_long *a = &r->along;
	*done = a->n == 0;
	if (r->gone)
		return LVX_EDEVICE;
	if (a->n == 0)
		return LVX_OK;
	enum lvx_status st = try_piece(r);
	for (int i = 0; st == LVX_EDEVICE && r->keep && i < LOSSES_MAX; i++)
		if (lvx_keep_recover(r) == LVX_OK)
			st = try_piece(r);
		else
			break;
	if (st == LVX_OK && (a->n == 0 || a->layer == a->shape.end_layer)) {
		*done = true;
		finish(r);
	}
	return st;
}
