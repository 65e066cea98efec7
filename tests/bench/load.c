/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/load.h"

#include "base/clock.h"
#include "base/file.h"
#include "model/runner_priv.h"
#include "pipeline/mel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 250, PICTURES = 4, PICTURE_US = 2000000 };

struct lvx_load {
	struct lvx_load_params p;
	struct lvx_runner *runner;
	uint32_t n_rows, n_values, n_samples;
	float *pcm;      /* [SLOTS][samples of a slot] */
	float *slots;    /* [SLOTS][values] */
	float *pictures; /* [PICTURES][patches][values] */
	struct lvx_mel **mel; /* of each row, with p.mel */
	float *fresh;	      /* [rows][values] */
	int32_t (*fed)[LVX_LANES_MAX];
	struct lvx_run *runs, *longs;
	struct lvx_output *out;
	int64_t slot;
	int64_t *due;	 /* [rows] the slot of a picture that is not done yet; -1: none */
	uint32_t *behind; /* [rows] slots that wait for it */
	uint32_t n_long; /* pictures on their way */
	int64_t late;	 /* slots that one took, at most */
};

static void noise(float *v, size_t n, float scale)
{
	uint32_t x = 1;
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		v[i] = scale * ((float)(x >> 8) * 0x1p-23f - 1.0f);
	}
}

/* Sound from the file, again and again; without one, noise that comes and goes. */
static enum lvx_status read_pcm(struct lvx_load *l, struct lvx_error *err)
{
	size_t n = (size_t)SLOTS * l->n_samples, len = 0;
	char *data = NULL;
	if (!l->p.pcm) {
		noise(l->pcm, n, 0.1f);
		for (size_t i = 0; i < n; i++)
			l->pcm[i] *= (float)(1.0 + sin((double)i * 2e-3));
		return LVX_OK;
	}
	enum lvx_status st = lvx_file_read(&data, &len, l->p.pcm, 1 << 28, err);
	if (st != LVX_OK)
		return st;
	for (size_t i = 0; i < n && len >= 2; i++) {
		int16_t v;
		memcpy(&v, data + i % (len / 2) * 2, 2);
		l->pcm[i] = (float)v / 32768.0f;
	}
	free(data);
	return LVX_OK;
}

static enum lvx_status features(struct lvx_load *l, struct lvx_error *err)
{
	struct lvx_mel *mel;
	const struct lvx_frontend_spec *f = &l->p.model->info.frontend;
	size_t picture = (size_t)lvx_image_patches(&f->image) * lvx_image_patch_values(&f->image);
	l->pcm = calloc((size_t)SLOTS * l->n_samples, sizeof(float));
	l->slots = calloc((size_t)SLOTS * l->n_values, sizeof(float));
	l->pictures = calloc(PICTURES * picture, sizeof(float));
	if (!l->pcm || !l->slots || !l->pictures)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	enum lvx_status st = read_pcm(l, err);
	if (st == LVX_OK)
		st = lvx_mel_create(&mel, &f->audio, err);
	if (st != LVX_OK)
		return st;
	for (size_t i = 0; i < SLOTS; i++)
		lvx_mel_slot(mel, l->pcm + i * l->n_samples, l->slots + i * l->n_values);
	lvx_mel_destroy(mel);
	noise(l->pictures, PICTURES * picture, 1.0f);
	return LVX_OK;
}

/* Every row as after minutes: rings full, all modalities seen. */
static enum lvx_status fill_rows(struct lvx_load *l, struct lvx_error *err)
{
	struct lvx_runner *r = l->runner;
	const struct lvx_config *c = &l->p.model->config;
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < 2 * c->n_layers && st == LVX_OK; i++)
		st = lvx_vk_zero(r->vk, &r->kv_layers[i], err);
	for (uint32_t i = 0; i < l->n_rows; i++) {
		struct lvx_row *row = &r->rows[i];
		*row = (struct lvx_row){.n_slots = c->window_slots + i % c->window_slots};
		row->n[LVX_AUDIO] = 10.0;
		if (!l->p.pictures)
			continue;
		row->n_pictures = c->max_pictures;
		row->n[LVX_IMAGE] = 1.0;
	}
	l->slot = c->window_slots;
	return st;
}

