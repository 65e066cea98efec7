/* SPDX-License-Identifier: Apache-2.0 */
#include "model/runner_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOB_MAX ((size_t)1 << 30)
enum { ALIGN = 256, TILE = 8, UNIT = 16, PARTS_MAX = 4, PACKERS_MAX = 16, PACKER_BYTES = 1 << 20 };

/* A buffer in the making: pieces are added on the host, then all go up at once. */
struct blob {
	uint8_t *data;
	size_t len, room;
	struct lvx_layer *layer; /* whose views these are; NULL: the runner's own */
};

/* Room for a piece, zeroed; NULL: out of memory. */
static void *blob_add(struct blob *b, size_t bytes, struct lvx_view *out)
{
	size_t at = (b->len + ALIGN - 1) / ALIGN * ALIGN, end = at + bytes;
	if (end > b->room) {
		size_t room = end + end / 2;
		uint8_t *p = realloc(b->data, room);
		if (!p)
			return NULL;
		b->data = p;
		b->room = room;
	}
	memset(b->data + b->len, 0, end - b->len);
	b->len = end;
	*out = (struct lvx_view){.offset = at, .size = bytes};
	return b->data + at;
}

static enum lvx_status no_memory(struct lvx_error *err)
{
	return lvx_fail(err, LVX_ENOMEM, "out of memory for the weights");
}

/* A source matrix, straight from the file or turned into floats. */
struct part {
	const uint8_t *data;  /* rows of row_bytes */
	const uint8_t *scale; /* f16 [rows][cols / 32] or NULL */
	float *owned;
	uint32_t rows, cols;
	size_t row_bytes;
};

enum stacking { STACK_ROWS, STACK_COLS, STACK_GATED };

static enum lvx_format stored_format(const struct lvx_weight *w)
{
	switch (w->data->dtype) {
	case LVX_DTYPE_F16:
		return LVX_FMT_F16;
	case LVX_DTYPE_I8:
		return LVX_FMT_I8;
	case LVX_DTYPE_U8:
		return LVX_FMT_Q4;
	default:
		return LVX_FMT_F32;
	}
}

static size_t row_bytes(enum lvx_format f, uint32_t cols)
{
	static const uint32_t bits[] = {32, 16, 8, 4};
	return (size_t)cols * bits[f] / 8;
}

/* raw: the file's bytes are already in format f. */
static bool open_part(struct part *p, const struct lvx_weight *w, enum lvx_format f, bool raw)
{
	*p = (struct part){.rows = w->rows, .cols = w->cols, .row_bytes = row_bytes(f, w->cols)};
	if (raw) {
		p->data = w->data->data;
		p->scale = w->scale ? w->scale->data : NULL;
		return true;
	}
	p->owned = malloc((size_t)w->rows * w->cols * sizeof(float));
	if (!p->owned)
		return false;
	for (uint32_t i = 0; i < w->rows; i++)
		lvx_weight_row(w, i, p->owned + (size_t)i * w->cols);
	p->data = (const uint8_t *)p->owned;
	return true;
}

/* Where packed row `row` comes from; false: it is padding. */
static bool locate(const struct part *parts, uint32_t n, enum stacking how, uint32_t row,
	uint32_t *part, uint32_t *part_row)
{
	if (how == STACK_GATED) {
		*part = row / TILE % 2;
		*part_row = row / (2 * TILE) * TILE + row % TILE;
		return *part_row < parts[*part].rows;
	}
	for (uint32_t i = 0; i < (how == STACK_COLS ? 1 : n); i++) {
		if (row < parts[i].rows) {
			*part = i;
			*part_row = row;
			return true;
		}
		row -= parts[i].rows;
	}
	return false;
}

