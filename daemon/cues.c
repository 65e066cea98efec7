/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/cues.h"

#include "base/utf8.h"
#include "daemon/phrases.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 2 * LVX_CUE_LINE_CHARS };

struct word {
	char *text; /* owned */
	int columns;
	bool spaced;	  /* from the word before it */
	bool begins_line; /* it may */
	int64_t start_us, end_us;
};

struct lvx_cues {
	lvx_cue_fn on_cue;
	void *user;
	int line; /* characters */
	struct word words[WORDS_MAX]; /* of the cue that is being filled */
	int n;
	bool broken; /* a sentence ended after the last of them */
	/* The cue before it, held back because its end depends on the next start. */
	bool held;
	int64_t held_start_us, held_end_us;
	char *held_text; /* owned */
	int held_words;
	int64_t floor_us; /* after lvx_cues_time: no cue may begin before */
};

struct lvx_cues *lvx_cues_create(lvx_cue_fn on_cue, void *user)
{
	struct lvx_cues *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->on_cue = on_cue;
	c->user = user;
	c->line = LVX_CUE_LINE_CHARS;
	return c;
}

void lvx_cues_set_line(struct lvx_cues *c, int chars)
{
	c->line = chars < LVX_CUE_LINE_CHARS ? chars : LVX_CUE_LINE_CHARS;
}

void lvx_cues_destroy(struct lvx_cues *c)
{
	if (!c)
		return;
	for (int i = 0; i < c->n; i++)
		free(c->words[i].text);
	free(c->held_text);
	free(c);
}

/* Length of the words [from, to) on one line. */
static int line_columns(const struct word *w, int from, int to)
{
	int n = 0;
	for (int i = from; i < to; i++)
		n += w[i].columns + (i > from && w[i].spaced);
	return n;
}

/* Where the second line begins: n for one line, -1 if the words do not fit. Of the splits that
 * fit the one that is even and at the end of a phrase. A single word that is longer than a line
 * stands alone. */
static int split_lines(const struct word *w, int n, int line)
{
	int best = -1, best_cost = 0;
	if (n <= 1 || line_columns(w, 0, n) <= line)
		return n;
	for (int i = 1; i < n; i++) {
		int a = line_columns(w, 0, i), b = line_columns(w, i, n);
		if ((a > line && i > 1) || (b > line && n - i > 1) || !w[i].begins_line)
			continue;
		int cost = abs(a - b) - lvx_phrase_break(w[i - 1].text, w[i].text);
		if (best < 0 || cost <= best_cost) {
			best = i;
			best_cost = cost;
		}
	}
	return best;
}

/* Long enough to be read at 20 characters a second, if what follows leaves the room. */
static int64_t end_wanted(const struct lvx_cues *c)
{
	int64_t want = (int64_t)lvx_utf8_columns(c->held_text) * 50000;
	if (want < LVX_CUE_MIN_US)
		want = LVX_CUE_MIN_US;
	if (want > LVX_CUE_MAX_US)
		want = LVX_CUE_MAX_US;
	int64_t end = c->held_end_us;
	if (end < c->held_start_us + want)
		end = c->held_start_us + want;
	if (end > c->held_start_us + LVX_CUE_MAX_US)
		end = c->held_start_us + LVX_CUE_MAX_US;
	return end;
}

static void send_held(struct lvx_cues *c, int64_t next_start_us)
{
	if (!c->held)
		return;
	int64_t end = end_wanted(c);
	if (end > next_start_us - LVX_CUE_GAP_US)
		end = next_start_us - LVX_CUE_GAP_US;
	if (end <= c->held_start_us)
		end = c->held_start_us + 1000;
	c->on_cue(c->user, &(struct lvx_cue){.start_us = c->held_start_us,
				   .end_us = end,
				   .text = c->held_text,
				   .n_words = c->held_words});
	free(c->held_text);
	c->held_text = NULL;
	c->held = false;
}

/* The first n of the words that were gathered become the cue that is held back. */
static void close_cue(struct lvx_cues *c, int n)
{
	struct lvx_text text = {0};
	if (n == 0)
		return;
	int second = split_lines(c->words, n, c->line);
	for (int i = 0; i < n; i++) {
		if (i > 0 && (i == second || c->words[i].spaced))
			lvx_text_add(&text, i == second ? "\n" : " ", 1);
		lvx_text_add(&text, c->words[i].text, strlen(c->words[i].text));
		free(c->words[i].text);
	}
	c->held = true;
	c->held_text = text.data;
	c->held_words = n;
	c->held_start_us = c->words[0].start_us;
	c->held_end_us = c->words[n - 1].end_us;
	c->n -= n;
	memmove(c->words, c->words + n, (size_t)c->n * sizeof(c->words[0]));
	c->broken = false;
}

/*
 * With w the words do not fit: after how many of them the cue ends. The last few words of a phrase that
 * goes on belong to the next one, if both can stand so.
 */
