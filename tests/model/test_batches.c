/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into a batch, and that a row says the same in any company. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_runner.h"

static struct fake_row *rows[FAKE_ROWS];

static int before(void **state)
{
	for (int i = 0; i < FAKE_ROWS; i++)
		rows[i] = fake_row(1);
	return fake_before(state);
}

static int after(void **state)
{
	for (int i = 0; i < FAKE_ROWS; i++)
		fake_row_free(rows[i]);
	return fake_after(state);
}

static uint32_t count_kind(uint32_t step, enum lvx_run_kind kind)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < runner->steps[step].n; i++)
		n += runner->steps[step].runs[i].kind == kind;
	return n;
}

static void test_one_batch(void **state)
{
	(void)state;
	open_scheduler(FAKE_ROWS, 400);
	for (uint32_t i = 0; i < 8; i++) {
		fake_wait(rows[i], i % 3);
		fake_slots(rows[i], 10);
		add(rows[i]);
	}
	assert_int_equal(tick(), 3);
	assert_int_equal(tick(), 6);
	assert_int_equal(tick(), 8);
	lvx_scheduler_remove(sched, rows[2]->index); /* one leaves, one joins */
	assert_int_equal(tick(), 7);
	fake_slots(rows[9], 10);
	add(rows[9]);
	assert_int_equal(rows[9]->index, 2);
	assert_int_equal(tick(), 8);
	/* A row with a prefix runs it beside the others' slots. */
	fake_slots(rows[10], 1);
	rows[10]->params.prefix = "a";
	add(rows[10]);
	assert_int_equal(tick(), 9);
	assert_int_equal(count_kind(runner->n_steps - 1, LVX_RUN_PREFIX), 1);
}

/* A picture comes before its slot, and has its number. */
static void test_picture_order(void **state)
{
	(void)state;
	open_scheduler(1, 61);
	fake_picture(rows[0]);
	fake_slots(rows[0], 3);
	fake_picture(rows[0]);
	fake_slots(rows[0], 1);
	add(rows[0]);
	static const struct {
		enum lvx_run_kind kind;
		int position;
	} want[] = {{LVX_RUN_PICTURE, 0}, {LVX_RUN_SLOT, 0}, {LVX_RUN_SLOT, 1}, {LVX_RUN_SLOT, 2},
		{LVX_RUN_PICTURE, 3}, {LVX_RUN_SLOT, 3}};
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(tick(), 1);
		assert_int_equal(runner->steps[i].runs[0].kind, want[i].kind);
		assert_int_equal(runner->steps[i].runs[0].position, want[i].position);
		assert_true(runner->steps[i].first[0] == (want[i].kind == LVX_RUN_SLOT ? 7 : 9));
	}
	assert_int_equal(tick(), 0);
}

/* Pictures of all streams at once: they spread, and nobody else's slot waits. */
static void test_spread(void **state)
{
	(void)state;
	open_scheduler(FAKE_ROWS, 2000);
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		if (i < 12)
			fake_picture(rows[i]);
		fake_slots(rows[i], 30);
		add(rows[i]);
	}
	static const uint32_t pictures[] = {3, 3, 2, 1, 1, 1, 1, 0};
	uint32_t done = 0;
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t n = runner->n_steps;
		tick();
		assert_int_equal(count_kind(n, LVX_RUN_SLOT), 4 + done);
		assert_int_equal(runner->n_steps, n + 1 + (pictures[i] > 0));
		if (pictures[i])
			assert_int_equal(count_kind(n + 1, LVX_RUN_PICTURE), pictures[i]);
		done += pictures[i];
	}
}

/* A picture in pieces: the others' slots run on, its row's own follow it. */
static void test_pieces(void **state)
{
	(void)state;
	open_scheduler(FAKE_ROWS, 400);
	runner->n_pieces = 4;
	fake_slots(rows[0], 20);
	fake_picture(rows[1]);
	fake_slots(rows[1], 20);
	add(rows[0]);
	add(rows[1]);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(tick(), 2);
		assert_int_equal(rows[0]->at, i + 1);
		assert_int_equal(rows[1]->at, i < 4 ? 1 : i - 2);
	}
	/* It leaves in the middle of one; who comes instead waits for nothing. */
	fake_picture(rows[2]);
	fake_slots(rows[2], 20);
	add(rows[2]);
	tick();
	lvx_scheduler_remove(sched, rows[2]->index);
	fake_slots(rows[3], 20);
	add(rows[3]);
	assert_int_equal(rows[3]->index, rows[2]->index);
	for (uint32_t i = 0; i < 5; i++) {
		tick();
		assert_int_equal(rows[3]->at, i + 1);
	}
}