/* Copies one packed row into its tile. half_scales: they stay f16, else f32. */
static void pack_row(uint8_t *out, uint8_t *scales, bool half_scales, const struct part *parts,
	uint32_t n, enum stacking how, uint32_t row, uint32_t cols)
{
	uint32_t part = 0, part_row = 0;
	if (!locate(parts, n, how, row, &part, &part_row))
		return;
	size_t units = 0, unit = 0, block = 0, blocks = cols / 32;
	for (uint32_t i = 0; i < (how == STACK_COLS ? n : 1); i++)
		units += parts[part + i].row_bytes / UNIT;
	out += row / TILE * units * TILE * UNIT + row % TILE * UNIT;
	for (uint32_t i = 0; i < (how == STACK_COLS ? n : 1); i++) {
		const struct part *p = &parts[part + i];
		const uint8_t *from = p->data + part_row * p->row_bytes;
		for (size_t u = 0; u < p->row_bytes / UNIT; u++, unit++)
			memcpy(out + unit * TILE * UNIT, from + u * UNIT, UNIT);
		for (uint32_t b = 0; p->scale && b < p->cols / 32; b++, block++) {
			const uint8_t *bits =
				p->scale + ((size_t)part_row * (p->cols / 32) + b) * 2;
			size_t to = (row / TILE * blocks + block) * TILE + row % TILE;
			uint16_t half;
			memcpy(&half, bits, 2);
			float value = lvx_half_to_float(half);
			if (half_scales)
				memcpy(scales + 2 * to, &half, 2);
			else
				memcpy(scales + 4 * to, &value, 4);
		}
	}
}

static void set_buffer(struct lvx_view *v, VkBuffer buffer)
{
	if (v->size && !v->buffer)
		v->buffer = buffer;
}

static void set_matrix(struct lvx_matrix *m, VkBuffer buffer)
{
	set_buffer(&m->weights, buffer);
	set_buffer(&m->scales, buffer);
}

/* Sends a finished blob up and gives its views their buffer. */
static enum lvx_status finish_blob(struct lvx_runner *r, struct blob *blob, struct lvx_error *err)
{
	struct lvx_layer *layer = blob->layer;
	struct lvx_vk_buffer *b = &r->blobs[r->n_blobs];
	enum lvx_status st =
		lvx_vk_buffer_create(r->vk, b, blob->len, LVX_VK_DEVICE, "weights", err);
	if (st != LVX_OK)
		return st;
	r->n_blobs++;
	st = lvx_vk_write(r->vk, &(struct lvx_vk_piece){b, 0, blob->len, blob->data}, 1, err);
	if (layer) {
		struct lvx_view *views[] = {&layer->norm1, &layer->norm2, &layer->q_norm,
			&layer->k_norm, &layer->router_bias};
		struct lvx_matrix *matrices[] = {&layer->qkv, &layer->out, &layer->up, &layer->down,
			&layer->expert_up, &layer->expert_down, &layer->router};
		for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
			set_buffer(views[i], b->buffer);
		for (size_t i = 0; i < sizeof(matrices) / sizeof(matrices[0]); i++)
			set_matrix(matrices[i], b->buffer);
	} else {
		struct lvx_view *views[] = {
			&r->audio_norm, &r->image_norm, &r->final_norm, &r->place, &r->activity,
			&r->conditions};
		struct lvx_matrix *matrices[] = {
			&r->audio, &r->lanes_in, &r->image, &r->lanes_out, &r->embed};
		for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
			set_buffer(views[i], b->buffer);
		for (size_t i = 0; i < sizeof(matrices) / sizeof(matrices[0]); i++)
			set_matrix(matrices[i], b->buffer);
	}
	blob->len = 0;
	return st;
}

/* One matrix's packing, shared by threads that take groups in turn. */
struct packing {
	const struct lvx_model *model;
	const struct lvx_matrix *m;
	const lvx_weight_id *ids;
	uint32_t n;
	enum stacking how;
	uint8_t *weights, *scales;
	size_t w_bytes, scale_bytes; /* of a group; of one scale */
	atomic_uint next;
	atomic_bool failed;
};

static bool pack_group(struct packing *k, uint32_t g)
{
	const struct lvx_weight *w = k->model->graph.weights;
	const struct lvx_matrix *m = k->m;
	struct part parts[PARTS_MAX] = {0};
	bool ok = k->n <= PARTS_MAX;
	for (uint32_t i = 0; i < k->n && ok; i++) {
		const struct lvx_weight *from = &w[k->ids[g * k->n + i]];
		bool raw = stored_format(from) == m->format && from->data->dtype != LVX_DTYPE_BF16;
		ok = open_part(&parts[i], from, m->format, raw);
	}
	uint8_t *out = k->weights + g * k->w_bytes;
	uint8_t *scales = k->scales + (size_t)g * m->s_group * k->scale_bytes;
	for (uint32_t row = 0; row < (m->rows + TILE - 1) / TILE * TILE && ok; row++)
		pack_row(out, scales, k->scale_bytes == 2, parts, k->n, k->how, row, m->cols);
	for (uint32_t i = 0; i < k->n; i++)
		free(parts[i].owned);
	return ok;
}

