/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushed containers: libavformat over the byte queue, libavcodec, into the feed.
 * The bytes are a stranger's: only listed demuxers and decoders, nothing outside
 * the bytes is ever opened, one decoding thread, bounded sizes.
 */
#include "pipeline/push_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEMUXERS "matroska,webm,ogg,mov,mp4,mpegts,wav,flac,mp3,aac"

enum {
	IO_BUFFER = 16384,
	BROKEN_MAX = 1000, /* packets in a row that cannot be read */
	PCM_MAX = 1 << 20, /* values of one decoded frame */
	STREAMS_MAX = 64,
	PIXELS_MAX = 4096 * 4096,
	HELD_MAX = 256, /* packets of sound */
};
static const int64_t held_max_us = 500000;
static const int64_t origin_max_us = 10000000; /* a first timestamp over this becomes 0 */

struct track {
	AVStream *stream; /* NULL: none; the format's */
	AVCodecContext *codec;
	const char *caps;
};

struct av {
	struct lvx_push *push;
	AVFormatContext *format;
	AVIOContext *io;
	struct track track[LVX_MEDIA];
	AVPacket *packet;
	AVFrame *frame;
	float *pcm; /* [PCM_MAX] */
	struct lvx_unwrap unwrap;
	bool wraps;      /* its timestamps are counters of 33 bits */
	bool any_origin; /* where they begin means nothing */
	struct lvx_timeline timeline;
	int64_t pictures_end_us;
	/* Sound that waits for the pictures of its time, oldest first (a ring). */
	bool holds;
	AVPacket *held[HELD_MAX];
	unsigned first_held, n_held;
	int64_t picture_us; /* source time of the last picture: none before it will come */
	uint64_t decoded;
	uint64_t bytes;
	bool got_packet;
};

/* ---- what is let in ---- */

static const struct allowed {
	enum AVCodecID id;
	const char *caps; /* GStreamer's words for it */
} allowed[] = {
	{AV_CODEC_ID_OPUS, "audio/x-opus"},
	{AV_CODEC_ID_VORBIS, "audio/x-vorbis"},
	{AV_CODEC_ID_AAC, "audio/mpeg, mpegversion=4"},
	{AV_CODEC_ID_MP3, "audio/mpeg, mpegversion=1, layer=3"},
	{AV_CODEC_ID_MP2, "audio/mpeg, mpegversion=1, layer=2"},
	{AV_CODEC_ID_FLAC, "audio/x-flac"},
	{AV_CODEC_ID_ALAC, "audio/x-alac"},
	{AV_CODEC_ID_AC3, "audio/x-ac3"},
	{AV_CODEC_ID_EAC3, "audio/x-eac3"},
	{AV_CODEC_ID_PCM_S16LE, "audio/x-raw, format=S16LE"},
	{AV_CODEC_ID_PCM_S16BE, "audio/x-raw, format=S16BE"},
	{AV_CODEC_ID_PCM_S24LE, "audio/x-raw, format=S24LE"},
	{AV_CODEC_ID_PCM_S32LE, "audio/x-raw, format=S32LE"},
	{AV_CODEC_ID_PCM_F32LE, "audio/x-raw, format=F32LE"},
	{AV_CODEC_ID_PCM_U8, "audio/x-raw, format=U8"},
	{AV_CODEC_ID_PCM_ALAW, "audio/x-alaw"},
	{AV_CODEC_ID_PCM_MULAW, "audio/x-mulaw"},
	{AV_CODEC_ID_VP8, "video/x-vp8"},
	{AV_CODEC_ID_VP9, "video/x-vp9"},
	{AV_CODEC_ID_AV1, "video/x-av1"},
	{AV_CODEC_ID_H264, "video/x-h264"},
	{AV_CODEC_ID_HEVC, "video/x-h265"},
	{AV_CODEC_ID_MPEG2VIDEO, "video/mpeg, mpegversion=2"},
	{AV_CODEC_ID_MPEG4, "video/mpeg, mpegversion=4"},
	{AV_CODEC_ID_THEORA, "video/x-theora"},
};

static const struct allowed *find_allowed(enum AVCodecID id)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i].id == id)
			return &allowed[i];
	return NULL;
}

