/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/broadcast.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/uri.h"
#include "daemon/messages.h"
#include "daemon/outputs/channels.h"
#include "daemon/outputs/describe.h"
#include "daemon/outputs/embed.h"
#include "daemon/outputs/out_url.h"
#include "daemon/outputs/sender.h"

#include <stdlib.h>
#include <string.h>

enum {
	QUEUE_MAX = 8192, /* units; more than LVX_OUT_DELAY_MAX_MS of them */
	QUEUE_BYTES_MAX = 256 << 20,
	/* Where nobody waits, units may as well wait for all that will be said about them. */
	UNHURRIED_US = 3600000, /* over the stream's delay */
	BEGIN_US = 2000000,     /* so long are tracks waited for of which nothing has come */
	LATE_US = 1500000,
	REORDER_US = 1000000, /* so long does a picture wait for those before it */
	AHEAD_US = 60000000,  /* what lies further ahead is a jump of the clock */
	CORRECT_US = 2000000, /* what remains of the delay when corrections are over */
};

struct broadcast {
	struct lvx_outlet *host;
	struct lvx_out_url out;
	char *name; /* owned */
	int64_t delay_us;
	int64_t stream_delay_us; /* of its text */
	int64_t describe_us;     /* so late comes the described sound; 0: there is none */
	struct lvx_channels *channels;
	struct lvx_embed *embed;
	struct lvx_sender *sender;
	struct lvx_text au; /* the unit with captions */

	/* Tracks and the newest unit of each, referenced. */
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	const struct lvx_unit *samples[LVX_UNIT_TRACKS_MAX];
	size_t n_tracks;
	int video; /* the track with the captions; -1: none yet */
	enum lvx_a53_codec codec;
	bool begun;            /* all tracks are known, as far as they will be */
	int64_t first_unit_us; /* when the first came; 0: none */
	bool hopeless;         /* there is nothing that it can do */
	bool told_unknown;

	const struct lvx_unit *queue[QUEUE_MAX]; /* referenced; a ring, in the order of dts_us */
	size_t first, n;
	size_t n_announced;  /* of the queue: the embedder knows of pictures up to there */
	int64_t head_due_us; /* since when the first of the queue should have gone; 0: it need not
			      */
	/* Where the stream is. */
	int64_t start_us; /* lvx_now_us of timeline 0; 0: it is not heard in real time */
	int64_t heard_us;
	int64_t described_us; /* up to there described sound has come */
	bool described;       /* some has */
	uint64_t n_lost, n_told; /* units that have not left; of them, those the host knows of */
	size_t n_bytes;
};

/* ---- settings ---- */

static size_t n_wanted(const struct lvx_stream_settings *settings)
{
	size_t n = 0;
	struct lvx_out_url out;
	while (n < LVX_BROADCAST_OUTS_MAX && lvx_out_url_get(&out, settings->out, n, "")) {
		lvx_out_url_finish(&out);
		n++;
	}
	return n;
}

static enum lvx_status parse_channels(struct lvx_channel_setting out[2],
	const struct lvx_stream_settings *s, struct lvx_error *err)
{
	enum lvx_status st = lvx_channel_parse(
		&out[0], "out-cc1", s->out_cc1 ? s->out_cc1 : LVX_CHANNEL_CC1, err);
	if (st == LVX_OK)
		st = lvx_channel_parse(
			&out[1], "out-cc3", s->out_cc3 ? s->out_cc3 : LVX_CHANNEL_CC3, err);
	return st;
}

enum lvx_status lvx_broadcast_check(const struct lvx_stream_settings *s,
	const struct lvx_model_info *model, const char *where, struct lvx_error *err)
{
	struct lvx_channel_setting channels[2];
	enum lvx_status st = parse_channels(channels, s, err);
	for (size_t i = 0; st == LVX_OK; i++) {
		struct lvx_out_url out;
		if (!lvx_out_url_get(&out, s->out, i, "x"))
			break;
		st = i < LVX_BROADCAST_OUTS_MAX ? lvx_out_url_check(&out, s->describe > 0, err)
						: lvx_fail(err, LVX_EINVAL, "more than %d outputs",
							  LVX_BROADCAST_OUTS_MAX);
		lvx_out_url_finish(&out);
	}
	/* Its own lanes must be there; a model need not have those that nobody named. */
	const char *named[] = {s->out_cc1, s->out_cc3};
	for (int i = 0; i < 2 && st == LVX_OK; i++) {
		if (named[i] && channels[i].lane[0] &&
			lvx_model_info_lane(model, channels[i].lane) < 0)
			st = lvx_fail(err, LVX_EINVAL, "out-cc%d: the model has no lane '%s'",
				1 + 2 * i, channels[i].lane);
	}
	return st == LVX_OK ? st : lvx_error_context(err, "%s", where);
}

