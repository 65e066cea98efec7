/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WebSocket of the own protocol. A session holds no events: only, for each
 * subscription, the number of the next one. So a slow reader costs its socket
 * buffer and nothing else, and is dropped when it falls too far behind.
 */
#include "daemon/cues.h"
#include "daemon/server_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/json_out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(LVX_EVENT_HEADROOM >= LWS_PRE, "events are written in place");

enum {
	SUBSCRIPTIONS_MAX = 64,
	REPLIES_MAX = 64, /* then requests are not read until some were sent */
	ERRORS_MAX = 32,
	SEND_BUFFER = 131072, /* what the kernel holds for one viewer */
	PUSH_QUEUE = 262144,
	LINGER_S = 5, /* for a slow viewer to come and fetch its close code */
	CLOSE_TOO_SLOW = 4008,
};

struct subscription {
	struct lvx_hub_stream *stream; /* referenced, and counted as a reader */
	struct lvx_hub_reader reader;
	enum lvx_hub_sound sound;
	uint64_t next_sound; /* the packet that is wanted next */
};

struct reply {
	struct reply *next;
	size_t len;
	char data[]; /* [LWS_PRE + len] */
};

struct lvx_ws_session {
	struct lvx_ws_session *next;
	struct lvx_server *server;
	struct lws *wsi;
	struct subscription *subs; /* [n_subs] */
	size_t n_subs, turn;       /* whose turn it is to be sent */
	struct reply *first, **last;
	uint32_t n_replies;
	struct lvx_text message; /* the text message that is coming in */
	bool too_long;
	uint32_t n_errors;
	int64_t waiting_since_us; /* a WRITEABLE was asked for then; 0: none is awaited */
	int close_code;           /* 0: stay */
	const char *close_reason;

	struct lvx_hub_stream *push; /* referenced; NULL: none */
	bool push_finished;          /* "finish" was said */
	struct lvx_text held;        /* what the push could not take yet */
	bool reading;                /* flow control lets data in */
	bool deflated;               /* lws may compress what is written */
};

/* ---- sending ---- */

static void want_write(struct lvx_ws_session *s)
{
	if (s->waiting_since_us == 0)
		s->waiting_since_us = lvx_now_us();
	lws_callback_on_writable(s->wsi);
}

static void set_reading(struct lvx_ws_session *s)
{
	bool reading = s->held.len == 0 && (s->reading ? s->n_replies < REPLIES_MAX : s->n_replies == 0);
	if (reading != s->reading)
		lws_rx_flow_control(s->wsi, reading);
	s->reading = reading;
}

static void send_text(struct lvx_ws_session *s, const struct lvx_text *t)
{
	struct reply *r = malloc(sizeof(*r) + LWS_PRE + t->len);
	if (!r)
		abort();
	r->next = NULL;
	r->len = t->len;
	memcpy(r->data + LWS_PRE, t->data, t->len);
	*s->last = r;
	s->last = &r->next;
	s->n_replies++;
	set_reading(s);
	want_write(s);
}

static void close_with(struct lvx_ws_session *s, int code, const char *reason)
{
	if (s->close_code != 0)
		return;
	s->close_code = code;
	s->close_reason = reason;
	want_write(s);
}

static void drop_slow(struct lvx_ws_session *s, const char *reason)
{
	if (s->close_code != 0)
		return;
	s->server->subscribers_dropped++;
	lvx_log_info("a viewer is dropped: %s", reason);
	close_with(s, CLOSE_TOO_SLOW, reason);
	/* It may never read again. */
	lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LINGER_S);
}

static void add_ref(struct lvx_text *t, const json_t *ref)
{
	if (json_is_integer(ref)) {
		lvx_text_printf(t, ",\"ref\":%" PRId64, (int64_t)json_integer_value(ref));
	} else if (json_is_string(ref)) {
		lvx_text_printf(t, ",\"ref\":");
		lvx_text_json(t, json_string_value(ref));
	}
}

