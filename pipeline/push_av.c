/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed containers: packets to decoded frames into the feed. */
#include "pipeline/push_av.h"

#include "base/clock.h"

#include <libavutil/channel_layout.h>
#include <libavutil/common.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BROKEN_MAX = 1000, /* packets in a row that cannot be read */
	PCM_MAX = 1 << 20, /* values of one decoded frame */
};
static const int64_t held_max_us = 500000;
static const int64_t origin_max_us = 10000000; /* a first timestamp over this becomes 0 */

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

static int64_t frame_us(struct lvx_push_av *av, enum lvx_medium medium)
{
	int64_t pts = av->frame->best_effort_timestamp;
	if (pts == AV_NOPTS_VALUE)
		return INT64_MIN;
	return av_rescale_q(pts, av->track[medium].stream->time_base, AV_TIME_BASE_Q);
}

static int64_t map_time(
	struct lvx_push_av *av, enum lvx_medium medium, int64_t src_us, int64_t dur_us)
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

static enum lvx_status take_sound(struct lvx_push_av *av)
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

static enum lvx_status take_picture(struct lvx_push_av *av)
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
static enum lvx_status decode(
	struct lvx_push_av *av, enum lvx_medium medium, const AVPacket *packet)
{
	struct lvx_push_track *t = &av->track[medium];
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

/* ---- packets ---- */

static int64_t source_us(const struct lvx_push_av *av, enum lvx_medium medium, int64_t t)
{
	return t == AV_NOPTS_VALUE
		       ? INT64_MIN
		       : av_rescale_q(t, av->track[medium].stream->time_base, AV_TIME_BASE_Q);
}

/* packet NULL: the end. */
static void tell_unit(struct lvx_push_av *av, enum lvx_medium medium, const AVPacket *packet)
{
	const AVStream *s = av->track[medium].stream;
	int64_t offset_us;
	if (!lvx_tap_wanted(av->tap))
		return;
	bool known = lvx_timeline_offset(&av->timeline, medium, &offset_us);
	if (!packet) {
		lvx_tap_put(av->tap, medium, NULL, known, offset_us, true);
		return;
	}
	const AVCodecParameters *par = s->codecpar;
	struct lvx_unit_format f = {
		.sample_rate = par->sample_rate > 0 ? (uint32_t)par->sample_rate : 0,
		.channels = par->ch_layout.nb_channels > 0 ? (uint32_t)par->ch_layout.nb_channels : 0,
		.width = par->width > 0 ? (uint32_t)par->width : 0,
		.height = par->height > 0 ? (uint32_t)par->height : 0,
		.extra = par->extradata,
		.n_extra = par->extradata_size > 0 ? (size_t)par->extradata_size : 0,
	};
	snprintf(f.codec, sizeof(f.codec), "%s", avcodec_get_name(par->codec_id));
	if (s->avg_frame_rate.num > 0 && s->avg_frame_rate.den > 0) {
		f.fps_num = (uint32_t)s->avg_frame_rate.num;
		f.fps_den = (uint32_t)s->avg_frame_rate.den;
	}
	lvx_tap_format(av->tap, medium, &f);
	struct lvx_tap_packet p = {
		.data = packet->data,
		.len = packet->size > 0 ? (size_t)packet->size : 0,
		.pts_us = source_us(av, medium, packet->pts),
		.dts_us = av->no_dts ? INT64_MIN : source_us(av, medium, packet->dts),
		.duration_us = packet->duration > 0 ? source_us(av, medium, packet->duration) : 0,
		.keyframe = packet->flags & AV_PKT_FLAG_KEY,
	};
	lvx_tap_put(av->tap, medium, &p, known, offset_us, false);
}

/* Times are a stranger's: what overflows saturates. */
static int64_t packet_end_us(const struct lvx_push_av *av, const AVPacket *p)
{
	AVRational base = av->track[LVX_SOUND].stream->time_base;
	return p->pts == AV_NOPTS_VALUE
		       ? INT64_MIN
		       : av_rescale_q(av_sat_add64(p->pts, p->duration), base, AV_TIME_BASE_Q);
}

/* Decodes the sound that has waited long enough; all of it at the end. */
static enum lvx_status release_sound(struct lvx_push_av *av, bool all)
{
	enum lvx_status st = LVX_OK;
	while (av->n_held > 0 && st == LVX_OK) {
		AVPacket **p = &av->held[av->first_held];
		AVPacket *last = av->held[(av->first_held + av->n_held - 1) % HELD_MAX];
		int64_t end_us = packet_end_us(av, *p);
		int64_t held_us = av_sat_sub64(packet_end_us(av, last), end_us);
		if (!all && av->n_held < HELD_MAX && end_us > av->picture_us &&
			held_us <= held_max_us)
			break;
		st = decode(av, LVX_SOUND, *p);
		av_packet_free(p);
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
static enum lvx_status hold_sound(struct lvx_push_av *av)
{
	AVPacket *p = av_packet_clone(av->packet);
	if (!p)
		return LVX_ENOMEM;
	av->held[(av->first_held + av->n_held++) % HELD_MAX] = p;
	return release_sound(av, false);
}

static enum lvx_status take_packet(struct lvx_push_av *av)
{
	for (int m = 0; m < LVX_MEDIA; m++) {
		struct lvx_push_track *t = &av->track[m];
		if (!t->stream || t->stream->index != av->packet->stream_index)
			continue;
		if (av->wraps) {
			if (av->packet->dts != AV_NOPTS_VALUE)
				av->packet->dts = lvx_unwrap(&av->unwrap, av->packet->dts);
			if (av->packet->pts != AV_NOPTS_VALUE)
				av->packet->pts = lvx_unwrap(&av->unwrap, av->packet->pts);
		}
		tell_unit(av, (enum lvx_medium)m, av->packet);
		if (!t->codec)
			return LVX_OK;
		if (m == LVX_SOUND && av->holds)
			return hold_sound(av);
		enum lvx_status st = decode(av, (enum lvx_medium)m, av->packet);
		return st == LVX_OK ? release_sound(av, false) : st;
	}
	return LVX_OK;
}

/* Reads till the end. False: *err says why not. */
static bool pump(struct lvx_push_av *av, struct lvx_error *err)
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
				return lvx_push_av_fail(err, LVX_EINVAL,
					"this MP4 cannot be read as it comes: its index (moov) "
					"must "
					"come first, or it must be fragmented",
					r);
			/* What is broken may be the end of what came. */
			if (r != AVERROR_INVALIDDATA || ++broken > BROKEN_MAX || avio_feof(av->io))
				return av->decoded && avio_feof(av->io)
					       ? true
					       : lvx_push_av_fail(err, LVX_EINVAL,
							 "the container is broken", r);
			continue;
		}
		broken = 0;
		av->got_packet = true;
		st = take_packet(av);
		av_packet_unref(av->packet);
	}
	/* Pictures first: sound may wait for them. */
	for (int m = LVX_MEDIA - 1; m >= 0 && st == LVX_OK && !lvx_push_av_is_aborted(av); m--) {
		if (m == LVX_SOUND)
			st = release_sound(av, true);
		if (av->track[m].codec && st == LVX_OK)
			st = decode(av, (enum lvx_medium)m, NULL);
		if (av->track[m].stream)
			tell_unit(av, (enum lvx_medium)m, NULL);
	}
	if (st == LVX_EINVAL) {
		lvx_fail(err, st, "push: the sound has no channel %d", av->push->params.channel);
		return false;
	}
	if (st == LVX_OK && !av->decoded && !lvx_push_av_is_aborted(av)) {
		lvx_fail(err, LVX_EINVAL, "push: nothing in it could be decoded");
		return false;
	}
	return true;
}

bool lvx_push_run_av(struct lvx_push *push, struct lvx_error *err)
{
	struct lvx_push_av *av = calloc(1, sizeof(*av));
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
	ok = ok && lvx_push_av_open(av, err) && pump(av, err);
	if (lvx_push_av_is_aborted(av))
		ok = true; /* whatever it was that broke off */
	else if (av->track[LVX_PICTURES].codec)
		lvx_feed_end_pictures(push->feed, av->pictures_end_us);
	for (unsigned i = 0; i < HELD_MAX; i++)
		av_packet_free(&av->held[i]);
	for (int m = 0; m < LVX_MEDIA; m++)
		avcodec_free_context(&av->track[m].codec);
	lvx_tap_destroy(av->tap);
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
