/* SPDX-License-Identifier: Apache-2.0 */
/* The ring's life and its producer's side. The protocol is in ring_priv.h. */
#include "pipeline/ring_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	JUMP_US = 40000, /* less than this is jitter of timestamps */
	CAPACITY_MAX = 1 << 28,
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
	lvx_level_init(&ring->level, params->sample_rate);
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

void lvx_ring_wake_producer(struct lvx_ring *ring)
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
	lvx_ring_wake_producer(ring);
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

	int64_t expected = ring->anchor_pts_us + lvx_ring_span_us(ring, head - ring->anchor_index);
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
	lvx_level_add(&ring->level, pcm, todo);
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

uint64_t lvx_ring_unread(struct lvx_ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed), most = 0;
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++) {
		struct lvx_cursor *c = &ring->cursors[i];
		if (atomic_load(&c->state) != CURSOR_OPEN || !atomic_load(&c->blocking))
			continue;
		uint64_t held = head - atomic_load(&c->pos);
		if (held > most && held <= ring->capacity) /* more: it opened just now */
			most = held;
	}
	return most;
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
		.rms = atomic_load(&ring->level.last_rms),
		.peak = atomic_load(&ring->level.last_peak),
		.silent_us = atomic_load(&ring->level.silent_us),
	};
	for (int i = 0; i < LVX_RING_CURSORS_MAX; i++)
		out->overruns += atomic_load(&ring->cursors[i].overruns);
}
