/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts spoken descriptions into the programme: takes the programme down by some dB around each,
 * with ramps before and after it, and adds the voice. What is not near a description passes bit
 * for bit. Stereo, 48 kHz, interleaved; positions are samples of the timeline. One thread.
 */
#ifndef LVX_DAEMON_DESCRIBE_MIXER_H
#define LVX_DAEMON_DESCRIBE_MIXER_H

#include "daemon/describe/clip.h"

#include <stdbool.h>

enum { LVX_MIXER_CLIPS_MAX = 8 };

struct lvx_mixer;

struct lvx_mixer_params {
	double duck_db;  /* over 0: so much lower is the programme under a voice */
	int64_t ramp_us; /* so long it takes to go down, and to come back */
};
struct lvx_mixer *lvx_mixer_create(
	const struct lvx_mixer_params *params); /* aborts without memory */
void lvx_mixer_destroy(struct lvx_mixer *m);    /* NULL is fine */

/* The clip (taken over) begins at `at`, later than all before it have ended; the ramp lies before
 * that. False: there is no room, or `at` has been mixed; the clip is gone. */
bool lvx_mixer_add(struct lvx_mixer *m, struct lvx_clip *clip, double gain_db, int64_t at);
/* Mixes n samples, of which the first is `at`, in place; voice gets the voice alone (or NULL).
 * True: there is voice in them. Calls are in the order of time. */
bool lvx_mixer_mix(struct lvx_mixer *m, float *programme, float *voice, size_t n, int64_t at);

/* By so much the programme is, or will be, taken down at a sample: 0 is not at all. Of those that
 * have been mixed only the last 0.1 s are known. */
double lvx_mixer_duck_db(const struct lvx_mixer *m, int64_t at);

/* The gain that makes the clip as loud as lufs, as far as its peaks stay below -1 dBFS. */
double lvx_mixer_gain_db(const struct lvx_clip *clip, double lufs);

#endif
