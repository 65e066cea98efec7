/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line and the configuration file say. One table serves both:
 * `--key value` and `key = value` are the same options. Flags win over the file's
 * [daemon]; a [stream ID] wins over both for itself. Used before threads start.
 */
#ifndef LVX_DAEMON_SETTINGS_H
#define LVX_DAEMON_SETTINGS_H

#include "base/error.h"
#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Values as they were given; NULL, or -1 for numbers, where nothing was said. */
enum { LVX_OUT_DELAY_MAX_MS = 30000 };

struct lvx_stream_settings {
	char *id; /* NULL only in the defaults */
	char *uri, *lanes, *translate_to, *language, *prefix, *audio_track;
	char *glossary; /* a file; "": none */
	char *record, *record_formats; /* record: a folder; "" or NULL: none */
	char *out, *out_cc1, *out_cc3; /* out: a list of URLs */
	char *hls, *hls_languages;     /* a folder; "" or NULL: none. A list of languages */
	char *describe_voice, *describe_level;
	int channel;                   /* -1: all */
	int pace;                      /* 0 clock, 1 max */
	int live;                      /* 0, 1 */
	int delay_ms;
	int record_roll_min;           /* 0: never */
	int out_delay_ms;
	int hls_segment_s, hls_window_s; /* window 0: all is kept */
	int describe;                  /* 0, 1 */
	int describe_delay_ms, describe_duck_db;
	double describe_within_s;
	double stall_s, give_up_s;
	double dead_air_s; /* 0: never */
	double record_hold_s, hls_hold_s; /* 0: none */
};

enum lvx_action {
	LVX_ACTION_RUN,
	LVX_ACTION_HELP,
	LVX_ACTION_VERSION,
	LVX_ACTION_LIST_COMPUTE,
	LVX_ACTION_LIST_MICS,
	LVX_ACTION_LIST_DEVICES,
};

struct lvx_settings {
	enum lvx_action action;
	char *model, *device, *trace, *bind, *token, *token_file, *allow_origin, *allow_schemes;
	char *operator_token, *operator_token_file; /* NULL: whoever has the token may do all */
	char *tls_cert, *tls_key, *web_root, *log_level;
	int rows, viewer_rows, port, history, max_connections; /* after lvx_settings_load never -1 */
	double slow_after_s, viewer_linger_s;
	int compress, exit_when_done, print, quiet;
	struct lvx_stream_settings defaults;
	struct lvx_stream_settings *streams;
	size_t n_streams;
};

/*
 * Reads flags, the file that --config names, and LVX_TOKEN, and fills in the
 * defaults. LVX_EINVAL: a usage error. Finish *out whatever came back.
 */
enum lvx_status lvx_settings_load(
	struct lvx_settings *out, int argc, char *const *argv, struct lvx_error *err);
void lvx_settings_init(struct lvx_settings *s);
/* The text of a configuration file; `where` begins each error. Keys that are set stay. */
enum lvx_status lvx_settings_parse_ini(struct lvx_settings *s, const char *where, const char *text,
	size_t len, struct lvx_error *err);
void lvx_settings_finish(struct lvx_settings *s);
void lvx_settings_usage(FILE *out);

/* The value of a stream, or the default's. */
struct lvx_stream_settings lvx_settings_resolved(
	const struct lvx_settings *s, const struct lvx_stream_settings *stream);
/* The same of a stream by its id; of one that the settings do not name, the defaults. */
struct lvx_stream_settings lvx_settings_of_stream(const struct lvx_settings *s, const char *id);

/* Is item in the comma-separated list? Spaces around commas do not count. */
bool lvx_list_has(const char *list, const char *item);

#endif
