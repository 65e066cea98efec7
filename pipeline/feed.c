/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/feed.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Pictures are let through this much before their time, so that they are there
 * when the sound of their slot is. */
static const int64_t picture_lead_us = 400000;
/* Sound waits no longer than this for pictures that do not come (a slide show). */
static const int64_t patience_paced_us = 500000;
static const int64_t patience_us = 5000000;
static const int64_t leap_us = 60000000;
/* A track of sound that brings nothing for so long counts as none for now. */
static const int64_t sound_idle_us = 3000000;
static const int64_t poll_us = 50000;
/* Readers with less sound than this wait for more before they take a picture; those that have
 * more are only slow. */
static const int64_t starving_us = 250000;

enum { SILENCE = 1600, STARVED_POLLS = 5 };

struct lvx_feed {
	struct lvx_ring *ring;
	struct lvx_ring_params rp;
	bool pace, one_thread;
	struct lvx_pcm *pcm;	   /* sound's thread */
	struct lvx_scaler *scaler; /* pictures' thread; NULL: no pictures */
	bool have_picture;	   /* pictures' thread */
	int64_t last_picture_us;

	_Atomic bool interrupted;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* whatever someone inside waits for */
	/* {lock} */
	bool sound, pictures;	/* there are (still) such */
	bool sound_inside, sound_idle; /* its thread is in here; it brings nothing */
	int64_t sound_local_us; /* when it came last */
	bool frontier_known, frontier_idle;
	int64_t frontier_us;	/* PTS of the picture in hand: none before it will come */
	bool origin_known;
	int64_t origin_us;	/* local time of the timeline's 0 */

	pthread_mutex_t write_lock; /* the ring's one producer of samples */
	/* {write_lock} */
	bool wrote;
	int64_t end_us; /* of what was written */
};

static enum lvx_status emit(void *user, const float *pcm, size_t n, int64_t pts_us);

enum lvx_status lvx_feed_create(
	struct lvx_feed **out, const struct lvx_feed_params *params, struct lvx_error *err)
{
	struct lvx_feed *feed = calloc(1, sizeof(*feed));
	if (!feed)
		return lvx_fail(err, LVX_ENOMEM, "source: out of memory");
	feed->ring = params->ring;
	feed->pace = params->pace;
	feed->one_thread = params->one_thread;
	lvx_ring_get_params(params->ring, &feed->rp);
	enum lvx_status st = lvx_pcm_create(
		&feed->pcm, feed->rp.sample_rate, params->channel, emit, feed, err);
	if (st == LVX_OK && feed->rp.n_pictures)
		st = lvx_scaler_create(&feed->scaler, feed->rp.picture_width,
			feed->rp.picture_height, err);
	if (st != LVX_OK) {
		lvx_pcm_destroy(feed->pcm);
		free(feed);
		return st;
	}
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&feed->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&feed->lock, NULL);
	pthread_mutex_init(&feed->write_lock, NULL);
	*out = feed;
	return LVX_OK;
}

void lvx_feed_destroy(struct lvx_feed *feed)
{
	if (!feed)
		return;
	lvx_pcm_destroy(feed->pcm);
	lvx_scaler_destroy(feed->scaler);
	pthread_cond_destroy(&feed->changed);
	pthread_mutex_destroy(&feed->lock);
	pthread_mutex_destroy(&feed->write_lock);
	free(feed);
}

