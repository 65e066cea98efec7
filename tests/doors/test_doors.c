/* SPDX-License-Identifier: Apache-2.0 */
/* What the clients of other services send. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/doors/deepgram.h"
#include "daemon/doors/openai.h"
#include "daemon/doors/upload.h"
#include "daemon/doors/vosk.h"

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

static enum lvx_status listen(struct lvx_deepgram_params *p, struct lvx_error *err, size_t n, ...)
{
	struct lvx_door_args args = {.n = n};
	va_list list;
	va_start(list, n);
	for (size_t i = 0; i < n; i++)
		args.arg[i] = va_arg(list, const char *);
	va_end(list);
	return lvx_deepgram_params_parse(p, &args, &model, err);
}

static void test_deepgram_params(void **state)
{
	(void)state;
	struct lvx_deepgram_params p;
	struct lvx_error err;
	assert_int_equal(listen(&p, &err, 0), LVX_OK);
	assert_int_equal(p.sound.encoding, LVX_DOOR_CONTAINER);
	assert_false(p.interim);
	assert_int_equal(p.endpointing_us, 300000);
	assert_int_equal(
		listen(&p, &err, 8, "encoding=linear16", "sample_rate=44100", "channels=2",
			"interim_results=true", "endpointing=false", "utterance_end_ms=1500",
			"keyterm=Ada Lovelace", "keywords=lavapipe:2"),
		LVX_OK);
	assert_int_equal(p.sound.encoding, LVX_DOOR_S16LE);
	assert_int_equal(p.sound.sample_rate, 44100);
	assert_int_equal(p.sound.channels, 2);
	assert_int_equal(p.endpointing_us, -1);
	assert_int_equal(p.utterance_end_us, 1500000);
	assert_string_equal(p.prefix, "Ada Lovelace, lavapipe");
	assert_null(p.language);
	assert_int_equal(listen(&p, &err, 3, "language=de-CH", "diarize=false", "tag=x"), LVX_OK);
	assert_string_equal(p.language, "de");
	assert_int_equal(listen(&p, &err, 1, "language=multi"), LVX_OK);
	assert_string_equal(p.language, "auto");
	assert_int_equal(listen(&p, &err, 2, "detect_language=true", "language=en"), LVX_OK);
	assert_string_equal(p.language, "auto");
	assert_int_equal(listen(&p, &err, 2, "detect_language=false", "language=en"), LVX_OK);
	assert_string_equal(p.language, "en");
	assert_int_equal(listen(&p, &err, 1, "detect_language=fr"), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 1, "diarize=true"), LVX_EINVAL);
	assert_string_equal(err.msg, "query: 'diarize' is not supported");
	assert_int_equal(listen(&p, &err, 1, "encoding=linear16"), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 1, "sample_rate=-1"), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 1, "sample_rate="), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 2, "replace=lumi vox:Lumivox", "replace=gent:Ghent, 9:30"), LVX_OK);
	assert_string_equal(p.replace, "lumi vox => Lumivox\ngent => Ghent, 9:30\n");
	struct lvx_glossary *g;
	assert_int_equal(lvx_deepgram_glossary(&g, &p, &err), LVX_OK);
	assert_int_equal(lvx_spelling_count(lvx_glossary_spelling(g)), 2);
	lvx_glossary_unref(g);
	assert_int_equal(listen(&p, &err, 2, "replace=[\"a b:c\", \"d:e\"]", "keyterm=[\"Ada\",\"Ghent\"]"), LVX_OK);
	assert_string_equal(p.replace, "a b => c\nd => e\n");
	assert_string_equal(p.prefix, "Ada, Ghent");
	assert_int_equal(listen(&p, &err, 1, "keyterm=[music]"), LVX_OK);
	assert_string_equal(p.prefix, "[music]");
	static const char *const wrong[] = {"replace=[\"a:b\", 3]", "replace=[\"a\"]", "replace=", "replace=a", "replace=a:", "replace=:b", "replace=#a:b", "replace=a:b\nc",
		"replace=a=>b:c", "replace=a:b=>c", "replace= : ", "replace=\xff:b",
		"replace=one two three four five six seven eight nine:ten"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(listen(&p, &err, 1, wrong[i]), LVX_EINVAL);
		assert_non_null(strstr(err.msg, "query: 'replace'"));
	}
	char many[1100] = "replace=a:";
	memset(many + 10, 'b', sizeof(many) - 11);
	assert_int_equal(listen(&p, &err, 3, many, many, many), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 1, "replace=false"), LVX_OK);
	assert_int_equal(listen(&p, &err, 1, "nonsense"), LVX_EINVAL);
	assert_string_equal(err.msg, "query: there is no parameter 'nonsense'");
}

static void test_deepgram_messages(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum lvx_status status;
		enum lvx_deepgram_message type;
	} cases[] = {
		{"{\"type\":\"KeepAlive\"}", LVX_OK, LVX_DEEPGRAM_KEEP_ALIVE},
		{"{\"type\":\"Finalize\",\"channel\":0}", LVX_OK, LVX_DEEPGRAM_FINALIZE},
		{"{\"type\":\"CloseStream\"}", LVX_OK, LVX_DEEPGRAM_CLOSE_STREAM},
		{"{\"type\":\"finalize\"}", LVX_EINVAL, 0},
		{"{\"type\":3}", LVX_EINVAL, 0},
		{"", LVX_EINVAL, 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum lvx_deepgram_message type = 0;
		struct lvx_error err;
		assert_int_equal(lvx_deepgram_message_parse(
					 &type, cases[i].text, strlen(cases[i].text), &err),
			cases[i].status);
		assert_int_equal(type, cases[i].status == LVX_OK ? cases[i].type : type);
	}
	char out[8];
	static const char *const bare[][2] = {{"Hello,", "hello"}, {"(It's)", "it's"}, {"...", ""},
		{"", ""}, {"Abcdefghij", "abcdefg"},
		{"\xc3\x84"
		 "b!",
			"\xc3\x84"
			"b"},
		{"[music]", "[music]"}};
	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		lvx_deepgram_bare_word(bare[i][0], out, sizeof(out));
		assert_string_equal(out, bare[i][1]);
	}
}

/* A word may be under way where it is not yet known that nobody speaks. */
static void test_pause(void **state)
{
	(void)state;
	static const struct {
		int64_t to_ms, quiet_since_ms;
		bool is;
	} cases[] = {{1700, 0, false}, {1760, 0, true}, {1760, 2240, false}, {2239, 2240, false}, {2240, 2240, true},
		{2759, INT64_MAX / 1000, false}, {2760, INT64_MAX / 1000, true}, {-720, 0, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(lvx_door_is_pause(1360000, cases[i].to_ms * 1000, 400000, cases[i].quiet_since_ms * 1000),
			cases[i].is);
}

static void test_common(void **state)
{
	(void)state;
	struct lvx_error err;
	struct lvx_text t = {0};
	const char *language = NULL;
	assert_int_equal(lvx_door_read_language(&language, &model, "q", "de_AT", &err), LVX_OK);
	assert_string_equal(language, "de");
	assert_int_equal(lvx_door_read_language(&language, &model, "q", "en-GB", &err), LVX_OK);
	static const char *const none[] = {"english", "", "-", "e", "englishenglish", "auto"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(
			lvx_door_read_language(&language, &model, "q", none[i], &err), LVX_EINVAL);
	assert_string_equal(language, "en");
	assert_string_equal(
		err.msg, "q: 'auto' is not a language that is understood here: en, de");
	assert_int_equal(lvx_door_lane(&model, "translation"), 2);
	assert_int_equal(lvx_door_lane(&model, "other"), 0);
	lvx_door_seconds(&t, 1234567);
	lvx_door_seconds(&t, -5);
	lvx_door_fraction(&t, 0.98765);
	lvx_door_fraction(&t, 7);
	assert_string_equal(t.data, "1.2350.0000.98771.0000");
	lvx_text_finish(&t);
	assert_string_equal(lvx_door_arg("a=b=c", "a"), "b=c");
	assert_null(lvx_door_arg("ab", "a"));
}

/* Fed byte by byte, and whole. */
static enum lvx_status unchunk(const char *text, size_t step, struct lvx_text *out)
{
	struct lvx_chunked c = {0};
	enum lvx_status st = LVX_AGAIN;
	lvx_text_clear(out);
	for (size_t i = 0; text[i] && st == LVX_AGAIN;) {
		size_t n = strnlen(text + i, step);
		st = lvx_chunked_feed(&c, text + i, n, out, 20);
		i += n;
	}
	lvx_text_add(out, "", 1);
	return st;
}

static void test_chunked(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum lvx_status status;
		const char *data;
	} cases[] = {
		{"3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\n\r\n", LVX_END, "abc0123456789"},
		{"0\r\nTrailer: x\r\nOther: y\r\n\r\n", LVX_END, ""},
		{"3\r\nabc\r\n", LVX_AGAIN, "abc"},
		{"3\r\nabcd\r\n", LVX_EINVAL, "abc"},
		{"x\r\n", LVX_EINVAL, ""},
		{"\r\n", LVX_EINVAL, ""},
		{"123456789\r\n", LVX_EINVAL, ""},
		{"ffffffff\r\n0123456789012345678901234567890123456789", LVX_ELIMIT, ""},
	};
	struct lvx_text out = {0};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 100; step += 50) {
			assert_int_equal(unchunk(cases[i].text, step, &out), cases[i].status);
			if (cases[i].status != LVX_ELIMIT)
				assert_string_equal(out.data, cases[i].data);
		}
	}
	lvx_text_finish(&out);
}

