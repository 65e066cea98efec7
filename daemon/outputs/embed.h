/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pairs of two caption channels go into which picture. Pictures come in the order of
 * decoding, pairs belong to the order of display: a picture's pairs are known once all that are
 * shown before it are here, which the decoding time of a later one tells. One thread at a time.
 */
#ifndef LVX_DAEMON_OUTPUTS_EMBED_H
#define LVX_DAEMON_OUTPUTS_EMBED_H

#include "daemon/outputs/a53.h"
#include "daemon/outputs/cc608.h"

enum { LVX_EMBED_PICTURES = 64 }; /* that wait at most: more than any picture is reordered by */

struct lvx_embed;

/* channel[0] on field 1, channel[1] on field 2; borrowed, or NULL. */
struct lvx_embed *lvx_embed_create(struct lvx_cc608 *channel[2]);
void lvx_embed_destroy(struct lvx_embed *e); /* NULL is fine */

/* Announces a picture, in the order of decoding. */
void lvx_embed_put(struct lvx_embed *e, int64_t pts_us, int64_t dts_us);
/* Can the oldest picture that was announced be had? all: no later one will come, or be waited for.
 */
bool lvx_embed_ready(const struct lvx_embed *e, bool all);
/* Takes the oldest; there is one. What is shown before it and is here gets its pairs too. Each
 * channel gets 30 pairs a second (25 at 12.5, 25, 50, 100 pictures a second), whatever their
 * number a picture. */
void lvx_embed_take(struct lvx_embed *e, struct lvx_a53_cc *cc);

#endif
