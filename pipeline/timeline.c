/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/timeline.h"

#include <string.h>

#define SECOND INT64_C(1000000)

/* Overlaps up to this are jitter; pictures are reordered, sound is not. */
static const int64_t back_us[LVX_MEDIA] = {[LVX_SOUND] = 40000, [LVX_PICTURES] = SECOND};
/* Of a live source's sound: demuxers that chase its clock shift timestamps to and
 * fro by this much; the count of samples is the better clock. */
static const int64_t jitter_us = 100000;
static const int64_t file_gap_max_us = 3600 * SECOND;
static const int64_t live_gap_slack_us = 5 * SECOND;
static const int64_t together_us = 2 * SECOND;

static const int64_t window_us = 30 * SECOND;
static const int64_t fit_max_us = 6 * 3600 * SECOND; /* clocks warm and cool */
static const int64_t off_max_us = 200000;
static const int64_t off_spread_us = 100000;
enum { OFF_WINDOWS = 3 }; /* bursts (HLS) throw one window off, not three alike */

int64_t lvx_unwrap(struct lvx_unwrap *u, int64_t raw)
{
	const int64_t range = INT64_C(1) << u->bits, mask = range - 1;
	raw &= mask;
	if (!u->have) {
		u->have = true;
		u->last = u->highest = raw;
		return raw;
	}
	int64_t delta = (raw - u->last) & mask;
	if (delta >= range / 2)
		delta -= range;
	u->last += delta;
	if (u->last > u->highest) {
		if (u->last >> u->bits != u->highest >> u->bits)
			u->wraps++;
		u->highest = u->last;
	}
	return u->last;
}

void lvx_timeline_init(struct lvx_timeline *tl, bool live, bool from_zero)
{
	memset(tl, 0, sizeof(*tl));
	tl->live = live;
	tl->from_zero = from_zero;
}

void lvx_timeline_reconnect(struct lvx_timeline *tl)
{
	for (int i = 0; i < LVX_MEDIA; i++)
		tl->media[i].have = false;
	memset(&tl->drift, 0, sizeof(tl->drift));
}

int64_t lvx_timeline_peek(const struct lvx_timeline *tl, enum lvx_medium medium, int64_t src_us)
{
	const int other = LVX_MEDIA - 1 - medium;
	if (!tl->media[medium].have && tl->media[other].have)
		return src_us + tl->media[other].offset_us;
	if (!tl->media[medium].have && !tl->started && tl->from_zero)
		return 0;
	return src_us + tl->media[medium].offset_us;
}

bool lvx_timeline_offset(
	const struct lvx_timeline *tl, enum lvx_medium medium, int64_t *offset_us)
{
	int m = tl->media[medium].have ? (int)medium : LVX_MEDIA - 1 - (int)medium;
	*offset_us = tl->media[m].offset_us;
	return tl->media[m].have;
}

static int64_t max64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* The first unit of a medium since the source (re)connected. */
static void first(struct lvx_timeline *tl, int medium, int64_t src_us, int64_t local_us)
{
	const int other = LVX_MEDIA - 1 - medium;
	int64_t offset = 0;
	if (tl->media[other].have) {
		offset = tl->media[other].offset_us;
	} else if (!tl->started) {
		offset = tl->from_zero ? -src_us : 0;
		tl->started = true;
		tl->start_local_us = local_us - (src_us + offset);
	} else {
		int64_t end = max64(tl->media[0].next_us, tl->media[1].next_us);
		int64_t at = tl->live ? max64(local_us - tl->start_local_us, end) : end;
		offset = at - src_us;
	}
	tl->media[medium].have = true;
	tl->media[medium].offset_us = offset;
}

/* Whether the running mapping puts src_us where it cannot be. */
static bool implausible(
	const struct lvx_timeline *tl, int medium, int64_t src_us, int64_t local_us)
{
	int64_t diff = src_us + tl->media[medium].offset_us - tl->media[medium].next_us;
	if (diff < -(tl->live && medium == LVX_SOUND ? jitter_us : back_us[medium]))
		return true;
	if (!tl->live)
		return diff > file_gap_max_us;
	return diff > local_us - tl->media[medium].last_local_us + live_gap_slack_us;
}

