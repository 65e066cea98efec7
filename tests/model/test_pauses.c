/* SPDX-License-Identifier: Apache-2.0 */
/* Gaps of the timeline, and pauses of those who speak. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_runner.h"

/* ---- gaps ---- */

static int32_t say_at_9(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row, (void)lane;
	return slot == 3 ? HELLO : slot == 12 ? WOR : slot == 13 ? LD : PAD;
}

static void test_gaps(void **state)
{
	(void)state;
	/* Shorter than the delay: as much silence as there is time, the word goes on. */
	static const struct {
		int64_t gap_us;
		uint32_t n_silent, n_resets;
	} cases[] = {{20000, 0, 0}, {200000, 2, 0}, {560000, 7, 0}, {1000000, 9, 0},
		{FAKE_WINDOW * FAKE_SLOT_US, 9, 0}, {FAKE_WINDOW * FAKE_SLOT_US + 1, 9, 1},
		{3600000000, 9, 1}};
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		open_scheduler(2, 100);
		struct fake_row *r = fake_row(1);
		runner->say = say_at_9;
		r->params.prefix = "a";
		fake_slots(r, 10);
		fake_gap(r, cases[c].gap_us);
		fake_slots(r, 14);
		add(r);
		tick_until_idle();
		uint32_t silent = 0, prefixes = 0;
		for (uint32_t i = 0; i < runner->n_steps; i++) {
			silent += runner->steps[i].first[0] == -2.0f;
			prefixes += runner->steps[i].runs[0].kind == LVX_RUN_PREFIX;
		}
		assert_int_equal(silent, cases[c].n_silent);
		assert_int_equal(runner->n_resets, 1 + cases[c].n_resets);
		assert_int_equal(prefixes, 1 + cases[c].n_resets);
		assert_int_equal(fake_count(r, LVX_EVENT_GAP), 1);
		const struct lvx_event *gap = &fake_nth(r, LVX_EVENT_GAP, 0)->e;
		assert_int_equal(gap->start_us, 10 * FAKE_SLOT_US);
		assert_int_equal(gap->end_us, 10 * FAKE_SLOT_US + cases[c].gap_us);
		/* "world" was said in slot 6: before the gap, whatever comes in between. */
		const struct fake_event *world = fake_nth(r, LVX_EVENT_WORD, 1);
		assert_string_equal(world->text, "world");
		assert_int_equal(world->e.end_us, 7 * FAKE_SLOT_US);
		fake_row_free(r);
	}
}

static int32_t say_at_17(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row, (void)lane;
	return slot == 16 ? HELLO : slot == 18 ? STOP : PAD;
}

/* No word begins in time that is missing. */
static void test_gap_times(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_at_17;
	fake_slots(r, 10);
	fake_gap(r, 70000); /* before slot 10; "hello" ends in it */
	fake_slots(r, 20);
	add(r);
	tick_until_idle();
	const struct lvx_event *e = &fake_nth(r, LVX_EVENT_WORD, 0)->e;
	assert_int_equal(e->start_us, 870000);
	assert_int_equal(e->end_us, 950000);
	/* A gap before the first slot is told, and nothing else. */
	struct fake_row *late = fake_row(1);
	fake_gap(late, 500000);
	add(late);
	tick_until_idle();
	assert_int_equal(late->n_events, 1);
	assert_int_equal(late->events[0].e.kind, LVX_EVENT_GAP);
	fake_row_free(late);
	fake_row_free(r);
}

/* ---- utterances ---- */

static int32_t say_no_stop(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	return lane == DESCRIPTION ? PAD : slot == 12 + lane ? HELLO : PAD;
}

static void act_utterance(uint32_t row, int64_t slot, float *p)
{
	(void)row;
	p[0] = slot < 7 ? 0.9f : 0.05f;
	p[1] = slot >= 11 && slot < 16 ? 0.9f : 0.05f;
	p[2] = slot == 2 ? 0.9f : 0.0f;
}