static void send_error(struct lvx_ws_session *s, const json_t *ref, enum lvx_api_code code,
	const char *fmt, ...) LVX_PRINTF(4, 5);
static void send_error(
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
	send_text(s, &t);
	lvx_text_finish(&t);
	lvx_text_finish(&message);
	if (++s->n_errors >= ERRORS_MAX)
		close_with(s, 1008, "too many errors");
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
	send_text(s, &t);
	lvx_text_finish(&t);
}

static void send_hello(struct lvx_ws_session *s)
{
	const struct lvx_engine *engine = s->server->params.engine;
	const struct lvx_model_info *model = lvx_engine_model(engine);
	struct lvx_text t = {0};
	lvx_text_printf(&t,
		"{\"type\":\"hello\",\"protocol\":%d,\"version\":\"%s\",\"model\":", LVX_PROTOCOL,
		LVX_VERSION);
	lvx_text_json(&t, model->name);
	lvx_text_printf(&t, ",\"device\":");
	lvx_text_json(&t, lvx_engine_device(engine)->name);
	lvx_text_printf(&t, ",\"lanes\":");
	lvx_json_out_model_lanes(&t, model);
	lvx_text_printf(&t, ",\"slot_us\":%" PRId64 ",\"delay_us\":%" PRId64 ",\"delays_ms\":",
		model->slot_us, lvx_hub_default_delay_us(s->server->params.hub));
	lvx_json_out_delays(&t, model);
	lvx_text_printf(&t, ",\"clear_after_us\":%d}", LVX_CUE_CLEAR_US);
	send_text(s, &t);
	lvx_text_finish(&t);
}

/* ---- subscriptions ---- */

static void remove_subscription(struct lvx_ws_session *s, size_t i)
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
		send_error(s, r->ref, LVX_API_INVALID,
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
		send_error(s, r->ref, LVX_API_NOT_FOUND, "there is no stream '%s'", r->stream);
		return;
	}
	size_t i = find_subscription(s, r->stream);
	if (i == s->n_subs && s->n_subs >= SUBSCRIPTIONS_MAX) {
		send_error(s, r->ref, LVX_API_OVER_LIMIT, "a connection may have %d subscriptions",
			SUBSCRIPTIONS_MAX);
		goto refused;
	}
	if (!find_start(s, r, stream, &start, &missed))
		goto refused;
	struct lvx_hub_reader reader = {.next = start, .activity = r->activity};
	/* The new before the old, so that a row that both want stays. */
	enum lvx_status st = lvx_hub_watch(stream, r->lanes, r->translate_to, &reader, &err);
	if (st != LVX_OK) {
		send_error(s, r->ref, lvx_api_code_of(st), "%s", err.msg);
		goto refused;
	}
	uint64_t next_sound = 0;
	if (r->sound != LVX_SOUND_NONE) {
		st = lvx_hub_listen(stream, r->sound, &next_sound, &err);
		if (st != LVX_OK) {
			send_error(s, r->ref, lvx_api_code_of(st), "%s", err.msg);
			lvx_hub_unwatch(stream, &reader);
			goto refused;
		}
	}
	if (i < s->n_subs)
		remove_subscription(s, i);
	struct subscription *more = realloc(s->subs, (s->n_subs + 1) * sizeof(*more));
	if (!more)
		abort();
	s->subs = more;
	s->subs[s->n_subs++] = (struct subscription){
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
	lvx_json_out_info(&t, model, &info);
	lvx_text_printf(&t, "}");
	send_text(s, &t);
	bool other_epoch = r->from == LVX_FROM_KEY && r->epoch != info.epoch;
	if (missed > 0 || other_epoch) {
		struct lvx_event_key key = {info.id, info.epoch, 0};
		lvx_text_clear(&t);
		lvx_json_out_event_gap(&t, &key, other_epoch ? 1 : r->seq + 1, missed,
			other_epoch ? "epoch" : "history");
		send_text(s, &t);
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
		send_error(s, r->ref, LVX_API_NOT_FOUND, "there is no subscription to '%s'",
			r->stream);
		return;
	}
	remove_subscription(s, i);
	send_short(s, "unsubscribed", r->ref, r->stream);
}

