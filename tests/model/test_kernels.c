/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel against plain C (reference.c), on models of random shapes and
 * batches of random sizes: odd sizes, one row, full batches, all formats.
 * LVX_SEED picks other shapes; LVX_VALIDATION=1 asks for the validation layer;
 * LVX_SHAPES=N tries only the first N: sanitizers see the driver's compiler at
 * work, a quarter of an hour of it, and nothing of the kernels that it makes.
 */
#include "reference.h"
#include "tests/bench/shape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS_MAX = 80, PATCHES_MAX = 64, PREFIX_MAX = 12 };

static uint32_t state;

static uint32_t pick(uint32_t lo, uint32_t hi)
{
	state ^= state << 13, state ^= state >> 17, state ^= state << 5;
	return lo + state % (hi - lo + 1);
}

static float any(void)
{
	return (float)pick(0, 2000) * 1e-3f - 1.0f;
}

struct kernels {
	bool gpu, plain, exact;
};

/* group: query heads of a key head, 0: any; all: every expert is chosen, so that no near tie can send
 * f16 another way. */
static struct lvx_shape random_shape(
	enum lvx_dtype matrices, enum lvx_dtype units, uint32_t group, bool all)
{
	static const uint32_t dims[] = {8, 16, 32, 64, 128};
	struct lvx_shape s = {.name = "random", .matrices = matrices, .units = units};
	s.hidden = 32 * pick(1, 7);
	s.layers = pick(2, 3);
	s.head_dim = dims[pick(0, 4)];
	s.kv_heads = pick(1, 3);
	s.heads = s.kv_heads * pick(1, 4);
	while (s.heads * s.head_dim % 32)
		s.heads += s.kv_heads;
	if (group || s.heads / s.kv_heads > 16)
		s.heads = (group ? group : 16) * s.kv_heads;
	s.rotary = 8 * pick(1, s.head_dim / 8);
	s.vocab = pick(260, 500);
	s.dense = 32 * pick(1, 8);
	s.expert = 32 * pick(1, 5);
	s.shared = 32 * pick(1, 5);
	s.experts = all ? pick(1, 6) : pick(2, 20);
	s.top_k = all ? s.experts : pick(1, s.experts < 5 ? s.experts : 5);
	s.first_moe = pick(0, 1);
	s.cross = pick(0, 2) ? 4 * pick(1, 9) : 0;
	s.patch = 8;
	s.width = 8 * pick(1, 8);
	s.height = 8 * pick(1, 8);
	s.pictures = pick(1, 3);
	s.window = pick(2, 30);
	s.prefix = pick(0, PREFIX_MAX);
	s.lanes = pick(1, 3);
	return s;
}

struct bed {
	const struct lvx_model *model;
	const struct lvx_model_info *info;
	struct lvx_runner *runner;
	uint32_t n_rows, patches;
	struct reference *rows[ROWS_MAX];
	int64_t slot[ROWS_MAX];
	bool begun[ROWS_MAX];
	float *slots, *picture;
	float *want, *got;
	int32_t tokens[ROWS_MAX][PREFIX_MAX + LVX_LANES_MAX];
	double diff, ref;
	uint32_t n_checked;
	float slack;
	double gap;
};

static struct lvx_run random_run(struct bed *b, uint32_t row)
{
	static const int32_t conditions[2] = {1, 0};
	uint32_t values = lvx_audio_slot_values(&b->info->frontend.audio);
	struct lvx_run run = {.row = row,
		.position = b->slot[row],
		.conditions = conditions,
		.n_conditions = pick(0, 2),
		.tokens = b->tokens[row]};
	for (uint32_t i = 0; i < PREFIX_MAX + LVX_LANES_MAX; i++)
		b->tokens[row][i] = (int32_t)pick(0, 255);
	if (!b->begun[row] && b->info->max_prefix && pick(0, 1)) {
		run.kind = LVX_RUN_PREFIX;
		run.n = pick(1, b->info->max_prefix);
		run.position = -(int64_t)run.n;
	} else if (row < 3 && pick(0, 3) == 0) {
		run.kind = LVX_RUN_PICTURE;
		run.n = b->patches;
		run.features = b->picture;
	} else {
		run.kind = LVX_RUN_SLOT;
		run.n = 1;
		run.features = b->slots + (size_t)row * values;
		run.want_lanes = pick(0, (1u << b->info->n_lanes) - 1);
		for (uint32_t i = 0; i < values; i++)
			b->slots[(size_t)row * values + i] = any();
		b->slot[row]++;
	}
	b->begun[row] = true;
	return run;
}

