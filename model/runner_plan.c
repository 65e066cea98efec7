/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, pipelines and descriptor sets: all that a step needs, made once. */
#include "model/runner_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "argmax_spv.h"
#include "attention8_spv.h"
#include "attention_spv.h"
#include "embed_spv.h"
#include "group_spv.h"
#include "memory_spv.h"
#include "norm_spv.h"
#include "rope_spv.h"
#include "router_spv.h"
#include "tokens_spv.h"

enum { ALIGN = 256 };
/* Of the attention: keys of a chunk, bytes of their scores, queries of a work group. */
enum { CHUNK_MAX = 768, SCORES_MAX = 12288, QUERIES_MAX = 4, N_MAX = 16 };
/* Where the keys of a position are shared out: work groups of all, of a position and key head; keys
 * of each. */
enum { PART_GROUPS = 256, PARTS_MAX = 16, PART_KEYS = 32 };
enum { SORT_GROUP = 256, WORDS_GROUP = 256 };

/* ---- buffers ---- */

struct wanted {
	struct lvx_view *view;
	VkDeviceSize floats; /* 4 bytes each */
};

/* One buffer for all the views of a list; where there is one already, it has room for the same list. */
static enum lvx_status carve(struct lvx_runner *r, struct lvx_vk_buffer *buffer,
	const struct wanted *list, size_t n, enum lvx_vk_memory kind, const char *what,
	struct lvx_error *err)
{
	VkDeviceSize at = 0;
	for (size_t i = 0; i < n; i++) {
		VkDeviceSize size = list[i].floats ? list[i].floats * 4 : 16; /* at least a texel */
		if (size > r->vk->limits.maxStorageBufferRange)
			return lvx_fail(err, LVX_ELIMIT,
				"%s: %u rows of this model need a buffer of %llu MiB for %s; the "
				"device allows %u MiB",
				r->vk->info.name, r->n_rows, (unsigned long long)(size >> 20), what,
				r->vk->limits.maxStorageBufferRange >> 20);
		*list[i].view = (struct lvx_view){.offset = at, .size = size};
		at = (at + size + ALIGN - 1) / ALIGN * ALIGN;
	}
	enum lvx_status st = LVX_OK;
	if (!buffer->buffer)
		st = lvx_vk_buffer_create(r->vk, buffer, at, kind, what, err);
	for (size_t i = 0; i < n && st == LVX_OK; i++)
		list[i].view->buffer = buffer->buffer;
	return st;
}

/* Where long runs are taken in pieces there are none. */
static VkDeviceSize slots_at(const struct lvx_runner *r)
{
	return r->at == &r->places[LVX_PLACE_LONG] ? 0 : r->n_rows;
}

static enum lvx_status upload_buffers(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	VkDeviceSize p = r->at->max_positions, s = slots_at(r);
	const struct wanted list[] = {
		{&r->at->v.pos, p * sizeof(struct lvx_pos) / 4},
		{&r->at->v.runs, r->n_rows * sizeof(struct lvx_run_rec) / 4},
		{&r->at->v.rope, p * c->rotary_dim},
		{&r->at->v.mel, s * r->audio.cols},
		{&r->at->v.lane_ids, s * c->n_lanes},
		{&r->at->v.patches, p * r->image.cols},
		{&r->at->v.token_ids, p},
		{&r->at->v.favoured, s * sizeof(struct lvx_favoured) / 4},
	};
	size_t n = sizeof(list) / sizeof(list[0]);
	enum lvx_status st = carve(r, &r->at->upload, list, n, LVX_VK_UPLOAD, "inputs", err);
	if (st == LVX_OK && !r->vk->is_cpu)
		st = carve(r, &r->at->inputs, list, n, LVX_VK_DEVICE, "inputs", err);
	VkDeviceSize items = s * c->n_lanes;
	const struct wanted back[] = {
		{&r->at->v.best, items * sizeof(struct lvx_best) / 4},
		{&r->at->v.activity, s * 4},
	};
	return st == LVX_OK ? carve(r, &r->at->readback, back, 2, LVX_VK_READBACK, "results", err) : st;
}

