/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What ring.c (the producer's side) and cursor.c (the readers') share.
 *
 * Sound, anchors and pictures use one protocol, a seqlock over a free-running counter: the
 * producer announces how far it is about to write (reserve), stores the data
 * with release order, then publishes (head). A reader loads head, copies with
 * acquire order and looks at reserve afterwards: any datum that was overwritten
 * under its hands synchronises with the store of reserve before it, so a torn
 * copy is always seen and thrown away. No fences, so TSan can follow.
 *
 * The mutex and condition serve only a producer that waits for room.
 */
#ifndef LVX_PIPELINE_RING_PRIV_H
#define LVX_PIPELINE_RING_PRIV_H

#include "pipeline/level.h"
#include "pipeline/ring.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	ANCHORS = 256, /* jumps remembered; a power of two */
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
	struct lvx_level level; /* its atomics: any thread */

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

/* A reader moved, closed, or the ring was cancelled. */
void lvx_ring_wake_producer(struct lvx_ring *ring);

static inline int64_t lvx_ring_span_us(const struct lvx_ring *ring, uint64_t samples)
{
	return (int64_t)(samples * 1000000 / ring->params.sample_rate);
}

#endif
