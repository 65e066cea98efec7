/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define WORD_END "\xe2\x96\x81" /* U+2581 */

enum {
	FILE_MAX = 64 << 20,
	PIECE_MAX = 256,       /* bytes */
	WORD_SYMBOLS_MAX = 512, /* characters of one word to encode */
	WORD_END_LEN = 3,
};

struct piece {
	const char *text; /* as in the file, with its end-of-word mark; owned by the JSON */
	uint32_t text_len;
	const char *bytes; /* what it stands for */
	uint32_t len;
	bool ends_word;
};

struct lvx_tokenizer {
	json_t *root; /* owns the texts */
	uint32_t n;
	struct piece *pieces;	/* by id; text NULL where the vocabulary has a hole */
	uint32_t *sorted;	/* ids by text */
	uint32_t n_sorted;
	int32_t byte_ids[256];	/* -1: no such piece */
	char byte_values[256];	/* what <0xNN> pieces point to */
};

static int compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return c ? c : (a_len > b_len) - (a_len < b_len);
}

static int by_text(const void *a, const void *b, void *user)
{
	const struct lvx_tokenizer *tok = user;
	const struct piece *x = &tok->pieces[*(const uint32_t *)a];
	const struct piece *y = &tok->pieces[*(const uint32_t *)b];
	return compare_text(x->text, x->text_len, y->text, y->text_len);
}

