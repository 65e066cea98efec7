/* SPDX-License-Identifier: Apache-2.0 */
/* When which description is spoken: the plan, the shorter wordings, and where somebody speaks. */
#include "daemon/describe/plan.h"
#include "daemon/describe/speech.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 1000000, BYTE_US = 60000 }; /* the voice of the tests: so long for each byte */

#define TEXT "A man walks along the beach, while two dogs play behind him."

static int64_t spoken_us(const struct lvx_plan_action *a)
{
	return (int64_t)((double)(BYTE_US * (int64_t)strlen(a->text)) / a->rate);
}

/* Whatever is to be spoken is, at once; returns the first action that is another. */
static bool next(struct lvx_plan *p, int64_t head_us, int64_t known_us, struct lvx_plan_action *a)
{
	while (lvx_plan_next(p, head_us, known_us, a)) {
		if (a->what != LVX_PLAN_SPEAK)
			return true;
		lvx_plan_spoken(p, a->id, a->variant, spoken_us(a));
	}
	return false;
}

static void test_wordings(void **state)
{
	(void)state;
	char w[LVX_WORDINGS_MAX][LVX_WORDING_BYTES_MAX];
	assert_int_equal(lvx_wordings(w, TEXT, "en"), 2);
	assert_string_equal(w[0], TEXT);
	assert_string_equal(w[1], "A man walks along the beach.");
	assert_int_equal(
		lvx_wordings(w, "One. A dog, two cats; they sleep (all day) here", "de"), 4);
	assert_string_equal(w[1], "One. A dog, two cats; they sleep.");
	assert_string_equal(w[2], "One. A dog, two cats.");
	assert_string_equal(w[3], "One. A dog.");
	/* Only English is cut at English words, nothing is cut to one word. */
	assert_int_equal(lvx_wordings(w, "Ein Mann who with", "de"), 1);
	assert_int_equal(lvx_wordings(w, "A man with a hat who waits", "en-GB"), 3);
	assert_string_equal(w[2], "A man.");
	assert_int_equal(lvx_wordings(w, "Look, a dog", "en"), 1);
	/* Spaces and control characters. */
	assert_int_equal(lvx_wordings(w, " \n\tA\x01\x02 dog \n", "en"), 1);
	assert_string_equal(w[0], "A dog");
	assert_int_equal(lvx_wordings(w, " \n", "en"), 0);
	char longer[2000];
	memset(longer, 'x', sizeof(longer));
	for (size_t i = 7; i < sizeof(longer); i += 8)
		longer[i] = ' ';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(lvx_wordings(w, longer, NULL), 1);
	assert_int_equal(strlen(w[0]) % 8, 7);
}

static void test_into_gap(void **state)
{
	(void)state;
	struct lvx_plan *p = lvx_plan_create(&lvx_plan_usual);
	struct lvx_plan_action a;
	lvx_plan_speech(p, 0, 4 * S);
	lvx_plan_speech(p, 9 * S, 12 * S);
	assert_true(lvx_plan_describe(p, "A dog runs.", "en", 2 * S));
	/* It is spoken before there is a gap, and only once. */
	assert_true(lvx_plan_next(p, 0, 3 * S, &a));
	assert_int_equal(a.what, LVX_PLAN_SPEAK);
	assert_string_equal(a.text, "A dog runs.");
	assert_string_equal(a.language, "en");
	assert_false(lvx_plan_next(p, 0, 3 * S, &a));
	lvx_plan_spoken(p, a.id, a.variant, 700000);
	/* The gap is too short as far as it is known, then long enough. */
	assert_false(lvx_plan_next(p, 0, 5 * S, &a));
	assert_true(lvx_plan_next(p, 0, 6 * S, &a));
	assert_int_equal(a.what, LVX_PLAN_PLACE);
	assert_int_equal(a.start_us, 4 * S + lvx_plan_usual.guard_us);
	assert_int_equal(a.end_us, a.start_us + 700000);
	assert_int_equal(a.seen_us, 2 * S);
	assert_int_equal(lvx_plan_pending(p), 0);
	/* The next keeps away from it, and may not come before it is seen. */
	assert_true(lvx_plan_describe(p, "A cat sits.", "en", 2 * S));
	assert_true(next(p, 0, 9 * S, &a));
	assert_int_equal(
		a.start_us, 4 * S + lvx_plan_usual.guard_us + 700000 + lvx_plan_usual.between_us);
	assert_true(lvx_plan_describe(p, "A bird flies.", "en", 7 * S));
	assert_true(next(p, 0, 9 * S, &a));
	assert_int_equal(a.start_us, 7 * S);
	lvx_plan_destroy(p);
}