static int refuse_open(
	AVFormatContext *s, AVIOContext **pb, const char *url, int flags, AVDictionary **options)
{
	(void)s, (void)pb, (void)flags, (void)options;
	lvx_log_debug("push: refused to open %.100s", url);
	return AVERROR(EPERM);
}

static int read_bytes(void *user, uint8_t *buf, int n)
{
	struct av *av = user;
	long got = lvx_push_read(av->push, buf, (size_t)n);
	if (got < 0)
		return AVERROR_EXIT;
	av->bytes += (uint64_t)got;
	return got ? (int)got : AVERROR_EOF;
}

static int is_aborted(void *user)
{
	struct av *av = user;
	return atomic_load(&av->push->aborted);
}

static void on_av_log(void *ptr, int level, const char *fmt, va_list ap)
{
	if (level > AV_LOG_WARNING)
		return;
	char line[256];
	int prefix = 1;
	av_log_format_line2(ptr, level, fmt, ap, line, sizeof(line), &prefix);
	line[strcspn(line, "\n")] = '\0';
	lvx_log_debug("ffmpeg: %s", line);
}

static void route_log(void)
{
	av_log_set_callback(on_av_log);
}

static bool fail(struct lvx_error *err, enum lvx_status st, const char *what, int code)
{
	char text[AV_ERROR_MAX_STRING_SIZE];
	av_strerror(code, text, sizeof(text));
	lvx_fail(err, st, "push: %s (%s)", what, text);
	return false;
}

/* ---- decoded frames ---- */

static uint8_t role_of(enum AVChannel c)
{
	switch (c) {
	case AV_CHAN_FRONT_CENTER:
		return LVX_PCM_CENTRE;
	case AV_CHAN_FRONT_LEFT:
	case AV_CHAN_FRONT_RIGHT:
	case AV_CHAN_FRONT_LEFT_OF_CENTER:
	case AV_CHAN_FRONT_RIGHT_OF_CENTER:
		return LVX_PCM_FRONT;
	case AV_CHAN_LOW_FREQUENCY:
	case AV_CHAN_LOW_FREQUENCY_2:
		return LVX_PCM_LFE;
	case AV_CHAN_NONE:
	case AV_CHAN_UNKNOWN:
	case AV_CHAN_UNUSED:
		return LVX_PCM_OTHER;
	default:
		return LVX_PCM_SURROUND;
	}
}

static float sample_at(const void *p, size_t i, enum AVSampleFormat packed)
{
	switch (packed) {
	case AV_SAMPLE_FMT_U8:
		return (float)(((const uint8_t *)p)[i] - 128) / 128.0f;
	case AV_SAMPLE_FMT_S16:
		return (float)((const int16_t *)p)[i] / 32768.0f;
	case AV_SAMPLE_FMT_S32:
		return (float)((const int32_t *)p)[i] / 2147483648.0f;
	case AV_SAMPLE_FMT_FLT:
		return ((const float *)p)[i];
	case AV_SAMPLE_FMT_DBL:
		return (float)((const double *)p)[i];
	default:
		return 0.0f;
	}
}

static int64_t frame_us(struct av *av, enum lvx_medium medium)
{
	int64_t pts = av->frame->best_effort_timestamp;
	if (pts == AV_NOPTS_VALUE)
		return INT64_MIN;
	return av_rescale_q(pts, av->track[medium].stream->time_base, AV_TIME_BASE_Q);
}

static int64_t map_time(struct av *av, enum lvx_medium medium, int64_t src_us, int64_t dur_us)
{
	struct lvx_timeline *tl = &av->timeline;
	if (src_us == INT64_MIN)
		src_us = tl->media[medium].next_us - tl->media[medium].offset_us;
	if (!tl->started)
		tl->from_zero = av->any_origin || src_us > origin_max_us || src_us < -origin_max_us;
	int64_t pts_us = lvx_timeline_map(tl, medium, src_us, dur_us, lvx_now_us());
	atomic_store(&av->push->jumps, tl->jumps);
	atomic_store(&av->push->wraps, av->unwrap.wraps);
	return pts_us;
}

