/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens a pushed container: libavformat over the byte queue. The bytes are a
 * stranger's: only listed demuxers and decoders, nothing outside the bytes is
 * ever opened, one decoding thread, bounded sizes.
 */
#include "pipeline/push_av.h"

#include "base/log.h"
#include "pipeline/av_log.h"

#include <string.h>

#define DEMUXERS "matroska,webm,ogg,mov,mp4,mpegts,wav,flac,mp3,aac"

enum {
	IO_BUFFER = 16384,
	STREAMS_MAX = 64,
	PIXELS_MAX = 4096 * 4096,
};

/* ---- what is let in ---- */

static const enum AVCodecID allowed[] = {
	AV_CODEC_ID_OPUS, AV_CODEC_ID_VORBIS, AV_CODEC_ID_AAC, AV_CODEC_ID_MP3, AV_CODEC_ID_MP2,
	AV_CODEC_ID_FLAC, AV_CODEC_ID_ALAC, AV_CODEC_ID_AC3, AV_CODEC_ID_EAC3,
	AV_CODEC_ID_PCM_S16LE, AV_CODEC_ID_PCM_S16BE, AV_CODEC_ID_PCM_S24LE,
	AV_CODEC_ID_PCM_S32LE, AV_CODEC_ID_PCM_F32LE, AV_CODEC_ID_PCM_U8, AV_CODEC_ID_PCM_ALAW,
	AV_CODEC_ID_PCM_MULAW, AV_CODEC_ID_VP8, AV_CODEC_ID_VP9, AV_CODEC_ID_AV1,
	AV_CODEC_ID_H264, AV_CODEC_ID_HEVC, AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG4,
	AV_CODEC_ID_THEORA,
};

static bool is_allowed(enum AVCodecID id)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i] == id)
			return true;
	return false;
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
	struct lvx_push_av *av = user;
	long got = lvx_push_read(av->push, buf, (size_t)n);
	if (got < 0)
		return AVERROR_EXIT;
	av->bytes += (uint64_t)got;
	return got ? (int)got : AVERROR_EOF;
}

bool lvx_push_av_is_aborted(const struct lvx_push_av *av)
{
	return atomic_load(&av->push->aborted);
}

static int is_aborted(void *user)
{
	return lvx_push_av_is_aborted(user);
}

bool lvx_push_av_fail(struct lvx_error *err, enum lvx_status st, const char *what, int code)
{
	char text[AV_ERROR_MAX_STRING_SIZE];
	av_strerror(code, text, sizeof(text));
	lvx_fail(err, st, "push: %s (%s)", what, text);
	return false;
}
/* ---- decoders ---- */

static void take(struct lvx_push_av *av, enum lvx_medium medium, AVStream *stream)
{
	av->track[medium].stream = stream;
	if (stream->pts_wrap_bits == 33)
		av->wraps = true;
}

static bool open_decoder(
	struct lvx_push_av *av, enum lvx_medium medium, AVStream *stream, struct lvx_error *err)
{
	struct lvx_push_track *t = &av->track[medium];
	enum AVCodecID id = stream->codecpar->codec_id;
	const AVCodec *decoder = is_allowed(id) ? avcodec_find_decoder(id) : NULL;
	if (!decoder) {
		lvx_fail(err, LVX_EUNSUPPORTED, "push: no decoder for %s (%s)",
			medium == LVX_SOUND ? "the sound" : "the pictures",
			avcodec_get_name(id));
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
		return lvx_push_av_fail(err, LVX_EINVAL, "the decoder does not take it", r);
	}
	t->codec = codec;
	take(av, medium, stream);
	return true;
}

/* ---- opening ---- */

/* The medium's stream in the container; NULL: none. */
static AVStream *find_stream(struct lvx_push_av *av, enum lvx_medium medium)
{
	enum AVMediaType type = medium == LVX_SOUND ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO;
	int index = av_find_best_stream(av->format, type, -1, -1, NULL, 0);
	AVStream *stream = index >= 0 ? av->format->streams[index] : NULL;
	return stream && stream->disposition & AV_DISPOSITION_ATTACHED_PIC ? NULL : stream;
}

static bool open_track(struct lvx_push_av *av, enum lvx_medium medium, struct lvx_error *err)
{
	AVStream *stream = find_stream(av, medium);
	return !stream || open_decoder(av, medium, stream, err);
}

/* What of the programme is passed on: the pictures also where nobody looks at them. */
static bool open_tap(struct lvx_push_av *av, struct lvx_error *err)
{
	if (!lvx_units_wanted(av->push->params.units))
		return true;
	if (lvx_tap_create(&av->tap, av->push->params.units, err) != LVX_OK)
		return false;
	AVStream *video = find_stream(av, LVX_PICTURES), *sound = av->track[LVX_SOUND].stream;
	if (video && !av->track[LVX_PICTURES].stream)
		take(av, LVX_PICTURES, video);
	if (video)
		lvx_tap_add(av->tap, LVX_PICTURES, NULL);
	const AVDictionaryEntry *language =
		sound ? av_dict_get(sound->metadata, "language", NULL, 0) : NULL;
	if (sound)
		lvx_tap_add(av->tap, LVX_SOUND, language ? language->value : NULL);
	return true;
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

static bool open_input(struct lvx_push_av *av, struct lvx_error *err)
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
		return lvx_push_av_fail(err, LVX_EINVAL, "this is no media that can be decoded", r);
	}
	av->format = format;
	if (!known(format)) {
		r = avformat_find_stream_info(format, NULL);
		if (r < 0)
			return lvx_push_av_fail(
				err, LVX_EINVAL, "no sound or pictures were found", r);
	}
	return true;
}

bool lvx_push_av_open(struct lvx_push_av *av, struct lvx_error *err)
{
	lvx_av_log_route();
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
	bool sound = av->track[LVX_SOUND].codec, pictures = av->track[LVX_PICTURES].codec;
	if (!sound && !pictures) {
		lvx_fail(err, LVX_EINVAL, "push: there is no sound%s in it",
			av->push->params.want_pictures ? " and no picture" : "");
		return false;
	}
	if (!open_tap(av, err))
		return false;
	for (unsigned i = 0; i < av->format->nb_streams; i++) {
		AVStream *s = av->format->streams[i];
		if (s != av->track[LVX_SOUND].stream && s != av->track[LVX_PICTURES].stream)
			s->discard = AVDISCARD_ALL;
	}
	av->no_dts = strstr(av->format->iformat->name, "matroska");
	av->any_origin = av->wraps || strcmp(av->format->iformat->name, "ogg") == 0;
	struct lvx_ring_params rp;
	lvx_ring_get_params(av->push->ring, &rp);
	av->holds = sound && pictures && rp.mode == LVX_RING_PACED;
	lvx_feed_set_media(av->push->feed, sound, pictures);
	return true;
}