static void *pack_some(void *arg)
{
	struct packing *k = arg;
	for (uint32_t g; (g = atomic_fetch_add(&k->next, 1)) < k->m->n_groups;)
		if (!pack_group(k, g))
			atomic_store(&k->failed, true);
	return NULL;
}

/* Models of many GB have many experts: the cores share them. */
static bool pack_groups(struct packing *k)
{
	pthread_t threads[PACKERS_MAX];
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t n = 0, most = cores > PACKERS_MAX ? PACKERS_MAX : (uint32_t)(cores > 1 ? cores : 1);
	while (n + 1 < most && n + 1 < k->m->n_groups && k->w_bytes > PACKER_BYTES &&
		pthread_create(&threads[n], NULL, pack_some, k) == 0)
		n++;
	pack_some(k);
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return !atomic_load(&k->failed);
}

/* Packs n_groups x n parts (ids[group * n + part]) into one matrix. */
static enum lvx_status pack_matrix(struct lvx_runner *r, struct blob *blob, struct lvx_matrix *m,
	const lvx_weight_id *ids, uint32_t n, uint32_t n_groups, enum stacking how,
	struct lvx_error *err)
{
	const struct lvx_weight *w = r->model->graph.weights;
	*m = (struct lvx_matrix){
		.n_groups = n_groups, .cols = w[ids[0]].cols, .gated = how == STACK_GATED};
	m->format = stored_format(&w[ids[0]]);
	for (uint32_t i = 0; i < n * n_groups; i++)
		if (w[ids[i]].exact || stored_format(&w[ids[i]]) != m->format)
			m->format = LVX_FMT_F32;
	for (uint32_t i = 0; i < n; i++) {
		m->rows += how == STACK_COLS && i > 0 ? 0 : w[ids[i]].rows;
		m->cols += how == STACK_COLS && i > 0 ? w[ids[i]].cols : 0;
	}
	size_t tiles = (m->rows + TILE - 1) / TILE;
	size_t w_bytes = tiles * TILE * row_bytes(m->format, m->cols);
	size_t s_floats = tiles * TILE * (m->cols / 32);
	bool scaled = m->format == LVX_FMT_I8 || m->format == LVX_FMT_Q4;
	m->w_group = (uint32_t)(w_bytes / UNIT);
	m->s_group = scaled ? (uint32_t)s_floats : 0;
	if (w_bytes * n_groups > r->vk->limits.maxStorageBufferRange)
		return lvx_fail(err, LVX_EUNSUPPORTED,
			"%s: '%s' needs a buffer of %zu MiB; the device allows %u MiB",
			r->model->info.name, w[ids[0]].name, w_bytes * n_groups >> 20,
			r->vk->limits.maxStorageBufferRange >> 20);
	size_t scale_bytes = r->vk->is_cpu ? 4 : 2;
	/* Drivers limit a single allocation to some GiB. */
	if (blob->len && blob->len + w_bytes * n_groups > BLOB_MAX) {
		enum lvx_status st = finish_blob(r, blob, err);
		if (st != LVX_OK)
			return st;
	}
	if (!blob_add(blob, w_bytes * n_groups, &m->weights) ||
		!blob_add(blob, scaled ? s_floats * n_groups * scale_bytes : 4, &m->scales))
		return no_memory(err);
	struct packing p = {.model = r->model,
		.m = m,
		.ids = ids,
		.n = n,
		.how = how,
		.weights = blob->data + m->weights.offset,
		.scales = blob->data + m->scales.offset,
		.w_bytes = w_bytes,
		.scale_bytes = scale_bytes};
	return pack_groups(&p) ? LVX_OK : no_memory(err);
}

/* Rows of several exact weights one after another, as floats; plus is added to each. */
static float *pack_floats(struct lvx_runner *r, struct blob *blob, struct lvx_view *view,
	const lvx_weight_id *ids, uint32_t n, float plus)
{
	const struct lvx_weight *w = r->model->graph.weights;
	size_t total = 0;
	for (uint32_t i = 0; i < n; i++)
		total += (size_t)(w[ids[i]].rows ? w[ids[i]].rows : 1) * w[ids[i]].cols;
	/* whole vec4s, as the kernels read them */
	float *out = blob_add(blob, (total + 3) / 4 * 4 * sizeof(float), view);
	size_t at = 0;
	for (uint32_t i = 0; out && i < n; i++)
		for (uint32_t row = 0; row < (w[ids[i]].rows ? w[ids[i]].rows : 1); row++) {
			lvx_weight_row(&w[ids[i]], row, out + at);
			for (uint32_t c = 0; c < w[ids[i]].cols; c++)
				out[at + c] += plus;
			at += w[ids[i]].cols;
		}
	return out;
}

