/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models of known shapes with random weights, so that speed is measured at the
 * sizes that matter. The weights of a model of many GB are one piece of random
 * bytes a format, mapped again and again: they cost address space, not memory.
 */
#ifndef LVX_BENCH_SHAPE_H
#define LVX_BENCH_SHAPE_H

#include "model/model.h"
#include "model/safetensors.h"

struct lvx_shape_model; /* owns the model */

struct lvx_shape {
	const char *name;
	uint32_t hidden, layers, heads, kv_heads, head_dim, rotary, vocab;
	uint32_t dense, expert, shared, experts, top_k, first_moe;
	uint32_t cross; /* router_dim, 0: none */
	uint32_t width, height, patch, pictures, window, prefix, lanes;
	enum lvx_dtype matrices, units; /* F16, I8 or U8 (4 bits); units: experts and shared ones */
	uint32_t stands_for;		/* layers of the whole model */
};

/* NULL: there is none of that name. */
const struct lvx_shape *lvx_shape_find(const char *name, struct lvx_error *err);

enum lvx_status lvx_shape_open(
	struct lvx_shape_model **out, const struct lvx_shape *shape, struct lvx_error *err);
void lvx_shape_close(struct lvx_shape_model *shape); /* NULL is fine */
const struct lvx_model *lvx_shape_get(const struct lvx_shape_model *shape);
/* Layers of the whole model: of `m3` only some stand for all. */
uint32_t lvx_shape_layers(const struct lvx_shape_model *shape);

/* The same as a model folder, for other programs and for lumivoxd. */
enum lvx_status lvx_shape_write(
	const struct lvx_shape *shape, const char *dir, struct lvx_error *err);

#endif
