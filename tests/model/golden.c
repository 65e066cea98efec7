/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "base/file.h"
#include "model/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[GOLDEN_CASES] = {"mixed", "sound", "full", "moved"};

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "golden: %s\n", what);
		abort();
	}
}

static void *room(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);
	must(p, "out of memory");
	return p;
}

void golden_values(uint32_t seed, float *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		out[i] = (float)(seed >> 24) / 127.5f - 1.0f;
	}
}

/* NULL: the case has none. n: elements. Aligned, because the file puts its widest types first. */
static const void *tensor(const struct golden *g, const char *name, const char *key, uint64_t *n)
{
	char full[64];
	snprintf(full, sizeof(full), "%s.%s", name, key);
	const struct lvx_tensor *t = lvx_safetensors_find(g->file, full);
	*n = t ? t->bytes / 4 : 0;
	return t ? t->data : NULL;
}

static uint32_t select_conditions(const int32_t *on, uint32_t n, int32_t *out)
{
	uint32_t k = 0;
	for (uint32_t i = 0; i < n; i++)
		if (on[i])
			out[k++] = (int32_t)i;
	return k;
}

static void load_case(struct golden *g, struct golden_case *c, const struct lvx_model_info *info)
{
	uint64_t n, n_fed, n_prefix, n_pictures, n_moves;
	const int32_t *fed = tensor(g, c->name, "fed", &n_fed);
	const int32_t *on = tensor(g, c->name, "on", &n);
	const int32_t *cond = tensor(g, c->name, "conditions", &n);
	const int32_t *prefix = tensor(g, c->name, "prefix", &n_prefix);
	const int32_t *at = tensor(g, c->name, "picture_slots", &n_pictures);
	const int32_t *moves = tensor(g, c->name, "moves", &n_moves);
	const int32_t *seed = tensor(g, c->name, "seed", &n);
	const float *gaps = tensor(g, c->name, "gaps", &n);
	c->logits = tensor(g, c->name, "logits", &n);
	c->activity = tensor(g, c->name, "activity", &n);
	must(fed && on && cond && seed && gaps && c->logits && c->activity, "a tensor is missing");
	c->logit_gap = gaps[0];
	c->router_gap = gaps[1];
	c->n_slots = (uint32_t)n_fed / g->n_lanes;
	const struct lvx_image_spec *image = &info->frontend.image;
	size_t mel = lvx_audio_slot_values(&info->frontend.audio),
	       patches = lvx_image_patches(image);
	size_t picture = patches * lvx_image_patch_values(image);
	size_t total = c->n_slots * mel + n_pictures * picture;
	c->features = room(total, sizeof(float));
	golden_values((uint32_t)seed[0], c->features, total);
	c->tokens = room(n_prefix + n_fed, sizeof(int32_t));
	if (n_prefix)
		memcpy(c->tokens, prefix, n_prefix * sizeof(int32_t));
	memcpy(c->tokens + n_prefix, fed, n_fed * sizeof(int32_t));
	c->conditions = room((size_t)c->n_slots * g->n_conditions, sizeof(int32_t));
	c->runs = room(1 + n_moves + n_pictures + c->n_slots, sizeof(*c->runs));
	struct lvx_run run = {.conditions = c->conditions};
	run.n_conditions = select_conditions(cond, g->n_conditions, c->conditions);
	if (n_prefix) {
		run.kind = LVX_RUN_PREFIX;
		run.n = (uint32_t)n_prefix;
		run.position = -(int64_t)n_prefix;
		run.tokens = c->tokens;
		c->runs[c->n_runs++] = run;
	}
	for (uint32_t t = 0, p = 0, m = 0; t < c->n_slots; t++) {
		int32_t *mine = c->conditions + (size_t)t * g->n_conditions;
		uint32_t n_on = select_conditions(
			cond + (size_t)t * g->n_conditions, g->n_conditions, mine);
		if (m < n_moves && (uint32_t)moves[m] == t) {
			run = c->runs[0];
			run.position = (int64_t)t - run.n;
			c->runs[c->n_runs++] = run;
			m++;
		}
		run = (struct lvx_run){
			.kind = LVX_RUN_PICTURE, .n = (uint32_t)patches, .position = t};
		run.conditions = mine;
		run.n_conditions = n_on;
		for (; p < n_pictures && (uint32_t)at[p] == t; p++) {
			run.features = c->features + c->n_slots * mel + p * picture;
			c->runs[c->n_runs++] = run;
		}
		run.kind = LVX_RUN_SLOT;
		run.n = 1;
		run.features = c->features + t * mel;
		run.tokens = c->tokens + n_prefix + (size_t)t * g->n_lanes;
		for (uint32_t l = 0; l < g->n_lanes; l++)
			run.want_lanes |= (uint32_t)(on[t * g->n_lanes + l] != 0) << l;
		c->runs[c->n_runs++] = run;
	}
}

void golden_load(struct golden *g, const struct lvx_model_info *info)
{
	struct lvx_error err;
	*g = (struct golden){.n_lanes = info->n_lanes, .n_conditions = info->n_conditions};
	enum lvx_status st = lvx_safetensors_open(&g->file, LVX_GOLDEN "/cases.safetensors", &err);
	must(st == LVX_OK, err.msg);
	const struct lvx_tensor *t = lvx_safetensors_find(g->file, "mixed.logits");
	must(t && t->n_dims == 2, "no logits");
	g->vocab = (uint32_t)t->dims[1];
	for (int i = 0; i < GOLDEN_CASES; i++) {
		g->cases[i].name = names[i];
		load_case(g, &g->cases[i], info);
	}
}

