/* SPDX-License-Identifier: Apache-2.0 */
/*
 * urisourcebin reads, decodebin3 demuxes and decodes; of each medium that is
 * wanted, the chosen stream ends in a branch: a converter (of the sample format
 * only; rate and channels are pcm.c's) and an appsink that hands over to the feed.
 *
 * Not uridecodebin3: in GStreamer 1.22 it demuxes before decodebin3, which then
 * takes the change of a programme in mid-stream for the end of all.
 */
#include "pipeline/source_gst.h"

#include "base/clock.h"
#include "base/log.h"

#include <gst/audio/audio.h>
#include <gst/video/video.h>
#include <stdlib.h>
#include <string.h>

static const char two_media[] = "lvx-two-media";
static const int64_t change_patience_us = 10000000, drained_us = 100000, stuck_us = 500000;

/* ---- which streams ---- */

static bool stream_has_language(GstStream *stream, const char *wanted)
{
	GstTagList *tags = gst_stream_get_tags(stream);
	bool match = tags && lvx_gst_has_language(tags, wanted);
	if (tags)
		gst_tag_list_unref(tags);
	return match;
}

static bool is_index(const char *track)
{
	return track[0] && strspn(track, "0123456789") == strlen(track);
}

struct choice {
	GstStream *sound, *pictures, *video; /* borrowed from the collection */
	bool any_pictures;
	int n_sound;
};

/* {g->lock} */
static struct choice choose(struct lvx_gst *g, GstStreamCollection *collection)
{
	const char *track = g->params.audio_track;
	struct choice c = {.n_sound = 0};
	for (guint i = 0; i < gst_stream_collection_get_size(collection); i++) {
		GstStream *s = gst_stream_collection_get_stream(collection, i);
		GstStreamType type = gst_stream_get_stream_type(s);
		if (type & GST_STREAM_TYPE_AUDIO) {
			bool match = !track || !track[0];
			if (!match && is_index(track))
				match = atoi(track) == c.n_sound;
			else if (!match)
				match = g->language_track == c.n_sound ||
					(g->language_track < 0 && stream_has_language(s, track));
			if (match && !c.sound)
				c.sound = s;
			if (c.n_sound < LVX_TRACKS) {
				g_free(g->sound_ids[c.n_sound]);
				g->sound_ids[c.n_sound++] = g_strdup(gst_stream_get_stream_id(s));
			}
		} else if (type & GST_STREAM_TYPE_VIDEO) {
			c.any_pictures = true;
			if (!c.video)
				c.video = s;
			if (!c.pictures && g->params.want_pictures)
				c.pictures = s;
		}
	}
	return c;
}

/*
 * Sound waits for pictures in the feed: enough of it must fit into the queue
 * while the demuxer comes to the next picture. decodebin3 sets its own limit
 * again and again.
 */
static void on_queue_limit(GObject *queue, GParamSpec *spec, gpointer user)
{
	(void)spec;
	(void)user; /* and no struct lvx_gst: GStreamer may free the queue after it is gone */
	/* Not for one medium alone: there it would only run ahead of a change of
	 * streams (chained Ogg), which makes that harder. */
	if (!g_object_get_data(queue, two_media))
		return;
	const guint64 least = 5 * GST_SECOND;
	guint64 limit;
	g_object_get(queue, "min-interleave-time", &limit, NULL);
	if (limit < least)
		g_object_set(queue, "min-interleave-time", least, NULL);
}

