/* SPDX-License-Identifier: Apache-2.0 */
/* When each byte of a media file is due, from its own time stamps (libavformat). One thread. */
#ifndef LVX_CLIENTS_PACE_H
#define LVX_CLIENTS_PACE_H

#include "base/error.h"

#include <stdint.h>

struct pace;

enum lvx_status pace_open(struct pace **out, const char *path, struct lvx_error *err);
void pace_close(struct pace *p); /* NULL is fine */
/* The bytes before *offset are due at *due_us from the file's first sample. Offsets and
 * times grow from call to call. LVX_END: all the rest is due as well. */
enum lvx_status pace_next(struct pace *p, int64_t *offset, int64_t *due_us);

#endif