static bool pack_norm(struct lvx_runner *r, struct blob *blob, struct lvx_view *view,
	const struct lvx_op_norm *norm)
{
	return pack_floats(r, blob, view, &norm->weight, 1, norm->plus_one ? 1.0f : 0.0f) != NULL;
}

static enum lvx_status pack_router(struct lvx_runner *r, struct blob *blob, struct lvx_layer *layer,
	const struct lvx_op_router *o, struct lvx_error *err)
{
	lvx_weight_id rows[4] = {o->gate, o->cross_v, o->cross_k, o->cross_q};
	lvx_weight_id biases[2] = {o->bias, o->presence};
	uint32_t n = o->cross_q == LVX_NO_WEIGHT ? 1 : 4;
	enum lvx_status st = pack_matrix(r, blob, &layer->router, rows, n, 1, STACK_ROWS, err);
	if (st == LVX_OK && !pack_floats(r, blob, &layer->router_bias, biases, n == 1 ? 1 : 2, 0.0f))
		st = no_memory(err);
	return st;
}

static enum lvx_status pack_experts(struct lvx_runner *r, struct blob *blob,
	struct lvx_layer *layer, const struct lvx_op_ffn *f, struct lvx_error *err)
{
	lvx_weight_id up[2 * LVX_EXPERTS_MAX], down[LVX_EXPERTS_MAX];
	for (uint32_t e = 0; e < f->n_experts; e++) {
		up[2 * e] = f->gate + 3 * e;
		up[2 * e + 1] = f->up + 3 * e;
		down[e] = f->down + 3 * e;
	}
	enum lvx_status st =
		pack_matrix(r, blob, &layer->expert_up, up, 2, f->n_experts, STACK_GATED, err);
	if (st == LVX_OK)
		st = pack_matrix(
			r, blob, &layer->expert_down, down, 1, f->n_experts, STACK_ROWS, err);
	layer->moe = true;
	return st;
}

static enum lvx_status pack_attention(struct lvx_runner *r, struct blob *blob,
	struct lvx_layer *layer, const struct lvx_op_attention *a, struct lvx_error *err)
{
	lvx_weight_id qkv[3] = {a->q, a->k, a->v};
	if (!pack_norm(r, blob, &layer->q_norm, &a->q_norm) ||
		!pack_norm(r, blob, &layer->k_norm, &a->k_norm))
		return no_memory(err);
	enum lvx_status st = pack_matrix(r, blob, &layer->qkv, qkv, 3, 1, STACK_ROWS, err);
	return st == LVX_OK ? pack_matrix(r, blob, &layer->out, &a->o, 1, 1, STACK_ROWS, err) : st;
}

static enum lvx_status pack_image(struct lvx_runner *r, struct blob *blob,
	const struct lvx_op_embed *e, struct lvx_error *err)
{
	const struct lvx_weight *w = r->model->graph.weights;
	const struct lvx_weight *row = &w[e->row], *col = &w[e->col];
	uint32_t d = r->model->config.hidden;
	if (!pack_norm(r, blob, &r->image_norm, &e->norm))
		return no_memory(err);
	float *place = blob_add(blob, (size_t)row->rows * col->rows * d * sizeof(float), &r->place);
	float *a = malloc(2 * d * sizeof(float));
	for (uint32_t i = 0; place && a && i < row->rows; i++)
		for (uint32_t k = 0; k < col->rows; k++) {
			lvx_weight_row(row, i, a);
			lvx_weight_row(col, k, a + d);
			for (uint32_t c = 0; c < d; c++)
				*place++ = a[c] + a[d + c];
		}
	bool ok = place && a;
	free(a);
	return ok ? pack_matrix(r, blob, &r->image, &e->proj, 1, 1, STACK_ROWS, err)
		  : no_memory(err);
}

static enum lvx_status pack_conditions(struct lvx_runner *r, struct blob *blob, struct lvx_error *err)
{
	const struct lvx_model *m = r->model;
	uint32_t n = m->config.n_conditions, d = m->config.hidden;
	/* without any there is one that nobody has: a view is never empty */
	float *to = blob_add(blob, (size_t)(n ? n : 1) * d * sizeof(float), &r->conditions);
	if (!to)
		return no_memory(err);
	memset(to, 0, (size_t)(n ? n : 1) * d * sizeof(float));
	for (uint32_t i = 0; i < n; i++)
		lvx_weight_row(&m->graph.weights[m->graph.conditions], i, to + (size_t)i * d);
	return LVX_OK;
}

