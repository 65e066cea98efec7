/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/stream.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/text.h"
#include "pipeline/extractor.h"

#include <stdatomic.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define START_UNKNOWN INT64_MAX
/* The offset between timeline and clock is the least of this long, so that the drift of
 * a source's clock does not add up to a false delay over days. */
#define START_WINDOW_US 30000000

struct lvx_stream {
	struct lvx_engine *engine;
	struct lvx_stream_callbacks cb;
	struct lvx_ring *ring;
	struct lvx_source *source; /* or */
	struct lvx_push *push;
	struct lvx_glossary *glossary; /* referenced, or NULL */
	uint32_t row;
	uint32_t sample_rate;
	int64_t slot_us;
	bool real_time; /* sound comes as fast as it is heard */

	/* Model thread only. */
	struct lvx_extractor *extractor;
	int64_t window_begin_us;
	int64_t start_this, start_last; /* least (now - newest) of this window and of the last */

	_Atomic int64_t heard_us, start_mono_us, start_wall_us;
	_Atomic uint64_t words, overruns;
	_Atomic int state;
};

/* ---- model thread ---- */

/*
 * When was timeline 0 heard? Never later than (now - the newest sample's time),
 * and just then if that sample has come without delay: so the least of them.
 */
static void note_start(struct lvx_stream *s, int64_t slot_end_us)
{
	struct lvx_ring_stats rs;
	lvx_ring_get_stats(s->ring, &rs);
	int64_t now_us = lvx_now_us();
	int64_t newest_us = slot_end_us;
	/* What waits in the ring is newer still. A jump back makes the sum below wrong. */
	if (rs.n_jumps_back == 0) {
		int64_t written_us =
			(int64_t)(rs.samples_written * 1000000 / s->sample_rate) + rs.gap_us;
		if (written_us > newest_us)
			newest_us = written_us;
	}
	if (now_us - s->window_begin_us >= START_WINDOW_US) {
		s->start_last = s->start_this;
		s->start_this = START_UNKNOWN;
		s->window_begin_us = now_us;
	}
	int64_t start_us = now_us - newest_us;
	if (start_us < s->start_this)
		s->start_this = start_us;
	int64_t least = s->start_this < s->start_last ? s->start_this : s->start_last;
	if (least == atomic_load_explicit(&s->start_mono_us, memory_order_relaxed))
		return;
	atomic_store_explicit(&s->start_mono_us, least, memory_order_relaxed);
	atomic_store_explicit(
		&s->start_wall_us, lvx_wall_us() - (now_us - least), memory_order_relaxed);
}

static enum lvx_status feed(void *user, struct lvx_feed_item *item, float *values)
{
	struct lvx_stream *s = user;
	struct lvx_feature f;
	enum lvx_status st = lvx_extractor_next(s->extractor, &f, values);
	if (st != LVX_OK)
		return st;
	item->pts_us = f.pts_us;
	item->gap_us = f.gap_us;
	if (f.kind == LVX_FEATURE_PICTURE) {
		item->kind = LVX_FEED_PICTURE;
		item->changed = f.changed;
		return LVX_OK;
	}
	item->kind = LVX_FEED_SLOT;
	int64_t end_us = f.pts_us + s->slot_us;
	atomic_store_explicit(&s->heard_us, end_us, memory_order_relaxed);
	atomic_store_explicit(
		&s->overruns, lvx_extractor_overruns(s->extractor), memory_order_relaxed);
	if (s->real_time)
		note_start(s, end_us);
	return LVX_OK;
}

static void on_event(void *user, const struct lvx_event *event)
{
	struct lvx_stream *s = user;
	if (event->kind == LVX_EVENT_WORD)
		atomic_fetch_add_explicit(&s->words, 1, memory_order_relaxed);
	if (s->cb.on_event)
		s->cb.on_event(s->cb.user, event);
}

/* ---- any thread ---- */

static void on_state(void *user, enum lvx_source_state state, const char *msg)
{
	struct lvx_stream *s = user;
	atomic_store_explicit(&s->state, (int)state, memory_order_relaxed);
	if (s->cb.on_state)
		s->cb.on_state(s->cb.user, state, msg);
}

static void on_room(void *user)
{
	struct lvx_stream *s = user;
	if (s->cb.on_room)
		s->cb.on_room(s->cb.user);
}

