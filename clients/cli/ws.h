/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket connection to lumivoxd (libwebsockets underneath). All on the
 * thread that calls ws_run(), but for ws_wake() and ws_stop(), which any thread
 * or signal handler may call.
 */
#ifndef LVX_CLIENTS_WS_H
#define LVX_CLIENTS_WS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_DEFAULT_SERVER "ws://127.0.0.1:8437"

struct ws;

struct ws_params {
	const char *server; /* ws:, wss:, http: or https: with host and port; NULL: LVX_SERVER or
			       the default */
	const char *token;  /* NULL: LVX_TOKEN, if set */
	bool insecure;      /* wss without checking the certificate */
	void *user;
	void (*on_open)(void *user);
	void (*on_message)(void *user, const json_t *msg); /* borrowed for the call */
	/* Could not connect, or lost it. Milliseconds until the next try, or -1 to give up. */
	int (*on_close)(void *user, const char *why);
	/* May be NULL. Binary data to send now: how many bytes were put to `to` (0: none yet). */
	size_t (*on_room)(void *user, uint8_t *to, size_t max);
};

enum lvx_status ws_create(struct ws **out, const struct ws_params *params, struct lvx_error *err);
void ws_destroy(struct ws *ws);           /* NULL is fine */
void ws_send(struct ws *ws, json_t *msg); /* taken; sent in order, before further binary data */
void ws_close(struct ws *ws);             /* drops the connection: on_close follows */
void ws_run(struct ws *ws);               /* until ws_stop, or on_close gave up */
void ws_wake(struct ws *ws);              /* there may be data for on_room */
void ws_stop(struct ws *ws);

#endif
