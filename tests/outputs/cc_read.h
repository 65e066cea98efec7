/* SPDX-License-Identifier: Apache-2.0 */
/* CEA-608 read back by the two decoders: FFmpeg's (through libavcodec) and zvbi's. */
#ifndef LVX_TESTS_CC_READ_H
#define LVX_TESTS_CC_READ_H

#include <stddef.h>
#include <stdint.h>

/* The rows that a decoder shows of one field, each as it came to be whole; \n after each. */
struct cc_read;

struct cc_read *cc_read_open(int field); /* 1: CC1, 2: CC3 */
void cc_read_close(struct cc_read *r);
/* A frame's pair of the field, at pts_us. */
void cc_read_pair(struct cc_read *r, const uint8_t pair[2], int64_t pts_us);
/* What FFmpeg and zvbi have shown so far, where a screen ended with an erasure, a roll or a flip;
 * the ends of rows without spaces. Valid until the next call. */
const char *cc_read_ffmpeg(struct cc_read *r);
const char *cc_read_zvbi(struct cc_read *r);
/* Puts what they draw differently into one form, in place: quotes, dashes, bullets. */
void cc_read_normalise(char *text);
/* Packets that FFmpeg's decoder refused. */
uint64_t cc_read_errors(const struct cc_read *r);
#endif
