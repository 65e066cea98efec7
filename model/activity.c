/* SPDX-License-Identifier: Apache-2.0 */
#include "model/activity.h"

/* Slots in a row before speech counts as begun or ended. */
enum { BEGIN_SLOTS = 2, END_SLOTS = 3 };

const struct lvx_activity_level lvx_activity_usual[LVX_ACTIVITY_OUTPUTS] = {
	[LVX_SPEECH] = {0.6f, 0.4f},
	[LVX_UTTERANCE_END] = {0.5f, 0.3f},
	[LVX_SPEAKER_CHANGE] = {0.5f, 0.3f},
};

void lvx_activity_init(
	struct lvx_activity *a, int64_t slot_us, const struct lvx_activity_level *levels)
{
	*a = (struct lvx_activity){.levels = levels, .armed_end = true, .armed_change = true};
	a->second = (uint32_t)((1000000 + slot_us - 1) / slot_us);
	a->since_end = a->since_change = a->second;
}

static void count(uint32_t *n)
{
	if (*n < UINT32_MAX)
		++*n;
}

static bool speech_turns(struct lvx_activity *a, float p)
{
	const struct lvx_activity_level *level = &a->levels[LVX_SPEECH];
	bool against = a->speech ? p < level->off : p > level->on;
	a->streak = against ? a->streak + 1 : 0;
	if (a->streak < (a->speech ? END_SLOTS : BEGIN_SLOTS))
		return false;
	a->speech = !a->speech;
	a->streak = 0;
	a->quiet = 0;
	return true;
}

/* Fires when p rises, at most once a second. */
static bool rises(
	float p, struct lvx_activity_level level, bool *armed, uint32_t *since, uint32_t second)
{
	count(since);
	if (p < level.off)
		*armed = true;
	if (!*armed || !(p > level.on) || *since < second)
		return false;
	*armed = false;
	*since = 0;
	return true;
}

bool lvx_activity_is_quiet(const struct lvx_activity *a)
{
	return !a->speech && a->quiet >= a->second;
}

struct lvx_activity_news lvx_activity_slot(struct lvx_activity *a, const float *p)
{
	struct lvx_activity_news news = {.any = speech_turns(a, p[LVX_SPEECH])};
	if (!a->speech)
		count(&a->quiet);
	else if (p[LVX_UTTERANCE_END] < a->levels[LVX_UTTERANCE_END].off)
		a->uttered = true;
	bool end = rises(p[LVX_UTTERANCE_END], a->levels[LVX_UTTERANCE_END], &a->armed_end,
		&a->since_end, a->second);
	/* The head may miss an end; a second of silence is one. */
	if (a->uttered && (end || lvx_activity_is_quiet(a))) {
		news.utterance_end = true;
		a->uttered = false;
	}
	news.speaker_change = rises(p[LVX_SPEAKER_CHANGE], a->levels[LVX_SPEAKER_CHANGE],
		&a->armed_change, &a->since_change, a->second);
	news.any |= news.utterance_end || news.speaker_change;
	return news;
}
