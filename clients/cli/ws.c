/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/ws.h"

#include "clients/cli/cli.h"

#include <libwebsockets.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 16 << 20, BINARY_CHUNK = 16384 };

struct message {
	struct message *next;
	char *text; /* owned */
	size_t len;
};

struct ws {
	struct ws_params p;
	struct lws_context *context;
	struct lws *wsi; /* NULL while not connected */
	lws_sorted_usec_list_t retry;
	char *host, *path, *authorization; /* owned; authorization may be NULL */
	int port;
	bool tls, open, drop;
	struct message *first, **last;
	char *in; /* a message that is being received */
	size_t in_len, in_cap;
	uint8_t out[LWS_PRE + BINARY_CHUNK];
	atomic_bool stop;
};

static void connect_now(lws_sorted_usec_list_t *sul);

static void retry_after(struct ws *ws, const char *why)
{
	ws->wsi = NULL;
	ws->open = ws->drop = false;
	ws->in_len = 0;
	for (struct message *m = ws->first, *next; m; m = next) {
		next = m->next;
		free(m->text);
		free(m);
	}
	ws->first = NULL;
	ws->last = &ws->first;
	if (atomic_load(&ws->stop))
		return;
	int ms = ws->p.on_close(ws->p.user, why);
	if (ms < 0)
		atomic_store(&ws->stop, true);
	else
		lws_sul_schedule(
			ws->context, 0, &ws->retry, connect_now, (lws_usec_t)ms * 1000 + 1);
}

static void receive(struct ws *ws, const char *data, size_t len, bool last)
{
	if (ws->in_len + len > TEXT_MAX)
		return;
	if (ws->in_len + len > ws->in_cap) {
		ws->in_cap = (ws->in_len + len) * 2;
		ws->in = cli_grow(ws->in, ws->in_cap);
	}
	memcpy(ws->in + ws->in_len, data, len);
	ws->in_len += len;
	if (!last)
		return;
	json_t *msg = json_loadb(ws->in, ws->in_len, 0, NULL);
	ws->in_len = 0;
	if (json_is_object(msg))
		ws->p.on_message(ws->p.user, msg);
	json_decref(msg);
}

/* One write a callback, as libwebsockets wants it. */
static int writable(struct ws *ws)
{
	struct message *m = ws->first;
	if (m) {
		unsigned char *buf = cli_grow(NULL, LWS_PRE + m->len);
		memcpy(buf + LWS_PRE, m->text, m->len);
		int n = lws_write(ws->wsi, buf + LWS_PRE, m->len, LWS_WRITE_TEXT);
		free(buf);
		if (n < (int)m->len)
			return -1;
		ws->first = m->next;
		if (!ws->first)
			ws->last = &ws->first;
		free(m->text);
		free(m);
		lws_callback_on_writable(ws->wsi);
		return 0;
	}
	if (!ws->p.on_room)
		return 0;
	size_t len = ws->p.on_room(ws->p.user, ws->out + LWS_PRE, BINARY_CHUNK);
	if (ws->first) /* on_room had something to say, such as that it has finished */
		lws_callback_on_writable(ws->wsi);
	if (!len)
		return 0;
	if (lws_write(ws->wsi, ws->out + LWS_PRE, len, LWS_WRITE_BINARY) < (int)len)
		return -1;
	lws_callback_on_writable(ws->wsi);
	return 0;
}

static int append_headers(struct ws *ws, unsigned char **p, size_t len)
{
	if (!ws->authorization)
		return 0;
	return lws_add_http_header_by_token(ws->wsi, WSI_TOKEN_HTTP_AUTHORIZATION,
		       (const unsigned char *)ws->authorization, (int)strlen(ws->authorization), p,
		       *p + len)
		       ? -1
		       : 0;
}

static int on_event(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct ws *ws = lws_context_user(lws_get_context(wsi));
	char why[160];
	(void)user;
	switch (reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		ws->wsi = wsi;
		return append_headers(ws, in, len);
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		ws->wsi = wsi;
		ws->open = true;
		ws->p.on_open(ws->p.user);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		if (!lws_frame_is_binary(wsi))
			receive(ws, in, len,
				lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi));
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		return ws->drop ? -1 : writable(ws);
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		if (ws->open)
			lws_callback_on_writable(ws->wsi);
		break;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		snprintf(why, sizeof(why), "cannot connect to %s:%d: %.80s", ws->host, ws->port,
			in ? (const char *)in : "no answer");
		retry_after(ws, why);
		break;
	case LWS_CALLBACK_CLIENT_CLOSED:
		retry_after(ws, "the connection was lost");
		break;
	default:
		break;
	}
	return 0;
}

