/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/outputs/hls_lanes.h"
#include "daemon/outputs/hls_media.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	MEDIA_MAX = LVX_UNIT_TRACKS_MAX,
	PENDING_MAX = 64, /* segments that wait for their text, however slow it is */
	EARLY_MAX = 2048,
	BEGIN_US = 2000000,     /* so long are tracks waited for of which nothing has come */
	TEXT_ONLY_US = 5000000, /* so much heard, and no unit has come */
	LATE_US = 2000000,      /* so long does a segment wait for a track that does not come */
	WAIT_US = 12000000,     /* and for its text: the longest cue and what it takes to hear it */
	QUEUE_BYTES_MAX = 192 << 20,
	LINGER_US = 60000000, /* files stay so long after their segment has left, or a window */
	LEAST = 3,            /* segments in a window, however short that is */
};

/* A segment that is not in the playlists yet. */
struct pending {
	struct lvx_hls_segment segment;
	int64_t ended_us; /* lvx_now_us when its end was known */
	bool failed;
	uint64_t bytes[MEDIA_MAX];
};

struct gone {
	uint64_t number;
	int64_t end_us;
};

struct hls {
	struct lvx_outlet *host;
	struct lvx_hls_dir *dir;
	struct lvx_hls_lanes *lanes;
	int64_t window_us, hold_us; /* window 0: all is kept */

	bool begun, hopeless;
	int64_t first_unit_us;                   /* when it came; 0: none */
	const struct lvx_unit *early[EARLY_MAX]; /* [n_early], referenced; before it has begun */
	size_t n_early;

	struct lvx_hls_media media[MEDIA_MAX]; /* [n_media] */
	size_t n_media;
	int of_track[LVX_UNIT_TRACKS_MAX]; /* which of the media; -1: none */
	struct lvx_hls_media *leader;      /* NULL: the clock leads */
	struct lvx_hls_cutter cutter;
	bool lost; /* units of the leader, since the last one */

	struct pending pending[PENDING_MAX]; /* [n_pending] */
	size_t n_pending;
	uint64_t next_number;
	bool broken; /* the next that is published does not follow from the one before */
	struct lvx_hls_list list;
	struct gone *gone; /* [n_gone], whose files are still there */
	size_t n_gone, gone_cap;
	struct lvx_text master, text, name;
	uint64_t bandwidth;

	/* Where the stream is. */
	bool live;
	int64_t heard_us, known_us;     /* known: all cues that begin before are */
	int64_t start_wall_us, wall_us; /* of timeline 0: now, and as the playlists have it */
};

/* ---- publishing ---- */

static bool is_alive(const struct lvx_hls_media *m)
{
	return !m->dead && m->init > 0;
}

static void write_playlist(struct hls *h, const struct lvx_hls_rendition *r, bool *ok)
{
	struct lvx_error err;
	if (h->list.n == 0 || h->list.segments[h->list.n - 1].number < r->first)
		return;
	lvx_text_clear(&h->text);
	lvx_text_clear(&h->name);
	lvx_hls_playlist(&h->text, &h->list, r);
	lvx_text_printf(&h->name, "%s.m3u8", r->name);
	if (lvx_hls_dir_write(h->dir, h->name.data, h->text.data, h->text.len, &err) != LVX_OK) {
		lvx_outlet_trouble(h->host, "%s", err.msg);
		*ok = false;
	}
}

/* What everybody gets: the leading track, or another that there is. */
static struct lvx_hls_media *main_media(struct hls *h)
{
	if (h->leader && is_alive(h->leader))
		return h->leader;
	for (size_t i = 0; i < h->n_media; i++) {
		if (is_alive(&h->media[i]))
			return &h->media[i];
	}
	return NULL;
}

