/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file. */
#include "daemon/id.h"
#include "daemon/settings.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_settings s;
	struct lvx_error err = {0};
	lvx_settings_init(&s);
	enum lvx_status st = lvx_settings_parse_ini(&s, "f", (const char *)data, size, &err);
	if (st != LVX_OK && err.msg[0] == '\0')
		abort();
	for (size_t i = 0; st == LVX_OK && i < s.n_streams; i++) {
		if (!lvx_id_valid(s.streams[i].id) || !s.streams[i].uri)
			abort();
	}
	lvx_settings_finish(&s);
	return 0;
}
