/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's contract: rows that don't disturb each other, refused runs, devices. */
#include "golden.h"
#include "model/favour.h"
#include "model/model_priv.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 20, SLOTS = 8, VOCAB_MAX = 512 };

static struct lvx_model *model;
static struct lvx_runner *runner; /* of all tests but those of devices */
static struct golden golden;

static struct lvx_runner *create(struct lvx_runner_params params)
{
	struct lvx_error err;
	struct lvx_runner *r = NULL;
	params.exact = true; /* company must not matter */
	if (!params.device)
		params.device = getenv("LVX_DEVICE");
	if (lvx_runner_create(&r, model, &params, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return r;
}

static int set_up(void **state)
{
	(void)state;
	model = golden_model(GOLDEN_STORED);
	golden_load(&golden, lvx_model_info(model));
	assert_true(golden.vocab <= VOCAB_MAX);
	runner = create((struct lvx_runner_params){.n_rows = ROWS, .max_positions = 160});
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	golden_free(&golden);
	lvx_runner_destroy(runner);
	lvx_model_destroy(model);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < ROWS; i++)
		lvx_runner_reset_row(runner, i);
	return 0;
}

/* What a row says: outputs and the logits of lane 0. */
struct heard {
	struct lvx_output out[SLOTS];
	float logits[SLOTS][VOCAB_MAX];
	uint32_t n;
};

static void listen(
	struct heard *h, const struct lvx_run *runs, uint32_t i, const struct lvx_output *out)
{
	if (runs[i].kind != LVX_RUN_SLOT || h->n == SLOTS)
		return;
	h->out[h->n] = out[i];
	if (runs[i].want_lanes & 1)
		assert_int_equal(lvx_runner_read_logits(runner, i, 0, h->logits[h->n]), LVX_OK);
	h->n++;
}

/* Row 5 hears case `full` among n rows; the others are in the middle of `mixed`. */
static void hear(struct heard *h, uint32_t n)
{
	const struct golden_case *c = &golden.cases[2], *noise = &golden.cases[0];
	memset(h, 0, sizeof(*h));
	forget(NULL);
	for (uint32_t i = 0, k = 0; i < c->n_runs && h->n < SLOTS; i++) {
		struct lvx_run runs[ROWS];
		struct lvx_output out[ROWS];
		uint32_t m = 0, mine = 0;
		while (noise->runs[k].kind != LVX_RUN_SLOT)
			k++;
		for (uint32_t row = 0; m < n; row++) {
			if (row == 5)
				mine = m;
			runs[m] = row == 5 ? c->runs[i] : noise->runs[k];
			if (n == 1) {
				mine = 0;
				row = 5;
				runs[0] = c->runs[i];
			}
			runs[m++].row = row;
		}
		k++;
		assert_int_equal(lvx_runner_step(runner, runs, n, out), LVX_OK);
		listen(h, runs, mine, out);
	}
}

static void test_alone_and_among_others(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 6, 9, 17, ROWS};
	static struct heard alone, among;
	hear(&alone, 1);
	assert_int_equal(alone.n, SLOTS);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		hear(&among, sizes[i]);
		assert_memory_equal(&alone, &among, sizeof(alone));
	}
}

/* Two pictures at once, and a prefix beside them: also bit by bit the same. */
static void test_pictures_together(void **state)
{
	(void)state;
	const struct golden_case *c = &golden.cases[0];
	static struct heard one, two[2];
	memset(&one, 0, sizeof(one));
	memset(two, 0, sizeof(two));
	struct lvx_output out[2];
	for (uint32_t i = 0; i < c->n_runs && one.n < SLOTS; i++) {
		struct lvx_run run = c->runs[i];
		assert_int_equal(lvx_runner_step(runner, &run, 1, out), LVX_OK);
		listen(&one, &run, 0, out);
		struct lvx_run runs[2] = {run, run};
		runs[0].row = 7;
		runs[1].row = 3;
		assert_int_equal(lvx_runner_step(runner, runs, 2, out), LVX_OK);
		listen(&two[0], runs, 0, out);
		listen(&two[1], runs, 1, out);
	}
	assert_memory_equal(&one, &two[0], sizeof(one));
	assert_memory_equal(&one, &two[1], sizeof(one));
}

