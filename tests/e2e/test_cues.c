/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/cues.h"
#include "clients/cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 1000000, MS = 1000 };

struct got {
	int n;
	struct {
		int64_t start_us, end_us;
		char text[256];
	} cues[64];
};

static void take(void *user, const struct cue *cue)
{
	struct got *g = user;
	assert_true(g->n < 64);
	g->cues[g->n].start_us = cue->start_us;
	g->cues[g->n].end_us = cue->end_us;
	snprintf(g->cues[g->n].text, sizeof(g->cues[0].text), "%s", cue->text);
	g->n++;
}

/* What holds for every cue, whatever the words. */
static void check_rules(const struct got *g)
{
	for (int i = 0; i < g->n; i++) {
		int lines = 1, chars = 0;
		for (const char *p = g->cues[i].text; *p; p++) {
			if (*p == '\n') {
				lines++;
				chars = 0;
			} else if (((unsigned char)*p & 0xc0) != 0x80) {
				chars++;
			}
			assert_in_range(chars, 0, CUE_LINE_CHARS);
		}
		assert_in_range(lines, 1, 2);
		assert_true(g->cues[i].end_us - g->cues[i].start_us <= CUE_MAX_US);
		assert_true(g->cues[i].end_us - g->cues[i].start_us >= CUE_MIN_US);
		if (i + 1 < g->n)
			assert_true(g->cues[i].end_us + CUE_GAP_US <= g->cues[i + 1].start_us);
	}
}

static void test_sentences(void **state)
{
	struct got g = {0};
	struct cues *c = cues_create(take, &g);
	(void)state;
	cues_word(c, "Good", 1 * S, 1200 * MS);
	cues_word(c, "day.", 1200 * MS, 1500 * MS);
	cues_break(c);
	cues_word(c, "Now", 4 * S, 4200 * MS);
	cues_word(c, "the", 4200 * MS, 4300 * MS);
	cues_word(c, "news.", 4300 * MS, 6 * S);
	cues_finish(c);
	cues_destroy(c);
	assert_int_equal(g.n, 2);
	assert_string_equal(g.cues[0].text, "Good day.");
	assert_string_equal(g.cues[1].text, "Now the news.");
	assert_int_equal(g.cues[0].start_us, 1 * S);
	assert_int_equal(g.cues[0].end_us, 1 * S + CUE_MIN_US); /* held longer than it was said */
	assert_int_equal(g.cues[1].end_us, 6 * S);
	check_rules(&g);
}

static void test_flash_goes_on(void **state)
{
	struct got g = {0};
	struct cues *c = cues_create(take, &g);
	(void)state;
	cues_word(c, "Yes.", 0, 300 * MS);
	cues_break(c);
	cues_word(c, "No.", 400 * MS, 700 * MS);
	cues_break(c);
	cues_finish(c);
	cues_destroy(c);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.cues[0].text, "Yes. No.");
	check_rules(&g);
}

static void test_lines(void **state)
{
	struct got g = {0};
	struct cues *c = cues_create(take, &g);
	(void)state;
	/* 300 words of 2 to 11 characters, some of two bytes, a sentence end here and there */
	for (int i = 0; i < 300; i++) {
		char word[32] = "";
		for (int k = 0; k < 2 + i * 7 % 10; k++)
			strcat(word, k % 3 == 2 ? "ö" : "n");
		cues_word(c, word, (int64_t)i * 330 * MS, (int64_t)i * 330 * MS + 300 * MS);
		if (i % 11 == 10)
			cues_break(c);
	}
	cues_finish(c);
	cues_destroy(c);
	assert_true(g.n > 20);
	check_rules(&g);
}

static void test_times_never_run_back(void **state)
{
	struct got g = {0};
	struct cues *c = cues_create(take, &g);
	(void)state;
	cues_word(c, "one", 2 * S, 1 * S);
	cues_word(c, "two", 1 * S, 500 * MS);
	cues_finish(c);
	cues_destroy(c);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.cues[0].start_us, 2 * S);
	assert_true(g.cues[0].end_us > g.cues[0].start_us);
}

static void test_nothing(void **state)
{
	struct got g = {0};
	struct cues *c = cues_create(take, &g);
	(void)state;
	cues_break(c);
	cues_finish(c);
	cues_destroy(c);
	cues_destroy(NULL);
	assert_int_equal(g.n, 0);
}

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_flash_goes_on),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_times_never_run_back),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_formats),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("cues", tests, NULL, NULL);
}
