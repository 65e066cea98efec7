/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model runner: one Vulkan device, one model, R rows of cache. Its unit is
 * a ragged batch of runs: {row, n positions, inputs, which outputs are wanted}.
 * It knows nothing of slots becoming words or of streams: that is the policy of
 * the family (model/delayed.h) one file above.
 *
 * Thread: create, step and destroy on one thread, which owns every Vulkan
 * object. lvx_runner_list_devices is free-threaded.
 * Determinism: a row's outputs do not depend on the other rows of a batch
 * (every reduction has a fixed order). On a GPU only with `exact`: without, many
 * positions at once are multiplied in f16, and a near tie may fall otherwise.
 */
#ifndef LVX_MODEL_RUNNER_H
#define LVX_MODEL_RUNNER_H

#include "model/model.h"

struct lvx_runner;

struct lvx_device_info {
	char name[256];
	char driver[256];
	const char *type; /* "discrete", "integrated", "virtual", "cpu", "other"; static */
	uint64_t memory_bytes;
	uint32_t api_major, api_minor;
	bool usable;
	char why_not[160];
};
/* Returns how many devices there are (at most max are filled), best first, or -1. */
int lvx_runner_list_devices(struct lvx_device_info *out, int max, struct lvx_error *err);

/* When a dispatch was done, in µs since the begin of its submission. */
struct lvx_runner_mark {
	const char *name; /* static */
	uint32_t layer;   /* or LVX_NO_LAYER */
	double end_us;
};
#define LVX_NO_LAYER UINT32_MAX

/* For tests: how a submission to the device fails. */
enum lvx_loss {
	LVX_LOSS_NONE,
	LVX_LOSS_BEFORE, /* the device has done nothing of it */
	LVX_LOSS_AFTER,  /* all of it */
};

struct lvx_runner_params {
	const char *device;     /* NULL: the best; an index of the list, or part of a name */
	uint32_t n_rows;        /* cache rows, 1..256 */
	uint32_t max_positions; /* of one batch; 0: enough for every row's slot and some pictures */
	uint64_t memory_max;    /* bytes of the device that it may take; 0: all that there are */
	bool validation;        /* ask for the Vulkan validation layer */
	bool gpu_kernels;       /* also where the device is a CPU: for tests of them */
	/*
	 * A batch of so many runs is taken in two parts: the host fills in the second while the
	 * device computes the first. 0: as suits the device (a GPU: 1024; a CPU: never); with
	 * `profile` never. Takes no memory of the device.
	 */
	uint32_t split_runs;
	bool profile;           /* timestamps of every dispatch: lvx_runner_marks */
	bool plain_products;    /* no cooperative matrices: to compare */
	bool exact;             /* also on GPUs no result depends on the other rows of a batch: many
				 * positions then do not go through f16 (slower) */
	/*
	 * A lost device is opened anew and every row goes on as if nothing had been: the host
	 * keeps a copy of each row's state that is at most so many steps old, and the runs
	 * since. 0: nothing is kept, a lost device is the end. A row costs as many bytes
	 * on the host as on the device, and its runs.
	 */
	uint32_t keep_steps;
	/* With `profile`: the marks of each submission, which began at begin_us (lvx_now_us). */
	void (*on_marks)(void *user, const struct lvx_runner_mark *marks, uint32_t n, int64_t begin_us);
	void *on_marks_user;
	enum lvx_loss (*lose)(void *user); /* tests: asked before each submission */
	void *lose_user;
};

enum lvx_status lvx_runner_create(struct lvx_runner **out, const struct lvx_model *model,
	const struct lvx_runner_params *params, struct lvx_error *err);
void lvx_runner_destroy(struct lvx_runner *runner);
const struct lvx_device_info *lvx_runner_device(const struct lvx_runner *runner);
uint64_t lvx_runner_device_bytes(const struct lvx_runner *runner);  /* allocated on the device */
uint32_t lvx_runner_max_positions(const struct lvx_runner *runner); /* of one batch */
uint32_t lvx_runner_max_long(const struct lvx_runner *runner);      /* of lvx_runner_begin */
/* Messages of the validation layer so far. */
unsigned lvx_runner_validation_errors(const struct lvx_runner *runner);

