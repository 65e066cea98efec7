/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/source_priv.h"

#include "base/uri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct scheme {
	const char *name;
	bool live;
} schemes[] = {
	{"file", false},
	{"http", false},
	{"https", false},
	{"rtsp", true},
	{"rtsps", true},
	{"srt", true},
	{"rtmp", true},
	{"rtmps", true},
	{"v4l2", true},
	{"mic", true},
};
#define N_SCHEMES (sizeof(schemes) / sizeof(schemes[0]))

/* The scheme that uri begins with, if it is one of ours. */
static const struct scheme *find_scheme(const char *uri)
{
	const char *colon = strchr(uri, ':');
	for (size_t i = 0; colon && i < N_SCHEMES; i++) {
		size_t len = strlen(schemes[i].name);
		if ((size_t)(colon - uri) == len && strncasecmp(uri, schemes[i].name, len) == 0)
			return &schemes[i];
	}
	return NULL;
}

bool lvx_source_uri_is_live(const char *uri)
{
	const struct scheme *s = find_scheme(uri);
	return s && s->live;
}

const char *lvx_source_state_name(enum lvx_source_state state)
{
	switch (state) {
	case LVX_SOURCE_STARTING:
		return "starting";
	case LVX_SOURCE_LIVE:
		return "live";
	case LVX_SOURCE_STALLED:
		return "stalled";
	case LVX_SOURCE_RECONNECTING:
		return "reconnecting";
	case LVX_SOURCE_ENDED:
		return "ended";
	case LVX_SOURCE_FAILED:
		return "failed";
	}
	return "unknown";
}

enum lvx_status lvx_source_check_uri(const char *uri, struct lvx_error *err)
{
	if (!uri || !uri[0])
		return lvx_fail(err, LVX_EINVAL, "the source's address is empty");
	if (strlen(uri) > 4096)
		return lvx_fail(err, LVX_EINVAL, "the source's address is over 4096 bytes");
	for (const char *p = uri; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return lvx_fail(err, LVX_EINVAL,
				"the source's address holds a control character");
	const struct scheme *s = find_scheme(uri);
	const char *rest = strchr(uri, ':');
	if (!s) {
		if (rest && strncmp(rest, "://", 3) == 0)
			return lvx_fail(err, LVX_EUNSUPPORTED,
				"%.*s: is not a kind of source; there are: a path, file, http, "
				"https, rtsp, rtsps, srt, rtmp, rtmps, v4l2, mic",
				(int)(rest - uri), uri);
		return LVX_OK; /* a plain path */
	}
	rest++;
	if (strcmp(s->name, "mic") == 0)
		return LVX_OK;
	bool slashes = strncmp(rest, "//", 2) == 0;
	if (strcmp(s->name, "file") == 0) {
		if (rest[0] != '/' || (slashes && rest[2] != '/'))
			return lvx_fail(err, LVX_EINVAL, "%s: want file:/path or file:///path", uri);
		return LVX_OK;
	}
	char shown[256];
	lvx_uri_redact(shown, sizeof(shown), uri);
	if (!slashes || !rest[2])
		return lvx_fail(err, LVX_EINVAL, "%s: want %s://...", shown, s->name);
	return LVX_OK;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *lvx_uri_local_path(const char *uri)
{
	const struct scheme *s = find_scheme(uri);
	if (!s)
		return strdup(uri);
	if (strcmp(s->name, "file") != 0)
		return NULL;
	const char *from = uri + 5;
	if (strncmp(from, "//", 2) == 0)
		from += 2;
	char *path = malloc(strlen(from) + 1);
	if (!path)
		return NULL;
	char *to = path;
	while (*from) {
		int hi = *from == '%' ? hex(from[1]) : -1;
		int lo = hi >= 0 ? hex(from[2]) : -1;
		if (lo >= 0 && (hi || lo)) {
			*to++ = (char)(hi * 16 + lo);
			from += 3;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	return path;
}

void lvx_tell_state(
	struct lvx_state_teller *t, enum lvx_source_state state, const char *fmt, ...)
{
	char msg[sizeof(t->msg)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (t->told && t->state == state && strcmp(t->msg, msg) == 0)
		return;
	t->told = true;
	t->state = state;
	memcpy(t->msg, msg, sizeof(msg));
	if (t->cb.on_state)
		t->cb.on_state(t->cb.user, state, t->msg);
}

static enum lvx_status check_local_file(const char *uri, struct lvx_error *err)
{
	char *path = lvx_uri_local_path(uri);
	if (!path)
		return LVX_OK;
	enum lvx_status st = LVX_OK;
	struct stat sb;
	if (stat(path, &sb) < 0)
		st = lvx_fail(err, errno == ENOENT || errno == ENOTDIR ? LVX_ENOENT : LVX_EIO,
			"%s: %s", path, strerror(errno));
	else if (S_ISDIR(sb.st_mode))
		st = lvx_fail(err, LVX_EINVAL, "%s: is a directory", path);
	else if (access(path, R_OK) < 0)
		st = lvx_fail(err, LVX_EIO, "%s: %s", path, strerror(errno));
	else if (S_ISREG(sb.st_mode) && sb.st_size == 0)
		st = lvx_fail(err, LVX_EINVAL, "%s: is empty", path);
	free(path);
	return st;
}

enum lvx_status lvx_source_open(struct lvx_source **out, const struct lvx_source_params *params,
	struct lvx_ring *ring, const struct lvx_source_callbacks *cb, struct lvx_error *err)
{
	enum lvx_status st = lvx_source_check_uri(params->uri, err);
	if (st != LVX_OK)
		return st;
	if (params->channel < -1 || params->channel > 63)
		return lvx_fail(err, LVX_EINVAL, "channel %d is not in -1..63", params->channel);
	const struct scheme *s = find_scheme(params->uri);
	if (s && strcmp(s->name, "mic") == 0)
		return lvx_mic_open(out, params, ring, cb, err);
	if (!s || strcmp(s->name, "file") == 0) {
		st = check_local_file(params->uri, err);
		if (st != LVX_OK)
			return st;
	}
	return lvx_gst_open(out, params, ring, cb, err);
}

void lvx_source_close(struct lvx_source *source)
{
	if (source)
		source->close(source);
}

void lvx_source_get_stats(const struct lvx_source *source, struct lvx_source_stats *out)
{
	source->get_stats(source, out);
}
