/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/feed.h"

#include "clients/cli/cli.h"
#include "clients/cli/pace.h"

#include "base/bell.h"
#include "base/clock.h"
#include "pipeline/ring.h"
#include "pipeline/source.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 << 10, TICK_US = 20000, MIC_RATE = 16000, MIC_CHUNK = MIC_RATE / 50 };

struct feed {
	struct feed_params p;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t room;
	uint8_t buffer[BUFFER_BYTES]; /* {lock} a ring */
	size_t head, used;            /* {lock} */
	bool stop, end;               /* {lock} */
	char why[256];                /* {lock} */
	int fd;
	struct pace *pace;
	/* a microphone */
	struct lvx_bell *bell;
	struct lvx_ring *ring;
	struct lvx_cursor *cursor;
	struct lvx_source *source;
};

bool feed_is_mic(const char *what)
{
	return !strncmp(what, "mic:", 4);
}

static bool stopped(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	bool stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	return stop;
}

static void fail(struct feed *f, const char *why)
{
	pthread_mutex_lock(&f->lock);
	if (!f->why[0])
		snprintf(f->why, sizeof(f->why), "%s", why);
	pthread_mutex_unlock(&f->lock);
}

/* Feed's thread. False: stopped. */
static bool put(struct feed *f, const uint8_t *data, size_t len)
{
	while (len) {
		pthread_mutex_lock(&f->lock);
		while (f->used == BUFFER_BYTES && !f->stop)
			pthread_cond_wait(&f->room, &f->lock);
		if (f->stop) {
			pthread_mutex_unlock(&f->lock);
			return false;
		}
		size_t at = (f->head + f->used) % BUFFER_BYTES;
		size_t n = BUFFER_BYTES - f->used;
		if (n > BUFFER_BYTES - at)
			n = BUFFER_BYTES - at;
		if (n > len)
			n = len;
		memcpy(f->buffer + at, data, n);
		f->used += n;
		pthread_mutex_unlock(&f->lock);
		data += n;
		len -= n;
		f->p.wake(f->p.user);
	}
	return true;
}

size_t feed_take(struct feed *f, uint8_t *to, size_t max, bool *end, char why[256])
{
	pthread_mutex_lock(&f->lock);
	size_t n = f->used < BUFFER_BYTES - f->head ? f->used : BUFFER_BYTES - f->head;
	if (n > max)
		n = max;
	memcpy(to, f->buffer + f->head, n);
	f->head = (f->head + n) % BUFFER_BYTES;
	f->used -= n;
	*end = !n && f->end;
	if (*end)
		memcpy(why, f->why, sizeof(f->why));
	pthread_cond_signal(&f->room);
	pthread_mutex_unlock(&f->lock);
	return n;
}

void feed_stop(struct feed *f)
{
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->room);
	pthread_mutex_unlock(&f->lock);
	if (f->bell)
		lvx_bell_ring(f->bell);
}

/* Sends `want` bytes (-1: all that is left). False: stopped, or no more bytes. */
static bool copy(struct feed *f, int64_t want)
{
	uint8_t chunk[16384];
	while (want) {
		size_t len =
			want > 0 && want < (int64_t)sizeof(chunk) ? (size_t)want : sizeof(chunk);
		ssize_t n = read(f->fd, chunk, len);
		if (n < 0 && errno == EINTR && !stopped(f))
			continue;
		if (n < 0)
			fail(f, strerror(errno));
		if (n <= 0 || !put(f, chunk, (size_t)n))
			return false;
		if (want > 0)
			want -= n;
	}
	return true;
}

/* Waits in small steps, so that feed_stop() is soon heard. False: stopped. */
static bool wait_until(struct feed *f, int64_t when_us)
{
	int64_t left;
	while ((left = when_us - lvx_now_us()) > 0) {
		if (stopped(f))
			return false;
		lvx_sleep_us(left < TICK_US ? left : TICK_US);
	}
	return true;
}

