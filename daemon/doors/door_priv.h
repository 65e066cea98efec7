/* SPDX-License-Identifier: Apache-2.0 */
/* What door.c (the connection) and sound.c (its stream) share. */
#ifndef LVX_DAEMON_DOORS_DOOR_PRIV_H
#define LVX_DAEMON_DOORS_DOOR_PRIV_H

#include "daemon/doors/door.h"
#include "daemon/server_priv.h"

enum {
	LVX_DOOR_MARKS_MAX = 64,
	LVX_DOOR_REPLIES_MAX = 256, /* then events stay in the hub */
};

struct lvx_door_reply {
	struct lvx_door_reply *next;
	size_t len;
	char data[]; /* [LWS_PRE + len] */
};

struct lvx_door {
	struct lvx_door *next;
	struct lvx_server *server;
	struct lws *wsi;
	const struct lvx_door_protocol *protocol;
	void *state;
	char id[37];
	struct lvx_door_reply *first, **last;
	uint32_t n_replies, n_errors;
	struct lvx_text message; /* the text message that is coming in */
	int64_t waiting_since_us, last_rx_us;
	int close_code; /* 0: stay */
	const char *close_reason;
	bool reading, discarding;

	/* sound.c */
	struct lvx_hub_stream *stream; /* referenced; NULL: not started */
	struct lvx_hub_reader reader;
	struct lvx_door_sound sound;
	struct lvx_text held; /* what the hub could not take yet */
	bool finished;        /* no more sound */
	bool finish_told;     /* to the hub */
	bool ended;           /* on_end was called */
	uint64_t n_bytes;     /* of s16le put into held, ever */
	/* Silence that was put in: none but the last may still have words before it to come. */
	struct {
		int64_t at_us, len_us;
	} cuts[LVX_DOOR_MARKS_MAX];
	uint32_t n_cuts;
	int64_t base_us,
		floor_us; /* of the cuts that were folded: their length, and where they were */
	uint64_t flushed_bytes; /* n_bytes after the last flush */
	int64_t flushed_us;
	struct {
		int64_t stream_us;
		bool is_cut;
		uint32_t n; /* calls of on_heard that wait for it */
	} marks[LVX_DOOR_MARKS_MAX];
	uint32_t n_marks;
	lws_sorted_usec_list_t sul; /* runs while there are marks */
};

/* sound.c */
void lvx_door_pump(struct lvx_door *d);  /* held to the hub */
void lvx_door_drain(struct lvx_door *d); /* the hub's events to the protocol */
void lvx_door_tick_sound(struct lvx_door *d);
void lvx_door_leave(struct lvx_door *d); /* the connection is gone */

/* handshake.c. False: too many or too long. text owns the strings. */
bool lvx_door_read_args(struct lws *wsi, struct lvx_door_args *args, struct lvx_text *text);

/* door.c */
void lvx_door_set_reading(struct lvx_door *d);

#endif
