/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/hub_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/uri.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	ENDED_MAX = 256,  /* ended streams kept besides the running ones */
	CLOSING_MAX = 64, /* streams that were deleted and whose threads still close */
};

void lvx_hub_news(struct lvx_hub *hub)
{
	for (uint32_t i = 0; i < hub->n_listeners; i++)
		hub->listeners[i].fn(hub->listeners[i].user);
}

void lvx_hub_on_news(struct lvx_hub *hub, void (*fn)(void *user), void *user)
{
	if (hub->n_listeners == LVX_HUB_LISTENERS)
		abort();
	hub->listeners[hub->n_listeners].fn = fn;
	hub->listeners[hub->n_listeners].user = user;
	hub->n_listeners++;
}

void lvx_hub_on_open(struct lvx_hub *hub, void (*fn)(void *user, struct lvx_hub_stream *stream),
	void *user)
{
	hub->on_open = fn;
	hub->on_open_user = user;
}

/* ---- ending ---- */

void lvx_hub_uncount(struct lvx_hub_stream *s) /* {hub->lock} */
{
	s->hub->n_running -= s->counted;
	s->counted = false;
}

static void want_close(struct lvx_hub_stream *s, const char *reason) /* {hub->lock} */
{
	pthread_mutex_lock(&s->lock);
	if (!s->close_wanted && !s->end_reason) {
		s->close_wanted = true;
		s->close_reason = reason;
		pthread_cond_signal(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	lvx_hub_uncount(s);
	pthread_cond_broadcast(&s->hub->row_free);
}

/* ---- making and freeing ---- */

static char *copy(const char *s)
{
	char *c = s ? strdup(s) : NULL;
	if (s && !c)
		abort();
	return c;
}

/* The URI as others may see it. */
static char *shown(const char *uri)
{
	size_t size = uri ? strlen(uri) + 16 : 0;
	char *c = uri ? malloc(size) : NULL;
	if (uri && !c)
		abort();
	if (c)
		lvx_uri_redact(c, size, uri);
	return c;
}

struct lvx_hub_stream *lvx_hub_ref(struct lvx_hub_stream *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void lvx_hub_unref(struct lvx_hub_stream *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	lvx_hub_log_free(s);
	lvx_hub_sound_free(s);
	lvx_units_unref(s->units);
	/* They were copied by new_stream, so casting const away is ours to do. */
	free((char *)(uintptr_t)s->spec.uri);
	free((char *)(uintptr_t)s->spec.translate_to);
	free((char *)(uintptr_t)s->spec.language);
	free((char *)(uintptr_t)s->spec.prefix);
	free((char *)(uintptr_t)s->spec.audio_track);
	lvx_glossary_unref(s->spec.glossary);
	free(s->shown_uri);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->handle_lock);
	free(s);
}

static struct lvx_hub_stream *new_stream(
	struct lvx_hub *hub, const struct lvx_hub_spec *spec, const char *id)
{
	struct lvx_hub_stream *s = calloc(1, sizeof(*s));
	struct lvx_hub_event **log = calloc(hub->params.history, sizeof(struct lvx_hub_event *));
	if (!s || !log || lvx_units_create(&s->units, 0, 0, NULL) != LVX_OK)
		abort();
	s->hub = hub;
	s->log = log;
	atomic_init(&s->refs, 1);
	snprintf(s->id, sizeof(s->id), "%s", id);
	s->spec = *spec;
	s->spec.id = s->id;
	s->spec.uri = copy(spec->uri);
	s->spec.translate_to = copy(spec->translate_to);
	s->spec.language = copy(spec->language);
	s->spec.prefix = copy(spec->prefix);
	s->spec.audio_track = copy(spec->audio_track);
	lvx_glossary_ref(s->spec.glossary);
	s->shown_uri = shown(spec->uri);
	s->lanes = spec->lanes;
	s->latency_us = -1;
	s->last_stats.duration_us = -1;
	s->oldest_seq = 1;
	s->next_seq = 1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->handle_lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	return s;
}

/* Model thread. */
static void on_device_failure(void *user, const char *why)
{
	struct lvx_hub *hub = user;
	pthread_mutex_lock(&hub->lock);
	hub->device_failed = true;
	snprintf(hub->device_why, sizeof(hub->device_why), "%s", why);
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list)
		want_close(s, "device");
	pthread_mutex_unlock(&hub->lock);
	lvx_hub_news(hub);
}

enum lvx_status lvx_hub_create(
	struct lvx_hub **out, const struct lvx_hub_params *params, struct lvx_error *err)
{
	struct lvx_hub *hub = calloc(1, sizeof(*hub));
	if (!hub)
		return lvx_fail(err, LVX_ENOMEM, "hub: out of memory");
	hub->params = *params;
	if (hub->params.default_delay_slots == 0)
		hub->params.default_delay_slots = lvx_engine_model(params->engine)->delay_slots;
	pthread_mutex_init(&hub->lock, NULL);
	pthread_cond_init(&hub->row_free, NULL);
	lvx_engine_on_failure(params->engine, on_device_failure, hub);
	*out = hub;
	return LVX_OK;
}

static struct lvx_hub_stream *find(struct lvx_hub *hub, const char *id) /* {hub->lock} */
{
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list) {
		if (!s->unlisted && strcmp(s->id, id) == 0)
			return s;
	}
	return NULL;
}

