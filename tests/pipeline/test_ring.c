/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/ring.h"

#include "base/clock.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000 };
#define SECOND INT64_C(1000000)

static struct lvx_ring *make(enum lvx_ring_mode mode, int64_t capacity_us, uint32_t w, uint32_t h)
{
	struct lvx_ring *ring = NULL;
	struct lvx_ring_params p = {RATE, capacity_us, mode, w, h, w ? 4 : 0};
	assert_int_equal(lvx_ring_create(&ring, &p, NULL), LVX_OK);
	return ring;
}

static struct lvx_cursor *open_cursor(struct lvx_ring *ring, bool blocking)
{
	struct lvx_cursor *c = NULL;
	assert_int_equal(lvx_cursor_open(&c, ring, blocking, NULL), LVX_OK);
	return c;
}

/* Sample i of the stream: exact in f32, and never the same nearby. */
static float value(uint64_t i)
{
	return (float)(i % 16777213);
}

/* Writes samples from..from + n. */
static enum lvx_status put(
	struct lvx_ring *ring, uint64_t from, size_t n, int64_t pts_us, size_t *written)
{
	float *pcm = malloc(n * sizeof(float));
	for (size_t i = 0; i < n; i++)
		pcm[i] = value(from + i);
	enum lvx_status st = lvx_ring_write(ring, pcm, n, pts_us, written);
	free(pcm);
	return st;
}

struct got {
	enum lvx_status st;
	size_t n;
	int64_t pts_us, resume_us;
	float pcm[RATE * 4];
};

static const struct got *get(struct lvx_cursor *c, size_t n)
{
	static struct got g;
	g.st = lvx_cursor_read(c, g.pcm, n, &g.n, &g.pts_us, &g.resume_us);
	return &g;
}

static void test_params(void **state)
{
	(void)state;
	struct lvx_ring *ring = NULL;
	struct lvx_error err = {0};
	struct lvx_ring_params p = {0, SECOND, LVX_RING_LIVE, 0, 0, 0};
	assert_int_equal(lvx_ring_create(&ring, &p, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "sample rate"));
	p.sample_rate = RATE;
	p.capacity_us = 10;
	assert_int_equal(lvx_ring_create(&ring, &p, &err), LVX_EINVAL);
	p.capacity_us = SECOND;
	p.picture_width = p.picture_height = 16;
	p.n_pictures = 1;
	assert_int_equal(lvx_ring_create(&ring, &p, &err), LVX_EINVAL);
	assert_null(ring);
	lvx_ring_destroy(NULL);
	lvx_cursor_close(NULL);
}

static void test_read_whole_blocks(void **state)
{
	(void)state;
	struct lvx_ring *ring = make(LVX_RING_LIVE, SECOND, 0, 0);
	struct lvx_cursor *c = open_cursor(ring, false);
	size_t written;
	assert_int_equal(get(c, 100)->st, LVX_AGAIN);
	assert_int_equal(put(ring, 0, 150, 7000, &written), LVX_OK);
	assert_int_equal(written, 150);
	const struct got *g = get(c, 100);
	assert_int_equal(g->st, LVX_OK);
	assert_int_equal(g->n, 100);
	assert_int_equal(g->pts_us, 7000);
	assert_true(g->pcm[0] == value(0) && g->pcm[99] == value(99));
	assert_int_equal(lvx_cursor_lag(c), 50);
	assert_int_equal(get(c, 100)->st, LVX_AGAIN);
	assert_int_equal(put(ring, 150, 50, 7000 + 150 * 1000000 / RATE, &written), LVX_OK);
	g = get(c, 100);
	assert_int_equal(g->st, LVX_OK);
	assert_int_equal(g->pts_us, 7000 + 100 * 1000000 / RATE);
	/* One that opens now begins with what is written next. */
	struct lvx_cursor *late = open_cursor(ring, false);
	put(ring, 200, 100, 7000 + 200 * 1000000 / RATE, &written);
	g = get(late, 100);
	assert_int_equal(g->st, LVX_OK);
	assert_true(g->pcm[0] == value(200));
	assert_int_equal(g->pts_us, 7000 + 200 * 1000000 / RATE);
	lvx_ring_finish(ring);
	g = get(c, 150);
	assert_int_equal(g->st, LVX_END);
	assert_int_equal(g->n, 100);
	assert_int_equal(get(c, 150)->st, LVX_END);
	assert_int_equal(get(c, 150)->n, 0);
	lvx_cursor_close(c);
	lvx_cursor_close(late);
	lvx_ring_destroy(ring);
}

