/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/doors/upload.h"

#include "daemon/doors/door.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_MAX_BYTES = 256, BOUNDARY_MAX = 70, PART_HEAD_MAX = 2048 };

/* ---- chunked ---- */

enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, DONE };

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of what is not data; false: it is not chunked. */
static bool step(struct lvx_chunked *c, char b)
{
	if (++c->line > LINE_MAX_BYTES)
		return false;
	switch (c->state) {
	case SIZE:
		if (digit(b) >= 0) {
			c->left = c->left << 4 | (uint64_t)digit(b);
			return ++c->n_digits <= 8;
		}
		c->state = b == '\r' ? SIZE_LF : EXTENSION;
		return c->n_digits > 0 && (b == '\r' || b == ';' || b == ' ');
	case EXTENSION:
		if (b == '\r')
			c->state = SIZE_LF;
		return b != '\n';
	case SIZE_LF:
		c->state = c->left > 0 ? DATA : TRAILER;
		c->line = c->n_digits = 0;
		return b == '\n';
	case DATA_CR:
		c->state = DATA_LF;
		return b == '\r';
	case DATA_LF:
		c->state = SIZE;
		c->line = 0;
		return b == '\n';
	case TRAILER: /* n_digits: of the line, whether there is anything in it */
		if (b == '\r')
			c->state = TRAILER_LF;
		else
			c->n_digits = 1;
		return b != '\n';
	default: /* TRAILER_LF */
		c->state = c->n_digits == 0 ? DONE : TRAILER;
		c->n_digits = 0;
		return b == '\n';
	}
}

enum lvx_status lvx_chunked_feed(
	struct lvx_chunked *c, const char *data, size_t len, struct lvx_text *out, size_t max)
{
	while (len > 0 && c->state != DONE) {
		if (c->state != DATA) {
			if (!step(c, *data))
				return LVX_EINVAL;
			data++;
			len--;
			continue;
		}
		size_t n = len < c->left ? len : (size_t)c->left;
		if (out->len + n > max)
			return LVX_ELIMIT;
		lvx_text_add(out, data, n);
		data += n;
		len -= n;
		c->left -= n;
		if (c->left == 0) {
			c->state = DATA_CR;
			c->line = 0;
		}
	}
	return c->state == DONE ? LVX_END : LVX_AGAIN;
}

/* ---- multipart ---- */

/* A parameter of a header's value, with or without quotes; NULL: it is not there. */
static const char *parameter(const char *head, size_t len, const char *name, size_t *n)
{
	size_t name_len = strlen(name);
	for (const char *p = head, *end = head + len; p < end;) {
		p = memchr(p, ';', (size_t)(end - p));
		if (!p)
			return NULL;
		p++;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if ((size_t)(end - p) <= name_len || strncasecmp(p, name, name_len) != 0 ||
			p[name_len] != '=')
			continue;
		p += name_len + 1;
		bool quoted = p < end && *p == '"';
		p += quoted;
		const char *stop = p;
		while (stop < end && (quoted ? *stop != '"' : *stop != ';' && *stop != ' '))
			stop++;
		*n = (size_t)(stop - p);
		return p;
	}
	return NULL;
}

static enum lvx_status bad(struct lvx_error *err, const char *what)
{
	return lvx_fail(err, LVX_EINVAL, "body: %s", what);
}

/* The name of a part, from its header lines. */
static enum lvx_status read_head(
	struct lvx_part *part, const char *head, size_t len, struct lvx_error *err)
{
	static const char field[] = "content-disposition:";
	for (const char *line = head, *end = head + len; line < end;) {
		const char *eol = memmem(line, (size_t)(end - line), "\r\n", 2);
		size_t n = (size_t)((eol ? eol : end) - line), name_len, ignored;
		if (n > sizeof(field) - 1 && strncasecmp(line, field, sizeof(field) - 1) == 0) {
			const char *name = parameter(line, n, "name", &name_len);
			if (!name || name_len > LVX_PART_NAME_MAX || memchr(name, '\0', name_len))
				return bad(err, "a part has no name, or one that is too long");
			memcpy(part->name, name, name_len);
			part->name[name_len] = '\0';
			part->is_file = parameter(line, n, "filename", &ignored) != NULL ||
					parameter(line, n, "filename*", &ignored) != NULL;
			return LVX_OK;
		}
		line = eol ? eol + 2 : end;
	}
	return bad(err, "a part has no Content-Disposition");
}

