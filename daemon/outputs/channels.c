/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/channels.h"

#include "base/clock.h"
#include "daemon/cues.h"
#include "daemon/event_json.h"
#include "daemon/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word comes so soon after it was heard and the model's delay is over: what is older a silence
 * makes final. */
enum { SETTLE_US = 1100000 };

struct channel {
	struct lvx_channel_setting setting;
	struct lvx_cc608 *cc;  /* NULL: the channel is empty */
	struct lvx_cues *cues; /* pop-on only */
};

struct lvx_channels {
	struct lvx_hold *hold;
	struct channel channel[2];
};

enum lvx_status lvx_channel_parse(struct lvx_channel_setting *out, const char *where,
	const char *value, struct lvx_error *err)
{
	static const struct {
		const char *name;
		int rows;
	} modes[] = {{"", 2}, {":roll2", 2}, {":roll3", 3}, {":pop", 0}};
	size_t len = strcspn(value, ":");
	if (len < sizeof(out->lane) && (len > 0 || value[0] == '\0')) {
		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
			if (strcmp(value + len, modes[i].name) != 0)
				continue;
			*out = (struct lvx_channel_setting){.rows = modes[i].rows};
			memcpy(out->lane, value, len);
			return LVX_OK;
		}
	}
	return lvx_fail(err, LVX_EINVAL,
		"%s is '%.64s'; allowed are LANE, LANE:roll2, LANE:roll3, LANE:pop, or nothing",
		where, value);
}

static void on_cue(void *user, const struct lvx_cue *cue)
{
	struct channel *ch = user;
	lvx_cc608_cue(ch->cc, cue->text, cue->start_us, cue->end_us);
}

struct lvx_channels *lvx_channels_create(
	const struct lvx_channel_setting settings[2], int64_t hold_us)
{
	struct lvx_channels *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->hold = lvx_hold_create(hold_us);
	for (int i = 0; i < 2; i++) {
		struct channel *ch = &c->channel[i];
		ch->setting = settings[i];
		if (!ch->setting.lane[0])
			continue;
		ch->cc = lvx_cc608_create(
			&(struct lvx_cc608_params){.field = i + 1, .rows = ch->setting.rows});
		if (ch->setting.rows > 0)
			continue;
		ch->cues = lvx_cues_create(on_cue, ch);
		lvx_cues_set_line(ch->cues, LVX_CC608_COLUMNS);
	}
	return c;
}

void lvx_channels_destroy(struct lvx_channels *c)
{
	if (!c)
		return;
	for (int i = 0; i < 2; i++) {
		lvx_cc608_destroy(c->channel[i].cc);
		lvx_cues_destroy(c->channel[i].cues);
	}
	lvx_hold_destroy(c->hold);
	free(c);
}

static void say(struct channel *ch, const json_t *root)
{
	struct lvx_event_word w;
	for (size_t i = 0; lvx_event_word(root, &i, &w);) {
		if (ch->cues)
			lvx_cues_word(ch->cues, w.text, w.start_us, w.end_us);
		else
			lvx_cc608_word(ch->cc, w.text, w.start_us);
	}
	if (ch->cues && lvx_event_ends_segment(root))
		lvx_cues_break(ch->cues);
}

static void release(struct lvx_channels *c, bool all)
{
	json_t *root;
	uint32_t index;
	while ((root = lvx_hold_take(c->hold, lvx_now_us(), all, &index))) {
		const char *lane = json_string_value(json_object_get(root, "lane"));
		for (int i = 0; i < 2 && lane; i++) {
			if (c->channel[i].cc && strcmp(c->channel[i].setting.lane, lane) == 0)
				say(&c->channel[i], root);
		}
		json_decref(root);
	}
}

void lvx_channels_event(struct lvx_channels *c, const struct lvx_hub_event *event)
{
	if (lvx_hold_event(c->hold, event, "the broadcast (out-delay)"))
		release(c, false);
}

void lvx_channels_tick(struct lvx_channels *c, int64_t heard_us, int64_t delay_us)
{
	release(c, false);
	int64_t settled_us = heard_us - delay_us - SETTLE_US, held_us = lvx_hold_begin_us(c->hold);
	for (int i = 0; i < 2; i++) {
		if (c->channel[i].cues)
			lvx_cues_time(
				c->channel[i].cues, held_us < settled_us ? held_us : settled_us);
	}
}

void lvx_channels_finish(struct lvx_channels *c)
{
	release(c, true);
	for (int i = 0; i < 2; i++) {
		if (c->channel[i].cues)
			lvx_cues_finish(c->channel[i].cues);
	}
}

const char *lvx_channels_unknown(const struct lvx_channels *c)
{
	for (int i = 0; i < 2; i++) {
		struct lvx_cc608_stats stats = {0};
		if (c->channel[i].cc)
			lvx_cc608_get_stats(c->channel[i].cc, &stats);
		if (stats.unknown > 0)
			return c->channel[i].setting.lane;
	}
	return NULL;
}

void lvx_channels_get(struct lvx_channels *c, struct lvx_cc608 *out[2])
{
	for (int i = 0; i < 2; i++)
		out[i] = c->channel[i].cc;
}
