/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programme as it came: encoded access units, teed off before any decoder, on the
 * stream's timeline. Outputs read them to pass sound and pictures on untouched.
 *
 * One store a stream, several tracks, one producer thread a track; any number of
 * readers, each with its own position and count of what it lost. A unit is copied once,
 * when it is put, then shared by reference and never changed. Nobody waits for a reader:
 * the store forgets the oldest units when it is full, and where nobody reads, a unit is
 * not even copied. Free-threaded, but for the readers' functions: one thread a reader.
 *
 * What units look like, whatever they came in:
 *   h264, hevc     Annex B, one access unit each; parameter sets in band before every key frame
 *   aac            raw (no ADTS); `extra` is the AudioSpecificConfig
 *   opus           packets; `extra` is the OpusHead
 *   all others     as libavformat's packets and extradata
 */
#ifndef LVX_PIPELINE_UNITS_H
#define LVX_PIPELINE_UNITS_H

#include "base/bell.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LVX_UNIT_TRACKS_MAX = 8,
	LVX_UNIT_READERS_MAX = 16,
	LVX_UNIT_PADDING = 64,        /* zero bytes behind a unit's data, for libavcodec */
	LVX_UNIT_BYTES_MAX = 8 << 20, /* of one unit; larger ones are dropped and counted */
};

enum lvx_unit_media { LVX_UNIT_AUDIO, LVX_UNIT_VIDEO };

enum lvx_unit_role {
	LVX_UNIT_MAIN,            /* the programme itself */
	LVX_UNIT_DESCRIBES_VIDEO, /* a whole mix with audio description */
	LVX_UNIT_DESCRIPTION,     /* its voice alone, silent in between, for receivers that mix */
};

/* What a track's units are, from one unit to the next change. Immutable. */
struct lvx_unit_format {
	char codec[16];                 /* libavcodec's name: "h264", "hevc", "aac", "opus", ... */
	uint32_t sample_rate, channels; /* audio; 0: not known */
	uint32_t width, height;         /* video; 0: not known */
	uint32_t fps_num, fps_den;      /* video; 0: not known or not constant */
	const uint8_t *extra;           /* codec's extradata; NULL: none */
	size_t n_extra;
};

struct lvx_unit {
	uint32_t track;
	enum lvx_unit_media media;
	const struct lvx_unit_format *format; /* the same pointer as long as it does not change */
	/* On the stream's timeline. Within a track dts_us never goes back but at a
	 * discontinuity; pts_us >= dts_us. Both may be a little below 0. */
	int64_t pts_us, dts_us;
	int64_t duration_us; /* 0: not known */
	bool keyframe;       /* decoding can begin here; of sound: always */
	/* Before this unit something is missing, or its times do not follow from the one before:
	 * a reconnection, a jump of the source's clock, a unit that was dropped. */
	bool discontinuity;
	/* LVX_UNIT_DESCRIPTION: by so many times 0.3 dB the programme is lower under it. */
	uint8_t fade;
	size_t len;
	const uint8_t *data; /* [len + LVX_UNIT_PADDING] */
};
const struct lvx_unit *lvx_unit_ref(const struct lvx_unit *unit);
void lvx_unit_unref(const struct lvx_unit *unit); /* NULL is fine */

struct lvx_units;

/* n_max units and n_bytes_max bytes are kept for readers that are behind; 0: 8,192, 64 MiB. */
enum lvx_status lvx_units_create(
	struct lvx_units **out, size_t n_max, size_t n_bytes_max, struct lvx_error *err);
struct lvx_units *lvx_units_ref(struct lvx_units *units);
void lvx_units_unref(struct lvx_units *units); /* NULL is fine */

/* ---- producers ---- */

/* Does anybody read? Where not (or units is NULL), putting is not worth the trouble. */
bool lvx_units_wanted(const struct lvx_units *units);

struct lvx_unit_track {
	enum lvx_unit_media media;
	enum lvx_unit_role role;
	char language[16]; /* BCP 47; "": not known */
};
/* Returns the track's number, -1 if there are too many. A source adds all that it has
 * before its first unit; others may add theirs at any time. */
int lvx_units_add_track(struct lvx_units *units, const struct lvx_unit_track *track);

/*
 * Copies *unit, its data and, where it differs from the track's present one, its format.
 * The caller fills in all fields but media. False: it was dropped (too large, no such
 * track, out of memory); the track's next unit is then marked as a discontinuity, as
 * it is where dts_us goes back. Never blocks longer than a copy.
 */
bool lvx_units_put(struct lvx_units *units, const struct lvx_unit *unit);
/* Nothing follows on any track, but from readers that add: readers get LVX_END after the last
 * unit. */
void lvx_units_finish(struct lvx_units *units);

/* ---- readers ---- */
struct lvx_unit_reader;

/* Begins at the next unit that is put. The bell (borrowed) is rung for each and at the end. */
enum lvx_status lvx_units_open(struct lvx_unit_reader **out, struct lvx_units *units,
	struct lvx_bell *bell, struct lvx_error *err);
void lvx_units_close(struct lvx_unit_reader *reader); /* NULL is fine */
/* This reader puts units of its own that it makes of what it reads: until it is closed, the
 * others' end waits. */
void lvx_units_adds(struct lvx_unit_reader *reader);
/*
 * The next unit, of whichever track, in the order of putting: referenced, to be given
 * back with lvx_unit_unref. LVX_AGAIN: none yet. LVX_GAP: units were lost, as this reader
 * was too slow; reading goes on with the oldest that is kept. LVX_END: finished.
 */
enum lvx_status lvx_units_next(struct lvx_unit_reader *reader, const struct lvx_unit **out);
uint64_t lvx_units_overruns(const struct lvx_unit_reader *reader); /* units lost so far */

/* The tracks there are; returns how many. Numbers do not change. Any thread. */
size_t lvx_units_tracks(struct lvx_units *units, struct lvx_unit_track out[LVX_UNIT_TRACKS_MAX]);

struct lvx_units_stats {
	uint64_t n_put, bytes_put, n_dropped;
	size_t n_kept, bytes_kept, n_readers;
};
void lvx_units_get_stats(struct lvx_units *units, struct lvx_units_stats *out);

#endif