static size_t sound_entries(
	struct hls *h, struct lvx_hls_group_entry *out, char titles[MEDIA_MAX][64])
{
	size_t n = 0;
	bool have_default = false;
	for (size_t i = 0; i < h->n_media; i++) {
		struct lvx_hls_media *m = &h->media[i];
		if (m->track.media != LVX_UNIT_AUDIO || !is_alive(m))
			continue;
		bool describes = m->track.role == LVX_UNIT_DESCRIBES_VIDEO;
		snprintf(titles[n], 64, "%s%s%s%s", describes ? "Audio description" : "Programme",
			m->track.language[0] ? " (" : "", m->track.language,
			m->track.language[0] ? ")" : "");
		for (size_t k = 0; k < n; k++) { /* names are unique in a group */
			if (strcmp(titles[k], titles[n]) == 0)
				snprintf(titles[n] + strlen(titles[n]), 64 - strlen(titles[n]),
					" %zu", n + 1);
		}
		out[n] = (struct lvx_hls_group_entry){
			.rendition = &m->rendition,
			.title = titles[n],
			.language = m->track.language,
			.is_default = !describes && !have_default,
			.characteristics =
				describes ? "public.accessibility.describes-video" : NULL,
			.channels = m->sample->format->channels,
		};
		have_default = have_default || out[n].is_default;
		n++;
	}
	return n;
}

/* All codecs that there are, each once. False: one has no name. */
static bool all_codecs(struct hls *h, struct lvx_text *t)
{
	for (size_t i = 0; i < h->n_media; i++) {
		const struct lvx_hls_media *m = &h->media[i];
		if (!is_alive(m))
			continue;
		if (!m->codec[0])
			return false;
		if (!t->data || !lvx_list_has(t->data, m->codec))
			lvx_text_printf(t, "%s%s", t->len ? "," : "", m->codec);
	}
	return t->len > 0;
}

static void write_master(struct hls *h, bool *ok)
{
	struct lvx_hls_group_entry entries[MEDIA_MAX + LVX_HUB_LANES];
	char titles[MEDIA_MAX][64];
	struct lvx_text codecs = {0};
	struct lvx_error err;
	struct lvx_hls_media *main = main_media(h);
	if (!main)
		return; /* of text alone there is no master playlist */
	size_t n = sound_entries(h, entries, titles);
	for (size_t i = 0; i < lvx_hls_lanes_count(h->lanes); i++) {
		struct lvx_hls_lane *lane = lvx_hls_lanes_get(h->lanes, i);
		entries[n++] = (struct lvx_hls_group_entry){
			.rendition = &lane->rendition,
			.subtitles = true,
			.title = lane->title,
			.language = lane->language,
			.characteristics = lane->characteristics,
		};
	}
	bool pictures = main->track.media == LVX_UNIT_VIDEO;
	struct lvx_hls_master m = {
		.main = &main->rendition,
		.bandwidth = h->bandwidth,
		.codecs = all_codecs(h, &codecs) ? codecs.data : NULL,
		.pictures = pictures ? main->sample->format : NULL,
		.entries = entries,
		.n_entries = n,
	};
	lvx_text_clear(&h->text);
	lvx_hls_master(&h->text, &m, lvx_hls_dir_folder(h->dir));
	bool same = h->master.len == h->text.len && h->text.len > 0 &&
		    memcmp(h->master.data, h->text.data, h->text.len) == 0;
	if (!same && lvx_hls_dir_write_master(h->dir, h->text.data, h->text.len, &err) != LVX_OK) {
		lvx_outlet_trouble(h->host, "%s", err.msg);
		*ok = false;
	} else if (!same) {
		bool first = h->master.len == 0;
		lvx_text_clear(&h->master);
		lvx_text_add(&h->master, h->text.data, h->text.len);
		if (first)
			lvx_log_info("stream %s: hls in %s", lvx_hub_id(lvx_outlet_stream(h->host)),
				lvx_hls_dir_path(h->dir));
		if (first && h->window_us > 0)
			lvx_hls_dir_remove_others(h->dir);
	}
	lvx_text_finish(&codecs);
}

/* True: all of it is on the disk. */
static bool write_lists(struct hls *h)
{
	bool ok = true;
	for (size_t i = 0; i < h->n_media; i++) {
		if (is_alive(&h->media[i]))
			write_playlist(h, &h->media[i].rendition, &ok);
	}
	for (size_t i = 0; i < lvx_hls_lanes_count(h->lanes); i++)
		write_playlist(h, &lvx_hls_lanes_get(h->lanes, i)->rendition, &ok);
	write_master(h, &ok);
	return ok;
}

