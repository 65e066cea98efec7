/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libavformat's MPEG-TS muxer cannot say of described sound, put into the packets that it
 * has written: the supplementary_audio_descriptor in the PMT (ETSI EN 300 468, 6.4.11), and for a
 * voice that the receiver mixes the AD_descriptor in its PES headers (ETSI TS 101 154, annex E),
 * which tells how far the programme is to be taken down under it. One thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_TS_DESCRIBE_H
#define LVX_DAEMON_OUTPUTS_TS_DESCRIBE_H

#include "daemon/text.h"
#include "pipeline/units.h"

#include <stdint.h>

enum { LVX_TS_PMT_PID = 0x1000, LVX_TS_FIRST_PID = 0x100 }; /* as the muxer is told */

struct lvx_ts_describe;

struct lvx_ts_describe *lvx_ts_describe_create(void); /* aborts without memory */
void lvx_ts_describe_destroy(struct lvx_ts_describe *t); /* NULL is fine */
/* What is on the PID; before the first packet. There is one voice at most. */
void lvx_ts_describe_track(struct lvx_ts_describe *t, unsigned pid, enum lvx_unit_role role);
/* Units of the voice in their order, before the muxer gets them: their times (90 kHz, from
 * anywhere), and by how many times 0.3 dB the programme is lower under each. */
void lvx_ts_describe_fade(struct lvx_ts_describe *t, int64_t pts, uint8_t fade);
/* Takes n bytes that follow those before, and appends what is to be sent in their place. */
void lvx_ts_describe_put(
	struct lvx_ts_describe *t, struct lvx_text *out, const uint8_t *data, size_t n);

#endif
