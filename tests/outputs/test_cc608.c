/* SPDX-License-Identifier: Apache-2.0 */
/* Text to pairs, read back by FFmpeg's decoder and by zvbi's. */
#include "daemon/cues.h"
#include "daemon/outputs/cc608.h"
#include "tests/outputs/cc_read.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_US(n) ((int64_t)(n)*1001000 / 30)

enum { SCREEN_ROWS = 4 };

/* What screens must come: an account of rows that knows nothing of codes. */
struct account {
	int rows; /* of the roll-up */
	char row[SCREEN_ROWS][160];
	int n, columns; /* columns: of the last row */
	int64_t last_us;
	char *text; /* all screens that have gone */
	size_t len, cap;
};

static void gone(struct account *a)
{
	for (int i = 0; i < a->n; i++) {
		size_t n = strlen(a->row[i]);
		if (a->len + n + 2 > a->cap) {
			a->cap = 2 * (a->len + n + 2);
			a->text = realloc(a->text, a->cap);
			assert_non_null(a->text);
		}
		memcpy(a->text + a->len, a->row[i], n);
		a->len += n;
		a->text[a->len++] = '\n';
		a->text[a->len] = '\0';
	}
}

static int columns_of(const char *s)
{
	int n = 0;
	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void account_word(struct account *a, const char *word, int64_t at_us)
{
	static const char *const extended[] = {
		"”", "»", "©", "}", "~", "\\", "|", "_", "^", "*", "ö", "ß"};
	int n = columns_of(word), room = n;
	size_t len = strlen(word);
	/* They do not stand in the last column. */
	for (size_t i = 0; i < sizeof(extended) / sizeof(extended[0]); i++) {
		size_t k = strlen(extended[i]);
		room += len >= k && strcmp(word + len - k, extended[i]) == 0;
	}
	if (a->n > 0 && at_us - a->last_us > LVX_CUE_CLEAR_US) {
		gone(a);
		a->n = 0;
	}
	a->last_us = at_us;
	if (a->n == 0 || a->columns + 1 + room > LVX_CC608_COLUMNS) {
		gone(a);
		if (a->n == a->rows)
			memmove(a->row[0], a->row[1], sizeof(a->row[0]) * (size_t)(a->n - 1));
		else
			a->n++;
		snprintf(a->row[a->n - 1], sizeof(a->row[0]), "%s", word);
		a->columns = n;
		return;
	}
	char *row = a->row[a->n - 1];
	size_t used = strlen(row);
	snprintf(row + used, sizeof(a->row[0]) - used, " %s", word);
	a->columns += 1 + n;
}

/* A channel and both decoders, at 29.97 frames a second. */
struct rig {
	struct lvx_cc608 *cc;
	struct cc_read *read;
	int64_t frame;
	int field;
	uint8_t last[2];
	int run; /* how often last came in a row */
};

static void rig_open(struct rig *r, int field, int rows)
{
	*r = (struct rig){.field = field,
		.cc = lvx_cc608_create(&(struct lvx_cc608_params){field, rows}),
		.read = cc_read_open(field)};
}

static bool is_control(const uint8_t pair[2])
{
	uint8_t a = pair[0] & 0x7f, b = pair[1] & 0x7f;
	/* Special (11 30..3f) and extended (12, 13 20..3f) characters are sent once. */
	return a >= 0x10 && a < 0x20 && !(a == 0x11 && b < 0x40) &&
	       !(a >= 0x12 && a <= 0x13 && b < 0x40);
}

static void check_pair(struct rig *r, const uint8_t pair[2])
{
	for (int i = 0; i < 2; i++)
		assert_true(__builtin_parity(pair[i]));
	if (is_control(r->last) && memcmp(r->last, pair, 2) != 0)
		assert_int_equal(r->run % 2, 0); /* each control code twice in a row */
	r->run = memcmp(r->last, pair, 2) == 0 ? r->run + 1 : 1;
	memcpy(r->last, pair, 2);
}

static void rig_run(struct rig *r, int64_t until_us)
{
	for (; FRAME_US(r->frame) < until_us; r->frame++) {
		uint8_t pair[2];
		lvx_cc608_next(r->cc, FRAME_US(r->frame), pair);
		check_pair(r, pair);
		cc_read_pair(r->read, pair, FRAME_US(r->frame));
	}
}

static void same_rows(const char *who, const char *got, const char *want)
{
	size_t row = 0, n = 1;
	for (size_t i = 0; got[i] == want[i]; i++) {
		if (!got[i])
			return;
		if (got[i] == '\n') {
			row = i + 1;
			n++;
		}
	}
	fail_msg("%s, row %zu: '%.80s' is not '%.80s'", who, n, got + row, want + row);
}

static void rig_expect(struct rig *r, const char *want)
{
	char *expected = strdup(want), *ffmpeg = strdup(cc_read_ffmpeg(r->read)),
	     *zvbi = strdup(cc_read_zvbi(r->read));
	cc_read_normalise(expected);
	cc_read_normalise(ffmpeg);
	cc_read_normalise(zvbi);
	same_rows("FFmpeg", ffmpeg, expected);
	same_rows("zvbi", zvbi, expected);
	assert_int_equal(cc_read_errors(r->read), 0);
	free(expected);
	free(ffmpeg);
	free(zvbi);
}

static void rig_close(struct rig *r)
{
	lvx_cc608_destroy(r->cc);
	cc_read_close(r->read);
}

static const char *const words[] = {"Guten", "Abend,", "schöne", "Grüße", "aus", "Köln.", "¿Qué",
	"tal,", "señor?", "Ça", "va", "très", "bien", "à", "l'hôtel,", "naïve", "œuvre", "Öl",
	"Ärger", "Übel", "the", "quick", "brown", "fox", "jumps", "over", "it", "haha", "Hahaha",
	"1969", "½", "♪", "la", "la", "♪", "“Zitat”", "5°", "£5", "x—y", "Ñandú", "«être»", "©",
	"über-groß", "São", "Åse", "Øre", "{a}", "[b]", "~", "\\", "|", "_", "^", "*", "á", "éí",
	"óú", "÷", "çç", "öö", "ß", "İstanbul", "100%", "and/or", "e.g.", "#1", "$2", "a+b=c",
	"<x>", "don't", "we", "are."};
enum { N_WORDS = sizeof(words) / sizeof(words[0]) };

/* What becomes of those that CEA-608 does not have. */
static const char *as_shown(const char *word)
{
	if (strcmp(word, "œuvre") == 0)
		return "oeuvre";
	return strcmp(word, "İstanbul") == 0 ? "Istanbul" : word;
}

static void roll_up(int field, int rows, uint64_t seed, int64_t duration_us)
{
	struct rig r;
	struct account a = {.rows = rows};
	rig_open(&r, field, rows);
	int64_t at_us = 0;
	while (at_us < duration_us) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		unsigned dice = (unsigned)(seed >> 33);
		const char *word = words[dice % N_WORDS];
		/* 280 words a minute; now and then a pause. */
		at_us += dice / N_WORDS % 60 == 0 ? 9000000 : 180000 + dice % 70000;
		lvx_cc608_word(r.cc, word, at_us);
		account_word(&a, as_shown(word), at_us);
		rig_run(&r, at_us - 500000);
	}
	rig_run(&r, at_us + 10000000);
	gone(&a);
	rig_expect(&r, a.text);
	struct lvx_cc608_stats stats;
	lvx_cc608_get_stats(r.cc, &stats);
	assert_int_equal(stats.dropped, 0);
	print_message("# field %d, %d rows, %" PRId64 " s: %" PRId64 " frames, %zu bytes of text\n",
		field, rows, duration_us / 1000000, r.frame, a.len);
	free(a.text);
	rig_close(&r);
}

