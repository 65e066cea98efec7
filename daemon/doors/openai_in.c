/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/doors/openai.h"

#include <string.h>

static const char where[] = "message";

void lvx_openai_config_init(struct lvx_openai_config *c)
{
	*c = (struct lvx_openai_config){
		.sound = {.encoding = LVX_DOOR_S16LE, .sample_rate = 24000, .channels = 1},
		.silence_ms = 500};
}

/* ---- base64 ---- */

static int sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool lvx_base64_decode(struct lvx_text *out, const char *text, size_t len)
{
	if (len % 4 != 0)
		return false;
	for (size_t i = 0; i < len; i += 4) {
		int n = i + 4 < len || text[i + 3] != '=' ? 4 : text[i + 2] != '=' ? 3 : 2;
		uint32_t bits = 0;
		for (int k = 0; k < 4; k++) {
			int v = k < n ? sextet(text[i + (size_t)k]) : 0;
			if (v < 0)
				return false;
			bits = bits << 6 | (uint32_t)v;
		}
		char bytes[3] = {
			(char)(bits >> 16 & 255), (char)(bits >> 8 & 255), (char)(bits & 255)};
		if ((n == 2 && (bits & 0xffff)) || (n == 3 && (bits & 0xff)))
			return false;
		lvx_text_add(out, bytes, (size_t)n - 1);
	}
	return true;
}

/* ---- session.update ---- */

/* The member if it is there and not null. */
static json_t *member(const json_t *object, const char *key)
{
	json_t *v = json_object_get(object, key);
	return json_is_null(v) ? NULL : v;
}

static enum lvx_status read_child(struct lvx_openai_message *m, const json_t *object,
	const char *key, const char *param, json_t **out, struct lvx_error *err)
{
	m->param = param;
	*out = member(object, key);
	return *out ? lvx_json_object(object, where, key, false, out, err) : LVX_OK;
}

static enum lvx_status read_format(
	struct lvx_openai_message *m, const json_t *input, struct lvx_error *err)
{
	struct lvx_door_sound *sound = &m->config.sound;
	static const char *const keys[] = {"type", "rate", NULL};
	const char *type = NULL;
	uint32_t rate = 0;
	json_t *format;
	enum lvx_status st =
		read_child(m, input, "format", "session.audio.input.format", &format, err);
	if (st != LVX_OK || !format)
		return st;
	st = lvx_json_known_keys(format, where, keys, err);
	if (st == LVX_OK)
		st = lvx_json_str(format, where, "type", true, &type, err);
	if (st == LVX_OK)
		st = lvx_json_u32(format, where, "rate", false, 8000, 192000, &rate, err);
	if (st != LVX_OK)
		return st;
	if (strcmp(type, "audio/pcm") == 0)
		sound->encoding = LVX_DOOR_S16LE;
	else if (strcmp(type, "audio/pcmu") == 0)
		sound->encoding = LVX_DOOR_MULAW;
	else if (strcmp(type, "audio/pcma") == 0)
		sound->encoding = LVX_DOOR_ALAW;
	else
		return lvx_fail(err, LVX_EINVAL,
			"%s: format '%.32s' is not supported; audio/pcm, audio/pcmu, audio/pcma "
			"are",
			where, type);
	uint32_t usual = sound->encoding == LVX_DOOR_S16LE ? 24000 : 8000;
	sound->sample_rate = rate > 0 ? rate : usual;
	return LVX_OK;
}

static enum lvx_status read_beta_format(
	struct lvx_openai_message *m, const json_t *session, struct lvx_error *err)
{
	static const char *const names[] = {"pcm16", "g711_ulaw", "g711_alaw"};
	const char *name = NULL;
	m->param = "session.input_audio_format";
	enum lvx_status st = lvx_json_str(session, where, "input_audio_format", false, &name, err);
	if (st != LVX_OK || !name)
		return st;
	for (int i = 0; i < 3; i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		m->config.sound.encoding = (enum lvx_door_encoding)i;
		m->config.sound.sample_rate = i == 0 ? 24000 : 8000;
		return LVX_OK;
	}
	return lvx_fail(err, LVX_EINVAL,
		"%s: format '%.32s' is not supported; pcm16, g711_ulaw, g711_alaw are", where,
		name);
}

static enum lvx_status add_prompt(
	struct lvx_openai_message *m, const char *text, struct lvx_error *err)
{
	char *prompt = m->config.prompt;
	size_t used = strlen(prompt), n = strlen(text);
	if (used + n + 2 > LVX_PREFIX_MAX)
		return lvx_fail(err, LVX_EINVAL, "%s: prompt and keywords may have %d bytes", where,
			LVX_PREFIX_MAX);
	if (n > 0)
		snprintf(prompt + used, LVX_PREFIX_MAX + 1 - used, "%s%s", used > 0 ? ", " : "",
			text);
	return LVX_OK;
}

