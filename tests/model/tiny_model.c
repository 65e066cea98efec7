/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "model/graph.h"
#include "tiny_model.h"

static char *read_seed(const char *path)
{
	char *text;
	size_t len;
	struct lvx_error err;
	if (lvx_file_read(&text, &len, path, 1 << 16, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return text;
}

static void add_tensor(struct tiny_model *t, const struct lvx_weight *w)
{
	size_t bytes = (size_t)(w->rows ? w->rows : 1) * w->cols * 4;
	json_t *shape = w->rows ? json_pack("[i,i]", (int)w->rows, (int)w->cols)
				: json_pack("[i]", (int)w->cols);
	json_object_set_new(t->header, w->name,
		json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets",
			(json_int_t)t->data_bytes, (json_int_t)(t->data_bytes + bytes)));
	t->data_bytes += bytes;
}

void tiny_begin(struct tiny_model *t)
{
	struct lvx_config c;
	struct lvx_graph graph;
	struct lvx_error err;
	memset(t, 0, sizeof(*t));
	strcpy(t->dir, "/tmp/lvx-tiny-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	t->config = read_seed(LVX_CORPUS "/model_config/tiny");
	t->tokenizer = read_seed(LVX_CORPUS "/tokenizer/tiny");
	t->header = json_object();
	if (lvx_config_parse(&c, "tiny", t->config, strlen(t->config), &err) != LVX_OK ||
		lvx_graph_build(&graph, &c, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	for (uint32_t i = 0; i < graph.n_weights; i++)
		add_tensor(t, &graph.weights[i]);
	lvx_graph_finish(&graph);
	tiny_write_config(t);
	tiny_write_tokenizer(t);
	tiny_write_weights(t);
}

void tiny_finish(struct tiny_model *t)
{
	tiny_remove(t, "config.json");
	tiny_remove(t, "tokenizer.json");
	tiny_remove(t, "model.safetensors");
	rmdir(t->dir);
	free(t->config);
	free(t->tokenizer);
	json_decref(t->header);
}

void tiny_write(const struct tiny_model *t, const char *file, const void *data, size_t len)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", t->dir, file);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

void tiny_write_config(const struct tiny_model *t)
{
	tiny_write(t, "config.json", t->config, strlen(t->config));
}

void tiny_write_tokenizer(const struct tiny_model *t)
{
	tiny_write(t, "tokenizer.json", t->tokenizer, strlen(t->tokenizer));
}

void tiny_write_weights(const struct tiny_model *t)
{
	char *header = json_dumps(t->header, JSON_COMPACT);
	assert_non_null(header);
	size_t n = strlen(header);
	uint8_t *file = calloc(8 + n + t->data_bytes, 1);
	for (int i = 0; i < 8; i++)
		file[i] = (uint8_t)((uint64_t)n >> 8 * i);
	memcpy(file + 8, header, n);
	tiny_write(t, "model.safetensors", file, 8 + n + t->data_bytes);
	free(file);
	free(header);
}

void tiny_remove(const struct tiny_model *t, const char *file)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", t->dir, file);
	unlink(path);
}

char *tiny_replaced(const char *text, const char *old, const char *with)
{
	const char *at = strstr(text, old);
	if (!at || strstr(at + 1, old))
		fail_msg("'%s' must be there once", old);
	char *out = malloc(strlen(text) + strlen(with) + 1);
	sprintf(out, "%.*s%s%s", (int)(at - text), text, with, at + strlen(old));
	return out;
}
