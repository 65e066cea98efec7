/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/products.h"

#include "model/runner_priv.h"
#include "tests/bench/dispatch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { W, S, X, Y, LIST, NORM, SHARE, X16, BUFFERS };
enum { COPIES_MAX = 64, SAMPLES = 512, ALL = 1 << 24 /* multiplications */ };
/* Of a timing: bytes of weights that no cache holds; dispatches. */
enum { WEIGHTS_MIN = 256 << 20, TIMES = 64 };

static const uint32_t bits[LVX_FMTS] = {32, 16, 8, 4}; /* of a weight */

static const struct lvx_tile more_tiles[] = {
	{32, 16, 128, 1, 1, 8, 1, 1},
	{32, 16, 128, 1, 1, 8, 1, 4},
	{32, 48, 128, 3, 1, 4, 1, 2},
	{32, 96, 64, 3, 1, 2, 2, 4},
	{64, 16, 128, 1, 1, 8, 1, 1},
	{64, 16, 128, 1, 2, 4, 1, 4},
	{64, 16, 128, 1, 2, 4, 2, 4},
	{64, 16, 128, 1, 2, 8, 2, 4},
	{64, 16, 256, 1, 1, 4, 1, 1},
	{64, 16, 256, 1, 1, 8, 1, 2},
	{64, 16, 256, 1, 1, 16, 1, 2},
	{64, 16, 256, 1, 4, 4, 1, 2},
	{64, 32, 64, 2, 1, 2, 2, 4},
	{64, 32, 128, 2, 1, 4, 1, 1},
	{64, 32, 128, 1, 2, 4, 1, 4},
	{64, 32, 128, 2, 2, 4, 1, 3},
	{64, 48, 64, 3, 1, 4, 2, 4},
	{64, 48, 64, 3, 2, 2, 2, 4},
	{64, 48, 128, 1, 2, 4, 1, 2},
	{64, 48, 128, 3, 2, 2, 1, 2},
	{64, 48, 128, 3, 1, 4, 1, 2},
	{64, 48, 128, 3, 1, 4, 1, 4},
	{64, 64, 64, 2, 2, 2, 1, 2},
	{64, 64, 64, 2, 2, 2, 2, 1},
	{64, 64, 64, 2, 2, 2, 2, 4},
	{64, 64, 96, 2, 2, 2, 1, 1},
	{64, 64, 128, 2, 2, 2, 1, 2},
	{64, 64, 128, 4, 1, 4, 1, 2},
	{64, 96, 64, 2, 2, 2, 1, 2},
	{64, 96, 64, 2, 2, 2, 2, 1},
	{64, 96, 64, 2, 2, 2, 2, 4},
	{64, 96, 64, 3, 2, 2, 2, 2},
	{64, 96, 64, 3, 2, 2, 2, 4},
	{64, 96, 64, 6, 1, 2, 2, 2},
	{64, 96, 128, 3, 2, 2, 1, 2},
	{64, 128, 64, 4, 2, 1, 1, 1},
	{64, 128, 64, 4, 2, 1, 1, 4},
	{64, 128, 64, 4, 2, 2, 1, 2},
	{128, 128, 32, 4, 2, 1, 1, 1},
	{128, 128, 32, 4, 2, 1, 2, 2},
	{128, 128, 64, 4, 2, 1, 1, 2},
};

const struct lvx_tile *lvx_product_tile(uint32_t i, bool *ours)
{
	const uint32_t n = LVX_TILES - LVX_TILE_FEW - 1;
	*ours = i < n;
	if (i < n)
		return &lvx_tiles[LVX_TILE_FEW + 1 + i];
	return i - n < sizeof(more_tiles) / sizeof(more_tiles[0]) ? &more_tiles[i - n] : NULL;
}

struct lvx_product_bed {
	struct lvx_vk *vk;
	struct lvx_product product;
	enum lvx_format format;
	uint32_t n, copies;
	size_t w_bytes, s_bytes; /* of one matrix */
	struct lvx_vk_buffer b[BUFFERS];
	uint8_t *weights; /* as runner_pack.c packs them */
	uint16_t *scales;
	uint16_t *x;
	uint8_t *y; /* what came back; a position more than there are */
	size_t y_bytes;
};

static uint32_t next(uint32_t *state)
{
	*state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
	return *state;
}

