/* SPDX-License-Identifier: Apache-2.0 */
#include "model/runner.h"

#include "base/clock.h"
#include "base/log.h"
#include "model/runner_priv.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
	LOSSES_MAX = 20,  /* of one batch: then it is the batch's fault */
	/*
	 * On a GPU. A run is filled in in 0.3 to 0.6 us (m3-nano), and an H100 takes 3 us for it, so that an
	 * eighth keeps it busy until the others are filled in; but a further part costs
	 * it about 0.9 ms, so few runs are not worth it.
	 */
	SPLIT_RUNS = 1024,
	SPLIT_FIRST = 8,
};

int lvx_runner_list_devices(struct lvx_device_info *out, int max, struct lvx_error *err)
{
	return lvx_vk_list(out, max, err);
}

static enum lvx_status set_sizes(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_runner_params *params = &r->params;
	const struct lvx_config *c = &r->model->config;
	if (params->n_rows < 1 || params->n_rows > LVX_ROWS_MAX)
		return lvx_fail(err, LVX_EINVAL, "%u rows; allowed are 1 to %d", params->n_rows,
			LVX_ROWS_MAX);
	r->n_rows = params->n_rows;
	r->n_patches = lvx_image_patches(&c->frontend.image);
	r->key_cap = c->max_prefix + c->window_slots + c->max_pictures * r->n_patches;
	r->nm = c->cross_modal ? c->n_experts + c->router_dim : 0;
	uint32_t longest = r->n_patches > c->max_prefix ? r->n_patches : c->max_prefix;
	uint32_t max = params->max_positions ? params->max_positions : r->n_rows + 2 * longest;
	if (max < longest || max < r->n_rows || max > 1u << 16)
		return lvx_fail(err, LVX_EINVAL, "%u positions in a batch; allowed are %u to 65536",
			max, longest > r->n_rows ? longest : r->n_rows);
	r->places[LVX_PLACE_STEP].max_positions = max;
	r->places[LVX_PLACE_LONG].max_positions = max - r->n_rows > longest ? max - r->n_rows : longest;
	return LVX_OK;
}

static enum lvx_status host_tables(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	r->rows = calloc(r->n_rows, sizeof(*r->rows));
	r->next = calloc(r->n_rows, sizeof(*r->next));
	r->seen = calloc(r->n_rows, sizeof(*r->seen));
	r->rope_freq = calloc(c->rotary_dim / 2, sizeof(*r->rope_freq));
	bool ok = r->rows && r->next && r->seen && r->rope_freq;
	for (uint32_t i = 0; i < LVX_PLACES; i++) {
		struct lvx_place *p = &r->places[i];
		p->order = calloc(r->n_rows, sizeof(*p->order));
		p->items = calloc(r->n_rows, sizeof(*p->items));
		ok = ok && p->order && p->items;
	}
	if (!ok)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	for (uint32_t i = 0; i < c->rotary_dim / 2; i++)
		r->rope_freq[i] = pow(c->rope_theta, -2.0 * i / c->rotary_dim);
	if (r->params.profile) {
		VkQueryPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
			.queryType = VK_QUERY_TYPE_TIMESTAMP,
			.queryCount = LVX_MARKS_MAX};
		r->marks = calloc(LVX_MARKS_MAX, sizeof(*r->marks));
		if (!r->marks ||
			vkCreateQueryPool(r->vk->device, &pool, NULL, &r->queries) != VK_SUCCESS)
			return lvx_fail(err, LVX_ENOMEM, "out of memory for timestamps");
	}
	return LVX_OK;
}

