/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a batch's shape to a command buffer. Batches of a live daemon have few
 * shapes, so the last ones are kept and submitted again.
 */
#include "model/runner_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
	DIRECT_MAX = 2, /* positions: up to here experts run without sorting */
	MODE_PLAIN = 0,
	MODE_DIRECT = 1,
	MODE_GROUPED = 2,
	MODE_SUMMED = 3,
	MANY_GROUPS = 132, /* work groups of a matmul that a device has at once; an H100's */
	FORM_F32 = 1,      /* of what norm.comp makes */
	FORM_F16 = 2,
};

struct recorder {
	struct lvx_runner *r;
	VkCommandBuffer cmd;
	VkPipeline bound;
	struct lvx_recorded *rec;
	uint32_t layer;
	/* On a GPU a step of few positions waits for dispatches rather than memory: products norm
	 * what they read and sum the experts. The last bits are others, so not where results are
	 * exact. */
	bool fused;
};

/* With `profile`: the time at which all dispatches up to here are done. */
static void mark(struct recorder *c, const char *what)
{
	if (!c->r->queries || c->rec->n_marks == LVX_MARKS_MAX)
		return;
	c->rec->marks[c->rec->n_marks] = (struct lvx_runner_mark){.name = what, .layer = c->layer};
	vkCmdWriteTimestamp(c->cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, c->r->queries,
		c->rec->n_marks++);
}

static void use(struct recorder *c, VkPipeline pipeline, VkDescriptorSet set, const void *push,
	uint32_t bytes)
{
	struct lvx_vk *vk = c->r->vk;
	if (c->bound != pipeline)
		vkCmdBindPipeline(c->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
	c->bound = pipeline;
	vkCmdBindDescriptorSets(
		c->cmd, VK_PIPELINE_BIND_POINT_COMPUTE, vk->layout, 0, 1, &set, 0, NULL);
	vkCmdPushConstants(c->cmd, vk->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, bytes, push);
}

static void dispatch_z(struct recorder *c, const char *what, VkPipeline pipeline,
	VkDescriptorSet set, const void *push, uint32_t bytes, uint32_t x, uint32_t y, uint32_t z)
{
	use(c, pipeline, set, push, bytes);
	vkCmdDispatch(c->cmd, x, y, z);
	mark(c, what);
}

static void dispatch(struct recorder *c, const char *what, VkPipeline pipeline, VkDescriptorSet set,
	const void *push, uint32_t bytes, uint32_t x, uint32_t y)
{
	dispatch_z(c, what, pipeline, set, push, bytes, x, y, 1);
}

static void barrier_for(struct recorder *c, VkPipelineStageFlags stages, VkAccessFlags access)
{
	VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | access};
	vkCmdPipelineBarrier(c->cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | stages, 0, 1, &b, 0, NULL, 0, NULL);
}

/* Everything before is done and seen by the kernels after. */
static void barrier(struct recorder *c)
{
	barrier_for(c, 0, 0);
}

uint32_t lvx_product_groups(const struct lvx_vk *vk, uint32_t rows, uint32_t tile)
{
	uint32_t per = vk->is_cpu ? 8 * lvx_cpu_tile_rows(tile) : lvx_tiles[tile].rows;
	return (rows + per - 1) / per;
}

static uint32_t groups_x(const struct lvx_runner *r, const struct lvx_matrix *m, uint32_t tile)
{
	return lvx_product_groups(r->vk, m->rows, tile);
}

/* Whether n positions go to matmul.comp: the same for all matrices but those of floats, so that what is
 * made for one in f16 comes from one. */
static bool is_many(const struct lvx_runner *r, const struct lvx_matrix *m, uint32_t n)
{
	return !r->vk->is_cpu && !r->exact && n > lvx_tiles[LVX_TILE_FEW].positions &&
	       lvx_top_tile(r->vk, m->format) > LVX_TILE_FEW;
}

/* The form in which n positions come to a matrix. */
static bool in_halves(const struct lvx_runner *r, const struct lvx_matrix *m, uint32_t n)
{
	return m->halves && is_many(r, m, n);
}

