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

#include <gst/app/gstappsink.h>
#include <gst/audio/audio.h>
#include <gst/video/video.h>
#include <stdlib.h>
#include <string.h>

#define PICTURE_FORMATS "{ I420, YV12, NV12, NV21, Y42B, Y444, YUY2, UYVY, RGB, BGR, RGBx, BGRx, " \
	"RGBA, BGRA, GRAY8, I420_10LE, I422_10LE, Y444_10LE, P010_10LE, I420_12LE }"

/* ---- from a sample to the feed (streaming threads) ---- */

int64_t lvx_gst_running_us(const GstSegment *segment, GstClockTime pts)
{
	if (!GST_CLOCK_TIME_IS_VALID(pts))
		return INT64_MIN;
	guint64 t = gst_segment_to_running_time(segment, GST_FORMAT_TIME, pts);
	return GST_CLOCK_TIME_IS_VALID(t) ? (int64_t)(t / 1000) : INT64_MIN;
}

static int64_t map_time(struct lvx_gst *g, enum lvx_medium medium, int64_t src_us, int64_t dur_us)
{
	int64_t now = lvx_now_us();
	atomic_store(&g->last_data_us, now);
	pthread_mutex_lock(&g->lock);
	if (src_us == INT64_MIN)
		src_us = g->timeline.media[medium].next_us - g->timeline.media[medium].offset_us;
	int64_t pts_us = lvx_timeline_map(&g->timeline, medium, src_us, dur_us, now);
	if (medium == LVX_PICTURES)
		g->pictures_end_us = pts_us + dur_us;
	pthread_mutex_unlock(&g->lock);
	return pts_us;
}

static uint8_t role_of(GstAudioChannelPosition p)
{
	switch (p) {
	case GST_AUDIO_CHANNEL_POSITION_MONO:
	case GST_AUDIO_CHANNEL_POSITION_FRONT_CENTER:
		return LVX_PCM_CENTRE;
	case GST_AUDIO_CHANNEL_POSITION_FRONT_LEFT:
	case GST_AUDIO_CHANNEL_POSITION_FRONT_RIGHT:
	case GST_AUDIO_CHANNEL_POSITION_FRONT_LEFT_OF_CENTER:
	case GST_AUDIO_CHANNEL_POSITION_FRONT_RIGHT_OF_CENTER:
		return LVX_PCM_FRONT;
	case GST_AUDIO_CHANNEL_POSITION_LFE1:
	case GST_AUDIO_CHANNEL_POSITION_LFE2:
		return LVX_PCM_LFE;
	case GST_AUDIO_CHANNEL_POSITION_NONE:
	case GST_AUDIO_CHANNEL_POSITION_INVALID:
		return LVX_PCM_OTHER;
	default:
		return LVX_PCM_SURROUND;
	}
}

static GstFlowReturn flow(struct lvx_gst *g, enum lvx_status st)
{
	if (st == LVX_OK)
		return GST_FLOW_OK;
	if (st == LVX_EINVAL)
		atomic_store(&g->bad_channel, true);
	return st == LVX_END ? GST_FLOW_FLUSHING : GST_FLOW_ERROR;
}

static GstFlowReturn take_sound(struct lvx_gst *g, GstSample *sample)
{
	GstAudioInfo info;
	GstBuffer *buffer = gst_sample_get_buffer(sample);
	GstMapInfo map;
	if (!buffer || !gst_audio_info_from_caps(&info, gst_sample_get_caps(sample)))
		return GST_FLOW_OK;
	struct lvx_pcm_format format = {
		.rate = (uint32_t)GST_AUDIO_INFO_RATE(&info),
		.channels = (uint32_t)GST_AUDIO_INFO_CHANNELS(&info),
	};
	if (format.channels > LVX_PCM_CHANNELS_MAX || !gst_buffer_map(buffer, &map, GST_MAP_READ))
		return GST_FLOW_ERROR;
	if (GST_AUDIO_INFO_IS_UNPOSITIONED(&info))
		lvx_pcm_default_roles(&format);
	else
		for (uint32_t c = 0; c < format.channels; c++)
			format.role[c] = role_of(GST_AUDIO_INFO_POSITION(&info, c));
	size_t frames = map.size / sizeof(float) / format.channels;
	int64_t dur_us = (int64_t)frames * 1000000 / format.rate;
	int64_t src_us = lvx_gst_running_us(gst_sample_get_segment(sample), GST_BUFFER_PTS(buffer));
	int64_t pts_us = map_time(g, LVX_SOUND, src_us, dur_us);
	atomic_fetch_add(&g->in_feed, 1);
	enum lvx_status st =
		lvx_feed_sound(g->feed, &format, (const float *)(void *)map.data, frames, pts_us);
	atomic_store(&g->last_data_us, lvx_now_us());
	atomic_fetch_sub(&g->in_feed, 1);
	gst_buffer_unmap(buffer, &map);
	return flow(g, st);
}

