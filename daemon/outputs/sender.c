/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/sender.h"

#include "base/clock.h"
#include "daemon/outputs/a53.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	ITEMS_MAX = 4096,
	BYTES_MAX = 128 << 20,
	PAUSE_MIN_US = 1000000,
	PAUSE_MAX_US = 30000000,
	STABLE_US = 10000000, /* after so long a connection the pauses begin anew */
	REFUSED_MAX = 200,    /* units in a row whose times the container does not take */
	DRAIN_S = 2,
};

struct item {
	const struct lvx_unit *unit; /* referenced */
	uint8_t *data;               /* owned; NULL: the unit's */
	size_t len;
	int64_t late_us;
};

struct lvx_sender {
	struct lvx_sender_params params;
	bool file;
	pthread_t thread;
	_Atomic bool stop;       /* at once */
	_Atomic bool connecting; /* inside lvx_mux_open */
	_Atomic bool connected;
	_Atomic uint64_t connections, bytes, dropped;

	pthread_mutex_t lock;
	pthread_cond_t more;
	/* {lock} */
	struct item items[ITEMS_MAX]; /* a ring */
	size_t first, n, n_bytes;
	bool finish; /* when all is sent */
	struct lvx_unit_track tracks[LVX_UNIT_TRACKS_MAX];
	const struct lvx_unit *samples[LVX_UNIT_TRACKS_MAX]; /* referenced; NULL: none */

	/* The owner's. */
	bool skipping; /* to the next key frame */

	/* The thread's. */
	struct lvx_mux *mux;
	const struct lvx_unit *opened[LVX_UNIT_TRACKS_MAX]; /* the samples of mux; referenced */
	uint64_t bytes_before;
	int64_t opened_us, retry_us, pause_us;
	unsigned refused; /* in a row */
};

static void drop_item(struct item *item)
{
	lvx_unit_unref(item->unit);
	free(item->data);
}

static bool is_key(const struct lvx_unit *unit)
{
	return unit->media == LVX_UNIT_VIDEO && unit->keyframe;
}

/* ---- connecting ---- */

static void unref_samples(const struct lvx_unit **samples)
{
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++) {
		lvx_unit_unref(samples[i]);
		samples[i] = NULL;
	}
}

static void disconnect(struct lvx_sender *s)
{
	if (s->mux)
		s->bytes_before += lvx_mux_bytes(s->mux);
	lvx_mux_close(s->mux);
	s->mux = NULL;
	unref_samples(s->opened);
	atomic_store(&s->connected, false);
}

static void failed(struct lvx_sender *s, const char *why)
{
	int64_t now_us = lvx_now_us();
	if (s->mux && now_us - s->opened_us > STABLE_US)
		s->pause_us = 0;
	s->pause_us = s->pause_us ? 2 * s->pause_us : PAUSE_MIN_US;
	if (s->pause_us > PAUSE_MAX_US)
		s->pause_us = PAUSE_MAX_US;
	s->retry_us = now_us + s->pause_us;
	disconnect(s);
	if (!atomic_load(&s->stop))
		s->params.on_trouble(s->params.user, why);
}

/* What the first unit's parameter sets are, as extradata. */
static void describe(const struct lvx_unit *key, struct lvx_text *sets)
{
	lvx_a53_parameter_sets(sets,
		strcmp(key->format->codec, "hevc") == 0 ? LVX_A53_H265 : LVX_A53_H264, key->data,
		key->len);
}

static bool connect_at(struct lvx_sender *s, const struct lvx_unit *key)
{
	struct lvx_mux_track tracks[LVX_UNIT_TRACKS_MAX];
	struct lvx_unit_track infos[LVX_UNIT_TRACKS_MAX];
	struct lvx_error err = {0};
	struct lvx_text sets = {0};
	pthread_mutex_lock(&s->lock);
	memcpy(infos, s->tracks, sizeof(infos));
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++) {
		if (s->samples[i])
			s->opened[i] = lvx_unit_ref(s->samples[i]);
	}
	pthread_mutex_unlock(&s->lock);
	describe(key, &sets);
	for (size_t i = 0; i < LVX_UNIT_TRACKS_MAX; i++) {
		tracks[i] = (struct lvx_mux_track){.media = infos[i].media,
			.role = infos[i].role,
			.language = infos[i].language,
			.format = s->opened[i] ? s->opened[i]->format : NULL};
		if (infos[i].media == LVX_UNIT_VIDEO && sets.len > 0) {
			tracks[i].extra = (const uint8_t *)sets.data;
			tracks[i].n_extra = sets.len;
		}
	}
	atomic_store(&s->connecting, true);
	enum lvx_status st =
		lvx_mux_open(&s->mux, s->params.url, s->params.service, tracks, &s->stop, &err);
	atomic_store(&s->connecting, false);
	lvx_text_finish(&sets);
	if (st != LVX_OK) {
		failed(s, err.msg);
		return false;
	}
	s->opened_us = lvx_now_us();
	s->refused = 0;
	atomic_store(&s->connected, true);
	atomic_fetch_add(&s->connections, 1);
	s->params.on_well(s->params.user, lvx_mux_name(s->mux));
	return true;
}

