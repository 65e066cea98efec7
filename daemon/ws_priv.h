/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of a WebSocket of the own protocol know of each other. */
#ifndef LVX_DAEMON_WS_PRIV_H
#define LVX_DAEMON_WS_PRIV_H

#include "daemon/server_priv.h"

struct lvx_ws_subscription {
	struct lvx_hub_stream *stream; /* referenced, and counted as a reader */
	struct lvx_hub_reader reader;
	enum lvx_hub_sound sound;
	uint64_t next_sound; /* the packet that is wanted next */
};

struct lvx_ws_reply {
	struct lvx_ws_reply *next;
	size_t len;
	char data[]; /* [LWS_PRE + len] */
};

struct lvx_ws_session {
	struct lvx_ws_session *next;
	struct lvx_server *server;
	struct lws *wsi;
	struct lvx_ws_subscription *subs; /* [n_subs] */
	size_t n_subs, turn;              /* whose turn it is to be sent */
	struct lvx_ws_reply *first, **last;
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

/* ---- ws_session.c: the connection ---- */
void lvx_ws_send(struct lvx_ws_session *s, const struct lvx_text *t);
void lvx_ws_close(struct lvx_ws_session *s, int code, const char *reason); /* reason: static */
/* Lets data in, or not, as what is held and waits asks for. */
void lvx_ws_set_reading(struct lvx_ws_session *s);

/* ---- ws_requests.c: what is asked and pushed ---- */
void lvx_ws_request(struct lvx_ws_session *s); /* s->message is one */
/* ref: of the request, or NULL. Too many of them close the connection. */
void lvx_ws_error(struct lvx_ws_session *s, const json_t *ref, enum lvx_api_code code,
	const char *fmt, ...) LVX_PRINTF(4, 5);
void lvx_ws_unwatch(struct lvx_ws_session *s, size_t i); /* ends subscription i */
/* Offers the push what is held; true: all was taken. */
bool lvx_ws_pump(struct lvx_ws_session *s);
/* Tells the pusher that its stream has ended, once its subscription has said so. */
bool lvx_ws_send_pushed(struct lvx_ws_session *s);

#endif
