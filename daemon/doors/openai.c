/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's realtime transcription, and vLLM's: wss://HOST/v1/realtime?intent=transcription. */
#include "daemon/doors/openai.h"

#include "base/utf8.h"
#include "daemon/doors/openai_out.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum {
	COMMITS_MAX = 32,
	TEXT_MAX = 32768,   /* bytes of an item: about an hour */
	LEAST_US = 100000,  /* of sound that may be committed, as there */
	LONG_US = 30000000, /* a turn that lasts so long ends with its sentence */
	SOON_MS = 700,      /* the model tells pauses by itself about so late */
};

struct item {
	uint32_t number;   /* 0: none */
	int64_t stream_us; /* a commit: where its sound ends on the stream */
	int64_t length_us; /* of it */
	bool discard;
};

struct state {
	struct lvx_openai_config config;
	uint32_t n_items, last_committed;
	/* Committed by the client, and words may still come. Then the one that is being heard. */
	struct item commits[COMMITS_MAX];
	uint32_t n_commits, n_early; /* completed before on_heard */
	struct item open;
	struct lvx_text transcript, logprobs; /* of the oldest of them */
	uint32_t n_words;
	int64_t item_start_us, last_word_us;
	int64_t committed_us; /* sound that was committed, by whomever */
	int64_t quiet_since_us; /* INT64_MAX: someone is speaking */
};

static enum lvx_status check(
	const struct lvx_door_args *args, const struct lvx_model_info *model, struct lvx_error *err)
{
	(void)model;
	for (size_t i = 0; i < args->n; i++) {
		const char *intent = lvx_door_arg(args->arg[i], "intent");
		if (intent && strcmp(intent, "transcription") != 0)
			return lvx_fail(err, LVX_EINVAL,
				"query: intent '%.32s' is not supported; transcription is", intent);
		if (!intent && !lvx_door_arg(args->arg[i], "model") &&
			!lvx_door_arg(args->arg[i], "token"))
			return lvx_fail(
				err, LVX_EINVAL, "query: '%.32s' is not supported", args->arg[i]);
	}
	return LVX_OK;
}

/* ---- messages out ---- */

static void begin_item(struct lvx_door *d, struct lvx_text *t, const char *type, uint32_t number)
{
	lvx_openai_begin(d, t, type);
	lvx_text_printf(t, ",\"item_id\":\"item_%.8s_%" PRIu32 "\"", lvx_door_id(d), number);
}

static void say(struct lvx_door *d, struct lvx_text *t)
{
	lvx_text_printf(t, "}");
	lvx_door_send(d, t);
	lvx_text_finish(t);
}

static void send_session(struct lvx_door *d, const char *type)
{
	struct state *s = lvx_door_state(d);
	const struct lvx_openai_config *c = &s->config;
	static const char *const nested[] = {"audio/pcm", "audio/pcmu", "audio/pcma"};
	static const char *const flat[] = {"pcm16", "g711_ulaw", "g711_alaw"};
	bool beta = c->dialect == LVX_OPENAI_BETA;
	struct lvx_text t = {0};
	lvx_openai_begin(d, &t, type);
	lvx_text_printf(&t,
		",\"id\":\"sess_%s\",\"created\":%lld,\"session\":{\"id\":\"sess_%s\","
		"\"object\":\"realtime.transcription_session\",\"expires_at\":0,",
		lvx_door_id(d), (long long)time(NULL), lvx_door_id(d));
	if (beta)
		lvx_text_printf(&t,
			"\"input_audio_format\":\"%s\",\"input_audio_noise_reduction\":null,"
			"\"input_audio_transcription\":",
			flat[c->sound.encoding]);
	else
		lvx_text_printf(&t,
			"\"type\":\"transcription\",\"audio\":{\"input\":{\"format\":{"
			"\"type\":\"%s\",\"rate\":%" PRIu32 "},\"noise_reduction\":null,"
			"\"transcription\":",
			nested[c->sound.encoding], c->sound.sample_rate);
	lvx_openai_transcription(d, &t, c);
	lvx_text_printf(&t, ",\"turn_detection\":");
	if (c->turn == LVX_OPENAI_MANUAL)
		lvx_text_printf(&t, "null");
	else if (c->turn == LVX_OPENAI_SEMANTIC_VAD)
		lvx_text_printf(&t, "{\"type\":\"semantic_vad\",\"eagerness\":null}");
	else
		lvx_text_printf(&t,
			"{\"type\":\"server_vad\",\"threshold\":null,\"prefix_padding_ms\":null,"
			"\"silence_duration_ms\":%" PRIu32 "}",
			c->silence_ms);
	lvx_text_printf(&t, "%s,\"include\":%s}", beta ? "" : "}}",
		c->logprobs ? "[\"item.input_audio_transcription.logprobs\"]" : "null");
	say(d, &t);
}

