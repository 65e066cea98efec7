/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_day [HOURS]: roll-up captions of so many simulated hours (24) on both fields, in pictures:
 * ten seconds of H.264 with B-frames at 29.97 a second, again and again, each picture with its
 * captions through the embedder, decoded by libavcodec. What its decoder of CEA-608 and zvbi's
 * read there is compared with what they read of the same words without pictures, character for
 * character. Exits with 1 where something differs, or a decoder has found an error.
 */
#include "daemon/outputs/embed.h"
#include "tests/outputs/cc_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

enum { SPAN = 300 }; /* pictures of the clip */
#define PICTURE_US(n) ((int64_t)(n)*1001000 / 30)

static const char *const words[] = {"Guten", "Abend,", "schöne", "Grüße", "¿Qué", "tal,", "señor?",
	"Ça", "va", "très", "bien", "the", "quick", "brown", "fox", "it", "♪", "la", "“Zitat”",
	"x—y", "Щука", "über-groß", "Łódź", "100%", "don't", "we", "are."};

struct clip {
	AVPacket *packet[SPAN]; /* in the order of decoding */
	int64_t first_pts_us;   /* of the earliest */
	AVCodecContext *decoder;
};

struct side {
	struct lvx_cc608 *cc[2];
	struct cc_read *read[2];
};

static void die(const char *what)
{
	fprintf(stderr, "bench_day: %s\n", what);
	exit(1);
}

static void load(struct clip *c)
{
	char dir[] = "/tmp/bench_day.XXXXXX", path[64], command[400];
	AVFormatContext *f = NULL;
	if (!mkdtemp(dir))
		die("no folder in /tmp");
	snprintf(path, sizeof(path), "%s/in.ts", dir);
	snprintf(command, sizeof(command),
		"ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=64x64:r=30000/1001 -frames:v "
		"%d "
		"-c:v libx264 -preset ultrafast -bf 2 -g 30 -pix_fmt yuv420p %s",
		SPAN, path);
	if (system(command) != 0 || avformat_open_input(&f, path, NULL, NULL) < 0 ||
		avformat_find_stream_info(f, NULL) < 0)
		die("no clip");
	int n = 0;
	c->first_pts_us = INT64_MAX;
	AVPacket *p = av_packet_alloc();
	while (n < SPAN && av_read_frame(f, p) >= 0) {
		av_packet_rescale_ts(p, f->streams[0]->time_base, AV_TIME_BASE_Q);
		if (p->pts < c->first_pts_us)
			c->first_pts_us = p->pts;
		c->packet[n++] = p;
		p = av_packet_alloc();
	}
	av_packet_free(&p);
	c->decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
	avcodec_parameters_to_context(c->decoder, f->streams[0]->codecpar);
	c->decoder->thread_count = 1;
	if (n != SPAN || avcodec_open2(c->decoder, NULL, NULL) < 0)
		die("no clip");
	avformat_close_input(&f);
	unlink(path);
	rmdir(dir);
}

static void unload(struct clip *c)
{
	for (int i = 0; i < SPAN; i++)
		av_packet_free(&c->packet[i]);
	avcodec_free_context(&c->decoder);
}

static void open_side(struct side *s)
{
	for (int f = 0; f < 2; f++) {
		s->cc[f] = lvx_cc608_create(&(struct lvx_cc608_params){f + 1, 2 + f});
		s->read[f] = cc_read_open(f + 1);
	}
}

static void close_side(struct side *s)
{
	for (int f = 0; f < 2; f++) {
		lvx_cc608_destroy(s->cc[f]);
		cc_read_close(s->read[f]);
	}
}

/* The words of a picture's time, into both sides alike. */
static void speak(struct side sides[2], int64_t pts_us)
{
	static int64_t next_us[2];
	static uint64_t seed = 20;
	for (int f = 0; f < 2; f++) {
		while (next_us[f] <= pts_us) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			unsigned dice = (unsigned)(seed >> 33);
			const char *word = words[dice % (sizeof(words) / sizeof(words[0]))];
			lvx_cc608_word(sides[0].cc[f], word, next_us[f]);
			lvx_cc608_word(sides[1].cc[f], word, next_us[f]);
			/* Some 230 words a minute; now and then a pause that erases. */
			next_us[f] += dice / 64 % 80 == 0 ? 9000000 : 210000 + dice % 90000;
		}
	}
}

static uint64_t n_pictures;