/* Some drivers compile a kernel when it first runs; not while someone is speaking. */
static enum lvx_status warm_up(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	float *zeros = calloc((size_t)r->n_patches * r->image.cols + r->audio.cols, sizeof(*zeros));
	struct lvx_output *out = calloc(r->n_rows, sizeof(*out));
	struct lvx_run *runs = calloc(r->n_rows, sizeof(*runs));
	const int32_t tokens[LVX_LANES_MAX] = {0};
	enum lvx_status st = zeros && out && runs ? LVX_OK : LVX_ENOMEM;
	for (uint32_t i = 0; i < r->n_rows && st == LVX_OK; i++)
		runs[i] = (struct lvx_run){.row = i,
			.kind = LVX_RUN_SLOT,
			.n = 1,
			.features = zeros,
			.tokens = tokens,
			.want_lanes = (1u << c->n_lanes) - 1};
	/* one slot, every row's slot, a picture, a prefix: together all sizes of every kernel */
	if (st == LVX_OK)
		st = lvx_runner_try_step(r, runs, 1, out);
	if (st == LVX_OK && r->n_rows > 1)
		st = lvx_runner_try_step(r, runs, r->n_rows < 4 ? r->n_rows : 4, out);
	if (st == LVX_OK && r->n_rows > 8)
		st = lvx_runner_try_step(r, runs, r->n_rows, out);
	if (st == LVX_OK) {
		runs[0].kind = LVX_RUN_PICTURE;
		runs[0].n = r->n_patches;
		st = lvx_runner_try_step(r, runs, 1, out);
	}
	if (st == LVX_OK && c->max_prefix) {
		r->rows[0] = (struct lvx_row){0};
		runs[0].kind = LVX_RUN_PREFIX;
		runs[0].n = c->max_prefix < LVX_LANES_MAX ? c->max_prefix : LVX_LANES_MAX;
		runs[0].position = -(int64_t)runs[0].n;
		st = lvx_runner_try_step(r, runs, 1, out);
	}
	free(zeros);
	free(out);
	free(runs);
	memset(r->rows, 0, r->n_rows * sizeof(*r->rows));
	if (st != LVX_OK)
		return lvx_fail(err, st, "%s: the first step failed: %s", r->vk->info.name,
			lvx_status_name(st));
	return LVX_OK;
}

static bool is_quantised(const struct lvx_model *m)
{
	for (uint32_t i = 0; i < m->graph.n_weights; i++)
		if (m->graph.weights[i].rows && !m->graph.weights[i].exact &&
			m->graph.weights[i].data->dtype == LVX_DTYPE_F32)
			return false;
	return true;
}

enum lvx_status lvx_runner_build(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_runner_params *p = &r->params;
	enum lvx_status st = set_sizes(r, err);
	if (st == LVX_OK && !r->instance)
		st = lvx_vk_instance_create(&r->instance, p->validation, err);
	if (st == LVX_OK)
		st = lvx_vk_create(&r->vk, r->instance, p->device, err);
	if (st != LVX_OK)
		return st;
	r->vk->is_cpu &= !p->gpu_kernels;
	r->vk->coop &= !p->plain_products;
	r->vk->bytes_max = p->memory_max;
	r->vk->lose = p->lose;
	r->vk->lose_user = p->lose_user;
	r->exact = p->exact;
	/* A CPU computes with the cores that would fill; and the marks are those of one submission. */
	r->split = p->split_runs ? p->split_runs : r->vk->is_cpu ? UINT32_MAX : SPLIT_RUNS;
	if (p->profile)
		r->split = UINT32_MAX;
	if (r->split <= r->n_rows)
		r->places[LVX_PLACE_SECOND].max_positions = r->places[LVX_PLACE_STEP].max_positions;
	/* A GPU is done with all of a picture before a CPU is with a layer. */
	r->piece_layers = r->vk->is_cpu ? 1 : r->model->config.n_layers;
	/* Quantised weights are coarser than f16; exact ones are for exact results. */
	r->half_cache = !r->vk->is_cpu && is_quantised(r->model);
	st = lvx_runner_pack(r, err);
	if (st == LVX_OK)
		st = lvx_runner_buffers(r, err);
	if (st == LVX_OK)
		st = lvx_runner_pipelines(r, err);
	if (st == LVX_OK)
		st = lvx_runner_sets(r, err);
	if (st == LVX_OK)
		st = host_tables(r, err);
	return st == LVX_OK ? warm_up(r, err) : st;
}

