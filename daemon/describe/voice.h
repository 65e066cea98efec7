/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The voice: a command that reads text on stdin and writes WAV to stdout, run for each text on a
 * thread of its own. Whatever it does, it costs that text only. One thread at a time, its owner's.
 */
#ifndef LVX_DAEMON_DESCRIBE_VOICE_H
#define LVX_DAEMON_DESCRIBE_VOICE_H

#include "base/bell.h"
#include "daemon/describe/clip.h"

#include <stdbool.h>

enum {
	LVX_VOICE_QUEUE = 16, /* texts that wait */
	LVX_VOICE_TIMEOUT_US = 5000000,
	LVX_VOICE_WPM = 160, /* words a minute, where the rate is 1 */
};

/* {wpm} is replaced by words a minute, {language} by a language code (letters, digits, '-'). */
#define LVX_VOICE_USUAL "espeak-ng --stdin --stdout -b 1 -s {wpm} -v {language}"

struct lvx_voice;

/* LVX_EINVAL: empty, or spd-say, which has no output but loudspeakers. */
enum lvx_status lvx_voice_check(const char *command, struct lvx_error *err);
/* timeout_us: 0: as above. bell (borrowed): rung when something has been spoken. */
enum lvx_status lvx_voice_create(struct lvx_voice **out, const char *command, int64_t timeout_us,
	struct lvx_bell *bell, struct lvx_error *err);
/* Kills what runs. NULL is fine. */
void lvx_voice_destroy(struct lvx_voice *v);

/* False: too many wait. */
bool lvx_voice_speak(struct lvx_voice *v, uint64_t id, uint32_t variant, const char *text,
	const char *language, double rate);
struct lvx_spoken {
	uint64_t id;
	uint32_t variant;
	struct lvx_clip *clip; /* the caller's; NULL: it failed, */
	char why[320];         /* for this reason */
};
/* The next that was spoken, in the order of asking. False: none yet. */
bool lvx_voice_take(struct lvx_voice *v, struct lvx_spoken *out);
size_t lvx_voice_waiting(struct lvx_voice *v); /* asked for, and not taken yet */

#endif
