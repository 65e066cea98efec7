/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed media: the byte queue between caller and decoding thread; raw PCM. */
#include "pipeline/push_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QUEUE_DEFAULT = 4 << 20, QUEUE_MIN = 64 << 10, QUEUE_MAX = 256 << 20, READ = 8192 };
static const int64_t stall_us = 5000000;

/* ---- queue ---- */

enum lvx_status lvx_push_write(
	struct lvx_push *p, const uint8_t *data, size_t len, size_t *taken)
{
	pthread_mutex_lock(&p->lock);
	*taken = 0;
	if (p->over || p->finished) {
		pthread_mutex_unlock(&p->lock);
		return LVX_END;
	}
	size_t n = p->capacity - p->used;
	if (n > len)
		n = len;
	size_t at = (p->first + p->used) % p->capacity;
	size_t part = n < p->capacity - at ? n : p->capacity - at;
	if (n) {
		memcpy(p->queue + at, data, part);
		memcpy(p->queue, data + part, n - part);
		p->used += n;
	}
	p->told_full = n < len;
	*taken = n;
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
	return n < len ? LVX_AGAIN : LVX_OK;
}

/* Waits for bytes, the end or an abort. False: the time is over. {lock} */
static bool wait_more(struct lvx_push *p, int64_t until_us)
{
	struct timespec ts = {.tv_sec = until_us / 1000000, .tv_nsec = until_us % 1000000 * 1000};
	while (p->used == 0 && !p->finished && !atomic_load(&p->aborted))
		if (pthread_cond_timedwait(&p->more, &p->lock, &ts) != 0)
			return p->used != 0;
	return true;
}

long lvx_push_read(struct lvx_push *p, uint8_t *out, size_t n)
{
	pthread_mutex_lock(&p->lock);
	while (!wait_more(p, lvx_now_us() + stall_us)) {
		pthread_mutex_unlock(&p->lock);
		if (p->teller.state == LVX_SOURCE_LIVE)
			lvx_tell_state(&p->teller, LVX_SOURCE_STALLED, "%s", "");
		pthread_mutex_lock(&p->lock);
	}
	if (atomic_load(&p->aborted)) {
		pthread_mutex_unlock(&p->lock);
		return -1;
	}
	if (n > p->used)
		n = p->used;
	size_t part = n < p->capacity - p->first ? n : p->capacity - p->first;
	memcpy(out, p->queue + p->first, part);
	memcpy(out + part, p->queue, n - part);
	p->first = (p->first + n) % p->capacity;
	p->used -= n;
	bool room = p->told_full && p->used <= p->capacity / 2;
	if (room)
		p->told_full = false;
	pthread_mutex_unlock(&p->lock);
	if (room && p->on_room)
		p->on_room(p->room_user);
	if (n && p->teller.state == LVX_SOURCE_STALLED)
		lvx_tell_state(&p->teller, LVX_SOURCE_LIVE, "%s", "");
	return (long)n;
}

/* ---- raw PCM ---- */

static void to_float(const uint8_t *in, size_t values, enum lvx_push_format format, float *out)
{
	for (size_t i = 0; i < values; i++) {
		if (format == LVX_PUSH_S16LE) {
			int16_t v = (int16_t)(uint16_t)(in[2 * i] | in[2 * i + 1] << 8);
			out[i] = (float)v / 32768.0f;
		} else {
			uint32_t v = (uint32_t)in[4 * i] | (uint32_t)in[4 * i + 1] << 8 |
				     (uint32_t)in[4 * i + 2] << 16 | (uint32_t)in[4 * i + 3] << 24;
			memcpy(&out[i], &v, sizeof(v));
		}
	}
}

static bool run_pcm(struct lvx_push *p, struct lvx_error *err)
{
	struct lvx_pcm_format format = {
		.rate = p->params.sample_rate,
		.channels = p->params.channels,
	};
	lvx_pcm_default_roles(&format);
	size_t width = p->params.format == LVX_PUSH_S16LE ? 2 : 4;
	size_t frame = width * format.channels;
	uint8_t bytes[READ];
	float pcm[READ / 2];
	size_t held = 0; /* bytes of a frame that has not all come */
	uint64_t frames = 0;
	lvx_feed_set_media(p->feed, true, false);
	for (;;) {
		long n = lvx_push_read(p, bytes + held, READ - held);
		if (n <= 0) {
			if (held)
				lvx_log_info("push: %zu bytes of a sample at the end", held);
			return true;
		}
		lvx_tell_state(&p->teller, LVX_SOURCE_LIVE, "%s", "");
		held += (size_t)n;
		size_t whole = held / frame;
		to_float(bytes, whole * format.channels, p->params.format, pcm);
		int64_t pts_us = (int64_t)(frames * 1000000 / format.rate);
		enum lvx_status st = lvx_feed_sound(p->feed, &format, pcm, whole, pts_us);
		if (st == LVX_END)
			return true;
		if (st != LVX_OK) {
			lvx_fail(err, st, "push: %s", lvx_status_name(st));
			return false;
		}
		frames += whole;
		held -= whole * frame;
		memmove(bytes, bytes + whole * frame, held);
	}
}

