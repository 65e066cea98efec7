/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/cues.h"
#include "daemon/server_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/json_out.h"
#include "daemon/settings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_MAX = 1024 };

static const char application_json[] = "application/json";

void lvx_http_fail(struct lvx_http_reply *reply, enum lvx_api_code code, const char *fmt, ...)
{
	struct lvx_text message = {0};
	va_list args;
	va_start(args, fmt);
	lvx_text_vprintf(&message, fmt, args);
	va_end(args);
	reply->status = lvx_api_code_http(code);
	reply->code = code;
	snprintf(reply->why, sizeof(reply->why), "%s", message.data);
	reply->type = application_json;
	lvx_text_clear(&reply->body);
	lvx_text_printf(
		&reply->body, "{\"error\":{\"code\":\"%s\",\"message\":", lvx_api_code_name(code));
	lvx_text_json(&reply->body, message.data);
	lvx_text_printf(&reply->body, "}}\n");
	lvx_text_finish(&message);
}

static void begin(struct lvx_http_reply *reply, int status)
{
	reply->status = status;
	reply->type = application_json;
}

static void add_stream(struct lvx_server *server, struct lvx_text *t, struct lvx_hub_stream *stream)
{
	struct lvx_hub_info info;
	lvx_hub_get_info(stream, &info);
	lvx_json_out_info(t, lvx_engine_model(server->params.engine), &info,
		lvx_http_has_hls(server, info.id));
	lvx_text_printf(t, "\n");
}

static void list_streams(struct lvx_server *server, struct lvx_http_reply *reply)
{
	const struct lvx_server_params *p = &server->params;
	const struct lvx_model_info *model = lvx_engine_model(p->engine);
	struct lvx_text *t = &reply->body;
	begin(reply, 200);
	lvx_text_printf(
		t, "{\"version\":\"%s\",\"protocol\":%d,\"model\":", LVX_VERSION, LVX_PROTOCOL);
	lvx_text_json(t, model->name);
	lvx_text_printf(t, ",\"device\":");
	lvx_text_json(t, lvx_engine_device(p->engine)->name);
	lvx_text_printf(t, ",\"now_us\":%" PRId64 ",\"lanes\":", lvx_wall_us());
	lvx_json_out_model_lanes(t, model);
	lvx_text_printf(t, ",\"delay_us\":%" PRId64 ",\"delays_ms\":",
		lvx_hub_default_delay_us(p->hub));
	lvx_json_out_delays(t, model);
	lvx_text_printf(t,
		",\"clear_after_us\":%d,\"limits\":{\"streams\":%" PRIu32 ",\"streams_used\":%" PRIu32
		",\"connections\":%" PRIu32 ",\"schemes\":[",
		LVX_CUE_CLEAR_US, p->max_streams, lvx_hub_running(p->hub), p->max_connections);
	const char *comma = "";
	for (const char *s = p->allow_schemes; *s;) {
		s += strspn(s, ", ");
		size_t n = strcspn(s, ", ");
		if (n == 0)
			break;
		lvx_text_printf(t, "%s", comma);
		lvx_text_json_n(t, s, n);
		comma = ",";
		s += n;
	}
	lvx_text_printf(t, "]},\"streams\":[");
	struct lvx_hub_stream *streams[LIST_MAX];
	size_t n = lvx_hub_list(p->hub, streams, LIST_MAX);
	for (size_t i = 0; i < n; i++) {
		lvx_text_printf(t, "%s", i > 0 ? "," : "");
		add_stream(server, t, streams[i]);
		lvx_hub_unref(streams[i]);
	}
	lvx_text_printf(t, "]}\n");
}

