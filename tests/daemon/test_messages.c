/* SPDX-License-Identifier: Apache-2.0 */
/* What clients and operators write: messages, bodies, settings, tokens, origins. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/utf8.h"
#include "daemon/auth.h"
#include "daemon/json_out.h"
#include "daemon/messages.h"
#include "daemon/settings.h"

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

static enum lvx_status parse(struct lvx_request *r, const char *text, struct lvx_error *err)
{
	return lvx_request_parse(r, &model, text, strlen(text), err);
}

static void test_subscribe(void **state)
{
	(void)state;
	struct lvx_request r;
	struct lvx_error err;
	assert_int_equal(parse(&r, "{\"type\":\"subscribe\",\"stream\":\"a-1_B\"}", &err), LVX_OK);
	assert_int_equal(r.type, LVX_REQUEST_SUBSCRIBE);
	assert_string_equal(r.stream, "a-1_B");
	assert_int_equal(r.from, LVX_FROM_NOW);
	assert_int_equal(r.lanes, 0);
	assert_null(r.ref);
	lvx_request_finish(&r);

	assert_int_equal(
		parse(&r,
			"{\"type\":\"subscribe\",\"stream\":\"a\",\"ref\":7,\"activity\":true,"
			"\"lanes\":[\"translation\"],\"from\":{\"epoch\":9007199254740991,\"seq\":"
			"0}}",
			&err),
		LVX_OK);
	assert_int_equal(r.lanes, 2);
	assert_true(r.activity);
	assert_int_equal(r.from, LVX_FROM_KEY);
	assert_true(r.epoch == 9007199254740991);
	assert_int_equal(json_integer_value(r.ref), 7);
	lvx_request_finish(&r);

	/* The ref is known even where the rest is wrong. */
	assert_int_equal(parse(&r, "{\"type\":\"subscribe\",\"stream\":\"a\",\"sound\":\"voice\"}", &err),
		LVX_OK);
	assert_int_equal(r.sound, LVX_SOUND_VOICE);
	lvx_request_finish(&r);
	assert_int_equal(parse(&r, "{\"type\":\"subscribe\",\"stream\":\"a\",\"sound\":\"loud\"}", &err),
		LVX_EINVAL);
	lvx_request_finish(&r);
	assert_int_equal(parse(&r, "{\"ref\":\"x\",\"type\":\"subscribe\"}", &err), LVX_EINVAL);
	assert_string_equal(json_string_value(r.ref), "x");
	assert_string_equal(err.msg, "message: key 'stream' is missing");
	lvx_request_finish(&r);
}

static void test_push(void **state)
{
	(void)state;
	struct lvx_request r;
	struct lvx_error err;
	assert_int_equal(
		parse(&r,
			"{\"type\":\"push\",\"format\":\"f32le\",\"sample_rate\":48000,"
			"\"channels\":2,\"channel\":1,\"translate_to\":\"fr\",\"live\":true}",
			&err),
		LVX_OK);
	assert_int_equal(r.spec.push.format, LVX_PUSH_F32LE);
	assert_int_equal(r.spec.push.sample_rate, 48000);
	assert_int_equal(r.spec.push.channel, 1);
	assert_string_equal(r.spec.translate_to, "fr");
	assert_true(r.spec.live && r.spec.over_network && !r.spec.uri && !r.spec.id);
	lvx_request_finish(&r);
	assert_int_equal(
		parse(&r, "{\"type\":\"push\",\"format\":\"container\",\"translate_to\":\"xx\"}",
			&err),
		LVX_EINVAL);
	assert_string_equal(
		err.msg, "message: the model does not translate to 'xx', but to de, fr");
	lvx_request_finish(&r);

	assert_int_equal(parse(&r,
				 "{\"type\":\"push\",\"format\":\"container\",\"language\":\"de\","
				 "\"translate_to\":\"fr\",\"delay_ms\":960}",
				 &err),
		LVX_OK);
	assert_string_equal(r.spec.language, "de");
	assert_int_equal(r.spec.delay_slots, 12);
	lvx_request_finish(&r);
	static const struct {
		const char *member, *what;
	} wrong[] = {
		{"\"language\":\"fr\"", "message: the model does not understand 'fr', but en, de (or auto"},
		{"\"language\":7", "'language' must be a string"},
		{"\"language\":\"de\",\"translate_to\":\"de\"", "are both 'de'"},
		{"\"delay_ms\":0", "message: the model has no delay of 0 ms, but of 240, 400, 960, 2400"},
		{"\"delay_ms\":241", "no delay of 241 ms"},
		{"\"delay_ms\":2147483647", "no delay of 2147483647 ms"},
		{"\"delay_ms\":-1", "'delay_ms'"},
		{"\"delay_ms\":\"400\"", "'delay_ms'"},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[160];
		snprintf(text, sizeof(text), "{\"type\":\"push\",\"format\":\"container\",%s}",
			wrong[i].member);
		assert_int_equal(parse(&r, text, &err), LVX_EINVAL);
		if (!strstr(err.msg, wrong[i].what))
			fail_msg("%s: %s", text, err.msg);
		lvx_request_finish(&r);
	}
}

