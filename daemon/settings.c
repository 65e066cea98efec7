/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings.h"

#include "base/file.h"
#include "daemon/id.h"

#include <ctype.h>
#include <ini.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_BYTES_MAX = 1 << 20, STREAMS_MAX = 256 };

enum scope {
	FLAG = 1,   /* on the command line */
	DAEMON = 2, /* in [daemon] */
	STREAM = 4, /* in [stream ID]; elsewhere it is the default of all streams */
};

enum type { STRING, LIST, NUMBER, SECONDS, BOOL, CHOICE, ACTION };

struct option_info {
	const char *name;
	int scopes;
	enum type type;
	size_t offset; /* into lvx_settings, or lvx_stream_settings if STREAM */
	double lo, hi;
	const char *arg; /* NULL: a bare flag */
	const char *help;
};

#define D(field) offsetof(struct lvx_settings, field)
#define S(field) offsetof(struct lvx_stream_settings, field)

static const struct option_info options[] = {
	{"config", FLAG, STRING, 0, 0, 0, "FILE", "read FILE (INI: [daemon], [stream ID])"},
	{"model", FLAG | DAEMON, STRING, D(model), 0, 0, "DIR", "the model's folder"},
	{"device", FLAG | DAEMON, STRING, D(device), 0, 0, "NAME",
		"compute device: an index of --list-compute, or a part of its name"},
	{"rows", FLAG | DAEMON, NUMBER, D(rows), 1, 256, "N", "streams at once (16)"},
	{"max-streams", FLAG | DAEMON, NUMBER, D(rows), 1, 256, "N", "the same"},
	{"port", FLAG | DAEMON, NUMBER, D(port), 0, 65535, "N", "port (8437); 0: any free one"},
	{"bind", FLAG | DAEMON, STRING, D(bind), 0, 0, "ADDR",
		"address (127.0.0.1); others than loopback need a token"},
	{"token", FLAG | DAEMON, STRING, D(token), 0, 0, "TOKEN",
		"clients must show it (better: --token-file, or LVX_TOKEN)"},
	{"token-file", FLAG | DAEMON, STRING, D(token_file), 0, 0, "FILE", "the first line of FILE"},
	{"allow-origin", FLAG | DAEMON, LIST, D(allow_origin), 0, 0, "ORIGIN",
		"web origins besides our own, e.g. https://example.org; may be repeated"},
	{"allow-schemes", FLAG | DAEMON, STRING, D(allow_schemes), 0, 0, "LIST",
		"what streams made over the network may use (https,http,rtsp,srt,rtmp)"},
	{"tls-cert", FLAG | DAEMON, STRING, D(tls_cert), 0, 0, "FILE", "PEM certificate chain"},
	{"tls-key", FLAG | DAEMON, STRING, D(tls_key), 0, 0, "FILE", "PEM key"},
	{"web-root", FLAG | DAEMON, STRING, D(web_root), 0, 0, "DIR", "the page's folder"},
	{"history", FLAG | DAEMON, NUMBER, D(history), 16, 1 << 20, "N",
		"events kept of a stream (4096)"},
	{"slow-after", FLAG | DAEMON, SECONDS, D(slow_after_s), 0.1, 3600, "SEC",
		"drop a viewer that has not read for so long (20)"},
	{"max-connections", FLAG | DAEMON, NUMBER, D(max_connections), 1, 100000, "N",
		"WebSockets at once (1024)"},
	{"log-level", FLAG | DAEMON, STRING, D(log_level), 0, 0, "LEVEL",
		"error, warn, info or debug"},
	{"exit-when-done", FLAG | DAEMON, BOOL, D(exit_when_done), 0, 0, NULL,
		"end when every stream has ended; 1 if one failed"},
	{"print", FLAG | DAEMON, BOOL, D(print), 0, 0, NULL, "print the text on stdout"},
	{"quiet", FLAG | DAEMON, BOOL, D(quiet), 0, 0, NULL, "warnings and errors only"},

	{"uri", STREAM, STRING, S(uri), 0, 0, "URI", ""},
	{"pace", FLAG | DAEMON | STREAM, CHOICE, S(pace), 0, 0, "clock|max",
		"files at their own speed (clock), or as fast as can be"},
	{"live", FLAG | DAEMON | STREAM, BOOL, S(live), 0, 0, NULL,
		"reconnect, also where the scheme does not tell that it is live"},
	{"audio-track", FLAG | DAEMON | STREAM, STRING, S(audio_track), 0, 0, "N|LANG",
		"audio track by number or language"},
	{"channel", FLAG | DAEMON | STREAM, NUMBER, S(channel), 0, 63, "N",
		"take this channel rather than mix all"},
	{"lanes", FLAG | DAEMON | STREAM, STRING, S(lanes), 0, 0, "LIST",
		"lanes to compute: caption,translation,description"},
	{"translate-to", FLAG | DAEMON | STREAM, STRING, S(translate_to), 0, 0, "LANG",
		"language of the translation lane"},
	{"prefix", FLAG | DAEMON | STREAM, STRING, S(prefix), 0, 0, "TEXT",
		"title, names, glossary, pinned before the stream"},
	{"stall", FLAG | DAEMON | STREAM, SECONDS, S(stall_s), 0.1, 3600, "SEC",
		"a live source silent so long is stalled (5)"},
	{"give-up", FLAG | DAEMON | STREAM, SECONDS, S(give_up_s), 0, 1e6, "SEC",
		"reconnect no longer than this (0: for ever)"},

	{"list-devices", FLAG, ACTION, LVX_ACTION_LIST_DEVICES, 0, 0, NULL,
		"list compute devices and microphones"},
	{"list-compute", FLAG, ACTION, LVX_ACTION_LIST_COMPUTE, 0, 0, NULL, "list compute devices"},
	{"list-mics", FLAG, ACTION, LVX_ACTION_LIST_MICS, 0, 0, NULL, "list microphones"},
	{"help", FLAG, ACTION, LVX_ACTION_HELP, 0, 0, NULL, "this"},
	{"version", FLAG, ACTION, LVX_ACTION_VERSION, 0, 0, NULL, "the version"},
};
enum { N_OPTIONS = sizeof(options) / sizeof(options[0]) };

