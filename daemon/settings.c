/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings_priv.h"

#include "base/file.h"
#include "daemon/caption_file.h"
#include "daemon/id.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 20 };

static char *copy(const char *s)
{
	char *c = strdup(s);
	if (!c)
		abort();
	return c;
}

/* ---- streams ---- */

static void init_stream(struct lvx_stream_settings *s)
{
	*s = (struct lvx_stream_settings){.channel = -1,
		.pace = -1,
		.live = -1,
		.delay_ms = -1,
		.dead_air_s = -1,
		.record_roll_min = -1,
		.out_delay_ms = -1,
		.hls_segment_s = -1,
		.hls_window_s = -1,
		.describe = -1,
		.describe_delay_ms = -1,
		.describe_duck_db = -1,
		.describe_within_s = -1,
		.record_hold_s = -1,
		.hls_hold_s = -1,
		.stall_s = -1,
		.give_up_s = -1};
}

static void finish_stream(struct lvx_stream_settings *s)
{
	free(s->id);
	free(s->uri);
	free(s->lanes);
	free(s->translate_to);
	free(s->language);
	free(s->prefix);
	free(s->glossary);
	free(s->audio_track);
	free(s->record);
	free(s->record_formats);
	free(s->out);
	free(s->out_cc1);
	free(s->out_cc3);
	free(s->hls);
	free(s->describe_voice);
	free(s->describe_level);
	free(s->hls_languages);
}

struct lvx_stream_settings *lvx_settings_find(struct lvx_settings *s, const char *id)
{
	for (size_t i = 0; i < s->n_streams; i++) {
		if (strcmp(s->streams[i].id, id) == 0)
			return &s->streams[i];
	}
	return NULL;
}

enum lvx_status lvx_settings_add(struct lvx_settings *s, const char *where, const char *id,
	struct lvx_stream_settings **out, struct lvx_error *err)
{
	if (!lvx_id_valid(id))
		return lvx_fail(err, LVX_EINVAL,
			"%s: '%.64s' is not a stream id: 1 to %d of A-Z a-z 0-9 _ - are allowed",
			where, id, LVX_ID_MAX);
	if (lvx_settings_find(s, id))
		return lvx_fail(err, LVX_EINVAL, "%s: there are two streams '%s'", where, id);
	if (s->n_streams >= LVX_STREAMS_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "%s: more than %d streams", where, LVX_STREAMS_MAX);
	struct lvx_stream_settings *more =
		realloc(s->streams, (s->n_streams + 1) * sizeof(*s->streams));
	if (!more)
		abort();
	s->streams = more;
	*out = &more[s->n_streams++];
	init_stream(*out);
	(*out)->id = copy(id);
	return LVX_OK;
}

/* A name from the last part of a path or URI that is not in use yet. */
static void make_id(struct lvx_settings *s, const char *uri, char id[LVX_ID_MAX + 1])
{
	size_t len = strcspn(uri, "?#");
	while (len > 1 && (uri[len - 1] == '/' || uri[len - 1] == ':'))
		len--;
	size_t begin = len;
	while (begin > 0 && uri[begin - 1] != '/' && uri[begin - 1] != ':')
		begin--;
	char base[LVX_ID_MAX - 4];
	size_t n = 0;
	for (size_t i = begin; i < len && n < sizeof(base) - 1 && uri[i] != '.'; i++)
		base[n++] = isalnum((unsigned char)uri[i]) || uri[i] == '_' ? uri[i] : '-';
	base[n] = '\0';
	if (n == 0)
		strcpy(base, "stream");
	snprintf(id, LVX_ID_MAX + 1, "%s", base);
	for (int k = 2; lvx_settings_find(s, id); k++)
		snprintf(id, LVX_ID_MAX + 1, "%s-%d", base, k);
}

/* SOURCE on the command line: [ID=]URI */
static enum lvx_status add_source(struct lvx_settings *s, const char *arg, struct lvx_error *err)
{
	char id[LVX_ID_MAX + 1];
	const char *uri = arg;
	const char *equals = strchr(arg, '=');
	if (equals && equals > arg && equals - arg <= LVX_ID_MAX) {
		snprintf(id, sizeof(id), "%.*s", (int)(equals - arg), arg);
		/* "http://host/?a=b" and "./a=b.wav" have no id before the sign. */
		if (lvx_id_valid(id))
			uri = equals + 1;
	}
	if (uri == arg)
		make_id(s, arg, id);
	if (uri[0] == '\0')
		return lvx_fail(err, LVX_EINVAL, "'%.64s': a source is missing", arg);
	struct lvx_stream_settings *stream;
	enum lvx_status st = lvx_settings_add(s, arg, id, &stream, err);
	if (st == LVX_OK)
		stream->uri = copy(uri);
	return st;
}

