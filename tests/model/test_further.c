/* SPDX-License-Identifier: Apache-2.0 */
/* Further rows of a stream: what they hear and are fed, and that they change nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_runner.h"

enum { DE = 2, FR = 3 }; /* conditions */

static struct fake_row *further_row(const struct fake_row *of, uint32_t lanes, const char *to)
{
	struct fake_row *r = fake_row(lanes);
	r->params.feed = NULL; /* not called */
	r->params.follows = true;
	r->params.of = of->index;
	r->params.translate_to = to;
	return r;
}

/* Every lane says something else in every slot, and each row too. */
static int32_t say_number(uint32_t row, int64_t slot, uint32_t lane)
{
	return BYTE('a' + (int)((row * 7 + (uint32_t)slot * 3 + lane) % 26));
}

/* The nth run of a row, and in which step it is. */
static uint32_t find_run(uint32_t row, uint32_t n, uint32_t *at)
{
	for (uint32_t k = 0; k < runner->n_steps; k++)
		for (uint32_t i = 0; i < runner->steps[k].n; i++)
			if (runner->steps[k].runs[i].row == row && n-- == 0) {
				*at = i;
				return k;
			}
	fail_msg("row %u has not so many runs", row);
	return 0;
}

static void test_fed(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1 << CAPTION);
	runner->say = say_number;
	fake_slots(r, 20);
	add(r);
	for (int i = 0; i < 4; i++)
		tick();
	struct fake_row *f = further_row(r, 1 << TRANSLATION, "fr");
	add(f);
	tick_until_idle();
	for (uint32_t i = 0; i < 16; i++) {
		uint32_t own, theirs;
		uint32_t step = find_run(f->index, i, &own);
		const struct fake_step *s = &runner->steps[step];
		/* In the same batch as what it follows. */
		assert_int_equal(step, find_run(r->index, 4 + i, &theirs));
		assert_int_equal(s->runs[own].position, i);
		assert_int_equal(s->runs[own].want_lanes, 1 << TRANSLATION);
		assert_true(s->first[own] == 7.0f);
		assert_int_equal(s->fed[own][CAPTION], say_number(r->index, 3 + i, CAPTION));
		assert_int_equal(s->fed[own][CAPTION], s->fed[theirs][CAPTION]);
		assert_int_equal(s->fed[own][TRANSLATION],
			i ? say_number(f->index, i - 1, TRANSLATION) : PAD);
		assert_int_equal(s->fed[own][DESCRIPTION], PAD);
		assert_int_equal(s->runs[own].n_conditions, 2);
		assert_int_equal(s->conditions[own][1], FR);
		assert_int_equal(s->runs[theirs].want_lanes, 1 << CAPTION);
		assert_int_equal(s->fed[theirs][TRANSLATION], PAD);
		assert_int_equal(s->runs[theirs].n_conditions, 1);
	}
	finish(r);
	assert_int_equal(fake_count(f, LVX_EVENT_END), 1);
	assert_int_equal(fake_count(f, LVX_EVENT_GAP), 0);
	lvx_scheduler_remove(sched, f->index);
	lvx_scheduler_remove(sched, r->index);
	fake_row_free(f);
	fake_row_free(r);
}

static int32_t say_words(uint32_t row, int64_t slot, uint32_t lane)
{
	if (lane == CAPTION)
		return slot % 9 == 3 ? HELLO : slot % 30 == 29 ? STOP : PAD;
	return slot % 7 == (int64_t)(row % 2) ? HELLO : slot % 31 == 30 ? STOP : PAD;
}

static void script(struct fake_row *r)
{
	for (int i = 0; i < 6; i++) {
		fake_picture(r);
		fake_slots(r, 20);
		if (i == 1)
			fake_gap(r, 4 * FAKE_SLOT_US);
		if (i == 3)
			fake_gap(r, 100 * FAKE_SLOT_US); /* longer than the window: anew */
	}
}

