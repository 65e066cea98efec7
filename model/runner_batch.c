/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host knows of each row (rings, modality memories' weights, RoPE
 * angles) and how a batch of runs becomes the device's tables. Positions go
 * slots first, then patches, then prefix tokens.
 */
#include "model/runner_priv.h"

#include <math.h>
#include <string.h>

static bool values_ok(const int32_t *v, uint32_t n, uint32_t limit)
{
	for (uint32_t i = 0; i < n; i++)
		if (v[i] < 0 || (uint32_t)v[i] >= limit)
			return false;
	return true;
}

/* It comes first, or has come first and moves. */
static bool prefix_ok(const struct lvx_row *row, const struct lvx_run *run)
{
	if (row->n_prefix > 0)
		return run->n == row->n_prefix && run->position >= -(int64_t)run->n;
	return run->position == -(int64_t)run->n && row->n_slots == 0 && row->n_pictures == 0;
}

static bool run_ok(const struct lvx_runner *r, const struct lvx_run *run)
{
	const struct lvx_config *c = &r->model->config;
	if (run->row >= r->n_rows || run->n_conditions > c->n_conditions ||
		(run->n_conditions && !run->conditions) ||
		!values_ok(run->conditions, run->n_conditions, c->n_conditions))
		return false;
	const struct lvx_row *row = &r->rows[run->row];
	switch (run->kind) {
	case LVX_RUN_SLOT:
		return run->n == 1 && run->features && run->tokens && run->position >= 0 &&
		       run->want_lanes >> c->n_lanes == 0 &&
		       values_ok(run->tokens, c->n_lanes, c->vocab) &&
		       run->n_favoured <= LVX_FAVOURED_MAX && (!run->n_favoured || run->favoured) &&
		       values_ok(run->favoured, run->n_favoured, c->vocab);
	case LVX_RUN_PICTURE:
		return run->n == r->n_patches && run->features && run->position >= 0;
	case LVX_RUN_PREFIX:
		return run->n >= 1 && run->n <= c->max_prefix && run->tokens &&
		       prefix_ok(row, run) && values_ok(run->tokens, run->n, c->vocab);
	}
	return false;
}

enum lvx_status lvx_runner_check(struct lvx_runner *r, const struct lvx_place *place,
	const struct lvx_run *runs, uint32_t n_runs)
{
	uint64_t total = 0;
	if (n_runs == 0 || n_runs > r->n_rows)
		return LVX_EINVAL;
	r->batch++;
	for (uint32_t i = 0; i < n_runs; i++) {
		if (!run_ok(r, &runs[i]) || r->seen[runs[i].row] == r->batch)
			return LVX_EINVAL;
		r->seen[runs[i].row] = r->batch;
		total += runs[i].n;
	}
	return total > place->max_positions ? LVX_ELIMIT : LVX_OK;
}

/* Sorts the runs by kind, keeping their order, and counts positions. */
static void sort_runs(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs)
{
	static const enum lvx_run_kind order[] = {LVX_RUN_SLOT, LVX_RUN_PICTURE, LVX_RUN_PREFIX};
	struct lvx_shape *shape = &r->at->shape;
	uint32_t at = 0;
	memset(shape, 0, sizeof(*shape));
	shape->place = (uint32_t)(r->at - r->places);
	shape->end_layer = r->model->config.n_layers;
	for (uint32_t i = 0; i < n_runs; i++) {
		uint32_t *counts[] = {[LVX_RUN_SLOT] = &shape->n_slots,
			[LVX_RUN_PICTURE] = &shape->n_patches,
			[LVX_RUN_PREFIX] = &shape->n_tokens};
		*counts[runs[i].kind] += runs[i].n;
		shape->n_long_runs += runs[i].kind != LVX_RUN_SLOT;
	}
	for (uint32_t k = 0; k < 3; k++)
		for (uint32_t i = 0; i < n_runs; i++)
			if (runs[i].kind == order[k])
				r->at->order[at++] = i;
}

