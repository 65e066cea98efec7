/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captions into anybody's pictures and out of anybody's words. The first byte picks: h, H (H.264,
 * H.265: an access unit), r, p (roll-up, pop-on: text, a word or cue a line).
 */
#include "daemon/outputs/embed.h"

#include <stdlib.h>
#include <string.h>

static void picture(enum lvx_a53_codec codec, const uint8_t *data, size_t size)
{
	static const struct lvx_a53_cc cc = {
		.count = 20, .n_pairs = 2, .pairs = {{0, {0x94, 0x2c}}, {1, {0x80, 0x80}}}};
	struct lvx_text once = {0}, twice = {0}, sets = {0};
	if (lvx_a53_insert(&once, codec, data, size, &cc) == LVX_OK) {
		/* What was put in is taken out again. */
		if (lvx_a53_insert(&twice, codec, (const uint8_t *)once.data, once.len, &cc) !=
				LVX_OK ||
			twice.len != once.len || memcmp(once.data, twice.data, once.len) != 0)
			abort();
	}
	lvx_a53_parameter_sets(&sets, codec, data, size);
	lvx_text_finish(&once);
	lvx_text_finish(&twice);
	lvx_text_finish(&sets);
}

static void words(int rows, char *text)
{
	struct lvx_cc608 *cc = lvx_cc608_create(&(struct lvx_cc608_params){2, rows});
	char *rest = NULL;
	int64_t at_us = 0;
	for (char *w = strtok_r(text, "\n", &rest); w; w = strtok_r(NULL, "\n", &rest)) {
		if (rows)
			lvx_cc608_word(cc, w, at_us);
		else
			lvx_cc608_cue(cc, w, at_us, at_us + 1000000);
		at_us += 300000;
	}
	uint8_t pair[2];
	for (int64_t t = 0; t < at_us; t += 33367) {
		lvx_cc608_next(cc, t, pair);
		if (!__builtin_parity(pair[0]) || !__builtin_parity(pair[1]))
			abort();
	}
	lvx_cc608_destroy(cc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 'h' || data[0] == 'H') {
		picture(data[0] == 'h' ? LVX_A53_H264 : LVX_A53_H265, data + 1, size - 1);
	} else if (data[0] == 'r' || data[0] == 'p') {
		char *text = calloc(1, size);
		if (!text)
			abort();
		memcpy(text, data + 1, size - 1);
		words(data[0] == 'r' ? 3 : 0, text);
		free(text);
	}
	return 0;
}