/* ---- pushing ---- */

/* Offers what is held; true: all was taken. */
static bool pump(struct lvx_ws_session *s)
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
		send_error(s, r->ref, LVX_API_INVALID, "this connection is pushing '%s' already",
			lvx_hub_id(s->push));
		return;
	}
	if (lvx_hub_is_taken(hub, r->spec.id)) {
		send_error(s, r->ref, LVX_API_EXISTS, "there is already a stream '%s'", r->spec.id);
		return;
	}
	r->spec.push.queue_bytes = PUSH_QUEUE;
	enum lvx_status st = lvx_hub_open(hub, &r->spec, &s->push, &err);
	if (st != LVX_OK) {
		send_error(s, r->ref, lvx_api_code_of(st), "%s", err.msg);
		return;
	}
	s->push_finished = false;
	lvx_log_info("stream %s: pushed by a client", lvx_hub_id(s->push));
	struct lvx_text t = {0};
	lvx_text_printf(&t, "{\"type\":\"pushing\"");
	add_ref(&t, r->ref);
	lvx_text_printf(&t, ",\"stream\":\"%s\",\"epoch\":%" PRId64 "}", lvx_hub_id(s->push),
		lvx_hub_epoch(s->push));
	send_text(s, &t);
	lvx_text_finish(&t);
}

static void finish_push(struct lvx_ws_session *s, const struct lvx_request *r)
{
	if (!s->push || s->push_finished) {
		send_error(s, r->ref, LVX_API_INVALID, "there is no push to finish");
		return;
	}
	s->push_finished = true;
	send_short(s, "finishing", r->ref, lvx_hub_id(s->push));
	pump(s);
}

static void end_push(struct lvx_ws_session *s)
{
	lvx_hub_unref(s->push);
	s->push = NULL;
	s->push_finished = false;
	s->held.len = 0;
	set_reading(s);
}

/* Tells the pusher that its stream has ended, once its subscription has said so. */
static bool send_pushed(struct lvx_ws_session *s)
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
	send_text(s, &t);
	lvx_text_finish(&t);
	return true;
}

/* ---- receiving ---- */

