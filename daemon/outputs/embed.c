/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 9, LATE_US = 1000000 };

struct picture {
	int64_t pts_us;
	bool fixed; /* cc holds */
	struct lvx_a53_cc cc;
};

struct lvx_embed {
	struct lvx_cc608 *channel[2];
	struct picture waiting[LVX_EMBED_PICTURES]; /* in the order of decoding, a ring */
	unsigned first, n;
	int64_t newest_dts_us;
	/* The last that got pairs. */
	int64_t last_pts_us;
	uint64_t n_fixed;
	int64_t steps[STEPS]; /* the last distances, a ring; their median is the usual one */
	unsigned n_steps;
	double due;          /* fields whose pairs have not been sent */
	unsigned next_field; /* 0 or 1: whose pair it is next */
};

struct lvx_embed *lvx_embed_create(struct lvx_cc608 *channel[2])
{
	struct lvx_embed *e = calloc(1, sizeof(*e));
	if (!e)
		abort();
	memcpy(e->channel, channel, sizeof(e->channel));
	e->newest_dts_us = INT64_MIN;
	return e;
}

void lvx_embed_destroy(struct lvx_embed *e)
{
	free(e);
}

static struct picture *at(struct lvx_embed *e, unsigned i)
{
	return &e->waiting[(e->first + i) % LVX_EMBED_PICTURES];
}

void lvx_embed_put(struct lvx_embed *e, int64_t pts_us, int64_t dts_us)
{
	/* The caller takes what is ready; it may not wait for more than fit. */
	if (e->n == LVX_EMBED_PICTURES)
		abort();
	*at(e, e->n++) = (struct picture){.pts_us = pts_us};
	e->newest_dts_us = dts_us;
}

bool lvx_embed_ready(const struct lvx_embed *e, bool all)
{
	if (e->n == 0)
		return false;
	/* Every later picture is shown at or after its decoding time. */
	return all || e->n == LVX_EMBED_PICTURES || e->newest_dts_us >= e->waiting[e->first].pts_us;
}

/* ---- rate ---- */

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* From one picture to the next, as a rule; 0: not known yet. */
static int64_t usual_step_us(const struct lvx_embed *e)
{
	int64_t sorted[STEPS];
	unsigned n = e->n_steps < STEPS ? e->n_steps : STEPS;
	if (n == 0)
		return 0;
	memcpy(sorted, e->steps, sizeof(sorted));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	return sorted[n / 2];
}

static void note_step(struct lvx_embed *e, int64_t step_us)
{
	if (step_us > 0)
		e->steps[e->n_steps++ % STEPS] = step_us;
	if (e->n_steps == 2 * STEPS)
		e->n_steps = STEPS; /* the ring goes on at its beginning */
}

/* The pictures a second that are meant: times may be in whole ms, and 29.97 counts as 30. */
static double nominal_rate(int64_t step_us)
{
	static const double rates[] = {10, 12, 12.5, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120};
	double fps = step_us > 0 ? 1e6 / (double)step_us : 30;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		if (fabs(fps / rates[i] - 1) < 0.021)
			return rates[i];
	}
	return fps;
}

/* CEA-608's fields a second, two to a frame: 50 where pictures come at such rates, or else 60. */
static double fields_a_second(double fps)
{
	return fmod(fps, 12.5) == 0 ? 50 : 60;
}

/* ---- pairs ---- */

/*
 * A field has one pair. A picture has those of the fields that go by till the next: two at 25
 * and 30 a second, two or three in turn at 24, four at 15, one, of each field in turn, at 50 and
 * 60. Where steps are irregular, it is the time since the last picture that counts.
 */
static unsigned count_fields(struct lvx_embed *e, double fps, int64_t step_us, int64_t usual_us)
{
	double fields = fields_a_second(fps) / fps;
	/* The first: how far it is to the next is not known. If these are the fields of frames, each
	 * then has the pair of its own. */
	if (usual_us == 0)
		fields = 1;
	if (step_us > 0 && llabs(step_us - usual_us) > usual_us / 3)
		fields = fields_a_second(fps) * (double)step_us / 1e6;
	e->due = fmin(e->due + fields, LVX_A53_PAIRS_MAX);
	unsigned n = (unsigned)(e->due + 1e-6);
	e->due -= n;
	return n;
}

static void fix(struct lvx_embed *e, struct picture *p)
{
	int64_t step_us = e->n_fixed ? p->pts_us - e->last_pts_us : 0;
	note_step(e, step_us);
	int64_t usual_us = usual_step_us(e);
	double fps = nominal_rate(usual_us);
	unsigned n = count_fields(e, fps, step_us, usual_us);
	/* CEA-708's 9,600 bit/s are 600 triplets a second: 20 at 29.97, 10 at 59.94. */
	long count = lround(fmin(600 / fps, LVX_A53_COUNT_MAX));
	p->cc.count = (uint8_t)(count > (long)n ? count : (long)n);
	p->fixed = true;
	/* Field 1 first: there are decoders that take the first triplet's for the one to show. */
	for (unsigned f = 0; f < 2; f++) {
		for (unsigned k = (n + (f == e->next_field)) / 2; k > 0; k--) {
			struct lvx_a53_pair *pair = &p->cc.pairs[p->cc.n_pairs++];
			*pair = (struct lvx_a53_pair){(uint8_t)f, {0x80, 0x80}};
			if (e->channel[f])
				lvx_cc608_next(e->channel[f], p->pts_us, pair->bytes);
		}
	}
	e->next_field = (e->next_field + n) % 2;
	e->n_fixed++;
	e->last_pts_us = p->pts_us;
}

void lvx_embed_take(struct lvx_embed *e, struct lvx_a53_cc *cc)
{
	struct picture *oldest = at(e, 0);
	while (!oldest->fixed) {
		struct picture *next = oldest;
		for (unsigned i = 1; i < e->n; i++) {
			struct picture *p = at(e, i);
			if (!p->fixed && p->pts_us < next->pts_us)
				next = p;
		}
		/* It came too late to be in order: those after it have theirs already. Far
		 * back, the clock has jumped. */
		int64_t back_us = e->n_fixed ? e->last_pts_us - next->pts_us : -1;
		if (back_us >= 0 && back_us < LATE_US) {
			next->fixed = true;
			next->cc.count = 2;
			continue;
		}
		fix(e, next);
	}
	*cc = oldest->cc;
	e->first = (e->first + 1) % LVX_EMBED_PICTURES;
	e->n--;
}
