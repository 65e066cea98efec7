/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/hub_priv.h"

#include "base/clock.h"
#include "daemon/json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const double lvx_latency_buckets_s[LVX_LATENCY_BUCKETS] = {
	0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0};

void lvx_hub_event_unref(struct lvx_hub_event *event)
{
	if (event && atomic_fetch_sub_explicit(&event->refs, 1, memory_order_acq_rel) == 1)
		free(event);
}

/* ---- appending; {lock} ---- */

static struct lvx_event_key next_key(const struct lvx_hub_stream *s)
{
	return (struct lvx_event_key){s->id, s->epoch, s->next_seq};
}

/* Makes an event of what is in s->scratch. */
static void append(struct lvx_hub_stream *s, enum lvx_hub_event_kind kind, uint32_t lane)
{
	size_t len = s->scratch.len;
	struct lvx_hub_event *e = malloc(sizeof(*e) + LVX_EVENT_HEADROOM + len);
	if (!e)
		abort();
	atomic_init(&e->refs, 1);
	e->kind = kind;
	e->lane = lane;
	e->seq = s->next_seq++;
	e->len = len;
	memset(e->data, 0, LVX_EVENT_HEADROOM);
	memcpy(e->data + LVX_EVENT_HEADROOM, s->scratch.data, len);
	lvx_text_clear(&s->scratch);

	uint32_t history = s->hub->params.history;
	struct lvx_hub_event **slot = &s->log[e->seq % history];
	lvx_hub_event_unref(*slot);
	*slot = e;
	if (s->next_seq - s->oldest_seq > history)
		s->oldest_seq = s->next_seq - history;
}

static void note_latency(struct lvx_hub_stream *s, int64_t latency_us)
{
	s->latency_us = latency_us;
	if (latency_us < 0)
		return;
	double seconds = (double)latency_us / 1e6;
	int i = 0;
	while (i < LVX_LATENCY_BUCKETS && seconds > lvx_latency_buckets_s[i])
		i++;
	s->latency_count[i]++;
	s->latency_sum_s += seconds;
}

static const char *language(const struct lvx_hub_stream *s, const struct lvx_lane_info *lane)
{
	return lvx_lane_language(lane,
		strcmp(lane->name, "translation") == 0 ? s->spec.translate_to
		: strcmp(lane->name, "caption") == 0   ? s->spec.language
						       : NULL);
}

bool lvx_hub_lane(const struct lvx_hub_stream *s, uint32_t lane, const char **name,
	const char **language_out)
{
	const struct lvx_model_info *model = lvx_engine_model(s->hub->params.engine);
	bool further = lane >= LVX_LANES_MAX;
	uint32_t index = lane - (further ? LVX_LANES_MAX : 0);
	if (lane >= LVX_HUB_LANES)
		return false;
	uint32_t own = further ? lvx_hub_further_lane(model, index) : lane;
	if (own >= model->n_lanes)
		return false;
	*name = model->lanes[own].name;
	*language_out = further ? lvx_hub_further_language(model, index)
				: language(s, &model->lanes[own]);
	return true;
}

/* f: the further row that says it, or NULL. */
static void append_text(struct lvx_hub_stream *s, struct further *f, const struct lvx_event *e,
	int64_t latency_us)
{
	const struct lvx_model_info *model = lvx_engine_model(s->hub->params.engine);
	bool is_word = e->kind == LVX_EVENT_WORD;
	if (e->lane >= model->n_lanes)
		return;
	const struct lvx_lane_info *lane = &model->lanes[e->lane];
	struct lane_log *log = f ? &f->log : &s->logs[e->lane];
	struct lvx_text_event text = {
		.lane = lane->name,
		.language = f ? lvx_hub_further_language(model, f->index) : language(s, lane),
		.segment = log->segment,
		.segment_end = e->segment_end,
		.latency_us = is_word ? latency_us : -1,
		.word = is_word ? e->text : NULL,
		.start_us = e->start_us,
		.end_us = e->end_us,
		.confidence = e->confidence,
	};
	struct lvx_event_key key = next_key(s);
	lvx_json_out_text(&s->scratch, &key, &text);
	append(s, LVX_HUB_TEXT, f ? LVX_LANES_MAX + f->index : e->lane);
	log->segment_open = !e->segment_end;
	log->segment += e->segment_end;
	if (is_word && !f)
		note_latency(s, latency_us);
}

void lvx_hub_log_event(struct lvx_hub_stream *s, const struct lvx_event *e, int64_t latency_us)
{
	pthread_mutex_lock(&s->lock);
	struct lvx_event_key key = next_key(s);
	switch (e->kind) {
	case LVX_EVENT_WORD:
		append_text(s, NULL, e, latency_us);
		break;
	case LVX_EVENT_ACTIVITY:
		lvx_json_out_activity(&s->scratch, &key, e);
		append(s, LVX_HUB_ACTIVITY, 0);
		/* An utterance that a pause ended, not a word. */
		if (e->segment_end && e->lane < LVX_LANES_MAX && s->logs[e->lane].segment_open)
			append_text(s, NULL, e, latency_us);
		break;
	case LVX_EVENT_GAP:
		s->gaps++;
		lvx_json_out_media_gap(&s->scratch, &key, e->start_us, e->end_us);
		append(s, LVX_HUB_GAP, 0);
		break;
	case LVX_EVENT_END:
		s->row_ended = true;
		pthread_cond_signal(&s->changed);
		break;
	}
	pthread_mutex_unlock(&s->lock);
}

