/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy of the delayed-streams family: one slot is one position and gives
 * one token a lane. Each lane is fed back what it emitted one slot ago; PAD at
 * slot 0 and where it is off. A picture has the position of the slot that it
 * comes before, the prefix the positions before it. The row's conditions go
 * with every run. In the caller's memory; knows neither words nor time.
 */
#ifndef LVX_MODEL_DELAYED_H
#define LVX_MODEL_DELAYED_H

#include "model/scheduler.h"

struct lvx_delayed {
	const struct lvx_model *model;
	uint32_t row;
	int64_t slot;               /* number of the next one */
	uint32_t lanes;             /* those that are on */
	uint32_t computed;          /* and those that they build on: a translation on the captions */
	int32_t fed[LVX_LANES_MAX]; /* for the next slot */
	uint32_t caption;           /* that lane's bit, or 0 */
	bool given;                 /* the captions come from another row: lvx_delayed_follow */
	uint32_t translation;       /* that lane's bit, 0: there is none, or no language for it */
	uint32_t delay_slots;       /* the row's */
	int32_t style, in, to, delay; /* conditions, -1: the model has none such */
	int32_t conditions[4];
	uint32_t n_conditions;
};

/* What of a row's parameters is the policy's (scheduler.h). LVX_EINVAL names what is allowed. */
enum lvx_status lvx_delayed_init(struct lvx_delayed *d, const struct lvx_model *model, uint32_t row,
	const struct lvx_row_params *params, struct lvx_error *err);
void lvx_delayed_set_lanes(struct lvx_delayed *d, uint32_t lanes); /* unknown bits are ignored */
void lvx_delayed_restart(struct lvx_delayed *d);                   /* the row is empty again */

/* Runs; what they point to must live until the step. */
void lvx_delayed_prefix(
	const struct lvx_delayed *d, const int32_t *tokens, uint32_t n, struct lvx_run *run);
void lvx_delayed_picture(const struct lvx_delayed *d, const float *values, struct lvx_run *run);
void lvx_delayed_slot(const struct lvx_delayed *d, const float *values, struct lvx_run *run);
/* Hears the same sound: in the language, and with the delay, of that row. */
void lvx_delayed_hear_as(struct lvx_delayed *d, const struct lvx_delayed *of);
/*
 * What the captions feed into the next slot comes from another row, which hears the same:
 * token, or -1: that row makes none, so this one makes those that its lanes build on.
 */
void lvx_delayed_follow(struct lvx_delayed *d, int32_t token);
/* What the captions feed into the next slot; -1: this row does not make them. */
int32_t lvx_delayed_caption(const struct lvx_delayed *d);
/* The slot's output is there: what it said is fed to the next. */
void lvx_delayed_took(struct lvx_delayed *d, const struct lvx_run *run, const struct lvx_output *o);

#endif
