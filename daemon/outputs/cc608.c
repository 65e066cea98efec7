/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/cc608.h"

#include "daemon/cues.h"

#include <stdlib.h>
#include <string.h>

enum {
	WORD_MAX = LVX_CC608_ROWS_MAX * LVX_CC608_COLUMNS,
	/* Miscellaneous control codes: the second byte; the first is 14 (field 1) or 15. */
	RCL = 0x20, /* resume caption loading */
	RU2 = 0x25, /* roll-up, 2 rows; 3 and 4 follow */
	EDM = 0x2c, /* erase displayed memory */
	CR = 0x2d,
	ENM = 0x2e, /* erase non-displayed memory */
	EOC = 0x2f, /* end of caption: flip memories */
};

enum kind {
	TEXT,    /* one or two characters, or one special or extended: once */
	CONTROL, /* twice */
	SHOW,    /* EOC, twice; from then on the cue is seen */
};

struct item {
	uint16_t code; /* without parity */
	uint8_t kind;
	int64_t at_us, end_us; /* not before; end_us: SHOW only */
};

struct lvx_cc608 {
	struct lvx_cc608_params params;
	struct item queue[LVX_CC608_QUEUE];
	size_t first, n;
	bool repeat; /* the first of the queue has been sent once */

	/* What has been queued. */
	int column;         /* of the row; -1: none has begun */
	int64_t last_at_us; /* of the last word */
	bool last_unknown;  /* it was LVX_CC608_UNKNOWN, and no more */
	uint16_t last_code; /* a special character in the last pair, or 0 */
	uint8_t half;       /* a character that waits for the second of its pair, or 0 */

	/* What is seen. */
	int64_t clear_us; /* when it is to be erased; INT64_MAX: nothing is there */
	int clear_left;   /* EDM has to be sent so many times */
	struct lvx_cc608_stats stats;
};

struct lvx_cc608 *lvx_cc608_create(const struct lvx_cc608_params *params)
{
	struct lvx_cc608 *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	c->params = *params;
	c->column = -1;
	c->clear_us = INT64_MAX;
	return c;
}

void lvx_cc608_destroy(struct lvx_cc608 *c)
{
	free(c);
}

void lvx_cc608_get_stats(const struct lvx_cc608 *c, struct lvx_cc608_stats *out)
{
	*out = c->stats;
}

/* ---- queueing ---- */

static void put(struct lvx_cc608 *c, enum kind kind, unsigned code, int64_t at_us, int64_t end_us)
{
	/* The callers have looked whether there is room. */
	if (c->n == LVX_CC608_QUEUE)
		abort();
	c->queue[(c->first + c->n++) % LVX_CC608_QUEUE] = (struct item){
		.code = (uint16_t)code, .kind = (uint8_t)kind, .at_us = at_us, .end_us = end_us};
}

static void flush_half(struct lvx_cc608 *c, int64_t at_us)
{
	if (c->half)
		put(c, TEXT, (unsigned)c->half << 8, at_us, 0);
	c->half = 0;
}

static void put_byte(struct lvx_cc608 *c, uint8_t byte, int64_t at_us)
{
	if (c->half) {
		put(c, TEXT, (unsigned)c->half << 8 | byte, at_us, 0);
		c->half = 0;
	} else {
		c->half = byte;
	}
	c->last_code = 0;
}

static bool is_extended(struct lvx_cc608_char ch)
{
	return ch.code >= 0x1200;
}

static void put_char(struct lvx_cc608 *c, struct lvx_cc608_char ch, int64_t at_us)
{
	/* A special character is a code of two bytes: its repetition would be taken for the
	 * second sending of the first, and decoders differ in what ends that. */
	if (ch.code < 0x80 || (!is_extended(ch) && ch.code == c->last_code)) {
		put_byte(c, ch.code < 0x80 ? (uint8_t)ch.code : ch.plain, at_us);
		return;
	}
	if (is_extended(ch))
		put_byte(c, ch.plain, at_us);
	flush_half(c, at_us);
	put(c, TEXT, ch.code, at_us, 0);
	c->last_code = ch.code;
}

/* The first byte differs by field; CEA-608-E, section 8.4. */
static void control(struct lvx_cc608 *c, int code, int64_t at_us)
{
	put(c, CONTROL, (c->params.field == 2 ? 0x1500u : 0x1400u) | (unsigned)code, at_us, 0);
	c->last_code = 0;
}

