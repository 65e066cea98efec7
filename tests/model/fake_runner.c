/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the model ---- */

static struct lvx_tokenizer *fake_tokenizer(void)
{
	static const char *const rest[] = {
		"\u2581", "hello\u2581", "wor", "ld\u2581", "done.\u2581", "a"};
	struct lvx_tokenizer *tok;
	struct lvx_error err = {0};
	char *text = malloc(16384);
	int n = sprintf(text, "{\"added_tokens\":[{\"id\":3,\"special\":true}],"
			      "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<pad>\":3");
	for (int i = 0; i < 256; i++)
		n += sprintf(text + n, ",\"<0x%02X>\":%d", (unsigned)i, FIRST_BYTE + i);
	for (int i = 0; i < FAKE_VOCAB - END_MARK; i++)
		n += sprintf(text + n, ",\"%s\":%d", rest[i], END_MARK + i);
	n += sprintf(text + n, "}}}");
	if (lvx_tokenizer_parse(&tok, "fake", text, (size_t)n, FAKE_VOCAB, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	free(text);
	return tok;
}

struct lvx_model *fake_model(bool conditions)
{
	static const struct lvx_lane_info lanes[] = {
		{.name = "caption", .languages = {"en"}, .n_languages = 1},
		{.name = "translation", .languages = {"de", "fr"}, .n_languages = 2},
		{.name = "description", .languages = {"en"}, .n_languages = 1},
	};
	struct lvx_model *m = calloc(1, sizeof(*m));
	m->info = (struct lvx_model_info){
		.name = "fake",
		.frontend = {.audio = {.sample_rate = 16000,
				     .hop_samples = 160,
				     .n_mels = 4,
				     .frames_per_slot = 8,
				     .log_floor = 1e-6f,
				     .log_offset = 2,
				     .log_scale = 0.5f},
			.image = {.enabled = true, .width = 160, .height = 96, .patch = 16}},
		.slot_us = FAKE_SLOT_US,
		.delay_slots = FAKE_DELAY,
		.window_slots = FAKE_WINDOW,
		.max_prefix = FAKE_PREFIX,
		.n_lanes = 3,
		.n_conditions = conditions ? 4 : 0,
		.conditions = {"style:plain", "style:cased", "to:de", "to:fr"},
	};
	memcpy(m->info.lanes, lanes, sizeof(lanes));
	m->config.pad_token = PAD;
	m->config.confidence_scale = 1.0f;
	memcpy(m->config.activity_levels, lvx_activity_usual, sizeof(lvx_activity_usual));
	m->config.vocab = FAKE_VOCAB;
	m->config.n_lanes = 3;
	m->tokenizer = fake_tokenizer();
	return m;
}

void fake_model_free(struct lvx_model *m)
{
	lvx_tokenizer_destroy(m->tokenizer);
	free(m);
}

/* ---- the runner ---- */

uint32_t lvx_runner_max_positions(const struct lvx_runner *r)
{
	return r->max_positions;
}

uint32_t lvx_runner_max_long(const struct lvx_runner *r)
{
	return r->max_positions;
}

void lvx_runner_reset_row(struct lvx_runner *r, uint32_t row)
{
	r->busy[row] = false;
	assert_true(row < FAKE_ROWS);
	r->n_resets++;
	r->next_slot[row] = 0;
	r->n_prefix[row] = 0;
	r->began[row] = false;
}

static void check_run(struct lvx_runner *r, const struct lvx_run *run)
{
	assert_true(run->row < FAKE_ROWS);
	switch (run->kind) {
	case LVX_RUN_PREFIX:
		assert_in_range(run->n, 1, FAKE_PREFIX);
		assert_int_equal(run->position, r->next_slot[run->row] - run->n);
		/* It comes first, or it moves. */
		assert_int_equal(r->n_prefix[run->row], r->began[run->row] ? run->n : 0);
		r->n_prefix[run->row] = run->n;
		assert_non_null(run->tokens);
		break;
	case LVX_RUN_PICTURE:
		assert_int_equal(run->n, FAKE_PATCHES);
		assert_int_equal(run->position, r->next_slot[run->row]);
		assert_non_null(run->features);
		break;
	case LVX_RUN_SLOT:
		assert_int_equal(run->n, 1);
		assert_int_equal(run->position, r->next_slot[run->row]++);
		assert_non_null(run->features);
		assert_int_equal(run->want_lanes & ~7u, 0);
		break;
	}
	r->began[run->row] = true;
}

static void record(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n)
{
	struct fake_step *s = &r->steps[r->n_steps++ % 4096];
	bool seen[FAKE_ROWS] = {false};
	s->n = n;
	s->positions = 0;
	for (uint32_t i = 0; i < n; i++) {
		check_run(r, &runs[i]);
		assert_false(seen[runs[i].row]);
		assert_false(r->busy[runs[i].row]);
		seen[runs[i].row] = true;
		s->runs[i] = runs[i];
		s->positions += runs[i].n;
		s->first[i] = runs[i].features ? runs[i].features[0] : 0;
		s->favoured[i] = runs[i].n_favoured ? runs[i].favoured[0] : PAD;
		for (uint32_t k = 0; k < runs[i].n_conditions; k++)
			s->conditions[i][k] = runs[i].conditions[k];
		if (runs[i].kind == LVX_RUN_SLOT)
			memcpy(s->fed[i], runs[i].tokens, sizeof(s->fed[i]));
	}
	assert_true(s->positions <= r->max_positions);
}

enum lvx_status lvx_runner_step(
	struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs, struct lvx_output *out)
{
	assert_in_range(n_runs, 1, FAKE_ROWS);
	if (r->status != LVX_OK)
		return r->status;
	record(r, runs, n_runs);
	for (uint32_t i = 0; i < n_runs; i++) {
		if (runs[i].kind != LVX_RUN_SLOT)
			continue;
		memset(&out[i], 0, sizeof(out[i]));
		for (uint32_t l = 0; l < LVX_LANES_MAX; l++) {
			bool wanted = runs[i].want_lanes >> l & 1;
			out[i].token[l] = model->config.pad_token;
			if (wanted && r->say)
				out[i].token[l] = r->say(runs[i].row, runs[i].position, l);
			out[i].logprob[l] = r->logprob;
		}
		if (r->act)
			r->act(runs[i].row, runs[i].position, out[i].activity);
	}
	return LVX_OK;
}

enum lvx_status lvx_runner_begin(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n)
{
	assert_int_equal(r->n_long, 0);
	assert_in_range(n, 1, FAKE_ROWS);
	if (r->status != LVX_OK)
		return r->status;
	record(r, runs, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_not_equal(runs[i].kind, LVX_RUN_SLOT);
		r->long_rows[i] = runs[i].row;
		r->busy[runs[i].row] = true;
	}
	r->n_long = n;
	r->pieces_left = r->n_pieces ? r->n_pieces : 1;
	return LVX_OK;
}

enum lvx_status lvx_runner_go_on(struct lvx_runner *r, bool *done)
{
	assert_true(r->n_long > 0);
	if (r->status != LVX_OK)
		return r->status;
	*done = --r->pieces_left == 0;
	for (uint32_t i = 0; i < r->n_long && *done; i++)
		r->busy[r->long_rows[i]] = false;
	if (*done)
		r->n_long = 0;
	return LVX_OK;
}

/* ---- a row ---- */

static enum lvx_status feed(void *user, struct lvx_feed_item *item, float *values)
{
	struct fake_row *r = user;
	if (r->at == r->n_items)
		return LVX_AGAIN;
	const struct fake_item *i = &r->items[r->at];
	if (i->what == FINISH)
		return LVX_END;
	r->at++;
	if (i->what == WAIT)
		return LVX_AGAIN;
	item->kind = i->what == SLOT ? LVX_FEED_SLOT : LVX_FEED_PICTURE;
	item->pts_us = i->pts_us;
	item->gap_us = i->gap_us;
	item->changed = i->changed;
	values[0] = i->value;
	return LVX_OK;
}

static void on_event(void *user, const struct lvx_event *e)
{
	struct fake_row *r = user;
	assert_true(r->n_events < sizeof(r->events) / sizeof(r->events[0]));
	struct fake_event *f = &r->events[r->n_events++];
	f->e = *e;
	f->text[0] = '\0';
	if (e->kind == LVX_EVENT_WORD) {
		assert_non_null(e->text);
		assert_in_range(strlen(e->text), 1, sizeof(f->text) - 1);
		strcpy(f->text, e->text);
	}
	f->e.text = f->text;
}

struct fake_row *fake_row(uint32_t lanes)
{
	struct fake_row *r = calloc(1, sizeof(*r));
	r->params = (struct lvx_row_params){
		.lanes = lanes, .feed = feed, .on_event = on_event, .user = r};
	return r;
}

void fake_row_free(struct fake_row *r)
{
	free(r);
}

static struct fake_item *new_item(struct fake_row *r)
{
	assert_true(r->n_items < sizeof(r->items) / sizeof(r->items[0]));
	r->items[r->n_items] = (struct fake_item){0};
	return &r->items[r->n_items++];
}

void fake_slots(struct fake_row *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		*new_item(r) =
			(struct fake_item){.what = SLOT, .pts_us = r->next_pts_us, .value = 7};
		r->next_pts_us += FAKE_SLOT_US;
	}
}

void fake_gap(struct fake_row *r, int64_t gap_us)
{
	r->next_pts_us += gap_us;
	fake_slots(r, 1);
	r->items[r->n_items - 1].gap_us = gap_us;
}

void fake_picture(struct fake_row *r)
{
	*new_item(r) = (struct fake_item){.what = PICTURE, .pts_us = r->next_pts_us, .value = 9};
}

void fake_scene(struct fake_row *r)
{
	fake_picture(r);
	r->items[r->n_items - 1].changed = true;
}

void fake_wait(struct fake_row *r, uint32_t ticks)
{
	for (uint32_t i = 0; i < ticks; i++)
		*new_item(r) = (struct fake_item){.what = WAIT};
}

const char *fake_words(const struct fake_row *r, uint32_t lane)
{
	static char text[65536];
	size_t at = 0;
	text[0] = '\0';
	for (uint32_t i = 0; i < r->n_events; i++) {
		const struct fake_event *f = &r->events[i];
		if (f->e.lane != lane)
			continue;
		if (f->e.kind == LVX_EVENT_WORD)
			at += (size_t)sprintf(text + at, "%s%s", at ? " " : "", f->text);
		if ((f->e.kind == LVX_EVENT_WORD || f->e.kind == LVX_EVENT_ACTIVITY) &&
			f->e.segment_end)
			at += (size_t)sprintf(text + at, "|");
		assert_true(at < sizeof(text) - 1024);
	}
	return text;
}

uint32_t fake_count(const struct fake_row *r, enum lvx_event_kind kind)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < r->n_events; i++)
		n += r->events[i].e.kind == kind;
	return n;
}

