/* SPDX-License-Identifier: Apache-2.0 */
/* Described sound as Opus for the viewers who asked for it: encoded only while somebody listens.
 * Stereo, 48 kHz, interleaved. One thread. */
#ifndef LVX_DAEMON_OUTPUTS_LISTENERS_H
#define LVX_DAEMON_OUTPUTS_LISTENERS_H

#include "daemon/hub_sound.h"

struct lvx_listeners;

/* stream: borrowed. */
struct lvx_listeners *lvx_listeners_create(
	struct lvx_hub_stream *stream);              /* aborts without memory */
void lvx_listeners_destroy(struct lvx_listeners *l); /* NULL is fine */
/* n samples from `at` of the timeline on, which follow those before. voiced: there is something
 * in voice. LVX_EUNSUPPORTED: FFmpeg has no encoder. */
enum lvx_status lvx_listeners_put(struct lvx_listeners *l, const float *mix, const float *voice,
	size_t n, int64_t at, bool voiced, struct lvx_error *err);
void lvx_listeners_flush(struct lvx_listeners *l); /* what comes next does not follow */

#endif
