/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further rows: what viewers ask for and the stream's own row does not make. They are
 * admitted on the viewer's thread, opened and closed by the stream's keeper, and
 * stay for a while after their last viewer has left, so that one who reconnects
 * misses nothing; but at once they give way to whoever needs a row.
 */
#include "daemon/hub_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

static const struct lvx_model_info *model_of(const struct lvx_hub_stream *s)
{
	return lvx_engine_model(s->hub->params.engine);
}

uint32_t lvx_hub_further_lane(const struct lvx_model_info *model, uint32_t index)
{
	if (index >= LVX_LANGUAGES_MAX)
		return index - LVX_LANGUAGES_MAX;
	int lane = lvx_model_info_lane(model, "translation");
	return lane >= 0 ? (uint32_t)lane : 0;
}

const char *lvx_hub_further_language(const struct lvx_model_info *model, uint32_t index)
{
	const struct lvx_lane_info *lane = &model->lanes[lvx_hub_further_lane(model, index)];
	if (index < LVX_LANGUAGES_MAX)
		return lane->languages[index];
	return lvx_lane_language(lane, NULL);
}

static void tell_keeper(struct lvx_hub_stream *s) /* {s->lock} */
{
	s->further_changed = true;
	pthread_cond_signal(&s->changed);
}

/* ---- admission ---- */

static void release(struct lvx_hub_stream *s, struct further *f) /* {hub->lock} */
{
	s->hub->n_further -= f->reserved;
	f->reserved = false;
}

/* Takes the place of one that has no viewers. */
static bool evict_idle(struct lvx_hub *hub) /* {hub->lock} */
{
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list) {
		for (int i = 0; i < LVX_FURTHER_MAX; i++) {
			struct further *f = &s->further[i];
			pthread_mutex_lock(&s->lock);
			bool idle = f->reserved && f->viewers == 0;
			if (idle)
				f->unwatched_us = INT64_MIN / 2; /* its time is over */
			tell_keeper(s);
			pthread_mutex_unlock(&s->lock);
			if (!idle)
				continue;
			release(s, f);
			return true;
		}
	}
	return false;
}

bool lvx_hub_make_room(struct lvx_hub *hub)
{
	return hub->n_running + hub->n_further < hub->params.max_streams || evict_idle(hub);
}

static enum lvx_status admit(struct lvx_hub_stream *s, struct further *f, struct lvx_error *err)
{
	struct lvx_hub *hub = s->hub;
	if (f->reserved)
		return LVX_OK;
	if (hub->device_failed)
		return lvx_fail(err, LVX_EDEVICE, "the compute device failed: %s", hub->device_why);
	if (hub->params.max_further == 0)
		return lvx_fail(err, LVX_ELIMIT,
			"viewers may have no rows of their own here (--viewer-rows)");
	if (hub->n_further >= hub->params.max_further && !evict_idle(hub))
		return lvx_fail(err, LVX_ELIMIT,
			"viewers have all %" PRIu32 " rows that they may have (--viewer-rows)",
			hub->params.max_further);
	if (!lvx_hub_make_room(hub))
		return lvx_fail(err, LVX_ELIMIT, "all %" PRIu32 " rows are taken (--rows)",
			hub->params.max_streams);
	f->reserved = true;
	hub->n_further++;
	return LVX_OK;
}

/* Which further rows make what is asked for; and what of it the own row is left with. */
static enum lvx_status choose(const struct lvx_hub_stream *s, uint32_t lanes,
	const char *translate_to, struct lvx_hub_reader *r, struct lvx_error *err) /* {s->lock} */
{
	const struct lvx_model_info *model = model_of(s);
	int lane = lvx_model_info_lane(model, "translation");
	uint32_t translation = lane >= 0 ? 1u << lane : 0;
	r->lanes = lanes ? lanes : UINT32_MAX;
	r->further = 0;
	if (translate_to && !(r->lanes & translation))
		return lvx_fail(err, LVX_EINVAL,
			"'translate_to' is of use with the translation lane only");
	bool own = s->spec.translate_to && (s->lanes & translation) &&
		   (!translate_to || strcmp(translate_to, s->spec.translate_to) == 0);
	if (translate_to && !own) {
		enum lvx_status st = lvx_model_info_check_languages(
			model, s->id, s->spec.language, translate_to, err);
		if (st != LVX_OK)
			return st;
		r->further |= 1u << lvx_lane_find(&model->lanes[lane], translate_to);
		r->lanes &= ~translation;
	}
	int caption = lvx_model_info_lane(model, "caption");
	for (uint32_t i = 0; lanes && i < model->n_lanes; i++) {
		if (!(lanes >> i & 1) || (s->lanes >> i & 1) || (int)i == lane ||
			(int)i == caption)
			continue;
		r->further |= 1u << (LVX_LANGUAGES_MAX + i);
		r->lanes &= ~(1u << i);
	}
	return LVX_OK;
}

enum lvx_status lvx_hub_watch(struct lvx_hub_stream *s, uint32_t lanes, const char *translate_to,
	struct lvx_hub_reader *r, struct lvx_error *err)
{
	enum lvx_status st;
	pthread_mutex_lock(&s->hub->lock);
	pthread_mutex_lock(&s->lock);
	st = choose(s, lanes, translate_to, r, err);
	bool over = s->row_ended || s->close_wanted || s->end_reason;
	pthread_mutex_unlock(&s->lock);
	/* What has ended makes nothing more, but may have made it. */
	for (uint32_t i = 0; i < LVX_FURTHER_MAX && st == LVX_OK && !over; i++)
		if (r->further >> i & 1)
			st = admit(s, &s->further[i], err);
	if (st == LVX_OK) {
		pthread_mutex_lock(&s->lock);
		for (uint32_t i = 0; i < LVX_FURTHER_MAX; i++)
			s->further[i].viewers += r->further >> i & 1;
		s->readers++;
		tell_keeper(s);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->hub->lock);
	return st;
}

