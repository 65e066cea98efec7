/* SPDX-License-Identifier: Apache-2.0 */
/* The stream behind a door: sound in, events out, and where in the client's time they lie. */
#include "daemon/doors/door_priv.h"

#include "base/log.h"

#include <string.h>

enum { QUEUE = 262144, LOOK_US = 20000, HEARD_LAG_SLOTS = 4 };

/* ---- time ---- */

static int64_t sent_us(const struct lvx_door *d)
{
	uint64_t rate = (uint64_t)d->sound.sample_rate * d->sound.channels * 2;
	return rate > 0
		       ? (int64_t)(d->n_bytes / rate * 1000000 + d->n_bytes % rate * 1000000 / rate)
		       : 0;
}

static int64_t client_us(const struct lvx_door *d, int64_t stream_us)
{
	int64_t us = stream_us - d->base_us;
	for (uint32_t i = 0; i < d->n_cuts && stream_us > d->cuts[i].at_us; i++) {
		int64_t within = stream_us - d->cuts[i].at_us;
		us -= within < d->cuts[i].len_us ? within : d->cuts[i].len_us;
	}
	return us > d->floor_us ? us : d->floor_us;
}

int64_t lvx_door_sent_us(const struct lvx_door *d)
{
	return client_us(d, sent_us(d));
}

int64_t lvx_door_flush_us(const struct lvx_door *d)
{
	return lvx_hub_delay_us(d->stream) + LVX_DOOR_FLUSH_SLOTS * lvx_door_model(d)->slot_us;
}

int64_t lvx_door_flushed_stream_us(const struct lvx_door *d)
{
	return d->flushed_us;
}

/* No word before the oldest cut is still to come. */
static void fold_cut(struct lvx_door *d)
{
	d->floor_us = d->cuts[0].at_us - d->base_us;
	d->base_us += d->cuts[0].len_us;
	memmove(d->cuts, d->cuts + 1, --d->n_cuts * sizeof(d->cuts[0]));
}

/* ---- marks ---- */

static void reach_mark(struct lvx_door *d)
{
	uint32_t n = d->marks[0].n;
	if (d->marks[0].is_cut)
		fold_cut(d);
	memmove(d->marks, d->marks + 1, --d->n_marks * sizeof(d->marks[0]));
	while (n-- > 0)
		d->protocol->on_heard(d);
}

/* What has the model heard meanwhile? */
static void look(struct lvx_door *d)
{
	struct lvx_hub_info info;
	if (d->n_marks == 0 || d->n_replies >= LVX_DOOR_REPLIES_MAX)
		return;
	lvx_hub_get_info(d->stream, &info);
	/* What it said of what it has heard was appended before: tell that first. */
	lvx_door_drain(d);
	while (d->n_marks > 0 && (d->ended || d->marks[0].stream_us <= info.stream.heard_us))
		reach_mark(d);
}

static void on_look(lws_sorted_usec_list_t *sul)
{
	struct lvx_door *d = lws_container_of(sul, struct lvx_door, sul);
	lvx_door_drain(d);
	look(d);
	if (d->n_marks > 0)
		lws_sul_schedule(d->server->context, 0, sul, on_look, LOOK_US);
	lvx_door_set_reading(d);
}

static void add_mark(struct lvx_door *d, int64_t stream_us, bool is_cut)
{
	if (d->n_marks == LVX_DOOR_MARKS_MAX) {
		d->marks[d->n_marks - 1].n++;
		return;
	}
	d->marks[d->n_marks].stream_us = stream_us;
	d->marks[d->n_marks].is_cut = is_cut;
	d->marks[d->n_marks++].n = 1;
	lws_sul_schedule(d->server->context, 0, &d->sul, on_look, LOOK_US);
}

void lvx_door_await(struct lvx_door *d)
{
	if (!d->stream || d->ended || d->sound.encoding == LVX_DOOR_CONTAINER) {
		d->protocol->on_heard(d);
		return;
	}
	/* The front end holds back some samples. */
	add_mark(d, sent_us(d) - 2 * lvx_door_model(d)->slot_us, false);
}

void lvx_door_flush(struct lvx_door *d)
{
	if (!d->stream || d->ended || d->finished || d->sound.encoding == LVX_DOOR_CONTAINER) {
		d->protocol->on_heard(d);
		return;
	}
	if (d->n_bytes == d->flushed_bytes || d->n_marks == LVX_DOOR_MARKS_MAX) {
		if (d->n_marks > 0)
			d->marks[d->n_marks - 1].n++;
		else
			d->protocol->on_heard(d);
		return;
	}
	int64_t len_us = lvx_door_flush_us(d);
	/* Whole frames, so that a sample that straddles the flush spoils but two. */
	size_t frame = 2 * (size_t)d->sound.channels;
	size_t n = (size_t)(len_us * d->sound.sample_rate / 1000000) * frame;
	char zeros[4096] = {0};
	d->flushed_us = sent_us(d);
	for (size_t left = n; left > 0; left -= left < sizeof(zeros) ? left : sizeof(zeros))
		lvx_text_add(&d->held, zeros, left < sizeof(zeros) ? left : sizeof(zeros));
	d->n_bytes += n;
	d->flushed_bytes = d->n_bytes;
	d->cuts[d->n_cuts].at_us = d->flushed_us;
	d->cuts[d->n_cuts++].len_us = sent_us(d) - d->flushed_us;
	add_mark(d, sent_us(d) - 2 * lvx_door_model(d)->slot_us, true);
	lvx_door_pump(d);
}

