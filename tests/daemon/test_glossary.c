/* SPDX-License-Identifier: Apache-2.0 */
/* Glossaries: terms, rules, and what is wrong with a file, by its line. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/glossary.h"

static struct lvx_glossary *parse(const char *text)
{
	struct lvx_error err = {0};
	struct lvx_glossary *g = NULL;
	if (lvx_glossary_parse(&g, "f", text, strlen(text), &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return g;
}

static void refused(const char *text, size_t len, const char *message)
{
	struct lvx_error err = {0};
	struct lvx_glossary *g = NULL;
	assert_int_equal(lvx_glossary_parse(&g, "names.txt", text, len, &err) == LVX_OK, 0);
	assert_null(g);
	if (!strstr(err.msg, message))
		fail_msg("'%s' does not say '%s'", err.msg, message);
}

static void test_terms(void **state)
{
	(void)state;
	/* A byte order mark, a comment, CRLF, tabs; each word once, without punctuation around it;
	 * what a rule writes is a term. */
	struct lvx_glossary *g = parse("\xef\xbb\xbf# names\r\nGhent\r\n\r\n\tKatarina\tWitt. \n"
				       "Ghent\nlumi vox => Lumivox 2\nC-3PO (robot)\n??");
	assert_string_equal(lvx_glossary_words(g), "Ghent Katarina Witt Lumivox 2 C-3PO robot");
	assert_int_equal(lvx_spelling_count(lvx_glossary_spelling(g)), 1);
	json_t *lines = lvx_glossary_to_json(g);
	assert_int_equal(json_array_size(lines), 6);
	assert_string_equal(json_string_value(json_array_get(lines, 1)), "Katarina Witt.");
	/* As lines of JSON it is the same. */
	struct lvx_glossary *again;
	struct lvx_error err;
	assert_int_equal(lvx_glossary_read_json(&again, "m", lines, &err), LVX_OK);
	assert_string_equal(lvx_glossary_words(again), lvx_glossary_words(g));
	lvx_glossary_unref(lvx_glossary_ref(again));
	lvx_glossary_unref(again);
	json_decref(lines);
	lvx_glossary_unref(g);
	g = parse("");
	assert_string_equal(lvx_glossary_words(g), "");
	lvx_glossary_unref(g);
	lvx_glossary_unref(NULL);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"a\nb => c => d", "names.txt:2: '=>' stands in it twice"},
		{"=> b", "names.txt:1: what stands before '=>' is empty"},
		{"# x\n\na =>", "names.txt:3: what stands after '=>' is empty"},
		{"a b c d e f g h i => x",
			"names.txt:1: what stands before '=>' has more than 8 words"},
		{"Ab c => x\naB C => y", "names.txt:2: 'aB C' has a rule already"},
		{"a\xff", "names.txt:1: it is not UTF-8"},
		{"a\x1bz", "names.txt:1: it has a control character"},
		{"\ra", "names.txt:1: it has a control character"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(cases[i].text, strlen(cases[i].text), cases[i].message);
	refused("a\0b", 3, "names.txt:1: it has a control character");

	char *text = malloc(LVX_GLOSSARY_BYTES_MAX + 1);
	memset(text, 'x', LVX_GLOSSARY_BYTES_MAX + 1);
	refused(text, LVX_GLOSSARY_BYTES_MAX + 1, "at most 65536 bytes");
	refused(text, LVX_GLOSSARY_TERM_BYTES_MAX + 1,
		"names.txt:1: a term has 161 bytes; allowed are 160");
	memcpy(text, "a=>", 3);
	refused(text, 3 + LVX_SPELLING_BYTES_MAX + 1, "after '=>' has 161 bytes; allowed are 160");
	memset(text, '\n', LVX_GLOSSARY_BYTES_MAX);
	refused(text, LVX_GLOSSARY_LINES_MAX + 1, "names.txt:2001: more than 2000 lines");
	size_t at = 0;
	for (int i = 0; i <= LVX_SPELLING_RULES_MAX; i++)
		at += (size_t)sprintf(text + at, "w%d => x\n", i);
	refused(text, at, "names.txt:1001: more than 1000 rules");
	free(text);

	struct lvx_error err;
	struct lvx_glossary *g = NULL;
	assert_int_equal(lvx_glossary_load(&g, "/nonexistent/names.txt", &err), LVX_ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/names.txt"));
	json_t *lines = json_pack("[s, i]", "Ghent", 3);
	assert_int_equal(lvx_glossary_read_json(&g, "message", lines, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "message: 'glossary'[1]: lines are strings"));
	json_decref(lines);
	lines = json_pack("[s]", "a\nb");
	assert_int_equal(lvx_glossary_read_json(&g, "message", lines, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "'glossary'[0]: it has a control character"));
	json_decref(lines);
	assert_null(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terms),
		cmocka_unit_test(test_refusals),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
