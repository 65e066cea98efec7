/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/mux.h"

#include "base/clock.h"
#include "base/uri.h"
#include "daemon/outputs/mux_priv.h"
#include "daemon/outputs/ts_describe.h"
#include "pipeline/av_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>

enum { NOWHERE = -1, TS_DELAY_US = 50000, TS_BUFFER = 188 * 348 };

static const struct kind {
	const char *scheme, *ending; /* one of them is NULL */
	const char *format;
} kinds[] = {
	{"srt:", NULL, "mpegts"},
	{"udp:", NULL, "mpegts"},
	{"rtmp:", NULL, "flv"},
	{"rtmps:", NULL, "flv"},
	{NULL, ".ts", "mpegts"},
	{NULL, ".mp4", "mp4"},
	{NULL, ".flv", "flv"},
};

struct lvx_mux {
	const struct kind *kind;
	const _Atomic bool *stop;
	int64_t deadline_us; /* of what is being done */
	AVFormatContext *format;
	AVIOContext *io;            /* where it goes; of format, unless ts is in between */
	struct lvx_ts_describe *ts; /* NULL: no sound that needs it */
	struct lvx_text ts_out;
	AVPacket *packet;
	int stream[LVX_UNIT_TRACKS_MAX]; /* by track; NOWHERE: not carried */
	int64_t last_dts[LVX_UNIT_TRACKS_MAX];
	enum lvx_unit_role role[LVX_UNIT_TRACKS_MAX];
	bool headed; /* the header is written, and wants a trailer */
	uint64_t bytes;
	char name[PATH_MAX];
};

/* ---- names ---- */

static bool ends_in(const char *s, const char *ending)
{
	size_t n = strlen(s), k = strlen(ending);
	return n > k && strcasecmp(s + n - k, ending) == 0;
}

static const struct kind *kind_of(const char *url)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];
		if (k->scheme ? strncmp(url, k->scheme, strlen(k->scheme)) == 0 &&
					strncmp(url + strlen(k->scheme), "//", 2) == 0
			      : !strstr(url, "://") && ends_in(url, k->ending))
			return k;
	}
	return NULL;
}

enum lvx_status lvx_mux_check(const char *url, struct lvx_error *err)
{
	if (strlen(url) >= PATH_MAX - 16)
		return lvx_fail(err, LVX_EINVAL, "the name is too long");
	if (kind_of(url))
		return LVX_OK;
	char shown[256];
	lvx_uri_redact(shown, sizeof(shown), url);
	return lvx_fail(err, LVX_EINVAL,
		"'%s' is no output; allowed are srt://, udp://, rtmp:// and rtmps:// URLs, and "
		"files that end in .ts, .mp4 or .flv, with mix= or voice= before them or nothing",
		shown);
}

bool lvx_mux_is_file(const char *url)
{
	const struct kind *k = kind_of(url);
	return k && !k->scheme;
}

size_t lvx_mux_sounds(const char *url)
{
	const struct kind *k = kind_of(url);
	return k && strcmp(k->format, "flv") == 0 ? 1 : LVX_UNIT_TRACKS_MAX;
}

bool lvx_mux_signals_voice(const char *url)
{
	const struct kind *k = kind_of(url);
	return k && strcmp(k->format, "mpegts") == 0;
}

/* ---- libavformat ---- */

static int is_over(void *user)
{
	const struct lvx_mux *m = user;
	return atomic_load(m->stop) || lvx_now_us() > m->deadline_us;
}

static enum lvx_status fail(struct lvx_mux *m, int code, const char *what, struct lvx_error *err)
{
	/* An RTMP server's own words: anything may stand there. */
	static const char says[] = "Server error: ";
	char text[AV_ERROR_MAX_STRING_SIZE];
	const char *said = lvx_av_log_last();
	if (strncmp(said, says, sizeof(says) - 1) == 0) {
		snprintf(text, sizeof(text), "%s", said + sizeof(says) - 1);
		for (char *p = text; *p; p++)
			*p = *p >= ' ' && *p < 0x7f ? *p : '?';
		return lvx_fail(err, LVX_EIO, "%s: the server refuses: %s", m->name, text);
	}
	av_strerror(code, text, sizeof(text));
	if (code == AVERROR_EXIT || lvx_now_us() > m->deadline_us)
		snprintf(text, sizeof(text), "no answer in time");
	return lvx_fail(err, LVX_EIO, "%s: %s (%s)", m->name, what, text);
}