static void feed_file(struct feed *f)
{
	int64_t begun = lvx_now_us(), offset, due, sent = 0;
	if (f->p.clock && f->p.format == FEED_CONTAINER) {
		while (pace_next(f->pace, &offset, &due) == LVX_OK) {
			if (!wait_until(f, begun + due) || !copy(f, offset - sent))
				return;
			sent = offset;
		}
	} else if (f->p.clock) {
		int64_t frame = (f->p.format == FEED_S16LE ? 2 : 4) * (int64_t)f->p.channels;
		for (int64_t tick = 1;; tick++) {
			due = tick * TICK_US * f->p.sample_rate / 1000000 * frame;
			if (!wait_until(f, begun + tick * TICK_US) || !copy(f, due - sent))
				return;
			sent = due;
		}
	}
	copy(f, -1);
}

static void feed_mic(struct feed *f)
{
	float pcm[MIC_CHUNK];
	size_t got;
	int64_t pts, resume;
	while (!stopped(f)) {
		enum lvx_status st =
			lvx_cursor_read(f->cursor, pcm, MIC_CHUNK, &got, &pts, &resume);
		if (st == LVX_AGAIN) {
			lvx_bell_wait(f->bell, 200000);
			continue;
		}
		if (st == LVX_OK)
			got = MIC_CHUNK;
		if (!put(f, (const uint8_t *)pcm, got * sizeof(*pcm)) || st == LVX_END)
			return;
	}
}

static void *run(void *user)
{
	struct feed *f = user;
	if (f->source)
		feed_mic(f);
	else
		feed_file(f);
	pthread_mutex_lock(&f->lock);
	f->end = true;
	pthread_mutex_unlock(&f->lock);
	f->p.wake(f->p.user);
	return NULL;
}

static void on_state(void *user, enum lvx_source_state state, const char *msg)
{
	struct feed *f = user;
	if (state == LVX_SOURCE_FAILED)
		fail(f, msg && *msg ? msg : "the microphone failed");
}

static enum lvx_status open_mic(struct feed *f, struct lvx_error *err)
{
	struct lvx_ring_params ring = {
		.sample_rate = MIC_RATE, .capacity_us = 10000000, .mode = LVX_RING_LIVE};
	struct lvx_source_params source = {.uri = f->p.what, .channel = -1, .live = true};
	struct lvx_source_callbacks cb = {.user = f, .on_state = on_state};
	enum lvx_status st;
	if ((st = lvx_bell_create(&f->bell, err)) != LVX_OK ||
		(st = lvx_ring_create(&f->ring, &ring, err)) != LVX_OK)
		return st;
	lvx_ring_set_bell(f->ring, f->bell);
	if ((st = lvx_cursor_open(&f->cursor, f->ring, false, err)) != LVX_OK)
		return st;
	return lvx_source_open(&f->source, &source, f->ring, &cb, err);
}

static enum lvx_status open_file(struct feed *f, struct lvx_error *err)
{
	bool in = !strcmp(f->p.what, "-");
	f->fd = in ? STDIN_FILENO : open(f->p.what, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0)
		return lvx_fail(err, LVX_ENOENT, "%s: %s", f->p.what, strerror(errno));
	if (!f->p.clock || f->p.format != FEED_CONTAINER)
		return LVX_OK;
	if (in)
		return lvx_fail(err, LVX_EUNSUPPORTED,
			"stdin comes at its own pace: --pace clock needs a file or --raw");
	return pace_open(&f->pace, f->p.what, err);
}

enum lvx_status feed_open(
	struct feed **out, const struct feed_params *params, struct lvx_error *err)
{
	struct feed *f = cli_alloc(sizeof(*f));
	f->p = *params;
	f->fd = -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->room, NULL);
	enum lvx_status st = feed_is_mic(params->what) ? open_mic(f, err) : open_file(f, err);
	if (st == LVX_OK && pthread_create(&f->thread, NULL, run, f))
		st = lvx_fail(err, LVX_ENOMEM, "cannot start a thread");
	if (st != LVX_OK) {
		feed_close(f);
		return st;
	}
	f->started = true;
	*out = f;
	return LVX_OK;
}

void feed_close(struct feed *f)
{
	if (!f)
		return;
	if (f->started) {
		feed_stop(f);
		pthread_join(f->thread, NULL);
	}
	lvx_source_close(f->source);
	lvx_cursor_close(f->cursor);
	if (f->ring)
		lvx_ring_destroy(f->ring);
	if (f->bell)
		lvx_bell_destroy(f->bell);
	pace_close(f->pace);
	if (f->fd > STDIN_FILENO)
		close(f->fd);
	pthread_cond_destroy(&f->room);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
