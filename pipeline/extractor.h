/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the ring to what a model wants: log-mel slots and image patches in the
 * order of the timeline, built from a plain front-end spec. Incremental: the
 * same numbers, bit for bit, whatever the sizes of the chunks that arrived.
 * One thread per extractor. No allocation after create.
 */
#ifndef LVX_PIPELINE_EXTRACTOR_H
#define LVX_PIPELINE_EXTRACTOR_H

#include "base/frontend_spec.h"
#include "pipeline/ring.h"

struct lvx_extractor;

struct lvx_feature {
	enum { LVX_FEATURE_SLOT, LVX_FEATURE_PICTURE } kind;
	int64_t pts_us;	  /* start of the slot, or the picture's own time */
	int64_t slot;	  /* number of the slot (the one it belongs to, for a picture), from 0 */
	int64_t gap_us;	  /* > 0: so much of the timeline is missing right before this slot */
	bool changed;	  /* picture: another scene than that of the picture before */
	uint32_t n_values; /* written to values: slot values, or patches * patch values */
};

enum lvx_status lvx_extractor_create(struct lvx_extractor **out, struct lvx_ring *ring,
	const struct lvx_frontend_spec *spec, bool blocking_cursor, struct lvx_error *err);
void lvx_extractor_destroy(struct lvx_extractor *ex);

/* Largest n_values of a feature under this spec. */
uint32_t lvx_extractor_max_values(const struct lvx_frontend_spec *spec);

/*
 * The next feature into values (at least lvx_extractor_max_values floats).
 * Slot: [frames_per_slot][n_mels] f32. Picture: [patches][patch * patch * 3] f32
 * in -1..1, only when the scene changed or max_interval_us passed, never
 * within min_interval_us of the last. LVX_AGAIN: no whole slot is there yet.
 * LVX_END: the timeline ended (the last part-filled slot is padded with silence
 * first). A gap of the timeline pads the slot in hand with silence and shows as
 * gap_us of the slot after.
 */
enum lvx_status lvx_extractor_next(
	struct lvx_extractor *ex, struct lvx_feature *out, float *values);

uint64_t lvx_extractor_overruns(const struct lvx_extractor *ex); /* samples lost */

#endif