static void test_bodies(void **state)
{
	(void)state;
	struct lvx_hub_spec spec;
	struct lvx_error err;
	json_t *root = NULL;
	uint32_t lanes = 0;
	const char *body = "{\"uri\":\"rtsp://x/\",\"pace\":\"max\",\"lanes\":[\"caption\"]}";
	assert_int_equal(lvx_create_parse(&spec, &root, &model, body, strlen(body), &err), LVX_OK);
	assert_string_equal(spec.uri, "rtsp://x/");
	assert_int_equal(spec.pace, LVX_PACE_MAX);
	assert_int_equal(spec.channel, -1);
	assert_int_equal(spec.lanes, 1);
	json_decref(root);
	assert_int_equal(lvx_patch_parse(&lanes, &model, "{}", 2, &err), LVX_EINVAL);
	body = "{\"lanes\":[\"caption\",\"translation\"]}";
	assert_int_equal(lvx_patch_parse(&lanes, &model, body, strlen(body), &err), LVX_OK);
	assert_int_equal(lanes, 3);

	char scheme[16];
	static const char *const uris[][2] = {{"RTSP://x", "rtsp"}, {"/a:b/c", "file"},
		{"a.wav", "file"}, {"file:/x", "file"}, {"mic:", "mic"}, {"", "file"},
		{":x", "file"}, {"averyveryverylongscheme:x", "file"}};
	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		lvx_uri_scheme(uris[i][0], scheme);
		assert_string_equal(scheme, uris[i][1]);
	}
}

