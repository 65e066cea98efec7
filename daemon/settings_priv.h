/* SPDX-License-Identifier: Apache-2.0 */
/* The table of options that the command line and the file share. */
#ifndef LVX_DAEMON_SETTINGS_PRIV_H
#define LVX_DAEMON_SETTINGS_PRIV_H

#include "daemon/settings.h"

enum { LVX_STREAMS_MAX = 256, LVX_OPTIONS_MAX = 96 };

enum lvx_option_scope {
	LVX_OPTION_FLAG = 1,   /* on the command line */
	LVX_OPTION_DAEMON = 2, /* in [daemon] */
	LVX_OPTION_STREAM = 4, /* in [stream ID]; elsewhere it is the default of all streams */
};

enum lvx_option_type {
	LVX_OPTION_STRING,
	LVX_OPTION_LIST,
	LVX_OPTION_NUMBER,
	LVX_OPTION_SECONDS,
	LVX_OPTION_BOOL,
	LVX_OPTION_CHOICE,
	LVX_OPTION_ACTION,
};

struct lvx_option {
	const char *name;
	int scopes;
	enum lvx_option_type type;
	size_t offset; /* into lvx_settings, or lvx_stream_settings if STREAM */
	double lo, hi;
	const char *arg; /* NULL: a bare flag */
	const char *help;
};

extern const struct lvx_option lvx_options[];
extern const int lvx_n_options;

const struct lvx_option *lvx_option_find(const char *name, int scope);
/* base: the lvx_settings or lvx_stream_settings that the option belongs to. */
enum lvx_status lvx_option_set(char *base, const struct lvx_option *o, const char *where,
	const char *value, struct lvx_error *err);

struct lvx_stream_settings *lvx_settings_find(struct lvx_settings *s, const char *id);
enum lvx_status lvx_settings_add(struct lvx_settings *s, const char *where, const char *id,
	struct lvx_stream_settings **out, struct lvx_error *err);

#endif
