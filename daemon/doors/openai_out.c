/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/doors/openai_out.h"

#include "daemon/doors/transcriptions.h"

#include <math.h>
#include <string.h>

void lvx_openai_begin(struct lvx_door *d, struct lvx_text *t, const char *type)
{
	(void)d;
	char id[37];
	lvx_door_uuid(id);
	lvx_text_printf(t, "{\"type\":\"%s\",\"event_id\":\"event_%s\"", type, id);
}

void lvx_openai_transcription(
	struct lvx_door *d, struct lvx_text *t, const struct lvx_openai_config *c)
{
	const struct lvx_model_info *model = lvx_door_model(d);
	int lane = lvx_model_info_lane(model, "caption");
	const char *language = c->language;
	if (lane >= 0 && (!language || strcmp(language, LVX_LANGUAGE_AUTO) == 0))
		language = lvx_lane_language(&model->lanes[lane], lvx_door_language(d));
	lvx_text_printf(t, "{\"model\":");
	lvx_text_json(t, model->name);
	lvx_text_printf(t, ",\"language\":");
	lvx_text_json(t, language);
	lvx_text_printf(t, ",\"prompt\":");
	lvx_text_json(t, c->prompt);
	lvx_text_printf(t, ",\"delay\":");
	lvx_text_json(t, c->delay);
	lvx_text_printf(t, "}");
}

void lvx_openai_send_error(struct lvx_door *d, bool flat, const char *type, const char *code,
	const char *message, const char *param, const char *event_id)
{
	struct lvx_text t = {0};
	if (flat) {
		lvx_text_printf(&t, "{\"type\":\"error\",\"error\":");
		lvx_text_json(&t, message);
		lvx_text_printf(&t, ",\"code\":");
		lvx_text_json(&t, code);
	} else {
		lvx_openai_begin(d, &t, "error");
		lvx_text_printf(&t, ",\"error\":{\"type\":\"%s\",\"code\":", type);
		lvx_text_json(&t, code);
		lvx_text_printf(&t, ",\"message\":");
		lvx_text_json(&t, message);
		lvx_text_printf(&t, ",\"param\":");
		lvx_text_json(&t, param);
		lvx_text_printf(&t, ",\"event_id\":");
		lvx_text_json(&t, event_id);
		lvx_text_printf(&t, "}");
	}
	lvx_text_printf(&t, "}");
	lvx_door_send(d, &t);
	lvx_text_finish(&t);
}

void lvx_openai_refuse(
	enum lvx_api_code code, const char *why, struct lvx_text *head, struct lvx_text *body)
{
	(void)head;
	lvx_openai_error(body, lvx_api_code_http(code),
		code == LVX_API_UNAUTHORIZED ? "invalid_api_key" : lvx_api_code_name(code), why);
}

void lvx_openai_logprob(struct lvx_text *t, const char *token, double confidence)
{
	lvx_text_printf(t, "{\"token\":");
	lvx_text_json(t, token);
	lvx_text_printf(t, ",\"logprob\":-");
	lvx_door_seconds(t, (int64_t)(-1e6 * log(confidence > 1e-4 ? confidence : 1e-4)));
	lvx_text_printf(t, ",\"bytes\":[");
	for (size_t i = 0; token[i]; i++)
		lvx_text_printf(t, "%s%d", i > 0 ? "," : "", (unsigned char)token[i]);
	lvx_text_printf(t, "]}");
}

bool lvx_openai_differ(const struct lvx_openai_config *a, const struct lvx_openai_config *b)
{
	return a->sound.encoding != b->sound.encoding ||
	       a->sound.sample_rate != b->sound.sample_rate ||
	       a->language != b->language || a->delay != b->delay ||
	       a->output_language != b->output_language || strcmp(a->prompt, b->prompt) != 0;
}