/* ---- callbacks of the sender, on its thread ---- */

static void on_trouble(void *user, const char *why)
{
	struct broadcast *b = user;
	lvx_outlet_trouble(b->host, "%s", why);
}

static void on_well(void *user, const char *name)
{
	struct broadcast *b = user;
	char how[300];
	snprintf(how, sizeof(how), "to %.280s", name);
	lvx_log_info("stream %s: out %s", lvx_hub_id(lvx_outlet_stream(b->host)), how);
	lvx_outlet_well(b->host, how);
}

/* ---- tracks ---- */

static void give_up(struct broadcast *b, const char *why)
{
	b->hopeless = true;
	lvx_outlet_trouble(b->host, "%s: %s", b->name, why);
}

/* Is the track one of those that are sent: the first pictures, and the first of each sound that
 * is wanted? */
static bool is_ours(const struct broadcast *b, size_t track)
{
	const struct lvx_unit_track *t = &b->tracks[track];
	for (size_t i = 0; i < track; i++) {
		if (b->tracks[i].media == t->media && b->tracks[i].role == t->role)
			return false;
	}
	return t->media == LVX_UNIT_AUDIO ? lvx_out_sound_has(b->out.sound, t->role)
					  : t->role == LVX_UNIT_MAIN;
}

static void set_tracks(struct broadcast *b)
{
	const struct lvx_unit *ours[LVX_UNIT_TRACKS_MAX] = {0};
	for (size_t i = 0; i < b->n_tracks; i++)
		ours[i] = is_ours(b, i) ? b->samples[i] : NULL;
	lvx_sender_set_tracks(b->sender, b->tracks, ours, b->n_tracks);
}

static void take_sample(struct broadcast *b, const struct lvx_unit *unit)
{
	if (unit->track >= b->n_tracks)
		b->n_tracks = lvx_units_tracks(lvx_outlet_units(b->host), b->tracks);
	if (unit->track >= b->n_tracks)
		return;
	bool same = b->samples[unit->track] && b->samples[unit->track]->format == unit->format;
	if (same)
		return;
	lvx_unit_unref(b->samples[unit->track]);
	b->samples[unit->track] = lvx_unit_ref(unit);
	if (unit->media == LVX_UNIT_VIDEO && is_ours(b, unit->track)) {
		b->video = (int)unit->track;
		bool h264 = strcmp(unit->format->codec, "h264") == 0;
		b->codec = h264 ? LVX_A53_H264 : LVX_A53_H265;
		if (!h264 && strcmp(unit->format->codec, "hevc") != 0) {
			char why[128];
			snprintf(why, sizeof(why),
				"the pictures are %s; captions go into H.264 and H.265 only",
				unit->format->codec);
			give_up(b, why);
		}
	}
	set_tracks(b);
}

/* Has something come of each track, or will nothing come? */
static bool can_begin(struct broadcast *b, bool all)
{
	bool whole = true, video = false;
	bool described = b->describe_us == 0 || b->out.sound == LVX_OUT_PROGRAMME;
	for (size_t i = 0; i < b->n_tracks; i++) {
		whole = whole && (b->samples[i] || !is_ours(b, i));
		video = video || b->tracks[i].media == LVX_UNIT_VIDEO;
		described = described || (b->tracks[i].role != LVX_UNIT_MAIN && is_ours(b, i) &&
						b->samples[i]);
	}
	whole = whole && described;
	bool waited = all || lvx_now_us() - b->first_unit_us > BEGIN_US + b->describe_us;
	if (waited && !video)
		give_up(b, "the stream has no pictures that could carry captions");
	else if (waited && b->video < 0)
		give_up(b, "no picture has come");
	if (waited && !described && b->out.sound == LVX_OUT_MIX) {
		lvx_log_warn("stream %s: %s: nothing describes it: its own sound is sent instead",
			lvx_hub_id(lvx_outlet_stream(b->host)), b->name);
		b->out.sound = LVX_OUT_PROGRAMME;
		set_tracks(b);
	}
	return (whole && video) || waited;
}

/* ---- the queue ---- */

static const struct lvx_unit *at(const struct broadcast *b, size_t i)
{
	return b->queue[(b->first + i) % QUEUE_MAX];
}

static bool is_picture(const struct broadcast *b, const struct lvx_unit *unit)
{
	return (int)unit->track == b->video;
}

