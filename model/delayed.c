/* SPDX-License-Identifier: Apache-2.0 */
#include "model/delayed.h"

#include "model/model_priv.h"

#include <stdio.h>
#include <string.h>

/* The condition to:LANG; -1: the model has none. */
static int32_t condition_to(const struct lvx_model *model, const char *language)
{
	char name[32];
	snprintf(name, sizeof(name), "to:%s", language);
	return lvx_model_condition(model, name);
}

static enum lvx_status find_language(
	struct lvx_delayed *d, const char *translate_to, struct lvx_error *err)
{
	int lane = lvx_model_lane(d->model, "translation");
	if (!translate_to)
		return LVX_OK;
	if (lane < 0)
		return lvx_fail(err, LVX_EINVAL,
			"translate_to is '%.32s', but model %s has no "
			"translation lane",
			translate_to, d->model->info.name);
	const struct lvx_lane_info *info = &d->model->info.lanes[lane];
	char known[8 * 14] = "";
	size_t at = 0;
	for (uint32_t i = 0; i < info->n_languages; i++) {
		if (strcmp(info->languages[i], translate_to) == 0) {
			d->translation = 1u << lane;
			d->to = condition_to(d->model, translate_to);
			return LVX_OK;
		}
		at += (size_t)snprintf(
			known + at, sizeof(known) - at, "%s%s", i ? ", " : "", info->languages[i]);
	}
	return lvx_fail(err, LVX_EINVAL, "translate_to is '%.32s'; model %s knows %s", translate_to,
		d->model->info.name, known);
}

enum lvx_status lvx_delayed_init(struct lvx_delayed *d, const struct lvx_model *model, uint32_t row,
	uint32_t lanes, const char *translate_to, struct lvx_error *err)
{
	*d = (struct lvx_delayed){.model = model, .row = row, .to = -1};
	int caption = lvx_model_lane(model, "caption");
	d->caption = caption >= 0 ? 1u << caption : 0;
	d->style = lvx_model_condition(model, "style:cased");
	enum lvx_status st = find_language(d, translate_to, err);
	if (st != LVX_OK)
		return st;
	lvx_delayed_restart(d);
	lvx_delayed_set_lanes(d, lanes);
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
	d->n_conditions = 0;
	if (d->style >= 0)
		d->conditions[d->n_conditions++] = d->style;
	if (d->to >= 0 && (lanes & d->translation))
		d->conditions[d->n_conditions++] = d->to;
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
	run->position = -(int64_t)n;
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
