/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul.comp against plain C in every format and shape of a work group that the device has room
 * for, in f16 also those that the runner does not use yet: odd sizes, fewer positions than a work group
 * takes and more; positions in f32 and in f16, a gated product's result in both. LVX_SHAPES, as for
 * test_kernels under sanitizers, leaves only f16.
 */
#include "model/runner_priv.h"
#include "tests/bench/products.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void check(struct lvx_vk *vk, const struct lvx_product *p, const struct lvx_tile *tile,
	VkPipeline pipeline)
{
	const uint32_t np = tile->positions, counts[] = {1, np - 7, np, np + 3};
	struct lvx_product_bed *bed;
	struct lvx_error err;
	if (lvx_product_bed_create(&bed, vk, p, np + 3, 2, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < 4; i++)
		for (int y_halves = 0; y_halves <= p->gated; y_halves++) {
			struct lvx_product_result r;
			/* in both copies of the matrix */
			const struct lvx_product_try try = {tile, pipeline, counts[i], y_halves, 2, true};
			if (lvx_product_run(bed, &try, &r, &err) != LVX_OK)
				fail_msg("%s", err.msg);
			/* weights that are not f16 yet are rounded, and so is a result in f16 */
			double most = p->dtype == LVX_DTYPE_F16 && !y_halves ? 1e-4 : 1e-3;
			if (!(r.off < most) || r.spilt)
				fail_msg("%s, %u x %u%s, %u positions to %s: off by %g%s", p->name,
					p->rows, p->cols, p->gated ? " gated" : "", counts[i],
					y_halves ? "f16" : "f32", r.off,
					r.spilt ? ", and wrote beyond its positions" : "");
		}
	lvx_product_bed_destroy(bed);
}

/* formats: how many of these. */
static void check_tile(struct lvx_vk *vk, const struct lvx_tile *tile, int formats)
{
	static const struct {
		const char *name;
		enum lvx_format format;
		enum lvx_dtype dtype;
	} list[] = {{"f16", LVX_FMT_F16, LVX_DTYPE_F16}, {"int8", LVX_FMT_I8, LVX_DTYPE_I8},
		{"4-bit", LVX_FMT_Q4, LVX_DTYPE_U8}};
	bool fits = lvx_many_fits(vk, tile);
	print_message("# %u x %u, step %u, parts %u %u %u, buffers %u, depth %u%s\n", tile->rows,
		tile->positions, tile->step, tile->parts_m, tile->parts_n, tile->parts_k,
		tile->buffers, tile->depth, fits ? "" : ": no room");
	for (int i = 0; i < 2 * formats && fits; i++) {
		const char *name = list[i / 2].name;
		enum lvx_dtype dtype = list[i / 2].dtype;
		struct lvx_error err;
		VkPipeline pipeline;
		if (lvx_many_pipeline(vk, &pipeline, list[i / 2].format, tile, i % 2, &err) != LVX_OK)
			fail_msg("%s", err.msg);
		check(vk, &(struct lvx_product){name, dtype, 203, 160, false}, tile, pipeline);
		check(vk, &(struct lvx_product){name, dtype, 208, 160, true}, tile, pipeline);
		check(vk, &(struct lvx_product){name, dtype, 16, 32, true}, tile, pipeline);
		vkDestroyPipeline(vk->device, pipeline, NULL);
	}
}

static void check_all(bool plain, bool in_table)
{
	struct lvx_vk_instance *instance = NULL;
	struct lvx_vk *vk = NULL;
	struct lvx_error err;
	const struct lvx_tile *tile;
	bool ours;
	if (lvx_vk_instance_create(&instance, getenv("LVX_VALIDATION") != NULL, &err) != LVX_OK ||
		lvx_vk_create(&vk, instance, getenv("LVX_DEVICE"), &err) != LVX_OK)
		fail_msg("%s", err.msg);
	vk->is_cpu = false; /* these are a GPU's kernels */
	bool none = !plain && !vk->coop && in_table; /* as plain */
	vk->coop &= !plain;
	for (uint32_t t = 0; !none && (tile = lvx_product_tile(t, &ours)); t++)
		if (ours == in_table)
			check_tile(vk, tile, ours && !getenv("LVX_SHAPES") ? 3 : 1);
	assert_int_equal(instance->validation_errors, 0);
	lvx_vk_destroy(vk);
	lvx_vk_instance_destroy(instance);
}

static void test_plain(void **unused)
{
	(void)unused;
	check_all(true, true);
}

static void test_cooperative_matrices(void **unused)
{
	(void)unused;
	check_all(false, true);
}

static void test_more_tiles(void **unused)
{
	(void)unused;
	check_all(false, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_cooperative_matrices),
		cmocka_unit_test(test_more_tiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
