/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock-free ring of sound, anchors and pictures.
 *
 * All three use one protocol, a seqlock over a free-running counter: the
 * producer announces how far it is about to write (reserve), stores the data
 * with release order, then publishes (head). A reader loads head, copies with
 * acquire order and looks at reserve afterwards: any datum that was overwritten
 * under its hands synchronises with the store of reserve before it, so a torn
 * copy is always seen and thrown away. No fences, so TSan can follow.
 *
 * The mutex and condition serve only a producer that waits for room.
 */
#include "pipeline/ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	ANCHORS = 256,	    /* jumps remembered; a power of two */
	JUMP_US = 40000,    /* less than this is jitter of timestamps */
	CAPACITY_MAX = 1 << 28,
};

struct anchor {
	_Atomic uint64_t index;
	_Atomic int64_t pts_us;
};

enum cursor_state { CURSOR_FREE, CURSOR_OPENING, CURSOR_OPEN };

struct lvx_cursor {
	_Alignas(64) _Atomic uint64_t pos; /* written by its owner, read by the producer */
	_Atomic uint64_t pic_pos;
	_Atomic int state; /* enum cursor_state */
	_Atomic bool blocking, follows_pictures;
	_Atomic uint64_t overruns;
	struct lvx_ring *ring;
	/* Owner only: the anchor that pos counts from. */
	bool anchored;
	uint64_t anchor; /* its number */
	uint64_t anchor_index;
	int64_t anchor_pts_us;
	bool untold;	    /* a jump or loss that no read has told yet */
	int64_t read_end_us; /* end of the samples read last */
};

struct lvx_ring {
	struct lvx_ring_params params;
	uint64_t capacity; /* samples */
	uint64_t chunk;	   /* samples announced at once */
	size_t picture_words;

	/* Producer only. */
	bool anchored;
	uint64_t anchor_index;
	int64_t anchor_pts_us;
	uint64_t seen, pic_seen; /* progress when room was looked for last */
	struct lvx_bell *bell;

	_Alignas(64) _Atomic uint64_t reserve, head;
	_Atomic uint64_t anchor_reserve, anchor_head;
	_Atomic uint64_t pic_reserve, pic_head;
	_Atomic bool finished, cancelled;
	_Atomic uint64_t n_gaps, n_jumps_back;
	_Atomic int64_t gap_us;
	_Atomic uint64_t overruns_closed; /* of cursors that are gone */
	_Atomic uint64_t pictures_lost;

	_Atomic float *pcm;		/* [capacity] */
	_Atomic uint64_t *pictures;	/* [n_pictures][picture_words] */
	_Atomic int64_t *picture_pts;	/* [n_pictures] */
	struct anchor anchors[ANCHORS];
	struct lvx_cursor cursors[LVX_RING_CURSORS_MAX];

	pthread_mutex_t room_lock;
	pthread_cond_t room_cond;
	_Atomic uint64_t progress; /* counts readers' moves */
	_Atomic int waiters;
};

/* ---- life ---- */

enum lvx_status lvx_ring_create(
	struct lvx_ring **out, const struct lvx_ring_params *params, struct lvx_error *err)
{
	if (params->sample_rate < 1000 || params->sample_rate > 768000)
		return lvx_fail(err, LVX_EINVAL, "ring: sample rate %u is not in 1000..768000",
			params->sample_rate);
	if (params->capacity_us < 100000 || params->capacity_us > 3600 * INT64_C(1000000))
		return lvx_fail(err, LVX_EINVAL, "ring: capacity must be 0.1 s to 1 h");
	bool pictures = params->picture_width && params->picture_height;
	if (pictures && (params->picture_width > 4096 || params->picture_height > 4096 ||
				params->n_pictures < 2 || params->n_pictures > 1024))
		return lvx_fail(err, LVX_EINVAL,
			"ring: pictures are at most 4096 x 4096, and 2 to 1024 of them");
	uint64_t capacity = (uint64_t)params->capacity_us * params->sample_rate / 1000000;
	if (capacity > CAPACITY_MAX)
		return lvx_fail(err, LVX_ELIMIT, "ring: too large");

	/* calloc aligns to 16 bytes only; the cursors want their own cache lines. */
	struct lvx_ring *ring = aligned_alloc(64, (sizeof(*ring) + 63) / 64 * 64);
	if (!ring)
		return lvx_fail(err, LVX_ENOMEM, "ring: out of memory");
	memset(ring, 0, sizeof(*ring));
	ring->params = *params;
	ring->capacity = capacity;
	ring->chunk = capacity / 16;
	ring->pcm = calloc(capacity, sizeof(*ring->pcm));
	if (!ring->pcm)
		goto fail;
	if (pictures) {
		size_t bytes = (size_t)params->picture_width * params->picture_height * 3;
		ring->picture_words = (bytes + 7) / 8;
		ring->pictures = calloc(
			ring->picture_words * params->n_pictures, sizeof(*ring->pictures));
		ring->picture_pts = calloc(params->n_pictures, sizeof(*ring->picture_pts));
		if (!ring->pictures || !ring->picture_pts)
			goto fail;
	} else {
		ring->params.n_pictures = 0;
	}
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++)
		ring->cursors[i].ring = ring;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ring->room_cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&ring->room_lock, NULL);
	*out = ring;
	return LVX_OK;
