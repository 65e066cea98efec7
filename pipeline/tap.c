/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/tap.h"

#include "base/log.h"

#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <stdlib.h>
#include <string.h>

enum {
	HELD_MAX = 256,
	JUMPED_MAX = 64,
	HELD_BYTES_MAX = 16 << 20,
	REORDER_MAX = 4, /* pictures; encoders use 2, their deepest pyramids 3 */
	SETS_MAX = 1 << 16,
};
/* Times are a stranger's: beyond 36,000 years they are not known. */
static const int64_t time_max_us = INT64_C(1) << 60;
static const int64_t jump_back_us = 1000000, jump_ahead_us = 5000000;

struct medium {
	int track; /* -1: none */
	struct lvx_unit_format given, format;
	uint8_t *given_extra, *extra; /* what the two point to */
	AVBSFContext *filter;         /* NULL: packets are as they should be */

	struct lvx_tap_packet held[HELD_MAX]; /* a ring, oldest first; their data are ours */
	unsigned first, n;
	size_t bytes;
	bool jumped; /* those held wait for a new mapping */

	bool mapped, broken;
	int64_t offset_us;
	bool have_src, have_dts;
	int64_t src_dts_us; /* of the last packet that came */
	int64_t dts_us;     /* of the last unit that went */
	int64_t duration_us;
	int64_t order[REORDER_MAX + 1]; /* least pts, where there is no dts */
	bool have_order;
};

struct lvx_tap {
	struct lvx_units *units;
	struct medium media[LVX_MEDIA];
	AVPacket *packet[LVX_MEDIA];
};

enum lvx_status lvx_tap_create(struct lvx_tap **out, struct lvx_units *units, struct lvx_error *err)
{
	struct lvx_tap *tap = calloc(1, sizeof(*tap));
	if (!tap)
		return lvx_fail(err, LVX_ENOMEM, "tap: out of memory");
	tap->units = lvx_units_ref(units);
	for (int i = 0; i < LVX_MEDIA; i++) {
		tap->media[i].track = -1;
		tap->packet[i] = av_packet_alloc();
	}
	*out = tap;
	if (tap->packet[0] && tap->packet[1])
		return LVX_OK;
	*out = NULL;
	lvx_tap_destroy(tap);
	return lvx_fail(err, LVX_ENOMEM, "tap: out of memory");
}

static void drop_held(struct medium *m)
{
	free((uint8_t *)(uintptr_t)m->held[m->first].data); /* made by hold */
	m->bytes -= m->held[m->first].len;
	m->first = (m->first + 1) % HELD_MAX;
	m->n--;
}

void lvx_tap_destroy(struct lvx_tap *tap)
{
	if (!tap)
		return;
	for (int i = 0; i < LVX_MEDIA; i++) {
		struct medium *m = &tap->media[i];
		while (m->n > 0)
			drop_held(m);
		av_bsf_free(&m->filter);
		free(m->given_extra);
		free(m->extra);
		av_packet_free(&tap->packet[i]);
	}
	lvx_units_unref(tap->units);
	free(tap);
}

bool lvx_tap_wanted(const struct lvx_tap *tap)
{
	return tap && lvx_units_wanted(tap->units);
}

void lvx_tap_add(struct lvx_tap *tap, enum lvx_medium medium, const char *language)
{
	struct lvx_unit_track t = {
		.media = medium == LVX_SOUND ? LVX_UNIT_AUDIO : LVX_UNIT_VIDEO,
		.role = LVX_UNIT_MAIN,
	};
	strncpy(t.language, language ? language : "", sizeof(t.language) - 1);
	if (tap->media[medium].track < 0)
		tap->media[medium].track = lvx_units_add_track(tap->units, &t);
}

/* ---- form ---- */

static bool is_codec(const struct lvx_unit_format *f, const char *name)
{
	return strcmp(f->codec, name) == 0;
}

