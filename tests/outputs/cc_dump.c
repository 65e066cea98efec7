/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cc_dump FILE|URL: the captions of the first pictures in it, as FFmpeg decodes them. Prints
 *
 *   pair FIELD BYTES PTS_US WALL_US   as each comes that is not idle
 *   rows DECODER FIELD TEXT           at the end: what the decoders (ffmpeg, zvbi) have shown
 *   pictures N ERRORS                 decoded, and what could not be
 */
#include "tests/outputs/cc_read.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static int is_stopped(void *user)
{
	(void)user;
	return stopped;
}

static int64_t wall_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void take(const AVFrame *f, AVRational base, struct cc_read *read[2])
{
	const AVFrameSideData *sd = av_frame_get_side_data(f, AV_FRAME_DATA_A53_CC);
	int64_t pts_us = av_rescale_q(f->pts, base, AV_TIME_BASE_Q);
	for (size_t i = 0; sd && i + 3 <= sd->size; i += 3) {
		const uint8_t *t = sd->data + i;
		int field = t[0] & 3;
		if ((t[0] & 4) == 0 || field > 1)
			continue;
		cc_read_pair(read[field], t + 1, pts_us);
		if (t[1] != 0x80 || t[2] != 0x80)
			printf("pair %d %02x%02x %" PRId64 " %" PRId64 "\n", field + 1, t[1], t[2],
				pts_us, wall_us());
	}
}

static void print_rows(const char *decoder, int field, char *text)
{
	char *rest = NULL;
	for (char *row = strtok_r(text, "\n", &rest); row; row = strtok_r(NULL, "\n", &rest))
		printf("rows %s %d %s\n", decoder, field, row);
}

int main(int argc, char **argv)
{
	AVFormatContext *f = avformat_alloc_context();
	struct cc_read *read[2] = {cc_read_open(1), cc_read_open(2)};
	if (argc != 2 || !f)
		return 2;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	setvbuf(stdout, NULL, _IOLBF, 0);
	f->interrupt_callback = (AVIOInterruptCB){is_stopped, NULL};
	/* What it finds in longer is not needed, and pictures that wait meanwhile look late. */
	f->max_analyze_duration = 200000;
	if (avformat_open_input(&f, argv[1], NULL, NULL) < 0 ||
		avformat_find_stream_info(f, NULL) < 0) {
		fprintf(stderr, "cc_dump: %s cannot be read\n", argv[1]);
		return 1;
	}
	int video = av_find_best_stream(f, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
	if (video < 0)
		return 1;
	AVStream *s = f->streams[video];
	AVCodecContext *codec = avcodec_alloc_context3(avcodec_find_decoder(s->codecpar->codec_id));
	avcodec_parameters_to_context(codec, s->codecpar);
	codec->thread_count = 1;
	if (avcodec_open2(codec, NULL, NULL) < 0)
		return 1;
	AVPacket *packet = av_packet_alloc();
	AVFrame *frame = av_frame_alloc();
	int pictures = 0, errors = 0;
	for (bool more = true; more;) {
		more = av_read_frame(f, packet) >= 0;
		if (more && packet->stream_index != video) {
			av_packet_unref(packet);
			continue;
		}
		errors += avcodec_send_packet(codec, more ? packet : NULL) < 0;
		av_packet_unref(packet);
		while (avcodec_receive_frame(codec, frame) == 0) {
			pictures++;
			take(frame, s->time_base, read);
			av_frame_unref(frame);
		}
	}
	for (int i = 0; i < 2; i++) {
		char *ffmpeg = strdup(cc_read_ffmpeg(read[i])),
		     *zvbi = strdup(cc_read_zvbi(read[i]));
		cc_read_normalise(ffmpeg);
		cc_read_normalise(zvbi);
		print_rows("ffmpeg", i + 1, ffmpeg);
		print_rows("zvbi", i + 1, zvbi);
		free(ffmpeg);
		free(zvbi);
		errors += (int)cc_read_errors(read[i]);
		cc_read_close(read[i]);
	}
	printf("pictures %d %d\n", pictures, errors);
	av_frame_free(&frame);
	av_packet_free(&packet);
	avcodec_free_context(&codec);
	avformat_close_input(&f);
	return 0;
}