fail:
	free(ring->picture_pts);
	free(ring->pictures);
	free(ring->pcm);
	free(ring);
	return lvx_fail(err, LVX_ENOMEM, "ring: out of memory");
}

void lvx_ring_destroy(struct lvx_ring *ring)
{
	if (!ring)
		return;
	pthread_cond_destroy(&ring->room_cond);
	pthread_mutex_destroy(&ring->room_lock);
	free(ring->picture_pts);
	free(ring->pictures);
	free(ring->pcm);
	free(ring);
}

void lvx_ring_get_params(const struct lvx_ring *ring, struct lvx_ring_params *out)
{
	*out = ring->params;
}

void lvx_ring_set_bell(struct lvx_ring *ring, struct lvx_bell *bell)
{
	ring->bell = bell;
}

static void ring_bell(struct lvx_ring *ring)
{
	if (ring->bell)
		lvx_bell_ring(ring->bell);
}

/* ---- waiting for room ---- */

/* A reader moved, closed, or the ring was cancelled. */
static void wake_producer(struct lvx_ring *ring)
{
	atomic_fetch_add(&ring->progress, 1);
	if (atomic_load(&ring->waiters) == 0)
		return;
	pthread_mutex_lock(&ring->room_lock);
	pthread_cond_broadcast(&ring->room_cond);
	pthread_mutex_unlock(&ring->room_lock);
}

static bool wait_progress(struct lvx_ring *ring, uint64_t seen, int64_t timeout_us)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	int64_t ns = until.tv_nsec + timeout_us % 1000000 * 1000;
	until.tv_sec += timeout_us / 1000000 + ns / 1000000000;
	until.tv_nsec = ns % 1000000000;

	pthread_mutex_lock(&ring->room_lock);
	atomic_fetch_add(&ring->waiters, 1);
	while (atomic_load(&ring->progress) == seen && !atomic_load(&ring->cancelled)) {
		if (pthread_cond_timedwait(&ring->room_cond, &ring->room_lock, &until) != 0)
			break;
	}
	atomic_fetch_sub(&ring->waiters, 1);
	pthread_mutex_unlock(&ring->room_lock);
	return !atomic_load(&ring->cancelled);
}

bool lvx_ring_wait_room(struct lvx_ring *ring, int64_t timeout_us)
{
	return wait_progress(ring, ring->seen, timeout_us);
}

bool lvx_ring_wait_picture_room(struct lvx_ring *ring, int64_t timeout_us)
{
	return wait_progress(ring, ring->pic_seen, timeout_us);
}

void lvx_ring_cancel(struct lvx_ring *ring)
{
	atomic_store(&ring->cancelled, true);
	wake_producer(ring);
	ring_bell(ring);
}

/* Samples that may be written without overrunning a blocking cursor. */
static uint64_t paced_room(struct lvx_ring *ring, uint64_t head, bool new_anchor)
{
	uint64_t room = ring->capacity;
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++) {
		struct lvx_cursor *c = &ring->cursors[i];
		if (atomic_load(&c->state) != CURSOR_OPEN || !atomic_load(&c->blocking))
			continue;
		uint64_t pos = atomic_load(&c->pos);
		uint64_t held = head - pos; /* more than capacity: it opened just now */
		if (held >= ring->capacity)
			return 0;
		if (ring->capacity - held < room)
			room = ring->capacity - held;
		/* Nor may it lose an anchor that it has not passed. */
		uint64_t n = atomic_load_explicit(&ring->anchor_head, memory_order_relaxed);
		if (new_anchor && n >= ANCHORS - 1) {
			struct anchor *oldest = &ring->anchors[(n + 1) % ANCHORS];
			if (pos < atomic_load_explicit(&oldest->index, memory_order_relaxed))
				return 0;
		}
	}
	return room;
}

/* ---- producer ---- */

static int64_t span_us(const struct lvx_ring *ring, uint64_t samples)
{
	return (int64_t)(samples * 1000000 / ring->params.sample_rate);
}

static void write_anchor(struct lvx_ring *ring, uint64_t head, int64_t pts_us)
{
	uint64_t n = atomic_load_explicit(&ring->anchor_head, memory_order_relaxed);
	struct anchor *a = &ring->anchors[n % ANCHORS];
	atomic_store_explicit(&ring->anchor_reserve, n + 1, memory_order_relaxed);
	atomic_store_explicit(&a->index, head, memory_order_release);
	atomic_store_explicit(&a->pts_us, pts_us, memory_order_release);
	atomic_store_explicit(&ring->anchor_head, n + 1, memory_order_release);
	ring->anchored = true;
	ring->anchor_index = head;
	ring->anchor_pts_us = pts_us;
}