struct lvx_stream_settings lvx_settings_resolved(
	const struct lvx_settings *s, const struct lvx_stream_settings *stream)
{
	struct lvx_stream_settings r = *stream;
	const struct lvx_stream_settings *d = &s->defaults;
	r.lanes = r.lanes ? r.lanes : d->lanes;
	r.translate_to = r.translate_to ? r.translate_to : d->translate_to;
	r.language = r.language ? r.language : d->language;
	r.delay_ms = r.delay_ms >= 0 ? r.delay_ms : d->delay_ms;
	r.prefix = r.prefix ? r.prefix : d->prefix;
	r.glossary = r.glossary ? r.glossary : d->glossary;
	r.audio_track = r.audio_track ? r.audio_track : d->audio_track;
	r.channel = r.channel >= 0 ? r.channel : d->channel;
	r.pace = r.pace >= 0 ? r.pace : d->pace >= 0 ? d->pace : 0;
	r.live = r.live >= 0 ? r.live : d->live > 0;
	r.stall_s = r.stall_s >= 0 ? r.stall_s : d->stall_s;
	r.give_up_s = r.give_up_s >= 0 ? r.give_up_s : d->give_up_s;
	r.dead_air_s = r.dead_air_s >= 0 ? r.dead_air_s : d->dead_air_s;
	r.record = r.record ? r.record : d->record;
	r.record_formats = r.record_formats ? r.record_formats : d->record_formats;
	r.record_roll_min = r.record_roll_min >= 0 ? r.record_roll_min : d->record_roll_min;
	r.out = r.out ? r.out : d->out;
	r.out_cc1 = r.out_cc1 ? r.out_cc1 : d->out_cc1;
	r.out_cc3 = r.out_cc3 ? r.out_cc3 : d->out_cc3;
	r.out_delay_ms = r.out_delay_ms >= 0 ? r.out_delay_ms : d->out_delay_ms;
	r.describe = r.describe >= 0 ? r.describe : d->describe;
	r.describe_voice = r.describe_voice ? r.describe_voice : d->describe_voice;
	r.describe_level = r.describe_level ? r.describe_level : d->describe_level;
	r.describe_delay_ms =
		r.describe_delay_ms >= 0 ? r.describe_delay_ms : d->describe_delay_ms;
	r.describe_duck_db = r.describe_duck_db >= 0 ? r.describe_duck_db : d->describe_duck_db;
	r.describe_within_s =
		r.describe_within_s >= 0 ? r.describe_within_s : d->describe_within_s;
	r.record_hold_s = r.record_hold_s >= 0 ? r.record_hold_s : d->record_hold_s;
	r.hls = r.hls ? r.hls : d->hls;
	r.hls_languages = r.hls_languages ? r.hls_languages : d->hls_languages;
	r.hls_segment_s = r.hls_segment_s >= 0 ? r.hls_segment_s : d->hls_segment_s;
	r.hls_window_s = r.hls_window_s >= 0 ? r.hls_window_s : d->hls_window_s;
	r.hls_hold_s = r.hls_hold_s >= 0 ? r.hls_hold_s : d->hls_hold_s;
	return r;
}

struct lvx_stream_settings lvx_settings_of_stream(const struct lvx_settings *s, const char *id)
{
	for (size_t i = 0; i < s->n_streams; i++) {
		if (strcmp(s->streams[i].id, id) == 0)
			return lvx_settings_resolved(s, &s->streams[i]);
	}
	return lvx_settings_resolved(s, &s->defaults);
}

bool lvx_list_has(const char *list, const char *item)
{
	size_t n = strlen(item);
	while (list && *list) {
		list += strspn(list, ", ");
		size_t len = strcspn(list, ",");
		size_t trimmed = len;
		while (trimmed > 0 && list[trimmed - 1] == ' ')
			trimmed--;
		if (trimmed == n && n > 0 && strncmp(list, item, n) == 0)
			return true;
		list += len;
	}
	return false;
}

/* ---- the command line ---- */

void lvx_settings_init(struct lvx_settings *s)
{
	*s = (struct lvx_settings){
		.rows = -1,
		.viewer_rows = -1,
		.port = -1,
		.history = -1,
		.max_connections = -1,
		.slow_after_s = -1,
		.viewer_linger_s = -1,
		.compress = -1,
		.exit_when_done = -1,
		.print = -1,
		.quiet = -1,
	};
	init_stream(&s->defaults);
}