void golden_free(struct golden *g)
{
	for (int i = 0; i < GOLDEN_CASES; i++) {
		free(g->cases[i].runs);
		free(g->cases[i].features);
		free(g->cases[i].tokens);
		free(g->cases[i].conditions);
	}
	lvx_safetensors_destroy(g->file);
}

/* ---- the model in another format ---- */

/* Towards zero; nothing here is large, and what is tiny becomes 0. */
static uint16_t cut_to_f16(float f)
{
	uint32_t u;
	memcpy(&u, &f, 4);
	int exponent = (int)(u >> 23 & 255) - 112;
	if (exponent <= 0)
		return 0;
	return (uint16_t)(u >> 16 & 0x8000) | (uint16_t)(exponent << 10) |
	       (uint16_t)(u >> 13 & 0x3ff);
}

static float of_f16(uint16_t bits)
{
	uint32_t u = (uint32_t)(bits & 0x8000) << 16;
	if (bits & 0x7fff)
		u |= ((uint32_t)(bits >> 10 & 31) + 112) << 23 | (uint32_t)(bits & 0x3ff) << 13;
	float f;
	memcpy(&f, &u, 4);
	return f;
}

/* One matrix in the new format, appended to data; returns its dtype's name. */
static const char *convert(const struct lvx_tensor *t, const struct lvx_tensor *scale,
	enum golden_format format, FILE *data)
{
	uint32_t rows = (uint32_t)t->dims[0], cols = (uint32_t)scale->dims[1] * 32;
	if (format == GOLDEN_INT8) {
		for (uint64_t i = 0; i < t->bytes; i++) {
			int low = t->data[i] & 15, high = t->data[i] >> 4;
			if (t->dtype == LVX_DTYPE_I8)
				fputc(t->data[i], data);
			else
				fputc(low - 8, data), fputc(high - 8, data);
		}
		return "I8";
	}
	struct lvx_weight w = {.rows = rows, .cols = cols, .data = t, .scale = scale};
	float *row = room(cols, sizeof(*row));
	for (uint32_t i = 0; i < rows; i++) {
		lvx_weight_row(&w, i, row);
		for (uint32_t k = 0; k < cols; k++) {
			uint16_t half = cut_to_f16(row[k]);
			if (format == GOLDEN_F16)
				fwrite(&half, 2, 1, data);
			else if (format == GOLDEN_F32_OF_F16)
				row[k] = of_f16(half);
		}
		if (format != GOLDEN_F16)
			fwrite(row, sizeof(*row), cols, data);
	}
	free(row);
	return format == GOLDEN_F16 ? "F16" : "F32";
}

static void write_tensors(const char *path, enum golden_format format)
{
	struct lvx_error err;
	struct lvx_safetensors *st;
	char *head = NULL, *body = NULL;
	size_t n_head = 0, n_body = 0;
	must(lvx_safetensors_open(&st, LVX_GOLDEN "/model.safetensors", &err) == LVX_OK, err.msg);
	FILE *h = open_memstream(&head, &n_head), *b = open_memstream(&body, &n_body);
	must(h && b, "no memory stream");
	for (size_t i = 0; i < lvx_safetensors_count(st); i++) {
		const struct lvx_tensor *t = lvx_safetensors_get(st, i);
		char name[160];
		snprintf(name, sizeof(name), "%s_scale", t->name);
		const struct lvx_tensor *scale = lvx_safetensors_find(st, name);
		bool is_scale = strstr(t->name, "_scale") != NULL;
		if (is_scale && format != GOLDEN_INT8)
			continue;
		const char *dtype = is_scale ? "F16" : "F32";
		long begin = ftell(b);
		uint64_t cols = t->n_dims > 1 ? t->dims[1] : 0;
		if (scale) {
			dtype = convert(t, scale, format, b);
			cols = scale->dims[1] * 32;
		} else {
			fwrite(t->data, 1, t->bytes, b);
		}
		fprintf(h, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%llu", i ? "," : "{", t->name,
			dtype, (unsigned long long)t->dims[0]);
		if (cols)
			fprintf(h, ",%llu", (unsigned long long)cols);
		fprintf(h, "],\"data_offsets\":[%ld,%ld]}", begin, ftell(b));
	}
	fputc('}', h);
	must(fclose(h) == 0 && fclose(b) == 0, "no memory");
	FILE *f = fopen(path, "wb");
	uint64_t len = n_head;
	must(f && fwrite(&len, 8, 1, f) == 1 && fwrite(head, n_head, 1, f) == 1 &&
			fwrite(body, n_body, 1, f) == 1 && fclose(f) == 0,
		"cannot write the model");
	free(head);
	free(body);
	lvx_safetensors_destroy(st);
}

struct lvx_model *golden_model(enum golden_format format)
{
	static const char *const files[] = {"config.json", "tokenizer.json", "model.safetensors"};
	struct lvx_error err;
	struct lvx_model *model;
	char dir[] = "/tmp/lvx-golden-XXXXXX", path[64];
	if (format == GOLDEN_STORED) {
		must(lvx_model_load(&model, LVX_GOLDEN, &err) == LVX_OK, err.msg);
		return model;
	}
	must(mkdtemp(dir) != NULL, "no folder");
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		if (i == 2)
			write_tensors(path, format);
		else
			must(symlink(i ? LVX_GOLDEN "/tokenizer.json" : LVX_GOLDEN "/config.json",
				     path) == 0,
				"no link");
	}
	enum lvx_status st = lvx_model_load(&model, dir, &err);
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	must(st == LVX_OK, err.msg);
	return model;
}
