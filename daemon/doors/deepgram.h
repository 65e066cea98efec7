/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of Deepgram's /v1/listen sends. Pure functions. */
#ifndef LVX_DAEMON_DOORS_DEEPGRAM_H
#define LVX_DAEMON_DOORS_DEEPGRAM_H

#include "daemon/doors/door.h"
#include "daemon/glossary.h"

struct lvx_deepgram_params {
	struct lvx_door_sound sound;
	bool interim, punctuate, vad_events, detect;
	int64_t endpointing_us;          /* the pause that ends an utterance; -1: none does */
	int64_t utterance_end_us;        /* 0: no UtteranceEnd */
	const char *language;            /* the model's name of it; "auto"; NULL: not said */
	char prefix[LVX_PREFIX_MAX + 1]; /* the key terms */
	char replace[2048];              /* lines of a glossary: "wrong => right" */
};

/* LVX_EINVAL: unknown, or not supported; the message names the parameter. */
enum lvx_status lvx_deepgram_params_parse(struct lvx_deepgram_params *out,
	const struct lvx_door_args *args, const struct lvx_model_info *model,
	struct lvx_error *err);

/* The glossary of `replace`, referenced; NULL: none was given. LVX_EINVAL: a rule that is none. */
enum lvx_status lvx_deepgram_glossary(
	struct lvx_glossary **out, const struct lvx_deepgram_params *p, struct lvx_error *err);

enum lvx_deepgram_message {
	LVX_DEEPGRAM_KEEP_ALIVE,
	LVX_DEEPGRAM_FINALIZE,
	LVX_DEEPGRAM_CLOSE_STREAM,
};
enum lvx_status lvx_deepgram_message_parse(
	enum lvx_deepgram_message *out, const char *text, size_t len, struct lvx_error *err);

/* The word in lower case without punctuation around it, but for a tag such as [music];
 * NUL-terminated, cut to size - 1. */
void lvx_deepgram_bare_word(const char *word, char *out, size_t size);

#endif