/* A gap of so long in the middle of speech; what is said in it? */
static bool in_gap(int64_t gap_us, struct lvx_plan_action *a, char text[LVX_WORDING_BYTES_MAX])
{
	struct lvx_plan *p = lvx_plan_create(&lvx_plan_usual);
	lvx_plan_speech(p, 0, 5 * S);
	lvx_plan_speech(p, 5 * S + gap_us, 60 * S);
	assert_true(lvx_plan_describe(p, TEXT, "en", 4 * S));
	bool placed = false;
	for (int64_t head_us = 0; head_us < 40 * S && !placed; head_us += S / 10) {
		if (next(p, head_us, head_us + 20 * S, a)) {
			placed = a->what == LVX_PLAN_PLACE;
			snprintf(text, LVX_WORDING_BYTES_MAX, "%s", a->text);
			if (!placed)
				break;
		}
	}
	assert_int_equal(lvx_plan_pending(p), 0);
	if (placed) {
		assert_true(a->start_us >= 5 * S + lvx_plan_usual.guard_us);
		assert_true(a->end_us <= 5 * S + gap_us - lvx_plan_usual.guard_us);
	}
	lvx_plan_destroy(p);
	return placed;
}

static void test_shortened(void **state)
{
	(void)state;
	struct lvx_plan_action a;
	char text[LVX_WORDING_BYTES_MAX];
	int64_t whole_us = BYTE_US * (int64_t)strlen(TEXT), guards_us = 2 * lvx_plan_usual.guard_us;
	assert_true(in_gap(whole_us + guards_us, &a, text));
	assert_string_equal(text, TEXT);
	assert_true(a.rate == 1);
	/* A little less: faster, but not more than is allowed. */
	assert_true(in_gap(whole_us + guards_us - 10000, &a, text));
	assert_string_equal(text, TEXT);
	assert_true(a.rate == lvx_plan_usual.fast);
	assert_true(in_gap(
		(int64_t)((double)whole_us / lvx_plan_usual.fast) + guards_us + 10, &a, text));
	assert_string_equal(text, TEXT);
	/* Less: without its clause; then that faster; then nothing. */
	assert_true(in_gap(whole_us / 2 + guards_us, &a, text));
	assert_string_equal(text, "A man walks along the beach.");
	assert_true(a.rate == 1);
	assert_true(in_gap(2100000, &a, text));
	assert_string_equal(text, "A man walks along the beach.");
	assert_true(a.rate == lvx_plan_usual.fast);
	assert_false(in_gap(lvx_plan_usual.least_us - 10000, &a, text));
	assert_int_equal(a.what, LVX_PLAN_DROP);
	assert_string_equal(a.why, "no gap");
}

/* Rather whole, a little later, than cut in the first gap. */
static void test_whole_later(void **state)
{
	(void)state;
	struct lvx_plan *p = lvx_plan_create(&lvx_plan_usual);
	struct lvx_plan_action a;
	lvx_plan_speech(p, 0, 5 * S);
	lvx_plan_speech(p, 8 * S, 9 * S);
	assert_true(lvx_plan_describe(p, TEXT, "en", 4 * S));
	assert_true(next(p, 0, 16 * S, &a));
	assert_int_equal(a.what, LVX_PLAN_PLACE);
	assert_string_equal(a.text, TEXT);
	assert_int_equal(a.start_us, 9 * S + lvx_plan_usual.guard_us);
	lvx_plan_destroy(p);
}