static enum lvx_status pack_op(
	struct lvx_runner *r, struct blob *blob, const struct lvx_op *op, struct lvx_error *err)
{
	const struct lvx_model *m = r->model;
	uint32_t n_lanes = m->config.n_lanes;
	struct lvx_layer *layer = op->layer < m->config.n_layers ? &r->layers[op->layer] : NULL;
	lvx_weight_id gated[2] = {op->ffn.gate, op->ffn.up};
	lvx_weight_id activity[2] = {op->heads.weight, op->heads.bias};
	struct lvx_view *norm;
	enum lvx_status st = LVX_OK;
	switch (op->kind) {
	case LVX_OP_EMBED_AUDIO:
		if (!pack_norm(r, blob, &r->audio_norm, &op->embed.norm))
			return no_memory(err);
		st = pack_matrix(r, blob, &r->audio, &op->embed.proj, 1, 1, STACK_ROWS, err);
		return st == LVX_OK ? pack_matrix(r, blob, &r->lanes_in, op->embed.lane, n_lanes, 1,
					      STACK_COLS, err)
				    : st;
	case LVX_OP_EMBED_IMAGE:
		return pack_image(r, blob, &op->embed, err);
	case LVX_OP_EMBED_TEXT:
		return LVX_OK; /* tokens.comp reads the last layer's */
	case LVX_OP_NORM:
		norm = !layer ? &r->final_norm : layer->norm1.size ? &layer->norm2 : &layer->norm1;
		return pack_norm(r, blob, norm, &op->norm) ? LVX_OK : no_memory(err);
	case LVX_OP_ATTENTION:
		return pack_attention(r, blob, layer, &op->attention, err);
	case LVX_OP_ROUTER:
		return pack_router(r, blob, layer, &op->router, err);
	case LVX_OP_FFN:
		layer->alpha = op->ffn.alpha;
		layer->limit = op->ffn.limit;
		st = pack_matrix(r, blob, &layer->up, gated, 2, 1, STACK_GATED, err);
		return st == LVX_OK ? pack_matrix(r, blob, &layer->down, &op->ffn.down, 1, 1,
					      STACK_ROWS, err)
				    : st;
	case LVX_OP_EXPERTS:
		return pack_experts(r, blob, layer, &op->ffn, err);
	case LVX_OP_LANES:
		st = pack_matrix(
			r, blob, &r->lanes_out, op->heads.lane, 1, n_lanes, STACK_ROWS, err);
		return st == LVX_OK ? pack_matrix(r, blob, &r->embed, &m->graph.embed, 1, 1,
					      STACK_ROWS, err)
				    : st;
	case LVX_OP_ACTIVITY:
		return pack_floats(r, blob, &r->activity, activity, 2, 0.0f) ? LVX_OK
									     : no_memory(err);
	}
	return LVX_OK;
}

static bool in_layer(const struct lvx_op *op, const struct lvx_config *c)
{
	return op->layer < c->n_layers && op->kind >= LVX_OP_NORM && op->kind <= LVX_OP_EXPERTS;
}

enum lvx_status lvx_runner_pack(struct lvx_runner *r, struct lvx_error *err)
{
	const struct lvx_model *m = r->model;
	const struct lvx_config *c = &m->config;
	struct blob blob = {0};
	enum lvx_status st = LVX_OK;
	r->blobs = calloc(m->graph.n_weights, sizeof(*r->blobs)); /* far more than enough */
	r->layers = calloc(c->n_layers, sizeof(*r->layers));
	if (!r->blobs || !r->layers)
		return no_memory(err);
	for (uint32_t l = 0; l <= c->n_layers && st == LVX_OK; l++) {
		blob.layer = l < c->n_layers ? &r->layers[l] : NULL;
		for (uint32_t i = 0; i < m->graph.n_ops && st == LVX_OK; i++) {
			const struct lvx_op *op = &m->graph.ops[i];
			bool mine = l < c->n_layers ? in_layer(op, c) && op->layer == l
						    : !in_layer(op, c);
			if (mine)
				st = pack_op(r, &blob, op, err);
		}
		if (st == LVX_OK && l == c->n_layers)
			st = pack_conditions(r, &blob, err);
		if (st == LVX_OK)
			st = finish_blob(r, &blob, err);
	}
	free(blob.data);
	return st;
}