static void test_multipart(void **state)
{
	(void)state;
	struct lvx_part parts[LVX_PARTS_MAX];
	struct lvx_transcription_form form;
	struct lvx_error err;
	size_t n;
	static const char type[] = "multipart/form-data; charset=x; boundary=\"B b\"";
	static const char body[] =
		"--B b\r\nContent-Type: a\r\nContent-Disposition: form-data; name=\"file\"; "
		"filename=\"a;b.wav\"\r\n\r\n\r\n--B\r\n--B b\r\n"
		"content-disposition: form-data; name=response_format\r\n\r\nsrt\r\n--B b--\r\n";
	assert_int_equal(
		lvx_multipart_parse(parts, &n, type, body, sizeof(body) - 1, &err), LVX_OK);
	assert_int_equal(n, 2);
	assert_string_equal(parts[0].name, "file");
	assert_true(parts[0].is_file);
	assert_int_equal(parts[0].len, 5);
	assert_memory_equal(parts[0].data, "\r\n--B", 5);
	assert_false(parts[1].is_file);
	assert_int_equal(lvx_transcription_form_read(&form, parts, n, &model, &err), LVX_OK);
	assert_int_equal(form.format, LVX_TRANSCRIPT_SRT);
	assert_int_equal(form.file_len, 5);
	/* Cut anywhere it is an error, not a crash. */
	for (size_t len = 0; len < sizeof(body) - 5; len++)
		assert_int_equal(lvx_multipart_parse(parts, &n, type, body, len, &err), LVX_EINVAL);
	static const char *const bad[][2] = {{"text/plain; boundary=b", "--b--"},
		{"multipart/form-data", "--b--"}, {"multipart/form-data; boundary=", "--b--"},
		{"multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--"},
		{"multipart/form-data; boundary=b", "--b\r\n\r\n\r\nx\r\n--b--"},
		{"multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(lvx_multipart_parse(
					 parts, &n, bad[i][0], bad[i][1], strlen(bad[i][1]), &err),
			LVX_EINVAL);
}

