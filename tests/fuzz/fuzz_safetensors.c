/* SPDX-License-Identifier: Apache-2.0 */
/* A file of weights, bound to a graph of three and read through. */
#include "model/graph.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct lvx_safetensors *st)
{
	volatile uint8_t sum = 0;
	for (size_t i = 0; i < lvx_safetensors_count(st); i++) {
		const struct lvx_tensor *t = lvx_safetensors_get(st, i);
		for (uint64_t k = 0; k < t->bytes; k++)
			sum = (uint8_t)(sum + t->data[k]);
		if (lvx_safetensors_find(st, t->name) != t || !lvx_dtype_name(t->dtype))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_weight weights[] = {{.name = "w", .rows = 4, .cols = 64},
		{.name = "n", .cols = 8, .exact = true},
		{.name = "e", .rows = 2, .cols = 32, .exact = true}};
	struct lvx_graph graph = {.weights = weights, .n_weights = 3};
	struct lvx_safetensors *st;
	struct lvx_error err = {0};
	/* In a block of its own size, so that reading past it shows. */
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	if (lvx_safetensors_parse(&st, "f", copy, size, &err) != LVX_OK) {
		if (strncmp(err.msg, "f: ", 3) != 0)
			abort();
	} else {
		read_all(st);
		float row[64];
		bool bound = lvx_graph_bind(&graph, st, "f", &err) == LVX_OK;
		for (uint32_t i = 0; bound && i < 3; i++)
			for (uint32_t r = 0; r < (weights[i].rows ? weights[i].rows : 1); r++)
				lvx_weight_row(&weights[i], r, row);
		lvx_safetensors_destroy(st);
	}
	free(copy);
	return 0;
}
