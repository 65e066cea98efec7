/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's described sound for its viewers: packets, made into messages once, of which the last
 * few are kept and shared by reference (docs/PROTOCOL.md). A listener holds nothing but the number
 * of the packet that it wants next. Free-threaded.
 */
#ifndef LVX_DAEMON_HUB_SOUND_H
#define LVX_DAEMON_HUB_SOUND_H

#include "daemon/hub.h"

enum lvx_hub_sound {
	LVX_SOUND_NONE,
	LVX_SOUND_MIX,   /* the programme with descriptions */
	LVX_SOUND_VOICE, /* the descriptions alone, while they are spoken */
	LVX_SOUNDS,
};
enum {
	LVX_SOUND_KEPT = 256, /* packets; of 60 ms, 15 s */
	LVX_SOUND_HEAD = 24,  /* bytes before the packet in a message */
};

const char *lvx_hub_sound_name(enum lvx_hub_sound sound); /* "mix", "voice"; NULL: none */

/* LVX_EINVAL: the stream is not described. *next: the first packet that will be made. */
enum lvx_status lvx_hub_listen(
	struct lvx_hub_stream *s, enum lvx_hub_sound sound, uint64_t *next, struct lvx_error *err);
void lvx_hub_unlisten(struct lvx_hub_stream *s, enum lvx_hub_sound sound);
/* Does anybody listen? Where not, it need not be encoded. */
bool lvx_hub_is_listened(struct lvx_hub_stream *s, enum lvx_hub_sound sound);
/* Makes a message of an Opus packet, and wakes the listeners. */
void lvx_hub_put_sound(
	struct lvx_hub_stream *s, enum lvx_hub_sound sound, const struct lvx_unit *unit);
/* Packet *next, referenced, and moves on; of those that are not kept any more it leaves out.
 * NULL: there is none yet. */
struct lvx_hub_event *lvx_hub_next_sound(
	struct lvx_hub_stream *s, enum lvx_hub_sound sound, uint64_t *next);
bool lvx_hub_has_sound(struct lvx_hub_stream *s, enum lvx_hub_sound sound, uint64_t next);

#endif