static enum lvx_status realtime(struct lvx_openai_message *m, bool translations, const char *text)
{
	struct lvx_openai_config now;
	struct lvx_error err;
	lvx_openai_config_init(&now);
	return lvx_openai_parse(m, &now, translations, &model, text, strlen(text), &err);
}

static void test_openai(void **state)
{
	(void)state;
	struct lvx_openai_message m;
	assert_int_equal(
		realtime(&m, false,
			"{\"type\":\"session.update\",\"event_id\":\"e\",\"session\":{\"type\":"
			"\"transcription\",\"audio\":{\"input\":{\"format\":{\"type\":\"audio/"
			"pcma\"},"
			"\"noise_reduction\":null,\"transcription\":{\"model\":\"x\",\"language\":"
			"\"en-US\",\"prompt\":\"P\",\"keywords\":[\"a\",\"b\"],\"delay\":\"low\"},"
			"\"turn_detection\":{\"type\":\"server_vad\",\"silence_duration_ms\":900}}}"
			","
			"\"include\":[\"item.input_audio_transcription.logprobs\"]}}"),
		LVX_OK);
	assert_int_equal(m.type, LVX_OPENAI_UPDATE);
	assert_string_equal(m.event_id, "e");
	assert_int_equal(m.config.dialect, LVX_OPENAI_NESTED);
	assert_int_equal(m.config.sound.encoding, LVX_DOOR_ALAW);
	assert_int_equal(m.config.sound.sample_rate, 8000);
	assert_int_equal(m.config.silence_ms, 900);
	assert_true(m.config.logprobs);
	assert_string_equal(m.config.prompt, "P, a, b");
	assert_string_equal(m.config.language, "en");
	assert_string_equal(m.config.delay, "low");
	assert_int_equal(m.config.delay_slots, 3); /* of 3, 5, 12, 30: two of their five are one */
	lvx_openai_message_finish(&m);

	assert_int_equal(
		realtime(&m, false, "{\"type\":\"session.update\",\"model\":\"x\"}"), LVX_OK);
	assert_int_equal(m.config.dialect, LVX_OPENAI_VLLM);
	assert_int_equal(m.config.sound.sample_rate, 16000);
	lvx_openai_message_finish(&m);
	static const char beta[] = "{\"type\":\"transcription_session.update\","
				   "\"input_audio_format\":\"g711_ulaw\",\"turn_detection\":null}";
	assert_int_equal(realtime(&m, false, beta), LVX_OK);
	assert_int_equal(m.config.sound.encoding, LVX_DOOR_MULAW);
	assert_int_equal(m.config.turn, LVX_OPENAI_MANUAL);
	lvx_openai_message_finish(&m);
	assert_int_equal(realtime(&m, true, beta), LVX_EINVAL);
	lvx_openai_message_finish(&m);
	static const char translate[] =
		"{\"type\":\"session.update\",\"session\":{\"audio\":{\"output\":"
		"{\"language\":\"fr\"}}}}";
	assert_int_equal(realtime(&m, true, translate), LVX_OK);
	assert_string_equal(m.config.output_language, "fr");
	lvx_openai_message_finish(&m);
	assert_int_equal(realtime(&m, false, translate), LVX_EINVAL);
	lvx_openai_message_finish(&m);
	static const struct {
		const char *transcription, *language;
		uint32_t delay_slots;
	} told[] = {
		{"{}", NULL, 0},
		{"{\"languages\":[\"de-CH\"]}", "de", 0},
		{"{\"languages\":[\"de\",\"de-CH\",\"xx\"]}", "de", 0},
		{"{\"languages\":[\"en\",\"de\",\"en\"]}", "auto", 0},
		{"{\"language\":\"en\",\"languages\":[\"de\"]}", "en", 0},
		{"{\"language\":\"\",\"delay\":null}", NULL, 0},
		{"{\"delay\":\"minimal\"}", NULL, 3},
		{"{\"delay\":\"medium\"}", NULL, 5},
		{"{\"delay\":\"high\"}", NULL, 12},
		{"{\"delay\":\"xhigh\"}", NULL, 30},
	};
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		char text[200];
		snprintf(text, sizeof(text),
			"{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{"
			"\"transcription\":%s}}}}",
			told[i].transcription);
		assert_int_equal(realtime(&m, false, text), LVX_OK);
		assert_int_equal(m.config.delay_slots, told[i].delay_slots);
		if (told[i].language)
			assert_string_equal(m.config.language, told[i].language);
		else
			assert_null(m.config.language);
		lvx_openai_message_finish(&m);
	}
	static const char *const bad[] = {"", "[]", "{}", "{\"type\":1}", "{\"type\":\"x\"}",
		"{\"type\":\"session.update\"}", "{\"type\":\"session.update\",\"session\":[]}",
		"{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"format\":{}}}}}",
		"{\"type\":\"session.update\",\"session\":{\"include\":[1]}}",
		"{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"transcription\":"
		"{\"delay\":\"tiny\"}}}}}",
		"{\"type\":\"session.update\",\"session\":{\"audio\":{\"input\":{\"transcription\":"
		"{\"languages\":[\"xx\"]}}}}}",
		"{\"type\":\"session.update\",\"model\":\"x\",\"y\":1}",
		"{\"type\":\"input_audio_buffer.append\",\"audio\":\"AAA\"}",
		"{\"type\":\"input_audio_buffer.commit\",\"final\":3}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(realtime(&m, false, bad[i]), LVX_EINVAL);
		lvx_openai_message_finish(&m);
	}
}

