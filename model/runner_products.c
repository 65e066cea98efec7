/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of matrix products: shapes of a work group, and a pipeline for each matrix and number of positions. */
#include "model/runner_priv.h"

#include "linear_spv.h"
#include "matmul_cm_spv.h"
#include "matmul_spv.h"
#include "matvec_spv.h"

/* Invocations of a work group of matvec.comp, at least; of all of them, so that a GPU is busy;
 * units of one. */
enum { MATVEC_GROUP = 128, MATVEC_FILLS = 1 << 17, MATVEC_UNITS = 4 };
enum { SHARED_OTHER = 256 };

/* In the order of their positions, then of their rows. */
const struct lvx_tile lvx_tiles[LVX_TILES] = {
	{1, 16, 0, 0, 0, 0, 0, 0},
	{4, 16, 0, 0, 0, 0, 0, 0},
	{8, 16, 0, 0, 0, 0, 0, 0},
	{32, 16, 128, 1, 1, 8, 1, 2},
	{64, 16, 128, 1, 1, 8, 1, 2}, /* in 32 KiB */
	{64, 16, 256, 1, 2, 8, 1, 2},
	{64, 32, 128, 2, 2, 2, 1, 2},
	{64, 48, 64, 1, 2, 4, 2, 4},
	{64, 64, 64, 2, 2, 2, 2, 2},
	{64, 96, 64, 2, 2, 2, 2, 2},
	{64, 128, 64, 4, 2, 1, 1, 2},
	{128, 128, 32, 4, 2, 1, 1, 2},
};

bool lvx_many_fits(const struct lvx_vk *vk, const struct lvx_tile *t)
{
	/* as matmul.comp has it: both sides or each part's fragments of 16 positions, the positions,
	 * common.glsl's */
	uint32_t sides = (t->rows + t->positions) * (t->step / 8 + 1) * 16 * t->buffers;
	uint32_t sums = t->rows / 16 * t->parts_n * t->parts_k * 1024;
	return (sides > sums ? sides : sums) + t->positions * 8 + SHARED_OTHER <=
	       vk->limits.maxComputeSharedMemorySize;
}

bool lvx_has_tile(const struct lvx_vk *vk, enum lvx_format f, uint32_t tile)
{
	if (tile <= LVX_TILE_FEW)
		return true;
	/* floats do not go through f16 */
	return !vk->is_cpu && f != LVX_FMT_F32 && lvx_many_fits(vk, &lvx_tiles[tile]);
}

uint32_t lvx_top_tile(const struct lvx_vk *vk, enum lvx_format f)
{
	uint32_t tile = LVX_TILES - 1;
	while (!lvx_has_tile(vk, f, tile))
		tile--;
	return tile;
}

enum lvx_status lvx_many_pipeline(struct lvx_vk *vk, VkPipeline *out, enum lvx_format f,
	const struct lvx_tile *t, bool halves, struct lvx_error *err)
{
	uint32_t spec[] = {32 * t->parts_m * t->parts_n * t->parts_k, f, t->positions, t->step, true,
		t->rows, t->parts_m, t->parts_n, t->parts_k, t->buffers, halves, t->depth};
	return lvx_vk_pipeline(vk, out, vk->coop ? matmul_cm_spv : matmul_spv,
		vk->coop ? sizeof(matmul_cm_spv) : sizeof(matmul_spv), spec, 12, "matmul", err);
}

enum lvx_status lvx_product_pipeline(struct lvx_vk *vk, VkPipeline *out, enum lvx_format f,
	uint32_t tile, uint32_t width, bool normed, bool halves, struct lvx_error *err)
{
	const struct lvx_tile *t = &lvx_tiles[tile];
	uint32_t wide = MATVEC_GROUP << width;
	uint32_t cpu[] = {LVX_CPU_GROUP, f, t->positions, lvx_cpu_tile_rows(tile)};
	uint32_t few[] = {wide, f, t->positions, wide, true, normed};
	if (vk->is_cpu)
		return lvx_vk_pipeline(
			vk, out, linear_spv, sizeof(linear_spv), cpu, 4, "linear", err);
	if (tile <= LVX_TILE_FEW)
		return lvx_vk_pipeline(
			vk, out, matvec_spv, sizeof(matvec_spv), few, 6, "matvec", err);
	return lvx_many_pipeline(vk, out, f, t, halves, err);
}

