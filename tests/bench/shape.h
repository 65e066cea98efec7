/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models of known shapes with random weights, so that speed is measured at the
 * sizes that matter. The weights of a model of many GB are one piece of random
 * bytes a format, mapped again and again: they cost address space, not memory.
 */
#ifndef LVX_BENCH_SHAPE_H
#define LVX_BENCH_SHAPE_H

#include "model/model.h"

struct lvx_shape_model; /* owns the model */

/* Names of the shapes, NULL-terminated. */
const char *const *lvx_shape_names(void);

enum lvx_status lvx_shape_open(
	struct lvx_shape_model **out, const char *name, struct lvx_error *err);
void lvx_shape_close(struct lvx_shape_model *shape); /* NULL is fine */
const struct lvx_model *lvx_shape_get(const struct lvx_shape_model *shape);
/* Layers of the whole model: of `m3` only some stand for all. */
uint32_t lvx_shape_layers(const struct lvx_shape_model *shape);

/* The same as a model folder, for other programs and for lumivoxd. */
enum lvx_status lvx_shape_write(const char *name, const char *dir, struct lvx_error *err);

#endif
