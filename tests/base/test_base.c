/* SPDX-License-Identifier: Apache-2.0 */
/* base/: errors, strict JSON, files, the bell. */
#include "base/bell.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/uri.h"
#include "base/utf8.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_error(void **state)
{
	(void)state;
	struct lvx_error err = {0};
	assert_int_equal(lvx_fail(&err, LVX_EINVAL, "key %d", 7), LVX_EINVAL);
	assert_int_equal(err.status, LVX_EINVAL);
	assert_string_equal(err.msg, "key 7");
	assert_int_equal(lvx_error_context(&err, "file %s", "x"), LVX_EINVAL);
	assert_string_equal(err.msg, "file x: key 7");
	assert_int_equal(lvx_fail(NULL, LVX_EIO, "dropped"), LVX_EIO);
	assert_string_equal(lvx_status_name(LVX_EDEVICE), "device");
	assert_string_equal(lvx_status_name((enum lvx_status)999), "unknown");
	/* A message longer than the room is cut, never overrun. */
	char long_text[2000];
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	lvx_fail(&err, LVX_EIO, "%s", long_text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	lvx_error_context(&err, "%s", long_text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static json_t *parse_ok(const char *text)
{
	struct lvx_error err = {0};
	json_t *root = NULL;
	assert_int_equal(lvx_json_parse(&root, "message", text, strlen(text), &err), LVX_OK);
	return root;
}

static void expect_bad(const char *text, const char *in_msg)
{
	struct lvx_error err = {0};
	json_t *root = NULL;
	assert_int_equal(lvx_json_parse(&root, "message", text, strlen(text), &err), LVX_EINVAL);
	assert_null(root);
	if (!strstr(err.msg, in_msg))
		fail_msg("'%s' is not in '%s'", in_msg, err.msg);
}

static void test_json_parse(void **state)
{
	(void)state;
	expect_bad("", "line");
	expect_bad("{\"a\":", "line 1");
	expect_bad("[1]", "object is expected");
	expect_bad("{\"a\":1,\"a\":2}", "duplicate");
	expect_bad("{\"a\":\"\xff\"}", "decode byte");
	expect_bad("{} trailing", "line 1");
	/* Depth is bounded: no stack to be blown from outside. */
	size_t n = 100000;
	char *deep = malloc(n + 1);
	assert_non_null(deep);
	memset(deep, '[', n);
	deep[n] = '\0';
	expect_bad(deep, "depth");
	free(deep);
}

static void test_json_members(void **state)
{
	(void)state;
	json_t *o = parse_ok("{\"n\":5,\"f\":0.5,\"b\":true,\"s\":\"x\",\"o\":{},\"a\":[1]}");
	struct lvx_error err = {0};
	uint32_t n = 9;
	double f = 0;
	bool b = false;
	const char *s = NULL;
	json_t *sub = NULL;
	assert_int_equal(lvx_json_u32(o, "m", "n", true, 1, 5, &n, &err), LVX_OK);
	assert_int_equal(n, 5);
	assert_int_equal(lvx_json_u32(o, "m", "n", true, 6, 9, &n, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "m: 'n' is 5; allowed are 6 to 9");
	assert_int_equal(lvx_json_u32(o, "m", "f", true, 0, 9, &n, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "m: 'f' must be an integer, not a number");
	n = 77;
	assert_int_equal(lvx_json_u32(o, "m", "absent", false, 0, 9, &n, &err), LVX_OK);
	assert_int_equal(n, 77);
	assert_int_equal(lvx_json_u32(o, "m", "absent", true, 0, 9, &n, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "m: key 'absent' is missing");
	assert_int_equal(lvx_json_f64(o, "m", "f", true, 0, 1, &f, &err), LVX_OK);
	assert_true(f == 0.5);
	assert_int_equal(lvx_json_f64(o, "m", "f", true, 1, 2, &f, &err), LVX_EINVAL);
	assert_int_equal(lvx_json_bool(o, "m", "b", true, &b, &err), LVX_OK);
	assert_true(b);
	assert_int_equal(lvx_json_bool(o, "m", "s", true, &b, &err), LVX_EINVAL);
	assert_int_equal(lvx_json_str(o, "m", "s", true, &s, &err), LVX_OK);
	assert_string_equal(s, "x");
	assert_int_equal(lvx_json_object(o, "m", "o", true, &sub, &err), LVX_OK);
	assert_int_equal(lvx_json_object(o, "m", "a", true, &sub, &err), LVX_EINVAL);
	assert_int_equal(lvx_json_array(o, "m", "a", true, &sub, &err), LVX_OK);
	static const char *const known[] = {"n", "f", "b", "s", "o", NULL};
	assert_int_equal(lvx_json_known_keys(o, "m", known, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "m: unknown key 'a'; known are n, f, b, s, o");
	json_decref(o);
}

static void test_file(void **state)
{
	(void)state;
	char path[] = "/tmp/lvx-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	struct lvx_error err = {0};
	struct lvx_mapping map = {0};
	char *text = NULL;
	size_t len = 0;
	assert_int_equal(lvx_file_map(&map, path, &err), LVX_EINVAL); /* empty */
	assert_int_equal(write(fd, "hello", 5), 5);
	close(fd);
	assert_int_equal(lvx_file_read(&text, &len, path, 5, &err), LVX_OK);
	assert_int_equal(len, 5);
	assert_string_equal(text, "hello");
	free(text);
	assert_int_equal(lvx_file_read(&text, &len, path, 4, &err), LVX_ELIMIT);
	assert_int_equal(lvx_file_map(&map, path, &err), LVX_OK);
	assert_memory_equal(map.data, "hello", 5);
	lvx_file_unmap(&map);
	unlink(path);
	assert_int_equal(lvx_file_map(&map, path, &err), LVX_ENOENT);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(lvx_file_read(&text, &len, "/tmp", 4, &err), LVX_EINVAL);
	/* A FIFO is refused at once instead of hanging the daemon. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(lvx_file_read(&text, &len, path, 4, &err), LVX_EINVAL);
	unlink(path);
}

static void test_log_levels(void **state)
{
	(void)state;
	enum lvx_log_level level = LVX_LOG_ERROR;
	assert_true(lvx_log_level_parse("debug", &level));
	assert_int_equal(level, LVX_LOG_DEBUG);
	assert_false(lvx_log_level_parse("loud", &level));
}

struct ringer {
	struct lvx_bell *bell;
	_Atomic uint64_t made;
	uint64_t total;
};

static void *ring_many(void *arg)
{
	struct ringer *r = arg;
	for (uint64_t i = 0; i < r->total; i++) {
		atomic_fetch_add_explicit(&r->made, 1, memory_order_release);
		lvx_bell_ring(r->bell);
	}
	return NULL;
}

/* Whatever was made before a ring is seen after the wait: no ring is lost. */
static void test_bell(void **state)
{
	(void)state;
	struct ringer r = {.total = 200000};
	assert_int_equal(lvx_bell_create(&r.bell, NULL), LVX_OK);
	assert_false(lvx_bell_wait(r.bell, 1000));
	lvx_bell_ring(r.bell);
	lvx_bell_ring(r.bell);
	assert_true(lvx_bell_wait(r.bell, 0));
	assert_false(lvx_bell_wait(r.bell, 0));

	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, ring_many, &r), 0);
	uint64_t seen = 0;
	while (seen < r.total) {
		assert_true(lvx_bell_wait(r.bell, 10 * 1000000));
		seen = atomic_load_explicit(&r.made, memory_order_acquire);
	}
	pthread_join(thread, NULL);
	lvx_bell_destroy(r.bell);
	lvx_bell_destroy(NULL);
}

static void test_clock(void **state)
{
	(void)state;
	int64_t a = lvx_now_us();
	lvx_sleep_us(2000);
	assert_true(lvx_now_us() - a >= 2000);
	assert_true(lvx_wall_us() > INT64_C(1600000000000000));
}

static void test_words(void **state)
{
	(void)state;
	static const struct {
		const char *left, *right;
		bool spaced;
	} joints[] = {
		{"good", "day", true},
		{"", "day", false},
		{"day", "", false},
		{"\u4f60", "\u597d", false},
		{"\u4f60", "day", true},
		{"day", "\u4f60", true},
		{"Linux", "\uff0c", false},	/* a full-width comma has its space in itself */
		{"\u3002", "Linux", false},
		{"\u8bf4", "\u201c", false},	/* quotation marks go with their neighbours */
		{"\u201d", "\u4ed6", false},
		{"said", "\u201cwell", true},
		{"\u2026", "well", true},
		{"\ud55c", "\uad6d", true},	/* Korean has spaces */
		{"\u304b", "\u30ab", false},
		{"\U00020000", "\U00020001", false},
		{"\xe4\xbd", "\xa0", true},	/* not UTF-8 */
	};
	for (size_t i = 0; i < sizeof(joints) / sizeof(joints[0]); i++)
		if (lvx_utf8_spaced(joints[i].left, joints[i].right) != joints[i].spaced)
			fail_msg("'%s' and '%s'", joints[i].left, joints[i].right);
	assert_string_equal(lvx_utf8_last(""), "");
	assert_string_equal(lvx_utf8_last("day"), "y");
	assert_string_equal(lvx_utf8_last("a\u4f60"), "\u4f60");
	assert_string_equal(lvx_utf8_last("a\U00020000"), "\U00020000");
	assert_string_equal(lvx_utf8_last("\u4f60\xa0"), "\xa0");

	static const struct {
		const char *text;
		size_t len;
	} words[] = {{"", 0}, {" a", 0}, {"abc def", 3}, {"abc", 3}, {"Linux\u7cfb", 5},
		{"\u7cfb\u7edf", 3}, {"\u3002a", 3}, {"\u00e4\u00f6 x", 4}, {"\xff x", 1}};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_int_equal(lvx_utf8_word(words[i].text), words[i].len);
	assert_int_equal(lvx_utf8_columns("a\u00e4\u4f60\uff0c\ud55c\xff"), 2 + 3 * 2 + 1);
	assert_true(lvx_utf8_begins_line("a"));
	assert_true(lvx_utf8_begins_line("\u300c"));
	assert_false(lvx_utf8_begins_line("\uff0c"));
	assert_false(lvx_utf8_begins_line("\u3002"));
}

/* What must not be seen, and what must. */
static void test_redact(void **state)
{
	(void)state;
	static const char *const uris[][2] = {
		{"talk.mp4", "talk.mp4"},
		{"file:///a/b?c.ts", "file:///a/b?c.ts"},
		{"rtsp://camera.example/1", "rtsp://camera.example/1"},
		{"rtsp://me:p@ss@camera.example/1#x", "rtsp://camera.example/1?..."},
		{"srt://h:7001?mode=listener&passphrase=secret", "srt://h:7001?..."},
		{"rtmp://h/app/key", "rtmp://h/app/..."},
		{"RTMPS://me@h:443/app/key?token=secret", "RTMPS://h:443/app/...?..."},
		{"rtmp://h/app playpath=secret", "rtmp://h/...?..."},
		{"rtmp://h", "rtmp://h"},
		{"udp://@239.1.2.3:5000", "udp://@239.1.2.3:5000"},
		{"https://h/live.m3u8?token=a/b@c", "https://h/live.m3u8?..."},
	};
	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
		char shown[64];
		lvx_uri_redact(shown, sizeof(shown), uris[i][0]);
		assert_string_equal(shown, uris[i][1]);
	}
	char cut[8];
	lvx_uri_redact(cut, sizeof(cut), "rtmp://host/app/key");
	assert_string_equal(cut, "rtmp://");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_json_parse),
		cmocka_unit_test(test_json_members),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_log_levels),
		cmocka_unit_test(test_bell),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_redact),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