static void test_pause(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(7);
	r->params.translate_to = "de";
	runner->say = say_no_stop;
	runner->act = act_utterance;
	fake_slots(r, 60);
	add(r);
	tick_until_idle();
	assert_string_equal(fake_words(r, CAPTION), "hello|");
	assert_string_equal(fake_words(r, TRANSLATION), "hello|");
	assert_string_equal(fake_words(r, DESCRIPTION), "");
	/* Speech on, new speaker, speech off, utterance end, and an end of each lane's segment. */
	assert_int_equal(fake_count(r, LVX_EVENT_ACTIVITY), 6);
	assert_true(fake_nth(r, LVX_EVENT_ACTIVITY, 0)->e.speech);
	assert_int_equal(fake_nth(r, LVX_EVENT_ACTIVITY, 0)->e.end_us, 2 * FAKE_SLOT_US);
	assert_true(fake_nth(r, LVX_EVENT_ACTIVITY, 1)->e.speaker_change);
	assert_false(fake_nth(r, LVX_EVENT_ACTIVITY, 2)->e.speech);
	assert_true(fake_nth(r, LVX_EVENT_ACTIVITY, 3)->e.utterance_end);
	assert_false(fake_nth(r, LVX_EVENT_ACTIVITY, 3)->e.segment_end);
	assert_int_equal(fake_nth(r, LVX_EVENT_ACTIVITY, 4)->e.lane, CAPTION);
	assert_int_equal(fake_nth(r, LVX_EVENT_ACTIVITY, 4)->e.end_us, 17 * FAKE_SLOT_US);
	assert_int_equal(fake_nth(r, LVX_EVENT_ACTIVITY, 5)->e.lane, TRANSLATION);
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "hello|");
	fake_row_free(r);
}

/* An activity head that never says anything: a second of silence does it. */
static void test_silent_head(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_no_stop;
	fake_slots(r, 26);
	add(r);
	tick_until_idle();
	assert_string_equal(fake_words(r, CAPTION), "hello|");
	fake_row_free(r);
}

/* The pause after a sentence does not cut the next one, whose first word stands alone for long. */
static int32_t say_sentences(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row, (void)lane;
	return slot == 12 ? STOP : slot == 14 ? HELLO : slot == 22 ? WOR : slot == 23 ? LD : PAD;
}

static void act_pause(uint32_t row, int64_t slot, float *p)
{
	(void)row;
	p[0] = slot >= 7 && slot < 10 ? 0.05f : 0.9f;
	p[1] = slot >= 11 && slot < 16 ? 0.9f : 0.05f;
}

static void test_next_sentence(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_sentences;
	runner->act = act_pause;
	fake_slots(r, 40);
	add(r);
	tick_until_idle();
	assert_string_equal(fake_words(r, CAPTION), "done.| hello world");
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "done.| hello world|");
	fake_row_free(r);
}

/* One voice until slot 7, another from 8 on, which is noticed in slot 8; words come 6 slots later. */
static int32_t say_voices(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	if (lane != CAPTION)
		return slot == 20 ? HELLO : PAD;
	return slot == 12 || slot == 13 ? HELLO : slot == 16 ? WOR : slot == 17 ? LD : slot == 30 ? STOP : PAD;
}

static void act_voices(uint32_t row, int64_t slot, float *p)
{
	(void)row;
	p[0] = 0.9f;
	p[2] = slot == 8 || slot == 40 ? 0.8f : 0.05f;
}

