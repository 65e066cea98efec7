/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a decoded pad to the feed: a converter and an appsink for each medium.
 * All here runs on GStreamer's streaming threads.
 */
#include "pipeline/source_gst.h"

#include "base/clock.h"
#include "base/log.h"

#include <gst/app/gstappsink.h>
#include <gst/audio/audio.h>
#include <gst/video/video.h>

#define PICTURE_FORMATS "{ I420, YV12, NV12, NV21, Y42B, Y444, YUY2, UYVY, RGB, BGR, RGBx, BGRx, " \
	"RGBA, BGRA, GRAY8, I420_10LE, I422_10LE, Y444_10LE, P010_10LE, I420_12LE }"

/* ---- from a sample to the feed ---- */

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

void lvx_gst_end_pictures(struct lvx_gst *g)
{
	pthread_mutex_lock(&g->lock);
	int64_t end_us = g->pictures_end_us;
	pthread_mutex_unlock(&g->lock);
	lvx_feed_end_pictures(g->feed, end_us);
}

static void on_pictures_end(GstAppSink *sink, gpointer user)
{
	(void)sink;
	lvx_gst_end_pictures(user);
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
	g_object_set_data_full(
		G_OBJECT(pad), "lvx-conv", gst_object_ref(conv), gst_object_unref);
	g_object_set_data_full(
		G_OBJECT(pad), "lvx-sink", gst_object_ref(sink), gst_object_unref);
}

void lvx_gst_pad_added(GstElement *decoder, GstPad *pad, gpointer user)
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

void lvx_gst_pad_removed(GstElement *decoder, GstPad *pad, gpointer user)
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
