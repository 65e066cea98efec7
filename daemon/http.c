/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on the socket thread: who may, request bodies, replies, files of the page. */
#include "daemon/server_priv.h"

#include "base/log.h"
#include "daemon/auth.h"
#include "daemon/doors/door.h"
#include "daemon/doors/transcriptions.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADERS_MAX = 2048,
	CHUNK = 16384,
	/* A body longer than LVX_MESSAGE_BYTES_MAX is read and thrown away up to here, so
	 * that the client gets to read the answer; beyond, it is cut off. */
	DISCARD_MAX = 8 << 20,
};

struct lvx_http_request {
	char method[10];
	char path[512];
	char origin[256]; /* "" or an allowed one, to be echoed */
	char asked[512];  /* headers that it may send from there */
	bool refused;     /* decided before the body was read: the reply stands */
	size_t body_seen;
	struct lvx_text body;
	struct lvx_http_reply reply;
	size_t sent; /* of reply.body */
	bool answered;
	bool hang_up;                     /* after the answer */
	struct lvx_transcription *upload; /* NULL: an ordinary request */
};

static const char *const method_names[] = {
	[LWSHUMETH_GET] = "GET",
	[LWSHUMETH_POST] = "POST",
	[LWSHUMETH_OPTIONS] = "OPTIONS",
	[LWSHUMETH_PUT] = "PUT",
	[LWSHUMETH_PATCH] = "PATCH",
	[LWSHUMETH_DELETE] = "DELETE",
	[LWSHUMETH_CONNECT] = "CONNECT",
	[LWSHUMETH_HEAD] = "HEAD",
	[LWSHUMETH_COLON_PATH] = "?",
};

/* ---- who may ---- */

static void header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t size)
{
	if (lws_hdr_copy(wsi, out, (int)size, token) < 0)
		out[0] = '\0';
}

/* Whom a request wants to come from. An operator may do all that a viewer may. */
enum who { ANYONE, VIEWER, OPERATOR };

static bool token_fits(struct lvx_server *server, struct lws *wsi, enum who who)
{
	const struct lvx_server_params *p = &server->params;
	char value[600];
	header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, value, sizeof(value));
	const char *given = lvx_auth_bearer(value);
	if (!given)
		given = lws_get_urlarg_by_name(wsi, "token=", value, sizeof(value));
	if (!given)
		return false;
	if (p->operator_token && lvx_auth_same(p->operator_token, given))
		return true;
	return p->token && (who == VIEWER || !p->operator_token) && lvx_auth_same(p->token, given);
}

/*
 * Checks Host, Origin and, but for ANYONE, the token, for a `door` wherever it may be. True: come in.
 * Else the reply says why not. origin: the allowed Origin of the request, or "".
 */
static bool admit(struct lvx_server *server, struct lws *wsi, enum who who, bool door, char *origin,
	size_t origin_size, struct lvx_http_reply *reply)
{
	const struct lvx_server_params *p = &server->params;
	char host[256];
	header(wsi, WSI_TOKEN_HOST, host, sizeof(host));
	header(wsi, WSI_TOKEN_ORIGIN, origin, origin_size);
	/* A foreign name that resolves to 127.0.0.1 is somebody's page rebinding its DNS. */
	if (server->loopback && !p->token && !lvx_auth_is_loopback(host)) {
		origin[0] = '\0';
		lvx_http_fail(reply, LVX_API_FORBIDDEN,
			"the Host header '%.100s' does not mean this machine", host);
		return false;
	}
	if (origin[0] && !lvx_auth_origin(origin, host, p->allow_origin)) {
		lvx_http_fail(reply, LVX_API_FORBIDDEN,
			"origin %.100s is not allowed (--allow-origin)", origin);
		origin[0] = '\0';
		return false;
	}
	bool needed = who == OPERATOR ? p->operator_token || p->token : who == VIEWER && p->token;
	if (needed && !token_fits(server, wsi, who) &&
		!(door && lvx_door_token_fits(wsi, p->token))) {
		lvx_http_fail(reply, LVX_API_UNAUTHORIZED,
			"%s token is needed: 'Authorization: Bearer TOKEN', or ?token=TOKEN",
			who == OPERATOR && p->operator_token ? "the operator's" : "a");
		return false;
	}
	return true;
}

/* ---- replying ---- */

static bool add_header(
	struct lws *wsi, const char *name, const char *value, unsigned char **p, unsigned char *end)
{
	return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
		       (const unsigned char *)value, (int)strlen(value), p, end) == 0;
}

/* asked: the headers that a preflight names. Whom the operator lets in may send what it likes: no
 * header has power here but the token's. */
