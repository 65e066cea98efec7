/* SPDX-License-Identifier: Apache-2.0 */
#include "drain.h"

#include "base/clock.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RATE = 16000, READ = 160 };

static void on_state(void *user, enum lvx_source_state state, const char *msg)
{
	struct drain *d = user;
	pthread_mutex_lock(&d->lock);
	if (d->n_states < DRAIN_STATES)
		d->states[d->n_states++] = state;
	if (msg[0])
		snprintf(d->msg, sizeof(d->msg), "%s", msg);
	pthread_mutex_unlock(&d->lock);
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "drain: %s failed\n", what);
	abort();
}

void drain_init(struct drain *d, enum lvx_ring_mode mode, uint32_t width, uint32_t height)
{
	memset(d, 0, sizeof(*d));
	struct lvx_ring_params rp = {
		.sample_rate = RATE,
		.capacity_us = mode == LVX_RING_PACED ? 2000000 : 30000000,
		.mode = mode,
		.picture_width = width,
		.picture_height = height,
		.n_pictures = width ? 8 : 0,
	};
	must(lvx_ring_create(&d->ring, &rp, NULL) == LVX_OK, "ring");
	must(lvx_cursor_open(&d->cursor, d->ring, mode == LVX_RING_PACED, NULL) == LVX_OK,
		"cursor");
	if (width)
		lvx_cursor_follow_pictures(d->cursor);
	must(lvx_bell_create(&d->bell, NULL) == LVX_OK, "bell");
	lvx_ring_set_bell(d->ring, d->bell);
	pthread_mutex_init(&d->lock, NULL);
	d->cb = (struct lvx_source_callbacks){.user = d, .on_state = on_state};
}

static void keep(struct drain *d, const float *pcm, size_t n, int64_t pts_us, bool fresh)
{
	if (n == 0)
		return;
	if ((fresh || d->n_pieces == 0) && d->n_pieces < DRAIN_PIECES)
		d->pieces[d->n_pieces++] = (struct piece){d->n, pts_us};
	if (d->n + n > d->cap) {
		d->cap = (d->n + n) * 2;
		d->pcm = realloc(d->pcm, d->cap * sizeof(float));
		must(d->pcm != NULL, "realloc");
	}
	memcpy(d->pcm + d->n, pcm, n * sizeof(float));
	d->n += n;
}

void drain_some(struct drain *d)
{
	static _Thread_local bool fresh;
	float pcm[READ];
	size_t got;
	int64_t pts_us, resume_us;
	struct lvx_ring_params rp;
	lvx_ring_get_params(d->ring, &rp);
	if (d->n == 0)
		fresh = false;
	enum lvx_status st;
	do {
		st = lvx_cursor_read(d->cursor, pcm, READ, &got, &pts_us, &resume_us);
		keep(d, pcm, got, pts_us, fresh);
		if (got)
			fresh = false;
		if (st == LVX_GAP)
			fresh = true;
		if (!rp.n_pictures || st == LVX_AGAIN)
			continue;
		/* As the extractor does: pictures up to the sound that is there. */
		uint8_t *rgb = malloc((size_t)rp.picture_width * rp.picture_height * 3);
		int64_t until = st == LVX_END ? INT64_MAX : pts_us + READ * INT64_C(1000000) / RATE;
		while (lvx_cursor_read_picture(d->cursor, rgb, until, &pts_us) == LVX_OK) {
			if (d->n_pictures == DRAIN_PICTURES)
				continue;
			d->picture_us[d->n_pictures] = pts_us;
			memcpy(d->picture_mid[d->n_pictures++],
				rgb + ((size_t)rp.picture_height / 2 * rp.picture_width +
					      rp.picture_width / 2) * 3,
				3);
		}
		free(rgb);
	} while (st == LVX_OK || st == LVX_GAP);
	d->ended = st == LVX_END;
}

bool drain_run(struct drain *d, int64_t timeout_us)
{
	int64_t until = lvx_now_us() + timeout_us;
	drain_some(d);
	while (!d->ended && lvx_now_us() < until) {
		lvx_bell_wait(d->bell, 20000);
		drain_some(d);
	}
	return d->ended;
}

