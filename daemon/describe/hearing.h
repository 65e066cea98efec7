/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programme's sound tells by itself: where somebody speaks, and how loud that is.
 * Stereo, 48 kHz, interleaved; positions are samples of the timeline. One thread.
 */
#ifndef LVX_DAEMON_DESCRIBE_HEARING_H
#define LVX_DAEMON_DESCRIBE_HEARING_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lvx_hearing;

enum lvx_status lvx_hearing_create(struct lvx_hearing **out,
	void (*on_speech)(void *user, int64_t start_us, int64_t end_us), void *user,
	struct lvx_error *err);
void lvx_hearing_destroy(struct lvx_hearing *h); /* NULL is fine */

/* n samples from `at` on. Speech is told in pieces of 20 ms, in order. */
void lvx_hearing_hear(struct lvx_hearing *h, const float *pcm, size_t n, int64_t at);
/* All speech before that has been told. */
int64_t lvx_hearing_known_us(const struct lvx_hearing *h);
/* EBU R128, of what has been heard: the loudness of speech in its last minute or so, or else of
 * all of it; -23 where it was too short or too quiet to tell. */
double lvx_hearing_lufs(const struct lvx_hearing *h);

#endif
