/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What HLS calls a codec: RFC 6381, ISO/IEC 14496-15 annex E. Parameter sets are Annex B, and
 * anybody's bytes. Free-threaded.
 */
#ifndef LVX_DAEMON_OUTPUTS_CODEC_STRING_H
#define LVX_DAEMON_OUTPUTS_CODEC_STRING_H

#include "pipeline/units.h"

enum { LVX_CODEC_STRING_SIZE = 48 };

/* sets: parameter sets of H.264 and H.265. False: there is no telling. */
bool lvx_codec_string(char out[LVX_CODEC_STRING_SIZE], const struct lvx_unit_format *format,
	const uint8_t *sets, size_t n_sets);

#endif
