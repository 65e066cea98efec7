/* SPDX-License-Identifier: Apache-2.0 */
/*
 * True times out of recorded MPEG-TS. tsdemux closes every gap of a file: where
 * the clock jumps it goes on from what it has. But it tells the timestamps that
 * stand in the stream ("emit-stats"), so we compare: where its time and the
 * stream's part, the stream is right, and all that follows is shifted. A jump
 * back (another recording spliced on) stays as tsdemux has it. Wraps of the
 * 33-bit clock are counted here.
 *
 * Live sources need none of it: there the local clock is the truth.
 */
#include "pipeline/source_gst.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t part_us = 100000; /* tsdemux rounds and smooths */
static const int64_t gap_max_us = INT64_C(3600) * 1000000;

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

/* {g->lock} A unit of the stream leaves tsdemux at src_us of running time. */
static void compare(struct lvx_gst *g, struct lvx_ts_stream *t, int64_t src_us)
{
	int64_t apart = t->raw_us - src_us;
	int64_t moved = apart - t->apart_us;
	bool first = !t->have_apart;
	if (!first && moved <= part_us && moved >= -part_us)
		return;
	t->have_apart = true;
	t->apart_us = apart;
	if (first)
		return;
	if (moved < 0 || moved > gap_max_us) {
		/* All streams of the programme jump: count it once. */
		if (src_us > g->ts_jump_us + 1000000 || src_us < g->ts_jump_us)
			g->timeline.jumps++;
		g->ts_jump_us = src_us;
		return;
	}
	t->shift_us += moved;
	if (t->n_steps == LVX_TS_STEPS) {
		memmove(t->steps, t->steps + 1, (LVX_TS_STEPS - 1) * sizeof(t->steps[0]));
		t->n_steps--;
	}
	t->steps[t->n_steps].from_us = src_us;
	t->steps[t->n_steps++].shift_us = t->shift_us;
}

static GstPadProbeReturn on_buffer(GstPad *pad, GstPadProbeInfo *info, gpointer user)
{
	struct lvx_gst *g = user;
	GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
	const char *name = strrchr(GST_PAD_NAME(pad), '_'); /* video_0_00100: the PID */
	GstEvent *event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
	if (!name || !event)
		goto out;
	const GstSegment *segment;
	gst_event_parse_segment(event, &segment);
	int64_t src_us = lvx_gst_running_us(segment, GST_BUFFER_PTS(buffer));
	gchar *id = gst_pad_get_stream_id(pad);
	pthread_mutex_lock(&g->lock);
	struct lvx_ts_stream *t = find(g, (unsigned)strtoul(name + 1, NULL, 16));
	if (t && t->have_raw && src_us != INT64_MIN) {
		t->have_raw = false;
		if (id)
			snprintf(t->id, sizeof(t->id), "%s", id);
		compare(g, t, src_us);
	}
	pthread_mutex_unlock(&g->lock);
	g_free(id);
out:
	if (event)
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

int64_t lvx_gst_ts_shift(struct lvx_gst *g, const char *stream_id, int64_t src_us)
{
	for (int i = 0; stream_id && i < g->n_ts; i++) {
		const struct lvx_ts_stream *t = &g->ts[i];
		if (strcmp(t->id, stream_id) != 0)
			continue;
		for (int k = t->n_steps; k-- > 0;)
			if (t->steps[k].from_us <= src_us + 1000)
				return t->steps[k].shift_us;
	}
	return 0;
}
