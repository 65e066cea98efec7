/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include "model/model_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A key and its value, of all layers: [layers][kv_heads * head_dim] each. */
struct key {
	enum lvx_run_kind kind;
	uint64_t number; /* of the slot or picture */
	float *k, *v;
};

struct reference_weights {
	const struct lvx_model *model;
	float **floats; /* of each weight of the graph: [rows][cols] */
};

struct reference {
	const struct lvx_model *model;
	float *const *floats; /* borrowed */
	struct key *keys;
	size_t n_keys, room;
	uint64_t n_slots, n_pictures;
	float *memory; /* [layers][modalities][D] means */
	double n[LVX_MODALITIES];
	int64_t last[LVX_MODALITIES];
	double gap;
};

static void *need(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p)
		abort();
	return p;
}

struct reference_weights *reference_weights_create(const struct lvx_model *model)
{
	const struct lvx_graph *g = &model->graph;
	struct reference_weights *w = need(1, sizeof(*w));
	w->model = model;
	w->floats = need(g->n_weights, sizeof(*w->floats));
	for (uint32_t i = 0; i < g->n_weights; i++) {
		const struct lvx_weight *from = &g->weights[i];
		uint32_t rows = from->rows ? from->rows : 1;
		w->floats[i] = need((size_t)rows * from->cols, sizeof(float));
		for (uint32_t k = 0; k < rows; k++)
			lvx_weight_row(from, k, w->floats[i] + (size_t)k * from->cols);
	}
	return w;
}

void reference_weights_destroy(struct reference_weights *w)
{
	for (uint32_t i = 0; i < w->model->graph.n_weights; i++)
		free(w->floats[i]);
	free(w->floats);
	free(w);
}

struct reference *reference_create(const struct reference_weights *weights)
{
	const struct lvx_model *model = weights->model;
	struct reference *r = need(1, sizeof(*r));
	r->model = model;
	r->floats = weights->floats;
	r->memory = need((size_t)model->config.n_layers * LVX_MODALITIES * model->config.hidden,
		sizeof(float));
	r->gap = 1e9;
	return r;
}

void reference_destroy(struct reference *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n_keys; i++) {
		free(r->keys[i].k);
		free(r->keys[i].v);
	}
	free(r->keys);
	free(r->memory);
	free(r);
}

double reference_gap(const struct reference *r)
{
	return r->gap;
}

/* out = W x */
static void product(const struct reference *r, lvx_weight_id id, const float *x, float *out)
{
	const struct lvx_weight *w = &r->model->graph.weights[id];
	const float *row = r->floats[id];
	for (uint32_t i = 0; i < w->rows; i++, row += w->cols) {
		double s = 0.0;
		for (uint32_t c = 0; c < w->cols; c++)
			s += (double)row[c] * x[c];
		out[i] = (float)s;
	}
}

static void vector(const struct reference *r, lvx_weight_id id, uint32_t row, float *out)
{
	uint32_t cols = r->model->graph.weights[id].cols;
	memcpy(out, r->floats[id] + (size_t)row * cols, cols * sizeof(*out));
}

static void norm(const struct reference *r, const struct lvx_op_norm *n, const float *x, uint32_t d,
	float *out)
{
	float *w = need(d, sizeof(float));
	double ss = 0.0;
	vector(r, n->weight, 0, w);
	for (uint32_t i = 0; i < d; i++)
		ss += (double)x[i] * x[i];
	for (uint32_t i = 0; i < d; i++)
		out[i] = (float)(x[i] / sqrt(ss / d + n->eps) * (w[i] + (n->plus_one ? 1.0 : 0.0)));
	free(w);
}

static void add(float *x, const float *y, uint32_t n, double factor)
{
	for (uint32_t i = 0; i < n; i++)
		x[i] = (float)(x[i] + factor * y[i]);
}

/* ---- embedding: x of position i of a run ---- */

static void embed(const struct reference *r, const struct lvx_run *run, uint32_t i, float *x)
{
	const struct lvx_graph *g = &r->model->graph;
	const struct lvx_config *c = &r->model->config;
	const struct lvx_op_embed *audio = &g->ops[0].embed, *image = &g->ops[1].embed;
	uint32_t d = c->hidden, columns = c->frontend.image.width / c->frontend.image.patch;
	float *a = need(d, sizeof(float)), *b = need(d, sizeof(float));
	switch (run->kind) {
	case LVX_RUN_SLOT:
		product(r, audio->proj, run->features, a);
		norm(r, &audio->norm, a, d, x);
		for (uint32_t l = 0; l < c->n_lanes; l++) {
			vector(r, g->embed, (uint32_t)run->tokens[l], a);
			product(r, audio->lane[l], a, b);
			add(x, b, d, 1.0);
		}
		break;
	case LVX_RUN_PICTURE:
		product(r, image->proj, run->features + (size_t)i * image->values, a);
		norm(r, &image->norm, a, d, x);
		vector(r, image->row, i / columns, a);
		add(x, a, d, 1.0);
		vector(r, image->col, i % columns, a);
		add(x, a, d, 1.0);
		break;
	case LVX_RUN_PREFIX:
		vector(r, g->embed, (uint32_t)run->tokens[i], x);
		break;
	}
	for (uint32_t k = 0; k < run->n_conditions; k++) {
		vector(r, g->conditions, (uint32_t)run->conditions[k], a);
		add(x, a, d, 1.0);
	}
	free(a);
	free(b);
}

