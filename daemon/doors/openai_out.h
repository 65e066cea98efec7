/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenAI's realtime transcription and translation have in common on the way out. */
#ifndef LVX_DAEMON_DOORS_OPENAI_OUT_H
#define LVX_DAEMON_DOORS_OPENAI_OUT_H

#include "daemon/doors/openai.h"

enum { LVX_OPENAI_MESSAGE_MAX = 2 << 20 };

/* {"type":TYPE,"event_id":ID without its end. */
void lvx_openai_begin(struct lvx_door *d, struct lvx_text *t, const char *type);
/* The object that tells how captions are made. */
void lvx_openai_transcription(
	struct lvx_door *d, struct lvx_text *t, const struct lvx_openai_config *c);
/* flat: in vLLM's form. param and event_id may be NULL. */
void lvx_openai_send_error(struct lvx_door *d, bool flat, const char *type, const char *code,
	const char *message, const char *param, const char *event_id);
void lvx_openai_refuse(
	enum lvx_api_code code, const char *why, struct lvx_text *head, struct lvx_text *body);
/* A word as it was sent, with the logarithm of its confidence: {"token","logprob","bytes"}. */
void lvx_openai_logprob(struct lvx_text *t, const char *token, double confidence);
/* In what cannot change while a stream runs? */
bool lvx_openai_differ(const struct lvx_openai_config *a, const struct lvx_openai_config *b);

#endif