/* The kernel for n positions of a matrix. */
static uint32_t pick_tile(const struct lvx_runner *r, const struct lvx_matrix *m, uint32_t n)
{
	if (r->vk->is_cpu)
		return n <= 1 ? 0 : n <= 8 ? 1 : 2;
	uint32_t tile = 0, few = LVX_TILE_FEW;
	while (tile < few && lvx_tiles[tile].positions < n)
		tile++;
	if (!is_many(r, m, n))
		return tile;
	/* The one with the least to read, both sides, one after the other; the first that there is in any case. */
	uint64_t least = UINT64_MAX;
	for (uint32_t t = few + 1; t < LVX_TILES; t++) {
		uint32_t np = lvx_tiles[t].positions, groups = groups_x(r, m, t) * ((n + np - 1) / np);
		bool wider = np / 2 < n || tile == few;
		if (!lvx_has_tile(r->vk, m->format, t))
			continue;
		uint64_t reads = (uint64_t)((groups + MANY_GROUPS - 1) / MANY_GROUPS) * (np + lvx_tiles[t].rows);
		if (wider && reads <= least) {
			tile = t;
			least = reads;
		}
	}
	return tile;
}

static struct lvx_push_product linear_push(const struct lvx_matrix *m, uint32_t n)
{
	return (struct lvx_push_product){.blocks = m->cols / 32,
		.rows = m->rows,
		.n_items = n,
		.x_stride = m->cols / 4,
		.y_stride = m->gated ? m->rows / 2 : m->rows,
		.w_group = m->w_group,
		.s_group = m->s_group,
		.divide = 1,
		.gated = m->gated};
}

static VkPipeline product(const struct lvx_runner *r, const struct lvx_matrix *m, uint32_t tile)
{
	if (!r->vk->is_cpu && tile <= LVX_TILE_FEW)
		return r->few[m->format][tile][m->width];
	return m->halves ? r->halved[m->format][tile] : r->linear[m->format][tile];
}

static void run_with(struct recorder *c, const char *what, VkPipeline pipeline,
	const struct lvx_matrix *m, VkDescriptorSet set, const struct lvx_push_product *push,
	uint32_t tile)
{
	uint32_t np = lvx_tiles[tile].positions;
	if (push->n_items)
		dispatch(c, what, pipeline, set, push, sizeof(*push), groups_x(c->r, m, tile),
			(push->n_items + np - 1) / np);
}

static void run_plain(struct recorder *c, const char *what, const struct lvx_matrix *m, VkDescriptorSet set,
	const struct lvx_push_product *push)
{
	uint32_t tile = pick_tile(c->r, m, push->n_items);
	run_with(c, what, product(c->r, m, tile), m, set, push, tile);
}

static void linear(struct recorder *c, const char *what, const struct lvx_matrix *m, VkDescriptorSet set, uint32_t n)
{
	struct lvx_push_product push = linear_push(m, n);
	run_plain(c, what, m, set, &push);
}

/* x += W y */
static void linear_add(struct recorder *c, const char *what, const struct lvx_matrix *m,
	VkDescriptorSet set, uint32_t n)
{
	struct lvx_push_product push = linear_push(m, n);
	push.adds = 1;
	run_plain(c, what, m, set, &push);
}

static struct lvx_push_product gated_push(
	const struct lvx_matrix *m, uint32_t n, const struct lvx_layer *y)
{
	struct lvx_push_product push = linear_push(m, n);
	push.alpha = y->alpha;
	push.limit = y->limit;
	return push;
}

/* The dense layer's, or the shared expert's. */
static void linear_up(
	struct recorder *c, VkDescriptorSet set, uint32_t n, const struct lvx_layer *y)
{
	struct lvx_push_product push = gated_push(&y->up, n, y);
	push.y_halves = in_halves(c->r, &y->down, n);
	run_plain(c, "up", &y->up, set, &push);
}

/* W N x of few positions; push: of the product without the norm. */
static void linear_normed(struct recorder *c, const char *what, const struct lvx_matrix *m,
	VkDescriptorSet set, struct lvx_push_product push)
{
	uint32_t tile = pick_tile(c->r, m, push.n_items);
	push.eps = c->r->model->config.eps;
	run_with(c, what, c->r->few_normed[m->format][tile][m->width], m, set, &push, tile);
}