static enum lvx_status make_runner(struct lvx_load *l, struct lvx_error *err)
{
	struct lvx_runner_params p = l->p.runner;
	const struct lvx_model_info *info = &l->p.model->info;
	uint32_t every = (uint32_t)(PICTURE_US / info->slot_us);
	uint32_t patches = lvx_image_patches(&info->frontend.image);
	enum lvx_status st = LVX_ENOMEM;
	while (st == LVX_ENOMEM || st == LVX_ELIMIT) {
		uint32_t pictures = l->p.pictures ? (p.n_rows + every - 1) / every : 1;
		p.max_positions = p.n_rows + pictures * patches;
		if (p.max_positions < info->max_prefix)
			p.max_positions = info->max_prefix;
		st = lvx_runner_create(&l->runner, l->p.model, &p, err);
		if (st == LVX_OK || p.n_rows == 1)
			break;
		p.n_rows = p.n_rows * 3 / 4;
	}
	l->n_rows = p.n_rows;
	return st;
}

static enum lvx_status rows(struct lvx_load *l, struct lvx_error *err)
{
	const struct lvx_audio_spec *audio = &l->p.model->info.frontend.audio;
	l->fed = calloc(l->n_rows, sizeof(*l->fed));
	l->runs = calloc(l->n_rows, sizeof(*l->runs));
	l->longs = calloc(l->n_rows, sizeof(*l->longs));
	l->out = calloc(l->n_rows, sizeof(*l->out));
	l->due = calloc(l->n_rows, sizeof(*l->due));
	l->behind = calloc(l->n_rows, sizeof(*l->behind));
	if (!l->fed || !l->runs || !l->longs || !l->out || !l->due || !l->behind)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	for (uint32_t i = 0; i < l->n_rows; i++)
		l->due[i] = -1;
	for (uint32_t i = 0; i < l->n_rows; i++)
		for (int k = 0; k < LVX_LANES_MAX; k++)
			l->fed[i][k] = l->p.model->config.pad_token;
	if (!l->p.mel)
		return LVX_OK;
	l->mel = calloc(l->n_rows, sizeof(struct lvx_mel *));
	l->fresh = calloc((size_t)l->n_rows * l->n_values, sizeof(float));
	enum lvx_status st = l->mel && l->fresh ? LVX_OK : LVX_ENOMEM;
	for (uint32_t i = 0; i < l->n_rows && st == LVX_OK; i++)
		st = lvx_mel_create(&l->mel[i], audio, err);
	return st;
}

enum lvx_status lvx_load_create(
	struct lvx_load **out, const struct lvx_load_params *params, struct lvx_error *err)
{
	struct lvx_load *l = calloc(1, sizeof(*l));
	if (!l)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	l->p = *params;
	l->n_values = lvx_audio_slot_values(&params->model->info.frontend.audio);
	l->n_samples = lvx_audio_slot_samples(&params->model->info.frontend.audio);
	enum lvx_status st = features(l, err);
	if (st == LVX_OK)
		st = make_runner(l, err);
	if (st == LVX_OK)
		st = fill_rows(l, err);
	if (st == LVX_OK)
		st = rows(l, err);
	if (st != LVX_OK) {
		lvx_load_destroy(l);
		return st;
	}
	*out = l;
	return LVX_OK;
}

void lvx_load_destroy(struct lvx_load *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; l->mel && i < l->n_rows; i++)
		lvx_mel_destroy(l->mel[i]);
	lvx_runner_destroy(l->runner);
	free(l->mel);
	free(l->fresh);
	free(l->pcm);
	free(l->slots);
	free(l->pictures);
	free(l->fed);
	free(l->runs);
	free(l->longs);
	free(l->out);
	free(l->due);
	free(l->behind);
	free(l);
}

struct lvx_runner *lvx_load_runner(struct lvx_load *l)
{
	return l->runner;
}

uint32_t lvx_load_rows(const struct lvx_load *l)
{
	return l->n_rows;
}

