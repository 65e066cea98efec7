/* SPDX-License-Identifier: Apache-2.0 */
/* Another program on the same sound, in alternation with ours. */
#ifndef LVX_BENCH_PEER_H
#define LVX_BENCH_PEER_H

#include "tests/bench/load.h"

/*
 * Five times: our one stream over the whole of pcm (s16le mono, 16 kHz), slot after slot as
 * fast as it goes, then `command` by the shell, with the file's name in $LVX_PCM. Prints the
 * medians and how much sound there was. Whoever wants to compare what a program needs to
 * start writes a command that does not.
 */
void lvx_peer(struct lvx_load *load, const char *pcm, const char *command, int64_t slot_us);

#endif
