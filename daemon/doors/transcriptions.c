/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's batch transcription: POST /v1/audio/transcriptions. http.c has the connection. */
#include "daemon/doors/transcriptions.h"

#include "base/log.h"
#include "daemon/cues.h"
#include "daemon/doors/openai_out.h"
#include "daemon/doors/upload.h"
#include "daemon/event_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_MAX = (25 << 20) + 65536, UPLOADS_MAX = 8, QUEUE = 262144, DISCARD_MAX = 8 << 20 };

struct lvx_transcription {
	struct lvx_transcription *next;
	struct lvx_server *server;
	struct lws *wsi;
	char content_type[256];
	bool is_chunked;
	struct lvx_chunked chunked;
	struct lvx_text body;
	size_t n_seen;
	struct lvx_http_reply *reply; /* borrowed */

	struct lvx_transcription_form form;
	struct lvx_hub_stream *stream; /* referenced; NULL: still being uploaded */
	struct lvx_hub_reader reader;
	size_t pushed; /* of form.file */
	bool finished;
	struct lvx_text text, words, segments, subtitles, logprobs;
	/* The segment that is being heard. */
	struct lvx_text segment;
	int64_t segment_start_us, last_us;
	double log_sum;
	uint32_t n_segment_words, n_segments;
	uint64_t n_cues;
	struct lvx_cues *cues;
};

void lvx_openai_error(struct lvx_text *t, int status, const char *code, const char *message)
{
	lvx_text_printf(t, "{\"error\":{\"message\":");
	lvx_text_json(t, message);
	lvx_text_printf(t, ",\"type\":\"%s\",\"param\":",
		status >= 500 ? "server_error" : "invalid_request_error");
	/* Messages about a field begin with its name. */
	const char *end = message[0] == '\'' ? strchr(message + 1, '\'') : NULL;
	if (end)
		lvx_text_json_n(t, message + 1, (size_t)(end - message - 1));
	else
		lvx_text_printf(t, "null");
	lvx_text_printf(t, ",\"code\":\"%s\"}}\n", code);
}

/* Neither answered nor refused yet, or only in part. */
static bool is_working(const struct lvx_transcription *t)
{
	return t->reply->status == 0 || t->reply->open;
}

/* ---- as events, while it is heard ---- */

static void begin_events(struct lvx_transcription *t)
{
	if (t->reply->open)
		return;
	t->reply->status = 200;
	t->reply->type = "text/event-stream; charset=utf-8";
	t->reply->open = true;
}

static void add_usage(struct lvx_text *out, int64_t duration_us)
{
	lvx_text_printf(out, ",\"usage\":{\"type\":\"duration\",\"seconds\":%" PRId64 "}}",
		(duration_us + 999999) / 1000000);
}

static void add_logprobs(struct lvx_transcription *t, struct lvx_text *out, const struct lvx_text *logprobs)
{
	if (t->form.logprobs)
		lvx_text_printf(out, ",\"logprobs\":[%s]", logprobs->data ? logprobs->data : "");
}

static void send_delta(struct lvx_transcription *t, const char *more, const struct lvx_text *logprob)
{
	struct lvx_text *out = &t->reply->body;
	begin_events(t);
	lvx_text_printf(out, "data: {\"type\":\"transcript.text.delta\",\"delta\":");
	lvx_text_json(out, more);
	add_logprobs(t, out, logprob);
	lvx_text_printf(out, "}\n\n");
	lws_callback_on_writable(t->wsi);
}

static void end_events(struct lvx_transcription *t, int64_t duration_us)
{
	struct lvx_text *out = &t->reply->body;
	begin_events(t);
	lvx_text_printf(out, "data: {\"type\":\"transcript.text.done\",\"text\":");
	lvx_text_json(out, t->text.data ? t->text.data : "");
	add_logprobs(t, out, &t->logprobs);
	add_usage(out, duration_us);
	lvx_text_printf(out, "\n\ndata: [DONE]\n\n");
}

/* What went wrong, also where the answer has begun. */
static void fail(struct lvx_transcription *t, enum lvx_api_code code, const char *why)
{
	if (!t->reply->open) {
		lvx_http_fail(t->reply, code, "%s", why);
		return;
	}
	struct lvx_text error = {0};
	lvx_openai_error(&error, lvx_api_code_http(code), lvx_api_code_name(code), why);
	lvx_text_printf(&t->reply->body, "data: %s\n", error.data);
	lvx_text_finish(&error);
	t->reply->open = false;
}