/*
 * A small matrix has few work groups, so they are wide: their loads on the way have to cover the
 * memory's latency. But each invocation has some units of a row at least. n_at_once: of the
 * matrix's groups take part in the product with one position.
 */
static uint32_t product_width(const struct lvx_matrix *m, uint32_t n_at_once)
{
	static const uint32_t units[] = {8, 4, 2, 1}; /* of a block, by format */
	uint32_t groups = (m->rows + 15) / 16 * n_at_once, of_row = m->cols / 32 * units[m->format];
	uint32_t wide = MATVEC_GROUP, width = 0;
	for (; width + 1 < LVX_WIDTHS && groups * wide < MATVEC_FILLS &&
		of_row >= 2 * wide / 8 * MATVEC_UNITS;
		width++)
		wide *= 2;
	return width;
}

/* The pipelines of a matrix, unless there are some; normed: of its product with a norm, too;
 * halves: its positions come in f16 where that is what the kernel makes of them. */
static enum lvx_status product_pipelines(struct lvx_runner *r, struct lvx_matrix *m,
	uint32_t n_at_once, bool normed, bool halves, struct lvx_error *err)
{
	enum lvx_format f = m->format;
	enum lvx_status st = LVX_OK;
	m->width = product_width(m, n_at_once);
	m->halves = halves && !r->vk->is_cpu && !r->exact;
	for (uint32_t t = 0; t < LVX_TILES && st == LVX_OK; t++) {
		bool few = t <= LVX_TILE_FEW && !r->vk->is_cpu;
		VkPipeline *p = few         ? &r->few[f][t][m->width]
				: m->halves ? &r->halved[f][t]
					    : &r->linear[f][t];
		VkPipeline *also = few && normed ? &r->few_normed[f][t][m->width] : NULL;
		if (!*p && lvx_has_tile(r->vk, f, t))
			st = lvx_product_pipeline(r->vk, p, f, t, m->width, false, m->halves, err);
		if (also && !*also && st == LVX_OK)
			st = lvx_product_pipeline(r->vk, also, f, t, m->width, true, false, err);
	}
	return st;
}

enum lvx_status lvx_runner_products(struct lvx_runner *r, struct lvx_error *err)
{
	struct lvx_matrix *fixed[] = {&r->audio, &r->lanes_in, &r->image, &r->lanes_out, &r->embed};
	enum lvx_status st = LVX_OK;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && st == LVX_OK; i++)
		st = product_pipelines(r, fixed[i], 1, false, false, err);
	for (uint32_t l = 0; l < r->model->config.n_layers && st == LVX_OK; l++) {
		struct lvx_layer *y = &r->layers[l];
		const struct {
			struct lvx_matrix *m;
			uint32_t n_at_once;
			bool used, normed, halves;
		} list[] = {{&y->qkv, 1, true, true, true}, {&y->out, 1, true, false, true},
			{&y->up, 1, true, !y->moe, true},
			/* only matmul.comp makes them f16 */
			{&y->down, 1, true, false, y->up.format != LVX_FMT_F32},
			{&y->expert_up, r->model->config.top_k, y->moe, false, true},
			{&y->expert_down, 1, y->moe, false, true},
			{&y->router, 1, y->moe && !r->vk->is_cpu, false, false}};
		for (size_t i = 0; i < sizeof(list) / sizeof(list[0]) && st == LVX_OK; i++)
			if (list[i].used)
				st = product_pipelines(
					r, list[i].m, list[i].n_at_once, list[i].normed, list[i].halves, err);
	}
	return st;
}
