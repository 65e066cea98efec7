/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the clients of other services send. The first byte picks whose parser. */
#include "daemon/doors/deepgram.h"
#include "daemon/doors/openai.h"
#include "daemon/doors/upload.h"
#include "daemon/doors/vosk.h"

#include <stdlib.h>
#include <string.h>

static const struct lvx_model_info model = {
	.name = "m",
	.lanes = {{.name = "caption", .languages = {"en", "de"}, .n_languages = 2},
		{.name = "translation", .languages = {"de", "fr"}, .n_languages = 2}},
	.n_lanes = 2,
	.slot_us = 80000,
	.delay_slots = 5,
	.delays = {3, 5, 12, 30},
	.n_delays = 4,
};

/* Arguments lie one a line. */
static void query(char *text)
{
	struct lvx_door_args args = {0};
	struct lvx_error err = {0};
	struct lvx_deepgram_params p;
	char *rest = NULL;
	for (char *a = strtok_r(text, "\n", &rest); a && args.n < LVX_DOOR_ARGS_MAX;
		a = strtok_r(NULL, "\n", &rest))
		args.arg[args.n++] = a;
	struct lvx_glossary *glossary;
	if (lvx_deepgram_params_parse(&p, &args, &model, &err) != LVX_OK)
		return;
	if (strlen(p.prefix) > LVX_PREFIX_MAX || p.sound.channels == 0 ||
		lvx_deepgram_glossary(&glossary, &p, &err) != LVX_OK)
		abort();
	lvx_glossary_unref(glossary);
}

/* The first line is the content type. */
static void multipart(const char *text, size_t len)
{
	char type[128];
	struct lvx_part parts[LVX_PARTS_MAX];
	struct lvx_transcription_form form;
	struct lvx_error err = {0};
	size_t n, line = strcspn(text, "\n");
	snprintf(type, sizeof(type), "%.*s", (int)line, text);
	if (line < len)
		line++;
	if (lvx_multipart_parse(parts, &n, type, text + line, len - line, &err) != LVX_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].data < text || parts[i].data + parts[i].len > text + len)
			abort();
	}
	lvx_transcription_form_read(&form, parts, n, &model, &err);
}

/* In two pieces it must give the same. */
static void chunked(const char *text, size_t len)
{
	struct lvx_chunked a = {0}, b = {0};
	struct lvx_text whole = {0}, halves = {0};
	enum lvx_status one = lvx_chunked_feed(&a, text, len, &whole, 1000);
	enum lvx_status two = lvx_chunked_feed(&b, text, len / 2, &halves, 1000);
	if (two == LVX_AGAIN)
		two = lvx_chunked_feed(&b, text + len / 2, len - len / 2, &halves, 1000);
	if (one != two || whole.len > 1000 || (one != LVX_ELIMIT && whole.len != halves.len))
		abort();
	lvx_text_finish(&whole);
	lvx_text_finish(&halves);
}

static void openai(const char *text, size_t len, bool translations)
{
	struct lvx_openai_config now;
	struct lvx_openai_message m;
	struct lvx_error err = {0};
	lvx_openai_config_init(&now);
	enum lvx_status st = lvx_openai_parse(&m, &now, translations, &model, text, len, &err);
	if (st != LVX_OK && !err.msg[0])
		abort();
	if (st == LVX_OK && m.type == LVX_OPENAI_UPDATE && m.config.sound.sample_rate < 8000)
		abort();
	lvx_openai_message_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_error err = {0};
	if (size == 0)
		return 0;
	char *text = calloc(1, size);
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	switch (data[0]) {
	case 'q':
		query(text);
		break;
	case 'w': {
		char out[16];
		lvx_deepgram_bare_word(text, out, sizeof(out));
		break;
	}
	case 'd': {
		enum lvx_deepgram_message type;
		if (lvx_deepgram_message_parse(&type, text, size - 1, &err) != LVX_OK &&
			!err.msg[0])
			abort();
		break;
	}
	case 'm':
		multipart(text, size - 1);
		break;
	case 'o':
	case 't':
		openai(text, size - 1, data[0] == 't');
		break;
	case 'b': {
		struct lvx_text out = {0};
		if (lvx_base64_decode(&out, text, size - 1) && out.len > size)
			abort();
		lvx_text_finish(&out);
		break;
	}
	case 'v': {
		struct lvx_vosk_config config;
		enum lvx_vosk_type type;
		lvx_vosk_config_init(&config);
		if (lvx_vosk_parse(&type, &config, text, size - 1, &err) != LVX_OK && !err.msg[0])
			abort();
		if (config.sample_rate < 8000)
			abort();
		break;
	}
	case 'c':
		chunked(text, size - 1);
		break;
	default:
		break;
	}
	free(text);
	return 0;
}
