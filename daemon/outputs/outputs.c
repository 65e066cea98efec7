/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/outputs.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/outputs/broadcast.h"
#include "daemon/outputs/describe.h"
#include "daemon/outputs/hls.h"
#include "daemon/outputs/outlet.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_US = 50000, UNITS_AT_ONCE = 256 };

static const struct lvx_outlet_kind *const kinds[] = {
	&lvx_outlet_broadcast,
	&lvx_outlet_hls,
	&lvx_outlet_describe,
	NULL,
};

struct lvx_outlet {
	struct lvx_outlet *next; /* {outputs->lock} */
	const struct lvx_outlet_kind *kind;
	size_t index;                  /* among those of its kind */
	char name[32];                 /* "hls"; "out", "out-2", ... */
	struct lvx_hub_stream *stream; /* referenced */
	struct lvx_units *units;       /* the stream's */
	struct lvx_stream_settings settings;
	struct lvx_bell *bell;
	pthread_t thread;
	_Atomic bool over; /* the thread is at its end */
	_Atomic uint64_t n_errors, n_lost;
	_Atomic bool troubled;

	/* The thread's. */
	void *self;
	struct lvx_unit_reader *reader; /* NULL: the programme is not wanted */
	struct lvx_hub_reader events;
	struct lvx_hub_reader watched[LVX_LANGUAGES_MAX]; /* [n_watched] */
	size_t n_watched;
	bool events_ended, units_ended;
};

struct lvx_outputs {
	struct lvx_hub *hub;
	const struct lvx_settings *settings;
	pthread_mutex_t lock;
	struct lvx_outlet *first; /* {lock} */
};

/* ---- what the kinds ask ---- */

struct lvx_hub_stream *lvx_outlet_stream(struct lvx_outlet *o)
{
	return o->stream;
}

struct lvx_units *lvx_outlet_units(struct lvx_outlet *o)
{
	return o->units;
}

const struct lvx_stream_settings *lvx_outlet_settings(const struct lvx_outlet *o)
{
	return &o->settings;
}

size_t lvx_outlet_index(const struct lvx_outlet *o)
{
	return o->index;
}

enum lvx_status lvx_outlet_watch(
	struct lvx_outlet *o, const char *language, uint32_t *further, struct lvx_error *err)
{
	struct lvx_hub_reader *r = &o->watched[o->n_watched];
	if (o->n_watched == LVX_LANGUAGES_MAX)
		return lvx_fail(
			err, LVX_ELIMIT, "more than %d further languages", LVX_LANGUAGES_MAX);
	enum lvx_status st = lvx_hub_watch(o->stream, 0, language, r, err);
	if (st != LVX_OK)
		return st;
	o->n_watched++;
	o->events.further |= r->further;
	*further = r->further;
	return LVX_OK;
}

static void unwatch(struct lvx_outlet *o)
{
	while (o->n_watched > 0)
		lvx_hub_unwatch(o->stream, &o->watched[--o->n_watched]);
}

void lvx_outlet_count_lost(struct lvx_outlet *o, uint64_t n_units)
{
	atomic_fetch_add(&o->n_lost, n_units);
}

void lvx_outlet_trouble(struct lvx_outlet *o, const char *fmt, ...)
{
	char why[320];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	atomic_fetch_add(&o->n_errors, 1);
	if (atomic_exchange(&o->troubled, true))
		return;
	lvx_log_error("stream %s: %s: %s", lvx_hub_id(o->stream), o->name, why);
	lvx_hub_note_output(o->stream, o->name, false, why);
}

void lvx_outlet_well(struct lvx_outlet *o, const char *how)
{
	if (!atomic_exchange(&o->troubled, false))
		return;
	lvx_log_info("stream %s: %s: %s", lvx_hub_id(o->stream), o->name, how);
	lvx_hub_note_output(o->stream, o->name, true, how);
}

/* ---- the thread ---- */

static void lost(struct lvx_outlet *o, uint64_t n_events, uint64_t n_units)
{
	lvx_outlet_count_lost(o, n_units);
	if (o->kind->on_lost)
		o->kind->on_lost(o->self, n_events, n_units);
}

