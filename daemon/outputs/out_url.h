/* SPDX-License-Identifier: Apache-2.0 */
/* The list that `out` is: where a programme goes, and with which sound. Any thread. */
#ifndef LVX_DAEMON_OUTPUTS_OUT_URL_H
#define LVX_DAEMON_OUTPUTS_OUT_URL_H

#include "base/error.h"
#include "pipeline/units.h"

#include <stdbool.h>
#include <stddef.h>

enum lvx_out_sound {
	LVX_OUT_ALL,       /* the programme's own, and the mix with descriptions behind it */
	LVX_OUT_PROGRAMME, /* its own; where the container has room for one */
	LVX_OUT_MIX,       /* `mix=URL`: only the mix */
	LVX_OUT_VOICE,     /* `voice=URL`: the programme's own, and the voice alone behind it */
};

struct lvx_out_url {
	char *url; /* owned */
	enum lvx_out_sound sound;
};

/* The index-th of the list, with {stream} replaced; false: there is none. Aborts without memory. */
bool lvx_out_url_get(struct lvx_out_url *out, const char *list, size_t index, const char *stream);
void lvx_out_url_finish(struct lvx_out_url *out);
/* LVX_EINVAL: no output, or one that cannot have that sound. described: the stream is. */
enum lvx_status lvx_out_url_check(
	const struct lvx_out_url *out, bool described, struct lvx_error *err);
/* Is such sound among what leaves there? */
bool lvx_out_sound_has(enum lvx_out_sound sound, enum lvx_unit_role role);
/* Does any of the list want the voice alone? */
bool lvx_out_urls_want_voice(const char *list);

#endif
