/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vosk-server's protocol: ws://HOST/ (or /vosk). One text message answers each
 * binary one: a result if an utterance has ended, else what was heard so far.
 */
#include "daemon/doors/vosk.h"

#include <stdlib.h>
#include <string.h>

enum {
	REASON_MAX = 120, /* bytes of a close frame that are ours */
	ENDED_MAX = 1000, /* utterances that no message has asked for yet */
};

struct state {
	struct lvx_vosk_config config;
	struct lvx_text results; /* ended utterances, as messages with a NUL behind each */
	size_t results_at;
	uint32_t n_results;
	struct lvx_text words, text; /* of the utterance that is being heard */
	uint32_t n_words;
	double confidence;
	bool speaking;
	/* What waits for the model, in order: an answer to sound, or to reset. */
	uint64_t asked_resets; /* bit i: the i-th of those that wait is a reset */
	uint32_t n_asked;
	bool finishing; /* eof: the rest is one result */
	char reason[REASON_MAX];
};

/* There is no message for errors in this protocol: its server hangs up. */
static void refuse_and_close(struct lvx_door *d, int code, const char *why)
{
	struct state *s = lvx_door_state(d);
	snprintf(s->reason, sizeof(s->reason), "%s", why);
	/* Not in the middle of a character. */
	size_t n = strlen(s->reason);
	while (n > 0 && (s->reason[n - 1] & 0x80))
		s->reason[--n] = '\0';
	lvx_door_close(d, code, s->reason);
}

/* ---- results ---- */

static void write_result(struct lvx_text *t, const struct state *s)
{
	const char *words = s->words.data ? s->words.data : "";
	bool many = s->config.alternatives > 0;
	lvx_text_printf(t, "{");
	if (many) {
		lvx_text_printf(t, "\"alternatives\" : [{\"confidence\" : ");
		lvx_door_fraction(t, s->n_words > 0 ? s->confidence / s->n_words : 0);
		lvx_text_printf(t, ", ");
	}
	if (s->config.words && s->n_words > 0)
		lvx_text_printf(t, "\"result\" : [%.*s], ", (int)s->words.len, words);
	lvx_text_printf(t, "\"text\" : ");
	lvx_text_json_n(t, s->text.data ? s->text.data : "", s->text.len);
	lvx_text_printf(t, "%s}", many ? "}]" : "");
}

static void begin_utterance(struct state *s)
{
	lvx_text_clear(&s->words);
	lvx_text_clear(&s->text);
	s->n_words = 0;
	s->confidence = 0;
}

static void end_utterance(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	if (s->n_words == 0 || s->finishing)
		return;
	if (s->n_results == ENDED_MAX) {
		refuse_and_close(d, 1008, "results are not asked for");
		return;
	}
	write_result(&s->results, s);
	lvx_text_add(&s->results, "", 1);
	s->n_results++;
	begin_utterance(s);
}

static void answer(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	if (s->n_results > 0) {
		const char *result = s->results.data + s->results_at;
		lvx_text_printf(&t, "%s", result);
		s->results_at += strlen(result) + 1;
		if (--s->n_results == 0) {
			lvx_text_clear(&s->results);
			s->results_at = 0;
		}
	} else {
		lvx_text_printf(&t, "{\"partial\" : ");
		lvx_text_json_n(&t, s->text.data ? s->text.data : "", s->text.len);
		lvx_text_printf(&t, "}");
	}
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
}

/* Utterances that no message has fetched, and the one that is open, as one. */
static void answer_final(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	struct lvx_error err;
	struct state all = {.config = s->config};
	for (; s->n_results > 0; s->n_results--) {
		const char *result = s->results.data + s->results_at;
		json_t *root = NULL;
		/* Ours; it is taken apart because it was put together for a message of its own. */
		if (lvx_json_parse(&root, "result", result, strlen(result), &err) != LVX_OK)
			abort();
		const json_t *best = json_object_get(root, "alternatives");
		best = best ? json_array_get(best, 0) : root;
		lvx_text_word(&all.text, json_string_value(json_object_get(best, "text")));
		const char *words = strstr(result, "\"result\" : [");
		const char *end = words ? strstr(words, "], \"text\" : ") : NULL;
		if (end) {
			words += strlen("\"result\" : [");
			lvx_text_printf(&all.words, "%s", all.words.len > 0 ? ", " : "");
			lvx_text_add(&all.words, words, (size_t)(end - words));
			const json_t *list = json_object_get(best, "result");
			all.n_words += (uint32_t)json_array_size(list);
			for (size_t i = 0; i < json_array_size(list); i++)
				all.confidence += json_number_value(
					json_object_get(json_array_get(list, i), "conf"));
		}
		json_decref(root);
		s->results_at += strlen(result) + 1;
	}
	if (s->n_words > 0) {
		lvx_text_word(&all.text, s->text.data);
		lvx_text_printf(&all.words, "%s", all.words.len > 0 ? ", " : "");
		lvx_text_add(&all.words, s->words.data, s->words.len);
		all.n_words += s->n_words;
		all.confidence += s->confidence;
	}
	write_result(&t, &all);
	lvx_door_send(d, &t);
	lvx_text_finish(&all.text);
	lvx_text_finish(&all.words);
	lvx_text_finish(&t);
	lvx_text_clear(&s->results);
	s->results_at = 0;
	begin_utterance(s);
}

