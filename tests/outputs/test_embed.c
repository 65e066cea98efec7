/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captions into pictures that x264 and x265 made, with and without B-frames, at all rates;
 * FFmpeg decodes them: the captions are those, and the pictures are the same as before.
 */
#include "daemon/outputs/embed.h"
#include "tests/outputs/cc_read.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/adler32.h>

#include <cmocka.h>

enum { PACKETS_MAX = 2000, SECONDS = 8 };

static char dir[] = "/tmp/test_embed.XXXXXX";

struct packets {
	AVPacket *p[PACKETS_MAX]; /* in the order of decoding; µs */
	int n;
	AVCodecParameters *par;
};

static void read_file(struct packets *out, const char *path)
{
	AVFormatContext *f = NULL;
	*out = (struct packets){.n = 0};
	assert_int_equal(avformat_open_input(&f, path, NULL, NULL), 0);
	assert_true(avformat_find_stream_info(f, NULL) >= 0);
	out->par = avcodec_parameters_alloc();
	avcodec_parameters_copy(out->par, f->streams[0]->codecpar);
	AVPacket *p = av_packet_alloc();
	while (av_read_frame(f, p) >= 0) {
		av_packet_rescale_ts(p, f->streams[0]->time_base, AV_TIME_BASE_Q);
		assert_true(out->n < PACKETS_MAX);
		out->p[out->n++] = p;
		p = av_packet_alloc();
	}
	av_packet_free(&p);
	avformat_close_input(&f);
}

static void free_packets(struct packets *p)
{
	for (int i = 0; i < p->n; i++)
		av_packet_free(&p->p[i]);
	avcodec_parameters_free(&p->par);
}

static const char *const lines[] = {"Guten Abend, schöne Grüße aus Köln.", "¿Qué tal, señor?",
	"The quick brown fox jumps over the lazy dog.", "♪ la la ♪", "«Ça va très bien à l'hôtel»"};

