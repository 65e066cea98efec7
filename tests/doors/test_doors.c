/* SPDX-License-Identifier: Apache-2.0 */
/* What the clients of other services send. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/doors/deepgram.h"

static const struct lvx_model_info model = {
	.name = "m",
	.lanes = {{.name = "caption", .languages = {"en"}, .n_languages = 1},
		{.name = "translation", .languages = {"de", "fr"}, .n_languages = 2}},
	.n_lanes = 2,
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
	assert_int_equal(listen(&p, &err, 3, "language=en-US", "diarize=false", "tag=x"), LVX_OK);
	assert_int_equal(listen(&p, &err, 1, "diarize=true"), LVX_EINVAL);
	assert_string_equal(err.msg, "query: 'diarize' is not supported");
	assert_int_equal(listen(&p, &err, 1, "encoding=linear16"), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 1, "sample_rate=-1"), LVX_EINVAL);
	assert_int_equal(listen(&p, &err, 1, "sample_rate="), LVX_EINVAL);
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
			"b"}};
	for (size_t i = 0; i < sizeof(bare) / sizeof(bare[0]); i++) {
		lvx_deepgram_bare_word(bare[i][0], out, sizeof(out));
		assert_string_equal(out, bare[i][1]);
	}
}

static void test_common(void **state)
{
	(void)state;
	struct lvx_error err;
	struct lvx_text t = {0};
	assert_int_equal(lvx_door_language(&model, "q", "en", &err), LVX_OK);
	assert_int_equal(lvx_door_language(&model, "q", "en-GB", &err), LVX_OK);
	assert_int_equal(lvx_door_language(&model, "q", "english", &err), LVX_EINVAL);
	assert_int_equal(lvx_door_language(&model, "q", "", &err), LVX_EINVAL);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deepgram_params),
		cmocka_unit_test(test_deepgram_messages),
		cmocka_unit_test(test_common),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
