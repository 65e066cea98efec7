/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, batches and policy, over a runner that says what it is told to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_runner.h"

/* ---- allocations on the tick path: the linker sends them here ---- */

static unsigned n_allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
	n_allocations += in_tick;
	return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	n_allocations += in_tick;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
	n_allocations += in_tick;
	return __real_realloc(p, n);
}

static int after(void **state)
{
	assert_int_equal(n_allocations, 0);
	return fake_after(state);
}

static const struct lvx_run *step_run(uint32_t step, uint32_t i)
{
	assert_true(step < runner->n_steps && i < runner->steps[step].n);
	return &runner->steps[step].runs[i];
}

/* ---- what is said ---- */

static int32_t say_words(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	if (lane != CAPTION)
		return PAD;
	return slot == 10 ? HELLO : slot == 30 ? WOR : slot == 31 ? LD : slot == 32 ? STOP : PAD;
}

static void act_speech(uint32_t row, int64_t slot, float *p)
{
	(void)row, (void)slot;
	p[0] = 1;
}

static void test_words(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_words;
	runner->act = act_speech;
	runner->logprob = -0.5f;
	fake_slots(r, 28); /* the last words come out of the silence after the end */
	add(r);
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "hello world done.|");
	const struct fake_event *hello = fake_nth(r, LVX_EVENT_WORD, 0);
	/* Its token came in slot 10, so it ended in slot 10 - 5 - 1. */
	assert_int_equal(hello->e.end_us, 5 * FAKE_SLOT_US);
	assert_int_equal(hello->e.start_us, 5 * FAKE_SLOT_US - 5 * 60000);
	assert_int_equal(hello->e.heard_us, 11 * FAKE_SLOT_US);
	assert_true(hello->e.confidence > 0.6f && hello->e.confidence < 0.61f);
	assert_false(hello->e.segment_end);
	const struct fake_event *world = fake_nth(r, LVX_EVENT_WORD, 1);
	assert_int_equal(world->e.end_us, 25 * FAKE_SLOT_US);
	const struct fake_event *done = fake_nth(r, LVX_EVENT_WORD, 2);
	assert_int_equal(done->e.end_us, 27 * FAKE_SLOT_US);
	assert_int_equal(done->e.start_us, world->e.end_us); /* not before the last word's end */
	assert_int_equal(done->e.heard_us, 28 * FAKE_SLOT_US);
	assert_int_equal(fake_count(r, LVX_EVENT_END), 1);
	assert_int_equal(r->events[r->n_events - 1].e.kind, LVX_EVENT_END);
	assert_int_equal(tick(), 0);
	fake_row_free(r);
}

static int32_t say_early(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row, (void)lane;
	return slot < 4 ? HELLO : PAD;
}

/* Words said before anything can have been heard, and words at the very end. */
static void test_times(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(7);
	runner->say = say_early;
	r->params.translate_to = "de";
	fake_slots(r, 3);
	add(r);
	finish(r);
	int64_t last[3] = {0};
	assert_int_equal(fake_count(r, LVX_EVENT_WORD), 12);
	for (uint32_t i = 0; i < 12; i++) {
		const struct lvx_event *e = &fake_nth(r, LVX_EVENT_WORD, i)->e;
		assert_true(e->start_us >= last[e->lane] && e->end_us >= e->start_us);
		assert_true(e->end_us <= 3 * FAKE_SLOT_US);
		last[e->lane] = e->end_us;
	}
	fake_row_free(r);

	/* A queue of words longer than the silence: all of it comes out, none later than the sound.
	 */
	struct fake_row *empty = fake_row(1);
	add(empty);
	finish(empty);
	assert_int_equal(empty->n_events, 1); /* nothing was heard: the end at once */
	assert_int_equal(empty->events[0].e.kind, LVX_EVENT_END);
	fake_row_free(empty);
}

static int32_t say_queue(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	return lane == TRANSLATION && slot >= 8 && slot < 38 ? HELLO : PAD;
}

static void test_tail(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(3);
	r->params.translate_to = "de";
	runner->say = say_queue;
	fake_slots(r, 10);
	add(r);
	finish(r);
	assert_int_equal(fake_count(r, LVX_EVENT_WORD), 30);
	assert_int_equal(runner->n_steps, 38 + 3);
	/* Silence is what the front end makes of zeros: (log10(1e-6) + 2) / 2. */
	assert_true(runner->steps[9].first[0] == 7.0f);
	for (uint32_t i = 10; i < runner->n_steps; i++)
		assert_true(runner->steps[i].first[0] == -2.0f);
	assert_int_equal(r->events[r->n_events - 2].e.segment_end, true);
	fake_row_free(r);
}

/* ---- the policy ---- */