/* Modality memory: what the row has seen, and how this run's mean is folded in. */
static void fill_run(
	struct lvx_runner *r, const struct lvx_run *run, uint32_t index, uint32_t first)
{
	static const enum lvx_modality modality[] = {[LVX_RUN_PREFIX] = LVX_TEXT,
		[LVX_RUN_SLOT] = LVX_AUDIO,
		[LVX_RUN_PICTURE] = LVX_IMAGE};
	const struct lvx_config *c = &r->model->config;
	struct lvx_row *row = &r->next[run->row];
	struct lvx_run_rec *rec = (struct lvx_run_rec *)lvx_mapped(&r->at->upload, &r->at->v.runs) + index;
	enum lvx_modality m = modality[run->kind];
	/* It sees what it saw when it came, and is in the memory already. */
	bool moves = run->kind == LVX_RUN_PREFIX && row->n_prefix > 0;
	uint32_t present = 0;
	for (uint32_t i = 0; i < LVX_MODALITIES && !moves; i++)
		present |= (uint32_t)(row->n[i] > 0) << i;
	double n_new = 1.0, g = 0.0;
	int64_t now = run->kind == LVX_RUN_PREFIX ? 0 : run->position;
	if (row->n[m] > 0) {
		double seconds = (double)(now - row->last[m]) * c->slot_ms / 1000.0;
		g = c->cross_modal ? exp(-seconds / c->decay_seconds) : 0.0;
		n_new += g * row->n[m];
	}
	*rec = (struct lvx_run_rec){.row = run->row,
		.modality = m,
		.first = first,
		.n = run->n,
		.present = c->cross_modal ? present : 0,
		.keep = (float)(g * row->n[m] / n_new),
		.add = (float)(1.0 / n_new)};
	if (moves) {
		rec->keep = 1.0f;
		rec->add = 0.0f;
	} else {
		row->n[m] = n_new;
		row->last[m] = now;
	}
	for (uint32_t i = 0; i < run->n_conditions; i++)
		rec->conditions |= 1u << run->conditions[i];
}

/* The keys that a run sees and the places its own go to. */
static void fill_keys(struct lvx_runner *r, const struct lvx_run *run, struct lvx_pos *pos)
{
	const struct lvx_config *c = &r->model->config;
	struct lvx_row *row = &r->next[run->row];
	uint32_t audio = c->max_prefix, pictures = audio + c->window_slots, first = 0;
	switch (run->kind) {
	case LVX_RUN_PREFIX:
		row->n_prefix = run->n;
		break;
	case LVX_RUN_SLOT:
		first = audio + (uint32_t)(row->n_slots++ % c->window_slots);
		break;
	case LVX_RUN_PICTURE:
		/* In place of the oldest, which its patches no longer see. */
		first = pictures + (uint32_t)(row->n_pictures++ % c->max_pictures) * r->n_patches;
		break;
	}
	uint64_t n_pic = row->n_pictures < c->max_pictures ? row->n_pictures : c->max_pictures;
	uint64_t n_slots = row->n_slots < c->window_slots ? row->n_slots : c->window_slots;
	for (uint32_t i = 0; i < run->n; i++) {
		bool prefix = run->kind == LVX_RUN_PREFIX;
		pos[i].write = first + i;
		pos[i].off0 = 0;
		pos[i].n0 = prefix ? i + 1 : row->n_prefix;
		pos[i].off1 = audio;
		pos[i].n1 = prefix ? 0 : (uint32_t)n_slots;
		pos[i].off2 = pictures;
		pos[i].n2 = prefix ? 0 : (uint32_t)n_pic * r->n_patches;
	}
}