/* Another wording for a line: its words, one space between them, whatever kind of space it was. */
static void test_corrections(void **state)
{
	(void)state;
	static const struct {
		const char *given, *text;
		int n_words;
	} cases[] = {
		{" Good\n evening,\\t Ghent. ", "Good evening, Ghent.", 3},
		/* Chinese: a character is a word, and so is its punctuation. */
		{"\u665a\u4e0a\u597d\uff0c\u6839\u7279\u3002", "\u665a\u4e0a\u597d\uff0c\u6839\u7279\u3002", 7},
		{"\u3000\u665a\u4e0a\u3000\u3000\u597d\u00a0Lumivox 2\u3000", "\u665a\u4e0a \u597d Lumivox 2", 5},
		{"Lumivox\u5728 2026\u5e74\u201c\u4e0a\u7ebf\u201d", "Lumivox\u5728 2026\u5e74\u201c\u4e0a\u7ebf\u201d", 8},
		/* Beyond 16 bits, as the escapes of JSON too. */
		{"\U00020000\\ud840\\udc01", "\U00020000\U00020001", 2},
		{"\u3000 \u3000", "", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lvx_hub_correction c;
		struct lvx_error err = {0};
		char body[400], *text = NULL;
		int n = snprintf(body, sizeof(body),
			"{\"epoch\":9007199254740991,\"from_seq\":2,\"to_seq\":3,\"text\":\"%s\"}", cases[i].given);
		for (char *p = body; *p; p++)
			*p = *p == '\n' ? ' ' : *p; /* JSON has no bare line ends in strings */
		if (lvx_correction_parse(&c, &text, body, (size_t)n, &err) != LVX_OK)
			fail_msg("%s", err.msg);
		assert_string_equal(c.text, cases[i].text);
		assert_ptr_equal(c.text, text);
		assert_true(c.epoch == 9007199254740991 && c.from_seq == 2 && c.to_seq == 3);
		int words = 0;
		for (const char *p = c.text; *p; words++) {
			p += strspn(p, " ");
			p += lvx_utf8_word(p);
		}
		assert_int_equal(words, cases[i].n_words);
		free(text);
	}
	/* Half a character, and half a surrogate pair, are none. */
	static const char *const broken[] = {"\xe6\x99", "\\ud840", "\xed\xa0\x80", "a\\u0000b"};
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct lvx_hub_correction c;
		struct lvx_error err = {0};
		char body[200], *text = NULL;
		int n = snprintf(body, sizeof(body), "{\"epoch\":1,\"from_seq\":2,\"to_seq\":3,\"text\":\"%s\"}",
			broken[i]);
		assert_int_equal(lvx_correction_parse(&c, &text, body, (size_t)n, &err), LVX_EINVAL);
		assert_null(text);
	}
}

static void test_text(void **state)
{
	(void)state;
	struct lvx_text t = {0};
	lvx_text_json(&t, "a\"\\\n\x7f\xc3\xa4\xff\xed\xa0\x80\xf4\x90\x80\x80\xc0\xaf\xe2\x82");
	assert_string_equal(t.data,
		"\"a\\\"\\\\\\u000a\\u007f\xc3\xa4"
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	lvx_text_clear(&t);
	struct lvx_event_key key = {"s", 5, 6};
	struct lvx_text_event e = {.lane = "caption",
		.language = NULL,
		.segment = 3,
		.latency_us = -1,
		.word = "Hi.",
		.start_us = 1,
		.end_us = 2,
		.confidence = 0.9996f};
	lvx_json_out_text(&t, &key, &e);
	assert_string_equal(t.data,
		"{\"type\":\"text\",\"stream\":\"s\",\"epoch\":5,\"seq\":6,\"lane\":\"caption\","
		"\"language\":null,\"segment\":3,\"segment_end\":false,\"final\":true,"
		"\"latency_ms\":null,\"words\":[{\"text\":\"Hi.\",\"start_us\":1,\"end_us\":2,"
		"\"confidence\":1.000}]}");
	lvx_text_finish(&t);
}

static void test_auth(void **state)
{
	(void)state;
	assert_true(lvx_auth_same("abc", "abc"));
	assert_false(lvx_auth_same("abc", "ab"));
	assert_false(lvx_auth_same("abc", "abcabc"));
	assert_false(lvx_auth_same("abc", ""));
	assert_false(lvx_auth_same("", ""));
	assert_string_equal(lvx_auth_bearer("bearer  x"), "x");
	assert_null(lvx_auth_bearer("Basic x"));
	assert_true(lvx_auth_origin("http://Host:1", "host:1", NULL));
	assert_false(lvx_auth_origin("http://host:2", "host:1", NULL));
	assert_false(lvx_auth_origin("null", "", NULL));
	assert_true(lvx_auth_origin("https://b", "a", "https://a, https://b"));
	assert_false(lvx_auth_origin("https://b.c", "a", "https://b"));
	static const char *const here[] = {"localhost", "LOCALHOST:8437", "127.0.0.1",
		"127.9.9.9:1", "::1", "[::1]", "[::1]:8437"};
	static const char *const elsewhere[] = {"", "0.0.0.0", "::", "*", "10.0.0.1:8437",
		"localhost.evil", "127.0.0.1.evil:1", "[::2]:1", "128.0.0.1", "["};
	for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++)
		assert_true(lvx_auth_is_loopback(here[i]));
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
		assert_false(lvx_auth_is_loopback(elsewhere[i]));
}

