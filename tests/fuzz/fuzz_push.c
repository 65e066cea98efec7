/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed bytes: the first picks the kind, the rest is what a client sends. */
#include "base/clock.h"
#include "pipeline/source.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_state(void *user, enum lvx_source_state state, const char *msg)
{
	(void)user, (void)state, (void)msg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct lvx_push_params params = {
		.format = data[0] < 8 ? LVX_PUSH_S16LE : data[0] < 16 ? LVX_PUSH_F32LE
								      : LVX_PUSH_CONTAINER,
		.sample_rate = 8000 + data[0] * 1000u,
		.channels = 1 + data[0] % 8u,
		.channel = -1,
		.want_pictures = data[0] & 1,
	};
	struct lvx_ring_params rp = {16000, 1000000, LVX_RING_LIVE, 160, 96, 4};
	struct lvx_source_callbacks cb = {.on_state = on_state};
	struct lvx_ring *ring;
	struct lvx_cursor *cursor;
	struct lvx_bell *bell;
	struct lvx_push *push;
	if (lvx_ring_create(&ring, &rp, NULL) != LVX_OK ||
		lvx_cursor_open(&cursor, ring, false, NULL) != LVX_OK ||
		lvx_bell_create(&bell, NULL) != LVX_OK)
		abort();
	lvx_ring_set_bell(ring, bell);
	if (lvx_push_open(&push, &params, ring, &cb, NULL) == LVX_OK) {
		size_t taken;
		lvx_push_write(push, data + 1, size - 1, &taken);
		lvx_push_finish(push);
		float pcm[1280];
		size_t got;
		int64_t pts, resume;
		enum lvx_status st;
		while ((st = lvx_cursor_read(cursor, pcm, 1280, &got, &pts, &resume)) != LVX_END) {
			for (size_t i = 0; i < got; i++)
				if (!(pcm[i] > -100.0f && pcm[i] < 100.0f))
					abort();
			if (st == LVX_AGAIN)
				lvx_bell_wait(bell, 10000);
		}
		lvx_push_close(push);
	}
	lvx_cursor_close(cursor);
	lvx_ring_destroy(ring);
	lvx_bell_destroy(bell);
	return 0;
}
