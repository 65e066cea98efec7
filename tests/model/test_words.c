/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens to words, and the activity head's probabilities to events. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_runner.h"
#include "model/activity.h"
#include "model/words.h"

#include <math.h>

static struct lvx_words words;
static char said[65536];
static struct lvx_word last;
static uint32_t n_said;

static void on_word(void *user, const struct lvx_word *w)
{
	(void)user;
	assert_true(strlen(w->text) > 0 && strlen(w->text) <= 3 * LVX_WORD_MAX_BYTES);
	strcat(said, w->text);
	strcat(said, " ");
	last = *w;
	n_said++;
}

static void begin(void)
{
	lvx_words_init(&words);
	said[0] = '\0';
	n_said = 0;
}

static void token(int32_t id, float logprob, int64_t end_us)
{
	lvx_words_token(&words, model->tokenizer, id, logprob, end_us, on_word, NULL);
}

static void tokens(const int32_t *ids, size_t n)
{
	begin();
	for (size_t i = 0; i < n; i++)
		token(ids[i], 0, (int64_t)i);
}
#define TOKENS(...)                                                                                \
	tokens((const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4)

static void test_pieces(void **state)
{
	(void)state;
	TOKENS(HELLO, WOR, LD, PAD, A_SINGLE, PAD, END_MARK, END_MARK);
	assert_string_equal(said, "hello world a ");
	TOKENS(END_MARK, PAD, END_MARK);
	assert_string_equal(said, "");
	begin();
	token(WOR, logf(0.5f), 100);
	assert_int_equal(n_said, 0);
	token(LD, logf(0.125f), 180);
	assert_int_equal(last.end_us, 100); /* of its first token */
	assert_int_equal(last.n_letters, 5);
	assert_true(fabsf(last.confidence - 0.25f) < 1e-5f);
	/* Nonsense is not passed on. */
	token(HELLO, 3.0f, 0);
	assert_true(last.confidence == 1.0f);
	token(HELLO, NAN, 0);
	assert_true(last.confidence == 0.0f);
	token(HELLO, -INFINITY, 0);
	assert_true(last.confidence == 0.0f);
	token(HELLO, 0, 0);
	assert_true(last.confidence == 1.0f);
	token(-5, 0, 0);
	token(INT32_MAX, 0, 0);
	token(0, 0, 0);
	assert_int_equal(n_said, 5);
}

static void test_bytes(void **state)
{
	(void)state;
	TOKENS(BYTE('f'), BYTE(0xc3), BYTE(0xa9), END_MARK);
	assert_string_equal(said, "f\u00e9 ");
	assert_int_equal(last.n_letters, 2);
	TOKENS(BYTE(0xf0), BYTE(0x9f), BYTE(0x98), BYTE(0x80), END_MARK);
	assert_string_equal(said, "\xf0\x9f\x98\x80 ");
	TOKENS(BYTE(0xff), A_SINGLE, BYTE(0xe2), BYTE('('), BYTE(0xa9), END_MARK);
	assert_string_equal(said, "\ufffda\ufffd(\ufffd ");
	TOKENS(A_SINGLE, BYTE(0xe2), BYTE(0x82), END_MARK); /* breaks off: one mark */
	assert_string_equal(said, "a\ufffd ");
	TOKENS(BYTE(0xed), BYTE(0xa0), BYTE(0x80), END_MARK); /* a surrogate */
	assert_string_equal(said, "\ufffd\ufffd\ufffd ");
	TOKENS(BYTE(0xc0), BYTE(0x80), END_MARK);
	assert_string_equal(said, "\ufffd\ufffd ");
	/* Nothing ends a C string, no word holds a space. */
	TOKENS(A_SINGLE, BYTE(0), BYTE(7), BYTE(0x7f), A_SINGLE, BYTE(' '), BYTE('\n'), WOR, LD);
	assert_string_equal(said, "aa world ");
	/* The end mark out of bytes. */
	TOKENS(A_SINGLE, BYTE(0xe2), BYTE(0x96), BYTE(0x81), WOR, LD);
	assert_string_equal(said, "a world ");
}

static void test_waiting(void **state)
{
	(void)state;
	begin();
	token(WOR, 0, 40);
	for (int i = 0; i < 12; i++)
		token(PAD, 0, 50);
	assert_int_equal(n_said, 0);
	token(PAD, 0, 50);
	assert_string_equal(said, "wor ");
	assert_int_equal(last.end_us, 40);
	for (int i = 0; i < 100; i++)
		token(PAD, 0, 50);
	assert_int_equal(n_said, 1);
	token(WOR, 0, 60);
	lvx_words_flush(&words, on_word, NULL);
	lvx_words_flush(&words, on_word, NULL);
	assert_string_equal(said, "wor wor ");
	token(WOR, 0, 60);
	lvx_words_drop(&words);
	token(LD, 0, 70);
	assert_string_equal(said, "wor wor ld ");
	assert_int_equal(last.end_us, 70);
}

static void test_babble(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 5000; i++)
		token(A_SINGLE, -1, i);
	lvx_words_flush(&words, on_word, NULL);
	assert_int_equal(n_said, (5000 + LVX_WORD_MAX_BYTES - 1) / LVX_WORD_MAX_BYTES);
	/* Parts break between characters: here each has three bytes, and one stands before. */
	begin();
	token(A_SINGLE, 0, 0);
	for (int i = 0; i < 400; i++) {
		token(BYTE(0xe2), 0, i);
		token(BYTE(0x82), 0, i);
		token(BYTE(0xac), 0, i);
	}
	lvx_words_flush(&words, on_word, NULL);
	assert_null(strstr(said, "\ufffd"));
	assert_true(n_said > 10);
	/* Continuation bytes only. */
	begin();
	for (int i = 0; i < 1000; i++)
		token(BYTE(0x80), 0, i);
	assert_true(n_said >= 10);
}

