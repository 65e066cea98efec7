/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When which description is spoken: into gaps of the speech that are known from end to end, as it
 * is, faster, or without its trailing clauses, or not at all where no gap comes in its lifetime.
 *
 * It knows no clock, thread or voice: what it is told, and in which order, is all that decides.
 * Times are on the stream's timeline, in µs. It looks from the head (what is before has left) to
 * where speech is known; the further apart, the longer a description can be. One thread at a time.
 */
#ifndef LVX_DAEMON_DESCRIBE_PLAN_H
#define LVX_DAEMON_DESCRIBE_PLAN_H

#include "daemon/describe/wording.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	LVX_PLAN_PENDING_MAX = 64, /* descriptions that wait; the oldest gives way */
	LVX_PLAN_SPANS_MAX = 1024, /* stretches of speech; the oldest are forgotten */
};

struct lvx_plan;

struct lvx_plan_params {
	int64_t lifetime_us; /* so long after it was seen a description may begin */
	int64_t guard_us;    /* between speech and description, and for the ramps */
	int64_t between_us;  /* between two descriptions */
	int64_t least_us;    /* in shorter gaps nothing is said */
	int64_t again_us;    /* the same words are not said again so soon */
	double fast;         /* by so much a voice may be hurried, over 1 */
};
/* 10 s, 0.35 s, 0.6 s, 2 s, 30 s, 1.25 */
extern const struct lvx_plan_params lvx_plan_usual;

struct lvx_plan *lvx_plan_create(const struct lvx_plan_params *params); /* aborts without memory */
void lvx_plan_destroy(struct lvx_plan *p);                              /* NULL is fine */

/* Somebody speaks in [start_us, end_us): a word, or a measure of the sound. */
void lvx_plan_speech(struct lvx_plan *p, int64_t start_us, int64_t end_us);
/* What is to be described, and when it was seen. False: there are no words in it, or the same has
 * just been said. */
bool lvx_plan_describe(struct lvx_plan *p, const char *text, const char *language, int64_t seen_us);
/* A variant that was asked for has been spoken and takes so long; -1: it cannot be had. */
void lvx_plan_spoken(struct lvx_plan *p, uint64_t id, uint32_t variant, int64_t duration_us);

enum lvx_plan_what {
	LVX_PLAN_SPEAK, /* have that variant spoken, once */
	LVX_PLAN_PLACE, /* it goes into [start_us, end_us) */
	LVX_PLAN_DROP,  /* it will not be said; what was spoken of it can go */
};
struct lvx_plan_action {
	enum lvx_plan_what what;
	uint64_t id;
	uint32_t variant;
	const char *text; /* of the variant; until the next call of any function */
	const char *language;
	double rate; /* 1, or `fast` */
	int64_t seen_us, start_us, end_us;
	const char *why; /* of a drop; static */
};
/*
 * What is to be done now; false: nothing. All speech before known_us has been told; head_us never
 * goes back. To be asked until there is nothing.
 */
bool lvx_plan_next(
	struct lvx_plan *p, int64_t head_us, int64_t known_us, struct lvx_plan_action *out);
size_t lvx_plan_pending(const struct lvx_plan *p);

#endif
