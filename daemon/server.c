/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/server_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/auth.h"
#include "daemon/doors/transcriptions.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TICK_US = 100000, REAP_US = 1000000, STOP_US = 500000 };

/* ---- any thread ---- */

static void ring(void *user)
{
	struct lvx_server *server = user;
	/* Many events between two wake-ups are one ring. */
	if (!atomic_exchange_explicit(&server->news, true, memory_order_acq_rel))
		lws_cancel_service(server->context);
}

/* ---- socket thread ---- */

static void on_bell(struct lvx_server *server)
{
	/* Cleared before looking, so that what comes meanwhile rings again. */
	if (atomic_exchange_explicit(&server->news, false, memory_order_acq_rel)) {
		lvx_ws_news(server);
		lvx_door_news(server);
		lvx_transcriptions_news(server);
	}
	if (atomic_load(&server->stop) && server->stop_at_us == INT64_MAX) {
		server->stop_at_us = lvx_now_us() + STOP_US;
		lvx_ws_stop(server);
		lvx_door_stop(server);
	}
}

static void on_tick(lws_sorted_usec_list_t *sul)
{
	struct lvx_server *server = lws_container_of(sul, struct lvx_server, tick);
	int64_t now_us = lvx_now_us();
	lvx_ws_tick(server, now_us);
	lvx_door_tick(server, now_us);
	if (now_us - server->last_reap_us >= REAP_US && server->stop_at_us == INT64_MAX) {
		server->last_reap_us = now_us;
		lvx_hub_reap(server->params.hub);
	}
	lws_sul_schedule(server->context, 0, sul, on_tick, TICK_US);
}

static int callback(
	struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct lvx_server *server = lws_context_user(lws_get_context(wsi));
	int rc;
	switch (reason) {
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		on_bell(server);
		return 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return lvx_http_confirm_upgrade(server, wsi);
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_CLOSED:
		if (lvx_door_callback(server, wsi, reason, user, in, len, &rc))
			return rc;
		return lvx_ws_callback(server, wsi, reason, user, in, len);
	case LWS_CALLBACK_HTTP:
	case LWS_CALLBACK_HTTP_BODY:
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
	case LWS_CALLBACK_HTTP_WRITEABLE:
	case LWS_CALLBACK_HTTP_FILE_COMPLETION:
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		return lvx_http_callback(server, wsi, reason, user, in, len);
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}

/*
 * A buffer of this size is every connection's for as long as it lasts. Over TLS it must hold a
 * whole record: lws 4.1 turns in circles for ever when it stops reading in the midst of one.
 */
enum { RX_BUFFER = 2048, RX_BUFFER_TLS = 16384 };

#define PROTOCOL(NAME, RX)                                                                         \
	{                                                                                          \
		.name = NAME, .callback = callback,                                                \
		.per_session_data_size = sizeof(struct lvx_peer), .rx_buffer_size = RX,            \
	}
/* Without a subprotocol the first one is taken; HTTP is served by the same. The browsers'
 * clients of other services name the others, and their token beside. */
#define PROTOCOLS(RX)                                                                              \
	{                                                                                          \
		PROTOCOL("lumivox.v1", RX), PROTOCOL("realtime", RX), PROTOCOL("token", RX),       \
			PROTOCOL("bearer", RX), {.name = NULL},                                    \
	}
static const struct lws_protocols protocols[] = PROTOCOLS(RX_BUFFER);
static const struct lws_protocols protocols_tls[] = PROTOCOLS(RX_BUFFER_TLS);

static const struct lws_extension deflate[] = {
	{"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate"},
	{NULL, NULL, NULL},
};

static const lws_retry_bo_t idle_policy = {
	.secs_since_valid_ping = 20,
	.secs_since_valid_hangup = 40,
};

static void *socket_thread(void *arg)
{
	struct lvx_server *server = arg;
	lws_sul_schedule(server->context, 0, &server->tick, on_tick, TICK_US);
	for (;;) {
		if (lws_service(server->context, 0) < 0)
			break;
		if (server->stop_at_us != INT64_MAX &&
			(server->n_sessions == 0 || lvx_now_us() >= server->stop_at_us))
			break;
	}
	return NULL;
}

static void emit(int level, const char *line)
{
	size_t n = strcspn(line, "\n");
	if (level & (LLL_ERR | LLL_WARN))
		lvx_log_warn("lws: %.*s", (int)n, line);
	else
		lvx_log_debug("lws: %.*s", (int)n, line);
}

/* ---- set-up ---- */

/*
 * Whether the address can be listened on, for an error that says why: lws only
 * says that it could not.
 */
static enum lvx_status try_bind(const struct lvx_server_params *p, struct lvx_error *err)
{
	bool any = strcmp(p->bind, "*") == 0;
	char port[8];
	snprintf(port, sizeof(port), "%u", p->port);
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *ai;
	int rc = getaddrinfo(any ? NULL : p->bind, port, &hints, &ai);
	if (rc != 0)
		return lvx_fail(
			err, LVX_EINVAL, "bind: '%s' is not a numeric address, nor '*'", p->bind);
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;
	enum lvx_status st = LVX_OK;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, 1) != 0) {
		if (errno == EADDRINUSE)
			st = lvx_fail(err, LVX_EIO,
				"port %s of %s is in use (another lumivoxd? see --port)", port,
				p->bind);
		else
			st = lvx_fail(err, LVX_EIO, "cannot listen on %s port %s: %s", p->bind,
				port, strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	freeaddrinfo(ai);
	return st;
}

static enum lvx_status check_tls(const struct lvx_server_params *p, struct lvx_error *err)
{
	const char *files[] = {p->tls_cert, p->tls_key};
	for (int i = 0; i < 2 && p->tls_cert; i++) {
		if (access(files[i], R_OK) != 0)
			return lvx_fail(err, LVX_ENOENT, "%s: %s: %s", i ? "tls-key" : "tls-cert",
				files[i], strerror(errno));
	}
	return LVX_OK;
}

static enum lvx_status open_context(struct lvx_server *server, struct lvx_error *err)
{
	const struct lvx_server_params *p = &server->params;
	struct lws_context_creation_info info = {
		.port = p->port,
		.protocols = p->tls_cert ? protocols_tls : protocols,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.user = server,
		.keepalive_timeout = 30,
		.timeout_secs = 20,
		.retry_and_idle_policy = &idle_policy,
		.pt_serv_buf_size = 32768,
		/* HTTP/2 would carry WebSockets differently, for no gain here. */
		.alpn = "http/1.1",
		.server_string = "lumivoxd",
		.options = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
			   LWS_SERVER_OPTION_VALIDATE_UTF8,
	};
	if (strcmp(p->bind, "*") != 0 && strcmp(p->bind, "::") != 0)
		info.iface = p->bind;
	if (!strchr(p->bind, ':') && strcmp(p->bind, "*") != 0)
		info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
	if (strcmp(p->bind, "0.0.0.0") == 0)
		info.iface = NULL;
	if (p->tls_cert) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.ssl_cert_filepath = p->tls_cert;
		info.ssl_private_key_filepath = p->tls_key;
	}
	if (p->compress)
		info.extensions = deflate;
	lws_set_log_level(LLL_ERR | LLL_WARN, emit);
	server->context = lws_create_context(&info);
	if (!server->context)
		return lvx_fail(err, LVX_EIO, "cannot serve on %s port %u%s", p->bind, p->port,
			p->tls_cert ? " (is it a certificate with its key, in PEM?)" : "");
	struct lws_vhost *vhost = lws_get_vhost_by_name(server->context, "default");
	server->port = vhost ? (uint16_t)lws_get_vhost_listen_port(vhost) : p->port;
	return LVX_OK;
}

