/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where media come from: a file or URL through GStreamer, a microphone through
 * PortAudio, or bytes pushed by a client through libavformat/libavcodec (or raw
 * PCM). Each runs on its own thread(s) and is the one producer of a ring.
 * GStreamer's, PortAudio's and FFmpeg's types stay inside their own .c file.
 */
#ifndef LVX_PIPELINE_SOURCE_H
#define LVX_PIPELINE_SOURCE_H

#include "base/error.h"
#include "pipeline/ring.h"
#include "pipeline/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lvx_source_state {
	LVX_SOURCE_STARTING,
	LVX_SOURCE_LIVE,
	LVX_SOURCE_STALLED,	 /* connected, but nothing comes */
	LVX_SOURCE_RECONNECTING, /* lost; trying again with back-off */
	LVX_SOURCE_ENDED,	 /* orderly */
	LVX_SOURCE_FAILED,	 /* for good; the message says why */
};
const char *lvx_source_state_name(enum lvx_source_state state);

enum lvx_source_pace {
	LVX_PACE_CLOCK, /* files play at their own speed; live sources as they come */
	LVX_PACE_MAX,	/* as fast as the readers take it (a PACED ring) */
};

struct lvx_source_callbacks {
	void *user;
	/* Any of the source's threads; must not block. msg may be "". */
	void (*on_state)(void *user, enum lvx_source_state state, const char *msg);
};

struct lvx_source_params {
	const char *uri;	  /* path, file:, http(s):, rtsp:, srt:, rtmp:, v4l2:, mic:[NAME] */
	enum lvx_source_pace pace;
	const char *audio_track;  /* NULL: default; "0".. or a language such as "de" */
	int channel;		  /* -1: mix all down; 0..: take one */
	bool want_pictures;
	int64_t stall_us;	  /* a live source silent so long is stalled; 0: 5 s */
	int64_t give_up_us;	  /* reconnect no longer than this; 0: for ever */
	bool live;		  /* reconnect on loss even where the scheme does not tell */
	/* Where the encoded units go of what is heard, and of the pictures, wanted or not;
	 * borrowed. NULL: nowhere. Whoever made it finishes it. */
	struct lvx_units *units;
};

struct lvx_source;

/* True for schemes that are live by nature (rtsp, srt, rtmp, v4l2, mic). */
bool lvx_source_uri_is_live(const char *uri);
/* Checks the URI's form and scheme only. */
enum lvx_status lvx_source_check_uri(const char *uri, struct lvx_error *err);

/*
 * Starts producing into ring (borrowed; must outlive the source). Errors that
 * show only later (unreachable, not media) come as LVX_SOURCE_FAILED. At the end it calls lvx_ring_finish.
 */
enum lvx_status lvx_source_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err);
/* Stops and joins its threads; calls lvx_ring_cancel first. NULL is fine. */
void lvx_source_close(struct lvx_source *source);

struct lvx_source_stats {
	uint64_t pts_wraps;	/* 33-bit wraps of MPEG-TS clocks bridged */
	uint64_t pts_jumps;	/* discontinuities */
	uint64_t reconnects;
	uint64_t decode_errors;
	uint64_t input_overruns; /* samples a microphone lost */
	double drift_ppm;	/* source clock against the local one, live sources */
	int64_t duration_us;	/* of a file; -1 unknown */
};
void lvx_source_get_stats(const struct lvx_source *source, struct lvx_source_stats *out);

/* ---- devices ---- */
struct lvx_audio_device {
	char name[128];
	int max_channels;
	double default_rate;
	bool is_default;
};
/* Fills at most max devices; returns how many there are, or a negative count on error. */
int lvx_mic_list(struct lvx_audio_device *out, int max, struct lvx_error *err);

/* ---- pushed by a client ---- */
enum lvx_push_format {
	LVX_PUSH_S16LE,
	LVX_PUSH_F32LE,
	LVX_PUSH_CONTAINER, /* WebM, Ogg, MP4, MPEG-TS, WAV, ...: libavformat probes it */
};
struct lvx_push_params {
	enum lvx_push_format format;
	uint32_t sample_rate;	/* raw PCM: 8000..192000 */
	uint32_t channels;	/* raw PCM: 1..8; mixed down, or `channel` picked */
	int channel;		/* -1: mix down */
	bool want_pictures;
	size_t queue_bytes;	/* bound on bytes not yet decoded; 0: 4 MiB */
	struct lvx_units *units; /* as in lvx_source_params; containers only */
};
struct lvx_push;

enum lvx_status lvx_push_open(struct lvx_push **out, const struct lvx_push_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err);
/*
 * Hands over bytes; chunk sizes are free (a sample may straddle two). Never
 * blocks: LVX_AGAIN with *taken < len when the queue is full (the bytes from
 * *taken on are the caller's to offer again; `on_room` of lvx_push_set_room
 * tells when). LVX_END: it has finished or failed, and takes no more. One thread.
 */
enum lvx_status lvx_push_write(
	struct lvx_push *push, const uint8_t *data, size_t len, size_t *taken);
/* on_room is called, from the decoding thread, when a full queue has room again.
 * Set before the first write. */
void lvx_push_set_room(struct lvx_push *push, void (*on_room)(void *user), void *user);
void lvx_push_finish(struct lvx_push *push); /* no more bytes: decode the rest, then end */
void lvx_push_close(struct lvx_push *push);  /* abort and join; NULL is fine */
void lvx_push_get_stats(const struct lvx_push *push, struct lvx_source_stats *out);

#endif
