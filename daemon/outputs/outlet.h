/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output takes one stream somewhere: HLS files, a transport stream over SRT, ... It reads
 * the stream's events (daemon/hub.h) and its programme (pipeline/units.h), both in their
 * order, on a thread of its own. What goes wrong in it is told (lvx_outlet_trouble) and
 * leaves captions, other outputs and other streams alone; a slow one loses, nobody waits.
 *
 * A kind is a table of functions in a file of its own, named in outputs.c. They are called
 * on the output's thread, one at a time, in this order: create, any of on_*, on_end, destroy.
 * None may wait for long: the daemon waits for it at its end.
 */
#ifndef LVX_DAEMON_OUTPUTS_OUTLET_H
#define LVX_DAEMON_OUTPUTS_OUTLET_H

#include "daemon/hub.h"
#include "daemon/settings.h"
#include "pipeline/units.h"

/* What the kinds see of the one that runs them: see the functions below. */
struct lvx_outlet;

struct lvx_outlet_kind {
	const char *name; /* as in the log, events and metrics: "hls" */
	/* It puts units, too: the programme has not ended for the others while this one has not. */
	bool adds_units;
	/* How many of them do a stream's settings ask for? Any thread. */
	size_t (*n_wanted)(const struct lvx_stream_settings *settings);
	/* An error ends this output, and is told. */
	enum lvx_status (*create)(void **self, struct lvx_outlet *host, struct lvx_error *err);
	/* Or NULL. Text: of the stream's own row, and of what was watched. */
	void (*on_event)(void *self, const struct lvx_hub_event *event);
	/* Borrowed; lvx_unit_ref keeps it. NULL: it does not want the programme. */
	void (*on_unit)(void *self, const struct lvx_unit *unit);
	/* So many events and units are missing before the next one. Or NULL. */
	void (*on_lost)(void *self, uint64_t n_events, uint64_t n_units);
	/* About every 50 ms: all events of what was heard before info->stream.heard_us have been
	 * given. Or NULL. */
	void (*on_tick)(void *self, const struct lvx_hub_info *info);
	void (*on_end)(void *self); /* the stream has ended, and everything was given. Or NULL */
	void (*destroy)(void *self);
};

/* ---- what a kind may ask its host; its own thread, unless it says otherwise ---- */

struct lvx_hub_stream *lvx_outlet_stream(struct lvx_outlet *o); /* borrowed; any thread */
struct lvx_units *lvx_outlet_units(struct lvx_outlet *o);       /* borrowed; any thread */
const struct lvx_stream_settings *lvx_outlet_settings(const struct lvx_outlet *o); /* resolved */
size_t lvx_outlet_index(const struct lvx_outlet *o); /* which of those of its kind, from 0 */
/* It cannot do its work: said in the log and as an event, once until it is well again; every
 * call is counted (the metric output_errors_total). Any thread, until destroy has returned. */
void lvx_outlet_trouble(struct lvx_outlet *o, const char *fmt, ...) LVX_PRINTF(2, 3);
void lvx_outlet_well(struct lvx_outlet *o, const char *how); /* any thread, too */
/* Asks for a further language of the translation, as a viewer does (lvx_hub_watch): its events
 * come too from now on. *further: its rows. In create. */
enum lvx_status lvx_outlet_watch(
	struct lvx_outlet *o, const char *language, uint32_t *further, struct lvx_error *err);
/* Units that have not left, besides those that on_lost told of. */
void lvx_outlet_count_lost(struct lvx_outlet *o, uint64_t n_units);

#endif