static enum lvx_status read_strings(struct lvx_openai_message *m, const json_t *object,
	const char *key, const struct lvx_model_info *model, struct lvx_error *err)
{
	json_t *array = NULL, *item;
	size_t i;
	bool languages = strcmp(key, "languages") == 0;
	const char *known = NULL;
	enum lvx_status st = LVX_OK;
	if (!member(object, key))
		return LVX_OK;
	st = lvx_json_array(object, where, key, false, &array, err);
	if (st != LVX_OK)
		return st;
	json_array_foreach(array, i, item)
	{
		const char *text = json_string_value(item);
		if (!text)
			return lvx_fail(err, LVX_EINVAL, "%s: '%s' must hold strings", where, key);
		const char *before = known;
		if (languages) {
			lvx_door_read_language(&known, model, where, text, err);
			if (before && before != known)
				known = LVX_LANGUAGE_AUTO; /* one of them: that is to be found out */
		} else if (add_prompt(m, text, err) != LVX_OK)
			return LVX_EINVAL;
	}
	if (known && !m->config.language)
		m->config.language = known;
	return !languages || known || json_array_size(array) == 0 ? LVX_OK : LVX_EINVAL;
}

/* Their five delays, spread over those of the model. */
static enum lvx_status read_delay(struct lvx_openai_message *m, const json_t *t,
	const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const names[] = {"minimal", "low", "medium", "high", "xhigh"};
	const char *name = NULL;
	if (!member(t, "delay"))
		return LVX_OK;
	enum lvx_status st = lvx_json_str(t, where, "delay", false, &name, err);
	for (uint32_t i = 0; i < 5 && st == LVX_OK; i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		if (model->n_delays > 1) {
			m->config.delay = names[i];
			m->config.delay_slots = model->delays[i * (model->n_delays - 1) / 4];
		}
		return LVX_OK;
	}
	return st != LVX_OK ? st
			    : lvx_fail(err, LVX_EINVAL,
				      "%s: delay '%.32s' is not supported; minimal, low, medium, "
				      "high, xhigh are",
				      where, name);
}

static enum lvx_status read_transcription(struct lvx_openai_message *m, const json_t *input,
	const char *key, const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const keys[] = {
		"model", "language", "languages", "keywords", "prompt", "delay", NULL};
	const char *language = NULL, *prompt = NULL, *name = NULL;
	json_t *t;
	enum lvx_status st =
		read_child(m, input, key, "session.audio.input.transcription", &t, err);
	if (st != LVX_OK || !t)
		return st;
	st = lvx_json_known_keys(t, where, keys, err);
	if (st == LVX_OK && member(t, "model"))
		st = lvx_json_str(t, where, "model", false, &name, err);
	if (st == LVX_OK && member(t, "language"))
		st = lvx_json_str(t, where, "language", false, &language, err);
	if (st == LVX_OK && member(t, "prompt"))
		st = lvx_json_str(t, where, "prompt", false, &prompt, err);
	if (st == LVX_OK && (language || member(t, "languages")))
		m->config.language = NULL;
	if (st == LVX_OK && language && *language)
		st = lvx_door_read_language(&m->config.language, model, where, language, err);
	if (st == LVX_OK)
		st = read_delay(m, t, model, err);
	if (st == LVX_OK && (prompt || member(t, "keywords")))
		m->config.prompt[0] = '\0';
	if (st == LVX_OK && prompt)
		st = add_prompt(m, prompt, err);
	if (st == LVX_OK)
		st = read_strings(m, t, "keywords", model, err);
	return st == LVX_OK ? read_strings(m, t, "languages", model, err) : st;
}

static enum lvx_status read_turn(
	struct lvx_openai_message *m, const json_t *input, struct lvx_error *err)
{
	/* Those but type and silence_duration_ms are wishes too. */
	static const char *const keys[] = {"type", "threshold", "prefix_padding_ms",
		"silence_duration_ms", "eagerness", "create_response", "interrupt_response",
		"idle_timeout_ms", NULL};
	const char *type = NULL;
	json_t *turn = json_object_get(input, "turn_detection");
	m->param = "session.audio.input.turn_detection";
	if (json_is_null(turn))
		m->config.turn = LVX_OPENAI_MANUAL;
	if (!turn || json_is_null(turn))
		return LVX_OK;
	enum lvx_status st = lvx_json_object(input, where, "turn_detection", false, &turn, err);
	if (st == LVX_OK)
		st = lvx_json_known_keys(turn, where, keys, err);
	if (st == LVX_OK)
		st = lvx_json_str(turn, where, "type", true, &type, err);
	if (st != LVX_OK)
		return st;
	if (strcmp(type, "server_vad") == 0)
		m->config.turn = LVX_OPENAI_SERVER_VAD;
	else if (strcmp(type, "semantic_vad") == 0)
		m->config.turn = LVX_OPENAI_SEMANTIC_VAD;
	else
		return lvx_fail(err, LVX_EINVAL,
			"%s: turn_detection '%.32s' is not supported; server_vad, semantic_vad, "
			"null are",
			where, type);
	if (!member(turn, "silence_duration_ms"))
		return LVX_OK;
	return lvx_json_u32(
		turn, where, "silence_duration_ms", false, 0, 60000, &m->config.silence_ms, err);
}

