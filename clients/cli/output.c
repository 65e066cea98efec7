/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/output.h"

#include "clients/cli/cli.h"

#include "base/utf8.h"
#include "daemon/cues.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Without a sentence end, a pause so long begins a new line. */
enum { SEGMENT_PAUSE_US = 2000000 };

struct lane {
	json_t *words; /* of the segment that is being gathered */
	int64_t last_end_us;
	uint64_t n_segments;
	char last[5]; /* as_they_come: the last character on the line; "" at its beginning */
};

struct out {
	struct out_params p;
	struct lane lanes[OUT_LANES_MAX];
	struct lvx_cues *cues;
	uint64_t n_cues;
};

static const char *const format_names[] = {
	[OUT_TXT] = "txt", [OUT_SRT] = "srt", [OUT_VTT] = "vtt", [OUT_JSON] = "json"};

bool out_format_parse(const char *name, enum out_format *format)
{
	for (int i = OUT_TXT; i <= OUT_JSON; i++) {
		if (!strcmp(name, format_names[i])) {
			*format = (enum out_format)i;
			return true;
		}
	}
	return false;
}

const char *out_format_suffix(enum out_format format)
{
	return format_names[format];
}

static void on_cue(void *user, const struct lvx_cue *cue)
{
	struct out *o = user;
	struct lvx_text text = {0};
	o->n_cues++;
	if (o->p.format == OUT_SRT)
		lvx_cue_srt(&text, o->n_cues, cue);
	else
		lvx_cue_vtt(&text, cue);
	fwrite(text.data, 1, text.len, o->p.to);
	lvx_text_finish(&text);
	fflush(o->p.to);
}

struct out *out_create(const struct out_params *params)
{
	struct out *o = cli_alloc(sizeof(*o));
	o->p = *params;
	for (uint32_t i = 0; i < o->p.n_lanes; i++)
		o->lanes[i].words = json_array();
	if (o->p.format == OUT_SRT || o->p.format == OUT_VTT)
		o->cues = lvx_cues_create(on_cue, o);
	if (o->p.format == OUT_VTT)
		fputs("WEBVTT\n\n", o->p.to);
	return o;
}

void out_destroy(struct out *o)
{
	if (!o)
		return;
	for (uint32_t i = 0; i < o->p.n_lanes; i++)
		json_decref(o->lanes[i].words);
	lvx_cues_destroy(o->cues);
	free(o);
}

static bool several_lanes(const struct out *o)
{
	return (o->p.wanted & (o->p.wanted - 1)) != 0;
}

static json_t *word_json(const struct out_word *w)
{
	return json_pack("{s:s, s:I, s:I, s:o}", "text", w->text, "start_us",
		(json_int_t)w->start_us, "end_us", (json_int_t)w->end_us, "confidence",
		json_real((int)(w->confidence * 1000 + 0.5) / 1000.0));
}

/* Sends the segment that was gathered as one line. */
static void send_segment(struct out *o, uint32_t lane)
{
	struct lane *l = &o->lanes[lane];
	struct lvx_text text = {0};
	size_t n = json_array_size(l->words);
	if (!n)
		return;
	for (size_t i = 0; i < n; i++)
		lvx_text_word(&text,
			json_string_value(json_object_get(json_array_get(l->words, i), "text")));
	if (o->p.format == OUT_TXT) {
		if (several_lanes(o))
			fprintf(o->p.to, "%s: ", o->p.lanes[lane]);
		fprintf(o->p.to, "%s\n", text.data);
	} else {
		const json_t *first = json_array_get(l->words, 0);
		const json_t *last = json_array_get(l->words, n - 1);
		json_t *line = json_pack("{s:s*, s:s, s:s?, s:I, s:O, s:O, s:s, s:O}", "file",
			o->p.file, "lane", o->p.lanes[lane], "language", o->p.languages[lane],
			"segment", (json_int_t)l->n_segments, "start_us",
			json_object_get(first, "start_us"), "end_us",
			json_object_get(last, "end_us"), "text", text.data, "words", l->words);
		if (line) {
			json_dumpf(line, o->p.to, JSON_COMPACT | JSON_REAL_PRECISION(6));
			putc('\n', o->p.to);
		}
		json_decref(line);
	}
	fflush(o->p.to);
	lvx_text_finish(&text);
	json_array_clear(l->words);
	l->n_segments++;
}

void out_word(struct out *o, uint32_t lane, const struct out_word *w)
{
	if (lane >= o->p.n_lanes || !(o->p.wanted >> lane & 1))
		return;
	struct lane *l = &o->lanes[lane];
	if (o->cues) {
		lvx_cues_word(o->cues, w->text, w->start_us, w->end_us);
		return;
	}
	if ((json_array_size(l->words) || l->last[0]) &&
		w->start_us - l->last_end_us >= SEGMENT_PAUSE_US)
		out_segment_end(o, lane);
	l->last_end_us = w->end_us;
	if (o->p.format == OUT_TXT && o->p.as_they_come && !several_lanes(o)) {
		fprintf(o->p.to, "%s%s", lvx_utf8_spaced(l->last, w->text) ? " " : "", w->text);
		fflush(o->p.to);
		snprintf(l->last, sizeof(l->last), "%s", lvx_utf8_last(w->text));
		return;
	}
	json_array_append_new(l->words, word_json(w));
}

void out_segment_end(struct out *o, uint32_t lane)
{
	if (lane >= o->p.n_lanes || !(o->p.wanted >> lane & 1))
		return;
	if (o->cues) {
		lvx_cues_break(o->cues);
	} else if (o->lanes[lane].last[0]) {
		putc('\n', o->p.to);
		fflush(o->p.to);
		o->lanes[lane].last[0] = '\0';
	} else {
		send_segment(o, lane);
	}
}

void out_finish(struct out *o)
{
	for (uint32_t i = 0; i < o->p.n_lanes; i++)
		if (!o->cues)
			out_segment_end(o, i);
	if (o->cues)
		lvx_cues_finish(o->cues);
	fflush(o->p.to);
}
