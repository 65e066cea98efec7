/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole model folder that is tiny and says nothing of sense, in a temporary
 * place: the seeds of the fuzz targets as config.json and tokenizer.json, and
 * weights of zero for the graph that they describe. Tests then break it.
 */
#ifndef LVX_TESTS_MODEL_TINY_MODEL_H
#define LVX_TESTS_MODEL_TINY_MODEL_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct tiny_model {
	char dir[64];
	char *config, *tokenizer; /* texts */
	json_t *header;           /* of model.safetensors */
	size_t data_bytes;        /* zeros behind it */
};

void tiny_begin(struct tiny_model *t);
void tiny_finish(struct tiny_model *t); /* removes the folder */

void tiny_write(const struct tiny_model *t, const char *file, const void *data, size_t len);
void tiny_write_config(const struct tiny_model *t);
void tiny_write_tokenizer(const struct tiny_model *t);
void tiny_write_weights(const struct tiny_model *t);
void tiny_remove(const struct tiny_model *t, const char *file);
/* A copy of text with the one place of `old` replaced; the caller frees it. */
char *tiny_replaced(const char *text, const char *old, const char *with);

#endif
