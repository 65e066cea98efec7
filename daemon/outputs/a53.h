/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captions in pictures: CEA-708 cc_data as user_data_registered_itu_t_t35 (ATSC A/53 part 4,
 * section 6.2.3; SCTE 128) in access units of H.264 and H.265, whose slices stay as they are.
 * Access units are Annex B, and anybody's bytes. Free-threaded.
 */
#ifndef LVX_DAEMON_OUTPUTS_A53_H
#define LVX_DAEMON_OUTPUTS_A53_H

#include "base/error.h"
#include "daemon/text.h"

#include <stdbool.h>
#include <stdint.h>

enum lvx_a53_codec { LVX_A53_H264, LVX_A53_H265 };

enum {
	LVX_A53_COUNT_MAX = 31, /* what five bits can say */
	LVX_A53_PAIRS_MAX = 12,
};

/* The 608 pairs of one picture, and how many triplets there are in all: the rest is padding. */
struct lvx_a53_cc {
	uint8_t count;   /* of all; at most LVX_A53_COUNT_MAX */
	uint8_t n_pairs; /* at most count, and LVX_A53_PAIRS_MAX */
	struct lvx_a53_pair {
		uint8_t field; /* 0: field 1; 1: field 2 */
		uint8_t bytes[2];
	} pairs[LVX_A53_PAIRS_MAX];
};

/*
 * Appends the access unit to *out with cc before its first slice, and without the captions that
 * it had; other SEI messages stay. LVX_EINVAL: there is no slice in it (it is appended as it
 * came, but for captions).
 */
enum lvx_status lvx_a53_insert(struct lvx_text *out, enum lvx_a53_codec codec, const uint8_t *au,
	size_t len, const struct lvx_a53_cc *cc);

/* Appends the parameter sets of the access unit, with start codes: extradata for a muxer. */
void lvx_a53_parameter_sets(
	struct lvx_text *out, enum lvx_a53_codec codec, const uint8_t *au, size_t len);

#endif
