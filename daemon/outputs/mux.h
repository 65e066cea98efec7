/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoded units into a container and on their way, through libavformat: MPEG-TS to srt:, udp: or
 * a file, FLV to rtmp: or a file, fragmented MP4 to a file. One connection, or one file: what
 * fails is over, and to be opened anew. FFmpeg's types stay in mux.c. One thread; all of it may
 * block, but no longer than until *stop, or the limits below.
 */
#ifndef LVX_DAEMON_OUTPUTS_MUX_H
#define LVX_DAEMON_OUTPUTS_MUX_H

#include "pipeline/units.h"

#include <stdatomic.h>

enum {
	LVX_MUX_CONNECT_US = 10000000, /* no longer does connecting take; one that listens waits */
	LVX_MUX_SEND_US = 5000000, /* so long does a receiver not take a unit: it has vanished */
	LVX_MUX_TRIES = 9999,      /* numbers of files */
};

struct lvx_mux;

/* LVX_EINVAL: neither a URL of those schemes nor a path that ends in .ts, .mp4 or .flv. */
enum lvx_status lvx_mux_check(const char *url, struct lvx_error *err);
bool lvx_mux_is_file(const char *url);
size_t lvx_mux_sounds(const char *url); /* so many tracks of sound can it carry */
/* Can it say that a track is to be mixed with another (LVX_UNIT_DESCRIPTION)? */
bool lvx_mux_signals_voice(const char *url);

struct lvx_mux_track {
	enum lvx_unit_media media;
	enum lvx_unit_role role;
	const char *language;                 /* BCP 47, or "" */
	const struct lvx_unit_format *format; /* borrowed for the call; NULL: no such track */
	const uint8_t *extra;                 /* the codec's extradata; NULL: the format's */
	size_t n_extra;
};

/*
 * Connects, or makes the file: one that is there is never written to, the name gets a number
 * (NAME_2.ts). tracks: by the number of the track. LVX_EUNSUPPORTED: the container does not carry
 * that codec. In FLV there is one track of sound: the first. service: the programme's name in
 * MPEG-TS.
 */
enum lvx_status lvx_mux_open(struct lvx_mux **out, const char *url, const char *service,
	const struct lvx_mux_track tracks[LVX_UNIT_TRACKS_MAX], const _Atomic bool *stop,
	struct lvx_error *err);
/* What it is in fact: the file's name, or the URL as may be shown. */
const char *lvx_mux_name(const struct lvx_mux *mux);

/* One unit; times never go back within a track. Of tracks that the container was opened without,
 * nothing is written. LVX_EINVAL: this one is not taken, but others
 * may be. LVX_EIO: it is over. */
enum lvx_status lvx_mux_write(struct lvx_mux *mux, size_t track, const struct lvx_unit *unit,
	const uint8_t *data, size_t len, struct lvx_error *err);
uint64_t lvx_mux_bytes(const struct lvx_mux *mux);
/* Writes what ends the file; NULL is fine. */
void lvx_mux_close(struct lvx_mux *mux);

#endif
