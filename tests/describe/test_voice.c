/* SPDX-License-Identifier: Apache-2.0 */
/* Voices that speak, crash, hang, flood and write rubbish. */
#include "base/clock.h"
#include "daemon/describe/child.h"
#include "daemon/describe/voice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A second of a square wave, 8 kHz, as sh writes it; after that %s. */
#define WAV                                                                                        \
	"cat >/dev/null; printf 'RIFF\\344\\037\\0\\0WAVEfmt "                                     \
	"\\020\\0\\0\\0\\1\\0\\1\\0\\100\\037\\0\\0"                                               \
	"\\100\\037\\0\\0\\1\\0\\010\\0data\\100\\037\\0\\0'; "                                    \
	"printf '\\240\\240\\240\\240\\140\\140\\140\\140%.0s' $(seq 1000)"

static struct lvx_spoken wait_for(struct lvx_voice *v)
{
	struct lvx_spoken s;
	while (!lvx_voice_take(v, &s))
		lvx_sleep_us(1000);
	return s;
}

static struct lvx_spoken speak(const char *command, const char *text, int64_t timeout_us)
{
	struct lvx_voice *v;
	struct lvx_error err;
	assert_int_equal(lvx_voice_create(&v, command, timeout_us, NULL, &err), LVX_OK);
	assert_true(lvx_voice_speak(v, 7, 3, text, "en", 1.25));
	struct lvx_spoken s = wait_for(v);
	assert_int_equal(s.id, 7);
	assert_int_equal(s.variant, 3);
	assert_int_equal(lvx_voice_waiting(v), 0);
	lvx_voice_destroy(v);
	return s;
}

static void fails(const char *command, int64_t timeout_us, const char *why)
{
	struct lvx_spoken s = speak(command, "A dog runs.", timeout_us);
	assert_null(s.clip);
	if (!strstr(s.why, why))
		fail_msg("%s: %s", command, s.why);
}

static void test_speaks(void **state)
{
	(void)state;
	struct lvx_spoken s = speak(WAV, "A dog runs.", 0);
	if (!s.clip)
		fail_msg("%s", s.why);
	assert_in_range(s.clip->n, 47900, 48100);
	lvx_clip_destroy(s.clip);
	/* What it is told. */
	s = speak(
		"test \"$(cat)\" = 'A dog; $(runs) `x`.' && test {wpm}-{language} = 200-en && " WAV
		" </dev/null",
		"A dog; $(runs) `x`.", 0);
	if (!s.clip)
		fail_msg("%s", s.why);
	lvx_clip_destroy(s.clip);
	/* One that does not read. */
	s = speak("exec </dev/null; " WAV, "A dog runs.", 0);
	if (!s.clip)
		fail_msg("%s", s.why);
	lvx_clip_destroy(s.clip);
}

static void test_espeak(void **state)
{
	(void)state;
	struct lvx_spoken normal, fast;
	struct lvx_voice *v;
	struct lvx_error err;
	assert_int_equal(lvx_voice_create(&v, LVX_VOICE_USUAL, 60000000, NULL, &err), LVX_OK);
	const char *text = "A man walks along the beach, while two dogs play.";
	assert_true(lvx_voice_speak(v, 1, 0, text, "en", 1));
	assert_true(lvx_voice_speak(v, 1, 1, text, "en; touch /tmp/lvx-was-here", 1.25));
	normal = wait_for(v);
	fast = wait_for(v);
	if (!normal.clip || !fast.clip)
		fail_msg("%s %s", normal.why, fast.why);
	assert_true(normal.clip->lufs > -40 && normal.clip->lufs < 0);
	assert_in_range(normal.clip->n, 2 * 48000, 5 * 48000);
	double faster = (double)normal.clip->n / (double)fast.clip->n;
	assert_true(faster > 1.1 && faster < 1.4);
	assert_int_not_equal(access("/tmp/lvx-was-here", F_OK), 0);
	lvx_clip_destroy(normal.clip);
	lvx_clip_destroy(fast.clip);
	lvx_voice_destroy(v);
}

static void test_faults(void **state)
{
	(void)state;
	fails("/nonexistent/voice", 0, "ended with 127");
	fails("cat >/dev/null; echo it hurts >&2; exit 3", 0, "ended with 3: it hurts");
	fails("kill -SEGV $$", 0, "ended by signal 11");
	fails("cat >/dev/null", 0, "wrote nothing");
	fails("cat; head -c 100000 /dev/zero", 0, "is no WAV");
	fails(WAV "; exit 1", 0, "ended with 1");
	fails("cat /dev/zero", 60000000, "writes too much, and was killed");
	fails("cat >/dev/null; exec >&-; sleep 600", 300000, "takes too long, and was killed");
	fails("sleep 600", 300000, "takes too long, and was killed");
	/* One that lets another hold its output open; that one is gone, too. */
	fails("sleep 601 & exit 0", 300000, "takes too long");
	fails("yes >&2", 300000, "takes too long");
}

/* It is not waited for when nobody needs it any more; what waits is given back. */
static void test_destroyed(void **state)
{
	(void)state;
	struct lvx_voice *v;
	struct lvx_error err;
	char command[300], path[] = "/tmp/lvx-voice-XXXXXX";
	int fd = mkstemp(path);
	close(fd);
	snprintf(command, sizeof(command), "echo $$ >%s; sleep 600; echo", path);
	assert_int_equal(lvx_voice_create(&v, command, 0, NULL, &err), LVX_OK);
	for (int i = 0; i < LVX_VOICE_QUEUE; i++)
		assert_true(lvx_voice_speak(v, (uint64_t)i, 0, "A dog.", NULL, 1));
	assert_false(lvx_voice_speak(v, 99, 0, "A dog.", NULL, 1));
	char pid[32] = "";
	while (!pid[0]) {
		FILE *f = fopen(path, "r");
		if (!fgets(pid, sizeof(pid), f))
			pid[0] = '\0';
		fclose(f);
		lvx_sleep_us(1000);
	}
	lvx_voice_destroy(v);
	char proc[64];
	snprintf(proc, sizeof(proc), "/proc/%d", atoi(pid));
	assert_int_not_equal(access(proc, F_OK), 0);
	unlink(path);
}

/* The child has none of our descriptors, and signals as they should be. */
static void test_child(void **state)
{
	(void)state;
	_Atomic bool stop = false;
	struct lvx_text out = {0};
	struct lvx_error err;
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	struct lvx_child_params p = {.command = "ls /proc/self/fd | wc -l; cat",
		.input = "hello",
		.timeout_us = 60000000,
		.bytes_max = 100,
		.stop = &stop};
	assert_int_equal(lvx_child_run(&out, &p, &err), LVX_OK);
	assert_string_equal(out.data, "4\nhello"); /* 0, 1, 2, and ls's own */
	lvx_text_finish(&out);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_check(void **state)
{
	(void)state;
	struct lvx_error err;
	assert_int_equal(lvx_voice_check(LVX_VOICE_USUAL, &err), LVX_OK);
	assert_int_equal(lvx_voice_check("piper --model x", &err), LVX_OK);
	assert_int_equal(lvx_voice_check("", &err), LVX_EINVAL);
	assert_int_equal(lvx_voice_check("  ", &err), LVX_EINVAL);
	assert_int_equal(lvx_voice_check("/usr/bin/spd-say -e", &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "cannot write sound"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_speaks),
		cmocka_unit_test(test_espeak),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_destroyed),
		cmocka_unit_test(test_child),
		cmocka_unit_test(test_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