static int32_t say_number(uint32_t row, int64_t slot, uint32_t lane)
{
	return BYTE('a' + (int)((row * 7 + (uint32_t)slot * 3 + lane) % 26));
}

static void test_feedback(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1 << CAPTION | 1 << DESCRIPTION);
	r->params.translate_to = "de";
	runner->say = say_number;
	fake_slots(r, 6);
	add(r);
	tick_until_idle();
	for (uint32_t i = 0; i < 6; i++) {
		const struct fake_step *s = &runner->steps[i];
		assert_int_equal(s->runs[0].want_lanes, 5);
		assert_int_equal(s->fed[0][0], i ? say_number(0, i - 1, 0) : PAD);
		assert_int_equal(s->fed[0][1], PAD);
		assert_int_equal(s->fed[0][2], i ? say_number(0, i - 1, 2) : PAD);
		assert_int_equal(s->runs[0].n_conditions, 1);
		assert_int_equal(s->conditions[0][0], 1); /* style:cased */
	}
	/* The translation joins, the description leaves. Lanes that do not exist are ignored. */
	lvx_scheduler_set_lanes(sched, r->index, 0xfffffff0u | 3);
	fake_slots(r, 2);
	tick_until_idle();
	const struct fake_step *s = &runner->steps[6];
	assert_int_equal(s->runs[0].want_lanes, 3);
	assert_int_equal(s->fed[0][0], say_number(0, 5, 0));
	assert_int_equal(s->fed[0][1], PAD);
	assert_int_equal(s->fed[0][2], PAD);
	assert_int_equal(s->runs[0].n_conditions, 2);
	assert_int_equal(s->conditions[0][1], 2); /* to:de */
	assert_int_equal(runner->steps[7].fed[0][1], say_number(0, 6, 1));
	lvx_scheduler_set_lanes(sched, r->index, 0);
	lvx_scheduler_set_lanes(sched, 99, 1);
	fake_slots(r, 1);
	tick_until_idle();
	assert_int_equal(runner->steps[8].runs[0].want_lanes, 0);
	assert_int_equal(runner->steps[8].runs[0].n_conditions, 1);
	fake_row_free(r);
}

/* Half a word of a lane that leaves is forgotten, and its segment is ended. */
static int32_t say_half(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row, (void)lane;
	return slot == 2 ? HELLO : slot == 3 ? WOR : slot == 20 ? LD : PAD;
}

static void test_lane_leaves(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_half;
	fake_slots(r, 4);
	add(r);
	tick_until_idle();
	lvx_scheduler_set_lanes(sched, r->index, 0);
	assert_int_equal(r->n_events, 1); /* events come inside ticks only */
	fake_slots(r, 10);
	tick_until_idle();
	assert_string_equal(fake_words(r, CAPTION), "hello|");
	lvx_scheduler_set_lanes(sched, r->index, 1);
	fake_slots(r, 10);
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "hello| ld|");
	fake_row_free(r);
}

/* Nobody reads the captions, but what is translated are the captions. */
static void test_translation_alone(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1 << TRANSLATION);
	r->params.translate_to = "de";
	runner->say = say_words;
	fake_slots(r, 40);
	add(r);
	finish(r);
	assert_int_equal(runner->steps[11].runs[0].want_lanes, 1 << CAPTION | 1 << TRANSLATION);
	assert_int_equal(runner->steps[11].fed[0][CAPTION], say_words(0, 10, CAPTION));
	assert_string_equal(fake_words(r, CAPTION), "");
	fake_row_free(r);
}

static void test_no_conditions(void **state)
{
	(void)state;
	fake_model_free(model);
	model = fake_model(false);
	open_scheduler(1, 60);
	struct fake_row *r = fake_row(7);
	r->params.translate_to = "fr";
	fake_slots(r, 1);
	add(r);
	tick();
	assert_int_equal(step_run(0, 0)->n_conditions, 0);
	assert_int_equal(step_run(0, 0)->want_lanes, 7);
	fake_row_free(r);
}

