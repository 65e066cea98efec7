/* SPDX-License-Identifier: Apache-2.0 */
/* What clients of OpenAI's realtime transcription and translation, and of vLLM's, send. */
#ifndef LVX_DAEMON_DOORS_OPENAI_H
#define LVX_DAEMON_DOORS_OPENAI_H

#include "daemon/doors/door.h"

enum lvx_openai_type {
	LVX_OPENAI_UPDATE,
	LVX_OPENAI_APPEND,
	LVX_OPENAI_COMMIT,
	LVX_OPENAI_CLEAR,
	LVX_OPENAI_CLOSE,
};

enum lvx_openai_dialect {
	LVX_OPENAI_NESTED, /* session.update with session.audio.input... */
	LVX_OPENAI_BETA,   /* transcription_session.update with input_audio_... */
	LVX_OPENAI_VLLM,   /* session.update with a model and nothing else */
};

enum lvx_openai_turn { LVX_OPENAI_SERVER_VAD, LVX_OPENAI_SEMANTIC_VAD, LVX_OPENAI_MANUAL };

struct lvx_openai_config {
	enum lvx_openai_dialect dialect;
	struct lvx_door_sound sound;
	enum lvx_openai_turn turn;
	uint32_t silence_ms; /* SERVER_VAD */
	bool logprobs;
	const char *language;            /* the model's name of it; "auto"; NULL: not said */
	const char *delay;               /* static; NULL: not said, or the model has but one */
	uint32_t delay_slots;            /* what that is */
	char prompt[LVX_PREFIX_MAX + 1]; /* prompt and keywords */
	const char *output_language;     /* translations: the model's name of it, or NULL */
};
void lvx_openai_config_init(struct lvx_openai_config *c);

struct lvx_openai_message {
	enum lvx_openai_type type;
	json_t *root;                    /* owned */
	const char *event_id;            /* the client's, or NULL; borrowed from root */
	const char *param;               /* which member an error is about, or NULL; static */
	bool final;                      /* COMMIT: vLLM's end */
	struct lvx_text audio;           /* APPEND, decoded; owned */
	struct lvx_openai_config config; /* UPDATE: as it would be afterwards */
};
/* translations: the names of /v1/realtime/translations hold. Finish *out whatever came back. */
enum lvx_status lvx_openai_parse(struct lvx_openai_message *out,
	const struct lvx_openai_config *now, bool translations, const struct lvx_model_info *model,
	const char *text, size_t len, struct lvx_error *err);
void lvx_openai_message_finish(struct lvx_openai_message *m);

/* Strict: no white space, padding as it must be. False: it is not base64. */
bool lvx_base64_decode(struct lvx_text *out, const char *text, size_t len);

#endif