enum lvx_status lvx_ring_write(
	struct lvx_ring *ring, const float *pcm, size_t n, int64_t pts_us, size_t *written)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	*written = 0;
	if (n == 0)
		return LVX_OK;

	int64_t expected = ring->anchor_pts_us + span_us(ring, head - ring->anchor_index);
	int64_t off = pts_us - expected;
	bool jump = !ring->anchored || off > JUMP_US || off < -JUMP_US;
	size_t todo = n;
	if (ring->params.mode == LVX_RING_PACED) {
		ring->seen = atomic_load(&ring->progress);
		uint64_t room = paced_room(ring, head, jump);
		if (todo > room)
			todo = room;
		if (todo == 0)
			return LVX_AGAIN;
	}
	if (jump) {
		if (ring->anchored && off > 0) {
			atomic_fetch_add_explicit(&ring->n_gaps, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(&ring->gap_us, off, memory_order_relaxed);
		} else if (ring->anchored) {
			atomic_fetch_add_explicit(&ring->n_jumps_back, 1, memory_order_relaxed);
		}
		write_anchor(ring, head, pts_us);
	}
	for (size_t done = 0; done < todo;) {
		size_t part = todo - done < ring->chunk ? todo - done : ring->chunk;
		atomic_store_explicit(&ring->reserve, head + part, memory_order_relaxed);
		size_t at = head % ring->capacity;
		for (size_t i = 0; i < part; i++) {
			atomic_store_explicit(&ring->pcm[at], pcm[done + i], memory_order_release);
			if (++at == ring->capacity)
				at = 0;
		}
		head += part;
		done += part;
		atomic_store_explicit(&ring->head, head, memory_order_release);
	}
	*written = todo;
	ring_bell(ring);
	return todo < n ? LVX_AGAIN : LVX_OK;
}

static bool picture_room(struct lvx_ring *ring, uint64_t head)
{
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++) {
		struct lvx_cursor *c = &ring->cursors[i];
		if (atomic_load(&c->state) == CURSOR_OPEN && atomic_load(&c->blocking) &&
			atomic_load(&c->follows_pictures) &&
			head - atomic_load(&c->pic_pos) >= ring->params.n_pictures)
			return false;
	}
	return true;
}

enum lvx_status lvx_ring_write_picture(struct lvx_ring *ring, const uint8_t *rgb, int64_t pts_us)
{
	if (!ring->picture_words)
		return LVX_EUNSUPPORTED;
	uint64_t head = atomic_load_explicit(&ring->pic_head, memory_order_relaxed);
	if (ring->params.mode == LVX_RING_PACED) {
		ring->pic_seen = atomic_load(&ring->progress);
		if (!picture_room(ring, head))
			return LVX_AGAIN;
	}
	size_t slot = head % ring->params.n_pictures;
	_Atomic uint64_t *to = ring->pictures + slot * ring->picture_words;
	size_t bytes = (size_t)ring->params.picture_width * ring->params.picture_height * 3;

	atomic_store_explicit(&ring->pic_reserve, head + 1, memory_order_relaxed);
	atomic_store_explicit(&ring->picture_pts[slot], pts_us, memory_order_release);
	for (size_t i = 0; i < ring->picture_words; i++) {
		uint64_t word = 0;
		size_t left = bytes - i * 8;
		memcpy(&word, rgb + i * 8, left < 8 ? left : 8);
		atomic_store_explicit(&to[i], word, memory_order_release);
	}
	atomic_store_explicit(&ring->pic_head, head + 1, memory_order_release);
	ring_bell(ring);
	return LVX_OK;
}

void lvx_ring_finish(struct lvx_ring *ring)
{
	atomic_store_explicit(&ring->finished, true, memory_order_release);
	ring_bell(ring);
}

void lvx_ring_get_stats(const struct lvx_ring *ring, struct lvx_ring_stats *out)
{
	*out = (struct lvx_ring_stats){
		.samples_written = atomic_load(&ring->head),
		.pictures_written = atomic_load(&ring->pic_head),
		.n_gaps = atomic_load(&ring->n_gaps),
		.gap_us = atomic_load(&ring->gap_us),
		.n_jumps_back = atomic_load(&ring->n_jumps_back),
		.overruns = atomic_load(&ring->overruns_closed),
		.pictures_lost = atomic_load(&ring->pictures_lost),
	};
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++)
		out->overruns += atomic_load(&ring->cursors[i].overruns);
}

/* ---- cursors ---- */

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
	wake_producer(ring);
}

void lvx_cursor_follow_pictures(struct lvx_cursor *cursor)
{
	atomic_store(&cursor->follows_pictures, true);
}

static void move_to(struct lvx_cursor *c, uint64_t pos)
{
	atomic_store(&c->pos, pos);
	wake_producer(c->ring);
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
		int64_t here = c->anchor_pts_us + span_us(ring, pos - c->anchor_index);
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
		c->read_end_us = c->anchor_pts_us + span_us(ring, pos + take - c->anchor_index);
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
		wake_producer(ring);
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
