/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to subtitles: at most two lines of 42 characters, 5/6 s to 7 s on screen,
 * broken where a sentence ends or the speaker pauses. One thread.
 */
#ifndef LVX_CLIENTS_CUES_H
#define LVX_CLIENTS_CUES_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CUE_LINE_CHARS = 42,
	CUE_MIN_US = 833334,
	CUE_MAX_US = 7000000,
	CUE_GAP_US = 83334,     /* two frames between two cues */
	CUE_PAUSE_US = 1000000, /* a silence so long ends a cue */
};

struct cue {
	int64_t start_us, end_us;
	const char *text; /* UTF-8, one line or two with a \n between; borrowed for the call */
};

typedef void (*cue_fn)(void *user, const struct cue *cue);

struct cues;

struct cues *cues_create(cue_fn on_cue, void *user); /* aborts when out of memory */
void cues_destroy(struct cues *c);                   /* NULL is fine */
void cues_word(struct cues *c, const char *text, int64_t start_us, int64_t end_us);
void cues_break(struct cues *c);  /* a sentence or utterance ended after the last word */
void cues_finish(struct cues *c); /* sends what is left */

#endif