static enum lvx_status scratch_buffers(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	VkDeviceSize p = r->at->max_positions, s = slots_at(r), d = c->hidden, top = c->top_k;
	VkDeviceSize items = s * c->n_lanes;
	VkDeviceSize heads = (VkDeviceSize)c->n_heads * c->head_dim;
	uint32_t wide = c->dense_inter > c->shared_inter ? c->dense_inter : c->shared_inter;
	const struct wanted list[] = {
		{&r->at->v.lane_tokens, s * r->lanes_in.cols},
		{&r->at->v.tokens, p * d},
		{&r->at->v.audio, s * d},
		{&r->at->v.lanes, s * d},
		{&r->at->v.image, p * d},
		{&r->at->v.x, p * d},
		{&r->at->v.h, p * d},
		{&r->at->v.h16, r->vk->is_cpu || r->exact ? 0 : p * d / 2},
		{&r->at->v.qkv, p * r->layers[0].qkv.rows},
		{&r->at->v.q, p * heads},
		{&r->at->v.attention, p * heads},
		{&r->at->v.unit, p * wide},
		{&r->at->v.expert_unit, p * top * c->expert_inter},
		{&r->at->v.expert_sum, p * top * d},
		{&r->at->v.kvh, p * r->nm},
		{&r->at->v.choice, p * top},
		{&r->at->v.share, p * top},
		{&r->at->v.list, (c->n_experts + p * top) * 4 + p * top},
		{&r->at->v.dispatch, 8},
		{&r->at->v.heads, items * d},
		{&r->at->v.lane_heads, items * d},
		{&r->at->v.logits, items * c->vocab},
		{&r->at->v.routed, r->vk->is_cpu ? 0 : p * 2 * (c->n_experts + c->router_dim)},
		{&r->at->v.key_parts, r->vk->is_cpu ? 0
						    : PART_GROUPS * (c->n_heads / c->n_kv_heads) *
							      (c->head_dim + 4)},
	};
	return carve(r, &r->at->scratch, list, sizeof(list) / sizeof(list[0]), LVX_VK_DEVICE,
		"activations", err);
}

static enum lvx_status state_buffers(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	VkDeviceSize keys = (VkDeviceSize)r->n_rows * r->key_cap * c->n_kv_heads * c->head_dim /
			    (r->half_cache ? 2 : 1);
	struct wanted list[LVX_LAYERS_MAX + 1];
	r->kv_layers = calloc((size_t)c->n_layers * 2, sizeof(*r->kv_layers));
	if (!r->kv_layers)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	for (uint32_t l = 0; l < c->n_layers; l++) {
		const struct wanted k = {&r->layers[l].k_cache, keys};
		const struct wanted v = {&r->layers[l].v_cache, keys};
		enum lvx_status st = carve(
			r, &r->kv_layers[2 * l], &k, 1, LVX_VK_DEVICE, "the cache of keys", err);
		if (st == LVX_OK)
			st = carve(r, &r->kv_layers[2 * l + 1], &v, 1, LVX_VK_DEVICE,
				"the cache of values", err);
		if (st != LVX_OK)
			return st;
		list[l] = (struct wanted){
			&r->layers[l].memory, (VkDeviceSize)r->n_rows * LVX_MODALITIES * r->nm};
	}
	list[c->n_layers] = (struct wanted){&r->ended, PART_GROUPS};
	enum lvx_status st = carve(
		r, &r->memory, list, c->n_layers + 1, LVX_VK_DEVICE, "the modality memories", err);
	/* Reading an entry that was never written must not give NaN. */
	return st == LVX_OK ? lvx_vk_zero(r->vk, &r->memory, err) : st;
}

enum lvx_status lvx_runner_buffers(struct lvx_runner *r, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < LVX_PLACES && st == LVX_OK; i++) {
		r->at = &r->places[i];
		if (!r->at->max_positions)
			continue;
		if (i == LVX_PLACE_SECOND) {
			r->at->scratch = r->places[LVX_PLACE_STEP].scratch;
			r->at->inputs = r->places[LVX_PLACE_STEP].inputs;
		}
		st = upload_buffers(r, err);
		if (st == LVX_OK)
			st = scratch_buffers(r, err);
	}
	return st == LVX_OK ? state_buffers(r, err) : st;
}

