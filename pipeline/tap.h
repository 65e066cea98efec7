/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a source's packets, as a demuxer gives them, to the stream's units: puts them on the
 * stream's timeline, into the one form that units.h promises, and repairs their times.
 *
 * A packet comes here before its decoder has said where on the timeline it lies, so it waits
 * till that is known: at the start, after a loss, and where the source's clock jumps. Not for
 * long: 64 packets after a jump they go on with the old mapping; before the first mapping 256
 * are kept.
 *
 * Threads: each medium from one at a time; lvx_tap_break with none inside.
 */
#ifndef LVX_PIPELINE_TAP_H
#define LVX_PIPELINE_TAP_H

#include "pipeline/timeline.h"
#include "pipeline/units.h"

struct lvx_tap;

/* units: referenced. */
enum lvx_status lvx_tap_create(
	struct lvx_tap **out, struct lvx_units *units, struct lvx_error *err);
void lvx_tap_destroy(struct lvx_tap *tap); /* NULL is fine */
/* NULL is fine: nobody wants it. */
bool lvx_tap_wanted(const struct lvx_tap *tap);

/* Adds the medium's track, the first time. Both, where there are both, before the first packet. */
void lvx_tap_add(struct lvx_tap *tap, enum lvx_medium medium, const char *language);
/* What the packets are from here on, extradata as the container has them (avcC, none for
 * ADTS, ...). The same again costs a comparison. */
void lvx_tap_format(
	struct lvx_tap *tap, enum lvx_medium medium, const struct lvx_unit_format *format);

struct lvx_tap_packet {
	const uint8_t *data; /* borrowed */
	size_t len;
	int64_t pts_us, dts_us; /* in the source's time; INT64_MIN: not known */
	int64_t duration_us;    /* 0: not known */
	bool keyframe;
};
/* known: the source's time plus offset_us is the timeline's. packet NULL: only looks
 * whether those that wait can go; last: they must, nothing follows. */
void lvx_tap_put(struct lvx_tap *tap, enum lvx_medium medium, const struct lvx_tap_packet *packet,
	bool known, int64_t offset_us, bool last);
/* The source was lost: forgets what waits; what comes next does not follow from it. */
void lvx_tap_break(struct lvx_tap *tap);

#endif
