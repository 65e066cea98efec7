/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One track as fragmented MP4 in memory (ISO/IEC 14496-12, as HLS and CMAF want it), through
 * libavformat: an initialisation, then fragments of one moof and mdat each, whose times
 * (tfdt) are the units' plus a constant. FFmpeg's types stay in fmp4.c. One thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_FMP4_H
#define LVX_DAEMON_OUTPUTS_FMP4_H

#include "daemon/outputs/mux.h"
#include "daemon/text.h"

struct lvx_fmp4;

/* LVX_EUNSUPPORTED: players of HLS do not know that codec; the message names those they do. */
enum lvx_status lvx_fmp4_check(const struct lvx_unit_format *format, struct lvx_error *err);
/* shift_us is added to all times. */
enum lvx_status lvx_fmp4_open(struct lvx_fmp4 **out, const struct lvx_mux_track *track,
	int64_t shift_us, struct lvx_error *err);
void lvx_fmp4_close(struct lvx_fmp4 *f); /* NULL is fine */

/* The next unit of the fragment, which lasts duration_us. LVX_EINVAL: it is not taken, as its
 * times go back; others may be. */
enum lvx_status lvx_fmp4_add(struct lvx_fmp4 *f, const struct lvx_unit *unit, int64_t duration_us);
/* Ends the fragment. *out: its bytes, borrowed until the next add. LVX_EINVAL: it is
 * empty. LVX_EUNSUPPORTED: nothing can be made of this track. */
enum lvx_status lvx_fmp4_cut(
	struct lvx_fmp4 *f, const struct lvx_text **out, struct lvx_error *err);
/* The initialisation of all fragments; it is there after the first cut. Borrowed. */
const struct lvx_text *lvx_fmp4_init(const struct lvx_fmp4 *f);

#endif