/* Makes a new file, and m->name its name. */
static enum lvx_status make_file(struct lvx_mux *m, const char *path, struct lvx_error *err)
{
	size_t stem = strlen(path) - strlen(m->kind->ending);
	for (int i = 1; i <= LVX_MUX_TRIES; i++) {
		snprintf(m->name, sizeof(m->name), "%s", path);
		if (i > 1)
			snprintf(m->name, sizeof(m->name), "%.*s_%d%s", (int)stem, path, i,
				path + stem);
		int fd = open(m->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd >= 0) {
			close(fd);
			return LVX_OK;
		}
		if (errno != EEXIST)
			return lvx_fail(
				err, LVX_EIO, "%s: cannot be made: %s", m->name, strerror(errno));
	}
	return lvx_fail(err, LVX_EIO, "%s: there are %d such files already", path, LVX_MUX_TRIES);
}

static int on_ts(void *user, uint8_t *data, int n)
{
	struct lvx_mux *m = user;
	lvx_text_clear(&m->ts_out);
	lvx_ts_describe_put(m->ts, &m->ts_out, data, (size_t)n);
	avio_write(m->io, (const unsigned char *)m->ts_out.data, (int)m->ts_out.len);
	avio_flush(m->io);
	return m->io->error < 0 ? m->io->error : n;
}

/* What the muxer writes goes through ts first. */
static enum lvx_status put_between(struct lvx_mux *m, struct lvx_error *err)
{
	unsigned char *buffer = av_malloc(TS_BUFFER);
	if (buffer)
		m->format->pb = avio_alloc_context(buffer, TS_BUFFER, 1, m, NULL, on_ts, NULL);
	if (m->format->pb)
		return LVX_OK;
	av_free(buffer);
	return lvx_fail(err, LVX_ENOMEM, "out of memory");
}

static enum lvx_status connect_to(struct lvx_mux *m, const char *url, struct lvx_error *err)
{
	AVDictionary *options = NULL;
	char target[PATH_MAX + 8];
	enum lvx_status st = LVX_OK;
	m->deadline_us = lvx_now_us() + LVX_MUX_CONNECT_US;
	lvx_av_log_route();
	lvx_av_log_forget();
	if (!m->kind->scheme) {
		st = make_file(m, url, err);
		snprintf(target, sizeof(target), "file:%s", m->name);
	} else {
		lvx_uri_redact(m->name, sizeof(m->name), url);
		snprintf(target, sizeof(target), "%s", url);
		if (strstr(url, "mode=listener") || strstr(url, "listen=1"))
			m->deadline_us = INT64_MAX; /* it comes when it comes */
		/* Seven packets of MPEG-TS: what fits into a datagram. */
		if (strcmp(m->kind->scheme, "udp:") == 0 && !strstr(url, "pkt_size="))
			av_dict_set(&options, "pkt_size", "1316", 0);
	}
	if (st != LVX_OK)
		return st;
	/* An option in the URL wins over these. */
	int r = avio_open2(
		&m->io, target, AVIO_FLAG_WRITE, &m->format->interrupt_callback, &options);
	av_dict_free(&options);
	if (r < 0)
		return fail(m, r, m->kind->scheme ? "cannot connect" : "cannot be written", err);
	if (m->ts)
		return put_between(m, err);
	m->format->pb = m->io;
	return LVX_OK;
}

/* ISO 639-2 of the languages that models speak, as MPEG-TS and MP4 want it. */
static void set_language(AVStream *stream, const char *language)
{
	static const char *const three[][2] = {{"ar", "ara"}, {"cs", "ces"}, {"da", "dan"},
		{"de", "deu"}, {"el", "ell"}, {"en", "eng"}, {"es", "spa"}, {"fi", "fin"},
		{"fr", "fra"}, {"hi", "hin"}, {"hu", "hun"}, {"it", "ita"}, {"ja", "jpn"},
		{"ko", "kor"}, {"nl", "nld"}, {"no", "nor"}, {"pl", "pol"}, {"pt", "por"},
		{"ro", "ron"}, {"ru", "rus"}, {"sv", "swe"}, {"tr", "tur"}, {"uk", "ukr"},
		{"zh", "zho"}};
	size_t len = strcspn(language, "-_");
	char code[4] = "";
	if (len == 3)
		snprintf(code, sizeof(code), "%.3s", language);
	for (size_t i = 0; i < sizeof(three) / sizeof(three[0]); i++) {
		if (len == 2 && strncasecmp(language, three[i][0], 2) == 0)
			snprintf(code, sizeof(code), "%s", three[i][1]);
	}
	if (code[0])
		av_dict_set(&stream->metadata, "language", code, 0);
}

