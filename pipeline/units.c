/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/units.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { N_DEFAULT = 8192, BYTES_DEFAULT = 64 << 20, EXTRA_MAX = 1 << 16 };

/* The format as it is shared: counted, with its bytes behind it. */
struct format {
	_Atomic uint32_t refs;
	struct lvx_unit_format format;
	uint8_t extra[];
};

/* What a unit's pointer is the first member of. */
struct held {
	struct lvx_unit unit;
	_Atomic uint32_t refs;
	struct format *format;
	uint8_t data[];
};

struct track {
	struct lvx_unit_track info;
	struct format *format; /* of the last unit; NULL: none came yet */
	bool have, broken;     /* broken: the next unit does not follow from the last */
	int64_t dts_us;
};

struct lvx_unit_reader {
	struct lvx_units *units; /* referenced */
	struct lvx_bell *bell;
	uint64_t next; /* {lock} */
	bool adds;     /* {lock} */
	_Atomic uint64_t n_lost;
};

struct lvx_units {
	_Atomic uint32_t refs;
	_Atomic uint32_t n_readers;
	size_t n_max, bytes_max;

	pthread_mutex_t lock; /* held for pointers only, never while copying units */
	/* {lock} */
	struct held **kept;    /* [n_max], by number modulo */
	uint64_t oldest, next; /* numbers of units */
	size_t bytes;
	struct lvx_unit_reader *readers[LVX_UNIT_READERS_MAX];
	struct track tracks[LVX_UNIT_TRACKS_MAX];
	size_t n_tracks;
	bool finished;
	uint64_t n_put, bytes_put, n_dropped;
};

/* ---- units ---- */

static void unref_format(struct format *f)
{
	if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
		free(f);
}

const struct lvx_unit *lvx_unit_ref(const struct lvx_unit *unit)
{
	/* Only the count changes, and it is ours: see struct held. */
	struct held *h = (struct held *)(uintptr_t)unit;
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return unit;
}