static void test_roll_up(void **state)
{
	(void)state;
	for (int field = 1; field <= 2; field++)
		for (int rows = 2; rows <= 4; rows++)
			roll_up(field, rows, (uint64_t)(10 * field + rows), 600 * 1000000ll);
}

static void test_a_day(void **state)
{
	(void)state;
	roll_up(1, 2, 7, 24 * 3600 * 1000000ll);
}

/* All characters that CEA-608 has but █, alone and doubled. */
static void test_characters(void **state)
{
	(void)state;
	static const char all[] =
		"!\"#$%&'()+,-./"
		"0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz"
		"áéíóúç÷Ññ®°½¿™¢£♪àèâêîôûÁÉÓÚÜü¡*—©℠•“”ÀÂÇÈÊËëÎÏïÔÙùÛ«»ÃãÍÌìÒòÕõ{}\\^_|~"
		"ÄäÖößØø¥¤ÅåÅ";
	for (const char *p = all; *p;) {
		char c[8] = {0}, want[64];
		size_t n = 1;
		while ((p[n] & 0xc0) == 0x80)
			n++;
		memcpy(c, p, n);
		p += n;
		struct rig r;
		rig_open(&r, 1, 2);
		snprintf(want, sizeof(want), "x%sy %s", c, c);
		lvx_cc608_word(r.cc, want, 0);
		rig_run(&r, 8000000);
		strcat(want, "\n");
		rig_expect(&r, want);
		rig_close(&r);
	}
}

