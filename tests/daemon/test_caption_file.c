/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "daemon/caption_file.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { S = 1000000, MS = 1000 };

static const int64_t epoch = 1764037451250000; /* 2025-11-25 02:24:11.25 UTC */
static const char *const extensions[] = {"srt", "vtt", "ttml", "jsonl"};
static char dir[] = "/tmp/lvx-captions-XXXXXX";

static char *content(const char *path)
{
	char *text;
	size_t len;
	struct lvx_error err = {0};
	if (lvx_file_read(&text, &len, path, 1 << 24, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return text;
}

static int count(const char *text, const char *what)
{
	int n = 0;
	while ((text = strstr(text, what))) {
		n++;
		text += strlen(what);
	}
	return n;
}

static struct lvx_caption_file *make(enum lvx_caption_format format, const char *stream)
{
	struct lvx_caption_file *f = NULL;
	struct lvx_error err = {0};
	struct lvx_caption_file_params p = {.dir = dir,
		.stream = stream,
		.lane = "caption",
		.language = "en",
		.epoch = epoch,
		.part = 1,
		.format = format};
	if (lvx_caption_file_create(&f, &p, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return f;
}

static enum lvx_status add(struct lvx_caption_file *f, int second, const char *text)
{
	struct lvx_error err = {0};
	const struct lvx_cue cue = {(int64_t)second * S, (int64_t)second * S + 1500 * MS, text, 1};
	return lvx_caption_file_add(f, &cue, "[{\"text\":\"w\"}]", epoch, &err);
}

/* ---- */

#define TTML_HEAD                                                                                  \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                                             \
	"<tt xmlns=\"http://www.w3.org/ns/ttml\""                                                  \
	" xmlns:ttp=\"http://www.w3.org/ns/ttml#parameter\""                                       \
	" xmlns:tts=\"http://www.w3.org/ns/ttml#styling\" xml:lang=\"en\""                         \
	" ttp:timeBase=\"media\""                                                                  \
	" ttp:contentProfiles=\"http://www.w3.org/ns/ttml/profile/imsc1.1/text\">\n"               \
	"<head>\n<styling><style xml:id=\"s\" tts:fontFamily=\"proportionalSansSerif\""            \
	" tts:color=\"white\" tts:backgroundColor=\"black\"/></styling>\n"                         \
	"<layout><region xml:id=\"r\" tts:origin=\"10% 70%\" tts:extent=\"80% 25%\""               \
	" tts:displayAlign=\"after\" tts:textAlign=\"center\"/></layout>\n"                        \
	"</head>\n<body region=\"r\"><div>\n"

static void test_formats(void **state)
{
	static const char *const empty[] = {
		"", "WEBVTT\n\n", TTML_HEAD "</div></body>\n</tt>\n", ""};
	static const char *const golden[] = {
		"1\n00:00:01,000 --> 00:00:02,500\nR&D\n<ok>\n\n"
		"2\n00:00:04,000 --> 00:00:05,500\nEnd.\n\n",
		"WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nR&amp;D\n&lt;ok&gt;\n\n"
		"00:00:04.000 --> 00:00:05.500\nEnd.\n\n",
		TTML_HEAD
		"<p begin=\"00:00:01.000\" end=\"00:00:02.500\"><span style=\"s\">R&amp;D<br/>"
		"&lt;ok&gt;</span></p>\n"
		"<p begin=\"00:00:04.000\" end=\"00:00:05.500\"><span style=\"s\">End."
		"</span></p>\n</div></body>\n</tt>\n",
		"{\"stream\":\"news\",\"epoch\":1764037451250000,\"lane\":\"caption\","
		"\"language\":\"en\",\"start_us\":1000000,\"end_us\":2500000,"
		"\"wall_us\":1764037452250000,\"text\":\"R&D\\u000a<ok>\","
		"\"words\":[{\"text\":\"w\"}]}\n"
		"{\"stream\":\"news\",\"epoch\":1764037451250000,\"lane\":\"caption\","
		"\"language\":\"en\",\"start_us\":4000000,\"end_us\":5500000,"
		"\"wall_us\":1764037455250000,\"text\":\"End.\","
		"\"words\":[{\"text\":\"w\"}]}\n",
	};
	(void)state;
	for (int i = 0; i < LVX_CAPTION_EVENTS; i++) {
		struct lvx_caption_file *f = make((enum lvx_caption_format)i, "news");
		char want[200];
		snprintf(want, sizeof(want), "%s/news.20251125T022411Z.caption.en.%s", dir,
			extensions[i]);
		assert_string_equal(lvx_caption_file_path(f), want);
		char *text = content(want);
		assert_string_equal(text, empty[i]);
		free(text);
		assert_int_equal(add(f, 1, "R&D\n<ok>"), LVX_OK);
		assert_int_equal(add(f, 4, "End."), LVX_OK);
		text = content(want);
		assert_string_equal(text, golden[i]);
		free(text);
		lvx_caption_file_close(f);
	}
}

static void test_names(void **state)
{
	struct lvx_error err = {0};
	struct lvx_caption_file *f[3];
	struct lvx_caption_file_params p = {.dir = dir,
		.stream = "a",
		.lane = "../x",
		.epoch = epoch,
		.part = 2,
		.format = LVX_CAPTION_VTT};
	static const char *const names[] = {"a.20251125T022411Z_0002.___x.vtt",
		"a.20251125T022411Z~2_0002.___x.vtt", "a.20251125T022411Z~3_0002.___x.vtt"};
	(void)state;
	for (int i = 0; i < 3; i++) {
		char want[200];
		assert_int_equal(lvx_caption_file_create(&f[i], &p, &err), LVX_OK);
		snprintf(want, sizeof(want), "%s/%s", dir, names[i]);
		assert_string_equal(lvx_caption_file_path(f[i]), want);
	}
	for (int i = 0; i < 3; i++)
		lvx_caption_file_close(f[i]);
	p.dir = "/dev/null/x";
	assert_int_equal(lvx_caption_file_create(&f[0], &p, &err), LVX_EIO);
	assert_string_equal(
		err.msg, "/dev/null/x/a.20251125T022411Z_0002.___x.vtt: Not a directory");
	lvx_caption_file_close(NULL);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit r;
	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = bytes < r.rlim_max ? bytes : r.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

/* What does not fit leaves the file as it was, at whatever byte the disk is full. */
static void test_full_disk(void **state)
{
	(void)state;
	for (int i = 0; i < LVX_CAPTION_EVENTS; i++) {
		struct lvx_caption_file *f = make((enum lvx_caption_format)i, "full");
		assert_int_equal(add(f, 1, "One."), LVX_OK);
		char *before = content(lvx_caption_file_path(f));
		for (size_t room = 0; room < 40; room++) {
			limit_files(strlen(before) + room);
			assert_int_equal(add(f, 2, "Does not fit at all, so long is it."), LVX_EIO);
			limit_files(RLIM_INFINITY);
			char *after = content(lvx_caption_file_path(f));
			assert_string_equal(after, before);
			free(after);
		}
		assert_int_equal(add(f, 3, "Two."), LVX_OK);
		char *text = content(lvx_caption_file_path(f));
		assert_int_equal(count(text, "One."), 1);
		assert_int_equal(count(text, "Two."), 1);
		assert_int_equal(count(text, "fit"), 0);
		free(before);
		free(text);
		lvx_caption_file_close(f);
	}
	/* No file without its head is left behind. */
	struct lvx_error err = {0};
	struct lvx_caption_file *f = NULL;
	struct lvx_caption_file_params p = {.dir = dir,
		.stream = "headless",
		.lane = "caption",
		.epoch = epoch,
		.part = 1,
		.format = LVX_CAPTION_TTML};
	limit_files(20);
	assert_int_equal(lvx_caption_file_create(&f, &p, &err), LVX_EIO);
	limit_files(RLIM_INFINITY);
	assert_null(f);
	assert_non_null(strstr(err.msg, "headless.20251125T022411Z.caption.ttml: File too large"));
	char path[200];
	snprintf(path, sizeof(path), "%s/headless.20251125T022411Z.caption.ttml", dir);
	assert_int_equal(access(path, F_OK), -1);
}

static bool is_whole(const char *text, enum lvx_caption_format format)
{
	static const char *const ends[] = {"\n\n", "\n\n", "</p>\n</div></body>\n</tt>\n", "]}\n"};
	size_t n = strlen(text), k = strlen(ends[format]);
	return n >= k && strcmp(text + n - k, ends[format]) == 0 &&
	       count(text, "<p ") == count(text, "</p>") &&
	       count(text, "<tt ") == count(text, "</tt>");
}

/* kill -9 at any moment: what was acknowledged is there, and the file is whole. */
static void test_killed(void **state)
{
	enum { ROUNDS = 40 };
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		enum lvx_caption_format format =
			(enum lvx_caption_format)(round % LVX_CAPTION_EVENTS);
		struct lvx_caption_file *f = make(format, "killed");
		int acks[2];
		assert_int_equal(pipe(acks), 0);
		pid_t child = fork();
		if (child == 0) {
			for (int i = 0;; i++) {
				if (add(f, i, "Text of a cue\nof two lines.") != LVX_OK ||
					write(acks[1], "", 1) != 1)
					_exit(1);
			}
		}
		close(acks[1]);
		char buf[4096];
		assert_int_equal(read(acks[0], buf, 1), 1);
		usleep((useconds_t)(500 + 731 * round % 9000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		int n_acked = 1;
		for (ssize_t n; (n = read(acks[0], buf, sizeof(buf))) > 0;)
			n_acked += (int)n;
		close(acks[0]);
		char *text = content(lvx_caption_file_path(f));
		assert_true(is_whole(text, format));
		assert_in_range(count(text, "of two lines."), n_acked, n_acked + 1);
		free(text);
		lvx_caption_file_close(f);
	}
}

static void test_format_lists(void **state)
{
	uint32_t mask = 0;
	struct lvx_error err = {0};
	(void)state;
	assert_int_equal(lvx_caption_formats_parse(&mask, "x", "srt, jsonl", &err), LVX_OK);
	assert_int_equal(mask, 1u << LVX_CAPTION_SRT | 1u << LVX_CAPTION_JSONL);
	assert_int_equal(lvx_caption_formats_parse(&mask, "x", "srt,doc", &err), LVX_EINVAL);
	assert_string_equal(
		err.msg, "x: 'doc' is not a format; allowed are srt, vtt, ttml, jsonl and events");
	assert_int_equal(lvx_caption_formats_parse(&mask, "x", " ,", &err), LVX_EINVAL);
	assert_int_equal(lvx_caption_formats_parse(&mask, "x", "vt", &err), LVX_EINVAL);
}

static int remove_dir(void **state)
{
	(void)state;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));)
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_format_lists),
	};
	signal(SIGXFSZ, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("caption_file", tests, NULL, remove_dir);
}
