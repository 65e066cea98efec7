/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/ts_describe.h"

#include <stdlib.h>
#include <string.h>

#include <libavutil/bswap.h>
#include <libavutil/crc.h>

enum {
	PACKET = 188,
	HEADER = 4,
	PES_MAX = 6 + 65535,
	FADES = 64,                      /* units that the muxer may hold back */
	EXTENSION = 1 + 16,              /* of a PES header: flags, private data */
	ISO_639 = 0x0a,
	DVB_EXTENSION = 0x7f,
	SUPPLEMENTARY_AUDIO = 0x06,
	/* mix_type 1 is a whole mix; editorial_classification 1 audio description; the other two
	 * bits are reserved, and say that a language follows. */
	WHOLE_MIX = 0x80,
	AUDIO_DESCRIPTION = 0x01 << 2 | 0x02,
	HAS_LANGUAGE = 0x01,
};

struct lvx_ts_describe {
	unsigned mix_pid, voice_pid; /* 0: none */
	uint8_t packet[PACKET];      /* [n_packet] */
	size_t n_packet;

	/* The voice's. */
	uint8_t pes[PES_MAX + EXTENSION]; /* [n_pes] of pes_len: 0: nothing is gathered */
	size_t n_pes, pes_len;
	bool random_access;
	uint8_t counter;
	struct {
		int64_t pts;
		uint8_t fade;
	} fades[FADES]; /* a ring */
	uint64_t n_fades;
	int64_t shift; /* from those times to the PES packets' */
	bool shift_known;
};

struct lvx_ts_describe *lvx_ts_describe_create(void)
{
	struct lvx_ts_describe *t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	return t;
}

void lvx_ts_describe_destroy(struct lvx_ts_describe *t)
{
	free(t);
}

void lvx_ts_describe_track(struct lvx_ts_describe *t, unsigned pid, enum lvx_unit_role role)
{
	if (role == LVX_UNIT_DESCRIBES_VIDEO)
		t->mix_pid = pid;
	else if (role == LVX_UNIT_DESCRIPTION)
		t->voice_pid = pid;
}

void lvx_ts_describe_fade(struct lvx_ts_describe *t, int64_t pts, uint8_t fade)
{
	t->fades[t->n_fades % FADES].pts = pts;
	t->fades[t->n_fades++ % FADES].fade = fade;
}

static void add(struct lvx_text *out, const uint8_t *data, size_t n)
{
	lvx_text_add(out, (const char *)data, n);
}

static unsigned u12(const uint8_t *p)
{
	return (p[0] & 0x0fu) << 8 | p[1];
}

static void set_u12(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)((p[0] & 0xf0) | value >> 8);
	p[1] = (uint8_t)value;
}

/* ---- the PMT ---- */

/* The descriptor for a track whose other descriptors are those; returns its length. */
static size_t make_descriptor(uint8_t out[7], bool whole, const uint8_t *info, size_t n)
{
	out[0] = DVB_EXTENSION;
	out[1] = 2;
	out[2] = SUPPLEMENTARY_AUDIO;
	out[3] = AUDIO_DESCRIPTION | (whole ? WHOLE_MIX : 0);
	for (size_t i = 0; i + 2 <= n; i += 2 + info[i + 1]) {
		if (info[i] != ISO_639 || info[i + 1] < 4 || i + 6 > n)
			continue;
		out[3] |= HAS_LANGUAGE;
		out[1] = 5;
		memcpy(out + 4, info + i + 2, 3);
		break;
	}
	return 2 + (size_t)out[1];
}

/* A section that is whole in one packet; any other stays as it is. */
static void patch_pmt(const struct lvx_ts_describe *t, uint8_t *p)
{
	uint8_t made[PACKET];
	const uint8_t *section = p + HEADER + 1;
	bool whole = (p[1] & 0x40) && (p[3] & 0x30) == 0x10 && p[HEADER] == 0 && section[0] == 2;
	size_t len = whole ? 3 + u12(section + 1) : 0;
	if (len < 16 || HEADER + 1 + len > PACKET)
		return;
	const uint8_t *end = section + len - 4, *es = section + 12 + u12(section + 10);
	if (es > end)
		return;
	memset(made, 0xff, sizeof(made));
	size_t n = (size_t)(es - p);
	memcpy(made, p, n);
	while (es < end) {
		size_t n_info = end - es >= 5 ? u12(es + 3) : PACKET;
		if (5 + n_info > (size_t)(end - es))
			return;
		unsigned pid = (es[1] & 0x1fu) << 8 | es[2];
		uint8_t descriptor[7];
		size_t k = 0;
		if (pid == t->mix_pid || pid == t->voice_pid)
			k = make_descriptor(descriptor, pid == t->mix_pid, es + 5, n_info);
		if (n + 5 + n_info + k + 4 > PACKET)
			return;
		memcpy(made + n, es, 5 + n_info);
		memcpy(made + n + 5 + n_info, descriptor, k);
		set_u12(made + n + 3, n_info + k);
		n += 5 + n_info + k;
		es += 5 + n_info;
	}
	uint8_t *made_section = made + HEADER + 1;
	size_t made_len = n - HEADER - 1;
	set_u12(made_section + 1, made_len + 4 - 3);
	uint32_t crc = av_bswap32(
		av_crc(av_crc_get_table(AV_CRC_32_IEEE), UINT32_MAX, made_section, made_len));
	for (int i = 0; i < 4; i++)
		made[n++] = (uint8_t)(crc >> (24 - 8 * i));
	memcpy(p, made, PACKET);
}

/* ---- the voice's PES packets ---- */

