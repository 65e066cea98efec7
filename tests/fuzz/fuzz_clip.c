/* SPDX-License-Identifier: Apache-2.0 */
/* What a voice writes. */
#include "daemon/describe/clip.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lvx_clip *clip = NULL;
	struct lvx_error err;
	if (lvx_clip_read(&clip, data, size, &err) != LVX_OK)
		return 0;
	if (clip->n == 0 || clip->n > LVX_CLIP_SECONDS_MAX * LVX_CLIP_RATE || !isfinite(clip->lufs))
		abort();
	for (size_t i = 0; i < clip->n; i++) {
		if (!(fabsf(clip->pcm[i]) <= clip->peak))
			abort();
	}
	lvx_clip_destroy(clip);
	return 0;
}
