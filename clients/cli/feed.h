/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes that `lumivox push` sends: a file or stdin, paced by its own clock
 * if wanted, or a microphone. A thread reads ahead into a bounded buffer;
 * feed_take() belongs to another thread.
 */
#ifndef LVX_CLIENTS_FEED_H
#define LVX_CLIENTS_FEED_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feed;

enum feed_format { FEED_CONTAINER, FEED_S16LE, FEED_F32LE };

struct feed_params {
	const char *what;               /* a path, "-" or mic:[NAME] */
	enum feed_format format;        /* a microphone gives f32le, 16 kHz, mono */
	uint32_t sample_rate, channels; /* raw formats */
	bool clock;                     /* as fast as it plays, instead of as fast as it is taken */
	void *user;
	void (*wake)(void *user); /* the feed's thread: there is something to take */
};

bool feed_is_mic(const char *what);
enum lvx_status feed_open(
	struct feed **out, const struct feed_params *params, struct lvx_error *err);
void feed_stop(struct feed *f); /* end early, in order; any thread */
/* At most max bytes; 0 with *end set: that was all, and *why is "" or what went wrong. */
size_t feed_take(struct feed *f, uint8_t *to, size_t max, bool *end, char why[256]);
void feed_close(struct feed *f); /* NULL is fine */

#endif
