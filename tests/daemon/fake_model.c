/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model that hears nothing: every few slots it says a numbered word in each
 * lane that is on. It stands in for model/ so that the daemon's tests need no
 * device, are fast, and know what must come. The environment makes it worse:
 *   LVX_FAKE_FLOOD=N      N words a slot, not one in five slots
 *   LVX_FAKE_TICK_MS=N    each tick takes so long
 *   LVX_FAKE_FAIL_AFTER=N the device fails after N slots
 *   LVX_FAKE_MORE=1       two languages to understand and three delays, and each word
 *                         says what its row was told: "c7@960de"
 *   LVX_FAKE_SEES=1       it wants pictures, and forgets them
 *   LVX_FAKE_SCRIPT=FILE  says what stands there, of which each line is
 *                         HEARD_MS START_MS END_MS LANE TEXT: a segment that comes when so
 *                         much has been heard; its words share its time
 */
#include "base/clock.h"
#include "model/scheduler.h"
#include "model/spelling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 256, DELAY_SLOTS = 5, SLOTS_A_WORD = 5, WORDS_A_SEGMENT = 8 };

struct lvx_model {
	struct lvx_model_info info;
};

struct lvx_runner {
	struct lvx_runner_stats stats;
};

struct row {
	bool used, ended;
	struct lvx_row_params params;
	int64_t heard_us;
	uint64_t slots, words;
	bool orphan;
	uint32_t lane; /* that speaks */
	struct lvx_speller spellers[3];
	size_t line; /* of the script: the next */
};

struct lvx_scheduler {
	struct lvx_runner *runner;
	uint32_t n_rows;
	struct row rows[ROWS_MAX];
	float *values;
	uint64_t slots;
};

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);
	return value ? strtoull(value, NULL, 10) : otherwise;
}

/* ---- the script ---- */

enum { LINES_MAX = 4096, LINE_BYTES = 512 };

static struct line {
	int64_t heard_us, start_us, end_us;
	uint32_t lane;
	char text[LINE_BYTES];
} *lines;
static size_t n_lines;

static void read_script(const struct lvx_model_info *model, const char *path)
{
	char line[LINE_BYTES + 100], lane[24];
	FILE *f = fopen(path, "r");
	if (!f)
		abort();
	lines = calloc(LINES_MAX, sizeof(*lines));
	while (n_lines < LINES_MAX && fgets(line, sizeof(line), f)) {
		struct line *l = &lines[n_lines];
		long long ms[3];
		int at = 0;
		if (sscanf(line, "%lld %lld %lld %23s %n", &ms[0], &ms[1], &ms[2], lane, &at) < 4)
			abort();
		snprintf(l->text, sizeof(l->text), "%.*s", (int)strcspn(line + at, "\n"), line + at);
		l->heard_us = 1000 * ms[0];
		l->start_us = 1000 * ms[1];
		l->end_us = 1000 * ms[2];
		l->lane = (uint32_t)lvx_model_info_lane(model, lane);
		n_lines++;
	}
	fclose(f);
}

/* ---- the model ---- */

enum lvx_status lvx_model_load(struct lvx_model **out, const char *dir, struct lvx_error *err)
{
	if (strcmp(dir, "/nonexistent") == 0)
		return lvx_fail(err, LVX_ENOENT, "%s: no such model", dir);
	struct lvx_model *m = calloc(1, sizeof(*m));
	m->info = (struct lvx_model_info){
		.name = "fake",
		.family = "delayed_streams",
		.frontend.audio =
			{
				.sample_rate = 16000,
				.window_samples = 400,
				.n_fft = 512,
				.hop_samples = 160,
				.n_mels = 80,
				.frames_per_slot = 8,
				.f_max_hz = 8000,
				.log_floor = 1e-8f,
				.log_offset = 4,
				.log_scale = 0.25f,
			},
		.slot_us = 80000,
		.delay_slots = DELAY_SLOTS,
		.lanes =
			{
				{.name = "caption", .languages = {"en"}, .n_languages = 1},
				{.name = "translation",
					.languages = {"de", "fr"},
					.n_languages = 2},
				{.name = "description", .languages = {"en"}, .n_languages = 1},
			},
		.n_lanes = 3,
		.delays = {DELAY_SLOTS},
		.n_delays = 1,
	};
	if (env_number("LVX_FAKE_MORE", 0)) {
		static const uint32_t delays[] = {3, DELAY_SLOTS, 12};
		memcpy(m->info.delays, delays, sizeof(delays));
		m->info.n_delays = 3;
		strcpy(m->info.lanes[0].languages[1], "de");
		m->info.lanes[0].n_languages = 2;
	}
	if (env_number("LVX_FAKE_SEES", 0))
		m->info.frontend.image = (struct lvx_image_spec){.enabled = true,
			.width = 64,
			.height = 32,
			.patch = 16,
			.min_interval_us = 1000000,
			.max_interval_us = 2000000};
	const char *script = getenv("LVX_FAKE_SCRIPT");
	if (script && !lines)
		read_script(&m->info, script);
	*out = m;
	return LVX_OK;
}