static void fill(struct lvx_cc608 *cc[2])
{
	cc[0] = lvx_cc608_create(&(struct lvx_cc608_params){1, 2});
	cc[1] = lvx_cc608_create(&(struct lvx_cc608_params){2, 0});
	int64_t at_us = 0;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char line[128], *rest = NULL;
		snprintf(line, sizeof(line), "%s", lines[i]);
		for (char *w = strtok_r(line, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
			lvx_cc608_word(cc[0], w, at_us += 100000);
		lvx_cc608_cue(
			cc[1], lines[i], (int64_t)i * 1300000, (int64_t)i * 1300000 + 1200000);
	}
}

static enum lvx_a53_codec codec_of(const struct packets *p)
{
	return p->par->codec_id == AV_CODEC_ID_HEVC ? LVX_A53_H265 : LVX_A53_H264;
}

static void embed(struct packets *p, struct lvx_cc608 *cc[2])
{
	struct lvx_embed *e = lvx_embed_create(cc);
	int taken = 0;
	for (int i = 0; i <= p->n; i++) {
		if (i < p->n)
			lvx_embed_put(e, p->p[i]->pts, p->p[i]->dts);
		while (taken < p->n && lvx_embed_ready(e, i == p->n)) {
			struct lvx_a53_cc c;
			struct lvx_text au = {0};
			AVPacket *packet = p->p[taken++];
			lvx_embed_take(e, &c);
			assert_int_equal(lvx_a53_insert(&au, codec_of(p), packet->data,
						 (size_t)packet->size, &c),
				LVX_OK);
			AVPacket *with = av_packet_alloc();
			assert_int_equal(av_new_packet(with, (int)au.len), 0);
			memcpy(with->data, au.data, au.len);
			av_packet_copy_props(with, packet);
			av_packet_free(&p->p[taken - 1]);
			p->p[taken - 1] = with;
			lvx_text_finish(&au);
		}
	}
	assert_int_equal(taken, p->n);
	lvx_embed_destroy(e);
}

struct decoded {
	int n;
	uint32_t sums[PACKETS_MAX]; /* of the pictures */
	struct cc_read *read[2];
	int pairs[2]; /* idle ones too */
	int counts[32];
};

static void take_frame(struct decoded *d, const AVFrame *f)
{
	uint32_t sum = 1;
	for (int y = 0; y < f->height; y++)
		sum = av_adler32_update(sum, f->data[0] + y * f->linesize[0], (unsigned)f->width);
	d->sums[d->n++] = sum;
	const AVFrameSideData *sd = av_frame_get_side_data(f, AV_FRAME_DATA_A53_CC);
	if (!sd)
		return;
	d->counts[sd->size / 3]++;
	for (size_t i = 0; i + 3 <= sd->size; i += 3) {
		const uint8_t *t = sd->data + i;
		if ((t[0] & 4) == 0)
			continue;
		assert_true((t[0] & 3) < 2);
		int field = t[0] & 1;
		d->pairs[field]++;
		cc_read_pair(d->read[field], t + 1, f->pts);
	}
}

static void decode(struct decoded *d, const struct packets *p)
{
	*d = (struct decoded){.read = {cc_read_open(1), cc_read_open(2)}};
	const AVCodec *codec = avcodec_find_decoder(p->par->codec_id);
	AVCodecContext *ctx = avcodec_alloc_context3(codec);
	assert_int_equal(avcodec_parameters_to_context(ctx, p->par), 0);
	ctx->thread_count = 1;
	assert_int_equal(avcodec_open2(ctx, codec, NULL), 0);
	AVFrame *f = av_frame_alloc();
	for (int i = 0; i <= p->n; i++) {
		assert_int_equal(avcodec_send_packet(ctx, i < p->n ? p->p[i] : NULL), 0);
		while (avcodec_receive_frame(ctx, f) == 0) {
			take_frame(d, f);
			av_frame_unref(f);
		}
	}
	av_frame_free(&f);
	avcodec_free_context(&ctx);
}

static void close_decoded(struct decoded *d)
{
	cc_read_close(d->read[0]);
	cc_read_close(d->read[1]);
}

static void same(struct cc_read *a, struct cc_read *b)
{
	char *x = strdup(cc_read_ffmpeg(a)), *y = strdup(cc_read_zvbi(a));
	assert_string_equal(x, cc_read_ffmpeg(b));
	assert_string_equal(y, cc_read_zvbi(b));
	cc_read_normalise(x);
	cc_read_normalise(y);
	assert_string_equal(x, y);
	assert_int_equal(cc_read_errors(a), 0);
	free(x);
	free(y);
}

/* What the same captions are when they go to the decoders without pictures. */
static void reference(struct cc_read *read[2], int64_t until_us)
{
	struct lvx_cc608 *cc[2];
	fill(cc);
	for (int f = 0; f < 2; f++) {
		read[f] = cc_read_open(f + 1);
		for (int64_t t = 0; t < until_us; t += 33367) {
			uint8_t pair[2];
			lvx_cc608_next(cc[f], t, pair);
			cc_read_pair(read[f], pair, t);
		}
		lvx_cc608_destroy(cc[f]);
	}
}

struct programme {
	const char *codec, *rate;
	int b_frames;
	const char *more; /* options of ffmpeg */
	int count;        /* triplets of most pictures */
	double pairs;     /* a second and field */
};

static void make(const struct programme *w, const char *path)
{
	char command[640];
	snprintf(command, sizeof(command),
		"ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=160x96:r=%s:d=%d -c:v %s "
		"-preset veryfast -x265-params log-level=error -pix_fmt yuv420p -bf %d -g 50 %s %s",
		w->rate, SECONDS + 10, w->codec, w->b_frames, w->more, path);
	assert_int_equal(system(command), 0);
}

static void one(const struct programme *w)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/in.ts", dir);
	make(w, path);
	struct packets in;
	read_file(&in, path);
	bool reordered = false;
	for (int i = 1; i < in.n; i++)
		reordered |= in.p[i]->pts < in.p[i - 1]->pts;
	assert_int_equal(reordered, w->b_frames > 0);

	struct decoded before, after;
	struct lvx_cc608 *cc[2];
	struct cc_read *want[2];
	decode(&before, &in);
	/* Others' captions first: they must be gone. */
	struct lvx_cc608 *others[2] = {lvx_cc608_create(&(struct lvx_cc608_params){1, 2}), NULL};
	for (int i = 0; i < 50; i++)
		lvx_cc608_word(others[0], "wrong", i * 300000);
	embed(&in, others);
	lvx_cc608_destroy(others[0]);
	fill(cc);
	embed(&in, cc);
	decode(&after, &in);
	reference(want, (SECONDS + 10) * 1000000ll);
	print_message("# %s %s %s, %d B-frames: %d pictures, %d and %d pairs\n", w->codec, w->rate,
		w->more, w->b_frames, after.n, after.pairs[0], after.pairs[1]);
	assert_int_equal(after.n, before.n);
	assert_memory_equal(after.sums, before.sums, sizeof(after.sums));
	/* The rate is found after the first pictures. */
	if (w->count)
		assert_true(after.counts[w->count] > after.n - 5);
	for (int f = 0; f < 2; f++) {
		int n = (int)((SECONDS + 10) * w->pairs);
		assert_in_range(after.pairs[f], n - 8, n + 8);
		same(after.read[f], want[f]);
		assert_true(strlen(cc_read_zvbi(want[f])) > 100);
		cc_read_close(want[f]);
		lvx_cc608_destroy(cc[f]);
	}
	close_decoded(&before);
	close_decoded(&after);
	free_packets(&in);
}