static void step(struct bed *b, uint32_t vocab, uint32_t n)
{
	struct lvx_run runs[ROWS_MAX];
	struct lvx_output out[ROWS_MAX];
	float activity[4];
	uint32_t first = pick(0, b->n_rows - n), total = 0, m = 0;
	for (uint32_t i = 0; i < n; i++) {
		int64_t slot = b->slot[first + i];
		runs[m] = random_run(b, first + i);
		if (total + runs[m].n > lvx_runner_max_positions(b->runner)) {
			b->slot[first + i] = slot;
			break;
		}
		total += runs[m++].n;
	}
	assert_int_equal(lvx_runner_step(b->runner, runs, m, out), LVX_OK);
	for (uint32_t i = 0; i < m; i++) {
		struct reference *r = b->rows[runs[i].row];
		reference_run(r, &runs[i], b->want, activity);
		if (runs[i].kind != LVX_RUN_SLOT || reference_gap(r) < b->gap)
			continue;
		for (uint32_t k = 0; k < 3; k++)
			assert_float_equal(out[i].activity[k], activity[k], b->slack);
		for (uint32_t l = 0; l < b->info->n_lanes; l++) {
			if (!(runs[i].want_lanes >> l & 1))
				continue;
			const float *want = b->want + (size_t)l * vocab;
			uint32_t best = 0;
			double second = -1e30, sum = 0.0;
			assert_int_equal(lvx_runner_read_logits(b->runner, i, l, b->got), LVX_OK);
			for (uint32_t k = 0; k < vocab; k++) {
				b->diff += ((double)b->got[k] - want[k]) * ((double)b->got[k] - want[k]);
				b->ref += (double)want[k] * want[k];
				best = want[k] > want[best] ? k : best;
			}
			for (uint32_t k = 0; k < vocab; k++) {
				second = k != best && want[k] > second ? want[k] : second;
				sum += exp((double)want[k] - want[best]);
			}
			b->n_checked++;
			if (want[best] - second < 2 * b->slack)
				continue;
			assert_int_equal(out[i].token[l], best);
			assert_float_equal(out[i].margin[l], want[best] - second, 2 * b->slack);
			assert_float_equal(out[i].logprob[l], -log(sum), 2 * b->slack);
		}
	}
}

