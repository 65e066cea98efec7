/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/caption_file.h"

#include "base/log.h"
#include "daemon/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SAME_NAME_MAX = 99 };

const char *const lvx_caption_format_names[LVX_CAPTION_FORMATS] = {
	"srt", "vtt", "ttml", "jsonl", "events"};

static const char ttml_tail[] = "</div></body>\n</tt>\n";

struct lvx_caption_file {
	struct lvx_caption_file_params p; /* its strings are owned */
	char path[PATH_MAX];
	int fd;
	bool named; /* path is this file */
	off_t end;  /* of the cues; a TTML file has its closing tags there */
	uint64_t n_cues;
	struct lvx_text text; /* what is written next */
};

enum lvx_status lvx_caption_formats_parse(
	uint32_t *mask, const char *where, const char *list, struct lvx_error *err)
{
	uint32_t found = 0;
	for (const char *s = list; *s;) {
		s += strspn(s, ", ");
		size_t len = strcspn(s, ", "), i = 0;
		while (i < LVX_CAPTION_FORMATS &&
			(strlen(lvx_caption_format_names[i]) != len ||
				strncmp(s, lvx_caption_format_names[i], len) != 0))
			i++;
		if (len > 0 && i == LVX_CAPTION_FORMATS)
			return lvx_fail(err, LVX_EINVAL,
				"%s: '%.*s' is not a format; allowed are srt, vtt, ttml, "
				"jsonl and events",
				where, len < 32 ? (int)len : 32, s);
		if (len > 0)
			found |= 1u << i;
		s += len;
	}
	if (found == 0)
		return lvx_fail(err, LVX_EINVAL, "%s: names no format", where);
	*mask = found;
	return LVX_OK;
}

/* ---- the disk ---- */

static bool write_all(int fd, const char *data, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? ENOSPC : errno;
			return false;
		}
		data += n;
		len -= (size_t)n;
		at += n;
	}
	return true;
}

static size_t tail_len(const struct lvx_caption_file *f)
{
	return f->p.format == LVX_CAPTION_TTML ? sizeof(ttml_tail) - 1 : 0;
}

/* After a write that failed; those bytes have their place on the disk already. */
static void restore(struct lvx_caption_file *f)
{
	if (!write_all(f->fd, ttml_tail, tail_len(f), f->end) ||
		ftruncate(f->fd, f->end + (off_t)tail_len(f)) != 0)
		lvx_log_error("%s: may end in half a cue", f->path);
}

/* Puts f->text, and what must follow it, at the end of the cues, in one write. */
static bool append(struct lvx_caption_file *f, struct lvx_error *err)
{
	size_t len = f->text.len;
	lvx_text_add(&f->text, ttml_tail, tail_len(f));
	if (write_all(f->fd, f->text.data, f->text.len, f->end) && fdatasync(f->fd) == 0) {
		f->end += (off_t)len;
		return true;
	}
	lvx_fail(err, LVX_EIO, "%s: %s", f->path, strerror(errno));
	return false;
}

/* Lanes and languages come from a model's folder: nothing but these in a name. */
static void add_name(struct lvx_text *t, const char *s)
{
	for (; *s; s++)
		lvx_text_printf(t, "%c", isalnum((unsigned char)*s) || strchr("-_", *s) ? *s : '_');
}

static void make_name(struct lvx_text *t, const struct lvx_caption_file_params *p, int again)
{
	char when[32];
	time_t second = (time_t)(p->epoch / 1000000);
	struct tm tm;
	gmtime_r(&second, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	lvx_text_clear(t);
	lvx_text_printf(t, "%s/%s.%s", p->dir, p->stream, when);
	if (again > 1)
		lvx_text_printf(t, "~%d", again);
	if (p->part > 1)
		lvx_text_printf(t, "_%04" PRIu32, p->part);
	if (p->format == LVX_CAPTION_EVENTS) {
		lvx_text_printf(t, ".events.jsonl");
		return;
	}
	lvx_text_printf(t, ".");
	add_name(t, p->lane);
	if (p->language) {
		lvx_text_printf(t, ".");
		add_name(t, p->language);
	}
	lvx_text_printf(t, ".%s", lvx_caption_format_names[p->format]);
}

/* The new name is on the disk too. Where a file system can't, there is nothing to do. */
static void sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!fsync(fd);
	close(fd);
}

