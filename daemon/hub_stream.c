/* SPDX-License-Identifier: Apache-2.0 */
/* What one stream is asked: what it is and where, its lanes, the bytes that are pushed to it. */
#include "daemon/hub_priv.h"

#include <string.h>

const struct lvx_model_info *lvx_hub_model(const struct lvx_hub_stream *s)
{
	return lvx_engine_model(s->hub->params.engine);
}

const char *lvx_hub_id(const struct lvx_hub_stream *s)
{
	return s->id;
}

struct lvx_units *lvx_hub_units(struct lvx_hub_stream *s)
{
	return s->units;
}

void lvx_hub_note_output(
	struct lvx_hub_stream *s, const char *output, bool well, const char *message)
{
	lvx_hub_log_output(s, output, well, message);
	lvx_hub_news(s->hub);
}

int64_t lvx_hub_epoch(const struct lvx_hub_stream *s)
{
	return s->epoch;
}

const char *lvx_hub_language(const struct lvx_hub_stream *s)
{
	const struct lvx_model_info *model = lvx_engine_model(s->hub->params.engine);
	int lane = lvx_model_info_lane(model, "caption");
	return lane >= 0 ? lvx_lane_language(&model->lanes[lane], s->spec.language) : NULL;
}

static int64_t delay_us(const struct lvx_hub *hub, uint32_t slots)
{
	return (int64_t)slots * lvx_engine_model(hub->params.engine)->slot_us;
}

int64_t lvx_hub_delay_us(const struct lvx_hub_stream *s)
{
	return delay_us(s->hub, s->spec.delay_slots);
}

int64_t lvx_hub_default_delay_us(const struct lvx_hub *hub)
{
	return delay_us(hub, hub->params.default_delay_slots);
}

void lvx_hub_get_info(struct lvx_hub_stream *s, struct lvx_hub_info *out)
{
	memset(out, 0, sizeof(*out));
	bool open = false;
	pthread_mutex_lock(&s->handle_lock);
	if (s->handle) {
		lvx_stream_get_stats(s->handle, &out->stream);
		open = true;
	}
	pthread_mutex_unlock(&s->handle_lock);

	pthread_mutex_lock(&s->lock);
	if (!open)
		out->stream = s->last_stats;
	snprintf(out->state, sizeof(out->state), "%s", lvx_source_state_name(s->state));
	memcpy(out->message, s->message, sizeof(out->message));
	snprintf(out->reason, sizeof(out->reason), "%s", s->end_reason ? s->end_reason : "");
	out->id = s->id;
	out->uri = s->shown_uri;
	out->translate_to = s->spec.translate_to;
	out->language = lvx_hub_language(s);
	out->delay_us = lvx_hub_delay_us(s);
	out->created_us = s->created_us;
	out->epoch = s->epoch;
	out->oldest_seq = s->oldest_seq;
	out->next_seq = s->next_seq;
	out->lanes = s->lanes;
	out->readers = s->readers;
	for (uint32_t i = 0; i < LVX_FURTHER_MAX; i++) {
		out->further_viewers[i] = s->further[i].viewers;
		out->further |= (uint32_t)s->further[i].open << i;
	}
	out->events = s->next_seq - 1;
	out->gaps = s->gaps;
	out->hold_us = s->hold_us;
	out->described = s->spec.described;
	out->latency_us = s->latency_us;
	memcpy(out->latency_count, s->latency_count, sizeof(out->latency_count));
	out->latency_sum_s = s->latency_sum_s;
	pthread_mutex_unlock(&s->lock);
}

/* ---- acting on one ---- */

void lvx_hub_note_hold(struct lvx_hub_stream *s, int64_t hold_us)
{
	pthread_mutex_lock(&s->lock);
	s->hold_us = hold_us > s->hold_us ? hold_us : s->hold_us;
	pthread_mutex_unlock(&s->lock);
}

enum lvx_status lvx_hub_set_lanes(struct lvx_hub_stream *s, uint32_t lanes, struct lvx_error *err)
{
	const struct lvx_model_info *model = lvx_engine_model(s->hub->params.engine);
	int lane = lvx_model_info_lane(model, "translation");
	if (lane >= 0 && (lanes & 1u << lane) && !s->spec.translate_to)
		return lvx_fail(err, LVX_EINVAL,
			"stream '%s' was made without a language to translate to", s->id);
	pthread_mutex_lock(&s->handle_lock);
	pthread_mutex_lock(&s->lock);
	s->lanes = lanes;
	pthread_mutex_unlock(&s->lock);
	if (s->handle)
		lvx_stream_set_lanes(s->handle, lanes);
	pthread_mutex_unlock(&s->handle_lock);
	return LVX_OK;
}

enum lvx_status lvx_hub_push(
	struct lvx_hub_stream *s, const uint8_t *data, size_t len, size_t *taken)
{
	*taken = 0;
	pthread_mutex_lock(&s->handle_lock);
	enum lvx_status st = LVX_AGAIN;
	if (s->handle)
		st = lvx_stream_push(s->handle, data, len, taken);
	else if (lvx_hub_has_ended(s))
		st = LVX_END;
	pthread_mutex_unlock(&s->handle_lock);
	return st;
}

void lvx_hub_push_finish(struct lvx_hub_stream *s, bool vanished)
{
	pthread_mutex_lock(&s->lock);
	s->vanished = s->vanished || vanished;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&s->handle_lock);
	if (s->handle)
		lvx_stream_push_finish(s->handle);
	else
		s->finish_wanted = true;
	pthread_mutex_unlock(&s->handle_lock);
}
