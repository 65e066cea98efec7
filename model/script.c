/* SPDX-License-Identifier: Apache-2.0 */
#include "model/script.h"

#include "model/model_priv.h"

#include <math.h>
#include <string.h>

enum {
	SLOTS_KEPT = LVX_DELAY_MAX + 2,
	SETTLE_SLOTS = 4,  /* a lane that says nothing for so long has said the utterance */
	SPELL_SLOTS = 8,   /* a word that may begin a phrase of the glossary waits so long */
	LETTER_US = 60000, /* a guess at how long a word takes to say */
	WORD_MIN_US = 80000,
	WORD_MAX_US = 1500000,
	TELL_SLOTS = 8,    /* beyond the delay it has begun to tell of a picture, if it tells of it */
	TOLD_SLOTS = 3,    /* and if it then says nothing for so long, it has told */
	CHANGE_US = 3000000, /* a new voice of which nothing is said for so long is not marked */
};

void lvx_script_init(struct lvx_script *s, const struct lvx_model *model, uint32_t delay_slots,
	const struct lvx_spelling *spelling, lvx_event_fn on_event, void *user)
{
	memset(s, 0, sizeof(*s));
	s->model = model;
	s->delay_slots = delay_slots;
	s->on_event = on_event;
	s->user = user;
	for (uint32_t i = 0; i < LVX_LANES_MAX; i++)
		s->lanes[i].speller.rules = spelling;
	lvx_script_restart(s);
}

void lvx_script_restart(struct lvx_script *s)
{
	s->n = 0;
	s->n_pictures = 0;
	for (uint32_t i = 0; i < LVX_LANES_MAX; i++) {
		struct lvx_script_lane *lane = &s->lanes[i];
		lvx_words_init(&lane->words);
		lane->speller.n = 0;
		lane->script = s;
		lane->segment_open = false;
		lane->settle_from = 0;
		lane->retells = false;
		lane->change_us = LVX_NOT_TIMED;
	}
	bool speech = s->activity.speech;
	lvx_activity_init(
		&s->activity, s->model->info.slot_us, s->model->config.activity_levels);
	s->activity.speech = speech; /* what was told last */
}

static void send(struct lvx_script *s, struct lvx_event *e)
{
	e->heard_us = s->heard_us;
	s->on_event(s->user, e);
}

static void send_activity(
	struct lvx_script *s, uint32_t lane, bool segment_end, struct lvx_activity_news news)
{
	struct lvx_event e = {.kind = LVX_EVENT_ACTIVITY,
		.lane = lane,
		.start_us = s->heard_us,
		.end_us = s->heard_us,
		.segment_end = segment_end,
		.speech = s->activity.speech,
		.utterance_end = news.utterance_end,
		.speaker_change = news.speaker_change};
	send(s, &e);
}