static const char *const pace_names[] = {"clock", "max"};

/* ---- values ---- */

static const struct option_info *find_option(const char *name, int scope)
{
	for (int i = 0; i < N_OPTIONS; i++) {
		if ((options[i].scopes & scope) && strcmp(options[i].name, name) == 0)
			return &options[i];
	}
	return NULL;
}

static char *copy(const char *s)
{
	char *c = strdup(s);
	if (!c)
		abort();
	return c;
}

static void set_string(char **to, char *value)
{
	free(*to);
	*to = value;
}

static enum lvx_status parse_number(double *out, const struct option_info *o, const char *where,
	const char *value, struct lvx_error *err)
{
	char *end;
	double x = strtod(value, &end);
	bool whole = o->type == SECONDS || x == floor(x);
	/* Digits only: no hex, no exponents, no infinity. */
	if (value[0] == '\0' || *end != '\0' || value[strspn(value, "0123456789.")] != '\0' ||
		!whole || x < o->lo || x > o->hi)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.64s'; allowed are %g to %.15g", where,
			o->name, value, o->lo, o->hi);
	*out = x;
	return LVX_OK;
}

static enum lvx_status parse_bool(int *out, const struct option_info *o, const char *where,
	const char *value, struct lvx_error *err)
{
	static const char *const yes[] = {"true", "yes", "on", "1"};
	static const char *const no[] = {"false", "no", "off", "0"};
	for (int i = 0; i < 4; i++) {
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			*out = strcmp(value, yes[i]) == 0;
			return LVX_OK;
		}
	}
	return lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.64s'; allowed are true and false", where,
		o->name, value);
}

