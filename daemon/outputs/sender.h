/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes units to one place, on a thread of its own, so that nobody waits for a receiver: connects
 * at a key frame, connects again with growing pauses when that is lost, and drops what cannot be
 * sent in time. Functions: the owner's thread.
 */
#ifndef LVX_DAEMON_OUTPUTS_SENDER_H
#define LVX_DAEMON_OUTPUTS_SENDER_H

#include "daemon/outputs/mux.h"

struct lvx_sender;

struct lvx_sender_params {
	const char *url;     /* borrowed */
	const char *service; /* borrowed: the programme's name */
	/* On the sender's thread. trouble: once a failure; well: a connection, or a file. */
	void (*on_trouble)(void *user, const char *why);
	void (*on_well)(void *user, const char *how);
	void *user;
};

enum lvx_status lvx_sender_create(
	struct lvx_sender **out, const struct lvx_sender_params *params, struct lvx_error *err);
/* Sends what is there, in about 2 s at most, and ends. NULL is fine. */
void lvx_sender_destroy(struct lvx_sender *sender);

/* The tracks that a connection begins with, and units of them that tell their formats: NULL
 * where none has come (it is left out). Its own references are taken. */
void lvx_sender_set_tracks(struct lvx_sender *sender, const struct lvx_unit_track *tracks,
	const struct lvx_unit *const *samples, size_t n);
/*
 * data: in place of the unit's; NULL: those. late_us: from then on (lvx_now_us) a connection does
 * not begin with it any more. False: there is no room; up to the next key frame of the pictures
 * everything will be dropped.
 */
bool lvx_sender_put(struct lvx_sender *sender, const struct lvx_unit *unit, const uint8_t *data,
	size_t len, int64_t late_us);

struct lvx_sender_stats {
	bool connected;
	uint64_t connections, bytes, dropped; /* dropped: units */
};
void lvx_sender_get_stats(struct lvx_sender *sender, struct lvx_sender_stats *out); /* any thread */

#endif
