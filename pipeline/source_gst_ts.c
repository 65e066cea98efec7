/* SPDX-License-Identifier: Apache-2.0 */
/*
 * True times out of recorded MPEG-TS. tsdemux guesses: it closes gaps, and where
 * recordings were spliced its times run wild. But it tells the timestamps that
 * stand in the stream ("emit-stats"), so what leaves it is stamped anew by them:
 * wraps of the 33-bit clock are unwrapped, gaps stay, a jump back (a splice)
 * goes on where the stream had come to.
 *
 * Live sources need none of it: there the local clock is the truth.
 */
#include "pipeline/source_gst.h"

#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000)

static const int64_t reorder_us = SECOND; /* pictures come in decoding order */
static const int64_t gap_max_us = 3600 * SECOND;
static const int64_t together_us = 2 * SECOND;

static struct lvx_ts_stream *find(struct lvx_gst *g, unsigned pid)
{
	for (int i = 0; i < g->n_ts; i++)
		if (g->ts[i].pid == pid)
			return &g->ts[i];
	return NULL;
}

bool lvx_gst_ts_message(struct lvx_gst *g, GstMessage *message)
{
	const GstStructure *s = gst_message_get_structure(message);
	guint pid;
	guint64 pts;
	if (!s || !gst_structure_has_name(s, "tsdemux"))
		return false;
	if (!gst_structure_get_uint(s, "pid", &pid) ||
		!gst_structure_get_uint64(s, "pts", &pts))
		return true;
	pthread_mutex_lock(&g->lock);
	struct lvx_ts_stream *t = find(g, pid);
	if (!t && g->n_ts < LVX_TS_STREAMS) {
		t = &g->ts[g->n_ts++];
		*t = (struct lvx_ts_stream){.pid = pid};
	}
	uint64_t before = g->ts_clock.wraps;
	int64_t raw = lvx_unwrap(&g->ts_clock, (int64_t)pts);
	atomic_fetch_add(&g->wraps, g->ts_clock.wraps - before);
	if (t) {
		t->have_raw = true;
		t->raw_us = raw * 100 / 9;
	}
	pthread_mutex_unlock(&g->lock);
	return true;
}

/* A new offset for a stream whose timestamps have jumped. {g->lock} */
static void bridge(struct lvx_gst *g, struct lvx_ts_stream *t)
{
	/* Another stream of the programme may have jumped already: stay with it. */
	for (int i = 0; i < g->n_ts; i++) {
		int64_t off = t->raw_us + g->ts[i].offset_us - t->last_us;
		if (g->ts[i].mapped && off >= -reorder_us && off <= together_us) {
			t->offset_us = g->ts[i].offset_us;
			return;
		}
	}
	t->offset_us = t->last_us + t->step_us - t->raw_us;
	g->timeline.jumps++;
}

/* The true running time of the unit that leaves tsdemux at src_us. {g->lock} */
static int64_t map(struct lvx_gst *g, struct lvx_ts_stream *t, int64_t src_us)
{
	if (!t->mapped) {
		t->offset_us = src_us - t->raw_us;
		for (int i = 0; i < g->n_ts; i++)
			if (g->ts[i].mapped)
				t->offset_us = g->ts[i].offset_us;
		t->mapped = true;
		t->last_us = t->raw_us + t->offset_us;
	}
	int64_t step = t->raw_us + t->offset_us - t->last_us;
	if (step < -reorder_us || step > gap_max_us) {
		bridge(g, t);
		step = t->raw_us + t->offset_us - t->last_us;
	}
	if (step > 0 && step < SECOND)
		t->step_us = step;
	if (step > 0)
		t->last_us += step;
	return t->raw_us + t->offset_us;
}

static void stamp(GstBuffer *buffer, const GstSegment *segment, int64_t true_us)
{
	guint64 pts = gst_segment_position_from_running_time(
		segment, GST_FORMAT_TIME, (guint64)true_us * 1000);
	if (!GST_CLOCK_TIME_IS_VALID(pts))
		return;
	if (GST_BUFFER_DTS_IS_VALID(buffer)) {
		GstClockTimeDiff lead = GST_CLOCK_DIFF(GST_BUFFER_DTS(buffer), GST_BUFFER_PTS(buffer));
		GST_BUFFER_DTS(buffer) = lead < 0			       ? pts
					 : pts > (GstClockTime)lead ? pts - (GstClockTime)lead
								       : 0;
	}
	GST_BUFFER_PTS(buffer) = pts;
}

static GstPadProbeReturn on_buffer(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	struct lvx_gst *g = user;
	GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
	const char *name = strrchr(GST_PAD_NAME(pad), '_'); /* video_0_0100: the PID */
	GstEvent *event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
	if (!event)
		return GST_PAD_PROBE_OK;
	const GstSegment *segment;
	gst_event_parse_segment(event, &segment);
	int64_t src_us = lvx_gst_running_us(segment, GST_BUFFER_PTS(buffer));
	int64_t true_us = INT64_MIN;
	pthread_mutex_lock(&g->lock);
	struct lvx_ts_stream *t = name ? find(g, (unsigned)strtoul(name + 1, NULL, 16)) : NULL;
	if (t && t->have_raw && src_us != INT64_MIN) {
		t->have_raw = false;
		true_us = map(g, t, src_us);
	}
	pthread_mutex_unlock(&g->lock);
	if (true_us >= 0) {
		buffer = gst_buffer_make_writable(buffer);
		stamp(buffer, segment, true_us);
		GST_PAD_PROBE_INFO_DATA(info) = buffer;
	}
	gst_event_unref(event);
	return GST_PAD_PROBE_OK;
}

static void on_pad(GstElement *demuxer, GstPad *pad, gpointer user)
{
	(void)demuxer;
	if (GST_PAD_IS_SRC(pad))
		gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_buffer, user, NULL);
}

void lvx_gst_ts_watch(struct lvx_gst *g, GstElement *tsdemux)
{
	g_object_set(tsdemux, "emit-stats", TRUE, NULL);
	g_signal_connect(tsdemux, "pad-added", G_CALLBACK(on_pad), g);
}
