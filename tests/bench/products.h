/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's products of many positions, of random values: are they right, and how fast. */
#ifndef LVX_BENCH_PRODUCTS_H
#define LVX_BENCH_PRODUCTS_H

#include "model/safetensors.h"
#include "model/vk_device.h"

struct lvx_tile; /* model/runner_priv.h */

/* Those of the runner's table beyond LVX_TILE_FEW, then some that may join it; NULL: there are no
 * more. ours: it is in the table. */
const struct lvx_tile *lvx_product_tile(uint32_t i, bool *ours);

struct lvx_product {
	const char *name;
	enum lvx_dtype dtype; /* F16, I8 or U8 (4 bits) */
	uint32_t rows, cols;  /* as in struct lvx_matrix */
	bool gated;
};

struct lvx_product_bed;
/* Room for n positions. copies: of the matrix, which are read in turn, so that none comes from a
 * cache. */
enum lvx_status lvx_product_bed_create(struct lvx_product_bed **out, struct lvx_vk *vk,
	const struct lvx_product *product, uint32_t n, uint32_t copies, struct lvx_error *err);
void lvx_product_bed_destroy(struct lvx_product_bed *bed); /* NULL is fine */

struct lvx_product_try {
	const struct lvx_tile *tile; /* of matmul.comp */
	VkPipeline pipeline;         /* lvx_many_pipeline's, which decides on the form of the positions */
	uint32_t n;                  /* positions */
	bool y_halves;               /* the result is f16; only of a gated product */
	uint32_t times;
	bool once; /* only for its result */
};

struct lvx_product_result {
	double seconds; /* of one */
	double off;     /* of some values, or all if they are few: from plain C's, by the norm */
	bool spilt;     /* wrote beyond its positions */
};

enum lvx_status lvx_product_run(struct lvx_product_bed *bed, const struct lvx_product_try *try,
	struct lvx_product_result *out, struct lvx_error *err);

/* Prints times. positions: only with so many, in f16; 0: with several, in both forms. gpu_kernels: also on a CPU; plain: without cooperative matrices. */
enum lvx_status lvx_products(const struct lvx_product *list, uint32_t n, const char *device,
	uint32_t positions, bool gpu_kernels, bool plain, struct lvx_error *err);

#endif
