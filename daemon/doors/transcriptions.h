/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to POST /v1/audio/transcriptions: from its first byte to its answer.
 * The answer comes into the reply that it was made with (borrowed); then a
 * WRITEABLE is asked for. Socket thread.
 */
#ifndef LVX_DAEMON_DOORS_TRANSCRIPTIONS_H
#define LVX_DAEMON_DOORS_TRANSCRIPTIONS_H

#include "daemon/server_priv.h"

#define LVX_TRANSCRIPTIONS_PATH "/v1/audio/transcriptions"

/* length: of the body, 0 where it is chunked. NULL: refused, as the reply says. */
struct lvx_transcription *lvx_transcription_create(struct lvx_server *server, struct lws *wsi,
	bool chunked, long length, struct lvx_http_reply *reply);
void lvx_transcription_body(struct lvx_transcription *t, const char *data, size_t len);
/* That was all; a chunked body tells its end itself. */
void lvx_transcription_complete(struct lvx_transcription *t);
/* Deletes its stream too. NULL is fine. */
void lvx_transcription_destroy(struct lvx_transcription *t);
void lvx_transcriptions_news(struct lvx_server *server);

/* The body of an error in OpenAI's form. */
void lvx_openai_error(struct lvx_text *t, int status, const char *code, const char *message);

#endif
