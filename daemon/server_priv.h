/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the socket thread share: server.c (context, thread),
 * http.c (requests), http_files.c, http_api.c (what they mean), ws_session.c, ws_requests.c
 * (the WebSocket protocol), doors/ (those of others), metrics.c. All of it is the
 * socket thread's unless said otherwise. libwebsockets' types stay in these files.
 */
#ifndef LVX_DAEMON_SERVER_PRIV_H
#define LVX_DAEMON_SERVER_PRIV_H

#include "daemon/messages.h"
#include "daemon/server.h"
#include "daemon/text.h"

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

struct lvx_door;
struct lvx_door_protocol;
struct lvx_ws_session;
struct lvx_http_request;
struct lvx_transcription;

enum { LVX_OUT_BYTES = 16384 };

struct lvx_server {
	struct lvx_server_params params; /* strings borrowed from the creator */
	struct lws_context *context;
	pthread_t thread;
	uint16_t port;
	bool loopback;       /* bound to loopback */
	char web_root[4096]; /* resolved; "": none */
	int64_t start_us;

	_Atomic bool news; /* any thread sets it and rings; spares rings */
	_Atomic bool stop;

	/* Socket thread only. */
	lws_sorted_usec_list_t tick;
	struct lvx_ws_session *sessions;
	struct lvx_door *doors;
	struct lvx_transcription *transcriptions;
	uint32_t n_sessions; /* both */
	int64_t stop_at_us;  /* INT64_MAX: not stopping */
	int64_t last_reap_us;
	uint64_t subscribers_dropped, requests_refused, n_requests;
	unsigned char out[LVX_OUT_BYTES]; /* events on their way to one viewer */
};

/* What lws keeps for a connection; one of them is set. */
struct lvx_peer {
	struct lvx_http_request *http;
	struct lvx_ws_session *ws;
	struct lvx_door *door;
};

/* ---- http.c ---- */
int lvx_http_callback(struct lvx_server *server, struct lws *wsi, enum lws_callback_reasons reason,
	struct lvx_peer *peer, void *in, size_t len);
/* 0: this handshake may become a WebSocket; < 0: it was refused, hang up. */
int lvx_http_confirm_upgrade(struct lvx_server *server, struct lws *wsi);

/* ---- http_api.c ---- */
struct lvx_http_reply {
	int status;
	const char *type; /* static */
	struct lvx_text body;
	bool open; /* more of the body is to come; its length is not known */
	/* Of lvx_http_fail: */
	enum lvx_api_code code;
	char why[512];
};
void lvx_http_fail(struct lvx_http_reply *reply, enum lvx_api_code code, const char *fmt, ...)
	LVX_PRINTF(3, 4);
/* Answers /api/..., /healthz and /metrics. method: "GET", "POST", ... */
void lvx_http_api(struct lvx_server *server, const char *method, const char *path, const char *body,
	size_t len, struct lvx_http_reply *reply);

/* ---- http_files.c ---- */
#define LVX_HLS_PATH "/hls/"
const char *lvx_http_type_of(const char *path); /* NULL: no file of ours */
extern const char lvx_http_page_headers[], lvx_http_hls_headers[];
/* The file that a path of the page means; file: PATH_MAX bytes. */
bool lvx_http_find_page(struct lvx_server *server, const char *path, char *file);
/* The same below LVX_HLS_PATH. False: the reply is there, a playlist or an error. */
bool lvx_http_find_hls(struct lvx_server *server, struct lws *wsi, const char *path, char *file,
	struct lvx_http_reply *reply);
/* Is there a master playlist of that stream? */
bool lvx_http_has_hls(struct lvx_server *server, const char *id);

/* ---- doors/ ---- */
/* Whether a handshake may become a connection of the protocol; else the reply says why not. */
bool lvx_door_check(struct lws *wsi, const struct lvx_door_protocol *protocol,
	const struct lvx_model_info *model, struct lvx_http_reply *reply);
/* Has the request the token, in any of the places where clients of other services put it? */
bool lvx_door_token_fits(struct lws *wsi, const char *token);
/* As lvx_ws_callback. False: it is no door's connection. */
bool lvx_door_callback(struct lvx_server *server, struct lws *wsi, enum lws_callback_reasons reason,
	struct lvx_peer *peer, void *in, size_t len, int *rc);
void lvx_door_news(struct lvx_server *server);
void lvx_door_tick(struct lvx_server *server, int64_t now_us);
void lvx_door_stop(struct lvx_server *server);

/* ---- metrics.c ---- */
void lvx_metrics(struct lvx_server *server, struct lvx_text *out);

/* ---- ws_session.c ---- */
int lvx_ws_callback(struct lvx_server *server, struct lws *wsi, enum lws_callback_reasons reason,
	struct lvx_peer *peer, void *in, size_t len);
void lvx_ws_news(struct lvx_server *server); /* something is new in the hub */
void lvx_ws_tick(struct lvx_server *server, int64_t now_us);
void lvx_ws_stop(struct lvx_server *server); /* begin to close all */

#endif
