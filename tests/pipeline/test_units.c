/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/units.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

static const struct lvx_unit_format aac = {.codec = "aac", .sample_rate = 48000, .channels = 2};
static const struct lvx_unit_format h264 = {.codec = "h264", .width = 1920, .height = 1080};

static struct lvx_units *make(size_t n_max, size_t bytes_max)
{
	struct lvx_units *u;
	assert_int_equal(lvx_units_create(&u, n_max, bytes_max, NULL), LVX_OK);
	assert_int_equal(
		lvx_units_add_track(u, &(struct lvx_unit_track){LVX_UNIT_VIDEO, LVX_UNIT_MAIN, ""}),
		0);
	assert_int_equal(lvx_units_add_track(
				 u, &(struct lvx_unit_track){LVX_UNIT_AUDIO, LVX_UNIT_MAIN, "en"}),
		1);
	return u;
}

static struct lvx_unit_reader *reader(struct lvx_units *u)
{
	struct lvx_unit_reader *r;
	assert_int_equal(lvx_units_open(&r, u, NULL, NULL), LVX_OK);
	return r;
}

static bool put(struct lvx_units *u, uint32_t track, int64_t dts_us, const char *text)
{
	struct lvx_unit unit = {
		.track = track,
		.format = track == 1 ? &aac : &h264,
		.pts_us = dts_us,
		.dts_us = dts_us,
		.len = strlen(text),
		.data = (const uint8_t *)text,
	};
	return lvx_units_put(u, &unit);
}

static void expect(struct lvx_unit_reader *r, const char *text, bool discontinuity)
{
	const struct lvx_unit *unit;
	assert_int_equal(lvx_units_next(r, &unit), LVX_OK);
	assert_int_equal(unit->len, strlen(text));
	assert_memory_equal(unit->data, text, unit->len);
	for (int i = 0; i < LVX_UNIT_PADDING; i++)
		assert_int_equal(unit->data[unit->len + (size_t)i], 0);
	assert_int_equal(unit->discontinuity, discontinuity);
	lvx_unit_unref(unit);
}

static void test_nobody_reads(void **state)
{
	(void)state;
	struct lvx_units *u = make(0, 0);
	struct lvx_units_stats stats;
	assert_false(lvx_units_wanted(NULL));
	assert_false(lvx_units_wanted(u));
	assert_true(put(u, 0, 0, "gone"));
	lvx_units_get_stats(u, &stats);
	assert_int_equal(stats.n_put, 0);
	struct lvx_unit_reader *r = reader(u);
	assert_true(lvx_units_wanted(u));
	put(u, 0, 1, "first");
	expect(r, "first", false);
	lvx_units_close(r);
	assert_false(lvx_units_wanted(u));
	put(u, 0, 2, "gone too");
	r = reader(u);
	put(u, 0, 3, "later");
	expect(r, "later", true); /* something is missing before it */
	lvx_units_close(r);
	lvx_units_unref(u);
}

static void test_readers_share(void **state)
{
	(void)state;
	struct lvx_units *u = make(0, 0);
	struct lvx_unit_reader *a = reader(u), *b = reader(u);
	const struct lvx_unit *unit;
	assert_int_equal(lvx_units_next(a, &unit), LVX_AGAIN);
	put(u, 0, 0, "picture");
	put(u, 1, 0, "sound");
	expect(a, "picture", false);
	expect(a, "sound", false);
	assert_int_equal(lvx_units_next(a, &unit), LVX_AGAIN);
	struct lvx_units_stats stats;
	lvx_units_get_stats(u, &stats);
	assert_int_equal(stats.n_kept, 2); /* b has read none */
	assert_int_equal(lvx_units_next(b, &unit), LVX_OK);
	assert_int_equal(unit->media, LVX_UNIT_VIDEO);
	lvx_units_get_stats(u, &stats);
	assert_int_equal(stats.n_kept, 1);
	lvx_units_finish(u);
	assert_int_equal(lvx_units_next(a, (const struct lvx_unit *[1]){0}), LVX_END);
	expect(b, "sound", false);
	assert_int_equal(lvx_units_next(b, (const struct lvx_unit *[1]){0}), LVX_END);
	lvx_units_close(a);
	lvx_units_close(b);
	lvx_units_unref(u);
	assert_memory_equal(unit->data, "picture", 7); /* outlives the store */
	lvx_unit_unref(unit);
}

