/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words to subtitles: at most two lines of 42 characters (a Chinese one is as wide as
 * two others and counts so, for reading too), 5/6 s to 7 s on screen, broken where a
 * sentence ends or the speaker pauses; and subtitles as text. A cue is handed out as
 * soon as the word after it has begun. One thread at a time.
 */
#ifndef LVX_DAEMON_CUES_H
#define LVX_DAEMON_CUES_H

#include "daemon/text.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	LVX_CUE_LINE_CHARS = 42,
	LVX_CUE_MIN_US = 833334,
	LVX_CUE_MAX_US = 7000000,
	LVX_CUE_GAP_US = 83334,     /* two frames between two cues */
	LVX_CUE_PAUSE_US = 1000000, /* a silence so long ends a cue */
	LVX_CUE_CLEAR_US = 6000000, /* where lines stay, so long after their last word they go */
};

struct lvx_cue {
	int64_t start_us, end_us;
	const char *text; /* UTF-8, one line or two with a \n between; borrowed for the call */
	int n_words;      /* how many of the words that were given, in their order, it holds */
};

typedef void (*lvx_cue_fn)(void *user, const struct lvx_cue *cue);

struct lvx_cues;

struct lvx_cues *lvx_cues_create(lvx_cue_fn on_cue, void *user); /* aborts when out of memory */
void lvx_cues_set_line(struct lvx_cues *c, int chars); /* shorter lines; before the first word */
void lvx_cues_destroy(struct lvx_cues *c);                       /* NULL is fine */
void lvx_cues_word(struct lvx_cues *c, const char *text, int64_t start_us, int64_t end_us);
void lvx_cues_break(struct lvx_cues *c);  /* a sentence or utterance ended after the last word */
void lvx_cues_finish(struct lvx_cues *c); /* sends what is left */

/* No word will begin before now_us: hands out what that makes final, as in a long silence.
 * A word that comes all the same begins after the cues that were handed out. */
void lvx_cues_time(struct lvx_cues *c, int64_t now_us);
bool lvx_cues_pending(const struct lvx_cues *c); /* is there anything not handed out yet? */
int64_t lvx_cues_begin_us(const struct lvx_cues *c); /* where that begins; INT64_MAX: nowhere */

/* One cue of a SubRip file (numbers begin at 1), and of a WebVTT file (which begins with
 * "WEBVTT\n\n"), with the blank line after it. */
void lvx_cue_srt(struct lvx_text *t, uint64_t number, const struct lvx_cue *cue);
void lvx_cue_vtt(struct lvx_text *t, const struct lvx_cue *cue);
void lvx_cue_time(struct lvx_text *t, int64_t us); /* HH:MM:SS.mmm */
/* With &amp; &lt; &gt;, for WebVTT and XML. */
void lvx_cue_escape(struct lvx_text *t, const char *text);

#endif
