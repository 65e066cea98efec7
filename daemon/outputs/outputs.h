/* SPDX-License-Identifier: Apache-2.0 */
/* The outputs of all streams: starts those that the settings ask for with each stream. */
#ifndef LVX_DAEMON_OUTPUTS_OUTPUTS_H
#define LVX_DAEMON_OUTPUTS_OUTPUTS_H

#include "daemon/hub.h"
#include "daemon/settings.h"
#include "daemon/text.h"

struct lvx_outputs;

/* Does any stream, or what clients may make, want an output? */
bool lvx_outputs_wanted(const struct lvx_settings *settings);
/* settings: borrowed. Before the first stream. */
enum lvx_status lvx_outputs_create(struct lvx_outputs **out, struct lvx_hub *hub,
	const struct lvx_settings *settings, struct lvx_error *err);
/* Waits for them. After the hub's shutdown, before its destroy. NULL is fine. */
void lvx_outputs_destroy(struct lvx_outputs *outputs);
/* The folder with the HLS of a stream of that id, whether there is one or not; dir: PATH_MAX bytes.
 * False: such a stream has none. NULL is fine. Any thread. */
bool lvx_outputs_hls(struct lvx_outputs *outputs, const char *id, char *dir);
/* The output_* metrics; NULL is fine. Any thread. */
void lvx_outputs_metrics(struct lvx_outputs *outputs, struct lvx_text *t);

#endif
