/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words that are to be written another way ("lumi vox => Lumivox"), applied to whole words
 * before they are told. Case does not count in what is replaced, nor does punctuation around
 * it, which stays. Where a word may begin a longer phrase it waits for the next; it
 * never waits beyond a sentence.
 */
#ifndef LVX_MODEL_SPELLING_H
#define LVX_MODEL_SPELLING_H

#include "model/words.h"

enum {
	LVX_SPELLING_RULES_MAX = 1000,
	LVX_SPELLING_WORDS_MAX = 8,   /* of either side */
	LVX_SPELLING_BYTES_MAX = 160, /* of either side */
	LVX_SPELLED_BYTES_MAX = 3 * LVX_WORD_MAX_BYTES,
};

struct lvx_spelling; /* rules; free-threaded once all are there */

struct lvx_spelling *lvx_spelling_create(void);    /* aborts when out of memory */
void lvx_spelling_destroy(struct lvx_spelling *s); /* NULL is fine */
/*
 * Valid UTF-8; words are what lvx_utf8_word says, so a Chinese character is one. LVX_EINVAL: a side
 * is empty or too long, the wrong one is there already; LVX_ELIMIT: too many rules.
 */
enum lvx_status lvx_spelling_add(
	struct lvx_spelling *s, const char *wrong, const char *right, struct lvx_error *err);
uint32_t lvx_spelling_count(const struct lvx_spelling *s);

/* A word as a lane tells it. */
struct lvx_spelled {
	const char *text; /* at most LVX_SPELLED_BYTES_MAX bytes; borrowed for the call */
	int64_t start_us, end_us;
	float confidence;
	bool segment_end;
};
typedef void (*lvx_spelled_fn)(void *user, const struct lvx_spelled *word);

/* One lane's words on their way; in the caller's memory, without allocation. Zeroed: no rules. */
struct lvx_speller {
	const struct lvx_spelling *rules; /* borrowed; NULL: words pass as they are */
	uint32_t n;                       /* that wait */
	struct {
		char text[LVX_SPELLED_BYTES_MAX + 1];
		struct lvx_spelled word; /* text points nowhere */
	} held[LVX_SPELLING_WORDS_MAX];
};

/* fn is called for what is settled now, perhaps never, perhaps several times. */
void lvx_speller_word(
	struct lvx_speller *s, const struct lvx_spelled *word, lvx_spelled_fn fn, void *user);
void lvx_speller_flush(struct lvx_speller *s, lvx_spelled_fn fn, void *user); /* no more waiting */

#endif