void drain_wait(struct drain *d)
{
	if (drain_run(d, 10000))
		lvx_sleep_us(5000);
}

void drain_finish(struct drain *d)
{
	lvx_cursor_close(d->cursor);
	lvx_ring_destroy(d->ring);
	lvx_bell_destroy(d->bell);
	pthread_mutex_destroy(&d->lock);
	free(d->pcm);
}

bool drain_saw(struct drain *d, enum lvx_source_state state)
{
	bool saw = false;
	pthread_mutex_lock(&d->lock);
	for (int i = 0; i < d->n_states; i++)
		saw |= d->states[i] == state;
	pthread_mutex_unlock(&d->lock);
	return saw;
}

int64_t drain_end_us(const struct drain *d)
{
	if (d->n_pieces == 0)
		return 0;
	const struct piece *p = &d->pieces[d->n_pieces - 1];
	return p->pts_us + (int64_t)(d->n - p->at) * 1000000 / RATE;
}

/* The last state may be told after the ring's end. */
static bool run_to_end(struct drain *d)
{
	DRAIN_UNTIL(d, d->ended &&
			(drain_saw(d, LVX_SOURCE_ENDED) || drain_saw(d, LVX_SOURCE_FAILED)));
	return d->ended;
}

enum lvx_status drain_uri(struct drain *d, struct lvx_source_params *params, const char *uri,
	struct lvx_source_stats *stats, struct lvx_error *err)
{
	struct lvx_source *source;
	params->uri = uri;
	enum lvx_status st = lvx_source_open(&source, params, d->ring, &d->cb, err);
	if (st != LVX_OK)
		return st;
	bool ended = run_to_end(d);
	if (stats)
		lvx_source_get_stats(source, stats);
	lvx_source_close(source);
	return ended ? LVX_OK : LVX_EIO;
}

enum lvx_status drain_push(struct drain *d, const struct lvx_push_params *params,
	const uint8_t *data, size_t len, size_t max_piece, unsigned seed,
	struct lvx_source_stats *stats, struct lvx_error *err)
{
	struct lvx_push *push;
	enum lvx_status st = lvx_push_open(&push, params, d->ring, &d->cb, err);
	if (st != LVX_OK)
		return st;
	for (size_t at = 0; at < len;) {
		seed = seed * 1664525u + 1013904223u;
		size_t n = 1 + (seed >> 8) % max_piece, taken;
		if (n > len - at)
			n = len - at;
		st = lvx_push_write(push, data + at, n, &taken);
		at += taken;
		if (st == LVX_END)
			break;
		if (st == LVX_AGAIN) {
			drain_some(d);
			lvx_sleep_us(1000);
		}
	}
	lvx_push_finish(push);
	bool ended = run_to_end(d);
	if (stats)
		lvx_push_get_stats(push, stats);
	lvx_push_close(push);
	return ended ? LVX_OK : LVX_EIO;
}

double rms(const float *pcm, size_t n)
{
	double sum = 0.0;
	for (size_t i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	return n ? sqrt(sum / (double)n) : 0.0;
}

double tone_share(const float *pcm, size_t n, double hz, double rate)
{
	double re = 0.0, im = 0.0, all = 0.0;
	for (size_t i = 0; i < n; i++) {
		double w = 2.0 * M_PI * hz * (double)i / rate;
		re += pcm[i] * cos(w);
		im += pcm[i] * sin(w);
		all += (double)pcm[i] * pcm[i];
	}
	return all > 0.0 ? 2.0 * (re * re + im * im) / (double)n / all : 0.0;
}

bool run_command(const char *fmt, ...)
{
	char cmd[4096];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd) == 0;
}

static char dir[64];

const char *scratch_dir(void)
{
	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "/tmp/lvx-test-XXXXXX");
		must(mkdtemp(dir) != NULL, "mkdtemp");
	}
	return dir;
}

void scratch_noise(const char *name, size_t len)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	FILE *f = fopen(path, "wb");
	must(f != NULL, "noise");
	uint32_t seed = 1;
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		putc((int)(seed >> 24), f);
	}
	must(fclose(f) == 0, "noise");
}

void scratch_remove(void)
{
	if (dir[0])
		run_command("rm -rf '%s'", dir);
	dir[0] = '\0';
}