/* ---- events ---- */

static void on_event(struct lvx_door *d, const struct lvx_door_event *e)
{
	struct state *s = lvx_door_state(d);
	if (e->kind == LVX_HUB_ACTIVITY)
		s->speaking = e->speech;
	if (e->kind != LVX_HUB_TEXT || e->translation)
		return;
	if (e->word) {
		lvx_text_printf(&s->words, "%s{\"conf\" : ", s->n_words > 0 ? ", " : "");
		lvx_door_fraction(&s->words, e->confidence);
		lvx_text_printf(&s->words, ", \"end\" : ");
		lvx_door_seconds(&s->words, e->end_us);
		lvx_text_printf(&s->words, ", \"start\" : ");
		lvx_door_seconds(&s->words, e->start_us);
		lvx_text_printf(&s->words, ", \"word\" : ");
		lvx_text_json(&s->words, e->word);
		lvx_text_printf(&s->words, "}");
		lvx_text_word(&s->text, e->word);
		s->n_words++;
		s->confidence += e->confidence;
	}
	if (e->segment_end)
		end_utterance(d);
}

static void on_heard(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	bool reset = s->asked_resets & 1;
	if (s->n_asked == 0)
		return;
	s->asked_resets >>= 1;
	s->n_asked--;
	if (reset)
		answer_final(d);
	else
		answer(d);
}

static void on_end(struct lvx_door *d, const char *reason, const char *message)
{
	if (strcmp(reason, "ended") == 0) {
		answer_final(d);
		lvx_door_close(d, 1000, "");
	} else {
		refuse_and_close(d, 1011, message[0] ? message : reason);
	}
}

/* ---- requests ---- */

static void ask(struct lvx_door *d, bool reset)
{
	struct state *s = lvx_door_state(d);
	if (s->n_asked == 64) {
		refuse_and_close(d, 1008, "too many messages before their answers");
		return;
	}
	s->asked_resets |= (uint64_t)reset << s->n_asked;
	s->n_asked++;
	if (reset)
		lvx_door_flush(d);
	else
		lvx_door_await(d);
}

static void on_text(struct lvx_door *d, const char *text, size_t len)
{
	struct state *s = lvx_door_state(d);
	struct lvx_error err = {0};
	enum lvx_vosk_type type;
	struct lvx_vosk_config before = s->config;
	if (s->finishing)
		return;
	if (lvx_vosk_parse(&type, &s->config, text, len, &err) != LVX_OK) {
		refuse_and_close(d, 1008, err.msg);
	} else if (type == LVX_VOSK_CONFIG) {
		if (lvx_door_started(d) && (before.sample_rate != s->config.sample_rate ||
						   strcmp(before.prefix, s->config.prefix) != 0))
			refuse_and_close(d, 1008, "config: sound has been sent already");
	} else if (type == LVX_VOSK_RESET) {
		ask(d, true);
	} else if (lvx_door_started(d)) {
		s->finishing = true;
		lvx_door_finish(d);
	} else {
		answer_final(d);
		lvx_door_close(d, 1000, "");
	}
}

static void on_binary(struct lvx_door *d, const uint8_t *data, size_t len, bool last)
{
	struct state *s = lvx_door_state(d);
	struct lvx_error err = {0};
	if (!lvx_door_started(d) && len > 0) {
		/* Some clients send a whole WAV file as it is. */
		bool riff = len >= 4 && memcmp(data, "RIFF", 4) == 0;
		const struct lvx_door_sound sound = {
			.encoding = riff ? LVX_DOOR_CONTAINER : LVX_DOOR_S16LE,
			.sample_rate = s->config.sample_rate,
			.channels = 1,
		};
		const char *prefix = s->config.prefix[0] ? s->config.prefix : NULL;
		if (lvx_door_start(d, &sound, &(struct lvx_door_wish){.prefix = prefix, .prefix_is_terms = true}, &err) != LVX_OK) {
			refuse_and_close(d, 1013, err.msg);
			return;
		}
	}
	lvx_door_sound(d, data, len);
	if (last)
		ask(d, false);
}

static void on_open(struct lvx_door *d, const struct lvx_door_args *args)
{
	struct state *s = lvx_door_state(d);
	(void)args;
	lvx_vosk_config_init(&s->config);
}

static void on_error(struct lvx_door *d, enum lvx_api_code code, const char *message)
{
	(void)code;
	refuse_and_close(d, 1009, message);
}

static void on_close(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	lvx_text_finish(&s->results);
	lvx_text_finish(&s->words);
	lvx_text_finish(&s->text);
}

const struct lvx_door_protocol lvx_door_vosk = {
	.name = "Vosk's protocol",
	.paths = {"/", "/vosk", NULL},
	.state_size = sizeof(struct state),
	.text_max = LVX_MESSAGE_BYTES_MAX,
	.on_open = on_open,
	.on_text = on_text,
	.on_binary = on_binary,
	.on_event = on_event,
	.on_heard = on_heard,
	.on_end = on_end,
	.on_error = on_error,
	.on_close = on_close,
};