enum lvx_status lvx_runner_create(struct lvx_runner **out, const struct lvx_model *model,
	const struct lvx_runner_params *params, struct lvx_error *err)
{
	struct lvx_runner *r = calloc(1, sizeof(*r));
	if (!r)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	int64_t begin = lvx_now_us();
	r->model = model;
	r->params = *params;
	enum lvx_status st = LVX_OK;
	if (params->device && !(r->params.device = strdup(params->device)))
		st = lvx_fail(err, LVX_ENOMEM, "out of memory");
	if (st == LVX_OK)
		st = lvx_runner_build(r, err);
	if (st == LVX_OK)
		st = lvx_long_create(r, err);
	if (st == LVX_OK && params->keep_steps)
		st = lvx_keep_create(r, err);
	if (st != LVX_OK) {
		lvx_runner_destroy(r);
		return st;
	}
	r->info = r->vk->info;
	r->stats = (struct lvx_runner_stats){0};
	lvx_log_info("%s on %s: %u rows, %llu MiB, ready in %lld ms", model->info.name,
		r->info.name, r->n_rows, (unsigned long long)(r->vk->bytes >> 20),
		(long long)(lvx_now_us() - begin) / 1000);
	*out = r;
	return LVX_OK;
}

static void destroy_vk(struct lvx_runner *r)
{
	VkDevice d = r->vk->device;
	if (!d)
		return;
	vkDeviceWaitIdle(d);
	VkPipeline pipelines[] = {r->embed_p, r->norm_p, r->rope_p, r->attention_p,
		r->attention_slots_p, r->attention_patches_p, r->tokens_p, r->router_p, r->memory_p,
		r->group_p, r->argmax_p};
	for (size_t i = 0; i < sizeof(pipelines) / sizeof(pipelines[0]); i++)
		vkDestroyPipeline(d, pipelines[i], NULL);
	for (uint32_t f = 0; f < LVX_FMTS; f++) {
		for (uint32_t t = 0; t < LVX_TILES; t++) {
			vkDestroyPipeline(d, r->linear[f][t], NULL);
			vkDestroyPipeline(d, r->halved[f][t], NULL);
		}
		for (uint32_t i = 0; i < (LVX_TILE_FEW + 1) * LVX_WIDTHS; i++) {
			vkDestroyPipeline(d, r->few[f][i / LVX_WIDTHS][i % LVX_WIDTHS], NULL);
			vkDestroyPipeline(
				d, r->few_normed[f][i / LVX_WIDTHS][i % LVX_WIDTHS], NULL);
		}
	}
	vkDestroyQueryPool(d, r->queries, NULL);
	for (uint32_t i = 0; i < r->n_blobs; i++)
		lvx_vk_buffer_destroy(r->vk, &r->blobs[i]);
	for (uint32_t i = 0; r->kv_layers && i < 2 * r->model->config.n_layers; i++)
		lvx_vk_buffer_destroy(r->vk, &r->kv_layers[i]);
	lvx_vk_buffer_destroy(r->vk, &r->memory);
	for (uint32_t i = 0; i < LVX_PLACES; i++) {
		struct lvx_place *p = &r->places[i];
		vkDestroyDescriptorPool(d, p->sets_pool, NULL);
		for (uint32_t k = 0; k < p->n_texels; k++)
			vkDestroyBufferView(d, p->texels[k], NULL);
		lvx_vk_buffer_destroy(r->vk, &p->upload);
		if (i != LVX_PLACE_SECOND) {
			lvx_vk_buffer_destroy(r->vk, &p->scratch);
			lvx_vk_buffer_destroy(r->vk, &p->inputs);
		}
		lvx_vk_buffer_destroy(r->vk, &p->readback);
	}
}

void lvx_runner_unbuild(struct lvx_runner *r)
{
	if (r->vk)
		destroy_vk(r);
	lvx_vk_destroy(r->vk);
	free(r->blobs);
	free(r->layers);
	free(r->kv_layers);
	for (uint32_t i = 0; i < LVX_PLACES; i++) {
		free(r->places[i].sets);
		free(r->places[i].texels);
		free(r->places[i].order);
		free(r->places[i].items);
	}
	for (uint32_t i = 0; i < LVX_SHAPES; i++)
		free(r->recorded[i].marks);
	free(r->marks);
	free(r->rows);
	free(r->next);
	free(r->seen);
	free(r->rope_freq);
	size_t kept = offsetof(struct lvx_runner, vk);
	memset((char *)r + kept, 0, sizeof(*r) - kept);
}

void lvx_runner_destroy(struct lvx_runner *r)
{
	if (!r)
		return;
	lvx_runner_unbuild(r);
	lvx_vk_instance_destroy(r->instance);
	lvx_keep_destroy(r->keep);
	lvx_long_destroy(r);
	free((char *)r->params.device);
	free(r);
}

