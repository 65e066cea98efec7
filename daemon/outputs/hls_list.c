/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the list ---- */

void lvx_hls_list_finish(struct lvx_hls_list *l)
{
	free(l->segments);
	*l = (struct lvx_hls_list){0};
}

void lvx_hls_list_add(struct lvx_hls_list *l, const struct lvx_hls_segment *segment)
{
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 32;
		l->segments = realloc(l->segments, l->cap * sizeof(*l->segments));
		if (!l->segments)
			abort();
	}
	l->segments[l->n++] = *segment;
	int whole_s = (int)((segment->end_us - segment->start_us + 500000) / 1000000);
	l->target_s = whole_s > l->target_s ? whole_s : l->target_s;
}

void lvx_hls_list_drop(struct lvx_hls_list *l)
{
	l->n_breaks += l->segments[0].discontinuity;
	l->sequence++;
	l->n--;
	memmove(l->segments, l->segments + 1, l->n * sizeof(*l->segments));
}

/* ---- names ---- */

void lvx_hls_segment_name(struct lvx_text *t, const struct lvx_hls_rendition *r, uint64_t number)
{
	lvx_text_printf(t, "%s-%" PRIu64 ".%s", r->name, number, r->media >= 0 ? "m4s" : "vtt");
}

void lvx_hls_init_name(struct lvx_text *t, const struct lvx_hls_rendition *r, unsigned init)
{
	lvx_text_printf(t, "%s-init-%u.mp4", r->name, init);
}

/* ---- media playlists ---- */

