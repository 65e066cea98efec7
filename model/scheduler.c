/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into a batch: every row that has a slot ready. Long runs (pictures, prefixes) cost
 * as much as the slots of many streams, so they are taken beside the batches, in
 * pieces: of those that wait a quarter, at least one, begins together, and a tick
 * computes one piece of them, so that others' slots wait for a piece at most. The row's own next
 * slot waits until all of it is done: it says what it would have said. Where not all
 * fit, rows take turns.
 *
 * A gap of the timeline is heard as silence, as far as that lets the words
 * before it come out (they come delay_slots later than the sound); only then it
 * is told. After a gap longer than the audio window the row starts anew, prefix
 * included; after a shorter one it goes on, and so does a word that a gap
 * shorter than the delay cuts.
 *
 * The prefix moves along with a long stream, so that it is never further back than it was in
 * training (docs/MODEL.md section 2).
 *
 * A further row runs what the row that it follows has put into a batch, mostly in
 * the same batch. Where it is so late that the trail is full (its pictures wait),
 * the other waits for it: a row that hears everything is slower, not another text.
 */
#include "model/scheduler.h"

#include "model/delayed.h"
#include "model/model_priv.h"
#include "model/script.h"
#include "model/trail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	QUIET_SLOTS = 3, /* lanes that say nothing for so long have said all */
	TAIL_MORE = 50,  /* slots beyond the delay for what is still to be said */
	LONG_SHARE = 4,  /* one in so many of the long runs that wait begins */
};
#define NOBODY UINT32_MAX

struct row {
	enum { ROW_FREE, ROW_RUNS, ROW_TAIL, ROW_DONE } state;
	lvx_feed_fn feed;
	void *user;
	struct lvx_delayed policy;
	struct lvx_script script;
	int32_t *prefix; /* [max_prefix] */
	uint32_t n_prefix;
	int64_t prefix_at; /* the slot before which it stands */
	bool prefix_due;   /* to be run, or run anew before the next slot */
	float *values; /* what the feed gave */
	struct lvx_feed_item item;
	const float *input; /* what item says */
	bool has_item; /* not worked off yet */
	bool heard;    /* a slot, since the context was empty */
	bool ready;    /* there is a run for this batch */
	bool ending;   /* the tail's reason: the end, not a gap */
	uint32_t tail_run, tail_max;
	struct lvx_trail *trail; /* others follow, else NULL */
	bool left_trail;	 /* this input is in it */
	uint32_t of;		 /* follows this row, or NOBODY */
	uint64_t next;		 /* of its trail */
	bool in_batch;
	bool busy; /* a long run of it is on its way */
};

struct batch {
	struct lvx_run *runs; /* [n_rows] */
	uint32_t n, room;
};

struct lvx_scheduler {
	const struct lvx_model *model;
	struct lvx_runner *runner;
	struct row *rows;
	uint32_t n_rows;
	size_t n_values; /* of an input, at most */
	uint32_t first_slot, first_long; /* whose turn it is */
	float *silence;                  /* a slot */
	float *values;                   /* all the rows' */
	int32_t *prefixes;
	struct batch slots, longs; /* of this tick; on their way */
	struct lvx_output *outputs;
};

/* ---- set-up ---- */

/* What the front end makes of digital silence. */
static void fill_silence(float *values, const struct lvx_audio_spec *a)
{
	float v = (log10f(a->log_floor) + a->log_offset) * a->log_scale;
	for (uint32_t i = 0; i < lvx_audio_slot_values(a); i++)
		values[i] = v;
}

