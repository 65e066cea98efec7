/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.json in Hugging Face's layout (BPE). The end of a word is a suffix
 * (U+2581) of its last piece; merges go by rank = id order; bytes outside the
 * vocabulary are <0xNN> pieces. Immutable after loading, free-threaded.
 */
#ifndef LVX_MODEL_TOKENIZER_H
#define LVX_MODEL_TOKENIZER_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lvx_tokenizer;

/* vocab_size: what config.json says; ids must lie below it. */
enum lvx_status lvx_tokenizer_load(struct lvx_tokenizer **out, const char *path,
	uint32_t vocab_size, struct lvx_error *err);
enum lvx_status lvx_tokenizer_parse(struct lvx_tokenizer **out, const char *where,
	const char *json, size_t len, uint32_t vocab_size, struct lvx_error *err);
void lvx_tokenizer_destroy(struct lvx_tokenizer *tok);

/*
 * The bytes of a piece without its end-of-word mark; *ends_word says whether it
 * had one. Control pieces and unknown ids give len 0. Bytes may be a part of a UTF-8
 * character: join before showing. Borrowed from tok.
 */
const char *lvx_tokenizer_piece(
	const struct lvx_tokenizer *tok, int32_t id, size_t *len, bool *ends_word);
/* Encodes UTF-8 words; *n is the room in ids, then the count. LVX_ELIMIT: no room. */
enum lvx_status lvx_tokenizer_encode(
	const struct lvx_tokenizer *tok, const char *text, int32_t *ids, size_t *n);

/* A word without the punctuation around it, as those of a prefix are in training (model/training/batches.py): where it
 * begins, and in *len its length; 0 where it is punctuation alone. */
const char *lvx_word_bare(const char *word, size_t *len);

#endif
