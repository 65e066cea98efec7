/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The microphone on a real PortAudio device without hardware: ALSA's file
 * plug-in as the default device. It has no clock and hands out samples as fast
 * as one takes them, so the times that come out are ours.
 */
#include "drain.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000)

static struct drain d;
static struct lvx_source *source;
static struct lvx_source_stats stats;
static struct lvx_error err;
/* The timeline's 0, the device's first sample, lies between these two. */
static int64_t opened_us, seen_us;

static void begin(const char *uri, enum lvx_ring_mode mode, int channel)
{
	struct lvx_source_params p = {.uri = uri, .channel = channel};
	drain_init(&d, mode, 0, 0);
	opened_us = lvx_now_us();
	assert_int_equal(lvx_source_open(&source, &p, d.ring, &d.cb, &err), LVX_OK);
}

static void end(void)
{
	lvx_source_get_stats(source, &stats);
	int64_t t = lvx_now_us();
	lvx_source_close(source);
	assert_true(lvx_now_us() - t < DRAIN_CLOSE_US);
	drain_finish(&d);
}

static void wait_live(void)
{
	DRAIN_UNTIL(&d, d.n > 0 && drain_saw(&d, LVX_SOURCE_LIVE));
	seen_us = lvx_now_us();
	assert_true(d.n > 0);
	assert_true(drain_saw(&d, LVX_SOURCE_LIVE));
}

/* No sample comes before its time, but for the 100 ms that a device may be ahead. */
static bool is_ahead(void)
{
	int64_t end_us = drain_end_us(&d);
	return end_us > lvx_now_us() - opened_us + 101000;
}

/* All that was heard up to now has come. A busy machine is late: wait for it. */
static bool is_complete(void)
{
	int64_t now = lvx_now_us();
	drain_some(&d);
	return drain_end_us(&d) > now - seen_us - 50000;
}

static void test_list(void **state)
{
	(void)state;
	struct lvx_audio_device list[8];
	int n = lvx_mic_list(list, 8, &err);
	assert_true(n >= 1);
	bool found = false;
	for (int i = 0; i < n && i < 8; i++) {
		print_message("# %s: %d channels, %.0f Hz%s\n", list[i].name, list[i].max_channels,
			list[i].default_rate, list[i].is_default ? ", default" : "");
		assert_true(list[i].max_channels >= 1);
		found |= list[i].is_default;
	}
	assert_true(found);
	assert_int_equal(lvx_mic_list(list, 0, &err), n);
}

/* Whole sound, and true times: as much of it as time went by. */
static void test_sound_and_times(void **state)
{
	(void)state;
	begin("mic:", LVX_RING_LIVE, -1);
	wait_live();
	for (int i = 0; i < 10; i++) {
		drain_run(&d, 200000);
		assert_false(is_ahead());
		DRAIN_UNTIL(&d, is_complete());
		assert_true(is_complete());
	}
	assert_false(is_ahead());
	assert_int_equal(d.n_pieces, 1);
	assert_int_equal(d.pieces[0].pts_us, 0);
	assert_true(tone_share(d.pcm + 1600, 24000, 500, 16000) > 0.999);
	assert_true(fabs(rms(d.pcm + 1600, 24000) - 0.25 / sqrt(2.0)) < 0.001);
	end();
	assert_int_equal(stats.input_overruns, 0);
	assert_int_equal(stats.pts_jumps, 0);
}

static void test_names_and_channels(void **state)
{
	(void)state;
	begin("mic:DEFAULT", LVX_RING_LIVE, 0);
	wait_live();
	end();
	begin("mic:no such device", LVX_RING_LIVE, -1);
	DRAIN_UNTIL(&d, d.ended && drain_saw(&d, LVX_SOURCE_FAILED));
	assert_true(d.ended);
	assert_true(drain_saw(&d, LVX_SOURCE_FAILED));
	assert_non_null(strstr(d.msg, "no input device \"no such device\""));
	end();
}

/* What the timeline leaves out between the runs of samples. */
static int64_t gaps_us(void)
{
	int64_t sum = 0;
	for (int i = 1; i < d.n_pieces; i++) {
		const struct piece *p = &d.pieces[i], *q = p - 1;
		sum += p->pts_us - q->pts_us - (int64_t)(p->at - q->at) * SECOND / 16000;
	}
	return sum;
}

/* The losses counted, but for 100 ms of jitter, are gaps of the timeline. */
static bool gaps_are_losses(void)
{
	lvx_source_get_stats(source, &stats);
	return llabs(gaps_us() - (int64_t)stats.input_overruns * SECOND / 16000) < 110000;
}

/* Who does not read loses the newest; it is counted, and the timeline shows it. */
static void test_overrun(void **state)
{
	(void)state;
	begin("mic:", LVX_RING_PACED, -1);
	wait_live();
	/* The ring holds 2 s, the queue 2 s. */
	for (int64_t t = lvx_now_us(); lvx_now_us() - t < DRAIN_PATIENCE_US;) {
		lvx_sleep_us(20000);
		lvx_source_get_stats(source, &stats);
		if (stats.input_overruns >= 24000)
			break;
	}
	assert_true(stats.input_overruns >= 24000);
	assert_true(lvx_now_us() - opened_us > 5 * SECOND);
	DRAIN_UNTIL(&d, d.n_pieces >= 2 && is_complete() && gaps_are_losses());
	assert_true(d.n_pieces >= 2);
	assert_true(gaps_are_losses());
	assert_false(is_ahead());
	end();
}

static void test_two_at_once(void **state)
{
	(void)state;
	static struct drain other;
	struct lvx_source *second;
	struct lvx_source_params p = {.uri = "mic:", .channel = -1};
	begin("mic:", LVX_RING_LIVE, -1);
	drain_init(&other, LVX_RING_LIVE, 0, 0);
	assert_int_equal(lvx_source_open(&second, &p, other.ring, &other.cb, &err), LVX_OK);
	wait_live();
	DRAIN_UNTIL(&other, other.n > 1600);
	assert_true(other.n > 1600);
	lvx_source_close(second);
	drain_finish(&other);
	/* The one that stays goes on. */
	drain_some(&d);
	size_t n = d.n;
	DRAIN_UNTIL(&d, d.n > n + 1600);
	assert_true(d.n > n + 1600);
	end();
}

static bool prepare(void)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/tone.raw", scratch_dir());
	FILE *f = fopen(path, "wb");
	if (!f)
		return false;
	for (int i = 0; i < 16000 * 30; i++) {
		int16_t v = (int16_t)lrint(0.25 * 32768.0 * sin(2.0 * M_PI * 500.0 * i / 16000.0));
		fwrite(&v, sizeof(v), 1, f);
	}
	fclose(f);
	snprintf(path, sizeof(path), "%s/asoundrc", scratch_dir());
	f = fopen(path, "w");
	if (!f)
		return false;
	fprintf(f, "pcm.default { type file slave.pcm { type null } file /dev/null "
		   "infile %s/tone.raw format raw }\n", scratch_dir());
	fclose(f);
	return setenv("ALSA_CONFIG_PATH", path, 1) == 0;
}

static int teardown(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	struct lvx_audio_device device;
	if (!prepare() || lvx_mic_list(&device, 1, NULL) < 1) {
		scratch_remove();
		printf("1..0 # SKIP PortAudio is without ALSA, or ALSA without its file plug-in\n");
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_sound_and_times),
		cmocka_unit_test(test_names_and_channels),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_two_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