/* ---- sound in ---- */

enum lvx_status lvx_door_start(struct lvx_door *d, const struct lvx_door_sound *sound,
	const struct lvx_door_wish *wish, struct lvx_error *err)
{
	const struct lvx_model_info *model = lvx_door_model(d);
	struct lvx_hub_spec spec = {
		.push = {.format = sound->encoding == LVX_DOOR_CONTAINER ? LVX_PUSH_CONTAINER
									 : LVX_PUSH_S16LE,
			.sample_rate = sound->sample_rate,
			.channels = sound->channels,
			.channel = -1,
			.queue_bytes = QUEUE},
		.lanes = lvx_door_lane(model, "caption") |
			 (wish->translate_to ? lvx_door_lane(model, "translation") : 0),
		.translate_to = wish->translate_to,
		.language = wish->language,
		.delay_slots = wish->delay_slots,
		.prefix = wish->prefix,
		.prefix_is_terms = wish->prefix_is_terms,
		.glossary = wish->glossary,
		.channel = -1,
		.over_network = true,
	};
	enum lvx_status st = lvx_hub_open(d->server->params.hub, &spec, &d->stream, err);
	if (st != LVX_OK)
		return st;
	d->sound = *sound;
	if (sound->encoding == LVX_DOOR_CONTAINER)
		d->sound.sample_rate = d->sound.channels = 0;
	d->reader = (struct lvx_hub_reader){.next = 1, .lanes = UINT32_MAX, .activity = true};
	lvx_hub_count_reader(d->stream, 1);
	lvx_log_info("stream %s: pushed over %s", lvx_hub_id(d->stream), d->protocol->name);
	return LVX_OK;
}

const char *lvx_door_language(const struct lvx_door *d)
{
	return d->stream ? lvx_hub_language(d->stream) : NULL;
}

bool lvx_door_started(const struct lvx_door *d)
{
	return d->stream != NULL;
}

/* ITU-T G.711, one sample. */
static int16_t from_mulaw(uint8_t u)
{
	u = (uint8_t)~u;
	int t = (((u & 15) << 3) + 132) << (u >> 4 & 7);
	return (int16_t)(u & 128 ? 132 - t : t - 132);
}

static int16_t from_alaw(uint8_t a)
{
	a ^= 0x55;
	int t = (a & 15) << 4, segment = a >> 4 & 7;
	t = segment == 0 ? t + 8 : (t + 264) << (segment - 1);
	return (int16_t)(a & 128 ? t : -t);
}

static void add_g711(struct lvx_door *d, const uint8_t *data, size_t len)
{
	char out[4096];
	for (size_t i = 0; i < len;) {
		size_t n = 0;
		for (; i < len && n < sizeof(out); i++) {
			uint16_t s = (uint16_t)(d->sound.encoding == LVX_DOOR_MULAW
							? from_mulaw(data[i])
							: from_alaw(data[i]));
			out[n++] = (char)(s & 255);
			out[n++] = (char)(s >> 8);
		}
		lvx_text_add(&d->held, out, n);
	}
}

void lvx_door_sound(struct lvx_door *d, const uint8_t *data, size_t len)
{
	if (!d->stream || d->finished || len == 0)
		return;
	bool g711 = d->sound.encoding == LVX_DOOR_MULAW || d->sound.encoding == LVX_DOOR_ALAW;
	if (g711)
		add_g711(d, data, len);
	else
		lvx_text_add(&d->held, (const char *)data, len);
	d->n_bytes += g711 ? 2 * len : len;
	lvx_door_pump(d);
	lvx_door_set_reading(d);
}

void lvx_door_pump(struct lvx_door *d)
{
	size_t taken = 0;
	if (!d->stream)
		return;
	if (d->held.len > 0) {
		enum lvx_status st =
			lvx_hub_push(d->stream, (const uint8_t *)d->held.data, d->held.len, &taken);
		/* The stream has ended, so nobody wants the rest. */
		if (st != LVX_OK && st != LVX_AGAIN)
			taken = d->held.len;
		memmove(d->held.data, d->held.data + taken, d->held.len - taken);
		d->held.len -= taken;
	}
	if (d->held.len == 0 && d->finished && !d->finish_told) {
		d->finish_told = true;
		lvx_hub_push_finish(d->stream, false);
	}
}

