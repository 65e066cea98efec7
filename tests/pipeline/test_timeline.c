/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/timeline.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)

static void test_unwrap(void **state)
{
	(void)state;
	struct lvx_unwrap u = {.bits = 33};
	const int64_t range = INT64_C(1) << 33;
	int64_t t = range - 5 * 90000; /* five seconds before the wrap */
	for (int i = 0; i < 1000; i++, t += 3600)
		assert_int_equal(lvx_unwrap(&u, t % range), t);
	assert_int_equal(u.wraps, 1);
	/* Reordered pictures around the next wrap: each goes back once, one wrap. */
	t = 2 * range - 9000;
	u = (struct lvx_unwrap){.bits = 33};
	lvx_unwrap(&u, t % range);
	int64_t base = t - t % range;
	static const int order[] = {0, 3, 1, 2, 6, 4, 5, 9, 7, 8};
	for (int i = 0; i < 10; i++)
		assert_int_equal(
			lvx_unwrap(&u, (t + order[i] * 3600) % range) + base, t + order[i] * 3600);
	assert_int_equal(u.wraps, 1);
	/* Eleven weeks: six wraps. */
	u = (struct lvx_unwrap){.bits = 33};
	for (t = 0; t < 11 * 7 * 86400 * INT64_C(90000); t += 90000 * 600)
		assert_int_equal(lvx_unwrap(&u, t % range), t);
	assert_int_equal(u.wraps, (t - 90000 * 600) / range);
	assert_true(u.wraps >= 6);
}

static void test_file_times_stay(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, false, false);
	/* Sound begins at 0.5 s, a gap of 20 s is a gap. */
	assert_int_equal(lvx_timeline_map(&tl, LVX_PICTURES, 0, 40000, 1), 0);
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 500000, 20000, 1), 500000);
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 520000, 20000, 2), 520000);
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_SOUND, 20 * SECOND, 20000, 3), 20 * SECOND);
	assert_int_equal(tl.jumps, 0);
	assert_int_equal(lvx_timeline_peek(&tl, LVX_SOUND, 77), 77);
}

static void test_from_zero(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, false, true);
	assert_int_equal(lvx_timeline_peek(&tl, LVX_SOUND, 5000000), 0);
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 5000000, 20000, 1), 0);
	assert_int_equal(lvx_timeline_peek(&tl, LVX_PICTURES, 5040000), 40000);
	assert_int_equal(lvx_timeline_map(&tl, LVX_PICTURES, 5040000, 40000, 1), 40000);
}

/* A splice: timestamps jump back for both media, a few units apart. */
static void test_jump_keeps_media_together(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, false, false);
	for (int i = 0; i < 50; i++) {
		lvx_timeline_map(&tl, LVX_SOUND, 100 * SECOND + i * 20000, 20000, 0);
		if (i % 2 == 0)
			lvx_timeline_map(&tl, LVX_PICTURES, 100 * SECOND + i * 20000, 40000, 0);
	}
	/* Sound goes first; a picture of before still comes. */
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 3 * SECOND, 20000, 0), 101 * SECOND);
	assert_int_equal(tl.jumps, 1);
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_PICTURES, 101 * SECOND, 40000, 0), 101 * SECOND);
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_PICTURES, 3 * SECOND + 40000, 40000, 0), 101040000);
	assert_int_equal(tl.jumps, 1);
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_SOUND, 3 * SECOND + 20000, 20000, 0), 101020000);
	/* Over an hour ahead is no gap either. */
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_SOUND, 9000 * SECOND, 20000, 0), 101040000);
	assert_int_equal(tl.jumps, 2);
}

static void test_live_jump_and_gap(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, true, true);
	int64_t local = 777 * SECOND, src = 50 * SECOND;
	for (int i = 0; i < 100; i++, src += 20000, local += 20000)
		assert_int_equal(
			lvx_timeline_map(&tl, LVX_SOUND, src, 20000, local), i * 20000);
	/* Thirty seconds of time and of timestamps passed: a gap. */
	src += 30 * SECOND;
	local += 30 * SECOND;
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, src, 20000, local), 32 * SECOND);
	assert_int_equal(tl.jumps, 0);
	/* The timestamps alone leap an hour: not a gap. */
	src += 3600 * SECOND;
	local += 20000;
	int64_t at = lvx_timeline_map(&tl, LVX_SOUND, src, 20000, local);
	assert_int_equal(at, 32 * SECOND + 20000);
	assert_int_equal(tl.jumps, 1);
	/* The sender starts anew at 0. */
	local += 20000;
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 0, 20000, local), 32 * SECOND + 40000);
	assert_int_equal(tl.jumps, 2);
}