/* The row alone, and with two that follow it from the start on and one that comes and goes. */
static void test_changes_nothing(void **state)
{
	(void)state;
	struct fake_row *alone = fake_row(1 << CAPTION | 1 << TRANSLATION);
	alone->params.translate_to = "de";
	alone->params.prefix = "hello";
	runner->say = say_words;
	script(alone);
	add(alone);
	finish(alone);
	static struct fake_step steps[512];
	uint32_t n_runs = runner->n_steps;
	assert_true(n_runs < 512);
	memcpy(steps, runner->steps, n_runs * sizeof(steps[0]));

	open_scheduler(FAKE_ROWS, 400);
	struct fake_row *r = fake_row(alone->params.lanes);
	r->params.translate_to = "de";
	r->params.prefix = "hello";
	runner->say = say_words;
	script(r);
	add(r);
	struct fake_row *f = further_row(r, 1 << TRANSLATION, "fr");
	struct fake_row *d = further_row(r, 1 << DESCRIPTION, NULL);
	struct fake_row *short_lived = further_row(r, 1 << TRANSLATION, "de");
	add(f);
	add(d);
	for (int i = 0; i < 30; i++)
		tick();
	add(short_lived);
	for (int i = 0; i < 30; i++)
		tick();
	lvx_scheduler_remove(sched, short_lived->index);
	finish(r);
	for (uint32_t i = 0; i < n_runs; i++) {
		uint32_t at;
		const struct fake_step *s = &runner->steps[find_run(r->index, i, &at)];
		assert_int_equal(s->runs[at].kind, steps[i].runs[0].kind);
		assert_int_equal(s->runs[at].position, steps[i].runs[0].position);
		assert_int_equal(s->runs[at].want_lanes, steps[i].runs[0].want_lanes);
		if (s->runs[at].kind == LVX_RUN_SLOT)
			assert_memory_equal(s->fed[at], steps[i].fed[0], sizeof(s->fed[at]));
	}
	assert_int_equal(r->n_events, alone->n_events);
	for (uint32_t i = 0; i < r->n_events; i++) {
		assert_int_equal(r->events[i].e.kind, alone->events[i].e.kind);
		assert_int_equal(r->events[i].e.end_us, alone->events[i].e.end_us);
		assert_string_equal(r->events[i].text, alone->events[i].text);
	}
	/* Those that follow hear all of it: the pictures, the gaps, the new beginning. */
	const struct fake_row *both[] = {f, d};
	for (int k = 0; k < 2; k++) {
		const struct fake_row *x = both[k];
		uint32_t n_pictures = 0, n_prefixes = 0, at;
		for (uint32_t i = 0; i < n_runs; i++) {
			const struct fake_step *s = &runner->steps[find_run(x->index, i, &at)];
			n_pictures += s->runs[at].kind == LVX_RUN_PICTURE;
			n_prefixes += s->runs[at].kind == LVX_RUN_PREFIX;
			assert_int_equal(s->runs[at].kind, steps[i].runs[0].kind);
			assert_int_equal(s->runs[at].position, steps[i].runs[0].position);
			if (s->runs[at].kind == LVX_RUN_SLOT)
				assert_int_equal(s->fed[at][CAPTION], steps[i].fed[0][CAPTION]);
		}
		assert_int_equal(n_pictures, 6);
		assert_int_equal(n_prefixes, 5); /* came, moved twice, came anew, moved */
		assert_int_equal(fake_count(x, LVX_EVENT_GAP), 2);
		assert_int_equal(fake_count(x, LVX_EVENT_END), 1);
		assert_int_equal(x->events[x->n_events - 1].e.kind, LVX_EVENT_END);
		assert_true(fake_count(x, LVX_EVENT_WORD) > 10);
	}
	assert_int_equal(fake_count(short_lived, LVX_EVENT_END), 0);
	fake_row_free(alone);
	fake_row_free(r);
	fake_row_free(f);
	fake_row_free(d);
	fake_row_free(short_lived);
}

/* Nobody makes the captions there: the further row makes its own, for itself. */
static void test_captions_off(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1 << DESCRIPTION);
	runner->say = say_number;
	fake_slots(r, 6);
	add(r);
	struct fake_row *f = further_row(r, 1 << TRANSLATION, "de");
	add(f);
	tick_until_idle();
	for (uint32_t i = 0; i < 6; i++) {
		const struct fake_step *s = &runner->steps[i];
		uint32_t at;
		assert_int_equal(find_run(f->index, i, &at), i);
		assert_int_equal(s->runs[at].want_lanes, 1 << CAPTION | 1 << TRANSLATION);
		assert_int_equal(s->fed[at][CAPTION],
			i ? say_number(f->index, i - 1, CAPTION) : PAD);
		assert_int_equal(s->runs[1 - at].want_lanes, 1 << DESCRIPTION);
		assert_int_equal(s->fed[1 - at][CAPTION], PAD);
	}
	assert_int_equal(fake_words(f, CAPTION)[0], '\0');
	/* They are switched on there, and off again. */
	lvx_scheduler_set_lanes(sched, r->index, 1 << CAPTION);
	fake_slots(r, 3);
	tick_until_idle();
	uint32_t at;
	const struct fake_step *s = &runner->steps[find_run(f->index, 8, &at)];
	assert_int_equal(s->runs[at].want_lanes, 1 << TRANSLATION);
	assert_int_equal(s->fed[at][CAPTION], say_number(r->index, 7, CAPTION));
	lvx_scheduler_set_lanes(sched, r->index, 0);
	fake_slots(r, 3);
	tick_until_idle();
	s = &runner->steps[find_run(f->index, 11, &at)];
	assert_int_equal(s->runs[at].want_lanes, 1 << CAPTION | 1 << TRANSLATION);
	assert_int_equal(s->fed[at][CAPTION], say_number(f->index, 10, CAPTION));
	fake_row_free(f);
	fake_row_free(r);
}

