/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a row has lately run, for further rows of the same stream that follow it:
 * they take the same features (kept once, however many follow) and the same
 * caption tokens, each with its own conditions, lanes and cache. A follower holds
 * the number of the entry that it takes next; normally it is in the same batch.
 */
#ifndef LVX_MODEL_TRAIL_H
#define LVX_MODEL_TRAIL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LVX_TRAIL_ENTRIES = 16 };

struct lvx_trail_entry {
	enum {
		LVX_TRAIL_SLOT,
		LVX_TRAIL_SILENCE, /* a slot that is not on the timeline */
		LVX_TRAIL_PICTURE,
		LVX_TRAIL_GAP, /* before the next slot; no run */
		LVX_TRAIL_PAUSE, /* before the next slot: the context is empty from there on; no run */
		LVX_TRAIL_END,
	} kind;
	int64_t pts_us; /* SLOT, PICTURE; GAP: where it ends */
	int64_t gap_us; /* GAP */
	bool changed;   /* PICTURE: another scene */
	bool anew;      /* GAP: the context is empty after it */
	bool pause;     /* SILENCE: of a pause, in which the timeline goes on */
	int32_t caption; /* slots: the token that was fed as the captions'; -1: they are off */
};

struct lvx_trail {
	uint64_t n; /* entries ever added */
	struct lvx_trail_entry entries[LVX_TRAIL_ENTRIES]; /* by number modulo */
	size_t n_values;
	float values[]; /* [LVX_TRAIL_ENTRIES, n_values] */
};

struct lvx_trail *lvx_trail_create(size_t n_values); /* free with free; NULL: no memory */
/* Of an entry that is kept. */
static inline float *lvx_trail_values(struct lvx_trail *t, uint64_t number)
{
	return t->values + number % LVX_TRAIL_ENTRIES * t->n_values;
}
/* The caller has seen to it that nobody wants the oldest any more. values: NULL, or [n_values]. */
void lvx_trail_add(struct lvx_trail *t, const struct lvx_trail_entry *entry, const float *values);

#endif
