/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/event_json.h"

#include "base/json.h"

json_t *lvx_event_json(const struct lvx_hub_event *event)
{
	struct lvx_error err;
	json_t *root;
	enum lvx_status st = event->kind == LVX_HUB_SOUND
				     ? LVX_EINVAL
				     : lvx_json_parse(&root, "event",
					       event->data + LVX_EVENT_HEADROOM, event->len, &err);
	return st == LVX_OK ? root : NULL;
}

bool lvx_event_word(const json_t *event, size_t *i, struct lvx_event_word *out)
{
	json_t *word;
	while ((word = json_array_get(json_object_get(event, "words"), *i))) {
		++*i;
		*out = (struct lvx_event_word){
			.text = json_string_value(json_object_get(word, "text")),
			.start_us = json_integer_value(json_object_get(word, "start_us")),
			.end_us = json_integer_value(json_object_get(word, "end_us")),
			.confidence = json_number_value(json_object_get(word, "confidence")),
			.json = word,
		};
		if (out->text && out->text[0])
			return true;
	}
	return false;
}

bool lvx_event_ends_segment(const json_t *event)
{
	return json_is_true(json_object_get(event, "segment_end"));
}