static gint on_select_stream(
	GstElement *decoder, GstStreamCollection *collection, GstStream *stream, gpointer user)
{
	(void)decoder;
	struct lvx_gst *g = user;
	const char *track = g->params.audio_track;
	pthread_mutex_lock(&g->lock);
	struct choice c = choose(g, collection);
	bool by_language = track && track[0] && !is_index(track) && !c.sound && c.n_sound &&
			   g->language_track < 0;
	bool sound = c.sound || by_language;
	g->by_language = by_language;
	g->n_sound = c.n_sound;
	g_free(g->sound_id);
	g->sound_id = c.sound ? g_strdup(gst_stream_get_stream_id(c.sound)) : NULL;
	g_free(g->picture_id);
	g->picture_id = c.pictures ? g_strdup(gst_stream_get_stream_id(c.pictures)) : NULL;
	g_free(g->video_id);
	g->video_id = c.video ? g_strdup(gst_stream_get_stream_id(c.video)) : NULL;
	lvx_gst_units_tracks(g, c.sound, c.video);
	pthread_mutex_unlock(&g->lock);
	if (c.n_sound && !sound)
		atomic_store(&g->no_media, LVX_NO_SUCH_TRACK);
	else if (!sound && !c.pictures)
		atomic_store(&g->no_media, c.any_pictures ? LVX_NO_SOUND : LVX_NOTHING);
	else
		atomic_store(&g->no_media, LVX_MEDIA_FINE);
	bool was_sound = atomic_exchange(&g->selected_sound, sound);
	bool was_pictures = atomic_exchange(&g->selected_pictures, c.pictures != NULL);
	if (was_sound != sound || was_pictures != (c.pictures != NULL))
		lvx_feed_set_media(g->feed, sound, c.pictures != NULL);
	if (g->queue && sound && c.pictures) {
		g_object_set_data(G_OBJECT(g->queue), two_media, g->queue);
		on_queue_limit(G_OBJECT(g->queue), NULL, NULL);
	}
	if (by_language && gst_stream_get_stream_type(stream) & GST_STREAM_TYPE_AUDIO)
		return 1;
	return stream == c.sound || stream == c.pictures;
}

/* ---- between demuxer and decoders ---- */

/*
 * decodebin3 holds back the end of one stream until all have ended; the feed has
 * to know at once, or sound and pictures would wait for each other.
 */
static GstPadProbeReturn on_queue_event(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	struct lvx_gst *g = user;
	if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) != GST_EVENT_EOS)
		return GST_PAD_PROBE_OK;
	atomic_store(&g->all_read, true);
	gchar *id = gst_pad_get_stream_id(pad);
	pthread_mutex_lock(&g->lock);
	bool sound = id && g_strcmp0(id, g->sound_id) == 0;
	bool pictures = id && g_strcmp0(id, g->picture_id) == 0;
	pthread_mutex_unlock(&g->lock);
	lvx_gst_units_end(g, id);
	g_free(id);
	if (sound)
		lvx_feed_end_sound(g->feed);
	else if (pictures)
		lvx_gst_end_pictures(g);
	return GST_PAD_PROBE_OK;
}

/* Of decodebin3's multiqueue: encoded units go in, each medium's thread begins behind. */
static void on_queue_pad(GstElement *queue, GstPad *pad, gpointer user)
{
	(void)queue;
	struct lvx_gst *g = user;
	if (GST_PAD_IS_SRC(pad)) {
		gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_queue_event, g,
			NULL);
		return;
	}
	lvx_gst_units_watch(g, pad);
}

/* ---- settings of what the bins make ---- */

static bool has_property(GstElement *element, const char *name)
{
	return g_object_class_find_property(G_OBJECT_GET_CLASS(element), name) != NULL;
}

static void on_source_setup(GstElement *bin, GstElement *source, gpointer user)
{
	(void)bin;
	struct lvx_gst *g = user;
	GstElementFactory *factory = gst_element_get_factory(source);
	const char *name = factory ? GST_OBJECT_NAME(factory) : "";
	guint seconds = (guint)((g->params.stall_us + 999999) / 1000000);
	if (strcmp(name, "souphttpsrc") == 0) {
		g_object_set(source, "timeout", seconds < 3 ? 3 : seconds * 2, "retries", 1,
			"user-agent", "lumivox/" LVX_VERSION, NULL);
	} else if (strcmp(name, "rtspsrc") == 0) {
		g_object_set(source, "latency", 200, "tcp-timeout", (guint64)10000000, "timeout",
			(guint64)3000000, "user-agent", "lumivox/" LVX_VERSION, NULL);
	} else if (strcmp(name, "srtsrc") == 0 && has_property(source, "auto-reconnect")) {
		/* We reconnect, with back-off and a visible gap. */
		g_object_set(source, "auto-reconnect", FALSE, NULL);
	}
}

