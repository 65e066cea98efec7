/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one row says: the outputs of its slots become events with times on the
 * stream's timeline. In the caller's memory; no allocation.
 *
 * Time: a word's first token comes delay_slots + 1 after the slot in which the
 * word ended (docs/MODEL.md section 4), so the end of that slot is the latest
 * moment at which it can have ended. It began at most as long ago as a word of
 * its letters takes, not before the lane's last word and not before a gap.
 *
 * Segments: a lane's segment ends with a word that ends a sentence, or, where
 * an utterance ends without one, by an ACTIVITY event of that lane with
 * segment_end, once the lane has said what was still to come. A sound's tag ([music])
 * between two sentences is a segment of its own.
 *
 * Pictures: a row whose context becomes empty in a pause (lvx_script_retell) describes the scene
 * that is still on as though it were new. What a lane says of the first picture after it is dropped,
 * unless that picture shows another scene.
 *
 * Marks, of models that say so: a word ">>" before what another voice says first.
 */
#ifndef LVX_MODEL_SCRIPT_H
#define LVX_MODEL_SCRIPT_H

#include "model/activity.h"
#include "model/scheduler.h"
#include "model/spelling.h"
#include "model/words.h"

#define LVX_NOT_TIMED INT64_MIN /* a slot of silence that is not on the timeline */

struct lvx_script_lane {
	struct lvx_words words;
	struct lvx_speller speller;
	int64_t last_end_us;
	bool segment_open;
	int64_t change_us;    /* another voice has begun and is not marked yet: when it was noticed */
	uint64_t settle_from; /* an utterance has ended: from this slot on silence closes the
				 segment */
	bool retells; /* what has been told before: not given out */
	/* For the word callback. */
	struct lvx_script *script;
	int64_t stretch_us;
};

struct lvx_script {
	const struct lvx_model *model;
	lvx_event_fn on_event;
	void *user;
	struct {
		int64_t end_us;
		int64_t stretch_us; /* where the time without a gap began */
	} slots[LVX_DELAY_MAX + 2]; /* the last ones, by n % their number */
	uint64_t n;                 /* slots of this context */
	uint32_t delay_slots;       /* the row's */
	int64_t heard_us, stretch_us;
	struct lvx_script_lane lanes[LVX_LANES_MAX];
	struct lvx_activity activity;
	bool pausing;
	uint32_t n_pictures; /* of this context */
	uint64_t first_picture, last_picture; /* the slots they came before */
};

/* spelling: borrowed; NULL: words stay as the model writes them. */
void lvx_script_init(struct lvx_script *s, const struct lvx_model *model, uint32_t delay_slots,
	const struct lvx_spelling *spelling, lvx_event_fn on_event, void *user);
/*
 * The output of a slot. pts_us: where it starts, or LVX_NOT_TIMED. lanes: those
 * that are on.
 */
void lvx_script_slot(
	struct lvx_script *s, uint32_t lanes, const struct lvx_output *out, int64_t pts_us);
/* These lanes have said nothing for so many slots. */
bool lvx_script_is_quiet(const struct lvx_script *s, uint32_t lanes, uint32_t n_slots);
void lvx_script_drop_lane(struct lvx_script *s, uint32_t lane); /* half a word is forgotten */
/* Gives out the words that are open and ends the segments. */
void lvx_script_flush(struct lvx_script *s);
/* Tells of a gap; what comes next starts at end_us. */
void lvx_script_gap(struct lvx_script *s, int64_t start_us, int64_t end_us);
void lvx_script_restart(struct lvx_script *s); /* the row's context is empty again */
/* From now on, or no longer, the slots are nobody's: words that are due come, and nothing is told of who speaks. */
void lvx_script_pause(struct lvx_script *s, bool on);
/* A picture has been run; changed: of another scene than the one before, whatever the context holds. */
void lvx_script_picture(struct lvx_script *s, bool changed);
/* A picture has come within the last slots. */
bool lvx_script_saw(const struct lvx_script *s, uint32_t n_slots);
/* The context is about to be empty, but the scene goes on: of these lanes, those that know of it tell it again. */
void lvx_script_retell(struct lvx_script *s, uint32_t lanes);
/* Gives out the words that are open; segments stay so. */
void lvx_script_close_words(struct lvx_script *s);
/* Nobody has spoken for so many slots. */
bool lvx_script_rests(const struct lvx_script *s, uint32_t n_slots);
void lvx_script_end(struct lvx_script *s);

#endif