enum lvx_status lvx_server_create(
	struct lvx_server **out, const struct lvx_server_params *params, struct lvx_error *err)
{
	bool loopback = lvx_auth_is_loopback(params->bind);
	if (!loopback && !params->token)
		return lvx_fail(err, LVX_EINVAL,
			"bind = %s can be reached from elsewhere: it needs a token "
			"(--token-file FILE, or LVX_TOKEN)",
			params->bind);
	enum lvx_status st = check_tls(params, err);
	if (st == LVX_OK)
		st = try_bind(params, err);
	if (st != LVX_OK)
		return st;
	struct lvx_server *server = calloc(1, sizeof(*server));
	if (!server)
		return lvx_fail(err, LVX_ENOMEM, "server: out of memory");
	server->params = *params;
	server->loopback = loopback;
	server->stop_at_us = INT64_MAX;
	server->start_us = lvx_now_us();
	if (params->web_root && !realpath(params->web_root, server->web_root)) {
		lvx_log_warn("web-root: %s: %s; there will be no page", params->web_root,
			strerror(errno));
		server->web_root[0] = '\0';
	}
	st = open_context(server, err);
	if (st != LVX_OK)
		goto fail;
	lvx_hub_on_news(params->hub, ring, server);
	int rc = pthread_create(&server->thread, NULL, socket_thread, server);
	if (rc != 0) {
		st = lvx_fail(err, LVX_EIO, "server: no thread: %s", strerror(rc));
		lws_context_destroy(server->context);
		goto fail;
	}
	*out = server;
	return LVX_OK;
fail:
	free(server);
	return st;
}

uint16_t lvx_server_port(const struct lvx_server *server)
{
	return server->port;
}

void lvx_server_destroy(struct lvx_server *server)
{
	if (!server)
		return;
	atomic_store(&server->stop, true);
	lws_cancel_service(server->context);
	pthread_join(server->thread, NULL);
	lws_context_destroy(server->context);
	free(server);
}