/* libavutil's name for one of PICTURE_FORMATS. */
static const char *format_name(GstVideoFormat f)
{
	switch (f) {
	case GST_VIDEO_FORMAT_I420:
	case GST_VIDEO_FORMAT_YV12: /* its planes are found by component */
		return "yuv420p";
	case GST_VIDEO_FORMAT_NV12:
		return "nv12";
	case GST_VIDEO_FORMAT_NV21:
		return "nv21";
	case GST_VIDEO_FORMAT_Y42B:
		return "yuv422p";
	case GST_VIDEO_FORMAT_Y444:
		return "yuv444p";
	case GST_VIDEO_FORMAT_YUY2:
		return "yuyv422";
	case GST_VIDEO_FORMAT_UYVY:
		return "uyvy422";
	case GST_VIDEO_FORMAT_RGB:
		return "rgb24";
	case GST_VIDEO_FORMAT_BGR:
		return "bgr24";
	case GST_VIDEO_FORMAT_RGBx:
		return "rgb0";
	case GST_VIDEO_FORMAT_BGRx:
		return "bgr0";
	case GST_VIDEO_FORMAT_RGBA:
		return "rgba";
	case GST_VIDEO_FORMAT_BGRA:
		return "bgra";
	case GST_VIDEO_FORMAT_GRAY8:
		return "gray";
	case GST_VIDEO_FORMAT_I420_10LE:
		return "yuv420p10le";
	case GST_VIDEO_FORMAT_I422_10LE:
		return "yuv422p10le";
	case GST_VIDEO_FORMAT_Y444_10LE:
		return "yuv444p10le";
	case GST_VIDEO_FORMAT_P010_10LE:
		return "p010le";
	case GST_VIDEO_FORMAT_I420_12LE:
		return "yuv420p12le";
	default:
		return "";
	}
}

static GstFlowReturn take_picture(struct lvx_gst *g, GstSample *sample)
{
	GstVideoInfo info;
	GstVideoFrame frame;
	GstBuffer *buffer = gst_sample_get_buffer(sample);
	if (!buffer || !gst_video_info_from_caps(&info, gst_sample_get_caps(sample)))
		return GST_FLOW_OK;
	int64_t src_us = lvx_gst_running_us(gst_sample_get_segment(sample), GST_BUFFER_PTS(buffer));
	if (src_us == INT64_MIN)
		return GST_FLOW_OK;
	int64_t dur_us = 40000;
	if (GST_CLOCK_TIME_IS_VALID(GST_BUFFER_DURATION(buffer)))
		dur_us = (int64_t)(GST_BUFFER_DURATION(buffer) / 1000);
	int64_t pts_us = map_time(g, LVX_PICTURES, src_us, dur_us);
	if (!lvx_feed_wants_picture(g->feed, pts_us))
		return GST_FLOW_OK;
	if (!gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ))
		return GST_FLOW_OK;
	struct lvx_picture p = {
		.format = format_name(GST_VIDEO_FRAME_FORMAT(&frame)),
		.width = (uint32_t)GST_VIDEO_FRAME_WIDTH(&frame),
		.height = (uint32_t)GST_VIDEO_FRAME_HEIGHT(&frame),
		.full_range = info.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255,
		.matrix = info.colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT2020
				  ? LVX_PICTURE_BT2020
			  : info.colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_BT709
				  ? LVX_PICTURE_BT709
				  : LVX_PICTURE_BT601,
	};
	bool swapped = GST_VIDEO_FRAME_FORMAT(&frame) == GST_VIDEO_FORMAT_YV12;
	for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES(&frame); i++) {
		guint from = swapped && i > 0 ? 3 - i : i;
		p.plane[i] = GST_VIDEO_FRAME_PLANE_DATA(&frame, from);
		p.stride[i] = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, from);
	}
	atomic_fetch_add(&g->in_feed, 1);
	enum lvx_status st = lvx_feed_picture(g->feed, &p, pts_us);
	atomic_store(&g->last_data_us, lvx_now_us());
	atomic_fetch_sub(&g->in_feed, 1);
	gst_video_frame_unmap(&frame);
	return st == LVX_EUNSUPPORTED ? GST_FLOW_OK : flow(g, st);
}