enum lvx_status lvx_scheduler_create(struct lvx_scheduler **out, const struct lvx_model *model,
	struct lvx_runner *runner, uint32_t n_rows, struct lvx_error *err)
{
	const struct lvx_frontend_spec *spec = &model->info.frontend;
	size_t slot = lvx_audio_slot_values(&spec->audio), room = slot;
	size_t picture = spec->image.enabled ? (size_t)lvx_image_patches(&spec->image) *
						       lvx_image_patch_values(&spec->image)
					     : 0;
	room = picture > room ? picture : room;
	struct lvx_scheduler *s = calloc(1, sizeof(*s));
	if (!s)
		return lvx_fail(err, LVX_ENOMEM, "scheduler: out of memory");
	s->model = model;
	s->runner = runner;
	s->n_rows = n_rows;
	s->n_values = room;
	size_t max_prefix = model->info.max_prefix;
	s->rows = calloc(n_rows, sizeof(*s->rows));
	s->silence = calloc(slot, sizeof(*s->silence));
	s->values = calloc(n_rows * room, sizeof(*s->values));
	s->prefixes = calloc(n_rows * max_prefix + 1, sizeof(*s->prefixes));
	s->slots.runs = calloc(n_rows, sizeof(*s->slots.runs));
	s->longs.runs = calloc(n_rows, sizeof(*s->longs.runs));
	s->outputs = calloc(n_rows, sizeof(*s->outputs));
	if (!s->rows || !s->silence || !s->values || !s->prefixes || !s->slots.runs ||
		!s->longs.runs || !s->outputs) {
		lvx_scheduler_destroy(s);
		return lvx_fail(err, LVX_ENOMEM, "scheduler: out of memory");
	}
	fill_silence(s->silence, &spec->audio);
	for (uint32_t i = 0; i < n_rows; i++) {
		s->rows[i].values = s->values + i * room;
		s->rows[i].prefix = s->prefixes + i * max_prefix;
		s->rows[i].of = NOBODY;
	}
	*out = s;
	return LVX_OK;
}

void lvx_scheduler_destroy(struct lvx_scheduler *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->rows && i < s->n_rows; i++)
		free(s->rows[i].trail);
	free(s->rows);
	free(s->silence);
	free(s->values);
	free(s->prefixes);
	free(s->slots.runs);
	free(s->longs.runs);
	free(s->outputs);
	free(s);
}

/*
 * The first words of the prefix that fit as a whole: title and names come
 * first, and the model learnt from prefixes cut in this way, of words without the
 * punctuation around them. A word that the tokenizer cannot take is left out.
 */
static void set_prefix(struct lvx_scheduler *s, struct row *row, const char *text, uint32_t *n_words)
{
	static const char around[] = ".,?!;:\"()"; /* model/training/batches.py */
	char word[256];
	row->n_prefix = 0;
	*n_words = 0;
	while (text && *text) {
		text += strspn(text, " \t\n\v\f\r");
		size_t len = strcspn(text, " \t\n\v\f\r");
		const char *first = text;
		size_t n_kept = len;
		while (n_kept > 0 && strchr(around, first[n_kept - 1]))
			n_kept--;
		while (n_kept > 0 && strchr(around, *first)) {
			first++;
			n_kept--;
		}
		if (n_kept == 0)
			*n_words += len > 0;
		if (n_kept > 0 && n_kept < sizeof(word)) {
			memcpy(word, first, n_kept);
			word[n_kept] = '\0';
			size_t n = s->model->info.max_prefix - row->n_prefix;
			if (lvx_tokenizer_encode(s->model->tokenizer, word,
				    row->prefix + row->n_prefix, &n) != LVX_OK)
				break;
			row->n_prefix += (uint32_t)n;
			++*n_words;
		}
		text += len;
	}
	row->prefix_due = row->n_prefix > 0;
}

/* A further row begins with what comes next. */
static enum lvx_status follow(struct lvx_scheduler *s, struct row *row,
	const struct lvx_row_params *p, struct lvx_error *err)
{
	struct row *of = p->of < s->n_rows ? &s->rows[p->of] : NULL;
	if (!of || of->state == ROW_FREE || of->state == ROW_DONE || of->of != NOBODY)
		return lvx_fail(err, LVX_EINVAL, "row %u cannot be followed", p->of);
	if (p->lanes & row->policy.caption)
		return lvx_fail(err, LVX_EINVAL, "a further row makes no captions");
	if (!of->trail && !(of->trail = lvx_trail_create(s->n_values)))
		return lvx_fail(err, LVX_ENOMEM, "scheduler: out of memory");
	lvx_delayed_hear_as(&row->policy, &of->policy);
	row->of = p->of;
	row->next = of->trail->n;
	row->n_prefix = of->n_prefix;
	memcpy(row->prefix, of->prefix, of->n_prefix * sizeof(*row->prefix));
	row->prefix_due = row->n_prefix > 0;
	return LVX_OK;
}