static void shows(const char *text, const char *want)
{
	struct rig r;
	rig_open(&r, 1, 2);
	lvx_cc608_word(r.cc, text, 0);
	rig_run(&r, 12000000);
	rig_expect(&r, want);
	rig_close(&r);
}

static void test_what_it_has_not(void **state)
{
	(void)state;
	shows("Łódź…", "Lódz...\n");
	shows("5€", "5EUR\n");
	shows("Щука", "Shchuka\n");
	shows("Ёлки-палки,", "Yolki-palki,\n");
	shows("ґрунт-Їжак-є", "grunt-Yizhak-ye\n");
	shows("Ђорђе", "Djordje\n");
	shows("Đorđe-ığdır", "Dorde-igdir\n");
	shows("Ελλάδα", "Ellada\n");
	shows("Ψυχή;", "Psychi;\n");
	shows("日本語。", "[?]\n");
	shows("iPhone手机12", "iPhone[?]12\n");
	shows("שָׁלוֹם", "[?]\n");
	shows("นี้", "[?]\n");
	shows("a\u200d\u00adb\u200f", "ab\n");
	shows("a\xff\xfe"
	      "b\tc\x01",
		"a[?]bc\n");
	shows("o\xcc\x88", "ö\n"); /* a combining diaeresis */
	/* Of a special character that is repeated, the second would be taken for a repetition. */
	shows("♪♪♪la", "♪ ♪la\n");
	shows("èèx", "èex\n");
	/* No row holds it. */
	shows("Donaudampfschiffahrtselektrizitätenhauptbetriebswerk",
		"Donaudampfschiffahrtselektrizit\nDonaudampfschiffahrtselektrizit\nätenhauptbetrieb"
		"swerk\n");
	/* The last column. */
	shows("aaaaaaaaaabbbbbbbbbbccccccccccxö",
		"aaaaaaaaaabbbbbbbbbbccccccccccx\naaaaaaaaaabbbbbbbbbbccccccccccx\nö\n");
	shows("aaaaaaaaaabbbbbbbbbbccccccccccö", "aaaaaaaaaabbbbbbbbbbccccccccccö\n");
	shows("aaaaaaaaaabbbbbbbbbbccccccccccxyö",
		"aaaaaaaaaabbbbbbbbbbccccccccccxy\naaaaaaaaaabbbbbbbbbbccccccccccxy\nö\n");
	shows("aaaaaaaaaabbbbbbbbbbccccccccccx♪", "aaaaaaaaaabbbbbbbbbbccccccccccx♪\n");
}

