/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/clip.h"

#include "pipeline/av_log.h"

#include <ebur128.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswresample/swresample.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { IO_BYTES = 4096, SAMPLES_MAX = LVX_CLIP_SECONDS_MAX * LVX_CLIP_RATE };

static const float quiet = 0.00316f;   /* -50 dBFS: silence, around speech */
enum { MARGIN = LVX_CLIP_RATE / 50 };  /* so much of it stays */
enum { MEASURED = LVX_CLIP_RATE / 2 }; /* R128 needs 0.4 s: shorter ones are repeated */

struct reader {
	const uint8_t *wav;
	size_t len, at;
	AVFormatContext *format;
	AVIOContext *io;
	AVCodecContext *codec;
	SwrContext *swr;
	AVPacket *packet;
	AVFrame *frame;
	float *pcm; /* [SAMPLES_MAX] */
	size_t n;
};

static int read_bytes(void *user, uint8_t *buf, int n)
{
	struct reader *r = user;
	size_t left = r->len - r->at;
	size_t take = left < (size_t)n ? left : (size_t)n;
	if (take == 0)
		return AVERROR_EOF;
	memcpy(buf, r->wav + r->at, take);
	r->at += take;
	return (int)take;
}

static enum lvx_status open_wav(struct reader *r, struct lvx_error *err)
{
	uint8_t *buffer = av_malloc(IO_BYTES);
	r->io = buffer ? avio_alloc_context(buffer, IO_BYTES, 0, r, read_bytes, NULL, NULL) : NULL;
	r->format = avformat_alloc_context();
	r->packet = av_packet_alloc();
	r->frame = av_frame_alloc();
	if (!r->io || !r->format || !r->packet || !r->frame) {
		if (!r->io)
			av_free(buffer);
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	}
	r->format->pb = r->io;
	if (avformat_open_input(&r->format, NULL, av_find_input_format("wav"), NULL) < 0 ||
		r->format->nb_streams != 1 ||
		r->format->streams[0]->codecpar->codec_type != AVMEDIA_TYPE_AUDIO)
		return lvx_fail(err, LVX_EINVAL, "what it writes is no WAV");
	const AVCodecParameters *p = r->format->streams[0]->codecpar;
	const AVCodec *decoder = avcodec_find_decoder(p->codec_id);
	bool pcm = strncmp(avcodec_get_name(p->codec_id), "pcm_", 4) == 0;
	if (!decoder || !pcm || p->sample_rate < 4000 || p->sample_rate > 192000 ||
		p->ch_layout.nb_channels < 1 || p->ch_layout.nb_channels > 8)
		return lvx_fail(err, LVX_EINVAL,
			"its WAV is %.32s, %d Hz, %d channels; allowed are PCM, 4000 to 192000 Hz, "
			"1 to 8 channels",
			avcodec_get_name(p->codec_id), p->sample_rate, p->ch_layout.nb_channels);
	r->codec = avcodec_alloc_context3(decoder);
	if (!r->codec || avcodec_parameters_to_context(r->codec, p) < 0 ||
		avcodec_open2(r->codec, decoder, NULL) < 0)
		return lvx_fail(err, LVX_EINVAL, "its WAV cannot be decoded");
	AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO, from;
	av_channel_layout_default(&from, p->ch_layout.nb_channels);
	if (swr_alloc_set_opts2(&r->swr, &mono, AV_SAMPLE_FMT_FLT, LVX_CLIP_RATE, &from,
		    r->codec->sample_fmt, p->sample_rate, 0, NULL) < 0 ||
		swr_init(r->swr) < 0)
		return lvx_fail(err, LVX_EINVAL, "its WAV cannot be resampled");
	return LVX_OK;
}

static enum lvx_status take(struct reader *r, const AVFrame *frame, struct lvx_error *err)
{
	uint8_t *out = (uint8_t *)(r->pcm + r->n);
	int got = swr_convert(r->swr, &out, SAMPLES_MAX - (int)r->n,
		frame ? (const uint8_t **)frame->extended_data : NULL,
		frame ? frame->nb_samples : 0);
	r->n += got > 0 ? (size_t)got : 0;
	if (r->n == SAMPLES_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "what it says is longer than %d s", LVX_CLIP_SECONDS_MAX);
	return LVX_OK;
}

