/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/hub_sound.h"

#include "daemon/hub_priv.h"
#include "pipeline/units.h"

#include <stdlib.h>
#include <string.h>

const char *lvx_hub_sound_name(enum lvx_hub_sound sound)
{
	return sound == LVX_SOUND_MIX ? "mix" : sound == LVX_SOUND_VOICE ? "voice" : NULL;
}

void lvx_hub_sound_free(struct lvx_hub_stream *s)
{
	for (int k = 0; k < LVX_SOUNDS; k++) {
		for (int i = 0; i < LVX_SOUND_KEPT; i++)
			lvx_hub_event_unref(s->sounds[k].kept[i]);
	}
}

enum lvx_status lvx_hub_listen(
	struct lvx_hub_stream *s, enum lvx_hub_sound sound, uint64_t *next, struct lvx_error *err)
{
	if (!s->spec.described)
		return lvx_fail(err, LVX_EINVAL,
			"stream '%s' is not described (lumivoxd --describe): it has no sound",
			s->id);
	pthread_mutex_lock(&s->lock);
	s->sounds[sound].listeners++;
	*next = s->sounds[sound].next;
	pthread_mutex_unlock(&s->lock);
	return LVX_OK;
}

void lvx_hub_unlisten(struct lvx_hub_stream *s, enum lvx_hub_sound sound)
{
	pthread_mutex_lock(&s->lock);
	s->sounds[sound].listeners--;
	pthread_mutex_unlock(&s->lock);
}

bool lvx_hub_is_listened(struct lvx_hub_stream *s, enum lvx_hub_sound sound)
{
	pthread_mutex_lock(&s->lock);
	bool any = s->sounds[sound].listeners > 0;
	pthread_mutex_unlock(&s->lock);
	return any;
}

static char *put_number(char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*at++ = (char)(value >> 8 * i & 0xff);
	return at;
}

void lvx_hub_put_sound(
	struct lvx_hub_stream *s, enum lvx_hub_sound sound, const struct lvx_unit *unit)
{
	size_t len = LVX_SOUND_HEAD + unit->len;
	struct lvx_hub_event *e = malloc(sizeof(*e) + LVX_EVENT_HEADROOM + len);
	if (!e)
		abort();
	atomic_init(&e->refs, 1);
	e->kind = LVX_HUB_SOUND;
	e->lane = 0;
	e->len = len;
	memset(e->data, 0, LVX_EVENT_HEADROOM);
	char *at = e->data + LVX_EVENT_HEADROOM;
	at = put_number(at, sound, 1);
	at = put_number(at, unit->discontinuity, 1);
	at = put_number(at, 0, 2);
	at = put_number(at, (uint64_t)unit->duration_us, 4);
	at = put_number(at, (uint64_t)s->epoch, 8);
	at = put_number(at, (uint64_t)unit->pts_us, 8);
	memcpy(at, unit->data, unit->len);

	pthread_mutex_lock(&s->lock);
	e->seq = s->sounds[sound].next++;
	struct lvx_hub_event **slot = &s->sounds[sound].kept[e->seq % LVX_SOUND_KEPT];
	lvx_hub_event_unref(*slot);
	*slot = e;
	pthread_mutex_unlock(&s->lock);
	lvx_hub_news(s->hub);
}

struct lvx_hub_event *lvx_hub_next_sound(
	struct lvx_hub_stream *s, enum lvx_hub_sound sound, uint64_t *next)
{
	struct lvx_hub_event *e = NULL;
	pthread_mutex_lock(&s->lock);
	uint64_t newest = s->sounds[sound].next;
	if (newest - *next > LVX_SOUND_KEPT)
		*next = newest - LVX_SOUND_KEPT;
	if (*next < newest) {
		e = s->sounds[sound].kept[(*next)++ % LVX_SOUND_KEPT];
		atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

bool lvx_hub_has_sound(struct lvx_hub_stream *s, enum lvx_hub_sound sound, uint64_t next)
{
	pthread_mutex_lock(&s->lock);
	bool any = next < s->sounds[sound].next;
	pthread_mutex_unlock(&s->lock);
	return any;
}