/* One run to its end, in pieces; slots of row 0 come in between. */
static void in_pieces(const struct lvx_run *run, uint32_t *n_pieces)
{
	const struct golden_case *noise = &golden.cases[0];
	struct lvx_run slot = noise->runs[2];
	struct lvx_output out;
	bool done = false;
	slot.row = 0;
	assert_int_equal(lvx_runner_begin(runner, run, 1), LVX_OK);
	assert_int_equal(lvx_runner_begin(runner, run, 1), LVX_EINVAL); /* not before it is done */
	for (*n_pieces = 0; !done; ++*n_pieces) {
		assert_int_equal(lvx_runner_step(runner, run, 1, &out), LVX_EINVAL);
		assert_int_equal(lvx_runner_step(runner, &slot, 1, &out), LVX_OK);
		assert_int_equal(lvx_runner_go_on(runner, &done), LVX_OK);
	}
	assert_int_equal(lvx_runner_go_on(runner, &done), LVX_OK);
	assert_true(done);
}

/* Pictures and prefixes in pieces: bit by bit the same. */
static void test_pieces(void **state)
{
	(void)state;
	const struct golden_case *c = &golden.cases[0];
	static struct heard whole, cut;
	struct lvx_output out;
	uint32_t n_long = 0, n_pieces = 0;
	memset(&whole, 0, sizeof(whole));
	memset(&cut, 0, sizeof(cut));
	for (uint32_t i = 0; i < c->n_runs && whole.n < SLOTS; i++) {
		struct lvx_run run = c->runs[i];
		run.row = 2;
		assert_int_equal(lvx_runner_step(runner, &run, 1, &out), LVX_OK);
		listen(&whole, &run, 0, &out);
		run.row = 4;
		if (run.kind != LVX_RUN_SLOT) {
			in_pieces(&run, &n_pieces);
			n_long++;
			continue;
		}
		assert_int_equal(lvx_runner_begin(runner, &run, 1), LVX_EINVAL);
		assert_int_equal(lvx_runner_step(runner, &run, 1, &out), LVX_OK);
		listen(&cut, &run, 0, &out);
	}
	assert_true(n_long > 1 && n_pieces >= 1);
	assert_memory_equal(&whole, &cut, sizeof(whole));
	/* A row that is reset in the middle is empty, and stays so. */
	static float first[VOCAB_MAX], after[VOCAB_MAX];
	struct lvx_run picture = c->runs[1], slot = c->runs[2];
	bool done = false;
	picture.row = slot.row = 6;
	slot.want_lanes = 1;
	for (int pass = 0; pass < 2; pass++) {
		if (pass) {
			lvx_runner_reset_row(runner, 6);
			assert_int_equal(lvx_runner_begin(runner, &picture, 1), LVX_OK);
			assert_int_equal(lvx_runner_go_on(runner, &done), LVX_OK);
			lvx_runner_reset_row(runner, 6);
			while (!done)
				assert_int_equal(lvx_runner_go_on(runner, &done), LVX_OK);
		}
		assert_int_equal(lvx_runner_step(runner, &slot, 1, &out), LVX_OK);
		assert_int_equal(
			lvx_runner_read_logits(runner, 0, 0, pass ? after : first), LVX_OK);
	}
	assert_memory_equal(first, after, sizeof(first));
}

static double difference(const float *a, const float *b)
{
	double diff = 0, ref = 0;
	for (uint32_t i = 0; i < golden.vocab; i++) {
		diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		ref += (double)b[i] * b[i];
	}
	return diff / ref;
}

/* The logits of a slot behind a picture (NULL: none). */
static void after_picture(const float *picture, float *logits)
{
	const struct golden_case *c = &golden.cases[0];
	struct lvx_run run = c->runs[1], slot = c->runs[2];
	struct lvx_output out;
	assert_int_equal(run.kind, LVX_RUN_PICTURE);
	assert_int_equal(slot.kind, LVX_RUN_SLOT);
	forget(NULL);
	run.features = picture;
	slot.want_lanes = 1;
	if (picture)
		assert_int_equal(lvx_runner_step(runner, &run, 1, &out), LVX_OK);
	assert_int_equal(lvx_runner_step(runner, &slot, 1, &out), LVX_OK);
	assert_int_equal(lvx_runner_read_logits(runner, 0, 0, logits), LVX_OK);
}

