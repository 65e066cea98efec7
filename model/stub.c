/* SPDX-License-Identifier: Apache-2.0 */
/* Placeholder until runner.c and scheduler.c land, so that others can link. */
#include "model/scheduler.h"

enum lvx_status lvx_scheduler_create(struct lvx_scheduler **out, const struct lvx_model *model,
	struct lvx_runner *runner, uint32_t n_rows, struct lvx_error *err) { (void)out, (void)model, (void)runner, (void)n_rows;
	return lvx_fail(err, LVX_EUNSUPPORTED, "the scheduler is not built yet"); }
void lvx_scheduler_destroy(struct lvx_scheduler *s) { (void)s; }
enum lvx_status lvx_scheduler_add(struct lvx_scheduler *s, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err) { (void)s, (void)params, (void)row; return lvx_fail(err, LVX_EUNSUPPORTED, "not yet"); }
void lvx_scheduler_remove(struct lvx_scheduler *s, uint32_t row) { (void)s, (void)row; }
void lvx_scheduler_set_lanes(struct lvx_scheduler *s, uint32_t row, uint32_t lanes) { (void)s, (void)row, (void)lanes; }
enum lvx_status lvx_scheduler_tick(struct lvx_scheduler *s, uint32_t *n_done) { (void)s; *n_done = 0; return LVX_OK; }
