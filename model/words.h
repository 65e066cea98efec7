/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tokens to words, one lane of one row. A piece with the end-of-word mark
 * closes its word; pieces may be parts of UTF-8 characters. Words are bounded,
 * whatever a model says. In the caller's memory; no allocation.
 */
#ifndef LVX_MODEL_WORDS_H
#define LVX_MODEL_WORDS_H

#include "model/tokenizer.h"

/* A word has at most so many bytes (before repair); a longer one comes in parts. */
enum { LVX_WORD_MAX_BYTES = 96 };

struct lvx_word {
	const char *text;   /* UTF-8, no spaces, not empty; borrowed for the call */
	uint32_t n_letters; /* characters */
	float confidence;   /* 0..1: exp of the mean log-probability of its tokens */
	int64_t end_us;     /* what its first token came with */
	bool ends_sentence;
};
typedef void (*lvx_word_fn)(void *user, const struct lvx_word *word);

struct lvx_words {
	char text[LVX_WORD_MAX_BYTES]; /* of the word that is open */
	uint32_t len;
	uint32_t n_tokens;
	double sum; /* of their log-probabilities */
	int64_t end_us;
	uint32_t idle; /* slots since the last token that said something */
};

void lvx_words_init(struct lvx_words *w);
/*
 * The token of one slot; PAD and other tokens without text count as idle, and a
 * word that has waited for its end too long is then given out. end_us: until
 * when a word was heard whose first token this is. fn may be called several times.
 */
void lvx_words_token(struct lvx_words *w, const struct lvx_tokenizer *tok, int32_t token,
	float logprob, int64_t end_us, lvx_word_fn fn, void *user);
/* Gives out the word that is open, if any. */
void lvx_words_flush(struct lvx_words *w, lvx_word_fn fn, void *user);
void lvx_words_drop(struct lvx_words *w); /* forgets it */

/*
 * . ? ! or an ellipsis, also before closing quotes and brackets; not the full
 * stop of an initial ("J."), of what has stops inside ("U.S.") or of a title ("Dr.").
 */
/* A word of its own: what follows is said by another voice. */
#define LVX_SPEAKER_MARK ">>"
/* A sound that is named, such as [music]: it is no part of what is said. */
bool lvx_word_is_tag(const char *s);
bool lvx_word_ends_sentence(const char *text, size_t len);

#endif
