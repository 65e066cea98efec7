/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows come and go: what a row is told when it is added (its prefix, whom it follows), and who
 * else is done when it is removed.
 */
#include "model/scheduler.h"

#include "model/scheduler_priv.h"

#include <stdlib.h>
#include <string.h>

/*
 * The first words of the prefix that fit as a whole: title and names come
 * first, and the model learnt from prefixes cut in this way, of words without the
 * punctuation around them. A word that the tokenizer cannot take is left out.
 */
static void set_prefix(
	struct lvx_scheduler *s, struct row *row, const char *text, uint32_t *n_words)
{
	char word[256];
	row->n_prefix = 0;
	*n_words = 0;
	while (text && *text) {
		text += strspn(text, " \t\n\v\f\r");
		size_t len = strcspn(text, " \t\n\v\f\r");
		size_t n_kept = len;
		const char *first = lvx_word_bare(text, &n_kept);
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
	enum lvx_status st = lvx_delayed_init(&row->policy, s->model, i, p, err);
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
	if (p->favour && row->policy.caption == 1 &&
		(st = lvx_favour_create(&row->favour, s->model->tokenizer, p->favour, NULL, err)) != LVX_OK)
		return st;
	lvx_script_init(
		&row->script, s->model, row->policy.delay_slots, p->spelling, p->on_event, p->user);
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
	lvx_favour_destroy(s->rows[row].favour);
	s->rows[row].favour = NULL;
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
