/* SPDX-License-Identifier: Apache-2.0 */
/* What hub.c (the list), hub_keeper.c (a stream's thread) and hub_log.c (its events) share. */
#ifndef LVX_DAEMON_HUB_PRIV_H
#define LVX_DAEMON_HUB_PRIV_H

#include "daemon/hub_sound.h"
#include "daemon/text.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LVX_HUB_LISTENERS = 8 };

struct lvx_correction_event;

struct lvx_hub {
	struct lvx_hub_params params;
	struct {
		void (*fn)(void *user);
		void *user;
	} listeners[LVX_HUB_LISTENERS]; /* fixed before the first stream */
	uint32_t n_listeners;
	void (*on_open)(void *user, struct lvx_hub_stream *stream); /* as the listeners; or NULL */
	void *on_open_user;

	/* Taken before a stream's lock, and never held while waiting for the engine. */
	pthread_mutex_t lock;
	pthread_cond_t row_free; /* keepers that wait for one */
	/* {lock} from here on */
	struct lvx_hub_stream *first; /* in the order of their making; a reference each */
	uint32_t n_running;           /* those that count against max_streams */
	uint32_t n_further;           /* rows for viewers' wishes, which count too */
	uint32_t n_rows_taken;        /* lags behind n_running while streams close */
	int64_t last_epoch;
	uint64_t n_picked; /* ids made up so far */
	bool stopping, device_failed;
	char device_why[384];
};

/* What a row says in one lane. */
struct lane_log {
	uint32_t segment;
	bool segment_open;
};

/* A further row, or the wish for one. */
struct further {
	bool reserved; /* {hub->lock} in n_further */
	struct lvx_hub_stream *of;
	uint32_t index, row;
	/* {of->lock} */
	uint32_t viewers;
	bool open, ended, failed; /* failed: not tried again while the same viewers are there */
	int64_t unwatched_us;
	struct lane_log log;
};

struct lvx_hub_stream {
	_Atomic uint32_t refs;
	struct lvx_hub *hub;
	struct lvx_hub_stream *next_in_list; /* {hub->lock} */
	bool unlisted;                       /* {hub->lock} deleted: found no more */
	bool counted;                        /* {hub->lock} in n_running */
	pthread_t keeper;
	bool joined; /* the reaping thread only */

	/* Never change. */
	char id[LVX_ID_MAX + 1];
	struct lvx_hub_spec spec; /* its strings are owned */
	char *shown_uri;
	int64_t created_us, epoch;
	struct lvx_units *units;

	/*
	 * The open stream. `handle` is for calls from outside; it is NULL before the
	 * stream is open and after it began to close. `inner` is for callbacks only,
	 * and valid whenever one comes.
	 */
	pthread_mutex_t handle_lock;
	struct lvx_stream *handle; /* {handle_lock} */
	bool finish_wanted;        /* {handle_lock} finish was called before it was open */
	struct lvx_stream *inner;
	bool dead_air; /* has been told; the keeper's */

	pthread_mutex_t lock;   /* after handle_lock */
	pthread_cond_t changed; /* the keeper waits here */
	/* {lock} from here on */
	bool keeper_ended, row_ended, close_wanted, vanished;
	const char *close_reason;   /* static; NULL: as the source's state says */
	const char *end_reason;     /* static; NULL: it runs */
	int64_t unwatched_us;       /* lvx_now_us since when it has ended with no reader */
	struct lvx_hub_event **log; /* [params.history], by seq modulo */
	uint64_t oldest_seq, next_seq;
	enum lvx_source_state state;
	char message[256];
	uint32_t lanes, readers;
	struct lane_log logs[LVX_LANES_MAX];
	struct further further[LVX_FURTHER_MAX];
	bool further_changed; /* a wish came or went; the keeper clears it */
	uint64_t gaps;
	int64_t hold_us;
	int64_t latency_us;
	uint64_t latency_count[LVX_LATENCY_BUCKETS + 1];
	double latency_sum_s;
	struct lvx_stream_stats last_stats; /* of the closed stream */
	struct {
		struct lvx_hub_event *kept[LVX_SOUND_KEPT]; /* by number modulo */
		uint64_t next;
		uint32_t listeners;
	} sounds[LVX_SOUNDS];
	struct lvx_text scratch;
};

void lvx_hub_news(struct lvx_hub *hub); /* no lock held */

/* hub.c. It no longer counts against max_streams; {hub->lock}. */
void lvx_hub_uncount(struct lvx_hub_stream *s);

/* hub_further.c */
/* Is there a row for one more? A further row without viewers gives way. {hub->lock} */
bool lvx_hub_make_room(struct lvx_hub *hub);
/* The keeper's, while the stream is open: opens and closes them. In so many µs there is more
 * to do; -1: when `changed` is signalled. */
int64_t lvx_hub_further_work(struct lvx_hub_stream *s);
bool lvx_hub_further_ended(const struct lvx_hub_stream *s); /* all have said all; {lock} */
void lvx_hub_further_close(struct lvx_hub_stream *s);	     /* before the stream is closed */

/* hub_keeper.c: the thread; takes a reference of the stream. */
void *lvx_hub_keeper(void *stream);

/* hub_log.c; each takes the lock, appends and leaves the news to the caller. */
void lvx_hub_log_event(struct lvx_hub_stream *s, const struct lvx_event *event, int64_t latency_us);
/* What a further row says. */
void lvx_hub_log_further(struct lvx_hub_stream *s, struct further *f,
	const struct lvx_event *event, int64_t latency_us);
/* Its row is gone: ends the segment that is open. {lock} */
void lvx_hub_log_break(struct lvx_hub_stream *s, struct further *f);
void lvx_hub_log_state(struct lvx_hub_stream *s, enum lvx_source_state state, const char *msg);
/* The event's seq; 0: the stream has ended. */
uint64_t lvx_hub_log_correction(
	struct lvx_hub_stream *s, uint32_t lane, const struct lvx_correction_event *event);
void lvx_hub_log_end(struct lvx_hub_stream *s, const char *reason);
void lvx_hub_log_output(
	struct lvx_hub_stream *s, const char *output, bool well, const char *msg);
void lvx_hub_log_dead_air(struct lvx_hub_stream *s, bool over, int64_t silent_us);
void lvx_hub_log_free(struct lvx_hub_stream *s);
/* hub_sound.c */
void lvx_hub_sound_free(struct lvx_hub_stream *s);

#endif