enum lvx_status lvx_scheduler_add(struct lvx_scheduler *s, const struct lvx_row_params *p,
	uint32_t *out, struct lvx_error *err)
{
	uint32_t i = 0;
	while (i < s->n_rows && s->rows[i].state != ROW_FREE)
		i++;
	if (i == s->n_rows)
		return lvx_fail(err, LVX_ELIMIT, "all %u rows are taken", s->n_rows);
	if (p->lanes >> s->model->info.n_lanes != 0)
		return lvx_fail(err, LVX_EINVAL, "lanes 0x%x; model %s has %u", p->lanes,
			s->model->info.name, s->model->info.n_lanes);
	struct row *row = &s->rows[i];
	enum lvx_status st =
		lvx_delayed_init(&row->policy, s->model, i, p, err);
	if (st != LVX_OK)
		return st;
	row->of = NOBODY;
	uint32_t n_words = 0;
	if (!p->follows)
		set_prefix(s, row, p->prefix, &n_words);
	else if ((st = follow(s, row, p, err)) != LVX_OK)
		return st;
	if (p->n_prefix_words)
		*p->n_prefix_words = n_words;
	lvx_script_init(&row->script, s->model, row->policy.delay_slots, p->spelling, p->on_event,
		p->user);
	row->feed = p->feed;
	row->user = p->user;
	row->has_item = row->heard = row->ready = row->left_trail = row->busy = false;
	row->state = ROW_RUNS;
	lvx_runner_reset_row(s->runner, i);
	*out = i;
	return LVX_OK;
}

/* What it has on its way no longer matters. */
static void drop_run(struct lvx_scheduler *s, uint32_t row)
{
	if (s->rows[row].busy)
		lvx_runner_reset_row(s->runner, row);
	s->rows[row].busy = false;
}

void lvx_scheduler_remove(struct lvx_scheduler *s, uint32_t row)
{
	if (row >= s->n_rows || s->rows[row].state == ROW_FREE)
		return;
	uint32_t of = s->rows[row].of;
	drop_run(s, row);
	s->rows[row].state = ROW_FREE;
	s->rows[row].of = NOBODY;
	bool followed = false;
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *other = &s->rows[i];
		followed |= of != NOBODY && other->of == of;
		if (other->of == row) { /* nothing more comes */
			drop_run(s, i);
			other->state = ROW_DONE;
			other->of = NOBODY;
		}
	}
	if (!followed) {
		struct row *last = &s->rows[of == NOBODY ? row : of];
		free(last->trail);
		last->trail = NULL;
	}
}

void lvx_scheduler_set_lanes(struct lvx_scheduler *s, uint32_t index, uint32_t lanes)
{
	if (index >= s->n_rows || s->rows[index].state == ROW_FREE)
		return;
	struct row *row = &s->rows[index];
	lvx_delayed_set_lanes(&row->policy, lanes);
	for (uint32_t i = 0; i < s->model->info.n_lanes; i++)
		if (!(row->policy.lanes >> i & 1))
			lvx_script_drop_lane(&row->script, i);
}

/* ---- the trail ---- */

/* Those that follow have taken so much that a gap and a run can be added. */
static bool trail_has_room(const struct lvx_scheduler *s, uint32_t index)
{
	const struct lvx_trail *t = s->rows[index].trail;
	for (uint32_t i = 0; t && i < s->n_rows; i++) {
		const struct row *row = &s->rows[i];
		if (row->of == index && row->state != ROW_DONE &&
			t->n - row->next > LVX_TRAIL_ENTRIES - 2)
			return false;
	}
	return true;
}