static bool add_cors(struct lws *wsi, const char *origin, const char *asked, unsigned char **p,
	unsigned char *end)
{
	if (!origin[0])
		return true;
	return add_header(wsi, "access-control-allow-origin:", origin, p, end) &&
	       add_header(wsi, "vary:", "Origin", p, end) &&
	       add_header(
		       wsi, "access-control-allow-methods:", "GET, POST, PATCH, DELETE", p, end) &&
	       add_header(
		       wsi, "access-control-allow-headers:", asked, p, end) &&
	       add_header(wsi, "access-control-max-age:", "600", p, end);
}

/* Writes the head; 0, or -1 to hang up. */
static int write_head(struct lws *wsi, const struct lvx_http_request *r, bool hang_up)
{
	const struct lvx_http_reply *reply = &r->reply;
	unsigned char buf[LWS_PRE + HEADERS_MAX], *start = buf + LWS_PRE, *p = start;
	unsigned char *end = buf + sizeof(buf) - 1;
	bool bare = reply->status == 204;
	if (lws_add_http_common_headers(wsi, (unsigned)reply->status,
		    reply->type ? reply->type : "text/plain",
		    bare || reply->open ? LWS_ILLEGAL_HTTP_CONTENT_LEN : reply->body.len, &p,
		    end))
		return -1;
	if (!add_header(wsi, "cache-control:", "no-store", &p, end) ||
		!add_header(wsi, "x-content-type-options:", "nosniff", &p, end) ||
		!add_cors(wsi, r->origin, r->asked, &p, end))
		return -1;
	/* Of a body without a length lws has said so. */
	if (hang_up && !reply->open && !add_header(wsi, "connection:", "close", &p, end))
		return -1;
	if (reply->status == 401 && !add_header(wsi, "www-authenticate:", "Bearer", &p, end))
		return -1;
	return lws_finalize_write_http_header(wsi, start, &p, end);
}

