/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/recorder.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/caption_file.h"
#include "daemon/event_json.h"
#include "daemon/event_log.h"
#include "daemon/hold.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	STREAMS_MAX = 512,
	/* A word comes so soon after it was heard and the model's delay is over, on a busy machine
	 * too: what is older than that a silence makes final. */
	SETTLE_US = 3600000,
	TICK_US = 500000,
	/* On a full disk a short cue may find room and the next may not: that is one trouble. */
	CALM_US = 30000000,
	LOG_BYTES = 65536, /* written at once */
};

struct recorded;

struct lane {
	struct recorded *of;
	char name[24], language[12]; /* language: "" unknown */
	struct lvx_cues *cues;       /* NULL: nothing has come yet */
	json_t *words;               /* those that are in no cue yet */
	uint32_t part;
	struct lvx_caption_file *files[LVX_CAPTION_FORMATS];
};

/* One stream. */
struct recorded {
	struct lvx_hub_stream *stream; /* referenced */
	struct lvx_hub_reader reader;
	struct lvx_hold *hold;
	const char *dir; /* NULL: not this one */
	uint32_t formats;
	int64_t roll_us; /* 0: one file */
	int64_t start_wall_us;
	bool done;       /* its end has been read */
	bool failing;    /* what went wrong has been told */
	uint64_t n_lost; /* cues since then */
	uint64_t n_gone; /* events since then that were no longer kept when they were wanted */
	int64_t failed_us;
	struct lvx_event_log *log; /* NULL: none */
	int64_t said_us; /* the latest that was spoken of, on the timeline */
	struct lane lanes[LVX_HUB_LANES];
};

struct lvx_recorder {
	struct lvx_hub *hub;
	const struct lvx_settings *settings;
	struct lvx_bell *bell;
	pthread_t thread;
	_Atomic bool stop;
	struct recorded **recorded; /* [n]; the thread only */
	size_t n;
	int64_t next_tick_us;
};

static void ring(void *user)
{
	struct lvx_recorder *r = user;
	lvx_bell_ring(r->bell);
}

/* ---- writing ---- */

static void tell(struct recorded *r, const char *why)
{
	if (!r->failing)
		lvx_log_error("stream %s is not recorded until this is well: %s",
			lvx_hub_id(r->stream), why);
	r->failing = true;
	r->failed_us = lvx_now_us();
}

static void tell_well(struct recorded *r, const char *how)
{
	lvx_log_warn("stream %s %s; %" PRIu64 " cues and the words of %" PRIu64
		     " events are missing in the files",
		lvx_hub_id(r->stream), how, r->n_lost, r->n_gone);
	r->failing = false;
	r->n_lost = r->n_gone = 0;
}

/* Something was written. */
static void note_well(struct recorded *r)
{
	if (r->failing && lvx_now_us() - r->failed_us >= CALM_US)
		tell_well(r, "is recorded again");
}

static void close_files(struct lane *lane)
{
	for (int i = 0; i < LVX_CAPTION_FORMATS; i++) {
		lvx_caption_file_close(lane->files[i]);
		lane->files[i] = NULL;
	}
}