static void bridge(struct lvx_timeline *tl, int medium, int64_t src_us, int64_t local_us)
{
	const int other = LVX_MEDIA - 1 - medium;
	int64_t next = tl->media[medium].next_us;
	/* If the other medium has jumped already, its mapping keeps them together. */
	if (tl->media[other].have) {
		int64_t off = src_us + tl->media[other].offset_us - next;
		if (off >= -back_us[medium] && off <= together_us) {
			tl->media[medium].offset_us = tl->media[other].offset_us;
			return;
		}
	}
	int64_t at = tl->live ? max64(local_us - tl->start_local_us, next) : next;
	/* Live timestamps that run ahead of the clock (a burst at the start) stay so. */
	if (tl->live && at - next < live_gap_slack_us)
		at = next;
	tl->media[medium].offset_us = at - src_us;
	tl->jumps++;
	memset(&tl->drift, 0, sizeof(tl->drift));
}

static void shift(struct lvx_timeline *tl, int64_t by_us)
{
	for (int i = 0; i < LVX_MEDIA; i++) {
		tl->media[i].offset_us += by_us;
		tl->media[i].next_us += by_us; /* not a jump of the source */
	}
	tl->drift.corrected_us += by_us;
	tl->reanchors++;
}

static void close_window(struct lvx_timeline *tl, int64_t now_us)
{
	int64_t delay = tl->drift.window_min_us;
	if (!tl->drift.have_base) {
		tl->drift.have_base = true;
		tl->drift.base_us = delay;
		tl->drift.fit_start_us = now_us;
	}
	/* The line through delay over time, as if nothing had been corrected. */
	double x = (double)(now_us - tl->drift.fit_start_us) * 1e-6;
	double y = (double)(delay + tl->drift.corrected_us);
	tl->drift.n += 1.0;
	tl->drift.sx += x;
	tl->drift.sy += y;
	tl->drift.sxx += x * x;
	tl->drift.sxy += x * y;
	double det = tl->drift.n * tl->drift.sxx - tl->drift.sx * tl->drift.sx;
	if (tl->drift.n >= 3.0 && det > 0.0)
		tl->drift_ppm = -(tl->drift.n * tl->drift.sxy - tl->drift.sx * tl->drift.sy) / det;
	if (now_us - tl->drift.fit_start_us > fit_max_us) {
		tl->drift.n = tl->drift.sx = tl->drift.sy = tl->drift.sxx = tl->drift.sxy = 0.0;
		tl->drift.corrected_us = 0;
		tl->drift.fit_start_us = now_us;
	}

	int64_t off = delay - tl->drift.base_us;
	int64_t spread = off - tl->drift.off_us;
	bool alike = tl->drift.n_off == 0 || (spread < off_spread_us && spread > -off_spread_us);
	tl->drift.off_us = off;
	if ((off > off_max_us || off < -off_max_us) && alike)
		tl->drift.n_off++;
	else
		tl->drift.n_off = 0;
	if (tl->drift.n_off >= OFF_WINDOWS) {
		shift(tl, off);
		tl->drift.n_off = 0;
	}
}

/* delay: how much later than its time a unit came; its least value shows the clocks. */
static void watch_drift(struct lvx_timeline *tl, int64_t pts_us, int64_t local_us)
{
	int64_t delay = local_us - tl->start_local_us - pts_us;
	if (!tl->drift.window_open) {
		tl->drift.window_open = true;
		tl->drift.window_start_us = local_us;
		tl->drift.window_min_us = delay;
	} else if (delay < tl->drift.window_min_us) {
		tl->drift.window_min_us = delay;
	}
	if (local_us - tl->drift.window_start_us >= window_us) {
		close_window(tl, local_us);
		tl->drift.window_open = false;
	}
}

int64_t lvx_timeline_map(struct lvx_timeline *tl, enum lvx_medium medium, int64_t src_us,
	int64_t dur_us, int64_t local_us)
{
	bool running = tl->media[medium].have;
	if (!running)
		first(tl, medium, src_us, local_us);
	else if (implausible(tl, medium, src_us, local_us))
		bridge(tl, medium, src_us, local_us);
	int64_t pts_us = src_us + tl->media[medium].offset_us;
	int64_t off_us = pts_us - tl->media[medium].next_us;
	if (running && tl->live && medium == LVX_SOUND && off_us <= jitter_us)
		pts_us = tl->media[medium].next_us;
	/* Sound that begins a little before the pictures that began the timeline. */
	if (!running && tl->live && pts_us < 0)
		pts_us = 0;
	tl->media[medium].next_us = pts_us + dur_us;
	tl->media[medium].last_local_us = local_us;
	/* Sound tells the clock; pictures only where there is no sound. */
	if (tl->live && (medium == LVX_SOUND || !tl->media[LVX_SOUND].have))
		watch_drift(tl, pts_us, local_us);
	return pts_us;
}
