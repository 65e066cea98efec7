/* SPDX-License-Identifier: Apache-2.0 */
#include "model/words.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

#define WORD_END "\xe2\x96\x81"
#define REPLACEMENT "\xef\xbf\xbd"

enum { IDLE_MAX = 12 }; /* slots that an open word waits for its end */

void lvx_words_init(struct lvx_words *w)
{
	memset(w, 0, sizeof(*w));
	w->idle = UINT32_MAX / 2; /* it has said nothing for ever */
}

void lvx_words_drop(struct lvx_words *w)
{
	w->len = 0;
	w->n_tokens = 0;
	w->sum = 0;
}

/* Copies as valid UTF-8; returns the bytes written. */
static size_t repair(char *out, const char *s, size_t len, uint32_t *n_letters)
{
	size_t at = 0;
	*n_letters = 0;
	for (size_t i = 0; i < len; ++*n_letters) {
		bool cut;
		size_t n = lvx_utf8_len(s + i, len - i, &cut);
		memcpy(out + at, n ? s + i : REPLACEMENT, n ? n : 3);
		at += n ? n : 3;
		/* What is left of a character that breaks off makes one mark, not one a byte. */
		i += n ? n : cut ? len - i : 1;
	}
	out[at] = '\0';
	return at;
}

static bool ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);
	return len >= n && memcmp(s + len - n, end, n) == 0;
}

static size_t without_closing(const char *s, size_t len)
{
	static const char *const closing[] = {"\"", "'", ")", "]", "}", "\xc2\xbb", "\xc2\xab",
		"\xe2\x80\x9c", "\xe2\x80\x9d", "\xe2\x80\x98", "\xe2\x80\x99", "\xe2\x80\xba",
		"\xe2\x80\xb9", "\xe3\x80\x8d", "\xe3\x80\x8f", "\xe3\x80\x8b", "\xef\xbc\x89"};
	for (size_t i = 0; i < sizeof(closing) / sizeof(closing[0]); i++) {
		if (ends_with(s, len, closing[i])) {
			len -= strlen(closing[i]);
			i = (size_t)-1; /* from the first again */
		}
	}
	return len;
}

/* What stands before a full stop and does not end a sentence. */
static bool is_abbreviation(const char *s, size_t len)
{
	static const char *const known[] = {"Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Rev", "Gen",
		"Sen", "Gov", "Capt", "Lt", "Col", "Sgt", "vs", "Nr", "Hr", "Fr", "bzw", "ca"};
	while (len > 0 && (*s == '(' || *s == '"' || *s == '\'')) {
		s++;
		len--;
	}
	if (len == 0 || (*s >= '0' && *s <= '9'))
		return false;
	if (lvx_utf8_len(s, len, NULL) == len || memchr(s, '.', len))
		return true;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i]) == len && memcmp(known[i], s, len) == 0)
			return true;
	return false;
}

bool lvx_word_ends_sentence(const char *s, size_t len)
{
	len = without_closing(s, len);
	if (ends_with(s, len, "?") || ends_with(s, len, "!") || ends_with(s, len, "..") ||
		ends_with(s, len, "\xe2\x80\xa6"))
		return true;
	/* Chinese and Japanese. */
	if (ends_with(s, len, "\xe3\x80\x82") || ends_with(s, len, "\xef\xbc\x9f") ||
		ends_with(s, len, "\xef\xbc\x81"))
		return true;
	return ends_with(s, len, ".") && !is_abbreviation(s, len - 1);
}

bool lvx_word_is_tag(const char *s)
{
	size_t len = strlen(s);
	return len > 2 && s[0] == '[' && s[len - 1] == ']';
}

/* Gives out the first len bytes of what is open. */
static void give(struct lvx_words *w, uint32_t len, lvx_word_fn fn, void *user)
{
	char text[LVX_WORD_MAX_BYTES * 3 + 1];
	if (len == 0)
		return;
	struct lvx_word word = {.text = text, .end_us = w->end_us};
	size_t n = repair(text, w->text, len, &word.n_letters);
	double p = exp(w->sum / (w->n_tokens ? w->n_tokens : 1));
	word.confidence = p >= 1.0 ? 1.0f : p > 0.0 ? (float)p : 0.0f; /* NaN: 0 */
	word.ends_sentence = lvx_word_ends_sentence(text, n);
	fn(user, &word);
	memmove(w->text, w->text + len, w->len - len);
	w->len -= len;
}

void lvx_words_flush(struct lvx_words *w, lvx_word_fn fn, void *user)
{
	give(w, w->len, fn, user);
	lvx_words_drop(w);
}

/* How much of a full buffer is whole characters. */
static uint32_t whole(const struct lvx_words *w)
{
	uint32_t at = 0;
	while (at < w->len) {
		bool cut;
		size_t n = lvx_utf8_len(w->text + at, w->len - at, &cut);
		if (cut && at > 0)
			break;
		at += n ? (uint32_t)n : 1;
	}
	return at < w->len ? at : w->len;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

void lvx_words_token(struct lvx_words *w, const struct lvx_tokenizer *tok, int32_t token,
	float logprob, int64_t end_us, lvx_word_fn fn, void *user)
{
	size_t len;
	bool ends_word;
	const char *piece = lvx_tokenizer_piece(tok, token, &len, &ends_word);
	if (len == 0 && !ends_word) {
		if (w->idle < UINT32_MAX)
			w->idle++;
		if (w->len > 0 && w->idle > IDLE_MAX)
			lvx_words_flush(w, fn, user);
		return;
	}
	w->idle = 0;
	if (w->len == 0) {
		lvx_words_drop(w);
		w->end_us = end_us;
	}
	w->sum += logprob;
	w->n_tokens++;
	for (size_t i = 0; i < len; i++) {
		bool space = is_space(piece[i]);
		if (!space && ((unsigned char)piece[i] < 0x20 || piece[i] == 0x7f))
			continue; /* control characters say nothing */
		if (!space)
			w->text[w->len++] = piece[i];
		if (ends_with(w->text, w->len, WORD_END)) {
			w->len -= 3;
			space = true;
		}
		if (space || w->len == LVX_WORD_MAX_BYTES) {
			give(w, space ? w->len : whole(w), fn, user);
			/* What follows begins with this token. */
			w->sum = logprob;
			w->n_tokens = 1;
			w->end_us = end_us;
		}
	}
	if (ends_word)
		lvx_words_flush(w, fn, user);
}