static void read_events(struct lvx_outlet *o)
{
	struct lvx_hub_event *e;
	enum lvx_status st;
	while ((st = lvx_hub_next(o->stream, &o->events, &e)) == LVX_OK || st == LVX_GAP) {
		if (st == LVX_GAP) {
			uint64_t oldest, next;
			lvx_hub_range(o->stream, &oldest, &next);
			lost(o, oldest - o->events.next, 0);
			o->events.next = oldest;
			continue;
		}
		if (o->kind->on_event)
			o->kind->on_event(o->self, e);
		lvx_hub_event_unref(e);
	}
	o->events_ended = st == LVX_END;
}

/* True: there may be more. */
static bool read_units(struct lvx_outlet *o)
{
	const struct lvx_unit *unit;
	enum lvx_status st = LVX_END;
	for (int i = 0; i < UNITS_AT_ONCE && o->reader; i++) {
		uint64_t before = lvx_units_overruns(o->reader);
		st = lvx_units_next(o->reader, &unit);
		if (st == LVX_GAP)
			lost(o, 0, lvx_units_overruns(o->reader) - before);
		else if (st != LVX_OK)
			break;
		if (st != LVX_OK)
			continue;
		o->kind->on_unit(o->self, unit);
		lvx_unit_unref(unit);
	}
	o->units_ended = st == LVX_END;
	return st == LVX_OK || st == LVX_GAP;
}

static void run(struct lvx_outlet *o)
{
	struct lvx_error err = {0};
	if (o->kind->create(&o->self, o, &err) != LVX_OK) {
		lvx_outlet_trouble(o, "%s", err.msg);
		return;
	}
	int64_t next_tick_us = 0;
	while (!o->events_ended || !o->units_ended) {
		struct lvx_hub_info info;
		bool tick = o->kind->on_tick && lvx_now_us() >= next_tick_us;
		if (tick)
			lvx_hub_get_info(o->stream, &info); /* before its events */
		read_events(o);
		bool more = read_units(o);
		if (tick) {
			o->kind->on_tick(o->self, &info);
			next_tick_us = lvx_now_us() + TICK_US;
		}
		if (!more && !(o->events_ended && o->units_ended))
			lvx_bell_wait(o->bell, TICK_US);
	}
	if (o->kind->on_end)
		o->kind->on_end(o->self);
	o->kind->destroy(o->self);
}

static void *output_thread(void *user)
{
	struct lvx_outlet *o = user;
	run(o);
	unwatch(o);
	/* From here on nobody needs to tee units for it. */
	lvx_units_close(o->reader);
	o->reader = NULL;
	atomic_store(&o->over, true);
	return NULL;
}

/* ---- the list ---- */

static void free_output(struct lvx_outlet *o)
{
	lvx_units_close(o->reader);
	lvx_bell_destroy(o->bell);
	lvx_hub_unref(o->stream);
	free(o);
}

static void name_of(const struct lvx_outlet_kind *kind, size_t index, char name[32])
{
	if (index == 0)
		snprintf(name, 32, "%s", kind->name);
	else
		snprintf(name, 32, "%s-%zu", kind->name, index + 1);
}

static enum lvx_status start(struct lvx_outputs *all, const struct lvx_outlet_kind *kind,
	size_t index, struct lvx_hub_stream *stream, const struct lvx_stream_settings *settings,
	struct lvx_error *err)
{
	struct lvx_outlet *o = calloc(1, sizeof(*o));
	if (!o)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	o->kind = kind;
	o->index = index;
	name_of(kind, index, o->name);
	o->stream = lvx_hub_ref(stream);
	o->units = lvx_hub_units(stream);
	o->settings = *settings;
	o->events = (struct lvx_hub_reader){.next = 1, .lanes = UINT32_MAX, .activity = true};
	enum lvx_status st = lvx_bell_create(&o->bell, err);
	if (st == LVX_OK && kind->on_unit)
		st = lvx_units_open(&o->reader, o->units, o->bell, err);
	if (st == LVX_OK && kind->adds_units)
		lvx_units_adds(o->reader);
	if (st != LVX_OK)
		goto fail;
	int rc = pthread_create(&o->thread, NULL, output_thread, o);
	if (rc != 0) {
		st = lvx_fail(err, LVX_ELIMIT, "no thread: %s", strerror(rc));
		goto fail;
	}
	pthread_mutex_lock(&all->lock);
	o->next = all->first;
	all->first = o;
	pthread_mutex_unlock(&all->lock);
	return LVX_OK;
fail:
	free_output(o);
	return st;
}