static enum lvx_status take_sound(struct av *av)
{
	const AVFrame *f = av->frame;
	int channels = f->ch_layout.nb_channels;
	if (channels < 1 || channels > LVX_PCM_CHANNELS_MAX || f->sample_rate < 1000 ||
		f->sample_rate > 768000 || f->nb_samples < 1 ||
		(int64_t)f->nb_samples * channels > PCM_MAX) {
		atomic_fetch_add(&av->push->decode_errors, 1);
		return LVX_OK;
	}
	struct lvx_pcm_format format = {
		.rate = (uint32_t)f->sample_rate,
		.channels = (uint32_t)channels,
	};
	if (f->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC)
		lvx_pcm_default_roles(&format);
	else
		for (int c = 0; c < channels; c++)
			format.role[c] = role_of(
				av_channel_layout_channel_from_index(&f->ch_layout, (unsigned)c));
	bool planar = av_sample_fmt_is_planar(f->format);
	enum AVSampleFormat packed = av_get_packed_sample_fmt(f->format);
	for (int i = 0; i < f->nb_samples; i++)
		for (int c = 0; c < channels; c++)
			av->pcm[i * channels + c] =
				planar ? sample_at(f->extended_data[c], (size_t)i, packed)
				       : sample_at(f->extended_data[0],
						 (size_t)i * (size_t)channels + (size_t)c, packed);
	int64_t dur_us = (int64_t)f->nb_samples * 1000000 / f->sample_rate;
	int64_t pts_us = map_time(av, LVX_SOUND, frame_us(av, LVX_SOUND), dur_us);
	av->decoded++;
	return lvx_feed_sound(av->push->feed, &format, av->pcm, (size_t)f->nb_samples, pts_us);
}

static enum lvx_status take_picture(struct av *av)
{
	const AVFrame *f = av->frame;
	int64_t src_us = frame_us(av, LVX_PICTURES);
	if (src_us == INT64_MIN)
		return LVX_OK;
	int64_t dur_us = av_rescale_q(
		f->pkt_duration, av->track[LVX_PICTURES].stream->time_base, AV_TIME_BASE_Q);
	if (dur_us <= 0 || dur_us > 10000000)
		dur_us = 40000;
	int64_t pts_us = map_time(av, LVX_PICTURES, src_us, dur_us);
	av->picture_us = src_us;
	av->pictures_end_us = pts_us + dur_us;
	av->decoded++;
	if (!lvx_feed_wants_picture(av->push->feed, pts_us))
		return LVX_OK;
	/* The J formats are what older FFmpegs call full range. */
	const char *name = av_get_pix_fmt_name(f->format);
	bool j = name && strncmp(name, "yuvj", 4) == 0;
	char plain[32];
	snprintf(plain, sizeof(plain), "%s%s", j ? "yuv" : "", name ? name + (j ? 4 : 0) : "");
	struct lvx_picture p = {
		.format = plain,
		.width = (uint32_t)f->width,
		.height = (uint32_t)f->height,
		.full_range = j || f->color_range == AVCOL_RANGE_JPEG,
		.matrix = f->colorspace == AVCOL_SPC_BT709 ? LVX_PICTURE_BT709
			  : f->colorspace == AVCOL_SPC_BT2020_NCL ||
					  f->colorspace == AVCOL_SPC_BT2020_CL
				  ? LVX_PICTURE_BT2020
				  : LVX_PICTURE_BT601,
	};
	for (int i = 0; i < 4; i++) {
		p.plane[i] = f->data[i];
		p.stride[i] = f->linesize[i];
	}
	enum lvx_status st = lvx_feed_picture(av->push->feed, &p, pts_us);
	if (st != LVX_EUNSUPPORTED)
		return st;
	atomic_fetch_add(&av->push->decode_errors, 1);
	return LVX_OK;
}

/* packet NULL: drains the decoder. */
static enum lvx_status decode(struct av *av, enum lvx_medium medium, const AVPacket *packet)
{
	struct track *t = &av->track[medium];
	if (avcodec_send_packet(t->codec, packet) < 0) {
		atomic_fetch_add(&av->push->decode_errors, 1);
		return LVX_OK;
	}
	for (;;) {
		int r = avcodec_receive_frame(t->codec, av->frame);
		if (r == AVERROR(EAGAIN) || r == AVERROR_EOF)
			return LVX_OK;
		if (r < 0) {
			atomic_fetch_add(&av->push->decode_errors, 1);
			return LVX_OK;
		}
		lvx_tell_state(&av->push->teller, LVX_SOURCE_LIVE, "%s", "");
		enum lvx_status st = medium == LVX_SOUND ? take_sound(av) : take_picture(av);
		av_frame_unref(av->frame);
		if (st != LVX_OK)
			return st;
	}
}