void lvx_hub_log_further(
	struct lvx_hub_stream *s, struct further *f, const struct lvx_event *e, int64_t latency_us)
{
	pthread_mutex_lock(&s->lock);
	switch (e->kind) {
	case LVX_EVENT_WORD:
		append_text(s, f, e, latency_us);
		break;
	case LVX_EVENT_ACTIVITY: /* the own row has told of it, but for this row's segments */
		if (e->segment_end && f->log.segment_open)
			append_text(s, f, e, latency_us);
		break;
	case LVX_EVENT_GAP: /* the own row has told of it */
		break;
	case LVX_EVENT_END:
		f->ended = true;
		pthread_cond_signal(&s->changed);
		break;
	}
	pthread_mutex_unlock(&s->lock);
}

void lvx_hub_log_break(struct lvx_hub_stream *s, struct further *f)
{
	const struct lvx_model_info *model = lvx_engine_model(s->hub->params.engine);
	struct lvx_event e = {.kind = LVX_EVENT_ACTIVITY,
		.lane = lvx_hub_further_lane(model, f->index),
		.segment_end = true};
	if (f->log.segment_open)
		append_text(s, f, &e, -1);
}

void lvx_hub_log_state(struct lvx_hub_stream *s, enum lvx_source_state state, const char *msg)
{
	pthread_mutex_lock(&s->lock);
	if (!msg)
		msg = "";
	bool is_news = s->state != state || strncmp(s->message, msg, sizeof(s->message) - 1) != 0 ||
		       s->next_seq == 1;
	/* What failed has failed, whatever the source says while it is closed. */
	if (is_news && s->state != LVX_SOURCE_FAILED && !s->end_reason) {
		s->state = state;
		snprintf(s->message, sizeof(s->message), "%s", msg);
		struct lvx_event_key key = next_key(s);
		lvx_json_out_state(&s->scratch, &key, lvx_source_state_name(state), s->message);
		append(s, LVX_HUB_STATE, 0);
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t lvx_hub_log_correction(
	struct lvx_hub_stream *s, uint32_t lane, const struct lvx_correction_event *event)
{
	uint64_t seq = 0;
	pthread_mutex_lock(&s->lock);
	if (!s->end_reason) {
		struct lvx_event_key key = next_key(s);
		lvx_json_out_correction(&s->scratch, &key, event);
		append(s, LVX_HUB_CORRECTION, lane);
		seq = key.seq;
	}
	pthread_mutex_unlock(&s->lock);
	return seq;
}

void lvx_hub_log_output(struct lvx_hub_stream *s, const char *output, bool well, const char *msg)
{
	pthread_mutex_lock(&s->lock);
	if (!s->end_reason) {
		struct lvx_event_key key = next_key(s);
		lvx_json_out_output(&s->scratch, &key, output, well, msg);
		append(s, LVX_HUB_OUTPUT, 0);
	}
	pthread_mutex_unlock(&s->lock);
}

void lvx_hub_log_dead_air(struct lvx_hub_stream *s, bool over, int64_t silent_us)
{
	pthread_mutex_lock(&s->lock);
	if (!s->end_reason) {
		struct lvx_event_key key = next_key(s);
		lvx_json_out_dead_air(&s->scratch, &key, over, silent_us);
		append(s, LVX_HUB_DEAD_AIR, 0);
	}
	pthread_mutex_unlock(&s->lock);
}

void lvx_hub_log_end(struct lvx_hub_stream *s, const char *reason)
{
	pthread_mutex_lock(&s->lock);
	struct lvx_event_key key = next_key(s);
	lvx_json_out_end(&s->scratch, &key, reason, s->message);
	append(s, LVX_HUB_END, 0);
	s->end_reason = reason;
	s->unwatched_us = lvx_now_us();
	pthread_mutex_unlock(&s->lock);
}

void lvx_hub_log_free(struct lvx_hub_stream *s)
{
	for (uint32_t i = 0; i < s->hub->params.history; i++)
		lvx_hub_event_unref(s->log[i]);
	free(s->log);
	lvx_text_finish(&s->scratch);
}

/* ---- reading ---- */

void lvx_hub_range(struct lvx_hub_stream *s, uint64_t *oldest, uint64_t *next)
{
	pthread_mutex_lock(&s->lock);
	*oldest = s->oldest_seq;
	*next = s->next_seq;
	pthread_mutex_unlock(&s->lock);
}

static bool wanted(const struct lvx_hub_reader *r, const struct lvx_hub_event *e)
{
	if (e->kind == LVX_HUB_TEXT || e->kind == LVX_HUB_CORRECTION)
		return e->lane < LVX_LANES_MAX ? r->lanes >> e->lane & 1
					       : r->further >> (e->lane - LVX_LANES_MAX) & 1;
	return e->kind != LVX_HUB_ACTIVITY || r->activity;
}

enum lvx_status lvx_hub_next(
	struct lvx_hub_stream *s, struct lvx_hub_reader *r, struct lvx_hub_event **out)
{
	enum lvx_status st = LVX_AGAIN;
	pthread_mutex_lock(&s->lock);
	if (r->next < s->oldest_seq) {
		st = LVX_GAP;
	} else {
		while (r->next < s->next_seq && st != LVX_OK) {
			struct lvx_hub_event *e = s->log[r->next % s->hub->params.history];
			r->next++;
			if (!wanted(r, e))
				continue;
			atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
			*out = e;
			st = LVX_OK;
		}
		if (st == LVX_AGAIN && s->end_reason)
			st = LVX_END;
	}
	pthread_mutex_unlock(&s->lock);
	return st;
}

void lvx_hub_count_reader(struct lvx_hub_stream *s, int n)
{
	pthread_mutex_lock(&s->lock);
	s->readers = (uint32_t)((int64_t)s->readers + n);
	s->unwatched_us = lvx_now_us();
	pthread_mutex_unlock(&s->lock);
}
