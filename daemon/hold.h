/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's text on its way to an output that is late on purpose, so that someone may
 * correct a line before it leaves. It takes the hub's TEXT and CORRECTION events in their
 * order and gives them back, corrected, when they have waited. Any such output has one a
 * stream, and tells the hub how late it is (lvx_hub_note_hold). One thread at a time.
 */
#ifndef LVX_DAEMON_HOLD_H
#define LVX_DAEMON_HOLD_H

#include "daemon/hub.h"

#include <jansson.h>

enum { LVX_HOLD_MAX_S = 600 };

struct lvx_hold;

struct lvx_hold *lvx_hold_create(
	int64_t hold_us);                     /* 0: gives back at once; aborts without memory */
void lvx_hold_destroy(struct lvx_hold *hold); /* NULL is fine */
/* root: the event as JSON, whose reference is taken. False: a correction that came too
 * late, because a word of its line has left already; it is dropped. */
bool lvx_hold_put(
	struct lvx_hold *hold, const struct lvx_hub_event *event, json_t *root, int64_t now_us);
/* The same of any event of the hub, now. False: it is none of text, so nothing was done. whose: the
 * output and its option, for the log, where a correction comes too late. */
bool lvx_hold_event(struct lvx_hold *hold, const struct lvx_hub_event *event, const char *whose);
/*
 * The next event that has waited long enough, or (all) the next one: a text event, or a
 * correction that stands for one, with "words", "lane" and "language"; "segment_end" is
 * there if it is true. The caller's reference; NULL: none.
 */
json_t *lvx_hold_take(struct lvx_hold *hold, int64_t now_us, bool all, uint32_t *lane);
/* Nothing that will still be given back begins before; INT64_MAX: nothing is held. */
int64_t lvx_hold_begin_us(const struct lvx_hold *hold);

#endif