/* ---- the formats ---- */

static void add_head(struct lvx_caption_file *f)
{
	struct lvx_text *t = &f->text;
	lvx_text_clear(t);
	if (f->p.format == LVX_CAPTION_VTT)
		lvx_text_printf(t, "WEBVTT\n\n");
	if (f->p.format != LVX_CAPTION_TTML)
		return;
	lvx_text_printf(t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			   "<tt xmlns=\"http://www.w3.org/ns/ttml\""
			   " xmlns:ttp=\"http://www.w3.org/ns/ttml#parameter\""
			   " xmlns:tts=\"http://www.w3.org/ns/ttml#styling\" xml:lang=\"");
	lvx_cue_escape(t, f->p.language ? f->p.language : "");
	lvx_text_printf(t, "\" ttp:timeBase=\"media\""
			   " ttp:contentProfiles="
			   "\"http://www.w3.org/ns/ttml/profile/imsc1.1/text\">\n"
			   "<head>\n<styling><style xml:id=\"s\""
			   " tts:fontFamily=\"proportionalSansSerif\" tts:color=\"white\""
			   " tts:backgroundColor=\"black\"/></styling>\n"
			   "<layout><region xml:id=\"r\" tts:origin=\"10%% 70%%\""
			   " tts:extent=\"80%% 25%%\" tts:displayAlign=\"after\""
			   " tts:textAlign=\"center\"/></layout>\n"
			   "</head>\n<body region=\"r\"><div>\n");
}

static void add_ttml(struct lvx_text *t, const struct lvx_cue *cue)
{
	struct lvx_text escaped = {0};
	lvx_cue_escape(&escaped, cue->text);
	lvx_text_printf(t, "<p begin=\"");
	lvx_cue_time(t, cue->start_us);
	lvx_text_printf(t, "\" end=\"");
	lvx_cue_time(t, cue->end_us);
	lvx_text_printf(t, "\"><span style=\"s\">");
	for (const char *s = escaped.data; s && *s;) {
		/* U+FFFE and U+FFFF are no characters of XML. */
		if (strncmp(s, "\xef\xbf\xbe", 3) == 0 || strncmp(s, "\xef\xbf\xbf", 3) == 0) {
			lvx_text_add(t, "?", 1);
			s += 3;
		} else if (*s == '\n') {
			lvx_text_printf(t, "<br/>");
			s++;
		} else {
			lvx_text_add(t, s++, 1);
		}
	}
	lvx_text_printf(t, "</span></p>\n");
	lvx_text_finish(&escaped);
}

static void add_jsonl(struct lvx_caption_file *f, const struct lvx_cue *cue, const char *words,
	int64_t start_wall_us)
{
	struct lvx_text *t = &f->text;
	lvx_text_printf(
		t, "{\"stream\":\"%s\",\"epoch\":%" PRId64 ",\"lane\":", f->p.stream, f->p.epoch);
	lvx_text_json(t, f->p.lane);
	lvx_text_printf(t, ",\"language\":");
	lvx_text_json(t, f->p.language);
	lvx_text_printf(
		t, ",\"start_us\":%" PRId64 ",\"end_us\":%" PRId64, cue->start_us, cue->end_us);
	if (start_wall_us > 0)
		lvx_text_printf(t, ",\"wall_us\":%" PRId64, start_wall_us + cue->start_us);
	else
		lvx_text_printf(t, ",\"wall_us\":null");
	lvx_text_printf(t, ",\"text\":");
	lvx_text_json(t, cue->text);
	lvx_text_printf(t, ",\"words\":%s}\n", words ? words : "[]");
}

/* ---- */

static char *copy(const char *s)
{
	char *c = s ? strdup(s) : NULL;
	if (s && !c)
		abort();
	return c;
}