static void test_gaps_and_jumps(void **state)
{
	(void)state;
	struct lvx_ring *ring = make(LVX_RING_LIVE, SECOND, 0, 0);
	struct lvx_cursor *c = open_cursor(ring, false);
	size_t written;
	put(ring, 0, 160, 0, &written);
	put(ring, 160, 160, 10000 + 39000, &written);	/* jitter: no jump */
	put(ring, 320, 160, 20000 + 500000, &written);	/* half a second is missing */
	put(ring, 480, 160, 530000 - 200000, &written); /* the clock went back */
	const struct got *g = get(c, 400);
	assert_int_equal(g->st, LVX_GAP);
	assert_int_equal(g->n, 320);
	assert_int_equal(g->pts_us, 0);
	assert_int_equal(g->resume_us, 520000);
	/* Exactly up to the jump: told by the read after. */
	g = get(c, 160);
	assert_int_equal(g->st, LVX_OK);
	assert_int_equal(g->pts_us, 520000);
	g = get(c, 160);
	assert_int_equal(g->st, LVX_GAP);
	assert_int_equal(g->n, 0);
	assert_int_equal(g->pts_us, 530000);
	assert_int_equal(g->resume_us, 330000);
	g = get(c, 160);
	assert_int_equal(g->st, LVX_OK);
	assert_int_equal(g->pts_us, 330000);
	assert_true(g->pcm[0] == value(480));
	struct lvx_ring_stats s;
	lvx_ring_get_stats(ring, &s);
	assert_int_equal(s.n_gaps, 1);
	assert_int_equal(s.gap_us, 500000);
	assert_int_equal(s.n_jumps_back, 1);
	assert_int_equal(s.overruns, 0);
	lvx_cursor_close(c);
	lvx_ring_destroy(ring);
}

/* Timestamps stay exact over weeks: no rounding adds up, 64 bits suffice. */
static void test_weeks(void **state)
{
	(void)state;
	struct lvx_ring *ring = make(LVX_RING_LIVE, SECOND, 0, 0);
	struct lvx_cursor *c = open_cursor(ring, false);
	size_t written;
	float pcm[1111] = {0};
	uint64_t total = 0;
	for (int i = 0; i < 20000; i++) { /* odd sizes, PTS rounded as a demuxer does */
		lvx_ring_write(ring, pcm, 1111, (int64_t)(total * 1000000 / RATE), &written);
		total += 1111;
		const struct got *g = get(c, 1111);
		assert_int_equal(g->st, LVX_OK);
		assert_int_equal(g->pts_us, (total - 1111) * 1000000 / RATE);
	}
	/* Eight weeks later. */
	int64_t weeks_us = 56 * 86400 * SECOND;
	lvx_ring_write(ring, pcm, 1000, weeks_us, &written);
	const struct got *g = get(c, 1000);
	assert_int_equal(g->st, LVX_GAP);
	assert_int_equal(g->resume_us, weeks_us);
	assert_int_equal(get(c, 1000)->pts_us, weeks_us);
	lvx_cursor_close(c);
	lvx_ring_destroy(ring);
}

static void test_live_drops_oldest(void **state)
{
	(void)state;
	struct lvx_ring *ring = make(LVX_RING_LIVE, SECOND, 0, 0);
	struct lvx_cursor *slow = open_cursor(ring, false), *fast = open_cursor(ring, true);
	size_t written;
	for (uint64_t i = 0; i < 30; i++) {
		assert_int_equal(put(ring, i * 1600, 1600, (int64_t)i * 100000, &written), LVX_OK);
		assert_int_equal(get(fast, 1600)->st, LVX_OK); /* blocking means nothing here */
	}
	const struct got *g = get(slow, 1600);
	assert_int_equal(g->st, LVX_GAP);
	assert_int_equal(g->n, 0);
	uint64_t lost = lvx_cursor_overruns(slow);
	/* Three quarters of the second that the ring holds are left. */
	assert_int_equal(lost, 30 * 1600 - RATE * 3 / 4);
	assert_int_equal(g->resume_us, lost * 1000000 / RATE);
	g = get(slow, 1600);
	assert_int_equal(g->st, LVX_OK);
	assert_true(g->pcm[0] == value(lost));
	assert_int_equal(g->pts_us, lost * 1000000 / RATE);
	assert_int_equal(lvx_cursor_overruns(fast), 0);
	struct lvx_ring_stats s;
	lvx_ring_get_stats(ring, &s);
	assert_int_equal(s.overruns, lost);
	lvx_cursor_close(slow);
	lvx_ring_get_stats(ring, &s);
	assert_int_equal(s.overruns, lost); /* also after it is gone */
	lvx_cursor_close(fast);
	lvx_ring_destroy(ring);
}

