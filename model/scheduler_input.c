/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a row runs next: from its feed, or from the trail of the row that it follows.
 *
 * A gap of the timeline is heard as silence, as far as that lets the words
 * before it come out (they come delay_slots later than the sound); only then it
 * is told. After a gap longer than the audio window the row starts anew, prefix
 * included; after a shorter one it goes on, and so does a word that a gap
 * shorter than the delay cuts.
 *
 * A pause: a long stream is heard worse than its beginning (docs/MODEL.md, "Hours on end"), so a
 * row that has run for anew_slots begins anew where nobody speaks, once what was heard has been
 * said, for which it hears silence that is not on the timeline. On the timeline nothing changes.
 * A row that describes then tells again what it sees, which is not given out (script.h).
 *
 * A further row runs what the row that it follows has put into a batch, mostly in
 * the same batch. Where it is so late that the trail is full (its pictures wait),
 * the other waits for it: a row that hears everything is slower, not another text.
 */
#include "model/scheduler_priv.h"

enum {
	QUIET_SLOTS = 3, /* lanes that say nothing for so long have said all */
	TAIL_MORE = 50,  /* slots beyond the delay for what is still to be said */
	REST_SLOTS = 1,  /* since speech was found to have ended: a pause */
};

/* ---- the trail ---- */

/* Those that follow have taken so much that a gap and a run can be added. */
bool lvx_scheduler_trail_has_room(const struct lvx_scheduler *s, uint32_t index)
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
void lvx_scheduler_leave_run(struct row *row, const struct lvx_run *run)
{
	if (!row->trail || row->left_trail || run->kind == LVX_RUN_PREFIX)
		return;
	struct lvx_trail_entry e = {.kind = run->kind == LVX_RUN_PICTURE ? LVX_TRAIL_PICTURE
					    : row->state == ROW_TAIL     ? LVX_TRAIL_SILENCE
									 : LVX_TRAIL_SLOT,
		.pts_us = row->item.pts_us,
		.changed = row->item.changed,
		.pause = row->script.pausing,
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

/* The context is empty. */
static void begin_anew(struct lvx_scheduler *s, struct row *row)
{
	lvx_runner_reset_row(s->runner, row->policy.row);
	lvx_delayed_restart(&row->policy);
	if (row->favour)
		lvx_favour_restart(row->favour);
	row->prefix_due = row->n_prefix > 0;
	row->heard = false;
}

/* What comes next is at pts_us. */
static void pass_gap(
	struct lvx_scheduler *s, struct row *row, int64_t pts_us, int64_t gap_us, bool anew)
{
	if (anew)
		lvx_script_flush(&row->script);
	lvx_script_gap(&row->script, pts_us - gap_us, pts_us);
	if (anew) {
		begin_anew(s, row);
		lvx_script_restart(&row->script);
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
	leave_mark(row,
		&(struct lvx_trail_entry){
			.kind = LVX_TRAIL_GAP, .pts_us = pts_us, .gap_us = gap_us, .anew = anew});
	pass_gap(s, row, pts_us, gap_us, anew);
}

/* ---- pauses ---- */

/* Slots of silence after which a row has said what it heard, if its lanes are quiet. */
static uint32_t said_after(const struct row *row)
{
	return row->policy.delay_slots + 1 + QUIET_SLOTS;
}

/* Between two slots of the timeline. */
static void begin_anew_in_pause(struct lvx_scheduler *s, struct row *row)
{
	lvx_script_close_words(&row->script);
	lvx_script_retell(&row->script, row->policy.lanes & ~(row->policy.caption | row->policy.translation));
	begin_anew(s, row);
}

static void end_pause(struct lvx_scheduler *s, struct row *row)
{
	row->state = ROW_RUNS;
	leave_mark(row, &(struct lvx_trail_entry){.kind = LVX_TRAIL_PAUSE, .pts_us = row->item.pts_us});
	lvx_script_pause(&row->script, false);
	begin_anew_in_pause(s, row);
}

/* The coming slot's row is old and nobody speaks. */
static void look_for_pause(struct lvx_scheduler *s, struct row *row)
{
	uint32_t after = s->model->config.anew_slots, least = said_after(row);
	if (after == 0 || row->policy.slot < after || !row->heard ||
		!lvx_script_rests(&row->script, REST_SLOTS))
		return;
	/* A long one has been silence enough, but for a picture that has only just come. */
	if (lvx_script_rests(&row->script, least) && !lvx_script_saw(&row->script, least) &&
		lvx_script_is_quiet(&row->script, row->policy.lanes, least)) {
		end_pause(s, row);
		return;
	}
	begin_tail(row, false, INT64_MAX);
	lvx_script_pause(&row->script, true);
}

/* What this row follows has begun anew. It does so too, unless it still has something to say: then in a later pause. */
static void pass_pause(struct lvx_scheduler *s, struct row *row)
{
	lvx_script_pause(&row->script, false);
	if (row->heard && lvx_script_is_quiet(&row->script, row->policy.lanes, QUIET_SLOTS))
		begin_anew_in_pause(s, row);
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
void lvx_scheduler_step_tail(struct lvx_scheduler *s, struct row *row)
{
	bool said = ++row->tail_run >= said_after(row) &&
		    lvx_script_is_quiet(&row->script, row->policy.lanes, QUIET_SLOTS);
	if (!said && row->tail_run < row->tail_max)
		return;
	if (row->ending) {
		end_row(row);
		return;
	}
	if (row->script.pausing) {
		end_pause(s, row);
		return;
	}
	if (said)
		lvx_script_flush(&row->script);
	end_gap(s, row);
}

/* ---- the next input ---- */

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
		else if (e->kind == LVX_TRAIL_PAUSE)
			pass_pause(s, row);
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
	row->item.changed = e->changed;
	row->input = silence ? s->silence : lvx_trail_values(t, row->next);
	lvx_script_pause(&row->script, e->pause);
	if (e->kind != LVX_TRAIL_PICTURE)
		lvx_delayed_follow(&row->policy, e->caption);
	return true;
}

/* Gets the next input of a row. False: none is ready. */
bool lvx_scheduler_get_input(struct lvx_scheduler *s, struct row *row)
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
	} else if (row->item.kind == LVX_FEED_SLOT) {
		look_for_pause(s, row);
	}
	return true;
}