/* ---- attention ---- */

static void head(const struct reference *r, const struct lvx_op_attention *a,
	const struct lvx_op_norm *n, float *v, double position)
{
	uint32_t half = a->rotary_dim / 2;
	float t[256];
	norm(r, n, v, a->head_dim, t);
	memcpy(v, t, a->head_dim * sizeof(float));
	for (uint32_t i = 0; i < half; i++) {
		double angle = position * pow(a->theta, -2.0 * i / a->rotary_dim);
		v[i] = (float)(t[i] * cos(angle) - t[i + half] * sin(angle));
		v[i + half] = (float)(t[i + half] * cos(angle) + t[i] * sin(angle));
	}
}

/* Position i of the run may look at key k; own: the first key of the run. */
static bool sees(const struct reference *r, const struct lvx_run *run, uint32_t i, size_t k, size_t own)
{
	const struct lvx_config *c = &r->model->config;
	switch (r->keys[k].kind) {
	case LVX_RUN_PREFIX:
		return run->kind != LVX_RUN_PREFIX || k <= own + i;
	case LVX_RUN_SLOT:
		return r->keys[k].number + c->window_slots >= r->n_slots;
	case LVX_RUN_PICTURE:
		return r->keys[k].number + c->max_pictures >= r->n_pictures;
	}
	return false;
}

static void attend(const struct reference *r, const struct lvx_op_attention *a, uint32_t layer,
	const struct lvx_run *run, uint32_t i, size_t own, const float *q, float *out)
{
	uint32_t hd = a->head_dim, group = a->n_heads / a->n_kv_heads;
	size_t at = (size_t)layer * a->n_kv_heads * hd;
	double *score = need(r->n_keys, sizeof(double));
	for (uint32_t h = 0; h < a->n_heads; h++) {
		double top = -1e300, sum = 0.0;
		size_t kv = at + h / group * hd;
		for (size_t k = 0; k < r->n_keys; k++) {
			double s = 0.0;
			for (uint32_t d = 0; d < hd; d++)
				s += (double)q[h * hd + d] * r->keys[k].k[kv + d];
			score[k] = sees(r, run, i, k, own) ? s / sqrt(hd) : -INFINITY;
			top = fmax(top, score[k]);
		}
		for (size_t k = 0; k < r->n_keys; k++)
			sum += score[k] = exp(score[k] - top);
		for (uint32_t d = 0; d < hd; d++) {
			double s = 0.0;
			for (size_t k = 0; k < r->n_keys; k++)
				s += score[k] * r->keys[k].v[kv + d];
			out[h * hd + d] = (float)(s / sum);
		}
	}
	free(score);
}

static void attention(struct reference *r, const struct lvx_op *op, const struct lvx_run *run,
	size_t own, const float *h, float *x)
{
	const struct lvx_op_attention *a = &op->attention;
	uint32_t d = r->model->config.hidden, hd = a->head_dim, n = run->n, heads = a->n_heads * hd;
	size_t kv = (size_t)op->layer * a->n_kv_heads * hd;
	float *q = need((size_t)n * heads, sizeof(float)), *o = need(heads, sizeof(float));
	float *t = need(d, sizeof(float));
	for (uint32_t i = 0; i < n; i++) {
		double position = (double)run->position + (run->kind == LVX_RUN_PREFIX ? i : 0);
		struct key *key = &r->keys[own + i];
		product(r, a->q, h + (size_t)i * d, q + (size_t)i * heads);
		product(r, a->k, h + (size_t)i * d, key->k + kv);
		product(r, a->v, h + (size_t)i * d, key->v + kv);
		for (uint32_t k = 0; k < a->n_heads; k++)
			head(r, a, &a->q_norm, q + (size_t)i * heads + k * hd, position);
		for (uint32_t k = 0; k < a->n_kv_heads; k++)
			head(r, a, &a->k_norm, key->k + kv + k * hd, position);
	}
	for (uint32_t i = 0; i < n; i++) {
		attend(r, a, op->layer, run, i, own, q + (size_t)i * heads, o);
		product(r, a->o, o, t);
		add(x + (size_t)i * d, t, d, 1.0);
	}
	free(q);
	free(o);
	free(t);
}

