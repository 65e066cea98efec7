/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of MPEG-TS into which what describes their sound is put. The first byte says how many
 * bytes come at once. */
#include "daemon/outputs/ts_describe.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_ts_describe *t = lvx_ts_describe_create();
	struct lvx_text out = {0};
	size_t step = size > 0 ? 1 + 3 * (size_t)data[0] : 1;
	lvx_ts_describe_track(t, LVX_TS_FIRST_PID + 1, LVX_UNIT_DESCRIBES_VIDEO);
	lvx_ts_describe_track(t, LVX_TS_FIRST_PID + 2, LVX_UNIT_DESCRIPTION);
	for (int i = 0; i < 100; i++)
		lvx_ts_describe_fade(t, 1920 * i, (uint8_t)i);
	for (size_t at = 1; at < size; at += step)
		lvx_ts_describe_put(t, &out, data + at, size - at < step ? size - at : step);
	if (out.len % 188 != 0)
		abort();
	lvx_text_finish(&out);
	lvx_ts_describe_destroy(t);
	return 0;
}
