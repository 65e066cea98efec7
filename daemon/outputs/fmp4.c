/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/fmp4.h"

#include "daemon/outputs/mux_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/ac3_parser.h>
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>

enum { IO_BUFFER = 1 << 16, VIDEO_TIMESCALE = 90000, SNAP_SAMPLES = 2 };

struct lvx_fmp4 {
	AVFormatContext *format;
	AVPacket *packet;
	int64_t shift_us;
	struct lvx_text init, bytes;
	struct lvx_text *to; /* where libavformat writes: one of the two */
	size_t n;            /* units in the fragment */
	int64_t last_dts;    /* in the stream's time base */
	int64_t next_dts;    /* where a unit of sound is expected that follows the last; or NOPTS */
};

enum lvx_status lvx_fmp4_check(const struct lvx_unit_format *format, struct lvx_error *err)
{
	static const char *const known[] = {"h264", "hevc", "aac", "mp3", "ac3", "eac3", "opus"};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(format->codec, known[i]) == 0)
			return LVX_OK;
	}
	return lvx_fail(err, LVX_EUNSUPPORTED,
		"HLS does not carry %s; it carries H.264, H.265, AAC, MP3, AC-3, E-AC-3 and Opus",
		format->codec[0] ? format->codec : "a codec that is not known");
}

static int write_bytes(void *user, uint8_t *data, int n)
{
	struct lvx_fmp4 *f = user;
	lvx_text_add(f->to, (const char *)data, (size_t)n);
	return n;
}

static enum lvx_status write_header(struct lvx_fmp4 *f, struct lvx_error *err)
{
	/* The times are the units', not what an edit list would make of them; and the
	 * initialisation waits for the first unit, which AC-3 is described by. */
	AVDictionary *options = NULL;
	av_dict_set(&options, "movflags", "frag_custom+delay_moov+default_base_moof", 0);
	av_dict_set(&options, "use_editlist", "0", 0);
	f->format->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
	int r = avformat_write_header(f->format, &options);
	av_dict_free(&options);
	if (r < 0) {
		char text[AV_ERROR_MAX_STRING_SIZE];
		av_strerror(r, text, sizeof(text));
		return lvx_fail(err, LVX_EUNSUPPORTED, "MP4 cannot begin (%s)", text);
	}
	return LVX_OK;
}

/* Are they all VPS, SPS or PPS of the base layer? Others are not looked at below, but by
 * libavformat. */
static bool are_plain_sets(const uint8_t *data, int n)
{
	for (int i = 0; i + 5 <= n; i++) {
		if (data[i] != 0 || data[i + 1] != 0 || data[i + 2] != 1)
			continue;
		uint8_t type = data[i + 3];
		if ((type != 0x40 && type != 0x42 && type != 0x44) || data[i + 4] != 1)
			return false;
	}
	return true;
}

/* libavformat reads parameter sets of H.265 without bounds, and may count to 2^32: what checks
 * all values is a filter that would change them. */
static bool sets_are_sound(const AVCodecParameters *p)
{
	const char *name = p->codec_id == AV_CODEC_ID_H264   ? "h264_metadata"
			   : p->codec_id == AV_CODEC_ID_HEVC ? "hevc_metadata"
							     : NULL;
	const AVBitStreamFilter *filter = name ? av_bsf_get_by_name(name) : NULL;
	AVBSFContext *context = NULL;
	if (!filter)
		return true;
	bool plain = p->codec_id != AV_CODEC_ID_HEVC ||
		     are_plain_sets(p->extradata, p->extradata_size);
	bool ok = p->extradata_size > 0 && plain && av_bsf_alloc(filter, &context) >= 0 &&
		  avcodec_parameters_copy(context->par_in, p) >= 0 && av_bsf_init(context) >= 0;
	av_bsf_free(&context);
	return ok;
}

enum lvx_status lvx_fmp4_open(struct lvx_fmp4 **out, const struct lvx_mux_track *track,
	int64_t shift_us, struct lvx_error *err)
{
	enum lvx_status st = lvx_fmp4_check(track->format, err);
	if (st != LVX_OK)
		return st;
	struct lvx_fmp4 *f = calloc(1, sizeof(*f));
	if (!f)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	f->shift_us = shift_us;
	f->last_dts = f->next_dts = AV_NOPTS_VALUE;
	f->to = &f->init;
	f->packet = av_packet_alloc();
	uint8_t *io = av_malloc(IO_BUFFER);
	if (!f->packet || !io ||
		avformat_alloc_output_context2(&f->format, NULL, "mp4", NULL) < 0 ||
		!(f->format->pb =
				avio_alloc_context(io, IO_BUFFER, 1, f, NULL, write_bytes, NULL))) {
		av_free(io);
		st = lvx_fail(err, LVX_ENOMEM, "out of memory");
		goto fail;
	}
	AVStream *s = avformat_new_stream(f->format, NULL);
	if (!s) {
		st = lvx_fail(err, LVX_ENOMEM, "out of memory");
		goto fail;
	}
	st = lvx_mux_describe(s, track, err);
	if (st != LVX_OK)
		goto fail;
	s->time_base = (AVRational){1, VIDEO_TIMESCALE};
	if (track->media == LVX_UNIT_AUDIO && s->codecpar->sample_rate > 0)
		s->time_base.den = s->codecpar->sample_rate;
	if (s->codecpar->codec_id == AV_CODEC_ID_OPUS &&
		(s->codecpar->extradata_size < 19 ||
			memcmp(s->codecpar->extradata, "OpusHead", 8) != 0)) {
		st = lvx_fail(err, LVX_EUNSUPPORTED, "Opus, but without its header");
		goto fail;
	}
	if (!sets_are_sound(s->codecpar)) {
		st = lvx_fail(err, LVX_EUNSUPPORTED, "%s: its parameter sets are broken",
			track->format->codec);
		goto fail;
	}
	/* These describe themselves, whatever the container says. */
	if (s->codecpar->codec_id == AV_CODEC_ID_AC3 || s->codecpar->codec_id == AV_CODEC_ID_EAC3 ||
		s->codecpar->codec_id == AV_CODEC_ID_MP3)
		s->codecpar->extradata_size = 0;
	if (track->media == LVX_UNIT_AUDIO)
		s->codecpar->frame_size = 1024; /* any, or libavformat complains */
	/* What players of Apple's want it to be called. */
	if (s->codecpar->codec_id == AV_CODEC_ID_HEVC)
		s->codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');
	st = write_header(f, err);
	if (st != LVX_OK)
		goto fail;
	*out = f;
	return LVX_OK;
fail:
	lvx_fmp4_close(f);
	return st;
}