/* Preamble address: a row from the bottom (0: row 15), begun at a column that is a multiple of 4.
 */
static void address(struct lvx_cc608 *c, int from_bottom, int column, int64_t at_us)
{
	static const uint16_t rows[] = {0x1470, 0x1450, 0x1370, 0x1350}; /* 15, 14, 13, 12 */
	put(c, CONTROL, rows[from_bottom] | (unsigned)(column / 4 * 2), at_us, 0);
	c->last_code = 0;
}

/* Pairs that so many characters need at most, with the codes around rows rows. */
static bool has_room(struct lvx_cc608 *c, size_t chars, size_t rows)
{
	if (LVX_CC608_QUEUE - c->n >= 2 * chars + 4 * rows + 8)
		return true;
	c->stats.dropped++;
	return false;
}

/* The last column is not for extended characters: there the plain one does not move the cursor,
 * and decoders differ in which the extended one replaces. */
static int columns_for(const struct lvx_cc608_char *chars, int n)
{
	return n + (n > 0 && is_extended(chars[n - 1]));
}

/* How many of the characters of a word too long for a row go into one. */
static int part_of(const struct lvx_cc608_char *chars, int n)
{
	if (n > LVX_CC608_COLUMNS)
		n = LVX_CC608_COLUMNS;
	return columns_for(chars, n) > LVX_CC608_COLUMNS ? n - 1 : n;
}

/* Looks for LVX_CC608_UNKNOWN in a word. True: it is nothing else. */
static bool is_unknown(struct lvx_cc608 *c, const struct lvx_cc608_char *chars, int n)
{
	for (int i = 0; i + 3 <= n; i++) {
		if (chars[i].code != '[' || chars[i + 1].code != '?' || chars[i + 2].code != ']')
			continue;
		c->stats.unknown++;
		return n == 3;
	}
	return false;
}

/* ---- roll-up ---- */

static void begin_row(struct lvx_cc608 *c, int64_t at_us)
{
	/* The mode each time: who joins in the middle sees the next row. */
	control(c, RU2 + c->params.rows - 2, at_us);
	control(c, CR, at_us);
	address(c, 0, 0, at_us);
	c->column = 0;
}

void lvx_cc608_word(struct lvx_cc608 *c, const char *text, int64_t at_us)
{
	struct lvx_cc608_char chars[WORD_MAX];
	int n = (int)lvx_cc608_chars(text, chars, WORD_MAX);
	if (n == 0 || !has_room(c, (size_t)n, 1 + (size_t)n / LVX_CC608_COLUMNS))
		return;
	/* After so long a pause the row will have been erased. */
	bool erased = c->column < 0 || at_us - c->last_at_us > LVX_CUE_CLEAR_US;
	bool unknown = is_unknown(c, chars, n), again = unknown && c->last_unknown && !erased;
	c->last_unknown = unknown;
	if (again)
		return;
	if (erased || c->column + columns_for(chars, n) > LVX_CC608_COLUMNS)
		begin_row(c, at_us);
	c->last_at_us = at_us;
	const struct lvx_cc608_char *at = chars;
	for (int part; n > 0; n -= part) {
		part = part_of(at, n);
		if (at > chars)
			begin_row(c, at_us);
		for (int i = 0; i < part; i++)
			put_char(c, *at++, at_us);
		flush_half(c, at_us);
		c->column += part;
	}
	/* The space at once: there are decoders that show a word when it has ended. */
	if (c->column < LVX_CC608_COLUMNS) {
		put_byte(c, ' ', at_us);
		c->column++;
	}
	flush_half(c, at_us);
}

void lvx_cc608_break(struct lvx_cc608 *c)
{
	c->column = -1;
}

/* ---- pop-on ---- */

struct row {
	struct lvx_cc608_char chars[LVX_CC608_COLUMNS];
	int n;
};