const struct lvx_device_info *lvx_runner_device(const struct lvx_runner *r)
{
	return &r->info;
}

uint64_t lvx_runner_device_bytes(const struct lvx_runner *r)
{
	return r->vk ? r->vk->bytes : 0; /* none: it was lost for good */
}

uint32_t lvx_runner_max_positions(const struct lvx_runner *r)
{
	return r->places[LVX_PLACE_STEP].max_positions;
}

uint32_t lvx_runner_max_long(const struct lvx_runner *r)
{
	return r->places[LVX_PLACE_LONG].max_positions;
}

unsigned lvx_runner_validation_errors(const struct lvx_runner *r)
{
	return r->instance->validation_errors;
}

void lvx_runner_reset_row(struct lvx_runner *r, uint32_t row)
{
	if (row >= r->n_rows)
		return;
	r->rows[row] = (struct lvx_row){0};
	lvx_long_drop(r, row);
	if (r->keep)
		lvx_keep_reset_row(r->keep, row);
}

enum lvx_status lvx_runner_result(struct lvx_runner *r, VkResult result)
{
	if (result == VK_SUCCESS)
		return LVX_OK;
	lvx_log_error("%s: %s", r->vk->info.name, lvx_vk_result_name(result));
	r->lost = true;
	return LVX_EDEVICE;
}

static void read_outputs(struct lvx_runner *r, const struct lvx_place *at, struct lvx_output *out)
{
	const struct lvx_config *c = &r->model->config;
	const struct lvx_best *best = lvx_mapped(&at->readback, &at->v.best);
	const float *activity = lvx_mapped(&at->readback, &at->v.activity);
	for (uint32_t s = 0; s < at->shape.n_slots; s++) {
		struct lvx_output *o = &out[at->order[s]];
		*o = (struct lvx_output){0};
		for (uint32_t i = 0; i < c->n_activity; i++)
			o->activity[i] = 1.0f / (1.0f + expf(-activity[s * 4 + i]));
		for (uint32_t l = 0; l < c->n_lanes; l++) {
			uint32_t item = at->items[at->order[s]][l];
			o->token[l] = c->pad_token;
			if (item == UINT32_MAX)
				continue;
			/* A device that computes NaN names no token. */
			if (best[item].token < c->vocab)
				o->token[l] = (int32_t)best[item].token;
			o->logprob[l] = best[item].logprob;
			o->margin[l] = best[item].margin;
		}
	}
}

/* Fills the place and has the device begin. */
static enum lvx_status begin_part(
	struct lvx_runner *r, uint32_t place, const struct lvx_run *runs, uint32_t n_runs)
{
	VkCommandBuffer cmd;
	int64_t begin = lvx_now_us();
	r->at = &r->places[place];
	lvx_runner_fill(r, runs, n_runs);
	r->stats.fill_us += lvx_now_us() - begin;
	r->step++;
	enum lvx_status st = lvx_runner_command(r, &cmd);
	if (st != LVX_OK)
		return st;
	r->at->submit_us = lvx_now_us();
	return lvx_runner_result(r, lvx_vk_submit(r->vk, cmd, &r->at->ticket));
}

static enum lvx_status end_part(struct lvx_runner *r, uint32_t place, struct lvx_output *out)
{
	struct lvx_place *at = &r->places[place];
	int64_t begin = lvx_now_us();
	enum lvx_status st = lvx_runner_result(r, lvx_vk_wait(r->vk, at->ticket));
	r->stats.wait_us += lvx_now_us() - begin;
	if (st != LVX_OK)
		return st;
	lvx_runner_tell_marks(r, at->submit_us);
	read_outputs(r, at, out);
	return LVX_OK;
}

static void count(struct lvx_runner *r, const struct lvx_shape *shape)
{
	r->stats.slots += shape->n_slots;
	r->stats.pictures += shape->n_patches / r->n_patches;
	r->stats.positions += shape->n_slots + shape->n_patches + shape->n_tokens;
}