/* The next free name becomes that of the nameless file, or of a new one. */
static bool take_name(struct lvx_caption_file *f)
{
	char nameless[32];
	snprintf(nameless, sizeof(nameless), "/proc/self/fd/%d", f->fd);
	for (int again = 1; again <= SAME_NAME_MAX; again++) {
		make_name(&f->text, &f->p, again);
		if (f->text.len >= sizeof(f->path)) {
			errno = ENAMETOOLONG;
			return false;
		}
		memcpy(f->path, f->text.data, f->text.len + 1);
		int rc = f->fd >= 0
				 ? linkat(AT_FDCWD, nameless, AT_FDCWD, f->path, AT_SYMLINK_FOLLOW)
				 : open(f->path,
					   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
					   0644);
		if (rc >= 0) {
			f->fd = f->fd >= 0 ? f->fd : rc;
			return f->named = true;
		}
		if (errno != EEXIST)
			break;
	}
	return false;
}

/* A file gets its name when its head is written, so that nobody ever sees it without; where
 * the file system has no nameless files, a moment before. */
static bool open_new(struct lvx_caption_file *f, struct lvx_error *err)
{
	make_name(&f->text, &f->p, 1);
	snprintf(f->path, sizeof(f->path), "%s", f->text.data);
	f->fd = open(f->p.dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
	if ((f->fd < 0 && !take_name(f)))
		goto fail;
	add_head(f);
	if (!append(f, err))
		return false;
	if (f->named || take_name(f))
		return true;
fail:
	lvx_fail(err, LVX_EIO, "%s: %s", f->path, strerror(errno));
	return false;
}

enum lvx_status lvx_caption_file_create(struct lvx_caption_file **out,
	const struct lvx_caption_file_params *params, struct lvx_error *err)
{
	struct lvx_caption_file *f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	f->fd = -1;
	f->p = *params;
	f->p.dir = copy(params->dir);
	f->p.stream = copy(params->stream);
	f->p.lane = copy(params->lane);
	f->p.language = copy(params->language);
	if (!open_new(f, err)) {
		lvx_caption_file_close(f);
		return LVX_EIO;
	}
	sync_dir(f->p.dir);
	*out = f;
	return LVX_OK;
}

enum lvx_status lvx_caption_file_add(struct lvx_caption_file *f, const struct lvx_cue *cue,
	const char *words, int64_t start_wall_us, struct lvx_error *err)
{
	lvx_text_clear(&f->text);
	switch (f->p.format) {
	case LVX_CAPTION_SRT:
		lvx_cue_srt(&f->text, f->n_cues + 1, cue);
		break;
	case LVX_CAPTION_VTT:
		lvx_cue_vtt(&f->text, cue);
		break;
	case LVX_CAPTION_TTML:
		add_ttml(&f->text, cue);
		break;
	default:
		add_jsonl(f, cue, words, start_wall_us);
		break;
	}
	if (!append(f, err)) {
		restore(f);
		return LVX_EIO;
	}
	f->n_cues++;
	return LVX_OK;
}

enum lvx_status lvx_caption_file_add_lines(
	struct lvx_caption_file *f, const char *lines, size_t len, struct lvx_error *err)
{
	lvx_text_clear(&f->text);
	lvx_text_add(&f->text, lines, len);
	if (!append(f, err)) {
		restore(f);
		return LVX_EIO;
	}
	f->n_cues++;
	return LVX_OK;
}

void lvx_caption_file_close(struct lvx_caption_file *f)
{
	if (!f)
		return;
	/* Made, but its first cue could not be written. */
	if (f->named && f->n_cues == 0)
		unlink(f->path);
	if (f->fd >= 0)
		close(f->fd);
	lvx_text_finish(&f->text);
	free((char *)f->p.dir);
	free((char *)f->p.stream);
	free((char *)f->p.lane);
	free((char *)f->p.language);
	free(f);
}

const char *lvx_caption_file_path(const struct lvx_caption_file *f)
{
	return f->path;
}
