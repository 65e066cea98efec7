/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One lane's words as WebVTT segments of HLS (RFC 8216 section 3.5). A segment has every cue of
 * which a part lies in it, with its whole times and always the same id; so it can be written
 * when all cues that begin before its end are known. One thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_TEXT_H
#define LVX_DAEMON_OUTPUTS_HLS_TEXT_H

#include "daemon/cues.h"

struct lvx_hls_text;

struct lvx_hls_text *lvx_hls_text_create(void);    /* aborts when out of memory */
void lvx_hls_text_destroy(struct lvx_hls_text *t); /* NULL is fine */

void lvx_hls_text_word(struct lvx_hls_text *t, const char *text, int64_t start_us, int64_t end_us);
void lvx_hls_text_break(struct lvx_hls_text *t);  /* as lvx_cues_break */
void lvx_hls_text_finish(struct lvx_hls_text *t); /* no word follows */
/* No word that begins before settled_us follows. Returns up to where all cues are known;
 * after finish: INT64_MAX. */
int64_t lvx_hls_text_time(struct lvx_hls_text *t, int64_t settled_us);

/*
 * Appends the segment [start_us, end_us); shift_us is added to all times, which are then those
 * of the media. Segments come in their order; what lies between two of them is forgotten.
 * A cue that comes so late that it should have been in one before begins with the next.
 */
void lvx_hls_text_segment(struct lvx_hls_text *t, struct lvx_text *out, int64_t start_us,
	int64_t end_us, int64_t shift_us);
/* As if the segment up to end_us had been written. */
void lvx_hls_text_skip(struct lvx_hls_text *t, int64_t end_us);

#endif