enum lvx_status lvx_mux_describe(AVStream *s, const struct lvx_mux_track *t, struct lvx_error *err)
{
	const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(t->format->codec);
	if (!codec)
		return lvx_fail(
			err, LVX_EUNSUPPORTED, "there is no codec '%s'", t->format->codec);
	AVCodecParameters *p = s->codecpar;
	p->codec_id = codec->id;
	p->codec_type = codec->type;
	p->width = (int)t->format->width;
	p->height = (int)t->format->height;
	p->sample_rate = (int)t->format->sample_rate;
	if (t->format->channels > 0)
		av_channel_layout_default(&p->ch_layout, (int)t->format->channels);
	const uint8_t *extra = t->extra ? t->extra : t->format->extra;
	size_t n = t->extra ? t->n_extra : t->format->n_extra;
	if (n > 0) {
		p->extradata = av_mallocz(n + AV_INPUT_BUFFER_PADDING_SIZE);
		if (!p->extradata)
			return lvx_fail(err, LVX_ENOMEM, "out of memory");
		memcpy(p->extradata, extra, n);
		p->extradata_size = (int)n;
	}
	s->time_base = AV_TIME_BASE_Q;
	if (t->format->fps_num && t->format->fps_den)
		s->avg_frame_rate = (AVRational){(int)t->format->fps_num, (int)t->format->fps_den};
	if (t->role != LVX_UNIT_MAIN)
		s->disposition = AV_DISPOSITION_VISUAL_IMPAIRED | AV_DISPOSITION_DESCRIPTIONS;
	if (t->role == LVX_UNIT_DESCRIPTION)
		s->disposition |= AV_DISPOSITION_DEPENDENT;
	set_language(s, t->language);
	return LVX_OK;
}

static enum lvx_status add_track(
	struct lvx_mux *m, size_t index, const struct lvx_mux_track *t, struct lvx_error *err)
{
	const AVCodecDescriptor *codec = avcodec_descriptor_get_by_name(t->format->codec);
	const AVOutputFormat *o = m->format->oformat;
	bool flv = strcmp(o->name, "flv") == 0;
	if (flv && t->media == LVX_UNIT_AUDIO)
		for (unsigned i = 0; i < m->format->nb_streams; i++)
			if (m->format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
				return LVX_OK;
	/* FFmpeg 5.1 lets it in, and receivers do not know what it is. */
	bool hevc = codec && codec->id == AV_CODEC_ID_HEVC;
	if (!codec || (flv && hevc) ||
		avformat_query_codec(o, codec->id, FF_COMPLIANCE_NORMAL) == 0)
		return lvx_fail(err, LVX_EUNSUPPORTED, "%s: %s does not carry %s", m->name,
			flv                           ? "RTMP and FLV"
			: strcmp(o->name, "mp4") == 0 ? "MP4"
						      : "MPEG-TS",
			t->format->codec);
	AVStream *s = avformat_new_stream(m->format, NULL);
	if (!s)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	m->stream[index] = s->index;
	m->role[index] = t->role;
	if (t->role != LVX_UNIT_MAIN && strcmp(o->name, "mpegts") == 0) {
		if (!m->ts)
			m->ts = lvx_ts_describe_create();
		lvx_ts_describe_track(m->ts, LVX_TS_FIRST_PID + (unsigned)s->index, t->role);
	}
	return lvx_mux_describe(s, t, err);
}

static enum lvx_status write_header(struct lvx_mux *m, const char *service, struct lvx_error *err)
{
	AVDictionary *options = NULL;
	AVFormatContext *f = m->format;
	f->flags |= AVFMT_FLAG_FLUSH_PACKETS; /* nothing waits in our buffer for the next */
	if (strcmp(f->oformat->name, "mpegts") == 0) {
		f->max_delay = TS_DELAY_US;
		/* A receiver need not wait for the next picture to know that this one is whole. */
		av_dict_set(&options, "omit_video_pes_length", "0", 0);
		av_dict_set_int(&options, "mpegts_pmt_start_pid", LVX_TS_PMT_PID, 0);
		av_dict_set_int(&options, "mpegts_start_pid", LVX_TS_FIRST_PID, 0);
		av_dict_set(&f->metadata, "service_provider", "Lumivox", 0);
		av_dict_set(&f->metadata, "service_name", service, 0);
	} else if (strcmp(f->oformat->name, "mp4") == 0) {
		/* Whole after every fragment, whatever happens. */
		av_dict_set(&options, "movflags", "frag_keyframe+empty_moov+default_base_moof", 0);
	} else if (m->kind->scheme) {
		av_dict_set(&options, "flvflags", "no_duration_filesize", 0);
	}
	int r = avformat_write_header(f, &options);
	av_dict_free(&options);
	m->headed = r >= 0;
	return r < 0 ? fail(m, r, "cannot begin", err) : LVX_OK;
}

enum lvx_status lvx_mux_open(struct lvx_mux **out, const char *url, const char *service,
	const struct lvx_mux_track tracks[LVX_UNIT_TRACKS_MAX], const _Atomic bool *stop,
	struct lvx_error *err)
{
	enum lvx_status st = lvx_mux_check(url, err);
	if (st != LVX_OK)
		return st;
	struct lvx_mux *m = calloc(1, sizeof(*m));
	if (!m)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	m->kind = kind_of(url);
	m->stop = stop;
	lvx_uri_redact(m->name, sizeof(m->name), url);
	m->packet = av_packet_alloc();
	if (!m->packet ||
		avformat_alloc_output_context2(&m->format, NULL, m->kind->format, NULL) < 0) {
		st = lvx_fail(err, LVX_ENOMEM, "out of memory");
		goto fail;
	}
	m->format->interrupt_callback = (AVIOInterruptCB){is_over, m};
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++) {
		m->stream[i] = NOWHERE;
		m->last_dts[i] = INT64_MIN;
	}
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX && st == LVX_OK; i++) {
		if (tracks[i].format)
			st = add_track(m, i, &tracks[i], err);
	}
	if (st == LVX_OK)
		st = connect_to(m, url, err);
	if (st == LVX_OK)
		st = write_header(m, service, err);
	if (st != LVX_OK)
		goto fail;
	*out = m;
	return LVX_OK;
