/* SPDX-License-Identifier: Apache-2.0 */
/* A pushed container: what push_open.c (opening it) and push_av.c (decoding it) share. */
#ifndef LVX_PIPELINE_PUSH_AV_H
#define LVX_PIPELINE_PUSH_AV_H

#include "pipeline/push_priv.h"
#include "pipeline/tap.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

enum {
	HELD_MAX = 256, /* packets of sound */
};

struct lvx_push_track {
	AVStream *stream; /* NULL: none; the format's */
	AVCodecContext *codec; /* NULL: only passed on */
};

struct lvx_push_av {
	struct lvx_push *push;
	struct lvx_tap *tap; /* NULL: no units are wanted */
	AVFormatContext *format;
	AVIOContext *io;
	struct lvx_push_track track[LVX_MEDIA];
	AVPacket *packet;
	AVFrame *frame;
	float *pcm; /* [PCM_MAX] */
	struct lvx_unwrap unwrap;
	bool wraps;      /* its timestamps are counters of 33 bits */
	bool no_dts;     /* the container has none: what libavformat makes up can be wrong */
	bool any_origin; /* where they begin means nothing */
	struct lvx_timeline timeline;
	int64_t pictures_end_us;
	/* Sound that waits for the pictures of its time, oldest first (a ring). */
	bool holds;
	AVPacket *held[HELD_MAX];
	unsigned first_held, n_held;
	int64_t picture_us; /* source time of the last picture: none before it will come */
	uint64_t decoded;
	uint64_t bytes;
	bool got_packet;
};
/* Opens the bytes and the decoders, and tells the feed what there is. False: *err says why not. */
bool lvx_push_av_open(struct lvx_push_av *av, struct lvx_error *err);
bool lvx_push_av_is_aborted(const struct lvx_push_av *av);
/* Fills *err with what failed and FFmpeg's word for code; returns false. */
bool lvx_push_av_fail(struct lvx_error *err, enum lvx_status st, const char *what, int code);

#endif
