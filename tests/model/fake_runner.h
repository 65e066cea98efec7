/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model that is only a configuration and a vocabulary, a runner that says
 * what a test tells it to, and a row whose inputs are scripted and whose events
 * are kept. The runner checks the rules of runner.h on every step.
 */
#ifndef LVX_TESTS_MODEL_FAKE_RUNNER_H
#define LVX_TESTS_MODEL_FAKE_RUNNER_H

#include "model/model_priv.h"
#include "model/scheduler.h"

enum {
	FAKE_ROWS = 16,
	FAKE_SLOT_US = 80000,
	FAKE_DELAY = 5,
	FAKE_WINDOW = 20, /* slots */
	FAKE_PREFIX = 6,
	FAKE_PATCHES = 60,
	CAPTION = 0,
	TRANSLATION = 1,
	DESCRIPTION = 2,
};

/* Ids of the vocabulary; BYTE(b) is <0xNN>. */
enum {
	PAD = 3,
	FIRST_BYTE = 4,
	END_MARK = 260, /* a lone end-of-word mark */
	HELLO,          /* a whole word */
	WOR,
	LD,       /* closes */
	STOP,     /* "done." closes */
	A_SINGLE, /* "a", does not close */
	FAKE_VOCAB,
};
#define BYTE(b) (FIRST_BYTE + (b))

/* What a test works with, from fake_before to fake_after. */
extern struct lvx_model *model;
extern struct lvx_runner *runner;
extern struct lvx_scheduler *sched;
extern bool in_tick;

int fake_before(void **state); /* a scheduler of FAKE_ROWS rows, 400 positions */
int fake_after(void **state);
void open_scheduler(uint32_t n_rows, uint32_t max_positions); /* another one, and a runner */
uint32_t tick(void); /* must not fail; the inputs worked off */
void tick_until_idle(void);

struct lvx_model *fake_model(bool conditions);
void fake_model_free(struct lvx_model *model);

struct fake_step {
	struct lvx_run runs[FAKE_ROWS];
	int32_t fed[FAKE_ROWS][LVX_LANES_MAX];
	int32_t conditions[FAKE_ROWS][4];
	float first[FAKE_ROWS]; /* value of the features */
	int32_t favoured[FAKE_ROWS]; /* the first token that is, if any */
	uint32_t n, positions;
};

struct lvx_runner {
	uint32_t max_positions;
	enum lvx_status status; /* of the next steps */
	/* What a slot gives; NULL: PAD, and activity 0. */
	int32_t (*say)(uint32_t row, int64_t slot, uint32_t lane);
	void (*act)(uint32_t row, int64_t slot, float *p);
	float logprob;

	struct fake_step steps[4096];
	uint32_t n_steps;
	uint32_t n_resets;
	int64_t next_slot[FAKE_ROWS];
	bool began[FAKE_ROWS];
	uint32_t n_prefix[FAKE_ROWS];
	uint32_t n_pieces; /* of long runs; 0: 1 */
	uint32_t n_long, long_rows[FAKE_ROWS], pieces_left;
	bool busy[FAKE_ROWS];
};

struct fake_item {
	enum { SLOT, PICTURE, WAIT, FINISH } what;
	int64_t pts_us, gap_us;
	float value;
	bool changed;
};

struct fake_event {
	struct lvx_event e;
	char text[512];
};

/* One row's feed and events. */
struct fake_row {
	struct fake_item items[512];
	uint32_t n_items, at;
	struct fake_event events[2048];
	uint32_t n_events;
	int64_t next_pts_us;
	uint32_t index; /* in the scheduler */
	struct lvx_row_params params;
};

struct fake_row *fake_row(uint32_t lanes);
void add(struct fake_row *r);    /* to the scheduler */
void finish(struct fake_row *r); /* its feed ends; ticks until idle */
void fake_row_free(struct fake_row *r);
void fake_slots(struct fake_row *r, uint32_t n);
void fake_gap(struct fake_row *r, int64_t gap_us); /* before the next slot */
void fake_picture(struct fake_row *r);
void fake_scene(struct fake_row *r); /* a picture of another one */
void fake_wait(struct fake_row *r, uint32_t ticks);
/* The words of a lane, a space between; of segment ends a '|' behind. */
const char *fake_words(const struct fake_row *r, uint32_t lane);
uint32_t fake_count(const struct fake_row *r, enum lvx_event_kind kind);
/* The nth event of a kind; it must exist. */
const struct fake_event *fake_nth(const struct fake_row *r, enum lvx_event_kind kind, uint32_t n);

#endif
