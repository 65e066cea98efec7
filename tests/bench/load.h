/* SPDX-License-Identifier: Apache-2.0 */
/* N live streams over one runner, as a daemon would drive it: for measuring. One thread. */
#ifndef LVX_BENCH_LOAD_H
#define LVX_BENCH_LOAD_H

#include "model/runner.h"

struct lvx_load;

struct lvx_load_params {
	const struct lvx_model *model;
	struct lvx_runner_params runner; /* n_rows: as many as fit, at most this */
	const char *pcm;		 /* NULL, or a file of s16le mono at the model's rate */
	uint32_t lanes;			 /* bit per lane */
	bool pictures;			 /* one every 2 s a stream */
	bool mel;			 /* from PCM in every tick; else features are ready */
};

enum lvx_status lvx_load_create(
	struct lvx_load **out, const struct lvx_load_params *params, struct lvx_error *err);
void lvx_load_destroy(struct lvx_load *load);
struct lvx_runner *lvx_load_runner(struct lvx_load *load);
uint32_t lvx_load_rows(const struct lvx_load *load);

/*
 * A tick as the scheduler has it: a slot of n streams (of those that wait for a picture, once it is
 * done), and a piece of the pictures that are due. *us: what it took.
 */
enum lvx_status lvx_load_tick(struct lvx_load *load, uint32_t n, int64_t *us);
/* Pieces of pictures, until none is left or it is that late (lvx_now_us). */
enum lvx_status lvx_load_idle(struct lvx_load *load, int64_t until_us);
/* How many slots a picture has waited at most, since this was last asked. */
int64_t lvx_load_late(struct lvx_load *load);

/* Bytes that a tick of n streams must read at least: weights and rings. */
uint64_t lvx_load_weight_bytes(const struct lvx_load *load, uint32_t n);
uint64_t lvx_load_ring_bytes(const struct lvx_load *load); /* of one stream */
uint64_t lvx_load_stream_bytes(const struct lvx_load *load); /* device memory of one stream */
double lvx_load_flop(const struct lvx_load *load);	   /* of one slot of one stream */

#endif