bool lvx_hub_has_ended(struct lvx_hub_stream *s)
{
	pthread_mutex_lock(&s->lock);
	bool ended = s->end_reason != NULL;
	pthread_mutex_unlock(&s->lock);
	return ended;
}

static bool same(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* Fills in what the spec leaves to the hub's defaults. */
static enum lvx_status complete(
	const struct lvx_hub *hub, struct lvx_hub_spec *spec, struct lvx_error *err)
{
	const struct lvx_hub_params *p = &hub->params;
	const struct lvx_model_info *model = lvx_engine_model(p->engine);
	const char *where = spec->id ? spec->id : "stream";
	int lane = lvx_model_info_lane(model, "translation");
	uint32_t translation = lane >= 0 ? 1u << lane : 0;
	if (spec->delay_slots == 0)
		spec->delay_slots = p->default_delay_slots;
	if (!spec->language)
		spec->language = p->default_language;
	if (spec->dead_air_us == 0)
		spec->dead_air_us = p->dead_air_us;
	if (!spec->glossary)
		spec->glossary = p->default_glossary;
	if (same(spec->language, LVX_LANGUAGE_AUTO))
		spec->language = NULL;
	/* Who speaks what others are translated to is not, unless somebody asks for it. */
	bool is_that = !spec->translate_to && same(spec->language, p->default_translate_to);
	if (!spec->translate_to && !is_that)
		spec->translate_to = p->default_translate_to;
	int seen = lvx_model_info_lane(model, "description");
	bool described = spec->described ||
			 (spec->lanes == 0 && spec->over_network && p->default_described);
	if (spec->lanes == 0)
		spec->lanes = is_that ? p->default_lanes & ~translation : p->default_lanes;
	if (spec->lanes == 0) {
		spec->lanes = 1; /* captions */
		if (spec->translate_to)
			spec->lanes |= translation;
	}
	spec->described = described && seen >= 0;
	if (spec->described)
		spec->lanes |= 1u << seen;
	/* Translation is wanted, but into what? */
	if ((spec->lanes & translation) && !spec->translate_to)
		spec->translate_to = lvx_lane_language(&model->lanes[lane], NULL);
	if ((spec->lanes & translation) && !spec->translate_to)
		return lvx_fail(err, LVX_EINVAL,
			"%s: the translation lane needs a language to translate to: %s", where,
			lvx_model_info_languages(model, "translation").text);
	return lvx_model_info_check_languages(
		model, where, spec->language, spec->translate_to, err);
}

/* {hub->lock} Is there room, and what is the id? */
static enum lvx_status admit(struct lvx_hub *hub, const struct lvx_hub_spec *spec,
	char id[LVX_ID_MAX + 1], struct lvx_error *err)
{
	if (hub->stopping)
		return lvx_fail(err, LVX_ELIMIT, "the daemon is stopping");
	if (hub->device_failed)
		return lvx_fail(err, LVX_EDEVICE, "the compute device failed: %s", hub->device_why);
	if (!lvx_hub_make_room(hub))
		return lvx_fail(err, LVX_ELIMIT, "all %" PRIu32 " rows are taken (--rows)",
			hub->params.max_streams);
	uint32_t n_ended = 0, n = 0;
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list, n++)
		n_ended += lvx_hub_has_ended(s);
	if (n - n_ended >= hub->params.max_streams + CLOSING_MAX)
		return lvx_fail(
			err, LVX_ELIMIT, "%d deleted streams are still closing", CLOSING_MAX);
	if (n_ended >= ENDED_MAX)
		return lvx_fail(err, LVX_ELIMIT,
			"%d ended streams are kept; delete some (DELETE /api/streams/ID)",
			ENDED_MAX);
	if (!spec->id) {
		do {
			snprintf(id, LVX_ID_MAX + 1, "%s-%" PRIu64, spec->uri ? "stream" : "push",
				++hub->n_picked);
		} while (find(hub, id));
		return LVX_OK;
	}
	if (!lvx_id_valid(spec->id))
		return lvx_fail(err, LVX_EINVAL,
			"'%.64s' is not a stream id: 1 to %d of A-Z a-z 0-9 _ - are allowed",
			spec->id, LVX_ID_MAX);
	struct lvx_hub_stream *same = find(hub, spec->id);
	if (same && !lvx_hub_has_ended(same))
		return lvx_fail(err, LVX_EINVAL, "there is already a stream '%s'", spec->id);
	if (same)
		same->unlisted = true;
	snprintf(id, LVX_ID_MAX + 1, "%s", spec->id);
	return LVX_OK;
}

