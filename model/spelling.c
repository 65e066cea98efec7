/* SPDX-License-Identifier: Apache-2.0 */
#include "model/spelling.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Longer rows of punctuation around a word make it another word. */
enum { PUNCTUATION_MAX = 16 };

struct phrase {
	char text[LVX_SPELLING_BYTES_MAX + LVX_SPELLING_WORDS_MAX]; /* words, each with a NUL */
	const char *words[LVX_SPELLING_WORDS_MAX];
	uint32_t n;
};

struct rule {
	struct phrase wrong, right;
};

struct lvx_spelling {
	struct rule **rules; /* owned */
	uint32_t n;
};

/* ---- characters ---- */

/* The character at s, which is UTF-8 and not at its end; *len: its bytes. */
static utf8proc_int32_t character(const char *s, size_t *len)
{
	utf8proc_int32_t c = 0;
	utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
	*len = n > 0 ? (size_t)n : 1;
	return n > 0 ? c : (unsigned char)*s;
}

static bool is_punctuation(utf8proc_int32_t c)
{
	utf8proc_category_t k = utf8proc_category(c);
	return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

static bool is_same(const char *a, const char *b, size_t len)
{
	while (len > 0 && *a) {
		size_t m, n;
		if (utf8proc_tolower(character(a, &m)) != utf8proc_tolower(character(b, &n)))
			return false;
		a += m;
		b += n;
		len -= n < len ? n : len;
	}
	return len == 0 && *a == '\0';
}

/* Bytes of the punctuation that s begins with, as far as it counts. */
static size_t opening(const char *s)
{
	size_t at = 0, n;
	while (s[at] && is_punctuation(character(s + at, &n)) && at + n <= PUNCTUATION_MAX)
		at += n;
	return at;
}

/* Where the last character of the first len (> 0) bytes begins. */
static size_t last_of(const char *s, size_t len)
{
	do
		len--;
	while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80);
	return len;
}

/*
 * Is s that word, but for punctuation that may stand before (the first word of a phrase) or
 * after it (the last)? *before, *after: its bytes.
 */
static bool is_word(
	const char *word, const char *s, bool first, bool last, size_t *before, size_t *after)
{
	size_t len = strlen(s), most = first ? opening(s) : 0, n;
	for (size_t head = 0; head <= most; head += n) {
		size_t end = len;
		while (end > head && len - end <= PUNCTUATION_MAX) {
			if (is_same(word, s + head, end - head)) {
				*before = head;
				*after = len - end;
				return true;
			}
			end = last_of(s, end);
			if (!last || !is_punctuation(character(s + end, &n)))
				break;
		}
		n = 1;
		if (head < most)
			character(s + head, &n);
	}
	return false;
}

/* ---- rules ---- */

static enum lvx_status read_phrase(
	struct phrase *p, const char *text, const char *side, struct lvx_error *err)
{
	size_t at = 0;
	if (strlen(text) > LVX_SPELLING_BYTES_MAX)
		return lvx_fail(err, LVX_EINVAL, "%s has %zu bytes; allowed are %d", side,
			strlen(text), LVX_SPELLING_BYTES_MAX);
	for (;;) {
		text += strspn(text, " ");
		size_t len = lvx_utf8_word(text);
		if (len == 0)
			break;
		if (p->n == LVX_SPELLING_WORDS_MAX)
			return lvx_fail(err, LVX_EINVAL, "%s has more than %d words", side,
				LVX_SPELLING_WORDS_MAX);
		p->words[p->n++] = p->text + at;
		memcpy(p->text + at, text, len);
		p->text[at + len] = '\0';
		at += len + 1;
		text += len;
	}
	return p->n > 0 ? LVX_OK : lvx_fail(err, LVX_EINVAL, "%s is empty", side);
}

struct lvx_spelling *lvx_spelling_create(void)
{
	struct lvx_spelling *s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	return s;
}

void lvx_spelling_destroy(struct lvx_spelling *s)
{
	for (uint32_t i = 0; s && i < s->n; i++)
		free(s->rules[i]);
	if (s)
		free(s->rules);
	free(s);
}

uint32_t lvx_spelling_count(const struct lvx_spelling *s)
{
	return s->n;
}

static bool is_same_phrase(const struct phrase *a, const struct phrase *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!is_same(a->words[i], b->words[i], strlen(b->words[i])))
			return false;
	return true;
}

enum lvx_status lvx_spelling_add(
	struct lvx_spelling *s, const char *wrong, const char *right, struct lvx_error *err)
{
	if (s->n == LVX_SPELLING_RULES_MAX)
		return lvx_fail(err, LVX_ELIMIT, "more than %d rules", LVX_SPELLING_RULES_MAX);
	struct rule *r = calloc(1, sizeof(*r));
	struct rule **more = realloc(s->rules, (s->n + 1) * sizeof(struct rule *));
	if (!r || !more)
		abort();
	s->rules = more;
	enum lvx_status st = read_phrase(&r->wrong, wrong, "what stands before '=>'", err);
	if (st == LVX_OK)
		st = read_phrase(&r->right, right, "what stands after '=>'", err);
	for (uint32_t i = 0; i < s->n && st == LVX_OK; i++)
		if (is_same_phrase(&s->rules[i]->wrong, &r->wrong))
			st = lvx_fail(err, LVX_EINVAL, "'%s' has a rule already", wrong);
	if (st != LVX_OK) {
		free(r);
		return st;
	}
	s->rules[s->n++] = r;
	return LVX_OK;
}