static enum lvx_status decode(struct reader *r, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	while (st == LVX_OK && av_read_frame(r->format, r->packet) >= 0) {
		int sent = avcodec_send_packet(r->codec, r->packet);
		av_packet_unref(r->packet);
		if (sent < 0)
			continue; /* half a sample at the end */
		while (st == LVX_OK && avcodec_receive_frame(r->codec, r->frame) >= 0) {
			/* What was agreed on holds for all of it. */
			bool same = r->frame->ch_layout.nb_channels ==
					    r->codec->ch_layout.nb_channels &&
				    r->frame->format == r->codec->sample_fmt;
			if (same)
				st = take(r, r->frame, err);
			av_frame_unref(r->frame);
		}
	}
	return st == LVX_OK ? take(r, NULL, err) : st;
}

/* ---- what is heard ---- */

static void trim(struct reader *r, size_t *begin, size_t *end)
{
	for (size_t i = 0; i < r->n; i++) /* a voice's NaN is nobody's sound */
		r->pcm[i] = isfinite(r->pcm[i]) ? fminf(fmaxf(r->pcm[i], -4), 4) : 0;
	*begin = 0;
	*end = r->n;
	while (*begin < *end && fabsf(r->pcm[*begin]) < quiet)
		++*begin;
	while (*end > *begin && fabsf(r->pcm[*end - 1]) < quiet)
		--*end;
	if (*begin == *end)
		return;
	*begin -= *begin < MARGIN ? *begin : MARGIN;
	*end += r->n - *end < MARGIN ? r->n - *end : MARGIN;
}

static bool measure(struct lvx_clip *clip)
{
	ebur128_state *e = ebur128_init(1, LVX_CLIP_RATE, EBUR128_MODE_I);
	if (!e)
		return false;
	ebur128_set_channel(e, 0, EBUR128_DUAL_MONO);
	bool ok = true;
	for (size_t heard = 0; ok && heard < MEASURED; heard += clip->n)
		ok = ebur128_add_frames_float(e, clip->pcm, clip->n) == EBUR128_SUCCESS;
	ok = ok && ebur128_loudness_global(e, &clip->lufs) == EBUR128_SUCCESS &&
	     isfinite(clip->lufs);
	ebur128_destroy(&e);
	return ok;
}

static enum lvx_status make(struct lvx_clip **out, struct reader *r, struct lvx_error *err)
{
	size_t begin, end;
	trim(r, &begin, &end);
	if (begin == end)
		return lvx_fail(err, LVX_EINVAL, "nothing is to be heard in what it writes");
	struct lvx_clip *clip = malloc(sizeof(*clip) + (end - begin) * sizeof(float));
	if (!clip)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	*clip = (struct lvx_clip){.n = end - begin};
	memcpy(clip->pcm, r->pcm + begin, clip->n * sizeof(float));
	for (size_t i = 0; i < clip->n; i++)
		clip->peak = fmaxf(clip->peak, fabsf(clip->pcm[i]));
	if (!measure(clip)) {
		lvx_clip_destroy(clip);
		return lvx_fail(err, LVX_EINVAL, "nothing is to be heard in what it writes");
	}
	*out = clip;
	return LVX_OK;
}

enum lvx_status lvx_clip_read(
	struct lvx_clip **out, const uint8_t *wav, size_t len, struct lvx_error *err)
{
	struct reader r = {.wav = wav, .len = len};
	if (len > LVX_CLIP_BYTES_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "it writes more than %d bytes", LVX_CLIP_BYTES_MAX);
	lvx_av_log_route();
	r.pcm = malloc(SAMPLES_MAX * sizeof(float));
	enum lvx_status st = r.pcm ? open_wav(&r, err) : lvx_fail(err, LVX_ENOMEM, "out of memory");
	if (st == LVX_OK)
		st = decode(&r, err);
	if (st == LVX_OK)
		st = make(out, &r, err);
	swr_free(&r.swr);
	avcodec_free_context(&r.codec);
	avformat_close_input(&r.format);
	if (r.io)
		av_freep(&r.io->buffer);
	avio_context_free(&r.io);
	av_packet_free(&r.packet);
	av_frame_free(&r.frame);
	free(r.pcm);
	return st;
}

void lvx_clip_destroy(struct lvx_clip *clip)
{
	free(clip);
}