/* ---- pipelines ---- */

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* What the kernels can't do although the configuration is well-formed. */
static enum lvx_status check_shapes(const struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	if (!power_of_two(c->head_dim) || c->head_dim > 128)
		return lvx_fail(err, LVX_EUNSUPPORTED,
			"%s: 'head_dim' is %u; allowed are 8, 16, 32, 64 and 128",
			r->model->info.name, c->head_dim);
	if (c->rotary_dim % 8)
		return lvx_fail(err, LVX_EUNSUPPORTED,
			"%s: 'rotary_dim' is %u; it must be a multiple of 8", r->model->info.name,
			c->rotary_dim);
	return LVX_OK;
}

/* Invocations for so many vec4s. */
static uint32_t wide_group(uint32_t n)
{
	return n >= 512 ? 256 : n >= 128 ? 128 : LVX_VK_GROUP;
}

/* Keys of a chunk: their scores lie in shared memory beside the queries and the sums. */
static uint32_t chunk_of(const struct lvx_runner *r, uint32_t n_queries, uint32_t wide)
{
	uint32_t hd4 = r->model->config.head_dim / 4;
	uint32_t others = n_queries * wide * 16 + (n_queries + 2) * hd4 * 16 + 512;
	uint32_t most = r->vk->limits.maxComputeSharedMemorySize - others, chunk = CHUNK_MAX;
	most = most < SCORES_MAX ? most : SCORES_MAX;
	while (chunk > 64 && n_queries * chunk * 4 > most)
		chunk /= 2;
	return chunk;
}

uint32_t lvx_key_parts(const struct lvx_runner *r, uint32_t n_slots)
{
	uint32_t parts = 1, tasks = n_slots * r->model->config.n_kv_heads;
	/* Sums of parts differ from the whole's in their last bits. */
	while (!r->exact && parts < PARTS_MAX && 2 * parts * tasks <= PART_GROUPS &&
		2 * parts * PART_KEYS <= r->key_cap)
		parts *= 2;
	return parts;
}

enum lvx_status lvx_runner_pipelines(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_config *c = &r->model->config;
	uint32_t group = c->n_heads / c->n_kv_heads, cpu = r->vk->is_cpu;
	r->group = cpu ? LVX_CPU_GROUP : wide_group(c->hidden / 4);
	r->patch_queries = QUERIES_MAX;
	while (r->n_patches % r->patch_queries || r->patch_queries * group > N_MAX)
		r->patch_queries /= 2;
	uint32_t plain[] = {r->group};
	uint32_t rope[] = {LVX_VK_GROUP, c->head_dim / 4, c->rotary_dim / 8, r->half_cache};
	uint32_t wide = group <= 8 ? 128 : 64;
	uint32_t attention[] = {wide, c->head_dim / 4, group, chunk_of(r, group, wide), 1, wide,
		r->half_cache, false, c->rotary_dim / 8};
	uint32_t slots[] = {wide, c->head_dim / 4, group, chunk_of(r, group, wide), 1, wide,
		r->half_cache, true, c->rotary_dim / 8};
	uint32_t patch_n = group * r->patch_queries, patch_wide = patch_n <= 8 ? 128 : 64;
	uint32_t patches[] = {patch_wide, c->head_dim / 4, group, chunk_of(r, patch_n, patch_wide),
		r->patch_queries, patch_wide, r->half_cache, false, c->rotary_dim / 8};
	uint32_t attention8[] = {LVX_CPU_GROUP, c->head_dim / 4, group, 1};
	uint32_t patches8[] = {LVX_CPU_GROUP, c->head_dim / 4, group, r->patch_queries};
	const uint32_t *code = cpu ? attention8_spv : attention_spv;
	size_t bytes = cpu ? sizeof(attention8_spv) : sizeof(attention_spv);
	uint32_t n = cpu ? 4 : 9;
	uint32_t router[] = {cpu ? r->group : LVX_VK_GROUP, c->n_experts, c->router_dim, c->top_k, cpu};
	uint32_t sort[] = {cpu ? r->group : SORT_GROUP, c->n_experts};
	uint32_t words[] = {cpu ? r->group : WORDS_GROUP};
	uint32_t tokens[] = {r->group, r->embed.format, 1, !cpu};
	const struct {
		VkPipeline *out;
		const uint32_t *code;
		size_t bytes;
		const uint32_t *spec;
		uint32_t n;
		const char *name;
	} list[] = {
		{&r->tokens_p, tokens_spv, sizeof(tokens_spv), tokens, 4, "tokens"},
		{&r->embed_p, embed_spv, sizeof(embed_spv), plain, 1, "embed"},
		{&r->norm_p, norm_spv, sizeof(norm_spv), plain, 1, "norm"},
		{&r->rope_p, rope_spv, sizeof(rope_spv), rope, 4, "rope"},
		{&r->attention_p, code, bytes, cpu ? attention8 : attention, n, "attention"},
		{&r->attention_patches_p, code, bytes, cpu ? patches8 : patches, n, "attention"},
		{&r->router_p, router_spv, sizeof(router_spv), router, 5, "router"},
		{&r->memory_p, memory_spv, sizeof(memory_spv), plain, 1, "memory"},
		{&r->group_p, group_spv, sizeof(group_spv), sort, 2, "group"},
		{&r->argmax_p, argmax_spv, sizeof(argmax_spv), words, 1, "argmax"},
	};
	enum lvx_status st = check_shapes(r, err);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]) && st == LVX_OK; i++)
		st = lvx_vk_pipeline(r->vk, list[i].out, list[i].code, list[i].bytes, list[i].spec,
			list[i].n, list[i].name, err);
	if (st == LVX_OK && !cpu)
		st = lvx_vk_pipeline(r->vk, &r->attention_slots_p, code, bytes, slots, n, "attention", err);
	return st == LVX_OK ? lvx_runner_products(r, err) : st;
}

