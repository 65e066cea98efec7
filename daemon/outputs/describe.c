/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/describe.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/describe/hearing.h"
#include "daemon/describe/mixer.h"
#include "daemon/describe/plan.h"
#include "daemon/describe/silence.h"
#include "daemon/describe/sound.h"
#include "daemon/describe/speech.h"
#include "daemon/describe/voice.h"
#include "daemon/event_json.h"
#include "daemon/outputs/listeners.h"
#include "daemon/outputs/out_url.h"
#include "daemon/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOR_EVER_US (INT64_MAX / 1000)

enum {
	RATE = LVX_CLIP_RATE,
	STEP = RATE / 10,   /* samples that are planned and mixed at once */
	SLACK = 20 * RATE,  /* decoded sound, over the delay, that waits at most */
	JITTER = RATE / 25, /* 40 ms: times that differ by less belong together */
	WINDOW = 250,       /* pieces of decoded sound: about 5 s */
	FILLED = 2 * RATE,  /* a longer hole is a new beginning */
	BIT_RATE = 128000,
	VOICE_BIT_RATE = 64000,
	RAMP_US = 300000,
	SETTLE_US = 1100000, /* words of what was heard, and the model's delay, are here */
	PAUSE_US = 2000000,  /* so long without a word ends a description */
	TEXT_MAX = LVX_WORDING_BYTES_MAX,
	CLIPS_MAX = 2 * LVX_PLAN_PENDING_MAX,
	WAIT_US = 2000,
	QUEUE_MAX = 1 << 18, /* units; more than an hour */
};

struct describe {
	struct lvx_outlet *host;
	const char *id; /* the stream's; for the log */
	int64_t delay_us, stream_delay_us;
	double level_lufs; /* 0: as the programme's speech */
	struct lvx_plan *plan;
	struct lvx_speech speech;
	struct lvx_voice *voice;
	struct lvx_mixer *mixer;
	struct lvx_hearing *hearing;
	struct lvx_sound_in *in;
	struct lvx_sound_out *out;
	struct lvx_sound_out *alone_out; /* NULL: no output wants the voice alone */
	struct lvx_listeners *listeners;
	int lane;     /* of the descriptions */
	bool wanted;  /* the stream has ever made them */
	/* Tracks: the programme's sound, the mix, and the voice alone; -1: none, or none yet. */
	int from, to, to_alone;
	bool silent; /* the programme has no sound */
	struct lvx_silence silence;

	/* What has been spoken and not placed yet. */
	struct lvx_spoken clips[CLIPS_MAX];
	size_t n_clips;

	/* The description in the making. */
	struct lvx_text text;
	char language[16];
	int64_t seen_us, last_us;

	/* What is not decoded yet, in order; referenced. */
	const struct lvx_unit **queue; /* [n_queue] */
	size_t n_queue, queue_cap;

	/* Sound that is not mixed yet: samples begin..end of the timeline, in a ring. */
	float *pcm;            /* [cap, 2] */
	float alone[2 * STEP]; /* the voice */
	int64_t cap, begin, end;
	int64_t latest_off; /* of the times in this window, from where they should be */
	int n_in_window;
	int64_t start_us; /* lvx_now_us of timeline 0; 0: it is not heard in real time */
	int64_t heard_us, known_us;
	bool over;      /* all has been heard */
	bool impatient; /* the voice is not waited for any more */
	uint64_t n_spoken, n_dropped;
};

static size_t n_wanted(const struct lvx_stream_settings *s)
{
	return s->describe > 0;
}

/* ---- samples and times ---- */

static int64_t us_of(int64_t samples)
{
	return samples * 125 / 6;
}

static int64_t sample_of(int64_t us)
{
	return us * 6 / 125;
}

/* ---- texts ---- */

static void end_text(struct describe *d)
{
	if (d->text.len == 0)
		return;
	lvx_plan_describe(d->plan, d->text.data, d->language, d->seen_us);
	lvx_text_clear(&d->text);
}

static void take_word(struct describe *d, const json_t *root, const struct lvx_event_word *w)
{
	const char *language = json_string_value(json_object_get(root, "language"));
	if (d->text.len + strlen(w->text) + 2 > TEXT_MAX)
		end_text(d);
	if (d->text.len == 0) {
		d->seen_us = w->start_us;
		snprintf(d->language, sizeof(d->language), "%s", language ? language : "");
	}
	lvx_text_word(&d->text, w->text);
	d->last_us = w->end_us;
}

