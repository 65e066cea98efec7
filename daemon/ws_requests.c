/* SPDX-License-Identifier: Apache-2.0 */
/* What a WebSocket of the own protocol asks for: subscriptions, and streams that it pushes. */
#include "daemon/json_out.h"
#include "daemon/ws_priv.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	SUBSCRIPTIONS_MAX = 64,
	ERRORS_MAX = 32,
	PUSH_QUEUE = 262144,
};

/* ---- replies ---- */

static void add_ref(struct lvx_text *t, const json_t *ref)
{
	if (json_is_integer(ref)) {
		lvx_text_printf(t, ",\"ref\":%" PRId64, (int64_t)json_integer_value(ref));
	} else if (json_is_string(ref)) {
		lvx_text_printf(t, ",\"ref\":");
		lvx_text_json(t, json_string_value(ref));
	}
}

void lvx_ws_error(
	struct lvx_ws_session *s, const json_t *ref, enum lvx_api_code code, const char *fmt, ...)
{
	struct lvx_text t = {0}, message = {0};
	va_list args;
	va_start(args, fmt);
	lvx_text_vprintf(&message, fmt, args);
	va_end(args);
	lvx_text_printf(&t, "{\"type\":\"error\"");
	add_ref(&t, ref);
	lvx_text_printf(&t, ",\"code\":\"%s\",\"message\":", lvx_api_code_name(code));
	lvx_text_json(&t, message.data);
	lvx_text_printf(&t, "}");
	lvx_ws_send(s, &t);
	lvx_text_finish(&t);
	lvx_text_finish(&message);
	if (++s->n_errors >= ERRORS_MAX)
		lvx_ws_close(s, 1008, "too many errors");
}

/* {"type":TYPE,"ref":REF,"stream":STREAM} and no more. */
static void send_short(
	struct lvx_ws_session *s, const char *type, const json_t *ref, const char *stream)
{
	struct lvx_text t = {0};
	lvx_text_printf(&t, "{\"type\":\"%s\"", type);
	add_ref(&t, ref);
	if (stream)
		lvx_text_printf(&t, ",\"stream\":\"%s\"", stream);
	lvx_text_printf(&t, "}");
	lvx_ws_send(s, &t);
	lvx_text_finish(&t);
}

/* ---- subscriptions ---- */

void lvx_ws_unwatch(struct lvx_ws_session *s, size_t i)
{
	lvx_hub_unwatch(s->subs[i].stream, &s->subs[i].reader);
	if (s->subs[i].sound != LVX_SOUND_NONE)
		lvx_hub_unlisten(s->subs[i].stream, s->subs[i].sound);
	lvx_hub_unref(s->subs[i].stream);
	s->subs[i] = s->subs[--s->n_subs];
}

static size_t find_subscription(const struct lvx_ws_session *s, const char *id)
{
	size_t i = 0;
	while (i < s->n_subs && strcmp(lvx_hub_id(s->subs[i].stream), id) != 0)
		i++;
	return i;
}

/* Where to begin; *missed: up to this seq events are asked for that are gone. */
static bool find_start(struct lvx_ws_session *s, const struct lvx_request *r,
	struct lvx_hub_stream *stream, uint64_t *start, uint64_t *missed)
{
	uint64_t oldest, next;
	lvx_hub_range(stream, &oldest, &next);
	*missed = 0;
	switch (r->from) {
	case LVX_FROM_NOW:
		*start = next;
		return true;
	case LVX_FROM_START:
		*start = oldest;
		return true;
	case LVX_FROM_LAST:
		*start = next - oldest > r->last ? next - r->last : oldest;
		return true;
	case LVX_FROM_KEY:
		break;
	}
	*start = r->seq + 1;
	if (r->epoch != lvx_hub_epoch(stream)) {
		*start = oldest;
		*missed = oldest - 1;
	} else if (r->seq >= next) {
		lvx_ws_error(s, r->ref, LVX_API_INVALID,
			"message: 'seq' is %" PRIu64 ", but the last event was %" PRIu64, r->seq,
			next - 1);
		return false;
	} else if (*start < oldest) {
		*start = oldest;
		*missed = oldest - 1;
	}
	return true;
}