/* ---- what is heard ---- */

static void on_cue(void *user, const struct lvx_cue *cue)
{
	struct lvx_transcription *t = user;
	if (t->form.format == LVX_TRANSCRIPT_SRT)
		lvx_cue_srt(&t->subtitles, ++t->n_cues, cue);
	else
		lvx_cue_vtt(&t->subtitles, cue);
}

static void end_segment(struct lvx_transcription *t)
{
	struct lvx_text *s = &t->segments;
	if (t->n_segment_words == 0)
		return;
	lvx_text_printf(s,
		"%s{\"id\":%" PRIu32 ",\"seek\":0,\"start\":", t->n_segments > 0 ? "," : "",
		t->n_segments);
	lvx_door_seconds(s, t->segment_start_us);
	lvx_text_printf(s, ",\"end\":");
	lvx_door_seconds(s, t->last_us);
	lvx_text_printf(s, ",\"text\":");
	lvx_text_json(s, t->segment.data);
	lvx_text_printf(s, ",\"tokens\":[],\"temperature\":0.0,\"avg_logprob\":-");
	lvx_door_seconds(s, (int64_t)(-1e6 * t->log_sum / t->n_segment_words));
	lvx_text_printf(s, ",\"compression_ratio\":1.0,\"no_speech_prob\":0.0}");
	t->n_segments++;
	t->n_segment_words = 0;
	t->log_sum = 0;
	lvx_text_clear(&t->segment);
}

static void on_word(struct lvx_transcription *t, const struct lvx_event_word *w)
{
	if (strcmp(w->text, LVX_SPEAKER_MARK) == 0)
		return;
	size_t before = t->text.len;
	lvx_text_word(&t->text, w->text);
	struct lvx_text logprob = {0};
	if (t->form.logprobs) {
		lvx_openai_logprob(&logprob, t->text.data + before, w->confidence);
		lvx_text_printf(&t->logprobs, "%s%s", t->logprobs.len > 0 ? "," : "", logprob.data);
	}
	if (t->form.stream)
		send_delta(t, t->text.data + before, &logprob);
	lvx_text_finish(&logprob);
	lvx_text_printf(&t->words, "%s{\"word\":", t->words.len > 0 ? "," : "");
	lvx_text_json(&t->words, w->text);
	lvx_text_printf(&t->words, ",\"start\":");
	lvx_door_seconds(&t->words, w->start_us);
	lvx_text_printf(&t->words, ",\"end\":");
	lvx_door_seconds(&t->words, w->end_us);
	lvx_text_printf(&t->words, "}");
	if (t->n_segment_words == 0)
		t->segment_start_us = w->start_us;
	lvx_text_word(&t->segment, w->text);
	t->n_segment_words++;
	t->last_us = w->end_us;
	t->log_sum += log(w->confidence > 1e-4 ? w->confidence : 1e-4);
	if (t->cues)
		lvx_cues_word(t->cues, w->text, w->start_us, w->end_us);
}

static void on_text(struct lvx_transcription *t, const json_t *root)
{
	struct lvx_event_word w;
	for (size_t i = 0; lvx_event_word(root, &i, &w);)
		on_word(t, &w);
	if (!lvx_event_ends_segment(root))
		return;
	end_segment(t);
	if (t->cues)
		lvx_cues_break(t->cues);
}

/* ---- the answer ---- */

static void write_answer(struct lvx_transcription *t, int64_t duration_us)
{
	struct lvx_http_reply *r = t->reply;
	struct lvx_text *out = &r->body;
	const char *language = lvx_hub_language(t->stream);
	if (t->form.stream) {
		end_events(t, duration_us);
		return;
	}
	r->status = 200;
	r->type = "application/json";
	end_segment(t);
	switch (t->form.format) {
	case LVX_TRANSCRIPT_TEXT:
		r->type = "text/plain; charset=utf-8";
		lvx_text_printf(out, "%s\n", t->text.data ? t->text.data : "");
		return;
	case LVX_TRANSCRIPT_SRT:
	case LVX_TRANSCRIPT_VTT:
		lvx_cues_finish(t->cues);
		r->type = t->form.format == LVX_TRANSCRIPT_VTT ? "text/vtt; charset=utf-8"
							       : "text/plain; charset=utf-8";
		if (t->form.format == LVX_TRANSCRIPT_VTT)
			lvx_text_printf(out, "WEBVTT\n\n");
		lvx_text_add(out, t->subtitles.data ? t->subtitles.data : "", t->subtitles.len);
		return;
	case LVX_TRANSCRIPT_VERBOSE:
		lvx_text_printf(out, "{\"task\":\"transcribe\",\"language\":");
		lvx_text_json(out, language ? language : "und"); /* BCP 47: not determined */
		lvx_text_printf(out, ",\"duration\":");
		lvx_door_seconds(out, duration_us);
		if (t->form.segments)
			lvx_text_printf(out, ",\"segments\":[%s]",
				t->segments.data ? t->segments.data : "");
		if (t->form.words)
			lvx_text_printf(out, ",\"words\":[%s]", t->words.data ? t->words.data : "");
		lvx_text_printf(out, ",");
		break;
	case LVX_TRANSCRIPT_JSON:
		lvx_text_printf(out, "{");
		break;
	}
	lvx_text_printf(out, "\"text\":");
	lvx_text_json(out, t->text.data ? t->text.data : "");
	add_logprobs(t, out, &t->logprobs);
	add_usage(out, duration_us);
	lvx_text_printf(out, "\n");
}

