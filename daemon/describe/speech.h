/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where somebody speaks, from two witnesses: the words of the captions, which come late and may be
 * missing, and a measure of the sound, which takes loud noise and music for speech. What only the
 * sound tells counts as far as it is near words, or short: of a longer stretch without a word it
 * is not believed. Pure; times are on the timeline, in µs. One thread at a time.
 */
#ifndef LVX_DAEMON_DESCRIBE_SPEECH_H
#define LVX_DAEMON_DESCRIBE_SPEECH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LVX_SPEECH_DOUBT_US = 4000000, /* so long a stretch of sound alone is believed */
	LVX_SPEECH_BRIDGE_US = 300000, /* shorter pauses in it are none */
	LVX_SPEECH_LEAST_US = 120000,  /* shorter sounds between words are none of speech */
	LVX_SPEECH_STRETCHES = 64,
	LVX_SPEECH_WORDS = 512,
};

struct lvx_speech {
	/* Told of each stretch; they may overlap. */
	void (*fn)(void *user, int64_t start_us, int64_t end_us);
	void *user;
	bool captions; /* there are words to be waited for */

	/* Its own: stretches of sound that are not decided yet, oldest first. */
	struct lvx_speech_stretch {
		int64_t start_us, end_us;
		bool noise; /* what of it went without a word was too long */
	} stretch[LVX_SPEECH_STRETCHES];
	size_t n;
	/* Words that the sound has not come to. */
	struct lvx_speech_span {
		int64_t start_us, end_us;
	} word[LVX_SPEECH_WORDS];
	size_t n_words;
};

/* fn, user and captions are set, the rest is zero. */
void lvx_speech_word(struct lvx_speech *s, int64_t start_us, int64_t end_us);
/* The sound is that of speech; in order. */
void lvx_speech_sound(struct lvx_speech *s, int64_t start_us, int64_t end_us);
/* All words that begin before words_us and all sound before sound_us have been told. Returns up to
 * where it is known whether somebody speaks. */
int64_t lvx_speech_known(struct lvx_speech *s, int64_t words_us, int64_t sound_us);

#endif
