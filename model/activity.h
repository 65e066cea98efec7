/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the activity head's probabilities to what is worth telling: speech with
 * hysteresis, the end of an utterance once a pause, a change of speaker once.
 */
#ifndef LVX_MODEL_ACTIVITY_H
#define LVX_MODEL_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

/* The head's outputs, in this order (docs/MODEL.md section 4). */
enum lvx_activity_output {
	LVX_SPEECH,
	LVX_UTTERANCE_END,
	LVX_SPEAKER_CHANGE,
	LVX_ACTIVITY_OUTPUTS
};

/*
 * What counts as yes and as no of each output, a model's own or these: of speech so many slots
 * in a row, of the others once it rises. on over 1: never, because the head knows nothing of it.
 */
struct lvx_activity_level {
	float on, off;
};
extern const struct lvx_activity_level lvx_activity_usual[LVX_ACTIVITY_OUTPUTS];

struct lvx_activity {
	const struct lvx_activity_level *levels; /* [LVX_ACTIVITY_OUTPUTS], borrowed */
	bool speech;
	uint32_t streak;              /* slots in a row that speak against it */
	uint32_t quiet;               /* slots since speech went off */
	bool uttered;                 /* speech since the last end of an utterance */
	bool armed_end, armed_change; /* the probability has been low since the last time */
	uint32_t since_end, since_change;
	uint32_t second; /* slots */
};

struct lvx_activity_news {
	bool any; /* else there is nothing to tell */
	bool utterance_end, speaker_change;
};

void lvx_activity_init(
	struct lvx_activity *a, int64_t slot_us, const struct lvx_activity_level *levels);
/* The probabilities [LVX_ACTIVITY_OUTPUTS] of the next slot. */
struct lvx_activity_news lvx_activity_slot(struct lvx_activity *a, const float *p);
/* There was no speech for a second. */
bool lvx_activity_is_quiet(const struct lvx_activity *a);

#endif
