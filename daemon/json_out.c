/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/json_out.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void head(struct lvx_text *t, const char *type, const struct lvx_event_key *key)
{
	/* Types and stream ids need no escape. */
	lvx_text_printf(t, "{\"type\":\"%s\",\"stream\":\"%s\",\"epoch\":%" PRId64, type,
		key->stream, key->epoch);
	if (key->seq > 0)
		lvx_text_printf(t, ",\"seq\":%" PRIu64, key->seq);
}

/* A number or null. */
static void number_or_null(struct lvx_text *t, const char *name, bool known, int64_t value)
{
	if (known)
		lvx_text_printf(t, ",\"%s\":%" PRId64, name, value);
	else
		lvx_text_printf(t, ",\"%s\":null", name);
}

static void string(struct lvx_text *t, const char *name, const char *value)
{
	lvx_text_printf(t, ",\"%s\":", name);
	lvx_text_json(t, value);
}

/* A level of sound in dB of full scale, to a tenth; null: not known. */
static void decibels(struct lvx_text *t, const char *name, float level)
{
	if (level < 0.0F || !isfinite(level)) {
		lvx_text_printf(t, ",\"%s\":null", name);
		return;
	}
	/* Not %g, as with confidence below. */
	int tenths = level > 1e-6F ? (int)lroundf(200.0F * log10f(level)) : -1200;
	lvx_text_printf(t, ",\"%s\":%s%d.%d", name, tenths < 0 ? "-" : "", abs(tenths) / 10,
		abs(tenths) % 10);
}

static const char *yes_no(bool b)
{
	return b ? "true" : "false";
}

void lvx_json_out_text(
	struct lvx_text *t, const struct lvx_event_key *key, const struct lvx_text_event *e)
{
	head(t, "text", key);
	string(t, "lane", e->lane);
	string(t, "language", e->language);
	lvx_text_printf(t, ",\"segment\":%" PRIu32 ",\"segment_end\":%s,\"final\":true", e->segment,
		yes_no(e->segment_end));
	number_or_null(t, "latency_ms", e->latency_us >= 0, e->latency_us / 1000);
	lvx_text_printf(t, ",\"words\":[");
	if (e->word) {
		lvx_text_printf(t, "{\"text\":");
		lvx_text_json(t, e->word);
		/* Not a float's %g: a comma of some locale would break the JSON. */
		int thousandths = (int)(e->confidence * 1000.0f + 0.5f);
		thousandths = thousandths < 0 ? 0 : thousandths > 1000 ? 1000 : thousandths;
		lvx_text_printf(t,
			",\"start_us\":%" PRId64 ",\"end_us\":%" PRId64 ",\"confidence\":%d.%03d}",
			e->start_us, e->end_us, thousandths / 1000, thousandths % 1000);
	}
	lvx_text_printf(t, "]}");
}

void lvx_json_out_activity(
	struct lvx_text *t, const struct lvx_event_key *key, const struct lvx_event *e)
{
	head(t, "activity", key);
	lvx_text_printf(t,
		",\"at_us\":%" PRId64 ",\"speech\":%s,\"utterance_end\":%s,\"speaker_change\":%s}",
		e->end_us > e->start_us ? e->end_us : e->start_us, yes_no(e->speech),
		yes_no(e->utterance_end), yes_no(e->speaker_change));
}

void lvx_json_out_state(
	struct lvx_text *t, const struct lvx_event_key *key, const char *state, const char *message)
{
	head(t, "state", key);
	string(t, "state", state);
	string(t, "message", message);
	lvx_text_printf(t, "}");
}

void lvx_json_out_media_gap(
	struct lvx_text *t, const struct lvx_event_key *key, int64_t start_us, int64_t end_us)
{
	head(t, "gap", key);
	lvx_text_printf(t, ",\"what\":\"media\",\"start_us\":%" PRId64 ",\"end_us\":%" PRId64 "}",
		start_us, end_us);
}

void lvx_json_out_event_gap(struct lvx_text *t, const struct lvx_event_key *key, uint64_t from_seq,
	uint64_t to_seq, const char *reason)
{
	struct lvx_event_key unnumbered = {key->stream, key->epoch, 0};
	head(t, "gap", &unnumbered);
	lvx_text_printf(t,
		",\"what\":\"events\",\"from_seq\":%" PRIu64 ",\"to_seq\":%" PRIu64
		",\"reason\":\"%s\"}",
		from_seq, to_seq, reason);
}

void lvx_json_out_correction(struct lvx_text *t, const struct lvx_event_key *key,
	const struct lvx_correction_event *e)
{
	head(t, "correction", key);
	string(t, "lane", e->lane);
	string(t, "language", e->language);
	lvx_text_printf(
		t, ",\"from_seq\":%" PRIu64 ",\"to_seq\":%" PRIu64, e->from_seq, e->to_seq);
	string(t, "text", e->text);
	lvx_text_printf(t, ",\"words\":[");
	const char *p = e->text;
	for (size_t i = 0; i < e->n_words; i++) {
		p += strspn(p, " ");
		size_t len = lvx_utf8_word(p);
		lvx_text_printf(t, "%s{\"text\":", i > 0 ? "," : "");
		lvx_text_json_n(t, p, len);
		lvx_text_printf(t,
			",\"start_us\":%" PRId64 ",\"end_us\":%" PRId64 ",\"confidence\":1.000}",
			e->times[i].start_us, e->times[i].end_us);
		p += len;
	}
	lvx_text_printf(t, "]}");
}

