/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON that goes out; docs/PROTOCOL.md says what it means. Free-threaded. */
#ifndef LVX_DAEMON_JSON_OUT_H
#define LVX_DAEMON_JSON_OUT_H

#include "daemon/hub.h"
#include "daemon/text.h"

enum { LVX_PROTOCOL = 1 };

struct lvx_event_key {
	const char *stream;
	int64_t epoch;
	uint64_t seq;
};

struct lvx_text_event {
	const char *lane, *language; /* language: NULL unknown */
	uint32_t segment;
	bool segment_end;
	int64_t latency_us; /* -1: unknown */
	const char *word;   /* NULL: only the end of a segment */
	int64_t start_us, end_us;
	float confidence;
};

void lvx_json_out_text(
	struct lvx_text *t, const struct lvx_event_key *key, const struct lvx_text_event *e);
void lvx_json_out_activity(
	struct lvx_text *t, const struct lvx_event_key *key, const struct lvx_event *e);
void lvx_json_out_state(struct lvx_text *t, const struct lvx_event_key *key, const char *state,
	const char *message);
void lvx_json_out_media_gap(
	struct lvx_text *t, const struct lvx_event_key *key, int64_t start_us, int64_t end_us);
/* Events from_seq..to_seq are not to be had; key->seq is not used. */
void lvx_json_out_event_gap(struct lvx_text *t, const struct lvx_event_key *key, uint64_t from_seq,
	uint64_t to_seq, const char *reason);

struct lvx_word_time {
	int64_t start_us, end_us;
};
struct lvx_correction_event {
	const char *lane, *language; /* language: NULL unknown */
	uint64_t from_seq, to_seq;
	const char *text; /* n_words words (lvx_utf8_word) */
	const struct lvx_word_time *times;
	size_t n_words;
};
void lvx_json_out_correction(struct lvx_text *t, const struct lvx_event_key *key,
	const struct lvx_correction_event *e);

void lvx_json_out_output(struct lvx_text *t, const struct lvx_event_key *key, const char *output,
	bool well, const char *message);
void lvx_json_out_dead_air(
	struct lvx_text *t, const struct lvx_event_key *key, bool over, int64_t silent_us);
void lvx_json_out_end(struct lvx_text *t, const struct lvx_event_key *key, const char *reason,
	const char *message);

/* ["caption","translation"] of a mask. */
void lvx_json_out_lanes(struct lvx_text *t, const struct lvx_model_info *model, uint32_t lanes);
/* [240,400], the delays that a stream may ask for. */
void lvx_json_out_delays(struct lvx_text *t, const struct lvx_model_info *model);
/* [{"name":..., "languages":[...]}, ...] of a model. */
void lvx_json_out_model_lanes(struct lvx_text *t, const struct lvx_model_info *model);
/* hls: is there HLS of it? */
void lvx_json_out_info(struct lvx_text *t, const struct lvx_model_info *model,
	const struct lvx_hub_info *info, bool hls);

#endif
