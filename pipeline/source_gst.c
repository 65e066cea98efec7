/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of a GStreamer source. One supervisor thread builds a pipeline, watches
 * its bus and the flow of data, and where a live source is lost tears it down
 * and builds another after a back-off. It alone tells states.
 */
#include "pipeline/source_gst.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t stall_default_us = 5000000;
static const int64_t first_data_us = 15000000; /* a connection may take this long */
static const int64_t first_data_file_us = 3000000;
static const int64_t backoff_first_us = 500000, backoff_max_us = 30000000;
static const int64_t lost_end_us = 2000000;
enum { LOST_END_LOOKS = 50 }; /* and not the time alone: the machine may have stood still */
static const int64_t healthy_us = 10000000; /* live so long: the next loss is a new one */
enum { FIRST_TRIES = 3 };		    /* of an address that is not live */
enum { EMPTY_TRIES = 3 };

enum outcome {
	OUT_STOPPED,  /* lvx_source_close */
	OUT_FINISHED, /* end of stream */
	OUT_LOST,     /* may come back */
	OUT_FAILED,   /* will not */
	OUT_EMPTY,    /* ended, and nothing of what was selected came */
	OUT_AGAIN,    /* it has learnt what to select */
};

struct attempt {
	int64_t begun_us, live_us; /* live_us: when the first data came; 0: not yet */
	int64_t last_us; /* of data, when it was looked at last; and how often it was the same */
	int quiet_looks, broken_looks;
	char msg[400];
};

static enum outcome failed(struct attempt *a, const char *msg)
{
	snprintf(a->msg, sizeof(a->msg), "%.*s", (int)sizeof(a->msg) - 1, msg);
	return OUT_FAILED;
}

static enum outcome on_error(struct lvx_gst *g, GstMessage *message, struct attempt *a)
{
	GError *error = NULL;
	gchar *debug = NULL;
	gst_message_parse_error(message, &error, &debug);
	lvx_gst_describe(error, debug, a->msg, sizeof(a->msg));
	bool transient = lvx_gst_transient(error);
	/* souphttpsrc fails without a word. */
	pthread_mutex_lock(&g->lock);
	if (g->why[0] && error->domain == GST_STREAM_ERROR &&
		error->code == GST_STREAM_ERROR_FAILED) {
		snprintf(a->msg, sizeof(a->msg), "the connection failed (%s)", g->why);
		transient = true;
	}
	pthread_mutex_unlock(&g->lock);
	/* A break in the middle of the media looks like a broken container. */
	if (g->remote && a->live_us)
		transient = true;
	g_clear_error(&error);
	g_free(debug);
	return transient ? OUT_LOST : OUT_FAILED;
}

/* What the streaming threads have found out. True: *out is set. */
static bool look_at_media(struct lvx_gst *g, struct attempt *a, enum outcome *out)
{
	if (atomic_load(&g->bad_channel)) {
		*out = OUT_FAILED;
		snprintf(a->msg, sizeof(a->msg), "the sound has no channel %d",
			g->params.channel);
		return true;
	}
	if (atomic_exchange(&g->found_language, false)) {
		*out = OUT_AGAIN;
		return true;
	}
	switch (atomic_load(&g->no_media)) {
	case LVX_NO_SOUND:
		*out = failed(a, "has no sound, and pictures are not wanted");
		return true;
	case LVX_NOTHING:
		*out = failed(a, "has no sound or pictures that can be decoded");
		return true;
	case LVX_NO_SUCH_TRACK:
		*out = OUT_FAILED;
		snprintf(a->msg, sizeof(a->msg), "has no audio track \"%s\"",
			g->params.audio_track);
		return true;
	default:
		return false;
	}
}

static void went_live(struct lvx_gst *g, struct attempt *a, bool again)
{
	gint64 ns;
	a->live_us = lvx_now_us();
	if (!g->live && gst_element_query_duration(g->pipeline, GST_FORMAT_TIME, &ns) && ns >= 0)
		atomic_store(&g->duration_us, ns / 1000);
	if (again)
		atomic_fetch_add(&g->reconnects, 1);
	lvx_tell_state(&g->teller, LVX_SOURCE_LIVE, "%s", "");
}

