/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoded units on their way into decodebin3's multiqueue: parsed, not decoded, and of all
 * streams, selected or not. The pictures that a model does not look at are passed on too.
 */
#include "pipeline/source_gst.h"

#include <gst/audio/audio.h>
#include <stdio.h>
#include <string.h>

/* ---- what they are ---- */

static int caps_int(const GstStructure *s, const char *name)
{
	int value = 0;
	return gst_structure_get_int(s, name, &value) && value > 0 ? value : 0;
}

/* libavcodec's name for the caps. */
static void codec_name(const GstStructure *s, char *out, size_t size)
{
	static const char *const plain[][2] = {
		{"video/x-h264", "h264"},
		{"video/x-h265", "hevc"},
		{"video/x-vp8", "vp8"},
		{"video/x-vp9", "vp9"},
		{"video/x-av1", "av1"},
		{"video/x-theora", "theora"},
		{"audio/x-opus", "opus"},
		{"audio/x-vorbis", "vorbis"},
		{"audio/x-ac3", "ac3"},
		{"audio/x-eac3", "eac3"},
		{"audio/x-flac", "flac"},
		{"audio/x-alaw", "pcm_alaw"},
		{"audio/x-mulaw", "pcm_mulaw"},
	};
	const char *name = gst_structure_get_name(s);
	const char *format = gst_structure_get_string(s, "stream-format");
	int version = caps_int(s, "mpegversion");
	for (size_t i = 0; i < G_N_ELEMENTS(plain); i++) {
		if (strcmp(name, plain[i][0]) == 0) {
			g_strlcpy(out, plain[i][1], size);
			return;
		}
	}
	if (strcmp(name, "video/mpeg") == 0)
		snprintf(out, size, version == 4 ? "mpeg4" : "mpeg%dvideo", version);
	else if (strcmp(name, "audio/mpeg") == 0 && version == 1)
		snprintf(out, size, "mp%d", caps_int(s, "layer"));
	else if (strcmp(name, "audio/mpeg") == 0)
		g_strlcpy(out, g_strcmp0(format, "loas") == 0 ? "aac_latm" : "aac", size);
	else
		g_strlcpy(out, strchr(name, '/') ? strchr(name, '/') + 1 : name, size);
}

/* The bytes that a decoder wants first; NULL: none, or in band. */
static GstBuffer *extradata(const GstStructure *s)
{
	const GValue *v = gst_structure_get_value(s, "codec_data");
	const GValue *headers = gst_structure_get_value(s, "streamheader");
	if (v && GST_VALUE_HOLDS_BUFFER(v))
		return gst_value_get_buffer(v);
	/* Opus: the first header is the OpusHead. */
	if (headers && GST_VALUE_HOLDS_ARRAY(headers) && gst_value_array_get_size(headers) > 0 &&
		gst_structure_has_name(s, "audio/x-opus")) {
		v = gst_value_array_get_value(headers, 0);
		return GST_VALUE_HOLDS_BUFFER(v) ? gst_value_get_buffer(v) : NULL;
	}
	return NULL;
}

static void tell_format(struct lvx_gst *g, enum lvx_medium medium, GstCaps *caps)
{
	const GstStructure *s = gst_caps_get_structure(caps, 0);
	struct lvx_unit_format f = {
		.sample_rate = (uint32_t)caps_int(s, "rate"),
		.channels = (uint32_t)caps_int(s, "channels"),
		.width = (uint32_t)caps_int(s, "width"),
		.height = (uint32_t)caps_int(s, "height"),
	};
	int num, den;
	if (gst_structure_get_fraction(s, "framerate", &num, &den) && num > 0 && den > 0) {
		f.fps_num = (uint32_t)num;
		f.fps_den = (uint32_t)den;
	}
	codec_name(s, f.codec, sizeof(f.codec));
	GstBuffer *extra = extradata(s);
	GstMapInfo map;
	if (!extra || !gst_buffer_map(extra, &map, GST_MAP_READ)) {
		/* RFC 7845: Ogg needs more, but two channels always decode with this. */
		uint8_t head[] = {'O', 'p', 'u', 's', 'H', 'e', 'a', 'd', 1,
			f.channels == 1 ? 1 : 2, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 0};
		if (strcmp(f.codec, "opus") == 0 && f.channels <= 2) {
			f.extra = head;
			f.n_extra = sizeof(head);
		}
		lvx_tap_format(g->tap, medium, &f);
		return;
	}
	f.extra = map.data;
	f.n_extra = map.size;
	lvx_tap_format(g->tap, medium, &f);
	gst_buffer_unmap(extra, &map);
}

