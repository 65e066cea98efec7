/* SPDX-License-Identifier: Apache-2.0 */
/* What push.c (queue, thread, raw PCM) and push_av.c (containers) share. */
#ifndef LVX_PIPELINE_PUSH_PRIV_H
#define LVX_PIPELINE_PUSH_PRIV_H

#include "pipeline/feed.h"
#include "pipeline/source_priv.h"
#include "pipeline/timeline.h"

#include <pthread.h>
#include <stdatomic.h>

struct lvx_push {
	struct lvx_push_params params;
	struct lvx_ring *ring; /* borrowed */
	struct lvx_feed *feed;
	struct lvx_state_teller teller; /* decoding thread's */
	struct lvx_source_callbacks cb;
	pthread_t thread;
	void (*on_room)(void *user);
	void *room_user;

	pthread_mutex_t lock;
	pthread_cond_t more;
	/* {lock} bytes not yet decoded */
	uint8_t *queue; /* [capacity], circular */
	size_t capacity, first, used;
	bool finished;	/* no more will come */
	bool told_full; /* the caller waits for room */
	bool over;	/* the thread takes no more */
	_Atomic bool aborted;

	_Atomic uint64_t wraps, jumps, decode_errors;
};

/*
 * Up to n bytes (at least one) as soon as there are any; 0: the end; -1:
 * aborted. Tells STALLED and LIVE. Decoding thread.
 */
long lvx_push_read(struct lvx_push *push, uint8_t *out, size_t n);

/* push_av.c: demuxes and decodes till the end. False: *err says why it failed. */
bool lvx_push_run_av(struct lvx_push *push, struct lvx_error *err);

#endif