/* Tracks come from threads of their own; here they are one again. */
static void enqueue(struct broadcast *b, const struct lvx_unit *unit)
{
	size_t i = b->n++;
	b->n_bytes += unit->len;
	for (; i > 0; i--) {
		const struct lvx_unit *before = at(b, i - 1);
		if (before->track == unit->track || before->dts_us <= unit->dts_us)
			break;
		b->queue[(b->first + i) % QUEUE_MAX] = before;
	}
	b->queue[(b->first + i) % QUEUE_MAX] = lvx_unit_ref(unit);
	/* What a picture has overtaken is sound, of which the embedder need not know: it is
	 * looked at again. */
	if (i < b->n_announced)
		b->n_announced = is_picture(b, unit) ? i : b->n_announced + 1;
}

static bool is_due(const struct broadcast *b, const struct lvx_unit *unit)
{
	int64_t unhurried_us = b->stream_delay_us + UNHURRIED_US;
	int64_t us = b->start_us ? lvx_now_us() - b->start_us - b->delay_us
				 : b->heard_us - (b->delay_us > unhurried_us ? b->delay_us
									     : unhurried_us);
	/* A file's pictures may be here long before what is mixed with its sound. */
	if (b->start_us == 0 && b->described && b->described_us < us && b->n < QUEUE_MAX / 2)
		us = b->described_us;
	return unit->dts_us <= us || unit->dts_us > us + AHEAD_US;
}

/* Tells the embedder of the pictures in the queue till it can let the first of them go. */
static bool picture_ready(struct broadcast *b, bool all)
{
	while (b->n_announced == 0 || !lvx_embed_ready(b->embed, false)) {
		if (b->n_announced == b->n)
			return all;
		const struct lvx_unit *unit = at(b, b->n_announced++);
		if (is_picture(b, unit))
			lvx_embed_put(b->embed, unit->pts_us, unit->dts_us);
	}
	return true;
}

/* A receiver that comes back is not given what is long over. */
static void put(struct broadcast *b, const struct lvx_unit *unit, const uint8_t *data, size_t len)
{
	int64_t late_us = b->start_us ? lvx_now_us() + LATE_US : INT64_MAX;
	lvx_sender_put(b->sender, unit, data, len, late_us);
}

static void pass_picture(struct broadcast *b, const struct lvx_unit *unit)
{
	struct lvx_a53_cc cc;
	lvx_embed_take(b->embed, &cc);
	lvx_text_clear(&b->au);
	lvx_a53_insert(&b->au, b->codec, unit->data, unit->len, &cc);
	if (b->au.len > 0)
		put(b, unit, (const uint8_t *)b->au.data, b->au.len);
}

/* Lets go what is due; all: everything. */
static void release(struct broadcast *b, bool all)
{
	if (b->n > 0 && !b->begun)
		b->begun = can_begin(b, all);
	while (b->n > 0 && (b->begun || b->hopeless)) {
		const struct lvx_unit *unit = at(b, 0);
		if (!all && !is_due(b, unit))
			break;
		if (!b->hopeless && is_picture(b, unit)) {
			int64_t now_us = lvx_now_us();
			b->head_due_us = b->head_due_us ? b->head_due_us : now_us;
			bool waited = b->start_us && now_us - b->head_due_us > REORDER_US;
			if (!picture_ready(b, all || waited))
				break;
			pass_picture(b, unit);
		} else if (!b->hopeless && is_ours(b, unit->track)) {
			put(b, unit, NULL, 0);
		}
		b->head_due_us = 0;
		b->first = (b->first + 1) % QUEUE_MAX;
		b->n--;
		b->n_bytes -= unit->len;
		b->n_announced -= b->n_announced > 0;
		lvx_unit_unref(unit);
	}
}

/* ---- the outlet ---- */

static void on_unit(void *self, const struct lvx_unit *unit)
{
	struct broadcast *b = self;
	if (b->first_unit_us == 0)
		b->first_unit_us = lvx_now_us();
	take_sample(b, unit);
	if (b->hopeless || unit->track >= b->n_tracks)
		return;
	if (b->n == QUEUE_MAX || b->n_bytes + unit->len > QUEUE_BYTES_MAX) {
		if (b->n_lost++ == 0)
			lvx_log_warn("stream %s: %s: too much waits to be heard; some is left out",
				lvx_hub_id(lvx_outlet_stream(b->host)), b->name);
		return;
	}
	enqueue(b, unit);
	if (b->tracks[unit->track].role != LVX_UNIT_MAIN && is_ours(b, unit->track)) {
		b->described = true;
		b->described_us = unit->dts_us;
	}
	release(b, false);
}