/* Watches the flow of data. True: *out is set. */
static bool look_at_flow(struct lvx_gst *g, struct attempt *a, bool again, enum outcome *out)
{
	int64_t now = lvx_now_us(), last = atomic_load(&g->last_data_us);
	if (!a->live_us) {
		int64_t limit = 3 * g->params.stall_us;
		if (limit < first_data_us)
			limit = first_data_us;
		/* An error can get lost in parsebin, which then waits for ever. */
		char broken[sizeof(g->broken)];
		pthread_mutex_lock(&g->lock);
		memcpy(broken, g->broken, sizeof(broken));
		pthread_mutex_unlock(&g->lock);
		a->broken_looks += broken[0] != '\0';
		if (!last && !g->remote && a->broken_looks > LOST_END_LOOKS) {
			snprintf(a->msg, sizeof(a->msg),
				"the container is broken or truncated (%s)", broken);
			*out = OUT_FAILED;
			return true;
		}
		/* Where nothing was said, a file is soon tried again. */
		if (!g->remote && g->n_empty < EMPTY_TRIES)
			limit = first_data_file_us;
		if (last) {
			went_live(g, a, again);
		} else if (now - a->begun_us > limit) {
			snprintf(a->msg, sizeof(a->msg), "nothing came within %.0f s",
				(double)limit * 1e-6);
			*out = g->remote ? OUT_LOST : OUT_EMPTY;
			return true;
		}
		return false;
	}
	/* Should the end get lost on its way (it happens), do not wait for it for ever. */
	a->quiet_looks = last == a->last_us ? a->quiet_looks + 1 : 0;
	a->last_us = last;
	if (atomic_load(&g->all_read) && !atomic_load(&g->in_feed) && now - last > lost_end_us &&
		a->quiet_looks > LOST_END_LOOKS) {
		lvx_log_info("%s: ended without saying so", g->shown);
		*out = OUT_FINISHED;
		return true;
	}
	if (!g->live) /* souphttpsrc has its own timeout, a file needs none */
		return false;
	int64_t silent = atomic_load(&g->in_feed) ? 0 : now - last;
	if (silent > 2 * g->params.stall_us) {
		snprintf(a->msg, sizeof(a->msg), "nothing came for %.1f s",
			(double)silent * 1e-6);
		*out = OUT_LOST;
		return true;
	}
	if (silent > g->params.stall_us)
		lvx_tell_state(&g->teller, LVX_SOURCE_STALLED, "%s", "");
	else
		lvx_tell_state(&g->teller, LVX_SOURCE_LIVE, "%s", "");
	return false;
}

static enum outcome watch(struct lvx_gst *g, struct attempt *a, bool again)
{
	enum outcome out = OUT_STOPPED;
	GstBus *bus = gst_element_get_bus(g->pipeline);
	while (!atomic_load(&g->stop)) {
		GstMessage *m = gst_bus_timed_pop_filtered(bus, 20 * GST_MSECOND,
			GST_MESSAGE_ERROR | GST_MESSAGE_EOS | GST_MESSAGE_LATENCY);
		bool done = look_at_media(g, a, &out);
		if (!done)
			done = look_at_flow(g, a, again, &out);
		/* What they found just now says more than the message. */
		if (m && !done && GST_MESSAGE_TYPE(m) != GST_MESSAGE_LATENCY)
			done = look_at_media(g, a, &out);
		if (m && !done) {
			switch (GST_MESSAGE_TYPE(m)) {
			case GST_MESSAGE_ERROR:
				out = on_error(g, m, a);
				done = true;
				break;
			case GST_MESSAGE_EOS:
				failed(a, "holds no sound or pictures");
				out = a->live_us ? OUT_FINISHED : OUT_EMPTY;
				done = true;
				break;
			default:
				gst_bin_recalculate_latency(GST_BIN(g->pipeline));
				break;
			}
		}
		if (m)
			gst_message_unref(m);
		if (done)
			break;
	}
	gst_object_unref(bus);
	return atomic_load(&g->stop) ? OUT_STOPPED : out;
}