bool lvx_multipart_is(const char *content_type)
{
	static const char type[] = "multipart/form-data";
	return strncasecmp(content_type, type, sizeof(type) - 1) == 0 &&
	       strchr("; \t", content_type[sizeof(type) - 1]);
}

enum lvx_status lvx_multipart_parse(struct lvx_part parts[LVX_PARTS_MAX], size_t *n_parts,
	const char *content_type, const char *body, size_t len, struct lvx_error *err)
{
	char mark[BOUNDARY_MAX + 5];
	size_t n = 0;
	*n_parts = 0;
	if (!lvx_multipart_is(content_type))
		return bad(err, "Content-Type must be multipart/form-data");
	const char *boundary = parameter(content_type, strlen(content_type), "boundary", &n);
	if (!boundary || n == 0 || n > BOUNDARY_MAX)
		return bad(err, "multipart/form-data has no boundary of 1 to 70 characters");
	size_t mark_len = (size_t)snprintf(mark, sizeof(mark), "\r\n--%.*s", (int)n, boundary);
	const char *p = body, *end = body + len;
	/* The first may stand at the very beginning. */
	if (len >= mark_len - 2 && memcmp(body, mark + 2, mark_len - 2) == 0)
		p += mark_len - 2;
	else if ((p = memmem(body, len, mark, mark_len)))
		p += mark_len;
	else
		return bad(err, "the boundary is not found");
	for (;;) {
		if (end - p >= 2 && memcmp(p, "--", 2) == 0)
			return LVX_OK;
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (end - p < 2 || memcmp(p, "\r\n", 2) != 0)
			return bad(err, "a boundary is not followed by a line end");
		size_t most = (size_t)(end - p);
		const char *blank =
			memmem(p, most < PART_HEAD_MAX ? most : PART_HEAD_MAX, "\r\n\r\n", 4);
		if (!blank)
			return bad(err, "a part's head does not end");
		const char *data = blank + 4;
		const char *next = memmem(data, (size_t)(end - data), mark, mark_len);
		if (!next)
			return bad(err, "a part does not end");
		if (*n_parts == LVX_PARTS_MAX)
			return bad(err, "more than 32 parts");
		struct lvx_part *part = &parts[*n_parts];
		size_t head_len = blank > p + 2 ? (size_t)(blank - p - 2) : 0;
		enum lvx_status st = read_head(part, p + 2, head_len, err);
		if (st != LVX_OK)
			return st;
		part->data = data;
		part->len = (size_t)(next - data);
		(*n_parts)++;
		p = next + mark_len;
	}
}

/* ---- the form ---- */

static enum lvx_status wrong(
	const char *name, const char *value, const char *allowed, struct lvx_error *err)
{
	return lvx_fail(err, LVX_EINVAL, "'%s' is '%.48s'; supported is %s", name, value, allowed);
}

static enum lvx_status read_format(
	struct lvx_transcription_form *f, const char *value, struct lvx_error *err)
{
	static const char *const names[] = {"json", "text", "srt", "vtt", "verbose_json"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], value) == 0) {
			f->format = (enum lvx_transcript_format)i;
			return LVX_OK;
		}
	}
	return wrong("response_format", value, "json, text, srt, vtt, verbose_json", err);
}