/* ---- life ---- */

static void *decode(void *user)
{
	struct lvx_push *p = user;
	struct lvx_error err = {0};
	lvx_tell_state(&p->teller, LVX_SOURCE_STARTING, "%s", "");
	bool ok = p->params.format == LVX_PUSH_CONTAINER ? lvx_push_run_av(p, &err)
							 : run_pcm(p, &err);
	pthread_mutex_lock(&p->lock);
	p->over = true;
	bool room = p->told_full;
	pthread_mutex_unlock(&p->lock);
	if (!atomic_load(&p->aborted)) {
		lvx_feed_set_media(p->feed, false, false);
		lvx_feed_end_sound(p->feed);
	}
	lvx_ring_finish(p->ring);
	if (ok)
		lvx_tell_state(&p->teller, LVX_SOURCE_ENDED, "%s", "");
	else
		lvx_tell_state(&p->teller, LVX_SOURCE_FAILED, "%s", err.msg);
	/* Who waits for room shall come and see that it is over. */
	if (room && p->on_room)
		p->on_room(p->room_user);
	return NULL;
}

static enum lvx_status check(const struct lvx_push_params *pp, struct lvx_error *err)
{
	if (pp->format == LVX_PUSH_CONTAINER)
		return LVX_OK;
	if (pp->format != LVX_PUSH_S16LE && pp->format != LVX_PUSH_F32LE)
		return lvx_fail(err, LVX_EINVAL, "push: no such format");
	if (pp->sample_rate < 8000 || pp->sample_rate > 192000)
		return lvx_fail(err, LVX_EINVAL, "push: sample rate %u is not in 8000..192000",
			pp->sample_rate);
	if (pp->channels < 1 || pp->channels > 8)
		return lvx_fail(
			err, LVX_EINVAL, "push: %u channels; want 1 to 8", pp->channels);
	if (pp->channel < -1 || pp->channel >= (int)pp->channels)
		return lvx_fail(err, LVX_EINVAL, "push: there is no channel %d of %u", pp->channel,
			pp->channels);
	return LVX_OK;
}

static void release(struct lvx_push *p)
{
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	lvx_feed_destroy(p->feed);
	free(p->queue);
	free(p);
}

enum lvx_status lvx_push_open(struct lvx_push **out, const struct lvx_push_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err)
{
	enum lvx_status st = check(params, err);
	if (st != LVX_OK)
		return st;
	struct lvx_push *p = calloc(1, sizeof(*p));
	if (!p)
		return lvx_fail(err, LVX_ENOMEM, "push: out of memory");
	p->params = *params;
	p->ring = ring;
	p->cb = *cb;
	p->teller.cb = *cb;
	p->capacity = params->queue_bytes ? params->queue_bytes : QUEUE_DEFAULT;
	if (p->capacity < QUEUE_MIN)
		p->capacity = QUEUE_MIN;
	if (p->capacity > QUEUE_MAX)
		p->capacity = QUEUE_MAX;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->more, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&p->lock, NULL);
	p->queue = malloc(p->capacity);
	if (!p->queue)
		st = lvx_fail(err, LVX_ENOMEM, "push: out of memory");
	struct lvx_feed_params fp = {
		.ring = ring,
		.channel = params->channel,
		.one_thread = true,
	};
	if (st == LVX_OK)
		st = lvx_feed_create(&p->feed, &fp, err);
	if (st == LVX_OK && pthread_create(&p->thread, NULL, decode, p) != 0)
		st = lvx_fail(err, LVX_EIO, "push: cannot start a thread");
	if (st != LVX_OK) {
		release(p);
		return st;
	}
	*out = p;
	return LVX_OK;
}

void lvx_push_set_room(struct lvx_push *p, void (*on_room)(void *user), void *user)
{
	pthread_mutex_lock(&p->lock);
	p->on_room = on_room;
	p->room_user = user;
	pthread_mutex_unlock(&p->lock);
}

void lvx_push_finish(struct lvx_push *p)
{
	pthread_mutex_lock(&p->lock);
	p->finished = true;
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
}

void lvx_push_close(struct lvx_push *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->aborted, true);
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
	lvx_ring_cancel(p->ring);
	lvx_feed_interrupt(p->feed, true);
	pthread_join(p->thread, NULL);
	release(p);
}

void lvx_push_get_stats(const struct lvx_push *p, struct lvx_source_stats *out)
{
	*out = (struct lvx_source_stats){
		.pts_wraps = atomic_load(&p->wraps),
		.pts_jumps = atomic_load(&p->jumps),
		.decode_errors = atomic_load(&p->decode_errors),
		.duration_us = -1,
	};
}