static void decode(struct clip *c, const AVPacket *packet, struct side *s)
{
	AVFrame *frame = av_frame_alloc();
	if (avcodec_send_packet(c->decoder, packet) < 0)
		die("a picture was not decoded");
	while (avcodec_receive_frame(c->decoder, frame) == 0) {
		const AVFrameSideData *sd = av_frame_get_side_data(frame, AV_FRAME_DATA_A53_CC);
		for (size_t i = 0; sd && i + 3 <= sd->size; i += 3) {
			if (sd->data[i] & 4)
				cc_read_pair(
					s->read[sd->data[i] & 1], sd->data + i + 1, frame->pts);
		}
		n_pictures++;
		av_frame_unref(frame);
	}
	av_frame_free(&frame);
}

static void pass(struct clip *c, struct lvx_embed *e, int i, int64_t span_us, struct side *s)
{
	struct lvx_a53_cc cc;
	struct lvx_text au = {0};
	AVPacket *out = av_packet_alloc();
	const AVPacket *in = c->packet[i];
	lvx_embed_take(e, &cc);
	if (lvx_a53_insert(&au, LVX_A53_H264, in->data, (size_t)in->size, &cc) != LVX_OK ||
		av_new_packet(out, (int)au.len) < 0)
		die("no captions could be put in");
	memcpy(out->data, au.data, au.len);
	out->pts = in->pts - c->first_pts_us + span_us;
	out->dts = in->dts - c->first_pts_us + span_us;
	decode(c, out, s);
	av_packet_free(&out);
	lvx_text_finish(&au);
}

/* The same pairs, or those of the same words, straight into the decoders. */
static void without_pictures(struct side *s, int64_t pts_us)
{
	for (int f = 0; f < 2; f++) {
		uint8_t pair[2];
		lvx_cc608_next(s->cc[f], pts_us, pair);
		cc_read_pair(s->read[f], pair, pts_us);
	}
}

static bool same(struct side sides[2], int f)
{
	struct cc_read *a = sides[0].read[f], *b = sides[1].read[f];
	char *ffmpeg = strdup(cc_read_ffmpeg(a)), *zvbi = strdup(cc_read_zvbi(a));
	bool pictures =
		strcmp(ffmpeg, cc_read_ffmpeg(b)) == 0 && strcmp(zvbi, cc_read_zvbi(b)) == 0;
	cc_read_normalise(ffmpeg);
	cc_read_normalise(zvbi);
	bool decoders = strcmp(ffmpeg, zvbi) == 0;
	struct lvx_cc608_stats stats;
	lvx_cc608_get_stats(sides[0].cc[f], &stats);
	printf("field %d: %" PRIu64
	       " pairs with something in them, %zu bytes read by FFmpeg, %zu by "
	       "zvbi; %s without pictures, %s each other; errors %" PRIu64
	       ", words dropped %" PRIu64 "\n",
		f + 1, stats.pairs, strlen(ffmpeg), strlen(zvbi),
		pictures ? "the same as" : "NOT THE SAME AS",
		decoders ? "the same as" : "NOT THE SAME AS", cc_read_errors(a), stats.dropped);
	bool ok = pictures && decoders && cc_read_errors(a) == 0 && stats.dropped == 0 &&
		  strlen(zvbi) > 0;
	free(ffmpeg);
	free(zvbi);
	return ok;
}

int main(int argc, char **argv)
{
	double hours = argc > 1 ? atof(argv[1]) : 24;
	struct clip clip;
	struct side sides[2]; /* in pictures, and without */
	struct timespec begin, end;
	load(&clip);
	open_side(&sides[0]);
	open_side(&sides[1]);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	struct lvx_embed *e = lvx_embed_create(sides[0].cc);
	int64_t n_spans = (int64_t)(hours * 3600e6 / (double)PICTURE_US(SPAN) + 1);
	int64_t put = 0, taken = 0, shown = 0, all = n_spans * SPAN;
	while (taken < all) {
		if (put < all) {
			const AVPacket *p = clip.packet[put % SPAN];
			int64_t at_us = PICTURE_US(put / SPAN * SPAN) - clip.first_pts_us;
			/* Words are there long before their pictures, on both sides. */
			speak(sides, p->dts + at_us + 2000000);
			lvx_embed_put(e, p->pts + at_us, p->dts + at_us);
			put++;
		}
		for (; taken < all && lvx_embed_ready(e, put == all); taken++) {
			pass(&clip, e, (int)(taken % SPAN), PICTURE_US(taken / SPAN * SPAN),
				&sides[0]);
			without_pictures(&sides[1], PICTURE_US(shown++));
		}
	}
	decode(&clip, NULL, &sides[0]);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.1f hours in %.0f s: %" PRIu64 " pictures\n", (double)PICTURE_US(all) / 3600e6,
		(double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec),
		n_pictures);
	bool ok = n_pictures == (uint64_t)all;
	for (int f = 0; f < 2; f++)
		ok = same(sides, f) && ok;
	lvx_embed_destroy(e);
	close_side(&sides[0]);
	close_side(&sides[1]);
	unload(&clip);
	return !ok;
}
