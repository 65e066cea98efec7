/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/source.h"

enum lvx_status lvx_push_open(struct lvx_push **out, const struct lvx_push_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err)
{
	(void)out, (void)params, (void)ring, (void)cb;
	return lvx_fail(err, LVX_EUNSUPPORTED, "push: not yet");
}
enum lvx_status lvx_push_write(struct lvx_push *push, const uint8_t *data, size_t len, size_t *taken)
{
	(void)push, (void)data, (void)len;
	*taken = 0;
	return LVX_EUNSUPPORTED;
}
void lvx_push_set_room(struct lvx_push *push, void (*on_room)(void *user), void *user)
{
	(void)push, (void)on_room, (void)user;
}
void lvx_push_finish(struct lvx_push *push)
{
	(void)push;
}
void lvx_push_close(struct lvx_push *push)
{
	(void)push;
}
void lvx_push_get_stats(const struct lvx_push *push, struct lvx_source_stats *out)
{
	(void)push;
	*out = (struct lvx_source_stats){0};
}