/* Those that have ended, or all of them. */
static void reap(struct lvx_outputs *all, bool wait)
{
	struct lvx_outlet *gone = NULL;
	pthread_mutex_lock(&all->lock);
	for (struct lvx_outlet **p = &all->first; *p;) {
		struct lvx_outlet *o = *p;
		if (wait || atomic_load(&o->over)) {
			*p = o->next;
			o->next = gone;
			gone = o;
		} else {
			p = &o->next;
		}
	}
	pthread_mutex_unlock(&all->lock);
	while (gone) {
		struct lvx_outlet *o = gone;
		gone = o->next;
		pthread_join(o->thread, NULL);
		free_output(o);
	}
}

/* With each stream, before it opens its source. */
static void on_stream(void *user, struct lvx_hub_stream *stream)
{
	struct lvx_outputs *all = user;
	struct lvx_stream_settings s = lvx_settings_of_stream(all->settings, lvx_hub_id(stream));
	struct lvx_error err = {0};
	reap(all, false);
	for (int i = 0; kinds[i]; i++) {
		for (size_t k = 0, n = kinds[i]->n_wanted(&s); k < n; k++) {
			char name[32];
			if (start(all, kinds[i], k, stream, &s, &err) == LVX_OK)
				continue;
			name_of(kinds[i], k, name);
			lvx_log_error("stream %s: %s: %s", lvx_hub_id(stream), name, err.msg);
			lvx_hub_note_output(stream, name, false, err.msg);
		}
	}
}

bool lvx_outputs_wanted(const struct lvx_settings *settings)
{
	for (int i = 0; kinds[i]; i++) {
		if (kinds[i]->n_wanted(&settings->defaults) > 0)
			return true;
		for (size_t k = 0; k < settings->n_streams; k++) {
			if (kinds[i]->n_wanted(&settings->streams[k]) > 0)
				return true;
		}
	}
	return false;
}

enum lvx_status lvx_outputs_create(struct lvx_outputs **out, struct lvx_hub *hub,
	const struct lvx_settings *settings, struct lvx_error *err)
{
	struct lvx_outputs *all = calloc(1, sizeof(*all));
	if (!all)
		return lvx_fail(err, LVX_ENOMEM, "outputs: out of memory");
	all->hub = hub;
	all->settings = settings;
	pthread_mutex_init(&all->lock, NULL);
	lvx_hub_on_open(hub, on_stream, all);
	*out = all;
	return LVX_OK;
}

void lvx_outputs_destroy(struct lvx_outputs *all)
{
	if (!all)
		return;
	reap(all, true);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

bool lvx_outputs_hls(struct lvx_outputs *all, const char *id, char *dir)
{
	if (!all)
		return false;
	struct lvx_stream_settings s = lvx_settings_of_stream(all->settings, id);
	if (!s.hls || !s.hls[0])
		return false;
	int n = snprintf(dir, PATH_MAX, "%s/%s", s.hls, id);
	return n > 0 && n < PATH_MAX;
}

/* ---- metrics ---- */

void lvx_outputs_metrics(struct lvx_outputs *all, struct lvx_text *t)
{
	static const char *const names[] = {"errors_total", "lost_units_total", "troubled"};
	static const char *const helps[] = {"What went wrong in an output.",
		"Units of the programme that an output was too slow for.",
		"1 while an output cannot do its work."};
	if (!all)
		return;
	pthread_mutex_lock(&all->lock);
	for (int f = 0; f < 3; f++) {
		lvx_text_printf(t, "# HELP lumivox_output_%s %s\n# TYPE lumivox_output_%s %s\n",
			names[f], helps[f], names[f], f == 2 ? "gauge" : "counter");
		for (struct lvx_outlet *o = all->first; o; o = o->next) {
			const uint64_t values[] = {atomic_load(&o->n_errors),
				atomic_load(&o->n_lost), atomic_load(&o->troubled)};
			lvx_text_printf(t,
				"lumivox_output_%s{stream=\"%s\",output=\"%s\"} %" PRIu64 "\n",
				names[f], lvx_hub_id(o->stream), o->name, values[f]);
		}
	}
	pthread_mutex_unlock(&all->lock);
}
