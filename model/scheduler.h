/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins rows to the runner: each tick asks every row's feed for what is ready,
 * puts it all into one batch, and turns the tokens that come out into events.
 * The policy of the delayed-streams family (feed back what each lane emitted
 * one slot ago; a lane that is off feeds back PAD) lives in delayed.c.
 *
 * Thread: all functions on the model thread, which also owns the runner.
 */
#ifndef LVX_MODEL_SCHEDULER_H
#define LVX_MODEL_SCHEDULER_H

#include "model/runner.h"

struct lvx_scheduler;
struct lvx_spelling;

/* One input of a row, filled by its feed. */
struct lvx_feed_item {
	enum { LVX_FEED_SLOT, LVX_FEED_PICTURE } kind;
	int64_t pts_us; /* start of the slot on the stream's timeline */
	int64_t gap_us; /* > 0: so much of the timeline is missing before this slot */
	bool changed;   /* picture: another scene than that of the picture before */
};

/*
 * The next input of a row, written to values [the larger of slot and picture
 * values]. LVX_OK, LVX_AGAIN (none ready) or LVX_END. Must not block or allocate.
 */
typedef enum lvx_status (*lvx_feed_fn)(void *user, struct lvx_feed_item *item, float *values);

enum lvx_event_kind {
	LVX_EVENT_WORD,	    /* one whole word of a lane; never changes once sent */
	LVX_EVENT_ACTIVITY, /* speech began or ended, end of utterance, speaker change */
	LVX_EVENT_GAP,	    /* the timeline misses start_us..end_us */
	LVX_EVENT_END,	    /* every input of the row has been worked off */
};

struct lvx_event {
	enum lvx_event_kind kind;
	uint32_t lane;	      /* index into lvx_model_info.lanes; ACTIVITY: whose segment ends */
	const char *text;     /* the word, UTF-8, no spaces around it; borrowed for the call */
	int64_t start_us, end_us; /* on the stream's timeline; WORD: never before the lane's last */
	float confidence;     /* 0..1: from the log-probabilities of the word's tokens */
	bool segment_end;     /* WORD: a sentence ends with it; ACTIVITY: a pause ended the lane's */
	bool speech;	      /* ACTIVITY: someone is speaking */
	bool utterance_end;   /* ACTIVITY: an utterance has just ended */
	bool speaker_change;  /* ACTIVITY: another voice has begun */
	int64_t heard_us;     /* end of the last slot that the model had heard */
};
typedef void (*lvx_event_fn)(void *user, const struct lvx_event *event);

struct lvx_row_params {
	uint32_t lanes;		  /* bit per lane to compute */
	const char *translate_to; /* NULL: that lane stays off; or a language of it */
	const char *language;	  /* that is spoken; NULL: the model finds out */
	uint32_t delay_slots;	  /* one of the model's delays; 0: delay_slots of the model */
	const char *prefix;	  /* NULL, or a title and names (UTF-8) to pin before slot 0: the
				   * first words that fit into max_prefix tokens */
	uint32_t *n_prefix_words; /* NULL, or where to say how many words fitted */
	const char *favour;	  /* NULL, or names and terms that the captions may hold (model/favour.h) */
	const struct lvx_spelling *spelling; /* NULL, or how words are to be written; borrowed
					      * until the row is removed */
	/*
	 * A further row of the row `of` (which must not follow one itself): from now on it
	 * hears what that one hears (feed is not used), with its prefix, language and delay
	 * (nor are these), and is fed that one's caption tokens where it makes them. It changes nothing there. Not
	 * the caption lane. It ends after that one, or at once when that one is removed.
	 */
	bool follows;
	uint32_t of;
	lvx_feed_fn feed;
	lvx_event_fn on_event;	  /* on the model thread, inside tick; must not block */
	void *user;		  /* for both */
};

enum lvx_status lvx_scheduler_create(struct lvx_scheduler **out, const struct lvx_model *model,
	struct lvx_runner *runner, uint32_t n_rows, struct lvx_error *err);
void lvx_scheduler_destroy(struct lvx_scheduler *s);

/* LVX_ELIMIT: every row is taken. *row identifies it until removed. */
enum lvx_status lvx_scheduler_add(struct lvx_scheduler *s, const struct lvx_row_params *params,
	uint32_t *row, struct lvx_error *err);
void lvx_scheduler_remove(struct lvx_scheduler *s, uint32_t row); /* no event follows */
/* Lanes on or off mid-stream. */
void lvx_scheduler_set_lanes(struct lvx_scheduler *s, uint32_t row, uint32_t lanes);

/*
 * One batch of every row's slot that is ready, then a piece of the pictures and prefixes that wait,
 * so that they do not delay the others' slots. *n_done: runs worked at; 0: nothing was
 * ready, wait for the bell. A row
 * whose feed said LVX_END still runs delay_slots + a few of silence, so that its
 * last words come out, then sends LVX_EVENT_END. So do the words before a gap,
 * as far as it is long enough; after one longer than the audio window the row
 * starts anew, prefix included. LVX_EDEVICE: the runner's.
 */
enum lvx_status lvx_scheduler_tick(struct lvx_scheduler *s, uint32_t *n_done);

#endif