/* base: the lvx_settings or lvx_stream_settings that the option belongs to. */
static enum lvx_status set_value(char *base, const struct option_info *o, const char *where,
	const char *value, struct lvx_error *err)
{
	/* Each field has the type that the table says; the bases are structs of ours. */
	void *field = base + o->offset;
	double x = 0;
	enum lvx_status st = LVX_OK;
	switch (o->type) {
	case STRING:
		set_string(field, copy(value));
		break;
	case LIST: {
		char **list = field;
		char *joined;
		if (asprintf(&joined, "%s%s%s", *list ? *list : "", *list ? "," : "", value) < 0)
			abort();
		set_string(list, joined);
		break;
	}
	case NUMBER:
		st = parse_number(&x, o, where, value, err);
		if (st == LVX_OK)
			*(int *)field = (int)x;
		break;
	case SECONDS:
		st = parse_number(&x, o, where, value, err);
		if (st == LVX_OK)
			*(double *)field = x;
		break;
	case BOOL:
		st = parse_bool(field, o, where, value, err);
		break;
	case CHOICE:
		for (int i = 0; i < 2; i++) {
			if (strcmp(value, pace_names[i]) == 0) {
				*(int *)field = i;
				return LVX_OK;
			}
		}
		st = lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.64s'; allowed are %s", where, o->name,
			value, o->arg);
		break;
	case ACTION:
		break;
	}
	return st;
}

/* ---- streams ---- */

static void init_stream(struct lvx_stream_settings *s)
{
	*s = (struct lvx_stream_settings){
		.channel = -1, .pace = -1, .live = -1, .stall_s = -1, .give_up_s = -1};
}

static void finish_stream(struct lvx_stream_settings *s)
{
	free(s->id);
	free(s->uri);
	free(s->lanes);
	free(s->translate_to);
	free(s->prefix);
	free(s->audio_track);
}

static struct lvx_stream_settings *find_stream(struct lvx_settings *s, const char *id)
{
	for (size_t i = 0; i < s->n_streams; i++) {
		if (strcmp(s->streams[i].id, id) == 0)
			return &s->streams[i];
	}
	return NULL;
}

static enum lvx_status add_stream(struct lvx_settings *s, const char *where, const char *id,
	struct lvx_stream_settings **out, struct lvx_error *err)
{
	if (!lvx_id_valid(id))
		return lvx_fail(err, LVX_EINVAL,
			"%s: '%.64s' is not a stream id: 1 to %d of A-Z a-z 0-9 _ - are allowed",
			where, id, LVX_ID_MAX);
	if (find_stream(s, id))
		return lvx_fail(err, LVX_EINVAL, "%s: there are two streams '%s'", where, id);
	if (s->n_streams >= STREAMS_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "%s: more than %d streams", where, STREAMS_MAX);
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
	for (int k = 2; find_stream(s, id); k++)
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
	enum lvx_status st = add_stream(s, arg, id, &stream, err);
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
	r.prefix = r.prefix ? r.prefix : d->prefix;
	r.audio_track = r.audio_track ? r.audio_track : d->audio_track;
	r.channel = r.channel >= 0 ? r.channel : d->channel;
	r.pace = r.pace >= 0 ? r.pace : d->pace >= 0 ? d->pace : 0;
	r.live = r.live >= 0 ? r.live : d->live > 0;
	r.stall_s = r.stall_s >= 0 ? r.stall_s : d->stall_s;
	r.give_up_s = r.give_up_s >= 0 ? r.give_up_s : d->give_up_s;
	return r;
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

/* ---- the file ---- */

struct ini_state {
	struct lvx_settings *settings;
	const char *where, *text, *end;
	int line;
	bool continued;	    /* the line begins with a space: it goes on with the key before */
	bool too_long;
	int error_line;	    /* of the first error; 0: none */
	struct lvx_error *err;
	char seen[STREAMS_MAX + 1][N_OPTIONS]; /* by stream (the last: [daemon]) and option */
};

/* fgets for inih; counts lines, since inih does not tell its handler. */
static char *read_line(char *buf, int size, void *user)
{
	struct ini_state *st = user;
	if (st->text >= st->end)
		return NULL;
	size_t left = (size_t)(st->end - st->text);
	const char *newline = memchr(st->text, '\n', left);
	size_t len = newline ? (size_t)(newline - st->text) + 1 : left;
	st->line++;
	st->continued = isspace((unsigned char)st->text[0]);
	if (len > (size_t)size - 1) {
		if (st->error_line == 0) {
			st->error_line = st->line;
			lvx_fail(st->err, LVX_EINVAL,
				"%s:%d: the line is longer than %d bytes; indent what follows on the next",
				st->where, st->line, size - 2);
		}
		st->text += len;
		buf[0] = '\n';
		buf[1] = '\0';
		return buf;
	}
	memcpy(buf, st->text, len);
	buf[len] = '\0';
	/* A NUL would hide the rest of the line. */
	for (size_t i = 0; i < len; i++)
		buf[i] = buf[i] == '\0' ? '?' : buf[i];
	st->text += len;
	return buf;
}

static enum lvx_status unknown_key(const char *where, const char *section, const char *name,
	int scope, struct lvx_error *err)
{
	char list[400] = "";
	size_t at = 0;
	for (int i = 0; i < N_OPTIONS && at < sizeof(list); i++) {
		if (options[i].scopes & scope)
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
				at > 0 ? ", " : "", options[i].name);
	}
	return lvx_fail(err, LVX_EINVAL, "%s: unknown key '%.40s' in [%.40s]; known are %s", where, name,
		section, list);
}