static void remove_files(struct hls *h, uint64_t number)
{
	for (size_t i = 0; i < h->n_media; i++) {
		lvx_text_clear(&h->name);
		lvx_hls_segment_name(&h->name, &h->media[i].rendition, number);
		lvx_hls_dir_remove(h->dir, h->name.data);
	}
	for (size_t i = 0; i < lvx_hls_lanes_count(h->lanes); i++) {
		lvx_text_clear(&h->name);
		lvx_hls_segment_name(&h->name, &lvx_hls_lanes_get(h->lanes, i)->rendition, number);
		lvx_hls_dir_remove(h->dir, h->name.data);
	}
}

/* What has left the window goes; its files later, as players may still be about to fetch them. */
static void expire(struct hls *h, int64_t end_us)
{
	struct lvx_hls_list *l = &h->list;
	while (h->window_us > 0 && l->n > LEAST &&
		end_us - l->segments[1].start_us >= h->window_us) {
		if (h->n_gone == h->gone_cap) {
			h->gone_cap = h->gone_cap ? 2 * h->gone_cap : 16;
			h->gone = realloc(h->gone, h->gone_cap * sizeof(*h->gone));
			if (!h->gone)
				abort();
		}
		h->gone[h->n_gone++] = (struct gone){l->segments[0].number, l->segments[0].end_us};
		lvx_hls_list_drop(l);
	}
}

static void remove_gone(struct hls *h, int64_t end_us)
{
	int64_t linger_us = h->window_us < LINGER_US ? h->window_us : LINGER_US;
	size_t n = 0;
	while (n < h->n_gone && end_us - h->gone[n].end_us > h->window_us + linger_us)
		remove_files(h, h->gone[n++].number);
	h->n_gone -= n;
	memmove(h->gone, h->gone + n, h->n_gone * sizeof(*h->gone));
}

static bool write_text(struct hls *h, const struct lvx_hls_segment *s)
{
	struct lvx_error err;
	bool ok = true;
	for (size_t i = 0; i < lvx_hls_lanes_count(h->lanes); i++) {
		struct lvx_hls_lane *lane = lvx_hls_lanes_get(h->lanes, i);
		if (lane->rendition.first > s->number)
			continue;
		lvx_text_clear(&h->text);
		lvx_text_clear(&h->name);
		lvx_hls_text_segment(
			lane->text, &h->text, s->start_us, s->end_us, LVX_HLS_SHIFT_US);
		lvx_hls_segment_name(&h->name, &lane->rendition, s->number);
		if (ok && lvx_hls_dir_write(h->dir, h->name.data, h->text.data, h->text.len,
				  &err) != LVX_OK) {
			lvx_outlet_trouble(h->host, "%s", err.msg);
			ok = false;
		}
	}
	return ok;
}

static void note_bandwidth(struct hls *h, const struct pending *p)
{
	uint64_t sound = 0, pictures = 0;
	for (size_t i = 0; i < h->n_media; i++) {
		bool is_sound = h->media[i].track.media == LVX_UNIT_AUDIO;
		uint64_t *most = is_sound ? &sound : &pictures;
		*most = p->bytes[i] > *most ? p->bytes[i] : *most;
	}
	uint64_t us = (uint64_t)(p->segment.end_us - p->segment.start_us);
	uint64_t bits = (sound + pictures) * 8000000 / (us ? us : 1);
	/* Rounded up, or the master playlist would change with every segment. */
	if (bits > h->bandwidth)
		h->bandwidth = (bits + bits / 8) / 10000 * 10000 + 10000;
}

/* The first that waits goes into the playlists, or, where the disk failed, nowhere. */
static void publish(struct hls *h)
{
	struct pending p = h->pending[0];
	struct lvx_hls_segment *s = &p.segment;
	h->n_pending--;
	memmove(h->pending, h->pending + 1, h->n_pending * sizeof(p));
	if (!write_text(h, s) || p.failed) {
		remove_files(h, s->number);
		h->broken = h->list.n > 0 || h->list.sequence > 0;
		return;
	}
	s->discontinuity = s->discontinuity || h->broken;
	h->broken = false;
	if (h->wall_us == 0 || s->discontinuity)
		h->wall_us = h->start_wall_us;
	s->wall_us = h->wall_us ? h->wall_us + s->start_us : 0;
	note_bandwidth(h, &p);
	lvx_hls_list_add(&h->list, s);
	expire(h, s->end_us);
	if (write_lists(h)) {
		remove_gone(h, s->end_us);
		if (!h->hopeless)
			lvx_outlet_well(h->host, "written again");
	}
}

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

