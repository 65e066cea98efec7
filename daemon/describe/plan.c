/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/plan.h"

#include <stdlib.h>
#include <string.h>

enum {
	VARIANTS = 2 * LVX_WORDINGS_MAX, /* a wording, then the same faster */
	/* A gap that begins so soon is decided about with what is known of it. */
	SOON_US = 1000000,
	AHEAD_US = 30000000, /* what was seen later than that is not looked at yet */
	BYTE_US = 65000,     /* of speech, until a voice has shown its own */
};

const struct lvx_plan_params lvx_plan_usual = {
	.lifetime_us = 10000000,
	.guard_us = 350000,
	.between_us = 600000,
	.least_us = 2000000,
	.again_us = 30000000,
	.fast = 1.25,
};

struct span {
	int64_t start_us, end_us;
};

struct variant {
	enum { UNSPOKEN, ASKED, SPOKEN } state;
	int64_t duration_us;
};

struct description {
	uint64_t id;
	int64_t seen_us;
	char language[16];
	char text[LVX_WORDINGS_MAX][LVX_WORDING_BYTES_MAX];
	uint32_t n_variants;
	struct variant variant[VARIANTS];
	bool failed;
};

struct lvx_plan {
	struct lvx_plan_params params;
	struct span spans[LVX_PLAN_SPANS_MAX]; /* in order, disjoint */
	size_t n_spans;
	struct description pending[LVX_PLAN_PENDING_MAX]; /* in the order of being told */
	size_t n_pending;
	bool displaced; /* the first of them gives way */
	uint64_t n_told;
	int64_t free_us; /* the last that was placed, and the pause after it, end here */
	int64_t byte_us;
	struct description gone;          /* the last that left: its text is lent to the caller */
	char said[LVX_WORDING_BYTES_MAX]; /* the last that was told, and when */
	int64_t said_us;
};

struct lvx_plan *lvx_plan_create(const struct lvx_plan_params *params)
{
	struct lvx_plan *p = calloc(1, sizeof(*p));
	if (!p)
		abort();
	p->params = *params;
	p->free_us = INT64_MIN;
	p->byte_us = BYTE_US;
	return p;
}

void lvx_plan_destroy(struct lvx_plan *p)
{
	free(p);
}

size_t lvx_plan_pending(const struct lvx_plan *p)
{
	return p->n_pending;
}

/* ---- what is told ---- */

void lvx_plan_speech(struct lvx_plan *p, int64_t start_us, int64_t end_us)
{
	if (end_us <= start_us)
		return;
	size_t first = p->n_spans;
	while (first > 0 && p->spans[first - 1].end_us >= start_us)
		first--;
	size_t last = first;
	for (; last < p->n_spans && p->spans[last].start_us <= end_us; last++) {
		if (p->spans[last].start_us < start_us)
			start_us = p->spans[last].start_us;
		if (p->spans[last].end_us > end_us)
			end_us = p->spans[last].end_us;
	}
	if (last == first && p->n_spans == LVX_PLAN_SPANS_MAX) {
		if (first == 0)
			return;
		memmove(p->spans, p->spans + 1, --p->n_spans * sizeof(p->spans[0]));
		first--;
		last--;
	}
	memmove(p->spans + first + 1, p->spans + last, (p->n_spans - last) * sizeof(p->spans[0]));
	p->n_spans = p->n_spans + 1 - (last - first);
	p->spans[first] = (struct span){start_us, end_us};
}

bool lvx_plan_describe(struct lvx_plan *p, const char *text, const char *language, int64_t seen_us)
{
	struct description d = {.seen_us = seen_us};
	size_t n = lvx_wordings(d.text, text, language);
	if (n == 0)
		return false;
	bool again = strcmp(p->said, d.text[0]) == 0 && seen_us - p->said_us < p->params.again_us;
	if (again || p->n_pending == LVX_PLAN_PENDING_MAX)
		return false;
	strcpy(p->said, d.text[0]);
	p->said_us = seen_us;
	d.id = ++p->n_told;
	d.n_variants = 2 * (uint32_t)n;
	strncpy(d.language, language ? language : "", sizeof(d.language) - 1);
	p->pending[p->n_pending++] = d;
	/* The freshest matters most. */
	p->displaced = p->n_pending == LVX_PLAN_PENDING_MAX;
	return true;
}

static struct description *find(struct lvx_plan *p, uint64_t id)
{
	for (size_t i = 0; i < p->n_pending; i++) {
		if (p->pending[i].id == id)
			return &p->pending[i];
	}
	return NULL;
}

static double rate_of(const struct lvx_plan *p, uint32_t variant)
{
	return variant % 2 ? p->params.fast : 1;
}

void lvx_plan_spoken(struct lvx_plan *p, uint64_t id, uint32_t variant, int64_t duration_us)
{
	struct description *d = find(p, id);
	if (!d || variant >= d->n_variants)
		return;
	if (duration_us <= 0) {
		d->failed = true;
		return;
	}
	d->variant[variant] = (struct variant){SPOKEN, duration_us};
	int64_t bytes = (int64_t)strlen(d->text[variant / 2]);
	int64_t byte_us = (int64_t)((double)duration_us * rate_of(p, variant)) / bytes;
	p->byte_us = (3 * p->byte_us + byte_us) / 4;
}

/* ---- what is to be done ---- */