static const struct lws_protocols protocols[] = {
	{"lumivox.v1", on_event, 0, 65536, 0, NULL, 0},
	{NULL, NULL, 0, 0, 0, NULL, 0},
};

/* A daemon that is gone without a word is noticed within half a minute. */
static const lws_retry_bo_t validity = {.secs_since_valid_ping = 15, .secs_since_valid_hangup = 30};

static void connect_now(lws_sorted_usec_list_t *sul)
{
	struct ws *ws = lws_container_of(sul, struct ws, retry);
	struct lws_client_connect_info info = {
		.context = ws->context,
		.address = ws->host,
		.host = ws->host,
		.port = ws->port,
		.path = ws->path,
		.protocol = protocols[0].name,
		.local_protocol_name = protocols[0].name,
		.retry_and_idle_policy = &validity,
	};
	if (ws->tls)
		info.ssl_connection =
			LCCSCF_USE_SSL |
			(ws->p.insecure ? LCCSCF_ALLOW_SELFSIGNED | LCCSCF_ALLOW_INSECURE |
						  LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK
					: 0);
	/* Failures that show at once have been reported through the callback. */
	lws_client_connect_via_info(&info);
}

static enum lvx_status set_server(struct ws *ws, const char *server, struct lvx_error *err)
{
	const char *scheme, *address, *path;
	char *copy = cli_strdup(server);
	bool ok =
		strstr(server, "://") && !lws_parse_uri(copy, &scheme, &address, &ws->port, &path);
	if (ok) {
		ws->tls = !strcmp(scheme, "wss") || !strcmp(scheme, "https");
		ok = ws->tls || !strcmp(scheme, "ws") || !strcmp(scheme, "http");
	}
	if (ok) {
		ws->host = cli_strdup(address);
		ws->path = cli_alloc(strlen(path) + 10);
		sprintf(ws->path, "/%s%sapi/ws", path,
			*path && path[strlen(path) - 1] != '/' ? "/" : "");
	}
	free(copy);
	return ok ? LVX_OK
		  : lvx_fail(err, LVX_EINVAL, "--server is like %s, not '%s'", WS_DEFAULT_SERVER,
			    server);
}

static const char *or_environment(const char *value, const char *name)
{
	if (!value)
		value = getenv(name);
	return value && *value ? value : NULL;
}

enum lvx_status ws_create(struct ws **out, const struct ws_params *params, struct lvx_error *err)
{
	struct ws *ws = cli_alloc(sizeof(*ws));
	ws->p = *params;
	ws->last = &ws->first;
	const char *server = or_environment(params->server, "LVX_SERVER");
	const char *token = or_environment(params->token, "LVX_TOKEN");
	if (set_server(ws, server ? server : WS_DEFAULT_SERVER, err) != LVX_OK)
		goto fail;
	if (token) {
		ws->authorization = cli_alloc(strlen(token) + 8);
		sprintf(ws->authorization, "Bearer %s", token);
	}
	lws_set_log_level(0, NULL);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = protocols,
		.gid = -1,
		.uid = -1,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.user = ws,
	};
	ws->context = lws_create_context(&info);
	if (!ws->context) {
		lvx_fail(err, LVX_EIO, "libwebsockets cannot start");
		goto fail;
	}
	*out = ws;
	return LVX_OK;
fail:
	ws_destroy(ws);
	return err->status;
}

void ws_destroy(struct ws *ws)
{
	if (!ws)
		return;
	atomic_store(&ws->stop, true);
	if (ws->context)
		lws_context_destroy(ws->context);
	for (struct message *m = ws->first, *next; m; m = next) {
		next = m->next;
		free(m->text);
		free(m);
	}
	free(ws->in);
	free(ws->host);
	free(ws->path);
	free(ws->authorization);
	free(ws);
}

void ws_send(struct ws *ws, json_t *msg)
{
	struct message *m = cli_alloc(sizeof(*m));
	m->text = json_dumps(msg, JSON_COMPACT);
	json_decref(msg);
	m->len = m->text ? strlen(m->text) : 0;
	*ws->last = m;
	ws->last = &m->next;
	if (ws->open)
		lws_callback_on_writable(ws->wsi);
}

void ws_close(struct ws *ws)
{
	ws->drop = true;
	if (ws->open)
		lws_callback_on_writable(ws->wsi);
}

void ws_run(struct ws *ws)
{
	lws_sul_schedule(ws->context, 0, &ws->retry, connect_now, 1);
	while (!atomic_load(&ws->stop))
		if (lws_service(ws->context, 0) < 0)
			break;
}

void ws_wake(struct ws *ws)
{
	lws_cancel_service(ws->context);
}

void ws_stop(struct ws *ws)
{
	atomic_store(&ws->stop, true);
	lws_cancel_service(ws->context);
}