static const int32_t conditions[1] = {0};

static struct lvx_run slot_run(struct lvx_load *l, uint32_t i)
{
	size_t at = ((size_t)l->slot + i * 7) % SLOTS;
	float *values = l->slots + at * l->n_values;
	if (l->p.mel) {
		values = l->fresh + (size_t)i * l->n_values;
		lvx_mel_slot(l->mel[i], l->pcm + at * l->n_samples, values);
	}
	return (struct lvx_run){.row = i,
		.kind = LVX_RUN_SLOT,
		.n = 1,
		.position = l->slot,
		.features = values,
		.tokens = l->fed[i],
		.conditions = conditions,
		.n_conditions = l->p.model->info.n_conditions > 0,
		.want_lanes = l->p.lanes};
}

static struct lvx_run picture_run(struct lvx_load *l, uint32_t i)
{
	const struct lvx_image_spec *s = &l->p.model->info.frontend.image;
	size_t size = (size_t)lvx_image_patches(s) * lvx_image_patch_values(s);
	return (struct lvx_run){.row = i,
		.kind = LVX_RUN_PICTURE,
		.n = lvx_image_patches(s),
		.position = l->slot,
		.features = l->pictures + i % PICTURES * size,
		.conditions = conditions,
		.n_conditions = l->p.model->info.n_conditions > 0};
}

static enum lvx_status step(struct lvx_load *l, uint32_t n)
{
	enum lvx_status st = n ? lvx_runner_step(l->runner, l->runs, n, l->out) : LVX_OK;
	for (uint32_t i = 0; i < n && st == LVX_OK; i++)
		for (uint32_t k = 0; l->runs[i].kind == LVX_RUN_SLOT && k < LVX_LANES_MAX; k++)
			l->fed[l->runs[i].row][k] = l->out[i].token[k];
	return st;
}

/* A piece of the pictures that wait, of a quarter of them at a time, as the scheduler has it. */
static enum lvx_status piece(struct lvx_load *l)
{
	uint32_t room = lvx_runner_max_long(l->runner) / l->runner->n_patches, n_wait = 0;
	bool done = false;
	if (l->n_long == 0) {
		for (uint32_t i = 0; i < l->n_rows; i++)
			n_wait += l->due[i] >= 0;
		uint32_t most = n_wait ? 1 + (n_wait - 1) / 4 : 0;
		most = most < room ? most : room;
		for (uint32_t i = 0; i < l->n_rows && l->n_long < most; i++)
			if (l->due[i] >= 0)
				l->longs[l->n_long++] = picture_run(l, i);
		if (l->n_long == 0)
			return LVX_OK;
		enum lvx_status st = lvx_runner_begin(l->runner, l->longs, l->n_long);
		if (st != LVX_OK)
			return st;
	}
	enum lvx_status st = lvx_runner_go_on(l->runner, &done);
	for (uint32_t i = 0; i < l->n_long && done; i++) {
		int64_t *due = &l->due[l->longs[i].row];
		l->late = l->slot - *due > l->late ? l->slot - *due : l->late;
		*due = -1;
	}
	l->n_long = done ? 0 : l->n_long;
	return st;
}

enum lvx_status lvx_load_tick(struct lvx_load *l, uint32_t n, int64_t *us)
{
	uint32_t every = (uint32_t)(PICTURE_US / l->p.model->info.slot_us), m;
	int64_t begin = lvx_now_us();
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < n; i++) {
		if (l->p.pictures && l->due[i] < 0 && (i + l->slot) % every == 0)
			l->due[i] = l->slot;
		l->behind[i]++;
	}
	do { /* who has waited for a picture catches up */
		m = 0;
		for (uint32_t i = 0; i < n; i++)
			if (l->behind[i] && l->due[i] < 0) {
				l->runs[m++] = slot_run(l, i);
				l->behind[i]--;
			}
		st = step(l, m);
	} while (st == LVX_OK && m);
	if (st == LVX_OK)
		st = piece(l);
	l->slot++;
	*us = lvx_now_us() - begin;
	return st;
}

