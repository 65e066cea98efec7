/* SPDX-License-Identifier: Apache-2.0 */
/* Placeholder until runner.c and scheduler.c land, so that others can link. */
#include "model/scheduler.h"

int lvx_runner_list_devices(struct lvx_device_info *out, int max, struct lvx_error *err)
{
	(void)out, (void)max;
	lvx_fail(err, LVX_EUNSUPPORTED, "the runner is not built yet");
	return -1;
}
enum lvx_status lvx_runner_create(struct lvx_runner **out, const struct lvx_model *model,
	const struct lvx_runner_params *params, struct lvx_error *err)
{
	(void)out, (void)model, (void)params;
	return lvx_fail(err, LVX_EUNSUPPORTED, "the runner is not built yet");
}
void lvx_runner_destroy(struct lvx_runner *runner) { (void)runner; }
const struct lvx_device_info *lvx_runner_device(const struct lvx_runner *runner) { (void)runner; return 0; }
uint64_t lvx_runner_device_bytes(const struct lvx_runner *runner) { (void)runner; return 0; }
void lvx_runner_reset_row(struct lvx_runner *runner, uint32_t row) { (void)runner, (void)row; }
enum lvx_status lvx_runner_step(struct lvx_runner *runner, const struct lvx_run *runs,
	uint32_t n_runs, struct lvx_output *out) { (void)runner, (void)runs, (void)n_runs, (void)out; return LVX_EDEVICE; }
enum lvx_status lvx_runner_read_logits(
	struct lvx_runner *runner, uint32_t run, uint32_t lane, float *logits) { (void)runner, (void)run, (void)lane, (void)logits; return LVX_EDEVICE; }
void lvx_runner_get_stats(const struct lvx_runner *runner, struct lvx_runner_stats *out) { (void)runner; *out = (struct lvx_runner_stats){0}; }
enum lvx_status lvx_scheduler_create(struct lvx_scheduler **out, const struct lvx_model *model,
	struct lvx_runner *runner, uint32_t n_rows, struct lvx_error *err) { (void)out, (void)model, (void)runner, (void)n_rows;
	return lvx_fail(err, LVX_EUNSUPPORTED, "the scheduler is not built yet"); }
void lvx_scheduler_destroy(struct lvx_scheduler *s) { (void)s; }
enum lvx_status lvx_scheduler_add(struct lvx_scheduler *s, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err) { (void)s, (void)params, (void)row; return lvx_fail(err, LVX_EUNSUPPORTED, "not yet"); }
void lvx_scheduler_remove(struct lvx_scheduler *s, uint32_t row) { (void)s, (void)row; }
void lvx_scheduler_set_lanes(struct lvx_scheduler *s, uint32_t row, uint32_t lanes) { (void)s, (void)row, (void)lanes; }
enum lvx_status lvx_scheduler_tick(struct lvx_scheduler *s, uint32_t *n_done) { (void)s; *n_done = 0; return LVX_OK; }