void lvx_hub_unwatch(struct lvx_hub_stream *s, const struct lvx_hub_reader *r)
{
	pthread_mutex_lock(&s->lock);
	for (uint32_t i = 0; i < LVX_FURTHER_MAX; i++) {
		if (!(r->further >> i & 1) || --s->further[i].viewers > 0)
			continue;
		s->further[i].unwatched_us = lvx_now_us();
		tell_keeper(s);
	}
	s->readers--;
	s->unwatched_us = lvx_now_us();
	pthread_mutex_unlock(&s->lock);
}

/* ---- the keeper's ---- */

/* Model thread. */
static void on_event(void *user, const struct lvx_event *event)
{
	struct further *f = user;
	int64_t latency_us = -1;
	if (event->kind == LVX_EVENT_WORD)
		latency_us = lvx_stream_latency_us(f->of->inner, event->end_us);
	lvx_hub_log_further(f->of, f, event, latency_us);
	lvx_hub_news(f->of->hub);
}

static bool take_row(struct lvx_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	bool taken = hub->n_rows_taken < hub->params.max_streams;
	hub->n_rows_taken += taken;
	pthread_mutex_unlock(&hub->lock);
	return taken;
}

static void give_row(struct lvx_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	hub->n_rows_taken--;
	pthread_cond_broadcast(&hub->row_free);
	pthread_mutex_unlock(&hub->lock);
}

/* False: there is no row yet. */
static bool open_one(struct lvx_hub_stream *s, uint32_t i)
{
	struct further *f = &s->further[i];
	const struct lvx_model_info *model = model_of(s);
	struct lvx_error err = {0};
	if (!take_row(s->hub))
		return false;
	f->of = s;
	f->index = i;
	struct lvx_stream_further p = {
		.lanes = 1u << lvx_hub_further_lane(model, i),
		.translate_to =
			i < LVX_LANGUAGES_MAX ? lvx_hub_further_language(model, i) : NULL,
		.on_event = on_event,
		.user = f,
	};
	enum lvx_status st = lvx_stream_open_further(s->inner, &p, &f->row, &err);
	const char *language = lvx_hub_further_language(model, i);
	if (st == LVX_OK) {
		lvx_log_info("stream %s: %s%s%s for its viewers", s->id,
			model->lanes[lvx_hub_further_lane(model, i)].name, language ? " " : "",
			language ? language : "");
	} else {
		lvx_log_warn("stream %s: no further row: %s", s->id, err.msg);
		give_row(s->hub);
	}
	pthread_mutex_lock(&s->lock);
	f->open = st == LVX_OK;
	f->failed = st != LVX_OK;
	f->ended = false;
	pthread_mutex_unlock(&s->lock);
	return true;
}

static void close_one(struct lvx_hub_stream *s, struct further *f)
{
	lvx_stream_close_further(s->inner, f->row);
	pthread_mutex_lock(&s->lock);
	f->open = f->ended = false;
	lvx_hub_log_break(s, f);
	pthread_mutex_unlock(&s->lock);
	give_row(s->hub);
	lvx_hub_news(s->hub);
}

/* Nobody is there for it, and nobody has been for a while. */
static bool is_idle(const struct further *f, int64_t linger_us) /* {s->lock} */
{
	return f->viewers == 0 && lvx_now_us() - f->unwatched_us >= linger_us;
}

int64_t lvx_hub_further_work(struct lvx_hub_stream *s)
{
	struct lvx_hub *hub = s->hub;
	int64_t linger_us = hub->params.further_linger_us, wait_us = -1;
	for (uint32_t i = 0; i < LVX_FURTHER_MAX; i++) {
		struct further *f = &s->further[i];
		pthread_mutex_lock(&hub->lock);
		pthread_mutex_lock(&s->lock);
		bool idle = is_idle(f, linger_us);
		bool shut = f->open && idle;
		bool wanted = f->viewers > 0 && !f->open && !f->failed && !s->row_ended;
		int64_t left_us = f->open && f->viewers == 0
					  ? f->unwatched_us + linger_us - lvx_now_us()
					  : -1;
		if (idle) {
			release(s, f);
			f->failed = false;
		}
		pthread_mutex_unlock(&s->lock);
		pthread_mutex_unlock(&hub->lock);
		if (shut)
			close_one(s, f);
		else if (wanted && !open_one(s, i))
			left_us = 20000; /* a row that is being given back */
		if (!shut && left_us >= 0 && (wait_us < 0 || left_us < wait_us))
			wait_us = left_us;
	}
	return wait_us;
}

bool lvx_hub_further_ended(const struct lvx_hub_stream *s)
{
	for (int i = 0; i < LVX_FURTHER_MAX; i++)
		if (s->further[i].open && !s->further[i].ended)
			return false;
	return true;
}

void lvx_hub_further_close(struct lvx_hub_stream *s)
{
	for (int i = 0; i < LVX_FURTHER_MAX; i++) {
		struct further *f = &s->further[i];
		if (f->open)
			close_one(s, f);
		pthread_mutex_lock(&s->hub->lock);
		release(s, f);
		pthread_mutex_unlock(&s->hub->lock);
	}
}
