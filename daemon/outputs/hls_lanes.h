/* SPDX-License-Identifier: Apache-2.0 */
/* A stream's lanes as text renditions of HLS: from events to cues. One thread. */
#ifndef LVX_DAEMON_OUTPUTS_HLS_LANES_H
#define LVX_DAEMON_OUTPUTS_HLS_LANES_H

#include "daemon/hub.h"
#include "daemon/outputs/hls_list.h"
#include "daemon/outputs/hls_text.h"

struct lvx_hls_lane {
	struct lvx_hls_rendition rendition;
	struct lvx_hls_text *text;
	char title[64], language[12]; /* language: "" unknown */
	const char *characteristics;  /* or NULL */
};

struct lvx_hls_lanes;

/* hold_us: text waits so long for corrections. Aborts without memory. */
struct lvx_hls_lanes *lvx_hls_lanes_create(struct lvx_hub_stream *stream, int64_t hold_us);
void lvx_hls_lanes_destroy(struct lvx_hls_lanes *l); /* NULL is fine */

/* A rendition for each lane of the bits, and each further row, that has none; first: the number
 * of its first segment. */
void lvx_hls_lanes_make(struct lvx_hls_lanes *l, uint32_t lanes, uint32_t further, uint64_t first);
size_t lvx_hls_lanes_count(const struct lvx_hls_lanes *l);
struct lvx_hls_lane *lvx_hls_lanes_get(struct lvx_hls_lanes *l, size_t i);

/* A lane that is new gets its rendition, as above. */
void lvx_hls_lanes_event(
	struct lvx_hls_lanes *l, const struct lvx_hub_event *event, uint64_t first);
/* All events of what was heard before heard_us have been given. Returns up to where all cues
 * of all lanes are known. */
int64_t lvx_hls_lanes_time(struct lvx_hls_lanes *l, int64_t heard_us, uint64_t first);
void lvx_hls_lanes_finish(struct lvx_hls_lanes *l, uint64_t first); /* nothing follows */

#endif
