/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/sound.h"

#include "pipeline/av_log.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 48000, CHANNELS = 2, CHANNELS_MAX = 16 };

/* ---- decoding ---- */

struct lvx_sound_in {
	lvx_sound_pcm *fn;
	void *user;
	AVCodecContext *codec;                /* NULL: none yet, or it cannot be had */
	const struct lvx_unit_format *format; /* of codec; its unit is referenced */
	const struct lvx_unit *unit;
	SwrContext *swr;
	int swr_format, swr_rate, swr_channels; /* what swr takes */
	AVPacket *packet;
	AVFrame *frame;
	float *pcm;
	size_t cap; /* samples */
};

struct lvx_sound_in *lvx_sound_in_create(lvx_sound_pcm *fn, void *user)
{
	struct lvx_sound_in *in = calloc(1, sizeof(*in));
	if (!in)
		abort();
	lvx_av_log_route();
	in->fn = fn;
	in->user = user;
	in->packet = av_packet_alloc();
	in->frame = av_frame_alloc();
	if (!in->packet || !in->frame)
		abort();
	return in;
}

static void close_decoder(struct lvx_sound_in *in)
{
	avcodec_free_context(&in->codec);
	swr_free(&in->swr);
	lvx_unit_unref(in->unit);
	in->unit = NULL;
	in->format = NULL;
}

void lvx_sound_in_destroy(struct lvx_sound_in *in)
{
	if (!in)
		return;
	close_decoder(in);
	av_packet_free(&in->packet);
	av_frame_free(&in->frame);
	free(in->pcm);
	free(in);
}

static enum lvx_status open_decoder(
	struct lvx_sound_in *in, const struct lvx_unit *unit, struct lvx_error *err)
{
	const struct lvx_unit_format *f = unit->format;
	close_decoder(in);
	in->unit = lvx_unit_ref(unit);
	in->format = f;
	const AVCodecDescriptor *descriptor = avcodec_descriptor_get_by_name(f->codec);
	const AVCodec *decoder = descriptor ? avcodec_find_decoder(descriptor->id) : NULL;
	if (!decoder || decoder->type != AVMEDIA_TYPE_AUDIO)
		return lvx_fail(err, LVX_EUNSUPPORTED, "there is no decoder for %s", f->codec);
	AVCodecContext *c = avcodec_alloc_context3(decoder);
	if (!c)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	in->codec = c;
	c->thread_count = 1;
	c->pkt_timebase = AV_TIME_BASE_Q;
	c->sample_rate = (int)f->sample_rate;
	if (f->channels > 0 && f->channels <= CHANNELS_MAX)
		av_channel_layout_default(&c->ch_layout, (int)f->channels);
	if (f->n_extra > 0) {
		c->extradata = av_mallocz(f->n_extra + AV_INPUT_BUFFER_PADDING_SIZE);
		if (!c->extradata)
			return lvx_fail(err, LVX_ENOMEM, "out of memory");
		memcpy(c->extradata, f->extra, f->n_extra);
		c->extradata_size = (int)f->n_extra;
	}
	if (avcodec_open2(c, decoder, NULL) >= 0)
		return LVX_OK;
	avcodec_free_context(&in->codec);
	return lvx_fail(err, LVX_EUNSUPPORTED, "the decoder for %s does not take it", f->codec);
}

static bool open_swr(struct lvx_sound_in *in)
{
	const AVFrame *f = in->frame;
	int channels = f->ch_layout.nb_channels;
	if (in->swr && in->swr_format == f->format && in->swr_rate == f->sample_rate &&
		in->swr_channels == channels)
		return true;
	swr_free(&in->swr);
	if (channels < 1 || channels > CHANNELS_MAX || f->sample_rate < 1000)
		return false;
	AVChannelLayout stereo = AV_CHANNEL_LAYOUT_STEREO, from = {0};
	if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
		av_channel_layout_default(&from, channels);
	else
		av_channel_layout_copy(&from, &f->ch_layout);
	int r = swr_alloc_set_opts2(&in->swr, &stereo, AV_SAMPLE_FMT_FLT, RATE, &from, f->format,
		f->sample_rate, 0, NULL);
	av_channel_layout_uninit(&from);
	if (r < 0 || swr_init(in->swr) < 0) {
		swr_free(&in->swr);
		return false;
	}
	in->swr_format = f->format;
	in->swr_rate = f->sample_rate;
	in->swr_channels = channels;
	return true;
}