/* ---- decoders ---- */

static bool open_decoder(
	struct av *av, enum lvx_medium medium, AVStream *stream, struct lvx_error *err)
{
	struct track *t = &av->track[medium];
	const struct allowed *a = find_allowed(stream->codecpar->codec_id);
	const AVCodec *decoder = a ? avcodec_find_decoder(a->id) : NULL;
	if (!decoder) {
		lvx_fail(err, LVX_EUNSUPPORTED, "push: no decoder for %s (%s)",
			medium == LVX_SOUND ? "the sound" : "the pictures",
			avcodec_get_name(stream->codecpar->codec_id));
		return false;
	}
	AVCodecContext *codec = avcodec_alloc_context3(decoder);
	if (!codec || avcodec_parameters_to_context(codec, stream->codecpar) < 0) {
		avcodec_free_context(&codec);
		lvx_fail(err, LVX_ENOMEM, "push: out of memory");
		return false;
	}
	codec->thread_count = 1; /* a frame comes out as soon as it is whole */
	codec->pkt_timebase = stream->time_base;
	codec->max_pixels = PIXELS_MAX;
	int r = avcodec_open2(codec, decoder, NULL);
	if (r < 0) {
		avcodec_free_context(&codec);
		return fail(err, LVX_EINVAL, "the decoder does not take it", r);
	}
	t->stream = stream;
	t->codec = codec;
	t->caps = a->caps;
	if (stream->pts_wrap_bits == 33)
		av->wraps = true;
	return true;
}

/* ---- packets ---- */

static int64_t unit_us(struct av *av, enum lvx_medium medium, int64_t t)
{
	if (t == AV_NOPTS_VALUE)
		return INT64_MIN;
	t = av_rescale_q(t, av->track[medium].stream->time_base, AV_TIME_BASE_Q);
	return lvx_timeline_peek(&av->timeline, medium, t);
}

static void tell_unit(struct av *av, enum lvx_medium medium)
{
	const AVPacket *p = av->packet;
	if (!av->push->cb.on_unit)
		return;
	struct lvx_unit unit = {
		.data = p->data,
		.len = (size_t)p->size,
		.pts_us = unit_us(av, medium, p->pts),
		.dts_us = unit_us(av, medium, p->dts),
		.keyframe = p->flags & AV_PKT_FLAG_KEY,
		.media = medium == LVX_SOUND ? LVX_UNIT_AUDIO : LVX_UNIT_VIDEO,
		.codec = av->track[medium].caps,
	};
	av->push->cb.on_unit(av->push->cb.user, &unit);
}

static int64_t packet_end_us(const struct av *av, const AVPacket *p)
{
	AVRational base = av->track[LVX_SOUND].stream->time_base;
	return p->pts == AV_NOPTS_VALUE ? INT64_MIN
					: av_rescale_q(p->pts + p->duration, base, AV_TIME_BASE_Q);
}

/* Decodes the sound that has waited long enough; all of it at the end. */
static enum lvx_status release_sound(struct av *av, bool all)
{
	enum lvx_status st = LVX_OK;
	while (av->n_held > 0 && st == LVX_OK) {
		AVPacket *p = av->held[av->first_held];
		AVPacket *last = av->held[(av->first_held + av->n_held - 1) % HELD_MAX];
		int64_t end_us = packet_end_us(av, p);
		if (!all && av->n_held < HELD_MAX && end_us > av->picture_us &&
			packet_end_us(av, last) - end_us <= held_max_us)
			break;
		st = decode(av, LVX_SOUND, p);
		av_packet_free(&av->held[av->first_held]);
		av->first_held = (av->first_held + 1) % HELD_MAX;
		av->n_held--;
	}
	return st;
}

/*
 * A container has sound before pictures of the same time, or decoders keep
 * those back for a while. Where nobody listens live, sound waits, so that which
 * slot a picture falls into does not depend on how fast the slots are read.
 */
static enum lvx_status hold_sound(struct av *av)
{
	AVPacket *p = av_packet_clone(av->packet);
	if (!p)
		return LVX_ENOMEM;
	av->held[(av->first_held + av->n_held++) % HELD_MAX] = p;
	return release_sound(av, false);
}

