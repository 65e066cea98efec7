/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/outputs/describe.h"
#include "daemon/outputs/hls_shelf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	MEDIA_MAX = LVX_UNIT_TRACKS_MAX,
	PENDING_MAX = 64, /* segments that wait for their text, however slow it is */
	EARLY_MAX = 2048,
	BEGIN_US = 2000000,     /* so long are tracks waited for of which nothing has come */
	TEXT_ONLY_US = 5000000, /* so much heard, and no unit has come */
	LATE_US = 5000000,      /* so long does a segment wait for a track that does not come */
	WAIT_US = 12000000,     /* and for its text: the longest cue and what it takes to hear it */
	QUEUE_BYTES_MAX = 192 << 20,
};

/* A segment that is not in the playlists yet. */
struct pending {
	struct lvx_hls_segment segment;
	int64_t ended_us; /* lvx_now_us when its end was known */
	bool failed;
	uint64_t bytes[MEDIA_MAX];
};

struct hls {
	struct lvx_outlet *host;
	struct lvx_hls_dir *dir;
	struct lvx_hls_shelf *shelf;
	int64_t hold_us;
	int64_t describe_us; /* so late comes the described sound; 0: there is none */
	uint32_t further; /* rows of further languages */

	bool begun, hopeless;
	int64_t first_unit_us;                   /* when it came; 0: none */
	const struct lvx_unit *early[EARLY_MAX]; /* [n_early], referenced; before it has begun */
	size_t n_early;

	struct lvx_hls_set set;            /* without a leader the clock leads */
	int of_track[LVX_UNIT_TRACKS_MAX]; /* which of the media; -1: none */
	struct lvx_hls_cutter cutter;
	bool lost; /* units of the leader, since the last one */

	struct pending pending[PENDING_MAX]; /* [n_pending] */
	size_t n_pending;
	uint64_t next_number;

	/* Where the stream is. */
	bool live;
	int64_t heard_us, known_us; /* known: all cues that begin before are */
	int64_t start_wall_us;      /* time of day of timeline 0; 0: not known */
};

/* ---- segments ---- */

static void fill(struct hls *h, struct lvx_hls_media *m, struct pending *p)
{
	struct lvx_error err;
	uint64_t *bytes = &p->bytes[m->rendition.media];
	enum lvx_status st = lvx_hls_media_fill(m, &p->segment, h->dir, bytes, &err);
	if (st == LVX_OK)
		return;
	lvx_outlet_trouble(h->host, "%s", err.msg);
	h->hopeless = h->hopeless || st == LVX_EUNSUPPORTED;
	p->failed = p->failed || st != LVX_EUNSUPPORTED;
}

static void publish(struct hls *h, const struct pending *p)
{
	struct lvx_error err;
	if (p->failed)
		lvx_hls_shelf_skip(h->shelf, &p->segment);
	else if (lvx_hls_shelf_add(h->shelf, &p->segment, p->bytes, h->start_wall_us, &err) !=
		 LVX_OK)
		lvx_outlet_trouble(h->host, "%s", err.msg);
	else if (!h->hopeless)
		lvx_outlet_well(h->host, "written again");
}

/* Makes what can be made of those that wait; all: everything. */
static void advance(struct hls *h, bool all)
{
	int64_t now_us = lvx_now_us();
	for (size_t i = 0; i < h->set.n_media; i++) {
		struct lvx_hls_media *m = &h->set.media[i];
		for (size_t k = 0; k < h->n_pending && !m->dead; k++) {
			struct pending *p = &h->pending[k];
			if (p->segment.number <= m->filled ||
				p->segment.number < m->rendition.first)
				continue;
			bool late = h->live ? now_us - p->ended_us > LATE_US + h->describe_us
					    : h->n_pending > PENDING_MAX / 2;
			if (!all && !late && !lvx_hls_media_ready(m, &p->segment))
				break;
			fill(h, m, p);
		}
	}
	while (h->n_pending > 0) {
		const struct pending *p = &h->pending[0];
		bool made = true;
		for (size_t i = 0; i < h->set.n_media; i++)
			made = made && (h->set.media[i].dead ||
					       h->set.media[i].filled >= p->segment.number ||
					       h->set.media[i].rendition.first > p->segment.number);
		bool whole = h->known_us >= p->segment.end_us;
		bool waited = h->n_pending > PENDING_MAX / 2 ||
			      (h->live && now_us - p->ended_us > WAIT_US + h->hold_us + h->describe_us);
		if (!all && (!made || !(whole || waited)))
			break;
		publish(h, p);
		h->n_pending--;
		memmove(h->pending, h->pending + 1, h->n_pending * sizeof(*p));
	}
}

