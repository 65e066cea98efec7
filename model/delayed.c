/* SPDX-License-Identifier: Apache-2.0 */
#include "model/delayed.h"

#include "model/model_priv.h"

#include <stdio.h>
#include <string.h>

/* The condition KIND:VALUE; -1: the model has none. */
static int32_t condition(const struct lvx_model *model, const char *kind, const char *value)
{
	char name[32];
	snprintf(name, sizeof(name), "%s:%s", kind, value);
	return lvx_model_condition(model, name);
}

static enum lvx_status find_languages(
	struct lvx_delayed *d, const struct lvx_row_params *p, struct lvx_error *err)
{
	enum lvx_status st = lvx_model_info_check_languages(
		&d->model->info, "row", p->language, p->translate_to, err);
	if (st != LVX_OK)
		return st;
	/* A model may find out by itself alone: then it has no such condition. */
	if (p->language)
		d->in = condition(d->model, "in", p->language);
	if (p->translate_to) {
		d->translation = 1u << lvx_model_lane(d->model, "translation");
		d->to = condition(d->model, "to", p->translate_to);
	}
	return LVX_OK;
}

static enum lvx_status find_delay(struct lvx_delayed *d, uint32_t slots, struct lvx_error *err)
{
	char value[16];
	d->delay_slots = slots ? slots : d->model->info.delay_slots;
	if (!lvx_model_info_knows_delay(&d->model->info, d->delay_slots))
		return lvx_fail(err, LVX_EINVAL, "model %s knows no delay of %u slots",
			d->model->info.name, slots);
	snprintf(value, sizeof(value), "%u", d->delay_slots);
	d->delay = condition(d->model, "delay", value);
	return LVX_OK;
}

enum lvx_status lvx_delayed_init(struct lvx_delayed *d, const struct lvx_model *model, uint32_t row,
	const struct lvx_row_params *params, struct lvx_error *err)
{
	*d = (struct lvx_delayed){.model = model, .row = row, .in = -1, .to = -1};
	int caption = lvx_model_lane(model, "caption");
	d->caption = caption >= 0 ? 1u << caption : 0;
	d->style = lvx_model_condition(model, "style:cased");
	enum lvx_status st = find_languages(d, params, err);
	if (st == LVX_OK)
		st = find_delay(d, params->delay_slots, err);
	if (st != LVX_OK)
		return st;
	lvx_delayed_restart(d);
	lvx_delayed_set_lanes(d, params->lanes);
	return LVX_OK;
}

void lvx_delayed_set_lanes(struct lvx_delayed *d, uint32_t lanes)
{
	int translation = lvx_model_lane(d->model, "translation");
	lanes &= (1u << d->model->info.n_lanes) - 1;
	if (translation >= 0 && !d->translation)
		lanes &= ~(1u << translation);
	d->lanes = d->computed = lanes;
	/* What is translated are the captions, whether somebody reads them or not. */
	if (lanes & d->translation)
		d->computed |= d->caption;
	for (uint32_t i = 0; i < LVX_LANES_MAX; i++)
		if (!(d->computed >> i & 1))
			d->fed[i] = d->model->config.pad_token;
	int32_t to = lanes & d->translation ? d->to : -1;
	const int32_t wanted[] = {d->style, d->in, to, d->delay};
	d->n_conditions = 0;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (wanted[i] >= 0)
			d->conditions[d->n_conditions++] = wanted[i];
}

void lvx_delayed_restart(struct lvx_delayed *d)
{
	d->slot = 0;
	for (uint32_t i = 0; i < LVX_LANES_MAX; i++)
		d->fed[i] = d->model->config.pad_token;
}

static void begin_run(const struct lvx_delayed *d, struct lvx_run *run)
{
	*run = (struct lvx_run){.row = d->row,
		.position = d->slot,
		.conditions = d->conditions,
		.n_conditions = d->n_conditions};
}

void lvx_delayed_prefix(
	const struct lvx_delayed *d, const int32_t *tokens, uint32_t n, struct lvx_run *run)
{
	begin_run(d, run);
	run->kind = LVX_RUN_PREFIX;
	run->n = n;
	run->position = d->slot - (int64_t)n;
	run->tokens = tokens;
}

void lvx_delayed_picture(const struct lvx_delayed *d, const float *values, struct lvx_run *run)
{
	begin_run(d, run);
	run->kind = LVX_RUN_PICTURE;
	run->n = lvx_image_patches(&d->model->info.frontend.image);
	run->features = values;
}

void lvx_delayed_slot(const struct lvx_delayed *d, const float *values, struct lvx_run *run)
{
	begin_run(d, run);
	run->kind = LVX_RUN_SLOT;
	run->n = 1;
	run->features = values;
	run->tokens = d->fed;
	run->want_lanes = d->given ? d->computed & ~d->caption : d->computed;
}

/* The index of a lane by its bit; LVX_LANES_MAX for none. */
static uint32_t lane_of(uint32_t bit)
{
	uint32_t i = 0;
	while (i < LVX_LANES_MAX && !(bit >> i & 1))
		i++;
	return i;
}

void lvx_delayed_hear_as(struct lvx_delayed *d, const struct lvx_delayed *of)
{
	d->in = of->in;
	d->delay = of->delay;
	d->delay_slots = of->delay_slots;
	lvx_delayed_set_lanes(d, d->lanes);
}

void lvx_delayed_follow(struct lvx_delayed *d, int32_t token)
{
	uint32_t i = lane_of(d->caption);
	d->given = token >= 0 && i < LVX_LANES_MAX;
	if (d->given)
		d->fed[i] = token;
}

int32_t lvx_delayed_caption(const struct lvx_delayed *d)
{
	return d->computed & d->caption ? d->fed[lane_of(d->caption)] : -1;
}

void lvx_delayed_took(struct lvx_delayed *d, const struct lvx_run *run, const struct lvx_output *o)
{
	const struct lvx_config *c = &d->model->config;
	for (uint32_t i = 0; i < c->n_lanes; i++) {
		bool ok = (run->want_lanes >> i & 1) && o->token[i] >= 0 &&
			  (uint32_t)o->token[i] < c->vocab;
		d->fed[i] = ok ? o->token[i] : c->pad_token;
	}
	d->slot++;
}
