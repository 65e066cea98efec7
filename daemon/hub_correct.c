/* SPDX-License-Identifier: Apache-2.0 */
/* A line of text that someone replaces: an event of its own, beside what was sent. */
#include "base/utf8.h"
#include "daemon/event_json.h"
#include "daemon/hub_priv.h"
#include "daemon/json_out.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_EVENTS_MAX = 512, LINE_WORDS_MAX = 256 };

/* What was said in the line: its words' times. */
struct line {
	uint32_t lane;
	struct lvx_hub_event *events[LINE_EVENTS_MAX]; /* referenced */
	size_t n_events, n_words;
	struct lvx_word_time words[LINE_WORDS_MAX];
	char language[12];
};

static void drop(struct line *line)
{
	for (size_t i = 0; i < line->n_events; i++)
		lvx_hub_event_unref(line->events[i]);
	line->n_events = 0;
}

/* References of the text events; {lock}. */
static enum lvx_status find(struct line *line, struct lvx_hub_stream *s,
	const struct lvx_hub_correction *c, struct lvx_error *err)
{
	if (s->end_reason)
		return lvx_fail(err, LVX_EINVAL, "stream '%s' has ended", s->id);
	if (c->epoch != s->epoch)
		return lvx_fail(
			err, LVX_ENOENT, "that line is of another epoch of stream '%s'", s->id);
	if (c->from_seq < s->oldest_seq || c->to_seq >= s->next_seq || c->from_seq > c->to_seq)
		return lvx_fail(err, LVX_ENOENT,
			"events 'from_seq' to 'to_seq' must be among those that are kept");
	if (c->to_seq - c->from_seq >= LINE_EVENTS_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "a line is at most %d events long", LINE_EVENTS_MAX);
	uint32_t history = s->hub->params.history;
	const struct lvx_hub_event *first = s->log[c->from_seq % history];
	const struct lvx_hub_event *last = s->log[c->to_seq % history];
	if (first->kind != LVX_HUB_TEXT || last->kind != LVX_HUB_TEXT || first->lane != last->lane)
		return lvx_fail(
			err, LVX_EINVAL, "'from_seq' and 'to_seq' must be text events of one lane");
	line->lane = first->lane;
	for (uint64_t seq = c->from_seq; seq <= c->to_seq; seq++) {
		struct lvx_hub_event *e = s->log[seq % history];
		if (e->kind != LVX_HUB_TEXT || e->lane != line->lane)
			continue;
		atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
		line->events[line->n_events++] = e;
	}
	return LVX_OK;
}

static enum lvx_status read_times(struct line *line, struct lvx_error *err)
{
	for (size_t i = 0; i < line->n_events; i++) {
		json_t *root = lvx_event_json(line->events[i]);
		struct lvx_event_word w;
		if (!root)
			return lvx_fail(err, LVX_ENOMEM, "out of memory");
		const char *language = json_string_value(json_object_get(root, "language"));
		snprintf(line->language, sizeof(line->language), "%s", language ? language : "");
		for (size_t k = 0; lvx_event_word(root, &k, &w) && line->n_words < LINE_WORDS_MAX;)
			line->words[line->n_words++] =
				(struct lvx_word_time){w.start_us, w.end_us};
		json_decref(root);
	}
	return line->n_words ? LVX_OK
			     : lvx_fail(err, LVX_EINVAL, "there are no words in that line");
}

/* The line's time, shared out by letters: what else could be known of words never heard? */
static void share_out(const struct line *line, const char *text, size_t n_bytes,
	struct lvx_word_time *times, size_t n)
{
	int64_t begin_us = line->words[0].start_us;
	int64_t span_us = line->words[line->n_words - 1].end_us - begin_us;
	const char *p = text;
	for (size_t i = 0; i < n; i++) {
		p += strspn(p, " ");
		times[i].start_us = begin_us + span_us * (int64_t)(p - text) / (int64_t)n_bytes;
		p += lvx_utf8_word(p);
		times[i].end_us = begin_us + span_us * (int64_t)(p - text) / (int64_t)n_bytes;
	}
}

static size_t count_words(const char *text)
{
	size_t n = 0;
	for (const char *p = text + strspn(text, " "); *p; p += strspn(p, " "), n++)
		p += lvx_utf8_word(p);
	return n;
}

enum lvx_status lvx_hub_correct(struct lvx_hub_stream *s, const struct lvx_hub_correction *c,
	uint64_t *seq, struct lvx_error *err)
{
	struct lvx_word_time shared[LINE_WORDS_MAX];
	size_t n = count_words(c->text);
	if (n > LINE_WORDS_MAX)
		return lvx_fail(err, LVX_EINVAL, "a line has at most %d words", LINE_WORDS_MAX);
	struct line *line = calloc(1, sizeof(*line));
	if (!line)
		return lvx_fail(err, LVX_ENOMEM, "correction: out of memory");
	pthread_mutex_lock(&s->lock);
	enum lvx_status st = find(line, s, c, err);
	pthread_mutex_unlock(&s->lock);
	if (st == LVX_OK)
		st = read_times(line, err);
	if (st != LVX_OK)
		goto out;
	/* Word for word: then their times are known. */
	const struct lvx_word_time *times = line->words;
	if (n != line->n_words) {
		share_out(line, c->text, strlen(c->text), shared, n);
		times = shared;
	}
	const struct lvx_model_info *model = lvx_engine_model(s->hub->params.engine);
	uint32_t lane = line->lane;
	if (lane >= LVX_LANES_MAX)
		lane = lvx_hub_further_lane(model, lane - LVX_LANES_MAX);
	struct lvx_correction_event e = {
		.lane = model->lanes[lane].name,
		.language = line->language[0] ? line->language : NULL,
		.from_seq = c->from_seq,
		.to_seq = c->to_seq,
		.text = c->text,
		.times = times,
		.n_words = n,
	};
	*seq = lvx_hub_log_correction(s, line->lane, &e);
	if (*seq == 0)
		st = lvx_fail(err, LVX_EINVAL, "stream '%s' has ended", s->id);
	else
		lvx_hub_news(s->hub);
out:
	drop(line);
	free(line);
	return st;
}
