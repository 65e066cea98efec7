/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/hold.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/event_json.h"

#include <stdlib.h>

struct item {
	struct item *next;
	uint32_t lane;
	uint64_t from_seq, to_seq; /* more than one event: a correction took their place */
	int64_t since_us;
	json_t *root;
};

struct lvx_hold {
	int64_t hold_us;
	struct item *first, **last;
};

struct lvx_hold *lvx_hold_create(int64_t hold_us)
{
	struct lvx_hold *h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	h->hold_us = hold_us;
	h->last = &h->first;
	return h;
}

static json_t *unlink_item(struct lvx_hold *h, struct item **at)
{
	struct item *item = *at;
	json_t *root = item->root;
	*at = item->next;
	if (!item->next)
		h->last = at;
	free(item);
	return root;
}

void lvx_hold_destroy(struct lvx_hold *h)
{
	while (h && h->first)
		json_decref(unlink_item(h, &h->first));
	free(h);
}

/* The whole line or nothing: every event of the range must still be here. */
static bool correct(struct lvx_hold *h, uint32_t lane, json_t *root)
{
	uint64_t from = (uint64_t)json_integer_value(json_object_get(root, "from_seq"));
	uint64_t to = (uint64_t)json_integer_value(json_object_get(root, "to_seq"));
	struct item **at = &h->first;
	while (*at && ((*at)->lane != lane || (*at)->to_seq < from))
		at = &(*at)->next;
	/* A line that was corrected is one item: a part of it cannot be taken out. */
	if (!*at || (*at)->from_seq != from)
		return false;
	struct item *line = *at;
	for (struct item *i = line; i; i = i->next) {
		if (i->lane == lane && i->from_seq <= to && i->to_seq > to)
			return false;
	}
	bool end = lvx_event_ends_segment(line->root);
	for (struct item **p = &line->next; *p && (*p)->from_seq <= to;) {
		if ((*p)->lane == lane) {
			json_t *old = unlink_item(h, p);
			end = lvx_event_ends_segment(old);
			json_decref(old);
		} else {
			p = &(*p)->next;
		}
	}
	if (end)
		json_object_set_new(root, "segment_end", json_true());
	json_decref(line->root);
	line->root = root;
	line->to_seq = to;
	return true;
}

bool lvx_hold_put(struct lvx_hold *h, const struct lvx_hub_event *e, json_t *root, int64_t now_us)
{
	if (e->kind == LVX_HUB_CORRECTION) {
		bool in_time = correct(h, e->lane, root);
		if (!in_time)
			json_decref(root);
		return in_time;
	}
	struct item *item = malloc(sizeof(*item));
	if (!item)
		abort();
	*item = (struct item){.lane = e->lane,
		.from_seq = e->seq,
		.to_seq = e->seq,
		.since_us = now_us,
		.root = root};
	*h->last = item;
	h->last = &item->next;
	return true;
}

bool lvx_hold_event(
	struct lvx_hold *hold, const struct lvx_hub_event *event, const char *whose)
{
	bool text = event->kind == LVX_HUB_TEXT || event->kind == LVX_HUB_CORRECTION;
	json_t *root = text ? lvx_event_json(event) : NULL;
	if (!root)
		return false;
	if (!lvx_hold_put(hold, event, root, lvx_now_us()))
		lvx_log_debug("a correction came too late for %s", whose);
	return true;
}

json_t *lvx_hold_take(struct lvx_hold *h, int64_t now_us, bool all, uint32_t *lane)
{
	if (!h->first || (!all && now_us - h->first->since_us < h->hold_us))
		return NULL;
	*lane = h->first->lane;
	return unlink_item(h, &h->first);
}

int64_t lvx_hold_begin_us(const struct lvx_hold *h)
{
	int64_t begin_us = INT64_MAX;
	/* The lanes' times are not in one order. */
	for (const struct item *i = h->first; i; i = i->next) {
		struct lvx_event_word first;
		if (lvx_event_word(i->root, &(size_t){0}, &first) && first.start_us < begin_us)
			begin_us = first.start_us;
	}
	return begin_us;
}
