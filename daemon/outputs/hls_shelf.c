/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_shelf.h"

#include "base/log.h"
#include "daemon/settings.h"

#include <stdlib.h>
#include <string.h>

enum {
	MEDIA_MAX = LVX_UNIT_TRACKS_MAX,
	LINGER_US = 60000000, /* files stay so long after their segment has left, or a window */
	LEAST = 3,            /* segments in a window, however short that is */
};

struct gone {
	uint64_t number;
	int64_t end_us;
};

struct lvx_hls_shelf {
	struct lvx_hls_dir *dir;
	struct lvx_hls_set *set;
	int64_t window_us; /* 0: all is kept */
	struct lvx_hls_list list;
	bool broken;       /* the next segment does not follow from the one before */
	struct gone *gone; /* [n_gone], whose files are still there */
	size_t n_gone, gone_cap;
	int64_t wall_us; /* of timeline 0, as the playlists have it */
	uint64_t bandwidth;
	struct lvx_text master;     /* as it is on the disk */
	struct lvx_text text, name; /* of the file that is being written */
	struct lvx_error *err;      /* of the call that is being made: its first error */
};

struct lvx_hls_shelf *lvx_hls_shelf_create(
	struct lvx_hls_dir *dir, struct lvx_hls_set *set, int64_t window_us, int segment_s)
{
	struct lvx_hls_shelf *h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	h->dir = dir;
	h->set = set;
	h->window_us = window_us;
	h->list.event = window_us == 0;
	h->list.target_s = segment_s;
	return h;
}

void lvx_hls_shelf_destroy(struct lvx_hls_shelf *h)
{
	if (!h)
		return;
	lvx_hls_list_finish(&h->list);
	lvx_text_finish(&h->master);
	lvx_text_finish(&h->text);
	lvx_text_finish(&h->name);
	free(h->gone);
	free(h);
}

/* True: h->text is on the disk as h->name. */
static bool write_file(struct lvx_hls_shelf *h)
{
	struct lvx_error err;
	if (lvx_hls_dir_write(h->dir, h->name.data, h->text.data, h->text.len, &err) == LVX_OK)
		return true;
	if (h->err->status == LVX_OK)
		*h->err = err;
	return false;
}

/* ---- playlists ---- */

static bool is_alive(const struct lvx_hls_media *m)
{
	return !m->dead && m->init > 0;
}

static void write_playlist(struct lvx_hls_shelf *h, const struct lvx_hls_rendition *r)
{
	if (h->list.n == 0 || h->list.segments[h->list.n - 1].number < r->first)
		return;
	lvx_text_clear(&h->text);
	lvx_text_clear(&h->name);
	lvx_hls_playlist(&h->text, &h->list, r);
	lvx_text_printf(&h->name, "%s.m3u8", r->name);
	write_file(h);
}

/* What everybody gets: the leading track, or another that there is. */
static struct lvx_hls_media *main_media(struct lvx_hls_shelf *h)
{
	if (h->set->leader && is_alive(h->set->leader))
		return h->set->leader;
	for (size_t i = 0; i < h->set->n_media; i++) {
		if (is_alive(&h->set->media[i]))
			return &h->set->media[i];
	}
	return NULL;
}

