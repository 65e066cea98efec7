/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets: one thread runs libwebsockets and owns every connection. Others
 * only ring its bell (lws_cancel_service). docs/PROTOCOL.md is what it speaks.
 */
#ifndef LVX_DAEMON_SERVER_H
#define LVX_DAEMON_SERVER_H

#include "daemon/hub.h"
#include "daemon/outputs/outputs.h"

struct lvx_server;

struct lvx_server_params {
	struct lvx_hub *hub; /* all borrowed */
	struct lvx_engine *engine;
	struct lvx_outputs *outputs; /* or NULL */
	const char *bind;                         /* an address, or "*" */
	uint16_t port;                            /* 0: any free one */
	const char *token;                        /* NULL: none; needed unless bind is loopback */
	const char *operator_token;               /* NULL: who may come in may do all */
	const char *allow_origin, *allow_schemes; /* comma-separated; origin may be NULL */
	const char *tls_cert, *tls_key;           /* or NULL */
	const char *web_root;                     /* NULL: no page */
	bool compress;                            /* permessage-deflate for clients that offer it */
	int64_t slow_after_us;
	uint32_t max_connections;
	uint32_t max_streams; /* to tell clients */
};

/* Binds and starts the thread. LVX_EIO: the port is in use, or the like. */
enum lvx_status lvx_server_create(
	struct lvx_server **out, const struct lvx_server_params *params, struct lvx_error *err);
uint16_t lvx_server_port(const struct lvx_server *server);
/* Sends what there is to send, closes every connection with 1001, and ends the thread. */
void lvx_server_destroy(struct lvx_server *server);

#endif