void lvx_json_out_output(struct lvx_text *t, const struct lvx_event_key *key, const char *output,
	bool well, const char *message)
{
	head(t, "output", key);
	string(t, "output", output);
	string(t, "state", well ? "live" : "failed");
	string(t, "message", message);
	lvx_text_printf(t, "}");
}

void lvx_json_out_dead_air(
	struct lvx_text *t, const struct lvx_event_key *key, bool over, int64_t silent_us)
{
	head(t, "dead_air", key);
	lvx_text_printf(t, ",\"over\":%s,\"silent_us\":%" PRId64 "}", yes_no(over), silent_us);
}

void lvx_json_out_end(struct lvx_text *t, const struct lvx_event_key *key, const char *reason,
	const char *message)
{
	head(t, "end", key);
	string(t, "reason", reason);
	string(t, "message", message);
	lvx_text_printf(t, "}");
}

void lvx_json_out_lanes(struct lvx_text *t, const struct lvx_model_info *model, uint32_t lanes)
{
	const char *comma = "";
	lvx_text_printf(t, "[");
	for (uint32_t i = 0; i < model->n_lanes; i++) {
		if (!(lanes & 1u << i))
			continue;
		lvx_text_printf(t, "%s", comma);
		lvx_text_json(t, model->lanes[i].name);
		comma = ",";
	}
	lvx_text_printf(t, "]");
}

void lvx_json_out_delays(struct lvx_text *t, const struct lvx_model_info *model)
{
	lvx_text_printf(t, "[");
	for (uint32_t i = 0; i < model->n_delays; i++)
		lvx_text_printf(t, "%s%" PRId64, i > 0 ? "," : "",
			model->delays[i] * model->slot_us / 1000);
	lvx_text_printf(t, "]");
}

void lvx_json_out_model_lanes(struct lvx_text *t, const struct lvx_model_info *model)
{
	lvx_text_printf(t, "[");
	for (uint32_t i = 0; i < model->n_lanes; i++) {
		const struct lvx_lane_info *lane = &model->lanes[i];
		lvx_text_printf(t, "%s{\"name\":", i > 0 ? "," : "");
		lvx_text_json(t, lane->name);
		lvx_text_printf(t, ",\"languages\":[");
		for (uint32_t k = 0; k < lane->n_languages; k++) {
			lvx_text_printf(t, "%s", k > 0 ? "," : "");
			lvx_text_json(t, lane->languages[k]);
		}
		lvx_text_printf(t, "]}");
	}
	lvx_text_printf(t, "]");
}

/* ,"further":[{"lane":"translation","language":"fr","viewers":2}] */
static void further(
	struct lvx_text *t, const struct lvx_model_info *model, const struct lvx_hub_info *i)
{
	const char *comma = "";
	lvx_text_printf(t, ",\"further\":[");
	for (uint32_t k = 0; k < LVX_FURTHER_MAX; k++) {
		if (!(i->further >> k & 1))
			continue;
		lvx_text_printf(t, "%s{\"lane\":", comma);
		lvx_text_json(t, model->lanes[lvx_hub_further_lane(model, k)].name);
		string(t, "language", lvx_hub_further_language(model, k));
		lvx_text_printf(t, ",\"viewers\":%" PRIu32 "}", i->further_viewers[k]);
		comma = ",";
	}
	lvx_text_printf(t, "]");
}

void lvx_json_out_info(struct lvx_text *t, const struct lvx_model_info *model,
	const struct lvx_hub_info *i, bool hls)
{
	lvx_text_printf(t, "{\"id\":\"%s\",\"kind\":\"%s\"", i->id, i->uri ? "source" : "push");
	string(t, "uri", i->uri);
	string(t, "state", i->state);
	string(t, "message", i->message);
	if (i->reason[0])
		string(t, "end_reason", i->reason);
	lvx_text_printf(t,
		",\"created_us\":%" PRId64 ",\"epoch\":%" PRId64 ",\"oldest_seq\":%" PRIu64
		",\"next_seq\":%" PRIu64 ",\"lanes\":",
		i->created_us, i->epoch, i->oldest_seq, i->next_seq);
	lvx_json_out_lanes(t, model, i->lanes);
	string(t, "translate_to", i->translate_to);
	string(t, "language", i->language);
	lvx_text_printf(t, ",\"delay_us\":%" PRId64, i->delay_us);
	further(t, model, i);
	number_or_null(t, "start_wall_us", i->stream.start_wall_us > 0, i->stream.start_wall_us);
	number_or_null(t, "heard_us", true, i->stream.heard_us);
	number_or_null(t, "duration_us", i->stream.duration_us >= 0, i->stream.duration_us);
	lvx_text_printf(t,
		",\"subscribers\":%" PRIu32 ",\"words\":%" PRIu64 ",\"gaps\":%" PRIu64
		",\"overruns\":%" PRIu64 ",\"reconnects\":%" PRIu64,
		i->readers, i->stream.words, i->gaps, i->stream.overruns,
		i->stream.source.reconnects);
	number_or_null(t, "latency_ms", i->latency_us >= 0, i->latency_us / 1000);
	decibels(t, "level_db", i->stream.ring.rms);
	decibels(t, "peak_db", i->stream.ring.peak);
	lvx_text_printf(t, ",\"silent_us\":%" PRId64 ",\"hold_us\":%" PRId64 ",\"described\":%s,\"hls\":",
		i->stream.ring.silent_us, i->hold_us, yes_no(i->described));
	if (hls)
		lvx_text_printf(t, "\"hls/%s/master.m3u8\"}", i->id);
	else
		lvx_text_printf(t, "null}");
}