static enum lvx_status set_from_file(struct ini_state *st, const char *where, const char *section,
	const char *name, const char *value, struct lvx_error *err)
{
	struct lvx_settings *s = st->settings;
	struct lvx_stream_settings *stream = NULL;
	int scope = DAEMON;
	size_t seen_row = STREAMS_MAX;
	if (strncmp(section, "stream ", 7) == 0) {
		const char *id = section + 7 + strspn(section + 7, " ");
		scope = STREAM;
		stream = find_stream(s, id);
		if (!stream) {
			enum lvx_status added = add_stream(s, where, id, &stream, err);
			if (added != LVX_OK)
				return added;
		}
		seen_row = (size_t)(stream - s->streams);
	} else if (strcmp(section, "daemon") != 0) {
		return lvx_fail(err, LVX_EINVAL,
			"%s: unknown section [%.40s]; known are [daemon] and [stream ID]", where,
			section);
	}
	const struct option_info *o = find_option(name, scope);
	if (!o)
		return unknown_key(where, section, name, scope, err);

	char *seen = &st->seen[seen_row][o - options];
	char *base = (o->scopes & STREAM) ? (char *)(stream ? stream : &s->defaults) : (char *)s;
	if (*seen && st->continued && o->type == STRING) {
		char **field = (char **)(void *)(base + o->offset);
		char *joined;
		if (asprintf(&joined, "%s %s", *field ? *field : "", value) < 0)
			abort();
		set_string(field, joined);
		return LVX_OK;
	}
	if (*seen && o->type != LIST)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is said twice in [%.40s]", where, name,
			section);
	*seen = 1;
	return set_value(base, o, where, value, err);
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
	struct ini_state *st = user;
	char where[300];
	if (st->error_line > 0)
		return 0;
	snprintf(where, sizeof(where), "%.280s:%d", st->where, st->line);
	if (set_from_file(st, where, section, name, value, st->err) == LVX_OK)
		return 1;
	st->error_line = st->line;
	return 0;
}

