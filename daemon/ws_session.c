/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WebSocket of the own protocol. A session holds no events: only, for each
 * subscription, the number of the next one. So a slow reader costs its socket
 * buffer and nothing else, and is dropped when it falls too far behind.
 */
#include "daemon/cues.h"
#include "daemon/ws_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/json_out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(LVX_EVENT_HEADROOM >= LWS_PRE, "events are written in place");

enum {
	REPLIES_MAX = 64,     /* then requests are not read until some were sent */
	SEND_BUFFER = 131072, /* what the kernel holds for one viewer */
	LINGER_S = 5,         /* for a slow viewer to come and fetch its close code */
	CLOSE_TOO_SLOW = 4008,
};

/* ---- sending ---- */

static void want_write(struct lvx_ws_session *s)
{
	if (s->waiting_since_us == 0)
		s->waiting_since_us = lvx_now_us();
	lws_callback_on_writable(s->wsi);
}

void lvx_ws_set_reading(struct lvx_ws_session *s)
{
	bool reading =
		s->held.len == 0 && (s->reading ? s->n_replies < REPLIES_MAX : s->n_replies == 0);
	if (reading != s->reading)
		lws_rx_flow_control(s->wsi, reading);
	s->reading = reading;
}

void lvx_ws_send(struct lvx_ws_session *s, const struct lvx_text *t)
{
	struct lvx_ws_reply *r = malloc(sizeof(*r) + LWS_PRE + t->len);
	if (!r)
		abort();
	r->next = NULL;
	r->len = t->len;
	memcpy(r->data + LWS_PRE, t->data, t->len);
	*s->last = r;
	s->last = &r->next;
	s->n_replies++;
	lvx_ws_set_reading(s);
	want_write(s);
}

void lvx_ws_close(struct lvx_ws_session *s, int code, const char *reason)
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
	lvx_ws_close(s, CLOSE_TOO_SLOW, reason);
	/* It may never read again. */
	lws_set_timeout(s->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LINGER_S);
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
	lvx_text_printf(&t,
		",\"slot_us\":%" PRId64 ",\"delay_us\":%" PRId64 ",\"delays_ms\":", model->slot_us,
		lvx_hub_default_delay_us(s->server->params.hub));
	lvx_json_out_delays(&t, model);
	lvx_text_printf(&t, ",\"clear_after_us\":%d}", LVX_CUE_CLEAR_US);
	lvx_ws_send(s, &t);
	lvx_text_finish(&t);
}

/* ---- receiving ---- */

static void on_data(struct lvx_ws_session *s, const char *data, size_t len)
{
	if (s->close_code != 0)
		return;
	if (lws_frame_is_binary(s->wsi)) {
		if (!s->push || s->push_finished) {
			lvx_ws_error(s, NULL, LVX_API_INVALID,
				"binary data, but no push is in progress");
			lvx_ws_close(s, 1003, "binary data without a push");
			return;
		}
		lvx_text_add(&s->held, data, len);
		lvx_ws_pump(s);
		lvx_ws_set_reading(s);
		return;
	}
	if (s->message.len + len > LVX_MESSAGE_BYTES_MAX) {
		lvx_ws_error(s, NULL, LVX_API_TOO_LARGE, "a text message may have %d bytes",
			LVX_MESSAGE_BYTES_MAX);
		lvx_ws_close(s, 1009, "text message too long");
		return;
	}
	lvx_text_add(&s->message, data, len);
	if (!lws_is_final_fragment(s->wsi) || lws_remaining_packet_payload(s->wsi) > 0)
		return;
	lvx_ws_request(s);
	lvx_text_clear(&s->message);
}

/* ---- the connection ---- */

static int write_reply(struct lvx_ws_session *s)
{
	struct lvx_ws_reply *r = s->first;
	s->first = r->next;
	if (!s->first)
		s->last = &s->first;
	s->n_replies--;
	lvx_ws_set_reading(s);
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
		struct lvx_ws_subscription *sub = &s->subs[i];
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
		const struct lvx_ws_subscription *sub = &s->subs[i];
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
	if (written == 0 && !lvx_ws_send_pushed(s))
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
	s->deflated =
		server->params.compress && lws_hdr_total_length(wsi, WSI_TOKEN_EXTENSIONS) > 0;
	if (s->deflated) /* half of the memory that it would take */
		lws_set_extension_option(wsi, "permessage-deflate", "mem_level", "1");
	s->next = server->sessions;
	server->sessions = s;
	server->n_sessions++;
	send_hello(s);
	if (server->stop_at_us != INT64_MAX)
		lvx_ws_close(s, 1001, "the daemon is stopping");
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
		bool orderly = lvx_ws_pump(s) && s->push_finished;
		if (!orderly)
			lvx_hub_push_finish(s->push, true);
		lvx_hub_unref(s->push);
	}
	while (s->n_subs > 0)
		lvx_ws_unwatch(s, s->n_subs - 1);
	while (s->first) {
		struct lvx_ws_reply *r = s->first;
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
			lvx_ws_pump(s);
			lvx_ws_set_reading(s);
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
		lvx_ws_close(s, 1001, "the daemon is stopping");
}
