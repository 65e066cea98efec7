/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a voice has spoken: mono, 48 kHz, without the silence around it, and how loud it is. A
 * voice's WAV is anybody's bytes. FFmpeg's types stay in clip.c. Free-threaded.
 */
#ifndef LVX_DAEMON_DESCRIBE_CLIP_H
#define LVX_DAEMON_DESCRIBE_CLIP_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LVX_CLIP_RATE = 48000, LVX_CLIP_SECONDS_MAX = 30, LVX_CLIP_BYTES_MAX = 16 << 20 };

struct lvx_clip {
	size_t n;    /* samples */
	double lufs; /* EBU R128, integrated, when it is heard from two loudspeakers alike */
	float peak;  /* the greatest sample */
	float pcm[];
};

/* LVX_EINVAL: no WAV, nothing to be heard in it, or longer than LVX_CLIP_SECONDS_MAX. */
enum lvx_status lvx_clip_read(
	struct lvx_clip **out, const uint8_t *wav, size_t len, struct lvx_error *err);
void lvx_clip_destroy(struct lvx_clip *clip); /* NULL is fine */

#endif