static void test_pictures_matter(void **state)
{
	(void)state;
	const struct lvx_image_spec *image = &lvx_model_info(model)->frontend.image;
	size_t n = (size_t)lvx_image_patches(image) * lvx_image_patch_values(image);
	static float none[VOCAB_MAX], first[VOCAB_MAX], again[VOCAB_MAX], other[VOCAB_MAX];
	float *picture = malloc(n * sizeof(*picture));
	assert_non_null(picture);
	golden_values(5, picture, n);
	after_picture(NULL, none);
	after_picture(picture, first);
	after_picture(picture, again);
	/* one patch, the last, is another */
	golden_values(
		6, picture + n - lvx_image_patch_values(image), lvx_image_patch_values(image));
	after_picture(picture, other);
	free(picture);
	assert_memory_equal(first, again, sizeof(first));
	assert_true(difference(none, first) > 1e-4);
	assert_true(difference(first, other) > 1e-8);
}

static void refuse(struct lvx_run run, enum lvx_status expected)
{
	struct lvx_output out;
	assert_int_equal(lvx_runner_step(runner, &run, 1, &out), expected);
}

/* Every way to break the rules, from a run that keeps them. */
static void refuse_all(
	const struct lvx_run *slot, const struct lvx_run *picture, const struct lvx_run *prefix)
{
	static const int32_t far[8] = {1 << 30}, negative[8] = {0, -1};
	struct lvx_run r;
	struct lvx_output out[ROWS];
	r = *slot, r.row = ROWS, refuse(r, LVX_EINVAL);
	r = *slot, r.n = 2, refuse(r, LVX_EINVAL);
	r = *slot, r.features = NULL, refuse(r, LVX_EINVAL);
	r = *slot, r.tokens = NULL, refuse(r, LVX_EINVAL);
	r = *slot, r.tokens = far, refuse(r, LVX_EINVAL);
	r = *slot, r.tokens = negative, refuse(r, LVX_EINVAL);
	r = *slot, r.position = -1, refuse(r, LVX_EINVAL);
	r = *slot, r.want_lanes = 1u << golden.n_lanes, refuse(r, LVX_EINVAL);
	r = *slot, r.conditions = far, r.n_conditions = 1, refuse(r, LVX_EINVAL);
	r = *slot, r.conditions = negative, r.n_conditions = 2, refuse(r, LVX_EINVAL);
	r = *slot, r.conditions = NULL, r.n_conditions = 1, refuse(r, LVX_EINVAL);
	r = *slot, r.n_conditions = golden.n_conditions + 1, refuse(r, LVX_EINVAL);
	r = *slot, r.kind = (enum lvx_run_kind)7, refuse(r, LVX_EINVAL);
	r = *picture, r.n--, refuse(r, LVX_EINVAL);
	r = *picture, r.features = NULL, refuse(r, LVX_EINVAL);
	r = *picture, r.position = -1, refuse(r, LVX_EINVAL);
	r = *prefix, r.n--, r.position++, refuse(r, LVX_EINVAL); /* it moves as a whole */
	r = *prefix, r.position--, refuse(r, LVX_EINVAL);
	r = *slot, r.row = 1, refuse(r, LVX_OK);
	r = *prefix, r.row = 1, refuse(r, LVX_EINVAL); /* that row has begun without */
	r = *prefix, r.row = 9, r.n = 65, refuse(r, LVX_EINVAL);
	r = *prefix, r.row = 9, r.n = 0, refuse(r, LVX_EINVAL);
	r = *prefix, r.row = 9, r.position = 0, refuse(r, LVX_EINVAL);
	r = *prefix, r.row = 9, r.tokens = NULL, refuse(r, LVX_EINVAL);
	struct lvx_run runs[3] = {*slot, *slot, *slot};
	assert_int_equal(lvx_runner_step(runner, runs, 2, out), LVX_EINVAL); /* one row twice */
	assert_int_equal(lvx_runner_step(runner, runs, 0, out), LVX_EINVAL);
	assert_int_equal(lvx_runner_step(runner, runs, ROWS + 1, out), LVX_EINVAL);
	for (uint32_t i = 0; i < 3; i++)
		runs[i] = *picture, runs[i].row = i;
	assert_int_equal(lvx_runner_step(runner, runs, 3, out), LVX_ELIMIT);
}

static void test_refused_runs_change_nothing(void **state)
{
	(void)state;
	const struct golden_case *c = &golden.cases[0];
	static struct heard plain, tried;
	struct lvx_output out;
	assert_int_equal(lvx_runner_max_positions(runner), 160);
	for (int pass = 0; pass < 2; pass++) {
		struct heard *h = pass ? &tried : &plain;
		memset(h, 0, sizeof(*h));
		forget(NULL);
		for (uint32_t i = 0; h->n < SLOTS; i++) {
			assert_int_equal(lvx_runner_step(runner, &c->runs[i], 1, &out), LVX_OK);
			listen(h, &c->runs[i], 0, &out);
			if (pass)
				refuse_all(&c->runs[2], &c->runs[1], &c->runs[0]);
		}
	}
	assert_memory_equal(&plain, &tried, sizeof(plain));
}

