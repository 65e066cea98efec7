/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/cues.h"

#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

enum { S = 1000000, MS = 1000 };

struct got {
	int n, n_words;
	struct {
		int64_t start_us, end_us;
		char text[256];
	} cues[64];
};

static void take(void *user, const struct lvx_cue *cue)
{
	struct got *g = user;
	assert_true(g->n < 64);
	g->cues[g->n].start_us = cue->start_us;
	g->cues[g->n].end_us = cue->end_us;
	snprintf(g->cues[g->n].text, sizeof(g->cues[0].text), "%s", cue->text);
	g->n_words += cue->n_words;
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
			assert_in_range(chars, 0, LVX_CUE_LINE_CHARS);
		}
		assert_in_range(lines, 1, 2);
		assert_true(g->cues[i].end_us - g->cues[i].start_us <= LVX_CUE_MAX_US);
		assert_true(g->cues[i].end_us - g->cues[i].start_us >= LVX_CUE_MIN_US);
		if (i + 1 < g->n)
			assert_true(g->cues[i].end_us + LVX_CUE_GAP_US <= g->cues[i + 1].start_us);
	}
}

static void test_sentences(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	lvx_cues_word(c, "Good", 1 * S, 1200 * MS);
	lvx_cues_word(c, "day.", 1200 * MS, 1500 * MS);
	lvx_cues_break(c);
	lvx_cues_word(c, "Now", 4 * S, 4200 * MS);
	lvx_cues_word(c, "the", 4200 * MS, 4300 * MS);
	lvx_cues_word(c, "news.", 4300 * MS, 6 * S);
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	assert_int_equal(g.n, 2);
	assert_string_equal(g.cues[0].text, "Good day.");
	assert_string_equal(g.cues[1].text, "Now the news.");
	assert_int_equal(g.cues[0].start_us, 1 * S);
	assert_int_equal(
		g.cues[0].end_us, 1 * S + LVX_CUE_MIN_US); /* held longer than it was said */
	assert_int_equal(g.cues[1].end_us, 6 * S);
	check_rules(&g);
}

static void test_flash_goes_on(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	lvx_cues_word(c, "Yes.", 0, 300 * MS);
	lvx_cues_break(c);
	lvx_cues_word(c, "No.", 400 * MS, 700 * MS);
	lvx_cues_break(c);
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	assert_int_equal(g.n, 1);
	assert_string_equal(g.cues[0].text, "Yes. No.");
	check_rules(&g);
}

static void test_lines(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	/* 300 words of 2 to 11 characters, some of two bytes, a sentence end here and there */
	for (int i = 0; i < 300; i++) {
		char word[32] = "";
		for (int k = 0; k < 2 + i * 7 % 10; k++)
			strcat(word, k % 3 == 2 ? "ö" : "n");
		lvx_cues_word(c, word, (int64_t)i * 330 * MS, (int64_t)i * 330 * MS + 300 * MS);
		if (i % 11 == 10)
			lvx_cues_break(c);
	}
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	assert_true(g.n > 20);
	check_rules(&g);
}

/* At a speaker's pace, a sentence end after a full stop. */
static void speak(struct lvx_cues *c, const char *text)
{
	int64_t us = 0;
	while (*text) {
		char word[64];
		size_t len = strcspn(text, " ");
		memcpy(word, text, len);
		word[len] = '\0';
		int64_t took_us = (int64_t)len * 60000 + 40000;
		lvx_cues_word(c, word, us, us + took_us);
		us += took_us + 20 * MS;
		if (word[len - 1] == '.') {
			lvx_cues_break(c);
			us += 300 * MS;
		}
		text += len + (text[len] == ' ');
	}
}

/* The page's cues.js is held to the same table: tests/page/unit.test.mjs. */
static void test_phrases(void **state)
{
	(void)state;
	json_error_t error;
	json_t *table = json_load_file(LVX_CUES_TABLE, 0, &error), *one;
	size_t i;
	assert_non_null(table);
	assert_true(json_array_size(table) > 10);
	json_array_foreach(table, i, one)
	{
		struct got g = {0};
		const char *text = json_string_value(json_object_get(one, "text"));
		const json_t *cues = json_object_get(one, "cues");
		struct lvx_cues *c = lvx_cues_create(take, &g);
		lvx_cues_set_line(c, (int)json_integer_value(json_object_get(one, "line")));
		speak(c, text);
		lvx_cues_finish(c);
		lvx_cues_destroy(c);
		int n_words = 1;
		for (const char *p = text; *p; p++)
			n_words += *p == ' ';
		for (int k = 0; k < g.n; k++) {
			const char *want = json_string_value(json_array_get(cues, (size_t)k));
			assert_string_equal(g.cues[k].text, want ? want : "");
		}
		assert_int_equal(g.n, json_array_size(cues));
		assert_int_equal(g.n_words, n_words);
		check_rules(&g);
	}
	json_decref(table);
}

static void test_times_never_run_back(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	lvx_cues_word(c, "one", 2 * S, 1 * S);
	lvx_cues_word(c, "two", 1 * S, 500 * MS);
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.cues[0].start_us, 2 * S);
	assert_true(g.cues[0].end_us > g.cues[0].start_us);
}