static void set_extra(struct medium *m, const uint8_t *data, size_t n)
{
	uint8_t *copy = n > 0 && n <= SETS_MAX ? malloc(n) : NULL;
	if (copy)
		memcpy(copy, data, n);
	free(m->extra);
	m->extra = copy;
	m->format.extra = copy;
	m->format.n_extra = copy ? n : 0;
}

/* What makes units.h's form of it; NULL: it has that form. */
static const char *filter_for(const struct lvx_unit_format *f)
{
	bool record = f->n_extra > 6 && f->extra[0] == 1; /* avcC and hvcC begin so */
	if (is_codec(f, "h264") && record)
		return "h264_mp4toannexb";
	if (is_codec(f, "hevc") && record)
		return "hevc_mp4toannexb";
	if (is_codec(f, "aac") && f->n_extra == 0)
		return "aac_adtstoasc";
	return NULL;
}

static bool open_filter(struct medium *m, const char *name)
{
	const AVBitStreamFilter *filter = av_bsf_get_by_name(name);
	const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(m->given.codec);
	if (!filter || !codec || av_bsf_alloc(filter, &m->filter) < 0)
		return false;
	AVCodecParameters *par = m->filter->par_in;
	par->codec_id = codec->id;
	par->codec_type = codec->type;
	if (m->given.n_extra > 0) {
		par->extradata = av_mallocz(m->given.n_extra + AV_INPUT_BUFFER_PADDING_SIZE);
		if (!par->extradata)
			return false;
		memcpy(par->extradata, m->given.extra, m->given.n_extra);
		par->extradata_size = (int)m->given.n_extra;
	}
	m->filter->time_base_in = AV_TIME_BASE_Q;
	if (av_bsf_init(m->filter) < 0)
		return false;
	par = m->filter->par_out;
	set_extra(m, par->extradata, par->extradata_size > 0 ? (size_t)par->extradata_size : 0);
	return true;
}

void lvx_tap_format(struct lvx_tap *tap, enum lvx_medium medium, const struct lvx_unit_format *f)
{
	struct medium *m = &tap->media[medium];
	size_t n = f->extra && f->n_extra <= SETS_MAX ? f->n_extra : 0;
	if (strcmp(m->given.codec, f->codec) == 0 && m->given.sample_rate == f->sample_rate &&
		m->given.channels == f->channels && m->given.width == f->width &&
		m->given.height == f->height && m->given.fps_num == f->fps_num &&
		m->given.fps_den == f->fps_den && m->given.n_extra == n &&
		(n == 0 || memcmp(m->given.extra, f->extra, n) == 0))
		return;
	free(m->given_extra);
	m->given_extra = n ? malloc(n) : NULL;
	n = m->given_extra ? n : 0;
	if (n)
		memcpy(m->given_extra, f->extra, n);
	m->given = *f;
	m->given.extra = m->given_extra;
	m->given.n_extra = n;
	m->format = m->given;
	set_extra(m, m->given_extra, n);
	av_bsf_free(&m->filter);
	const char *name = filter_for(&m->given);
	if (name && !open_filter(m, name)) {
		lvx_log_warn("%s cannot be passed on: its parameters are broken", f->codec);
		av_bsf_free(&m->filter);
		m->format.codec[0] = '\0'; /* nothing can be done with it */
	}
	m->have_order = false;
}

/* Where the next Annex B start code ends; n: there is none. */
static size_t after_start_code(const uint8_t *p, size_t n, size_t from)
{
	for (size_t i = from; i + 3 <= n; i++) {
		if (p[i] == 0 && p[i + 1] == 0 && p[i + 2] == 1)
			return i + 3;
	}
	return n;
}

/* Are there parameter sets before the first slice? */
static bool has_sets(const uint8_t *p, size_t n, bool hevc)
{
	for (size_t at = after_start_code(p, n, 0); at < n; at = after_start_code(p, n, at)) {
		unsigned type = hevc ? p[at] >> 1 & 0x3f : p[at] & 0x1f;
		if (type == (hevc ? 33 : 7))
			return true;
		if (hevc ? type < 32 : type >= 1 && type <= 5)
			return false;
	}
	return false;
}

