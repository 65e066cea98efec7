/* SPDX-License-Identifier: Apache-2.0 */
#include "model/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYER "language_model.model.layers.%u."
#define MOE LAYER "block_sparse_moe."

/* Collects ops and weights; an allocation that fails is remembered, not checked at each call. */
struct builder {
	struct lvx_graph g;
	const struct lvx_config *c;
	uint32_t room_ops, room_weights;
	bool no_memory;
};

static lvx_weight_id weight(struct builder *b, uint32_t rows, uint32_t cols, bool exact,
	const char *fmt, ...) LVX_PRINTF(5, 6);

static lvx_weight_id weight(struct builder *b, uint32_t rows, uint32_t cols, bool exact,
	const char *fmt, ...)
{
	if (b->g.n_weights == b->room_weights) {
		uint32_t room = b->room_weights ? b->room_weights * 2 : 256;
		struct lvx_weight *p = realloc(b->g.weights, room * sizeof(*p));
		if (!p) {
			b->no_memory = true;
			return 0;
		}
		b->g.weights = p;
		b->room_weights = room;
	}
	struct lvx_weight *w = &b->g.weights[b->g.n_weights];
	*w = (struct lvx_weight){.rows = rows, .cols = cols, .exact = exact};
	va_list args;
	va_start(args, fmt);
	vsnprintf(w->name, sizeof(w->name), fmt, args);
	va_end(args);
	return b->g.n_weights++;
}

static struct lvx_op *op(struct builder *b, enum lvx_op_kind kind, uint32_t layer)
{
	static struct lvx_op nowhere;
	if (b->g.n_ops == b->room_ops) {
		uint32_t room = b->room_ops ? b->room_ops * 2 : 64;
		struct lvx_op *p = realloc(b->g.ops, room * sizeof(*p));
		if (!p) {
			b->no_memory = true;
			return &nowhere;
		}
		b->g.ops = p;
		b->room_ops = room;
	}
	struct lvx_op *o = &b->g.ops[b->g.n_ops++];
	memset(o, 0, sizeof(*o));
	o->kind = kind;
	o->layer = layer;
	return o;
}

static struct lvx_op_norm norm(const struct builder *b, lvx_weight_id w)
{
	return (struct lvx_op_norm){
		.weight = w, .eps = b->c->eps, .plus_one = b->c->gemma_norm};
}

static void embeddings(struct builder *b)
{
	const struct lvx_config *c = b->c;
	uint32_t d = c->hidden;
	b->g.embed = weight(b, c->vocab, d, false, "language_model.model.embed_tokens.weight");
	b->g.conditions = c->n_conditions
				  ? weight(b, c->n_conditions, d, true, "conditions.weight")
				  : LVX_NO_WEIGHT;

	struct lvx_op_embed audio = {.values = lvx_audio_slot_values(&c->frontend.audio)};
	audio.proj = weight(b, d, audio.values, false, "audio_embed.proj.weight");
	audio.norm = norm(b, weight(b, 0, d, true, "audio_embed.norm.weight"));
	audio.row = audio.col = LVX_NO_WEIGHT;
	for (uint32_t i = 0; i < c->n_lanes; i++)
		audio.lane[i] =
			weight(b, d, d, false, "lanes.%s.in_proj.weight", c->lanes[i].name);
	op(b, LVX_OP_EMBED_AUDIO, 0)->embed = audio;

	const struct lvx_image_spec *im = &c->frontend.image;
	struct lvx_op_embed image = {.values = lvx_image_patch_values(im)};
	image.proj = weight(b, d, image.values, false, "image_embed.proj.weight");
	image.norm = norm(b, weight(b, 0, d, true, "image_embed.norm.weight"));
	image.row = weight(b, im->height / im->patch, d, true, "image_embed.row.weight");
	image.col = weight(b, im->width / im->patch, d, true, "image_embed.col.weight");
	op(b, LVX_OP_EMBED_IMAGE, 0)->embed = image;
	op(b, LVX_OP_EMBED_TEXT, 0);
}