enum lvx_status lvx_runner_try_step(
	struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs, struct lvx_output *out)
{
	if (r->lost)
		return LVX_EDEVICE;
	int64_t begin = lvx_now_us();
	enum lvx_status st = lvx_runner_check(r, &r->places[LVX_PLACE_STEP], runs, n_runs);
	if (st != LVX_OK)
		return st;
	uint32_t n = n_runs < r->split ? n_runs : (n_runs + SPLIT_FIRST - 1) / SPLIT_FIRST;
	r->last_place = n < n_runs ? LVX_PLACE_SECOND : LVX_PLACE_STEP;
	r->last_from = n < n_runs ? n : 0;
	st = begin_part(r, LVX_PLACE_STEP, runs, n);
	if (st != LVX_OK)
		return st;
	if (n < n_runs) {
		st = begin_part(r, LVX_PLACE_SECOND, runs + n, n_runs - n);
		/* The first may have changed its rows: there is no way back but from what is kept. */
		r->lost |= st != LVX_OK;
	}
	if (!r->lost)
		st = end_part(r, LVX_PLACE_STEP, out);
	if (n < n_runs && !r->lost)
		st = end_part(r, LVX_PLACE_SECOND, out + n);
	if (r->lost)
		return LVX_EDEVICE;
	for (uint32_t i = 0; i < n_runs; i++)
		r->rows[runs[i].row] = r->next[runs[i].row];
	count(r, &r->places[LVX_PLACE_STEP].shape);
	if (n < n_runs)
		count(r, &r->places[LVX_PLACE_SECOND].shape);
	r->stats.steps++;
	r->stats.last_step_us = lvx_now_us() - begin;
	r->stats.busy_us += r->stats.last_step_us;
	return LVX_OK;
}

enum lvx_status lvx_runner_step(
	struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs, struct lvx_output *out)
{
	if (r->gone)
		return LVX_EDEVICE;
	for (uint32_t i = 0; i < n_runs && n_runs <= r->n_rows; i++)
		if (runs[i].row < r->n_rows && r->along.busy[runs[i].row])
			return LVX_EINVAL;
	enum lvx_status st = lvx_runner_try_step(r, runs, n_runs, out);
	for (int i = 0; st == LVX_EDEVICE && r->keep && i < LOSSES_MAX; i++)
		if (lvx_keep_recover(r) == LVX_OK)
			st = lvx_runner_try_step(r, runs, n_runs, out);
		else
			break;
	if (st == LVX_OK && r->keep)
		lvx_keep_took(r, runs, n_runs);
	return st;
}

enum lvx_status lvx_runner_read_logits(
	struct lvx_runner *r, uint32_t run, uint32_t lane, float *logits)
{
	const struct lvx_config *c = &r->model->config;
	const struct lvx_place *p = &r->places[r->last_place];
	uint32_t item = UINT32_MAX;
	for (uint32_t s = 0; s < p->shape.n_slots && lane < c->n_lanes; s++)
		if (p->order[s] + r->last_from == run)
			item = p->items[p->order[s]][lane];
	if (item == UINT32_MAX)
		return LVX_EINVAL;
	VkDeviceSize bytes = (VkDeviceSize)c->vocab * sizeof(float);
	struct lvx_vk_piece piece = {
		&p->scratch, p->v.logits.offset + item * bytes, bytes, logits};
	return lvx_vk_read(r->vk, &piece, 1, NULL);
}

uint32_t lvx_runner_marks(struct lvx_runner *r, const struct lvx_runner_mark **out)
{
	uint64_t ticks[LVX_MARKS_MAX];
	uint32_t n = r->last ? r->last->n_marks : 0;
	*out = r->marks;
	if (!r->queries || n == 0 ||
		vkGetQueryPoolResults(r->vk->device, r->queries, 0, n, sizeof(ticks), ticks,
			sizeof(ticks[0]), VK_QUERY_RESULT_64_BIT) != VK_SUCCESS)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		r->marks[i] = r->last->marks[i];
		r->marks[i].end_us = (double)(ticks[i] - ticks[0]) *
				     (double)r->vk->limits.timestampPeriod * 1e-3;
	}
	return n;
}

void lvx_runner_tell_marks(struct lvx_runner *r, int64_t begin_us)
{
	const struct lvx_runner_mark *marks;
	if (!r->params.on_marks || !r->queries)
		return;
	uint32_t n = lvx_runner_marks(r, &marks);
	r->params.on_marks(r->params.on_marks_user, marks, n, begin_us);
}

void lvx_runner_get_stats(const struct lvx_runner *r, struct lvx_runner_stats *out)
{
	*out = r->stats;
}