/* Key frames without parameter sets get them. False: no memory. */
static bool add_sets(struct medium *m, AVPacket *p)
{
	bool hevc = is_codec(&m->format, "hevc");
	if ((!hevc && !is_codec(&m->format, "h264")) || m->format.n_extra == 0 ||
		has_sets(p->data, (size_t)p->size, hevc))
		return true;
	AVPacket *q = av_packet_alloc();
	int n = (int)m->format.n_extra;
	if (!q || av_new_packet(q, n + p->size) < 0) {
		av_packet_free(&q);
		return false;
	}
	memcpy(q->data, m->format.extra, (size_t)n);
	memcpy(q->data + n, p->data, (size_t)p->size);
	av_packet_unref(p);
	av_packet_move_ref(p, q);
	av_packet_free(&q);
	return true;
}

/* p: the packet in the form of units.h. False: it is broken. */
static bool reform(struct medium *m, const struct lvx_tap_packet *given, AVPacket *p)
{
	if (!m->format.codec[0] || given->len > LVX_UNIT_BYTES_MAX ||
		av_new_packet(p, (int)given->len) < 0)
		return false;
	memcpy(p->data, given->data, given->len);
	if (m->filter) {
		int r = av_bsf_send_packet(m->filter, p);
		if (r >= 0)
			r = av_bsf_receive_packet(m->filter, p);
		if (r < 0) {
			av_packet_unref(p);
			return false;
		}
		size_t n;
		const uint8_t *extra = av_packet_get_side_data(p, AV_PKT_DATA_NEW_EXTRADATA, &n);
		if (extra)
			set_extra(m, extra, n);
	}
	return !given->keyframe || add_sets(m, p);
}

/* ---- times ---- */

/* Pictures in decoding order without dts: the least pts of the last few. */
static int64_t make_dts(struct medium *m, int64_t pts_us)
{
	bool reorders = is_codec(&m->format, "h264") || is_codec(&m->format, "hevc");
	int depth = reorders ? REORDER_MAX : 0;
	int64_t step_us = m->duration_us > 0 ? m->duration_us : 40000;
	if (!m->have_order) {
		for (int i = 0; i <= depth; i++)
			m->order[i] = pts_us + (i - depth - 1) * step_us;
		m->have_order = true;
	}
	m->order[0] = pts_us;
	for (int i = 0; i < depth && m->order[i] > m->order[i + 1]; i++) {
		int64_t t = m->order[i];
		m->order[i] = m->order[i + 1];
		m->order[i + 1] = t;
	}
	return m->order[0];
}

/* Fills in what the container does not say. False: there is no telling when it is. */
static bool complete(struct medium *m, enum lvx_medium medium, struct lvx_tap_packet *p)
{
	if (p->pts_us < -time_max_us || p->pts_us > time_max_us)
		p->pts_us = INT64_MIN;
	if (p->dts_us < -time_max_us || p->dts_us > time_max_us)
		p->dts_us = INT64_MIN;
	if (p->duration_us > 0 && p->duration_us < 10000000)
		m->duration_us = p->duration_us;
	if (p->pts_us == INT64_MIN && p->dts_us == INT64_MIN) {
		if (!m->have_src)
			return false;
		p->dts_us = m->src_dts_us + (m->duration_us > 0 ? m->duration_us : 20000);
	}
	if (p->pts_us == INT64_MIN)
		p->pts_us = p->dts_us;
	if (medium == LVX_SOUND)
		p->dts_us = p->pts_us;
	else if (p->dts_us == INT64_MIN)
		p->dts_us = make_dts(m, p->pts_us);
	return true;
}

