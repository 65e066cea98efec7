/* SPDX-License-Identifier: Apache-2.0 */
/* The ring's readers. The protocol is in ring_priv.h. */
#include "pipeline/ring_priv.h"

#include <string.h>

enum lvx_status lvx_cursor_open(
	struct lvx_cursor **out, struct lvx_ring *ring, bool blocking, struct lvx_error *err)
{
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++) {
		struct lvx_cursor *c = &ring->cursors[i];
		int expected = CURSOR_FREE;
		if (!atomic_compare_exchange_strong(&c->state, &expected, CURSOR_OPENING))
			continue;
		c->anchored = false;
		c->untold = false;
		c->read_end_us = 0;
		atomic_store(&c->blocking, blocking);
		atomic_store(&c->follows_pictures, false);
		atomic_store(&c->pic_pos, atomic_load(&ring->pic_head));
		atomic_store(&c->pos, atomic_load(&ring->head));
		atomic_store(&c->state, CURSOR_OPEN);
		*out = c;
		return LVX_OK;
	}
	return lvx_fail(err, LVX_ELIMIT, "ring: all %d cursors are open", LVX_RING_CURSORS_MAX);
}

void lvx_cursor_close(struct lvx_cursor *cursor)
{
	if (!cursor)
		return;
	struct lvx_ring *ring = cursor->ring;
	atomic_fetch_add(&ring->overruns_closed, atomic_exchange(&cursor->overruns, 0));
	atomic_store(&cursor->state, CURSOR_FREE);
	lvx_ring_wake_producer(ring);
}

void lvx_cursor_follow_pictures(struct lvx_cursor *cursor)
{
	atomic_store(&cursor->follows_pictures, true);
}

static void move_to(struct lvx_cursor *c, uint64_t pos)
{
	atomic_store(&c->pos, pos);
	lvx_ring_wake_producer(c->ring);
}

/* Reads anchor number k, if it is still there. */
static bool read_anchor(struct lvx_ring *ring, uint64_t k, uint64_t *index, int64_t *pts_us)
{
	struct anchor *a = &ring->anchors[k % ANCHORS];
	*index = atomic_load_explicit(&a->index, memory_order_acquire);
	*pts_us = atomic_load_explicit(&a->pts_us, memory_order_acquire);
	return atomic_load_explicit(&ring->anchor_reserve, memory_order_relaxed) - k <= ANCHORS;
}

/* The samples from here to `to` are lost. */
static void lose(struct lvx_cursor *c, uint64_t to)
{
	uint64_t pos = atomic_load_explicit(&c->pos, memory_order_relaxed);
	if (to > pos)
		atomic_fetch_add_explicit(&c->overruns, to - pos, memory_order_relaxed);
	c->untold = true;
	move_to(c, to > pos ? to : pos);
}

/* Skips what was overwritten, with a margin that lets the reader keep up. */
static void lose_oldest(struct lvx_cursor *c)
{
	uint64_t reserve = atomic_load(&c->ring->reserve);
	lose(c, reserve - c->ring->capacity + c->ring->capacity / 4);
}

static bool overwritten(struct lvx_cursor *c)
{
	uint64_t pos = atomic_load_explicit(&c->pos, memory_order_relaxed);
	uint64_t reserve = atomic_load_explicit(&c->ring->reserve, memory_order_relaxed);
	return reserve > pos && reserve - pos > c->ring->capacity;
}

/*
 * Steps to the last anchor at or before the cursor's position, and finds where
 * the next one is (*limit; UINT64_MAX: none yet). False: anchors were lost, or
 * are just being written; try again.
 */
static bool find_anchor(struct lvx_cursor *c, uint64_t *limit)
{
	struct lvx_ring *ring = c->ring;
	uint64_t pos = atomic_load_explicit(&c->pos, memory_order_relaxed);
	uint64_t n = atomic_load_explicit(&ring->anchor_head, memory_order_acquire);
	uint64_t k = c->anchored ? c->anchor + 1 : 0;
	bool first = !c->anchored;
	*limit = UINT64_MAX;
	if (n > ANCHORS / 2 && k < n - ANCHORS / 2) {
		/* Far behind: start from one that will not be overwritten soon. */
		uint64_t index;
		int64_t pts_us;
		if (!read_anchor(ring, n - ANCHORS / 2, &index, &pts_us))
			return false;
		if (pos >= index)
			k = n - ANCHORS / 2;
		else if (k + ANCHORS < n) {
			lose(c, index);
			return false;
		}
	}
	for (; k < n; k++) {
		uint64_t index;
		int64_t pts_us;
		if (!read_anchor(ring, k, &index, &pts_us))
			return false;
		if (index > pos) {
			*limit = index;
			break;
		}
		if (!first)
			c->untold = true;
		c->anchored = true;
		c->anchor = k;
		c->anchor_index = index;
		c->anchor_pts_us = pts_us;
	}
	return true;
}