/* The first n words as JSON, which are then forgotten. NULL: there is no memory. */
static char *take_words(struct lane *lane, int n)
{
	json_t *words = json_array();
	for (int i = 0; i < n && json_array_size(lane->words) > 0; i++) {
		json_array_append(words, json_array_get(lane->words, 0));
		json_array_remove(lane->words, 0);
	}
	char *text = json_dumps(words, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(words);
	return text;
}

static enum lvx_status write_cue(struct lane *lane, enum lvx_caption_format format,
	const struct lvx_cue *cue, const char *words, struct lvx_error *err)
{
	struct recorded *r = lane->of;
	struct lvx_caption_file **file = &lane->files[format];
	enum lvx_status st = LVX_OK;
	if (!*file) {
		struct lvx_caption_file_params p = {
			.dir = r->dir,
			.stream = lvx_hub_id(r->stream),
			.lane = lane->name,
			.language = lane->language[0] ? lane->language : NULL,
			.epoch = lvx_hub_epoch(r->stream),
			.part = lane->part,
			.format = format,
		};
		st = lvx_caption_file_create(file, &p, err);
		if (st == LVX_OK)
			lvx_log_debug("stream %s: recording to %s", lvx_hub_id(r->stream),
				lvx_caption_file_path(*file));
	}
	if (st == LVX_OK)
		st = lvx_caption_file_add(*file, cue, words, r->start_wall_us, err);
	return st;
}

/* The file that a time of the timeline belongs to. */
static uint32_t part_of(const struct recorded *r, int64_t us)
{
	return 1 + (r->roll_us > 0 && us > 0 ? (uint32_t)(us / r->roll_us) : 0);
}

static void on_cue(void *user, const struct lvx_cue *cue)
{
	struct lane *lane = user;
	struct recorded *r = lane->of;
	struct lvx_error err = {0};
	bool ok = true;
	uint32_t part = part_of(r, cue->start_us);
	if (part != lane->part)
		close_files(lane);
	lane->part = part;
	if (r->start_wall_us == 0) {
		struct lvx_hub_info info;
		lvx_hub_get_info(r->stream, &info);
		r->start_wall_us = info.stream.start_wall_us;
	}
	char *words = take_words(lane, cue->n_words);
	for (int i = 0; i < LVX_CAPTION_EVENTS; i++) {
		if ((r->formats & 1u << i) &&
			write_cue(lane, (enum lvx_caption_format)i, cue, words, &err) != LVX_OK) {
			tell(r, err.msg);
			ok = false;
		}
	}
	free(words);
	r->n_lost += !ok;
	if (ok)
		note_well(r);
}

/* Puts the events that were read into the log. */
static void write_log(struct recorded *r)
{
	struct lvx_error err = {0};
	if (!r->log || lvx_event_log_gathered(r->log) == 0)
		return;
	if (lvx_event_log_write(r->log, r->said_us, &err) == LVX_OK)
		note_well(r);
	else
		tell(r, err.msg);
}

/* ---- reading ---- */

static struct lane *lane_of(
	struct recorded *r, uint32_t index, const char *name, const char *language)
{
	struct lane *lane = &r->lanes[index];
	if (!lane->cues) {
		lane->of = r;
		lane->cues = lvx_cues_create(on_cue, lane);
		lane->words = json_array();
		snprintf(lane->name, sizeof(lane->name), "%s", name ? name : "text");
		snprintf(lane->language, sizeof(lane->language), "%s", language ? language : "");
	}
	return lane;
}

static void on_text(struct recorded *r, const struct lvx_hub_event *e)
{
	json_t *root = lvx_event_json(e);
	struct lvx_event_word first;
	if (!root)
		return;
	if (lvx_event_word(root, &(size_t){0}, &first) && first.start_us > r->said_us)
		r->said_us = first.start_us;
	if (!lvx_hold_put(r->hold, e, root, lvx_now_us()))
		lvx_log_warn("stream %s: a correction came too late for the files (--record-hold)",
			lvx_hub_id(r->stream));
}

static void add_text(struct recorded *r, uint32_t index, const json_t *root)
{
	struct lane *lane = lane_of(r, index, json_string_value(json_object_get(root, "lane")),
		json_string_value(json_object_get(root, "language")));
	struct lvx_event_word w;
	for (size_t i = 0; lvx_event_word(root, &i, &w);) {
		json_array_append(lane->words, w.json);
		lvx_cues_word(lane->cues, w.text, w.start_us, w.end_us);
	}
	if (lvx_event_ends_segment(root))
		lvx_cues_break(lane->cues);
}

/* What has been held long enough, or everything, goes on its way. */
static void release(struct recorded *r, bool all)
{
	json_t *root;
	uint32_t lane;
	while ((root = lvx_hold_take(r->hold, lvx_now_us(), all, &lane))) {
		add_text(r, lane, root);
		json_decref(root);
	}
}

static void finish_lanes(struct recorded *r)
{
	release(r, true); /* after its end nothing is corrected any more */
	for (int i = 0; i < LVX_HUB_LANES; i++) {
		if (r->lanes[i].cues)
			lvx_cues_finish(r->lanes[i].cues);
		lvx_cues_destroy(r->lanes[i].cues);
		json_decref(r->lanes[i].words);
		close_files(&r->lanes[i]);
		r->lanes[i] = (struct lane){0};
	}
	write_log(r);
	if (r->failing && r->n_lost + r->n_gone > 0)
		tell_well(r, "has ended");
}

/* Writes all that is new of one stream. */
static void read_news(struct recorded *r)
{
	struct lvx_hub_event *e;
	while (!r->done) {
		enum lvx_status st = lvx_hub_next(r->stream, &r->reader, &e);
		if (st == LVX_GAP) {
			uint64_t oldest, next;
			lvx_hub_range(r->stream, &oldest, &next);
			tell(r, "the disk is slower than the words come, and the history is full");
			r->n_gone += oldest - r->reader.next;
			if (r->log)
				lvx_event_log_miss(r->log, r->reader.next, oldest - 1);
			r->reader.next = oldest;
			continue;
		}
		if (st == LVX_END) {
			finish_lanes(r);
			r->done = true;
		}
		if (st != LVX_OK)
			break;
		if (r->log)
			lvx_event_log_add(r->log, e);
		if (e->kind == LVX_HUB_TEXT || e->kind == LVX_HUB_CORRECTION)
			on_text(r, e);
		lvx_hub_event_unref(e);
		release(r, false);
		if (r->log && lvx_event_log_gathered(r->log) > LOG_BYTES)
			write_log(r);
	}
	write_log(r);
}

/* Whatever was heard before heard_us has been read: does a silence make cues final? */
static void tick(struct recorded *r, int64_t heard_us)
{
	int64_t settled_us = heard_us - SETTLE_US - lvx_hub_delay_us(r->stream);
	int64_t held_us = lvx_hold_begin_us(r->hold);
	for (int i = 0; i < LVX_HUB_LANES; i++) {
		if (r->lanes[i].cues)
			lvx_cues_time(r->lanes[i].cues, held_us < settled_us ? held_us : settled_us);
	}
}

static bool is_pending(const struct recorded *r)
{
	if (lvx_hold_begin_us(r->hold) != INT64_MAX)
		return true;
	for (int i = 0; i < LVX_HUB_LANES; i++) {
		if (r->lanes[i].cues && lvx_cues_pending(r->lanes[i].cues))
			return true;
	}
	return false;
}

/* ---- the list ---- */

/* Who runs it should learn at the start, not at the first cue, that nothing can be written. */
static void check_dir(struct recorded *r)
{
	char why[320];
	if ((mkdir(r->dir, 0755) == 0 || errno == EEXIST) && access(r->dir, W_OK | X_OK) == 0) {
		lvx_log_info("stream %s: recording to %s", lvx_hub_id(r->stream), r->dir);
		return;
	}
	snprintf(why, sizeof(why), "%.256s: %s", r->dir, strerror(errno));
	tell(r, why);
}

static struct recorded *follow(struct lvx_recorder *rec, struct lvx_hub_stream *stream)
{
	for (size_t i = 0; i < rec->n; i++) {
		if (rec->recorded[i]->stream == stream) {
			lvx_hub_unref(stream); /* it has one already */
			return rec->recorded[i];
		}
	}
	struct recorded **more = realloc(rec->recorded, (rec->n + 1) * sizeof(*more));
	struct recorded *r = calloc(1, sizeof(*r));
	if (!more || !r)
		abort();
	rec->recorded = more;
	more[rec->n++] = r;
	r->stream = stream;
	r->reader = (struct lvx_hub_reader){.next = 1, .lanes = UINT32_MAX, .further = UINT32_MAX,
		.activity = true};
	struct lvx_stream_settings s = lvx_settings_of_stream(rec->settings, lvx_hub_id(stream));
	r->dir = s.record && s.record[0] ? s.record : NULL;
	r->roll_us = s.record_roll_min > 0 ? (int64_t)s.record_roll_min * 60000000 : 0;
	struct lvx_error err;
	if (r->dir && lvx_caption_formats_parse(&r->formats, "", s.record_formats, &err) != LVX_OK)
		r->dir = NULL; /* cannot be: the settings were checked */
	r->done = !r->dir;
	int64_t hold_us = r->dir && s.record_hold_s > 0 ? (int64_t)(s.record_hold_s * 1e6) : 0;
	r->hold = lvx_hold_create(hold_us);
	lvx_hub_note_hold(stream, hold_us);
	if (r->dir && (r->formats & 1u << LVX_CAPTION_EVENTS))
		r->log = lvx_event_log_create(r->dir, stream, r->roll_us);
	if (r->dir)
		check_dir(r);
	return r;
}

static void unfollow(struct lvx_recorder *rec, size_t i)
{
	finish_lanes(rec->recorded[i]);
	lvx_hold_destroy(rec->recorded[i]->hold);
	lvx_event_log_destroy(rec->recorded[i]->log);
	lvx_hub_unref(rec->recorded[i]->stream);
	free(rec->recorded[i]);
	rec->recorded[i] = rec->recorded[--rec->n];
}

/* True: a later tick has something to do. */
static bool work(struct lvx_recorder *rec, bool stop)
{
	struct lvx_hub_stream *streams[STREAMS_MAX];
	bool pending = false, is_tick = lvx_now_us() >= rec->next_tick_us;
	size_t n = lvx_hub_list(rec->hub, streams, STREAMS_MAX);
	for (size_t i = 0; i < n; i++)
		follow(rec, streams[i]);
	for (size_t i = rec->n; i-- > 0;) {
		struct recorded *r = rec->recorded[i];
		struct lvx_hub_info info = {0};
		bool listed = false, ticks = is_tick && is_pending(r);
		if (ticks)
			lvx_hub_get_info(
				r->stream, &info); /* before the events, so none is missed */
		read_news(r);
		release(r, false);
		if (ticks && !r->done)
			tick(r, info.stream.heard_us);
		pending = pending || is_pending(r);
		for (size_t k = 0; k < n; k++)
			listed = listed || streams[k] == r->stream;
		if (stop || (r->done && !listed))
			unfollow(rec, i);
	}
	if (is_tick)
		rec->next_tick_us = lvx_now_us() + TICK_US;
	return pending;
}

static void *recorder_thread(void *arg)
{
	struct lvx_recorder *rec = arg;
	bool stop;
	do {
		stop = atomic_load(&rec->stop);
		bool pending = work(rec, stop);
		if (!stop)
			lvx_bell_wait(rec->bell, pending ? TICK_US : -1);
	} while (!stop);
	return NULL;
}

enum lvx_status lvx_recorder_create(struct lvx_recorder **out, struct lvx_hub *hub,
	const struct lvx_settings *settings, struct lvx_error *err)
{
	struct lvx_recorder *rec = calloc(1, sizeof(*rec));
	if (!rec)
		return lvx_fail(err, LVX_ENOMEM, "recorder: out of memory");
	rec->hub = hub;
	rec->settings = settings;
	enum lvx_status st = lvx_bell_create(&rec->bell, err);
	if (st != LVX_OK)
		goto fail;
	int rc = pthread_create(&rec->thread, NULL, recorder_thread, rec);
	if (rc != 0) {
		st = lvx_fail(err, LVX_EIO, "recorder: no thread: %s", strerror(rc));
		goto fail;
	}
	lvx_hub_on_news(hub, ring, rec);
	*out = rec;
	return LVX_OK;
fail:
	lvx_bell_destroy(rec->bell);
	free(rec);
	return st;
}

void lvx_recorder_destroy(struct lvx_recorder *rec)
{
	if (!rec)
		return;
	atomic_store(&rec->stop, true);
	lvx_bell_ring(rec->bell);
	pthread_join(rec->thread, NULL);
	free(rec->recorded);
	lvx_bell_destroy(rec->bell);
	free(rec);
}