static void give(struct lvx_sound_in *in)
{
	const AVFrame *f = in->frame;
	if (f->pts == AV_NOPTS_VALUE || !open_swr(in))
		return;
	/* What the resampler still holds comes first. */
	int64_t pts_us = f->pts - swr_get_delay(in->swr, 1000000);
	int most = swr_get_out_samples(in->swr, f->nb_samples);
	if (most <= 0)
		return;
	if ((size_t)most > in->cap) {
		float *pcm = realloc(in->pcm, (size_t)most * CHANNELS * sizeof(float));
		if (!pcm)
			return;
		in->pcm = pcm;
		in->cap = (size_t)most;
	}
	uint8_t *out = (uint8_t *)in->pcm;
	int n = swr_convert(in->swr, &out, most, (const uint8_t **)f->extended_data, f->nb_samples);
	if (n > 0)
		in->fn(in->user, in->pcm, (size_t)n, pts_us);
}

enum lvx_status lvx_sound_in_put(
	struct lvx_sound_in *in, const struct lvx_unit *unit, struct lvx_error *err)
{
	if (unit->format != in->format) {
		enum lvx_status st = open_decoder(in, unit, err);
		if (st != LVX_OK)
			return st;
	}
	if (!in->codec || unit->len > INT32_MAX / 2)
		return LVX_OK; /* that has been said */
	if (unit->discontinuity) {
		avcodec_flush_buffers(in->codec);
		swr_free(&in->swr);
	}
	/* Borrowed for the call, padded as libavcodec wants it. */
	in->packet->data = (uint8_t *)(uintptr_t)unit->data;
	in->packet->size = (int)unit->len;
	in->packet->pts = unit->pts_us;
	in->packet->dts = unit->dts_us;
	in->packet->duration = unit->duration_us;
	int r = avcodec_send_packet(in->codec, in->packet);
	av_packet_unref(in->packet);
	while (r >= 0 && (r = avcodec_receive_frame(in->codec, in->frame)) >= 0) {
		give(in);
		av_frame_unref(in->frame);
	}
	return LVX_OK;
}

/* ---- encoding ---- */

struct lvx_sound_out {
	struct lvx_sound_out_params params; /* but for the codec */
	const AVCodec *encoder;
	AVCodecContext *codec; /* NULL: begins anew with the next sample */
	AVFrame *frame;
	AVPacket *packet;
	int n;      /* samples in frame */
	int64_t at; /* of the frame's first */
	struct lvx_unit_format format;
	bool first; /* unit after a beginning */
};

static enum lvx_status open_encoder(struct lvx_sound_out *out, struct lvx_error *err)
{
	bool opus = out->encoder->id == AV_CODEC_ID_OPUS;
	AVCodecContext *c = avcodec_alloc_context3(out->encoder);
	out->codec = c;
	if (!c)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	c->sample_rate = RATE;
	av_channel_layout_default(&c->ch_layout, out->params.channels);
	c->sample_fmt = opus ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP;
	c->bit_rate = out->params.bit_rate;
	c->time_base = (AVRational){1, RATE};
	c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
	if (opus)
		av_opt_set(c->priv_data, "frame_duration", "60", 0);
	if (avcodec_open2(c, out->encoder, NULL) < 0)
		goto fail;
	AVFrame *f = out->frame;
	av_frame_unref(f);
	f->format = c->sample_fmt;
	f->nb_samples = c->frame_size;
	f->sample_rate = RATE;
	f->ch_layout = c->ch_layout;
	if (c->frame_size <= 0 || av_frame_get_buffer(f, 0) < 0)
		goto fail;
	out->format = (struct lvx_unit_format){
		.sample_rate = RATE,
		.channels = (uint32_t)out->params.channels,
		.extra = c->extradata,
		.n_extra = (size_t)c->extradata_size,
	};
	strcpy(out->format.codec, opus ? "opus" : "aac");
	out->first = true;
	return LVX_OK;
fail:
	avcodec_free_context(&out->codec);
	return lvx_fail(err, LVX_EUNSUPPORTED, "FFmpeg's encoder for %s does not begin",
		avcodec_get_name(out->encoder->id));
}