int64_t lvx_stream_latency_us(const struct lvx_stream *s, int64_t end_us)
{
	int64_t start_us = atomic_load_explicit(&s->start_mono_us, memory_order_relaxed);
	if (start_us == START_UNKNOWN)
		return -1;
	int64_t latency_us = lvx_now_us() - (start_us + end_us);
	return latency_us < 0 ? 0 : latency_us;
}

/* ---- set-up ---- */

static enum lvx_status open_ring(struct lvx_stream *s, const struct lvx_stream_params *p,
	const struct lvx_frontend_spec *spec, struct lvx_error *err)
{
	struct lvx_ring_params rp = {
		.sample_rate = spec->audio.sample_rate,
		.capacity_us = p->ring_us > 0 ? p->ring_us : 30000000,
		.mode = s->real_time ? LVX_RING_LIVE : LVX_RING_PACED,
		.picture_width = spec->image.enabled ? spec->image.width : 0,
		.picture_height = spec->image.enabled ? spec->image.height : 0,
		.n_pictures = spec->image.enabled ? 8 : 0,
	};
	enum lvx_status st = lvx_ring_create(&s->ring, &rp, err);
	if (st != LVX_OK)
		return st;
	return lvx_extractor_create(&s->extractor, s->ring, spec, !s->real_time, err);
}

static enum lvx_status open_input(struct lvx_stream *s, const struct lvx_stream_params *p,
	bool pictures, struct lvx_error *err)
{
	struct lvx_source_callbacks cb = {.user = s, .on_state = on_state};
	if (p->source) {
		struct lvx_source_params sp = *p->source;
		sp.want_pictures = pictures;
		sp.units = p->units;
		return lvx_source_open(&s->source, &sp, s->ring, &cb, err);
	}
	struct lvx_push_params pp = *p->push;
	pp.want_pictures = pictures;
	pp.units = p->units;
	enum lvx_status st = lvx_push_open(&s->push, &pp, s->ring, &cb, err);
	if (st == LVX_OK)
		lvx_push_set_room(s->push, on_room, s);
	return st;
}

static uint32_t count_words(const char *text)
{
	uint32_t n = 0;
	for (text += strspn(text, " \t\n\v\f\r"); *text; n++) {
		text += strcspn(text, " \t\n\v\f\r");
		text += strspn(text, " \t\n\v\f\r");
	}
	return n;
}

/* A row of the engine, which expects the prefix and the glossary. */
static enum lvx_status add_row(struct lvx_stream *s, const struct lvx_stream_params *p,
	struct lvx_error *err)
{
	const struct lvx_spelling *spelling =
		p->glossary ? lvx_glossary_spelling(p->glossary) : NULL;
	struct lvx_text prefix = {0};
	uint32_t n_words = UINT32_MAX;
	if (p->prefix)
		lvx_text_printf(&prefix, "%s ", p->prefix);
	size_t terms_at = p->prefix_is_terms ? 0 : prefix.len;
	if (p->glossary)
		lvx_text_printf(&prefix, "%s", lvx_glossary_words(p->glossary));
	struct lvx_row_params row = {
		.lanes = p->lanes,
		.translate_to = p->translate_to,
		.language = p->language,
		.delay_slots = p->delay_slots,
		.prefix = prefix.data,
		.n_prefix_words = &n_words,
		.favour = prefix.data ? prefix.data + terms_at : NULL,
		.spelling = spelling,
		.feed = feed,
		.on_event = on_event,
		.user = s,
	};
	enum lvx_status st = lvx_engine_add(s->engine, &row, &s->row, err);
	uint32_t all = prefix.data ? count_words(prefix.data) : 0;
	if (st == LVX_OK && n_words < all)
		lvx_log_warn("%s: the model takes %" PRIu32 " of the %" PRIu32
			     " words of prefix and glossary (it has %" PRIu32 " tokens for them)",
			p->source ? p->source->uri : "push", n_words, all,
			lvx_engine_model(s->engine)->max_prefix);
	lvx_text_finish(&prefix);
	return st;
}