/* The run that goes into the batch, for those that follow. */
static void leave_run(struct row *row, const struct lvx_run *run)
{
	if (!row->trail || row->left_trail || run->kind == LVX_RUN_PREFIX)
		return;
	struct lvx_trail_entry e = {.kind = run->kind == LVX_RUN_PICTURE ? LVX_TRAIL_PICTURE
					    : row->state == ROW_TAIL	 ? LVX_TRAIL_SILENCE
									 : LVX_TRAIL_SLOT,
		.pts_us = row->item.pts_us,
		.caption = lvx_delayed_caption(&row->policy)};
	lvx_trail_add(row->trail, &e, e.kind == LVX_TRAIL_SILENCE ? NULL : row->input);
	row->left_trail = true;
}

static void leave_mark(struct row *row, const struct lvx_trail_entry *e)
{
	if (row->trail)
		lvx_trail_add(row->trail, e, NULL);
}

/* ---- gaps and the end ---- */

static void begin_tail(struct row *row, bool ending, int64_t max)
{
	int64_t most = (int64_t)row->policy.delay_slots + 1 + TAIL_MORE;
	row->ending = ending;
	row->tail_run = 0;
	row->tail_max = (uint32_t)(max < most ? max : most);
	row->state = ROW_TAIL;
}

/* What comes next is at pts_us. */
static void pass_gap(
	struct lvx_scheduler *s, struct row *row, int64_t pts_us, int64_t gap_us, bool anew)
{
	if (anew)
		lvx_script_flush(&row->script);
	lvx_script_gap(&row->script, pts_us - gap_us, pts_us);
	if (anew) {
		lvx_runner_reset_row(s->runner, row->policy.row);
		lvx_delayed_restart(&row->policy);
		lvx_script_restart(&row->script);
		row->prefix_due = row->n_prefix > 0;
		row->heard = false;
	}
}

/* The gap is worked off: what follows it is next. */
static void end_gap(struct lvx_scheduler *s, struct row *row)
{
	const struct lvx_model_info *info = &s->model->info;
	int64_t gap_us = row->item.gap_us, pts_us = row->item.pts_us;
	bool anew = row->heard && gap_us > (int64_t)info->window_slots * info->slot_us;
	row->item.gap_us = 0;
	row->state = ROW_RUNS;
	leave_mark(row, &(struct lvx_trail_entry){.kind = LVX_TRAIL_GAP,
				.pts_us = pts_us,
				.gap_us = gap_us,
				.anew = anew});
	pass_gap(s, row, pts_us, gap_us, anew);
}

static void end_row(struct row *row)
{
	row->state = ROW_DONE;
	leave_mark(row, &(struct lvx_trail_entry){.kind = LVX_TRAIL_END});
	lvx_script_end(&row->script);
}

/* There is nothing more to hear; what was heard is still to be said. */
static void end_input(struct row *row)
{
	if (row->heard)
		begin_tail(row, true, INT64_MAX);
	else
		end_row(row);
}

/* A slot of silence is done. */
static void step_tail(struct lvx_scheduler *s, struct row *row)
{
	uint32_t least = row->policy.delay_slots + 1 + QUIET_SLOTS;
	bool said = ++row->tail_run >= least &&
		    lvx_script_is_quiet(&row->script, row->policy.lanes, QUIET_SLOTS);
	if (!said && row->tail_run < row->tail_max)
		return;
	if (row->ending) {
		end_row(row);
		return;
	}
	if (said)
		lvx_script_flush(&row->script);
	end_gap(s, row);
}

/* ---- a tick ---- */