void lvx_unit_unref(const struct lvx_unit *unit)
{
	struct held *h = (struct held *)(uintptr_t)unit;
	if (!h || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	unref_format(h->format);
	free(h);
}

static bool same_format(const struct format *f, const struct lvx_unit_format *g)
{
	if (!f)
		return false;
	const struct lvx_unit_format *e = &f->format;
	return strncmp(e->codec, g->codec, sizeof(e->codec)) == 0 &&
	       e->sample_rate == g->sample_rate && e->channels == g->channels &&
	       e->width == g->width && e->height == g->height && e->fps_num == g->fps_num &&
	       e->fps_den == g->fps_den && e->n_extra == g->n_extra &&
	       (g->n_extra == 0 || memcmp(e->extra, g->extra, g->n_extra) == 0);
}

static struct format *copy_format(const struct lvx_unit_format *g)
{
	size_t n = g->extra ? g->n_extra : 0;
	struct format *f = n <= EXTRA_MAX ? calloc(1, sizeof(*f) + n + LVX_UNIT_PADDING) : NULL;
	if (!f)
		return NULL;
	atomic_init(&f->refs, 1);
	f->format = *g;
	f->format.codec[sizeof(g->codec) - 1] = '\0';
	f->format.extra = n ? f->extra : NULL;
	f->format.n_extra = n;
	if (n)
		memcpy(f->extra, g->extra, n);
	return f;
}

static struct held *copy_unit(const struct lvx_unit *unit)
{
	if (unit->len == 0 || unit->len > LVX_UNIT_BYTES_MAX)
		return NULL;
	struct held *h = malloc(sizeof(*h) + unit->len + LVX_UNIT_PADDING);
	if (!h)
		return NULL;
	h->unit = *unit;
	h->unit.data = h->data;
	if (h->unit.pts_us < h->unit.dts_us)
		h->unit.pts_us = h->unit.dts_us;
	h->format = NULL;
	atomic_init(&h->refs, 1);
	memcpy(h->data, unit->data, unit->len);
	memset(h->data + unit->len, 0, LVX_UNIT_PADDING);
	return h;
}

/* ---- the store ---- */

enum lvx_status lvx_units_create(
	struct lvx_units **out, size_t n_max, size_t n_bytes_max, struct lvx_error *err)
{
	struct lvx_units *u = calloc(1, sizeof(*u));
	n_max = n_max ? n_max : N_DEFAULT;
	struct held **kept = calloc(n_max, sizeof(struct held *));
	if (!u || !kept) {
		free(u);
		free(kept);
		return lvx_fail(err, LVX_ENOMEM, "units: out of memory");
	}
	atomic_init(&u->refs, 1);
	u->n_max = n_max;
	u->bytes_max = n_bytes_max ? n_bytes_max : BYTES_DEFAULT;
	u->kept = kept;
	pthread_mutex_init(&u->lock, NULL);
	*out = u;
	return LVX_OK;
}

struct lvx_units *lvx_units_ref(struct lvx_units *u)
{
	atomic_fetch_add_explicit(&u->refs, 1, memory_order_relaxed);
	return u;
}

static void drop_oldest(struct lvx_units *u) /* {lock} */
{
	struct held **slot = &u->kept[u->oldest % u->n_max];
	u->bytes -= (*slot)->unit.len;
	lvx_unit_unref(&(*slot)->unit);
	*slot = NULL;
	u->oldest++;
}

/* What every reader has read goes. {lock} */
static void trim(struct lvx_units *u)
{
	uint64_t least = u->next;
	for (int i = 0; i < LVX_UNIT_READERS_MAX; i++) {
		if (u->readers[i] && u->readers[i]->next < least)
			least = u->readers[i]->next;
	}
	while (u->oldest < least)
		drop_oldest(u);
}

void lvx_units_unref(struct lvx_units *u)
{
	if (!u || atomic_fetch_sub_explicit(&u->refs, 1, memory_order_acq_rel) != 1)
		return;
	while (u->oldest < u->next)
		drop_oldest(u);
	for (size_t i = 0; i < u->n_tracks; i++)
		unref_format(u->tracks[i].format);
	pthread_mutex_destroy(&u->lock);
	free(u->kept);
	free(u);
}

/* ---- producers ---- */

bool lvx_units_wanted(const struct lvx_units *u)
{
	return u && atomic_load_explicit(&u->n_readers, memory_order_relaxed) > 0;
}

int lvx_units_add_track(struct lvx_units *u, const struct lvx_unit_track *track)
{
	int number = -1;
	pthread_mutex_lock(&u->lock);
	if (u->n_tracks < LVX_UNIT_TRACKS_MAX) {
		number = (int)u->n_tracks++;
		u->tracks[number].info = *track;
		u->tracks[number].info.language[sizeof(track->language) - 1] = '\0';
	}
	pthread_mutex_unlock(&u->lock);
	return number;
}

static void ring_all(struct lvx_units *u) /* {lock} */
{
	for (int i = 0; i < LVX_UNIT_READERS_MAX; i++) {
		if (u->readers[i] && u->readers[i]->bell)
			lvx_bell_ring(u->readers[i]->bell);
	}
}

/* The track's format for a unit that is put, referenced; NULL: out of memory. */
static struct format *take_format(struct lvx_units *u, struct track *t, const struct lvx_unit *unit)
{
	/* Only this track's producer, which we are, changes it; the lock is for readers of it. */
	if (!same_format(t->format, unit->format)) {
		struct format *f = copy_format(unit->format);
		if (!f)
			return NULL;
		pthread_mutex_lock(&u->lock);
		unref_format(t->format);
		t->format = f;
		pthread_mutex_unlock(&u->lock);
	}
	atomic_fetch_add_explicit(&t->format->refs, 1, memory_order_relaxed);
	return t->format;
}

static bool drop(struct lvx_units *u, struct track *t)
{
	pthread_mutex_lock(&u->lock);
	u->n_dropped++;
	if (t)
		t->broken = true;
	pthread_mutex_unlock(&u->lock);
	return false;
}

bool lvx_units_put(struct lvx_units *u, const struct lvx_unit *unit)
{
	if (!lvx_units_wanted(u))
		return true;
	struct track *t = NULL;
	pthread_mutex_lock(&u->lock);
	if (unit->track < u->n_tracks)
		t = &u->tracks[unit->track];
	pthread_mutex_unlock(&u->lock);
	struct held *h = t ? copy_unit(unit) : NULL;
	if (!h)
		return drop(u, t);
	h->format = take_format(u, t, unit);
	if (!h->format) {
		lvx_unit_unref(&h->unit);
		return drop(u, t);
	}
	h->unit.format = &h->format->format;
	h->unit.media = t->info.media;
	if (t->info.media == LVX_UNIT_AUDIO)
		h->unit.keyframe = true;

	pthread_mutex_lock(&u->lock);
	if (t->have && (t->broken || h->unit.dts_us < t->dts_us))
		h->unit.discontinuity = true;
	t->have = true;
	t->broken = false;
	t->dts_us = h->unit.dts_us;
	while (u->next > u->oldest &&
		(u->next - u->oldest >= u->n_max || u->bytes + h->unit.len > u->bytes_max))
		drop_oldest(u);
	u->kept[u->next++ % u->n_max] = h;
	u->bytes += h->unit.len;
	u->n_put++;
	u->bytes_put += h->unit.len;
	ring_all(u);
	trim(u); /* the last reader may have gone just now */
	pthread_mutex_unlock(&u->lock);
	return true;
}

void lvx_units_finish(struct lvx_units *u)
{
	pthread_mutex_lock(&u->lock);
	u->finished = true;
	ring_all(u);
	pthread_mutex_unlock(&u->lock);
}

/* ---- readers ---- */

enum lvx_status lvx_units_open(struct lvx_unit_reader **out, struct lvx_units *u,
	struct lvx_bell *bell, struct lvx_error *err)
{
	struct lvx_unit_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return lvx_fail(err, LVX_ENOMEM, "units: out of memory");
	r->bell = bell;
	pthread_mutex_lock(&u->lock);
	r->next = u->next;
	for (int i = 0; i < LVX_UNIT_READERS_MAX && !r->units; i++) {
		if (u->readers[i])
			continue;
		u->readers[i] = r;
		r->units = lvx_units_ref(u);
		atomic_fetch_add_explicit(&u->n_readers, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&u->lock);
	if (!r->units) {
		free(r);
		return lvx_fail(err, LVX_ELIMIT, "units: more than %d readers of one stream",
			LVX_UNIT_READERS_MAX);
	}
	*out = r;
	return LVX_OK;
}

void lvx_units_close(struct lvx_unit_reader *r)
{
	if (!r)
		return;
	struct lvx_units *u = r->units;
	pthread_mutex_lock(&u->lock);
	for (int i = 0; i < LVX_UNIT_READERS_MAX; i++) {
		if (u->readers[i] == r)
			u->readers[i] = NULL;
	}
	if (atomic_fetch_sub_explicit(&u->n_readers, 1, memory_order_relaxed) == 1) {
		/* What comes till somebody reads again is not put: no track goes on from here. */
		for (size_t i = 0; i < u->n_tracks; i++)
			u->tracks[i].broken = true;
	}
	trim(u);
	if (r->adds)
		ring_all(u);
	pthread_mutex_unlock(&u->lock);
	lvx_units_unref(u);
	free(r);
}

void lvx_units_adds(struct lvx_unit_reader *r)
{
	pthread_mutex_lock(&r->units->lock);
	r->adds = true;
	pthread_mutex_unlock(&r->units->lock);
}

/* Nobody puts anything any more, but this reader itself. {lock} */
static bool is_over(const struct lvx_units *u, const struct lvx_unit_reader *r)
{
	bool over = u->finished;
	for (int i = 0; i < LVX_UNIT_READERS_MAX && over; i++)
		over = !u->readers[i] || u->readers[i] == r || !u->readers[i]->adds;
	return over;
}

enum lvx_status lvx_units_next(struct lvx_unit_reader *r, const struct lvx_unit **out)
{
	struct lvx_units *u = r->units;
	enum lvx_status st = LVX_OK;
	pthread_mutex_lock(&u->lock);
	if (r->next < u->oldest) {
		atomic_fetch_add_explicit(&r->n_lost, u->oldest - r->next, memory_order_relaxed);
		r->next = u->oldest;
		st = LVX_GAP;
	} else if (r->next < u->next) {
		*out = lvx_unit_ref(&u->kept[r->next++ % u->n_max]->unit);
		trim(u);
	} else {
		st = is_over(u, r) ? LVX_END : LVX_AGAIN;
	}
	pthread_mutex_unlock(&u->lock);
	return st;
}

uint64_t lvx_units_overruns(const struct lvx_unit_reader *r)
{
	return atomic_load_explicit(&r->n_lost, memory_order_relaxed);
}

size_t lvx_units_tracks(struct lvx_units *u, struct lvx_unit_track out[LVX_UNIT_TRACKS_MAX])
{
	pthread_mutex_lock(&u->lock);
	size_t n = u->n_tracks;
	for (size_t i = 0; i < n; i++)
		out[i] = u->tracks[i].info;
	pthread_mutex_unlock(&u->lock);
	return n;
}

void lvx_units_get_stats(struct lvx_units *u, struct lvx_units_stats *out)
{
	pthread_mutex_lock(&u->lock);
	*out = (struct lvx_units_stats){
		.n_put = u->n_put,
		.bytes_put = u->bytes_put,
		.n_dropped = u->n_dropped,
		.n_kept = (size_t)(u->next - u->oldest),
		.bytes_kept = u->bytes,
		.n_readers = atomic_load(&u->n_readers),
	};
	pthread_mutex_unlock(&u->lock);
}