static void on_end(struct lvx_transcription *t)
{
	struct lvx_hub_info info;
	lvx_hub_get_info(t->stream, &info);
	char why[300];
	if (strcmp(info.reason, "ended") == 0) {
		write_answer(t, info.stream.heard_us);
		t->reply->open = false;
		return;
	}
	bool failed = strcmp(info.reason, "failed") == 0;
	snprintf(why, sizeof(why), "%s: %s", failed ? "'file'" : "the transcription was ended",
		failed ? info.message : info.reason);
	fail(t, failed ? LVX_API_INVALID : LVX_API_DEVICE, why);
}

/* ---- going on ---- */

static void advance(struct lvx_transcription *t)
{
	struct lvx_hub_event *e;
	size_t taken = 0, left = t->form.file_len - t->pushed;
	if (left > 0) {
		enum lvx_status st = lvx_hub_push(
			t->stream, (const uint8_t *)t->form.file + t->pushed, left, &taken);
		t->pushed += st == LVX_OK || st == LVX_AGAIN ? taken : left;
	}
	if (t->pushed == t->form.file_len && !t->finished) {
		t->finished = true;
		lvx_hub_push_finish(t->stream, false);
	}
	while (is_working(t)) {
		enum lvx_status st = lvx_hub_next(t->stream, &t->reader, &e);
		if (st == LVX_AGAIN)
			return;
		if (st == LVX_GAP)
			fail(t, LVX_API_INTERNAL, "events were lost");
		else if (st == LVX_END)
			on_end(t);
		if (st != LVX_OK)
			break;
		if (e->kind == LVX_HUB_TEXT) {
			json_t *root = lvx_event_json(e);
			on_text(t, root);
			json_decref(root);
		}
		lvx_hub_event_unref(e);
	}
	/* Its memory is wanted no longer than need be. */
	lvx_text_finish(&t->body);
	t->form.file_len = t->pushed = 0;
	lws_callback_on_writable(t->wsi);
}

void lvx_transcriptions_news(struct lvx_server *server)
{
	for (struct lvx_transcription *t = server->transcriptions; t; t = t->next) {
		if (t->stream && is_working(t))
			advance(t);
	}
}

/* Everything is here. */
static void start(struct lvx_transcription *t)
{
	struct lvx_server *server = t->server;
	const struct lvx_model_info *model = lvx_engine_model(server->params.engine);
	struct lvx_error err = {0};
	struct lvx_part parts[LVX_PARTS_MAX];
	size_t n = 0;
	struct lvx_hub_spec spec = {
		.push = {.format = LVX_PUSH_CONTAINER, .channel = -1, .queue_bytes = QUEUE},
		.lanes = lvx_door_lane(model, "caption"),
		.channel = -1,
		.over_network = true,
	};
	enum lvx_status st = lvx_multipart_parse(
		parts, &n, t->content_type, t->body.data ? t->body.data : "", t->body.len, &err);
	if (st == LVX_OK)
		st = lvx_transcription_form_read(&t->form, parts, n, model, &err);
	if (st == LVX_OK) {
		spec.prefix = t->form.prompt[0] ? t->form.prompt : NULL;
		spec.language = t->form.language;
		st = lvx_hub_open(server->params.hub, &spec, &t->stream, &err);
	}
	if (st != LVX_OK) {
		lvx_http_fail(t->reply, lvx_api_code_of(st), "%s", err.msg);
		return;
	}
	lvx_log_info("stream %s: uploaded, %zu bytes", lvx_hub_id(t->stream), t->form.file_len);
	if (t->form.format == LVX_TRANSCRIPT_SRT || t->form.format == LVX_TRANSCRIPT_VTT)
		t->cues = lvx_cues_create(on_cue, t);
	t->reader = (struct lvx_hub_reader){.next = 1, .lanes = UINT32_MAX};
	lvx_hub_count_reader(t->stream, 1);
	lws_set_timeout(t->wsi, NO_PENDING_TIMEOUT, 0);
	advance(t);
}