static void end_segment(struct hls *h, const struct lvx_hls_cut *cut)
{
	if (h->n_pending == PENDING_MAX)
		advance(h, true);
	struct pending *p = &h->pending[h->n_pending++];
	*p = (struct pending){
		.segment = {.number = h->next_number++,
			.start_us = cut->start_us,
			.end_us = cut->end_us,
			.discontinuity = cut->discontinuity},
		.ended_us = lvx_now_us(),
	};
	/* The leader's units are those of this segment, up to now. */
	if (h->set.leader && !h->set.leader->dead)
		fill(h, h->set.leader, p);
}

/* ---- tracks ---- */

/* Is the track one of those that are passed on: the first pictures, and all sound but that which
 * receivers would have to mix? */
static bool is_wanted(const struct lvx_unit_track *tracks, size_t i)
{
	if (tracks[i].role == LVX_UNIT_DESCRIPTION)
		return false;
	for (size_t k = 0; k < i && tracks[i].media == LVX_UNIT_VIDEO; k++) {
		if (tracks[k].media == LVX_UNIT_VIDEO)
			return false;
	}
	return true;
}

static const char *tidy_language(struct lvx_unit_track *t, const char *spoken)
{
	if (strcmp(t->language, "und") == 0 || strcmp(t->language, "mis") == 0)
		t->language[0] = '\0';
	if (!t->language[0] && t->media == LVX_UNIT_AUDIO && spoken)
		snprintf(t->language, sizeof(t->language), "%s", spoken);
	return t->language;
}

/* Returns it, or NULL: players do not know the codec. */
static struct lvx_hls_media *add_media(
	struct hls *h, size_t track, const struct lvx_unit_track *t, const struct lvx_unit *sample)
{
	struct lvx_error err;
	if (lvx_fmp4_check(sample->format, &err) != LVX_OK) {
		h->hopeless = true;
		lvx_outlet_trouble(h->host, "the %s: %s",
			t->media == LVX_UNIT_VIDEO ? "pictures" : "sound", err.msg);
		return NULL;
	}
	struct lvx_hls_media *m = &h->set.media[h->set.n_media];
	*m = (struct lvx_hls_media){.track = *t};
	tidy_language(&m->track, lvx_hub_language(lvx_outlet_stream(h->host)));
	m->rendition.media = (int)h->set.n_media;
	m->rendition.first = h->next_number;
	snprintf(m->rendition.name, sizeof(m->rendition.name), "%s",
		t->media == LVX_UNIT_VIDEO            ? "video"
		: t->role == LVX_UNIT_DESCRIBES_VIDEO ? "audio-description"
						      : "audio");
	for (size_t i = 0; i < h->set.n_media; i++) {
		if (strcmp(h->set.media[i].rendition.name, m->rendition.name) == 0)
			snprintf(m->rendition.name + strlen(m->rendition.name), 8, "-%zu",
				h->set.n_media + 1);
	}
	h->of_track[track] = (int)h->set.n_media++;
	return m;
}

static const struct lvx_unit *first_of(const struct hls *h, size_t track)
{
	for (size_t i = 0; i < h->n_early; i++) {
		if (h->early[i]->track == track)
			return h->early[i];
	}
	return NULL;
}

/* Has something come of each track, or will nothing come? */
static bool can_begin(struct hls *h, bool all)
{
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	size_t n = lvx_units_tracks(lvx_outlet_units(h->host), tracks);
	bool whole = h->n_early > 0, described = h->describe_us == 0;
	for (size_t i = 0; i < n; i++) {
		whole = whole && (!is_wanted(tracks, i) || first_of(h, i));
		described = described || tracks[i].role == LVX_UNIT_DESCRIBES_VIDEO;
	}
	if (h->n_early == 0)
		return all || h->heard_us > TEXT_ONLY_US;
	return (whole && described) || all || h->n_early == EARLY_MAX ||
	       lvx_now_us() - h->first_unit_us > BEGIN_US + h->describe_us;
}

static void put(struct hls *h, const struct lvx_unit *unit);

static void begin(struct hls *h)
{
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	size_t n = lvx_units_tracks(lvx_outlet_units(h->host), tracks);
	h->begun = true;
	for (size_t i = 0; i < n; i++) {
		const struct lvx_unit *sample = first_of(h, i);
		struct lvx_hls_media *m = NULL;
		if (sample && is_wanted(tracks, i))
			m = add_media(h, i, &tracks[i], sample);
		bool better = m && m->track.media == LVX_UNIT_VIDEO;
		if (m && (!h->set.leader ||
				 (better && h->set.leader->track.media == LVX_UNIT_AUDIO)))
			h->set.leader = m;
	}
	if (h->set.leader)
		h->set.leader->leads = true;
	else if (!h->hopeless)
		lvx_outlet_trouble(h->host, "the stream has neither pictures nor sound that could "
					    "be passed on");
	if (!h->set.leader) {
		h->hopeless = true;
		lvx_log_warn("stream %s: hls: there will be text only, in %s, and no master "
			     "playlist",
			lvx_hub_id(lvx_outlet_stream(h->host)), lvx_hls_dir_path(h->dir));
	}
	for (size_t i = 0; i < h->n_early; i++) {
		put(h, h->early[i]);
		lvx_unit_unref(h->early[i]);
	}
	h->n_early = 0;
}

