/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams by id, and of each a log of events: serialised once, counted by
 * reference and shared by all who read. A reader holds nothing but the number
 * of the event that it wants next, so a slow one costs nobody anything. This is
 * the only place where the model thread (which appends) and the socket thread
 * (which reads) meet; nothing here blocks either for longer than a memcpy.
 *
 * Each stream has a keeper thread that opens it, sleeps, and closes it, because
 * opening and closing media may take long. Functions are free-threaded unless
 * they say otherwise.
 */
#ifndef LVX_DAEMON_HUB_H
#define LVX_DAEMON_HUB_H

#include "daemon/id.h"
#include "daemon/stream.h"

enum {
	LVX_PREFIX_MAX = 1024,   /* bytes of a stream's prefix */
	LVX_EVENT_HEADROOM = 32, /* free bytes before an event's JSON, for the sockets' use */
	LVX_LATENCY_BUCKETS = 11,
	/* Further rows of a stream: one a language of the translation lane, then one a lane. */
	LVX_FURTHER_MAX = LVX_LANGUAGES_MAX + LVX_LANES_MAX,
	LVX_HUB_LANES = LVX_LANES_MAX + LVX_FURTHER_MAX, /* of a stream's events */
};

struct lvx_hub;
struct lvx_hub_stream;

enum lvx_hub_event_kind {
	LVX_HUB_TEXT,
	LVX_HUB_ACTIVITY,
	LVX_HUB_STATE,
	LVX_HUB_GAP,
	LVX_HUB_CORRECTION,
	LVX_HUB_OUTPUT,
	LVX_HUB_SOUND, /* a binary message; not in the log: daemon/hub_sound.h */
	LVX_HUB_DEAD_AIR,
	LVX_HUB_END,
};

/* Immutable once appended, but for the headroom, which is the socket thread's. */
struct lvx_hub_event {
	_Atomic uint32_t refs;
	enum lvx_hub_event_kind kind;
	/* TEXT and CORRECTION: the model's lane; of a further row, LVX_LANES_MAX + its number */
	uint32_t lane;
	uint64_t seq;
	size_t len;
	char data[]; /* [LVX_EVENT_HEADROOM + len] */
};
void lvx_hub_event_unref(struct lvx_hub_event *event);

struct lvx_hub_params {
	struct lvx_engine *engine;        /* borrowed */
	uint32_t max_streams;             /* running at once: the engine's rows */
	uint32_t history;                 /* events kept of a stream */
	uint32_t default_lanes;           /* 0: the model's first (captions), and translation if translate_to */
	bool default_described;           /* with those, the descriptions */
	const char *default_translate_to; /* or NULL; borrowed */
	const char *default_language;     /* as spec.language */
	uint32_t default_delay_slots;     /* 0: the model's usual one */
	struct lvx_glossary *default_glossary; /* or NULL; borrowed */
	int64_t dead_air_us;              /* as spec.dead_air_us; 0: never told */
	int64_t linger_us; /* an ended stream from the network stays so long unwatched */
	uint32_t max_further;	   /* further rows at once; 0: none */
	int64_t further_linger_us; /* they stay so long unwatched */
};
enum lvx_status lvx_hub_create(
	struct lvx_hub **out, const struct lvx_hub_params *params, struct lvx_error *err);
/* Ends every stream (reason "shutdown") and waits for it. False: some did not end in time;
 * then nothing that the hub uses may be destroyed any more, nor the hub. */
bool lvx_hub_shutdown(struct lvx_hub *hub, int64_t timeout_us);
void lvx_hub_destroy(struct lvx_hub *hub); /* after shutdown; the last reader has gone */

/* fn is called, on any thread and without a lock held, when there is something new: an
 * event, room for a push, a stream. It must not block. Before the first stream. */
void lvx_hub_on_news(struct lvx_hub *hub, void (*fn)(void *user), void *user);
/* fn is called with each new stream, on the stream's own thread, before anything of it is
 * opened: for those that must miss none of it. One fn; before the first stream. */
void lvx_hub_on_open(struct lvx_hub *hub, void (*fn)(void *user, struct lvx_hub_stream *stream),
	void *user);

