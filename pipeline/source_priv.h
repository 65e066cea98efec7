/* SPDX-License-Identifier: Apache-2.0 */
/* What source.c and the kinds of sources know of each other. */
#ifndef LVX_PIPELINE_SOURCE_PRIV_H
#define LVX_PIPELINE_SOURCE_PRIV_H

#include "pipeline/source.h"

/* The first member of every kind's own struct. */
struct lvx_source {
	void (*close)(struct lvx_source *source);
	void (*get_stats)(const struct lvx_source *source, struct lvx_source_stats *out);
};

enum lvx_status lvx_gst_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err);
enum lvx_status lvx_mic_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err);

/* The local path of a file: URI or plain path (malloc), or NULL for other schemes. */
char *lvx_uri_local_path(const char *uri);

/* Tells the state if it is news. Only from one thread at a time. */
struct lvx_state_teller {
	struct lvx_source_callbacks cb;
	bool told;
	enum lvx_source_state state;
	char msg[512];
};
void lvx_tell_state(struct lvx_state_teller *teller, enum lvx_source_state state, const char *fmt,
	...) LVX_PRINTF(3, 4);

#endif