void lvx_feed_interrupt(struct lvx_feed *feed, bool on)
{
	pthread_mutex_lock(&feed->lock);
	atomic_store(&feed->interrupted, on);
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

void lvx_feed_set_media(struct lvx_feed *feed, bool sound, bool pictures)
{
	pthread_mutex_lock(&feed->lock);
	feed->sound = sound;
	feed->pictures = pictures && feed->scaler;
	feed->frontier_known = false;
	feed->sound_idle = false;
	feed->sound_local_us = lvx_now_us();
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

/* Waits for a change until the local time. False: that time is reached. {lock} */
static bool wait_until(struct lvx_feed *feed, int64_t local_us)
{
	struct timespec ts = {.tv_sec = local_us / 1000000, .tv_nsec = local_us % 1000000 * 1000};
	return pthread_cond_timedwait(&feed->changed, &feed->lock, &ts) == 0;
}

/* Waits until the local clock has come to pts_us. */
static enum lvx_status wait_time(struct lvx_feed *feed, int64_t pts_us)
{
	if (!feed->pace)
		return LVX_OK;
	pthread_mutex_lock(&feed->lock);
	if (!feed->origin_known) {
		feed->origin_known = true;
		feed->origin_us = lvx_now_us() - pts_us;
	}
	int64_t due_us = feed->origin_us + pts_us;
	while (!atomic_load(&feed->interrupted) && lvx_now_us() < due_us)
		wait_until(feed, due_us);
	pthread_mutex_unlock(&feed->lock);
	return atomic_load(&feed->interrupted) ? LVX_END : LVX_OK;
}

/* Waits until no picture before end_us can come any more. */
static enum lvx_status wait_frontier(struct lvx_feed *feed, int64_t end_us)
{
	if (feed->rp.mode != LVX_RING_PACED || feed->one_thread)
		return LVX_OK;
	pthread_mutex_lock(&feed->lock);
	int64_t until_us = lvx_now_us() + (feed->pace ? patience_paced_us : patience_us);
	while (!atomic_load(&feed->interrupted) && feed->pictures && !feed->frontier_idle &&
		(!feed->frontier_known || feed->frontier_us < end_us)) {
		if (!wait_until(feed, until_us)) {
			feed->frontier_idle = true; /* till the next picture */
			break;
		}
	}
	pthread_mutex_unlock(&feed->lock);
	return atomic_load(&feed->interrupted) ? LVX_END : LVX_OK;
}

static void set_frontier(struct lvx_feed *feed, int64_t pts_us)
{
	pthread_mutex_lock(&feed->lock);
	feed->frontier_known = true;
	feed->frontier_idle = false;
	feed->frontier_us = pts_us;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
}

static enum lvx_status write_samples(
	struct lvx_feed *feed, const float *pcm, size_t n, int64_t pts_us)
{
	while (n > 0) {
		size_t written;
		pthread_mutex_lock(&feed->write_lock);
		enum lvx_status st = lvx_ring_write(feed->ring, pcm, n, pts_us, &written);
		if (written) {
			pts_us += (int64_t)written * 1000000 / feed->rp.sample_rate;
			feed->wrote = true;
			feed->end_us = pts_us;
		}
		pthread_mutex_unlock(&feed->write_lock);
		pcm += written;
		n -= written;
		if (atomic_load(&feed->interrupted))
			return LVX_END;
		if (st == LVX_AGAIN && !lvx_ring_wait_room(feed->ring, poll_us))
			return LVX_END;
	}
	return LVX_OK;
}

static enum lvx_status emit(void *user, const float *pcm, size_t n, int64_t pts_us)
{
	struct lvx_feed *feed = user;
	int64_t end_us = pts_us + (int64_t)n * 1000000 / feed->rp.sample_rate;
	enum lvx_status st = wait_frontier(feed, end_us);
	if (st == LVX_OK)
		st = wait_time(feed, end_us);
	if (st == LVX_OK)
		st = write_samples(feed, pcm, n, pts_us);
	return st;
}

enum lvx_status lvx_feed_sound(struct lvx_feed *feed, const struct lvx_pcm_format *format,
	const float *interleaved, size_t frames, int64_t pts_us)
{
	if (atomic_load(&feed->interrupted))
		return LVX_END;
	pthread_mutex_lock(&feed->lock);
	feed->sound_inside = true;
	feed->sound_idle = false;
	pthread_mutex_unlock(&feed->lock);
	enum lvx_status st = lvx_pcm_push(feed->pcm, format, interleaved, frames, pts_us);
	pthread_mutex_lock(&feed->lock);
	feed->sound_inside = false;
	feed->sound_local_us = lvx_now_us();
	pthread_mutex_unlock(&feed->lock);
	return st;
}

void lvx_feed_end_sound(struct lvx_feed *feed)
{
	lvx_pcm_flush(feed->pcm);
	pthread_mutex_lock(&feed->lock);
	feed->sound = false;
	pthread_mutex_unlock(&feed->lock);
}

/* Without sound, the pictures' clock makes slots: silence up to pts_us. */
static enum lvx_status fill_silence(struct lvx_feed *feed, int64_t pts_us)
{
	static const float silence[SILENCE];
	pthread_mutex_lock(&feed->write_lock);
	/* A leap of the pictures' own clock is a gap, not hours of silence. */
	if (!feed->wrote || pts_us - feed->end_us > leap_us || feed->end_us - pts_us > leap_us)
		feed->end_us = pts_us;
	feed->wrote = true;
	int64_t at_us = feed->end_us;
	pthread_mutex_unlock(&feed->write_lock);
	int64_t n = (pts_us - at_us) * feed->rp.sample_rate / 1000000;
	while (n > 0) {
		size_t part = n < SILENCE ? (size_t)n : SILENCE;
		enum lvx_status st = write_samples(feed, silence, part, at_us);
		if (st != LVX_OK)
			return st;
		n -= (int64_t)part;
		at_us += (int64_t)part * 1000000 / feed->rp.sample_rate;
	}
	return LVX_OK;
}

/* Whether sound makes the slots at pts_us: it may be so much behind, and bring nothing so long. */
static bool has_sound(struct lvx_feed *feed, int64_t pts_us, int64_t behind_us, int64_t patience)
{
	pthread_mutex_lock(&feed->write_lock);
	bool behind = !feed->wrote || pts_us - feed->end_us > behind_us;
	pthread_mutex_unlock(&feed->write_lock);
	pthread_mutex_lock(&feed->lock);
	if (behind && !feed->sound_inside && lvx_now_us() - feed->sound_local_us > patience)
		feed->sound_idle = true;
	bool sound = feed->sound && !feed->sound_idle;
	pthread_mutex_unlock(&feed->lock);
	return sound;
}

bool lvx_feed_wants_picture(const struct lvx_feed *feed, int64_t pts_us)
{
	if (!feed->scaler)
		return false;
	int64_t since = pts_us - feed->last_picture_us;
	return !feed->have_picture || since < 0 || since >= LVX_FEED_PICTURE_INTERVAL_US;
}

enum lvx_status lvx_feed_picture(
	struct lvx_feed *feed, const struct lvx_picture *picture, int64_t pts_us)
{
	if (atomic_load(&feed->interrupted))
		return LVX_END;
	if (!lvx_feed_wants_picture(feed, pts_us))
		return LVX_OK;
	const uint8_t *rgb = lvx_scaler_run(feed->scaler, picture);
	if (!rgb)
		return LVX_EUNSUPPORTED;
	feed->have_picture = true;
	feed->last_picture_us = pts_us;
	set_frontier(feed, pts_us);

	bool sound = has_sound(feed, pts_us, sound_idle_us, sound_idle_us);
	enum lvx_status st = wait_time(feed, sound ? pts_us - picture_lead_us : pts_us);
	/* The silence first: then no slot that this picture is in is whole yet. */
	if (st == LVX_OK && !sound)
		st = fill_silence(feed, pts_us);
	/* Counted, not timed: a machine that stands still says nothing about its readers. */
	int polls = 0;
	const uint64_t starving = (uint64_t)(starving_us * feed->rp.sample_rate / 1000000);
	uint64_t unread = lvx_ring_unread(feed->ring);
	while (st == LVX_OK) {
		enum lvx_status w = lvx_ring_write_picture(feed->ring, rgb, pts_us);
		if (w != LVX_AGAIN)
			break;
		if (!lvx_ring_wait_picture_room(feed->ring, poll_us) ||
			atomic_load(&feed->interrupted))
			return LVX_END;
		/* The sound that its readers wait for may be behind us. */
		uint64_t n = lvx_ring_unread(feed->ring);
		polls = n == unread && n < starving ? polls + 1 : 0;
		unread = n;
		if (feed->one_thread && polls > STARVED_POLLS)
			break;
		/* Its readers wait for sound; if that waits for us, nothing ever moves. */
		if (!feed->one_thread && !has_sound(feed, pts_us, 0, sound_idle_us / 2))
			st = fill_silence(feed, pts_us);
	}
	return st;
}

void lvx_feed_end_pictures(struct lvx_feed *feed, int64_t end_us)
{
	pthread_mutex_lock(&feed->lock);
	bool sound = feed->sound && !feed->sound_idle;
	feed->pictures = false;
	pthread_cond_broadcast(&feed->changed);
	pthread_mutex_unlock(&feed->lock);
	if (feed->have_picture && !sound && !atomic_load(&feed->interrupted))
		fill_silence(feed, end_us);
}