static void test_paced_waits(void **state)
{
	(void)state;
	struct lvx_ring *ring = make(LVX_RING_PACED, SECOND, 0, 0);
	struct lvx_cursor *c = open_cursor(ring, true), *idle = open_cursor(ring, false);
	size_t written;
	assert_int_equal(put(ring, 0, RATE * 2, 0, &written), LVX_AGAIN);
	assert_int_equal(written, RATE);
	assert_int_equal(put(ring, RATE, 1, SECOND, &written), LVX_AGAIN);
	assert_int_equal(written, 0);
	int64_t t = lvx_now_us();
	assert_true(lvx_ring_wait_room(ring, 30000));
	assert_true(lvx_now_us() - t >= 29000);
	assert_int_equal(get(c, 1600)->st, LVX_OK);
	assert_true(lvx_ring_wait_room(ring, 10 * SECOND)); /* at once */
	assert_int_equal(put(ring, RATE, 1600, SECOND, &written), LVX_OK);
	assert_int_equal(lvx_cursor_overruns(c), 0);
	/* The one that does not block has lost samples. */
	assert_int_equal(get(idle, 1600)->st, LVX_GAP);
	assert_true(lvx_cursor_overruns(idle) > 0);
	lvx_ring_cancel(ring);
	assert_false(lvx_ring_wait_room(ring, SECOND));
	lvx_cursor_close(c);
	lvx_cursor_close(idle);
	lvx_ring_destroy(ring);
}

/* More jumps than anchors: a paced reader loses none, a live one is told. */
static void test_many_jumps(void **state)
{
	(void)state;
	size_t written;
	struct lvx_ring *ring = make(LVX_RING_PACED, 2 * SECOND, 0, 0);
	struct lvx_cursor *c = open_cursor(ring, true);
	uint64_t in = 0, out = 0;
	while (out < 2000) {
		while (in < 2000 && put(ring, in * 10, 10, (int64_t)in * SECOND, &written) == LVX_OK)
			in++;
		const struct got *g = get(c, 10);
		if (g->st == LVX_GAP) {
			assert_int_equal(g->n, 0);
			assert_int_equal(g->resume_us, (int64_t)out * SECOND);
			continue;
		}
		assert_int_equal(g->st, LVX_OK);
		assert_int_equal(g->pts_us, (int64_t)out * SECOND);
		assert_true(g->pcm[0] == value(out * 10));
		out++;
	}
	assert_int_equal(lvx_cursor_overruns(c), 0);
	lvx_cursor_close(c);
	lvx_ring_destroy(ring);

	ring = make(LVX_RING_LIVE, 2 * SECOND, 0, 0);
	c = open_cursor(ring, false);
	for (in = 0; in < 2000; in++)
		put(ring, in * 10, 10, (int64_t)in * SECOND, &written);
	const struct got *g = get(c, 10);
	assert_int_equal(g->st, LVX_GAP);
	uint64_t at = lvx_cursor_overruns(c) / 10;
	assert_in_range(at, 1, 1999);
	assert_int_equal(g->resume_us, (int64_t)at * SECOND);
	for (;; at++) { /* from there on all is true */
		do
			g = get(c, 10);
		while (g->st == LVX_GAP);
		if (g->st != LVX_OK)
			break;
		assert_int_equal(g->pts_us, (int64_t)at * SECOND);
		assert_true(g->pcm[0] == value(at * 10));
	}
	assert_int_equal(at, 2000);
	lvx_cursor_close(c);
	lvx_ring_destroy(ring);
}