/* Of the experts of each position, item by item, one sum. */
static void experts_summed(
	struct recorder *c, const struct lvx_matrix *m, VkDescriptorSet set, uint32_t n)
{
	struct lvx_push_product push = linear_push(m, n);
	push.mode = MODE_SUMMED;
	push.divide = c->r->model->config.top_k;
	push.adds = 1;
	run_with(c, "expert_down", product(c->r, m, 0), m, set, &push, 0);
}

/* grouped: through the sorted list, counts come from the device; else item by item. */
static void experts(struct recorder *c, const struct lvx_matrix *m, VkDescriptorSet set, uint32_t n,
	const struct lvx_layer *y, bool up, bool grouped, uint32_t tile)
{
	const struct lvx_config *config = &c->r->model->config;
	struct lvx_push_product push = gated_push(m, n * config->top_k, y);
	push.mode = grouped ? MODE_GROUPED : MODE_DIRECT;
	push.divide = up ? config->top_k : 1;
	push.items_at = (config->n_experts + c->r->at->max_positions * config->top_k) * 4;
	push.y_halves = up && grouped && tile > LVX_TILE_FEW;
	use(c, product(c->r, m, grouped ? tile : 0), set, &push, sizeof(push));
	if (grouped)
		vkCmdDispatchIndirect(c->cmd, c->r->at->scratch.buffer,
			c->r->at->v.dispatch.offset + (up ? 0 : 3 * sizeof(uint32_t)));
	else
		vkCmdDispatch(c->cmd, groups_x(c->r, m, 0), push.n_items, 1);
	mark(c, up ? "expert_up" : "expert_down");
}

/* behind: the layer whose experts' outputs are to be added first, where they are apart; forms of h. */
static void norm(struct recorder *c, VkDescriptorSet set, uint32_t n,
	const struct lvx_layer *behind, uint32_t n_act, uint32_t forms)
{
	const struct lvx_config *config = &c->r->model->config;
	struct {
		uint32_t dim;
		float eps;
		uint32_t top_k, n_act, forms;
	} push = {config->hidden, config->eps,
		behind && behind->moe && !c->fused ? config->top_k : 0, n_act, forms};
	dispatch(c, "norm", c->r->norm_p, set, &push, sizeof(push), n, 1);
}

/* The embeddings of n tokens. */
static void tokens(struct recorder *c, VkDescriptorSet set, uint32_t n)
{
	struct lvx_push_product push = linear_push(&c->r->embed, n);
	push.y_stride = c->r->embed.cols;
	if (n)
		dispatch(c, "tokens", c->r->tokens_p, set, &push, sizeof(push), n, 1);
}

static void record_inputs(struct recorder *c, const struct lvx_shape *s, uint32_t n)
{
	struct lvx_runner *r = c->r;
	struct {
		uint32_t dim;
		float eps;
	} push = {r->model->config.hidden, r->model->config.eps};
	tokens(c, r->at->s.lane_tokens, s->n_slots * r->model->config.n_lanes);
	tokens(c, r->at->s.tokens, s->n_tokens);
	linear(c, "audio", &r->audio, r->at->s.audio, s->n_slots);
	linear(c, "image", &r->image, r->at->s.image, s->n_patches);
	barrier(c);
	linear(c, "lanes_in", &r->lanes_in, r->at->s.lanes_in, s->n_slots);
	barrier(c);
	dispatch(c, "embed", r->embed_p, r->at->s.embed, &push, sizeof(push), n, 1);
	barrier(c);
}