/* The next input of a row that follows another. */
static bool get_followed(struct lvx_scheduler *s, struct row *row)
{
	struct lvx_trail *t = s->rows[row->of].trail;
	const struct lvx_trail_entry *e = NULL;
	for (;; row->next++) {
		if (row->next == t->n)
			return row->prefix_due;
		e = &t->entries[row->next % LVX_TRAIL_ENTRIES];
		if (e->kind == LVX_TRAIL_GAP)
			pass_gap(s, row, e->pts_us, e->gap_us, e->anew && row->heard);
		else if (e->kind != LVX_TRAIL_SILENCE || row->heard)
			break;
	}
	if (row->prefix_due)
		return true;
	if (e->kind == LVX_TRAIL_END) {
		/* Who makes the captions has said all. */
		if (row->policy.given)
			lvx_delayed_follow(&row->policy, s->model->config.pad_token);
		end_input(row);
		return row->state == ROW_TAIL;
	}
	bool silence = e->kind == LVX_TRAIL_SILENCE;
	row->has_item = true;
	row->item.kind = e->kind == LVX_TRAIL_PICTURE ? LVX_FEED_PICTURE : LVX_FEED_SLOT;
	row->item.pts_us = silence ? LVX_NOT_TIMED : e->pts_us;
	row->input = silence ? s->silence : lvx_trail_values(t, row->next);
	if (e->kind != LVX_TRAIL_PICTURE)
		lvx_delayed_follow(&row->policy, e->caption);
	return true;
}

/* Gets the next input of a row. False: none is ready. */
static bool get_input(struct lvx_scheduler *s, struct row *row)
{
	if (row->state == ROW_TAIL || (row->state == ROW_RUNS && row->prefix_due))
		return true;
	if (row->state != ROW_RUNS)
		return false;
	if (row->has_item)
		return true;
	if (row->of != NOBODY)
		return get_followed(s, row);
	row->item = (struct lvx_feed_item){.kind = LVX_FEED_SLOT};
	enum lvx_status st = row->feed(row->user, &row->item, row->values);
	if (st == LVX_AGAIN)
		return false;
	if (st != LVX_OK) {
		end_input(row);
		return row->state == ROW_TAIL;
	}
	row->has_item = true;
	row->input = row->values;
	if (row->item.kind == LVX_FEED_SLOT && row->item.gap_us > 0) {
		int64_t slots = row->item.gap_us / s->model->info.slot_us;
		if (row->heard && slots > 0)
			begin_tail(row, false, slots);
		else
			end_gap(s, row);
	}
	return true;
}

static bool is_long(const struct row *row)
{
	return row->state == ROW_RUNS &&
	       (row->prefix_due || (row->has_item && row->item.kind == LVX_FEED_PICTURE));
}

/* Puts a row's next run into a batch. False: it does not fit. */
static bool put(struct lvx_scheduler *s, struct row *row, struct batch *batch)
{
	struct lvx_run *run = &batch->runs[batch->n];
	if (row->state == ROW_TAIL)
		lvx_delayed_slot(&row->policy, s->silence, run);
	else if (row->prefix_due)
		lvx_delayed_prefix(&row->policy, row->prefix, row->n_prefix, run);
	else if (row->item.kind == LVX_FEED_PICTURE)
		lvx_delayed_picture(&row->policy, row->input, run);
	else
		lvx_delayed_slot(&row->policy, row->input, run);
	if (run->n > batch->room)
		return false;
	batch->room -= run->n;
	batch->n++;
	row->ready = false;
	row->in_batch = true;
	leave_run(row, run);
	return true;
}

/* Every slot that is ready, from the row on whose turn it is. */
static void put_slots(struct lvx_scheduler *s)
{
	uint32_t begin = s->first_slot;
	for (uint32_t k = 0; k < s->n_rows; k++) {
		uint32_t i = (begin + k) % s->n_rows;
		struct row *row = &s->rows[i];
		if (!row->ready || is_long(row))
			continue;
		if (!put(s, row, &s->slots))
			return;
		s->first_slot = (i + 1) % s->n_rows;
	}
}

/* At most max long runs; of rows that follow others all that fit: they go with those. */
static void put_long(struct lvx_scheduler *s, uint32_t max, bool followers)
{
	uint32_t begin = s->first_long;
	for (uint32_t k = 0; k < s->n_rows && max > 0; k++) {
		uint32_t i = (begin + k) % s->n_rows;
		struct row *row = &s->rows[i];
		if (!row->ready || !is_long(row) || (followers && row->of == NOBODY))
			continue;
		if (!put(s, row, &s->longs))
			return;
		row->busy = true;
		if (!followers)
			s->first_long = (i + 1) % s->n_rows;
		max--;
	}
}