/* What cannot be written is marked once, till there is something else, or the row has gone. */
static void test_unknown_words(void **state)
{
	(void)state;
	struct rig r;
	struct lvx_cc608_stats stats;
	rig_open(&r, 1, 2);
	static const char *const said[] = {"你好", "世界", "OK", "你好", "再见"};
	for (int i = 0; i < 5; i++)
		lvx_cc608_word(r.cc, said[i], i * 100000);
	lvx_cc608_word(r.cc, "你好", 9000000);
	rig_run(&r, 20000000);
	rig_expect(&r, "[?] OK [?]\n[?]\n");
	lvx_cc608_get_stats(r.cc, &stats);
	assert_int_equal(stats.unknown, 5);
	rig_close(&r);
	rig_open(&r, 2, 0);
	lvx_cc608_cue(r.cc, "你好世界\n你好 OK 世界", 2000000, 4000000);
	rig_run(&r, 20000000);
	rig_expect(&r, "[?] OK [?]\n");
	rig_close(&r);
}

static void test_pop_on(void **state)
{
	(void)state;
	for (int field = 1; field <= 2; field++) {
		struct rig r;
		rig_open(&r, field, 0);
		lvx_cc608_cue(r.cc, "Schöne Grüße aus Köln,\nmeine Herren!", 2000000, 4000000);
		rig_run(&r, 1900000);
		rig_expect(&r, "");
		/* Loaded while the first is seen, and over its erasure. */
		lvx_cc608_cue(r.cc, "zwei", 4050000, 6000000);
		lvx_cc608_cue(r.cc,
			"A single line of more than\nforty characters, which is broken anew",
			6100000, 9000000);
		rig_run(&r, 3900000);
		rig_expect(&r, "");
		rig_run(&r, 20000000);
		rig_expect(&r,
			"Schöne Grüße aus Köln,\nmeine Herren!\nzwei\nA single line of more than\n"
			"forty characters, which is\nbroken anew\n");
		rig_close(&r);
	}
}

/* The frames from which on and until which a cue is seen. */
static void test_pop_on_times(void **state)
{
	(void)state;
	struct lvx_cc608 *cc = lvx_cc608_create(&(struct lvx_cc608_params){1, 0});
	lvx_cc608_cue(cc, "in time", 1000000, 3000000);
	int64_t shown_us = -1, erased_us = -1;
	for (int n = 0; n < 400; n++) {
		uint8_t pair[2];
		if (n == 200) /* too late by 5 s: as long as it was meant to be */
			lvx_cc608_cue(cc, "late", 1600000, 2600000);
		lvx_cc608_next(cc, FRAME_US(n), pair);
		if (pair[0] != 0x94)
			continue;
		if (pair[1] == 0x2f && shown_us < 0)
			shown_us = FRAME_US(n);
		if (pair[1] == 0x2c && shown_us >= 0 && erased_us < 0) {
			erased_us = FRAME_US(n);
			if (n < 200) {
				assert_in_range(shown_us, 1000000, 1040000);
				assert_in_range(erased_us, 3000000, 3040000);
				shown_us = -1;
				n++;
			}
			erased_us = n < 200 ? -1 : erased_us;
		}
	}
	assert_in_range(shown_us, FRAME_US(200), FRAME_US(220));
	assert_in_range(erased_us - shown_us, 1000000, 1040000);
	lvx_cc608_destroy(cc);
}

static void test_a_full_queue(void **state)
{
	(void)state;
	struct rig r;
	struct lvx_cc608_stats stats;
	for (int rows = 0; rows <= 2; rows += 2) {
		rig_open(&r, 1, rows);
		for (int i = 0; i < 3000; i++) {
			lvx_cc608_word(r.cc, "überwältigend", 0);
			lvx_cc608_cue(r.cc, "zu viel", i, i + 1);
		}
		lvx_cc608_get_stats(r.cc, &stats);
		assert_in_range(stats.dropped, 1000, 6000);
		rig_run(&r, 400 * 1000000ll);
		lvx_cc608_word(r.cc, "again", 0);
		assert_int_equal(cc_read_errors(r.read), 0);
		rig_close(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roll_up),
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_what_it_has_not),
		cmocka_unit_test(test_unknown_words),
		cmocka_unit_test(test_pop_on),
		cmocka_unit_test(test_pop_on_times),
		cmocka_unit_test(test_a_full_queue),
		cmocka_unit_test(test_a_day),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