static void on_event(void *self, const struct lvx_hub_event *event)
{
	struct broadcast *b = self;
	lvx_channels_event(b->channels, event);
}

static void count_lost(struct broadcast *b)
{
	struct lvx_sender_stats stats;
	lvx_sender_get_stats(b->sender, &stats);
	uint64_t lost = b->n_lost + stats.dropped;
	lvx_outlet_count_lost(b->host, lost - b->n_told);
	b->n_told = lost;
}

static void tell_unknown(struct broadcast *b)
{
	const char *lane = b->told_unknown ? NULL : lvx_channels_unknown(b->channels);
	if (!lane)
		return;
	b->told_unknown = true;
	lvx_log_warn(
		"stream %s: %s: lane '%s' has letters that CEA-608 cannot write: %s stands for "
		"them",
		lvx_hub_id(lvx_outlet_stream(b->host)), b->name, lane, LVX_CC608_UNKNOWN);
}

static void on_tick(void *self, const struct lvx_hub_info *info)
{
	struct broadcast *b = self;
	b->start_us = info->stream.start_mono_us;
	b->heard_us = info->stream.heard_us;
	lvx_channels_tick(b->channels, b->heard_us, b->stream_delay_us);
	release(b, false);
	tell_unknown(b);
	count_lost(b);
}

static void on_end(void *self)
{
	struct broadcast *b = self;
	lvx_channels_finish(b->channels);
	release(b, true);
}

static void destroy(void *self)
{
	struct broadcast *b = self;
	if (!b)
		return;
	lvx_sender_destroy(b->sender);
	for (; b->n > 0; b->n--, b->first = (b->first + 1) % QUEUE_MAX)
		lvx_unit_unref(b->queue[b->first]);
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++)
		lvx_unit_unref(b->samples[i]);
	lvx_embed_destroy(b->embed);
	lvx_channels_destroy(b->channels);
	lvx_text_finish(&b->au);
	lvx_out_url_finish(&b->out);
	free(b->name);
	free(b);
}

/* Long enough for the words, and for the sound that is mixed with descriptions. */
static int64_t usual_delay_us(const struct broadcast *b)
{
	int64_t words_us = b->stream_delay_us + 1000 * LVX_BROADCAST_DELAY_MS;
	int64_t described_us = b->describe_us + 1000 * LVX_DESCRIBE_LATE_MS;
	return b->describe_us > 0 && described_us > words_us ? described_us : words_us;
}

static enum lvx_status create(void **self, struct lvx_outlet *host, struct lvx_error *err)
{
	const struct lvx_stream_settings *s = lvx_outlet_settings(host);
	struct lvx_hub_stream *stream = lvx_outlet_stream(host);
	struct lvx_channel_setting settings[2];
	struct lvx_cc608 *cc[2];
	enum lvx_status st = parse_channels(settings, s, err);
	if (st != LVX_OK)
		return st;
	struct broadcast *b = calloc(1, sizeof(*b));
	if (!b)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	char shown[300];
	b->host = host;
	b->video = -1;
	lvx_out_url_get(&b->out, s->out, lvx_outlet_index(host), lvx_hub_id(stream));
	lvx_uri_redact(shown, sizeof(shown), b->out.url);
	b->name = strdup(shown);
	b->stream_delay_us = lvx_hub_delay_us(stream);
	b->describe_us = lvx_describe_delay_us(s);
	b->delay_us = s->out_delay_ms >= 0 ? 1000 * (int64_t)s->out_delay_ms
					   : usual_delay_us(b);
	int64_t hold_us = b->delay_us > CORRECT_US ? b->delay_us - CORRECT_US : 0;
	lvx_hub_note_hold(stream, hold_us);
	b->channels = lvx_channels_create(settings, hold_us);
	lvx_channels_get(b->channels, cc);
	b->embed = lvx_embed_create(cc);
	struct lvx_sender_params sp = {
		.url = b->out.url,
		.service = lvx_hub_id(stream),
		.on_trouble = on_trouble,
		.on_well = on_well,
		.user = b,
	};
	st = lvx_sender_create(&b->sender, &sp, err);
	if (st != LVX_OK) {
		destroy(b);
		return st;
	}
	*self = b;
	return LVX_OK;
}

const struct lvx_outlet_kind lvx_outlet_broadcast = {
	.name = "out",
	.n_wanted = n_wanted,
	.create = create,
	.on_event = on_event,
	.on_unit = on_unit,
	.on_tick = on_tick,
	.on_end = on_end,
	.destroy = destroy,
};