static void send(struct lvx_tap *tap, enum lvx_medium medium, const struct lvx_tap_packet *given)
{
	struct medium *m = &tap->media[medium];
	AVPacket *p = tap->packet[medium];
	if (!reform(m, given, p)) {
		av_packet_unref(p);
		m->broken = true;
		return;
	}
	struct lvx_unit unit = {
		.track = (uint32_t)m->track,
		.format = &m->format,
		.pts_us = given->pts_us + m->offset_us,
		.dts_us = given->dts_us + m->offset_us,
		.duration_us = given->duration_us,
		.keyframe = given->keyframe,
		.discontinuity = m->broken,
		.len = (size_t)p->size,
		.data = p->data,
	};
	/* Jitter of the container is no discontinuity. */
	if (m->have_dts && !m->broken && unit.dts_us <= m->dts_us &&
		unit.dts_us > m->dts_us - jump_back_us)
		unit.dts_us = m->dts_us + 1;
	m->have_dts = true;
	m->dts_us = unit.dts_us;
	m->broken = false;
	lvx_units_put(tap->units, &unit);
	av_packet_unref(p);
}

/* Copies it behind those that wait. */
static void hold(struct medium *m, const struct lvx_tap_packet *p)
{
	uint8_t *data = malloc(p->len + 1);
	if (!data) {
		m->broken = true;
		return;
	}
	memcpy(data, p->data, p->len);
	struct lvx_tap_packet *held = &m->held[(m->first + m->n++) % HELD_MAX];
	*held = *p;
	held->data = data;
	m->bytes += p->len;
}

static bool is_jump(const struct medium *m, const struct lvx_tap_packet *p)
{
	return m->have_src && (p->dts_us < m->src_dts_us - jump_back_us ||
				      p->dts_us > m->src_dts_us + jump_ahead_us);
}

void lvx_tap_put(struct lvx_tap *tap, enum lvx_medium medium, const struct lvx_tap_packet *packet,
	bool known, int64_t offset_us, bool last)
{
	struct medium *m = &tap->media[medium];
	if (m->track < 0)
		return;
	known = known && offset_us > -time_max_us && offset_us < time_max_us;
	if (known && (!m->mapped || offset_us != m->offset_us)) {
		m->broken = m->broken || m->mapped;
		m->mapped = true;
		m->jumped = false;
		m->offset_us = offset_us;
	}
	struct lvx_tap_packet p;
	if (packet && packet->len > 0 && packet->len <= LVX_UNIT_BYTES_MAX) {
		p = *packet;
		if (!complete(m, medium, &p))
			return;
		/* What waited for a mapping and has it now goes by that one. */
		if (is_jump(m, &p)) {
			while (m->mapped && m->n > 0) {
				send(tap, medium, &m->held[m->first]);
				drop_held(m);
			}
			m->jumped = true;
			m->have_order = false;
		}
		m->have_src = true;
		m->src_dts_us = p.dts_us;
		if (m->n == 0 && m->mapped && !m->jumped)
			send(tap, medium, &p);
		else
			hold(m, &p);
	} else if (packet) {
		m->broken = true;
	}
	bool full =
		m->n == HELD_MAX || m->bytes > HELD_BYTES_MAX || (m->jumped && m->n > JUMPED_MAX);
	while (m->n > 0 && m->mapped && (!m->jumped || full || last)) {
		send(tap, medium, &m->held[m->first]);
		drop_held(m);
		if (m->n == 0)
			m->jumped = false;
	}
	if (m->n > 0 && full) { /* no one has told where they are */
		drop_held(m);
		m->broken = m->broken || m->have_dts;
	}
}

void lvx_tap_break(struct lvx_tap *tap)
{
	for (int i = 0; i < LVX_MEDIA; i++) {
		struct medium *m = &tap->media[i];
		while (m->n > 0)
			drop_held(m);
		m->broken = m->broken || m->have_dts;
		m->mapped = m->have_src = m->have_order = m->jumped = false;
	}
}