static enum lvx_status take_packet(struct av *av)
{
	for (int m = 0; m < LVX_MEDIA; m++) {
		struct track *t = &av->track[m];
		if (!t->stream || t->stream->index != av->packet->stream_index)
			continue;
		if (av->wraps) {
			if (av->packet->dts != AV_NOPTS_VALUE)
				av->packet->dts = lvx_unwrap(&av->unwrap, av->packet->dts);
			if (av->packet->pts != AV_NOPTS_VALUE)
				av->packet->pts = lvx_unwrap(&av->unwrap, av->packet->pts);
		}
		tell_unit(av, (enum lvx_medium)m);
		if (m == LVX_SOUND && av->holds)
			return hold_sound(av);
		enum lvx_status st = decode(av, (enum lvx_medium)m, av->packet);
		return st == LVX_OK ? release_sound(av, false) : st;
	}
	return LVX_OK;
}

/* Reads till the end. False: *err says why not. */
static bool pump(struct av *av, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	int broken = 0;
	while (st == LVX_OK) {
		int r = av_read_frame(av->format, av->packet);
		if (r == AVERROR_EOF || r == AVERROR_EXIT)
			break;
		if (r == AVERROR(EAGAIN))
			continue;
		if (r < 0) {
			atomic_fetch_add(&av->push->decode_errors, 1);
			if (!av->got_packet && strstr(av->format->iformat->name, "mov"))
				return fail(err, LVX_EINVAL,
					"this MP4 cannot be read as it comes: its index (moov) "
					"must "
					"come first, or it must be fragmented",
					r);
			/* What is broken may be the end of what came. */
			if (r != AVERROR_INVALIDDATA || ++broken > BROKEN_MAX || avio_feof(av->io))
				return av->decoded && avio_feof(av->io)
					       ? true
					       : fail(err, LVX_EINVAL, "the container is broken",
							 r);
			continue;
		}
		broken = 0;
		av->got_packet = true;
		st = take_packet(av);
		av_packet_unref(av->packet);
	}
	/* Pictures first: sound may wait for them. */
	for (int m = LVX_MEDIA - 1; m >= 0 && st == LVX_OK && !is_aborted(av); m--) {
		if (m == LVX_SOUND)
			st = release_sound(av, true);
		if (av->track[m].codec && st == LVX_OK)
			st = decode(av, (enum lvx_medium)m, NULL);
	}
	if (st == LVX_EINVAL) {
		lvx_fail(err, st, "push: the sound has no channel %d", av->push->params.channel);
		return false;
	}
	if (st == LVX_OK && !av->decoded && !is_aborted(av)) {
		lvx_fail(err, LVX_EINVAL, "push: nothing in it could be decoded");
		return false;
	}
	return true;
}

/* ---- opening ---- */

static bool open_track(struct av *av, enum lvx_medium medium, struct lvx_error *err)
{
	enum AVMediaType type = medium == LVX_SOUND ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO;
	int index = av_find_best_stream(av->format, type, -1, -1, NULL, 0);
	if (index < 0)
		return true;
	AVStream *stream = av->format->streams[index];
	if (stream->disposition & AV_DISPOSITION_ATTACHED_PIC)
		return true;
	return open_decoder(av, medium, stream, err);
}

/* Whether the header has told all that a decoder wants. */
static bool known(const AVFormatContext *f)
{
	if (f->ctx_flags & AVFMTCTX_NOHEADER || f->nb_streams == 0)
		return false;
	for (unsigned i = 0; i < f->nb_streams; i++) {
		const AVCodecParameters *p = f->streams[i]->codecpar;
		if (p->codec_type == AVMEDIA_TYPE_AUDIO &&
			(p->codec_id == AV_CODEC_ID_NONE || !p->sample_rate))
			return false;
	}
	return true;
}

