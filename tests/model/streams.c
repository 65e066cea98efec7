/* SPDX-License-Identifier: Apache-2.0 */
#include "streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum lvx_status feed(void *user, struct lvx_feed_item *item, float *values)
{
	struct stream *s = user;
	if (s->at == s->n)
		return LVX_END;
	const struct stream_input *in = &s->inputs[s->at++];
	*item = in->item;
	size_t n = item->kind == LVX_FEED_PICTURE ? s->picture_values : s->slot_values;
	memcpy(values, in->values, n * sizeof(*values));
	return LVX_OK;
}

static void say(struct stream *s, const char *line, size_t n)
{
	if (s->len + n > s->room) {
		s->room = 2 * (s->len + n);
		s->said = realloc(s->said, s->room);
		assert_non_null(s->said);
	}
	memcpy(s->said + s->len, line, n);
	s->len += n;
}

static void on_event(void *user, const struct lvx_event *e)
{
	struct stream *s = user;
	char line[512];
	int n = snprintf(line, sizeof(line), "%d %u '%s' %lld %lld %.9g %d%d%d%d %lld\n", e->kind,
		e->lane, e->text ? e->text : "", (long long)e->start_us, (long long)e->end_us,
		(double)e->confidence, e->segment_end, e->speech, e->utterance_end,
		e->speaker_change, (long long)e->heard_us);
	assert_in_range(n, 1, sizeof(line) - 1);
	say(s, line, (size_t)n);
	s->words += e->kind == LVX_EVENT_WORD;
	if (e->kind == LVX_EVENT_END)
		s->ended = true;
}

void stream_prepare(struct stream *s)
{
	s->params.feed = feed;
	s->params.on_event = on_event;
	s->params.user = s;
}

void stream_join(struct stream *s, struct lvx_scheduler *scheduler)
{
	struct lvx_error err;
	stream_prepare(s);
	if (lvx_scheduler_add(scheduler, &s->params, &s->row, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	s->in = true;
}

void stream_leave(struct stream *s, struct lvx_scheduler *scheduler)
{
	lvx_scheduler_remove(scheduler, s->row);
	s->in = false;
	s->ended = true;
}

void stream_rewind(struct stream *s)
{
	s->at = s->words = 0;
	s->len = 0;
	s->in = false;
	s->ended = false;
}

void stream_free(struct stream *s)
{
	free(s->said);
}