void lvx_door_finish(struct lvx_door *d)
{
	d->finished = true;
	lvx_door_pump(d);
}

void lvx_door_leave(struct lvx_door *d)
{
	struct lvx_hub_info info;
	lws_sul_cancel(&d->sul);
	lvx_text_finish(&d->held);
	if (!d->stream)
		return;
	lvx_hub_count_reader(d->stream, -1);
	lvx_hub_get_info(d->stream, &info);
	/* Others may be watching; else there is nobody left for whom to go on. */
	if (info.readers == 0)
		lvx_hub_delete(d->stream);
	else if (!d->finish_told)
		lvx_hub_push_finish(d->stream, !d->finished);
	lvx_hub_unref(d->stream);
	d->stream = NULL;
}

/* ---- events out ---- */

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static int64_t integer(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void tell_text(struct lvx_door *d, const json_t *root, bool translation)
{
	const json_t *words = json_object_get(root, "words");
	struct lvx_door_event e = {.kind = LVX_HUB_TEXT, .translation = translation};
	size_t n = json_array_size(words);
	for (size_t i = 0; i < n; i++) {
		const json_t *w = json_array_get(words, i);
		e.word = json_string_value(json_object_get(w, "text"));
		/* These protocols have fields for voices, not marks in the text. */
		if (e.word && strcmp(e.word, LVX_SPEAKER_MARK) == 0)
			continue;
		e.start_us = client_us(d, integer(w, "start_us"));
		e.stream_us = integer(w, "end_us");
		e.end_us = client_us(d, e.stream_us);
		e.confidence = json_number_value(json_object_get(w, "confidence"));
		e.segment_end = i + 1 == n && is_true(root, "segment_end");
		d->protocol->on_event(d, &e);
	}
	e.segment_end = is_true(root, "segment_end");
	if (n == 0 && e.segment_end)
		d->protocol->on_event(d, &e);
}

static void tell(
	struct lvx_door *d, enum lvx_hub_event_kind kind, bool translation, const json_t *root)
{
	struct lvx_door_event e = {.kind = kind};
	switch (kind) {
	case LVX_HUB_TEXT:
		tell_text(d, root, translation);
		break;
	case LVX_HUB_ACTIVITY:
		e.stream_us = integer(root, "at_us");
		e.at_us = client_us(d, e.stream_us);
		e.speech = is_true(root, "speech");
		e.utterance_end = is_true(root, "utterance_end");
		d->protocol->on_event(d, &e);
		break;
	case LVX_HUB_GAP:
		e.start_us = client_us(d, integer(root, "start_us"));
		e.end_us = client_us(d, integer(root, "end_us"));
		d->protocol->on_event(d, &e);
		break;
	case LVX_HUB_END:
		d->ended = true;
		while (d->n_marks > 0)
			reach_mark(d);
		d->protocol->on_end(d, json_string_value(json_object_get(root, "reason")),
			json_string_value(json_object_get(root, "message")));
		break;
	case LVX_HUB_STATE:
	case LVX_HUB_CORRECTION: /* these protocols know of none of them */
	case LVX_HUB_OUTPUT:
	case LVX_HUB_SOUND:
	case LVX_HUB_DEAD_AIR:
		break;
	}
}

void lvx_door_drain(struct lvx_door *d)
{
	struct lvx_hub_event *e;
	uint32_t translation = lvx_door_lane(lvx_door_model(d), "translation");
	if (!d->stream || d->ended)
		return;
	while (d->n_replies < LVX_DOOR_REPLIES_MAX && !d->ended) {
		enum lvx_status st = lvx_hub_next(d->stream, &d->reader, &e);
		if (st == LVX_GAP)
			lvx_door_close(d, 1008, "too slow: fell out of the history");
		if (st != LVX_OK)
			return;
		/* It was written by us, and holds no number that jansson could refuse. */
		json_t *root = json_loadb(e->data + LVX_EVENT_HEADROOM, e->len, 0, NULL);
		tell(d, e->kind, e->kind == LVX_HUB_TEXT && (translation & 1u << e->lane), root);
		json_decref(root);
		lvx_hub_event_unref(e);
	}
}

void lvx_door_tick_sound(struct lvx_door *d)
{
	struct lvx_hub_info info;
	if (d->ended || !d->protocol->on_tick)
		return;
	if (!d->stream) {
		d->protocol->on_tick(d, -1);
		return;
	}
	lvx_hub_get_info(d->stream, &info);
	int64_t lag_us = info.delay_us + HEARD_LAG_SLOTS * lvx_door_model(d)->slot_us;
	lvx_door_drain(d);
	if (!d->ended)
		d->protocol->on_tick(d, client_us(d, info.stream.heard_us - lag_us));
}
