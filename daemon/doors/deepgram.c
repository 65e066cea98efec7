/* SPDX-License-Identifier: Apache-2.0 */
/* Deepgram's live transcription: wss://HOST/v1/listen. */
#include "daemon/doors/deepgram.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

enum {
	IDLE_US = 10000000, /* without sound or KeepAlive, as there */
	LONG_US = 5000000,  /* a final result comes at least so often while someone speaks */
	SOON_US = 500000,   /* the model tells pauses by itself about so late */
};

struct state {
	struct lvx_deepgram_params params;
	EVP_MD_CTX *hash;
	char created[32];
	/* The words since the last final result. */
	struct lvx_text words, transcript;
	uint32_t n_words;
	double confidence;
	int64_t start_us, end_us; /* of the result */
	int64_t last_word_us;
	int64_t quiet_since_us; /* INT64_MAX: someone is speaking */
	bool open;     /* words came since the last UtteranceEnd */
	bool unclosed; /* words came since the last speech_final */
	bool closing;  /* CloseStream */
	bool flowing;  /* the binary message that comes in has bytes */
};

static enum lvx_status check(
	const struct lvx_door_args *args, const struct lvx_model_info *model, struct lvx_error *err)
{
	struct lvx_deepgram_params params;
	return lvx_deepgram_params_parse(&params, args, model, err);
}

static void refuse(
	enum lvx_api_code code, const char *why, struct lvx_text *head, struct lvx_text *body)
{
	char id[37];
	lvx_door_uuid(id);
	const char *name = code == LVX_API_UNAUTHORIZED ? "INVALID_AUTH"
			   : code == LVX_API_INVALID    ? "INVALID_QUERY_PARAMETER"
			   : code == LVX_API_OVER_LIMIT ? "TOO_MANY_REQUESTS"
							: "REFUSED";
	lvx_text_printf(head, "dg-request-id: %s\r\ndg-error: ", id);
	/* Into a header go only characters that may. */
	for (const char *p = why; *p; p++)
		lvx_text_add(head, *p >= ' ' && *p < 127 ? p : "?", 1);
	lvx_text_printf(head, "\r\n");
	lvx_text_printf(body, "{\"err_code\":\"%s\",\"err_msg\":", name);
	lvx_text_json(body, why);
	lvx_text_printf(body, ",\"request_id\":\"%s\"}", id);
}

static void send_error(struct lvx_door *d, const char *variant, const char *message)
{
	struct lvx_text t = {0};
	lvx_text_printf(&t, "{\"type\":\"Error\",\"variant\":\"%s\",\"description\":", variant);
	lvx_text_json(&t, message);
	lvx_text_printf(&t, ",\"message\":");
	lvx_text_json(&t, message);
	lvx_text_printf(&t, "}");
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
}

static void on_error(struct lvx_door *d, enum lvx_api_code code, const char *message)
{
	send_error(d, lvx_api_code_name(code), message);
	lvx_door_count_error(d);
}