static void attention(struct builder *b, uint32_t l)
{
	const struct lvx_config *c = b->c;
	uint32_t d = c->hidden, q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
	struct lvx_op_attention a = {.bias = LVX_NO_WEIGHT,
		.n_heads = c->n_heads,
		.n_kv_heads = c->n_kv_heads,
		.head_dim = c->head_dim,
		.rotary_dim = c->rotary_dim,
		.rope = LVX_ROPE_HALF,
		.theta = c->rope_theta};
	a.q = weight(b, q, d, false, LAYER "self_attn.q_proj.weight", l);
	a.k = weight(b, kv, d, false, LAYER "self_attn.k_proj.weight", l);
	a.v = weight(b, kv, d, false, LAYER "self_attn.v_proj.weight", l);
	a.o = weight(b, d, q, false, LAYER "self_attn.o_proj.weight", l);
	a.q_norm = norm(b, weight(b, 0, c->head_dim, true, LAYER "self_attn.q_norm.weight", l));
	a.k_norm = norm(b, weight(b, 0, c->head_dim, true, LAYER "self_attn.k_norm.weight", l));
	op(b, LVX_OP_ATTENTION, l)->attention = a;
}

static struct lvx_op_ffn ffn(const struct builder *b, uint32_t inter)
{
	return (struct lvx_op_ffn){.inter = inter,
		.act = LVX_ACT_SWIGLUOAI,
		.alpha = b->c->swiglu_alpha,
		.limit = b->c->swiglu_limit};
}

static void dense(struct builder *b, uint32_t l, const char *where, uint32_t inter)
{
	uint32_t d = b->c->hidden;
	struct lvx_op_ffn f = ffn(b, inter);
	f.gate = weight(b, inter, d, false, LAYER "%s.gate_proj.weight", l, where);
	f.up = weight(b, inter, d, false, LAYER "%s.up_proj.weight", l, where);
	f.down = weight(b, d, inter, false, LAYER "%s.down_proj.weight", l, where);
	op(b, LVX_OP_FFN, l)->ffn = f;
}

static void router(struct builder *b, uint32_t l)
{
	const struct lvx_config *c = b->c;
	uint32_t d = c->hidden, e = c->n_experts, r = c->router_dim;
	struct lvx_op_router o = {.n_experts = e,
		.top_k = c->top_k,
		.router_dim = r,
		.score = LVX_SCORE_SIGMOID,
		.scale = c->routed_scale};
	o.gate = weight(b, e, d, true, MOE "gate.weight", l);
	o.bias = weight(b, 0, e, true, MOE "e_score_correction_bias", l);
	o.cross_q = o.cross_k = o.cross_v = o.presence = LVX_NO_WEIGHT;
	if (c->cross_modal) {
		o.cross_q = weight(b, r, d, true, MOE "cross_modal.q_proj.weight", l);
		o.cross_k = weight(b, r, d, true, MOE "cross_modal.k_proj.weight", l);
		o.cross_v = weight(b, e, d, true, MOE "cross_modal.v_proj.weight", l);
		o.presence =
			weight(b, LVX_MODALITIES, e, true, MOE "cross_modal.presence_bias", l);
	}
	op(b, LVX_OP_ROUTER, l)->router = o;
}

static void experts(struct builder *b, uint32_t l)
{
	const struct lvx_config *c = b->c;
	uint32_t d = c->hidden, n = c->expert_inter;
	struct lvx_op_ffn f = ffn(b, n);
	f.n_experts = c->n_experts;
	for (uint32_t e = 0; e < c->n_experts; e++) {
		lvx_weight_id gate = weight(b, n, d, false, MOE "experts.%u.w1.weight", l, e);
		lvx_weight_id up = weight(b, n, d, false, MOE "experts.%u.w3.weight", l, e);
		lvx_weight_id down = weight(b, d, n, false, MOE "experts.%u.w2.weight", l, e);
		if (e == 0) {
			f.gate = gate;
			f.up = up;
			f.down = down;
		}
	}
	op(b, LVX_OP_EXPERTS, l)->ffn = f;
}