/* A branch of sound. There is one, but while by_language looks at all of them. */
struct branch {
	struct lvx_gst *g;
	bool decided, ours;
};

static bool pad_has_language(GstPad *pad, const char *wanted)
{
	bool match = false;
	GstEvent *event;
	for (guint i = 0; !match && (event = gst_pad_get_sticky_event(pad, GST_EVENT_TAG, i)); i++) {
		GstTagList *tags;
		gst_event_parse_tag(event, &tags);
		match = lvx_gst_has_language(tags, wanted);
		gst_event_unref(event);
	}
	return match;
}

/* The first decoded samples: by now the tags of the track are known. */
static void decide(struct branch *b, GstAppSink *sink)
{
	struct lvx_gst *g = b->g;
	GstPad *pad = gst_element_get_static_pad(GST_ELEMENT(sink), "sink");
	gchar *id = gst_pad_get_stream_id(pad);
	bool match = pad_has_language(pad, g->params.audio_track ? g->params.audio_track : "");
	pthread_mutex_lock(&g->lock);
	b->decided = true;
	b->ours = !g->by_language;
	if (g->by_language && match) {
		for (int i = 0; i < g->n_sound; i++)
			if (g->language_track < 0 && g_strcmp0(g->sound_ids[i], id) == 0)
				g->language_track = i;
		if (g->language_track >= 0)
			atomic_store(&g->found_language, true);
	} else if (g->by_language && ++g->n_refused >= g->n_sound && g->language_track < 0) {
		atomic_store(&g->no_media, LVX_NO_SUCH_TRACK);
	}
	pthread_mutex_unlock(&g->lock);
	g_free(id);
	gst_object_unref(pad);
}

static GstFlowReturn on_sound(GstAppSink *sink, gpointer user)
{
	struct branch *b = user;
	GstSample *sample = gst_app_sink_pull_sample(sink);
	if (!sample)
		return GST_FLOW_EOS;
	if (!b->decided)
		decide(b, sink);
	GstFlowReturn ret = b->ours ? take_sound(b->g, sample) : GST_FLOW_OK;
	gst_sample_unref(sample);
	return ret;
}

static GstFlowReturn on_picture(GstAppSink *sink, gpointer user)
{
	GstSample *sample = gst_app_sink_pull_sample(sink);
	if (!sample)
		return GST_FLOW_EOS;
	GstFlowReturn ret = take_picture(user, sample);
	gst_sample_unref(sample);
	return ret;
}

static void on_sound_end(GstAppSink *sink, gpointer user)
{
	(void)sink;
	struct branch *b = user;
	if (b->ours)
		lvx_feed_end_sound(b->g->feed);
}

static void on_pictures_end(GstAppSink *sink, gpointer user)
{
	(void)sink;
	struct lvx_gst *g = user;
	pthread_mutex_lock(&g->lock);
	int64_t end_us = g->pictures_end_us;
	pthread_mutex_unlock(&g->lock);
	lvx_feed_end_pictures(g->feed, end_us);
}

/* ---- branches ---- */

/* Pictures too close to the last one go before they cost a conversion. */
static GstPadProbeReturn thin_out(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	struct lvx_gst *g = user;
	pthread_mutex_lock(&g->lock);
	bool by_language = g->by_language; /* this attempt is not for keeps */
	pthread_mutex_unlock(&g->lock);
	if (by_language)
		return GST_PAD_PROBE_DROP;
	GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
	GstEvent *event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
	if (!event)
		return GST_PAD_PROBE_OK;
	const GstSegment *segment;
	gst_event_parse_segment(event, &segment);
	int64_t src_us = lvx_gst_running_us(segment, GST_BUFFER_PTS(buffer));
	gst_event_unref(event);
	if (src_us == INT64_MIN)
		return GST_PAD_PROBE_OK;
	int64_t dur_us = 40000;
	if (GST_CLOCK_TIME_IS_VALID(GST_BUFFER_DURATION(buffer)))
		dur_us = (int64_t)(GST_BUFFER_DURATION(buffer) / 1000);
	atomic_store(&g->last_data_us, lvx_now_us());
	pthread_mutex_lock(&g->lock);
	int64_t pts_us = lvx_timeline_peek(&g->timeline, LVX_PICTURES, src_us);
	g->pictures_end_us = pts_us + dur_us;
	pthread_mutex_unlock(&g->lock);
	return lvx_feed_wants_picture(g->feed, pts_us) ? GST_PAD_PROBE_OK : GST_PAD_PROBE_DROP;
}

