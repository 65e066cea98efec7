/* SPDX-License-Identifier: Apache-2.0 */
/* What a device does at its best, measured by itself: the yardsticks of a bench run. */
#ifndef LVX_BENCH_CEILINGS_H
#define LVX_BENCH_CEILINGS_H

#include "base/error.h"

struct lvx_ceilings {
	double copy_gbs;    /* buffer to buffer, bytes read and written */
	double matvec_gbs;  /* int8 weights read by the product of one position */
	double product_tfs; /* int8 weights, many positions, TFLOP/s: the runner's kernel */
	double half_tfs;    /* f16 by cooperative matrices, no runner; 0: the device has none */
};

enum lvx_status lvx_ceilings_measure(
	struct lvx_ceilings *out, const char *device, struct lvx_error *err);

#endif
