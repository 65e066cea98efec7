/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a command on some text, and gets what it writes; within limits, whatever it does. */
#ifndef LVX_DAEMON_DESCRIBE_CHILD_H
#define LVX_DAEMON_DESCRIBE_CHILD_H

#include "base/error.h"
#include "daemon/text.h"

#include <stdatomic.h>
#include <stdbool.h>

struct lvx_child_params {
	const char *command; /* for /bin/sh */
	const char *input;   /* what it reads on stdin */
	int64_t timeout_us;  /* then it and all that it started are killed */
	size_t bytes_max;    /* on stdout; what writes more is killed as well */
	const _Atomic bool *stop;
};
/*
 * Blocks until the command has ended. *out gets its stdout; it has none of our descriptors.
 * LVX_EIO: it could not be started, was killed, or did not end with 0; the message has what it
 * wrote on stderr.
 */
enum lvx_status lvx_child_run(
	struct lvx_text *out, const struct lvx_child_params *params, struct lvx_error *err);

#endif