void lvx_fmp4_close(struct lvx_fmp4 *f)
{
	if (!f)
		return;
	if (f->format) {
		if (f->format->pb) {
			av_freep(&f->format->pb->buffer);
			avio_context_free(&f->format->pb);
		}
		avformat_free_context(f->format);
	}
	av_packet_free(&f->packet);
	lvx_text_finish(&f->init);
	lvx_text_finish(&f->bytes);
	free(f);
}

/* The initialisation of AC-3 is made of its first unit. */
static bool is_sound(const AVStream *s, const struct lvx_unit *unit)
{
	enum AVCodecID id = s->codecpar->codec_id;
	uint8_t bitstream_id;
	uint16_t frame_size;
	return (id != AV_CODEC_ID_AC3 && id != AV_CODEC_ID_EAC3) ||
	       av_ac3_parse_header(unit->data, unit->len, &bitstream_id, &frame_size) >= 0;
}

enum lvx_status lvx_fmp4_add(struct lvx_fmp4 *f, const struct lvx_unit *unit, int64_t duration_us)
{
	AVStream *s = f->format->streams[0];
	bool sound = unit->media == LVX_UNIT_AUDIO;
	int64_t dts = av_rescale_q(unit->dts_us + f->shift_us, AV_TIME_BASE_Q, s->time_base);
	int64_t pts = av_rescale_q(unit->pts_us + f->shift_us, AV_TIME_BASE_Q, s->time_base);
	/* What is no gap but the rounding of microseconds is none in samples. */
	if (sound && f->next_dts != AV_NOPTS_VALUE && llabs(dts - f->next_dts) <= SNAP_SAMPLES)
		pts = dts = f->next_dts;
	if (dts < 0 || pts < dts || unit->len > INT_MAX / 2 || !is_sound(s, unit) ||
		(f->last_dts != AV_NOPTS_VALUE && dts <= f->last_dts))
		return LVX_EINVAL;
	av_packet_unref(f->packet);
	if (av_new_packet(f->packet, (int)unit->len) < 0)
		return LVX_ENOMEM;
	if (f->n == 0) {
		/* This fragment's time is said anew, not counted from the one before. */
		av_opt_set(f->format->priv_data, "movflags", "+frag_discont", 0);
		lvx_text_clear(&f->bytes);
	}
	memcpy(f->packet->data, unit->data, unit->len);
	f->packet->dts = dts;
	f->packet->pts = pts;
	f->packet->duration = av_rescale_q(duration_us, AV_TIME_BASE_Q, s->time_base);
	f->packet->flags = unit->keyframe ? AV_PKT_FLAG_KEY : 0;
	int r = av_write_frame(f->format, f->packet);
	if (r < 0)
		return r == AVERROR(ENOMEM) ? LVX_ENOMEM : LVX_EINVAL;
	f->last_dts = dts;
	f->next_dts = sound && duration_us > 0 ? dts + f->packet->duration : AV_NOPTS_VALUE;
	f->n++;
	return LVX_OK;
}

enum lvx_status lvx_fmp4_cut(struct lvx_fmp4 *f, const struct lvx_text **out, struct lvx_error *err)
{
	if (f->n == 0)
		return lvx_fail(err, LVX_EINVAL, "there is nothing in the segment");
	f->n = 0;
	/* The first flush writes the initialisation only. */
	int r = 0;
	if (f->to == &f->init) {
		r = av_write_frame(f->format, NULL);
		avio_flush(f->format->pb);
		f->to = &f->bytes;
	}
	if (r >= 0)
		r = av_write_frame(f->format, NULL);
	avio_flush(f->format->pb);
	if (r < 0 || f->bytes.len == 0)
		return lvx_fail(err, LVX_EUNSUPPORTED, "%s: no segment can be made of it",
			avcodec_get_name(f->format->streams[0]->codecpar->codec_id));
	*out = &f->bytes;
	return LVX_OK;
}

const struct lvx_text *lvx_fmp4_init(const struct lvx_fmp4 *f)
{
	return &f->init;
}