static void load(struct lvx_settings *s, int n, ...)
{
	char *argv[16] = {(char[]){"lumivoxd"}};
	struct lvx_error err;
	va_list args;
	va_start(args, n);
	for (int i = 1; i <= n; i++)
		argv[i] = va_arg(args, char *);
	va_end(args);
	assert_int_equal(lvx_settings_load(s, n + 1, argv, &err), LVX_OK);
}

static void test_sources(void **state)
{
	(void)state;
	struct lvx_settings s;
	load(&s, 6, "news=rtsp://x/1?a=b", "http://x/live/show.m3u8?id=7", "./a=b.wav", "show.wav",
		"mic:", "--port=0");
	assert_int_equal(s.n_streams, 5);
	static const char *const ids[] = {"news", "show", "a-b", "show-2", "mic"};
	for (int i = 0; i < 5; i++)
		assert_string_equal(s.streams[i].id, ids[i]);
	assert_string_equal(s.streams[0].uri, "rtsp://x/1?a=b");
	assert_string_equal(s.streams[2].uri, "./a=b.wav");
	assert_int_equal(s.port, 0);
	assert_int_equal(s.rows, 16);
	assert_string_equal(s.bind, "127.0.0.1");
	lvx_settings_finish(&s);
}

static void test_ini(void **state)
{
	(void)state;
	static const char text[] =
		"[daemon]\nport = 1\nlanes = caption\nallow-origin = http://a\nallow-origin = "
		"http://b\n"
		"[stream x]\nuri = a.wav\nprefix = one\n   two\n\tthree\nstall = 1.5\n";
	struct lvx_settings s;
	struct lvx_error err = {0};
	lvx_settings_init(&s);
	assert_int_equal(lvx_settings_parse_ini(&s, "f", text, sizeof(text) - 1, &err), LVX_OK);
	assert_int_equal(s.port, 1);
	assert_string_equal(s.allow_origin, "http://a,http://b");
	assert_string_equal(s.streams[0].prefix, "one two three");
	struct lvx_stream_settings r = lvx_settings_resolved(&s, &s.streams[0]);
	assert_string_equal(r.lanes, "caption");
	assert_true(r.stall_s == 1.5 && r.pace == 0 && r.channel == -1);
	lvx_settings_finish(&s);

	/* A line too long for inih is refused, not cut. */
	char *longer = malloc(5000);
	memset(longer, 'x', 5000);
	memcpy(longer, "[daemon]\nmodel = ", 17);
	assert_int_equal(lvx_settings_parse_ini(&s, "f", longer, 5000, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "f:2: the line is longer"));
	free(longer);
	lvx_settings_finish(&s);
}

/* The example is one that works. */
static void test_example(void **state)
{
	(void)state;
	struct lvx_settings s;
	struct lvx_error err = {0};
	char *text;
	size_t len;
	lvx_settings_init(&s);
	assert_int_equal(lvx_file_read(&text, &len, LVX_EXAMPLE, 10000, &err), LVX_OK);
	if (lvx_settings_parse_ini(&s, "lumivoxd.ini", text, len, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(s.n_streams, 2);
	assert_string_equal(s.streams[0].prefix,
		"Annual meeting. Speakers: Ada Lovelace, Grace Hopper. "
		"Words: Lumivox, lavapipe, CEA-608.");
	free(text);
	lvx_settings_finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_subscribe),
		cmocka_unit_test(test_push),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_corrections),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_auth),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_ini),
		cmocka_unit_test(test_example),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