static void test_h264(void **state)
{
	(void)state;
	static const struct programme all[] = {
		{"libx264", "15", 0, "", 31, 30},
		{"libx264", "24000/1001", 0, "", 25, 30 / 1.001},
		{"libx264", "24", 0, "", 25, 30},
		{"libx264", "25", 0, "", 24, 25},
		{"libx264", "30000/1001", 0, "", 20, 30 / 1.001},
		{"libx264", "30", 0, "", 20, 30},
		{"libx264", "50", 0, "", 12, 25},
		{"libx264", "60000/1001", 0, "", 10, 30 / 1.001},
		{"libx264", "60", 0, "", 10, 30},
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct programme w = all[i];
		one(&w);
		w.b_frames = 3;
		one(&w);
	}
}

/* Interlaced, several slices, access unit delimiters, pictures that are missing, and a rate that
 * varies between 8 and 60. */
static void test_odd(void **state)
{
	(void)state;
	static const struct programme all[] = {
		{"libx264", "30000/1001", 2, "-flags +ilme+ildct -x264-params tff=1", 20,
			30 / 1.001},
		{"libx264", "25", 2,
			"-x264-params aud=1:slices=4:nal-hrd=cbr:vbv-maxrate=300:"
			"vbv-bufsize=300:bitrate=300",
			24, 25},
		{"libx264", "30", 2, "-vf \"select='mod(n,7)-3'\" -vsync vfr", 20, 30},
		{"libx264", "60", 2,
			"-vf \"select='if(mod(floor(n/60),2),1,not(mod(n,7)))'\" -vsync vfr", 0,
			30},
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		one(&all[i]);
}

static void test_h265(void **state)
{
	(void)state;
	static const struct programme all[] = {
		{"libx265", "24000/1001", 3, "", 25, 30 / 1.001},
		{"libx265", "25", 0, "", 24, 25},
		{"libx265", "30", 4, "", 20, 30},
		{"libx265", "60000/1001", 4, "", 10, 30 / 1.001},
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		one(&all[i]);
}

/* Times in whole ms, as FLV and Matroska have them: the rate is found all the same. */
static void test_rates(void **state)
{
	(void)state;
	static const struct {
		double fps;
		int count, pairs; /* of 60 s and a field */
	} rates[] = {{10, 31, 1800}, {12.5, 31, 1500}, {15, 31, 1800}, {24 / 1.001, 25, 1798},
		{24, 25, 1800}, {25, 24, 1500}, {30 / 1.001, 20, 1798}, {30, 20, 1800},
		{50, 12, 1500}, {60 / 1.001, 10, 1798}, {60, 10, 1800}};
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct lvx_cc608 *none[2] = {NULL, NULL};
		struct lvx_embed *e = lvx_embed_create(none);
		int n[2] = {0}, most = 0, other_counts = 0;
		for (int k = 0; k < 60 * rates[i].fps; k++) {
			struct lvx_a53_cc cc;
			int64_t pts_us = 1000 * (int64_t)(k * 1000 / rates[i].fps + 0.5);
			lvx_embed_put(e, pts_us, pts_us);
			lvx_embed_take(e, &cc);
			other_counts += cc.count != rates[i].count;
			most = cc.n_pairs > most ? cc.n_pairs : most;
			for (int p = 0; p < cc.n_pairs; p++)
				n[cc.pairs[p].field]++;
		}
		print_message("# %.3f: %d and %d pairs, at most %d a picture\n", rates[i].fps, n[0],
			n[1], most);
		assert_in_range(other_counts, 0, 5);
		for (int f = 0; f < 2; f++)
			assert_in_range(n[f], rates[i].pairs - 4, rates[i].pairs + 4);
		lvx_embed_destroy(e);
	}
}

/* ---- the SEI itself ---- */

static const struct lvx_a53_cc some = {
	.count = 20, .n_pairs = 2, .pairs = {{0, {0x94, 0x2c}}, {1, {0x15, 0x2c}}}};

static void insert(struct lvx_text *out, const char *au, size_t len)
{
	assert_int_equal(
		lvx_a53_insert(out, LVX_A53_H264, (const uint8_t *)au, len, &some), LVX_OK);
}

/* Where the bytes are in the access unit, -1: nowhere. */
static long where(const struct lvx_text *t, const char *bytes, size_t n)
{
	const char *p = memmem(t->data, t->len, bytes, n);
	return p ? (long)(p - t->data) : -1;
}

static void test_place(void **state)
{
	(void)state;
	static const char au[] =
		"\0\0\0\1\x09\x10\0\0\1\x67\x42\0\0\1\x68\xce\0\0\1\x65\x88\x80\0\0\1\x65\x44";
	struct lvx_text out = {0}, twice = {0};
	insert(&out, au, sizeof(au) - 1);
	long sps = where(&out, "\0\0\0\1\x67", 5), pps = where(&out, "\0\0\0\1\x68", 5),
	     sei = where(&out,
		     "\0\0\0\1\x06\x04\x47\xb5\0\x31GA94\x03\xd4\xff\xfc\x94\x2c\xfd\x15\x2c\xfa",
		     24),
	     slice = where(&out, "\0\0\0\1\x65\x88", 6),
	     second = where(&out, "\0\0\0\1\x65\x44", 6);
	assert_int_equal(where(&out, "\0\0\0\1\x09\x10", 6), 0);
	assert_true(0 < sps && sps < pps && pps < sei && sei < slice && slice < second);
	insert(&twice, out.data, out.len);
	assert_int_equal(twice.len, out.len);
	assert_memory_equal(twice.data, out.data, out.len);
	lvx_text_finish(&out);
	lvx_text_finish(&twice);
}

/* One SEI with buffering period, captions, and recovery point: the captions go. */
static void test_other_messages(void **state)
{
	(void)state;
	static const char au[] = "\0\0\1\x06\x00\x05\x80\0\0\3\x01\x02"
				 "\x04\x0f\xb5\0\x31GA94\x03\xc1\xff\xfc\x20\x20\xff\0"
				 "\x06\x01\xc4\x80\0\0\1\x41\x9a";
	struct lvx_text out = {0};
	insert(&out, au, sizeof(au) - 1);
	assert_int_equal(
		where(&out, "\0\0\0\1\x06\x00\x05\x80\0\0\3\x01\x02\x06\x01\xc4\x80\0\0\0\1\x06",
			22),
		0);
	assert_true(where(&out, "\xfc\x20\x20", 3) < 0);
	/* Other registered data and bar data stay. */
	static const char afd[] = "\0\0\1\x06\x04\x08\xb5\0\x31"
				  "DTG1A\x80\0\0\1\x41\x9a";
	out.len = 0;
	insert(&out, afd, sizeof(afd) - 1);
	assert_true(where(&out, "DTG1", 4) > 0);
	lvx_text_finish(&out);
}

static void test_no_slice(void **state)
{
	(void)state;
	struct lvx_text out = {0};
	static const char *const bad[] = {"", "\0", "\0\0\1", "abc", "\0\0\1\x67\x42"};
	static const size_t len[] = {0, 1, 3, 3, 5};
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			lvx_a53_insert(&out, LVX_A53_H264, (const uint8_t *)bad[i], len[i], &some),
			LVX_EINVAL);
	lvx_text_finish(&out);
}

