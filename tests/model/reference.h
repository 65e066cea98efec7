/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model in plain C, as docs/MODEL.md writes it down: one run after another,
 * one position after another, sums in double. What the kernels are tested against.
 */
#ifndef LVX_TESTS_MODEL_REFERENCE_H
#define LVX_TESTS_MODEL_REFERENCE_H

#include "model/runner.h"

struct reference_weights; /* all of a model as floats */
struct reference;         /* one row */

struct reference_weights *reference_weights_create(const struct lvx_model *model);
void reference_weights_destroy(struct reference_weights *weights);
struct reference *reference_create(const struct reference_weights *weights); /* borrows them */
void reference_destroy(struct reference *r);

/* logits: [lanes][vocab], only those of wanted lanes are written; activity: [3], probabilities. */
void reference_run(
	struct reference *r, const struct lvx_run *run, float *logits, float *activity);
/* How close the closest choice of an expert was so far. */
double reference_gap(const struct reference *r);

#endif