/* ---- where they are ---- */

/* Running time, also before the segment's start: decoding begins before showing does. */
static int64_t running_us(const GstSegment *segment, GstClockTime t)
{
	guint64 running;
	int sign = GST_CLOCK_TIME_IS_VALID(t)
			   ? gst_segment_to_running_time_full(segment, GST_FORMAT_TIME, t, &running)
			   : 0;
	if (sign == 0)
		return INT64_MIN;
	return sign > 0 ? (int64_t)(running / 1000) : -(int64_t)(running / 1000);
}

static bool mapping(struct lvx_gst *g, enum lvx_medium medium, int64_t *offset_us)
{
	pthread_mutex_lock(&g->lock);
	bool known = lvx_timeline_offset(&g->timeline, medium, offset_us);
	pthread_mutex_unlock(&g->lock);
	/* An attempt that brings nothing decoded is made again. */
	return known && atomic_load(&g->last_data_us) != 0;
}

static void tell_unit(
	struct lvx_gst *g, enum lvx_medium medium, GstBuffer *buffer, const GstSegment *segment)
{
	GstMapInfo map;
	int64_t offset_us;
	if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
		return;
	struct lvx_tap_packet p = {
		.data = map.data,
		.len = map.size,
		.pts_us = running_us(segment, GST_BUFFER_PTS(buffer)),
		.dts_us = running_us(segment, GST_BUFFER_DTS(buffer)),
		.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT),
	};
	if (GST_BUFFER_DURATION_IS_VALID(buffer))
		p.duration_us = (int64_t)(GST_BUFFER_DURATION(buffer) / 1000);
	bool known = mapping(g, medium, &offset_us);
	lvx_tap_put(g->tap, medium, &p, known, offset_us, false);
	gst_buffer_unmap(buffer, &map);
}

/* Which medium of the programme a stream is; LVX_MEDIA: none. */
static enum lvx_medium medium_of(struct lvx_gst *g, const gchar *id)
{
	enum lvx_medium medium = LVX_MEDIA;
	pthread_mutex_lock(&g->lock);
	if (id && !g->by_language && g_strcmp0(id, g->sound_id) == 0)
		medium = LVX_SOUND;
	else if (id && !g->by_language && g_strcmp0(id, g->video_id) == 0)
		medium = LVX_PICTURES;
	pthread_mutex_unlock(&g->lock);
	return medium;
}

static GstPadProbeReturn on_buffer(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	struct lvx_gst *g = user;
	atomic_store(&g->all_read, false);
	if (!lvx_tap_wanted(g->tap))
		return GST_PAD_PROBE_OK;
	gchar *id = gst_pad_get_stream_id(pad);
	enum lvx_medium medium = medium_of(g, id);
	g_free(id);
	if (medium == LVX_MEDIA)
		return GST_PAD_PROBE_OK;
	GstEvent *event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
	GstCaps *caps = gst_pad_get_current_caps(pad);
	if (event && caps) {
		const GstSegment *segment;
		gst_event_parse_segment(event, &segment);
		tell_format(g, medium, caps);
		tell_unit(g, medium, GST_PAD_PROBE_INFO_BUFFER(info), segment);
	}
	if (caps)
		gst_caps_unref(caps);
	if (event)
		gst_event_unref(event);
	return GST_PAD_PROBE_OK;
}

void lvx_gst_units_watch(struct lvx_gst *g, GstPad *pad)
{
	/* A list (Opus in MPEG-TS) comes by as such, and then buffer by buffer, as multiqueue has no
	 * function for lists: only those. */
	gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, g, NULL);
}

void lvx_gst_units_end(struct lvx_gst *g, const gchar *stream_id)
{
	int64_t offset_us;
	enum lvx_medium medium = g->tap ? medium_of(g, stream_id) : LVX_MEDIA;
	if (medium != LVX_MEDIA) {
		bool known = mapping(g, medium, &offset_us);
		lvx_tap_put(g->tap, medium, NULL, known, offset_us, true);
	}
}

void lvx_gst_units_tracks(struct lvx_gst *g, GstStream *sound, GstStream *video)
{
	if (!g->tap || g->by_language)
		return;
	if (video)
		lvx_tap_add(g->tap, LVX_PICTURES, NULL);
	if (!sound)
		return;
	GstTagList *tags = gst_stream_get_tags(sound);
	gchar *language = NULL;
	if (tags)
		gst_tag_list_get_string(tags, GST_TAG_LANGUAGE_CODE, &language);
	lvx_tap_add(g->tap, LVX_SOUND, language);
	g_free(language);
	if (tags)
		gst_tag_list_unref(tags);
}
