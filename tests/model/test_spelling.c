/* SPDX-License-Identifier: Apache-2.0 */
/* Words that are written another way: alone, and in what a row says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_runner.h"
#include "model/spelling.h"

static struct lvx_spelling *spelling(const char *const *rules)
{
	struct lvx_spelling *s = lvx_spelling_create();
	struct lvx_error err;
	for (; rules[0]; rules += 2)
		if (lvx_spelling_add(s, rules[0], rules[1], &err) != LVX_OK)
			fail_msg("%s", err.msg);
	return s;
}

static char said[4096];

static void on_spelled(void *user, const struct lvx_spelled *w)
{
	(void)user;
	size_t at = strlen(said);
	assert_true(strlen(w->text) <= LVX_SPELLED_BYTES_MAX);
	snprintf(said + at, sizeof(said) - at, "%s%s/%d-%d%s", at ? " " : "", w->text,
		(int)w->start_us, (int)w->end_us, w->segment_end ? "|" : "");
}

/* Word n lies from 10n to 10n + 9; '.' ends a segment, '~' is a pause. */
static const char *spelled(const struct lvx_spelling *s, const char *text)
{
	struct lvx_speller speller = {.rules = s};
	said[0] = '\0';
	int n = 0;
	for (const char *p = text; *p;) {
		char word[600];
		size_t len = strcspn(p, " ");
		memcpy(word, p, len);
		word[len] = '\0';
		p += len + (p[len] == ' ');
		if (strcmp(word, "~") == 0) {
			lvx_speller_flush(&speller, on_spelled, NULL);
			continue;
		}
		lvx_speller_word(&speller,
			&(struct lvx_spelled){.text = word,
				.start_us = 10 * n,
				.end_us = 10 * n + 9,
				.confidence = 1.0f,
				.segment_end = len > 0 && word[len - 1] == '.'},
			on_spelled, NULL);
		n++;
	}
	return said;
}

static void test_rules(void **state)
{
	(void)state;
	static const char *const rules[] = {"lumi vox", "Lumivox", "grey", "gray", "iphone",
		"iPhone", "u s a", "U.S.A.", "new york", "NYC", "new york times",
		"The New York Times", "caf\xc3\xa9", "Caf\xc3\xa9", "c#", "C#",
		"\xe8\xb7\xaf\xe7\xb1\xb3", "\xe5\x8d\xa2\xe7\xb1\xb3\xe6\xb2\x83", NULL};
	static const struct {
		const char *in, *out;
	} cases[] = {
		/* Case and punctuation around do not count, and stay. */
		{"(Lumi VOX), x", "(Lumivox),/0-19 x/20-29"},
		{"GREY grey Grey.", "Gray/0-9 gray/10-19 Gray./20-29|"},
		{"Iphone C#, c", "iPhone/0-9 C#,/10-19 c/20-29"},
		{"CAF\xc3\x89!", "Caf\xc3\xa9!/0-9"},
		/* A word is a whole word; punctuation inside a phrase parts it. */
		{"greyer lumi, vox", "greyer/0-9 lumi,/10-19 vox/20-29"},
		{"greys Lumi's", "greys/0-9 Lumi's/10-19"},
		/* The longest rule; the rest is looked at anew. */
		{"new york times now", "The/0-5 New/5-11 York/11-19 Times/19-29 now/30-39"},
		{"new york grey", "NYC/0-19 gray/20-29"},
		{"new new york ~", "new/0-9 NYC/10-29"},
		{"lumi lumi vox", "lumi/0-9 Lumivox/10-29"},
		/* Nothing waits beyond a pause or a sentence. */
		{"lumi ~ vox", "lumi/0-9 vox/10-19"},
		{"new york. times", "NYC./0-19| times/20-29"},
		{"in the u s a.", "in/0-9 the/10-19 U.S.A./20-49|"},
		/* A Chinese character is a word. */
		{"\xe8\xb7\xaf \xe7\xb1\xb3 x",
			"\xe5\x8d\xa2/0-6 \xe7\xb1\xb3/6-12 \xe6\xb2\x83/12-19 x/20-29"},
	};
	struct lvx_spelling *s = spelling(rules);
	assert_int_equal(lvx_spelling_count(s), 9);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(spelled(s, cases[i].in), cases[i].out);
	lvx_spelling_destroy(s);
	assert_string_equal(spelled(NULL, "lumi vox"), "lumi/0-9 vox/10-19");
}

/* What is long stays what it is. */
static void test_bounds(void **state)
{
	(void)state;
	static const char *const rules[] = {"a", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
		"p q r s t u v w", "1 2 3 4 5 6 7 8", NULL};
	struct lvx_spelling *s = spelling(rules);
	char word[302];
	memset(word, '!', sizeof(word));
	word[301] = '\0';
	static char want[400];
	for (size_t len = 280; len <= 288; len++) {
		word[len - 1] = 'a';
		word[len] = '\0';
		sprintf(want, "%s/0-9", word);
		assert_string_equal(spelled(s, word), want);
		word[len - 1] = word[len] = '!';
	}
	assert_string_equal(spelled(s, "!!!!!!!!!!!!!!!!a"),
		"!!!!!!!!!!!!!!!!bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/0-9");
	assert_string_equal(spelled(s, "!!!!!!!!!!!!!!!!!a"), "!!!!!!!!!!!!!!!!!a/0-9");
	assert_string_equal(spelled(s, "p q r s t u v p q r s t u v w"),
		"p/0-9 q/10-19 r/20-29 s/30-39 t/40-49 u/50-59 v/60-69 1/70-79 2/80-89 3/90-99 "
		"4/100-109 "
		"5/110-119 6/120-129 7/130-139 8/140-149");
	lvx_spelling_destroy(s);
}

/* "hello world hello", then silence. */
static int32_t say(uint32_t row, int64_t slot, uint32_t lane)
{
	static const int32_t tokens[] = {HELLO, PAD, WOR, LD, PAD, PAD, HELLO};
	(void)row;
	return lane == CAPTION && slot >= 6 && slot < 13 ? tokens[slot - 6] : PAD;
}

static void test_in_a_row(void **state)
{
	(void)state;
	static const char *const rules[] = {"hello world", "Hi", "hello there", "Hey", NULL};
	struct lvx_spelling *s = spelling(rules);
	struct fake_row *r = fake_row(1 << CAPTION);
	r->params.spelling = s;
	runner->say = say;
	fake_slots(r, 40);
	add(r);
	tick_until_idle();
	/* The second one waited for a "there" that did not come, not until the end. */
	assert_string_equal(fake_words(r, CAPTION), "Hi hello|");
	const struct fake_event *first = fake_nth(r, LVX_EVENT_WORD, 0),
				*second = fake_nth(r, LVX_EVENT_WORD, 1);
	/* Told with the token that ended it: from the start of the one to the end of the other. */
	assert_int_equal(first->e.heard_us, 10 * FAKE_SLOT_US);
	assert_int_equal(first->e.end_us, 3 * FAKE_SLOT_US);
	assert_int_equal(first->e.start_us, 0);
	assert_int_equal(second->e.end_us, 7 * FAKE_SLOT_US);
	assert_int_equal(second->e.heard_us, (13 + 8) * FAKE_SLOT_US);
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "Hi hello|");
	lvx_scheduler_remove(sched, r->index);
	fake_row_free(r);
	lvx_spelling_destroy(s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fake_before, fake_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_bounds),
		TEST(test_in_a_row),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
