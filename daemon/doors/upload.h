/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP bodies of uploads: chunked transfer coding and multipart/form-data. Pure functions. */
#ifndef LVX_DAEMON_DOORS_UPLOAD_H
#define LVX_DAEMON_DOORS_UPLOAD_H

#include "daemon/hub.h"
#include "daemon/text.h"

/* Zeroed is the beginning. */
struct lvx_chunked {
	int state;
	uint32_t n_digits, line;
	uint64_t left;
};
/* Appends what data carries to out. LVX_AGAIN: more is to come; LVX_END: that was all;
 * LVX_EINVAL: it is not chunked; LVX_ELIMIT: more than max bytes in all. */
enum lvx_status lvx_chunked_feed(
	struct lvx_chunked *c, const char *data, size_t len, struct lvx_text *out, size_t max);

enum { LVX_PARTS_MAX = 32, LVX_PART_NAME_MAX = 48 };

struct lvx_part {
	char name[LVX_PART_NAME_MAX + 1];
	bool is_file;     /* it has a filename */
	const char *data; /* [len], borrowed */
	size_t len;
};
/* Is it what lvx_multipart_parse wants? */
bool lvx_multipart_is(const char *content_type);
/* content_type: the header's value, with the boundary. */
enum lvx_status lvx_multipart_parse(struct lvx_part parts[LVX_PARTS_MAX], size_t *n_parts,
	const char *content_type, const char *body, size_t len, struct lvx_error *err);

enum lvx_transcript_format {
	LVX_TRANSCRIPT_JSON,
	LVX_TRANSCRIPT_TEXT,
	LVX_TRANSCRIPT_SRT,
	LVX_TRANSCRIPT_VTT,
	LVX_TRANSCRIPT_VERBOSE,
};
struct lvx_transcription_form {
	const char *file; /* [file_len], borrowed from the parts */
	size_t file_len;
	enum lvx_transcript_format format;
	bool words, segments; /* VERBOSE */
	bool stream;	      /* JSON: as events, while it is heard */
	bool logprobs;	      /* JSON */
	const char *language; /* the model's name of it, or NULL */
	char prompt[LVX_PREFIX_MAX + 1];
};
/* The fields of POST /v1/audio/transcriptions. LVX_EINVAL names the field. */
enum lvx_status lvx_transcription_form_read(struct lvx_transcription_form *out,
	const struct lvx_part *parts, size_t n_parts, const struct lvx_model_info *model,
	struct lvx_error *err);

#endif
