/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands write: words of one or more lanes as plain text, SubRip,
 * WebVTT or JSON lines. A writer belongs to one recording and one thread.
 */
#ifndef LVX_CLIENTS_OUTPUT_H
#define LVX_CLIENTS_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum out_format { OUT_TXT, OUT_SRT, OUT_VTT, OUT_JSON };

enum { OUT_LANES_MAX = 4 };

struct out_word {
	const char *text;
	int64_t start_us, end_us;
	double confidence;
};

struct out_params {
	FILE *to; /* borrowed */
	enum out_format format;
	const char *file;                     /* named in JSON; may be NULL */
	const char *lanes[OUT_LANES_MAX];     /* borrowed */
	const char *languages[OUT_LANES_MAX]; /* for JSON; may be NULL */
	uint32_t n_lanes;
	uint32_t wanted;   /* bit per lane to write; srt and vtt take exactly one */
	bool as_they_come; /* txt with one lane: each word at once, not the whole sentence */
};

struct out;

bool out_format_parse(const char *name, enum out_format *format);
const char *out_format_suffix(enum out_format format); /* "txt", ... */

struct out *out_create(const struct out_params *params);
void out_destroy(struct out *o); /* NULL is fine */
void out_word(struct out *o, uint32_t lane, const struct out_word *word);
void out_segment_end(struct out *o, uint32_t lane);
void out_finish(struct out *o);

#endif
