/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/listeners.h"

#include "daemon/describe/sound.h"

#include <stdlib.h>

static const int bit_rates[LVX_SOUNDS] = {0, 96000, 48000};

struct listener {
	struct lvx_hub_stream *stream;
	enum lvx_hub_sound sound;
	struct lvx_sound_out *out; /* NULL: nobody listens */
};

struct lvx_listeners {
	struct listener of[LVX_SOUNDS];
};

struct lvx_listeners *lvx_listeners_create(struct lvx_hub_stream *stream)
{
	struct lvx_listeners *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	for (int i = 0; i < LVX_SOUNDS; i++)
		l->of[i] = (struct listener){.stream = stream, .sound = (enum lvx_hub_sound)i};
	return l;
}

void lvx_listeners_destroy(struct lvx_listeners *l)
{
	for (int i = 0; l && i < LVX_SOUNDS; i++)
		lvx_sound_out_destroy(l->of[i].out);
	free(l);
}

static void on_unit(void *user, const struct lvx_unit *unit)
{
	struct listener *one = user;
	lvx_hub_put_sound(one->stream, one->sound, unit);
}

static enum lvx_status put(
	struct listener *one, const float *pcm, size_t n, int64_t at, struct lvx_error *err)
{
	if (!lvx_hub_is_listened(one->stream, one->sound)) {
		lvx_sound_out_destroy(one->out);
		one->out = NULL;
		return LVX_OK;
	}
	if (!one->out) {
		struct lvx_sound_out_params params = {.codec = "opus",
			.channels = 2,
			.bit_rate = bit_rates[one->sound],
			.fn = on_unit,
			.user = one};
		enum lvx_status st = lvx_sound_out_create(&one->out, &params, err);
		if (st != LVX_OK)
			return st;
	}
	lvx_sound_out_put(one->out, pcm, n, at);
	return LVX_OK;
}

enum lvx_status lvx_listeners_put(struct lvx_listeners *l, const float *mix, const float *voice,
	size_t n, int64_t at, bool voiced, struct lvx_error *err)
{
	struct listener *alone = &l->of[LVX_SOUND_VOICE];
	enum lvx_status st = put(&l->of[LVX_SOUND_MIX], mix, n, at, err);
	if (st != LVX_OK)
		return st;
	if (voiced)
		return put(alone, voice, n, at, err);
	if (alone->out) /* it has ended: all of it comes out */
		lvx_sound_out_flush(alone->out);
	return LVX_OK;
}

void lvx_listeners_flush(struct lvx_listeners *l)
{
	for (int i = 0; i < LVX_SOUNDS; i++) {
		if (l->of[i].out)
			lvx_sound_out_flush(l->of[i].out);
	}
}
