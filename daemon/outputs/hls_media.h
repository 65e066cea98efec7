/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One track of the programme as a media rendition of HLS: its units wait till a segment's end
 * is known, and become a file of it. One thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_MEDIA_H
#define LVX_DAEMON_OUTPUTS_HLS_MEDIA_H

#include "daemon/outputs/fmp4.h"
#include "daemon/outputs/hls_cut.h"
#include "daemon/outputs/hls_dir.h"
#include "daemon/outputs/hls_list.h"

/* Added to the stream's timeline: the media's times, and the cues', which never are below 0. */
#define LVX_HLS_SHIFT_US INT64_C(10000000)

struct lvx_hls_media {
	struct lvx_hls_rendition rendition;
	struct lvx_unit_track track;
	bool leads;      /* its key frames are where segments begin */
	bool dead;       /* there is nothing that can be done with it */
	uint64_t filled; /* number of the last segment that it has made */

	const struct lvx_unit **queue; /* [n], referenced */
	size_t n, cap, bytes;
	int64_t newest_us; /* pts of the last unit */

	/* What the present initialisation is of. */
	struct lvx_fmp4 *mux;
	const struct lvx_unit *sample; /* referenced; NULL: nothing has come */
	struct lvx_text sets;
	unsigned init;                     /* its number */
	bool init_there;                   /* it is on the disk */
	char codec[LVX_CODEC_STRING_SIZE]; /* "": not known */
};

void lvx_hls_media_finish(struct lvx_hls_media *m); /* what it holds, not itself */
void lvx_hls_media_put(struct lvx_hls_media *m, const struct lvx_unit *unit);
/* Is everything here that belongs into the segment? */
bool lvx_hls_media_ready(const struct lvx_hls_media *m, const struct lvx_hls_segment *segment);
/*
 * Writes the segment's file of what is here of it, and sets segment->init or ->missing. Adds
 * its size to *bytes. LVX_EUNSUPPORTED: the track is dead; LVX_EIO: there is no file.
 */
enum lvx_status lvx_hls_media_fill(struct lvx_hls_media *m, struct lvx_hls_segment *segment,
	struct lvx_hls_dir *dir, uint64_t *bytes, struct lvx_error *err);

#endif