static void test_voices(void **state)
{
	(void)state;
	static const struct {
		bool marks;
		float on;
		const char *said;
	} cases[] = {
		{true, 0.5f, "hello hello| >> world done.|"},
		{false, 0.5f, "hello hello world done.|"}, /* the model is not one that knows */
		{true, 0.85f, "hello hello world done.|"}, /* not sure enough */
		{true, 2.0f, "hello hello world done.|"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		open_scheduler(2, 100);
		struct fake_row *r = fake_row(1 << CAPTION | 1 << DESCRIPTION);
		model->config.marks_speakers = cases[i].marks;
		model->config.activity_levels[LVX_SPEAKER_CHANGE].on = cases[i].on;
		runner->say = say_voices;
		runner->act = act_voices;
		/* The change in slot 40 is followed by nothing for over 3 s. */
		fake_slots(r, 90);
		add(r);
		tick_until_idle();
		assert_string_equal(fake_words(r, CAPTION), cases[i].said);
		assert_string_equal(fake_words(r, DESCRIPTION), "hello");
		uint32_t told = 0;
		for (uint32_t k = 0; k < r->n_events; k++)
			told += r->events[k].e.kind == LVX_EVENT_ACTIVITY && r->events[k].e.speaker_change;
		assert_int_equal(told, cases[i].on < 0.8f ? 2 : 0);
		if (i == 0) {
			const struct lvx_event *mark = &fake_nth(r, LVX_EVENT_WORD, 2)->e;
			assert_true(mark->start_us == mark->end_us);
			assert_int_equal(mark->end_us, fake_nth(r, LVX_EVENT_WORD, 3)->e.start_us);
		}
		fake_row_free(r);
	}
}

/* "[a]", a sound's tag, when the model is not sure of it. */
static int32_t say_tag(uint32_t row, int64_t slot, uint32_t lane)
{
	static const int32_t tag[] = {BYTE('['), A_SINGLE, BYTE(']'), END_MARK};
	(void)row, (void)lane;
	return slot >= 8 && slot < 12 ? tag[slot - 8] : slot == 14 ? HELLO : PAD;
}

static void test_tags(void **state)
{
	(void)state;
	static const struct {
		float wanted, logprob;
		const char *said;
	} cases[] = {{0, -2.0f, "[a]| hello|"}, {0.5f, -2.0f, "hello|"}, {0.5f, -0.1f, "[a]| hello|"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		open_scheduler(2, 100);
		struct fake_row *r = fake_row(1);
		model->config.tag_confidence = cases[i].wanted;
		runner->say = say_tag;
		runner->logprob = cases[i].logprob;
		fake_slots(r, 40);
		add(r);
		finish(r);
		assert_string_equal(fake_words(r, CAPTION), cases[i].said);
		fake_row_free(r);
	}
}

/* PAD says nothing, even where the tokenizer has a text for it. */
static void test_loud_pad(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	model->config.pad_token = A_SINGLE;
	fake_slots(r, 2);
	add(r);
	tick_until_idle();
	assert_int_equal(runner->steps[0].fed[0][0], A_SINGLE);
	finish(r);
	assert_int_equal(fake_count(r, LVX_EVENT_WORD), 0);
	fake_row_free(r);
}

/* ---- a row that has run for long begins anew in a pause ---- */

enum { ANEW = 30 };

/* Positions: speech until slot 34, off in slot 37; the tail of silence is 38 to 46, then position 0 again. */
static void act_long(uint32_t row, int64_t slot, float *p)
{
	(void)row;
	p[0] = slot < 35 ? 0.9f : 0.05f;
}

static int32_t say_long(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	if (lane == DESCRIPTION)
		return PAD;
	return slot == 10 ? HELLO : slot == 40 ? STOP : PAD;
}

static uint32_t count_slots(uint32_t row, float first)
{
	uint32_t n = 0;
	for (uint32_t k = 0; k < runner->n_steps; k++)
		for (uint32_t i = 0; i < runner->steps[k].n; i++)
			n += runner->steps[k].runs[i].row == row && runner->steps[k].first[i] == first &&
			     runner->steps[k].runs[i].kind == LVX_RUN_SLOT;
	return n;
}

static uint32_t count_prefixes(void)
{
	uint32_t n = 0;
	for (uint32_t k = 0; k < runner->n_steps; k++)
		for (uint32_t i = 0; i < runner->steps[k].n; i++)
			n += runner->steps[k].runs[i].kind == LVX_RUN_PREFIX;
	return n;
}

static void test_anew(void **state)
{
	(void)state;
	static const struct {
		uint32_t after, lanes, n_resets, n_silent;
		const char *said;
	} cases[] = {
		{ANEW, 1 << CAPTION, 1, 9, "hello done.| hello"},
		{ANEW, 1 << CAPTION | 1 << TRANSLATION, 1, 9, "hello done.| hello"},
		{0, 1 << CAPTION, 0, 0, "hello done.|"},
		{39, 1 << CAPTION, 1, 9, "hello done.|"},
		{60, 1 << CAPTION, 0, 0, "hello done.|"},
		{ANEW, 1 << CAPTION | 1 << DESCRIPTION, 1, 9, "hello done.| hello"},
	};
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		open_scheduler(2, 100);
		struct fake_row *r = fake_row(cases[c].lanes);
		model->config.anew_slots = cases[c].after;
		runner->say = say_long;
		runner->act = act_long;
		r->params.translate_to = "de";
		r->params.prefix = "a";
		fake_slots(r, 49);
		add(r);
		tick_until_idle();
		/* Nothing is lost, nothing comes twice, and on the timeline nothing has changed. */
		assert_string_equal(fake_words(r, CAPTION), cases[c].said);
		if (cases[c].lanes & 1 << TRANSLATION)
			assert_string_equal(fake_words(r, TRANSLATION), cases[c].said);
		assert_int_equal(runner->n_resets, 1 + cases[c].n_resets);
		assert_int_equal(count_prefixes(), runner->n_resets + (cases[c].n_resets ? 0 : 1));
		assert_int_equal(count_slots(r->index, -2.0f), cases[c].n_silent);
		assert_int_equal(count_slots(r->index, 7.0f), 49);
		assert_int_equal(fake_count(r, LVX_EVENT_GAP), 0);
		uint32_t turns = 0;
		for (uint32_t i = 0; i < r->n_events; i++) {
			if (r->events[i].e.kind == LVX_EVENT_WORD && strcmp(r->events[i].text, "done.") == 0)
				assert_int_equal(r->events[i].e.end_us, 35 * FAKE_SLOT_US);
			turns += r->events[i].e.kind == LVX_EVENT_ACTIVITY && !r->events[i].e.segment_end &&
				 !r->events[i].e.utterance_end;
		}
		/* Speech on, off; on again, because the head here begins anew, too. */
		assert_int_equal(turns, cases[c].n_resets ? 3 : 2);
		lvx_scheduler_remove(sched, r->index);
		fake_row_free(r);
	}
}

/* A sentence at once, and one later. */
static int32_t say_scene(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	if (lane != DESCRIPTION)
		return PAD;
	return slot == 8 || slot == 27 ? HELLO : slot == 9 || slot == 28 ? STOP : PAD;
}

/* What the row says again of the scene that is still on, because it began anew, is not given out. */
static void test_retold(void **state)
{
	(void)state;
	enum { NO, SAME, OTHER };
	static const struct {
		int before, first, second;
		const char *said;
	} cases[] = {
		{OTHER, SAME, SAME, "hello done.| hello done.| hello done.|"},
		{OTHER, SAME, OTHER, "hello done.| hello done.| hello done.|"},
		{OTHER, SAME, NO, "hello done.| hello done.|"},
		{OTHER, OTHER, NO, "hello done.| hello done.| hello done.| hello done.|"},
		{NO, SAME, SAME, "hello done.| hello done.| hello done.| hello done.|"},
	};
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		open_scheduler(2, 100);
		struct fake_row *r = fake_row(1 << CAPTION | 1 << DESCRIPTION);
		model->config.anew_slots = ANEW;
		runner->say = say_scene;
		runner->act = act_long;
		void (*const add_picture[])(struct fake_row *) = {[SAME] = fake_picture, [OTHER] = fake_scene};
		if (cases[c].before)
			add_picture[cases[c].before](r);
		fake_slots(r, 39); /* and anew before the last */
		add_picture[cases[c].first](r);
		fake_slots(r, 15);
		if (cases[c].second)
			add_picture[cases[c].second](r);
		fake_slots(r, 18);
		add(r);
		tick_until_idle();
		assert_int_equal(runner->n_resets, 2);
		assert_int_equal(runner->next_slot[r->index], 34);
		assert_string_equal(fake_words(r, DESCRIPTION), cases[c].said);
		lvx_scheduler_remove(sched, r->index);
		fake_row_free(r);
	}
}