static int finish_transaction(struct lws *wsi)
{
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* Clients of /v1/ know errors in OpenAI's form. */
static void translate_error(struct lvx_http_request *r)
{
	struct lvx_http_reply *reply = &r->reply;
	if (reply->status < 400 || strncmp(r->path, "/v1/", 4) != 0)
		return;
	lvx_text_clear(&reply->body);
	lvx_openai_error(&reply->body, reply->status,
		reply->code == LVX_API_UNAUTHORIZED ? "invalid_api_key"
						    : lvx_api_code_name(reply->code),
		reply->why);
}

static int begin_reply(struct lvx_server *server, struct lws *wsi, struct lvx_http_request *r)
{
	if (r->reply.status >= 400)
		server->requests_refused++;
	r->answered = true;
	r->hang_up |= r->reply.open; /* that is how it ends */
	translate_error(r);
	if (write_head(wsi, r, r->hang_up) != 0)
		return -1;
	if (!r->reply.open && (r->reply.body.len == 0 || strcmp(r->method, "HEAD") == 0))
		return finish_transaction(wsi);
	lws_callback_on_writable(wsi);
	return 0;
}

static int write_body(struct lvx_server *server, struct lws *wsi, struct lvx_http_request *r)
{
	unsigned char buf[LWS_PRE + CHUNK];
	if (!r || r->reply.status == 0)
		return 0; /* a WRITEABLE that is not ours; they happen */
	if (!r->answered)
		return begin_reply(server, wsi, r);
	size_t left = r->reply.body.len - r->sent;
	if (left == 0 && r->reply.open)
		return 0;
	size_t n = left < CHUNK ? left : CHUNK;
	memcpy(buf + LWS_PRE, r->reply.body.data + r->sent, n);
	bool last = n == left && !r->reply.open;
	if (lws_write(wsi, buf + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
		return -1;
	r->sent += n;
	if (last)
		return r->hang_up ? -1 : finish_transaction(wsi);
	if (r->reply.open && r->sent == r->reply.body.len) {
		lvx_text_clear(&r->reply.body);
		r->sent = 0;
	}
	lws_callback_on_writable(wsi);
	return 0;
}

/* headers: whole lines, as lws appends them. */
static int serve_file(struct lws *wsi, const char *file, const char *headers, const char *origin)
{
	char all[HEADERS_MAX];
	int n = snprintf(all, sizeof(all), "%s", headers);
	if (origin[0])
		n += snprintf(all + n, sizeof(all) - (size_t)n,
			"access-control-allow-origin: %s\r\nvary: Origin\r\n", origin);
	n = lws_serve_http_file(wsi, file, lvx_http_type_of(file), all, n);
	if (n < 0)
		return -1;
	return n > 0 ? finish_transaction(wsi) : 0;
}

/* For requests whose body we will not read. */
static int reply_and_hang_up(struct lvx_server *server, struct lws *wsi, struct lvx_http_request *r)
{
	server->requests_refused++;
	r->answered = true;
	translate_error(r);
	if (write_head(wsi, r, true) == 0)
		write_body(server, wsi, r);
	return -1;
}

/* ---- requests ---- */

static void free_request(struct lvx_peer *peer)
{
	if (!peer || !peer->http)
		return;
	lvx_transcription_destroy(peer->http->upload);
	lvx_text_finish(&peer->http->body);
	lvx_text_finish(&peer->http->reply.body);
	free(peer->http);
	peer->http = NULL;
}

static long content_length(struct lws *wsi)
{
	char value[24];
	header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, value, sizeof(value));
	char *end;
	long n = strtol(value, &end, 10);
	return value[0] && *end == '\0' ? n : 0;
}

static int begin_upload(struct lvx_server *server, struct lws *wsi, struct lvx_http_request *r)
{
	char coding[16];
	bool said = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
	header(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, coding, sizeof(coding));
	bool chunked = strcmp(coding, "chunked") == 0;
	if (strcmp(r->method, "POST") != 0)
		lvx_http_fail(&r->reply, LVX_API_METHOD, "%s: POST is possible here", r->method);
	else if (chunked == said)
		lvx_http_fail(&r->reply, LVX_API_INVALID,
			"a body needs a Content-Length, or chunked coding");
	else
		r->upload = lvx_transcription_create(
			server, wsi, chunked, chunked ? 0 : content_length(wsi), &r->reply);
	/* lws does not know where a chunked body ends, nor where the next request begins. */
	r->hang_up = chunked;
	return r->upload ? 0 : reply_and_hang_up(server, wsi, r);
}

static void begin_preflight(struct lws *wsi, struct lvx_http_request *r)
{
	static const char names[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ";
	char asked[sizeof(r->asked)];
	header(wsi, WSI_TOKEN_HTTP_AC_REQUEST_HEADERS, asked, sizeof(asked));
	if (asked[0] && asked[strspn(asked, names)] == '\0')
		memcpy(r->asked, asked, sizeof(asked));
	r->reply.status = 204;
}

/* Everything but the body is here. */
static int on_request(struct lvx_server *server, struct lws *wsi, struct lvx_peer *peer)
{
	char *uri = NULL;
	int uri_len = 0;
	int method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
	free_request(peer);
	struct lvx_http_request *r = calloc(1, sizeof(*r));
	if (!r)
		return -1;
	peer->http = r;
	server->n_requests++;
	strcpy(r->asked, "Authorization, Content-Type");
	snprintf(r->method, sizeof(r->method), "%s", method >= 0 ? method_names[method] : "?");
	bool too_long = uri_len <= 0 || (size_t)uri_len >= sizeof(r->path);
	if (!too_long)
		snprintf(r->path, sizeof(r->path), "%.*s", uri_len, uri);

	bool get = method == LWSHUMETH_GET || method == LWSHUMETH_HEAD;
	bool api = strncmp(r->path, "/api/", 5) == 0;
	bool v1 = strncmp(r->path, "/v1/", 4) == 0;
	bool hls = strncmp(r->path, LVX_HLS_PATH, strlen(LVX_HLS_PATH)) == 0;
	bool secret = api || v1 || hls || strcmp(r->path, "/metrics") == 0;
	/* The log may tell of streams that others made, and of their addresses. */
	bool rules = api && (!get || strcmp(r->path, "/api/log") == 0);
	enum who who = rules ? OPERATOR : secret ? VIEWER : ANYONE;
	bool preflight = method == LWSHUMETH_OPTIONS; /* carries no token */
	char file[PATH_MAX];
	if (too_long)
		lvx_http_fail(&r->reply, LVX_API_INVALID, "the path is too long");
	else if (!admit(server, wsi, preflight ? ANYONE : who, false, r->origin, sizeof(r->origin),
			 &r->reply))
		r->refused = true;
	else if (preflight)
		begin_preflight(wsi, r);
	else if (get && !secret && lvx_http_find_page(server, r->path, file))
		return serve_file(wsi, file, lvx_http_page_headers, "");
	else if (get && hls && lvx_http_find_hls(server, wsi, r->path, file, &r->reply))
		return serve_file(wsi, file, lvx_http_hls_headers, r->origin);
	r->refused = r->reply.status != 0;
	/* A refused one is read too if it is chunked, so that the client reads the answer. */
	bool said = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
	if (strcmp(r->path, LVX_TRANSCRIPTIONS_PATH) == 0 &&
		(!r->refused || (method == LWSHUMETH_POST && !said)))
		return begin_upload(server, wsi, r);

	long length = content_length(wsi);
	if (length > DISCARD_MAX || length < 0) {
		lvx_http_fail(&r->reply, LVX_API_TOO_LARGE, "the body is longer than %d bytes",
			LVX_MESSAGE_BYTES_MAX);
		return reply_and_hang_up(server, wsi, r);
	}
	if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
		lvx_http_fail(&r->reply, LVX_API_INVALID, "a body needs a Content-Length");
		return reply_and_hang_up(server, wsi, r);
	}
	/* lws completes a body of length 0 too, if it is a POST's and the length is said. */
	if (length > 0 || (method == LWSHUMETH_POST &&
				  lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0))
		return 0;
	if (!r->refused)
		lvx_http_api(server, get ? "GET" : r->method, r->path, "", 0, &r->reply);
	return begin_reply(server, wsi, r);
}

static void on_body(struct lvx_http_request *r, const char *data, size_t len)
{
	r->body_seen += len;
	if (r->body_seen <= LVX_MESSAGE_BYTES_MAX)
		lvx_text_add(&r->body, data, len);
}

static int on_body_complete(struct lvx_server *server, struct lws *wsi, struct lvx_http_request *r)
{
	if (r && r->upload) {
		lvx_transcription_complete(r->upload);
		return 0;
	}
	if (!r || r->sent > 0 || (r->reply.status != 0 && !r->refused))
		return 0; /* answered already: there was no body to wait for */
	if (!r->refused && r->body_seen > LVX_MESSAGE_BYTES_MAX)
		lvx_http_fail(&r->reply, LVX_API_TOO_LARGE, "the body is longer than %d bytes",
			LVX_MESSAGE_BYTES_MAX);
	else if (!r->refused)
		lvx_http_api(server, r->method, r->path, r->body.data ? r->body.data : "",
			r->body.len, &r->reply);
	return begin_reply(server, wsi, r);
}

int lvx_http_callback(struct lvx_server *server, struct lws *wsi, enum lws_callback_reasons reason,
	struct lvx_peer *peer, void *in, size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return on_request(server, wsi, peer);
	case LWS_CALLBACK_HTTP_BODY:
		if (peer->http && peer->http->upload)
			lvx_transcription_body(peer->http->upload, in, len);
		else if (peer->http)
			on_body(peer->http, in, len);
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return on_body_complete(server, wsi, peer->http);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return write_body(server, wsi, peer->http);
	case LWS_CALLBACK_HTTP_FILE_COMPLETION:
		return finish_transaction(wsi);
	default: /* the transaction or the connection is over */
		free_request(peer);
		return 0;
	}
}

/* By hand: before the upgrade lws has no HTTP version for its own head, and says 1.0. */
static void refuse_upgrade(
	struct lws *wsi, const struct lvx_http_reply *reply, const struct lvx_door_protocol *door)
{
	struct lvx_text t = {0}, head = {0}, body = {0};
	char pre[LWS_PRE] = {0};
	if (door && door->refuse)
		door->refuse(reply->code, reply->why, &head, &body);
	else
		lvx_text_add(&body, reply->body.data, reply->body.len);
	lvx_text_add(&t, pre, LWS_PRE);
	lvx_text_printf(&t,
		"HTTP/1.1 %d Refused\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
		"%s%sconnection: close\r\n\r\n",
		reply->status, body.len, reply->status == 401 ? "www-authenticate: Bearer\r\n" : "",
		head.data ? head.data : "");
	lvx_text_add(&t, body.data, body.len);
	lws_write(wsi, (unsigned char *)t.data + LWS_PRE, t.len - LWS_PRE, LWS_WRITE_HTTP_HEADERS);
	lvx_text_finish(&t);
	lvx_text_finish(&head);
	lvx_text_finish(&body);
}

int lvx_http_confirm_upgrade(struct lvx_server *server, struct lws *wsi)
{
	char origin[256], path[64];
	struct lvx_http_reply reply = {0};
	header(wsi, WSI_TOKEN_GET_URI, path, sizeof(path));
	const struct lvx_door_protocol *door = lvx_door_find(path);
	server->n_requests++;
	if (!admit(server, wsi, VIEWER, door != NULL, origin, sizeof(origin), &reply))
		goto refuse;
	if (!door && strcmp(path, "/api/ws") != 0)
		lvx_http_fail(&reply, LVX_API_NOT_FOUND,
			"there is no WebSocket at %.60s, but at /api/ws", path);
	else if (server->n_sessions >= server->params.max_connections)
		lvx_http_fail(&reply, LVX_API_OVER_LIMIT,
			"there are %u WebSockets already (--max-connections)",
			server->params.max_connections);
	else if (!door ||
		 lvx_door_check(wsi, door, lvx_engine_model(server->params.engine), &reply))
		return 0;
refuse:
	server->requests_refused++;
	refuse_upgrade(wsi, &reply, door);
	lvx_text_finish(&reply.body);
	return -1;
}