static void create_stream(
	struct lvx_server *server, const char *body, size_t len, struct lvx_http_reply *reply)
{
	struct lvx_hub *hub = server->params.hub;
	struct lvx_hub_stream *stream = NULL;
	struct lvx_hub_spec spec = {0};
	json_t *root = NULL;
	struct lvx_error err = {0};
	char scheme[16], why[384];
	enum lvx_status st = lvx_create_parse(
		&spec, &root, lvx_engine_model(server->params.engine), body, len, &err);
	if (st != LVX_OK)
		goto fail;
	lvx_uri_scheme(spec.uri, scheme);
	if (!lvx_list_has(server->params.allow_schemes, scheme)) {
		lvx_http_fail(reply, LVX_API_FORBIDDEN,
			"streams made over the network may not use '%s'; allowed are %s", scheme,
			server->params.allow_schemes);
		goto out;
	}
	st = lvx_source_check_uri(spec.uri, &err);
	if (st != LVX_OK)
		goto fail;
	if (lvx_hub_device_failed(hub, why)) {
		lvx_http_fail(reply, LVX_API_DEVICE, "the compute device failed: %s", why);
		goto out;
	}
	/* Only this thread makes streams now, so the answer stays true. */
	if (lvx_hub_is_taken(hub, spec.id)) {
		lvx_http_fail(reply, LVX_API_EXISTS, "there is already a stream '%s'", spec.id);
		goto out;
	}
	st = lvx_hub_open(hub, &spec, &stream, &err);
	if (st != LVX_OK)
		goto fail;
	lvx_log_info("stream %s: made over HTTP", lvx_hub_id(stream));
	begin(reply, 201);
	add_stream(server, &reply->body, stream);
	lvx_hub_unref(stream);
	goto out;
fail:
	lvx_http_fail(reply, lvx_api_code_of(st), "%s", err.msg);
out:
	json_decref(root);
	lvx_glossary_unref(spec.glossary);
}

static void patch_stream(struct lvx_server *server, struct lvx_hub_stream *stream, const char *body,
	size_t len, struct lvx_http_reply *reply)
{
	uint32_t lanes;
	struct lvx_error err = {0};
	enum lvx_status st =
		lvx_patch_parse(&lanes, lvx_engine_model(server->params.engine), body, len, &err);
	if (st == LVX_OK)
		st = lvx_hub_set_lanes(stream, lanes, &err);
	if (st != LVX_OK) {
		lvx_http_fail(reply, lvx_api_code_of(st), "%s", err.msg);
		return;
	}
	begin(reply, 200);
	add_stream(server, &reply->body, stream);
}

/* POST /api/streams/ID/corrections */
static void correct(struct lvx_server *server, const char *method, const char *id, size_t id_len,
	const char *body, size_t len, struct lvx_http_reply *reply)
{
	char name[LVX_ID_MAX + 1];
	snprintf(name, sizeof(name), "%.*s", (int)id_len, id);
	struct lvx_hub_stream *stream =
		id_len <= LVX_ID_MAX ? lvx_hub_find(server->params.hub, name) : NULL;
	struct lvx_hub_correction c;
	struct lvx_error err = {0};
	char *text = NULL;
	uint64_t seq = 0;
	if (strcmp(method, "POST") != 0) {
		lvx_http_fail(reply, LVX_API_METHOD, "%s: POST is possible here", method);
	} else if (!stream) {
		lvx_http_fail(reply, LVX_API_NOT_FOUND, "there is no stream '%s'", name);
	} else {
		enum lvx_status st = lvx_correction_parse(&c, &text, body, len, &err);
		if (st == LVX_OK)
			st = lvx_hub_correct(stream, &c, &seq, &err);
		if (st != LVX_OK) {
			lvx_http_fail(reply, lvx_api_code_of(st), "%s", err.msg);
		} else {
			lvx_log_info("stream %s: events %" PRIu64 " to %" PRIu64 " are corrected",
				name, c.from_seq, c.to_seq);
			begin(reply, 201);
			lvx_text_printf(&reply->body, "{\"epoch\":%" PRId64 ",\"seq\":%" PRIu64 "}\n",
				c.epoch, seq);
		}
	}
	free(text);
	lvx_hub_unref(stream);
}

/* What went wrong lately. */
static void show_log(struct lvx_http_reply *reply)
{
	struct lvx_log_entry *entries = calloc(LVX_LOG_KEPT, sizeof(*entries));
	if (!entries) {
		lvx_http_fail(reply, LVX_API_INTERNAL, "out of memory");
		return;
	}
	size_t n = lvx_log_kept(entries);
	begin(reply, 200);
	lvx_text_printf(&reply->body, "{\"entries\":[");
	for (size_t i = 0; i < n; i++) {
		const struct lvx_log_entry *e = &entries[i];
		lvx_text_printf(&reply->body,
			"%s{\"n\":%" PRIu64 ",\"wall_us\":%" PRId64 ",\"level\":\"%s\",\"message\":",
			i > 0 ? "," : "", e->n, e->wall_us,
			e->level == LVX_LOG_ERROR ? "error" : "warn");
		lvx_text_json(&reply->body, e->message);
		lvx_text_printf(&reply->body, "}");
	}
	lvx_text_printf(&reply->body, "]}\n");
	free(entries);
}