enum lvx_status lvx_load_idle(struct lvx_load *l, int64_t until_us)
{
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < l->n_rows && st == LVX_OK; i++)
		while (l->due[i] >= 0 && st == LVX_OK && lvx_now_us() < until_us)
			st = piece(l);
	return st;
}

int64_t lvx_load_late(struct lvx_load *l)
{
	int64_t late = l->late;
	for (uint32_t i = 0; i < l->n_rows; i++)
		if (l->due[i] >= 0 && l->slot - l->due[i] > late)
			late = l->slot - l->due[i];
	l->late = 0;
	return late;
}

static uint64_t bytes_of(const struct lvx_matrix *m)
{
	return m->rows ? m->weights.size + m->scales.size : 0;
}

uint64_t lvx_load_weight_bytes(const struct lvx_load *l, uint32_t n)
{
	const struct lvx_runner *r = l->runner;
	const struct lvx_config *c = &l->p.model->config;
	double all = (double)(bytes_of(&r->audio) + bytes_of(&r->lanes_in) + bytes_of(&r->embed));
	for (uint32_t i = 0; i < c->n_lanes; i++)
		all += l->p.lanes >> i & 1 ? (double)bytes_of(&r->lanes_out) / c->n_lanes : 0.0;
	for (uint32_t k = 0; k < c->n_layers; k++) {
		const struct lvx_layer *y = &r->layers[k];
		all += (double)(bytes_of(&y->qkv) + bytes_of(&y->out) + bytes_of(&y->up) +
				bytes_of(&y->down));
		if (!y->moe)
			continue;
		/* an expert is read if any position chose it; choices taken as even */
		double miss = pow(1.0 - (double)c->top_k / c->n_experts, n);
		all += (1.0 - miss) * (double)(bytes_of(&y->expert_up) + bytes_of(&y->expert_down)) +
		       (double)bytes_of(&y->router);
	}
	return (uint64_t)all;
}

uint64_t lvx_load_ring_bytes(const struct lvx_load *l)
{
	const struct lvx_config *c = &l->p.model->config;
	uint64_t keys = c->window_slots;
	if (l->p.pictures)
		keys += (uint64_t)c->max_pictures * l->runner->n_patches;
	return 2 * keys * c->n_layers * c->n_kv_heads * c->head_dim *
	       (l->runner->half_cache ? 2 : 4);
}

uint64_t lvx_load_stream_bytes(const struct lvx_load *l)
{
	const struct lvx_runner *r = l->runner;
	uint64_t all = r->memory.size;
	for (uint32_t i = 0; i < LVX_PLACES; i++)
		if (i != LVX_PLACE_SECOND) /* has the first one's */
			all += r->places[i].scratch.size + r->places[i].inputs.size;
	for (uint32_t i = 0; i < 2 * l->p.model->config.n_layers; i++)
		all += r->kv_layers[i].size;
	return all / l->n_rows;
}

double lvx_load_flop(const struct lvx_load *l)
{
	const struct lvx_runner *r = l->runner;
	const struct lvx_config *c = &l->p.model->config;
	double all = (double)r->audio.rows * r->audio.cols + (double)r->lanes_in.rows * r->lanes_in.cols;
	double kv = (double)c->window_slots;
	if (l->p.pictures)
		kv += (double)c->max_pictures * r->n_patches;
	for (uint32_t i = 0; i < c->n_lanes; i++)
		if (l->p.lanes >> i & 1)
			all += (double)c->hidden * (c->hidden + c->vocab);
	for (uint32_t k = 0; k < c->n_layers; k++) {
		const struct lvx_layer *y = &r->layers[k];
		all += (double)y->qkv.rows * y->qkv.cols + (double)y->out.rows * y->out.cols +
		       (double)y->up.rows * y->up.cols + (double)y->down.rows * y->down.cols +
		       2.0 * kv * c->n_heads * c->head_dim;
		if (y->moe)
			all += (double)y->router.rows * y->router.cols +
			       c->top_k * ((double)y->expert_up.rows * y->expert_up.cols +
						  (double)y->expert_down.rows * y->expert_down.cols);
	}
	return 2.0 * all;
}