/* In double: a float would lose the angle of a position after hours. */
static void fill_angles(struct lvx_runner *r, const struct lvx_run *run, uint32_t first)
{
	uint32_t half = r->model->config.rotary_dim / 2;
	float *out = (float *)lvx_mapped(&r->at->upload, &r->at->v.rope) + (size_t)first * 2 * half;
	for (uint32_t i = 0; i < run->n; i++, out += 2 * half) {
		if (i > 0 && run->kind == LVX_RUN_PICTURE) {
			memcpy(out, out - 2 * half, 2 * half * sizeof(*out));
			continue;
		}
		double p = (double)(run->position + (run->kind == LVX_RUN_PREFIX ? i : 0));
		for (uint32_t k = 0; k < half; k++) {
			double a = p * r->rope_freq[k];
			out[k] = (float)cos(a);
			out[half + k] = (float)sin(a);
		}
	}
}

static void fill_features(struct lvx_runner *r, const struct lvx_run *run, const uint32_t done[3])
{
	const uint32_t n_lanes = r->model->config.n_lanes;
	uint32_t at = done[run->kind];
	struct lvx_vk_buffer *up = &r->at->upload;
	switch (run->kind) {
	case LVX_RUN_SLOT:
		memcpy((float *)lvx_mapped(up, &r->at->v.mel) + (size_t)at * r->audio.cols, run->features,
			r->audio.cols * sizeof(float));
		memcpy((int32_t *)lvx_mapped(up, &r->at->v.lane_ids) + (size_t)at * n_lanes, run->tokens,
			n_lanes * sizeof(int32_t));
		break;
	case LVX_RUN_PICTURE:
		memcpy((float *)lvx_mapped(up, &r->at->v.patches) + (size_t)at * r->image.cols,
			run->features, (size_t)run->n * r->image.cols * sizeof(float));
		break;
	case LVX_RUN_PREFIX:
		memcpy((int32_t *)lvx_mapped(up, &r->at->v.token_ids) + at, run->tokens,
			run->n * sizeof(int32_t));
		break;
	}
}

/* Head items, lane by lane over the slots. */
static void fill_items(struct lvx_runner *r, const struct lvx_run *runs, struct lvx_pos *pos)
{
	struct lvx_favoured *favoured = lvx_mapped(&r->at->upload, &r->at->v.favoured);
	uint32_t n = 0;
	for (uint32_t s = 0; s < r->at->shape.n_slots; s++)
		for (uint32_t l = 0; l < LVX_LANES_MAX; l++)
			r->at->items[r->at->order[s]][l] = pos[s].item[l] = UINT32_MAX;
	for (uint32_t l = 0; l < r->model->config.n_lanes; l++)
		for (uint32_t s = 0; s < r->at->shape.n_slots; s++) {
			const struct lvx_run *run = &runs[r->at->order[s]];
			if (!(run->want_lanes >> l & 1))
				continue;
			if (l == 0) {
				favoured[n].n = run->n_favoured;
				favoured[n].by = run->favour;
				for (uint32_t i = 0; i < run->n_favoured; i++)
					favoured[n].token[i] = run->favoured[i];
			}
			r->at->items[r->at->order[s]][l] = pos[s].item[l] = n++;
			r->at->shape.n_items[l]++;
		}
}

void lvx_runner_fill(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs)
{
	static const uint32_t kinds[] = {
		[LVX_RUN_SLOT] = 0, [LVX_RUN_PICTURE] = 1, [LVX_RUN_PREFIX] = 2};
	sort_runs(r, runs, n_runs);
	struct lvx_pos *pos = lvx_mapped(&r->at->upload, &r->at->v.pos);
	uint32_t first = 0, done[3] = {0};
	for (uint32_t i = 0; i < n_runs; i++) {
		const struct lvx_run *run = &runs[r->at->order[i]];
		r->next[run->row] = r->rows[run->row];
		fill_run(r, run, i, first);
		fill_keys(r, run, pos + first);
		fill_angles(r, run, first);
		fill_features(r, run, done);
		for (uint32_t k = 0; k < run->n; k++) {
			struct lvx_pos *p = &pos[first + k];
			p->row = run->row;
			p->kind = kinds[run->kind];
			p->index = done[run->kind] + k;
			p->run = i;
			p->patch_no = k;
		}
		first += run->n;
		done[run->kind] += run->n;
	}
	fill_items(r, runs, pos);
}