enum lvx_status lvx_cursor_read(struct lvx_cursor *c, float *pcm, size_t n, size_t *got,
	int64_t *pts_us, int64_t *resume_us)
{
	struct lvx_ring *ring = c->ring;
	*got = 0;
	for (;;) {
		/* finished before head: what it ends is then all seen. */
		bool finished = atomic_load_explicit(&ring->finished, memory_order_acquire);
		uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (overwritten(c)) {
			lose_oldest(c);
			continue;
		}
		uint64_t pos = atomic_load_explicit(&c->pos, memory_order_relaxed);
		uint64_t limit;
		if (!find_anchor(c, &limit))
			continue;
		if (pos >= head) {
			*pts_us = c->read_end_us;
			return finished ? LVX_END : LVX_AGAIN;
		}
		int64_t here = c->anchor_pts_us + lvx_ring_span_us(ring, pos - c->anchor_index);
		if (c->untold) {
			c->untold = false;
			*pts_us = c->read_end_us;
			*resume_us = here;
			c->read_end_us = here;
			return LVX_GAP;
		}
		uint64_t avail = (limit < head ? limit : head) - pos;
		bool gap = limit <= head && avail < n;
		if (avail < n && !gap && !finished)
			return LVX_AGAIN;
		size_t take = avail < n ? avail : n;
		size_t at = pos % ring->capacity;
		for (size_t i = 0; i < take; i++) {
			pcm[i] = atomic_load_explicit(&ring->pcm[at], memory_order_acquire);
			if (++at == ring->capacity)
				at = 0;
		}
		if (overwritten(c)) /* perhaps under our hands */
			continue;
		*got = take;
		*pts_us = here;
		c->read_end_us = c->anchor_pts_us + lvx_ring_span_us(ring, pos + take - c->anchor_index);
		if (!gap) {
			move_to(c, pos + take);
			return take < n ? LVX_END : LVX_OK;
		}
		/* Tell the jump now, with the samples before it. */
		move_to(c, pos + take);
		if (!find_anchor(c, &limit)) {
			*resume_us = c->read_end_us; /* lost since; the next read says more */
			return LVX_GAP;
		}
		c->untold = false;
		*resume_us = c->anchor_pts_us;
		c->read_end_us = c->anchor_pts_us;
		return LVX_GAP;
	}
}

enum lvx_status lvx_cursor_read_picture(
	struct lvx_cursor *c, uint8_t *rgb, int64_t until_us, int64_t *pts_us)
{
	struct lvx_ring *ring = c->ring;
	size_t bytes = (size_t)ring->params.picture_width * ring->params.picture_height * 3;
	for (;;) {
		uint64_t head = atomic_load_explicit(&ring->pic_head, memory_order_acquire);
		uint64_t pos = atomic_load_explicit(&c->pic_pos, memory_order_relaxed);
		if (pos >= head)
			return LVX_AGAIN;
		uint64_t n = ring->params.n_pictures;
		if (head - pos >= n && ring->params.mode == LVX_RING_LIVE) {
			/* The oldest may be overwritten any moment: leave it. */
			uint64_t to = head - n + 1;
			atomic_fetch_add(&ring->pictures_lost, to - pos);
			atomic_store(&c->pic_pos, to);
			pos = to;
		}
		size_t slot = pos % n;
		const _Atomic uint64_t *from = ring->pictures + slot * ring->picture_words;
		int64_t pts = atomic_load_explicit(&ring->picture_pts[slot], memory_order_acquire);
		bool due = pts <= until_us;
		for (size_t i = 0; due && i < ring->picture_words; i++) {
			uint64_t word = atomic_load_explicit(&from[i], memory_order_acquire);
			size_t left = bytes - i * 8;
			memcpy(rgb + i * 8, &word, left < 8 ? left : 8);
		}
		uint64_t reserve = atomic_load_explicit(&ring->pic_reserve, memory_order_relaxed);
		if (reserve > pos && reserve - pos > n) {
			uint64_t to = reserve - n + 1;
			atomic_fetch_add(&ring->pictures_lost, to - pos);
			atomic_store(&c->pic_pos, to);
			continue;
		}
		if (!due)
			return LVX_AGAIN;
		*pts_us = pts;
		atomic_store(&c->pic_pos, pos + 1);
		lvx_ring_wake_producer(ring);
		return LVX_OK;
	}
}

uint64_t lvx_cursor_overruns(const struct lvx_cursor *cursor)
{
	return atomic_load(&cursor->overruns);
}

uint64_t lvx_cursor_lag(const struct lvx_cursor *cursor)
{
	uint64_t head = atomic_load(&cursor->ring->head);
	uint64_t pos = atomic_load(&cursor->pos);
	return head > pos ? head - pos : 0;
}