/* ---- words on their way ---- */

struct match {
	const struct rule *rule; /* NULL: none */
	size_t before, after;    /* bytes of punctuation around it */
};

/* How many words of a rule the held ones are, from the first on. */
static uint32_t agree(const struct lvx_speller *s, const struct rule *r, struct match *m)
{
	uint32_t i = 0;
	for (; i < r->wrong.n && i < s->n; i++) {
		size_t before, after;
		if (!is_word(r->wrong.words[i], s->held[i].text, i == 0, i + 1 == r->wrong.n,
			    &before, &after))
			break;
		m->before = i == 0 ? before : m->before;
		m->after = after;
	}
	return i;
}

/* The longest rule that the held words begin with. *longer: another word may make it longer. */
static struct match find(const struct lvx_speller *s, bool *longer)
{
	struct match best = {0};
	*longer = false;
	for (uint32_t i = 0; i < s->rules->n; i++) {
		struct match m = {.rule = s->rules->rules[i]};
		uint32_t n = agree(s, m.rule, &m);
		if (n == m.rule->wrong.n && (!best.rule || n > best.rule->wrong.n))
			best = m;
		*longer |= n == s->n && n < m.rule->wrong.n;
	}
	return best;
}

static void take(struct lvx_speller *s, uint32_t n)
{
	s->n -= n;
	memmove(&s->held[0], &s->held[n], s->n * sizeof(s->held[0]));
}

/* "Grey" is a "gray" at the start of a sentence; "Iphone" is an "iPhone" all the same. */
static bool wants_capital(const char *was, const char *right)
{
	size_t n, m;
	utf8proc_int32_t c = character(was, &n);
	if (utf8proc_tolower(c) == c)
		return false;
	for (const char *p = right; *p; p += m) {
		c = character(p, &m);
		if (utf8proc_tolower(c) != c)
			return false;
	}
	return true;
}

/* What stands at the place of one word of the rule. */
static void spell(char *out, const struct lvx_speller *s, const struct match *m, uint32_t i)
{
	const struct phrase *right = &m->rule->right;
	const char *first = s->held[0].text, *last = s->held[m->rule->wrong.n - 1].text;
	const char *word = right->words[i], *after = last + strlen(last) - m->after;
	size_t at = 0, n;
	if (i == 0) {
		memcpy(out, first, m->before);
		at = m->before;
		if (wants_capital(first + m->before, word)) {
			utf8proc_int32_t c = character(word, &n);
			at += (size_t)utf8proc_encode_char(
				utf8proc_toupper(c), (utf8proc_uint8_t *)out + at);
			word += n;
		}
	}
	n = strlen(word);
	memcpy(out + at, word, n);
	at += n;
	/* "U.S." ends its sentence with the full stop that it has. */
	if (i + 1 == right->n && at > 0 && out[at - 1] == '.' && *after == '.')
		after++;
	strcpy(out + at, i + 1 == right->n ? after : "");
}

/* Tells the words of the rule in place of those that it matches. */
static void replace(struct lvx_speller *s, const struct match *m, lvx_spelled_fn fn, void *user)
{
	const struct phrase *right = &m->rule->right;
	uint32_t n = m->rule->wrong.n;
	int64_t begin = s->held[0].word.start_us, took = s->held[n - 1].word.end_us - begin;
	int64_t all = 0, done = 0;
	struct lvx_spelled w = s->held[0].word;
	for (uint32_t i = 1; i < n; i++)
		if (s->held[i].word.confidence < w.confidence)
			w.confidence = s->held[i].word.confidence;
	for (uint32_t i = 0; i < right->n; i++)
		all += lvx_utf8_columns(right->words[i]);
	for (uint32_t i = 0; i < right->n; i++) {
		char text[LVX_SPELLED_BYTES_MAX + 1];
		spell(text, s, m, i);
		w.text = text;
		if (right->n == n) { /* word for word */
			w.start_us = s->held[i].word.start_us;
			w.end_us = s->held[i].word.end_us;
		} else {
			w.start_us = begin + took * done / all;
			done += lvx_utf8_columns(right->words[i]);
			w.end_us = begin + took * done / all;
		}
		w.segment_end = i + 1 == right->n && s->held[n - 1].word.segment_end;
		fn(user, &w);
	}
	take(s, n);
}

static void settle(struct lvx_speller *s, bool all, lvx_spelled_fn fn, void *user)
{
	while (s->n > 0) {
		bool longer;
		struct match m = find(s, &longer);
		if (longer && !all)
			return;
		if (m.rule) {
			replace(s, &m, fn, user);
			continue;
		}
		struct lvx_spelled w = s->held[0].word;
		w.text = s->held[0].text;
		fn(user, &w);
		take(s, 1);
	}
}

void lvx_speller_word(
	struct lvx_speller *s, const struct lvx_spelled *word, lvx_spelled_fn fn, void *user)
{
	size_t len = strlen(word->text);
	if (!s->rules || s->rules->n == 0 || len >= sizeof(s->held[0].text)) {
		lvx_speller_flush(s, fn, user);
		fn(user, word);
		return;
	}
	memcpy(s->held[s->n].text, word->text, len + 1);
	s->held[s->n].word = *word;
	s->n++;
	settle(s, word->segment_end, fn, user);
}

void lvx_speller_flush(struct lvx_speller *s, lvx_spelled_fn fn, void *user)
{
	if (s->n > 0)
		settle(s, true, fn, user);
}