static void one_stream(struct lvx_server *server, const char *method, const char *id,
	const char *body, size_t len, struct lvx_http_reply *reply)
{
	const char *slash = strchr(id, '/');
	if (slash && strcmp(slash, "/corrections") == 0) {
		correct(server, method, id, (size_t)(slash - id), body, len, reply);
		return;
	}
	struct lvx_hub_stream *stream = lvx_hub_find(server->params.hub, id);
	if (!stream) {
		lvx_http_fail(reply, LVX_API_NOT_FOUND, "there is no stream '%.64s'", id);
		return;
	}
	if (strcmp(method, "GET") == 0) {
		begin(reply, 200);
		add_stream(server, &reply->body, stream);
	} else if (strcmp(method, "PATCH") == 0) {
		patch_stream(server, stream, body, len, reply);
	} else if (strcmp(method, "DELETE") == 0) {
		lvx_log_info("stream %s: deleted over HTTP", id);
		lvx_hub_delete(stream);
		reply->status = 204;
		reply->type = NULL;
	} else {
		lvx_http_fail(reply, LVX_API_METHOD, "%s: GET, PATCH and DELETE are possible here",
			method);
	}
	lvx_hub_unref(stream);
}

static void health(struct lvx_server *server, struct lvx_http_reply *reply)
{
	char why[384];
	struct lvx_text *t = &reply->body;
	bool failed = lvx_hub_device_failed(server->params.hub, why);
	begin(reply, failed ? 503 : 200);
	lvx_text_printf(t,
		"{\"status\":\"%s\",\"version\":\"%s\",\"model\":", failed ? "failed" : "ok",
		LVX_VERSION);
	lvx_text_json(t, lvx_engine_model(server->params.engine)->name);
	lvx_text_printf(t, ",\"device\":");
	lvx_text_json(t, lvx_engine_device(server->params.engine)->name);
	lvx_text_printf(t, ",\"streams\":%" PRIu32 ",\"up_us\":%" PRId64,
		lvx_hub_running(server->params.hub), lvx_now_us() - server->start_us);
	if (failed) {
		lvx_text_printf(t, ",\"message\":");
		lvx_text_json(t, why);
	}
	lvx_text_printf(t, "}\n");
}

void lvx_http_api(struct lvx_server *server, const char *method, const char *path, const char *body,
	size_t len, struct lvx_http_reply *reply)
{
	bool get = strcmp(method, "GET") == 0;
	if (strcmp(path, "/api/streams") == 0) {
		if (get)
			list_streams(server, reply);
		else if (strcmp(method, "POST") == 0)
			create_stream(server, body, len, reply);
		else
			lvx_http_fail(reply, LVX_API_METHOD, "%s: GET and POST are possible here",
				method);
	} else if (strncmp(path, "/api/streams/", 13) == 0) {
		one_stream(server, method, path + 13, body, len, reply);
	} else if (strcmp(path, "/api/log") == 0 && get) {
		show_log(reply);
	} else if (strcmp(path, "/api/ws") == 0) {
		lvx_http_fail(reply, LVX_API_INVALID, "/api/ws wants a WebSocket handshake");
	} else if (strcmp(path, "/healthz") == 0 && get) {
		health(server, reply);
	} else if (strcmp(path, "/metrics") == 0 && get) {
		reply->status = 200;
		reply->type = "text/plain; version=0.0.4; charset=utf-8";
		lvx_metrics(server, &reply->body);
	} else if (strcmp(path, "/healthz") == 0 || strcmp(path, "/metrics") == 0 ||
		   strcmp(path, "/api/log") == 0) {
		lvx_http_fail(reply, LVX_API_METHOD, "%s: GET is possible here", method);
	} else {
		lvx_http_fail(reply, LVX_API_NOT_FOUND, "there is nothing at %.200s", path);
	}
}
