/* SPDX-License-Identifier: Apache-2.0 */
/* Test help: runs a source or push into a ring and keeps all that comes out. */
#ifndef LVX_TESTS_PIPELINE_DRAIN_H
#define LVX_TESTS_PIPELINE_DRAIN_H

#include "base/clock.h"
#include "pipeline/ring.h"
#include "pipeline/source.h"

#include <pthread.h>
#include <stdatomic.h>

enum { DRAIN_PIECES = 256, DRAIN_PICTURES = 2048, DRAIN_STATES = 64 };

/* How long tests wait for what must come: only a hang takes so long, on however slow a machine. */
#define DRAIN_PATIENCE_US INT64_C(90000000)
/* Whatever waits for a device, a network or a time-out when it is closed takes longer. */
#define DRAIN_CLOSE_US INT64_C(4000000)

/* Reads d until cond holds, but no longer than DRAIN_PATIENCE_US: ask again what it was. */
#define DRAIN_UNTIL(d, cond)                                                              \
	for (int64_t drain_until = lvx_now_us() + DRAIN_PATIENCE_US;                     \
		!(cond) && lvx_now_us() < drain_until; drain_wait(d))                     \
	continue

struct drain {
	struct lvx_ring *ring;
	struct lvx_cursor *cursor;
	struct lvx_bell *bell;
	struct lvx_source_callbacks cb;

	float *pcm;
	size_t n, cap;
	struct piece {
		size_t at;	/* index in pcm */
		int64_t pts_us; /* of that sample */
	} pieces[DRAIN_PIECES]; /* one per contiguous run */
	int n_pieces;
	int64_t picture_us[DRAIN_PICTURES];
	uint8_t picture_mid[DRAIN_PICTURES][3]; /* its middle pixel */
	int n_pictures;
	bool ended;

	pthread_mutex_t lock;
	enum lvx_source_state states[DRAIN_STATES];
	int n_states;
	char msg[512]; /* of the last state that had one */
};

/* mode PACED has a blocking cursor. width 0: no pictures. */
void drain_init(struct drain *d, enum lvx_ring_mode mode, uint32_t width, uint32_t height);
/* Reads until the end, or timeout_us. True: it ended. */
bool drain_run(struct drain *d, int64_t timeout_us);
/* Reads for some milliseconds, or sleeps where it has ended. */
void drain_wait(struct drain *d);
/* Reads what is there. */
void drain_some(struct drain *d);
void drain_finish(struct drain *d);

bool drain_saw(struct drain *d, enum lvx_source_state state);
int64_t drain_end_us(const struct drain *d); /* end of the last sample */

/* Runs uri through with the given parameters (uri is put in) and closes it. */
enum lvx_status drain_uri(struct drain *d, struct lvx_source_params *params, const char *uri,
	struct lvx_source_stats *stats, struct lvx_error *err);

/* Pushes len bytes in pieces of 1..max_piece bytes (seeded) and closes it. */
enum lvx_status drain_push(struct drain *d, const struct lvx_push_params *params,
	const uint8_t *data, size_t len, size_t max_piece, unsigned seed,
	struct lvx_source_stats *stats, struct lvx_error *err);

/* Root mean square over [from, from + n), and the power of frequency hz in it
 * as a share of the whole. */
double rms(const float *pcm, size_t n);
double tone_share(const float *pcm, size_t n, double hz, double rate);

/* ffmpeg, quietly: returns true if it worked. */
bool run_command(const char *fmt, ...) LVX_PRINTF(1, 2);
/* A fresh directory for this test's files. */
const char *scratch_dir(void);
/* Noise into a file of it: the same bytes every time, since true noise is some media's header now and then. */
void scratch_noise(const char *name, size_t len);
void scratch_remove(void);

#endif