/* Pictures of which one comes when those after it have gone. */
static void test_late_picture(void **state)
{
	(void)state;
	struct lvx_cc608 *none[2] = {NULL, NULL};
	struct lvx_embed *e = lvx_embed_create(none);
	struct lvx_a53_cc cc;
	lvx_embed_put(e, 80000, 80000);
	assert_true(lvx_embed_ready(e, false));
	lvx_embed_take(e, &cc);
	assert_int_equal(cc.n_pairs, 1); /* nobody knows yet how far it is to the next */
	assert_int_equal(cc.pairs[0].field, 0);
	lvx_embed_put(e, 40000, 90000);
	assert_true(lvx_embed_ready(e, false));
	lvx_embed_take(e, &cc);
	assert_int_equal(cc.n_pairs, 0);
	/* One that waits for others, till there is no room for more. */
	lvx_embed_put(e, 100000000, 100000);
	for (int i = 1; i < LVX_EMBED_PICTURES; i++) {
		assert_false(lvx_embed_ready(e, false));
		assert_true(lvx_embed_ready(e, true));
		lvx_embed_put(e, 100000 + i, 100000 + i);
	}
	assert_true(lvx_embed_ready(e, false));
	lvx_embed_destroy(e);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	char path[64];
	snprintf(path, sizeof(path), "%s/in.ts", dir);
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_other_messages),
		cmocka_unit_test(test_no_slice),
		cmocka_unit_test(test_late_picture),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_h264),
		cmocka_unit_test(test_odd),
		cmocka_unit_test(test_h265),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