/* ---- descriptor sets ---- */

static VkResult make_set(
	struct lvx_runner *r, VkDescriptorSet *out, const struct lvx_view *const *views, uint32_t n)
{
	VkDescriptorSetAllocateInfo alloc = {
		.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
		.descriptorPool = r->at->sets_pool,
		.descriptorSetCount = 1,
		.pSetLayouts = &r->vk->set_layout};
	VkResult result = vkAllocateDescriptorSets(r->vk->device, &alloc, out);
	if (result != VK_SUCCESS)
		return result;
	VkDescriptorBufferInfo buffers[LVX_VK_BINDINGS];
	for (uint32_t i = 0; i < n; i++)
		buffers[i] = (VkDescriptorBufferInfo){
			views[i]->buffer, views[i]->offset, views[i]->size};
	VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = *out,
		.descriptorCount = n,
		.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
		.pBufferInfo = buffers};
	vkUpdateDescriptorSets(r->vk->device, 1, &write, 0, NULL);
	return VK_SUCCESS;
}

#define MAKE_SET(out, ...)                                                                         \
	do {                                                                                       \
		const struct lvx_view *const views[] = {__VA_ARGS__};                              \
		if (result == VK_SUCCESS)                                                          \
			result = make_set(r, out, views, sizeof(views) / sizeof(views[0]));        \
	} while (0)

/* The same memory once more, as texels: for the kernels of CPUs. */
static VkResult add_texels(struct lvx_runner *r, VkDescriptorSet set, uint32_t n,
	const struct lvx_view *const *views, const VkFormat *formats)
{
	VkBufferView texels[LVX_VK_TEXELS];
	VkResult result = VK_SUCCESS;
	if (!r->vk->is_cpu)
		return VK_SUCCESS;
	for (uint32_t i = 0; i < n && result == VK_SUCCESS; i++) {
		VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
			.buffer = views[i]->buffer,
			.format = formats[i],
			.offset = views[i]->offset,
			.range = views[i]->size};
		result = vkCreateBufferView(r->vk->device, &info, NULL, &texels[i]);
		if (result == VK_SUCCESS)
			r->at->texels[r->at->n_texels++] = texels[i];
	}
	VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
		.dstSet = set,
		.dstBinding = LVX_VK_BINDINGS,
		.descriptorCount = n,
		.descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
		.pTexelBufferView = texels};
	if (result == VK_SUCCESS)
		vkUpdateDescriptorSets(r->vk->device, 1, &write, 0, NULL);
	return result;
}

/* A product: y = W x. list: which experts, where there are some. x in f16 is in the same view, but for
 * h, which has readers of both kinds at once. */