/* Outputs compared: none where a near tie spoilt every row at once. */
static uint32_t check_shape(const struct lvx_shape *shape, uint32_t n_rows, const struct kernels *k)
{
	struct lvx_error err;
	struct lvx_shape_model *m = NULL;
	struct bed b = {.n_rows = n_rows};
	if (lvx_shape_open(&m, shape, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	b.model = lvx_shape_get(m);
	b.info = lvx_model_info(b.model);
	b.patches = lvx_image_patches(&b.info->frontend.image);
	struct lvx_runner_params params = {.device = getenv("LVX_DEVICE"),
		.n_rows = n_rows,
		.max_positions = n_rows + 2 * PATCHES_MAX + PREFIX_MAX,
		.validation = getenv("LVX_VALIDATION") != NULL,
		.gpu_kernels = k->gpu,
		.plain_products = k->plain,
		.exact = k->exact};
	if (lvx_runner_create(&b.runner, b.model, &params, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	bool half = k->gpu || strcmp(lvx_runner_device(b.runner)->type, "cpu") != 0;
	b.slack = half ? 0.03f : 2e-3f;
	b.gap = !half ? 1e-4 : k->exact ? 1e-3 : 1e-2;
	size_t picture = (size_t)b.patches * lvx_image_patch_values(&b.info->frontend.image);
	size_t values = lvx_audio_slot_values(&b.info->frontend.audio);
	b.slots = calloc(n_rows * values, sizeof(float));
	b.picture = calloc(picture, sizeof(float));
	b.want = calloc((size_t)LVX_LANES_MAX * shape->vocab, sizeof(float));
	b.got = calloc(shape->vocab, sizeof(float));
	for (size_t i = 0; i < picture; i++)
		b.picture[i] = any();
	struct reference_weights *weights = reference_weights_create(b.model);
	for (uint32_t i = 0; i < n_rows; i++)
		b.rows[i] = reference_create(weights);
	/* beyond the window, so that the ring has gone round */
	for (uint32_t i = 0; i < shape->window + 6; i++)
		step(&b, shape->vocab, i % 3 == 0 ? n_rows : pick(1, n_rows));
	double off = b.n_checked ? sqrt(b.diff / b.ref) : 0.0;
	print_message("# hidden %u, %u layers, %u/%u heads of %u, %u of %u experts, router %u, %ux%u, "
		      "%u rows: %u outputs, off by %.2g\n",
		shape->hidden, shape->layers, shape->heads, shape->kv_heads, shape->head_dim,
		shape->top_k, shape->experts, shape->cross, shape->width / 8, shape->height / 8,
		n_rows, b.n_checked, off);
	assert_true(off <= (half ? 1e-2 : 1e-5));
	assert_int_equal(lvx_runner_validation_errors(b.runner), 0);
	for (uint32_t i = 0; i < n_rows; i++)
		reference_destroy(b.rows[i]);
	reference_weights_destroy(weights);
	free(b.slots);
	free(b.picture);
	free(b.want);
	free(b.got);
	lvx_runner_destroy(b.runner);
	lvx_shape_close(m);
	return b.n_checked;
}

static void check(const struct kernels *k)
{
	const char *seed = getenv("LVX_SEED"), *shapes = getenv("LVX_SHAPES");
	static const struct {
		enum lvx_dtype matrices, units;
		uint32_t rows, group, vocab, hidden, window;
	} list[] = {
		{LVX_DTYPE_I8, LVX_DTYPE_U8, .rows = ROWS_MAX, .vocab = 4100}, /* the widest product */
		{LVX_DTYPE_F16, LVX_DTYPE_I8, .rows = 11},
		{LVX_DTYPE_U8, LVX_DTYPE_F16, .rows = 1},
		{LVX_DTYPE_F32, LVX_DTYPE_F16, .rows = 23},
		{LVX_DTYPE_F16, LVX_DTYPE_F32, .rows = 5},
		{LVX_DTYPE_I8, LVX_DTYPE_I8, .rows = 19, .group = 16},
		/* nearly always few positions: wide work groups of a product, keys in parts */
		{LVX_DTYPE_F16, LVX_DTYPE_U8, .rows = 2, .hidden = 1056, .window = 30},
		{LVX_DTYPE_F32, LVX_DTYPE_I8, .rows = 3, .hidden = 544, .window = 58},
	};
	size_t n = sizeof(list) / sizeof(list[0]);
	if (shapes) {
		size_t first = strtoul(shapes, NULL, 10);
		assert_in_range(first, 1, n);
		n = first;
	}
	for (size_t i = 0; i < n; i++) {
		/* Neither many positions nor exact steps are fused; and where not every expert is chosen, near
		 * ties leave too little to compare. */
		if (list[i].hidden && (k->plain || k->exact))
			continue;
		state = (seed ? (uint32_t)strtoul(seed, NULL, 10) : 1) * 2654435761u + (uint32_t)i + 1;
		struct lvx_shape s = random_shape(list[i].matrices, list[i].units, list[i].group, !k->exact);
		s.vocab = list[i].vocab ? list[i].vocab : s.vocab;
		s.hidden = list[i].hidden ? list[i].hidden : s.hidden;
		s.window = list[i].window ? list[i].window : s.window;
		/* other inputs where nothing could be compared: a single row's */
		bool compared = false;
		for (int tries = 0; tries < 5 && !compared; tries++)
			compared = check_shape(&s, list[i].rows, k);
		assert_true(compared);
	}
}

static void test_for_this_device(void **unused)
{
	(void)unused;
	check(&(struct kernels){.exact = true});
}

static void test_fast(void **unused)
{
	(void)unused;
	check(&(struct kernels){.gpu = true});
}

static void test_plain(void **unused)
{
	(void)unused;
	check(&(struct kernels){.gpu = true, .plain = true});
}

static void test_exact_on_gpus(void **unused)
{
	(void)unused;
	check(&(struct kernels){.gpu = true, .exact = true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_for_this_device),
		cmocka_unit_test(test_exact_on_gpus),
		cmocka_unit_test(test_fast),
		cmocka_unit_test(test_plain),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
