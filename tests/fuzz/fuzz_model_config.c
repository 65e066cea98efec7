/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, and the graph of what it allows. */
#include "model/graph.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_config c;
	struct lvx_graph graph;
	struct lvx_error err = {0};
	if (lvx_config_parse(&c, "f", (const char *)data, size, &err) != LVX_OK) {
		if (strncmp(err.msg, "f: ", 3) != 0)
			abort();
		return 0;
	}
	if (lvx_audio_slot_values(&c.frontend.audio) == 0 ||
		lvx_image_patches(&c.frontend.image) == 0 || c.n_lanes == 0 || c.slot_ms == 0 ||
		c.pad_token < 0 || (uint32_t)c.pad_token >= c.vocab)
		abort();
	if (lvx_graph_build(&graph, &c, &err) == LVX_OK) {
		for (uint32_t i = 0; i < graph.n_weights; i++)
			if (memchr(graph.weights[i].name, 0, sizeof(graph.weights[i].name) - 1) ==
				NULL)
				abort(); /* cut off: two tensors might have one name */
		lvx_graph_finish(&graph);
	}
	return 0;
}
