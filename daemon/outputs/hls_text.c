/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct cue {
	uint64_t id;
	int64_t start_us, end_us;
	char *text; /* owned */
};

struct lvx_hls_text {
	struct lvx_cues *cues;
	struct cue *known; /* [n], by start_us */
	size_t n, cap;
	uint64_t next_id;
	int64_t written_us; /* segments up to here are written */
	bool finished;
};

static void on_cue(void *user, const struct lvx_cue *cue)
{
	struct lvx_hls_text *t = user;
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 16;
		t->known = realloc(t->known, t->cap * sizeof(*t->known));
		if (!t->known)
			abort();
	}
	struct cue *c = &t->known[t->n++];
	*c = (struct cue){++t->next_id, cue->start_us, cue->end_us, strdup(cue->text)};
	if (!c->text)
		abort();
	if (c->start_us < t->written_us) {
		c->start_us = t->written_us;
		if (c->end_us < c->start_us + LVX_CUE_MIN_US)
			c->end_us = c->start_us + LVX_CUE_MIN_US;
	}
}

struct lvx_hls_text *lvx_hls_text_create(void)
{
	struct lvx_hls_text *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	t->written_us = INT64_MIN;
	t->cues = lvx_cues_create(on_cue, t);
	return t;
}

/* Those that have ended before. */
static void forget(struct lvx_hls_text *t, int64_t us)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->n; i++) {
		if (t->known[i].end_us <= us)
			free(t->known[i].text);
		else
			t->known[kept++] = t->known[i];
	}
	t->n = kept;
}

void lvx_hls_text_destroy(struct lvx_hls_text *t)
{
	if (!t)
		return;
	forget(t, INT64_MAX);
	lvx_cues_destroy(t->cues);
	free(t->known);
	free(t);
}

void lvx_hls_text_word(struct lvx_hls_text *t, const char *text, int64_t start_us, int64_t end_us)
{
	lvx_cues_word(t->cues, text, start_us, end_us);
}

void lvx_hls_text_break(struct lvx_hls_text *t)
{
	lvx_cues_break(t->cues);
}

void lvx_hls_text_finish(struct lvx_hls_text *t)
{
	lvx_cues_finish(t->cues);
	t->finished = true;
}

int64_t lvx_hls_text_time(struct lvx_hls_text *t, int64_t settled_us)
{
	if (t->finished)
		return INT64_MAX;
	lvx_cues_time(t->cues, settled_us);
	int64_t begin_us = lvx_cues_begin_us(t->cues);
	return begin_us < settled_us ? begin_us : settled_us;
}

void lvx_hls_text_segment(struct lvx_hls_text *t, struct lvx_text *out, int64_t start_us,
	int64_t end_us, int64_t shift_us)
{
	/* Local times are the media's. Any other pair of times would say the same, but hls.js 1.7
	 * does not wait for the media's times where MPEGTS is 0, and takes a pair that is the
	 * media's very beginning for none. */
	lvx_text_printf(out, "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:90000\n\n");
	forget(t, start_us);
	for (size_t i = 0; i < t->n && t->known[i].start_us < end_us; i++) {
		const struct cue *c = &t->known[i];
		struct lvx_cue shifted = {.start_us = c->start_us + shift_us,
			.end_us = c->end_us + shift_us,
			.text = c->text};
		lvx_text_printf(out, "%" PRIu64 "\n", c->id);
		lvx_cue_vtt(out, &shifted);
	}
	lvx_hls_text_skip(t, end_us);
}

void lvx_hls_text_skip(struct lvx_hls_text *t, int64_t end_us)
{
	t->written_us = end_us;
	forget(t, end_us);
}