static void add_logprobs(struct lvx_door *d, struct lvx_text *t, const char *logprobs, size_t len)
{
	struct state *s = lvx_door_state(d);
	if (!s->config.logprobs)
		return;
	lvx_text_printf(t, ",\"logprobs\":[");
	lvx_text_add(t, logprobs ? logprobs : "", len);
	lvx_text_printf(t, "]");
}

/* ---- items ---- */

static struct item *current(struct state *s)
{
	return s->n_commits > 0 ? &s->commits[0] : &s->open;
}

static void open_item(struct lvx_door *d, int64_t start_us)
{
	struct state *s = lvx_door_state(d);
	if (s->open.number != 0)
		return;
	s->open.number = ++s->n_items;
	s->item_start_us = start_us;
}

static void send_committed(struct lvx_door *d, uint32_t number)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	for (int added = 0; added < 2; added++) {
		if (added == 0)
			begin_item(d, &t, "input_audio_buffer.committed", number);
		else
			lvx_openai_begin(d, &t,
				s->config.dialect == LVX_OPENAI_BETA ? "conversation.item.created"
								     : "conversation.item.added");
		lvx_text_printf(&t, ",\"previous_item_id\":");
		if (s->last_committed > 0)
			lvx_text_printf(
				&t, "\"item_%.8s_%" PRIu32 "\"", lvx_door_id(d), s->last_committed);
		else
			lvx_text_printf(&t, "null");
		if (added == 1)
			lvx_text_printf(&t,
				",\"item\":{\"id\":\"item_%.8s_%" PRIu32
				"\",\"object\":\"realtime.item\",\"type\":\"message\",\"status\":"
				"\"completed\",\"role\":\"user\",\"content\":[{\"type\":\"input_"
				"audio\","
				"\"transcript\":null}]}",
				lvx_door_id(d), number);
		say(d, &t);
	}
	s->last_committed = number;
}

static void send_completed(struct lvx_door *d, uint32_t number, int64_t length_us)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	bool vllm = s->config.dialect == LVX_OPENAI_VLLM;
	if (vllm) {
		lvx_text_printf(&t, "{\"type\":\"transcription.done\",\"text\":");
		lvx_text_json_n(
			&t, s->transcript.data ? s->transcript.data : "", s->transcript.len);
		lvx_text_printf(&t,
			",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":%" PRIu32
			",\"total_tokens\":%" PRIu32 "}",
			s->n_words, s->n_words);
	} else {
		begin_item(d, &t, "conversation.item.input_audio_transcription.completed", number);
		lvx_text_printf(&t, ",\"content_index\":0,\"transcript\":");
		lvx_text_json_n(
			&t, s->transcript.data ? s->transcript.data : "", s->transcript.len);
		add_logprobs(d, &t, s->logprobs.data, s->logprobs.len);
		lvx_text_printf(&t, ",\"usage\":{\"type\":\"duration\",\"seconds\":");
		lvx_door_seconds(&t, length_us);
		lvx_text_printf(&t, "}");
	}
	say(d, &t);
	lvx_text_clear(&s->transcript);
	lvx_text_clear(&s->logprobs);
	s->n_words = 0;
}

/* A pause ended the open item. */
static void end_turn(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	uint32_t number = s->open.number;
	if (number == 0 || s->n_commits > 0)
		return;
	if (s->config.dialect == LVX_OPENAI_VLLM) {
		send_completed(d, number, 0);
		s->open.number = 0;
		return;
	}
	begin_item(d, &t, "input_audio_buffer.speech_stopped", number);
	lvx_text_printf(&t, ",\"audio_end_ms\":%" PRId64, s->last_word_us / 1000);
	say(d, &t);
	send_committed(d, number);
	s->committed_us = s->last_word_us;
	send_completed(d, number, s->last_word_us - s->item_start_us);
	s->open.number = 0;
}

static void end_at_pause(struct lvx_door *d, int64_t us, int64_t quiet_since_us)
{
	struct state *s = lvx_door_state(d);
	if (s->config.turn != LVX_OPENAI_MANUAL &&
		lvx_door_is_pause(s->last_word_us, us, (int64_t)s->config.silence_ms * 1000,
			quiet_since_us))
		end_turn(d);
}

