/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where HLS segments begin and end: at key frames of the leading track (the pictures, or the
 * sound where there are none), or by the clock. Plain data and arithmetic; one thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_CUT_H
#define LVX_DAEMON_OUTPUTS_HLS_CUT_H

#include "pipeline/units.h"

enum {
	LVX_HLS_SLACK_US = 50000,      /* a key frame so much too early will do */
	LVX_HLS_LONGEST_US = 30000000, /* without a key frame it is cut all the same */
	LVX_HLS_JUMP_US = 500000,      /* times that follow so badly do not follow */
};

struct lvx_hls_cut {
	int64_t start_us, end_us;
	bool discontinuity; /* it does not follow from the segment before */
};

struct lvx_hls_cutter {
	int64_t segment_us; /* so long they should be, or longer up to the next key frame */
	bool open, any;     /* any: a segment has begun before */
	bool broken;        /* the open one does not follow */
	int64_t start_us;
	int64_t end_us; /* of what has come */
	int64_t dts_us; /* of the last unit, and its end */
};

void lvx_hls_cutter_init(struct lvx_hls_cutter *c, int64_t segment_us);
/*
 * The next unit of the leading track. *ended: a segment (*cut) ends before it. False: the unit
 * belongs to none, as decoding cannot begin with it.
 */
bool lvx_hls_cutter_put(struct lvx_hls_cutter *c, const struct lvx_unit *unit,
	struct lvx_hls_cut *cut, bool *ended);
/* Something is missing, or nothing follows: ends the open segment. False: there is none. */
bool lvx_hls_cutter_break(struct lvx_hls_cutter *c, struct lvx_hls_cut *cut);
/* In place of units: the stream has come to us. True: a segment ends. Repeat till false. */
bool lvx_hls_cutter_clock(struct lvx_hls_cutter *c, int64_t us, struct lvx_hls_cut *cut);

#endif