enum lvx_status lvx_stream_open(struct lvx_stream **out, struct lvx_engine *engine,
	const struct lvx_stream_params *p, const struct lvx_stream_callbacks *cb,
	struct lvx_error *err)
{
	if (!p->source == !p->push)
		return lvx_fail(
			err, LVX_EINVAL, "stream: exactly one of source and push is wanted");
	struct lvx_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return lvx_fail(err, LVX_ENOMEM, "stream: out of memory");
	const struct lvx_model_info *model = lvx_engine_model(engine);
	s->engine = engine;
	s->cb = *cb;
	s->sample_rate = model->frontend.audio.sample_rate;
	s->slot_us = model->slot_us;
	s->real_time =
		p->live || (p->source && (p->source->pace == LVX_PACE_CLOCK || p->source->live ||
						 lvx_source_uri_is_live(p->source->uri)));
	s->start_this = START_UNKNOWN;
	s->start_last = START_UNKNOWN;
	s->window_begin_us = lvx_now_us();
	atomic_store(&s->start_mono_us, START_UNKNOWN);
	atomic_store(&s->state, LVX_SOURCE_STARTING);

	enum lvx_status st = open_ring(s, p, &model->frontend, err);
	if (st != LVX_OK)
		goto fail_ring;
	*out = s; /* before the first callback */
	s->glossary = lvx_glossary_ref(p->glossary);
	st = add_row(s, p, err);
	if (st != LVX_OK)
		goto fail_ring;
	lvx_ring_set_bell(s->ring, lvx_engine_bell(engine, s->row));
	st = open_input(s, p, model->frontend.image.enabled, err);
	if (st != LVX_OK)
		goto fail_row;
	return LVX_OK;
fail_row:
	lvx_engine_remove(engine, s->row);
fail_ring:
	*out = NULL;
	lvx_extractor_destroy(s->extractor);
	lvx_ring_destroy(s->ring);
	lvx_glossary_unref(s->glossary);
	free(s);
	return st;
}

void lvx_stream_close(struct lvx_stream *s)
{
	if (!s)
		return;
	/* The producer first: nothing writes any more; then the row: nothing reads any more. */
	lvx_source_close(s->source);
	lvx_push_close(s->push);
	lvx_engine_remove(s->engine, s->row);
	lvx_extractor_destroy(s->extractor);
	lvx_ring_destroy(s->ring);
	lvx_glossary_unref(s->glossary);
	free(s);
}

enum lvx_status lvx_stream_push(
	struct lvx_stream *s, const uint8_t *data, size_t len, size_t *taken)
{
	*taken = 0;
	if (!s->push)
		return LVX_EUNSUPPORTED;
	return lvx_push_write(s->push, data, len, taken);
}

void lvx_stream_push_finish(struct lvx_stream *s)
{
	if (s->push)
		lvx_push_finish(s->push);
}

enum lvx_status lvx_stream_open_further(struct lvx_stream *s, const struct lvx_stream_further *p,
	uint32_t *row, struct lvx_error *err)
{
	struct lvx_row_params rp = {
		.lanes = p->lanes,
		.translate_to = p->translate_to,
		.follows = true,
		.of = s->row,
		.spelling = s->glossary ? lvx_glossary_spelling(s->glossary) : NULL,
		.on_event = p->on_event,
		.user = p->user,
	};
	return lvx_engine_add(s->engine, &rp, row, err);
}

void lvx_stream_close_further(struct lvx_stream *s, uint32_t row)
{
	lvx_engine_remove(s->engine, row);
}

void lvx_stream_set_lanes(struct lvx_stream *s, uint32_t lanes)
{
	lvx_engine_set_lanes(s->engine, s->row, lanes);
}

void lvx_stream_get_stats(struct lvx_stream *s, struct lvx_stream_stats *out)
{
	*out = (struct lvx_stream_stats){
		.source.duration_us = -1,
		.state = (enum lvx_source_state)atomic_load(&s->state),
		.heard_us = atomic_load(&s->heard_us),
		.start_wall_us = atomic_load(&s->start_wall_us),
		.words = atomic_load(&s->words),
		.overruns = atomic_load(&s->overruns),
	};
	int64_t start_us = atomic_load(&s->start_mono_us);
	out->start_mono_us = start_us == START_UNKNOWN ? 0 : start_us;
	if (s->source)
		lvx_source_get_stats(s->source, &out->source);
	else if (s->push)
		lvx_push_get_stats(s->push, &out->source);
	out->duration_us = out->source.duration_us;
	lvx_ring_get_stats(s->ring, &out->ring);
}