/*
 * New streams in the middle (chained Ogg, another programme): decodebin3 frees
 * the slot of the old stream when that has drained, and should the new one have
 * begun to use it just then, it is cut off. So the first buffer of the new one
 * waits, before decodebin3 sees it, till the old one has gone.
 */
static GstPadProbeReturn on_changed(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	(void)pad;
	(void)info;
	struct lvx_gst *g = user;
	int64_t until_us = lvx_now_us() + change_patience_us;
	/* What is left of the sound must not wait for pictures: we hold them up. */
	lvx_feed_set_media(g->feed, atomic_load(&g->selected_sound), false);
	while (!atomic_load(&g->stop) && lvx_now_us() < until_us) {
		int64_t still_us = lvx_now_us() - atomic_load(&g->last_data_us);
		/* Pictures may wait for sound that comes only after this buffer. */
		if (still_us > (atomic_load(&g->in_feed) ? stuck_us : drained_us))
			break;
		lvx_sleep_us(5000);
	}
	lvx_feed_set_media(g->feed, atomic_load(&g->selected_sound),
		atomic_load(&g->selected_pictures));
	return GST_PAD_PROBE_REMOVE;
}

static void on_parsed_pad(GstElement *parsebin, GstPad *pad, gpointer user)
{
	(void)parsebin;
	struct lvx_gst *g = user;
	GstPad *target = GST_IS_GHOST_PAD(pad) ? gst_ghost_pad_get_target(GST_GHOST_PAD(pad)) : NULL;
	if (target && atomic_load(&g->last_data_us))
		gst_pad_add_probe(target,
			GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST, on_changed, g,
			NULL);
	if (target)
		gst_object_unref(target);
}

static void on_deep_element_added(GstBin *bin, GstBin *sub, GstElement *element, gpointer user)
{
	(void)bin;
	struct lvx_gst *g = user;
	GstElementFactory *factory = gst_element_get_factory(element);
	const char *name = factory ? GST_OBJECT_NAME(factory) : "";
	/* A corrupt frame is skipped, however many there are. */
	if ((GST_IS_AUDIO_DECODER(element) || GST_IS_VIDEO_DECODER(element)) &&
		has_property(element, "max-errors"))
		g_object_set(element, "max-errors", -1, NULL);
	if (strcmp(name, "parsebin") == 0)
		g_signal_connect(element, "pad-added", G_CALLBACK(on_parsed_pad), g);
	if (strcmp(name, "tsdemux") == 0 && !g->live)
		lvx_gst_ts_watch(g, element);
	GstElementFactory *parent = gst_element_get_factory(GST_ELEMENT(sub));
	if (strcmp(name, "multiqueue") == 0 && parent &&
		strcmp(GST_OBJECT_NAME(parent), "decodebin3") == 0) {
		g_signal_connect(element, "notify::min-interleave-time",
			G_CALLBACK(on_queue_limit), NULL);
		g->queue = element; /* lives as long as the pipeline */
		g_signal_connect(element, "pad-added", G_CALLBACK(on_queue_pad), g);
	}
}

/* What urisourcebin has read goes into decodebin3, which has one pad and makes more. */
static void on_source_pad(GstElement *source, GstPad *pad, gpointer user)
{
	(void)source;
	struct lvx_gst *g = user;
	GstPad *to = gst_element_get_static_pad(g->decoder, "sink");
	if (!to || gst_pad_is_linked(to)) {
		if (to)
			gst_object_unref(to);
		to = gst_element_request_pad_simple(g->decoder, "sink_%u");
	}
	if (!to || gst_pad_link(pad, to) != GST_PAD_LINK_OK)
		lvx_log_error("%s: cannot link the source", g->shown);
	if (to)
		gst_object_unref(to);
}