static int end_of_phrase(const struct lvx_cues *c, const struct word *w)
{
	int best = c->n, best_cost = -lvx_phrase_break(c->words[c->n - 1].text, w->text);
	for (int k = c->n - 1; k > 0; k--) {
		int carried = line_columns(c->words, k, c->n);
		int64_t rest_us = w->end_us - c->words[k].start_us;
		if (carried > c->line / 2 || rest_us > LVX_CUE_MAX_US ||
			c->words[k].start_us - c->words[0].start_us < LVX_CUE_MIN_US + LVX_CUE_GAP_US)
			break;
		int cost = carried / 2 - lvx_phrase_break(c->words[k - 1].text, c->words[k].text);
		if (c->words[k].begins_line && carried + 1 + w->columns <= c->line && cost < best_cost) {
			best = k;
			best_cost = cost;
		}
	}
	return best;
}

void lvx_cues_word(struct lvx_cues *c, const char *text, int64_t start_us, int64_t end_us)
{
	struct word w = {.text = strdup(text), .columns = lvx_utf8_columns(text),
		.begins_line = lvx_utf8_begins_line(text),
		.start_us = start_us,
		.end_us = end_us};
	if (!w.text)
		abort();
	/* A control character would end the line, or the cue, of some format. */
	for (char *p = w.text; *p; p++)
		*p = (unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p;
	if (w.start_us < c->floor_us)
		w.start_us = c->floor_us;
	if (c->n) {
		struct word *last = &c->words[c->n - 1];
		w.spaced = lvx_utf8_spaced(last->text, text);
		/* Times never run backwards, whatever the model says. */
		if (w.start_us < last->start_us)
			w.start_us = last->start_us;
		if (w.end_us < w.start_us)
			w.end_us = w.start_us;
		c->words[c->n] = w;
		bool fits = c->n + 1 < WORDS_MAX && split_lines(c->words, c->n + 1, c->line) >= 0 &&
			    w.end_us - c->words[0].start_us <= LVX_CUE_MAX_US;
		bool rest = c->broken || w.start_us - last->end_us >= LVX_CUE_PAUSE_US;
		/* A cue that would flash by goes on, sentence end or not. */
		bool flash = w.start_us - c->words[0].start_us < LVX_CUE_MIN_US + LVX_CUE_GAP_US;
		if (rest && !flash)
			close_cue(c, c->n);
		else if (!fits)
			close_cue(c, end_of_phrase(c, &w));
	}
	c->words[c->n++] = w;
	c->broken = false;
	/* Now the cue before it knows how long it may stand. */
	send_held(c, c->words[0].start_us);
}

void lvx_cues_break(struct lvx_cues *c)
{
	c->broken = c->n > 0;
}

void lvx_cues_finish(struct lvx_cues *c)
{
	close_cue(c, c->n);
	send_held(c, INT64_MAX);
}

void lvx_cues_time(struct lvx_cues *c, int64_t now_us)
{
	if (c->n) {
		int64_t quiet = now_us - c->words[c->n - 1].end_us;
		bool rest = c->broken ? quiet >= 0 : quiet >= LVX_CUE_PAUSE_US;
		if (rest && now_us - c->words[0].start_us >= LVX_CUE_MIN_US + LVX_CUE_GAP_US) {
			close_cue(c, c->n);
			c->floor_us = c->held_end_us;
		}
	}
	if (c->held && c->n == 0 && end_wanted(c) + LVX_CUE_GAP_US <= now_us) {
		c->floor_us = end_wanted(c) + LVX_CUE_GAP_US;
		send_held(c, INT64_MAX);
	}
}

bool lvx_cues_pending(const struct lvx_cues *c)
{
	return c->n > 0 || c->held;
}

int64_t lvx_cues_begin_us(const struct lvx_cues *c)
{
	return c->held ? c->held_start_us : c->n > 0 ? c->words[0].start_us : INT64_MAX;
}

/* ---- as text ---- */

static void add_time(struct lvx_text *t, int64_t us, char point)
{
	int64_t ms = us < 0 ? 0 : us / 1000;
	lvx_text_printf(t, "%02" PRId64 ":%02d:%02d%c%03d", ms / 3600000, (int)(ms / 60000 % 60),
		(int)(ms / 1000 % 60), point, (int)(ms % 1000));
}

void lvx_cue_escape(struct lvx_text *t, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "&<>");
		lvx_text_add(t, text, n);
		text += n;
		if (*text)
			lvx_text_printf(t, "%s",
				*text == '&'   ? "&amp;"
				: *text == '<' ? "&lt;"
					       : "&gt;");
		text += *text != '\0';
	}
}

void lvx_cue_time(struct lvx_text *t, int64_t us)
{
	add_time(t, us, '.');
}

void lvx_cue_srt(struct lvx_text *t, uint64_t number, const struct lvx_cue *cue)
{
	lvx_text_printf(t, "%" PRIu64 "\n", number);
	add_time(t, cue->start_us, ',');
	lvx_text_printf(t, " --> ");
	add_time(t, cue->end_us, ',');
	lvx_text_printf(t, "\n%s\n\n", cue->text);
}

void lvx_cue_vtt(struct lvx_text *t, const struct lvx_cue *cue)
{
	add_time(t, cue->start_us, '.');
	lvx_text_printf(t, " --> ");
	add_time(t, cue->end_us, '.');
	lvx_text_printf(t, "\n");
	lvx_cue_escape(t, cue->text);
	lvx_text_printf(t, "\n\n");
}