/* The id of a piece, or -1. */
static int32_t find(const struct lvx_tokenizer *tok, const char *text, size_t len)
{
	uint32_t lo = 0, hi = tok->n_sorted;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct piece *p = &tok->pieces[tok->sorted[mid]];
		int c = compare_text(p->text, p->text_len, text, len);
		if (c == 0)
			return (int32_t)tok->sorted[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return -1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* <0xNN>: the byte, or -1. */
static int byte_piece(const char *text, size_t len)
{
	if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>')
		return -1;
	int hi = hex_digit(text[3]), lo = hex_digit(text[4]);
	return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

static enum lvx_status read_vocab(struct lvx_tokenizer *tok, json_t *vocab, const char *where,
	struct lvx_error *err)
{
	const char *key;
	json_t *value;
	json_object_foreach(vocab, key, value)
	{
		json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
		if (id < 0 || id >= (json_int_t)tok->n)
			return lvx_fail(err, LVX_EINVAL,
				"%s: the id of piece '%.40s' must lie in 0..%u (vocab_size)", where,
				key, tok->n - 1);
		size_t len = strlen(key);
		if (len == 0 || len > PIECE_MAX)
			return lvx_fail(err, LVX_EINVAL,
				"%s: piece %lld must have 1 to %d bytes", where, (long long)id,
				PIECE_MAX);
		struct piece *p = &tok->pieces[id];
		if (p->text)
			return lvx_fail(err, LVX_EINVAL, "%s: two pieces have the id %lld", where,
				(long long)id);
		*p = (struct piece){
			.text = key, .text_len = (uint32_t)len, .bytes = key, .len = (uint32_t)len};
		int byte = byte_piece(key, len);
		if (byte >= 0) {
			p->bytes = &tok->byte_values[byte];
			p->len = 1;
			tok->byte_ids[byte] = (int32_t)id;
		} else if (len >= WORD_END_LEN &&
			   memcmp(key + len - WORD_END_LEN, WORD_END, WORD_END_LEN) == 0) {
			p->ends_word = true;
			p->len -= WORD_END_LEN;
		}
		tok->sorted[tok->n_sorted++] = (uint32_t)id;
	}
	qsort_r(tok->sorted, tok->n_sorted, sizeof(*tok->sorted), by_text, tok);
	return LVX_OK;
}

/* Special tokens show nothing. */
static enum lvx_status read_special(struct lvx_tokenizer *tok, const char *where,
	struct lvx_error *err)
{
	json_t *added = NULL;
	enum lvx_status st = lvx_json_array(tok->root, where, "added_tokens", false, &added, err);
	if (st != LVX_OK)
		return st;
	for (size_t i = 0; i < json_array_size(added); i++) {
		const json_t *o = json_array_get(added, i);
		uint32_t id = 0;
		bool special = false;
		if (!json_is_object(o))
			return lvx_fail(err, LVX_EINVAL, "%s: 'added_tokens' must hold objects",
				where);
		st = lvx_json_u32(o, where, "id", true, 0, tok->n - 1, &id, err);
		if (st == LVX_OK)
			st = lvx_json_bool(o, where, "special", false, &special, err);
		if (st != LVX_OK)
			return st;
		if (special) {
			tok->pieces[id].len = 0;
			tok->pieces[id].ends_word = false;
		}
	}
	return LVX_OK;
}

static enum lvx_status read_root(struct lvx_tokenizer *tok, const char *where,
	struct lvx_error *err)
{
	json_t *model, *vocab;
	const char *type;
	enum lvx_status st = lvx_json_object(tok->root, where, "model", true, &model, err);
	if (st == LVX_OK)
		st = lvx_json_str(model, where, "type", true, &type, err);
	if (st == LVX_OK && strcmp(type, "BPE") != 0)
		st = lvx_fail(err, LVX_EUNSUPPORTED, "%s: 'type' is '%.32s'; allowed is 'BPE'",
			where, type);
	if (st == LVX_OK)
		st = lvx_json_object(model, where, "vocab", true, &vocab, err);
	if (st == LVX_OK && json_object_size(vocab) == 0)
		st = lvx_fail(err, LVX_EINVAL, "%s: 'vocab' has no pieces", where);
	if (st == LVX_OK)
		st = read_vocab(tok, vocab, where, err);
	if (st == LVX_OK)
		st = read_special(tok, where, err);
	return st;
}

enum lvx_status lvx_tokenizer_parse(struct lvx_tokenizer **out, const char *where,
	const char *json, size_t len, uint32_t vocab_size, struct lvx_error *err)
{
	enum lvx_status st = LVX_ENOMEM;
	struct lvx_tokenizer *tok = calloc(1, sizeof(*tok));
	if (!tok)
		return lvx_fail(err, LVX_ENOMEM, "%s: out of memory", where);
	tok->n = vocab_size;
	for (int i = 0; i < 256; i++) {
		tok->byte_ids[i] = -1;
		tok->byte_values[i] = (char)i;
	}
	tok->pieces = calloc((size_t)vocab_size + 1, sizeof(*tok->pieces));
	tok->sorted = calloc((size_t)vocab_size + 1, sizeof(*tok->sorted));
	if (!tok->pieces || !tok->sorted)
		lvx_fail(err, LVX_ENOMEM, "%s: out of memory", where);
	else
		st = lvx_json_parse(&tok->root, where, json, len, err);
	if (st == LVX_OK)
		st = read_root(tok, where, err);
	if (st != LVX_OK) {
		lvx_tokenizer_destroy(tok);
		return st;
	}
	*out = tok;
	return LVX_OK;
}

enum lvx_status lvx_tokenizer_load(struct lvx_tokenizer **out, const char *path,
	uint32_t vocab_size, struct lvx_error *err)
{
	char *text;
	size_t len;
	enum lvx_status st = lvx_file_read(&text, &len, path, FILE_MAX, err);
	if (st != LVX_OK)
		return st;
	st = lvx_tokenizer_parse(out, path, text, len, vocab_size, err);
	free(text);
	return st;
}

void lvx_tokenizer_destroy(struct lvx_tokenizer *tok)
{
	if (!tok)
		return;
	json_decref(tok->root);
	free(tok->pieces);
	free(tok->sorted);
	free(tok);
}

const char *lvx_tokenizer_piece(
	const struct lvx_tokenizer *tok, int32_t id, size_t *len, bool *ends_word)
{
	*len = 0;
	*ends_word = false;
	if (id < 0 || (uint32_t)id >= tok->n || !tok->pieces[id].text)
		return "";
	*len = tok->pieces[id].len;
	*ends_word = tok->pieces[id].ends_word;
	return tok->pieces[id].bytes;
}

/* Bytes of the character at s; a stray byte counts as one. */
static size_t char_len(const char *s, size_t left)
{
	unsigned char c = (unsigned char)*s;
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
	return n <= left ? n : 1;
}

struct symbol {
	uint32_t at, len;
};

/* Merges the neighbours whose joint piece has the lowest id, leftmost first. */
static void merge(const struct lvx_tokenizer *tok, const char *word, struct symbol *s, size_t *n)
{
	for (;;) {
		int32_t best = INT32_MAX;
		size_t where = 0;
		for (size_t i = 0; i + 1 < *n; i++) {
			int32_t id = find(tok, word + s[i].at, s[i].len + s[i + 1].len);
			if (id >= 0 && id < best) {
				best = id;
				where = i;
			}
		}
		if (best == INT32_MAX)
			return;
		s[where].len += s[where + 1].len;
		memmove(s + where + 1, s + where + 2, (*n - where - 2) * sizeof(*s));
		--*n;
	}
}

static enum lvx_status put(int32_t *ids, size_t room, size_t *n, int32_t id)
{
	if (id < 0)
		return LVX_OK; /* no piece, and no byte for it: it can't be said */
	if (*n >= room)
		return LVX_ELIMIT;
	ids[(*n)++] = id;
	return LVX_OK;
}

/* word: the word with its end mark, len bytes. */
static enum lvx_status encode_word(const struct lvx_tokenizer *tok, const char *word, size_t len,
	int32_t *ids, size_t room, size_t *count)
{
	struct symbol s[WORD_SYMBOLS_MAX];
	size_t n = 0;
	int32_t whole = find(tok, word, len); /* a sound's tag is one piece that no merges lead to */
	if (whole >= 0)
		return put(ids, room, count, whole);
	for (size_t at = 0; at < len;) {
		if (n == WORD_SYMBOLS_MAX)
			return LVX_ELIMIT;
		size_t l = char_len(word + at, len - at);
		s[n++] = (struct symbol){(uint32_t)at, (uint32_t)l};
		at += l;
	}
	merge(tok, word, s, &n);
	for (size_t i = 0; i < n; i++) {
		int32_t id = find(tok, word + s[i].at, s[i].len);
		enum lvx_status st = LVX_OK;
		if (id >= 0)
			st = put(ids, room, count, id);
		for (uint32_t b = 0; id < 0 && b < s[i].len && st == LVX_OK; b++)
			st = put(ids, room, count,
				tok->byte_ids[(unsigned char)word[s[i].at + b]]);
		if (st != LVX_OK)
			return st;
	}
	return LVX_OK;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

enum lvx_status lvx_tokenizer_encode(
	const struct lvx_tokenizer *tok, const char *text, int32_t *ids, size_t *n)
{
	size_t room = *n;
	*n = 0;
	for (const char *p = text; *p;) {
		while (is_space(*p))
			p++;
		const char *begin = p;
		while (*p && !is_space(*p))
			p++;
		size_t len = (size_t)(p - begin);
		if (len == 0)
			break;
		char word[WORD_SYMBOLS_MAX * 4];
		if (len + WORD_END_LEN > sizeof(word))
			return LVX_ELIMIT;
		memcpy(word, begin, len);
		memcpy(word + len, WORD_END, WORD_END_LEN);
		enum lvx_status st = encode_word(tok, word, len + WORD_END_LEN, ids, room, n);
		if (st != LVX_OK)
			return st;
	}
	return LVX_OK;
}

const char *lvx_word_bare(const char *word, size_t *len)
{
	static const char around[] = ".,?!;:\"()";
	while (*len > 0 && strchr(around, word[*len - 1]))
		--*len;
	for (; *len > 0 && strchr(around, *word); --*len)
		word++;
	return word;
}
