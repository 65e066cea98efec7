/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/source_priv.h"

enum lvx_status lvx_mic_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err)
{
	(void)out, (void)params, (void)ring, (void)cb;
	return lvx_fail(err, LVX_EUNSUPPORTED, "mic: not yet");
}

int lvx_mic_list(struct lvx_audio_device *out, int max, struct lvx_error *err)
{
	(void)out, (void)max, (void)err;
	return 0;
}