static GstElement *make_sink(struct lvx_gst *g, bool sound)
{
	GstElement *sink = gst_element_factory_make("appsink", NULL);
	if (!sink)
		return NULL;
	GstCaps *caps = gst_caps_from_string(sound ? "audio/x-raw,format=F32LE,layout=interleaved"
						   : "video/x-raw,format=" PICTURE_FORMATS);
	g_object_set(sink, "caps", caps, "sync", FALSE, "async", FALSE, "max-buffers", 1,
		"enable-last-sample", FALSE, "qos", FALSE, NULL);
	gst_caps_unref(caps);
	GstAppSinkCallbacks cb = {
		.eos = sound ? on_sound_end : on_pictures_end,
		.new_sample = sound ? on_sound : on_picture,
	};
	if (sound) {
		struct branch *b = g_new0(struct branch, 1);
		b->g = g;
		gst_app_sink_set_callbacks(GST_APP_SINK(sink), &cb, b, g_free);
	} else {
		gst_app_sink_set_callbacks(GST_APP_SINK(sink), &cb, g, NULL);
	}
	return sink;
}

/* Converter and sink behind a decoded pad. Its elements are named by the pad's key. */
static void add_branch(struct lvx_gst *g, GstPad *pad, bool sound)
{
	GstElement *conv = gst_element_factory_make(sound ? "audioconvert" : "videoconvert", NULL);
	GstElement *sink = make_sink(g, sound);
	if (!conv || !sink) {
		lvx_log_error("%s: gstreamer lacks %s", g->shown,
			sound ? "audioconvert or appsink" : "videoconvert or appsink");
		return;
	}
	gst_bin_add_many(GST_BIN(g->pipeline), conv, sink, NULL);
	gst_element_link(conv, sink);
	gst_element_sync_state_with_parent(sink);
	gst_element_sync_state_with_parent(conv);
	GstPad *to = gst_element_get_static_pad(conv, "sink");
	if (!sound)
		gst_pad_add_probe(to, GST_PAD_PROBE_TYPE_BUFFER, thin_out, g, NULL);
	if (gst_pad_link(pad, to) != GST_PAD_LINK_OK)
		lvx_log_error("%s: cannot link decoded %s", g->shown, sound ? "sound" : "pictures");
	gst_object_unref(to);
	g_object_set_data(G_OBJECT(pad), "lvx-conv", conv);
	g_object_set_data(G_OBJECT(pad), "lvx-sink", sink);
}

static void on_pad_added(GstElement *decoder, GstPad *pad, gpointer user)
{
	(void)decoder;
	struct lvx_gst *g = user;
	GstCaps *caps = gst_pad_get_current_caps(pad);
	if (!caps)
		caps = gst_pad_query_caps(pad, NULL);
	const char *name = gst_caps_is_empty(caps)
				   ? ""
				   : gst_structure_get_name(gst_caps_get_structure(caps, 0));
	if (g_str_has_prefix(name, "audio/x-raw"))
		add_branch(g, pad, true);
	else if (g_str_has_prefix(name, "video/x-raw") && g->params.want_pictures)
		add_branch(g, pad, false);
	else
		lvx_log_debug("%s: %s is left aside", g->shown, name);
	gst_caps_unref(caps);
}

static void remove_element(GstElement *element, gpointer user)
{
	(void)user;
	gst_element_set_state(element, GST_STATE_NULL);
	GstObject *parent = gst_object_get_parent(GST_OBJECT(element));
	if (parent) {
		gst_bin_remove(GST_BIN(parent), element);
		gst_object_unref(parent);
	}
}

static void on_pad_removed(GstElement *decoder, GstPad *pad, gpointer user)
{
	(void)decoder;
	(void)user;
	GstElement *conv = g_object_get_data(G_OBJECT(pad), "lvx-conv");
	GstElement *sink = g_object_get_data(G_OBJECT(pad), "lvx-sink");
	/* Not from here: this may be the thread that streams through them. */
	if (conv && GST_OBJECT_PARENT(conv))
		gst_element_call_async(conv, remove_element, NULL, NULL);
	if (sink && GST_OBJECT_PARENT(sink))
		gst_element_call_async(sink, remove_element, NULL, NULL);
}

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
	GstStream *sound, *pictures; /* borrowed from the collection */
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
			if (!c.pictures && g->params.want_pictures)
				c.pictures = s;
		}
	}
	return c;
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
	if (by_language && gst_stream_get_stream_type(stream) & GST_STREAM_TYPE_AUDIO)
		return 1;
	return stream == c.sound || stream == c.pictures;
}

/* ---- encoded units, before any decoder ---- */