static enum outcome try_once(struct lvx_gst *g, struct attempt *a, bool again)
{
	struct lvx_error err = {0};
	*a = (struct attempt){.begun_us = lvx_now_us()};
	if (g->tap)
		lvx_tap_break(g->tap);
	if (lvx_gst_graph_build(g, &err) != LVX_OK)
		return failed(a, err.msg);
	/* What goes wrong here is on the bus too. */
	gst_element_set_state(g->pipeline, GST_STATE_PLAYING);
	enum outcome out = watch(g, a, again);
	lvx_gst_graph_drop(g);
	return out;
}

/* False: told to stop. */
static bool back_off(struct lvx_gst *g, int n)
{
	int64_t us = backoff_first_us << (n < 10 ? n : 10);
	if (us > backoff_max_us)
		us = backoff_max_us;
	/* A tenth of jitter, so that many streams of one server do not come at once. */
	us += (int64_t)((uint64_t)lvx_now_us() * UINT64_C(0x9E3779B97F4A7C15) % 1000) * us / 10000;
	int64_t until = lvx_now_us() + us;
	while (!atomic_load(&g->stop) && lvx_now_us() < until)
		lvx_sleep_us(20000);
	return !atomic_load(&g->stop);
}

/* Tries until it is over; the message of a failure is in *a. */
static enum outcome run(struct lvx_gst *g, struct attempt *a)
{
	int64_t lost_us = lvx_now_us();
	int n = 0;
	bool was_live = false;
	lvx_tell_state(&g->teller, LVX_SOURCE_STARTING, "%s", "");
	for (;;) {
		enum outcome out = try_once(g, a, was_live);
		if (out == OUT_STOPPED || (out == OUT_FINISHED && !g->live))
			return out;
		if (out == OUT_AGAIN)
			continue;
		/* decodebin3 can select too late for a short file: once more. */
		if (out == OUT_EMPTY && g->n_empty++ < EMPTY_TRIES)
			continue;
		if (out == OUT_EMPTY)
			out = g->live ? OUT_LOST : OUT_FAILED;
		if (out == OUT_FINISHED) {
			snprintf(a->msg, sizeof(a->msg), "the sender ended the stream");
			out = OUT_LOST;
		}
		/* What is wrong with a live source may be mended at its other end, but
		 * not a request that it cannot fulfil. */
		bool hopeless = atomic_load(&g->bad_channel) ||
				atomic_load(&g->no_media) != LVX_MEDIA_FINE;
		if (out == OUT_FAILED && (!g->live || hopeless))
			return OUT_FAILED;
		if (!g->live && (a->live_us || ++n >= FIRST_TRIES))
			return OUT_FAILED;
		int64_t now = lvx_now_us();
		if (a->live_us) {
			was_live = true;
			lost_us = now;
			if (now - a->live_us > healthy_us)
				n = 0;
			pthread_mutex_lock(&g->lock);
			lvx_timeline_reconnect(&g->timeline);
			pthread_mutex_unlock(&g->lock);
		}
		if (g->params.give_up_us && now - lost_us > g->params.give_up_us) {
			char last[sizeof(a->msg)];
			memcpy(last, a->msg, sizeof(last));
			snprintf(a->msg, sizeof(a->msg), "gave up after %.0f s; last: %.300s",
				(double)(now - lost_us) * 1e-6, last);
			return OUT_FAILED;
		}
		lvx_log_info("%s: lost, trying again: %s", g->shown, a->msg);
		lvx_tell_state(&g->teller, LVX_SOURCE_RECONNECTING, "%s: %s", g->shown, a->msg);
		if (!back_off(g, g->live ? n++ : n - 1))
			return OUT_STOPPED;
	}
}

static void *supervise(void *user)
{
	struct lvx_gst *g = user;
	struct attempt a;
	enum outcome out = run(g, &a);
	/* No streaming thread is left: what the resampler holds is ours to flush. */
	if (out != OUT_STOPPED) {
		lvx_feed_set_media(g->feed, false, false);
		lvx_feed_end_sound(g->feed);
	}
	lvx_ring_finish(g->ring);
	if (out == OUT_FAILED) {
		lvx_log_warn("%s: %s", g->shown, a.msg);
		lvx_tell_state(&g->teller, LVX_SOURCE_FAILED, "%s: %s", g->shown, a.msg);
	} else {
		lvx_tell_state(&g->teller, LVX_SOURCE_ENDED, "%s", "");
	}
	return NULL;
}

