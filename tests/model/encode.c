/* SPDX-License-Identifier: Apache-2.0 */
/* encode TOKENIZER.JSON VOCABULARY: the ids of each word of stdin, a line each. */
#include "model/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct lvx_tokenizer *tok;
	struct lvx_error err;
	char word[1024];
	if (argc != 3 ||
		lvx_tokenizer_load(&tok, argv[1], (uint32_t)atoi(argv[2]), &err) != LVX_OK) {
		fprintf(stderr, "encode: %s\n", argc == 3 ? err.msg : "TOKENIZER.JSON VOCABULARY");
		return 1;
	}
	while (fgets(word, sizeof(word), stdin)) {
		int32_t ids[1024];
		size_t n = sizeof(ids) / sizeof(ids[0]);
		word[strcspn(word, "\n")] = '\0';
		if (lvx_tokenizer_encode(tok, word, ids, &n) != LVX_OK)
			n = 0;
		for (size_t i = 0; i < n; i++)
			printf("%s%d", i ? " " : "", (int)ids[i]);
		printf("\n");
	}
	lvx_tokenizer_destroy(tok);
	return 0;
}