static void on_event(void *self, const struct lvx_hub_event *event)
{
	struct describe *d = self;
	bool text = event->kind == LVX_HUB_TEXT && event->lane < LVX_LANES_MAX;
	json_t *root = text ? lvx_event_json(event) : NULL;
	if (!root)
		return;
	const char *lane = json_string_value(json_object_get(root, "lane"));
	bool caption = lane && strcmp(lane, "caption") == 0;
	bool description = lane && strcmp(lane, "description") == 0;
	struct lvx_event_word w;
	for (size_t i = 0; lvx_event_word(root, &i, &w);) {
		if (w.text[0] == '[') /* a mark, not a word */
			continue;
		if (description)
			take_word(d, root, &w);
		else if (caption)
			lvx_speech_word(&d->speech, w.start_us, w.end_us);
	}
	if (description && lvx_event_ends_segment(root))
		end_text(d);
	json_decref(root);
}

/* ---- the plan ---- */

static void on_speech(void *user, int64_t start_us, int64_t end_us)
{
	struct describe *d = user;
	lvx_plan_speech(d->plan, start_us, end_us);
}

static void on_sound_speech(void *user, int64_t start_us, int64_t end_us)
{
	struct describe *d = user;
	lvx_speech_sound(&d->speech, start_us, end_us);
}

static void drop_clips(struct describe *d, uint64_t id)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n_clips; i++) {
		if (d->clips[i].id == id)
			lvx_clip_destroy(d->clips[i].clip);
		else
			d->clips[n++] = d->clips[i];
	}
	d->n_clips = n;
}

static void take_spoken(struct describe *d)
{
	struct lvx_spoken s;
	while (lvx_voice_take(d->voice, &s)) {
		if (!s.clip) {
			d->impatient = true;
			lvx_outlet_trouble(d->host, "%s", s.why);
		} else {
			lvx_outlet_well(d->host, "the voice speaks");
		}
		if (s.clip && d->n_clips == CLIPS_MAX)
			drop_clips(d, d->clips[0].id);
		int64_t us = s.clip ? us_of((int64_t)s.clip->n) : -1;
		if (s.clip)
			d->clips[d->n_clips++] = s;
		lvx_plan_spoken(d->plan, s.id, s.variant, us);
	}
}

static void place(struct describe *d, const struct lvx_plan_action *a)
{
	size_t i = 0;
	while (i < d->n_clips && (d->clips[i].id != a->id || d->clips[i].variant != a->variant))
		i++;
	if (i < d->n_clips) {
		struct lvx_clip *clip = d->clips[i].clip;
		d->clips[i].clip = NULL;
		double lufs = d->level_lufs < 0 ? d->level_lufs : lvx_hearing_lufs(d->hearing);
		double gain_db = lvx_mixer_gain_db(clip, lufs);
		lvx_mixer_add(d->mixer, clip, gain_db, sample_of(a->start_us));
		d->n_spoken++;
		lvx_log_info("stream %s: describe: %.3f to %.3f s, seen at %.3f s, %.1f LUFS: %s",
			d->id, (double)a->start_us / 1e6, (double)a->end_us / 1e6,
			(double)a->seen_us / 1e6, clip->lufs + gain_db, a->text);
	}
	drop_clips(d, a->id);
}

static void act(struct describe *d, const struct lvx_plan_action *a)
{
	switch (a->what) {
	case LVX_PLAN_SPEAK:
		if (!lvx_voice_speak(d->voice, a->id, a->variant, a->text, a->language, a->rate))
			lvx_plan_spoken(d->plan, a->id, a->variant, -1);
		break;
	case LVX_PLAN_PLACE:
		place(d, a);
		break;
	case LVX_PLAN_DROP:
		d->n_dropped++;
		lvx_log_info("stream %s: describe: not said (%s), seen at %.3f s: %s", d->id,
			a->why, (double)a->seen_us / 1e6, a->text);
		drop_clips(d, a->id);
		break;
	}
}

static void plan(struct describe *d)
{
	struct lvx_plan_action a;
	for (;;) {
		take_spoken(d);
		bool any = false;
		while (lvx_plan_next(d->plan, us_of(d->begin), d->known_us, &a)) {
			act(d, &a);
			any = true;
		}
		/* Where nobody waits for the sound, it may as well wait for the voice. */
		bool wait = d->start_us == 0 && !d->impatient && lvx_voice_waiting(d->voice) > 0;
		if (!any && !wait)
			return;
		if (wait)
			lvx_sleep_us(WAIT_US);
	}
}

/* ---- the mix ---- */

