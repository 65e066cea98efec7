/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's realtime translation: wss://HOST/v1/realtime/translations. Text only. */
#include "base/utf8.h"
#include "daemon/doors/openai_out.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

struct state {
	struct lvx_openai_config config;
	char last[2][5]; /* captions, translation: the last character that was sent */
	bool closing;
};

static enum lvx_status check(
	const struct lvx_door_args *args, const struct lvx_model_info *model, struct lvx_error *err)
{
	if (lvx_door_lane(model, "translation") == 0)
		return lvx_fail(err, LVX_EINVAL, "the model '%s' does not translate", model->name);
	for (size_t i = 0; i < args->n; i++) {
		if (!lvx_door_arg(args->arg[i], "model") && !lvx_door_arg(args->arg[i], "token"))
			return lvx_fail(
				err, LVX_EINVAL, "query: '%.32s' is not supported", args->arg[i]);
	}
	return LVX_OK;
}

static void send_session(struct lvx_door *d, const char *type)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0};
	lvx_openai_begin(d, &t, type);
	lvx_text_printf(&t,
		",\"session\":{\"id\":\"sess_%s\",\"object\":\"realtime.translation_session\","
		"\"type\":\"translation\",\"expires_at\":%lld,\"model\":",
		lvx_door_id(d), (long long)time(NULL) + 86400);
	lvx_text_json(&t, lvx_door_model(d)->name);
	lvx_text_printf(&t,
		",\"audio\":{\"input\":{\"format\":{\"type\":\"audio/pcm\",\"rate\":%" PRIu32
		"},\"noise_reduction\":null,\"transcription\":",
		s->config.sound.sample_rate);
	lvx_openai_transcription(d, &t, &s->config);
	lvx_text_printf(&t, "},\"output\":{\"language\":");
	lvx_text_json(&t, s->config.output_language);
	lvx_text_printf(&t, ",\"format\":null}}}}");
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
}

static void send_bare(struct lvx_door *d, const char *type)
{
	struct lvx_text t = {0};
	lvx_openai_begin(d, &t, type);
	lvx_text_printf(&t, "}");
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
}

static void fail(struct lvx_door *d, const struct lvx_openai_message *m, const char *code,
	const char *message)
{
	lvx_openai_send_error(d, false, "invalid_request_error", code, message, m ? m->param : NULL,
		m ? m->event_id : NULL);
	lvx_door_count_error(d);
}

static void on_open(struct lvx_door *d, const struct lvx_door_args *args)
{
	struct state *s = lvx_door_state(d);
	const struct lvx_model_info *model = lvx_door_model(d);
	(void)args;
	lvx_openai_config_init(&s->config);
	int lane = lvx_model_info_lane(model, "translation");
	if (lane >= 0)
		s->config.output_language = lvx_lane_language(&model->lanes[lane], NULL);
	send_session(d, "session.created");
}

static void on_event(struct lvx_door *d, const struct lvx_door_event *e)
{
	struct state *s = lvx_door_state(d);
	struct lvx_text t = {0}, delta = {0};
	if (e->kind != LVX_HUB_TEXT || !e->word)
		return;
	char *last = s->last[e->translation];
	if (lvx_utf8_spaced(last, e->word))
		lvx_text_add(&delta, " ", 1);
	lvx_text_word(&delta, e->word);
	snprintf(last, sizeof(s->last[0]), "%s", lvx_utf8_last(e->word));
	lvx_openai_begin(d, &t,
		e->translation ? "session.output_transcript.delta"
			       : "session.input_transcript.delta");
	lvx_text_printf(&t, ",\"delta\":");
	lvx_text_json(&t, delta.data);
	lvx_text_printf(&t, ",\"elapsed_ms\":%" PRId64 "}", e->end_us / 1000);
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
	lvx_text_finish(&delta);
}

static void on_heard(struct lvx_door *d)
{
	(void)d; /* nothing is flushed here */
}

static void close_session(struct lvx_door *d)
{
	send_bare(d, "session.closed");
	lvx_door_close(d, 1000, "");
}

static void on_end(struct lvx_door *d, const char *reason, const char *message)
{
	if (strcmp(reason, "ended") == 0) {
		close_session(d);
		return;
	}
	lvx_openai_send_error(
		d, false, "server_error", reason, message[0] ? message : reason, NULL, NULL);
	lvx_door_close(d, 1011, "the stream has ended");
}

static void append(struct lvx_door *d, const struct lvx_openai_message *m)
{
	struct state *s = lvx_door_state(d);
	const struct lvx_openai_config *c = &s->config;
	struct lvx_error err = {0};
	struct lvx_door_wish wish = {.translate_to = c->output_language,
		.language = c->language,
		.delay_slots = c->delay_slots,
		.prefix = c->prompt[0] ? c->prompt : NULL};
	if (!c->output_language) {
		struct lvx_openai_message at = *m;
		char why[160];
		snprintf(why, sizeof(why), "the model translates to %s: which is wanted?",
			lvx_model_info_languages(lvx_door_model(d), "translation").text);
		at.param = "session.audio.output.language";
		fail(d, &at, "missing_language", why);
		return;
	}
	if (!lvx_door_started(d) && lvx_door_start(d, &c->sound, &wish, &err) != LVX_OK) {
		lvx_openai_send_error(d, false, "server_error",
			lvx_api_code_name(lvx_api_code_of(err.status)), err.msg, NULL, m->event_id);
		lvx_door_close(d, 1013, "no room");
		return;
	}
	lvx_door_sound(d, (const uint8_t *)m->audio.data, m->audio.len);
}

static void on_text(struct lvx_door *d, const char *text, size_t len)
{
	struct state *s = lvx_door_state(d);
	struct lvx_openai_message m;
	struct lvx_error err = {0};
	if (lvx_openai_parse(&m, &s->config, true, lvx_door_model(d), text, len, &err) != LVX_OK) {
		fail(d, &m, "invalid_value", err.msg);
	} else if (s->closing) {
		fail(d, &m, "session_closing", "the session is being closed");
	} else if (m.type == LVX_OPENAI_UPDATE) {
		if (lvx_door_started(d) && lvx_openai_differ(&s->config, &m.config)) {
			fail(d, &m, "cannot_update",
				"format, languages, delay and prompt cannot change once sound has "
				"been sent");
		} else {
			s->config = m.config;
			send_session(d, "session.updated");
		}
	} else if (m.type == LVX_OPENAI_APPEND) {
		append(d, &m);
	} else {
		s->closing = true;
		if (lvx_door_started(d))
			lvx_door_finish(d);
		else
			close_session(d);
	}
	lvx_openai_message_finish(&m);
}

static void on_error(struct lvx_door *d, enum lvx_api_code code, const char *message)
{
	fail(d, NULL, lvx_api_code_name(code), message);
}

const struct lvx_door_protocol lvx_door_translations = {
	.name = "OpenAI's realtime translation",
	.paths = {"/v1/realtime/translations", NULL},
	.state_size = sizeof(struct state),
	.text_max = LVX_OPENAI_MESSAGE_MAX,
	.check = check,
	.refuse = lvx_openai_refuse,
	.on_open = on_open,
	.on_text = on_text,
	.on_event = on_event,
	.on_heard = on_heard,
	.on_end = on_end,
	.on_error = on_error,
};
