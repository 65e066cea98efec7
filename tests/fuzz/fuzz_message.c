/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a client sends as a message or a body. The first byte picks which. */
#include "daemon/messages.h"

#include <stdlib.h>

static const struct lvx_model_info model = {
	.name = "m",
	.lanes = {{.name = "caption", .languages = {"en", "de"}, .n_languages = 2},
		{.name = "translation", .languages = {"de", "fr"}, .n_languages = 2}},
	.n_lanes = 2,
	.slot_us = 80000,
	.delay_slots = 5,
	.delays = {3, 5, 12, 30},
	.n_delays = 4,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_error err = {0};
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	if (data[0] == 'c') {
		struct lvx_hub_spec spec = {0};
		json_t *root = NULL;
		char scheme[16];
		if (lvx_create_parse(&spec, &root, &model, text, size - 1, &err) == LVX_OK)
			lvx_uri_scheme(spec.uri, scheme);
		json_decref(root);
		lvx_glossary_unref(spec.glossary);
	} else if (data[0] == 'p') {
		uint32_t lanes = 0;
		if (lvx_patch_parse(&lanes, &model, text, size - 1, &err) == LVX_OK && lanes == 0)
			abort();
	} else if (data[0] == 'o') {
		struct lvx_hub_correction c;
		char *line = NULL;
		if (lvx_correction_parse(&c, &line, text, size - 1, &err) == LVX_OK && c.text != line)
			abort();
		free(line);
	} else {
		struct lvx_request r;
		enum lvx_status st = lvx_request_parse(&r, &model, text, size - 1, &err);
		if (st == LVX_OK && r.type == LVX_REQUEST_SUBSCRIBE && !lvx_id_valid(r.stream))
			abort();
		if (st != LVX_OK && err.msg[0] == '\0')
			abort();
		lvx_request_finish(&r);
	}
	return 0;
}