static void record_attention(
	struct recorder *c, const struct lvx_shape *shape, uint32_t l, uint32_t n)
{
	struct lvx_runner *r = c->r;
	const struct lvx_config *config = &r->model->config;
	const struct lvx_layer *y = &r->layers[l];
	const struct lvx_layer_sets *s = &r->at->sets[l];
	/* On a GPU the attention does this for slots. */
	uint32_t n_done = r->vk->is_cpu ? 0 : shape->n_slots;
	struct {
		uint32_t n_pos, heads, kv_heads, cap;
		float eps;
		uint32_t first;
	} rope = {n - n_done, config->n_heads, config->n_kv_heads, r->key_cap, config->eps, n_done};
	float scale = 1.0f;
	for (uint32_t d = config->head_dim; d > 1; d /= 4) /* 1 / sqrt of a power of two */
		scale *= d >= 4 ? 0.5f : 0.70710678118654752f;
	struct {
		uint32_t kv_heads, cap;
		float scale;
		uint32_t first;
		float eps;
		uint32_t halves;
	} attention = {config->n_kv_heads, r->key_cap, scale, 0, config->eps,
		in_halves(r, &y->out, n)};
	uint32_t all = config->n_heads + 2 * config->n_kv_heads;
	if (c->fused) {
		linear_normed(c, "qkv", &y->qkv, s->qkv_normed, linear_push(&y->qkv, n));
	} else {
		norm(c, s->norm1, n, l == 0 ? NULL : &r->layers[l - 1], 0,
			in_halves(r, &y->qkv, n) ? FORM_F16 : FORM_F32);
		barrier(c);
		linear(c, "qkv", &y->qkv, s->qkv, n);
	}
	barrier(c);
	if (rope.n_pos) {
		dispatch(c, "rope", r->rope_p, s->rope, &rope, sizeof(rope),
			(rope.n_pos * all + LVX_VK_GROUP - 1) / LVX_VK_GROUP, 1);
		barrier(c);
	}
	/* a picture's patches see the same keys and share the work */
	const struct {
		VkPipeline pipeline;
		uint32_t n, queries, parts;
	} kinds[] = {{r->vk->is_cpu ? r->attention_p : r->attention_slots_p, shape->n_slots, 1,
			     r->vk->is_cpu ? 1 : lvx_key_parts(r, shape->n_slots)},
		{r->attention_patches_p, shape->n_patches, r->patch_queries, 1},
		{r->attention_p, shape->n_tokens, 1, 1}};
	for (uint32_t k = 0; k < 3; k++) {
		if (kinds[k].n)
			dispatch_z(c, "attention", kinds[k].pipeline, s->attention, &attention,
				sizeof(attention), kinds[k].n / kinds[k].queries,
				config->n_kv_heads, kinds[k].parts);
		attention.first += kinds[k].n;
	}
	barrier(c);
	linear_add(c, "out", &y->out, s->out, n);
	barrier(c);
}

/* The kernel for the items of n positions that are spread over the experts, of both products. */
static uint32_t expert_tile(const struct lvx_runner *r, const struct lvx_layer *y, uint32_t n)
{
	uint32_t items = n * r->model->config.top_k;
	if (r->vk->is_cpu)
		return items <= 32 ? 1 : 2;
	uint32_t tile = pick_tile(r, &y->expert_up, items / y->expert_up.n_groups + 1);
	if (!lvx_has_tile(r->vk, y->expert_down.format, tile))
		tile = LVX_TILE_FEW;
	return tile ? tile : 1;
}

/* The experts of the first n positions; h is ready, and on a GPU the shared one is done. */
static void record_experts(struct recorder *c, uint32_t l, uint32_t n)
{
	struct lvx_runner *r = c->r;
	const struct lvx_layer *y = &r->layers[l];
	const struct lvx_layer_sets *s = &r->at->sets[l];
	bool grouped = n > DIRECT_MAX;
	uint32_t items = n * r->model->config.top_k, tile = expert_tile(r, y, n);
	struct {
		uint32_t n_items, tile, items_at, x_up, x_down;
	} sort = {items, lvx_tiles[tile].positions,
		(r->model->config.n_experts + r->at->max_positions * r->model->config.top_k) * 4,
		groups_x(r, &y->expert_up, tile),
		groups_x(r, &y->expert_down, tile)};
	if (grouped) {
		dispatch(c, "group", r->group_p, s->group, &sort, sizeof(sort), 1, 1);
		barrier_for(c, VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT,
			VK_ACCESS_INDIRECT_COMMAND_READ_BIT);
	}
	if (r->vk->is_cpu)
		linear_up(c, s->up, n, y);
	experts(c, &y->expert_up, grouped ? s->expert_up : s->expert_up_direct, n, y, true, grouped,
		tile);
	barrier(c);
	if (r->vk->is_cpu)
		linear_add(c, "down", &y->down, s->down, n);
	if (c->fused)
		experts_summed(c, &y->expert_down, s->expert_down_summed, n);
	else
		experts(c, &y->expert_down, grouped ? s->expert_down : s->expert_down_direct, n, y,
			false, grouped, tile);
	barrier(c);
}