static size_t sound_entries(
	struct lvx_hls_shelf *h, struct lvx_hls_group_entry *out, char titles[MEDIA_MAX][64])
{
	size_t n = 0;
	bool have_default = false;
	for (size_t i = 0; i < h->set->n_media; i++) {
		struct lvx_hls_media *m = &h->set->media[i];
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
static bool all_codecs(struct lvx_hls_shelf *h, struct lvx_text *t)
{
	for (size_t i = 0; i < h->set->n_media; i++) {
		const struct lvx_hls_media *m = &h->set->media[i];
		if (!is_alive(m))
			continue;
		if (!m->codec[0])
			return false;
		if (!t->data || !lvx_list_has(t->data, m->codec))
			lvx_text_printf(t, "%s%s", t->len ? "," : "", m->codec);
	}
	return t->len > 0;
}

static void write_master(struct lvx_hls_shelf *h)
{
	struct lvx_hls_group_entry entries[MEDIA_MAX + LVX_HUB_LANES];
	char titles[MEDIA_MAX][64];
	struct lvx_text codecs = {0};
	struct lvx_error err;
	struct lvx_hls_media *main = main_media(h);
	if (!main)
		return; /* of text alone there is no master playlist */
	size_t n = sound_entries(h, entries, titles);
	for (size_t i = 0; i < lvx_hls_lanes_count(h->set->lanes); i++) {
		struct lvx_hls_lane *lane = lvx_hls_lanes_get(h->set->lanes, i);
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
	lvx_text_finish(&codecs);
	bool first = h->master.len == 0;
	if (!first && h->master.len == h->text.len &&
		memcmp(h->master.data, h->text.data, h->text.len) == 0)
		return;
	if (lvx_hls_dir_write_master(h->dir, h->text.data, h->text.len, &err) != LVX_OK) {
		if (h->err->status == LVX_OK)
			*h->err = err;
		return;
	}
	lvx_text_clear(&h->master);
	lvx_text_add(&h->master, h->text.data, h->text.len);
	if (first)
		lvx_log_info("hls: %s/master.m3u8", lvx_hls_dir_path(h->dir));
	if (first && h->window_us > 0)
		lvx_hls_dir_remove_others(h->dir);
}

static void write_lists(struct lvx_hls_shelf *h)
{
	for (size_t i = 0; i < h->set->n_media; i++) {
		if (is_alive(&h->set->media[i]))
			write_playlist(h, &h->set->media[i].rendition);
	}
	for (size_t i = 0; i < lvx_hls_lanes_count(h->set->lanes); i++)
		write_playlist(h, &lvx_hls_lanes_get(h->set->lanes, i)->rendition);
	write_master(h);
}

/* ---- segments ---- */

static void remove_files(struct lvx_hls_shelf *h, uint64_t number)
{
	for (size_t i = 0; i < h->set->n_media; i++) {
		lvx_text_clear(&h->name);
		lvx_hls_segment_name(&h->name, &h->set->media[i].rendition, number);
		lvx_hls_dir_remove(h->dir, h->name.data);
	}
	for (size_t i = 0; i < lvx_hls_lanes_count(h->set->lanes); i++) {
		lvx_text_clear(&h->name);
		lvx_hls_segment_name(
			&h->name, &lvx_hls_lanes_get(h->set->lanes, i)->rendition, number);
		lvx_hls_dir_remove(h->dir, h->name.data);
	}
}

/* What has left the window goes; its files later, as players may still be about to fetch them. */
static void expire(struct lvx_hls_shelf *h, int64_t end_us)
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

static void remove_gone(struct lvx_hls_shelf *h, int64_t end_us)
{
	int64_t linger_us = h->window_us < LINGER_US ? h->window_us : LINGER_US;
	size_t n = 0;
	while (n < h->n_gone && end_us - h->gone[n].end_us > h->window_us + linger_us)
		remove_files(h, h->gone[n++].number);
	if (n == 0)
		return;
	h->n_gone -= n;
	memmove(h->gone, h->gone + n, h->n_gone * sizeof(*h->gone));
}

static bool write_text(struct lvx_hls_shelf *h, const struct lvx_hls_segment *s)
{
	bool ok = true;
	for (size_t i = 0; i < lvx_hls_lanes_count(h->set->lanes); i++) {
		struct lvx_hls_lane *lane = lvx_hls_lanes_get(h->set->lanes, i);
		if (lane->rendition.first > s->number)
			continue;
		lvx_text_clear(&h->text);
		lvx_text_clear(&h->name);
		lvx_hls_text_segment(
			lane->text, &h->text, s->start_us, s->end_us, LVX_HLS_SHIFT_US);
		lvx_hls_segment_name(&h->name, &lane->rendition, s->number);
		ok = ok && write_file(h);
	}
	return ok;
}

static void note_bandwidth(
	struct lvx_hls_shelf *h, const struct lvx_hls_segment *s, const uint64_t *bytes)
{
	uint64_t sound = 0, pictures = 0;
	for (size_t i = 0; i < h->set->n_media; i++) {
		bool is_sound = h->set->media[i].track.media == LVX_UNIT_AUDIO;
		uint64_t *most = is_sound ? &sound : &pictures;
		*most = bytes[i] > *most ? bytes[i] : *most;
	}
	uint64_t us = (uint64_t)(s->end_us - s->start_us);
	uint64_t bits = (sound + pictures) * 8000000 / (us ? us : 1);
	/* Rounded up, or the master playlist would change with every segment. */
	if (bits > h->bandwidth)
		h->bandwidth = (bits + bits / 8) / 10000 * 10000 + 10000;
}

enum lvx_status lvx_hls_shelf_add(struct lvx_hls_shelf *h, const struct lvx_hls_segment *segment,
	const uint64_t bytes[MEDIA_MAX], int64_t start_wall_us, struct lvx_error *err)
{
	struct lvx_hls_segment s = *segment;
	*err = (struct lvx_error){0};
	h->err = err;
	if (!write_text(h, &s)) {
		lvx_hls_shelf_skip(h, &s);
		return err->status;
	}
	s.discontinuity = s.discontinuity || h->broken;
	h->broken = false;
	if (h->wall_us == 0 || s.discontinuity)
		h->wall_us = start_wall_us;
	s.wall_us = h->wall_us ? h->wall_us + s.start_us : 0;
	note_bandwidth(h, &s, bytes);
	lvx_hls_list_add(&h->list, &s);
	expire(h, s.end_us);
	write_lists(h);
	/* As long as an old playlist names them they stay. */
	if (err->status == LVX_OK)
		remove_gone(h, s.end_us);
	return err->status;
}

void lvx_hls_shelf_skip(struct lvx_hls_shelf *h, const struct lvx_hls_segment *s)
{
	for (size_t i = 0; i < lvx_hls_lanes_count(h->set->lanes); i++) {
		struct lvx_hls_lane *lane = lvx_hls_lanes_get(h->set->lanes, i);
		if (lane->rendition.first <= s->number)
			lvx_hls_text_skip(lane->text, s->end_us);
	}
	remove_files(h, s->number);
	h->broken = h->list.n > 0;
}

enum lvx_status lvx_hls_shelf_end(struct lvx_hls_shelf *h, struct lvx_error *err)
{
	*err = (struct lvx_error){0};
	h->err = err;
	h->list.ended = true;
	if (h->list.n > 0)
		write_lists(h);
	return err->status;
}
