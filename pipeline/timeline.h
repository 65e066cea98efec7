/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a source's timestamps to the ring's timeline: unwraps counters, bridges
 * discontinuities, keeps a live source on the local clock. Plain data and
 * arithmetic; not locked.
 */
#ifndef LVX_PIPELINE_TIMELINE_H
#define LVX_PIPELINE_TIMELINE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- counters of so many bits (MPEG-TS: 33) ---- */
struct lvx_unwrap {
	unsigned bits;
	bool have;
	int64_t last;	/* unwrapped */
	int64_t highest;
	uint64_t wraps;
};
/* The value nearest to the last one that is raw modulo 2^bits. */
int64_t lvx_unwrap(struct lvx_unwrap *u, int64_t raw);

/* ---- sound and pictures of one source ---- */
enum lvx_medium { LVX_SOUND, LVX_PICTURES, LVX_MEDIA };

struct lvx_timeline {
	bool live;	 /* follow the local clock */
	bool from_zero;	 /* the first timestamp becomes 0 */

	bool started;
	int64_t start_local_us; /* local time of the timeline's 0 */
	struct {
		bool have;	   /* since the last (re)connection */
		int64_t offset_us; /* timeline = source + offset */
		int64_t next_us;   /* on the timeline: end of the last unit */
		int64_t last_local_us;
	} media[LVX_MEDIA];

	uint64_t jumps;	    /* discontinuities bridged */
	uint64_t reanchors; /* corrections of drift */
	double drift_ppm;   /* > 0: the source's clock is fast */

	/* Drift: the least delay of each window, fitted by a line. */
	struct {
		int64_t window_start_us, window_min_us;
		bool window_open;
		int64_t base_us; /* delay to hold */
		bool have_base;
		int n_off;	 /* windows in a row that were off */
		int64_t off_us;	 /* by how much, the last of them */
		int64_t corrected_us; /* sum of corrections since the fit began */
		int64_t fit_start_us;
		double n, sx, sy, sxx, sxy;
	} drift;
};

void lvx_timeline_init(struct lvx_timeline *tl, bool live, bool from_zero);
/*
 * A unit of src_us that lasts dur_us and arrived at local_us (monotonic):
 * returns its place on the timeline. Rules: the first unit starts it; a jump
 * back, or a jump forward that cannot be a gap (live: longer than the time that
 * passed; else over an hour), continues where the last unit ended (live: at the
 * local clock) and counts; sound and pictures stay together.
 */
int64_t lvx_timeline_map(struct lvx_timeline *tl, enum lvx_medium medium, int64_t src_us,
	int64_t dur_us, int64_t local_us);
/* Where src_us lies by the present mapping; changes nothing. */
int64_t lvx_timeline_peek(const struct lvx_timeline *tl, enum lvx_medium medium, int64_t src_us);
/* What is added to the source's times at present. False: not known, nothing has come. */
bool lvx_timeline_offset(
	const struct lvx_timeline *tl, enum lvx_medium medium, int64_t *offset_us);
/* The source was lost: the next unit continues at the local clock. */
void lvx_timeline_reconnect(struct lvx_timeline *tl);

#endif
