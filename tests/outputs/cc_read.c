/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/outputs/cc_read.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <libzvbi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exported by libzvbi 0.2.41, but not declared: its complete decoder of CEA-608. */
typedef struct _vbi_cc608_decoder zvbi_cc608;
zvbi_cc608 *_vbi_cc608_decoder_new(void);
void _vbi_cc608_decoder_delete(zvbi_cc608 *cd);
vbi_bool _vbi_cc608_decoder_feed(
	zvbi_cc608 *cd, const uint8_t buffer[2], unsigned line, double time, int64_t pts);
vbi_bool _vbi_cc608_decoder_get_page(zvbi_cc608 *cd, vbi_page *pg, vbi_pgno channel, vbi_bool pad);

struct text {
	char *data;
	size_t len, cap;
};

struct cc_read {
	int field;
	AVCodecContext *codec;
	AVPacket *packet;
	zvbi_cc608 *zvbi;
	uint8_t last[2];
	char screen[2048]; /* zvbi's */
	struct text ffmpeg, seen;
	uint64_t errors;
};

static void add(struct text *t, const char *s, size_t n)
{
	if (t->len + n + 1 > t->cap) {
		t->cap = 2 * (t->len + n + 1);
		t->data = realloc(t->data, t->cap);
		if (!t->data)
			abort();
	}
	memcpy(t->data + t->len, s, n);
	t->len += n;
	t->data[t->len] = '\0';
}

struct cc_read *cc_read_open(int field)
{
	struct cc_read *r = calloc(1, sizeof(*r));
	if (!r)
		abort();
	r->field = field;
	const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_EIA_608);
	r->codec = avcodec_alloc_context3(codec);
	r->packet = av_packet_alloc();
	r->zvbi = _vbi_cc608_decoder_new();
	if (!codec || !r->codec || !r->packet || !r->zvbi)
		abort();
	r->codec->pkt_timebase = (AVRational){1, 1000000};
	av_opt_set_int(r->codec->priv_data, "data_field", field - 1, 0);
	if (avcodec_open2(r->codec, codec, NULL) < 0)
		abort();
	add(&r->ffmpeg, "", 0);
	add(&r->seen, "", 0);
	return r;
}

void cc_read_close(struct cc_read *r)
{
	avcodec_free_context(&r->codec);
	av_packet_free(&r->packet);
	_vbi_cc608_decoder_delete(r->zvbi);
	free(r->ffmpeg.data);
	free(r->seen.data);
	free(r);
}

/* ---- FFmpeg ---- */

/* One row of an ASS event, without its overrides. */
static void add_row(struct text *t, const char *from, const char *to)
{
	char row[512];
	size_t n = 0;
	for (const char *p = from; p < to && n < sizeof(row);) {
		if (*p == '{' && p + 1 < to && p[1] == '\\') {
			while (p < to && *p != '}')
				p++;
			p += p < to;
		} else if (*p == '\\' && p + 1 < to && p[1] == 'h') {
			row[n++] = ' ';
			p += 2;
		} else if (*p == '\\' && p + 1 < to && (p[1] == '{' || p[1] == '}')) {
			p++;
			row[n++] = *p++;
		} else {
			row[n++] = *p++;
		}
	}
	size_t begin = 0;
	while (n > 0 && row[n - 1] == ' ')
		n--;
	while (begin < n && row[begin] == ' ')
		begin++;
	if (begin < n) {
		add(t, row + begin, n - begin);
		add(t, "\n", 1);
	}
}

static void add_ass(struct text *t, const char *ass)
{
	for (int commas = 0; commas < 8 && *ass; ass++)
		commas += *ass == ',';
	while (*ass) {
		const char *end = strstr(ass, "\\N");
		if (!end)
			end = ass + strlen(ass);
		add_row(t, ass, end);
		ass = *end ? end + 2 : end;
	}
}