static void test_sentences(void **state)
{
	(void)state;
	static const char *const yes[] = {"done.", "what?", "no!", "so...", "so\u2026", "\"ok.\"",
		"ok.)", "(ok?)", "gut.\u201c", "ok.\u2019\u201d", "2024.", "3.14.", ".", "!?",
		"5.", "\u3002", "\uff1f", "\uff01\u300d"};
	static const char *const no[] = {"[music]", "\u3001", "done", "Mr.", "Dr.", "(Mrs.", "J.", "U.S.", "e.g.",
		"z.B.", "a,", "x:", "\"", "", "3.14", "bzw."};
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!lvx_word_ends_sentence(yes[i], strlen(yes[i])))
			fail_msg("'%s' ends a sentence", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (lvx_word_ends_sentence(no[i], strlen(no[i])))
			fail_msg("'%s' ends no sentence", no[i]);
}

static struct lvx_activity act;

/* n slots; counts what was told. */
static struct lvx_activity_news feed_act(float speech, float end, float change, int n, int *told)
{
	const float p[] = {speech, end, change};
	struct lvx_activity_news news = {0};
	*told = 0;
	for (int i = 0; i < n; i++) {
		struct lvx_activity_news x = lvx_activity_slot(&act, p);
		*told += x.any;
		news.utterance_end |= x.utterance_end;
		news.speaker_change |= x.speaker_change;
	}
	return news;
}

static void test_activity(void **state)
{
	(void)state;
	int told;
	lvx_activity_init(&act, FAKE_SLOT_US, lvx_activity_usual);
	feed_act(0.9f, 0, 0, 1, &told);
	assert_false(act.speech); /* one slot is not enough */
	feed_act(0.1f, 0, 0, 1, &told);
	feed_act(0.9f, 0, 0, 2, &told);
	assert_true(act.speech && told == 1);
	feed_act(0.5f, 0, 0, 50, &told); /* between the thresholds nothing changes */
	assert_true(act.speech && told == 0);
	feed_act(0.3f, 0, 0, 2, &told);
	assert_true(act.speech && told == 0);
	feed_act(0.3f, 0, 0, 1, &told);
	assert_true(!act.speech && told == 1);
	/* The end of the utterance, once, however long the head says so. */
	struct lvx_activity_news news = feed_act(0.1f, 0.9f, 0, 30, &told);
	assert_true(news.utterance_end && told == 1);
	news = feed_act(0.1f, 0.0f, 0, 30, &told);
	assert_int_equal(told, 0);
	news = feed_act(0.1f, 0.9f, 0, 3, &told); /* nobody spoke: nothing ended */
	assert_int_equal(told, 0);
	/* The head is silent: a second without speech ends the utterance. */
	feed_act(0.9f, 0, 0, 10, &told);
	news = feed_act(0.0f, 0, 0, 13, &told);
	assert_false(news.utterance_end);
	news = feed_act(0.0f, 0, 0, 5, &told);
	assert_true(news.utterance_end && told == 1);
	assert_true(lvx_activity_is_quiet(&act));
	/* A model that has levels of its own, and a head that knows nothing. */
	static const struct lvx_activity_level own[] = {{0.8f, 0.2f}, {0.9f, 0.1f}, {2.0f, 0.0f}};
	struct lvx_activity usual = act;
	lvx_activity_init(&act, FAKE_SLOT_US, own);
	news = feed_act(0.7f, 0.85f, 0.99f, 30, &told);
	assert_true(!act.speech && told == 0);
	news = feed_act(0.9f, 0, 0, 5, &told);
	assert_true(act.speech && told == 1);
	news = feed_act(0.3f, 0.95f, 0.99f, 30, &told);
	assert_true(act.speech && news.utterance_end && !news.speaker_change && told == 1);
	act = usual;
	/* A new speaker: a flutter counts once a second. */
	int n = 0;
	for (int i = 0; i < 13; i++) {
		feed_act(0, 0, i & 1 ? 0.9f : 0.1f, 1, &told);
		n += told;
	}
	assert_int_equal(n, 1);
	feed_act(NAN, NAN, NAN, 40, &told);
	assert_int_equal(told, 0);
}

static int set_up(void **state)
{
	(void)state;
	model = fake_model(true);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_model_free(model);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_babble),
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_activity),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