static void on_mixed(void *user, const struct lvx_unit *unit)
{
	struct describe *d = user;
	struct lvx_unit u = *unit;
	u.track = (uint32_t)d->to;
	lvx_units_put(lvx_outlet_units(d->host), &u);
}

static void on_alone(void *user, const struct lvx_unit *unit)
{
	struct describe *d = user;
	struct lvx_unit u = *unit;
	double duck_db = lvx_mixer_duck_db(d->mixer, sample_of(unit->pts_us + unit->duration_us / 2));
	u.track = (uint32_t)d->to_alone;
	u.fade = (uint8_t)lround(fmin(duck_db / 0.3, 254)); /* 255 would be: none of it */
	lvx_units_put(lvx_outlet_units(d->host), &u);
}

static void flush(struct describe *d)
{
	lvx_sound_out_flush(d->out);
	if (d->alone_out)
		lvx_sound_out_flush(d->alone_out);
	lvx_listeners_flush(d->listeners);
}

/* What is before `to` leaves. */
static void mix_to(struct describe *d, int64_t to)
{
	struct lvx_error err = {0};
	to = to < d->end ? to : d->end;
	while (d->begin < to) {
		plan(d);
		int64_t n = to - d->begin < STEP ? to - d->begin : STEP;
		int64_t at = d->begin % d->cap;
		n = n < d->cap - at ? n : d->cap - at;
		float *pcm = d->pcm + 2 * at;
		bool voiced = lvx_mixer_mix(d->mixer, pcm, d->alone, (size_t)n, d->begin);
		lvx_sound_out_put(d->out, pcm, (size_t)n, d->begin);
		if (d->to_alone >= 0)
			lvx_sound_out_put(d->alone_out, d->alone, (size_t)n, d->begin);
		if (lvx_listeners_put(d->listeners, pcm, d->alone, (size_t)n, d->begin, voiced,
			    &err) != LVX_OK)
			lvx_outlet_trouble(d->host, "for viewers: %s", err.msg);
		d->begin += n;
	}
}

/* Silence, if pcm is NULL. */
static void append(struct describe *d, const float *pcm, int64_t n)
{
	while (n > 0) {
		if (d->end - d->begin == d->cap)
			mix_to(d, d->begin + STEP);
		int64_t at = d->end % d->cap;
		int64_t room = d->cap - (d->end - d->begin);
		int64_t take = n < room ? n : room;
		take = take < d->cap - at ? take : d->cap - at;
		float *to = d->pcm + 2 * at;
		if (pcm)
			memcpy(to, pcm, 2 * (size_t)take * sizeof(float));
		else
			memset(to, 0, 2 * (size_t)take * sizeof(float));
		lvx_hearing_hear(d->hearing, to, (size_t)take, d->end);
		d->end += take;
		n -= take;
		pcm = pcm ? pcm + 2 * take : NULL;
	}
}

/*
 * Where decoded sound lies, or silence (NULL). Samples are counted from where the last ended, as containers are
 * coarse about times: several packets may have that of the first. Later than that means that
 * something is missing; earlier is believed when none of a window was as late as it should be.
 */
static void on_pcm(void *user, const float *pcm, size_t n, int64_t pts_us)
{
	struct describe *d = user;
	int64_t at = sample_of(pts_us), left = (int64_t)n;
	if (at < 0 && at + left > 0) { /* the timeline begins at 0 */
		pcm = pcm ? pcm - 2 * at : NULL;
		left += at;
		at = 0;
	}
	if (at < 0)
		return;
	int64_t off = at - d->end;
	d->latest_off = d->n_in_window == 0 || off > d->latest_off ? off : d->latest_off;
	if (d->end == 0 || off > FILLED || off < -FILLED) {
		mix_to(d, d->end);
		flush(d);
		d->begin = d->end = at;
		d->n_in_window = 0;
	} else if (off > JITTER) {
		append(d, NULL, off);
		d->n_in_window = 0;
	} else if (++d->n_in_window == WINDOW) {
		int64_t over = d->latest_off < -JITTER ? -d->latest_off : 0;
		over = over < left ? over : left;
		pcm = pcm ? pcm + 2 * over : NULL;
		left -= over;
		d->n_in_window = 0;
	}
	append(d, pcm, left);
}

/* ---- the outlet ---- */