void lvx_model_destroy(struct lvx_model *m)
{
	free(lines);
	lines = NULL;
	free(m);
}

const struct lvx_model_info *lvx_model_info(const struct lvx_model *m)
{
	return &m->info;
}

static const struct lvx_device_info device = {
	.name = "fake device", .driver = "none", .type = "other", .usable = true};

int lvx_runner_list_devices(struct lvx_device_info *out, int max, struct lvx_error *err)
{
	(void)err;
	if (max > 0)
		out[0] = device;
	return 1;
}

enum lvx_status lvx_runner_create(struct lvx_runner **out, const struct lvx_model *model,
	const struct lvx_runner_params *params, struct lvx_error *err)
{
	(void)model;
	if (params->device && strcmp(params->device, "fake") != 0)
		return lvx_fail(err, LVX_ENOENT, "there is no device '%s'", params->device);
	*out = calloc(1, sizeof(**out));
	return LVX_OK;
}

void lvx_runner_destroy(struct lvx_runner *runner)
{
	free(runner);
}

const struct lvx_device_info *lvx_runner_device(const struct lvx_runner *runner)
{
	(void)runner;
	return &device;
}

uint64_t lvx_runner_device_bytes(const struct lvx_runner *runner)
{
	(void)runner;
	return 1 << 20;
}

void lvx_runner_get_stats(const struct lvx_runner *runner, struct lvx_runner_stats *out)
{
	*out = runner->stats;
}

enum lvx_status lvx_scheduler_create(struct lvx_scheduler **out, const struct lvx_model *model,
	struct lvx_runner *runner, uint32_t n_rows, struct lvx_error *err)
{
	(void)err;
	struct lvx_scheduler *s = calloc(1, sizeof(*s));
	s->runner = runner;
	s->n_rows = n_rows;
	const struct lvx_frontend_spec *f = &model->info.frontend;
	size_t values = lvx_audio_slot_values(&f->audio), picture = 0;
	if (f->image.enabled)
		picture = (size_t)lvx_image_patches(&f->image) * lvx_image_patch_values(&f->image);
	s->values = calloc(values > picture ? values : picture, sizeof(float));
	*out = s;
	return LVX_OK;
}

void lvx_scheduler_destroy(struct lvx_scheduler *s)
{
	if (!s)
		return;
	free(s->values);
	free(s);
}

enum lvx_status lvx_scheduler_add(struct lvx_scheduler *s, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err)
{
	for (uint32_t i = 0; i < s->n_rows; i++) {
		if (s->rows[i].used)
			continue;
		if (params->follows && !s->rows[params->of].used)
			return lvx_fail(err, LVX_EINVAL, "that row cannot be followed");
		s->rows[i] = (struct row){.used = true, .params = *params};
		for (int lane = 0; lane < 3; lane++)
			s->rows[i].spellers[lane].rules = params->spelling;
		*row = i;
		return LVX_OK;
	}
	return lvx_fail(err, LVX_ELIMIT, "every row is taken");
}

void lvx_scheduler_remove(struct lvx_scheduler *s, uint32_t row)
{
	s->rows[row].used = false;
	for (uint32_t i = 0; i < s->n_rows; i++)
		s->rows[i].orphan |= s->rows[i].used && s->rows[i].params.follows &&
				     s->rows[i].params.of == row;
}

void lvx_scheduler_set_lanes(struct lvx_scheduler *s, uint32_t row, uint32_t lanes)
{
	s->rows[row].params.lanes = lanes;
}

static void send_word(void *user, const struct lvx_spelled *word)
{
	struct row *r = user;
	struct lvx_event e = {
		.kind = LVX_EVENT_WORD,
		.lane = r->lane,
		.text = word->text,
		.start_us = word->start_us,
		.end_us = word->end_us,
		.confidence = word->confidence,
		.segment_end = word->segment_end,
		.heard_us = r->heard_us,
	};
	r->params.on_event(r->params.user, &e);
}