static bool open_input(struct av *av, struct lvx_error *err)
{
	uint8_t *buffer = av_malloc(IO_BUFFER);
	if (buffer)
		av->io = avio_alloc_context(buffer, IO_BUFFER, 0, av, read_bytes, NULL, NULL);
	if (!av->io)
		av_free(buffer);
	AVFormatContext *format = av->io ? avformat_alloc_context() : NULL;
	if (!format) {
		lvx_fail(err, LVX_ENOMEM, "push: out of memory");
		return false;
	}
	format->pb = av->io;
	format->flags |= AVFMT_FLAG_CUSTOM_IO;
	format->io_open = refuse_open;
	format->interrupt_callback = (AVIOInterruptCB){is_aborted, av};
	format->correct_ts_overflow = 0; /* lvx_unwrap does it, and counts */
	AVDictionary *options = NULL;
	av_dict_set(&options, "format_whitelist", DEMUXERS, 0);
	av_dict_set(&options, "protocol_whitelist", "none", 0);
	av_dict_set_int(&options, "max_streams", STREAMS_MAX, 0);
	/* How much a format without a header may be looked at before it starts. */
	av_dict_set_int(&options, "probesize", 512 << 10, 0);
	av_dict_set_int(&options, "analyzeduration", 500000, 0);
	int r = avformat_open_input(&format, NULL, NULL, &options); /* frees format on failure */
	av_dict_free(&options);
	if (r < 0) {
		if (av->bytes == 0) {
			lvx_fail(err, LVX_EINVAL, "push: ended before any media came");
			return false;
		}
		return fail(err, LVX_EINVAL, "this is no media that can be decoded", r);
	}
	av->format = format;
	if (!known(format)) {
		r = avformat_find_stream_info(format, NULL);
		if (r < 0)
			return fail(err, LVX_EINVAL, "no sound or pictures were found", r);
	}
	return true;
}

static bool start(struct av *av, struct lvx_error *err)
{
	if (!open_input(av, err) || !open_track(av, LVX_SOUND, err))
		return false;
	if (av->push->params.want_pictures) {
		struct lvx_error why = {0};
		/* Sound alone will do. */
		if (!open_track(av, LVX_PICTURES, &why)) {
			if (!av->track[LVX_SOUND].stream) {
				*err = why;
				return false;
			}
			lvx_log_info("%s; going on with the sound", why.msg);
		}
	}
	bool sound = av->track[LVX_SOUND].stream, pictures = av->track[LVX_PICTURES].stream;
	if (!sound && !pictures) {
		lvx_fail(err, LVX_EINVAL, "push: there is no sound%s in it",
			av->push->params.want_pictures ? " and no picture" : "");
		return false;
	}
	for (unsigned i = 0; i < av->format->nb_streams; i++) {
		AVStream *s = av->format->streams[i];
		if (s != av->track[LVX_SOUND].stream && s != av->track[LVX_PICTURES].stream)
			s->discard = AVDISCARD_ALL;
	}
	av->any_origin = av->wraps || strcmp(av->format->iformat->name, "ogg") == 0;
	struct lvx_ring_params rp;
	lvx_ring_get_params(av->push->ring, &rp);
	av->holds = sound && pictures && rp.mode == LVX_RING_PACED;
	lvx_feed_set_media(av->push->feed, sound, pictures);
	return true;
}

bool lvx_push_run_av(struct lvx_push *push, struct lvx_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, route_log);
	struct av *av = calloc(1, sizeof(*av));
	if (!av) {
		lvx_fail(err, LVX_ENOMEM, "push: out of memory");
		return false;
	}
	av->push = push;
	av->unwrap.bits = 33;
	av->picture_us = INT64_MIN;
	av->packet = av_packet_alloc();
	av->frame = av_frame_alloc();
	av->pcm = malloc(PCM_MAX * sizeof(float));
	lvx_timeline_init(&av->timeline, false, false);
	bool ok = av->packet && av->frame && av->pcm;
	if (!ok)
		lvx_fail(err, LVX_ENOMEM, "push: out of memory");
	ok = ok && start(av, err) && pump(av, err);
	if (is_aborted(av))
		ok = true; /* whatever it was that broke off */
	else if (av->track[LVX_PICTURES].stream)
		lvx_feed_end_pictures(push->feed, av->pictures_end_us);
	for (unsigned i = 0; i < HELD_MAX; i++)
		av_packet_free(&av->held[i]);
	for (int m = 0; m < LVX_MEDIA; m++)
		avcodec_free_context(&av->track[m].codec);
	avformat_close_input(&av->format);
	if (av->io)
		av_free(av->io->buffer);
	avio_context_free(&av->io);
	av_packet_free(&av->packet);
	av_frame_free(&av->frame);
	free(av->pcm);
	free(av);
	return ok;
}