static int64_t pts_of(const uint8_t *p)
{
	return (int64_t)(p[0] & 0x0e) << 29 | (int64_t)p[1] << 22 | (int64_t)(p[2] & 0xfe) << 14 |
	       (int64_t)p[3] << 7 | p[4] >> 1;
}

/* Of the unit that the PES packet begins with. The muxer shifts all times alike. */
static uint8_t fade_at(struct lvx_ts_describe *t, int64_t pts)
{
	uint64_t first = t->n_fades > FADES ? t->n_fades - FADES : 0;
	const int64_t wrap = INT64_C(1) << 33;
	uint8_t fade = 0;
	if (first == t->n_fades)
		return 0;
	if (!t->shift_known)
		t->shift = pts - t->fades[first % FADES].pts;
	t->shift_known = true;
	for (uint64_t i = first; i < t->n_fades; i++) {
		/* To half a ms: the times were in whole µs. */
		int64_t after = (pts - t->shift - t->fades[i % FADES].pts + 45) % wrap;
		after += after < 0 ? wrap : 0;
		if (after < wrap / 2)
			fade = t->fades[i % FADES].fade;
	}
	return fade;
}

static void extend(struct lvx_ts_describe *t)
{
	/* Its own length, "DTGAD", version 1; fade and pan, of which 0 is in front; reserved. */
	uint8_t made[EXTENSION] = {0x8e, 0xf8, 'D', 'T', 'G', 'A', 'D', 0x31, 0, 0, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff};
	uint8_t *p = t->pes;
	size_t at = t->n_pes >= 9 ? 9 + (size_t)p[8] : 0, len = t->n_pes - 6 + EXTENSION;
	bool known = at >= 14 && at <= t->n_pes && (p[6] & 0xc0) == 0x80 && (p[7] & 0x80) &&
		     !(p[7] & 0x01);
	if (!known || p[8] > UINT8_MAX - EXTENSION || len > UINT16_MAX)
		return;
	made[8] = fade_at(t, pts_of(p + 9));
	memmove(p + at + EXTENSION, p + at, t->n_pes - at);
	memcpy(p + at, made, EXTENSION);
	t->n_pes += EXTENSION;
	p[4] = (uint8_t)(len >> 8);
	p[5] = (uint8_t)len;
	p[7] |= 0x01;
	p[8] += EXTENSION;
}

/* What has been gathered, into packets again. */
static void send_pes(struct lvx_ts_describe *t, struct lvx_text *out)
{
	size_t at = 0;
	while (at < t->n_pes) {
		uint8_t p[PACKET] = {0x47, (uint8_t)((at == 0 ? 0x40 : 0) | t->voice_pid >> 8),
			(uint8_t)t->voice_pid, (uint8_t)(0x10 | t->counter++ % 16)};
		bool flagged = at == 0 && t->random_access;
		size_t room = PACKET - HEADER - (flagged ? 2 : 0), left = t->n_pes - at;
		size_t n = left < room ? left : room, field = PACKET - HEADER - n;
		if (field > 0) {
			p[3] |= 0x20;
			p[HEADER] = (uint8_t)(field - 1);
			if (field > 1)
				p[HEADER + 1] = flagged ? 0x40 : 0;
			if (field > 2)
				memset(p + HEADER + 2, 0xff, field - 2);
		}
		memcpy(p + PACKET - n, t->pes + at, n);
		add(out, p, PACKET);
		at += n;
	}
	t->n_pes = t->pes_len = 0;
}

static void put_voice(struct lvx_ts_describe *t, struct lvx_text *out, const uint8_t *p)
{
	size_t from = HEADER + ((p[3] & 0x20) ? 1 + (size_t)p[HEADER] : 0);
	if (!(p[3] & 0x10) || from > PACKET)
		return; /* there is nothing in it */
	size_t n = PACKET - from;
	if (p[1] & 0x40) {
		send_pes(t, out); /* it was cut off */
		t->random_access = from > HEADER + 1 && (p[HEADER + 1] & 0x40);
		if (n >= 6)
			t->pes_len = 6 + ((size_t)p[from + 4] << 8 | p[from + 5]);
		if (t->pes_len == 6) /* its length is not said: to the next one's beginning */
			t->pes_len = PES_MAX;
	} else if (t->pes_len == 0) {
		return; /* the beginning is missing */
	}
	n = n < t->pes_len - t->n_pes ? n : t->pes_len - t->n_pes;
	memcpy(t->pes + t->n_pes, p + from, n);
	t->n_pes += n;
	if (t->n_pes == t->pes_len) {
		extend(t);
		send_pes(t, out);
	}
}

/* ---- packets ---- */

static void put_packet(struct lvx_ts_describe *t, struct lvx_text *out)
{
	uint8_t *p = t->packet;
	unsigned pid = (p[1] & 0x1fu) << 8 | p[2];
	if (p[0] == 0x47 && t->voice_pid && pid == t->voice_pid) {
		put_voice(t, out, p);
		return;
	}
	if (p[0] == 0x47 && pid == LVX_TS_PMT_PID)
		patch_pmt(t, p);
	add(out, p, PACKET);
}

void lvx_ts_describe_put(
	struct lvx_ts_describe *t, struct lvx_text *out, const uint8_t *data, size_t n)
{
	while (n > 0) {
		size_t take = PACKET - t->n_packet < n ? PACKET - t->n_packet : n;
		memcpy(t->packet + t->n_packet, data, take);
		t->n_packet += take;
		data += take;
		n -= take;
		if (t->n_packet < PACKET)
			return;
		put_packet(t, out);
		t->n_packet = 0;
	}
}
