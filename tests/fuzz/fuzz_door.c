/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the clients of other services send. The first byte picks whose parser. */
#include "daemon/doors/deepgram.h"

#include <stdlib.h>
#include <string.h>

static const struct lvx_model_info model = {
	.name = "m",
	.lanes = {{.name = "caption", .languages = {"en"}, .n_languages = 1},
		{.name = "translation", .languages = {"de", "fr"}, .n_languages = 2}},
	.n_lanes = 2,
};

/* Arguments lie one a line. */
static void query(char *text)
{
	struct lvx_door_args args = {0};
	struct lvx_error err = {0};
	struct lvx_deepgram_params p;
	char *rest = NULL;
	for (char *a = strtok_r(text, "\n", &rest); a && args.n < LVX_DOOR_ARGS_MAX;
		a = strtok_r(NULL, "\n", &rest))
		args.arg[args.n++] = a;
	if (lvx_deepgram_params_parse(&p, &args, &model, &err) == LVX_OK &&
		(strlen(p.prefix) > LVX_PREFIX_MAX || p.sound.channels == 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_error err = {0};
	if (size == 0)
		return 0;
	char *text = calloc(1, size);
	if (!text)
		abort();
	memcpy(text, data + 1, size - 1);
	switch (data[0]) {
	case 'q':
		query(text);
		break;
	case 'w': {
		char out[16];
		lvx_deepgram_bare_word(text, out, sizeof(out));
		break;
	}
	case 'd': {
		enum lvx_deepgram_message type;
		if (lvx_deepgram_message_parse(&type, text, size - 1, &err) != LVX_OK &&
			!err.msg[0])
			abort();
		break;
	}
	default:
		break;
	}
	free(text);
	return 0;
}