static void heads(struct builder *b)
{
	const struct lvx_config *c = b->c;
	uint32_t d = c->hidden;
	struct lvx_op_heads h = {.weight = LVX_NO_WEIGHT, .bias = LVX_NO_WEIGHT};
	for (uint32_t i = 0; i < c->n_lanes; i++)
		h.lane[i] = weight(b, d, d, false, "lanes.%s.out_proj.weight", c->lanes[i].name);
	op(b, LVX_OP_LANES, 0)->heads = h;
	h.weight = weight(b, c->n_activity, d, true, "activity.weight");
	h.bias = weight(b, 0, c->n_activity, true, "activity.bias");
	op(b, LVX_OP_ACTIVITY, 0)->heads = h;
}

enum lvx_status lvx_graph_build(
	struct lvx_graph *out, const struct lvx_config *config, struct lvx_error *err)
{
	struct builder b = {.c = config};
	uint32_t d = config->hidden;
	embeddings(&b);
	for (uint32_t l = 0; l < config->n_layers; l++) {
		op(&b, LVX_OP_NORM, l)->norm =
			norm(&b, weight(&b, 0, d, true, LAYER "input_layernorm.weight", l));
		attention(&b, l);
		op(&b, LVX_OP_NORM, l)->norm = norm(
			&b, weight(&b, 0, d, true, LAYER "post_attention_layernorm.weight", l));
		if (config->moe[l]) {
			router(&b, l);
			dense(&b, l, "block_sparse_moe.shared_experts", config->shared_inter);
			experts(&b, l);
		} else {
			dense(&b, l, "mlp", config->dense_inter);
		}
	}
	op(&b, LVX_OP_NORM, config->n_layers)->norm =
		norm(&b, weight(&b, 0, d, true, "language_model.model.norm.weight"));
	heads(&b);
	if (b.no_memory) {
		lvx_graph_finish(&b.g);
		return lvx_fail(err, LVX_ENOMEM, "out of memory for the model's graph");
	}
	*out = b.g;
	return LVX_OK;
}

void lvx_graph_finish(struct lvx_graph *graph)
{
	free(graph->ops);
	free(graph->weights);
	*graph = (struct lvx_graph){0};
}

static bool has_shape(const struct lvx_tensor *t, uint32_t rows, uint32_t cols)
{
	if (rows == 0)
		return t->n_dims == 1 && t->dims[0] == cols;
	return t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols;
}

static enum lvx_status wrong_shape(
	const struct lvx_weight *w, uint32_t cols, const char *where, struct lvx_error *err)
{
	char got[LVX_TENSOR_DIMS_MAX * 22] = "", rows[16] = "";
	size_t at = 0;
	for (uint32_t i = 0; i < w->data->n_dims; i++)
		at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%llu", i ? ", " : "",
			(unsigned long long)w->data->dims[i]);
	if (w->rows)
		snprintf(rows, sizeof(rows), "%u, ", w->rows);
	return lvx_fail(err, LVX_EINVAL, "%s: tensor '%s' has the shape [%s]; config.json wants [%s%u]",
		where, w->name, got, rows, cols);
}