/* The oldest of the commits has got its last word. */
static void complete_commit(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	struct item item = s->commits[0];
	memmove(s->commits, s->commits + 1, --s->n_commits * sizeof(s->commits[0]));
	if (!item.discard)
		send_completed(d, item.number, item.length_us);
	s->item_start_us = s->last_word_us;
}

/* ---- events ---- */

static void on_word(struct lvx_door *d, const struct lvx_door_event *e)
{
	struct state *s = lvx_door_state(d);
	int64_t slack_us = lvx_door_flush_us(d) / 2;
	struct lvx_text t = {0}, delta = {0}, logprob = {0};
	while (s->n_commits > 0 && e->stream_us > s->commits[0].stream_us + slack_us) {
		complete_commit(d);
		s->n_early++;
	}
	/* on_tick may have missed the pause: sound can come faster than it is spoken. */
	end_at_pause(d, e->start_us, 0);
	s->last_word_us = e->end_us;
	if (current(s)->discard)
		return;
	if (s->n_commits == 0 && s->open.number == 0) {
		open_item(d, e->start_us);
		if (s->config.turn != LVX_OPENAI_MANUAL) {
			begin_item(d, &t, "input_audio_buffer.speech_started", s->open.number);
			lvx_text_printf(&t, ",\"audio_start_ms\":%" PRId64, e->start_us / 1000);
			say(d, &t);
		}
	}
	if (s->n_words > 0 && lvx_utf8_spaced(s->transcript.data, e->word))
		lvx_text_add(&delta, " ", 1);
	lvx_text_word(&delta, e->word);
	lvx_openai_logprob(&logprob, delta.data, e->confidence);
	if (s->config.dialect == LVX_OPENAI_VLLM)
		lvx_text_printf(&t, "{\"type\":\"transcription.delta\"");
	else
		begin_item(d, &t, "conversation.item.input_audio_transcription.delta",
			current(s)->number);
	lvx_text_printf(&t, ",\"delta\":");
	lvx_text_json(&t, delta.data);
	if (s->config.dialect != LVX_OPENAI_VLLM) {
		lvx_text_printf(&t, ",\"content_index\":0");
		add_logprobs(d, &t, logprob.data, logprob.len);
	}
	say(d, &t);
	if (s->n_words > 0)
		lvx_text_printf(&s->logprobs, ",");
	lvx_text_add(&s->logprobs, logprob.data, logprob.len);
	lvx_text_add(&s->transcript, delta.data, delta.len);
	s->n_words++;
	lvx_text_finish(&delta);
	lvx_text_finish(&logprob);
}

static void on_event(struct lvx_door *d, const struct lvx_door_event *e)
{
	struct state *s = lvx_door_state(d);
	bool speaking = s->quiet_since_us == INT64_MAX;
	if (e->kind == LVX_HUB_ACTIVITY && e->speech != speaking)
		s->quiet_since_us = e->speech ? INT64_MAX : e->at_us;
	if (e->kind != LVX_HUB_TEXT || e->translation)
		return;
	if (e->word)
		on_word(d, e);
	bool paused = !speaking && s->config.silence_ms <= SOON_MS;
	if (s->transcript.len > TEXT_MAX)
		end_turn(d);
	bool lasts = s->last_word_us - s->item_start_us >= LONG_US;
	if (e->segment_end &&
		(s->config.turn == LVX_OPENAI_SEMANTIC_VAD ||
			(s->config.turn == LVX_OPENAI_SERVER_VAD && (paused || lasts))))
		end_turn(d);
}

static void on_tick(struct lvx_door *d, int64_t heard_us)
{
	struct state *s = lvx_door_state(d);
	end_at_pause(d, heard_us, s->quiet_since_us);
}

static void on_heard(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	if (s->n_early > 0)
		s->n_early--;
	else if (s->n_commits > 0)
		complete_commit(d);
}

static void on_end(struct lvx_door *d, const char *reason, const char *message)
{
	struct state *s = lvx_door_state(d);
	lvx_openai_send_error(d, s->config.dialect == LVX_OPENAI_VLLM, "server_error", reason,
		message[0] ? message : reason, NULL, NULL);
	lvx_door_close(d, 1011, "the stream has ended");
}

/* ---- requests ---- */

static void fail(struct lvx_door *d, const struct lvx_openai_message *m, const char *code,
	const char *message)
{
	struct state *s = lvx_door_state(d);
	lvx_openai_send_error(d, s->config.dialect == LVX_OPENAI_VLLM, "invalid_request_error",
		code, message, m ? m->param : NULL, m ? m->event_id : NULL);
	lvx_door_count_error(d);
}

