/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/silence.h"

#include <string.h>

static void drop_first(struct lvx_silence *s)
{
	memmove(s->stretch, s->stretch + 1, --s->n * sizeof(s->stretch[0]));
}

void lvx_silence_picture(struct lvx_silence *s, int64_t dts_us, int64_t duration_us)
{
	struct lvx_silence_stretch *last = s->n > 0 ? &s->stretch[s->n - 1] : NULL;
	int64_t end_us = dts_us + (duration_us > 0 ? duration_us : 0);
	if (last && dts_us <= last->to_us + LVX_SILENCE_HOLE_US &&
		dts_us >= last->to_us - LVX_SILENCE_HOLE_US) {
		last->to_us = end_us > last->to_us ? end_us : last->to_us;
		return;
	}
	if (s->n == LVX_SILENCE_STRETCHES)
		drop_first(s);
	s->stretch[s->n++] = (struct lvx_silence_stretch){dts_us, end_us};
}

bool lvx_silence_take(struct lvx_silence *s, int64_t until_us, int64_t max_us, int64_t *from_us,
	int64_t *to_us)
{
	/* The last stays, to be gone on with. */
	while (s->n > 1 && s->stretch[0].from_us >= s->stretch[0].to_us)
		drop_first(s);
	if (s->n == 0)
		return false;
	struct lvx_silence_stretch *first = &s->stretch[0];
	int64_t end_us = first->to_us < until_us ? first->to_us : until_us;
	if (end_us <= first->from_us)
		return false;
	*from_us = first->from_us;
	*to_us = end_us - first->from_us < max_us ? end_us : first->from_us + max_us;
	first->from_us = *to_us;
	return true;
}