static GstBusSyncReply on_message(GstBus *bus, GstMessage *message, gpointer user)
{
	(void)bus;
	if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ELEMENT ||
		!lvx_gst_ts_message(user, message))
		return GST_BUS_PASS;
	gst_message_unref(message);
	return GST_BUS_DROP;
}

enum lvx_status lvx_gst_graph_build(struct lvx_gst *g, struct lvx_error *err)
{
	GstElement *pipeline = gst_pipeline_new(NULL);
	GstElement *source = gst_element_factory_make("urisourcebin", NULL);
	GstElement *decoder = gst_element_factory_make("decodebin3", NULL);
	if (!source || !decoder) {
		if (source)
			gst_object_unref(source);
		if (decoder)
			gst_object_unref(decoder);
		gst_object_unref(pipeline);
		return lvx_fail(
			err, LVX_EUNSUPPORTED, "gstreamer lacks urisourcebin or decodebin3");
	}
	g->queue = NULL;
	g->pipeline = pipeline;
	g->decoder = decoder;
	atomic_store(&g->last_data_us, 0);
	atomic_store(&g->no_media, LVX_MEDIA_FINE);
	atomic_store(&g->selected_sound, false);
	atomic_store(&g->selected_pictures, false);
	atomic_store(&g->all_read, false);
	pthread_mutex_lock(&g->lock);
	g->n_ts = 0;
	g_clear_pointer(&g->sound_id, g_free);
	g_clear_pointer(&g->picture_id, g_free);
	g_clear_pointer(&g->video_id, g_free);
	g->n_refused = 0;
	g->why[0] = '\0';
	g->broken[0] = '\0';
	g->ts_clock = (struct lvx_unwrap){.bits = 33};
	pthread_mutex_unlock(&g->lock);
	lvx_gst_watch_log(pipeline, g);
	GstBus *bus = gst_element_get_bus(pipeline);
	gst_bus_set_sync_handler(bus, on_message, g, NULL);
	gst_object_unref(bus);
	g_signal_connect(pipeline, "deep-element-added", G_CALLBACK(on_deep_element_added), g);
	gst_bin_add_many(GST_BIN(pipeline), source, decoder, NULL);
	g_object_set(source, "uri", g->uri, NULL);
	g_signal_connect(source, "source-setup", G_CALLBACK(on_source_setup), g);
	g_signal_connect(source, "pad-added", G_CALLBACK(on_source_pad), g);
	g_signal_connect(decoder, "select-stream", G_CALLBACK(on_select_stream), g);
	g_signal_connect(decoder, "pad-added", G_CALLBACK(lvx_gst_pad_added), g);
	g_signal_connect(decoder, "pad-removed", G_CALLBACK(lvx_gst_pad_removed), g);
	return LVX_OK;
}

void lvx_gst_graph_drop(struct lvx_gst *g)
{
	if (!g->pipeline)
		return;
	lvx_feed_interrupt(g->feed, true);
	gst_element_set_state(g->pipeline, GST_STATE_NULL);
	/* decodebin3 has threads of its own that may let go of things later. */
	GstBus *bus = gst_element_get_bus(g->pipeline);
	gst_bus_set_sync_handler(bus, NULL, NULL, NULL);
	gst_object_unref(bus);
	lvx_gst_watch_log(g->pipeline, NULL);
	g_signal_handlers_disconnect_by_data(g->pipeline, g);
	g_signal_handlers_disconnect_by_data(g->decoder, g);
	gst_object_unref(g->pipeline);
	g->pipeline = g->decoder = g->queue = NULL;
	lvx_feed_interrupt(g->feed, false);
}