/* The token that should come out, and by how much, of logits and favoured tokens. */
static int32_t favourite(
	const float *logits, const int32_t *favoured, uint32_t n, float by, float *margin)
{
	int32_t best = 0;
	float value[VOCAB_MAX], second = -INFINITY;
	for (uint32_t i = 1; i < golden.vocab; i++)
		best = logits[i] > logits[best] ? (int32_t)i : best;
	memcpy(value, logits, golden.vocab * sizeof(*value));
	if (best != model->config.pad_token) {
		for (uint32_t i = 0; i < n; i++)
			value[favoured[i]] = logits[favoured[i]] + by;
		for (uint32_t i = 0; i < golden.vocab; i++)
			best = value[i] > value[best] ? (int32_t)i : best;
	}
	for (uint32_t i = 0; i < golden.vocab; i++)
		second = (int32_t)i != best && value[i] > second ? value[i] : second;
	*margin = value[best] - second;
	return best;
}

/* Favoured tokens count for more in the first lane of their own run, and nowhere else. */
static void test_favoured(void **state)
{
	(void)state;
	const struct golden_case *c = &golden.cases[2];
	static struct heard plain;
	int32_t favoured[LVX_FAVOURED_MAX];
	uint32_t n_changed = 0, seed = 7;
	hear(&plain, 1);
	for (uint32_t round = 0; round < 12; round++) {
		uint32_t n = round == 0 ? LVX_FAVOURED_MAX : round * 3;
		for (uint32_t i = 0; i < n; i++)
			favoured[i] = (int32_t)((seed = seed * 1664525u + 1013904223u) >> 8) % (int32_t)golden.vocab;
		forget(NULL);
		for (uint32_t i = 0, slot = 0; slot < plain.n; i++) {
			struct lvx_run runs[2] = {c->runs[i], c->runs[i]};
			struct lvx_output out[2];
			float margin;
			runs[0].row = 3;
			runs[1].row = 5;
			runs[1].favoured = favoured;
			runs[1].n_favoured = n;
			runs[1].favour = 1.0f + (float)round / 2;
			assert_int_equal(lvx_runner_step(runner, runs, 2, out), LVX_OK);
			if (runs[0].kind != LVX_RUN_SLOT)
				continue;
			const struct lvx_output *was = &plain.out[slot];
			assert_memory_equal(&out[0], was, sizeof(*was));
			assert_memory_equal(&out[1].token[1], &was->token[1], sizeof(was->token) - sizeof(was->token[0]));
			if (runs[1].want_lanes & 1) {
				const float *logits = plain.logits[slot];
				int32_t want = favourite(logits, favoured, n, runs[1].favour, &margin);
				assert_int_equal(out[1].token[0], want);
				assert_true(fabsf(out[1].margin[0] - margin) < 1e-4f);
				float diff = logits[want] - logits[was->token[0]];
				assert_true(fabsf(out[1].logprob[0] - was->logprob[0] - diff) < 1e-3f);
				n_changed += want != was->token[0];
			}
			slot++;
		}
	}
	assert_true(n_changed > 0);
}

static void test_stats(void **state)
{
	(void)state;
	struct lvx_runner_stats a, b;
	struct lvx_output out;
	lvx_runner_get_stats(runner, &a);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(
			lvx_runner_step(runner, &golden.cases[0].runs[i], 1, &out), LVX_OK);
	lvx_runner_get_stats(runner, &b);
	assert_int_equal(b.steps - a.steps, 3);
	assert_int_equal(b.slots - a.slots, 1);
	assert_int_equal(b.pictures - a.pictures, 1);
	assert_int_equal(b.positions - a.positions, golden.cases[0].runs[0].n + 60 + 1);
	assert_true(b.busy_us >= a.busy_us + b.last_step_us);
	assert_true(lvx_runner_device_bytes(runner) > 0);
}

static void refuse_params(
	struct lvx_runner_params params, enum lvx_status expected, const char *part)
{
	struct lvx_runner *r = NULL;
	struct lvx_error err;
	assert_int_equal(lvx_runner_create(&r, model, &params, &err), expected);
	assert_null(r);
	if (!strstr(err.msg, part))
		fail_msg("'%s' is not in '%s'", part, err.msg);
}