enum lvx_status lvx_settings_parse_ini(struct lvx_settings *s, const char *where, const char *text,
	size_t len, struct lvx_error *err)
{
	struct lvx_error first = {0};
	struct ini_state *st = calloc(1, sizeof(*st));
	if (!st)
		abort();
	*st = (struct ini_state){
		.settings = s, .where = where, .text = text, .end = text + len, .err = &first};
	int rc = ini_parse_stream(read_line, st, on_key, st);
	int error_line = st->error_line;
	free(st);
	/* inih's own complaint, if it came first. */
	if (rc > 0 && (error_line == 0 || rc < error_line))
		return lvx_fail(err, LVX_EINVAL, "%s:%d: expected 'key = value' or '[section]'",
			where, rc);
	if (error_line > 0)
		return lvx_fail(err, LVX_EINVAL, "%s", first.msg);
	if (rc < 0)
		return lvx_fail(err, LVX_ENOMEM, "%s: out of memory", where);
	for (size_t i = 0; i < s->n_streams; i++) {
		if (!s->streams[i].uri)
			return lvx_fail(err, LVX_EINVAL, "%s: [stream %s] has no uri", where,
				s->streams[i].id);
	}
	return LVX_OK;
}

/* ---- the command line ---- */

void lvx_settings_init(struct lvx_settings *s)
{
	*s = (struct lvx_settings){
		.rows = -1,
		.port = -1,
		.history = -1,
		.max_connections = -1,
		.slow_after_s = -1,
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
	const struct option_info *o = find_option(name, FLAG);
	if (!o)
		return lvx_fail(err, LVX_EINVAL, "unknown flag '%.64s'; see lumivoxd --help",
			argv[*i]);
	snprintf(where, sizeof(where), "--%s", name);
	const char *value = equals ? equals + 1 : NULL;
	if (!o->arg) {
		if (o->type == ACTION) {
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
	char *base = (o->scopes & STREAM) ? (char *)&s->defaults : (char *)s;
	return set_value(base, o, where, value, err);
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
			st = lvx_fail(err, LVX_EINVAL, "unknown flag '%.64s'; see lumivoxd --help",
				arg);
		else
			st = add_source(s, arg, err);
	}
	return st;
}

/* The file's daemon settings go where no flag has spoken. */
static void merge(struct lvx_settings *flags, struct lvx_settings *file)
{
	for (int i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &options[i];
		if (!(o->scopes & DAEMON))
			continue;
		bool stream = o->scopes & STREAM;
		char *to = (stream ? (char *)&flags->defaults : (char *)flags) + o->offset;
		char *from = (stream ? (char *)&file->defaults : (char *)file) + o->offset;
		if (o->type == STRING || o->type == LIST) {
			char **t = (char **)(void *)to, **f = (char **)(void *)from;
			if (!*t) {
				*t = *f;
				*f = NULL;
			}
		} else if (o->type == SECONDS) {
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
		st = add_stream(&file, s->streams[i].uri, s->streams[i].id, &stream, err);
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
	if (!s->bind || strcmp(s->bind, "localhost") == 0)
		set_string(&s->bind, copy("127.0.0.1"));
	if (!s->allow_schemes)
		s->allow_schemes = copy("https,http,rtsp,srt,rtmp");
	s->port = s->port >= 0 ? s->port : 8437;
	s->history = s->history >= 0 ? s->history : 4096;
	s->max_connections = s->max_connections >= 0 ? s->max_connections : 1024;
	s->slow_after_s = s->slow_after_s >= 0 ? s->slow_after_s : 20;
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
	if (!s->tls_cert != !s->tls_key)
		return lvx_fail(err, LVX_EINVAL, "tls-cert and tls-key: both or neither");
	size_t wanted = s->n_streams > 16 ? s->n_streams : 16;
	s->rows = s->rows >= 0 ? s->rows : (int)wanted;
	if (s->n_streams > (size_t)s->rows)
		return lvx_fail(err, LVX_EINVAL, "%zu streams are more than rows = %d", s->n_streams,
			s->rows);
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
	char *owned[] = {s->model, s->device, s->bind, s->token, s->token_file, s->allow_origin,
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
	for (int i = 0; i < N_OPTIONS; i++) {
		const struct option_info *o = &options[i];
		if (!(o->scopes & FLAG))
			continue;
		char left[48];
		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->arg ? " " : "",
			o->arg ? o->arg : "");
		fprintf(out, "  %-24s %s%s\n", left, o->help, o->scopes & STREAM ? " *" : "");
	}
}