static void test_pictures(void **state)
{
	(void)state;
	enum { W = 7, H = 5, BYTES = W * H * 3 }; /* not a multiple of a word */
	uint8_t in[BYTES], out[BYTES];
	int64_t pts;
	struct lvx_ring *ring = make(LVX_RING_LIVE, SECOND, W, H);
	struct lvx_cursor *c = open_cursor(ring, false);
	assert_int_equal(lvx_cursor_read_picture(c, out, INT64_MAX, &pts), LVX_AGAIN);
	for (int i = 0; i < 3; i++) {
		memset(in, 10 + i, BYTES);
		assert_int_equal(lvx_ring_write_picture(ring, in, i * 100), LVX_OK);
	}
	assert_int_equal(lvx_cursor_read_picture(c, out, 99, &pts), LVX_OK);
	assert_int_equal(pts, 0);
	memset(in, 10, BYTES);
	assert_memory_equal(in, out, BYTES);
	assert_int_equal(lvx_cursor_read_picture(c, out, 99, &pts), LVX_AGAIN);
	assert_int_equal(lvx_cursor_read_picture(c, out, 100, &pts), LVX_OK);
	for (int i = 3; i < 20; i++) {
		memset(in, 10 + i, BYTES);
		lvx_ring_write_picture(ring, in, i * 100);
	}
	/* Four are held; the oldest is left alone, it may be overwritten any moment. */
	assert_int_equal(lvx_cursor_read_picture(c, out, INT64_MAX, &pts), LVX_OK);
	assert_int_equal(pts, 1700);
	assert_int_equal(out[BYTES - 1], 27);
	struct lvx_ring_stats s;
	lvx_ring_get_stats(ring, &s);
	assert_int_equal(s.pictures_written, 20);
	assert_int_equal(s.pictures_lost, 15);
	lvx_cursor_close(c);
	lvx_ring_destroy(ring);

	ring = make(LVX_RING_PACED, SECOND, W, H);
	c = open_cursor(ring, true);
	for (int i = 0; i < 6; i++) /* no one follows: nothing waits */
		assert_int_equal(lvx_ring_write_picture(ring, in, i), LVX_OK);
	struct lvx_cursor *f = open_cursor(ring, true);
	lvx_cursor_follow_pictures(f);
	for (int i = 0; i < 4; i++)
		assert_int_equal(lvx_ring_write_picture(ring, in, i), LVX_OK);
	assert_int_equal(lvx_ring_write_picture(ring, in, 4), LVX_AGAIN);
	assert_int_equal(lvx_cursor_read_picture(f, out, INT64_MAX, &pts), LVX_OK);
	assert_true(lvx_ring_wait_picture_room(ring, 10 * SECOND));
	assert_int_equal(lvx_ring_write_picture(ring, in, 4), LVX_OK);
	lvx_cursor_close(c);
	lvx_cursor_close(f);
	lvx_ring_destroy(ring);
}

static void test_all_cursors(void **state)
{
	(void)state;
	struct lvx_ring *ring = make(LVX_RING_LIVE, SECOND, 0, 0);
	struct lvx_cursor *c[LVX_RING_CURSORS_MAX], *more;
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++)
		c[i] = open_cursor(ring, false);
	struct lvx_error err;
	assert_int_equal(lvx_cursor_open(&more, ring, false, &err), LVX_ELIMIT);
	lvx_cursor_close(c[3]);
	assert_int_equal(lvx_cursor_open(&c[3], ring, false, &err), LVX_OK);
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++)
		lvx_cursor_close(c[i]);
	lvx_ring_destroy(ring);
}

/* ---- two and more threads ---- */

struct stress {
	struct lvx_ring *ring;
	struct lvx_bell *bell;
	uint64_t total;
	_Atomic bool done;
};

enum { PICTURE = 16 * 12 * 3 };