/* Makes what can be made of those that wait; all: everything. */
static void advance(struct hls *h, bool all)
{
	int64_t now_us = lvx_now_us();
	for (size_t i = 0; i < h->n_media; i++) {
		struct lvx_hls_media *m = &h->media[i];
		for (size_t k = 0; k < h->n_pending && !m->dead; k++) {
			struct pending *p = &h->pending[k];
			if (p->segment.number <= m->filled ||
				p->segment.number < m->rendition.first)
				continue;
			bool late = h->live ? now_us - p->ended_us > LATE_US
					    : h->n_pending > PENDING_MAX / 2;
			if (!all && !late && !lvx_hls_media_ready(m, &p->segment))
				break;
			fill(h, m, p);
		}
	}
	while (h->n_pending > 0) {
		const struct pending *p = &h->pending[0];
		bool made = true;
		for (size_t i = 0; i < h->n_media; i++)
			made = made &&
			       (h->media[i].dead || h->media[i].filled >= p->segment.number ||
				       h->media[i].rendition.first > p->segment.number);
		bool whole = h->known_us >= p->segment.end_us;
		bool waited = h->n_pending > PENDING_MAX / 2 ||
			      (h->live && now_us - p->ended_us > WAIT_US + h->hold_us);
		if (!all && (!made || !(whole || waited)))
			break;
		publish(h);
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
	if (h->leader && !h->leader->dead)
		fill(h, h->leader, p);
}

/* ---- tracks ---- */

/* Is the track one of those that are passed on: the first pictures, and all sound? */
static bool is_wanted(const struct lvx_unit_track *tracks, size_t i)
{
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
	struct lvx_hls_media *m = &h->media[h->n_media];
	*m = (struct lvx_hls_media){.track = *t};
	tidy_language(&m->track, lvx_hub_language(lvx_outlet_stream(h->host)));
	m->rendition.media = (int)h->n_media;
	m->rendition.first = h->next_number;
	snprintf(m->rendition.name, sizeof(m->rendition.name), "%s",
		t->media == LVX_UNIT_VIDEO            ? "video"
		: t->role == LVX_UNIT_DESCRIBES_VIDEO ? "audio-description"
						      : "audio");
	for (size_t i = 0; i < h->n_media; i++) {
		if (strcmp(h->media[i].rendition.name, m->rendition.name) == 0)
			snprintf(m->rendition.name + strlen(m->rendition.name), 8, "-%zu",
				h->n_media + 1);
	}
	h->of_track[track] = (int)h->n_media++;
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
	bool whole = h->n_early > 0;
	for (size_t i = 0; i < n; i++)
		whole = whole && (!is_wanted(tracks, i) || first_of(h, i));
	if (h->n_early == 0)
		return all || h->heard_us > TEXT_ONLY_US;
	return whole || all || h->n_early == EARLY_MAX ||
	       lvx_now_us() - h->first_unit_us > BEGIN_US;
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
		if (m && (!h->leader || (better && h->leader->track.media == LVX_UNIT_AUDIO)))
			h->leader = m;
	}
	if (h->leader)
		h->leader->leads = true;
	else if (!h->hopeless)
		lvx_outlet_trouble(h->host, "the stream has neither pictures nor sound that could "
					    "be passed on");
	if (!h->leader) {
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
	const struct lvx_unit *last = h->leader->n > 0 ? h->leader->queue[h->leader->n - 1] : NULL;
	if ((h->lost || (last && last->format != unit->format)) &&
		lvx_hls_cutter_break(&h->cutter, &cut))
		end_segment(h, &cut);
	h->lost = false;
	bool taken = lvx_hls_cutter_put(&h->cutter, unit, &cut, &ended);
	if (ended)
		end_segment(h, &cut);
	if (taken)
		lvx_hls_media_put(h->leader, unit);
}

static void put(struct hls *h, const struct lvx_unit *unit)
{
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	struct lvx_hls_media *m = NULL;
	size_t bytes = 0;
	for (size_t i = 0; i < h->n_media; i++)
		bytes += h->media[i].bytes;
	if (bytes + unit->len > QUEUE_BYTES_MAX) {
		lvx_outlet_count_lost(h->host, 1);
		h->lost = true;
		return;
	}
	if (h->of_track[unit->track] >= 0)
		m = &h->media[h->of_track[unit->track]];
	if (m == h->leader && m) {
		lead(h, unit);
		return;
	}
	/* Sound that came later: a further language, a description. */
	if (!m && h->of_track[unit->track] == -1 && h->leader && unit->media == LVX_UNIT_AUDIO &&
		h->n_early == 0) {
		size_t n = lvx_units_tracks(lvx_outlet_units(h->host), tracks);
		if (unit->track < n)
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
	lvx_hls_lanes_event(h->lanes, event, next_to_write(h));
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
	while (h->begun && !h->leader && lvx_hls_cutter_clock(&h->cutter, h->heard_us, &cut))
		end_segment(h, &cut);
}

static void on_tick(void *self, const struct lvx_hub_info *info)
{
	struct hls *h = self;
	h->live = info->stream.start_mono_us != 0;
	h->heard_us = info->stream.heard_us;
	h->start_wall_us = info->stream.start_wall_us;
	lvx_hls_lanes_make(h->lanes, info->lanes, next_to_write(h));
	h->known_us = lvx_hls_lanes_time(h->lanes, h->heard_us, next_to_write(h));
	if (!h->begun && can_begin(h, false))
		begin(h);
	cut_by_clock(h);
	advance(h, false);
}

static void on_end(void *self)
{
	struct hls *h = self;
	struct lvx_hls_cut cut;
	struct lvx_hub_info info;
	lvx_hub_get_info(lvx_outlet_stream(h->host), &info);
	h->heard_us = info.stream.heard_us;
	lvx_hls_lanes_finish(h->lanes, next_to_write(h));
	h->known_us = INT64_MAX;
	if (!h->begun && can_begin(h, true))
		begin(h);
	cut_by_clock(h);
	if (lvx_hls_cutter_break(&h->cutter, &cut)) {
		/* Sound may go on a little longer than the pictures. */
		for (size_t i = 0; i < h->n_media; i++) {
			const struct lvx_hls_media *m = &h->media[i];
			if (m->n > 0 && m->newest_us >= cut.end_us)
				cut.end_us = m->newest_us + 1;
		}
		end_segment(h, &cut);
	}
	advance(h, true);
	h->list.ended = true;
	if (h->list.n > 0)
		write_lists(h);
}

static void destroy(void *self)
{
	struct hls *h = self;
	if (!h)
		return;
	for (size_t i = 0; i < h->n_early; i++)
		lvx_unit_unref(h->early[i]);
	for (size_t i = 0; i < h->n_media; i++)
		lvx_hls_media_finish(&h->media[i]);
	lvx_hls_lanes_destroy(h->lanes);
	lvx_hls_dir_close(h->dir);
	lvx_hls_list_finish(&h->list);
	lvx_text_finish(&h->master);
	lvx_text_finish(&h->text);
	lvx_text_finish(&h->name);
	free(h->gone);
	free(h);
}

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
	h->window_us = (int64_t)window_s * 1000000;
	h->hold_us = s->hls_hold_s > 0 ? (int64_t)(s->hls_hold_s * 1e6) : 0;
	h->next_number = 1;
	h->list.event = window_s == 0;
	h->list.target_s = segment_s;
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++)
		h->of_track[i] = -1;
	lvx_hls_cutter_init(&h->cutter, (int64_t)segment_s * 1000000);
	enum lvx_status st =
		lvx_hls_dir_open(&h->dir, s->hls, lvx_hub_id(stream), lvx_hub_epoch(stream), err);
	if (st != LVX_OK) {
		free(h);
		return st;
	}
	h->lanes = lvx_hls_lanes_create(stream, h->hold_us);
	lvx_hub_note_hold(stream, h->hold_us);
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
