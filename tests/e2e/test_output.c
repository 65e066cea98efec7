/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 1000000 };

/* What a writer puts out for two sentences in two lanes. */
static char *written(enum out_format format, uint32_t wanted)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct out_params p = {.to = f,
		.format = format,
		.file = "a.wav",
		.lanes = {"caption", "translation"},
		.languages = {"en", "de"},
		.n_lanes = 2,
		.wanted = wanted};
	struct out *o = out_create(&p);
	out_word(o, 0, &(struct out_word){"R&D", 1 * S, 2 * S, 0.5});
	out_word(o, 0, &(struct out_word){"<ok>.", 2 * S, 3 * S, 0.25});
	out_segment_end(o, 0);
	out_word(o, 1, &(struct out_word){"Gut.", 3 * S, 4 * S, 1});
	out_finish(o);
	out_destroy(o);
	fclose(f);
	return text;
}

static void test_formats(void **state)
{
	static const struct {
		enum out_format format;
		uint32_t wanted;
		const char *text;
	} cases[] = {
		{OUT_TXT, 1, "R&D <ok>.\n"},
		{OUT_TXT, 3, "caption: R&D <ok>.\ntranslation: Gut.\n"},
		{OUT_SRT, 1, "1\n00:00:01,000 --> 00:00:03,000\nR&D <ok>.\n\n"},
		{OUT_VTT, 1, "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nR&amp;D &lt;ok&gt;.\n\n"},
		{OUT_SRT, 2, "1\n00:00:03,000 --> 00:00:04,000\nGut.\n\n"},
		{OUT_JSON, 2,
			"{\"file\":\"a.wav\",\"lane\":\"translation\",\"language\":\"de\","
			"\"segment\":0,"
			"\"start_us\":3000000,\"end_us\":4000000,\"text\":\"Gut.\",\"words\":[{"
			"\"text\":"
			"\"Gut.\",\"start_us\":3000000,\"end_us\":4000000,\"confidence\":1.0}]}\n"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = written(cases[i].format, cases[i].wanted);
		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

/* Words that are written with no space between them, all at once and as they come. */
static void test_joints(void **state)
{
	static const char *const words[] = {"\u4f60", "\u597d", "\uff0c", "Ada", "Lovelace", "\u3002"};
	(void)state;
	for (int live = 0; live < 2; live++) {
		char *text = NULL;
		size_t len;
		FILE *f = open_memstream(&text, &len);
		struct out_params p = {.to = f, .lanes = {"caption"}, .n_lanes = 1, .wanted = 1,
			.as_they_come = live};
		struct out *o = out_create(&p);
		for (int again = 0; again < 2; again++) {
			for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
				out_word(o, 0, &(struct out_word){words[i], S, S, 1});
			out_segment_end(o, 0);
		}
		out_finish(o);
		out_destroy(o);
		fclose(f);
		assert_string_equal(text, "\u4f60\u597d\uff0cAda Lovelace\u3002\n"
					  "\u4f60\u597d\uff0cAda Lovelace\u3002\n");
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_joints),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