/* The stream's row was told its language and another delay: who follows hears the same sound. */
static void test_hears_as(void **state)
{
	(void)state;
	strcpy(model->info.conditions[4], "in:en");
	strcpy(model->info.conditions[5], "delay:2");
	model->info.n_conditions = 6;
	model->info.delays[0] = 2;
	model->info.n_delays = 1;
	struct fake_row *r = fake_row(1);
	r->params.language = "en";
	r->params.delay_slots = 2;
	runner->say = say_words;
	fake_slots(r, 20);
	add(r);
	struct fake_row *f = further_row(r, 1 << TRANSLATION, "fr");
	add(f);
	finish(r);
	uint32_t at;
	const struct fake_step *s = &runner->steps[find_run(f->index, 0, &at)];
	assert_int_equal(s->runs[at].n_conditions, 4);
	assert_int_equal(s->conditions[at][0], 1);
	assert_int_equal(s->conditions[at][1], 4);
	assert_int_equal(s->conditions[at][2], FR);
	assert_int_equal(s->conditions[at][3], 5);
	/* Its first word, of slot 0 or 1, or of 7 or 8: it ended delay + 1 slots before. */
	const struct fake_event *word = fake_nth(f, LVX_EVENT_WORD, 1);
	int64_t slot = 7 + f->index % 2;
	assert_int_equal(word->e.end_us, (slot - 2 - 1 + 1) * FAKE_SLOT_US);
	fake_row_free(f);
	fake_row_free(r);
}

static int32_t say_late(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)row;
	if (lane == CAPTION)
		return slot == 14 ? HELLO : PAD;
	return slot >= 16 && slot < 40 ? HELLO : PAD;
}

/* What is translated comes later than the captions: the row says it all the same. */
static void test_tail(void **state)
{
	(void)state;
	struct fake_row *r = fake_row(1);
	runner->say = say_late;
	fake_slots(r, 10);
	add(r);
	struct fake_row *f = further_row(r, 1 << TRANSLATION, "de");
	add(f);
	finish(r);
	assert_string_equal(fake_words(r, CAPTION), "hello|");
	assert_int_equal(fake_count(f, LVX_EVENT_WORD), 24);
	assert_int_equal(f->events[f->n_events - 1].e.kind, LVX_EVENT_END);
	fake_row_free(f);
	fake_row_free(r);
}

/* So little room that pictures wait: all is heard, by everybody, in order. */
static void test_no_room(void **state)
{
	(void)state;
	open_scheduler(FAKE_ROWS, FAKE_PATCHES + FAKE_ROWS);
	struct fake_row *r = fake_row(1), *f[8];
	runner->say = say_words;
	add(r);
	for (int i = 0; i < 8; i++) {
		f[i] = further_row(r, 1 << TRANSLATION, i % 2 ? "de" : "fr");
		add(f[i]);
	}
	for (int i = 0; i < 30; i++) {
		fake_picture(r);
		fake_slots(r, 2);
	}
	finish(r);
	for (int i = 0; i < 8; i++) {
		uint32_t at, n_pictures = 0;
		for (uint32_t k = 0; k < 90; k++) {
			const struct fake_step *s = &runner->steps[find_run(f[i]->index, k, &at)];
			n_pictures += s->runs[at].kind == LVX_RUN_PICTURE;
			assert_int_equal(s->runs[at].kind == LVX_RUN_PICTURE, k % 3 == 0);
			assert_true(s->first[at] == (k % 3 == 0 ? 9.0f : 7.0f));
		}
		assert_int_equal(n_pictures, 30);
		assert_int_equal(fake_count(f[i], LVX_EVENT_END), 1);
		lvx_scheduler_remove(sched, f[i]->index);
		fake_row_free(f[i]);
	}
	fake_row_free(r);
}