static void test_slow_reader_loses(void **state)
{
	(void)state;
	struct lvx_units *u = make(4, 0);
	struct lvx_unit_reader *slow = reader(u), *fast = reader(u);
	const char *text[] = {"0", "1", "2", "3", "4", "5", "6"};
	for (int i = 0; i < 7; i++) {
		put(u, 0, i, text[i]);
		expect(fast, text[i], false);
	}
	const struct lvx_unit *unit;
	assert_int_equal(lvx_units_next(slow, &unit), LVX_GAP);
	assert_int_equal(lvx_units_overruns(slow), 3);
	assert_int_equal(lvx_units_overruns(fast), 0);
	expect(slow, "3", false);
	lvx_units_close(fast);
	lvx_units_close(slow);
	lvx_units_unref(u);
}

static void test_bounded_by_bytes(void **state)
{
	(void)state;
	struct lvx_units *u = make(0, 10);
	struct lvx_unit_reader *r = reader(u);
	put(u, 0, 0, "12345678");
	put(u, 0, 1, "abcdef");
	struct lvx_units_stats stats;
	lvx_units_get_stats(u, &stats);
	assert_int_equal(stats.n_kept, 1);
	assert_int_equal(stats.bytes_kept, 6);
	const struct lvx_unit *unit;
	assert_int_equal(lvx_units_next(r, &unit), LVX_GAP);
	expect(r, "abcdef", false);
	lvx_units_close(r);
	lvx_units_unref(u);
}

static void test_bad_units(void **state)
{
	(void)state;
	static uint8_t big[LVX_UNIT_BYTES_MAX + 1];
	struct lvx_units *u = make(0, 0);
	struct lvx_unit_reader *r = reader(u);
	put(u, 0, 100, "a");
	put(u, 1, 100, "b");
	struct lvx_unit unit = {
		.track = 0, .format = &h264, .len = sizeof(big), .data = big, .dts_us = 200};
	assert_false(lvx_units_put(u, &unit));
	unit.len = 1;
	unit.track = 7;
	assert_false(lvx_units_put(u, &unit));
	assert_false(put(u, 0, 200, ""));
	put(u, 0, 300, "c");
	put(u, 1, 300, "d");
	put(u, 1, 299, "back");
	expect(r, "a", false);
	expect(r, "b", false);
	expect(r, "c", true); /* what was too large is missing */
	expect(r, "d", false);
	expect(r, "back", true);
	struct lvx_units_stats stats;
	lvx_units_get_stats(u, &stats);
	assert_int_equal(stats.n_dropped, 3);
	for (int i = 2; i < LVX_UNIT_TRACKS_MAX; i++)
		assert_int_equal(
			lvx_units_add_track(u, &(struct lvx_unit_track){.language = "xx"}), i);
	assert_int_equal(lvx_units_add_track(u, &(struct lvx_unit_track){.language = "xx"}), -1);
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	assert_int_equal(lvx_units_tracks(u, tracks), LVX_UNIT_TRACKS_MAX);
	assert_string_equal(tracks[1].language, "en");
	lvx_units_close(r);
	lvx_units_unref(u);
}