/* Which lanes a viewer gets, and in which language the translation. */
static void add_lanes(struct lvx_text *t, const struct lvx_model_info *model,
	const struct lvx_hub_info *info, const struct lvx_hub_reader *reader)
{
	uint32_t lanes = info->lanes & reader->lanes;
	int translation = lvx_model_info_lane(model, "translation");
	const char *language = NULL;
	if (translation >= 0 && (lanes >> translation & 1))
		language = info->translate_to;
	for (uint32_t i = 0; i < LVX_FURTHER_MAX; i++) {
		if (!(reader->further >> i & 1))
			continue;
		lanes |= 1u << lvx_hub_further_lane(model, i);
		if (i < LVX_LANGUAGES_MAX)
			language = lvx_hub_further_language(model, i);
	}
	lvx_json_out_lanes(t, model, lanes);
	lvx_text_printf(t, ",\"translate_to\":");
	lvx_text_json(t, language);
}

static void subscribe(struct lvx_ws_session *s, const struct lvx_request *r)
{
	const struct lvx_model_info *model = lvx_engine_model(s->server->params.engine);
	uint64_t start, missed;
	struct lvx_error err;
	struct lvx_hub_stream *stream = lvx_hub_find(s->server->params.hub, r->stream);
	if (!stream) {
		lvx_ws_error(s, r->ref, LVX_API_NOT_FOUND, "there is no stream '%s'", r->stream);
		return;
	}
	size_t i = find_subscription(s, r->stream);
	if (i == s->n_subs && s->n_subs >= SUBSCRIPTIONS_MAX) {
		lvx_ws_error(s, r->ref, LVX_API_OVER_LIMIT,
			"a connection may have %d subscriptions", SUBSCRIPTIONS_MAX);
		goto refused;
	}
	if (!find_start(s, r, stream, &start, &missed))
		goto refused;
	struct lvx_hub_reader reader = {.next = start, .activity = r->activity};
	/* The new before the old, so that a row that both want stays. */
	enum lvx_status st = lvx_hub_watch(stream, r->lanes, r->translate_to, &reader, &err);
	if (st != LVX_OK) {
		lvx_ws_error(s, r->ref, lvx_api_code_of(st), "%s", err.msg);
		goto refused;
	}
	uint64_t next_sound = 0;
	if (r->sound != LVX_SOUND_NONE) {
		st = lvx_hub_listen(stream, r->sound, &next_sound, &err);
		if (st != LVX_OK) {
			lvx_ws_error(s, r->ref, lvx_api_code_of(st), "%s", err.msg);
			lvx_hub_unwatch(stream, &reader);
			goto refused;
		}
	}
	if (i < s->n_subs)
		lvx_ws_unwatch(s, i);
	struct lvx_ws_subscription *more = realloc(s->subs, (s->n_subs + 1) * sizeof(*more));
	if (!more)
		abort();
	s->subs = more;
	s->subs[s->n_subs++] = (struct lvx_ws_subscription){
		.stream = stream, .reader = reader, .sound = r->sound, .next_sound = next_sound};

	struct lvx_hub_info info;
	lvx_hub_get_info(stream, &info);
	struct lvx_text t = {0};
	lvx_text_printf(&t, "{\"type\":\"subscribed\"");
	add_ref(&t, r->ref);
	lvx_text_printf(&t,
		",\"stream\":\"%s\",\"epoch\":%" PRId64 ",\"oldest_seq\":%" PRIu64
		",\"next_seq\":%" PRIu64 ",\"lanes\":",
		info.id, info.epoch, info.oldest_seq, info.next_seq);
	add_lanes(&t, model, &info, &reader);
	lvx_text_printf(&t, ",\"sound\":");
	lvx_text_json(&t, lvx_hub_sound_name(r->sound));
	lvx_text_printf(&t, ",\"state\":\"%s\",\"info\":", info.state);
	lvx_json_out_info(&t, model, &info, lvx_http_has_hls(s->server, info.id));
	lvx_text_printf(&t, "}");
	lvx_ws_send(s, &t);
	bool other_epoch = r->from == LVX_FROM_KEY && r->epoch != info.epoch;
	if (missed > 0 || other_epoch) {
		struct lvx_event_key key = {info.id, info.epoch, 0};
		lvx_text_clear(&t);
		lvx_json_out_event_gap(&t, &key, other_epoch ? 1 : r->seq + 1, missed,
			other_epoch ? "epoch" : "history");
		lvx_ws_send(s, &t);
	}
	lvx_text_finish(&t);
	return;
refused:
	lvx_hub_unref(stream);
}

static void unsubscribe(struct lvx_ws_session *s, const struct lvx_request *r)
{
	size_t i = find_subscription(s, r->stream);
	if (i == s->n_subs) {
		lvx_ws_error(s, r->ref, LVX_API_NOT_FOUND, "there is no subscription to '%s'",
			r->stream);
		return;
	}
	lvx_ws_unwatch(s, i);
	send_short(s, "unsubscribed", r->ref, r->stream);
}

