/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The playlists of HLS (RFC 8216) as text: which segments are there, in all renditions at
 * once, and how they are called. One thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_LIST_H
#define LVX_DAEMON_OUTPUTS_HLS_LIST_H

#include "daemon/outputs/codec_string.h"
#include "daemon/text.h"

enum { LVX_HLS_NAME_SIZE = 40 };

/* One segment, of every rendition. */
struct lvx_hls_segment {
	uint64_t number; /* in the names of its files; from 1 */
	int64_t start_us, end_us;
	int64_t wall_us; /* time of day of start_us; 0: not known */
	bool discontinuity;
	uint32_t missing;                   /* bit per media rendition that has nothing in it */
	uint16_t init[LVX_UNIT_TRACKS_MAX]; /* number of the initialisation; 0: none */
};

struct lvx_hls_list {
	struct lvx_hls_segment *segments; /* [n], oldest first; owned */
	size_t n, cap;
	uint64_t sequence; /* of the first: EXT-X-MEDIA-SEQUENCE */
	uint64_t n_breaks; /* discontinuities before the first */
	int target_s;      /* EXT-X-TARGETDURATION */
	bool event;        /* nothing ever leaves */
	bool ended;
};
void lvx_hls_list_finish(struct lvx_hls_list *l);
void lvx_hls_list_add(struct lvx_hls_list *l, const struct lvx_hls_segment *segment);
void lvx_hls_list_drop(struct lvx_hls_list *l); /* the first leaves */

/* A rendition: a playlist, and the names of its files. */
struct lvx_hls_rendition {
	char name[LVX_HLS_NAME_SIZE]; /* "video", "caption-en": NAME.m3u8, NAME-7.m4s, ... */
	int media;                    /* its number among the media; -1: text */
	uint64_t first;               /* number of its first segment */
};
void lvx_hls_segment_name(struct lvx_text *t, const struct lvx_hls_rendition *r, uint64_t number);
void lvx_hls_init_name(struct lvx_text *t, const struct lvx_hls_rendition *r, unsigned init);
/* Its media playlist. */
void lvx_hls_playlist(
	struct lvx_text *t, const struct lvx_hls_list *l, const struct lvx_hls_rendition *r);

/* ---- the master playlist ---- */

struct lvx_hls_group_entry {
	const struct lvx_hls_rendition *rendition;
	bool subtitles;               /* or sound */
	const char *title, *language; /* language: BCP 47, "" unknown */
	bool is_default;
	const char *characteristics; /* or NULL */
	uint32_t channels;           /* of sound; 0: not known */
};
struct lvx_hls_master {
	/* What everybody gets: the pictures, or the sound. NULL: nothing but text. */
	const struct lvx_hls_rendition *main;
	uint64_t bandwidth; /* bits a second, at most; of main and the largest sound */
	const char *codecs; /* or NULL */
	const struct lvx_unit_format *pictures; /* of main; NULL: it has none */
	const struct lvx_hls_group_entry *entries;
	size_t n_entries;
};
/* folder: where the media playlists lie, seen from this one: "" or "NAME/". */
void lvx_hls_master(struct lvx_text *t, const struct lvx_hls_master *m, const char *folder);

/* Appends a playlist of ours with ?token=TOKEN behind each of its addresses. */
void lvx_hls_add_token(struct lvx_text *t, const char *playlist, size_t len, const char *token);

#endif