static void test_nothing(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	lvx_cues_break(c);
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	lvx_cues_destroy(NULL);
	assert_int_equal(g.n, 0);
}

/* A cue comes as soon as the next has begun, not when that is full too. */
static void test_not_held_long(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	lvx_cues_word(c, "Good", 1 * S, 1200 * MS);
	lvx_cues_word(c, "day.", 1200 * MS, 1500 * MS);
	lvx_cues_break(c);
	assert_int_equal(g.n, 0);
	lvx_cues_word(c, "Now", 2 * S, 2200 * MS);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.cues[0].end_us, 1 * S + LVX_CUE_MIN_US);
	lvx_cues_destroy(c);
}

/* In a silence time alone makes a cue final; what comes of it is the same. */
static void test_silence(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	assert_false(lvx_cues_pending(c));
	lvx_cues_word(c, "Good", 1 * S, 1200 * MS);
	lvx_cues_word(c, "day", 1200 * MS, 1500 * MS);
	lvx_cues_time(c, 2400 * MS); /* "day" may go on for a second */
	lvx_cues_word(c, "all.", 2400 * MS, 2500 * MS);
	lvx_cues_break(c);
	lvx_cues_time(c, 2400 * MS);
	assert_int_equal(g.n, 0);
	assert_true(lvx_cues_pending(c));
	lvx_cues_time(c, 2600 * MS);
	assert_int_equal(g.n, 1);
	assert_false(lvx_cues_pending(c));
	assert_string_equal(g.cues[0].text, "Good day all.");
	assert_int_equal(g.cues[0].end_us, 2500 * MS);
	/* One that comes too late does not lie over what was handed out. */
	lvx_cues_word(c, "Late.", 2 * S, 2100 * MS);
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	assert_int_equal(g.n, 2);
	check_rules(&g);
}

static void test_text(void **state)
{
	struct lvx_text t = {0};
	const struct lvx_cue cue = {3723004567, 3725999999, "R&D <ok>\n--> x", 4};
	(void)state;
	lvx_cue_srt(&t, 12, &cue);
	assert_string_equal(t.data, "12\n01:02:03,004 --> 01:02:05,999\nR&D <ok>\n--> x\n\n");
	lvx_text_clear(&t);
	lvx_cue_vtt(&t, &cue);
	assert_string_equal(
		t.data, "01:02:03.004 --> 01:02:05.999\nR&amp;D &lt;ok&gt;\n--&gt; x\n\n");
	lvx_text_finish(&t);
}

/* A character a word, as models write Chinese. */
static void say_each(struct lvx_cues *c, const char *text, int64_t start_us, int64_t each_us)
{
	char word[5];
	for (size_t n; *text; text += n, start_us += each_us) {
		n = lvx_utf8_word(text);
		snprintf(word, sizeof(word), "%.*s", (int)n, text);
		lvx_cues_word(c, word, start_us, start_us + each_us);
	}
}

static void test_chinese(void **state)
{
	struct got g = {0};
	struct lvx_cues *c = lvx_cues_create(take, &g);
	(void)state;
	/* 24 characters are two lines, though 48 columns; a comma does not begin the second. */
	say_each(c, "\u6211\u4eec\u4eca\u5929\u65e9\u4e0a\u53bb\u516c\u56ed\u6563\u6b65\uff0c"
		    "\u7136\u540e\u56de\u5bb6\u5403\u4e86\u4e00\u987f\u5348\u996d\u3002",
		1 * S, 200 * MS);
	lvx_cues_break(c);
	lvx_cues_word(c, "Linux", 9 * S, 10 * S);
	lvx_cues_word(c, "\u7cfb", 10 * S, 10200 * MS);
	lvx_cues_word(c, "\u7edf", 10200 * MS, 10400 * MS);
	lvx_cues_break(c);
	/* A sound between two sentences has its cue. */
	lvx_cues_word(c, "[music]", 14 * S, 15 * S);
	lvx_cues_break(c);
	lvx_cues_word(c, "Yes.", 17 * S, 18 * S);
	lvx_cues_finish(c);
	lvx_cues_destroy(c);
	assert_int_equal(g.n, 4);
	assert_string_equal(g.cues[0].text,
		"\u6211\u4eec\u4eca\u5929\u65e9\u4e0a\u53bb\u516c\u56ed\u6563\u6b65\uff0c\n"
		"\u7136\u540e\u56de\u5bb6\u5403\u4e86\u4e00\u987f\u5348\u996d\u3002");
	assert_string_equal(g.cues[1].text, "Linux \u7cfb\u7edf");
	/* To be read at ten of them a second. */
	assert_int_equal(g.cues[1].end_us - g.cues[1].start_us, 10 * S + 400 * MS - 9 * S);
	assert_string_equal(g.cues[2].text, "[music]");
	assert_string_equal(g.cues[3].text, "Yes.");
	check_rules(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_flash_goes_on),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_phrases),
		cmocka_unit_test(test_times_never_run_back),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_not_held_long),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_chinese),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("cues", tests, NULL, NULL);
}
