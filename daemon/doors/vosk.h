/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of vosk-server sends as text. Pure functions. */
#ifndef LVX_DAEMON_DOORS_VOSK_H
#define LVX_DAEMON_DOORS_VOSK_H

#include "daemon/doors/door.h"

enum lvx_vosk_type { LVX_VOSK_CONFIG, LVX_VOSK_EOF, LVX_VOSK_RESET };

struct lvx_vosk_config {
	uint32_t sample_rate;
	bool words;            /* "result" with times in final results */
	uint32_t alternatives; /* 0: plain results; else "alternatives", of which there is one */
	char prefix[LVX_PREFIX_MAX + 1]; /* the phrase list */
};
void lvx_vosk_config_init(struct lvx_vosk_config *c);
/* CONFIG changes what is said in it and leaves the rest. */
enum lvx_status lvx_vosk_parse(enum lvx_vosk_type *type, struct lvx_vosk_config *config,
	const char *text, size_t len, struct lvx_error *err);

#endif
