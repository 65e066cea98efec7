/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way into the ring for every source: mixes, resamples and scales; paces
 * by the clock; keeps sound from running ahead of pictures where the ring waits
 * for its readers (so that which slot a picture falls into does not depend on
 * the scheduler); writes silence along the pictures where there is no sound.
 *
 * Threads: sound from one, pictures from another (or the same); interrupt and
 * the setters from any.
 */
#ifndef LVX_PIPELINE_FEED_H
#define LVX_PIPELINE_FEED_H

#include "pipeline/pcm.h"
#include "pipeline/picture.h"
#include "pipeline/ring.h"

#include <stdbool.h>
#include <stdint.h>

/* Decoded pictures closer than this are not worth converting. */
enum { LVX_FEED_PICTURE_INTERVAL_US = 190000 };

struct lvx_feed;

struct lvx_feed_params {
	struct lvx_ring *ring; /* borrowed */
	int channel;	       /* -1: mix down */
	bool pace;	       /* by the clock: nothing is written before its time */
	bool one_thread;       /* both media come from one: neither waits for the other */
};

enum lvx_status lvx_feed_create(
	struct lvx_feed **out, const struct lvx_feed_params *params, struct lvx_error *err);
void lvx_feed_destroy(struct lvx_feed *feed); /* NULL is fine; no one may be inside */

/* What the source has. Neither is there before the first call. */
void lvx_feed_set_media(struct lvx_feed *feed, bool sound, bool pictures);
/*
 * Both may block (for time, for room, for the other). LVX_END: interrupted or
 * the ring was cancelled. Sound: LVX_EINVAL: no such channel. Pictures:
 * LVX_EUNSUPPORTED: no such pixel format.
 */
enum lvx_status lvx_feed_sound(struct lvx_feed *feed, const struct lvx_pcm_format *format,
	const float *interleaved, size_t frames, int64_t pts_us);
enum lvx_status lvx_feed_picture(
	struct lvx_feed *feed, const struct lvx_picture *picture, int64_t pts_us);
/* Whether a picture of that time would be taken. The pictures' thread. */
bool lvx_feed_wants_picture(const struct lvx_feed *feed, int64_t pts_us);
/* No more sound (pictures) from here on, or until set_media: writes what is
 * held back. Their threads. */
void lvx_feed_end_sound(struct lvx_feed *feed);
void lvx_feed_end_pictures(struct lvx_feed *feed, int64_t end_us);

/* While on: whoever waits inside returns LVX_END. */
void lvx_feed_interrupt(struct lvx_feed *feed, bool on);

#endif
