/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text as CEA-608 byte pairs (47 CFR 79.101; CEA-608-E): one caption channel, which is
 * CC1 on field 1 or CC3 on field 2. Words roll up, cues pop on; the pairs come out one
 * a frame and field, in the order of display. One thread at a time.
 */
#ifndef LVX_DAEMON_OUTPUTS_CC608_H
#define LVX_DAEMON_OUTPUTS_CC608_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LVX_CC608_COLUMNS = 32,
	LVX_CC608_ROWS_MAX = 4,
	LVX_CC608_QUEUE = 4096,       /* pairs; more than a minute of text */
};

struct lvx_cc608;

struct lvx_cc608_params {
	int field; /* 1: CC1; 2: CC3 */
	int rows;  /* 2 to 4: roll-up of so many rows; 0: pop-on */
};

struct lvx_cc608 *lvx_cc608_create(
	const struct lvx_cc608_params *params); /* aborts without memory */
void lvx_cc608_destroy(struct lvx_cc608 *c);    /* NULL is fine */

/* Roll-up: a word (UTF-8 without spaces around it), to be seen at at_us, or as soon after as
 * its turn comes. What does not fit into the queue is dropped, and counted. Of several words
 * that cannot be written at all the first stands for the others. */
void lvx_cc608_word(struct lvx_cc608 *c, const char *text, int64_t at_us);
/* The next word begins a row. */
void lvx_cc608_break(struct lvx_cc608 *c);
/* Pop-on: lines with \n between. What is longer than a row is broken anew; more than four rows
 * are cut. Its characters are sent at once, it is seen from start_us to end_us; where start_us
 * cannot be had, as long from then on as it would have been. */
void lvx_cc608_cue(struct lvx_cc608 *c, const char *text, int64_t start_us, int64_t end_us);

/* The pair of the frame that is shown at pts_us, with parity. Calls are in the order of pts_us.
 * False: nothing is to be said, and pair is 80 80. */
bool lvx_cc608_next(struct lvx_cc608 *c, int64_t pts_us, uint8_t pair[2]);

struct lvx_cc608_stats {
	uint64_t pairs;   /* with something in them */
	uint64_t dropped; /* words and cues for which there was no room */
	uint64_t unknown; /* words with LVX_CC608_UNKNOWN in them */
};
void lvx_cc608_get_stats(const struct lvx_cc608 *c, struct lvx_cc608_stats *out);

/* ---- characters (cc608_chars.c) ---- */

/* One column of the screen. */
struct lvx_cc608_char {
	uint16_t code; /* < 0x80: the one byte; 0x11xx: special; 0x12xx, 0x13xx: extended */
	uint8_t plain; /* what decoders without the code show: sent before an extended one, which
			  takes its place; in place of a special one that may not be repeated */
};
/* Stands for letters of scripts that CEA-608 cannot write, and for what is not UTF-8. */
#define LVX_CC608_UNKNOWN "[?]"
/*
 * At most max columns of UTF-8 text; returns how many. What CEA-608 does not have is written as
 * Latin letters come nearest, Cyrillic and Greek letter by letter; a run of anything else is one
 * LVX_CC608_UNKNOWN.
 */
size_t lvx_cc608_chars(const char *text, struct lvx_cc608_char *out, size_t max);

#endif
