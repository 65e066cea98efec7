/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream: a source (or a client's push) -> ring -> extractor -> a row of
 * the engine -> events. This is the place where pipeline/ and model/ meet; it
 * knows nothing of sockets, so `lumivox transcribe` uses it in process.
 */
#ifndef LVX_DAEMON_STREAM_H
#define LVX_DAEMON_STREAM_H

#include "daemon/engine.h"
#include "daemon/glossary.h"
#include "pipeline/source.h"

struct lvx_stream;

struct lvx_stream_params {
	/* Exactly one of the two. */
	const struct lvx_source_params *source;
	const struct lvx_push_params *push;
	uint32_t lanes;           /* bit per lane of the model */
	const char *translate_to; /* NULL: the translation lane stays off */
	const char *language;     /* that is spoken; NULL: the model finds out */
	uint32_t delay_slots;     /* one of the model's delays; 0: its usual one */
	const char *prefix;       /* NULL, or a title and names */
	bool prefix_is_terms;     /* the captions favour its words as they do the glossary's */
	struct lvx_glossary *glossary; /* after the prefix, and how words are spelled; or NULL */
	bool live;                /* a push in real time: rather skip sound than fall behind */
	int64_t ring_us;          /* 0: 30 s */
	struct lvx_units *units;  /* where the encoded programme goes; borrowed; NULL: nowhere */
};

struct lvx_stream_callbacks {
	void *user;
	/* On the model thread; must not block. */
	void (*on_event)(void *user, const struct lvx_event *event);
	/* Any thread; must not block. */
	void (*on_state)(void *user, enum lvx_source_state state, const char *msg);
	/* Push only: a full queue has room again. Any thread; must not block. */
	void (*on_room)(void *user);
};

/*
 * Pictures are taken from the source only while the model has a picture input.
 * *out is set before the first callback, and NULL again on failure.
 */
enum lvx_status lvx_stream_open(struct lvx_stream **out, struct lvx_engine *engine,
	const struct lvx_stream_params *params, const struct lvx_stream_callbacks *cb,
	struct lvx_error *err);
/*
 * Stops the source and gives the row back; no callback follows. NULL is fine.
 * Not from a callback. Blocks while the source's threads end.
 */
void lvx_stream_close(struct lvx_stream *stream);

/* As lvx_push_write and lvx_push_finish; LVX_EUNSUPPORTED if it is not a push. One thread. */
enum lvx_status lvx_stream_push(
	struct lvx_stream *stream, const uint8_t *data, size_t len, size_t *taken);
void lvx_stream_push_finish(struct lvx_stream *stream);

struct lvx_stream_further {
	uint32_t lanes;		  /* not the captions */
	const char *translate_to; /* or NULL */
	void (*on_event)(void *user, const struct lvx_event *event); /* on the model thread */
	void *user;
};
/*
 * A further row that hears what the stream hears (struct lvx_row_params). Its GAP and
 * ACTIVITY events repeat the stream's; its END comes after the stream's. Not from a
 * callback; close it before the stream. As lvx_engine_add.
 */
enum lvx_status lvx_stream_open_further(struct lvx_stream *stream,
	const struct lvx_stream_further *params, uint32_t *row, struct lvx_error *err);
void lvx_stream_close_further(struct lvx_stream *stream, uint32_t row);

void lvx_stream_set_lanes(struct lvx_stream *stream, uint32_t lanes);
/*
 * How long ago the moment end_us of the timeline was heard: the delay of a word
 * if asked in on_event. -1: not in real time (pace max, a push that is not live). Any thread.
 */
int64_t lvx_stream_latency_us(const struct lvx_stream *stream, int64_t end_us);

struct lvx_stream_stats {
	struct lvx_source_stats source;
	struct lvx_ring_stats ring;
	enum lvx_source_state state;
	int64_t heard_us;      /* end of the last slot the model took, on the timeline */
	int64_t start_wall_us; /* lvx_wall_us when timeline 0 was heard; 0: not yet */
	int64_t start_mono_us; /* lvx_now_us of the same */
	int64_t duration_us;   /* of a file; -1 unknown */
	uint64_t words, overruns;
};
void lvx_stream_get_stats(struct lvx_stream *stream, struct lvx_stream_stats *out);

#endif