static enum lvx_status read_field(struct lvx_transcription_form *f, const char *name,
	const char *value, const struct lvx_model_info *model, struct lvx_error *err)
{
	if (strcmp(name, "response_format") == 0)
		return read_format(f, value, err);
	if (strcmp(name, "language") == 0)
		return *value ? lvx_door_read_language(&f->language, model, "language", value, err)
			      : LVX_OK;
	if (strcmp(name, "timestamp_granularities[]") == 0 ||
		strcmp(name, "timestamp_granularities") == 0) {
		f->words = f->words || strcmp(value, "word") == 0;
		f->segments = f->segments || strcmp(value, "segment") == 0;
		return strcmp(value, "word") == 0 || strcmp(value, "segment") == 0
			       ? LVX_OK
			       : wrong(name, value, "word, segment", err);
	}
	if (strcmp(name, "temperature") == 0) {
		/* Nothing is drawn by lot here: whatever it is, the text is the same. */
		char *end;
		double t = strtod(value, &end);
		return *value && *end == '\0' && t >= 0 && t <= 1
			       ? LVX_OK
			       : wrong(name, value, "0 to 1", err);
	}
	if (strcmp(name, "stream") == 0) {
		f->stream = strcmp(value, "true") == 0;
		return f->stream || strcmp(value, "false") == 0
			       ? LVX_OK
			       : wrong(name, value, "true, false", err);
	}
	if (strcmp(name, "include[]") == 0 || strcmp(name, "include") == 0) {
		f->logprobs = strcmp(value, "logprobs") == 0;
		return f->logprobs ? LVX_OK : wrong(name, value, "logprobs", err);
	}
	if (strcmp(name, "chunking_strategy") == 0)
		return strcmp(value, "auto") == 0 ? LVX_OK : wrong(name, value, "auto", err);
	return lvx_fail(err, LVX_EINVAL, "'%s' is not supported", name);
}

enum lvx_status lvx_transcription_form_read(struct lvx_transcription_form *f,
	const struct lvx_part *parts, size_t n_parts, const struct lvx_model_info *model,
	struct lvx_error *err)
{
	*f = (struct lvx_transcription_form){0};
	for (size_t i = 0; i < n_parts; i++) {
		const struct lvx_part *p = &parts[i];
		char value[256];
		if (strcmp(p->name, "file") == 0) {
			if (f->file)
				return lvx_fail(err, LVX_EINVAL, "there is more than one 'file'");
			f->file = p->data;
			f->file_len = p->len;
			continue;
		}
		if (strcmp(p->name, "prompt") == 0) {
			if (p->len > LVX_PREFIX_MAX || memchr(p->data, '\0', p->len))
				return lvx_fail(err, LVX_EINVAL, "'prompt' may have %d bytes",
					LVX_PREFIX_MAX);
			memcpy(f->prompt, p->data, p->len);
			f->prompt[p->len] = '\0';
			continue;
		}
		if (strcmp(p->name, "model") == 0)
			continue; /* it is ours whatever it is called */
		if (p->len >= sizeof(value) || memchr(p->data, '\0', p->len))
			return lvx_fail(err, LVX_EINVAL, "'%s' is too long", p->name);
		memcpy(value, p->data, p->len);
		value[p->len] = '\0';
		enum lvx_status st = read_field(f, p->name, value, model, err);
		if (st != LVX_OK)
			return st;
	}
	if (f->file_len == 0)
		return lvx_fail(err, LVX_EINVAL, "'file' is missing or empty");
	if ((f->words || f->segments) && f->format != LVX_TRANSCRIPT_VERBOSE)
		return lvx_fail(err, LVX_EINVAL,
			"'timestamp_granularities[]' needs 'response_format' verbose_json");
	if (f->stream && f->format != LVX_TRANSCRIPT_JSON)
		return lvx_fail(err, LVX_EINVAL, "'stream' needs 'response_format' json");
	if (f->logprobs && f->format != LVX_TRANSCRIPT_JSON)
		return lvx_fail(err, LVX_EINVAL, "'include[]' needs 'response_format' json");
	f->segments = f->segments || !f->words;
	return LVX_OK;
}
