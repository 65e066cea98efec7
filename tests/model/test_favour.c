/* SPDX-License-Identifier: Apache-2.0 */
/* Words that are expected: which tokens are favoured when, alone and through the scheduler. */
#include "fake_runner.h"
#include "model/favour.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int32_t spelled[32];
static size_t n_spelled;

static void spell(const char *word)
{
	n_spelled = 32;
	assert_int_equal(lvx_tokenizer_encode(model->tokenizer, word, spelled, &n_spelled), LVX_OK);
}

static bool has(const struct lvx_favour *f, int32_t token)
{
	uint32_t n;
	float by;
	const int32_t *tokens = lvx_favour_tokens(f, &n, &by);
	bool found = false;
	for (uint32_t i = 0; i < n; i++)
		found |= tokens[i] == token;
	return found;
}

static uint32_t count(const struct lvx_favour *f)
{
	uint32_t n;
	float by;
	lvx_favour_tokens(f, &n, &by);
	return n;
}

static float by(const struct lvx_favour *f)
{
	uint32_t n;
	float v;
	lvx_favour_tokens(f, &n, &v);
	return v;
}

static struct lvx_favour *favour(const char *words, uint32_t want)
{
	struct lvx_favour *f;
	struct lvx_error err;
	uint32_t n;
	assert_int_equal(lvx_favour_create(&f, model->tokenizer, words, &n, &err), LVX_OK);
	assert_int_equal(n, want);
	return f;
}

/* Token by token, whatever is said between words; a wrong token ends it until the next word. */
static void test_walk(void **state)
{
	(void)state;
	struct lvx_favour *f = favour(" hello\tworlds\nworld ", 3);
	spell("worlds");
	int32_t first = spelled[0];
	assert_true(n_spelled > 2);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < n_spelled; i++) {
			assert_true(has(f, spelled[i]));
			assert_true(by(f) == (i ? LVX_FAVOUR_NEXT : LVX_FAVOUR_FIRST));
			lvx_favour_took(f, PAD, PAD);
			assert_true(has(f, spelled[i]));
			lvx_favour_took(f, spelled[i], PAD);
		}
		assert_true(has(f, first));
		lvx_favour_took(f, HELLO, PAD); /* a whole word */
		assert_true(has(f, first));
	}
	/* One that is not expected. */
	lvx_favour_took(f, BYTE('q'), PAD);
	assert_int_equal(count(f), 0);
	lvx_favour_took(f, first, PAD);
	assert_int_equal(count(f), 0);
	lvx_favour_took(f, END_MARK, PAD);
	assert_true(has(f, first));
	/* Begun, and begun anew. */
	lvx_favour_took(f, first, PAD);
	lvx_favour_restart(f);
	assert_true(has(f, first));
	lvx_favour_destroy(f);
}

/* What may follow a word in a sentence does not stop it. */
static void test_punctuation(void **state)
{
	(void)state;
	static const char *const after[] = {"zz", "zz,", "zz.", "zz?", "zz's"};
	struct lvx_favour *f = favour("(zz), ...", 1);
	for (size_t k = 0; k < sizeof(after) / sizeof(after[0]); k++) {
		spell(after[k]);
		for (size_t i = 0; i < n_spelled; i++) {
			assert_true(has(f, spelled[i]));
			lvx_favour_took(f, spelled[i], PAD);
		}
	}
	lvx_favour_destroy(f);
}

static void test_limits(void **state)
{
	(void)state;
	enum { N = 1500 };
	char *words = malloc(N * 8 + 400), *p = words;
	assert_null(favour("", 0));
	assert_null(favour(" \t\n", 0));
	for (int i = 0; i < N; i++)
		p += sprintf(p, "%c%c%03d ", 33 + i % 90, 33 + i / 90, i % 1000);
	struct lvx_favour *f = favour(words, LVX_FAVOUR_WORDS_MAX);
	assert_in_range(count(f), 1, LVX_FAVOURED_MAX);
	lvx_favour_destroy(f);
	/* Too long to be a word: left out, the others stay. */
	memset(words, 'x', 300);
	strcpy(words + 300, " hello");
	f = favour(words, 1);
	assert_true(has(f, HELLO));
	lvx_favour_destroy(f);
	free(words);
}

static int32_t said[8];

static int32_t say(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	return lane == CAPTION && slot < 8 ? said[slot] : PAD;
}

/* The row's slots carry what is favoured; a row without words carries nothing. */
static void test_rows(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1), *plain = fake_row(1);
	spell("worlds");
	int32_t second = spelled[1];
	said[0] = said[2] = PAD;
	said[1] = spelled[0];
	for (int i = 3; i < 8; i++)
		said[i] = i == 3 ? END_MARK : PAD;
	runner->say = say;
	r->params.favour = "worlds";
	fake_slots(r, 6);
	fake_slots(plain, 6);
	add(r);
	add(plain);
	for (int i = 0; i < 5; i++) {
		tick();
		const struct fake_step *s = &runner->steps[i];
		assert_int_equal(s->n, 2);
		assert_int_equal(s->runs[1].n_favoured, 0);
		assert_int_equal(s->runs[0].n_favoured > 0, 1);
		/* At slots 2 and 3 the word's first token has been said. */
		assert_int_equal(s->favoured[0], i == 2 || i == 3 ? second : spelled[0]);
	}
	lvx_scheduler_remove(sched, r->index);
	lvx_scheduler_remove(sched, plain->index);
	fake_row_free(r);
	fake_row_free(plain);
}

static int after(void **state)
{
	runner->say = NULL;
	return fake_after(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_before, after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_walk),
		TEST(test_punctuation),
		TEST(test_limits),
		TEST(test_rows),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