static void test_reconnect_follows_local_clock(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, true, true);
	int64_t local = 0;
	for (int i = 0; i < 100; i++, local += 20000)
		lvx_timeline_map(&tl, LVX_SOUND, 9 * SECOND + i * 20000, 20000, local);
	lvx_timeline_reconnect(&tl);
	/* Five seconds later, with timestamps of its own; pictures follow sound. */
	local += 5 * SECOND;
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 0, 20000, local), 7 * SECOND);
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_PICTURES, 10000, 40000, local), 7 * SECOND + 10000);
	assert_int_equal(tl.jumps, 0);
	/* Never backwards, even if the old timestamps had run ahead. */
	lvx_timeline_map(&tl, LVX_SOUND, 4 * SECOND, 20000, local + 1000);
	lvx_timeline_reconnect(&tl);
	assert_int_equal(
		lvx_timeline_map(&tl, LVX_SOUND, 0, 20000, local + 2000), 11 * SECOND + 20000);
}

/* A source whose clock is off by ppm, with up to 40 ms of jitter: hours of it. */
static void drift(double ppm, double hours)
{
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, true, true);
	unsigned seed = 7;
	int64_t worst = 0;
	for (int64_t i = 0; i < (int64_t)(hours * 3600.0 * 10.0); i++) {
		int64_t src = i * 100000; /* by the source's clock */
		int64_t true_us = (int64_t)((double)src / (1.0 + ppm * 1e-6));
		seed = seed * 1664525u + 1013904223u;
		int64_t local = true_us + 50000 + (int64_t)(seed >> 8) % 40000;
		int64_t pts = lvx_timeline_map(&tl, LVX_SOUND, src, 100000, local);
		int64_t off = llabs(pts - true_us);
		if (off > worst)
			worst = off;
	}
	assert_true(tl.drift_ppm > ppm - 2.0 && tl.drift_ppm < ppm + 2.0);
	assert_true(worst < 300000); /* 200 ms, and the windows till it is sure */
	assert_int_equal(tl.jumps, 0);
	int64_t total_us = (int64_t)(hours * 3600.0 * (ppm < 0 ? -ppm : ppm));
	/* Each correction is a little over 200 ms. */
	assert_true(tl.reanchors <= (uint64_t)total_us / 200000 &&
		    tl.reanchors + 1 >= (uint64_t)total_us / 300000);
}

static void test_drift(void **state)
{
	(void)state;
	drift(0.0, 2.0);
	drift(80.0, 10.0);
	drift(-200.0, 5.0);
}

/* Timestamps that swing by 50 ms are no gaps and no jumps, and add up to nothing. */
static void test_live_jitter(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, true, true);
	for (int64_t i = 0; i < 5000; i++) {
		int64_t swing = i / 50 % 2 ? 50000 : 0;
		assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, i * 20000 + swing, 20000,
					 i * 20000), i * 20000);
	}
	assert_int_equal(tl.jumps, 0);
	/* What is missing longer shows. */
	assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, 5010 * 20000, 20000, 5010 * 20000),
		5010 * 20000);
}

/* Segments of 6 s that come in bursts (HLS) are no drift. */
static void test_bursts_are_no_drift(void **state)
{
	(void)state;
	struct lvx_timeline tl;
	lvx_timeline_init(&tl, true, true);
	unsigned seed = 3;
	int64_t local = 0;
	for (int64_t i = 0; i < 36000; i++) {
		int64_t src = i * 100000;
		if (i % 60 == 0) {
			seed = seed * 1664525u + 1013904223u;
			local = src + (int64_t)(seed >> 8) % 1500000;
		}
		assert_int_equal(lvx_timeline_map(&tl, LVX_SOUND, src, 100000, local), src);
	}
	assert_int_equal(tl.jumps, 0);
	assert_int_equal(tl.reanchors, 0);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unwrap),
		cmocka_unit_test(test_file_times_stay),
		cmocka_unit_test(test_from_zero),
		cmocka_unit_test(test_jump_keeps_media_together),
		cmocka_unit_test(test_live_jump_and_gap),
		cmocka_unit_test(test_reconnect_follows_local_clock),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_live_jitter),
		cmocka_unit_test(test_bursts_are_no_drift),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
