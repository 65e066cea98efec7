/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words' token sequences in one sorted array: those that begin with what has been said
 * of the word in hand are a range of it, and each token narrows it.
 */
#include "model/favour.h"

#include <stdlib.h>
#include <string.h>

enum { WORD_TOKENS_MAX = 24, WORD_BYTES_MAX = 128 };

struct spelled {
	int32_t tokens[WORD_TOKENS_MAX];
	uint32_t n;
};

struct lvx_favour {
	const struct lvx_tokenizer *tok; /* borrowed */
	struct spelled *words;           /* sorted */
	uint32_t n_words;
	uint32_t first, end, depth;      /* the range that fits what has been said */
	int32_t next[LVX_FAVOURED_MAX];  /* the range's tokens at `depth` */
	uint32_t n_next;
};

static int by_tokens(const void *a, const void *b)
{
	const struct spelled *x = a, *y = b;
	for (uint32_t i = 0; i < x->n && i < y->n; i++)
		if (x->tokens[i] != y->tokens[i])
			return x->tokens[i] < y->tokens[i] ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static void find_next(struct lvx_favour *f)
{
	f->n_next = 0;
	for (uint32_t i = f->first; i < f->end && f->n_next < LVX_FAVOURED_MAX; i++) {
		const struct spelled *w = &f->words[i];
		if (f->depth < w->n && (!f->n_next || f->next[f->n_next - 1] != w->tokens[f->depth]))
			f->next[f->n_next++] = w->tokens[f->depth];
	}
}

void lvx_favour_restart(struct lvx_favour *f)
{
	f->first = f->depth = 0;
	f->end = f->n_words;
	find_next(f);
}

void lvx_favour_took(struct lvx_favour *f, int32_t token, int32_t pad_token)
{
	size_t len;
	bool ends;
	if (token == pad_token)
		return;
	lvx_tokenizer_piece(f->tok, token, &len, &ends);
	if (ends) {
		lvx_favour_restart(f);
		return;
	}
	while (f->first < f->end &&
		(f->words[f->first].n <= f->depth || f->words[f->first].tokens[f->depth] != token))
		f->first++;
	uint32_t end = f->first;
	while (end < f->end && f->words[end].n > f->depth && f->words[end].tokens[f->depth] == token)
		end++;
	f->end = end;
	f->depth++;
	find_next(f);
}

const int32_t *lvx_favour_tokens(const struct lvx_favour *f, uint32_t *n, float *by)
{
	*n = f->n_next;
	*by = f->depth ? LVX_FAVOUR_NEXT : LVX_FAVOUR_FIRST;
	return f->next;
}

/* A word with what may follow it in a sentence. False: the tokenizer can't, or it is too long. */
static bool add_word(struct lvx_favour *f, const char *word, size_t len)
{
	static const char *const after[] = {"", ",", ".", "?", "'s"};
	char text[WORD_BYTES_MAX + 4];
	word = lvx_word_bare(word, &len);
	if (len == 0 || len > WORD_BYTES_MAX)
		return false;
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
		struct spelled *w = &f->words[f->n_words];
		size_t n = WORD_TOKENS_MAX, m = strlen(after[i]);
		memcpy(text, word, len);
		memcpy(text + len, after[i], m + 1);
		if (lvx_tokenizer_encode(f->tok, text, w->tokens, &n) != LVX_OK || n == 0)
			return i > 0;
		w->n = (uint32_t)n;
		f->n_words++;
	}
	return true;
}

enum lvx_status lvx_favour_create(struct lvx_favour **out, const struct lvx_tokenizer *tok,
	const char *words, uint32_t *n_words, struct lvx_error *err)
{
	static const char space[] = " \t\n\v\f\r";
	uint32_t n = 0, room = 5 * LVX_FAVOUR_WORDS_MAX;
	struct lvx_favour *f = calloc(1, sizeof(*f));
	*out = NULL;
	if (f)
		f->words = malloc(room * sizeof(*f->words));
	if (!f || !f->words) {
		free(f);
		return lvx_fail(err, LVX_ENOMEM, "out of memory for the glossary");
	}
	f->tok = tok;
	while (words && n < LVX_FAVOUR_WORDS_MAX && *(words += strspn(words, space))) {
		size_t len = strcspn(words, space);
		n += add_word(f, words, len);
		words += len;
	}
	if (n_words)
		*n_words = n;
	if (n == 0) {
		lvx_favour_destroy(f);
		return LVX_OK;
	}
	qsort(f->words, f->n_words, sizeof(*f->words), by_tokens);
	struct spelled *fit = realloc(f->words, f->n_words * sizeof(*f->words));
	f->words = fit ? fit : f->words;
	lvx_favour_restart(f);
	*out = f;
	return LVX_OK;
}

void lvx_favour_destroy(struct lvx_favour *f)
{
	if (!f)
		return;
	free(f->words);
	free(f);
}