static void tell_unit(struct lvx_gst *g, GstPad *pad, GstBuffer *buffer, bool sound,
	const GstSegment *segment, const char *codec)
{
	(void)pad;
	GstMapInfo map;
	if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
		return;
	int64_t pts_us = lvx_gst_running_us(segment, GST_BUFFER_PTS(buffer));
	int64_t dts_us = lvx_gst_running_us(segment, GST_BUFFER_DTS(buffer));
	enum lvx_medium medium = sound ? LVX_SOUND : LVX_PICTURES;
	pthread_mutex_lock(&g->lock);
	if (pts_us != INT64_MIN)
		pts_us = lvx_timeline_peek(&g->timeline, medium, pts_us);
	if (dts_us != INT64_MIN)
		dts_us = lvx_timeline_peek(&g->timeline, medium, dts_us);
	pthread_mutex_unlock(&g->lock);
	struct lvx_unit unit = {
		.data = map.data,
		.len = map.size,
		.pts_us = pts_us,
		.dts_us = dts_us,
		.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT),
		.media = sound ? LVX_UNIT_AUDIO : LVX_UNIT_VIDEO,
		.codec = codec,
	};
	g->cb.on_unit(g->cb.user, &unit);
	gst_buffer_unmap(buffer, &map);
}

static GstPadProbeReturn on_unit_buffer(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	struct lvx_gst *g = user;
	atomic_store(&g->all_read, false);
	if (!g->cb.on_unit)
		return GST_PAD_PROBE_OK;
	gchar *id = gst_pad_get_stream_id(pad);
	pthread_mutex_lock(&g->lock);
	bool sound = id && g_strcmp0(id, g->sound_id) == 0;
	bool pictures = id && g_strcmp0(id, g->picture_id) == 0;
	pthread_mutex_unlock(&g->lock);
	g_free(id);
	if (!sound && !pictures)
		return GST_PAD_PROBE_OK;

	GstEvent *event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
	GstCaps *caps = gst_pad_get_current_caps(pad);
	if (event && caps) {
		const GstSegment *segment;
		gst_event_parse_segment(event, &segment);
		gchar *codec = gst_caps_to_string(caps);
		if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER_LIST) {
			GstBufferList *list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
			for (guint i = 0; i < gst_buffer_list_length(list); i++)
				tell_unit(g, pad, gst_buffer_list_get(list, i), sound, segment,
					codec);
		} else {
			tell_unit(g, pad, GST_PAD_PROBE_INFO_BUFFER(info), sound, segment, codec);
		}
		g_free(codec);
	}
	if (caps)
		gst_caps_unref(caps);
	if (event)
		gst_event_unref(event);
	return GST_PAD_PROBE_OK;
}

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
	g_free(id);
	if (sound)
		lvx_feed_end_sound(g->feed);
	else if (pictures)
		on_pictures_end(NULL, g);
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
	gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST,
		on_unit_buffer, g, NULL);
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
 * Sound waits for pictures in the feed: enough of it must fit into the queue
 * while the demuxer comes to the next picture. decodebin3 sets its own limit
 * again and again.
 */
static void on_queue_limit(GObject *queue, GParamSpec *spec, gpointer user)
{
	(void)spec;
	(void)user;
	const guint64 least = 5 * GST_SECOND;
	guint64 limit;
	g_object_get(queue, "min-interleave-time", &limit, NULL);
	if (limit < least)
		g_object_set(queue, "min-interleave-time", least, NULL);
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
	if (strcmp(name, "tsdemux") == 0 && !g->live)
		lvx_gst_ts_watch(g, element);
	GstElementFactory *parent = gst_element_get_factory(GST_ELEMENT(sub));
	if (strcmp(name, "multiqueue") == 0 && parent &&
		strcmp(GST_OBJECT_NAME(parent), "decodebin3") == 0) {
		g_signal_connect(element, "notify::min-interleave-time",
			G_CALLBACK(on_queue_limit), NULL);
		on_queue_limit(G_OBJECT(element), NULL, NULL);
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
	g->n_refused = 0;
	g->why[0] = '\0';
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
	g_signal_connect(decoder, "pad-added", G_CALLBACK(on_pad_added), g);
	g_signal_connect(decoder, "pad-removed", G_CALLBACK(on_pad_removed), g);
	return LVX_OK;
}

void lvx_gst_graph_drop(struct lvx_gst *g)
{
	if (!g->pipeline)
		return;
	lvx_feed_interrupt(g->feed, true);
	gst_element_set_state(g->pipeline, GST_STATE_NULL);
	gst_object_unref(g->pipeline);
	g->pipeline = g->decoder = NULL;
	lvx_feed_interrupt(g->feed, false);
}
