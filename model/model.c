/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include "base/log.h"
#include "model/model_priv.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lvx_status join(
	char *out, size_t size, const char *dir, const char *file, struct lvx_error *err)
{
	int n = snprintf(out, size, "%s/%s", dir, file);
	if (n < 0 || (size_t)n >= size)
		return lvx_fail(err, LVX_ELIMIT, "%.200s...: the path is too long", dir);
	return LVX_OK;
}

static void folder_name(char *out, size_t size, const char *dir)
{
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	size_t begin = len;
	while (begin > 0 && dir[begin - 1] != '/')
		begin--;
	snprintf(out, size, "%.*s", (int)(len - begin), dir + begin);
}

static void fill_info(struct lvx_model *m, const char *dir)
{
	struct lvx_model_info *i = &m->info;
	const struct lvx_config *c = &m->config;
	folder_name(i->name, sizeof(i->name), dir);
	memcpy(i->family, c->family, sizeof(i->family));
	for (uint32_t k = 0; k < m->graph.n_weights; k++) {
		const struct lvx_weight *w = &m->graph.weights[k];
		i->n_params += (uint64_t)(w->rows ? w->rows : 1) * w->cols;
		i->weight_bytes += w->data->bytes + (w->scale ? w->scale->bytes : 0);
	}
	i->frontend = c->frontend;
	i->slot_us = 1000 * (int64_t)c->slot_ms;
	i->delay_slots = c->delay_slots;
	memcpy(i->delays, c->delays, sizeof(i->delays));
	i->n_delays = c->n_delays;
	i->window_slots = c->window_slots;
	i->max_prefix = c->max_prefix;
	i->max_pictures = c->max_pictures;
	memcpy(i->lanes, c->lanes, sizeof(i->lanes));
	i->n_lanes = c->n_lanes;
	memcpy(i->conditions, c->conditions, sizeof(i->conditions));
	i->n_conditions = c->n_conditions;
}

/* m->file: opened already, or NULL. */
static enum lvx_status load(struct lvx_model *m, const char *dir, struct lvx_error *err)
{
	char path[PATH_MAX];
	enum lvx_status st = join(path, sizeof(path), dir, "config.json", err);
	if (st == LVX_OK)
		st = lvx_config_load(&m->config, path, err);
	if (st == LVX_OK)
		st = lvx_graph_build(&m->graph, &m->config, err);
	if (st == LVX_OK)
		st = join(path, sizeof(path), dir, "model.safetensors", err);
	if (st == LVX_OK && !m->file)
		st = lvx_safetensors_open(&m->file, path, err);
	if (st == LVX_OK)
		st = lvx_graph_bind(&m->graph, m->file, path, err);
	if (st == LVX_OK)
		st = join(path, sizeof(path), dir, "tokenizer.json", err);
	if (st == LVX_OK)
		st = lvx_tokenizer_load(&m->tokenizer, path, m->config.vocab, err);
	if (st == LVX_OK)
		fill_info(m, dir);
	return st;
}

enum lvx_status lvx_model_load(struct lvx_model **out, const char *dir, struct lvx_error *err)
{
	return lvx_model_load_with(out, dir, NULL, err);
}

enum lvx_status lvx_model_load_with(struct lvx_model **out, const char *dir,
	struct lvx_safetensors *weights, struct lvx_error *err)
{
	struct lvx_model *m = calloc(1, sizeof(*m));
	if (!m) {
		lvx_safetensors_destroy(weights);
		return lvx_fail(err, LVX_ENOMEM, "%s: out of memory", dir);
	}
	m->file = weights;
	enum lvx_status st = load(m, dir, err);
	if (st != LVX_OK) {
		lvx_model_destroy(m);
		return st;
	}
	*out = m;
	return LVX_OK;
}

void lvx_model_destroy(struct lvx_model *m)
{
	if (!m)
		return;
	lvx_tokenizer_destroy(m->tokenizer);
	lvx_graph_finish(&m->graph);
	lvx_safetensors_destroy(m->file);
	free(m);
}

const struct lvx_model_info *lvx_model_info(const struct lvx_model *m)
{
	return &m->info;
}

int lvx_model_lane(const struct lvx_model *m, const char *name)
{
	return lvx_model_info_lane(&m->info, name);
}

int lvx_model_condition(const struct lvx_model *m, const char *name)
{
	for (uint32_t i = 0; i < m->info.n_conditions; i++)
		if (strcmp(m->info.conditions[i], name) == 0)
			return (int)i;
	return -1;
}