/* 2^-(least) at most, 2^-6 of that at least, of both signs. */
static uint16_t any_half(uint32_t *state, uint32_t least, bool sign)
{
	uint32_t v = next(state) >> 8;
	return (uint16_t)((sign ? v << 15 & 0x8000 : 0) | (14 - least - v % 6) << 10 |
			  (v >> 4 & 1023));
}

/* A value of the matrix. */
static double weight(const struct lvx_product_bed *b, uint32_t row, uint32_t col)
{
	const struct lvx_product *p = &b->product;
	uint32_t of_unit = 128 / bits[b->format], units = p->cols / of_unit;
	size_t unit = ((size_t)(row / 8) * units + col / of_unit) * 8 + row % 8;
	const uint8_t *at = b->weights + unit * 16;
	uint32_t i = col % of_unit;
	uint16_t half;
	if (b->format == LVX_FMT_F16) {
		memcpy(&half, at + 2 * i, 2);
		return lvx_half_to_float(half);
	}
	double scale = lvx_half_to_float(
		b->scales[((size_t)(row / 8) * (p->cols / 32) + col / 32) * 8 + row % 8]);
	if (b->format == LVX_FMT_I8)
		return scale * (int8_t)at[i];
	return scale * ((at[i / 2] >> (i % 2 * 4) & 15) - 8);
}

static double dot(const struct lvx_product_bed *b, uint32_t row, uint32_t position)
{
	double s = 0.0;
	for (uint32_t c = 0; c < b->product.cols; c++)
		s += weight(b, row, c) *
		     lvx_half_to_float(b->x[(size_t)position * b->product.cols + c]);
	return s;
}

static const float alpha = 1.702f, limit = 7.0f;

static double want(const struct lvx_product_bed *b, uint32_t row, uint32_t position)
{
	if (!b->product.gated)
		return dot(b, row, position);
	double g = dot(b, row / 8 * 16 + row % 8, position);
	double u = dot(b, row / 8 * 16 + 8 + row % 8, position);
	g = fmin(g, limit);
	u = fmax(fmin(u, limit), -limit);
	return (u + 1.0) * g / (1.0 + exp(-alpha * g));
}

static double got(const struct lvx_product_bed *b, size_t i, bool halves)
{
	float v;
	uint16_t half;
	if (!halves) {
		memcpy(&v, b->y + 4 * i, 4);
		return v;
	}
	memcpy(&half, b->y + 2 * i, 2);
	return lvx_half_to_float(half);
}

static double compare(const struct lvx_product_bed *b, uint32_t n, bool halves)
{
	uint32_t rows = b->product.gated ? b->product.rows / 2 : b->product.rows, state = n + 1;
	double diff = 0.0, ref = 0.0;
	size_t values = (size_t)n * rows;
	bool all = values * b->product.cols <= ALL;
	for (size_t k = 0; k < (all ? values : SAMPLES); k++) {
		size_t i = all ? k : next(&state) % values;
		double v = want(b, (uint32_t)(i % rows), (uint32_t)(i / rows));
		double d = got(b, i, halves) - v;
		diff += d * d;
		ref += v * v;
	}
	return sqrt(diff / ref);
}

void lvx_product_bed_destroy(struct lvx_product_bed *b)
{
	if (!b)
		return;
	for (int i = 0; i < BUFFERS; i++)
		lvx_vk_buffer_destroy(b->vk, &b->b[i]);
	free(b->weights);
	free(b->scales);
	free(b->x);
	free(b->y);
	free(b);
}

static void fill(struct lvx_product_bed *b, float *x)
{
	uint32_t state = 12345 + b->product.rows;
	for (size_t i = 0; i < b->w_bytes / 2; i++) {
		uint16_t v = b->format == LVX_FMT_F16 ? any_half(&state, 2, true)
						      : (uint16_t)(next(&state) >> 8);
		memcpy(b->weights + 2 * i, &v, 2);
	}
	for (size_t i = 0; i < b->s_bytes / 2; i++)
		b->scales[i] = any_half(&state, b->format == LVX_FMT_I8 ? 8 : 4, false);
	for (size_t i = 0; i < (size_t)b->n * b->product.cols; i++) {
		b->x[i] = any_half(&state, 0, true);
		x[i] = lvx_half_to_float(b->x[i]);
	}
}

static enum lvx_format format_of(enum lvx_dtype dtype)
{
	return dtype == LVX_DTYPE_F16  ? LVX_FMT_F16
	       : dtype == LVX_DTYPE_I8 ? LVX_FMT_I8
	       : dtype == LVX_DTYPE_U8 ? LVX_FMT_Q4
				       : LVX_FMT_F32;
}