static void test_formats(void **state)
{
	(void)state;
	struct lvx_units *u = make(0, 0);
	struct lvx_unit_reader *r = reader(u);
	uint8_t config[] = {0x11, 0x90};
	struct lvx_unit_format f = aac;
	f.extra = config;
	f.n_extra = 2;
	struct lvx_unit unit = {.track = 1, .format = &f, .len = 1, .data = config};
	lvx_units_put(u, &unit);
	lvx_units_put(u, &unit);
	config[1] = 0x88; /* the caller's; what was put has its own */
	lvx_units_put(u, &unit);
	const struct lvx_unit *got[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(lvx_units_next(r, &got[i]), LVX_OK);
	assert_ptr_equal(got[0]->format, got[1]->format);
	assert_ptr_not_equal(got[1]->format, got[2]->format);
	assert_int_equal(got[1]->format->extra[1], 0x90);
	assert_int_equal(got[2]->format->extra[1], 0x88);
	assert_string_equal(got[2]->format->codec, "aac");
	lvx_units_close(r);
	lvx_units_unref(u);
	for (int i = 0; i < 3; i++)
		lvx_unit_unref(got[i]);
}

enum { N_THREADED = 20000 };

static void *produce(void *user)
{
	struct lvx_units *u = user;
	for (int i = 0; i < N_THREADED; i++)
		put(u, 0, i, "threaded");
	lvx_units_finish(u);
	return NULL;
}

/* What one reader got and lost is all that was put, in order. */
static void *consume(void *user)
{
	struct lvx_unit_reader *r = user;
	const struct lvx_unit *unit;
	int64_t last_us = -1;
	uintptr_t n = 0;
	for (;;) {
		enum lvx_status st = lvx_units_next(r, &unit);
		if (st == LVX_END)
			return (void *)n;
		if (st != LVX_OK)
			continue;
		if (unit->dts_us <= last_us)
			return NULL;
		last_us = unit->dts_us;
		n++;
		lvx_unit_unref(unit);
	}
}

static void test_threads(void **state)
{
	(void)state;
	struct lvx_units *u = make(64, 0);
	struct lvx_unit_reader *r[2] = {reader(u), reader(u)};
	pthread_t producer, consumer[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&consumer[i], NULL, consume, r[i]), 0);
	assert_int_equal(pthread_create(&producer, NULL, produce, u), 0);
	pthread_join(producer, NULL);
	for (int i = 0; i < 2; i++) {
		void *n;
		pthread_join(consumer[i], &n);
		assert_int_equal((uintptr_t)n + lvx_units_overruns(r[i]), N_THREADED);
		lvx_units_close(r[i]);
	}
	lvx_units_unref(u);
}

/* The end is not the end while a reader still adds; that one itself is told. */
static void test_reader_adds(void **state)
{
	(void)state;
	struct lvx_units *u = make(64, 0);
	struct lvx_unit_reader *maker = reader(u), *other = reader(u);
	const struct lvx_unit *unit;
	lvx_units_adds(maker);
	put(u, 0, 1, "one");
	lvx_units_finish(u);
	assert_int_equal(lvx_units_next(other, &unit), LVX_OK);
	lvx_unit_unref(unit);
	assert_int_equal(lvx_units_next(other, &unit), LVX_AGAIN);
	assert_int_equal(lvx_units_next(maker, &unit), LVX_OK);
	put(u, 1, 1, "made of it");
	lvx_unit_unref(unit);
	assert_int_equal(lvx_units_next(maker, &unit), LVX_OK);
	lvx_unit_unref(unit);
	assert_int_equal(lvx_units_next(maker, &unit), LVX_END);
	lvx_units_close(maker);
	assert_int_equal(lvx_units_next(other, &unit), LVX_OK);
	assert_int_equal(unit->track, 1);
	lvx_unit_unref(unit);
	assert_int_equal(lvx_units_next(other, &unit), LVX_END);
	lvx_units_close(other);
	lvx_units_unref(u);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_readers_share),
		cmocka_unit_test(test_slow_reader_loses),
		cmocka_unit_test(test_bounded_by_bytes),
		cmocka_unit_test(test_bad_units),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_reader_adds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