/* Adds a word to the rows; *n of them so far. False: there are too many. */
static bool add_word(
	struct row *rows, int *n, bool new_row, const struct lvx_cc608_char *word, int len)
{
	static const struct lvx_cc608_char space = {' ', 0};
	while (len > 0) {
		struct row *r = *n > 0 ? &rows[*n - 1] : NULL;
		int part = part_of(word, len);
		if (!r || new_row ||
			r->n + (r->n > 0) + columns_for(word, len) > LVX_CC608_COLUMNS) {
			if (*n == LVX_CC608_ROWS_MAX)
				return false;
			r = &rows[(*n)++];
			r->n = 0;
		}
		if (r->n > 0)
			r->chars[r->n++] = space;
		memcpy(r->chars + r->n, word, (size_t)part * sizeof(*word));
		r->n += part;
		word += part;
		len -= part;
		new_row = false;
	}
	return true;
}

static int lay_out(struct lvx_cc608 *c, struct row rows[LVX_CC608_ROWS_MAX], const char *text)
{
	int n = 0;
	bool new_row = true, room = true, last_unknown = false;
	while (*text && room) {
		char word[256];
		struct lvx_cc608_char chars[WORD_MAX];
		size_t len = strcspn(text, " \n");
		size_t taken = len < sizeof(word) ? len : sizeof(word) - 1;
		memcpy(word, text, taken);
		word[taken] = '\0';
		int n_chars = (int)lvx_cc608_chars(word, chars, WORD_MAX);
		bool unknown = is_unknown(c, chars, n_chars);
		if (!unknown || !last_unknown)
			room = add_word(rows, &n, new_row, chars, n_chars);
		last_unknown = unknown;
		new_row = text[len] == '\n';
		text += len + (text[len] != '\0');
	}
	return n;
}

void lvx_cc608_cue(struct lvx_cc608 *c, const char *text, int64_t start_us, int64_t end_us)
{
	struct row rows[LVX_CC608_ROWS_MAX];
	int n = lay_out(c, rows, text);
	if (n == 0 || !has_room(c, WORD_MAX, LVX_CC608_ROWS_MAX))
		return;
	control(c, RCL, INT64_MIN);
	control(c, ENM, INT64_MIN);
	for (int i = 0; i < n; i++) {
		address(c, n - 1 - i, (LVX_CC608_COLUMNS - rows[i].n) / 2, INT64_MIN);
		for (int k = 0; k < rows[i].n; k++)
			put_char(c, rows[i].chars[k], INT64_MIN);
		flush_half(c, INT64_MIN);
	}
	control(c, EOC, start_us);
	struct item *show = &c->queue[(c->first + c->n - 1) % LVX_CC608_QUEUE];
	show->kind = SHOW;
	show->end_us = end_us > start_us ? end_us : start_us;
}

/* ---- sending ---- */

static uint8_t with_parity(uint8_t b)
{
	return __builtin_parity(b) ? b : b | 0x80;
}

static bool say(struct lvx_cc608 *c, uint16_t code, uint8_t pair[2])
{
	pair[0] = with_parity((uint8_t)(code >> 8));
	pair[1] = with_parity((uint8_t)code);
	c->stats.pairs++;
	return true;
}

static bool clear(struct lvx_cc608 *c, uint8_t pair[2])
{
	c->clear_us = INT64_MAX;
	c->clear_left--;
	/* What is rolled up later begins a row. */
	if (c->params.rows > 0 && c->n == 0)
		c->column = -1;
	return say(c, (c->params.field == 2 ? 0x1500 : 0x1400) | EDM, pair);
}

bool lvx_cc608_next(struct lvx_cc608 *c, int64_t pts_us, uint8_t pair[2])
{
	/* Not between the two sendings of a code. */
	if (c->clear_left == 0 && !c->repeat && pts_us >= c->clear_us)
		c->clear_left = 2;
	if (c->clear_left > 0)
		return clear(c, pair);
	struct item *item = &c->queue[c->first];
	if (c->n == 0 || (!c->repeat && item->at_us > pts_us)) {
		pair[0] = pair[1] = 0x80;
		return false;
	}
	if (item->kind == SHOW && !c->repeat) {
		int64_t late_us = pts_us - item->at_us;
		c->clear_us = item->end_us + (late_us > 0 ? late_us : 0);
	} else if (c->params.rows > 0) {
		c->clear_us = pts_us + LVX_CUE_CLEAR_US;
	}
	c->repeat = item->kind != TEXT && !c->repeat;
	uint16_t code = item->code;
	if (!c->repeat) {
		c->first = (c->first + 1) % LVX_CC608_QUEUE;
		c->n--;
	}
	return say(c, code, pair);
}
