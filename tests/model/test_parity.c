/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner against the oracle, every case of tests/model/golden/ in one
 * ragged batch: prefixes, more slots than the window, more pictures than the
 * ring, conditions and lanes that come and go.
 */
#include "golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The oracle's own closest choices are further apart than this, and the runner's errors smaller. */
#define LOGIT_GAP 1e-3
#define ROUTER_GAP 1e-4

struct sums {
	double diff, ref;
};

static double relative(const struct sums *s)
{
	return sqrt(s->diff / s->ref);
}

static void add(struct sums *s, const float *a, const float *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		s->diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		s->ref += (double)b[i] * b[i];
	}
}

enum kernels { FOR_DEVICE, FOR_GPU, FOR_PLAIN_GPU };

static struct lvx_runner *create(const struct lvx_model *model, enum kernels kernels)
{
	struct lvx_error err;
	struct lvx_runner *runner = NULL;
	struct lvx_runner_params params = {
		.device = getenv("LVX_DEVICE"),
		.n_rows = 4,
		.gpu_kernels = kernels != FOR_DEVICE,
		.plain_products = kernels == FOR_PLAIN_GPU};
	if (lvx_runner_create(&runner, model, &params, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return runner;
}

/*
 * One slot's outputs against the oracle's; *logits advances over the wanted lanes. slack: how far
 * a logit may be off; where the oracle's two best are closer than that, either may win.
 */
static void check_slot(struct lvx_runner *runner, const struct golden *g, const struct lvx_run *run,
	uint32_t index, const struct lvx_output *out, const float **logits, struct sums *sums,
	float slack)
{
	float *got = malloc(g->vocab * sizeof(*got));
	assert_non_null(got);
	for (uint32_t l = 0; l < g->n_lanes; l++) {
		if (!(run->want_lanes >> l & 1)) {
			assert_int_equal(out->token[l], 3);
			assert_int_equal(lvx_runner_read_logits(runner, index, l, got), LVX_EINVAL);
			continue;
		}
		const float *want = *logits;
		*logits += g->vocab;
		assert_int_equal(lvx_runner_read_logits(runner, index, l, got), LVX_OK);
		add(sums, got, want, g->vocab);
		uint32_t best = 0;
		for (uint32_t i = 1; i < g->vocab; i++)
			best = want[i] > want[best] ? i : best;
		double second = -1e30, total = 0.0;
		for (uint32_t i = 0; i < g->vocab; i++) {
			total += exp((double)want[i] - want[best]);
			second = i != best && want[i] > second ? want[i] : second;
		}
		if (want[best] - second < 2 * slack && slack > LOGIT_GAP)
			continue;
		assert_int_equal(out->token[l], best);
		assert_float_equal(out->logprob[l], -log(total), slack);
		assert_float_equal(out->margin[l], want[best] - second, 2 * slack);
	}
	free(got);
}

static void check_format(enum golden_format format, enum kernels kernels, double limit)
{
	struct lvx_model *model = golden_model(format);
	struct lvx_runner *runner = create(model, kernels);
	/* GPUs keep the caches of quantised models in f16, and multiply in it. */
	bool half = format != GOLDEN_F32 &&
		    (kernels != FOR_DEVICE || strcmp(lvx_runner_device(runner)->type, "cpu") != 0);
	float slack = half ? 0.02f : 1e-3f;
	struct golden g;
	golden_load(&g, lvx_model_info(model));
	struct sums sums[GOLDEN_CASES] = {0}, act = {0};
	const float *logits[GOLDEN_CASES], *activity[GOLDEN_CASES];
	uint32_t at[GOLDEN_CASES] = {0};
	for (int c = 0; c < GOLDEN_CASES; c++) {
		logits[c] = g.cases[c].logits;
		activity[c] = g.cases[c].activity;
		assert_true(g.cases[c].logit_gap >= LOGIT_GAP);
		assert_true(g.cases[c].router_gap >= ROUTER_GAP);
	}
	for (;;) {
		struct lvx_run runs[GOLDEN_CASES];
		struct lvx_output out[GOLDEN_CASES];
		uint32_t n = 0, of[GOLDEN_CASES];
		for (uint32_t c = 0; c < GOLDEN_CASES; c++)
			if (at[c] < g.cases[c].n_runs) {
				runs[n] = g.cases[c].runs[at[c]++];
				runs[n].row = 3 - c;
				of[n++] = c;
			}
		if (n == 0)
			break;
		assert_int_equal(lvx_runner_step(runner, runs, n, out), LVX_OK);
		for (uint32_t i = 0; i < n; i++) {
			if (runs[i].kind != LVX_RUN_SLOT)
				continue;
			check_slot(runner, &g, &runs[i], i, &out[i], &logits[of[i]],
				&sums[of[i]], slack);
			float want[3];
			for (int k = 0; k < 3; k++)
				want[k] = 1.0f / (1.0f + expf(-*activity[of[i]]++));
			add(&act, out[i].activity, want, 3);
		}
	}
	for (int c = 0; c < GOLDEN_CASES; c++) {
		print_message("# %s: logits %.2g\n", g.cases[c].name, relative(&sums[c]));
		assert_true(relative(&sums[c]) <= limit);
	}
	assert_true(relative(&act) <= limit);
	golden_free(&g);
	lvx_runner_destroy(runner);
	lvx_model_destroy(model);
}

static void test_f32(void **state)
{
	(void)state;
	check_format(GOLDEN_F32, FOR_DEVICE, 1e-4);
}

static void test_int8(void **state)
{
	(void)state;
	check_format(GOLDEN_INT8, FOR_DEVICE, 2e-2);
}

static void test_q4(void **state)
{
	(void)state;
	check_format(GOLDEN_STORED, FOR_DEVICE, 2e-2);
}

/* What CPUs have kernels of their own for. */
static void test_gpu_kernels(void **state)
{
	(void)state;
	check_format(GOLDEN_F32, FOR_GPU, 1e-4);
	check_format(GOLDEN_STORED, FOR_GPU, 2e-2);
	check_format(GOLDEN_STORED, FOR_PLAIN_GPU, 2e-2);
}

/* Half floats are what they say: the same outputs as from floats of these values. */
static void test_f16(void **state)
{
	(void)state;
	struct lvx_model *models[2] = {golden_model(GOLDEN_F16), golden_model(GOLDEN_F32_OF_F16)};
	struct lvx_runner *runners[2] = {create(models[0], FOR_DEVICE), create(models[1], FOR_DEVICE)};
	struct golden g;
	golden_load(&g, lvx_model_info(models[0]));
	const struct golden_case *c = &g.cases[0];
	float *logits[2] = {malloc(g.vocab * sizeof(float)), malloc(g.vocab * sizeof(float))};
	struct sums sums = {0};
	for (uint32_t i = 0; i < c->n_runs; i++) {
		for (int k = 0; k < 2; k++) {
			struct lvx_output out;
			assert_int_equal(lvx_runner_step(runners[k], &c->runs[i], 1, &out), LVX_OK);
			if (c->runs[i].want_lanes & 1)
				assert_int_equal(
					lvx_runner_read_logits(runners[k], 0, 0, logits[k]),
					LVX_OK);
		}
		if (c->runs[i].want_lanes & 1)
			add(&sums, logits[0], logits[1], g.vocab);
	}
	bool cpu = strcmp(lvx_runner_device(runners[0])->type, "cpu") == 0;
	print_message("# f16: %.2g\n", relative(&sums));
	assert_true(relative(&sums) <= (cpu ? 1e-5 : 1e-2));
	golden_free(&g);
	for (int k = 0; k < 2; k++) {
		free(logits[k]);
		lvx_runner_destroy(runners[k]);
		lvx_model_destroy(models[k]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_f32),
		cmocka_unit_test(test_int8),
		cmocka_unit_test(test_q4),
		cmocka_unit_test(test_gpu_kernels),
		cmocka_unit_test(test_f16),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
