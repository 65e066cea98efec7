/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/phrases.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	SENTENCE = 30,
	CLAUSE = 20,   /* a comma */
	BEGINS = 10,   /* a conjunction or preposition */
	HANGS = -14,   /* an article, which belongs to what follows */
	NAME = -14,    /* two words with capitals */
	NEVER = -1000, /* the mark of a speaker and what is said */
	WORD_BYTES = 16,
};

/* Words that begin a phrase, in English, German, French, Spanish and Italian. */
static const char *const begins[] = {"aber", "about", "after", "als", "although", "and", "as", "at",
	"auf", "aus", "avec", "because", "bei", "before", "between", "but", "by", "che", "con",
	"cuando", "damit", "dans", "dass", "denn", "donde", "durch", "during", "et", "for", "from",
	"für", "if", "in", "into", "lorsque", "mais", "mit", "nach", "nor", "ob", "obwohl", "oder",
	"of", "on", "or", "ou", "où", "over", "para", "parce", "pero", "perché", "por", "porque",
	"pour", "quand", "que", "qui", "quindi", "seit", "since", "so", "sobre", "sondern", "that",
	"through", "to", "über", "um", "und", "unless", "until", "von", "weil", "wenn", "when",
	"where", "whether", "which", "while", "who", "wie", "with", "without", "wo", "zu"};

/* Words that belong to the next one. */
static const char *const hangs[] = {"a", "an", "the", "this", "that", "these", "those", "my",
	"your", "his", "her", "its", "our", "their", "no", "very", "of", "to", "in", "on", "at",
	"for", "from", "with", "by", "into", "and", "or", "but", "is", "are", "was", "were", "be",
	"will", "would", "can", "could", "has", "have", "had", "not", "der", "die", "das", "den",
	"dem", "des", "ein", "eine", "einen", "einem", "einer", "eines", "kein", "keine", "mein",
	"meine", "dein", "deine", "sein", "seine", "ihr", "ihre", "unser", "unsere", "zu", "zum",
	"zur", "im", "am", "vom", "von", "mit", "für", "und", "oder", "sehr", "le", "la", "les",
	"un", "une", "des", "du", "de", "au", "aux", "et", "mon", "ma", "mes", "son", "sa", "ses",
	"ce", "cette", "el", "los", "las", "una", "del", "al", "y", "mi", "su", "il", "lo", "gli",
	"i", "di", "che", "e", "mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "herr", "frau",
	"parce"};

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

/* A copy with small ASCII letters; false: it is longer than any word of the lists. */
static bool small(char out[WORD_BYTES], const char *word)
{
	size_t n = strlen(word);
	if (n >= WORD_BYTES)
		return false;
	for (size_t i = 0; i <= n; i++)
		out[i] = word[i] >= 'A' && word[i] <= 'Z' ? (char)(word[i] | 32) : word[i];
	return true;
}

static bool has_capital(const char *word)
{
	return (*word >= 'A' && *word <= 'Z') ||
	       ((unsigned char)word[0] == 0xc3 && (unsigned char)word[1] >= 0x80 &&
		       (unsigned char)word[1] <= 0x9e); /* À to Þ */
}

static bool ends_in(const char *word, const char *marks)
{
	size_t n = strlen(word);
	while (n > 1 && strchr("\"')]", word[n - 1]))
		n--;
	return n > 0 && strchr(marks, word[n - 1]);
}

static bool ends_in_wide(const char *word, const char *marks)
{
	return *word && strstr(marks, lvx_utf8_last(word));
}

int lvx_phrase_break(const char *left, const char *right)
{
	char a[WORD_BYTES], b[WORD_BYTES];
	bool known = small(a, left);
	int score = 0;
	if (strcmp(left, ">>") == 0)
		return NEVER;
	if (strcmp(right, ">>") == 0)
		return SENTENCE;
	if (known && is_one_of(a, hangs, sizeof(hangs) / sizeof(hangs[0])))
		score += HANGS;
	else if (ends_in(left, ".?!") || ends_in_wide(left, "。？！…"))
		score += SENTENCE;
	else if (ends_in(left, ",;:") || ends_in_wide(left, "，；：、—–"))
		score += CLAUSE;
	else if (has_capital(left) && has_capital(right))
		score += NAME;
	if (small(b, right) && is_one_of(b, begins, sizeof(begins) / sizeof(begins[0])))
		score += BEGINS;
	return score;
}
