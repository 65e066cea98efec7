/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_media.h"

#include "daemon/outputs/a53.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct lvx_hls_media *m, size_t n)
{
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		m->bytes -= m->queue[i]->len;
		lvx_unit_unref(m->queue[i]);
	}
	m->n -= n;
	memmove(m->queue, m->queue + n, m->n * sizeof(m->queue[0]));
}

void lvx_hls_media_finish(struct lvx_hls_media *m)
{
	drop(m, m->n);
	free(m->queue);
	lvx_fmp4_close(m->mux);
	lvx_unit_unref(m->sample);
	lvx_text_finish(&m->sets);
}

void lvx_hls_media_put(struct lvx_hls_media *m, const struct lvx_unit *unit)
{
	if (m->dead)
		return;
	if (m->n == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 256;
		m->queue = realloc(m->queue, m->cap * sizeof(m->queue[0]));
		if (!m->queue)
			abort();
	}
	m->queue[m->n++] = lvx_unit_ref(unit);
	m->bytes += unit->len;
	m->newest_us = unit->pts_us;
}

/* How many of the queue belong into the segment: of the leading track it is all that has come
 * before the cut, whatever the order of showing. */
static size_t belonging(const struct lvx_hls_media *m, const struct lvx_hls_segment *segment)
{
	size_t n = 0;
	if (m->leads)
		return m->n;
	while (n < m->n && m->queue[n]->pts_us < segment->end_us)
		n++;
	return n;
}

bool lvx_hls_media_ready(const struct lvx_hls_media *m, const struct lvx_hls_segment *segment)
{
	return m->leads || m->dead || (m->n > 0 && m->newest_us >= segment->end_us);
}

/* ---- the initialisation ---- */

static bool same_format(const struct lvx_unit_format *a, const struct lvx_unit_format *b)
{
	return a == b || (strcmp(a->codec, b->codec) == 0 && a->sample_rate == b->sample_rate &&
				 a->channels == b->channels && a->width == b->width &&
				 a->height == b->height && a->n_extra == b->n_extra &&
				 (a->n_extra == 0 || memcmp(a->extra, b->extra, a->n_extra) == 0));
}

static size_t start_code(const struct lvx_text *t, size_t from)
{
	const char *at = from < t->len ? memmem(t->data + from, t->len - from, "\0\0\1", 3) : NULL;
	return at ? (size_t)(at - t->data) : t->len;
}

/* Is each parameter set among those that are there? Key frames have them twice, or some of them
 * only now and then. */
static bool has_sets(const struct lvx_text *there, const struct lvx_text *sets)
{
	size_t at = start_code(sets, 0), next;
	for (; at < sets->len; at = next) {
		next = start_code(sets, at + 3);
		size_t n = next - at;
		while (n > 3 && sets->data[at + n - 1] == '\0')
			n--; /* the first zero of a start code of four bytes */
		if (!there->data || !memmem(there->data, there->len, sets->data + at, n))
			return false;
	}
	return true;
}

static enum lvx_status begin(
	struct lvx_hls_media *m, const struct lvx_unit *unit, struct lvx_error *err)
{
	struct lvx_text sets = {0};
	bool hevc = strcmp(unit->format->codec, "hevc") == 0;
	if (hevc || strcmp(unit->format->codec, "h264") == 0)
		lvx_a53_parameter_sets(
			&sets, hevc ? LVX_A53_H265 : LVX_A53_H264, unit->data, unit->len);
	if (m->mux && has_sets(&m->sets, &sets) && same_format(m->sample->format, unit->format)) {
		lvx_text_finish(&sets);
		return LVX_OK;
	}
	lvx_text_finish(&m->sets);
	m->sets = sets;
	lvx_unit_unref(m->sample);
	m->sample = lvx_unit_ref(unit);
	lvx_fmp4_close(m->mux);
	m->mux = NULL;
	m->init++;
	m->init_there = false;
	struct lvx_mux_track track = {
		.media = m->track.media,
		.role = m->track.role,
		.language = m->track.language,
		.format = unit->format,
		.extra = sets.len > 0 ? (const uint8_t *)sets.data : NULL,
		.n_extra = sets.len,
	};
	if (!lvx_codec_string(m->codec, unit->format, (const uint8_t *)sets.data, sets.len))
		m->codec[0] = '\0';
	return lvx_fmp4_open(&m->mux, &track, LVX_HLS_SHIFT_US, err);
}

/* ---- a segment ---- */

static int64_t duration_of(const struct lvx_hls_media *m, size_t i, int64_t end_us)
{
	const struct lvx_unit *unit = m->queue[i];
	int64_t us = 0;
	if (unit->media == LVX_UNIT_AUDIO && unit->duration_us > 0)
		return unit->duration_us;
	if (i + 1 < m->n)
		us = m->queue[i + 1]->dts_us - unit->dts_us;
	else if (unit->duration_us > 0)
		us = unit->duration_us;
	else if (i > 0)
		us = unit->dts_us - m->queue[i - 1]->dts_us;
	else
		us = end_us - unit->dts_us;
	return us > 0 ? us : 0;
}

static enum lvx_status write_files(struct lvx_hls_media *m, struct lvx_hls_segment *segment,
	struct lvx_hls_dir *dir, uint64_t *bytes, struct lvx_error *err)
{
	struct lvx_text name = {0};
	const struct lvx_text *data;
	enum lvx_status st = lvx_fmp4_cut(m->mux, &data, err);
	if (st == LVX_OK && !m->init_there) {
		const struct lvx_text *init = lvx_fmp4_init(m->mux);
		lvx_hls_init_name(&name, &m->rendition, m->init);
		st = lvx_hls_dir_write(dir, name.data, init->data, init->len, err);
		m->init_there = st == LVX_OK;
		lvx_text_clear(&name);
	}
	if (st == LVX_OK) {
		lvx_hls_segment_name(&name, &m->rendition, segment->number);
		st = lvx_hls_dir_write(dir, name.data, data->data, data->len, err);
		*bytes += data->len;
	}
	lvx_text_finish(&name);
	segment->init[m->rendition.media] = (uint16_t)m->init;
	return st;
}

enum lvx_status lvx_hls_media_fill(struct lvx_hls_media *m, struct lvx_hls_segment *segment,
	struct lvx_hls_dir *dir, uint64_t *bytes, struct lvx_error *err)
{
	size_t n = belonging(m, segment), first = 0, taken = 0;
	enum lvx_status st = LVX_OK;
	m->filled = segment->number;
	/* Sound from before the first segment, or from between two. */
	while (!m->leads && first < n && m->queue[first]->pts_us < segment->start_us)
		first++;
	if (first < n)
		st = begin(m, m->queue[first], err);
	for (size_t i = first; i < n && st == LVX_OK; i++) {
		if (same_format(m->sample->format, m->queue[i]->format))
			taken += lvx_fmp4_add(m->mux, m->queue[i],
					 duration_of(m, i, segment->end_us)) == LVX_OK;
	}
	drop(m, n);
	if (st == LVX_OK && taken > 0)
		st = write_files(m, segment, dir, bytes, err);
	else
		segment->missing |= 1u << m->rendition.media;
	if (st == LVX_OK || st == LVX_EIO)
		return st;
	m->dead = true;
	drop(m, m->n);
	segment->missing |= 1u << m->rendition.media;
	return LVX_EUNSUPPORTED;
}