/* How long it takes; or rather less than it will, as far as can be told, so that it is tried. */
static int64_t duration_of(const struct lvx_plan *p, const struct description *d, uint32_t v)
{
	if (d->variant[v].state == SPOKEN)
		return d->variant[v].duration_us;
	double us = (double)p->byte_us * (double)strlen(d->text[v / 2]);
	if (d->variant[0].state == SPOKEN)
		us = (double)d->variant[0].duration_us * (double)strlen(d->text[v / 2]) /
		     (double)strlen(d->text[0]);
	return (int64_t)(0.95 * us / rate_of(p, v));
}

struct gap {
	int64_t begin_us, end_us; /* where a description may be: without the guards */
	bool open;                /* it may go on: nobody knows yet */
};

/* The first gap that has room at or after from_us. */
static bool next_gap(const struct lvx_plan *p, int64_t from_us, int64_t known_us, struct gap *g)
{
	const struct lvx_plan_params *q = &p->params;
	size_t i = 0;
	while (i < p->n_spans && p->spans[i].end_us + q->guard_us <= from_us)
		i++;
	for (;; i++) {
		int64_t before_us = i > 0 ? p->spans[i - 1].end_us : INT64_MIN / 2;
		g->open = i == p->n_spans || p->spans[i].start_us >= known_us;
		int64_t after_us = g->open ? known_us : p->spans[i].start_us;
		g->begin_us = before_us + q->guard_us > from_us ? before_us + q->guard_us : from_us;
		g->end_us = after_us - q->guard_us;
		if (after_us - before_us >= q->least_us && g->end_us > g->begin_us)
			return true;
		if (g->open)
			return false;
	}
}

static struct lvx_plan_action act(
	const struct lvx_plan *p, const struct description *d, enum lvx_plan_what what, uint32_t v)
{
	return (struct lvx_plan_action){
		.what = what,
		.id = d->id,
		.variant = v,
		.text = d->text[v / 2],
		.language = d->language,
		.rate = rate_of(p, v),
		.seen_us = d->seen_us,
	};
}

/* True: *out says what is to be done for this one. */
static bool consider(struct lvx_plan *p, struct description *d, int64_t head_us, int64_t known_us,
	struct lvx_plan_action *out)
{
	int64_t from_us = head_us + p->params.guard_us;
	int64_t soon_us = from_us + SOON_US;
	const char *why = p->displaced && d == p->pending                ? "others wait"
			  : d->failed                                    ? "no voice"
			  : from_us > d->seen_us + p->params.lifetime_us ? "no gap"
									 : NULL;
	if (why) {
		*out = act(p, d, LVX_PLAN_DROP, 0);
		out->why = why;
		return true;
	}
	if (d->seen_us > head_us + AHEAD_US)
		return false;
	if (d->variant[0].state == UNSPOKEN) {
		d->variant[0].state = ASKED;
		*out = act(p, d, LVX_PLAN_SPEAK, 0);
		return true;
	}
	from_us = from_us > d->seen_us ? from_us : d->seen_us;
	from_us = from_us > p->free_us ? from_us : p->free_us;
	struct gap g;
	for (; next_gap(p, from_us, known_us, &g); from_us = g.end_us + 1) {
		if (g.begin_us > d->seen_us + p->params.lifetime_us)
			return false;
		/* Shorter wordings only when there is no more time to hope for better. */
		bool soon = g.begin_us <= soon_us;
		uint32_t n = soon ? d->n_variants : g.open ? 1 : 2;
		for (uint32_t v = 0; v < n; v++) {
			int64_t duration_us = duration_of(p, d, v);
			if (duration_us > g.end_us - g.begin_us)
				continue;
			struct variant *variant = &d->variant[v];
			if (variant->state == ASKED)
				return false;
			bool spoken = variant->state == SPOKEN;
			*out = act(p, d, spoken ? LVX_PLAN_PLACE : LVX_PLAN_SPEAK, v);
			if (spoken) {
				out->start_us = g.begin_us;
				out->end_us = g.begin_us + duration_us;
			} else {
				variant->state = ASKED;
			}
			return true;
		}
		if (g.open)
			return false;
	}
	return false;
}

/* What begins and ends before any time that will be looked at. */
static void forget(struct lvx_plan *p, int64_t head_us)
{
	size_t n = 0;
	while (n + 1 < p->n_spans && p->spans[n + 1].end_us < head_us)
		n++;
	p->n_spans -= n;
	memmove(p->spans, p->spans + n, p->n_spans * sizeof(p->spans[0]));
}

bool lvx_plan_next(
	struct lvx_plan *p, int64_t head_us, int64_t known_us, struct lvx_plan_action *out)
{
	forget(p, head_us);
	for (size_t i = 0; i < p->n_pending; i++) {
		struct description *d = &p->pending[i];
		if (!consider(p, d, head_us, known_us, out))
			continue;
		if (out->what == LVX_PLAN_SPEAK)
			return true;
		if (out->what == LVX_PLAN_PLACE)
			p->free_us = out->end_us + p->params.between_us;
		p->displaced = p->displaced && i > 0;
		p->gone = *d;
		out->text = p->gone.text[out->variant / 2];
		out->language = p->gone.language;
		memmove(d, d + 1, (--p->n_pending - i) * sizeof(*d));
		return true;
	}
	return false;
}
