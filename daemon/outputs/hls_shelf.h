/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a stream's HLS is offered: its playlists, a bounded window of segments, and the files
 * of what has left it, for a while. One thread; the disk may block it.
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_SHELF_H
#define LVX_DAEMON_OUTPUTS_HLS_SHELF_H

#include "daemon/outputs/hls_lanes.h"
#include "daemon/outputs/hls_media.h"

/* The renditions that there are. */
struct lvx_hls_set {
	struct lvx_hls_media media[LVX_UNIT_TRACKS_MAX]; /* [n_media] */
	size_t n_media;
	struct lvx_hls_media *leader; /* one of them; NULL: none */
	struct lvx_hls_lanes *lanes;
};

struct lvx_hls_shelf;

/* dir, set: borrowed. window_us 0: all is kept. Aborts without memory. */
struct lvx_hls_shelf *lvx_hls_shelf_create(
	struct lvx_hls_dir *dir, struct lvx_hls_set *set, int64_t window_us, int segment_s);
void lvx_hls_shelf_destroy(struct lvx_hls_shelf *s); /* NULL is fine */

/*
 * Publishes the next segment: the media's files are there, the text's are written now. bytes: by
 * media. start_wall_us: time of day of the timeline's 0, as far as it is known now; 0: it is not.
 * LVX_EIO: it, or a playlist, could not be written; one that could not be is left out for good.
 */
enum lvx_status lvx_hls_shelf_add(struct lvx_hls_shelf *s, const struct lvx_hls_segment *segment,
	const uint64_t bytes[LVX_UNIT_TRACKS_MAX], int64_t start_wall_us, struct lvx_error *err);
/* A segment of which a medium's file could not be written is left out. */
void lvx_hls_shelf_skip(struct lvx_hls_shelf *s, const struct lvx_hls_segment *segment);
enum lvx_status lvx_hls_shelf_end(struct lvx_hls_shelf *s, struct lvx_error *err);

#endif