static void feed_ffmpeg(struct cc_read *r, const uint8_t pair[2], int64_t pts_us)
{
	AVSubtitle sub;
	int got = 0;
	if (av_new_packet(r->packet, 3) < 0)
		abort();
	r->packet->data[0] = (uint8_t)(0xfc | (r->field - 1));
	memcpy(r->packet->data + 1, pair, 2);
	r->packet->pts = r->packet->dts = pts_us;
	if (avcodec_decode_subtitle2(r->codec, &sub, &got, r->packet) < 0)
		r->errors++;
	else if (got) {
		for (unsigned i = 0; i < sub.num_rects; i++)
			add_ass(&r->ffmpeg, sub.rects[i]->ass);
		avsubtitle_free(&sub);
	}
	av_packet_unref(r->packet);
}

/* ---- zvbi ---- */

static size_t utf8(char *out, unsigned u)
{
	if (u < 0x80) {
		out[0] = (char)u;
		return 1;
	}
	if (u < 0x800) {
		out[0] = (char)(0xc0 | u >> 6);
		out[1] = (char)(0x80 | (u & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | u >> 12);
	out[1] = (char)(0x80 | (u >> 6 & 0x3f));
	out[2] = (char)(0x80 | (u & 0x3f));
	return 3;
}

static void read_screen(struct cc_read *r)
{
	vbi_page page;
	struct text t = {0};
	add(&t, "", 0);
	if (!_vbi_cc608_decoder_get_page(r->zvbi, &page, r->field == 2 ? 3 : 1, 0))
		abort();
	for (int y = 0; y < page.rows; y++) {
		char row[1024];
		size_t n = 0;
		for (int x = 0; x < page.columns; x++) {
			vbi_char c = page.text[y * page.columns + x];
			n += utf8(row + n, c.opacity == VBI_TRANSPARENT_SPACE ? ' ' : c.unicode);
		}
		add_row(&t, row, row + n);
	}
	snprintf(r->screen, sizeof(r->screen), "%s", t.data);
	free(t.data);
}

static void feed_zvbi(struct cc_read *r, const uint8_t pair[2], int64_t pts_us)
{
	/* Before a screen goes: CR, EDM, EOC. */
	uint8_t a = pair[0] & 0x7f, b = pair[1] & 0x7f;
	bool goes = a == (r->field == 2 ? 0x15 : 0x14) && (b == 0x2c || b == 0x2d || b == 0x2f) &&
		    memcmp(pair, r->last, 2) != 0;
	if (goes) {
		read_screen(r);
		add(&r->seen, r->screen, strlen(r->screen));
	}
	memcpy(r->last, pair, 2);
	if (!_vbi_cc608_decoder_feed(r->zvbi, pair, r->field == 2 ? 284 : 21, (double)pts_us / 1e6,
		    pts_us * 9 / 100))
		r->errors++;
}

void cc_read_pair(struct cc_read *r, const uint8_t pair[2], int64_t pts_us)
{
	feed_ffmpeg(r, pair, pts_us);
	feed_zvbi(r, pair, pts_us);
}

const char *cc_read_ffmpeg(struct cc_read *r)
{
	return r->ffmpeg.data;
}

const char *cc_read_zvbi(struct cc_read *r)
{
	return r->seen.data;
}

uint64_t cc_read_errors(const struct cc_read *r)
{
	return r->errors;
}

void cc_read_normalise(char *text)
{
	static const char *const same[][2] = {
		{"’", "'"},
		{"‘", "'"},
		{"´", "'"},
		{"■", "█"},
		{"─", "-"},
		{"—", "-"},
		{"·", "."},
		{"•", "."},
		{"│", "|"},
		{"¦", "|"},
	};
	char *out = text;
	while (*text) {
		size_t i, n = sizeof(same) / sizeof(same[0]);
		for (i = 0; i < n && strncmp(text, same[i][0], strlen(same[i][0])) != 0; i++)
			;
		if (i == n) {
			*out++ = *text++;
			continue;
		}
		/* Never longer than what it replaces. */
		size_t len = strlen(same[i][1]);
		memcpy(out, same[i][1], len);
		out += len;
		text += strlen(same[i][0]);
	}
	*out = '\0';
}
