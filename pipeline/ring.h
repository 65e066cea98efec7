/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream's timeline: sound and pictures on one clock in µs, one producer,
 * N cursors, lock-free. The ring holds mono f32 PCM at one rate, sized in time,
 * and beside it the last few scaled pictures. Sample indices run free from 0
 * and never wrap (64 bit); "anchors" tie them to PTS wherever the timeline
 * jumps, so a gap costs no memory and timestamps stay true for weeks.
 *
 * Each cursor has its own position and overrun count. When a cursor falls
 * behind: a LIVE ring drops the oldest samples for that cursor, up to a quarter
 * of the capacity at once so that it does not fall behind again at once (its
 * next read returns LVX_GAP and counts); a PACED ring makes the producer wait
 * for the cursors that are `blocking`, which others never do.
 *
 * Threads: one producer thread at a time (samples and pictures may come from two
 * threads, each of them one at a time); each cursor one thread; cursors are
 * opened before the producer starts or while it runs (any thread), and begin at
 * what is written next.
 */
#ifndef LVX_PIPELINE_RING_H
#define LVX_PIPELINE_RING_H

#include "base/bell.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lvx_ring_mode { LVX_RING_LIVE, LVX_RING_PACED };

enum { LVX_RING_CURSORS_MAX = 16 };

struct lvx_ring;
struct lvx_cursor;

struct lvx_ring_params {
	uint32_t sample_rate;	 /* Hz of the PCM held */
	int64_t capacity_us;	 /* sound held, e.g. 30 s */
	enum lvx_ring_mode mode;
	uint32_t picture_width, picture_height; /* RGB24; 0 x 0: no pictures */
	uint32_t n_pictures;	 /* pictures held, e.g. 8 */
};

enum lvx_status lvx_ring_create(
	struct lvx_ring **out, const struct lvx_ring_params *params, struct lvx_error *err);
void lvx_ring_destroy(struct lvx_ring *ring);

/* ---- producer; none of these allocates, locks or logs ---- */

/*
 * Appends n samples whose first has pts_us. A pts_us that disagrees with the
 * running sample clock by more than 40 ms makes a new anchor: a jump forward is
 * a gap, a jump back re-anchors. A PACED ring with no room returns LVX_AGAIN
 * with *written < n (wait with lvx_ring_wait_room); a LIVE ring always takes all.
 */
enum lvx_status lvx_ring_write(
	struct lvx_ring *ring, const float *pcm, size_t n, int64_t pts_us, size_t *written);
/*
 * Waits until a reader of a PACED ring has moved on since the last LVX_AGAIN, at
 * most timeout_us. False: the ring was cancelled (stop writing).
 */
bool lvx_ring_wait_room(struct lvx_ring *ring, int64_t timeout_us);
/*
 * Copies one RGB24 picture (width * height * 3 bytes, rows packed). LVX_AGAIN:
 * the ring is PACED and a blocking cursor that follows pictures has not read the
 * one that this would overwrite.
 */
enum lvx_status lvx_ring_write_picture(struct lvx_ring *ring, const uint8_t *rgb, int64_t pts_us);
/* As lvx_ring_wait_room, after LVX_AGAIN from lvx_ring_write_picture. */
bool lvx_ring_wait_picture_room(struct lvx_ring *ring, int64_t timeout_us);
/* Samples that the slowest blocking cursor has not read yet; 0 without one. */
uint64_t lvx_ring_unread(struct lvx_ring *ring);
void lvx_ring_finish(struct lvx_ring *ring); /* no more data: cursors get LVX_END */

/* ---- any thread ---- */
void lvx_ring_cancel(struct lvx_ring *ring); /* wakes a waiting producer, for good */
void lvx_ring_get_params(const struct lvx_ring *ring, struct lvx_ring_params *out);
/* Rung after each write, finish and cancel. Set before the producer starts; borrowed. */
void lvx_ring_set_bell(struct lvx_ring *ring, struct lvx_bell *bell);

struct lvx_ring_stats {
	uint64_t samples_written, pictures_written;
	uint64_t n_gaps;	/* jumps forward of the timeline */
	int64_t gap_us;		/* their sum */
	uint64_t n_jumps_back;
	uint64_t overruns;	/* samples lost, summed over all cursors */
	uint64_t pictures_lost; /* overwritten before a following cursor read them */
	float rms, peak;	/* of the last 0.4 s, 1: full scale; < 0: not yet known */
	int64_t silent_us;	/* so long there has been nothing louder than -60 dBFS */
};
void lvx_ring_get_stats(const struct lvx_ring *ring, struct lvx_ring_stats *out);

/* ---- cursors ---- */
enum lvx_status lvx_cursor_open(
	struct lvx_cursor **out, struct lvx_ring *ring, bool blocking, struct lvx_error *err);
void lvx_cursor_close(struct lvx_cursor *cursor); /* before the ring's destroy; NULL is fine */
/* This cursor will read every picture: a PACED ring's pictures wait for it too. */
void lvx_cursor_follow_pictures(struct lvx_cursor *cursor);

/*
 * Copies exactly n samples (n > 0, at most the capacity) that are contiguous in
 * time, and the PTS of the first. LVX_AGAIN: fewer are there yet. LVX_GAP: the
 * timeline jumps before n samples are there, or samples were lost; *got samples
 * (< n) were copied, and the next read starts after the gap at *resume_us. With
 * *got == 0, *pts_us is where the samples read before ended. LVX_END: finished;
 * *got (< n) last samples were copied.
 */
enum lvx_status lvx_cursor_read(struct lvx_cursor *cursor, float *pcm, size_t n, size_t *got,
	int64_t *pts_us, int64_t *resume_us);
/*
 * The next picture with PTS <= until_us, oldest first; LVX_AGAIN if none. *rgb
 * (width * height * 3) is copied.
 */
enum lvx_status lvx_cursor_read_picture(
	struct lvx_cursor *cursor, uint8_t *rgb, int64_t until_us, int64_t *pts_us);
uint64_t lvx_cursor_overruns(const struct lvx_cursor *cursor); /* samples lost so far */
/* Samples written and not yet read by this cursor. */
uint64_t lvx_cursor_lag(const struct lvx_cursor *cursor);

#endif
