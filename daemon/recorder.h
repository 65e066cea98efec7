/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --record: the text of the streams as subtitle files. A thread of its own, a reader
 * of the hub that counts as no viewer, so that a slow or full disk holds up nobody.
 * What it cannot write it says once a stream, and again when it can.
 */
#ifndef LVX_DAEMON_RECORDER_H
#define LVX_DAEMON_RECORDER_H

#include "daemon/hub.h"
#include "daemon/settings.h"

struct lvx_recorder;

/* settings: borrowed. Before the first stream. */
enum lvx_status lvx_recorder_create(struct lvx_recorder **out, struct lvx_hub *hub,
	const struct lvx_settings *settings, struct lvx_error *err);
/* Writes what there is, then ends. After the hub's shutdown. NULL is fine. */
void lvx_recorder_destroy(struct lvx_recorder *recorder);

#endif
