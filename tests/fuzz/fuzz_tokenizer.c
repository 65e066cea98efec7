/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json; then all its pieces are said, and the file's own bytes are encoded and said. */
#include "model/tokenizer.h"
#include "model/words.h"

#include <stdlib.h>
#include <string.h>

enum { VOCAB = 400, TEXT_MAX = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_word(void *user, const struct lvx_word *w)
{
	(void)user;
	size_t len = strlen(w->text);
	if (len == 0 || len > 3 * LVX_WORD_MAX_BYTES || w->n_letters == 0 ||
		!(w->confidence >= 0 && w->confidence <= 1))
		abort();
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)w->text[i] <= ' ')
			abort();
}

static void say(struct lvx_words *w, const struct lvx_tokenizer *tok, int32_t id)
{
	lvx_words_token(w, tok, id, -0.1f, id, on_word, NULL);
	if (w->len >= LVX_WORD_MAX_BYTES)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_tokenizer *tok;
	struct lvx_error err = {0};
	if (lvx_tokenizer_parse(&tok, "f", (const char *)data, size, VOCAB, &err) != LVX_OK) {
		if (strncmp(err.msg, "f: ", 3) != 0)
			abort();
		return 0;
	}
	struct lvx_words words;
	lvx_words_init(&words);
	for (int32_t id = -1; id <= VOCAB; id++)
		say(&words, tok, id);
	char text[TEXT_MAX + 1];
	int32_t ids[256];
	size_t len = size < TEXT_MAX ? size : TEXT_MAX, n = 256;
	memcpy(text, data + (size - len), len);
	text[len] = '\0';
	lvx_tokenizer_encode(tok, text, ids, &n);
	if (n > 256)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (ids[i] < 0 || ids[i] >= VOCAB)
			abort();
		say(&words, tok, ids[i]);
	}
	lvx_words_flush(&words, on_word, NULL);
	lvx_tokenizer_destroy(tok);
	return 0;
}