static void on_message(struct lvx_ws_session *s)
{
	struct lvx_request r;
	struct lvx_error err = {0};
	enum lvx_status st = lvx_request_parse(&r, lvx_engine_model(s->server->params.engine),
		s->message.data ? s->message.data : "", s->message.len, &err);
	if (st != LVX_OK) {
		send_error(s, r.ref, lvx_api_code_of(st), "%s", err.msg);
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

static void on_data(struct lvx_ws_session *s, const char *data, size_t len)
{
	if (s->close_code != 0)
		return;
	if (lws_frame_is_binary(s->wsi)) {
		if (!s->push || s->push_finished) {
			send_error(s, NULL, LVX_API_INVALID,
				"binary data, but no push is in progress");
			close_with(s, 1003, "binary data without a push");
			return;
		}
		lvx_text_add(&s->held, data, len);
		pump(s);
		set_reading(s);
		return;
	}
	if (s->message.len + len > LVX_MESSAGE_BYTES_MAX) {
		send_error(s, NULL, LVX_API_TOO_LARGE, "a text message may have %d bytes",
			LVX_MESSAGE_BYTES_MAX);
		close_with(s, 1009, "text message too long");
		return;
	}
	lvx_text_add(&s->message, data, len);
	if (!lws_is_final_fragment(s->wsi) || lws_remaining_packet_payload(s->wsi) > 0)
		return;
	on_message(s);
	lvx_text_clear(&s->message);
}

/* ---- the connection ---- */

static int write_reply(struct lvx_ws_session *s)
{
	struct reply *r = s->first;
	s->first = r->next;
	if (!s->first)
		s->last = &s->first;
	s->n_replies--;
	set_reading(s);
	int n = lws_write(s->wsi, (unsigned char *)r->data + LWS_PRE, r->len, LWS_WRITE_TEXT);
	free(r);
	return n < 0 ? -1 : 0;
}

/* The next event of the subscriptions, in turn; referenced. NULL: there is none. */
static struct lvx_hub_event *next_event(struct lvx_ws_session *s)
{
	for (size_t k = 0; k < s->n_subs; k++) {
		size_t i = (s->turn + k) % s->n_subs;
		struct lvx_hub_event *e;
		enum lvx_status st = lvx_hub_next(s->subs[i].stream, &s->subs[i].reader, &e);
		if (st == LVX_GAP) {
			drop_slow(s, "fell out of the history");
			return NULL;
		}
		struct subscription *sub = &s->subs[i];
		if (st != LVX_OK && sub->sound != LVX_SOUND_NONE) {
			e = lvx_hub_next_sound(sub->stream, sub->sound, &sub->next_sound);
			st = e ? LVX_OK : LVX_AGAIN;
		}
		if (st != LVX_OK)
			continue;
		s->turn = i + 1;
		return e;
	}
	return NULL;
}

/* The head of an unmasked text or binary frame, RFC 6455 section 5.2; its length. */
static size_t frame_head(uint8_t head[10], const struct lvx_hub_event *e)
{
	size_t len = e->len;
	size_t n = len < 126 ? 0 : len < 65536 ? 2 : 8;
	head[0] = e->kind == LVX_HUB_SOUND ? 0x82 : 0x81;
	head[1] = n == 0 ? (uint8_t)len : n == 2 ? 126 : 127;
	for (size_t i = 0; i < n; i++)
		head[2 + i] = (uint8_t)((uint64_t)len >> 8 * (n - 1 - i));
	return 2 + n;
}

static int write_alone(struct lvx_ws_session *s, struct lvx_hub_event *e)
{
	/* In place: lws puts its frame head into the headroom, which is this thread's. */
	int n = lws_write(s->wsi, (unsigned char *)e->data + LVX_EVENT_HEADROOM, e->len,
		e->kind == LVX_HUB_SOUND ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
	lvx_hub_event_unref(e);
	return n < 0 ? -1 : 1;
}

/*
 * Many events come in bursts, and what they cost is mostly the call into the kernel, for
 * each viewer: so all that are there go in one. 1: something was written, and there may
 * be more; 0: there is nothing; -1: hang up.
 */
static int write_events(struct lvx_ws_session *s)
{
	unsigned char *out = s->server->out;
	size_t used = 0;
	struct lvx_hub_event *e, *large = NULL;
	if (s->deflated)
		return (e = next_event(s)) ? write_alone(s, e) : 0;
	while (!large && (e = next_event(s))) {
		uint8_t head[10];
		size_t n = frame_head(head, e);
		if (LVX_OUT_BYTES - used < n + e->len) {
			large = e; /* no room: by itself, after the others */
			break;
		}
		memcpy(out + used, head, n);
		memcpy(out + used + n, e->data + LVX_EVENT_HEADROOM, e->len);
		used += n + e->len;
		lvx_hub_event_unref(e);
	}
	if (used > 0 && lws_write(s->wsi, out, used, LWS_WRITE_RAW) < 0) {
		lvx_hub_event_unref(large);
		return -1;
	}
	return large ? write_alone(s, large) : used > 0;
}

/* Is there anything to be written to this session? */
static bool has_work(struct lvx_ws_session *s)
{
	for (size_t i = 0; i < s->n_subs; i++) {
		uint64_t oldest, next;
		lvx_hub_range(s->subs[i].stream, &oldest, &next);
		const struct subscription *sub = &s->subs[i];
		if (sub->reader.next < next ||
			(sub->sound != LVX_SOUND_NONE &&
				lvx_hub_has_sound(sub->stream, sub->sound, sub->next_sound)))
			return true;
	}
	return s->push && lvx_hub_has_ended(s->push);
}

static int hang_up(struct lvx_ws_session *s)
{
	lws_close_reason(s->wsi, (enum lws_close_status)s->close_code,
		(unsigned char *)(uintptr_t)s->close_reason, strlen(s->close_reason));
	return -1;
}

static int on_writeable(struct lvx_ws_session *s)
{
	s->waiting_since_us = 0;
	if (s->close_code == CLOSE_TOO_SLOW)
		return hang_up(s);
	if (s->first) {
		int rc = write_reply(s);
		want_write(s);
		return rc;
	}
	/* Those who are told to go for another reason still get what there is. */
	int written = write_events(s);
	if (written < 0)
		return -1;
	if (written == 0 && !send_pushed(s))
		return s->close_code != 0 ? hang_up(s) : 0;
	if (s->first || s->close_code != 0 || has_work(s))
		want_write(s);
	return 0;
}

static void on_established(struct lvx_server *server, struct lws *wsi, struct lvx_peer *peer)
{
	struct lvx_ws_session *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	int size = SEND_BUFFER;
	setsockopt(lws_get_socket_fd(wsi), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	peer->ws = s;
	s->server = server;
	s->wsi = wsi;
	s->last = &s->first;
	s->reading = true;
	s->deflated = server->params.compress &&
		      lws_hdr_total_length(wsi, WSI_TOKEN_EXTENSIONS) > 0;
	if (s->deflated) /* half of the memory that it would take */
		lws_set_extension_option(wsi, "permessage-deflate", "mem_level", "1");
	s->next = server->sessions;
	server->sessions = s;
	server->n_sessions++;
	send_hello(s);
	if (server->stop_at_us != INT64_MAX)
		close_with(s, 1001, "the daemon is stopping");
}

static void on_closed(struct lvx_server *server, struct lvx_peer *peer)
{
	struct lvx_ws_session *s = peer->ws;
	if (!s)
		return;
	peer->ws = NULL;
	struct lvx_ws_session **p = &server->sessions;
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	server->n_sessions--;
	if (s->push) {
		/* What came until now is worked off. */
		bool orderly = pump(s) && s->push_finished;
		if (!orderly)
			lvx_hub_push_finish(s->push, true);
		lvx_hub_unref(s->push);
	}
	while (s->n_subs > 0)
		remove_subscription(s, s->n_subs - 1);
	while (s->first) {
		struct reply *r = s->first;
		s->first = r->next;
		free(r);
	}
	free(s->subs);
	lvx_text_finish(&s->message);
	lvx_text_finish(&s->held);
	free(s);
}

int lvx_ws_callback(struct lvx_server *server, struct lws *wsi, enum lws_callback_reasons reason,
	struct lvx_peer *peer, void *in, size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		on_established(server, wsi, peer);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		on_data(peer->ws, in, len);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return on_writeable(peer->ws);
	default:
		on_closed(server, peer);
		return 0;
	}
}

void lvx_ws_news(struct lvx_server *server)
{
	for (struct lvx_ws_session *s = server->sessions; s; s = s->next) {
		if (s->push && s->held.len > 0) {
			pump(s);
			set_reading(s);
		}
		if (s->waiting_since_us == 0 && has_work(s))
			want_write(s);
	}
}

void lvx_ws_tick(struct lvx_server *server, int64_t now_us)
{
	for (struct lvx_ws_session *s = server->sessions; s; s = s->next) {
		if (s->waiting_since_us != 0 &&
			now_us - s->waiting_since_us > server->params.slow_after_us)
			drop_slow(s, "events waited too long");
		/* Its pong lies behind data that we do not read; that is not its fault. */
		if (!s->reading)
			lws_validity_confirmed(s->wsi);
	}
}

void lvx_ws_stop(struct lvx_server *server)
{
	for (struct lvx_ws_session *s = server->sessions; s; s = s->next)
		close_with(s, 1001, "the daemon is stopping");
}