/* ---- experts ---- */

static void unit(const struct reference *r, const struct lvx_op_ffn *f, uint32_t expert,
	const float *h, float factor, float *x)
{
	uint32_t d = r->model->config.hidden;
	float *g = need(f->inter, sizeof(float)), *u = need(f->inter, sizeof(float));
	float *t = need(d, sizeof(float));
	product(r, f->gate + 3 * expert, h, g);
	product(r, f->up + 3 * expert, h, u);
	for (uint32_t i = 0; i < f->inter; i++) {
		double a = fmin(g[i], f->limit), b = fmax(fmin(u[i], f->limit), -f->limit);
		g[i] = (float)((b + 1.0) * a / (1.0 + exp(-f->alpha * a)));
	}
	product(r, f->down + 3 * expert, g, t);
	add(x, t, d, factor);
	free(g);
	free(u);
	free(t);
}

/* c: what the modality memories say to h. */
static bool remember(const struct reference *r, const struct lvx_op *op, const float *h, float *c)
{
	const struct lvx_op_router *o = &op->router;
	uint32_t d = r->model->config.hidden;
	float *q = need(o->router_dim, sizeof(float)), *k = need(o->router_dim, sizeof(float));
	double p[LVX_MODALITIES], top = -1e300, sum = 0.0;
	const float *memory = r->memory + (size_t)op->layer * LVX_MODALITIES * d;
	product(r, o->cross_q, h, q);
	for (int m = 0; m < LVX_MODALITIES; m++) {
		p[m] = 0.0;
		product(r, o->cross_k, memory + (size_t)m * d, k);
		for (uint32_t i = 0; i < o->router_dim; i++)
			p[m] += (double)q[i] * k[i];
		p[m] = r->n[m] > 0.0 ? p[m] / sqrt(o->router_dim) : -INFINITY;
		top = fmax(top, p[m]);
	}
	for (int m = 0; m < LVX_MODALITIES; m++)
		sum += p[m] = top > -1e300 ? exp(p[m] - top) : 0.0;
	memset(c, 0, d * sizeof(float));
	for (int m = 0; m < LVX_MODALITIES && sum > 0.0; m++)
		add(c, memory + (size_t)m * d, d, p[m] / sum);
	free(q);
	free(k);
	return sum > 0.0;
}

static void experts(struct reference *r, const struct lvx_op *router, const struct lvx_op *units,
	const float *h, float *x)
{
	const struct lvx_op_router *o = &router->router;
	uint32_t d = r->model->config.hidden, e = o->n_experts;
	float *s = need(e, sizeof(float)), *b = need(e, sizeof(float)), *t = need(e, sizeof(float));
	float *c = need(d, sizeof(float));
	product(r, o->gate, h, s);
	if (o->cross_q != LVX_NO_WEIGHT) {
		if (remember(r, router, h, c)) {
			product(r, o->cross_v, c, t);
			add(s, t, e, 1.0);
		}
		for (int m = 0; m < LVX_MODALITIES; m++)
			if (r->n[m] > 0.0) {
				vector(r, o->presence, (uint32_t)m, t);
				add(s, t, e, 1.0);
			}
	}
	vector(r, o->bias, 0, b);
	double sum = 0.0, last = 0.0;
	uint32_t chosen[LVX_TOP_K_MAX];
	for (uint32_t i = 0; i < e; i++) {
		s[i] = (float)(1.0 / (1.0 + exp(-(double)s[i])));
		t[i] = s[i] + b[i];
	}
	for (uint32_t k = 0; k <= o->top_k && k < e; k++) {
		uint32_t best = 0;
		for (uint32_t i = 1; i < e; i++)
			best = t[i] > t[best] ? i : best;
		if (k == o->top_k) {
			r->gap = fmin(r->gap, last - t[best]);
			break;
		}
		last = t[best];
		t[best] = -1e9f;
		chosen[k] = best;
		sum += s[best];
	}
	for (uint32_t k = 0; k < o->top_k; k++)
		unit(r, &units->ffn, chosen[k], h, (float)(o->scale * s[chosen[k]] / sum), x);
	free(s);
	free(b);
	free(t);
	free(c);
}

/* ---- a run ---- */