fail:
	lvx_mux_close(m);
	return st;
}

const char *lvx_mux_name(const struct lvx_mux *mux)
{
	return mux->name;
}

uint64_t lvx_mux_bytes(const struct lvx_mux *mux)
{
	return mux->bytes;
}

enum lvx_status lvx_mux_write(struct lvx_mux *m, size_t track, const struct lvx_unit *unit,
	const uint8_t *data, size_t len, struct lvx_error *err)
{
	if (track >= LVX_UNIT_TRACKS_MAX || len > INT_MAX / 2)
		return LVX_EINVAL;
	if (m->stream[track] == NOWHERE) /* this container has no such track */
		return LVX_OK;
	AVStream *s = m->format->streams[m->stream[track]];
	int64_t dts = av_rescale_q(unit->dts_us, AV_TIME_BASE_Q, s->time_base);
	int64_t pts = av_rescale_q(unit->pts_us, AV_TIME_BASE_Q, s->time_base);
	if (dts <= m->last_dts[track] || pts < dts)
		return LVX_EINVAL;
	/* Borrowed: av_write_frame copies what is not counted by reference. */
	av_packet_unref(m->packet);
	if (av_new_packet(m->packet, (int)len) < 0)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	memcpy(m->packet->data, data, len);
	m->packet->stream_index = s->index;
	m->packet->dts = dts;
	m->packet->pts = pts;
	m->packet->duration = av_rescale_q(unit->duration_us, AV_TIME_BASE_Q, s->time_base);
	m->packet->flags = unit->keyframe ? AV_PKT_FLAG_KEY : 0;
	m->deadline_us = lvx_now_us() + LVX_MUX_SEND_US;
	m->last_dts[track] = dts;
	if (m->role[track] == LVX_UNIT_DESCRIPTION && m->ts)
		lvx_ts_describe_fade(m->ts, pts, unit->fade);
	int64_t before = avio_tell(m->format->pb);
	int r = av_write_frame(m->format, m->packet);
	if (r >= 0 && m->format->pb->error < 0)
		r = m->format->pb->error;
	int64_t after = avio_tell(m->format->pb);
	m->bytes += after > before ? (uint64_t)(after - before) : 0;
	if (r == AVERROR(EINVAL) || r == AVERROR_INVALIDDATA)
		return LVX_EINVAL;
	return r < 0 ? fail(m, r, m->kind->scheme ? "the receiver has gone" : "cannot be written",
			       err)
		     : LVX_OK;
}

void lvx_mux_close(struct lvx_mux *m)
{
	if (!m)
		return;
	if (m->format) {
		/* Even when stopping: what ends a file is small. */
		static const _Atomic bool never;
		m->stop = &never;
		m->deadline_us = lvx_now_us() + 500000;
		if (m->headed && m->format->pb->error >= 0)
			av_write_trailer(m->format);
		if (m->ts && m->format->pb) {
			avio_flush(m->format->pb);
			av_freep(&m->format->pb->buffer);
			avio_context_free(&m->format->pb);
		}
		avio_closep(&m->io);
		avformat_free_context(m->format);
	}
	lvx_ts_describe_destroy(m->ts);
	lvx_text_finish(&m->ts_out);
	av_packet_free(&m->packet);
	free(m);
}
