/* SPDX-License-Identifier: Apache-2.0 */
/* A glossary, up to an empty line, and words that its rules are applied to. */
#include "daemon/glossary.h"

#include <stdlib.h>
#include <string.h>

static void on_word(void *user, const struct lvx_spelled *word)
{
	size_t *n = user;
	size_t len = strlen(word->text);
	if (len == 0 || len > LVX_SPELLED_BYTES_MAX || word->end_us < word->start_us)
		abort();
	++*n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	const char *words = memmem(text, size, "\n\n", 2);
	size_t len = words ? (size_t)(words - text) : size, n = 0, given = 0;
	struct lvx_error err = {0};
	struct lvx_glossary *g = NULL;
	if (lvx_glossary_parse(&g, "f", text, len, &err) != LVX_OK) {
		if (err.msg[0] == '\0')
			abort();
		return 0;
	}
	/* What it holds is a glossary too. */
	json_t *lines = lvx_glossary_to_json(g);
	struct lvx_glossary *again = NULL;
	if (lvx_glossary_read_json(&again, "f", lines, &err) != LVX_OK ||
		strcmp(lvx_glossary_words(g), lvx_glossary_words(again)) != 0)
		abort();
	lvx_glossary_unref(again);
	json_decref(lines);

	struct lvx_speller speller = {.rules = lvx_glossary_spelling(g)};
	for (size_t at = len; words && at < size; at++) {
		char word[100];
		size_t k = 0;
		/* Letters only: what a model writes is valid UTF-8 already. */
		for (; at < size && text[at] > ' ' && text[at] < 0x7f && k < sizeof(word) - 1; at++)
			word[k++] = text[at];
		word[k] = '\0';
		if (k == 0)
			continue;
		given++;
		lvx_speller_word(&speller,
			&(struct lvx_spelled){.text = word,
				.start_us = (int64_t)at,
				.end_us = (int64_t)at + 5,
				.segment_end = word[k - 1] == '.'},
			on_word, &n);
	}
	lvx_speller_flush(&speller, on_word, &n);
	if ((given > 0) != (n > 0))
		abort();
	lvx_glossary_unref(g);
	return 0;
}
