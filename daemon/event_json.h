/* SPDX-License-Identifier: Apache-2.0 */
/* What a hub's event says, read back from its JSON, for those who work with its words. Free-threaded. */
#ifndef LVX_DAEMON_EVENT_JSON_H
#define LVX_DAEMON_EVENT_JSON_H

#include "daemon/hub.h"

#include <jansson.h>
#include <stdbool.h>

/* The caller's reference; NULL: it is none (it is sound, or there is no memory). */
json_t *lvx_event_json(const struct lvx_hub_event *event);

struct lvx_event_word {
	const char *text; /* borrowed from the event, as json is; not empty */
	int64_t start_us, end_us;
	double confidence;
	json_t *json;
};
/* The next word of an event of text, or of a correction; *i: 0 before the first. False: it was the
 * last. */
bool lvx_event_word(const json_t *event, size_t *i, struct lvx_event_word *out);
/* Is the segment over with it? */
bool lvx_event_ends_segment(const json_t *event);

#endif
