/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the source_gst*.c files share. GStreamer's types are in these only.
 *
 *   source_gst.c        life, supervisor thread: bus, stalls, reconnection
 *   source_gst_graph.c  one attempt's pipeline: selection
 *   source_gst_branch.c from decoded pads to the feed
 *   source_gst_ts.c     true times out of recorded MPEG-TS
 *   source_gst_units.c  encoded units, teed off before the decoders
 *   source_gst_init.c   gst_init, log, the words for errors
 */
#ifndef LVX_PIPELINE_SOURCE_GST_H
#define LVX_PIPELINE_SOURCE_GST_H

#include "pipeline/feed.h"
#include "pipeline/source_priv.h"
#include "pipeline/tap.h"
#include "pipeline/timeline.h"

#include <gst/gst.h>
#include <pthread.h>
#include <stdatomic.h>

enum { LVX_TS_STREAMS = 32, LVX_TRACKS = 64 };

/* One elementary stream of a transport stream (source_gst_ts.c). */
struct lvx_ts_stream {
	unsigned pid;
	bool have_raw; /* raw_us: timestamp in the stream of the unit that comes next */
	int64_t raw_us;
	bool mapped;	   /* the rest holds; true time = raw_us + offset_us */
	int64_t offset_us;
	int64_t last_us, step_us; /* latest true time; how far units are apart */
};

struct lvx_gst {
	struct lvx_source base;
	struct lvx_source_params params; /* strings owned */
	char shown[256];		 /* the URI for messages */
	char *uri;
	bool live, remote;
	struct lvx_ring *ring; /* borrowed */
	struct lvx_source_callbacks cb;
	struct lvx_feed *feed;
	struct lvx_tap *tap; /* NULL: no units are wanted */

	pthread_t thread;
	_Atomic bool stop;
	struct lvx_state_teller teller; /* supervisor's */
	int n_empty;			/* supervisor's: attempts that brought nothing at all */

	/* This attempt. The pipeline is the supervisor's; streaming threads use the rest. */
	GstElement *pipeline, *decoder, *queue; /* queue: decodebin3's; borrowed */
	_Atomic int64_t last_data_us;  /* local time when something decoded came; 0: not yet */
	_Atomic int in_feed;	       /* streaming threads that the feed may hold up */
	_Atomic int no_media;	       /* enum lvx_no_media */
	_Atomic bool bad_channel;
	_Atomic bool found_language; /* begin again, with language_track */
	_Atomic bool all_read; /* the end has gone into the queue of some stream */
	_Atomic bool selected_sound, selected_pictures;

	pthread_mutex_t lock;
	/* {lock} */
	struct lvx_timeline timeline;
	gchar *sound_id, *picture_id; /* ids of the streams chosen */
	gchar *video_id; /* of the pictures that are passed on, decoded or not */
	/* Containers may tell languages only with the first data: then one attempt
	 * decodes all tracks, only to find which it is, and the next takes that one. */
	bool by_language;
	gchar *sound_ids[LVX_TRACKS];
	int n_sound, n_refused; /* tracks there are; tracks of another language */
	int language_track;	/* the one that was found; -1: none yet */
	int64_t pictures_end_us;
	char why[160]; /* the last connection failed; "": no one said */
	char broken[160]; /* what a demuxer found wrong; "": nothing */
	struct lvx_ts_stream ts[LVX_TS_STREAMS];
	int n_ts;
	struct lvx_unwrap ts_clock;

	/* Counted over all attempts. */
	_Atomic uint64_t reconnects, decode_errors, wraps;
	_Atomic int64_t duration_us;
};

enum lvx_no_media { LVX_MEDIA_FINE, LVX_NO_SOUND, LVX_NOTHING, LVX_NO_SUCH_TRACK };

/* source_gst_graph.c */
enum lvx_status lvx_gst_graph_build(struct lvx_gst *g, struct lvx_error *err);
void lvx_gst_graph_drop(struct lvx_gst *g); /* stops; joins its streaming threads */

/* source_gst_branch.c. user is the struct lvx_gst. */
void lvx_gst_pad_added(GstElement *decoder, GstPad *pad, gpointer user);
void lvx_gst_pad_removed(GstElement *decoder, GstPad *pad, gpointer user);
void lvx_gst_end_pictures(struct lvx_gst *g);
/* Microseconds of running time, INT64_MIN if there are none. */
int64_t lvx_gst_running_us(const GstSegment *segment, GstClockTime pts);

/* source_gst_ts.c */
void lvx_gst_ts_watch(struct lvx_gst *g, GstElement *tsdemux);
/* Streaming threads: whether the message was for us (and can go). */
bool lvx_gst_ts_message(struct lvx_gst *g, GstMessage *message);

/* source_gst_units.c: a pad of decodebin3's multiqueue, and the end of its stream. */
void lvx_gst_units_watch(struct lvx_gst *g, GstPad *pad);
void lvx_gst_units_end(struct lvx_gst *g, const gchar *stream_id);
/* The tracks there are, as selected; {g->lock}. */
void lvx_gst_units_tracks(struct lvx_gst *g, GstStream *sound, GstStream *video);

/* source_gst_init.c */
enum lvx_status lvx_gst_init(struct lvx_error *err);
/* The words for an error of GStreamer's. */
void lvx_gst_describe(const GError *error, const char *debug, char *out, size_t size);
/* Whether trying again could help. */
bool lvx_gst_transient(const GError *error);
/* Whether the tags say that language: "de", "ger", "deu", "de-AT" are all one. */
bool lvx_gst_has_language(const GstTagList *tags, const char *wanted);
/* Decoder errors and the like that only the log shows are kept in *g. */
void lvx_gst_watch_log(GstElement *pipeline, struct lvx_gst *g);

#endif