/* One argument from argv[*i] on; moves *i. config: where to put --config's. */
static enum lvx_status read_flag(struct lvx_settings *s, int argc, char *const *argv, int *i,
	const char **config, struct lvx_error *err)
{
	const char *arg = argv[*i] + 2;
	const char *equals = strchr(arg, '=');
	char name[32], where[40];
	snprintf(name, sizeof(name), "%.*s", (int)(equals ? equals - arg : (long)strlen(arg)), arg);
	const struct lvx_option *o = lvx_option_find(name, LVX_OPTION_FLAG);
	if (!o)
		return lvx_fail(
			err, LVX_EINVAL, "unknown flag '%.64s'; see lumivoxd --help", argv[*i]);
	snprintf(where, sizeof(where), "--%s", name);
	const char *value = equals ? equals + 1 : NULL;
	if (!o->arg) {
		if (o->type == LVX_OPTION_ACTION) {
			if (value)
				return lvx_fail(err, LVX_EINVAL, "--%s takes no value", name);
			s->action = (enum lvx_action)o->offset;
			return LVX_OK;
		}
		value = value ? value : "true";
	} else if (!value) {
		if (*i + 1 >= argc)
			return lvx_fail(err, LVX_EINVAL, "--%s needs a value (%s)", name, o->arg);
		value = argv[++*i];
	}
	if (strcmp(name, "config") == 0) {
		*config = value;
		return LVX_OK;
	}
	char *base = (o->scopes & LVX_OPTION_STREAM) ? (char *)&s->defaults : (char *)s;
	return lvx_option_set(base, o, where, value, err);
}

static enum lvx_status read_flags(struct lvx_settings *s, int argc, char *const *argv,
	const char **config, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	bool flags_over = false;
	for (int i = 1; i < argc && st == LVX_OK; i++) {
		const char *arg = argv[i];
		if (!flags_over && strcmp(arg, "--") == 0)
			flags_over = true;
		else if (!flags_over && strncmp(arg, "--", 2) == 0)
			st = read_flag(s, argc, argv, &i, config, err);
		else if (!flags_over && strcmp(arg, "-h") == 0)
			s->action = LVX_ACTION_HELP;
		else if (!flags_over && arg[0] == '-' && arg[1] != '\0')
			st = lvx_fail(
				err, LVX_EINVAL, "unknown flag '%.64s'; see lumivoxd --help", arg);
		else
			st = add_source(s, arg, err);
	}
	return st;
}

/* The file's daemon settings go where no flag has spoken. */
static void merge(struct lvx_settings *flags, struct lvx_settings *file)
{
	for (int i = 0; i < lvx_n_options; i++) {
		const struct lvx_option *o = &lvx_options[i];
		if (!(o->scopes & LVX_OPTION_DAEMON))
			continue;
		bool stream = o->scopes & LVX_OPTION_STREAM;
		char *to = (stream ? (char *)&flags->defaults : (char *)flags) + o->offset;
		char *from = (stream ? (char *)&file->defaults : (char *)file) + o->offset;
		if (o->type == LVX_OPTION_STRING || o->type == LVX_OPTION_LIST) {
			char **t = (char **)(void *)to, **f = (char **)(void *)from;
			if (!*t) {
				*t = *f;
				*f = NULL;
			}
		} else if (o->type == LVX_OPTION_SECONDS) {
			double *t = (double *)(void *)to;
			*t = *t < 0 ? *(double *)(void *)from : *t;
		} else {
			int *t = (int *)(void *)to;
			*t = *t < 0 ? *(int *)(void *)from : *t;
		}
	}
}

static enum lvx_status read_file(struct lvx_settings *s, const char *path, struct lvx_error *err)
{
	char *text;
	size_t len;
	enum lvx_status st = lvx_file_read(&text, &len, path, CONFIG_BYTES_MAX, err);
	if (st != LVX_OK)
		return st;
	struct lvx_settings file;
	lvx_settings_init(&file);
	st = lvx_settings_parse_ini(&file, path, text, len, err);
	free(text);
	if (st == LVX_OK)
		merge(s, &file);
	/* The file's streams come first, then those of the command line. */
	for (size_t i = 0; i < s->n_streams && st == LVX_OK; i++) {
		struct lvx_stream_settings *stream;
		st = lvx_settings_add(&file, s->streams[i].uri, s->streams[i].id, &stream, err);
		if (st == LVX_OK)
			stream->uri = copy(s->streams[i].uri);
	}
	if (st == LVX_OK) {
		struct lvx_stream_settings *streams = s->streams;
		size_t n = s->n_streams;
		s->streams = file.streams;
		s->n_streams = file.n_streams;
		file.streams = streams;
		file.n_streams = n;
	}
	lvx_settings_finish(&file);
	return st;
}

