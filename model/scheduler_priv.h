/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the scheduler only. scheduler.c: life and ticks; scheduler_rows.c: rows come and go;
 * scheduler_input.c: what a row runs next, where its input has gaps or ends, and what it leaves
 * for those that follow it.
 */
#ifndef LVX_MODEL_SCHEDULER_PRIV_H
#define LVX_MODEL_SCHEDULER_PRIV_H

#include "model/delayed.h"
#include "model/favour.h"
#include "model/model_priv.h"
#include "model/scheduler.h"
#include "model/script.h"
#include "model/trail.h"

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
	struct lvx_favour *favour; /* NULL: none */
	float *values;     /* what the feed gave */
	struct lvx_feed_item item;
	const float *input; /* what item says */
	bool has_item;      /* not worked off yet */
	bool heard;         /* a slot, since the context was empty */
	bool ready;         /* there is a run for this batch */
	bool ending;        /* the tail's reason: the end, not a gap */
	uint32_t tail_run, tail_max;
	struct lvx_trail *trail; /* others follow, else NULL */
	bool left_trail;         /* this input is in it */
	uint32_t of;             /* follows this row, or NOBODY */
	uint64_t next;           /* of its trail */
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
	size_t n_values;                 /* of an input, at most */
	uint32_t first_slot, first_long; /* whose turn it is */
	float *silence;                  /* a slot */
	float *values;                   /* all the rows' */
	int32_t *prefixes;
	struct batch slots, longs; /* of this tick; on their way */
	struct lvx_output *outputs;
};

/* scheduler_input.c */

/* Gets the next input of a row. False: none is ready. */
bool lvx_scheduler_get_input(struct lvx_scheduler *s, struct row *row);
/* A slot of silence is done. */
void lvx_scheduler_step_tail(struct lvx_scheduler *s, struct row *row);
/* Those that follow have taken so much that a gap and a run can be added. */
bool lvx_scheduler_trail_has_room(const struct lvx_scheduler *s, uint32_t index);
/* The run that goes into the batch, for those that follow. */
void lvx_scheduler_leave_run(struct row *row, const struct lvx_run *run);

#endif