static int64_t max(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* What the model's own figure is worth, as measured (docs/MODEL.md). */
static float calibrated(const struct lvx_config *c, float p)
{
	double odds = log(p > 1e-6f ? p : 1e-6) - log(p < 1.0f - 1e-6f ? 1.0 - p : 1e-6);
	if (c->confidence_scale == 1.0f && c->confidence_offset == 0.0f)
		return p;
	return (float)(1.0 / (1.0 + exp(-(c->confidence_scale * odds + c->confidence_offset))));
}

static void send_word(void *user, const struct lvx_spelled *word)
{
	struct lvx_script_lane *lane = user;
	struct lvx_event e = {.kind = LVX_EVENT_WORD,
		.lane = (uint32_t)(lane - lane->script->lanes),
		.text = word->text,
		.start_us = word->start_us,
		.end_us = word->end_us,
		.confidence = word->confidence,
		.segment_end = word->segment_end};
	send(lane->script, &e);
}

static void close_segment(struct lvx_script *s, uint32_t lane)
{
	s->lanes[lane].segment_open = false;
	lvx_speller_flush(&s->lanes[lane].speller, send_word, &s->lanes[lane]);
	send_activity(s, lane, true, (struct lvx_activity_news){0});
}

/* The word that begins at start_us may be the first that another voice says. */
static void mark_change(struct lvx_script_lane *lane, int64_t start_us, int64_t end_us)
{
	struct lvx_script *s = lane->script;
	if (lane->change_us == LVX_NOT_TIMED || end_us < lane->change_us)
		return;
	if (end_us - lane->change_us <= CHANGE_US) {
		if (lane->segment_open)
			close_segment(s, (uint32_t)(lane - s->lanes));
		send_word(lane, &(struct lvx_spelled){.text = LVX_SPEAKER_MARK,
					.start_us = start_us,
					.end_us = start_us,
					.confidence = 1.0f});
	}
	lane->change_us = LVX_NOT_TIMED;
}

static void on_word(void *user, const struct lvx_word *word)
{
	struct lvx_script_lane *lane = user;
	struct lvx_script *s = lane->script;
	if (lane->retells) {
		lane->retells = s->n_pictures < 2 || !word->ends_sentence;
		return;
	}
	int64_t took_us = (int64_t)word->n_letters * LETTER_US;
	took_us = took_us < WORD_MIN_US   ? WORD_MIN_US
		  : took_us > WORD_MAX_US ? WORD_MAX_US
					  : took_us;
	int64_t end_us = max(word->end_us, lane->last_end_us);
	int64_t start_us = max(end_us - took_us, max(lane->last_end_us, lane->stretch_us));
	/* Between sentences a tag stands alone; within one it changes nothing. */
	bool alone = !lane->segment_open && lvx_word_is_tag(word->text);
	struct lvx_spelled w = {.text = word->text,
		.start_us = start_us < end_us ? start_us : end_us,
		.end_us = end_us,
		.confidence = calibrated(&s->model->config, word->confidence),
		.segment_end = word->ends_sentence || alone};
	if (lvx_word_is_tag(word->text) && w.confidence < s->model->config.tag_confidence)
		return;
	mark_change(lane, w.start_us, end_us);
	lane->last_end_us = end_us;
	if (word->ends_sentence)
		lane->settle_from = 0; /* nothing is left for the pause to end */
	lane->segment_open = !w.segment_end;
	lvx_speller_word(&lane->speller, &w, send_word, lane);
}

/* Which slot has just been heard, and of which the words begin now. */
static void note_time(struct lvx_script *s, int64_t pts_us)
{
	const struct lvx_model_info *info = &s->model->info;
	if (pts_us != LVX_NOT_TIMED) {
		if (s->n == 0)
			s->stretch_us = pts_us;
		s->heard_us = pts_us + info->slot_us;
	}
	s->slots[s->n % SLOTS_KEPT].end_us = s->heard_us;
	s->slots[s->n % SLOTS_KEPT].stretch_us = s->stretch_us;
	s->n++;
}

/* Has the lane said what belongs to the utterance that has ended? */
static bool has_settled(struct lvx_script *s, struct lvx_script_lane *lane)
{
	if (lane->settle_from == 0 || s->n < lane->settle_from || lane->words.idle < SETTLE_SLOTS)
		return false;
	lane->settle_from = 0; /* what it says later belongs to the next one */
	return true;
}

static bool is_over(struct lvx_script *s, struct lvx_script_lane *lane)
{
	bool settled = has_settled(s, lane);
	bool quiet = lane->words.idle >= s->activity.second && lvx_activity_is_quiet(&s->activity);
	return lane->segment_open && lane->words.len == 0 && (settled || quiet);
}

void lvx_script_slot(
	struct lvx_script *s, uint32_t lanes, const struct lvx_output *out, int64_t pts_us)
{
	const struct lvx_model_info *info = &s->model->info;
	note_time(s, pts_us);
	uint64_t back = s->delay_slots + 1, now = s->n - 1;
	uint64_t spoken = (now > back ? now - back : 0) % SLOTS_KEPT;
	for (uint32_t i = 0; i < info->n_lanes; i++) {
		struct lvx_script_lane *lane = &s->lanes[i];
		if (!(lanes >> i & 1))
			continue;
		if (lane->words.len == 0)
			lane->stretch_us = s->slots[spoken].stretch_us;
		/* PAD says nothing, whatever the tokenizer makes of it. */
		int32_t token = out->token[i] == s->model->config.pad_token ? -1 : out->token[i];
		lvx_words_token(&lane->words, s->model->tokenizer, token, out->logprob[i],
			s->slots[spoken].end_us, on_word, lane);
		if (lane->retells && s->n_pictures > 1 && lane->words.idle >= TOLD_SLOTS &&
			s->n - s->first_picture > s->delay_slots + TELL_SLOTS)
			lane->retells = false;
		if (lane->words.idle >= SPELL_SLOTS)
			lvx_speller_flush(&lane->speller, send_word, lane);
	}
	if (s->pausing)
		return;
	struct lvx_activity_news news = lvx_activity_slot(&s->activity, out->activity);
	if (news.any)
		send_activity(s, 0, false, news);
	int caption = lvx_model_info_lane(info, "caption");
	if (news.speaker_change && s->model->config.marks_speakers && caption >= 0)
		s->lanes[caption].change_us = s->heard_us;
	for (uint32_t i = 0; i < info->n_lanes; i++) {
		struct lvx_script_lane *lane = &s->lanes[i];
		if (news.utterance_end)
			lane->settle_from = s->n + SETTLE_SLOTS;
		if (is_over(s, lane) || (lane->segment_open && !(lanes >> i & 1)))
			close_segment(s, i);
	}
}

bool lvx_script_is_quiet(const struct lvx_script *s, uint32_t lanes, uint32_t n_slots)
{
	for (uint32_t i = 0; i < s->model->info.n_lanes; i++)
		if ((lanes >> i & 1) && s->lanes[i].words.idle < n_slots)
			return false;
	return true;
}

bool lvx_script_rests(const struct lvx_script *s, uint32_t n_slots)
{
	return !s->activity.speech && s->activity.quiet >= n_slots;
}

void lvx_script_pause(struct lvx_script *s, bool on)
{
	s->pausing = on;
}

void lvx_script_picture(struct lvx_script *s, bool changed)
{
	s->last_picture = s->n;
	if (s->n_pictures++ > 0)
		return;
	s->first_picture = s->n;
	for (uint32_t i = 0; changed && i < s->model->info.n_lanes; i++)
		s->lanes[i].retells = false;
}

bool lvx_script_saw(const struct lvx_script *s, uint32_t n_slots)
{
	return s->n_pictures > 0 && s->n - s->last_picture < n_slots;
}

void lvx_script_retell(struct lvx_script *s, uint32_t lanes)
{
	for (uint32_t i = 0; i < s->model->info.n_lanes; i++)
		s->lanes[i].retells |= s->n_pictures > 0 && (lanes >> i & 1);
	s->n_pictures = 0;
}

void lvx_script_close_words(struct lvx_script *s)
{
	for (uint32_t i = 0; i < s->model->info.n_lanes; i++)
		lvx_words_flush(&s->lanes[i].words, on_word, &s->lanes[i]);
}

void lvx_script_drop_lane(struct lvx_script *s, uint32_t lane)
{
	lvx_words_drop(&s->lanes[lane].words);
	s->lanes[lane].speller.n = 0;
	s->lanes[lane].retells = false;
}

void lvx_script_flush(struct lvx_script *s)
{
	for (uint32_t i = 0; i < s->model->info.n_lanes; i++) {
		lvx_words_flush(&s->lanes[i].words, on_word, &s->lanes[i]);
		lvx_speller_flush(&s->lanes[i].speller, send_word, &s->lanes[i]);
		if (s->lanes[i].segment_open)
			close_segment(s, i);
	}
}

void lvx_script_gap(struct lvx_script *s, int64_t start_us, int64_t end_us)
{
	struct lvx_event e = {.kind = LVX_EVENT_GAP, .start_us = start_us, .end_us = end_us};
	s->stretch_us = end_us;
	send(s, &e);
}

void lvx_script_end(struct lvx_script *s)
{
	lvx_script_flush(s);
	struct lvx_event e = {
		.kind = LVX_EVENT_END, .start_us = s->heard_us, .end_us = s->heard_us};
	send(s, &e);
}