static void fill_defaults(struct lvx_settings *s)
{
	const char *token = getenv("LVX_TOKEN");
	if (!s->token && !s->token_file && token && token[0])
		s->token = copy(token);
	if (!s->bind || strcmp(s->bind, "localhost") == 0) {
		free(s->bind);
		s->bind = copy("127.0.0.1");
	}
	if (!s->allow_schemes)
		s->allow_schemes = copy("https,http,rtsp,srt,rtmp");
	if (!s->defaults.record_formats)
		s->defaults.record_formats = copy("srt,vtt,ttml,jsonl,events");
	s->defaults.dead_air_s = s->defaults.dead_air_s >= 0 ? s->defaults.dead_air_s : 30;
	s->port = s->port >= 0 ? s->port : 8437;
	s->history = s->history >= 0 ? s->history : 4096;
	s->max_connections = s->max_connections >= 0 ? s->max_connections : 1024;
	s->slow_after_s = s->slow_after_s >= 0 ? s->slow_after_s : 20;
	s->viewer_linger_s = s->viewer_linger_s >= 0 ? s->viewer_linger_s : 10;
	s->compress = s->compress > 0;
	s->exit_when_done = s->exit_when_done > 0;
	s->print = s->print > 0;
	s->quiet = s->quiet > 0;
}

static enum lvx_status check(struct lvx_settings *s, struct lvx_error *err)
{
	enum lvx_log_level level;
	if (s->log_level && !lvx_log_level_parse(s->log_level, &level))
		return lvx_fail(err, LVX_EINVAL,
			"log-level is '%.64s'; allowed are error, warn, info, debug", s->log_level);
	if (s->token && s->token_file)
		return lvx_fail(err, LVX_EINVAL, "token and token-file: only one of the two");
	if (s->operator_token && s->operator_token_file)
		return lvx_fail(err, LVX_EINVAL,
			"operator-token and operator-token-file: only one of the two");
	if (!s->tls_cert != !s->tls_key)
		return lvx_fail(err, LVX_EINVAL, "tls-cert and tls-key: both or neither");
	uint32_t formats;
	enum lvx_status st = lvx_caption_formats_parse(
		&formats, "record-formats", s->defaults.record_formats, err);
	for (size_t i = 0; i < s->n_streams && st == LVX_OK; i++) {
		char where[LVX_ID_MAX + 32];
		snprintf(where, sizeof(where), "stream %s: record-formats", s->streams[i].id);
		if (s->streams[i].record_formats)
			st = lvx_caption_formats_parse(
				&formats, where, s->streams[i].record_formats, err);
	}
	if (st != LVX_OK)
		return st;
	size_t wanted = s->n_streams > 16 ? s->n_streams : 16;
	s->rows = s->rows >= 0 ? s->rows : (int)wanted;
	s->viewer_rows = s->viewer_rows >= 0 ? s->viewer_rows : s->rows / 2;
	if (s->n_streams > (size_t)s->rows)
		return lvx_fail(err, LVX_EINVAL, "%zu streams are more than rows = %d",
			s->n_streams, s->rows);
	return LVX_OK;
}

enum lvx_status lvx_settings_load(
	struct lvx_settings *s, int argc, char *const *argv, struct lvx_error *err)
{
	const char *config = NULL;
	lvx_settings_init(s);
	enum lvx_status st = read_flags(s, argc, argv, &config, err);
	if (st == LVX_OK && config && s->action == LVX_ACTION_RUN)
		st = read_file(s, config, err);
	if (st != LVX_OK)
		return st;
	fill_defaults(s);
	return check(s, err);
}

void lvx_settings_finish(struct lvx_settings *s)
{
	char *owned[] = {s->model, s->device, s->trace, s->bind, s->token, s->token_file,
		s->operator_token, s->operator_token_file, s->allow_origin,
		s->allow_schemes, s->tls_cert, s->tls_key, s->web_root, s->log_level};
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		free(owned[i]);
	finish_stream(&s->defaults);
	for (size_t i = 0; i < s->n_streams; i++)
		finish_stream(&s->streams[i]);
	free(s->streams);
	lvx_settings_init(s);
}

void lvx_settings_usage(FILE *out)
{
	fprintf(out, "usage: lumivoxd [--config FILE] [flags] [[ID=]SOURCE...]\n\n"
		     "SOURCE is a file, an http(s):, rtsp:, srt: or rtmp: URL, v4l2:DEVICE or "
		     "mic:[NAME].\nIn the file, [daemon] has the same keys, and [stream ID] those "
		     "marked with *, and uri.\n\n");
	for (int i = 0; i < lvx_n_options; i++) {
		const struct lvx_option *o = &lvx_options[i];
		if (!(o->scopes & LVX_OPTION_FLAG))
			continue;
		char left[48];
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->arg ? " " : "",
			o->arg ? o->arg : "");
		fprintf(out, "  %-24s %s%s\n", left, o->help,
			o->scopes & LVX_OPTION_STREAM ? " *" : "");
	}
}