static void add_time_of_day(struct lvx_text *t, int64_t wall_us)
{
	time_t second = (time_t)(wall_us / 1000000);
	struct tm tm;
	char text[32];
	gmtime_r(&second, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	lvx_text_printf(
		t, "#EXT-X-PROGRAM-DATE-TIME:%s.%03dZ\n", text, (int)(wall_us / 1000 % 1000));
}

void lvx_hls_playlist(
	struct lvx_text *t, const struct lvx_hls_list *l, const struct lvx_hls_rendition *r)
{
	uint64_t sequence = l->sequence, n_breaks = l->n_breaks;
	size_t i = 0;
	unsigned init = 0;
	for (; i < l->n && l->segments[i].number < r->first; i++) {
		n_breaks += l->segments[i].discontinuity;
		sequence++;
	}
	lvx_text_printf(t,
		"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:%d\n"
		"#EXT-X-MEDIA-SEQUENCE:%" PRIu64 "\n",
		l->target_s, sequence);
	if (n_breaks > 0)
		lvx_text_printf(t, "#EXT-X-DISCONTINUITY-SEQUENCE:%" PRIu64 "\n", n_breaks);
	if (l->event)
		lvx_text_printf(t, "#EXT-X-PLAYLIST-TYPE:EVENT\n");
	for (; i < l->n; i++) {
		const struct lvx_hls_segment *s = &l->segments[i];
		if (s->discontinuity)
			lvx_text_printf(t, "#EXT-X-DISCONTINUITY\n");
		if (r->media >= 0 && s->init[r->media] && s->init[r->media] != init) {
			init = s->init[r->media];
			lvx_text_printf(t, "#EXT-X-MAP:URI=\"");
			lvx_hls_init_name(t, r, init);
			lvx_text_printf(t, "\"\n");
		}
		if (s->wall_us > 0)
			add_time_of_day(t, s->wall_us);
		if (r->media >= 0 && s->missing >> r->media & 1)
			lvx_text_printf(t, "#EXT-X-GAP\n");
		int64_t length_us = s->end_us - s->start_us;
		lvx_text_printf(t, "#EXTINF:%" PRId64 ".%06d,\n", length_us / 1000000,
			(int)(length_us % 1000000));
		lvx_hls_segment_name(t, r, s->number);
		lvx_text_printf(t, "\n");
	}
	if (l->ended)
		lvx_text_printf(t, "#EXT-X-ENDLIST\n");
}

/* ---- the master playlist ---- */

/* A quoted string has no quotes and no line ends in it. */
static void add_quoted(struct lvx_text *t, const char *name, const char *value)
{
	lvx_text_printf(t, ",%s=\"", name);
	for (; *value; value++) {
		bool fits = (unsigned char)*value >= ' ' && *value != '"' && *value != 0x7f;
		lvx_text_add(t, fits ? value : "_", 1);
	}
	lvx_text_add(t, "\"", 1);
}

static void add_entry(struct lvx_text *t, const struct lvx_hls_master *m,
	const struct lvx_hls_group_entry *e, const char *folder)
{
	lvx_text_printf(t, "#EXT-X-MEDIA:TYPE=%s,GROUP-ID=\"%s\"",
		e->subtitles ? "SUBTITLES" : "AUDIO", e->subtitles ? "text" : "sound");
	add_quoted(t, "NAME", e->title);
	if (e->language[0])
		add_quoted(t, "LANGUAGE", e->language);
	lvx_text_printf(t, ",DEFAULT=%s,AUTOSELECT=YES", e->is_default ? "YES" : "NO");
	if (e->characteristics)
		add_quoted(t, "CHARACTERISTICS", e->characteristics);
	if (e->channels > 0)
		lvx_text_printf(t, ",CHANNELS=\"%u\"", (unsigned)e->channels);
	/* Sound that everybody gets as the variant itself has no address of its own. */
	if (e->rendition != m->main)
		lvx_text_printf(t, ",URI=\"%s%s.m3u8\"", folder, e->rendition->name);
	lvx_text_printf(t, "\n");
}

void lvx_hls_master(struct lvx_text *t, const struct lvx_hls_master *m, const char *folder)
{
	bool sound = false, text = false;
	lvx_text_printf(t, "#EXTM3U\n#EXT-X-VERSION:7\n");
	for (size_t i = 0; i < m->n_entries; i++) {
		add_entry(t, m, &m->entries[i], folder);
		text = text || m->entries[i].subtitles;
		sound = sound || !m->entries[i].subtitles;
	}
	if (!m->main)
		return;
	lvx_text_printf(t, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu64, m->bandwidth);
	if (m->codecs)
		add_quoted(t, "CODECS", m->codecs);
	const struct lvx_unit_format *p = m->pictures;
	if (p && p->width > 0 && p->height > 0)
		lvx_text_printf(t, ",RESOLUTION=%ux%u", (unsigned)p->width, (unsigned)p->height);
	if (p && p->fps_num > 0 && p->fps_den > 0)
		lvx_text_printf(t, ",FRAME-RATE=%.3f", (double)p->fps_num / p->fps_den);
	if (sound)
		lvx_text_printf(t, ",AUDIO=\"sound\"");
	if (text)
		lvx_text_printf(t, ",SUBTITLES=\"text\"");
	lvx_text_printf(t, "\n%s%s.m3u8\n", folder, m->main->name);
}

/* ---- tokens ---- */

static void add_query(struct lvx_text *t, const char *token)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	lvx_text_printf(t, "?token=");
	for (; *token; token++) {
		if (strchr(plain, *token))
			lvx_text_add(t, token, 1);
		else
			lvx_text_printf(t, "%%%02X", (unsigned)(unsigned char)*token);
	}
}

void lvx_hls_add_token(struct lvx_text *t, const char *playlist, size_t len, const char *token)
{
	const char *end = playlist + len;
	while (playlist < end) {
		const char *line_end = memchr(playlist, '\n', (size_t)(end - playlist));
		size_t n = line_end ? (size_t)(line_end - playlist) : (size_t)(end - playlist);
		const char *uri = memmem(playlist, n, "URI=\"", 5);
		if (playlist[0] == '#' && uri) {
			const char *from = uri + 5;
			const char *quote = memchr(from, '"', n - (size_t)(from - playlist));
			size_t before = quote ? (size_t)(quote - playlist) : n;
			lvx_text_add(t, playlist, before);
			add_query(t, token);
			lvx_text_add(t, playlist + before, n - before);
		} else {
			lvx_text_add(t, playlist, n);
			if (n > 0 && playlist[0] != '#')
				add_query(t, token);
		}
		lvx_text_add(t, "\n", line_end != NULL);
		playlist += n + (line_end != NULL);
	}
}