enum lvx_run_kind { LVX_RUN_PREFIX, LVX_RUN_PICTURE, LVX_RUN_SLOT };

struct lvx_run {
	uint32_t row;
	enum lvx_run_kind kind;
	uint32_t n;            /* positions: prefix tokens, patches, or 1 */
	int64_t position;      /* the run's slot number (prefix: of its first token, -n, or moved) */
	const float *features; /* slot: [frames * mels]; picture: [n][patch values]; else NULL */
	const int32_t *tokens; /* slot: [n_lanes] fed back; prefix: [n]; else NULL */
	const int32_t *conditions; /* [n_conditions] indices, summed; each counts once */
	uint32_t n_conditions;
	uint32_t want_lanes; /* bit per lane whose token is wanted (slots only) */
	/* Tokens of the first lane whose logits count `favour` more wherever that lane's best is not PAD. */
	const int32_t *favoured;
	uint32_t n_favoured; /* at most LVX_FAVOURED_MAX (model/favour.h) */
	float favour;
};

struct lvx_output {
	int32_t token[LVX_LANES_MAX];     /* greedy, but for what is favoured; pad where not wanted */
	float logprob[LVX_LANES_MAX];     /* of that token, natural log */
	float margin[LVX_LANES_MAX];      /* best logit minus second best */
	float activity[LVX_ACTIVITY_MAX]; /* probabilities: speech, end of utterance, speaker change
					   */
};

/* Forgets a row: prefix, rings and modality memory are empty afterwards. */
void lvx_runner_reset_row(struct lvx_runner *runner, uint32_t row);

/*
 * Runs one batch: at most one run of a row; a row's runs come in the order of
 * its timeline over successive batches. out[i] belongs to runs[i] (unset for runs without outputs).
 * Blocks until the device is done. The inputs are copied before it returns.
 * A prefix comes first in a row. Once more, with the same tokens and conditions, it moves:
 * its keys are computed anew for that position, and nothing else changes in the row.
 * LVX_EINVAL: a run breaks these rules;
 * LVX_ELIMIT: more than max_positions. Then no row has changed.
 * LVX_EDEVICE: the device is lost, and with `keep_steps` it could not be opened
 * again within some seconds; the runner can only be destroyed.
 */
enum lvx_status lvx_runner_step(struct lvx_runner *runner, const struct lvx_run *runs,
	uint32_t n_runs, struct lvx_output *out);

/*
 * Long runs (pictures, prefixes) in pieces of some layers, so that the slots of other rows need
 * not wait until all of them are done: begin takes them, each go_on computes the next piece
 * of all, and steps may come in between, but not of these rows. The numbers are those of
 * a step. What the runs point to is borrowed until *done, or until their row is reset.
 * LVX_EINVAL: other kinds of runs, or the last ones are not done. Else as lvx_runner_step.
 */
enum lvx_status lvx_runner_begin(
	struct lvx_runner *runner, const struct lvx_run *runs, uint32_t n_runs);
enum lvx_status lvx_runner_go_on(struct lvx_runner *runner, bool *done);

/*
 * For parity tests: the logits [vocab] of one lane of run `run` of the last
 * step (of one in two parts: of a run of the second). Slow.
 */
enum lvx_status lvx_runner_read_logits(
	struct lvx_runner *runner, uint32_t run, uint32_t lane, float *logits);

/* With `profile`: of the last step or piece. *out is the runner's, until the next. Returns how many;
 * the first is the begin. */
uint32_t lvx_runner_marks(struct lvx_runner *runner, const struct lvx_runner_mark **out);

struct lvx_runner_stats {
	uint64_t steps, positions, slots, pictures;
	uint64_t recoveries; /* devices that were lost and opened again */
	int64_t busy_us; /* time in step; of it: */
	int64_t fill_us; /* the host was filling in a batch, */
	int64_t wait_us; /* it waited for the device */
	int64_t last_step_us;
};
void lvx_runner_get_stats(const struct lvx_runner *runner, struct lvx_runner_stats *out);

#endif
