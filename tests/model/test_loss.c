/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device is lost again and again, at random submissions (of a batch, of a copy, while
 * it is opened anew), and every stream says what it says undisturbed. A model of
 * random weights, whose words change with every bit of its state.
 * LVX_LOSS_SECONDS=600 goes on with other streams for so long.
 */
#include "base/clock.h"
#include "model/model_priv.h"
#include "streams.h"
#include "tests/bench/shape.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	ROWS = 6,
	STREAMS = 8, /* the last ones join when others have left */
	INPUTS = 70, /* at most, of one stream; the window is of 10 slots */
	KEEP = 7,    /* steps */
	ANEW = 50,   /* rows so old begin anew in a pause */
};

static struct lvx_shape_model *shape;
static const struct lvx_model *model;
static float *values; /* of everything that is heard and seen */
static size_t n_values, slot_values, picture_values;
static uint32_t seed = 1;

static uint32_t next(uint32_t *x)
{
	*x ^= *x << 13, *x ^= *x >> 17, *x ^= *x << 5;
	return *x;
}

static uint32_t pick(uint32_t lo, uint32_t hi)
{
	return lo + next(&seed) % (hi - lo + 1);
}

static int set_up(void **state)
{
	(void)state;
	struct lvx_error err;
	const struct lvx_shape *tiny = lvx_shape_find("tiny", &err);
	if (!tiny || lvx_shape_open(&shape, tiny, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	model = lvx_shape_get(shape);
	/* A head that knows nothing of speech: every row begins anew whenever it is old enough. */
	struct lvx_config *c = &((struct lvx_model *)model)->config;
	c->anew_slots = ANEW;
	c->activity_levels[LVX_SPEECH] = (struct lvx_activity_level){2.0f, 0.0f};
	const struct lvx_frontend_spec *f = &lvx_model_info(model)->frontend;
	slot_values = lvx_audio_slot_values(&f->audio);
	picture_values = (size_t)lvx_image_patches(&f->image) * lvx_image_patch_values(&f->image);
	n_values = 100 * slot_values + picture_values;
	values = calloc(n_values, sizeof(*values));
	assert_non_null(values);
	for (size_t i = 0; i < n_values; i++)
		values[i] = (float)pick(0, 2000) * 1e-3f - 1.0f;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(values);
	lvx_shape_close(shape);
	return 0;
}

/* ---- losing the device ---- */

struct losses {
	uint32_t seed;
	uint32_t one_in; /* submissions; 0: none is lost */
	uint32_t n;
	bool for_good;
};

static enum lvx_loss lose(void *user)
{
	struct losses *l = user;
	if (!l->for_good && (!l->one_in || next(&l->seed) % l->one_in))
		return LVX_LOSS_NONE;
	l->n++;
	return next(&l->seed) % 2 ? LVX_LOSS_BEFORE : LVX_LOSS_AFTER;
}

static struct lvx_runner *open_runner(struct losses *losses, bool gpu_kernels)
{
	struct lvx_error err;
	struct lvx_runner *r = NULL;
	struct lvx_runner_params params = {.device = getenv("LVX_DEVICE"),
		.n_rows = ROWS,
		.exact = true,
		.gpu_kernels = gpu_kernels,
		.split_runs = gpu_kernels ? 2 : 0, /* so that it is lost between two parts, too */
		.validation = getenv("LVX_VALIDATION") != NULL,
		.keep_steps = KEEP,
		.lose = lose,
		.lose_user = losses};
	if (lvx_runner_create(&r, model, &params, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return r;
}

/* ---- streams ---- */

static struct stream_input inputs[STREAMS][INPUTS];

static void make_stream(struct stream *s, uint32_t number)
{
	struct stream_input *in = inputs[number];
	uint32_t n = pick(INPUTS / 2, INPUTS), slots = 0;
	int64_t pts_us = 0, slot_us = lvx_model_info(model)->slot_us;
	for (uint32_t i = 0; i < n; i++, in++) {
		bool picture = slots % 25 == 3 && i && in[-1].item.kind == LVX_FEED_SLOT;
		*in = (struct stream_input){.item = {.kind = LVX_FEED_PICTURE, .pts_us = pts_us},
			.values = values + pick(0, 99) * slot_values};
		if (picture)
			continue;
		in->item.kind = LVX_FEED_SLOT;
		/* some gaps are longer than the window: the row starts anew */
		in->item.gap_us = slots && pick(0, 19) == 0 ? (int64_t)pick(1, 14) * slot_us : 0;
		in->item.pts_us += in->item.gap_us;
		pts_us = in->item.pts_us + slot_us;
		slots++;
	}
	*s = (struct stream){.params = {.lanes = pick(1, 3), .prefix = number % 2 ? "t1 t2" : NULL},
		.inputs = inputs[number],
		.n = n,
		.slot_values = slot_values,
		.picture_values = picture_values};
	if (s->params.lanes & 2)
		s->params.translate_to = "de";
}

/* All the streams to their ends. */
static void run(struct lvx_runner *runner, struct stream *streams)
{
	struct lvx_scheduler *s;
	struct lvx_error err;
	uint32_t n_in = 0, n_ended = 0, n_done;
	if (lvx_scheduler_create(&s, model, runner, ROWS, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	for (uint32_t t = 0; n_ended < STREAMS; t++) {
		n_ended = 0;
		for (uint32_t i = 0; i < STREAMS; i++) {
			struct stream *one = &streams[i];
			if (one->in && one->ended) {
				stream_leave(one, s);
				n_in--;
			}
			if (!one->in && !one->ended && t >= 5 * i && n_in < ROWS) {
				stream_join(one, s);
				n_in++;
			}
			n_ended += one->ended && !one->in;
		}
		if (n_ended < STREAMS)
			assert_int_equal(lvx_scheduler_tick(s, &n_done), LVX_OK);
	}
	lvx_scheduler_destroy(s);
}

/* The same streams with the device lost and not. Returns how often it was. */
static uint32_t compare(struct lvx_runner *runner, struct losses *losses, uint32_t one_in)
{
	static struct stream calm[STREAMS], lossy[STREAMS];
	uint32_t words = 0, n = losses->n;
	for (uint32_t i = 0; i < STREAMS; i++) {
		make_stream(&calm[i], i);
		lossy[i] = calm[i];
	}
	run(runner, calm);
	losses->one_in = one_in;
	run(runner, lossy);
	losses->one_in = 0;
	for (uint32_t i = 0; i < STREAMS; i++) {
		words += calm[i].words;
		if (calm[i].len != lossy[i].len ||
			memcmp(calm[i].said, lossy[i].said, calm[i].len) != 0)
			fail_msg("stream %u says undisturbed\n%.*sand with losses\n%.*s", i,
				(int)calm[i].len, calm[i].said, (int)lossy[i].len, lossy[i].said);
		stream_free(&calm[i]);
		stream_free(&lossy[i]);
	}
	assert_true(words > 5 * STREAMS);
	assert_int_equal(lvx_runner_validation_errors(runner), 0);
	return losses->n - n;
}

static uint32_t entries(const char *path)
{
	DIR *dir = opendir(path);
	uint32_t n = 0;
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void check(bool gpu_kernels, uint32_t one_in)
{
	struct losses losses = {.seed = 99};
	struct lvx_runner *runner = open_runner(&losses, gpu_kernels);
	struct lvx_runner_stats stats;
	uint32_t files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
	uint32_t n = compare(runner, &losses, one_in);
	lvx_runner_get_stats(runner, &stats);
	print_message("# lost %u times, opened again %llu times, %llu steps\n", n,
		(unsigned long long)stats.recoveries, (unsigned long long)stats.steps);
	assert_true(n > 3);
	/* what a device had that was lost, or was lost while it was opened, is given back */
	assert_true(entries("/proc/self/fd") <= files); /* one of before may have been closed since */
	assert_int_equal(entries("/proc/self/task"), threads);
	lvx_runner_destroy(runner);
}

static void test_lost_at_random(void **state)
{
	(void)state;
	check(false, 25);
}

/* Also copies go through the device's queue there, and are lost. */
static void test_lost_with_kernels_for_gpus(void **state)
{
	(void)state;
	check(true, 150); /* two parts and copies: opening it anew takes more submissions */
}

static void test_for_long(void **state)
{
	(void)state;
	const char *seconds = getenv("LVX_LOSS_SECONDS");
	struct losses losses = {.seed = 7};
	struct lvx_runner *runner = open_runner(&losses, false);
	int64_t end_us = lvx_now_us() + strtoll(seconds, NULL, 10) * 1000000;
	uint32_t n = 0, rounds = 0;
	do {
		/* rarer than opening it anew takes submissions, or it never comes back */
		n += compare(runner, &losses, pick(80, 300));
		rounds++;
	} while (lvx_now_us() < end_us);
	print_message("# %u streams, lost %u times\n", rounds * STREAMS, n);
	lvx_runner_destroy(runner);
}

/* A device that does not come back: an error, and what is left can be destroyed. */
static void test_lost_for_good(void **state)
{
	(void)state;
	struct losses losses = {.seed = 3};
	struct lvx_runner *runner = open_runner(&losses, false);
	static const int32_t tokens[LVX_LANES_MAX] = {0};
	struct lvx_run run = {.kind = LVX_RUN_SLOT, .n = 1, .features = values, .tokens = tokens};
	struct lvx_output out;
	assert_int_equal(lvx_runner_step(runner, &run, 1, &out), LVX_OK);
	losses.for_good = true;
	run.position = 1;
	assert_int_equal(lvx_runner_step(runner, &run, 1, &out), LVX_EDEVICE);
	assert_int_equal(lvx_runner_step(runner, &run, 1, &out), LVX_EDEVICE);
	assert_non_null(lvx_runner_device(runner)->name);
	lvx_runner_destroy(runner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lost_at_random),
		cmocka_unit_test(test_lost_with_kernels_for_gpus),
		cmocka_unit_test(test_lost_for_good),
	};
	const struct CMUnitTest long_tests[] = {cmocka_unit_test(test_for_long)};
	return getenv("LVX_LOSS_SECONDS") ? cmocka_run_group_tests(long_tests, set_up, tear_down)
					  : cmocka_run_group_tests(tests, set_up, tear_down);
}
