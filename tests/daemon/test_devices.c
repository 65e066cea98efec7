/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams spread over devices (the same one, opened twice) say what they say on one; the choice
 * of devices, and what is wrong with it.
 */
#include "base/clock.h"
#include "daemon/engine.h"
#include "tests/bench/shape.h"
#include "tests/model/streams.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { STREAMS = 6, SLOTS = 40, MANY_MS = 60000 };

static char dir[64];  /* a model of random weights */
static float *values; /* [STREAMS][SLOTS][values of a slot] */
static struct stream_input inputs[STREAMS][SLOTS];

static int set_up(void **state)
{
	(void)state;
	struct lvx_error err;
	const struct lvx_shape *tiny = lvx_shape_find("tiny", &err);
	strcpy(dir, "/tmp/lvx-devices-XXXXXX");
	assert_non_null(mkdtemp(dir));
	if (!tiny || lvx_shape_write(tiny, dir, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	static const char *const files[] = {"config.json", "tokenizer.json", "model.safetensors"};
	char path[128];
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	free(values);
	return rmdir(dir);
}

static struct lvx_engine *open_traced(const char *device, const char *trace)
{
	struct lvx_engine *e;
	struct lvx_error err;
	struct lvx_engine_params p = {
		.model_dir = dir, .device = device, .n_rows = STREAMS, .trace = trace};
	if (lvx_engine_create(&e, &p, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return e;
}

static struct lvx_engine *open_engine(const char *device)
{
	return open_traced(device, NULL);
}

static void make_inputs(const struct lvx_model_info *info)
{
	size_t n = lvx_audio_slot_values(&info->frontend.audio);
	uint32_t x = 5;
	values = calloc(STREAMS * SLOTS * n, sizeof(*values));
	assert_non_null(values);
	for (size_t i = 0; i < STREAMS * SLOTS * n; i++) {
		x = x * 1664525u + 1013904223u;
		values[i] = (float)(x >> 8) * 0x1p-23f - 1.0f;
	}
	for (uint32_t i = 0; i < STREAMS; i++)
		for (uint32_t k = 0; k < SLOTS; k++)
			inputs[i][k] = (struct stream_input){
				.item = {.kind = LVX_FEED_SLOT, .pts_us = k * info->slot_us},
				.values = values + (i * SLOTS + k) * n};
}

/* All streams to their ends; rows: which each had. */
static void hear(struct lvx_engine *e, struct stream *streams, uint32_t *rows)
{
	const struct lvx_model_info *info = lvx_engine_model(e);
	struct lvx_error err;
	if (!values)
		make_inputs(info);
	for (uint32_t i = 0; i < STREAMS; i++) {
		streams[i] = (struct stream){.params = {.lanes = 1},
			.inputs = inputs[i],
			.slot_values = lvx_audio_slot_values(&info->frontend.audio),
			.n = SLOTS};
		stream_prepare(&streams[i]);
		if (lvx_engine_add(e, &streams[i].params, &rows[i], &err) != LVX_OK)
			fail_msg("%s", err.msg);
		lvx_bell_ring(lvx_engine_bell(e, rows[i]));
	}
	uint32_t none;
	assert_int_equal(lvx_engine_add(e, &streams[0].params, &none, &err), LVX_ELIMIT);
	int64_t end_us = lvx_now_us() + MANY_MS * 1000;
	for (uint32_t i = 0; i < STREAMS; i++) {
		while (!streams[i].ended && lvx_now_us() < end_us)
			lvx_sleep_us(2000);
		assert_true(streams[i].ended);
		lvx_engine_remove(e, rows[i]);
		assert_true(streams[i].words > 5);
	}
}

static void test_spread(void **state)
{
	(void)state;
	static struct stream one[STREAMS], two[STREAMS];
	struct lvx_engine_stats stats;
	uint32_t rows[STREAMS], n_second = 0;
	struct lvx_engine *e = open_engine("0");
	assert_int_equal(lvx_engine_n_devices(e), 1);
	hear(e, one, rows);
	lvx_engine_destroy(e);
	e = open_engine("0,0");
	assert_int_equal(lvx_engine_n_devices(e), 2);
	hear(e, two, rows);
	lvx_engine_get_stats(e, &stats);
	assert_int_equal(stats.n_rows, STREAMS);
	assert_int_equal(stats.n_rows_used, 0);
	assert_true(stats.runner.slots >= STREAMS * SLOTS);
	assert_true(stats.tick_p50_us > 0);
	lvx_engine_destroy(e);
	for (uint32_t i = 0; i < STREAMS; i++) {
		n_second += rows[i] % 2;
		assert_int_equal(one[i].len, two[i].len);
		assert_memory_equal(one[i].said, two[i].said, one[i].len);
		stream_free(&one[i]);
		stream_free(&two[i]);
	}
	assert_int_equal(n_second, STREAMS / 2);
}

/* On every line ticks and dispatches follow each other; those of a tick lie in it. */
static void test_trace(void **state)
{
	(void)state;
	static struct stream streams[STREAMS];
	char path[128];
	uint32_t rows[STREAMS], n[4] = {0};
	double end[4] = {0};
	snprintf(path, sizeof(path), "%s/trace.json", dir);
	struct lvx_engine *e = open_traced("0,0", path);
	hear(e, streams, rows);
	lvx_engine_destroy(e);
	json_error_t error;
	json_t *all = json_load_file(path, 0, &error), *event;
	if (!all)
		fail_msg("%s: line %d", error.text, error.line);
	size_t i;
	json_array_foreach(all, i, event)
	{
		const char *name;
		double ts, us;
		int line;
		if (json_object_size(event) == 0)
			continue; /* the last */
		assert_int_equal(json_unpack(event, "{s:s, s:i, s:F, s:F}", "name", &name, "tid",
					 &line, "ts", &ts, "dur", &us),
			0);
		assert_in_range(line, 0, 3);
		assert_int_equal(strcmp(name, "tick") == 0, line % 2 == 0);
		assert_true(us >= 0.0);
		if (line % 2 == 0)
			assert_true(ts >= end[line]);
		end[line] = ts + us;
		n[line]++;
	}
	for (int k = 0; k < 4; k += 2) {
		assert_true(n[k] >= SLOTS);
		assert_true(n[k + 1] > 10 * n[k]);
	}
	json_decref(all);
	unlink(path);
	for (uint32_t k = 0; k < STREAMS; k++)
		stream_free(&streams[k]);
	struct lvx_engine_params p = {
		.model_dir = dir, .device = "0", .n_rows = 1, .trace = "/nonexistent/trace"};
	struct lvx_error err;
	assert_int_equal(lvx_engine_create(&e, &p, &err), LVX_EIO);
	assert_non_null(strstr(err.msg, "/nonexistent/trace"));
}

static enum lvx_status nothing_yet(void *user, struct lvx_feed_item *item, float *to)
{
	(void)user, (void)item, (void)to;
	return LVX_AGAIN;
}

/* A further row is where the row is that it follows, however full that device is. */
static void test_further_rows(void **state)
{
	(void)state;
	static const struct lvx_row_params stream = {.lanes = 1, .feed = nothing_yet};
	struct lvx_engine *e = open_engine("0,0");
	struct lvx_error err;
	uint32_t rows[STREAMS];
	for (uint32_t i = 0; i < STREAMS; i++) {
		struct lvx_row_params further = {.lanes = 2,
			.translate_to = "de",
			.follows = true,
			.of = i < 2 ? 0 : rows[1]};
		if (lvx_engine_add(e, i < 2 ? &stream : &further, &rows[i], &err) != LVX_OK)
			fail_msg("%s", err.msg);
		if (i > 1)
			assert_int_equal(rows[i] % 2, rows[1] % 2);
	}
	assert_int_not_equal(rows[0] % 2, rows[1] % 2);
	for (uint32_t i = STREAMS; i > 0; i--)
		lvx_engine_remove(e, rows[i - 1]);
	lvx_engine_destroy(e);
}

static void refuse(const char *device, enum lvx_status expected, const char *part)
{
	struct lvx_engine *e = NULL;
	struct lvx_error err;
	struct lvx_engine_params p = {.model_dir = dir, .device = device, .n_rows = 4};
	assert_int_equal(lvx_engine_create(&e, &p, &err), expected);
	assert_null(e);
	if (!strstr(err.msg, part))
		fail_msg("'%s' is not in '%s'", part, err.msg);
}

static void test_choice(void **state)
{
	(void)state;
	refuse("0,no such device", LVX_ENOENT, "no such device");
	refuse("0,99", LVX_ENOENT, "99");
	refuse(",", LVX_EINVAL, "number or a name");
	refuse("0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0", LVX_ELIMIT, "16");
	struct lvx_engine *e = open_engine("all");
	assert_true(lvx_engine_n_devices(e) >= 1);
	lvx_engine_destroy(e);
	e = open_engine(NULL);
	assert_true(lvx_engine_n_devices(e) >= 1);
	lvx_engine_destroy(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_trace),
		cmocka_unit_test(test_further_rows),
		cmocka_unit_test(test_choice),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