struct lvx_hub_spec {
	const char *id;  /* NULL: the hub picks one */
	const char *uri; /* a source, or NULL: */
	struct lvx_push_params push;
	uint32_t lanes;                   /* 0: the hub's default */
	bool described;                   /* besides them the descriptions */
	const char *translate_to;         /* NULL: the hub's default, or the model's only one */
	const char *language;             /* that is spoken; NULL: the hub's default, or found out */
	uint32_t delay_slots;             /* one of the model's delays; 0: the hub's default */
	const char *prefix, *audio_track; /* or NULL */
	bool prefix_is_terms;             /* favoured as a glossary's are */
	struct lvx_glossary *glossary;    /* NULL: the hub's default */
	int channel;                      /* -1: all */
	enum lvx_source_pace pace;
	bool live;
	int64_t stall_us, give_up_us;
	int64_t dead_air_us; /* silence so long is told; 0: the hub's default, -1: never */
	bool over_network; /* may be forgotten when it has ended */
};
/*
 * Reserves a place and starts to open the stream; what fails then shows as state
 * "failed". LVX_EINVAL: a value is not allowed, or the id is in use by a running
 * stream (an ended one is replaced). LVX_ELIMIT: no room. *out is referenced.
 */
enum lvx_status lvx_hub_open(struct lvx_hub *hub, const struct lvx_hub_spec *spec,
	struct lvx_hub_stream **out, struct lvx_error *err);
struct lvx_hub_stream *lvx_hub_find(struct lvx_hub *hub, const char *id); /* referenced, or NULL */
/* Is there a stream of that name that has not ended? NULL: no. */
bool lvx_hub_is_taken(struct lvx_hub *hub, const char *id);
/* References of at most max streams in the order of their making; returns how many. */
size_t lvx_hub_list(struct lvx_hub *hub, struct lvx_hub_stream **out, size_t max);
struct lvx_hub_stream *lvx_hub_ref(struct lvx_hub_stream *s);
void lvx_hub_unref(struct lvx_hub_stream *s); /* NULL is fine */
/* Ends it if it runs, and takes its name off the list. */
void lvx_hub_delete(struct lvx_hub_stream *s);
/* Forgets ended streams whose time is over. Now and then, from one thread. */
void lvx_hub_reap(struct lvx_hub *hub);
/* All streams have ended; *failed: how many of them with reason "failed" or "device". */
bool lvx_hub_all_ended(struct lvx_hub *hub, uint32_t *failed);
uint32_t lvx_hub_running(struct lvx_hub *hub);
/* Has the device failed? Then why (at least 384 bytes) says why. */
bool lvx_hub_device_failed(struct lvx_hub *hub, char why[384]);

/* The encoded programme; borrowed from the stream. It is finished before the stream's END. */
struct lvx_units *lvx_hub_units(struct lvx_hub_stream *s);
/* An output of the stream works again, or does not: an event. Nothing once it has ended. */
void lvx_hub_note_output(
	struct lvx_hub_stream *s, const char *output, bool well, const char *message);

const char *lvx_hub_id(const struct lvx_hub_stream *s);
const struct lvx_model_info *lvx_hub_model(const struct lvx_hub_stream *s); /* borrowed */
int64_t lvx_hub_epoch(const struct lvx_hub_stream *s);
/* What is spoken: as it was said, or the model's only language; NULL: the model finds out. */
const char *lvx_hub_language(const struct lvx_hub_stream *s);
/* How much later than the sound the words come, the time to compute them aside. */
int64_t lvx_hub_delay_us(const struct lvx_hub_stream *s);
int64_t lvx_hub_default_delay_us(const struct lvx_hub *hub); /* of a stream that asks for none */
bool lvx_hub_has_ended(struct lvx_hub_stream *s);
/* LVX_EINVAL: the translation lane, but the stream has no language to translate to. */
enum lvx_status lvx_hub_set_lanes(struct lvx_hub_stream *s, uint32_t lanes, struct lvx_error *err);

/*
 * Another wording for what text events from_seq..to_seq of one lane said; "" takes it away.
 * It becomes an event (CORRECTION) that outputs which are late on purpose obey
 * (daemon/hold.h); what was sent stays as it was. LVX_ENOENT: they are not kept any more.
 */