const struct fake_event *fake_nth(const struct fake_row *r, enum lvx_event_kind kind, uint32_t n)
{
	for (uint32_t i = 0; i < r->n_events; i++)
		if (r->events[i].e.kind == kind && n-- == 0)
			return &r->events[i];
	fail_msg("there is no such event");
	return NULL;
}

/* ---- a test ---- */

struct lvx_model *model;
struct lvx_runner *runner;
struct lvx_scheduler *sched;
bool in_tick;

int fake_before(void **state)
{
	(void)state;
	model = fake_model(true);
	open_scheduler(FAKE_ROWS, 400);
	return 0;
}

int fake_after(void **state)
{
	(void)state;
	lvx_scheduler_destroy(sched);
	sched = NULL;
	free(runner);
	runner = NULL;
	fake_model_free(model);
	return 0;
}

void open_scheduler(uint32_t n_rows, uint32_t max_positions)
{
	lvx_scheduler_destroy(sched);
	free(runner);
	runner = calloc(1, sizeof(*runner));
	runner->max_positions = max_positions;
	assert_int_equal(lvx_scheduler_create(&sched, model, runner, n_rows, NULL), LVX_OK);
}

uint32_t tick(void)
{
	uint32_t n;
	in_tick = true;
	enum lvx_status st = lvx_scheduler_tick(sched, &n);
	in_tick = false;
	assert_int_equal(st, LVX_OK);
	return n;
}

void tick_until_idle(void)
{
	for (int i = 0; i < 4000; i++)
		if (tick() == 0)
			return;
	fail_msg("the scheduler does not come to rest");
}

void add(struct fake_row *r)
{
	struct lvx_error err = {0};
	if (lvx_scheduler_add(sched, &r->params, &r->index, &err) != LVX_OK)
		fail_msg("%s", err.msg);
}

void finish(struct fake_row *r)
{
	new_item(r)->what = FINISH;
	tick_until_idle();
}