static size_t add_keys(struct reference *r, const struct lvx_run *run)
{
	const struct lvx_config *c = &r->model->config;
	size_t own = r->n_keys, size = (size_t)c->n_layers * c->n_kv_heads * c->head_dim;
	if (r->n_keys + run->n > r->room) {
		r->room = 2 * (r->n_keys + run->n);
		r->keys = realloc(r->keys, r->room * sizeof(*r->keys));
		if (!r->keys)
			abort();
	}
	uint64_t number = run->kind == LVX_RUN_SLOT      ? r->n_slots++
			  : run->kind == LVX_RUN_PICTURE ? r->n_pictures++
							 : 0;
	for (uint32_t i = 0; i < run->n; i++)
		r->keys[r->n_keys++] = (struct key){.kind = run->kind,
			.number = number,
			.k = need(size, sizeof(float)),
			.v = need(size, sizeof(float))};
	return own;
}

/* Folds the run's means into the memories; sums: [layers][D]. */
static void learn(struct reference *r, const struct lvx_run *run, const float *sums)
{
	static const enum lvx_modality of[] = {[LVX_RUN_PREFIX] = LVX_TEXT,
		[LVX_RUN_SLOT] = LVX_AUDIO,
		[LVX_RUN_PICTURE] = LVX_IMAGE};
	const struct lvx_config *c = &r->model->config;
	enum lvx_modality m = of[run->kind];
	int64_t now = run->kind == LVX_RUN_PREFIX ? 0 : run->position;
	double old = 0.0;
	if (r->n[m] > 0.0)
		old = r->n[m] * exp(-(double)(now - r->last[m]) * c->slot_ms / 1000.0 /
				    c->decay_seconds);
	for (uint32_t l = 0; l < c->n_layers; l++) {
		float *mean = r->memory + ((size_t)l * LVX_MODALITIES + m) * c->hidden;
		for (uint32_t i = 0; i < c->hidden; i++)
			mean[i] = (float)((old * mean[i] + sums[(size_t)l * c->hidden + i] / run->n) /
					  (old + 1.0));
	}
	r->n[m] = old + 1.0;
	r->last[m] = now;
}

static void heads(const struct reference *r, const struct lvx_op *op, const struct lvx_run *run,
	const float *h, float *logits, float *activity)
{
	const struct lvx_config *c = &r->model->config;
	float *t = need(c->hidden, sizeof(float)), b[4] = {0};
	for (uint32_t l = 0; l < c->n_lanes; l++)
		if (run->want_lanes >> l & 1) {
			product(r, op[0].heads.lane[l], h, t);
			product(r, r->model->graph.embed, t, logits + (size_t)l * c->vocab);
		}
	product(r, op[1].heads.weight, h, activity);
	vector(r, op[1].heads.bias, 0, b);
	for (uint32_t i = 0; i < c->n_activity; i++)
		activity[i] = 1.0f / (1.0f + expf(-activity[i] - b[i]));
	free(t);
}

void reference_run(struct reference *r, const struct lvx_run *run, float *logits, float *activity)
{
	const struct lvx_config *c = &r->model->config;
	const struct lvx_graph *g = &r->model->graph;
	uint32_t d = c->hidden, n = run->n;
	size_t own = add_keys(r, run);
	float *x = need((size_t)n * d, sizeof(float)), *h = need((size_t)n * d, sizeof(float));
	float *sums = need((size_t)c->n_layers * d, sizeof(float));
	for (uint32_t i = 0; i < n; i++)
		embed(r, run, i, x + (size_t)i * d);
	for (uint32_t k = 0; k < g->n_ops; k++) {
		const struct lvx_op *op = &g->ops[k];
		switch (op->kind) {
		case LVX_OP_NORM:
			for (uint32_t i = 0; i < n; i++)
				norm(r, &op->norm, x + (size_t)i * d, d, h + (size_t)i * d);
			break;
		case LVX_OP_ATTENTION:
			attention(r, op, run, own, h, x);
			break;
		case LVX_OP_ROUTER: /* and its experts, two operations on */
			for (uint32_t i = 0; i < n; i++) {
				add(sums + (size_t)op->layer * d, h + (size_t)i * d, d, 1.0);
				experts(r, op, op + 2, h + (size_t)i * d, x + (size_t)i * d);
			}
			break;
		case LVX_OP_FFN:
			for (uint32_t i = 0; i < n; i++)
				unit(r, &op->ffn, 0, h + (size_t)i * d, 1.0f, x + (size_t)i * d);
			break;
		case LVX_OP_LANES:
			if (run->kind == LVX_RUN_SLOT)
				heads(r, op, run, h, logits, activity);
			break;
		default:
			break;
		}
	}
	if (c->cross_modal)
		learn(r, run, sums);
	free(x);
	free(h);
	free(sums);
}