static void test_refusals(void **state)
{
	(void)state;
	struct lvx_error err;
	struct fake_row *r = fake_row(8);
	assert_int_equal(lvx_scheduler_add(sched, &r->params, &r->index, &err), LVX_EINVAL);
	r->params.lanes = 7;
	r->params.translate_to = "xx";
	assert_int_equal(lvx_scheduler_add(sched, &r->params, &r->index, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "row: the model does not translate to 'xx', but to de, fr");
	r->params.translate_to = NULL; /* then there is no translation */
	fake_slots(r, 1);
	add(r);
	tick();
	assert_int_equal(step_run(0, 0)->want_lanes, 5);
	for (uint32_t i = 1; i < FAKE_ROWS; i++)
		add(r);
	assert_int_equal(lvx_scheduler_add(sched, &r->params, &r->index, &err), LVX_ELIMIT);
	lvx_scheduler_remove(sched, 3);
	lvx_scheduler_remove(sched, 99);
	add(r);
	assert_int_equal(r->index, 3);
	fake_row_free(r);
}

static void test_prefix(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	/* Two tokens and three; of the next two one would fit, so that word stays out. As in training,
	 * punctuation around words is no part of them, and alone it is none. */
	r->params.prefix = " (a);\n!? \"\u00e9\" z,\tworld. ";
	fake_slots(r, 2);
	add(r);
	tick_until_idle();
	const struct lvx_run *run = step_run(0, 0);
	assert_int_equal(run->kind, LVX_RUN_PREFIX);
	assert_int_equal(run->n, 5);
	assert_int_equal(run->position, -5);
	assert_int_equal(run->n_conditions, 1);
	assert_int_equal(run->tokens[0], A_SINGLE);
	assert_int_equal(run->tokens[4], END_MARK);
	assert_int_equal(step_run(1, 0)->kind, LVX_RUN_SLOT);
	lvx_scheduler_remove(sched, r->index);
	/* No word fits, and there is none: no prefix. */
	static const char *const none[] = {"hellohello", " \t", ""};
	for (int i = 0; i < 3; i++) {
		r->params.prefix = none[i];
		fake_slots(r, 1);
		add(r);
		tick_until_idle();
		assert_int_equal(step_run(runner->n_steps - 1, 0)->kind, LVX_RUN_SLOT);
		lvx_scheduler_remove(sched, r->index);
	}
	fake_row_free(r);
}

/* Every two windows, before the slot and its picture; after a long gap it comes anew. */
static void test_prefix_moves(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	r->params.prefix = "a";
	fake_slots(r, 2 * FAKE_WINDOW);
	fake_picture(r);
	fake_slots(r, 2 * FAKE_WINDOW + 3);
	fake_gap(r, (FAKE_WINDOW + 1) * FAKE_SLOT_US);
	add(r);
	tick_until_idle();
	static const int64_t at[] = {0, 2 * FAKE_WINDOW, 4 * FAKE_WINDOW, 0};
	uint32_t n = 0;
	for (uint32_t i = 0; i < runner->n_steps; i++) {
		const struct lvx_run *run = step_run(i, 0);
		if (run->kind == LVX_RUN_PICTURE)
			assert_int_equal(step_run(i - 1, 0)->kind, LVX_RUN_PREFIX);
		if (run->kind != LVX_RUN_PREFIX)
			continue;
		assert_in_range(n, 0, 3);
		assert_int_equal(run->position, at[n++] - 2);
		assert_int_equal(run->tokens[0], A_SINGLE);
	}
	assert_int_equal(n, 4);
	lvx_scheduler_remove(sched, r->index);
	fake_row_free(r);
}

static void test_device(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	fake_slots(r, 2);
	add(r);
	tick();
	runner->status = LVX_EDEVICE;
	uint32_t n = 9;
	assert_int_equal(lvx_scheduler_tick(sched, &n), LVX_EDEVICE);
	assert_int_equal(n, 0);
	lvx_scheduler_set_lanes(sched, r->index, 0);
	lvx_scheduler_remove(sched, r->index);
	fake_row_free(r);
}

static int32_t say_babble(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row, (void)slot;
	return lane == CAPTION ? BYTE(0xe2) : A_SINGLE;
}

static void test_babble(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(7);
	r->params.translate_to = "de";
	runner->say = say_babble;
	fake_slots(r, 300);
	add(r);
	finish(r);
	assert_int_equal(
		runner->n_steps, 300 + FAKE_DELAY + 1 + 50); /* the end comes all the same */
	uint32_t n = fake_count(r, LVX_EVENT_WORD);
	assert_in_range(n, 9, 20);
	for (uint32_t i = 0; i < n; i++)
		assert_true(strlen(fake_nth(r, LVX_EVENT_WORD, i)->text) <= 3 * 96);
	assert_int_equal(fake_count(r, LVX_EVENT_END), 1);
	fake_row_free(r);
}

/* A model with several delays that can be told what is spoken. */
static void know_more(void)
{
	static const char *const names[] = {
		"style:cased", "in:en", "in:de", "to:de", "to:fr", "delay:3", "delay:5", "delay:12"};
	static const uint32_t delays[] = {3, 5, 12};
	memset(model->info.conditions, 0, sizeof(model->info.conditions));
	model->info.n_conditions = sizeof(names) / sizeof(names[0]);
	for (uint32_t i = 0; i < model->info.n_conditions; i++)
		strcpy(model->info.conditions[i], names[i]);
	memcpy(model->info.delays, delays, sizeof(delays));
	model->info.n_delays = 3;
	strcpy(model->info.lanes[CAPTION].languages[1], "de");
	model->info.lanes[CAPTION].n_languages = 2;
}

static int32_t say_at_20(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	return lane == CAPTION && slot == 20 ? HELLO : PAD;
}

static void check_conditions(uint32_t step, uint32_t run, const int32_t *wanted, uint32_t n)
{
	assert_int_equal(step_run(step, run)->n_conditions, n);
	assert_memory_equal(runner->steps[step].conditions[run], wanted, n * sizeof(*wanted));
}

/* Rows of different delays and languages, side by side. */
static void test_delay(void **state)
{
	(void)state;
	struct fake_row *rows[3];
	static const uint32_t delays[] = {3, 0, 12};
	know_more();
	runner->say = say_at_20;
	for (int i = 0; i < 3; i++) {
		rows[i] = fake_row(i == 2 ? 3 : 1);
		rows[i]->params.delay_slots = delays[i];
		fake_slots(rows[i], 21);
	}
	rows[0]->params.language = "en";
	rows[1]->params.language = LVX_LANGUAGE_AUTO;
	rows[2]->params.language = "de";
	rows[2]->params.translate_to = "fr";
	for (int i = 0; i < 3; i++)
		add(rows[i]);
	tick();
	check_conditions(0, 0, (int32_t[]){0, 1, 5}, 3);
	check_conditions(0, 1, (int32_t[]){0, 6}, 2); /* nobody says what is spoken */
	check_conditions(0, 2, (int32_t[]){0, 2, 4, 7}, 4);
	for (int i = 0; i < 3; i++) {
		finish(rows[i]);
		/* The same token means a word that ended so much earlier. */
		uint32_t delay = delays[i] ? delays[i] : FAKE_DELAY;
		assert_int_equal(fake_nth(rows[i], LVX_EVENT_WORD, 0)->e.end_us,
			(20 - delay) * FAKE_SLOT_US);
		fake_row_free(rows[i]);
	}
	/* The silence at its end is as long as each row's delay needs. */
	assert_int_equal(runner->n_steps, 21 + 3 + 5 + 12 + 3 * (1 + 3));
}

static void test_delay_refusals(void **state)
{
	(void)state;
	struct lvx_error err;
	struct fake_row *r = fake_row(1);
	static const struct {
		const char *language, *to, *what;
		uint32_t delay;
	} cases[] = {
		{NULL, NULL, "model fake knows no delay of 4 slots", 4},
		{NULL, NULL, "model fake knows no delay of 4294967295 slots", UINT32_MAX},
		{"fr", NULL, "row: the model does not understand 'fr', but en, de", 0},
		{"", NULL, "row: the model does not understand '', but en, de", 0},
		{"de", "de", "are both 'de'", 0},
	};
	know_more();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r->params.language = cases[i].language;
		r->params.translate_to = cases[i].to;
		r->params.delay_slots = cases[i].delay;
		assert_int_equal(lvx_scheduler_add(sched, &r->params, &r->index, &err), LVX_EINVAL);
		if (!strstr(err.msg, cases[i].what))
			fail_msg("'%s' is expected, but it said '%s'", cases[i].what, err.msg);
	}
	uint32_t slots = 0;
	assert_int_equal(lvx_model_info_delay(&model->info, "x", 240, &slots, &err), LVX_OK);
	assert_int_equal(slots, 3);
	static const uint32_t none[] = {0, 1, 241, 320, UINT32_MAX};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(
			lvx_model_info_delay(&model->info, "x", none[i], &slots, &err), LVX_EINVAL);
	assert_string_equal(
		err.msg, "x: the model has no delay of 4294967295 ms, but of 240, 400, 960");
	fake_row_free(r);
}

static int32_t say_tag(uint32_t row, int64_t slot, uint32_t lane)
{
	static const char text[] = "[x] a b [x] c! [x] ";
	(void)row, (void)lane;
	int64_t i = slot - 8;
	return i < 0 || i >= (int64_t)strlen(text) ? PAD : text[i] == ' ' ? END_MARK : BYTE(text[i]);
}

/* The tag of a sound is a segment of its own, but within a sentence it does not end it. */
static void test_tags(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_tag;
	runner->act = act_speech;
	fake_slots(r, 40);
	add(r);
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "[x]| a b [x] c!| [x]|");
	fake_row_free(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_before, after)
	const struct CMUnitTest tests[] = {
		TEST(test_words),
		TEST(test_times),
		TEST(test_tail),
		TEST(test_feedback),
		TEST(test_lane_leaves),
		TEST(test_translation_alone),
		TEST(test_no_conditions),
		TEST(test_refusals),
		TEST(test_prefix),
		TEST(test_prefix_moves),
		TEST(test_device),
		TEST(test_babble),
		TEST(test_delay),
		TEST(test_delay_refusals),
		TEST(test_tags),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
