/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of one stream: opens it, sleeps, closes it. */
#include "daemon/hub_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { SILENCE_TICK_US = 500000 };

/* ---- callbacks ---- */

/* Model thread. */
static void on_event(void *user, const struct lvx_event *event)
{
	struct lvx_hub_stream *s = user;
	int64_t latency_us = -1;
	if (event->kind == LVX_EVENT_WORD)
		latency_us = lvx_stream_latency_us(s->inner, event->end_us);
	lvx_hub_log_event(s, event, latency_us);
	lvx_hub_news(s->hub);
}

/* Any thread. */
static void on_state(void *user, enum lvx_source_state state, const char *msg)
{
	struct lvx_hub_stream *s = user;
	lvx_hub_log_state(s, state, msg);
	lvx_hub_news(s->hub);
}

/* Any thread. */
static void on_room(void *user)
{
	struct lvx_hub_stream *s = user;
	lvx_hub_news(s->hub);
}

/* ---- the keeper ---- */

static enum lvx_status open_stream(struct lvx_hub_stream *s, struct lvx_error *err)
{
	struct lvx_source_params source = {
		.uri = s->spec.uri,
		.pace = s->spec.pace,
		.audio_track = s->spec.audio_track,
		.channel = s->spec.channel,
		.stall_us = s->spec.stall_us,
		.give_up_us = s->spec.give_up_us,
		.live = s->spec.live,
	};
	struct lvx_stream_params params = {
		.source = s->spec.uri ? &source : NULL,
		.push = s->spec.uri ? NULL : &s->spec.push,
		.translate_to = s->spec.translate_to,
		.language = s->spec.language,
		.delay_slots = s->spec.delay_slots,
		.prefix = s->spec.prefix,
		.prefix_is_terms = s->spec.prefix_is_terms,
		.glossary = s->spec.glossary,
		.live = s->spec.live,
		.units = s->units,
	};
	pthread_mutex_lock(&s->lock);
	params.lanes = s->lanes;
	pthread_mutex_unlock(&s->lock);
	struct lvx_stream_callbacks cb = {
		.user = s, .on_event = on_event, .on_state = on_state, .on_room = on_room};
	enum lvx_status st = lvx_stream_open(&s->inner, s->hub->params.engine, &params, &cb, err);
	if (st != LVX_OK)
		return st;
	pthread_mutex_lock(&s->handle_lock);
	s->handle = s->inner;
	/* What was asked for meanwhile. */
	if (s->finish_wanted)
		lvx_stream_push_finish(s->handle);
	pthread_mutex_lock(&s->lock);
	uint32_t lanes = s->lanes;
	pthread_mutex_unlock(&s->lock);
	if (lanes != params.lanes)
		lvx_stream_set_lanes(s->handle, lanes);
	pthread_mutex_unlock(&s->handle_lock);
	return LVX_OK;
}

static bool is_close_wanted(struct lvx_hub_stream *s)
{
	pthread_mutex_lock(&s->lock);
	bool wanted = s->close_wanted;
	pthread_mutex_unlock(&s->lock);
	return wanted;
}

/* Streams that were admitted in the place of one that still closes wait here for
 * its row. False: the stream is to be closed before it was open. */
static bool take_row(struct lvx_hub_stream *s)
{
	struct lvx_hub *hub = s->hub;
	pthread_mutex_lock(&hub->lock);
	while (hub->n_rows_taken >= hub->params.max_streams && !is_close_wanted(s))
		pthread_cond_wait(&hub->row_free, &hub->lock);
	bool taken = !is_close_wanted(s);
	hub->n_rows_taken += taken;
	pthread_mutex_unlock(&hub->lock);
	return taken;
}

static void give_row(struct lvx_hub_stream *s)
{
	pthread_mutex_lock(&s->hub->lock);
	s->hub->n_rows_taken--;
	pthread_cond_broadcast(&s->hub->row_free);
	pthread_mutex_unlock(&s->hub->lock);
}

static void close_stream(struct lvx_hub_stream *s)
{
	struct lvx_stream_stats stats;
	pthread_mutex_lock(&s->handle_lock);
	s->handle = NULL;
	pthread_mutex_unlock(&s->handle_lock);
	lvx_stream_get_stats(s->inner, &stats);
	lvx_stream_close(s->inner);
	pthread_mutex_lock(&s->lock);
	s->last_stats = stats;
	pthread_mutex_unlock(&s->lock);
}