/* ---- pushing ---- */

bool lvx_ws_pump(struct lvx_ws_session *s)
{
	size_t taken = 0;
	if (s->held.len > 0) {
		enum lvx_status st =
			lvx_hub_push(s->push, (const uint8_t *)s->held.data, s->held.len, &taken);
		/* The stream has ended, so nobody wants the rest. */
		if (st != LVX_OK && st != LVX_AGAIN)
			taken = s->held.len;
		memmove(s->held.data, s->held.data + taken, s->held.len - taken);
		s->held.len -= taken;
	}
	if (s->held.len > 0)
		return false;
	if (s->push_finished)
		lvx_hub_push_finish(s->push, false);
	return true;
}

static void begin_push(struct lvx_ws_session *s, struct lvx_request *r)
{
	struct lvx_hub *hub = s->server->params.hub;
	struct lvx_error err = {0};
	if (s->push) {
		lvx_ws_error(s, r->ref, LVX_API_INVALID, "this connection is pushing '%s' already",
			lvx_hub_id(s->push));
		return;
	}
	if (lvx_hub_is_taken(hub, r->spec.id)) {
		lvx_ws_error(
			s, r->ref, LVX_API_EXISTS, "there is already a stream '%s'", r->spec.id);
		return;
	}
	r->spec.push.queue_bytes = PUSH_QUEUE;
	enum lvx_status st = lvx_hub_open(hub, &r->spec, &s->push, &err);
	if (st != LVX_OK) {
		lvx_ws_error(s, r->ref, lvx_api_code_of(st), "%s", err.msg);
		return;
	}
	s->push_finished = false;
	lvx_log_info("stream %s: pushed by a client", lvx_hub_id(s->push));
	struct lvx_text t = {0};
	lvx_text_printf(&t, "{\"type\":\"pushing\"");
	add_ref(&t, r->ref);
	lvx_text_printf(&t, ",\"stream\":\"%s\",\"epoch\":%" PRId64 "}", lvx_hub_id(s->push),
		lvx_hub_epoch(s->push));
	lvx_ws_send(s, &t);
	lvx_text_finish(&t);
}

static void finish_push(struct lvx_ws_session *s, const struct lvx_request *r)
{
	if (!s->push || s->push_finished) {
		lvx_ws_error(s, r->ref, LVX_API_INVALID, "there is no push to finish");
		return;
	}
	s->push_finished = true;
	send_short(s, "finishing", r->ref, lvx_hub_id(s->push));
	lvx_ws_pump(s);
}

static void end_push(struct lvx_ws_session *s)
{
	lvx_hub_unref(s->push);
	s->push = NULL;
	s->push_finished = false;
	s->held.len = 0;
	lvx_ws_set_reading(s);
}

bool lvx_ws_send_pushed(struct lvx_ws_session *s)
{
	struct lvx_hub_info info;
	if (!s->push || !lvx_hub_has_ended(s->push))
		return false;
	lvx_hub_get_info(s->push, &info);
	struct lvx_text t = {0};
	lvx_text_printf(&t,
		"{\"type\":\"pushed\",\"stream\":\"%s\",\"reason\":\"%s\",\"message\":", info.id,
		info.reason);
	lvx_text_json(&t, info.message);
	lvx_text_printf(&t, "}");
	end_push(s);
	lvx_ws_send(s, &t);
	lvx_text_finish(&t);
	return true;
}

/* ---- requests ---- */

void lvx_ws_request(struct lvx_ws_session *s)
{
	struct lvx_request r;
	struct lvx_error err = {0};
	enum lvx_status st = lvx_request_parse(&r, lvx_engine_model(s->server->params.engine),
		s->message.data ? s->message.data : "", s->message.len, &err);
	if (st != LVX_OK) {
		lvx_ws_error(s, r.ref, lvx_api_code_of(st), "%s", err.msg);
		goto out;
	}
	switch (r.type) {
	case LVX_REQUEST_SUBSCRIBE:
		subscribe(s, &r);
		break;
	case LVX_REQUEST_UNSUBSCRIBE:
		unsubscribe(s, &r);
		break;
	case LVX_REQUEST_PUSH:
		begin_push(s, &r);
		break;
	case LVX_REQUEST_FINISH:
		finish_push(s, &r);
		break;
	case LVX_REQUEST_PING:
		send_short(s, "pong", r.ref, NULL);
		break;
	}
out:
	lvx_request_finish(&r);
}