/* More than fits: everyone gets a turn. */
static void test_full(void **state)
{
	(void)state;
	open_scheduler(FAKE_ROWS, 64);
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		for (uint32_t k = 0; k < 10; k++) {
			fake_picture(rows[i]);
			fake_slots(rows[i], 10);
		}
		add(rows[i]);
	}
	for (uint32_t i = 0; i < 300; i++)
		tick();
	uint32_t least = UINT32_MAX, most = 0;
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		least = rows[i]->at < least ? rows[i]->at : least;
		most = rows[i]->at > most ? rows[i]->at : most;
	}
	assert_in_range(least, 20, 110);
	assert_true(most - least <= 13);

	open_scheduler(FAKE_ROWS, 60); /* a picture fills the batch */
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		rows[i]->at = 0;
		add(rows[i]);
	}
	while (tick() > 0) {
	}
	for (uint32_t i = 0; i < FAKE_ROWS; i++)
		assert_int_equal(rows[i]->at, 110);
}

/* ---- company ---- */

static uint32_t mix(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t x = a * 2654435761u ^ b * 40503u ^ c * 97u;
	x ^= x >> 15;
	x *= 2246822519u;
	return x ^ x >> 13;
}

/* By what the row hears, not by its number, which differs alone and in company. */
static uint32_t voice_of[FAKE_ROWS];

static int32_t say_anything(uint32_t row, int64_t slot, uint32_t lane)
{
	uint32_t x = mix(voice_of[row], (uint32_t)slot, lane + 1);
	return x % 3 ? PAD : (int32_t)(x / 3 % FAKE_VOCAB);
}

static void act_anything(uint32_t row, int64_t slot, float *p)
{
	for (uint32_t i = 0; i < 3; i++)
		p[i] = (float)(mix(voice_of[row], (uint32_t)slot / (5 + 5 * i), 9 + i) % 100) /
		       99.0f;
}

static void script(struct fake_row *r, uint32_t seed)
{
	for (uint32_t i = 0; i < 80; i++) {
		uint32_t x = mix(seed, i, 77);
		if (x % 11 == 0)
			fake_picture(r);
		if (x % 17 == 0)
			fake_gap(r, 1000 + x % 3000000);
		fake_wait(r, x % 3);
		fake_slots(r, 1 + x % 3);
	}
	r->items[r->n_items++].what = FINISH;
	r->params.lanes = 7;
	r->params.translate_to = "de";
	r->params.prefix = seed % 2 ? "a a" : NULL;
}

static void run(struct fake_row *r, uint32_t voice)
{
	add(r);
	voice_of[r->index] = voice;
}

static void check_events(const struct fake_row *r)
{
	int64_t last[LVX_LANES_MAX] = {0}, activity = 0;
	for (uint32_t i = 0; i < r->n_events; i++) {
		const struct lvx_event *e = &r->events[i].e;
		if (e->kind == LVX_EVENT_WORD) {
			assert_true(e->start_us >= last[e->lane] && e->end_us >= e->start_us);
			assert_true(e->confidence >= 0 && e->confidence <= 1);
			assert_true(e->end_us <= e->heard_us);
			assert_null(strpbrk(e->text, " \t\n\v\f\r"));
			last[e->lane] = e->end_us;
		} else if (e->kind == LVX_EVENT_ACTIVITY) {
			assert_true(e->end_us >= activity);
			activity = e->end_us;
		} else if (e->kind == LVX_EVENT_END) {
			assert_int_equal(i, r->n_events - 1);
		}
	}
	assert_int_equal(fake_count(r, LVX_EVENT_END), 1);
}

static void test_company(void **state)
{
	(void)state;
	struct fake_row *alone[FAKE_ROWS];
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		alone[i] = fake_row(7);
		script(alone[i], i);
		script(rows[i], i);
		open_scheduler(1, 100);
		runner->say = say_anything;
		runner->act = act_anything;
		run(alone[i], i);
		for (int k = 0; k < 1000; k++)
			tick();
		check_events(alone[i]);
		assert_true(fake_count(alone[i], LVX_EVENT_WORD) > 10);
	}
	/* Joining one after the other, in batches that are often full. */
	open_scheduler(FAKE_ROWS, 66);
	runner->n_pieces = 3;
	runner->say = say_anything;
	runner->act = act_anything;
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		run(rows[i], i);
		for (int k = 0; k < 9; k++)
			tick();
	}
	for (int k = 0; k < 5000; k++)
		tick();
	for (uint32_t i = 0; i < FAKE_ROWS; i++) {
		assert_int_equal(rows[i]->n_events, alone[i]->n_events);
		for (uint32_t k = 0; k < alone[i]->n_events; k++) {
			struct fake_event *a = &alone[i]->events[k], *b = &rows[i]->events[k];
			assert_string_equal(a->text, b->text);
			a->e.text = b->e.text = NULL;
			assert_memory_equal(&a->e, &b->e, sizeof(a->e));
		}
		fake_row_free(alone[i]);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)
	const struct CMUnitTest tests[] = {
		TEST(test_one_batch),
		TEST(test_picture_order),
		TEST(test_spread),
		TEST(test_pieces),
		TEST(test_full),
		TEST(test_company),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