static void record_layer(struct recorder *c, const struct lvx_shape *shape, uint32_t l, uint32_t n)
{
	struct lvx_runner *r = c->r;
	const struct lvx_config *config = &r->model->config;
	const struct lvx_layer *y = &r->layers[l];
	const struct lvx_layer_sets *s = &r->at->sets[l];
	/* Behind the last attention only slots go on; the others were there for their keys. */
	uint32_t go_on = l + 1 == config->n_layers ? shape->n_slots : n;
	record_attention(c, shape, l, n);
	if (!y->moe) {
		if (!go_on)
			return;
		if (c->fused) {
			linear_normed(c, "up", &y->up, s->up_normed, gated_push(&y->up, go_on, y));
		} else {
			norm(c, s->norm2, go_on, NULL, 0,
				in_halves(r, &y->up, go_on) ? FORM_F16 : FORM_F32);
			barrier(c);
			linear_up(c, s->up, go_on, y);
		}
		barrier(c);
		linear_add(c, "down", &y->down, s->down, go_on);
		barrier(c);
		return;
	}
	struct {
		uint32_t dim;
		float eps, scale;
		uint32_t n_choose;
	} push = {config->hidden, config->eps, config->routed_scale, go_on};
	if (!r->vk->is_cpu) {
		/* The shared expert is done beside the choice of the others, which leaves most of a
		 * GPU idle. */
		bool halves = in_halves(r, &y->up, go_on) ||
			      (go_on > DIRECT_MAX && expert_tile(r, y, go_on) > LVX_TILE_FEW);
		norm(c, s->norm2, n, NULL, 0, halves ? FORM_F32 | FORM_F16 : FORM_F32);
		barrier(c);
		linear(c, "route", &y->router, s->route, n);
		linear_up(c, s->up, go_on, y);
		barrier(c);
		linear_add(c, "down", &y->down, s->down, go_on);
	}
	dispatch(c, "router", r->router_p, s->router, &push, sizeof(push), n, 1);
	barrier(c);
	if (shape->n_long_runs && r->nm) {
		uint32_t memory[2] = {shape->n_slots, r->nm};
		dispatch(c, "memory", r->memory_p, s->memory, memory, sizeof(memory), shape->n_long_runs, 1);
	}
	if (go_on)
		record_experts(c, l, go_on);
}

static void record_heads(struct recorder *c, const struct lvx_shape *shape)
{
	struct lvx_runner *r = c->r;
	const struct lvx_config *config = &r->model->config;
	uint32_t items = 0;
	norm(c, r->at->s.final, shape->n_slots, &r->layers[config->n_layers - 1],
		config->n_activity, FORM_F32);
	barrier(c);
	for (uint32_t i = 0; i < config->n_lanes; i++) {
		struct lvx_push_product push = linear_push(&r->lanes_out, shape->n_items[i]);
		push.x_base = items * push.x_stride;
		push.y_base = items * push.y_stride;
		push.w_base = i * push.w_group;
		push.s_base = i * push.s_group;
		run_plain(c, "lanes_out", &r->lanes_out, r->at->s.lanes_out, &push);
		items += shape->n_items[i];
	}
	if (!items)
		return;
	barrier(c);
	linear(c, "vocab", &r->embed, r->at->s.vocab, items);
	barrier(c);
	const struct {
		uint32_t vocab, pad, n_first;
	} push = {config->vocab, (uint32_t)config->pad_token, shape->n_items[0]};
	dispatch(c, "argmax", r->argmax_p, r->at->s.argmax, &push, sizeof(push), items, 1);
}

/* What the host wrote for this shape. */
static void copy_inputs(struct recorder *c, const struct lvx_shape *s, uint32_t n)
{
	const struct lvx_runner *r = c->r;
	const struct lvx_config *config = &r->model->config;
	uint32_t runs = s->n_slots + s->n_long_runs;
	const struct {
		const struct lvx_view *view;
		VkDeviceSize floats;
	} list[] = {
		{&r->at->v.pos, n * sizeof(struct lvx_pos) / 4},
		{&r->at->v.runs, runs * sizeof(struct lvx_run_rec) / 4},
		{&r->at->v.rope, (VkDeviceSize)n * config->rotary_dim},
		{&r->at->v.mel, (VkDeviceSize)s->n_slots * r->audio.cols},
		{&r->at->v.lane_ids, (VkDeviceSize)s->n_slots * config->n_lanes},
		{&r->at->v.patches, (VkDeviceSize)s->n_patches * r->image.cols},
		{&r->at->v.token_ids, s->n_tokens},
		{&r->at->v.favoured, s->n_items[0] * sizeof(struct lvx_favoured) / 4},
	};
	VkBufferCopy regions[sizeof(list) / sizeof(list[0])];
	uint32_t n_regions = 0;
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i].floats)
			regions[n_regions++] = (VkBufferCopy){
				list[i].view->offset, list[i].view->offset, 4 * list[i].floats};
	vkCmdCopyBuffer(c->cmd, r->at->upload.buffer, r->at->inputs.buffer, n_regions, regions);
	VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT};
	vkCmdPipelineBarrier(c->cmd, VK_PIPELINE_STAGE_TRANSFER_BIT,
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &b, 0, NULL, 0, NULL);
}