static void test_base64(void **state)
{
	(void)state;
	struct lvx_text t = {0};
	static const char *const good[][2] = {{"", ""}, {"TQ==", "M"}, {"TWE=", "Ma"},
		{"TWFu", "Man"}, {"TWFuTQ==", "ManM"}, {"+/+/", "\xfb\xff\xbf"}};
	static const char *const bad[] = {
		"T", "TQ=", "TR==", "TWF=", "====", "T===", "TQ==TQ==", "TW\nu", "TWE-", "TW=u"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		lvx_text_clear(&t);
		assert_true(lvx_base64_decode(&t, good[i][0], strlen(good[i][0])));
		assert_int_equal(t.len, strlen(good[i][1]));
		if (t.len > 0)
			assert_memory_equal(t.data, good[i][1], t.len);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(lvx_base64_decode(&t, bad[i], strlen(bad[i])));
	lvx_text_finish(&t);
}

static void test_vosk(void **state)
{
	(void)state;
	struct lvx_vosk_config c;
	enum lvx_vosk_type type;
	struct lvx_error err;
	static const char config[] =
		"{ \"config\" : { \"sample_rate\" : 16000.0, \"words\" : 0,\n"
		"\"max_alternatives\" : 3, \"phrase_list\" : [\"a b\", \"[unk]\"] } }";
	lvx_vosk_config_init(&c);
	assert_int_equal(c.sample_rate, 8000);
	assert_int_equal(lvx_vosk_parse(&type, &c, config, sizeof(config) - 1, &err), LVX_OK);
	assert_int_equal(type, LVX_VOSK_CONFIG);
	assert_int_equal(c.sample_rate, 16000);
	assert_false(c.words);
	assert_int_equal(c.alternatives, 3);
	assert_string_equal(c.prefix, "a b");
	assert_int_equal(lvx_vosk_parse(&type, &c, "{\"eof\" : 1}", 11, &err), LVX_OK);
	assert_int_equal(type, LVX_VOSK_EOF);
	assert_int_equal(lvx_vosk_parse(&type, &c, "{\"reset\" : 1}", 13, &err), LVX_OK);
	assert_int_equal(type, LVX_VOSK_RESET);
	static const char *const bad[] = {"", "eof", "{}", "{\"eof\":0}", "{\"x\":1}",
		"{\"config\":1}", "{\"config\":{\"model\":\"/etc\"}}",
		"{\"config\":{\"sample_rate\":1}}", "{\"config\":{\"words\":2}}",
		"{\"config\":{\"phrase_list\":[1]}}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
			lvx_vosk_parse(&type, &c, bad[i], strlen(bad[i]), &err), LVX_EINVAL);
	assert_int_equal(c.sample_rate, 16000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deepgram_params),
		cmocka_unit_test(test_deepgram_messages),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_common),
		cmocka_unit_test(test_openai),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_vosk),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_multipart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