static VkResult product_set(struct lvx_runner *r, VkDescriptorSet *out, const struct lvx_matrix *m,
	const struct lvx_view *x, const struct lvx_view *y, const struct lvx_view *list,
	const struct lvx_view *norm)
{
	static const VkFormat formats[] = {VK_FORMAT_R32G32B32A32_UINT,
		VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R32_SFLOAT};
	const struct lvx_view *texels[] = {&m->weights, x, &m->scales};
	VkResult result = VK_SUCCESS;
	const struct lvx_view *x16 = x == &r->at->v.h ? &r->at->v.h16 : x;
	MAKE_SET(out, &m->weights, &m->scales, x, y, list, norm, &r->at->v.share, x16);
	return result == VK_SUCCESS ? add_texels(r, *out, 3, texels, formats) : result;
}

/* norm: only read by a product with NORM */
#define NORMED_SET(out, m, x, y, list, norm)                                                       \
	do {                                                                                       \
		if (result == VK_SUCCESS)                                                          \
			result = product_set(r, out, &(m), x, y, list, norm);                      \
	} while (0)
#define PRODUCT_SET(out, m, x, y, list) NORMED_SET(out, m, x, y, list, &r->final_norm)

static VkResult layer_sets(struct lvx_runner *r, uint32_t l)
{
	static const VkFormat vec4s[] = {VK_FORMAT_R32G32B32A32_SFLOAT,
		VK_FORMAT_R32G32B32A32_SFLOAT, VK_FORMAT_R32G32B32A32_SFLOAT};
	const struct lvx_layer *y = &r->layers[l];
	const struct lvx_view *keys[] = {&y->k_cache, &y->v_cache, &r->at->v.q};
	struct lvx_layer_sets *s = &r->at->sets[l];
	VkResult result = VK_SUCCESS;
	MAKE_SET(&s->norm1, &r->at->v.pos, &r->at->v.x, &r->at->v.expert_sum, &r->at->v.share,
		&y->norm1, &r->at->v.h, &r->activity, &r->at->v.activity,
		&r->at->v.h16);
	PRODUCT_SET(&s->qkv, y->qkv, &r->at->v.h, &r->at->v.qkv, &r->at->v.list);
	NORMED_SET(&s->qkv_normed, y->qkv, &r->at->v.x, &r->at->v.qkv, &r->at->v.list, &y->norm1);
	MAKE_SET(&s->rope, &r->at->v.pos, &r->at->v.qkv, &r->at->v.rope, &y->q_norm, &y->k_norm, &r->at->v.q,
		&y->k_cache, &y->v_cache);
	MAKE_SET(&s->attention, &r->at->v.pos, &r->at->v.q, &y->k_cache, &y->v_cache,
		&r->at->v.attention, &r->at->v.qkv, &r->at->v.rope, &y->q_norm, &y->k_norm,
		&r->at->v.key_parts, &r->ended);
	if (result == VK_SUCCESS)
		result = add_texels(r, s->attention, 3, keys, vec4s);
	PRODUCT_SET(&s->out, y->out, &r->at->v.attention, &r->at->v.x, &r->at->v.list);
	PRODUCT_SET(&s->up, y->up, &r->at->v.h, &r->at->v.unit, &r->at->v.list);
	NORMED_SET(&s->up_normed, y->up, &r->at->v.x, &r->at->v.unit, &r->at->v.list, &y->norm2);
	PRODUCT_SET(&s->down, y->down, &r->at->v.unit, &r->at->v.x, &r->at->v.list);
	MAKE_SET(&s->norm2, &r->at->v.pos, &r->at->v.x, &r->at->v.expert_sum, &r->at->v.share,
		&y->norm2, &r->at->v.h, &r->activity, &r->at->v.activity,
		&r->at->v.h16);
	if (!y->moe)
		return result;
	PRODUCT_SET(&s->route, y->router, &r->at->v.h, &r->at->v.routed, &r->at->v.list);
	MAKE_SET(&s->router, &r->at->v.pos, &r->at->v.runs, &r->at->v.x, &r->at->v.routed,
		&y->norm2, &r->at->v.h, &y->router.weights, &y->router_bias, &y->memory,
		&r->at->v.kvh, &r->at->v.choice, &r->at->v.share);
	MAKE_SET(&s->memory, &r->at->v.runs, &r->at->v.kvh, &y->memory);
	MAKE_SET(&s->group, &r->at->v.choice, &r->at->v.list, &r->at->v.dispatch);
	PRODUCT_SET(&s->expert_up, y->expert_up, &r->at->v.h, &r->at->v.expert_unit, &r->at->v.list);
	PRODUCT_SET(&s->expert_down, y->expert_down, &r->at->v.expert_unit, &r->at->v.expert_sum,
		&r->at->v.list);
	PRODUCT_SET(&s->expert_up_direct, y->expert_up, &r->at->v.h, &r->at->v.expert_unit,
		&r->at->v.choice);
	PRODUCT_SET(&s->expert_down_direct, y->expert_down, &r->at->v.expert_unit,
		&r->at->v.expert_sum, &r->at->v.choice);
	PRODUCT_SET(&s->expert_down_summed, y->expert_down, &r->at->v.expert_unit, &r->at->v.x,
		&r->at->v.choice);
	return result;
}

