/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/glossary.h"

#include "base/file.h"
#include "base/utf8.h"
#include "daemon/text.h"
#include "model/tokenizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_BYTES_MAX = 16384 }; /* far more than any model's prefix */

struct lvx_glossary {
	_Atomic uint32_t refs;
	json_t *lines;
	struct lvx_text words;
	struct lvx_spelling *spelling;
};

static struct lvx_glossary *create(void)
{
	struct lvx_glossary *g = calloc(1, sizeof(*g));
	if (!g || !(g->lines = json_array()))
		abort();
	atomic_init(&g->refs, 1);
	lvx_text_add(&g->words, "", 0);
	g->spelling = lvx_spelling_create();
	return g;
}

struct lvx_glossary *lvx_glossary_ref(struct lvx_glossary *g)
{
	if (g)
		atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

void lvx_glossary_unref(struct lvx_glossary *g)
{
	if (!g || atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel) != 1)
		return;
	json_decref(g->lines);
	lvx_text_finish(&g->words);
	lvx_spelling_destroy(g->spelling);
	free(g);
}

const char *lvx_glossary_words(const struct lvx_glossary *g)
{
	return g->words.data;
}

const struct lvx_spelling *lvx_glossary_spelling(const struct lvx_glossary *g)
{
	return g->spelling;
}

json_t *lvx_glossary_to_json(const struct lvx_glossary *g)
{
	return json_incref(g->lines);
}

/* ---- a line ---- */

static bool has_word(const char *words, const char *word, size_t len)
{
	for (const char *p = words; *p;) {
		size_t n = strcspn(p, " ");
		if (n == len && memcmp(p, word, len) == 0)
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

static void add_term(struct lvx_glossary *g, const char *term)
{
	while (*term) {
		term += strspn(term, " ");
		size_t len = strcspn(term, " ");
		const char *end = term + len, *word = lvx_word_bare(term, &len);
		term = end;
		if (len == 0 || g->words.len + len > WORDS_BYTES_MAX ||
			has_word(g->words.data, word, len))
			continue;
		if (g->words.len > 0)
			lvx_text_add(&g->words, " ", 1);
		lvx_text_add(&g->words, word, len);
	}
}

/* Takes the spaces off both ends of s[0..len). */
static char *trimmed(const char *s, size_t len)
{
	while (len > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		len--;
	}
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t' || s[len - 1] == '\r'))
		len--;
	char *copy = malloc(len + 1);
	if (!copy)
		abort();
	memcpy(copy, s, len);
	copy[len] = '\0';
	for (char *p = copy; *p; p++)
		*p = *p == '\t' ? ' ' : *p;
	return copy;
}

static enum lvx_status check_characters(const char *s, size_t len, struct lvx_error *err)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = lvx_utf8_len(s + i, len - i, NULL);
		if (n == 0)
			return lvx_fail(err, LVX_EINVAL, "it is not UTF-8");
		unsigned char c = (unsigned char)s[i];
		bool end = c == '\r' && i + 1 == len;
		if ((c < ' ' && c != '\t' && !end) || c == 0x7f)
			return lvx_fail(err, LVX_EINVAL, "it has a control character");
	}
	return LVX_OK;
}

static enum lvx_status add_line(
	struct lvx_glossary *g, const char *text, size_t len, struct lvx_error *err)
{
	enum lvx_status st = check_characters(text, len, err);
	if (st != LVX_OK)
		return st;
	char *line = trimmed(text, len), *wrong = NULL, *right = NULL;
	char *sign = strstr(line, "=>");
	if (line[0] == '\0' || line[0] == '#')
		goto out;
	if (sign && strstr(sign + 2, "=>")) {
		st = lvx_fail(err, LVX_EINVAL, "'=>' stands in it twice");
	} else if (sign) {
		wrong = trimmed(line, (size_t)(sign - line));
		right = trimmed(sign + 2, strlen(sign + 2));
		st = lvx_spelling_add(g->spelling, wrong, right, err);
	} else if (strlen(line) > LVX_GLOSSARY_TERM_BYTES_MAX) {
		st = lvx_fail(err, LVX_EINVAL, "a term has %zu bytes; allowed are %d", strlen(line),
			LVX_GLOSSARY_TERM_BYTES_MAX);
	}
	if (st == LVX_OK) {
		add_term(g, sign ? right : line);
		json_array_append_new(g->lines, json_string(line));
	}
out:
	free(line);
	free(wrong);
	free(right);
	return st;
}

/* ---- all of them ---- */

enum lvx_status lvx_glossary_parse(struct lvx_glossary **out, const char *where, const char *text,
	size_t len, struct lvx_error *err)
{
	const char *end = text + len;
	enum lvx_status st = LVX_OK;
	if (len > LVX_GLOSSARY_BYTES_MAX)
		return lvx_fail(err, LVX_EINVAL, "%s: a glossary has at most %d bytes", where,
			LVX_GLOSSARY_BYTES_MAX);
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3;
	struct lvx_glossary *g = create();
	for (int line = 1; text < end && st == LVX_OK; line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t n = newline ? (size_t)(newline - text) : (size_t)(end - text);
		struct lvx_error why = {0};
		st = line > LVX_GLOSSARY_LINES_MAX
			     ? lvx_fail(&why, LVX_EINVAL, "more than %d lines",
				       LVX_GLOSSARY_LINES_MAX)
			     : add_line(g, text, n, &why);
		if (st != LVX_OK)
			lvx_fail(err, st, "%s:%d: %.400s", where, line, why.msg);
		text += n + (newline != NULL);
	}
	if (st == LVX_OK)
		*out = g;
	else
		lvx_glossary_unref(g);
	return st;
}

enum lvx_status lvx_glossary_load(
	struct lvx_glossary **out, const char *path, struct lvx_error *err)
{
	char *text;
	size_t len;
	enum lvx_status st = lvx_file_read(&text, &len, path, LVX_GLOSSARY_BYTES_MAX, err);
	if (st != LVX_OK)
		return st;
	st = lvx_glossary_parse(out, path, text, len, err);
	free(text);
	return st;
}

enum lvx_status lvx_glossary_read_json(
	struct lvx_glossary **out, const char *where, const json_t *lines, struct lvx_error *err)
{
	size_t i, bytes = 0;
	const json_t *line;
	enum lvx_status st = LVX_OK;
	if (!json_is_array(lines) || json_array_size(lines) > LVX_GLOSSARY_LINES_MAX)
		return lvx_fail(err, LVX_EINVAL,
			"%s: 'glossary' must be an array of at most %d lines", where,
			LVX_GLOSSARY_LINES_MAX);
	struct lvx_glossary *g = create();
	json_array_foreach(lines, i, line)
	{
		struct lvx_error why = {0};
		bytes += json_string_length(line) + 1;
		if (!json_is_string(line) || bytes > LVX_GLOSSARY_BYTES_MAX)
			st = lvx_fail(&why, LVX_EINVAL, "lines are strings, of %d bytes together",
				LVX_GLOSSARY_BYTES_MAX);
		else
			st = add_line(g, json_string_value(line), json_string_length(line), &why);
		if (st == LVX_OK)
			continue;
		lvx_fail(err, st, "%s: 'glossary'[%zu]: %.400s", where, i, why.msg);
		lvx_glossary_unref(g);
		return st;
	}
	*out = g;
	return LVX_OK;
}