static const char *end_reason(struct lvx_hub_stream *s) /* {s->lock} */
{
	if (s->close_reason)
		return s->close_reason;
	if (s->state == LVX_SOURCE_FAILED)
		return "failed";
	return s->vanished ? "vanished" : "ended";
}

/* For at most so long (-1: for ever), unless there is something to do. False: it is over. */
static bool wait_for_news(struct lvx_hub_stream *s, int64_t wait_us)
{
	int64_t until_us = lvx_now_us() + wait_us;
	struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};
	pthread_mutex_lock(&s->lock);
	bool over = s->close_wanted || (s->row_ended && lvx_hub_further_ended(s));
	if (!over && !s->further_changed) {
		if (wait_us < 0)
			pthread_cond_wait(&s->changed, &s->lock);
		else
			pthread_cond_clockwait(&s->changed, &s->lock, CLOCK_MONOTONIC, &until);
	}
	s->further_changed = false;
	pthread_mutex_unlock(&s->lock);
	return !over;
}

/* What is heard in real time and is silent for too long is told, and when that is over. In so
 * many µs to look again; -1: never. */
static int64_t watch_silence(struct lvx_hub_stream *s)
{
	struct lvx_stream_stats stats;
	int64_t limit_us = s->spec.dead_air_us;
	if (limit_us <= 0)
		return -1;
	lvx_stream_get_stats(s->inner, &stats);
	bool silent = stats.ring.silent_us >= limit_us;
	if (stats.start_wall_us > 0 && silent != s->dead_air) {
		if (silent)
			lvx_log_warn("stream %s: dead air: silent for %.1f s", s->id,
				(double)stats.ring.silent_us / 1e6);
		else
			lvx_log_info("stream %s: no dead air any more", s->id);
		s->dead_air = silent;
		lvx_hub_log_dead_air(s, !silent, stats.ring.silent_us);
		lvx_hub_news(s->hub);
	}
	return SILENCE_TICK_US;
}

/* The sooner of two times to wait, of which -1 is for ever. */
static int64_t sooner(int64_t a, int64_t b)
{
	return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* Opens the stream, waits for its end and closes it. */
static void run(struct lvx_hub_stream *s)
{
	struct lvx_error err = {0};
	if (!take_row(s))
		return;
	if (open_stream(s, &err) == LVX_OK) {
		lvx_hub_news(s->hub); /* a pusher may wait for this */
		while (wait_for_news(s, sooner(lvx_hub_further_work(s), watch_silence(s))))
			;
		lvx_hub_further_close(s);
		close_stream(s);
	} else {
		lvx_hub_log_state(s, LVX_SOURCE_FAILED, err.msg);
	}
	give_row(s);
}

void *lvx_hub_keeper(void *arg)
{
	struct lvx_hub_stream *s = arg;
	struct lvx_hub *hub = s->hub;
	if (hub->on_open)
		hub->on_open(hub->on_open_user, s);
	lvx_hub_log_state(s, LVX_SOURCE_STARTING, "");
	run(s);
	lvx_units_finish(s->units);
	pthread_mutex_lock(&s->lock);
	const char *reason = end_reason(s);
	bool failed = s->state == LVX_SOURCE_FAILED;
	char message[sizeof(s->message)];
	memcpy(message, s->message, sizeof(message));
	uint64_t words = s->last_stats.words;
	pthread_mutex_unlock(&s->lock);
	if (failed)
		lvx_log_warn("stream %s failed: %s", s->id, message);
	else
		lvx_log_info("stream %s: %s after %" PRIu64 " words", s->id, reason, words);
	/* There is room again before anybody learns that the stream has ended. */
	pthread_mutex_lock(&hub->lock);
	lvx_hub_uncount(s);
	pthread_mutex_unlock(&hub->lock);
	lvx_hub_log_end(s, reason);
	pthread_mutex_lock(&s->lock);
	s->keeper_ended = true;
	pthread_mutex_unlock(&s->lock);
	lvx_hub_news(hub);
	lvx_hub_unref(s);
	return NULL;
}
