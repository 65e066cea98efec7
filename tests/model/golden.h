/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the oracle computed for a tiny model (tests/model/golden/, written by
 * golden.py): rows as lists of runs, and the outputs that belong to them.
 */
#ifndef LVX_TESTS_MODEL_GOLDEN_H
#define LVX_TESTS_MODEL_GOLDEN_H

#include "model/runner.h"
#include "model/safetensors.h"

enum { GOLDEN_CASES = 4 };

struct golden_case {
	const char *name;
	struct lvx_run *runs; /* in the order of the timeline; row is 0 */
	uint32_t n_runs, n_slots;
	float *features;
	int32_t *tokens, *conditions;
	const float *logits;          /* [wanted lanes of all slots][vocab] */
	const float *activity;        /* [slots][3], before the sigmoid */
	double logit_gap, router_gap; /* how close the oracle's closest choices were */
};

struct golden {
	struct lvx_safetensors *file;
	uint32_t n_lanes, vocab, n_conditions;
	struct golden_case cases[GOLDEN_CASES];
};

/* The golden folder's files; a test that can't read them fails. */
void golden_load(struct golden *out, const struct lvx_model_info *info);
void golden_free(struct golden *golden);

enum golden_format {
	GOLDEN_STORED, /* int8, experts of 4 bits: as in the folder */
	GOLDEN_INT8,   /* the same values: a 4-bit number is an int8 */
	GOLDEN_F32,    /* the same values */
	GOLDEN_F16,    /* cut to 11 bits */
	GOLDEN_F32_OF_F16,
};
/* The golden model with its matrices in another format, in a folder that is gone afterwards. */
struct lvx_model *golden_model(enum golden_format format);

/* Deterministic values in [-1, 1]. */
void golden_values(uint32_t seed, float *out, size_t n);

#endif