enum lvx_status lvx_sound_out_create(struct lvx_sound_out **result,
	const struct lvx_sound_out_params *params, struct lvx_error *err)
{
	bool opus = strcmp(params->codec, "opus") == 0;
	const AVCodec *encoder = opus ? avcodec_find_encoder_by_name("libopus")
				      : avcodec_find_encoder(AV_CODEC_ID_AAC);
	if (!encoder)
		return lvx_fail(err, LVX_EUNSUPPORTED, "FFmpeg has no encoder for %s", params->codec);
	struct lvx_sound_out *out = calloc(1, sizeof(*out));
	if (!out)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	lvx_av_log_route();
	out->params = *params;
	out->encoder = encoder;
	out->frame = av_frame_alloc();
	out->packet = av_packet_alloc();
	enum lvx_status st = out->frame && out->packet ? open_encoder(out, err)
						       : lvx_fail(err, LVX_ENOMEM, "out of memory");
	if (st != LVX_OK) {
		lvx_sound_out_destroy(out);
		return st;
	}
	*result = out;
	return LVX_OK;
}

void lvx_sound_out_destroy(struct lvx_sound_out *out)
{
	if (!out)
		return;
	avcodec_free_context(&out->codec);
	av_frame_free(&out->frame);
	av_packet_free(&out->packet);
	free(out);
}

static int64_t us_of(int64_t samples)
{
	/* Floor, exact: 48 samples are 1 ms. */
	int64_t ms = samples / 48, rest = samples % 48;
	return 1000 * ms + rest * 1000 / 48 - (rest < 0 && rest * 1000 % 48 != 0);
}

static void encode(struct lvx_sound_out *out, const AVFrame *frame)
{
	int r = avcodec_send_frame(out->codec, frame);
	while (r >= 0 && (r = avcodec_receive_packet(out->codec, out->packet)) >= 0) {
		AVPacket *p = out->packet;
		int64_t begin_us = us_of(p->pts), end_us = us_of(p->pts + p->duration);
		struct lvx_unit unit = {
			.media = LVX_UNIT_AUDIO,
			.format = &out->format,
			.pts_us = begin_us,
			.dts_us = begin_us,
			.duration_us = end_us - begin_us,
			.keyframe = true,
			.discontinuity = out->first,
			.len = (size_t)p->size,
			.data = p->data,
		};
		out->first = false;
		if (p->size > 0)
			out->params.fn(out->params.user, &unit);
		av_packet_unref(p);
	}
}

/* The frame, as far as it is filled; the encoder may keep it. */
static void send_frame(struct lvx_sound_out *out)
{
	if (out->n == 0)
		return;
	if (out->n < out->codec->frame_size)
		av_samples_set_silence(out->frame->extended_data, out->n,
			out->codec->frame_size - out->n, out->params.channels,
			out->frame->format);
	out->frame->pts = out->at;
	encode(out, out->frame);
	out->n = 0;
}

void lvx_sound_out_put(struct lvx_sound_out *out, const float *pcm, size_t n, int64_t at)
{
	struct lvx_error err;
	if (!out->codec && open_encoder(out, &err) != LVX_OK)
		return;
	while (n > 0) {
		AVFrame *f = out->frame;
		if (out->n == 0) {
			out->at = at;
			if (av_frame_make_writable(f) < 0)
				return;
		}
		size_t room = (size_t)(out->codec->frame_size - out->n);
		size_t take = n < room ? n : room;
		for (int c = 0; c < out->params.channels; c++) {
			bool planes = f->format == AV_SAMPLE_FMT_FLTP;
			size_t step = planes ? 1 : (size_t)out->params.channels;
			float *to = planes ? (float *)(void *)f->data[c] + out->n
					   : (float *)(void *)f->data[0] + step * (size_t)out->n + c;
			for (size_t i = 0; i < take; i++)
				to[step * i] = pcm[CHANNELS * i + (size_t)c];
		}
		out->n += (int)take;
		pcm += take * CHANNELS;
		n -= take;
		at += (int64_t)take;
		if (out->n == out->codec->frame_size)
			send_frame(out);
	}
}

void lvx_sound_out_flush(struct lvx_sound_out *out)
{
	if (!out->codec)
		return;
	send_frame(out);
	encode(out, NULL);
	avcodec_free_context(&out->codec);
}