static void test_params(void **state)
{
	(void)state;
	refuse_params((struct lvx_runner_params){.n_rows = 0}, LVX_EINVAL, "1 to 16384");
	refuse_params((struct lvx_runner_params){.n_rows = 16385}, LVX_EINVAL, "1 to 16384");
	refuse_params((struct lvx_runner_params){.n_rows = 1, .max_positions = 59}, LVX_EINVAL,
		"64 to 65536");
	refuse_params((struct lvx_runner_params){.n_rows = 1, .device = "no such device"},
		LVX_ENOENT, "no such device");
	refuse_params((struct lvx_runner_params){.n_rows = 1, .device = "99"}, LVX_ENOENT, "99");
}

static void test_device_list(void **state)
{
	(void)state;
	static struct lvx_device_info list[8];
	struct lvx_error err;
	int n = lvx_runner_list_devices(list, 8, &err);
	assert_true(n >= 1);
	assert_true(list[0].usable);
	assert_true(list[0].memory_bytes > 0);
	assert_true(list[0].api_major >= 1);
	assert_int_equal(lvx_runner_list_devices(NULL, 0, &err), n);
}

static void test_no_device(void **state)
{
	(void)state;
	static const char *const vars[] = {
		"VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"};
	char *old[3];
	struct lvx_device_info info;
	struct lvx_error err;
	for (int i = 0; i < 3; i++) {
		old[i] = getenv(vars[i]) ? strdup(getenv(vars[i])) : NULL;
		if (i < 2)
			setenv(vars[i], "/nonexistent/icd.json", 1);
		else
			unsetenv(vars[i]);
	}
	refuse_params((struct lvx_runner_params){.n_rows = 1}, LVX_ENOENT, "mesa-vulkan-drivers");
	assert_int_equal(lvx_runner_list_devices(&info, 1, &err), -1);
	assert_non_null(strstr(err.msg, "mesa-vulkan-drivers"));
	for (int i = 0; i < 3; i++) {
		if (old[i])
			setenv(vars[i], old[i], 1);
		else
			unsetenv(vars[i]);
		free(old[i]);
	}
}

static void test_validation_layer(void **state)
{
	(void)state;
	struct lvx_runner_params params = {
		.device = getenv("LVX_DEVICE"), .n_rows = 20, .split_runs = 2, .validation = true};
	struct lvx_runner *r = NULL;
	struct lvx_error err;
	if (lvx_runner_create(&r, model, &params, &err) != LVX_OK) {
		assert_non_null(strstr(err.msg, "validation layer"));
		print_message("# skipped: %s\n", err.msg);
		skip();
	}
	for (uint32_t c = 0; c < GOLDEN_CASES; c++)
		for (uint32_t i = 0; i < 9 && i < golden.cases[c].n_runs; i++) {
			struct lvx_run runs[3] = {golden.cases[c].runs[i], golden.cases[c].runs[i],
				golden.cases[c].runs[i]};
			struct lvx_output out[3];
			for (uint32_t k = 0; k < 3; k++)
				runs[k].row = 3 * c + k;
			assert_int_equal(lvx_runner_step(r, runs, i % 2 ? 1 : 2, out), LVX_OK);
			float logits[VOCAB_MAX];
			if (runs[0].want_lanes & 1) {
				bool split = i % 2 == 0;
				assert_int_equal(lvx_runner_read_logits(r, split, 0, logits), LVX_OK);
				if (split)
					assert_int_equal(lvx_runner_read_logits(r, 0, 0, logits), LVX_EINVAL);
			}
			if (i % 2)
				assert_int_equal(lvx_runner_step(r, runs + 1, 1, out), LVX_OK);
		}
	assert_int_equal(lvx_runner_validation_errors(r), 0);
	lvx_runner_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_alone_and_among_others, forget),
		cmocka_unit_test_setup(test_pictures_together, forget),
		cmocka_unit_test_setup(test_pieces, forget),
		cmocka_unit_test_setup(test_pictures_matter, forget),
		cmocka_unit_test_setup(test_refused_runs_change_nothing, forget),
		cmocka_unit_test_setup(test_favoured, forget),
		cmocka_unit_test_setup(test_favoured, forget),
		cmocka_unit_test_setup(test_stats, forget),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_device_list),
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_validation_layer),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
