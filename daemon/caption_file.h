/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A subtitle file that grows on disk: SubRip, WebVTT, TTML (IMSC 1.1 text), JSON lines, or
 * events as JSON lines. It is whole after every cue, and each cue is on the disk when
 * lvx_caption_file_add has returned. docs/OUTPUTS.md shows the formats. Blocks on
 * the disk, so never on the model's or the sockets' thread; one thread at a time.
 */
#ifndef LVX_DAEMON_CAPTION_FILE_H
#define LVX_DAEMON_CAPTION_FILE_H

#include "base/error.h"
#include "daemon/cues.h"

#include <stdbool.h>
#include <stdint.h>

enum lvx_caption_format {
	LVX_CAPTION_SRT,
	LVX_CAPTION_VTT,
	LVX_CAPTION_TTML,
	LVX_CAPTION_JSONL,
	LVX_CAPTION_EVENTS, /* not of a lane: events as they went out, as JSON lines */
	LVX_CAPTION_FORMATS
};
/* "srt", "vtt", "ttml", "jsonl", "events"; but for the last also the end of the file's name. */
extern const char *const lvx_caption_format_names[LVX_CAPTION_FORMATS];
/* A comma-separated list to a mask of 1 << format; where begins the message. */
enum lvx_status lvx_caption_formats_parse(
	uint32_t *mask, const char *where, const char *list, struct lvx_error *err);

struct lvx_caption_file_params {
	const char *dir, *stream, *lane; /* lane: not of EVENTS */
	const char *language; /* or NULL */
	int64_t epoch;        /* of the stream; names the file, by its second */
	uint32_t part;        /* from 1; the first is not in the name */
	enum lvx_caption_format format;
};

struct lvx_caption_file;

/* Makes a new file; one of that name is never touched: then the name gets a ~2. */
enum lvx_status lvx_caption_file_create(struct lvx_caption_file **out,
	const struct lvx_caption_file_params *params, struct lvx_error *err);
/*
 * words: for JSON lines, the array of the cue's words as text; or NULL. start_wall_us: the
 * wall clock at 0 of the timeline, or 0. On failure (a full disk) the file is as it was before.
 */
enum lvx_status lvx_caption_file_add(struct lvx_caption_file *f, const struct lvx_cue *cue,
	const char *words, int64_t start_wall_us, struct lvx_error *err);
/* EVENTS: whole lines, in one write; otherwise as lvx_caption_file_add. */
enum lvx_status lvx_caption_file_add_lines(
	struct lvx_caption_file *f, const char *lines, size_t len, struct lvx_error *err);
/* NULL is fine. A file without a cue is removed. */
void lvx_caption_file_close(struct lvx_caption_file *f);
const char *lvx_caption_file_path(const struct lvx_caption_file *f);

#endif