static void say(struct row *r)
{
	char text[32];
	for (uint32_t lane = 0; lane < 3; lane++) {
		if (!(r->params.lanes & 1u << lane))
			continue;
		/* Of a further language: "fr7" when the stream's own row says "c7". */
		snprintf(text, sizeof(text), "%.*s%llu",
			r->params.follows && r->params.translate_to ? 2 : 1,
			r->params.follows && r->params.translate_to ? r->params.translate_to
								    : &"ctd"[lane],
			(unsigned long long)r->words);
		if (env_number("LVX_FAKE_MORE", 0) && !r->params.follows)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "@%u%s",
				(unsigned)r->params.delay_slots * 80,
				r->params.language ? r->params.language : "");
		struct lvx_spelled word = {
			.text = text,
			.start_us = r->heard_us - 300000,
			.end_us = r->heard_us,
			.confidence = 0.75f,
			.segment_end = r->words % WORDS_A_SEGMENT == WORDS_A_SEGMENT - 1,
		};
		r->lane = lane;
		lvx_speller_word(&r->spellers[lane], &word, send_word, r);
	}
	if (r->words % WORDS_A_SEGMENT == WORDS_A_SEGMENT - 1) {
		struct lvx_event e = {
			.kind = LVX_EVENT_ACTIVITY,
			.start_us = r->heard_us,
			.end_us = r->heard_us,
			.utterance_end = true,
			.segment_end = true,
		};
		r->params.on_event(r->params.user, &e);
	}
	r->words++;
}

static void say_line(struct row *r, const struct line *l)
{
	char text[LINE_BYTES], *rest, *word;
	int64_t n = 1, i = 0;
	for (const char *p = l->text; *p; p++)
		n += *p == ' ';
	snprintf(text, sizeof(text), "%s", l->text);
	for (word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest), i++) {
		struct lvx_event e = {
			.kind = LVX_EVENT_WORD,
			.lane = l->lane,
			.text = word,
			.start_us = l->start_us + (l->end_us - l->start_us) * i / n,
			.end_us = l->start_us + (l->end_us - l->start_us) * (i + 1) / n,
			.confidence = 0.75f,
			.segment_end = i == n - 1,
			.heard_us = r->heard_us,
		};
		r->params.on_event(r->params.user, &e);
	}
}

static void follow_script(struct row *r)
{
	for (; r->line < n_lines && lines[r->line].heard_us <= r->heard_us; r->line++) {
		if (r->params.lanes >> lines[r->line].lane & 1)
			say_line(r, &lines[r->line]);
	}
}

/* What a row hears and says, those that follow it do as well. */
static void hear(struct lvx_scheduler *s, struct row *r, const struct lvx_feed_item *item)
{
	uint32_t index = (uint32_t)(r - s->rows);
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *f = &s->rows[i];
		if (!f->used || f->orphan || !f->params.follows || f->params.of != index)
			continue;
		f->words = r->words;
		f->slots = r->slots;
		hear(s, f, item);
	}
	if (item->gap_us > 0) {
		struct lvx_event e = {
			.kind = LVX_EVENT_GAP,
			.start_us = item->pts_us - item->gap_us,
			.end_us = item->pts_us,
		};
		r->params.on_event(r->params.user, &e);
	}
	r->heard_us = item->pts_us + 80000;
	r->slots++;
	uint64_t flood = env_number("LVX_FAKE_FLOOD", 0);
	for (uint64_t i = 0; i < flood; i++)
		say(r);
	if (lines)
		follow_script(r);
	else if (flood == 0 && r->slots % SLOTS_A_WORD == 0)
		say(r);
}

enum lvx_status lvx_scheduler_tick(struct lvx_scheduler *s, uint32_t *n_done)
{
	*n_done = 0;
	if (s->slots >= env_number("LVX_FAKE_FAIL_AFTER", UINT64_MAX))
		return LVX_EDEVICE;
	for (uint32_t i = 0; i < s->n_rows; i++) {
		struct row *r = &s->rows[i];
		struct lvx_feed_item item = {0};
		if (!r->used || r->ended || r->params.follows)
			continue;
		enum lvx_status st = r->params.feed(r->params.user, &item, s->values);
		if (st == LVX_OK && item.kind == LVX_FEED_SLOT) {
			hear(s, r, &item);
			s->slots++;
			s->runner->stats.slots++;
		} else if (st == LVX_END) {
			struct lvx_event e = {.kind = LVX_EVENT_END, .heard_us = r->heard_us};
			r->ended = true;
			r->params.on_event(r->params.user, &e);
			for (uint32_t k = 0; k < s->n_rows; k++) {
				struct row *f = &s->rows[k];
				if (f->used && !f->orphan && f->params.follows && f->params.of == i)
					f->params.on_event(f->params.user, &e);
			}
		}
		*n_done += st == LVX_OK || st == LVX_END;
	}
	if (*n_done > 0) {
		s->runner->stats.steps++;
		lvx_sleep_us((int64_t)env_number("LVX_FAKE_TICK_MS", 0) * 1000);
	}
	return LVX_OK;
}