enum lvx_status lvx_product_bed_create(struct lvx_product_bed **out, struct lvx_vk *vk,
	const struct lvx_product *p, uint32_t n, uint32_t copies, struct lvx_error *err)
{
	struct lvx_product_bed *b = calloc(1, sizeof(*b));
	if (!b)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	size_t tiles = (p->rows + 7) / 8, values = (size_t)n * p->cols;
	*b = (struct lvx_product_bed){.vk = vk, .product = *p, .n = n, .copies = copies};
	b->format = format_of(p->dtype);
	b->w_bytes = tiles * 8 * p->cols * bits[b->format] / 8;
	b->s_bytes = b->format >= LVX_FMT_I8 ? tiles * 8 * (p->cols / 32) * 2 : 4;
	b->y_bytes = (size_t)(n + 1) * p->rows * 4;
	b->weights = malloc(b->w_bytes);
	b->scales = malloc(b->s_bytes);
	b->x = malloc(values * 2);
	b->y = malloc(b->y_bytes);
	float *x = malloc(values * 4);
	const VkDeviceSize sizes[BUFFERS] = {copies * b->w_bytes, copies * b->s_bytes, values * 4,
		b->y_bytes, 256, 256, 256, values * 2};
	enum lvx_status st = LVX_OK;
	if (!b->weights || !b->scales || !b->x || !b->y || !x)
		st = lvx_fail(err, LVX_ENOMEM, "out of memory");
	else
		fill(b, x);
	if (st == LVX_OK)
		st = lvx_job_buffers(vk, b->b, sizes, BUFFERS, err);
	for (uint32_t i = 0; i < copies && st == LVX_OK; i++) {
		const struct lvx_vk_piece pieces[] = {
			{&b->b[W], i * b->w_bytes, b->w_bytes, b->weights},
			{&b->b[S], i * b->s_bytes, b->s_bytes, b->scales},
			{&b->b[X], 0, values * 4, x},
			{&b->b[X16], 0, values * 2, b->x},
		};
		st = lvx_vk_write(vk, pieces, i == 0 ? 4 : 2, err);
	}
	free(x);
	if (st == LVX_OK)
		*out = b;
	else
		lvx_product_bed_destroy(b);
	return st;
}

enum lvx_status lvx_product_run(struct lvx_product_bed *b, const struct lvx_product_try *t,
	struct lvx_product_result *out, struct lvx_error *err)
{
	const struct lvx_product *p = &b->product;
	uint32_t y_rows = p->gated ? p->rows / 2 : p->rows;
	struct lvx_push_product push[COPIES_MAX];
	for (uint32_t i = 0; i < b->copies; i++)
		push[i] = (struct lvx_push_product){.blocks = p->cols / 32,
			.rows = p->rows,
			.n_items = t->n,
			.x_stride = p->cols / 4,
			.y_stride = y_rows,
			.w_base = (uint32_t)(i * b->w_bytes / 16),
			.s_base = (uint32_t)(i * b->s_bytes / 2),
			.divide = 1,
			.gated = p->gated,
			.y_halves = t->y_halves,
			.alpha = alpha,
			.limit = limit};
	struct lvx_job j = {.vk = b->vk,
		.pipeline = t->pipeline,
		.push = push,
		.push_bytes = sizeof(push[0]),
		.n_pushes = b->copies,
		.x = (p->rows + t->tile->rows - 1) / t->tile->rows,
		.y = (t->n + t->tile->positions - 1) / t->tile->positions,
		.times = t->times,
		.once = t->once};
	memset(b->y, 0xff, b->y_bytes);
	*out = (struct lvx_product_result){0};
	const struct lvx_vk_piece y = {&b->b[Y], 0, b->y_bytes, b->y};
	enum lvx_status st = lvx_vk_write(b->vk, &y, 1, err);
	if (st == LVX_OK && lvx_job_bind(&j, b->b, BUFFERS))
		out->seconds = lvx_job_time(&j);
	if (st == LVX_OK && out->seconds <= 0.0)
		st = lvx_fail(err, LVX_EDEVICE, "the product could not be timed");
	j.pipeline = VK_NULL_HANDLE; /* the caller's */
	lvx_job_finish(&j);
	if (st == LVX_OK)
		st = lvx_vk_read(b->vk, &y, 1, err);
	if (st != LVX_OK)
		return st;
	out->off = compare(b, t->n, t->y_halves);
	for (size_t i = (size_t)t->n * y_rows * (t->y_halves ? 2 : 4); i < b->y_bytes; i++)
		out->spilt |= b->y[i] != 0xff;
	return LVX_OK;
}