/* ---- units ---- */

static void lead(struct hls *h, const struct lvx_unit *unit)
{
	struct lvx_hls_cut cut;
	bool ended;
	const struct lvx_unit *last =
		h->set.leader->n > 0 ? h->set.leader->queue[h->set.leader->n - 1] : NULL;
	if ((h->lost || (last && last->format != unit->format)) &&
		lvx_hls_cutter_break(&h->cutter, &cut))
		end_segment(h, &cut);
	h->lost = false;
	bool taken = lvx_hls_cutter_put(&h->cutter, unit, &cut, &ended);
	if (ended)
		end_segment(h, &cut);
	if (taken)
		lvx_hls_media_put(h->set.leader, unit);
}

static void put(struct hls *h, const struct lvx_unit *unit)
{
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	struct lvx_hls_media *m = NULL;
	size_t bytes = 0;
	for (size_t i = 0; i < h->set.n_media; i++)
		bytes += h->set.media[i].bytes;
	if (bytes + unit->len > QUEUE_BYTES_MAX) {
		lvx_outlet_count_lost(h->host, 1);
		h->lost = true;
		return;
	}
	if (h->of_track[unit->track] >= 0)
		m = &h->set.media[h->of_track[unit->track]];
	if (m == h->set.leader && m) {
		lead(h, unit);
		return;
	}
	/* Sound that came later: a further language, a description. */
	if (!m && h->of_track[unit->track] == -1 && h->set.leader &&
		unit->media == LVX_UNIT_AUDIO && h->n_early == 0) {
		size_t n = lvx_units_tracks(lvx_outlet_units(h->host), tracks);
		if (unit->track < n && is_wanted(tracks, unit->track))
			m = add_media(h, unit->track, &tracks[unit->track], unit);
		if (!m)
			h->of_track[unit->track] = -2;
	}
	if (m)
		lvx_hls_media_put(m, unit);
}

/* ---- the outlet ---- */

static uint64_t next_to_write(const struct hls *h)
{
	return h->n_pending > 0 ? h->pending[0].segment.number : h->next_number;
}

static void on_unit(void *self, const struct lvx_unit *unit)
{
	struct hls *h = self;
	if (unit->track >= LVX_UNIT_TRACKS_MAX)
		return;
	if (h->first_unit_us == 0)
		h->first_unit_us = lvx_now_us();
	if (h->begun) {
		put(h, unit);
	} else {
		h->early[h->n_early++] = lvx_unit_ref(unit);
		if (can_begin(h, false))
			begin(h);
	}
	if (h->n_pending > 0)
		advance(h, false);
}

static void on_event(void *self, const struct lvx_hub_event *event)
{
	struct hls *h = self;
	lvx_hls_lanes_event(h->set.lanes, event, next_to_write(h));
}

static void on_lost(void *self, uint64_t n_events, uint64_t n_units)
{
	struct hls *h = self;
	(void)n_events;
	h->lost = h->lost || n_units > 0;
}

static void cut_by_clock(struct hls *h)
{
	struct lvx_hls_cut cut;
	while (h->begun && !h->set.leader && lvx_hls_cutter_clock(&h->cutter, h->heard_us, &cut))
		end_segment(h, &cut);
}

static void on_tick(void *self, const struct lvx_hub_info *info)
{
	struct hls *h = self;
	h->live = info->stream.start_mono_us != 0;
	h->heard_us = info->stream.heard_us;
	h->start_wall_us = info->stream.start_wall_us;
	lvx_hls_lanes_make(h->set.lanes, info->lanes, h->further, next_to_write(h));
	h->known_us = lvx_hls_lanes_time(h->set.lanes, h->heard_us, next_to_write(h));
	if (!h->begun && can_begin(h, false))
		begin(h);
	cut_by_clock(h);
	advance(h, false);
}

