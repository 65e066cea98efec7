/* SPDX-License-Identifier: Apache-2.0 */
/* Which lane goes into which caption channel, and a stream's events on their way there. */
#ifndef LVX_DAEMON_OUTPUTS_CHANNELS_H
#define LVX_DAEMON_OUTPUTS_CHANNELS_H

#include "daemon/hub.h"
#include "daemon/outputs/cc608.h"

#define LVX_CHANNEL_CC1 "caption:roll2" /* where nothing is said */
#define LVX_CHANNEL_CC3 "translation:pop"

struct lvx_channel_setting {
	char lane[24]; /* "": the channel is empty */
	int rows;      /* roll-up; 0: pop-on */
};
/* LANE, LANE:roll2, LANE:roll3, LANE:pop, or "". */
enum lvx_status lvx_channel_parse(struct lvx_channel_setting *out, const char *where,
	const char *value, struct lvx_error *err);

struct lvx_channels;

/* [0]: CC1, [1]: CC3. hold_us: words wait so long for corrections. One thread. */
struct lvx_channels *lvx_channels_create(
	const struct lvx_channel_setting settings[2], int64_t hold_us); /* aborts without memory */
void lvx_channels_destroy(struct lvx_channels *c);                      /* NULL is fine */
void lvx_channels_event(struct lvx_channels *c, const struct lvx_hub_event *event);
/* All events of what was heard before heard_us have been given; delay_us: the stream's. */
void lvx_channels_tick(struct lvx_channels *c, int64_t heard_us, int64_t delay_us);
void lvx_channels_finish(struct lvx_channels *c); /* nothing follows */
/* A lane of whose text LVX_CC608_UNKNOWN has had to stand for something; NULL: there is none. */
const char *lvx_channels_unknown(const struct lvx_channels *c);
/* The encoders; NULL: the channel is empty. */
void lvx_channels_get(struct lvx_channels *c, struct lvx_cc608 *out[2]);

#endif
