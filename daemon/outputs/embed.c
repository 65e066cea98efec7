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
	int64_t steps[STEPS]; /* the last distances, a ring; their median is the rate */
	unsigned n_steps;
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

static double frames_a_second(const struct lvx_embed *e)
{
	int64_t sorted[STEPS];
	unsigned n = e->n_steps < STEPS ? e->n_steps : STEPS;
	if (n == 0)
		return 30000.0 / 1001;
	memcpy(sorted, e->steps, sizeof(sorted));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	return 1e6 / (double)sorted[n / 2];
}

static void note_step(struct lvx_embed *e, int64_t pts_us)
{
	if (e->n_fixed && pts_us > e->last_pts_us)
		e->steps[e->n_steps++ % STEPS] = pts_us - e->last_pts_us;
	if (e->n_steps == 2 * STEPS)
		e->n_steps = STEPS; /* the ring goes on at its beginning */
}

/* ---- pairs ---- */

/* CEA-708's 9,600 bit/s are 600 triplets a second: 20 at 29.97, 10 at 59.94. Those rates send
 * the two fields of a frame in one picture, or in two. */
static void fix(struct lvx_embed *e, struct picture *p)
{
	note_step(e, p->pts_us);
	double fps = frames_a_second(e);
	long count = lround(600 / fps);
	bool both = fps < 40;
	p->fixed = true;
	p->cc.count = (uint8_t)(count < 2 ? 2 : count > 25 ? 25 : count);
	for (unsigned f = 0; f < 2; f++) {
		p->cc.has[f] = both || e->n_fixed % 2 == f;
		if (!p->cc.has[f])
			continue;
		p->cc.pair[f][0] = p->cc.pair[f][1] = 0x80;
		if (e->channel[f])
			lvx_cc608_next(e->channel[f], p->pts_us, p->cc.pair[f]);
	}
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