/* Behind the programme's own: those who take the first sound take that one. */
static void add_tracks(struct describe *d, const char *programme_language)
{
	struct lvx_units *units = lvx_outlet_units(d->host);
	struct lvx_unit_track ours = {LVX_UNIT_AUDIO, LVX_UNIT_DESCRIBES_VIDEO, ""};
	const struct lvx_model_info *model = lvx_hub_model(lvx_outlet_stream(d->host));
	const char *language = lvx_lane_language(&model->lanes[d->lane], NULL);
	snprintf(ours.language, sizeof(ours.language), "%s",
		language ? language : programme_language);
	d->to = lvx_units_add_track(units, &ours);
	ours.role = LVX_UNIT_DESCRIPTION;
	if (d->alone_out)
		d->to_alone = lvx_units_add_track(units, &ours);
	if (d->to < 0 || (d->alone_out && d->to_alone < 0))
		lvx_outlet_trouble(d->host, "the stream has too many tracks");
}

/* A source has added all its tracks before its first unit. */
static void find_track(struct describe *d, uint32_t number)
{
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	size_t n = lvx_units_tracks(lvx_outlet_units(d->host), tracks);
	bool sound = false;
	if (number >= n || tracks[number].role != LVX_UNIT_MAIN)
		return;
	for (size_t i = 0; i < n; i++)
		sound = sound || (tracks[i].media == LVX_UNIT_AUDIO &&
					 tracks[i].role == LVX_UNIT_MAIN);
	d->silent = !sound;
	if (tracks[number].media == LVX_UNIT_AUDIO)
		d->from = (int)number;
	if (d->to < 0 && (d->from >= 0 || d->silent))
		add_tracks(d, tracks[number].language);
}

static void on_unit(void *self, const struct lvx_unit *unit)
{
	struct describe *d = self;
	if (d->from < 0 && d->wanted && !(d->silent && unit->media == LVX_UNIT_VIDEO))
		find_track(d, unit->track);
	if (d->silent && unit->media == LVX_UNIT_VIDEO)
		lvx_silence_picture(&d->silence, unit->dts_us, unit->duration_us);
	if (d->to < 0 || (int)unit->track != d->from)
		return;
	if (d->n_queue == d->queue_cap) {
		d->queue_cap = d->queue_cap ? 2 * d->queue_cap : 256;
		d->queue = realloc(d->queue, d->queue_cap * sizeof(d->queue[0]));
		if (!d->queue)
			abort();
	}
	d->queue[d->n_queue++] = lvx_unit_ref(unit);
}

static void decode(struct describe *d, const struct lvx_unit *unit)
{
	struct lvx_error err = {0};
	if (lvx_sound_in_put(d->in, unit, &err) != LVX_OK)
		lvx_outlet_trouble(d->host, "the programme's sound: %s", err.msg);
}

/* What is known of the words is what had been heard; of the sound, what is decoded. */
static void learn(struct describe *d)
{
	int64_t words_us = d->heard_us - d->stream_delay_us - SETTLE_US;
	d->known_us = lvx_speech_known(&d->speech, words_us, lvx_hearing_known_us(d->hearing));
	plan(d);
}

/* More sound is there: what there is no room for leaves. */
static void make_room(struct describe *d, int64_t due_us)
{
	int64_t most = d->end - sample_of(d->delay_us);
	if (d->begin >= most - SLACK / 2)
		return;
	learn(d);
	mix_to(d, most < sample_of(due_us) ? most : sample_of(due_us));
}

/* Decodes what has been heard, and mixes what is due. */
static void advance(struct describe *d, int64_t due_us)
{
	size_t n = 0;
	int64_t from_us, to_us;
	while (d->silent && lvx_silence_take(&d->silence, d->start_us ? FOR_EVER_US : d->heard_us,
				    us_of(STEP), &from_us, &to_us)) {
		on_pcm(d, NULL, (size_t)(sample_of(to_us) - sample_of(from_us)), from_us);
		make_room(d, due_us);
	}
	for (; n < d->n_queue; n++) {
		const struct lvx_unit *unit = d->queue[n];
		/* A file may be here long before it is heard. */
		if (d->start_us == 0 && unit->pts_us > d->heard_us && d->n_queue - n < QUEUE_MAX)
			break;
		decode(d, unit);
		lvx_unit_unref(unit);
		make_room(d, due_us);
	}
	d->n_queue -= n;
	if (n > 0)
		memmove(d->queue, d->queue + n, d->n_queue * sizeof(d->queue[0]));
	learn(d);
	mix_to(d, sample_of(due_us));
}

static void on_tick(void *self, const struct lvx_hub_info *info)
{
	struct describe *d = self;
	d->start_us = info->stream.start_mono_us;
	d->heard_us = info->stream.heard_us;
	d->wanted = d->wanted || (info->lanes >> d->lane & 1);
	if (d->heard_us - d->stream_delay_us - d->last_us > PAUSE_US)
		end_text(d);
	int64_t due_us = (d->start_us ? lvx_now_us() - d->start_us : d->heard_us) - d->delay_us;
	advance(d, due_us > 0 ? due_us : 0);
}