static void test_lifetime(void **state)
{
	(void)state;
	struct lvx_plan *p = lvx_plan_create(&lvx_plan_usual);
	struct lvx_plan_action a;
	lvx_plan_speech(p, 0, 60 * S);
	assert_true(lvx_plan_describe(p, "A dog runs.", "en", 10 * S));
	assert_false(next(p, 12 * S, 20 * S, &a));
	assert_false(next(p, 20 * S - lvx_plan_usual.guard_us, 28 * S, &a));
	assert_true(next(p, 20 * S, 28 * S, &a));
	assert_int_equal(a.what, LVX_PLAN_DROP);
	assert_string_equal(a.text, "A dog runs.");
	/* The voice fails. */
	assert_true(lvx_plan_describe(p, "A cat sits.", "en", 30 * S));
	assert_true(lvx_plan_next(p, 30 * S, 38 * S, &a));
	lvx_plan_spoken(p, a.id, a.variant, -1);
	assert_true(lvx_plan_next(p, 30 * S, 38 * S, &a));
	assert_int_equal(a.what, LVX_PLAN_DROP);
	assert_string_equal(a.why, "no voice");
	/* What nobody asked for changes nothing. */
	lvx_plan_spoken(p, 99, 0, S);
	lvx_plan_spoken(p, a.id, 99, S);
	/* The same again, too soon and later. */
	assert_false(lvx_plan_describe(p, "A cat  sits.", "en", 31 * S));
	assert_true(lvx_plan_describe(p, "A cat sits.", "en", 61 * S));
	/* Too many: the oldest goes. */
	char text[] = "Number 0 is here.";
	for (int i = 0; i < LVX_PLAN_PENDING_MAX - 1; i++) {
		text[7] = (char)('0' + i);
		assert_true(lvx_plan_describe(p, text, "en", 61 * S));
	}
	assert_true(next(p, 58 * S, 59 * S, &a));
	assert_string_equal(a.text, "A cat sits.");
	assert_string_equal(a.why, "others wait");
	assert_false(next(p, 58 * S, 59 * S, &a));
	lvx_plan_destroy(p);
}

static uint64_t seed;

static int64_t dice(int64_t least, int64_t most)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return least + (int64_t)(seed >> 33) % (most - least + 1);
}

/* Whatever comes when: nothing is said over speech, over another, too early or too late, and of
 * all that is told something becomes. */
static void test_any(void **state)
{
	(void)state;
	for (seed = 1; seed < 200; seed++) {
		uint64_t kept_seed = seed;
		struct lvx_plan *p = lvx_plan_create(&lvx_plan_usual);
		struct lvx_plan_action a;
		int64_t starts[400], ends[400], placed_us = INT64_MIN, delay_us = dice(4, 12) * S;
		size_t n = 0, told = 0, n_told = 0, n_out = 0, n_placed = 0, waiting = 0;
		struct lvx_plan_action asked[64];
		char texts[64][LVX_WORDING_BYTES_MAX];
		for (int64_t t = 0; n < 400; n++) {
			starts[n] = t + dice(50000, dice(0, 3) ? 600000 : 9 * S);
			t = ends[n] = starts[n] + dice(80000, 700000);
		}
		for (int64_t now_us = 0; now_us < 120 * S; now_us += 50000) {
			int64_t head_us = now_us - delay_us, known_us = now_us - 1500000;
			for (; told < n && starts[told] < known_us; told++)
				lvx_plan_speech(p, starts[told], ends[told]);
			if (dice(0, 60) == 0) {
				char text[64];
				snprintf(text, sizeof(text), "Thing %d moves%.*s.", (int)n_told,
					(int)dice(0, 40),
					", with a long, and longer, tail of words");
				n_told += lvx_plan_describe(p, text, "en", now_us - 2 * S);
			}
			/* The voice takes its time. */
			while (waiting > 0 && dice(0, 3) == 0) {
				waiting--;
				lvx_plan_spoken(p, asked[waiting].id, asked[waiting].variant,
					spoken_us(&asked[waiting]));
			}
			while (lvx_plan_next(p, head_us, known_us, &a)) {
				if (a.what == LVX_PLAN_SPEAK) {
					assert_true(waiting < 64);
					snprintf(texts[waiting], sizeof(texts[0]), "%s", a.text);
					asked[waiting] = a;
					asked[waiting].text = texts[waiting];
					waiting++;
					continue;
				}
				n_out++;
				if (a.what == LVX_PLAN_DROP)
					continue;
				n_placed++;
				assert_true(a.start_us >= head_us + lvx_plan_usual.guard_us);
				assert_true(a.start_us >= a.seen_us);
				assert_true(a.start_us <= a.seen_us + lvx_plan_usual.lifetime_us);
				assert_true(a.start_us >= placed_us);
				placed_us = a.end_us + lvx_plan_usual.between_us;
				for (size_t i = 0; i < n; i++)
					assert_true(
						a.end_us + lvx_plan_usual.guard_us <= starts[i] ||
						a.start_us - lvx_plan_usual.guard_us >= ends[i]);
			}
		}
		assert_int_equal(n_out + lvx_plan_pending(p), n_told);
		assert_true(n_placed > 0);
		lvx_plan_destroy(p);
		seed = kept_seed;
	}
}