static enum lvx_status bind_one(struct lvx_weight *w, const struct lvx_safetensors *st,
	const char *where, struct lvx_error *err)
{
	char scale_name[sizeof(w->name) + 8];
	snprintf(scale_name, sizeof(scale_name), "%s_scale", w->name);
	w->data = lvx_safetensors_find(st, w->name);
	w->scale = lvx_safetensors_find(st, scale_name);
	if (!w->data)
		return lvx_fail(err, LVX_ENOENT, "%s: tensor '%s' is missing", where, w->name);
	bool quantised = w->data->dtype == LVX_DTYPE_I8 || w->data->dtype == LVX_DTYPE_U8;
	bool is_float = w->data->dtype == LVX_DTYPE_F32 || w->data->dtype == LVX_DTYPE_F16 ||
			w->data->dtype == LVX_DTYPE_BF16;
	if (!is_float && (!quantised || w->exact || w->rows == 0))
		return lvx_fail(err, LVX_EINVAL, "%s: tensor '%s' has dtype %s; allowed are %s",
			where, w->name, lvx_dtype_name(w->data->dtype),
			w->exact || w->rows == 0 ? "F32, F16, BF16" : "F32, F16, BF16, I8, U8");
	if (quantised != (w->scale != NULL))
		return lvx_fail(err, LVX_EINVAL, "%s: tensor '%s': I8 and U8 need '%s', others none",
			where, w->name, scale_name);
	uint32_t stored = w->data->dtype == LVX_DTYPE_U8 ? w->cols / 2 : w->cols;
	if (!has_shape(w->data, w->rows, stored))
		return wrong_shape(w, stored, where, err);
	if (w->scale && (w->scale->dtype != LVX_DTYPE_F16 || w->cols % 32 != 0 ||
				!has_shape(w->scale, w->rows, w->cols / 32)))
		return lvx_fail(err, LVX_EINVAL, "%s: tensor '%s' must be F16 [%u, %u]", where,
			scale_name, w->rows, w->cols / 32);
	return LVX_OK;
}

enum lvx_status lvx_graph_bind(struct lvx_graph *graph, const struct lvx_safetensors *st,
	const char *where, struct lvx_error *err)
{
	for (uint32_t i = 0; i < graph->n_weights; i++) {
		enum lvx_status status = bind_one(&graph->weights[i], st, where, err);
		if (status != LVX_OK)
			return status;
	}
	return LVX_OK;
}

static float from_bits(uint32_t bits)
{
	float f;
	memcpy(&f, &bits, 4);
	return f;
}

float lvx_half_to_float(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 1023;
	if (exp == 31)
		return from_bits(sign | 0x7f800000 | man << 13);
	if (exp == 0) /* subnormal: man / 2^24, exact in f32 */
		return (sign ? -1.0f : 1.0f) * (float)man * 0x1p-24f;
	return from_bits(sign | (exp + 112) << 23 | man << 13);
}

static uint16_t load16(const uint8_t *p, uint64_t index)
{
	uint16_t v;
	memcpy(&v, p + index * 2, 2);
	return v;
}

void lvx_weight_row(const struct lvx_weight *w, uint32_t row, float *out)
{
	const uint8_t *p = w->data->data;
	uint64_t first = (uint64_t)row * w->cols;
	for (uint32_t c = 0; c < w->cols;) {
		/* a block of one scale */
		uint64_t at = first + c;
		uint32_t n = w->cols - c < 32 ? w->cols - c : 32;
		float scale = w->scale ? lvx_half_to_float(load16(w->scale->data, at / 32)) : 1.0f;
		switch (w->data->dtype) {
		case LVX_DTYPE_F32:
			memcpy(out + c, p + at * 4, n * sizeof(float));
			break;
		case LVX_DTYPE_F16:
			for (uint32_t i = 0; i < n; i++)
				out[c + i] = lvx_half_to_float(load16(p, at + i));
			break;
		case LVX_DTYPE_BF16:
			for (uint32_t i = 0; i < n; i++)
				out[c + i] = from_bits((uint32_t)load16(p, at + i) << 16);
			break;
		case LVX_DTYPE_I8:
			for (uint32_t i = 0; i < n; i++)
				out[c + i] = (float)(int8_t)p[at + i] * scale;
			break;
		case LVX_DTYPE_U8:
			for (uint32_t i = 0; i < n; i++)
				out[c + i] = (float)((p[(at + i) / 2] >> ((at + i) & 1) * 4 & 15) - 8) * scale;
			break;
		case LVX_DTYPE_OTHER:
			memset(out + c, 0, n * sizeof(float));
			break;
		}
		c += n;
	}
}