static void on_end(void *self)
{
	struct describe *d = self;
	end_text(d);
	d->heard_us = FOR_EVER_US;
	advance(d, FOR_EVER_US);
	flush(d);
	if (d->to >= 0)
		lvx_log_info("stream %s: describe: %" PRIu64 " descriptions were spoken, %" PRIu64
			     " were not",
			d->id, d->n_spoken, d->n_dropped + lvx_plan_pending(d->plan));
}

static void destroy(void *self)
{
	struct describe *d = self;
	if (!d)
		return;
	lvx_voice_destroy(d->voice);
	for (size_t i = 0; i < d->n_clips; i++)
		lvx_clip_destroy(d->clips[i].clip);
	for (size_t i = 0; i < d->n_queue; i++)
		lvx_unit_unref(d->queue[i]);
	free(d->queue);
	lvx_sound_in_destroy(d->in);
	lvx_sound_out_destroy(d->out);
	lvx_sound_out_destroy(d->alone_out);
	lvx_listeners_destroy(d->listeners);
	lvx_hearing_destroy(d->hearing);
	lvx_mixer_destroy(d->mixer);
	lvx_plan_destroy(d->plan);
	lvx_text_finish(&d->text);
	free(d->pcm);
	free(d);
}

static enum lvx_status create(void **self, struct lvx_outlet *host, struct lvx_error *err)
{
	const struct lvx_stream_settings *s = lvx_outlet_settings(host);
	struct lvx_hub_stream *stream = lvx_outlet_stream(host);
	struct lvx_plan_params pp = lvx_plan_usual;
	struct lvx_hub_info info;
	struct describe *d = calloc(1, sizeof(*d));
	if (!d)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	lvx_hub_get_info(stream, &info);
	int caption = lvx_model_info_lane(lvx_hub_model(stream), "caption");
	d->lane = lvx_model_info_lane(lvx_hub_model(stream), "description");
	d->wanted = info.lanes >> d->lane & 1;
	d->host = host;
	d->id = lvx_hub_id(stream);
	d->from = d->to = d->to_alone = -1;
	d->delay_us = lvx_describe_delay_us(s);
	d->stream_delay_us = lvx_hub_delay_us(stream);
	d->speech = (struct lvx_speech){.fn = on_speech,
		.user = d,
		.captions = caption >= 0 && (info.lanes >> caption & 1)};
	if (s->describe_within_s >= 0)
		pp.lifetime_us = (int64_t)(s->describe_within_s * 1e6);
	d->plan = lvx_plan_create(&pp);
	d->mixer = lvx_mixer_create(&(struct lvx_mixer_params){
		.duck_db = s->describe_duck_db >= 0 ? s->describe_duck_db : LVX_DESCRIBE_DUCK_DB,
		.ramp_us = RAMP_US});
	d->in = lvx_sound_in_create(on_pcm, d);
	d->listeners = lvx_listeners_create(stream);
	d->cap = sample_of(d->delay_us) + SLACK;
	d->pcm = malloc(2 * (size_t)d->cap * sizeof(float));
	enum lvx_status st = lvx_describe_level(s, &d->level_lufs, err);
	if (st == LVX_OK && !d->pcm)
		st = lvx_fail(err, LVX_ENOMEM, "out of memory");
	if (st == LVX_OK)
		st = lvx_hearing_create(&d->hearing, on_sound_speech, d, err);
	if (st == LVX_OK)
		st = lvx_sound_out_create(&d->out,
			&(struct lvx_sound_out_params){"aac", 2, BIT_RATE, on_mixed, d}, err);
	if (st == LVX_OK && lvx_out_urls_want_voice(s->out))
		st = lvx_sound_out_create(&d->alone_out,
			&(struct lvx_sound_out_params){"aac", 1, VOICE_BIT_RATE, on_alone, d}, err);
	if (st == LVX_OK)
		st = lvx_voice_create(&d->voice, lvx_describe_command(s), 0, NULL, err);
	if (st != LVX_OK) {
		destroy(d);
		return st;
	}
	*self = d;
	return LVX_OK;
}

const struct lvx_outlet_kind lvx_outlet_describe = {
	.name = "describe",
	.adds_units = true,
	.n_wanted = n_wanted,
	.create = create,
	.on_event = on_event,
	.on_unit = on_unit,
	.on_tick = on_tick,
	.on_end = on_end,
	.destroy = destroy,
};