static enum lvx_status read_include(
	struct lvx_openai_message *m, const json_t *session, struct lvx_error *err)
{
	json_t *array = NULL, *item;
	size_t i;
	m->param = "session.include";
	if (!member(session, "include"))
		return LVX_OK;
	enum lvx_status st = lvx_json_array(session, where, "include", false, &array, err);
	if (st != LVX_OK)
		return st;
	m->config.logprobs = false;
	json_array_foreach(array, i, item)
	{
		const char *name = json_string_value(item);
		if (!name || strcmp(name, "item.input_audio_transcription.logprobs") != 0)
			return lvx_fail(err, LVX_EINVAL, "%s: include '%.64s' is not supported",
				where, name ? name : "(no string)");
		m->config.logprobs = true;
	}
	return LVX_OK;
}

/* session.audio of the nested form. */
static enum lvx_status read_audio(struct lvx_openai_message *m, const json_t *session,
	bool translations, const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const keys[] = {"input", NULL};
	static const char *const more_keys[] = {"input", "output", NULL};
	/* noise_reduction is a wish. */
	static const char *const input_keys[] = {
		"format", "noise_reduction", "transcription", "turn_detection", NULL};
	static const char *const output_keys[] = {"language", "format", "voice", NULL};
	json_t *audio, *input = NULL, *output = NULL;
	const char *language = NULL;
	enum lvx_status st = read_child(m, session, "audio", "session.audio", &audio, err);
	if (st != LVX_OK || !audio)
		return st;
	st = lvx_json_known_keys(audio, where, translations ? more_keys : keys, err);
	if (st == LVX_OK)
		st = read_child(m, audio, "output", "session.audio.output", &output, err);
	if (st == LVX_OK && output)
		st = lvx_json_known_keys(output, where, output_keys, err);
	if (st == LVX_OK && output)
		st = lvx_json_str(output, where, "language", false, &language, err);
	if (st == LVX_OK && language) {
		m->param = "session.audio.output.language";
		st = lvx_model_info_check_languages(model, where, NULL, language, err);
	}
	if (st == LVX_OK && language) {
		int lane = lvx_model_info_lane(model, "translation");
		m->config.output_language =
			model->lanes[lane].languages[lvx_lane_find(&model->lanes[lane], language)];
	}
	if (st == LVX_OK)
		st = read_child(m, audio, "input", "session.audio.input", &input, err);
	if (st != LVX_OK || !input)
		return st;
	st = lvx_json_known_keys(input, where, input_keys, err);
	if (st == LVX_OK)
		st = read_format(m, input, err);
	if (st == LVX_OK)
		st = read_transcription(m, input, "transcription", model, err);
	if (st == LVX_OK)
		st = lvx_model_info_check_languages(
			model, where, m->config.language, m->config.output_language, err);
	return st == LVX_OK ? read_turn(m, input, err) : st;
}

static enum lvx_status read_nested(struct lvx_openai_message *m, const json_t *session,
	bool translations, const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const keys[] = {
		"type", "model", "audio", "include", "id", "object", NULL};
	const char *type = NULL, *wanted = translations ? "translation" : "transcription";
	m->config.dialect = LVX_OPENAI_NESTED;
	m->param = "session";
	enum lvx_status st = lvx_json_known_keys(session, where, keys, err);
	if (st == LVX_OK)
		st = lvx_json_str(session, where, "type", false, &type, err);
	if (st == LVX_OK && type && strcmp(type, wanted) != 0) {
		m->param = "session.type";
		return lvx_fail(err, LVX_EINVAL,
			"%s: a session of type '%.32s' is not supported; %s is", where, type,
			wanted);
	}
	if (st == LVX_OK)
		st = read_audio(m, session, translations, model, err);
	return st == LVX_OK ? read_include(m, session, err) : st;
}