enum lvx_status lvx_hub_open(struct lvx_hub *hub, const struct lvx_hub_spec *spec,
	struct lvx_hub_stream **out, struct lvx_error *err)
{
	char id[LVX_ID_MAX + 1];
	struct lvx_hub_spec full = *spec;
	enum lvx_status st = complete(hub, &full, err);
	if (st != LVX_OK)
		return st;
	pthread_mutex_lock(&hub->lock);
	st = admit(hub, spec, id, err);
	if (st != LVX_OK)
		goto out;
	struct lvx_hub_stream *s = new_stream(hub, &full, id);
	/* Epochs never repeat within the daemon, however fast streams are made. */
	s->created_us = lvx_wall_us();
	s->epoch = s->created_us > hub->last_epoch ? s->created_us : hub->last_epoch + 1;
	hub->last_epoch = s->epoch;
	atomic_store(&s->refs, 3); /* the list's, the keeper's, the caller's */
	int rc = pthread_create(&s->keeper, NULL, lvx_hub_keeper, s);
	if (rc != 0) {
		atomic_store(&s->refs, 1);
		lvx_hub_unref(s);
		st = lvx_fail(err, LVX_ELIMIT, "no thread for the stream: %s", strerror(rc));
		goto out;
	}
	struct lvx_hub_stream **last = &hub->first;
	while (*last)
		last = &(*last)->next_in_list;
	*last = s;
	s->counted = true;
	hub->n_running++;
	*out = s;
out:
	pthread_mutex_unlock(&hub->lock);
	return st;
}

struct lvx_hub_stream *lvx_hub_find(struct lvx_hub *hub, const char *id)
{
	pthread_mutex_lock(&hub->lock);
	struct lvx_hub_stream *s = find(hub, id);
	if (s)
		lvx_hub_ref(s);
	pthread_mutex_unlock(&hub->lock);
	return s;
}

bool lvx_hub_is_taken(struct lvx_hub *hub, const char *id)
{
	if (!id)
		return false;
	pthread_mutex_lock(&hub->lock);
	struct lvx_hub_stream *s = find(hub, id);
	bool taken = s && !lvx_hub_has_ended(s);
	pthread_mutex_unlock(&hub->lock);
	return taken;
}