static void on_end(void *self)
{
	struct hls *h = self;
	struct lvx_hls_cut cut;
	struct lvx_error err;
	struct lvx_hub_info info;
	lvx_hub_get_info(lvx_outlet_stream(h->host), &info);
	h->heard_us = info.stream.heard_us;
	lvx_hls_lanes_finish(h->set.lanes, next_to_write(h));
	h->known_us = INT64_MAX;
	if (!h->begun && can_begin(h, true))
		begin(h);
	cut_by_clock(h);
	if (lvx_hls_cutter_break(&h->cutter, &cut)) {
		/* Sound may go on a little longer than the pictures. */
		for (size_t i = 0; i < h->set.n_media; i++) {
			const struct lvx_hls_media *m = &h->set.media[i];
			if (m->n > 0 && m->newest_us >= cut.end_us)
				cut.end_us = m->newest_us + 1;
		}
		end_segment(h, &cut);
	}
	advance(h, true);
	if (lvx_hls_shelf_end(h->shelf, &err) != LVX_OK)
		lvx_outlet_trouble(h->host, "%s", err.msg);
}

static void destroy(void *self)
{
	struct hls *h = self;
	if (!h)
		return;
	for (size_t i = 0; i < h->n_early; i++)
		lvx_unit_unref(h->early[i]);
	for (size_t i = 0; i < h->set.n_media; i++)
		lvx_hls_media_finish(&h->set.media[i]);
	lvx_hls_lanes_destroy(h->set.lanes);
	lvx_hls_shelf_destroy(h->shelf);
	lvx_hls_dir_close(h->dir);
	free(h);
}

/* ---- further languages ---- */

typedef enum lvx_status (*language_fn)(void *user, const char *language, struct lvx_error *err);

/* Calls fn with each of the list, until one fails. */
static enum lvx_status each_language(
	const char *list, language_fn fn, void *user, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	while (list && *list && st == LVX_OK) {
		char language[24];
		list += strspn(list, ", ");
		size_t n = strcspn(list, ", ");
		snprintf(language, sizeof(language), "%.*s", (int)n, list);
		if (n > 0)
			st = fn(user, language, err);
		list += n;
	}
	return st;
}

static enum lvx_status check_language(void *user, const char *language, struct lvx_error *err)
{
	return lvx_model_info_check_languages(user, "hls-languages", NULL, language, err);
}

enum lvx_status lvx_hls_check(const struct lvx_stream_settings *s,
	const struct lvx_model_info *model, const char *where, struct lvx_error *err)
{
	/* The callback only reads it. */
	enum lvx_status st = each_language(
		s->hls_languages, check_language, (struct lvx_model_info *)(uintptr_t)model, err);
	return st == LVX_OK ? st : lvx_error_context(err, "%s", where);
}

/* One that is refused leaves the others alone. */
static enum lvx_status watch(void *user, const char *language, struct lvx_error *err)
{
	struct hls *h = user;
	uint32_t further = 0;
	if (lvx_outlet_watch(h->host, language, &further, err) != LVX_OK) {
		h->hopeless = true;
		lvx_outlet_trouble(
			h->host, "there will be no translation to %s: %s", language, err->msg);
	}
	h->further |= further;
	return LVX_OK;
}

/* ---- the kind ---- */

static size_t n_wanted(const struct lvx_stream_settings *settings)
{
	return settings->hls && settings->hls[0];
}

static enum lvx_status create(void **self, struct lvx_outlet *host, struct lvx_error *err)
{
	const struct lvx_stream_settings *s = lvx_outlet_settings(host);
	struct lvx_hub_stream *stream = lvx_outlet_stream(host);
	struct hls *h = calloc(1, sizeof(*h));
	if (!h)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	h->host = host;
	int segment_s = s->hls_segment_s > 0 ? s->hls_segment_s : LVX_HLS_SEGMENT_S;
	int window_s = s->hls_window_s >= 0 ? s->hls_window_s : LVX_HLS_WINDOW_S;
	h->describe_us = lvx_describe_delay_us(s);
	h->hold_us = s->hls_hold_s > 0 ? (int64_t)(s->hls_hold_s * 1e6) : 0;
	h->next_number = 1;
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++)
		h->of_track[i] = -1;
	lvx_hls_cutter_init(&h->cutter, (int64_t)segment_s * 1000000);
	enum lvx_status st =
		lvx_hls_dir_open(&h->dir, s->hls, lvx_hub_id(stream), lvx_hub_epoch(stream), err);
	if (st != LVX_OK) {
		free(h);
		return st;
	}
	h->set.lanes = lvx_hls_lanes_create(stream, h->hold_us);
	h->shelf = lvx_hls_shelf_create(h->dir, &h->set, (int64_t)window_s * 1000000, segment_s);
	lvx_hub_note_hold(stream, h->hold_us);
	each_language(s->hls_languages, watch, h, err);
	*self = h;
	return LVX_OK;
}

const struct lvx_outlet_kind lvx_outlet_hls = {
	.name = "hls",
	.n_wanted = n_wanted,
	.create = create,
	.on_event = on_event,
	.on_unit = on_unit,
	.on_lost = on_lost,
	.on_tick = on_tick,
	.on_end = on_end,
	.destroy = destroy,
};
