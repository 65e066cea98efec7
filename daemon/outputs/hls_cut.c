/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_cut.h"

void lvx_hls_cutter_init(struct lvx_hls_cutter *c, int64_t segment_us)
{
	*c = (struct lvx_hls_cutter){.segment_us = segment_us, .end_us = INT64_MIN / 2};
}

static void begin(struct lvx_hls_cutter *c, int64_t us, bool broken)
{
	c->open = c->any = true;
	c->broken = broken;
	c->start_us = us;
	if (c->end_us < us)
		c->end_us = us;
}

static void end(struct lvx_hls_cutter *c, int64_t us, struct lvx_hls_cut *cut)
{
	*cut = (struct lvx_hls_cut){c->start_us, us, c->broken};
	c->open = false;
}

/* A correction of the clock or a lost picture is no break; another source is. */
static bool jumps(const struct lvx_hls_cutter *c, const struct lvx_unit *unit)
{
	int64_t jump_us = unit->dts_us - c->dts_us;
	return unit->discontinuity && (jump_us > LVX_HLS_JUMP_US || jump_us < -LVX_HLS_JUMP_US);
}

bool lvx_hls_cutter_put(
	struct lvx_hls_cutter *c, const struct lvx_unit *unit, struct lvx_hls_cut *cut, bool *ended)
{
	int64_t pts_us = unit->pts_us;
	*ended = c->open && jumps(c, unit) && lvx_hls_cutter_break(c, cut);
	if (c->open) {
		int64_t length_us = pts_us - c->start_us;
		bool due = unit->keyframe && length_us >= c->segment_us - LVX_HLS_SLACK_US;
		if (due || (length_us > 0 && unit->dts_us - c->start_us >= LVX_HLS_LONGEST_US)) {
			*ended = true;
			end(c, pts_us, cut);
			begin(c, pts_us, false);
		}
	} else {
		/* Times never go back from one segment to the next. */
		if (!unit->keyframe || pts_us < c->end_us - LVX_HLS_JUMP_US)
			return false;
		begin(c, c->any && pts_us < c->end_us ? c->end_us : pts_us, c->any);
	}
	int64_t duration_us = unit->duration_us;
	if (duration_us <= 0)
		duration_us = unit->media == LVX_UNIT_VIDEO ? 40000 : 20000;
	if (pts_us + duration_us > c->end_us)
		c->end_us = pts_us + duration_us;
	c->dts_us = unit->dts_us + duration_us;
	return true;
}

bool lvx_hls_cutter_break(struct lvx_hls_cutter *c, struct lvx_hls_cut *cut)
{
	if (!c->open)
		return false;
	end(c, c->end_us, cut);
	return cut->end_us > cut->start_us;
}

bool lvx_hls_cutter_clock(struct lvx_hls_cutter *c, int64_t us, struct lvx_hls_cut *cut)
{
	if (!c->open)
		begin(c, 0, false);
	c->end_us = us > c->end_us ? us : c->end_us;
	if (us - c->start_us < c->segment_us)
		return false;
	int64_t at_us = c->start_us + c->segment_us;
	end(c, at_us, cut);
	begin(c, at_us, false);
	return true;
}
