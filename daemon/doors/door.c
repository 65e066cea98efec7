/* SPDX-License-Identifier: Apache-2.0 */
/* The connection of a door: messages in and out, limits, the close. */
#include "daemon/doors/door_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	SEND_BUFFER = 131072,
	READ_BELOW = 64, /* replies that wait */
	ERRORS_MAX = 32,
	LINGER_S = 5,
};

static const struct lvx_door_protocol *const protocols[] = {
	&lvx_door_deepgram, &lvx_door_openai, &lvx_door_translations, &lvx_door_vosk};

const struct lvx_door_protocol *lvx_door_find(const char *path)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		for (const char *const *p = protocols[i]->paths; *p; p++) {
			if (strcmp(*p, path) == 0)
				return protocols[i];
		}
	}
	return NULL;
}

/* ---- what protocols call ---- */

void *lvx_door_state(struct lvx_door *d)
{
	return d->state;
}

const struct lvx_model_info *lvx_door_model(const struct lvx_door *d)
{
	return lvx_engine_model(d->server->params.engine);
}

const char *lvx_door_id(const struct lvx_door *d)
{
	return d->id;
}

static void want_write(struct lvx_door *d)
{
	if (d->waiting_since_us == 0)
		d->waiting_since_us = lvx_now_us();
	lws_callback_on_writable(d->wsi);
}

void lvx_door_set_reading(struct lvx_door *d)
{
	bool reading = d->held.len == 0 && d->n_marks < LVX_DOOR_MARKS_MAX / 2 &&
		       (d->reading ? d->n_replies < READ_BELOW : d->n_replies == 0);
	if (reading != d->reading)
		lws_rx_flow_control(d->wsi, reading);
	d->reading = reading;
}

void lvx_door_send(struct lvx_door *d, struct lvx_text *t)
{
	struct lvx_door_reply *r = malloc(sizeof(*r) + LWS_PRE + t->len);
	if (!r)
		abort();
	r->next = NULL;
	r->len = t->len;
	memcpy(r->data + LWS_PRE, t->data, t->len);
	*d->last = r;
	d->last = &r->next;
	d->n_replies++;
	lvx_text_clear(t);
	lvx_door_set_reading(d);
	want_write(d);
}

void lvx_door_close(struct lvx_door *d, int code, const char *reason)
{
	if (d->close_code != 0)
		return;
	d->close_code = code;
	d->close_reason = reason;
	want_write(d);
}

int64_t lvx_door_idle_us(const struct lvx_door *d)
{
	return lvx_now_us() - d->last_rx_us;
}

void lvx_door_count_error(struct lvx_door *d)
{
	if (++d->n_errors >= ERRORS_MAX)
		lvx_door_close(d, 1008, "too many errors");
}

/* ---- receiving ---- */

static void on_data(struct lvx_door *d, const char *data, size_t len)
{
	d->last_rx_us = lvx_now_us();
	bool last = lws_is_final_fragment(d->wsi) && lws_remaining_packet_payload(d->wsi) == 0;
	if (d->close_code != 0)
		return;
	if (lws_frame_is_binary(d->wsi)) {
		if (d->protocol->on_binary)
			d->protocol->on_binary(d, (const uint8_t *)data, len, last);
		else if (last)
			d->protocol->on_error(
				d, LVX_API_INVALID, "binary messages are not understood here");
		return;
	}
	if (!d->discarding && d->message.len + len > d->protocol->text_max) {
		d->protocol->on_error(d, LVX_API_TOO_LARGE, "the text message is too long");
		lvx_door_close(d, 1009, "text message too long");
		d->discarding = true;
	}
	if (d->discarding)
		return;
	lvx_text_add(&d->message, data, len);
	if (!last)
		return;
	d->protocol->on_text(d, d->message.data ? d->message.data : "", d->message.len);
	lvx_text_clear(&d->message);
}

/* ---- the connection ---- */