void lvx_transcription_body(struct lvx_transcription *t, const char *data, size_t len)
{
	enum lvx_status st = LVX_AGAIN;
	bool refused = t->reply->status != 0;
	if (t->stream)
		return;
	t->n_seen += len;
	if (t->is_chunked)
		st = lvx_chunked_feed(&t->chunked, data, len, &t->body, BODY_MAX);
	else if (t->body.len + len > BODY_MAX)
		st = LVX_ELIMIT;
	else
		lvx_text_add(&t->body, data, len);
	if (refused) {
		lvx_text_clear(&t->body);
		if (st == LVX_AGAIN && t->n_seen < DISCARD_MAX)
			return;
	} else if (st == LVX_END)
		start(t);
	else if (st == LVX_ELIMIT)
		lvx_http_fail(t->reply, LVX_API_TOO_LARGE, "the upload is longer than 25 MiB");
	else if (st == LVX_EINVAL)
		lvx_http_fail(t->reply, LVX_API_INVALID, "body: broken chunked coding");
	if (t->reply->status != 0)
		lws_callback_on_writable(t->wsi);
}

void lvx_transcription_complete(struct lvx_transcription *t)
{
	if (!t->stream && !t->is_chunked && t->reply->status == 0)
		start(t);
	if (t->reply->status != 0)
		lws_callback_on_writable(t->wsi);
}

struct lvx_transcription *lvx_transcription_create(struct lvx_server *server, struct lws *wsi,
	bool chunked, long length, struct lvx_http_reply *reply)
{
	size_t n = 0;
	for (struct lvx_transcription *o = server->transcriptions; o; o = o->next)
		n += is_working(o);
	if (reply->status != 0)
		n = 0; /* it is only read to its end, so that the client reads the answer */
	if (length < 0 || length > BODY_MAX) {
		lvx_http_fail(reply, LVX_API_TOO_LARGE, "the upload is longer than 25 MiB");
		return NULL;
	}
	if (n >= UPLOADS_MAX) {
		lvx_http_fail(
			reply, LVX_API_OVER_LIMIT, "%d uploads are being worked off", UPLOADS_MAX);
		return NULL;
	}
	struct lvx_transcription *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	if (lws_hdr_copy(
		    wsi, t->content_type, sizeof(t->content_type), WSI_TOKEN_HTTP_CONTENT_TYPE) < 0)
		t->content_type[0] = '\0';
	char coding[32] = "";
	if (lws_hdr_copy(wsi, coding, sizeof(coding), WSI_TOKEN_HTTP_CONTENT_ENCODING) < 0)
		strcpy(coding, "?");
	/* Such a body is read to its end all the same, so that the client reads the answer. */
	if (reply->status == 0 && coding[0] && strcmp(coding, "identity") != 0)
		lvx_http_fail(reply, LVX_API_MEDIA_TYPE, "a body with Content-Encoding is not read");
	else if (reply->status == 0 && !lvx_multipart_is(t->content_type))
		lvx_http_fail(reply, LVX_API_MEDIA_TYPE,
			"Content-Type must be multipart/form-data, with a boundary");
	t->server = server;
	t->wsi = wsi;
	t->is_chunked = chunked;
	t->reply = reply;
	t->next = server->transcriptions;
	server->transcriptions = t;
	return t;
}

void lvx_transcription_destroy(struct lvx_transcription *t)
{
	if (!t)
		return;
	struct lvx_transcription **p = &t->server->transcriptions;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	if (t->stream) {
		lvx_hub_count_reader(t->stream, -1);
		lvx_hub_delete(t->stream);
		lvx_hub_unref(t->stream);
	}
	lvx_cues_destroy(t->cues);
	lvx_text_finish(&t->body);
	lvx_text_finish(&t->text);
	lvx_text_finish(&t->words);
	lvx_text_finish(&t->segments);
	lvx_text_finish(&t->subtitles);
	lvx_text_finish(&t->logprobs);
	lvx_text_finish(&t->segment);
	free(t);
}