static void on_open(struct lvx_door *d, const struct lvx_door_args *args)
{
	struct state *s = lvx_door_state(d);
	struct lvx_error err = {0};
	time_t now = time(NULL);
	struct tm tm;
	s->hash = EVP_MD_CTX_new();
	EVP_DigestInit_ex(s->hash, EVP_sha256(), NULL);
	strftime(s->created, sizeof(s->created), "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&now, &tm));
	if (lvx_deepgram_params_parse(&s->params, args, lvx_door_model(d), &err) != LVX_OK) {
		send_error(d, "INVALID_QUERY_PARAMETER", err.msg);
		lvx_door_close(d, 1008, "DATA-0000");
	}
}

/* ---- results ---- */

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

static void send_results(struct lvx_door *d, bool final, bool speech_final, bool from_finalize)
{
	struct state *s = lvx_door_state(d);
	const char *language = lvx_door_language(d);
	struct lvx_text t = {0};
	lvx_text_printf(&t, "{\"type\":\"Results\",\"channel_index\":[0,1],\"duration\":");
	lvx_door_seconds(&t, s->end_us - s->start_us);
	lvx_text_printf(&t, ",\"start\":");
	lvx_door_seconds(&t, s->start_us);
	lvx_text_printf(&t,
		",\"is_final\":%s,\"speech_final\":%s,\"from_finalize\":%s,\"channel\":"
		"{\"alternatives\":[{\"transcript\":",
		yes_no(final), yes_no(speech_final), yes_no(from_finalize));
	lvx_text_json_n(&t, s->transcript.data ? s->transcript.data : "", s->transcript.len);
	lvx_text_printf(&t, ",\"confidence\":");
	lvx_door_fraction(&t, s->n_words > 0 ? s->confidence / s->n_words : 0);
	lvx_text_printf(&t, ",\"languages\":[");
	if (language)
		lvx_text_json(&t, language);
	lvx_text_printf(&t, "],\"words\":[");
	lvx_text_add(&t, s->words.data ? s->words.data : "", s->words.len);
	lvx_text_printf(&t, "]}]},\"metadata\":{\"request_id\":\"%s\",\"model_info\":{\"name\":",
		lvx_door_id(d));
	lvx_text_json(&t, lvx_door_model(d)->name);
	lvx_text_printf(&t, ",\"version\":\"" LVX_VERSION "\",\"arch\":\"lumivox\"},"
			    "\"model_uuid\":\"00000000-0000-0000-0000-000000000000\"}}");
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
	if (!final)
		return;
	lvx_text_clear(&s->words);
	lvx_text_clear(&s->transcript);
	s->n_words = 0;
	s->confidence = 0;
	s->start_us = s->end_us;
	if (speech_final)
		s->unclosed = false;
}

static void add_word(struct lvx_door *d, const struct lvx_door_event *e)
{
	struct state *s = lvx_door_state(d);
	const char *language = lvx_door_language(d);
	char bare[256];
	lvx_deepgram_bare_word(e->word, bare, sizeof(bare));
	lvx_text_printf(&s->words, "%s{\"word\":", s->n_words > 0 ? "," : "");
	lvx_text_json(&s->words, bare);
	lvx_text_printf(&s->words, ",\"start\":");
	lvx_door_seconds(&s->words, e->start_us);
	lvx_text_printf(&s->words, ",\"end\":");
	lvx_door_seconds(&s->words, e->end_us);
	lvx_text_printf(&s->words, ",\"confidence\":");
	lvx_door_fraction(&s->words, e->confidence);
	if (language) {
		lvx_text_printf(&s->words, ",\"language\":");
		lvx_text_json(&s->words, language);
	}
	if (s->params.punctuate) {
		lvx_text_printf(&s->words, ",\"punctuated_word\":");
		lvx_text_json(&s->words, e->word);
	}
	lvx_text_printf(&s->words, "}");
	lvx_text_word(&s->transcript, s->params.punctuate ? e->word : bare);
	s->n_words++;
	s->confidence += e->confidence;
	s->end_us = e->end_us > s->end_us ? e->end_us : s->end_us;
	s->last_word_us = s->end_us;
	s->open = s->unclosed = true;
}

static void end_at_pause(struct lvx_door *d, int64_t us, int64_t quiet_since_us)
{
	struct state *s = lvx_door_state(d);
	int64_t from_us = s->last_word_us, pause_us = s->params.endpointing_us;
	if (s->unclosed && pause_us >= 0 && lvx_door_is_pause(from_us, us, pause_us, quiet_since_us))
		send_results(d, true, true, false);
	if (s->open && s->params.utterance_end_us > 0 &&
		lvx_door_is_pause(from_us, us, s->params.utterance_end_us, quiet_since_us)) {
		struct lvx_text t = {0};
		if (s->n_words > 0)
			send_results(d, true, false, false);
		lvx_text_printf(
			&t, "{\"type\":\"UtteranceEnd\",\"channel\":[0,1],\"last_word_end\":");
		lvx_door_seconds(&t, s->last_word_us);
		lvx_text_printf(&t, "}");
		lvx_door_send(d, &t);
		lvx_text_finish(&t);
		s->open = false;
	}
}

static void on_event(struct lvx_door *d, const struct lvx_door_event *e)
{
	struct state *s = lvx_door_state(d);
	bool speaking = s->quiet_since_us == INT64_MAX;
	if (e->kind == LVX_HUB_ACTIVITY) {
		if (e->speech && !speaking && s->params.vad_events) {
			struct lvx_text t = {0};
			lvx_text_printf(
				&t, "{\"type\":\"SpeechStarted\",\"channel\":[0,1],\"timestamp\":");
			lvx_door_seconds(&t, e->at_us);
			lvx_text_printf(&t, "}");
			lvx_door_send(d, &t);
			lvx_text_finish(&t);
		}
		if (e->speech != speaking)
			s->quiet_since_us = e->speech ? INT64_MAX : e->at_us;
		return;
	}
	if (e->kind != LVX_HUB_TEXT || e->translation)
		return;
	if (e->word) {
		/* on_tick may have missed the pause: sound can come faster than it is spoken. */
		end_at_pause(d, e->start_us, 0);
		add_word(d, e);
	}
	int64_t pause_us = s->params.endpointing_us;
	bool paused = e->segment_end && !speaking && pause_us >= 0 && pause_us <= SOON_US;
	if (s->n_words > 0 && (e->segment_end || s->end_us - s->start_us >= LONG_US))
		send_results(d, true, paused, false);
	else if (s->params.interim && e->word)
		send_results(d, false, false, false);
}

static void on_tick(struct lvx_door *d, int64_t heard_us)
{
	struct state *s = lvx_door_state(d);
	if (!s->closing && lvx_door_idle_us(d) >= IDLE_US) {
		send_error(d, "NET-0001", "no sound and no KeepAlive came for 10 seconds");
		lvx_door_close(d, 1011, "NET-0001");
		return;
	}
	end_at_pause(d, heard_us, s->quiet_since_us);
}

/* A Finalize is answered. */
static void on_heard(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	int64_t sent_us = lvx_door_sent_us(d);
	if (sent_us > s->end_us && s->params.sound.encoding != LVX_DOOR_CONTAINER)
		s->end_us = sent_us;
	send_results(d, true, true, true);
}

static void send_metadata(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	unsigned char sum[EVP_MAX_MD_SIZE] = {0};
	unsigned n = 0;
	struct lvx_text t = {0};
	EVP_DigestFinal_ex(s->hash, sum, &n);
	lvx_text_printf(&t,
		"{\"type\":\"Metadata\",\"transaction_key\":\"deprecated\",\"request_id\":\"%s\","
		"\"sha256\":\"",
		lvx_door_id(d));
	for (unsigned i = 0; i < n; i++)
		lvx_text_printf(&t, "%02x", sum[i]);
	lvx_text_printf(&t, "\",\"created\":\"%s\",\"duration\":", s->created);
	int64_t sent_us = lvx_door_sent_us(d);
	lvx_door_seconds(&t, sent_us > s->end_us ? sent_us : s->end_us);
	lvx_text_printf(&t, ",\"channels\":1,\"models\":[");
	lvx_text_json(&t, lvx_door_model(d)->name);
	lvx_text_printf(&t, "]}");
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
}

static void on_end(struct lvx_door *d, const char *reason, const char *message)
{
	struct state *s = lvx_door_state(d);
	if (s->n_words > 0)
		send_results(d, true, true, false);
	if (strcmp(reason, "ended") == 0) {
		send_metadata(d);
		lvx_door_close(d, 1000, "");
	} else if (strcmp(reason, "failed") == 0) {
		send_error(d, "DATA-0000", message);
		lvx_door_close(d, 1008, "DATA-0000");
	} else {
		send_error(d, "NET-0000", message[0] ? message : reason);
		lvx_door_close(d, 1011, "NET-0000");
	}
}

/* ---- requests ---- */

static void close_stream(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	s->closing = true;
	if (lvx_door_started(d)) {
		lvx_door_finish(d);
	} else {
		send_metadata(d);
		lvx_door_close(d, 1000, "");
	}
}

static void on_text(struct lvx_door *d, const char *text, size_t len)
{
	struct state *s = lvx_door_state(d);
	struct lvx_error err = {0};
	enum lvx_deepgram_message type;
	if (lvx_deepgram_message_parse(&type, text, len, &err) != LVX_OK)
		on_error(d, LVX_API_INVALID, err.msg);
	else if (type == LVX_DEEPGRAM_FINALIZE && !s->closing)
		lvx_door_flush(d);
	else if (type == LVX_DEEPGRAM_CLOSE_STREAM && !s->closing)
		close_stream(d);
}

static void on_binary(struct lvx_door *d, const uint8_t *data, size_t len, bool last)
{
	struct state *s = lvx_door_state(d);
	struct lvx_error err = {0};
	s->flowing = s->flowing || len > 0;
	bool empty = last && !s->flowing;
	s->flowing = s->flowing && !last;
	if (s->closing)
		return;
	if (empty) { /* the old way to say CloseStream */
		close_stream(d);
		return;
	}
	if (!lvx_door_started(d) && len > 0) {
		struct lvx_door_wish wish = {.language = s->params.language,
			.prefix = s->params.prefix[0] ? s->params.prefix : NULL,
			.prefix_is_terms = true};
		enum lvx_status st = lvx_deepgram_glossary(&wish.glossary, &s->params, &err);
		if (st == LVX_OK)
			st = lvx_door_start(d, &s->params.sound, &wish, &err);
		lvx_glossary_unref(wish.glossary);
		if (st != LVX_OK) {
			send_error(d, "NET-0000", err.msg);
			lvx_door_close(d, 1011, "NET-0000");
			return;
		}
	}
	EVP_DigestUpdate(s->hash, data, len);
	lvx_door_sound(d, data, len);
}

static void on_close(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	EVP_MD_CTX_free(s->hash);
	lvx_text_finish(&s->words);
	lvx_text_finish(&s->transcript);
}

const struct lvx_door_protocol lvx_door_deepgram = {
	.name = "Deepgram's protocol",
	.paths = {"/v1/listen", NULL},
	.state_size = sizeof(struct state),
	.text_max = LVX_MESSAGE_BYTES_MAX,
	.check = check,
	.refuse = refuse,
	.on_open = on_open,
	.on_text = on_text,
	.on_binary = on_binary,
	.on_event = on_event,
	.on_heard = on_heard,
	.on_tick = on_tick,
	.on_end = on_end,
	.on_error = on_error,
	.on_close = on_close,
};