static void update(struct lvx_door *d, const struct lvx_openai_message *m)
{
	struct state *s = lvx_door_state(d);
	if (lvx_door_started(d) && lvx_openai_differ(&s->config, &m->config)) {
		fail(d, m, "cannot_update",
			"format, language, delay and prompt cannot change once sound has been "
			"sent");
		return;
	}
	s->config = m->config;
	/* vLLM answers nothing, but it does no harm to say what holds. */
	send_session(d, s->config.dialect == LVX_OPENAI_BETA ? "transcription_session.updated"
							     : "session.updated");
}

static void append(struct lvx_door *d, const struct lvx_openai_message *m)
{
	struct state *s = lvx_door_state(d);
	struct lvx_error err = {0};
	struct lvx_door_wish wish = {.language = s->config.language,
		.delay_slots = s->config.delay_slots,
		.prefix = s->config.prompt[0] ? s->config.prompt : NULL};
	if (!lvx_door_started(d) &&
		lvx_door_start(d, &s->config.sound, &wish, &err) != LVX_OK) {
		lvx_openai_send_error(d, s->config.dialect == LVX_OPENAI_VLLM, "server_error",
			lvx_api_code_name(lvx_api_code_of(err.status)), err.msg, NULL, m->event_id);
		lvx_door_close(d, 1013, "no room");
		return;
	}
	lvx_door_sound(d, (const uint8_t *)m->audio.data, m->audio.len);
}

static void commit(struct lvx_door *d, const struct lvx_openai_message *m, bool discard)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	bool vllm = s->config.dialect == LVX_OPENAI_VLLM;
	int64_t sent_us = lvx_door_sent_us(d);
	if (vllm && !m->final)
		return; /* its "begin"; we have begun */
	if (s->n_commits == COMMITS_MAX) {
		fail(d, m, "too_many_commits", "32 commits are being worked off");
		return;
	}
	if (!vllm && !discard && sent_us - s->committed_us < LEAST_US) {
		fail(d, m, "input_audio_buffer_commit_empty",
			"at least 100 ms of sound that was not committed yet are needed");
		return;
	}
	if (!discard)
		open_item(d, s->committed_us);
	else
		end_turn(d);
	struct item item = {.number = s->open.number,
		.discard = discard,
		.length_us = sent_us - s->committed_us};
	s->committed_us = sent_us;
	s->open.number = 0;
	if (discard) {
		lvx_openai_begin(d, &t, "input_audio_buffer.cleared");
		say(d, &t);
	} else if (!vllm) {
		send_committed(d, item.number);
	}
	s->commits[s->n_commits++] = item;
	uint32_t at = s->n_commits - 1;
	s->commits[at].stream_us = INT64_MAX;
	lvx_door_flush(d);
	/* If it was answered at once, it is gone already. */
	if (s->n_commits > at)
		s->commits[at].stream_us = lvx_door_flushed_stream_us(d);
}

static void on_text(struct lvx_door *d, const char *text, size_t len)
{
	struct state *s = lvx_door_state(d);
	struct lvx_openai_message m;
	struct lvx_error err = {0};
	if (lvx_openai_parse(&m, &s->config, false, lvx_door_model(d), text, len, &err) != LVX_OK)
		fail(d, &m, "invalid_value", err.msg);
	else if (m.type == LVX_OPENAI_UPDATE)
		update(d, &m);
	else if (m.type == LVX_OPENAI_APPEND)
		append(d, &m);
	else
		commit(d, &m, m.type == LVX_OPENAI_CLEAR);
	lvx_openai_message_finish(&m);
}

static void on_open(struct lvx_door *d, const struct lvx_door_args *args)
{
	struct state *s = lvx_door_state(d);
	(void)args;
	lvx_openai_config_init(&s->config);
	send_session(d, "session.created");
}

static void on_error(struct lvx_door *d, enum lvx_api_code code, const char *message)
{
	fail(d, NULL, lvx_api_code_name(code), message);
}

static void on_close(struct lvx_door *d)
{
	struct state *s = lvx_door_state(d);
	lvx_text_finish(&s->transcript);
	lvx_text_finish(&s->logprobs);
}

const struct lvx_door_protocol lvx_door_openai = {
	.name = "OpenAI's realtime protocol",
	.paths = {"/v1/realtime", NULL},
	.state_size = sizeof(struct state),
	.text_max = LVX_OPENAI_MESSAGE_MAX,
	.check = check,
	.refuse = lvx_openai_refuse,
	.on_open = on_open,
	.on_text = on_text,
	.on_event = on_event,
	.on_heard = on_heard,
	.on_tick = on_tick,
	.on_end = on_end,
	.on_error = on_error,
	.on_close = on_close,
};
