/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programme's sound decoded to stereo, 48 kHz, and such sound encoded. FFmpeg's types stay in
 * sound.c. One thread each.
 */
#ifndef LVX_DAEMON_DESCRIBE_SOUND_H
#define LVX_DAEMON_DESCRIBE_SOUND_H

#include "pipeline/units.h"

struct lvx_sound_in;

/* n samples, interleaved, the first of them at pts_us. */
typedef void lvx_sound_pcm(void *user, const float *pcm, size_t n, int64_t pts_us);

struct lvx_sound_in *lvx_sound_in_create(lvx_sound_pcm *fn, void *user); /* aborts without memory */
void lvx_sound_in_destroy(struct lvx_sound_in *in);                      /* NULL is fine */
/* A unit of sound, whatever its format. LVX_EUNSUPPORTED: there is no decoder for it. A unit that
 * is broken is skipped. */
enum lvx_status lvx_sound_in_put(
	struct lvx_sound_in *in, const struct lvx_unit *unit, struct lvx_error *err);

struct lvx_sound_out;

/* One unit but for its track. */
typedef void lvx_sound_unit(void *user, const struct lvx_unit *unit);

struct lvx_sound_out_params {
	const char *codec; /* "aac" (20 or so ms a unit) or "opus" (60 ms) */
	int channels;      /* 2, or 1: the left one is encoded */
	int bit_rate;
	lvx_sound_unit *fn;
	void *user;
};
enum lvx_status lvx_sound_out_create(struct lvx_sound_out **out,
	const struct lvx_sound_out_params *params, struct lvx_error *err);
void lvx_sound_out_destroy(struct lvx_sound_out *out); /* NULL is fine */
/* n samples that follow those before; the first of all is `at` of the timeline. */
void lvx_sound_out_put(struct lvx_sound_out *out, const float *pcm, size_t n, int64_t at);
/* Nothing follows what was put: the rest comes out, and what is put next may be anywhere. */
void lvx_sound_out_flush(struct lvx_sound_out *out);

#endif