static void get_stats(const struct lvx_source *source, struct lvx_source_stats *out)
{
	/* The lock is not part of what is const about it. */
	struct lvx_gst *g = (struct lvx_gst *)(uintptr_t)source;
	pthread_mutex_lock(&g->lock);
	*out = (struct lvx_source_stats){
		.pts_wraps = atomic_load(&g->wraps),
		.pts_jumps = g->timeline.jumps + g->timeline.reanchors,
		.reconnects = atomic_load(&g->reconnects),
		.decode_errors = atomic_load(&g->decode_errors),
		.drift_ppm = g->timeline.drift_ppm,
		.duration_us = atomic_load(&g->duration_us),
	};
	pthread_mutex_unlock(&g->lock);
}

static void release(struct lvx_gst *g)
{
	lvx_feed_destroy(g->feed);
	lvx_tap_destroy(g->tap);
	pthread_mutex_destroy(&g->lock);
	for (int i = 0; i < LVX_TRACKS; i++)
		g_free(g->sound_ids[i]);
	g_free(g->sound_id);
	g_free(g->picture_id);
	g_free(g->video_id);
	g_free(g->uri);
	free((char *)(uintptr_t)g->params.audio_track);
	free(g);
}

static void close_gst(struct lvx_source *source)
{
	struct lvx_gst *g = (struct lvx_gst *)source;
	atomic_store(&g->stop, true);
	lvx_ring_cancel(g->ring);
	lvx_feed_interrupt(g->feed, true);
	pthread_join(g->thread, NULL);
	release(g);
}

static gchar *make_uri(const char *uri)
{
	char *path = lvx_uri_local_path(uri);
	if (!path)
		return g_strdup(uri);
	gchar *absolute = g_canonicalize_filename(path, NULL);
	gchar *out = g_filename_to_uri(absolute, NULL, NULL);
	g_free(absolute);
	free(path);
	return out;
}

enum lvx_status lvx_gst_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err)
{
	enum lvx_status st = lvx_gst_init(err);
	if (st != LVX_OK)
		return st;
	struct lvx_gst *g = calloc(1, sizeof(*g));
	if (!g)
		return lvx_fail(err, LVX_ENOMEM, "source: out of memory");
	g->base.close = close_gst;
	g->base.get_stats = get_stats;
	g->params = *params;
	g->params.uri = NULL;
	g->params.audio_track = params->audio_track ? strdup(params->audio_track) : NULL;
	if (g->params.stall_us <= 0)
		g->params.stall_us = stall_default_us;
	lvx_uri_redact(g->shown, sizeof(g->shown), params->uri);
	g->uri = make_uri(params->uri);
	char *path = lvx_uri_local_path(params->uri);
	g->remote = path == NULL;
	free(path);
	g->live = params->live || lvx_source_uri_is_live(params->uri);
	g->ring = ring;
	g->cb = *cb;
	g->teller.cb = *cb;
	g->duration_us = -1;
	g->language_track = -1;
	pthread_mutex_init(&g->lock, NULL);
	lvx_timeline_init(&g->timeline, g->live, g->live);
	struct lvx_feed_params fp = {
		.ring = ring,
		.channel = params->channel,
		.pace = params->pace == LVX_PACE_CLOCK && !g->live,
	};
	st = lvx_feed_create(&g->feed, &fp, err);
	if (st == LVX_OK && params->units)
		st = lvx_tap_create(&g->tap, params->units, err);
	if (st == LVX_OK && !g->uri)
		st = lvx_fail(err, LVX_EINVAL, "%s: cannot be made a URI", g->shown);
	if (st == LVX_OK && pthread_create(&g->thread, NULL, supervise, g) != 0)
		st = lvx_fail(err, LVX_EIO, "source: cannot start a thread");
	if (st != LVX_OK) {
		release(g);
		return st;
	}
	*out = &g->base;
	return LVX_OK;
}