size_t lvx_hub_list(struct lvx_hub *hub, struct lvx_hub_stream **out, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&hub->lock);
	for (struct lvx_hub_stream *s = hub->first; s && n < max; s = s->next_in_list) {
		if (s->unlisted)
			continue;
		out[n++] = lvx_hub_ref(s);
	}
	pthread_mutex_unlock(&hub->lock);
	return n;
}

void lvx_hub_delete(struct lvx_hub_stream *s)
{
	pthread_mutex_lock(&s->hub->lock);
	s->unlisted = true;
	want_close(s, "deleted");
	pthread_mutex_unlock(&s->hub->lock);
}

static bool is_over(struct lvx_hub_stream *s, int64_t linger_us)
{
	pthread_mutex_lock(&s->lock);
	bool over = s->keeper_ended && s->readers == 0 &&
		    (s->unlisted ||
			    (s->spec.over_network && lvx_now_us() - s->unwatched_us > linger_us));
	pthread_mutex_unlock(&s->lock);
	return over;
}

void lvx_hub_reap(struct lvx_hub *hub)
{
	struct lvx_hub_stream *gone = NULL;
	pthread_mutex_lock(&hub->lock);
	for (struct lvx_hub_stream **p = &hub->first; *p && !hub->stopping;) {
		struct lvx_hub_stream *s = *p;
		if (is_over(s, hub->params.linger_us)) {
			*p = s->next_in_list;
			s->next_in_list = gone;
			gone = s;
		} else {
			p = &s->next_in_list;
		}
	}
	pthread_mutex_unlock(&hub->lock);
	while (gone) {
		struct lvx_hub_stream *s = gone;
		gone = s->next_in_list;
		pthread_join(s->keeper, NULL); /* at its end, so this is short */
		lvx_hub_unref(s);
	}
}

bool lvx_hub_shutdown(struct lvx_hub *hub, int64_t timeout_us)
{
	pthread_mutex_lock(&hub->lock);
	hub->stopping = true;
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list)
		want_close(s, "shutdown");
	pthread_mutex_unlock(&hub->lock);

	/* Nobody changes the list any more: open and reap look at `stopping`. */
	int64_t deadline_us = lvx_wall_us() + timeout_us;
	struct timespec ts = {deadline_us / 1000000, deadline_us % 1000000 * 1000};
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list) {
		int rc = s->joined ? 0 : pthread_timedjoin_np(s->keeper, NULL, &ts);
		if (rc != 0) {
			lvx_log_error("stream %s does not end: %s", s->id, strerror(rc));
			return false;
		}
		s->joined = true;
	}
	return true;
}

void lvx_hub_destroy(struct lvx_hub *hub)
{
	if (!hub)
		return;
	while (hub->first) {
		struct lvx_hub_stream *s = hub->first;
		hub->first = s->next_in_list;
		lvx_hub_unref(s);
	}
	pthread_cond_destroy(&hub->row_free);
	pthread_mutex_destroy(&hub->lock);
	free(hub);
}

/* ---- asking ---- */

bool lvx_hub_all_ended(struct lvx_hub *hub, uint32_t *failed)
{
	bool all = true;
	*failed = 0;
	pthread_mutex_lock(&hub->lock);
	for (struct lvx_hub_stream *s = hub->first; s; s = s->next_in_list) {
		pthread_mutex_lock(&s->lock);
		if (!s->keeper_ended)
			all = false;
		else if (strcmp(s->end_reason, "failed") == 0 ||
			 strcmp(s->end_reason, "device") == 0)
			(*failed)++;
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&hub->lock);
	return all;
}

uint32_t lvx_hub_running(struct lvx_hub *hub)
{
	pthread_mutex_lock(&hub->lock);
	uint32_t n = hub->n_running;
	pthread_mutex_unlock(&hub->lock);
	return n;
}

bool lvx_hub_device_failed(struct lvx_hub *hub, char why[384])
{
	pthread_mutex_lock(&hub->lock);
	bool failed = hub->device_failed;
	memcpy(why, hub->device_why, sizeof(hub->device_why));
	pthread_mutex_unlock(&hub->lock);
	return failed;
}