static void test_refusals(void **state)
{
	(void)state;
	struct lvx_error err;
	struct fake_row *r = fake_row(1);
	fake_slots(r, 40);
	add(r);
	struct fake_row *f = further_row(r, 1 << CAPTION, NULL);
	assert_int_equal(lvx_scheduler_add(sched, &f->params, &f->index, &err), LVX_EINVAL);
	f->params.lanes = 1 << TRANSLATION;
	f->params.translate_to = "xx";
	assert_int_equal(lvx_scheduler_add(sched, &f->params, &f->index, &err), LVX_EINVAL);
	f->params.translate_to = "de";
	f->params.of = 99;
	assert_int_equal(lvx_scheduler_add(sched, &f->params, &f->index, &err), LVX_EINVAL);
	f->params.of = 5; /* free */
	assert_int_equal(lvx_scheduler_add(sched, &f->params, &f->index, &err), LVX_EINVAL);
	f->params.of = r->index;
	add(f);
	struct fake_row *second = further_row(f, 1 << TRANSLATION, "fr");
	assert_int_equal(
		lvx_scheduler_add(sched, &second->params, &second->index, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "row 1 cannot be followed");
	tick();
	/* What is followed goes first: no more comes, and its place may be taken by another. */
	lvx_scheduler_remove(sched, r->index);
	assert_int_equal(tick(), 0);
	struct fake_row *other = fake_row(1);
	fake_slots(other, 3);
	add(other);
	assert_int_equal(other->index, r->index);
	second->params.of = other->index;
	add(second);
	lvx_scheduler_remove(sched, f->index);
	tick_until_idle();
	uint32_t at;
	find_run(second->index, 2, &at);
	fake_row_free(other);
	fake_row_free(second);
	fake_row_free(f);
	fake_row_free(r);
}

/* Speaks for 35 slots, then rests; row 2 has always something to say. */
static void act_long(uint32_t row, int64_t slot, float *p)
{
	(void)row;
	p[0] = slot < 35 ? 0.9f : 0.05f;
}

static int32_t say_on(uint32_t row, int64_t slot, uint32_t lane)
{
	(void)lane;
	return row == 2 ? HELLO : slot == 10 ? HELLO : PAD;
}

/* In a pause those that follow begin anew together with the row, but for the one that still speaks. */
static void test_anew(void **state)
{
	(void)state;
	static const struct {
		uint32_t lane;
		const char *to;
		int64_t at; /* of 38 slots, 9 of silence, 11 slots */
	} cases[] = {{1 << TRANSLATION, "de", 11}, {1 << TRANSLATION, "fr", 58}, {1 << DESCRIPTION, NULL, 11}};
	struct fake_row *r = fake_row(1 << CAPTION), *f[3];
	model->config.anew_slots = 30;
	runner->say = say_on;
	runner->act = act_long;
	fake_slots(r, 49);
	add(r);
	for (int i = 0; i < 3; i++) {
		f[i] = further_row(r, cases[i].lane, cases[i].to);
		add(f[i]);
	}
	assert_int_equal(f[1]->index, 2);
	tick_until_idle();
	assert_int_equal(runner->next_slot[r->index], 11);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(runner->next_slot[f[i]->index], cases[i].at);
		assert_int_equal(fake_count(f[i], LVX_EVENT_GAP), 0);
	}
	/* what is nobody's tells nothing: speech on and off, and on again where the head began anew */
	for (int i = 0; i < 3; i++) {
		uint32_t turns = 0;
		for (uint32_t k = 0; k < f[i]->n_events; k++)
			turns += f[i]->events[k].e.kind == LVX_EVENT_ACTIVITY && !f[i]->events[k].e.segment_end &&
				 !f[i]->events[k].e.utterance_end;
		assert_int_equal(turns, i == 1 ? 2 : 3);
	}
	finish(r);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fake_count(f[i], LVX_EVENT_END), 1);
		lvx_scheduler_remove(sched, f[i]->index);
		fake_row_free(f[i]);
	}
	lvx_scheduler_remove(sched, r->index);
	fake_row_free(r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_before, fake_after)
	const struct CMUnitTest tests[] = {
		TEST(test_fed),
		TEST(test_changes_nothing),
		TEST(test_captions_off),
		TEST(test_hears_as),
		TEST(test_tail),
		TEST(test_no_room),
		TEST(test_refusals),
		TEST(test_anew),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