static enum lvx_status sets_at(struct lvx_runner *r, struct lvx_error *err)
{
	const uint32_t n_layers = r->model->config.n_layers,
		       of_layer = sizeof(struct lvx_layer_sets) / sizeof(VkDescriptorSet);
	const uint32_t n = 10 + n_layers * of_layer;
	const VkDescriptorPoolSize sizes[] = {
		{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, n * LVX_VK_BINDINGS},
		{VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, n * LVX_VK_TEXELS}};
	VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
		.maxSets = n,
		.poolSizeCount = 2,
		.pPoolSizes = sizes};
	VkResult result = vkCreateDescriptorPool(r->vk->device, &pool, NULL, &r->at->sets_pool);
	r->at->sets = calloc(n_layers, sizeof(*r->at->sets));
	r->at->texels = calloc((size_t)n * LVX_VK_TEXELS, sizeof(*r->at->texels));
	if (!r->at->sets || !r->at->texels)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	MAKE_SET(&r->at->s.lane_tokens, &r->embed.weights, &r->embed.scales, &r->at->v.mel,
		&r->at->v.lane_tokens, &r->at->v.lane_ids);
	MAKE_SET(&r->at->s.tokens, &r->embed.weights, &r->embed.scales, &r->at->v.mel, &r->at->v.tokens,
		&r->at->v.token_ids);
	PRODUCT_SET(&r->at->s.audio, r->audio, &r->at->v.mel, &r->at->v.audio, &r->at->v.list);
	PRODUCT_SET(&r->at->s.lanes_in, r->lanes_in, &r->at->v.lane_tokens, &r->at->v.lanes, &r->at->v.list);
	PRODUCT_SET(&r->at->s.image, r->image, &r->at->v.patches, &r->at->v.image, &r->at->v.list);
	MAKE_SET(&r->at->s.embed, &r->at->v.pos, &r->conditions, &r->at->v.audio, &r->at->v.lanes, &r->at->v.image,
		&r->at->v.tokens, &r->place, &r->audio_norm, &r->image_norm, &r->at->v.runs, &r->at->v.x);
	MAKE_SET(&r->at->s.final, &r->at->v.pos, &r->at->v.x, &r->at->v.expert_sum, &r->at->v.share,
		&r->final_norm, &r->at->v.heads, &r->activity, &r->at->v.activity,
		&r->at->v.h16);
	PRODUCT_SET(&r->at->s.lanes_out, r->lanes_out, &r->at->v.heads, &r->at->v.lane_heads, &r->at->v.list);
	PRODUCT_SET(&r->at->s.vocab, r->embed, &r->at->v.lane_heads, &r->at->v.logits, &r->at->v.list);
	MAKE_SET(&r->at->s.argmax, &r->at->v.logits, &r->at->v.best, &r->at->v.favoured);
	for (uint32_t l = 0; l < n_layers && result == VK_SUCCESS; l++)
		result = layer_sets(r, l);
	if (result != VK_SUCCESS)
		return lvx_fail(err, lvx_vk_status(result), "%s: descriptor sets: %s",
			r->vk->info.name, lvx_vk_result_name(result));
	return LVX_OK;
}

enum lvx_status lvx_runner_sets(struct lvx_runner *r, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	for (uint32_t i = 0; i < LVX_PLACES && st == LVX_OK; i++) {
		r->at = &r->places[i];
		if (r->at->max_positions)
			st = sets_at(r, err);
	}
	return st;
}
