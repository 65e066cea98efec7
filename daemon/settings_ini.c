/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file, over inih. */
#include "daemon/settings_priv.h"

#include <ctype.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

struct ini_state {
	struct lvx_settings *settings;
	const char *where, *text, *end;
	int line;
	bool continued; /* the line begins with a space: it goes on with the key before */
	bool too_long;
	int error_line; /* of the first error; 0: none */
	struct lvx_error *err;
	char seen[LVX_STREAMS_MAX + 1]
		 [LVX_OPTIONS_MAX]; /* by stream (the last: [daemon]) and option */
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
				"%s:%d: the line is longer than %d bytes; indent what follows on "
				"the next",
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

static enum lvx_status unknown_key(
	const char *where, const char *section, const char *name, int scope, struct lvx_error *err)
{
	char list[400] = "";
	size_t at = 0;
	for (int i = 0; i < lvx_n_options && at < sizeof(list); i++) {
		if (lvx_options[i].scopes & scope)
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
				at > 0 ? ", " : "", lvx_options[i].name);
	}
	return lvx_fail(err, LVX_EINVAL, "%s: unknown key '%.40s' in [%.40s]; known are %s", where,
		name, section, list);
}

static enum lvx_status set_from_file(struct ini_state *st, const char *where, const char *section,
	const char *name, const char *value, struct lvx_error *err)
{
	struct lvx_settings *s = st->settings;
	struct lvx_stream_settings *stream = NULL;
	int scope = LVX_OPTION_DAEMON;
	size_t seen_row = LVX_STREAMS_MAX;
	if (strncmp(section, "stream ", 7) == 0) {
		const char *id = section + 7 + strspn(section + 7, " ");
		scope = LVX_OPTION_STREAM;
		stream = lvx_settings_find(s, id);
		if (!stream) {
			enum lvx_status added = lvx_settings_add(s, where, id, &stream, err);
			if (added != LVX_OK)
				return added;
		}
		seen_row = (size_t)(stream - s->streams);
	} else if (strcmp(section, "daemon") != 0) {
		return lvx_fail(err, LVX_EINVAL,
			"%s: unknown section [%.40s]; known are [daemon] and [stream ID]", where,
			section);
	}
	const struct lvx_option *o = lvx_option_find(name, scope);
	if (!o)
		return unknown_key(where, section, name, scope, err);

	char *seen = &st->seen[seen_row][o - lvx_options];
	char *base = (o->scopes & LVX_OPTION_STREAM) ? (char *)(stream ? stream : &s->defaults)
						     : (char *)s;
	if (*seen && st->continued && o->type == LVX_OPTION_STRING) {
		char **field = (char **)(void *)(base + o->offset);
		char *joined;
		if (asprintf(&joined, "%s %s", *field ? *field : "", value) < 0)
			abort();
		free(*field);
		*field = joined;
		return LVX_OK;
	}
	if (*seen && o->type != LVX_OPTION_LIST)
		return lvx_fail(
			err, LVX_EINVAL, "%s: '%s' is said twice in [%.40s]", where, name, section);
	*seen = 1;
	return lvx_option_set(base, o, where, value, err);
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
		return lvx_fail(
			err, LVX_EINVAL, "%s:%d: expected 'key = value' or '[section]'", where, rc);
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
