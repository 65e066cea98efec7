/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bell: producers ring it, one thread waits on it. Rings before the wait are
 * not lost and many rings are one. Ringing neither locks nor allocates (one
 * eventfd write, and none while the bell is already rung), so a real-time
 * callback may ring.
 */
#ifndef LVX_BASE_BELL_H
#define LVX_BASE_BELL_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct lvx_bell;

enum lvx_status lvx_bell_create(struct lvx_bell **out, struct lvx_error *err);
void lvx_bell_destroy(struct lvx_bell *bell); /* NULL is fine; no one may wait */
void lvx_bell_ring(struct lvx_bell *bell);    /* any thread, or a signal handler */
/* Waits for a ring, at most timeout_us (-1: for ever). True: it rang. */
bool lvx_bell_wait(struct lvx_bell *bell, int64_t timeout_us);

#endif