static void *produce(void *user)
{
	struct stress *s = user;
	uint32_t seed = 1;
	uint8_t rgb[PICTURE];
	for (uint64_t i = 0; i < s->total;) {
		seed = seed * 1664525u + 1013904223u;
		size_t n = 1 + (seed >> 16) % 900, written;
		if (n > s->total - i)
			n = (size_t)(s->total - i);
		/* A gap of a second before every multiple of 100,000. */
		uint64_t stop = (i / 100000 + 1) * 100000;
		if (n > stop - i)
			n = (size_t)(stop - i);
		int64_t pts = (int64_t)(i * 1000000 / RATE + i / 100000 * 1000000);
		enum lvx_status st = put(s->ring, i, n, pts, &written);
		i += written;
		if (st == LVX_AGAIN && !lvx_ring_wait_room(s->ring, 100000))
			break;
		if ((seed >> 28) == 0) {
			memset(rgb, (int)(i & 0xff), PICTURE);
			lvx_ring_write_picture(s->ring, rgb, (int64_t)(i & 0xff));
		}
	}
	lvx_ring_finish(s->ring);
	return NULL;
}

/* Reads all there is; every sample and PTS must be its own. */
struct reader {
	struct stress *stress;
	struct lvx_cursor *cursor;
	unsigned nap; /* every so many reads it sleeps */
	uint64_t seen, torn, gaps, bad_pts, pictures, torn_pictures;
};

static void *consume(void *user)
{
	struct reader *r = user;
	float pcm[1280];
	uint8_t rgb[PICTURE];
	uint64_t reads = 0;
	for (;;) {
		size_t got;
		int64_t pts, resume;
		enum lvx_status st = lvx_cursor_read(r->cursor, pcm, 1280, &got, &pts, &resume);
		for (size_t i = 1; i < got; i++)
			if (pcm[i] != pcm[0] + (float)i)
				r->torn++;
		if (got) {
			uint64_t i = (uint64_t)pcm[0];
			if (pts != (int64_t)(i * 1000000 / RATE + i / 100000 * 1000000))
				r->bad_pts++;
			r->seen += got;
		}
		r->gaps += st == LVX_GAP;
		if (lvx_cursor_read_picture(r->cursor, rgb, INT64_MAX, &pts) == LVX_OK) {
			r->pictures++;
			for (int i = 0; i < PICTURE; i++)
				if (rgb[i] != (uint8_t)pts)
					r->torn_pictures++;
		}
		if (st == LVX_END)
			return NULL;
		if (st == LVX_AGAIN || (r->nap && ++reads % r->nap == 0))
			lvx_sleep_us(200);
	}
}

static void stress(enum lvx_ring_mode mode, uint64_t total)
{
	struct stress s = {.total = total};
	s.ring = make(mode, 200000, 16, 12);
	assert_int_equal(lvx_bell_create(&s.bell, NULL), LVX_OK);
	lvx_ring_set_bell(s.ring, s.bell);
	struct reader r[3];
	pthread_t threads[3], producer;
	for (int i = 0; i < 3; i++) {
		r[i] = (struct reader){.stress = &s, .nap = (unsigned)i * 3};
		r[i].cursor = open_cursor(s.ring, mode == LVX_RING_PACED);
	}
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, consume, &r[i]);
	pthread_create(&producer, NULL, produce, &s);
	pthread_join(producer, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(r[i].torn, 0);
		assert_int_equal(r[i].bad_pts, 0);
		assert_int_equal(r[i].torn_pictures, 0);
		assert_int_equal(r[i].seen + lvx_cursor_overruns(r[i].cursor), total);
		if (mode == LVX_RING_PACED) {
			assert_int_equal(r[i].seen, total);
			assert_int_equal(r[i].gaps, (total - 1) / 100000);
		}
		lvx_cursor_close(r[i].cursor);
	}
	lvx_ring_destroy(s.ring);
	lvx_bell_destroy(s.bell);
}

static void test_stress_paced(void **state)
{
	(void)state;
	stress(LVX_RING_PACED, 1500000);
}

static void test_stress_live(void **state)
{
	(void)state;
	stress(LVX_RING_LIVE, 4000000);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_read_whole_blocks),
		cmocka_unit_test(test_gaps_and_jumps),
		cmocka_unit_test(test_weeks),
		cmocka_unit_test(test_live_drops_oldest),
		cmocka_unit_test(test_paced_waits),
		cmocka_unit_test(test_many_jumps),
		cmocka_unit_test(test_pictures),
		cmocka_unit_test(test_all_cursors),
		cmocka_unit_test(test_stress_paced),
		cmocka_unit_test(test_stress_live),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