/* Of a picture before slot ANEW. */
static int32_t say_late(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	slot -= ANEW + FAKE_DELAY;
	return lane != DESCRIPTION ? PAD : slot == 0 ? HELLO : slot == 1 ? STOP : PAD;
}

/* Where it has been quiet for long, all has been said: the row hears no silence of ours. */
static void test_anew_in_silence(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	model->config.anew_slots = ANEW;
	fake_slots(r, 3 * ANEW + 1);
	add(r);
	tick_until_idle();
	assert_int_equal(runner->n_resets, 1 + 3);
	assert_int_equal(count_slots(r->index, 7.0f), 3 * ANEW + 1);
	assert_int_equal(count_slots(r->index, -2.0f), 0);
	assert_int_equal(runner->next_slot[r->index], 1);
	lvx_scheduler_remove(sched, r->index);
	fake_row_free(r);

	/* but what is to be told of a picture that has just come, is told first */
	open_scheduler(2, 100);
	r = fake_row(1 << CAPTION | 1 << DESCRIPTION);
	model->config.anew_slots = ANEW;
	runner->say = say_late;
	fake_slots(r, ANEW);
	fake_scene(r);
	fake_slots(r, 2);
	add(r);
	tick_until_idle();
	assert_int_equal(runner->n_resets, 2);
	assert_int_equal(count_slots(r->index, -2.0f), FAKE_DELAY + 1 + 3 + 1);
	assert_string_equal(fake_words(r, DESCRIPTION), "hello done.|");
	fake_row_free(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_before, fake_after)
	const struct CMUnitTest tests[] = {
		TEST(test_gaps),
		TEST(test_gap_times),
		TEST(test_pause),
		TEST(test_silent_head),
		TEST(test_next_sentence),
		TEST(test_voices),
		TEST(test_tags),
		TEST(test_loud_pad),
		TEST(test_anew),
		TEST(test_retold),
		TEST(test_anew_in_silence),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
