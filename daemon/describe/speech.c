/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/speech.h"

#include <string.h>

static void tell(struct lvx_speech *s, int64_t start_us, int64_t end_us)
{
	if (end_us > start_us)
		s->fn(s->user, start_us, end_us);
}

static void drop_first(struct lvx_speech *s)
{
	memmove(s->stretch, s->stretch + 1, --s->n * sizeof(s->stretch[0]));
}

void lvx_speech_word(struct lvx_speech *s, int64_t start_us, int64_t end_us)
{
	tell(s, start_us, end_us);
	if (s->n_words == LVX_SPEECH_WORDS)
		memmove(s->word, s->word + 1, --s->n_words * sizeof(s->word[0]));
	s->word[s->n_words++] = (struct lvx_speech_span){start_us, end_us};
}

static void split(struct lvx_speech *s, int64_t start_us, int64_t end_us)
{
	for (size_t i = 0; i < s->n; i++) {
		struct lvx_speech_stretch *t = &s->stretch[i];
		if (end_us <= t->start_us || start_us >= t->end_us)
			continue;
		/* Somebody does speak here: what lies between words is believed. */
		if (!t->noise && start_us - t->start_us <= LVX_SPEECH_DOUBT_US)
			tell(s, t->start_us, start_us);
		t->noise = false;
		t->start_us = end_us;
	}
}

static void split_all(struct lvx_speech *s, int64_t sound_us)
{
	size_t n = 0;
	while (n < s->n_words && s->word[n].end_us <= sound_us) {
		split(s, s->word[n].start_us, s->word[n].end_us);
		n++;
	}
	s->n_words -= n;
	memmove(s->word, s->word + n, s->n_words * sizeof(s->word[0]));
}

void lvx_speech_sound(struct lvx_speech *s, int64_t start_us, int64_t end_us)
{
	struct lvx_speech_stretch *last = s->n > 0 ? &s->stretch[s->n - 1] : NULL;
	if (!s->captions) {
		tell(s, start_us, end_us);
	} else if (last && start_us >= last->start_us &&
		   start_us <= last->end_us + LVX_SPEECH_BRIDGE_US) {
		last->end_us = end_us;
	} else {
		if (s->n == LVX_SPEECH_STRETCHES) {
			tell(s, s->stretch[0].start_us, s->stretch[0].end_us);
			drop_first(s);
		}
		s->stretch[s->n++] = (struct lvx_speech_stretch){start_us, end_us, false};
	}
}

int64_t lvx_speech_known(struct lvx_speech *s, int64_t words_us, int64_t sound_us)
{
	if (!s->captions)
		return sound_us;
	int64_t known_us = words_us < sound_us ? words_us : sound_us;
	split_all(s, sound_us);
	while (s->n > 0) {
		struct lvx_speech_stretch *t = &s->stretch[0];
		bool over = s->n > 1 || sound_us > t->end_us + LVX_SPEECH_BRIDGE_US;
		int64_t end_us = t->end_us < known_us ? t->end_us : known_us;
		if (end_us - t->start_us > LVX_SPEECH_DOUBT_US)
			t->noise = true;
		if (t->noise && end_us > t->start_us)
			t->start_us = end_us;
		if (!over || t->end_us > known_us)
			return t->noise || t->start_us > known_us ? known_us : t->start_us;
		if (!t->noise && t->end_us - t->start_us >= LVX_SPEECH_LEAST_US)
			tell(s, t->start_us, t->end_us);
		drop_first(s);
	}
	return known_us;
}