struct lvx_hub_correction {
	int64_t epoch;
	uint64_t from_seq, to_seq;
	const char *text; /* words; spaces between them, where such belong there */
};
enum lvx_status lvx_hub_correct(struct lvx_hub_stream *s, const struct lvx_hub_correction *c,
	uint64_t *seq, struct lvx_error *err);
/* An output of this stream is so late on purpose: clients are told the longest. */
void lvx_hub_note_hold(struct lvx_hub_stream *s, int64_t hold_us);

/* ---- readers ---- */
struct lvx_hub_reader {
	uint64_t next;  /* seq of the next event */
	uint32_t lanes;	  /* bit per lane of the stream's own row whose text is wanted */
	uint32_t further; /* bit per further row whose text is wanted, if it is made */
	bool activity;
};
/*
 * Counts a viewer, sets the reader's lanes and further, and sees to it that what it asks
 * for is made: a language of the translation lane that the stream's own row does not
 * make, or a lane that is off there, is a further row, made for the first who asks, shared
 * by all who do, given back when the last has left. lanes 0: all that the own row
 * makes. translate_to NULL: the stream's own. LVX_EINVAL, LVX_ELIMIT, LVX_EDEVICE: refused.
 */
enum lvx_status lvx_hub_watch(struct lvx_hub_stream *s, uint32_t lanes, const char *translate_to,
	struct lvx_hub_reader *reader, struct lvx_error *err);
void lvx_hub_unwatch(struct lvx_hub_stream *s, const struct lvx_hub_reader *reader);
/* What a further row makes; language: NULL unknown. */
uint32_t lvx_hub_further_lane(const struct lvx_model_info *model, uint32_t index);
const char *lvx_hub_further_language(const struct lvx_model_info *model, uint32_t index);
/* What the events' lane (struct lvx_hub_event) is; *language: NULL unknown. False: there is none.
 * Any thread. */
bool lvx_hub_lane(const struct lvx_hub_stream *s, uint32_t lane, const char **name,
	const char **language);
/* The seq of the oldest event that is kept, and of the next that will be made. */
void lvx_hub_range(struct lvx_hub_stream *s, uint64_t *oldest, uint64_t *next);
/* The next event that the reader wants, referenced. LVX_AGAIN: none yet. LVX_END: none any
 * more. LVX_GAP: reader->next is no longer kept. */
enum lvx_status lvx_hub_next(
	struct lvx_hub_stream *s, struct lvx_hub_reader *reader, struct lvx_hub_event **out);
void lvx_hub_count_reader(struct lvx_hub_stream *s, int plus_or_minus_one);

/* ---- pushing; one thread ---- */
/* LVX_AGAIN: *taken < len, try again after the next news. LVX_END: it takes no more. */
enum lvx_status lvx_hub_push(
	struct lvx_hub_stream *s, const uint8_t *data, size_t len, size_t *taken);
/* vanished: the end's reason will say so. */
void lvx_hub_push_finish(struct lvx_hub_stream *s, bool vanished);

struct lvx_hub_info {
	char state[16], message[256];
	char reason[16];      /* of the end; "" while it runs */
	const char *id, *uri; /* borrowed from the stream; uri without secrets, NULL: a push */
	const char *translate_to, *language; /* or NULL */
	int64_t delay_us;
	int64_t created_us, epoch;
	uint64_t oldest_seq, next_seq;
	uint32_t lanes;
	bool described; /* it has sound for viewers */
	uint32_t readers;
	uint32_t further_viewers[LVX_FURTHER_MAX];
	uint32_t further; /* bit per further row that is there */
	uint64_t events, gaps;
	int64_t hold_us;                                 /* of the latest output; 0: none is late */
	int64_t latency_us;                              /* of the last text event; -1 unknown */
	uint64_t latency_count[LVX_LATENCY_BUCKETS + 1]; /* not cumulative; the last is +Inf */
	double latency_sum_s;
	struct lvx_stream_stats stream; /* what it was at the end, once it has ended */
};
void lvx_hub_get_info(struct lvx_hub_stream *s, struct lvx_hub_info *out);
extern const double lvx_latency_buckets_s[LVX_LATENCY_BUCKETS];

#endif
