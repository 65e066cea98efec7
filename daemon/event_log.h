/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that went out of one stream, as JSON lines on disk: each event as the protocol has it,
 * with the time of day (docs/OUTPUTS.md). Lines are gathered and then written at once, whole;
 * those that could not be written are told of in the log itself. One thread, which may wait
 * for the disk.
 */
#ifndef LVX_DAEMON_EVENT_LOG_H
#define LVX_DAEMON_EVENT_LOG_H

#include "daemon/hub.h"

struct lvx_event_log;

/* dir, stream: borrowed. roll_us: so much of the timeline in a file; 0: one file. */
struct lvx_event_log *lvx_event_log_create(const char *dir, struct lvx_hub_stream *stream,
	int64_t roll_us);                              /* aborts without memory */
void lvx_event_log_destroy(struct lvx_event_log *log); /* after the last write; NULL is fine */

void lvx_event_log_add(struct lvx_event_log *log, const struct lvx_hub_event *event);
/* These events are not to be had any more. */
void lvx_event_log_miss(struct lvx_event_log *log, uint64_t from_seq, uint64_t to_seq);
size_t lvx_event_log_gathered(const struct lvx_event_log *log); /* bytes */
/* What was gathered is on the disk afterwards, or lost. at_us: where the stream is. */
enum lvx_status lvx_event_log_write(
	struct lvx_event_log *log, int64_t at_us, struct lvx_error *err);

#endif