static void took(struct lvx_scheduler *s, const struct lvx_run *run, const struct lvx_output *o)
{
	struct row *row = &s->rows[run->row];
	if (row->of != NOBODY && row->state == ROW_RUNS && run->kind != LVX_RUN_PREFIX)
		row->next++;
	row->left_trail = false;
	switch (run->kind) {
	case LVX_RUN_PREFIX:
		row->prefix_due = false;
		row->prefix_at = row->policy.slot;
		break;
	case LVX_RUN_PICTURE:
		row->has_item = false;
		break;
	case LVX_RUN_SLOT:
		lvx_delayed_took(&row->policy, run, o);
		row->prefix_due = row->n_prefix > 0 && row->policy.slot - row->prefix_at >=
							       2 * (int64_t)s->model->info.window_slots;
		if (row->state == ROW_TAIL) {
			lvx_script_slot(&row->script, row->policy.lanes, o, LVX_NOT_TIMED);
			step_tail(s, row);
			break;
		}
		row->has_item = false;
		row->heard = row->heard || row->item.pts_us != LVX_NOT_TIMED;
		lvx_script_slot(&row->script, row->policy.lanes, o, row->item.pts_us);
		break;
	}
}

/* What these rows follow has just gone into the batch; they go with it. */
static bool get_more(struct lvx_scheduler *s)
{
	bool any = false;
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *row = &s->rows[i];
		if (row->of == NOBODY || row->ready || row->in_batch || row->busy)
			continue;
		row->ready = get_input(s, row);
		any |= row->ready;
	}
	return any;
}

static enum lvx_status run_slots(struct lvx_scheduler *s, uint32_t *n_done)
{
	struct batch *b = &s->slots;
	enum lvx_status st =
		b->n ? lvx_runner_step(s->runner, b->runs, b->n, s->outputs) : LVX_OK;
	if (st != LVX_OK)
		return st;
	for (uint32_t i = 0; i < b->n; i++)
		took(s, &b->runs[i], &s->outputs[i]);
	*n_done += b->n;
	return LVX_OK;
}

/* Long runs that wait are on their way from now on. */
static enum lvx_status begin_long(struct lvx_scheduler *s)
{
	uint32_t n_wait = 0;
	for (uint32_t i = 0; i < s->n_rows; i++)
		n_wait += s->rows[i].ready && is_long(&s->rows[i]);
	if (n_wait == 0)
		return LVX_OK;
	s->longs.room = lvx_runner_max_long(s->runner);
	put_long(s, 1 + (n_wait - 1) / LONG_SHARE, false);
	if (get_more(s))
		put_long(s, s->n_rows, true);
	return lvx_runner_begin(s->runner, s->longs.runs, s->longs.n);
}

/* One piece of them. */
static enum lvx_status run_long(struct lvx_scheduler *s, uint32_t *n_done)
{
	struct batch *b = &s->longs;
	bool done;
	enum lvx_status st = lvx_runner_go_on(s->runner, &done);
	if (st != LVX_OK)
		return st;
	*n_done += b->n;
	if (!done)
		return LVX_OK;
	for (uint32_t i = 0; i < b->n; i++) {
		struct row *row = &s->rows[b->runs[i].row];
		if (row->busy)
			took(s, &b->runs[i], NULL);
		row->busy = false;
	}
	b->n = 0;
	return LVX_OK;
}

enum lvx_status lvx_scheduler_tick(struct lvx_scheduler *s, uint32_t *n_done)
{
	*n_done = 0;
	s->slots.n = 0;
	s->slots.room = lvx_runner_max_positions(s->runner);
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *row = &s->rows[i];
		row->in_batch = false;
		row->ready = !row->busy && trail_has_room(s, i) && get_input(s, row);
	}
	put_slots(s);
	if (get_more(s))
		put_slots(s);
	enum lvx_status st = run_slots(s, n_done);
	if (st == LVX_OK && s->longs.n == 0)
		st = begin_long(s);
	if (st == LVX_OK && s->longs.n)
		st = run_long(s, n_done);
	return st;
}