static int on_writeable(struct lvx_door *d)
{
	d->waiting_since_us = 0;
	struct lvx_door_reply *r = d->first;
	if (!r) {
		if (d->close_code == 0)
			return 0;
		lws_close_reason(d->wsi, (enum lws_close_status)d->close_code,
			(unsigned char *)(uintptr_t)d->close_reason, strlen(d->close_reason));
		return -1;
	}
	d->first = r->next;
	if (!d->first)
		d->last = &d->first;
	d->n_replies--;
	int n = lws_write(d->wsi, (unsigned char *)r->data + LWS_PRE, r->len, LWS_WRITE_TEXT);
	free(r);
	if (n < 0)
		return -1;
	/* There may be room again for what the hub still has. */
	if (d->n_replies == 0)
		lvx_door_drain(d);
	lvx_door_set_reading(d);
	if (d->first || d->close_code != 0)
		want_write(d);
	return 0;
}

static void on_established(struct lvx_server *server, struct lws *wsi, struct lvx_peer *peer,
	const struct lvx_door_protocol *protocol)
{
	struct lvx_door *d = calloc(1, sizeof(*d));
	void *state = calloc(1, protocol->state_size);
	if (!d || !state)
		abort();
	int size = SEND_BUFFER;
	setsockopt(lws_get_socket_fd(wsi), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	peer->door = d;
	d->server = server;
	d->wsi = wsi;
	d->protocol = protocol;
	d->state = state;
	d->last = &d->first;
	d->reading = true;
	d->last_rx_us = lvx_now_us();
	lvx_door_uuid(d->id);
	d->next = server->doors;
	server->doors = d;
	server->n_sessions++;
	struct lvx_door_args args;
	struct lvx_text text = {0};
	lvx_door_read_args(wsi, &args, &text);
	protocol->on_open(d, &args);
	lvx_text_finish(&text);
	if (server->stop_at_us != INT64_MAX)
		lvx_door_close(d, 1001, "the daemon is stopping");
}

static void on_closed(struct lvx_server *server, struct lvx_peer *peer)
{
	struct lvx_door *d = peer->door;
	peer->door = NULL;
	struct lvx_door **p = &server->doors;
	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	server->n_sessions--;
	if (d->protocol->on_close)
		d->protocol->on_close(d);
	lvx_door_leave(d);
	while (d->first) {
		struct lvx_door_reply *r = d->first;
		d->first = r->next;
		free(r);
	}
	lvx_text_finish(&d->message);
	free(d->state);
	free(d);
}

bool lvx_door_callback(struct lvx_server *server, struct lws *wsi, enum lws_callback_reasons reason,
	struct lvx_peer *peer, void *in, size_t len, int *rc)
{
	char path[64];
	*rc = 0;
	if (reason == LWS_CALLBACK_ESTABLISHED) {
		if (lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) <= 0)
			return false;
		const struct lvx_door_protocol *protocol = lvx_door_find(path);
		if (protocol)
			on_established(server, wsi, peer, protocol);
		return protocol != NULL;
	}
	if (!peer || !peer->door)
		return false;
	if (reason == LWS_CALLBACK_RECEIVE)
		on_data(peer->door, in, len);
	else if (reason == LWS_CALLBACK_SERVER_WRITEABLE)
		*rc = on_writeable(peer->door);
	else
		on_closed(server, peer);
	return true;
}

void lvx_door_news(struct lvx_server *server)
{
	for (struct lvx_door *d = server->doors; d; d = d->next) {
		if (d->held.len > 0 || d->finished)
			lvx_door_pump(d);
		lvx_door_drain(d);
		lvx_door_set_reading(d);
	}
}

void lvx_door_tick(struct lvx_server *server, int64_t now_us)
{
	for (struct lvx_door *d = server->doors; d; d = d->next) {
		lvx_door_tick_sound(d);
		if (d->waiting_since_us != 0 &&
			now_us - d->waiting_since_us > server->params.slow_after_us &&
			d->close_code == 0) {
			server->subscribers_dropped++;
			lvx_log_info("a client of %s reads too slowly and is dropped",
				d->protocol->name);
			lvx_door_close(d, 1008, "too slow");
			/* It may never read again. */
			lws_set_timeout(d->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LINGER_S);
		}
		/* Its pong lies behind data that we do not read; that is not its fault. */
		if (!d->reading) {
			lws_validity_confirmed(d->wsi);
			d->last_rx_us = now_us;
		}
	}
}

void lvx_door_stop(struct lvx_server *server)
{
	for (struct lvx_door *d = server->doors; d; d = d->next)
		lvx_door_close(d, 1001, "the daemon is stopping");
}