/* ---- sending ---- */

static bool same_format(const struct lvx_unit_format *a, const struct lvx_unit_format *b)
{
	return a == b || (strcmp(a->codec, b->codec) == 0 && a->sample_rate == b->sample_rate &&
				 a->channels == b->channels && a->width == b->width &&
				 a->height == b->height);
}

static void send(struct lvx_sender *s, const struct item *item)
{
	const struct lvx_unit *unit = item->unit;
	struct lvx_error err = {0};
	/* Another format in the middle: the container begins anew. */
	if (s->mux && s->opened[unit->track] && is_key(unit) &&
		!same_format(s->opened[unit->track]->format, unit->format))
		disconnect(s);
	if (!s->mux) {
		int64_t now_us = lvx_now_us();
		if (!is_key(unit) || now_us > item->late_us || now_us < s->retry_us ||
			!connect_at(s, unit)) {
			atomic_fetch_add(&s->dropped, 1);
			return;
		}
	}
	enum lvx_status st = lvx_mux_write(s->mux, unit->track, unit,
		item->data ? item->data : unit->data, item->data ? item->len : unit->len, &err);
	atomic_store(&s->bytes, s->bytes_before + lvx_mux_bytes(s->mux));
	if (st == LVX_OK) {
		s->refused = 0;
	} else if (st == LVX_EINVAL) {
		atomic_fetch_add(&s->dropped, 1);
		if (++s->refused > REFUSED_MAX)
			disconnect(s); /* the clock has jumped back */
	} else {
		failed(s, err.msg);
	}
}

static void *sender_thread(void *user)
{
	struct lvx_sender *s = user;
	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (s->n == 0 && !s->finish)
			pthread_cond_wait(&s->more, &s->lock);
		if (s->n == 0 || atomic_load(&s->stop))
			break;
		struct item item = s->items[s->first];
		s->first = (s->first + 1) % ITEMS_MAX;
		s->n--;
		s->n_bytes -= item.len;
		pthread_mutex_unlock(&s->lock);
		send(s, &item);
		drop_item(&item);
	}
	pthread_mutex_unlock(&s->lock);
	disconnect(s);
	return NULL;
}

/* ---- the owner ---- */

enum lvx_status lvx_sender_create(
	struct lvx_sender **out, const struct lvx_sender_params *params, struct lvx_error *err)
{
	struct lvx_sender *s = calloc(1, sizeof(*s));
	if (!s)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	s->params = *params;
	s->file = lvx_mux_is_file(params->url);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	int rc = pthread_create(&s->thread, NULL, sender_thread, s);
	if (rc != 0) {
		pthread_cond_destroy(&s->more);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return lvx_fail(err, LVX_ELIMIT, "no thread: %s", strerror(rc));
	}
	*out = s;
	return LVX_OK;
}

void lvx_sender_destroy(struct lvx_sender *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->finish = true;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	/* Nobody waits for a receiver that is not there yet. */
	if (atomic_load(&s->connecting) && !s->file)
		atomic_store(&s->stop, true);
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DRAIN_S;
	if (pthread_timedjoin_np(s->thread, NULL, &until) != 0) {
		atomic_store(&s->stop, true);
		pthread_join(s->thread, NULL);
	}
	for (size_t i = 0; i < s->n; i++)
		drop_item(&s->items[(s->first + i) % ITEMS_MAX]);
	unref_samples(s->samples);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void lvx_sender_set_tracks(struct lvx_sender *s, const struct lvx_unit_track *tracks,
	const struct lvx_unit *const *samples, size_t n)
{
	pthread_mutex_lock(&s->lock);
	unref_samples(s->samples);
	for (size_t i = 0; i < n; i++) {
		s->tracks[i] = tracks[i];
		s->samples[i] = samples[i] ? lvx_unit_ref(samples[i]) : NULL;
	}
	pthread_mutex_unlock(&s->lock);
}

bool lvx_sender_put(struct lvx_sender *s, const struct lvx_unit *unit, const uint8_t *data,
	size_t len, int64_t late_us)
{
	bool skip = s->skipping && !is_key(unit);
	struct item item = {.unit = unit, .late_us = late_us, .len = data ? len : unit->len};
	pthread_mutex_lock(&s->lock);
	bool room = s->n < ITEMS_MAX && s->n_bytes + item.len <= BYTES_MAX;
	if (room && !skip && data) {
		item.data = malloc(len);
		room = item.data != NULL;
		if (room)
			memcpy(item.data, data, len);
	}
	if (room && !skip) {
		lvx_unit_ref(unit);
		s->items[(s->first + s->n++) % ITEMS_MAX] = item;
		s->n_bytes += item.len;
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	s->skipping = !room || skip;
	if (!room || skip)
		atomic_fetch_add(&s->dropped, 1);
	return room;
}

void lvx_sender_get_stats(struct lvx_sender *s, struct lvx_sender_stats *out)
{
	*out = (struct lvx_sender_stats){
		.connected = atomic_load(&s->connected),
		.connections = atomic_load(&s->connections),
		.bytes = atomic_load(&s->bytes),
		.dropped = atomic_load(&s->dropped),
	};
}