static VkResult record(struct lvx_runner *r, struct lvx_recorded *rec, const struct lvx_shape *shape)
{
	VkCommandBuffer cmd = rec->cmd;
	struct recorder c = {.r = r, .cmd = cmd, .rec = rec, .layer = LVX_NO_LAYER};
	VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
	VkResult result = vkBeginCommandBuffer(cmd, &begin);
	if (result != VK_SUCCESS)
		return result;
	uint32_t n = shape->n_slots + shape->n_patches + shape->n_tokens;
	c.fused = !r->vk->is_cpu && !r->exact && n <= DIRECT_MAX;
	rec->n_marks = 0;
	if (r->queries)
		vkCmdResetQueryPool(cmd, r->queries, 0, LVX_MARKS_MAX);
	/* What comes before may still be on its way, or in the caches; its inputs are overwritten. */
	VkMemoryBarrier before = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
				 VK_ACCESS_INDIRECT_COMMAND_READ_BIT};
	vkCmdPipelineBarrier(cmd,
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT,
		VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_DRAW_INDIRECT_BIT |
			VK_PIPELINE_STAGE_TRANSFER_BIT,
		0, 1, &before, 0, NULL, 0, NULL);
	mark(&c, "begin");
	if (!r->vk->is_cpu && shape->layer == 0) {
		copy_inputs(&c, shape, n);
		mark(&c, "copy");
	}
	if (shape->layer == 0)
		record_inputs(&c, shape, n);
	for (uint32_t l = shape->layer; l < shape->end_layer; l++) {
		c.layer = l;
		record_layer(&c, shape, l, n);
	}
	c.layer = LVX_NO_LAYER;
	if (shape->n_slots)
		record_heads(&c, shape);
	VkMemoryBarrier host = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
		.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
		.dstAccessMask = VK_ACCESS_HOST_READ_BIT};
	vkCmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT,
		0, 1, &host, 0, NULL, 0, NULL);
	return vkEndCommandBuffer(cmd);
}

enum lvx_status lvx_runner_command(struct lvx_runner *r, VkCommandBuffer *out)
{
	struct lvx_recorded *pick = &r->recorded[0];
	for (uint32_t i = 0; i < LVX_SHAPES; i++) {
		struct lvx_recorded *rec = &r->recorded[i];
		if (rec->used && memcmp(&rec->shape, &r->at->shape, sizeof(r->at->shape)) == 0) {
			rec->used = r->step;
			r->last = rec;
			*out = rec->cmd;
			return LVX_OK;
		}
		if (rec->used < pick->used)
			pick = rec;
	}
	VkResult result = VK_SUCCESS;
	if (r->queries && !pick->marks) {
		pick->marks = calloc(LVX_MARKS_MAX, sizeof(*pick->marks));
		if (!pick->marks)
			return LVX_ENOMEM;
	}
	if (!pick->cmd) {
		VkCommandBufferAllocateInfo alloc = {
			.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
			.commandPool = r->vk->pool,
			.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
			.commandBufferCount = 1};
		result = vkAllocateCommandBuffers(r->vk->device, &alloc, &pick->cmd);
	}
	pick->used = 0;
	if (result == VK_SUCCESS)
		result = record(r, pick, &r->at->shape);
	if (result != VK_SUCCESS)
		return lvx_vk_status(result);
	pick->shape = r->at->shape;
	pick->used = r->step;
	r->last = pick;
	*out = pick->cmd;
	return LVX_OK;
}