/* The members lie in `session`, or beside `type`. */
static enum lvx_status read_beta(
	struct lvx_openai_message *m, const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const keys[] = {"type", "event_id", "input_audio_format",
		"input_audio_transcription", "input_audio_noise_reduction", "turn_detection",
		"include", "modalities", "id", "object", NULL};
	json_t *inner;
	enum lvx_status st = read_child(m, m->root, "session", "session", &inner, err);
	const json_t *session = inner ? inner : m->root;
	m->config.dialect = LVX_OPENAI_BETA;
	if (st == LVX_OK)
		st = lvx_json_known_keys(session, where, keys, err);
	if (st == LVX_OK)
		st = read_beta_format(m, session, err);
	if (st == LVX_OK)
		st = read_transcription(m, session, "input_audio_transcription", model, err);
	if (st == LVX_OK)
		st = read_turn(m, session, err);
	return st == LVX_OK ? read_include(m, session, err) : st;
}

static enum lvx_status read_update(struct lvx_openai_message *m, bool translations,
	const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const flat[] = {"type", "event_id", "model", NULL};
	json_t *session;
	enum lvx_status st = read_child(m, m->root, "session", "session", &session, err);
	if (st != LVX_OK)
		return st;
	if (session)
		return read_nested(m, session, translations, model, err);
	const char *name = NULL;
	m->param = "model";
	st = lvx_json_str(m->root, where, "model", true, &name, err);
	if (st == LVX_OK)
		st = lvx_json_known_keys(m->root, where, flat, err);
	if (st == LVX_OK && translations)
		st = lvx_fail(err, LVX_EINVAL, "%s: key 'session' is missing", where);
	m->config.dialect = LVX_OPENAI_VLLM;
	m->config.turn = LVX_OPENAI_MANUAL;
	m->config.sound.sample_rate = 16000;
	return st;
}

/* ---- all of them ---- */

static enum lvx_status read_append(struct lvx_openai_message *m, struct lvx_error *err)
{
	const char *audio = NULL;
	m->param = "audio";
	enum lvx_status st = lvx_json_str(m->root, where, "audio", true, &audio, err);
	if (st == LVX_OK && !lvx_base64_decode(&m->audio, audio, strlen(audio)))
		st = lvx_fail(err, LVX_EINVAL, "%s: 'audio' is not base64", where);
	return st;
}

enum lvx_status lvx_openai_parse(struct lvx_openai_message *m, const struct lvx_openai_config *now,
	bool translations, const struct lvx_model_info *model, const char *text, size_t len,
	struct lvx_error *err)
{
	static const struct {
		const char *name;
		enum lvx_openai_type type;
		int where; /* 0: transcription, 1: translations, 2: both */
	} types[] = {
		{"session.update", LVX_OPENAI_UPDATE, 2},
		{"transcription_session.update", LVX_OPENAI_UPDATE, 0},
		{"input_audio_buffer.append", LVX_OPENAI_APPEND, 0},
		{"input_audio_buffer.commit", LVX_OPENAI_COMMIT, 0},
		{"input_audio_buffer.clear", LVX_OPENAI_CLEAR, 0},
		{"session.input_audio_buffer.append", LVX_OPENAI_APPEND, 1},
		{"session.close", LVX_OPENAI_CLOSE, 1},
	};
	const char *type = NULL;
	*m = (struct lvx_openai_message){.config = *now};
	enum lvx_status st = lvx_json_parse(&m->root, where, text, len, err);
	if (st != LVX_OK)
		return st;
	m->event_id = json_string_value(json_object_get(m->root, "event_id"));
	m->param = "type";
	st = lvx_json_str(m->root, where, "type", true, &type, err);
	if (st != LVX_OK)
		return st;
	size_t i = 0, n = sizeof(types) / sizeof(types[0]);
	while (i < n && (types[i].where == !translations || strcmp(types[i].name, type) != 0))
		i++;
	if (i == n)
		return lvx_fail(err, LVX_EINVAL,
			"%s: a message of type '%.64s' is not supported here", where, type);
	m->type = types[i].type;
	switch (m->type) {
	case LVX_OPENAI_UPDATE:
		return i == 1 ? read_beta(m, model, err) : read_update(m, translations, model, err);
	case LVX_OPENAI_APPEND:
		return read_append(m, err);
	case LVX_OPENAI_COMMIT:
		m->param = "final";
		return lvx_json_bool(m->root, where, "final", false, &m->final, err);
	case LVX_OPENAI_CLEAR:
	case LVX_OPENAI_CLOSE:
		break;
	}
	return LVX_OK;
}

void lvx_openai_message_finish(struct lvx_openai_message *m)
{
	json_decref(m->root);
	lvx_text_finish(&m->audio);
	m->root = NULL;
}
