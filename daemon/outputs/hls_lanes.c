/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_lanes.h"

#include "base/clock.h"
#include "daemon/event_json.h"
#include "daemon/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word comes so soon after it was heard and the model's delay is over; one that does not is
 * late, not lost. */
enum { SETTLE_US = 1500000 };

struct lvx_hls_lanes {
	struct lvx_hub_stream *stream; /* borrowed */
	struct lvx_hold *hold;
	struct lvx_hls_lane lanes[LVX_HUB_LANES]; /* [n] */
	size_t n;
	int at[LVX_HUB_LANES]; /* by the events' lane; -1: none */
};

struct lvx_hls_lanes *lvx_hls_lanes_create(struct lvx_hub_stream *stream, int64_t hold_us)
{
	struct lvx_hls_lanes *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->stream = stream;
	l->hold = lvx_hold_create(hold_us);
	for (size_t i = 0; i < LVX_HUB_LANES; i++)
		l->at[i] = -1;
	return l;
}

void lvx_hls_lanes_destroy(struct lvx_hls_lanes *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n; i++)
		lvx_hls_text_destroy(l->lanes[i].text);
	lvx_hold_destroy(l->hold);
	free(l);
}

/* What viewers choose from: "Captions (en)". */
static void describe(struct lvx_hls_lane *lane, const char *name, const char *language)
{
	static const struct {
		const char *lane, *title, *characteristics;
	} known[] = {
		{"caption", "Captions", "public.accessibility.transcribes-spoken-dialog"},
		{"translation", "Translation", NULL},
		{"description", "Description", "public.accessibility.describes-video"},
	};
	const char *title = name;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].lane, name) == 0) {
			title = known[i].title;
			lane->characteristics = known[i].characteristics;
		}
	}
	bool said = language && language[0];
	language = said ? language : "";
	snprintf(lane->language, sizeof(lane->language), "%s", language);
	snprintf(lane->title, sizeof(lane->title), "%s%s%s%s", title, said ? " (" : "", language,
		said ? ")" : "");
	snprintf(lane->rendition.name, sizeof(lane->rendition.name), "%.20s%s%.12s", name,
		said ? "-" : "", language);
}

static struct lvx_hls_lane *lane_of(struct lvx_hls_lanes *l, uint32_t index, uint64_t first)
{
	const char *name, *language;
	if (index >= LVX_HUB_LANES)
		return NULL;
	if (l->at[index] >= 0)
		return &l->lanes[l->at[index]];
	if (!lvx_hub_lane(l->stream, index, &name, &language))
		return NULL;
	struct lvx_hls_lane *lane = &l->lanes[l->n];
	lane->rendition.media = -1;
	lane->rendition.first = first;
	lane->text = lvx_hls_text_create();
	describe(lane, name, language);
	l->at[index] = (int)l->n++;
	return lane;
}

void lvx_hls_lanes_make(struct lvx_hls_lanes *l, uint32_t lanes, uint32_t further, uint64_t first)
{
	for (uint32_t i = 0; i < LVX_FURTHER_MAX; i++) {
		if (further & 1u << i)
			lane_of(l, LVX_LANES_MAX + i, first);
	}
	for (uint32_t i = 0; i < LVX_LANES_MAX; i++) {
		if (lanes & 1u << i)
			lane_of(l, i, first);
	}
}

size_t lvx_hls_lanes_count(const struct lvx_hls_lanes *l)
{
	return l->n;
}

struct lvx_hls_lane *lvx_hls_lanes_get(struct lvx_hls_lanes *l, size_t i)
{
	return &l->lanes[i];
}

static void say(struct lvx_hls_lane *lane, const json_t *root)
{
	struct lvx_event_word w;
	for (size_t i = 0; lvx_event_word(root, &i, &w);)
		lvx_hls_text_word(lane->text, w.text, w.start_us, w.end_us);
	if (lvx_event_ends_segment(root))
		lvx_hls_text_break(lane->text);
}

static void release(struct lvx_hls_lanes *l, bool all, uint64_t first)
{
	json_t *root;
	uint32_t index;
	while ((root = lvx_hold_take(l->hold, lvx_now_us(), all, &index))) {
		struct lvx_hls_lane *lane = lane_of(l, index, first);
		if (lane)
			say(lane, root);
		json_decref(root);
	}
}

void lvx_hls_lanes_event(struct lvx_hls_lanes *l, const struct lvx_hub_event *event, uint64_t first)
{
	if (lvx_hold_event(l->hold, event, "HLS (hls-hold)"))
		release(l, false, first);
}

int64_t lvx_hls_lanes_time(struct lvx_hls_lanes *l, int64_t heard_us, uint64_t first)
{
	release(l, false, first);
	int64_t settled_us = heard_us - lvx_hub_delay_us(l->stream) - SETTLE_US;
	int64_t held_us = lvx_hold_begin_us(l->hold), known_us = INT64_MAX;
	settled_us = held_us < settled_us ? held_us : settled_us;
	for (size_t i = 0; i < l->n; i++) {
		int64_t us = lvx_hls_text_time(l->lanes[i].text, settled_us);
		known_us = us < known_us ? us : known_us;
	}
	return known_us;
}

void lvx_hls_lanes_finish(struct lvx_hls_lanes *l, uint64_t first)
{
	release(l, true, first);
	for (size_t i = 0; i < l->n; i++)
		lvx_hls_text_finish(l->lanes[i].text);
}