/* ---- where somebody speaks ---- */

struct heard {
	int64_t start_us[64], end_us[64];
	size_t n;
};

static void on_speech(void *user, int64_t start_us, int64_t end_us)
{
	struct heard *h = user;
	assert_true(h->n < 64);
	h->start_us[h->n] = start_us;
	h->end_us[h->n++] = end_us;
}

static bool covers(const struct heard *h, int64_t us)
{
	for (size_t i = 0; i < h->n; i++) {
		if (us >= h->start_us[i] && us < h->end_us[i])
			return true;
	}
	return false;
}

static void sound(struct lvx_speech *s, int64_t start_us, int64_t end_us)
{
	for (int64_t t = start_us; t < end_us; t += 20000)
		lvx_speech_sound(s, t, t + 20000);
}

static void test_speech(void **state)
{
	(void)state;
	struct heard h = {.n = 0};
	struct lvx_speech s = {.fn = on_speech, .user = &h, .captions = true};
	/* Words and the sound around them: one stretch. */
	sound(&s, 1 * S, 4 * S);
	assert_int_equal(lvx_speech_known(&s, 0, 4 * S), 0);
	assert_int_equal(lvx_speech_known(&s, 2 * S, 5 * S), 1 * S);
	lvx_speech_word(&s, 1200000, 1600000);
	lvx_speech_word(&s, 3 * S, 3200000);
	assert_int_equal(lvx_speech_known(&s, 5 * S, 7 * S), 5 * S);
	for (int64_t t = 1 * S; t < 4 * S; t += 100000)
		assert_true(covers(&h, t));
	assert_false(covers(&h, 4100000));
	/* A short cry without words is speech as well. */
	sound(&s, 6 * S, 7 * S);
	assert_int_equal(lvx_speech_known(&s, 9 * S, 9 * S), 9 * S);
	assert_true(covers(&h, 6500000));
	/* A click is not. */
	sound(&s, 8 * S, 8 * S + 60000);
	assert_int_equal(lvx_speech_known(&s, 9500000, 9500000), 9500000);
	assert_false(covers(&h, 8 * S));
	/* Noise that goes on is not; nor does it hold up what is known for longer than that. */
	sound(&s, 10 * S, 20 * S);
	assert_int_equal(lvx_speech_known(&s, 13 * S, 20 * S), 10 * S);
	assert_int_equal(lvx_speech_known(&s, 15 * S, 20 * S), 15 * S);
	assert_false(covers(&h, 11 * S));
	/* A word in it counts; and what follows it counts again until it is too long. */
	lvx_speech_word(&s, 16 * S, 16500000);
	sound(&s, 20 * S, 30 * S);
	assert_int_equal(lvx_speech_known(&s, 18 * S, 30 * S), 16500000);
	assert_int_equal(lvx_speech_known(&s, 25 * S, 30 * S), 25 * S);
	assert_true(covers(&h, 16200000));
	assert_false(covers(&h, 15500000));
	assert_false(covers(&h, 17 * S));
	lvx_speech_known(&s, 60 * S, 60 * S);
	assert_false(covers(&h, 29 * S));
	/* Without captions the sound is all there is. */
	struct heard alone = {.n = 0};
	struct lvx_speech t = {.fn = on_speech, .user = &alone};
	lvx_speech_sound(&t, 10 * S, 20 * S);
	assert_true(covers(&alone, 19 * S));
	assert_int_equal(lvx_speech_known(&t, 0, 21 * S), 21 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wordings),
		cmocka_unit_test(test_into_gap),
		cmocka_unit_test(test_shortened),
		cmocka_unit_test(test_whole_later),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_any),
		cmocka_unit_test(test_speech),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
