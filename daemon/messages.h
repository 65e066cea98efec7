/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients send: WebSocket messages and HTTP bodies, read strictly
 * (docs/PROTOCOL.md). Pure functions; tests/fuzz/fuzz_message.c feeds them.
 */
#ifndef LVX_DAEMON_MESSAGES_H
#define LVX_DAEMON_MESSAGES_H

#include "base/json.h"
#include "daemon/hub_sound.h"

enum { LVX_MESSAGE_BYTES_MAX = 65536 };

/* What an error is called on the wire. */
enum lvx_api_code {
	LVX_API_INVALID,
	LVX_API_UNAUTHORIZED,
	LVX_API_FORBIDDEN,
	LVX_API_NOT_FOUND,
	LVX_API_METHOD,
	LVX_API_EXISTS,
	LVX_API_TOO_LARGE,
	LVX_API_MEDIA_TYPE,
	LVX_API_OVER_LIMIT,
	LVX_API_DEVICE,
	LVX_API_INTERNAL,
};
const char *lvx_api_code_name(enum lvx_api_code code);
int lvx_api_code_http(enum lvx_api_code code);
enum lvx_api_code lvx_api_code_of(enum lvx_status status);

enum lvx_request_type {
	LVX_REQUEST_SUBSCRIBE,
	LVX_REQUEST_UNSUBSCRIBE,
	LVX_REQUEST_PUSH,
	LVX_REQUEST_FINISH,
	LVX_REQUEST_PING,
};

enum lvx_from { LVX_FROM_NOW, LVX_FROM_START, LVX_FROM_LAST, LVX_FROM_KEY };

struct lvx_request {
	enum lvx_request_type type;
	json_t *root;       /* owned; all strings are borrowed from it */
	const json_t *ref;  /* a string or an integer, or NULL */
	const char *stream; /* SUBSCRIBE, UNSUBSCRIBE: never NULL */
	/* SUBSCRIBE */
	uint32_t lanes; /* 0: all */
	const char *translate_to; /* or NULL */
	bool activity;
	enum lvx_hub_sound sound;
	enum lvx_from from;
	uint64_t last; /* LAST */
	int64_t epoch; /* KEY */
	uint64_t seq;  /* KEY */
	/* PUSH */
	struct lvx_hub_spec spec;
};

/* On failure out->root and out->ref may be set all the same, so that the error
 * can repeat the ref: finish it in either case. */
enum lvx_status lvx_request_parse(struct lvx_request *out, const struct lvx_model_info *model,
	const char *text, size_t len, struct lvx_error *err);
void lvx_request_finish(struct lvx_request *r);

/* The body of POST /api/streams. *root is what spec's strings are borrowed from; owned, and
 * so is spec->glossary. */
enum lvx_status lvx_create_parse(struct lvx_hub_spec *spec, json_t **root,
	const struct lvx_model_info *model, const char *text, size_t len, struct lvx_error *err);
/* The body of PATCH /api/streams/ID. */
enum lvx_status lvx_patch_parse(uint32_t *lanes, const struct lvx_model_info *model,
	const char *text, size_t len, struct lvx_error *err);

/* The body of POST /api/streams/ID/corrections. *text is what out->text borrows; owned. */
enum lvx_status lvx_correction_parse(struct lvx_hub_correction *out, char **text,
	const char *body, size_t len, struct lvx_error *err);

/* "caption,translation" of the configuration. */
enum lvx_status lvx_lanes_parse(uint32_t *lanes, const struct lvx_model_info *model,
	const char *where, const char *list, struct lvx_error *err);

/* The scheme of a URI in lower case; "file" for a plain path. */
void lvx_uri_scheme(const char *uri, char scheme[16]);

#endif