/* ---- times ---- */

static enum lvx_status show_tile(struct lvx_product_bed *b, const struct lvx_tile *tile, bool ours,
	uint32_t n, bool both, uint32_t times, struct lvx_error *err)
{
	const struct lvx_product *p = &b->product;
	/* one whose work groups are mostly empty */
	if (!lvx_many_fits(b->vk, tile) || tile->positions > 4 * n)
		return LVX_OK;
	printf("%-5s %5u  %3u x %3u, step %3u, parts %2u %u %2u, buffers %u, depth %u %s", p->name, n,
		tile->rows, tile->positions, tile->step, tile->parts_m, tile->parts_n,
		tile->parts_k, tile->buffers, tile->depth, ours ? " " : "+");
	for (int halves = !both; halves < 2; halves++) {
		struct lvx_product_result result;
		VkPipeline pipeline = VK_NULL_HANDLE;
		enum lvx_status st =
			lvx_many_pipeline(b->vk, &pipeline, b->format, tile, halves, err);
		const struct lvx_product_try try = {
			tile, pipeline, n, halves && p->gated, times, false};
		if (st == LVX_OK)
			st = lvx_product_run(b, &try, &result, err);
		vkDestroyPipeline(b->vk->device, pipeline, NULL);
		if (st != LVX_OK) {
			printf("\n");
			return st;
		}
		printf(" %s %8.1f us %6.3f TB/s %6.1f TFLOP/s%s", halves ? " f16" : "f32",
			result.seconds * 1e6,
			(double)(b->w_bytes + b->s_bytes) / result.seconds * 1e-12,
			2.0 * n * p->rows * p->cols / result.seconds * 1e-12,
			result.off > 1e-3 || result.spilt ? " WRONG" : "");
	}
	printf("\n");
	return LVX_OK;
}

static enum lvx_status show_matrix(
	struct lvx_vk *vk, const struct lvx_product *p, uint32_t only, bool cpu, struct lvx_error *err)
{
	static const uint32_t all[] = {16, 32, 64, 128, 256, 512, 1024};
	const uint32_t *positions = only ? &only : all;
	const uint32_t n_positions = cpu || only ? 1 : sizeof(all) / sizeof(all[0]);
	struct lvx_product_bed *b;
	size_t bytes = (size_t)p->rows * p->cols / 2;
	size_t copies = cpu ? 1 : WEIGHTS_MIN / bytes + 1;
	enum lvx_status st = lvx_product_bed_create(&b, vk, p, positions[n_positions - 1],
		(uint32_t)(copies < COPIES_MAX ? copies : COPIES_MAX), err);
	if (st != LVX_OK)
		return st;
	for (uint32_t i = 0; i < n_positions && st == LVX_OK; i++) {
		const struct lvx_tile *tile;
		bool ours;
		for (uint32_t t = 0; st == LVX_OK && (tile = lvx_product_tile(t, &ours)); t++)
			st = show_tile(b, tile, ours, positions[i], !only, cpu ? 1 : TIMES, err);
	}
	lvx_product_bed_destroy(b);
	return st;
}

enum lvx_status lvx_products(const struct lvx_product *list, uint32_t n, const char *device,
	uint32_t positions, bool gpu_kernels, bool plain, struct lvx_error *err)
{
	struct lvx_vk_instance *instance;
	struct lvx_vk *vk = NULL;
	enum lvx_status st = lvx_vk_instance_create(&instance, false, err);
	if (st != LVX_OK)
		return st;
	st = lvx_vk_create(&vk, instance, device, err);
	if (st == LVX_OK && vk->is_cpu && !gpu_kernels)
		st = lvx_fail(err, LVX_EUNSUPPORTED, "%s has other kernels", vk->info.name);
	if (st == LVX_OK) {
		bool cpu = vk->is_cpu;
		vk->is_cpu = false;
		vk->coop &= !plain;
		printf("%s: matrix, positions; rows x positions of a work group (+: not in the "
		       "table)\n",
			vk->info.name);
		for (uint32_t i = 0; i < n && st == LVX_OK; i++)
			st = show_matrix(vk, &list[i], positions, cpu, err);
	}
	lvx_vk_destroy(vk);
	lvx_vk_instance_destroy(instance);
	return st;
}
