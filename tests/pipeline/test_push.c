/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed PCM and containers, against the same file opened as a source. */
#include "drain.h"

#include "base/clock.h"
#include "base/file.h"

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

#define FFMPEG "ffmpeg -nostdin -v error -y "
#define SECOND INT64_C(1000000)

static struct drain d;
static struct lvx_source_stats stats;
static struct lvx_error err;

static void make(const char *command)
{
	assert_true(run_command("cd %s && %s", scratch_dir(), command));
}

struct bytes {
	uint8_t *data;
	size_t len;
};

static struct bytes load(const char *name)
{
	char path[256];
	struct bytes b;
	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	assert_int_equal(lvx_file_read((char **)&b.data, &b.len, path, 1 << 28, NULL), LVX_OK);
	return b;
}

static const struct lvx_push_params container = {
	.format = LVX_PUSH_CONTAINER, .channel = -1, .want_pictures = true};

static void push(struct bytes b, const struct lvx_push_params *p, size_t piece, unsigned seed)
{
	memset(&stats, 0, sizeof(stats));
	drain_init(&d, LVX_RING_PACED, p->want_pictures ? 160 : 0, p->want_pictures ? 96 : 0);
	assert_int_equal(drain_push(&d, p, b.data, b.len, piece, seed, &stats, &err), LVX_OK);
}

static void must_end(void)
{
	if (!drain_saw(&d, LVX_SOURCE_ENDED))
		print_error("%s\n", d.msg);
	assert_true(drain_saw(&d, LVX_SOURCE_LIVE));
	assert_true(drain_saw(&d, LVX_SOURCE_ENDED));
}

/* The file opened as a source: what all pushes must give. */
static void open_file(struct drain *f, const char *name, bool pictures)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	struct lvx_source_params p = {
		.pace = LVX_PACE_MAX, .channel = -1, .want_pictures = pictures};
	drain_init(f, LVX_RING_PACED, pictures ? 160 : 0, pictures ? 96 : 0);
	assert_int_equal(drain_uri(f, &p, path, NULL, &err), LVX_OK);
	assert_true(drain_saw(f, LVX_SOURCE_ENDED));
}

/* Sound and pictures of the push (d) as of the file, sample for sample in time. */
static void same(const struct drain *f, double tolerance)
{
	assert_int_equal(d.n_pieces, 1);
	assert_int_equal(f->n_pieces, 1);
	int64_t off_us = d.pieces[0].pts_us - f->pieces[0].pts_us;
	long off = lround((double)off_us * 0.016);
	assert_in_range(off + 1000, 0, 2000);
	double worst = 0.0;
	size_t n = 0;
	for (size_t i = 400; i + 1400 < f->n; i++) {
		size_t at = (size_t)((long)i - off);
		assert_true(at < d.n);
		worst = fmax(worst, fabs((double)f->pcm[i] - (double)d.pcm[at]));
		n++;
	}
	if (worst > tolerance)
		print_error("differs by %g at offset %ld\n", worst, off);
	assert_true(worst <= tolerance);
	assert_true(n > f->n - 2000);
	assert_true(llabs(drain_end_us(&d) - drain_end_us(f)) < 60000);
	assert_int_equal(d.n_pictures, f->n_pictures);
	for (int i = 0; i < d.n_pictures; i++) {
		/* matroskademux calls the first timestamp of pictures alone 0. */
		assert_true(llabs(d.picture_us[i] - f->picture_us[i]) < 20000);
		for (int k = 0; k < 3; k++)
			assert_true(abs(d.picture_mid[i][k] - f->picture_mid[i][k]) <= 3);
	}
}

/* Raw PCM gives bit for bit what the WAV file gives, in any pieces. */
static void test_pcm(void **state)
{
	(void)state;
	static const struct {
		const char *codec, *raw;
		enum lvx_push_format format;
		uint32_t rate, channels;
	} cases[] = {
		{"pcm_s16le", "s16le", LVX_PUSH_S16LE, 8000, 1},
		{"pcm_s16le", "s16le", LVX_PUSH_S16LE, 16000, 2},
		{"pcm_s16le", "s16le", LVX_PUSH_S16LE, 44100, 2},
		{"pcm_s16le", "s16le", LVX_PUSH_S16LE, 48000, 6},
		{"pcm_f32le", "f32le", LVX_PUSH_F32LE, 48000, 2},
		{"pcm_f32le", "f32le", LVX_PUSH_F32LE, 22050, 1},
		{"pcm_f32le", "f32le", LVX_PUSH_F32LE, 192000, 1},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char cmd[600];
		snprintf(cmd, sizeof(cmd),
			FFMPEG "-f lavfi -i 'sine=440:d=2:r=%u,aeval=val(0)*sin(t*9)+0.01*sin(9999*t)"
			":c=same' -ac %u -c:a %s pcm.wav && " FFMPEG "-i pcm.wav -c copy -f %s pcm.raw",
			cases[i].rate, cases[i].channels, cases[i].codec, cases[i].raw);
		make(cmd);
		struct drain f;
		open_file(&f, "pcm.wav", false);
		struct bytes b = load("pcm.raw");
		struct lvx_push_params p = {.format = cases[i].format,
			.sample_rate = cases[i].rate,
			.channels = cases[i].channels,
			.channel = -1};
		static const size_t pieces[] = {1 << 20, 3, 1000, 70000};
		for (unsigned k = 0; k < 4; k++) {
			push(b, &p, pieces[k], k);
			must_end();
			assert_int_equal(d.n, f.n);
			assert_int_equal(d.n_pieces, 1);
			assert_int_equal(d.pieces[0].pts_us, 0);
			assert_memory_equal(d.pcm, f.pcm, f.n * sizeof(float));
			drain_finish(&d);
		}
		free(b.data);
		drain_finish(&f);
	}
}

static void test_pcm_params(void **state)
{
	(void)state;
	struct lvx_push *p = NULL;
	static const struct lvx_push_params bad[] = {
		{.format = LVX_PUSH_S16LE, .sample_rate = 7999, .channels = 1, .channel = -1},
		{.format = LVX_PUSH_S16LE, .sample_rate = 192001, .channels = 1, .channel = -1},
		{.format = LVX_PUSH_S16LE, .sample_rate = 16000, .channels = 0, .channel = -1},
		{.format = LVX_PUSH_F32LE, .sample_rate = 16000, .channels = 9, .channel = -1},
		{.format = LVX_PUSH_F32LE, .sample_rate = 16000, .channels = 2, .channel = 2},
	};
	drain_init(&d, LVX_RING_LIVE, 0, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(lvx_push_open(&p, &bad[i], d.ring, &d.cb, &err), LVX_EINVAL);
	assert_null(p);
	drain_finish(&d);
}

static void test_containers(void **state)
{
	(void)state;
	make(FFMPEG "-f lavfi -i testsrc=s=320x180:r=25:d=4 -f lavfi -i "
		    "'sine=440:d=4:r=48000,aeval=val(0)*sin(t*9)*0.8:c=same' -c:v libvpx -b:v 500k "
		    "-c:a libopus av.webm && " FFMPEG "-i av.webm -vn -af asetpts=N/SR/TB -c:a libopus a.ogg && " FFMPEG
		    "-i av.webm -vn -af asetpts=N/SR/TB -c:a libvorbis v.ogg && " FFMPEG "-i av.webm -c:v libx264 "
		    "-preset ultrafast -g 25 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof "
		    "frag.mp4 && " FFMPEG "-i frag.mp4 -c copy -movflags faststart fast.mp4 && " FFMPEG
		    "-i frag.mp4 -c copy av.ts && " FFMPEG "-i av.webm -vn -c:a flac a.flac && " FFMPEG
		    "-i av.webm -vn -c:a libmp3lame a.mp3 && " FFMPEG
		    "-i av.webm -vn -c:a pcm_s24le a.wav && " FFMPEG "-i av.webm -an -c copy v.webm");
	static const struct {
		const char *name;
		double tolerance;
	} cases[] = {
		/* Opus goes through libopus in 16 bits there and FFmpeg's own in float here. */
		{"av.webm", 2e-3},
		{"a.ogg", 2e-3},
		{"v.ogg", 1e-4},
		{"frag.mp4", 1e-4},
		{"fast.mp4", 1e-4},
		{"av.ts", 1e-4},
		{"a.flac", 0.0},
		{"a.mp3", 2e-2}, /* begins a third of a sample apart: the encoder's delay */
		{"a.wav", 0.0},
		{"v.webm", 0.0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("# %s\n", cases[i].name);
		struct drain f;
		open_file(&f, cases[i].name, true);
		struct bytes b = load(cases[i].name);
		float *first = NULL;
		for (unsigned k = 0; k < 3; k++) {
			push(b, &container, k == 0 ? 1 << 20 : k == 1 ? 100 : 9000, k);
			must_end();
			same(&f, cases[i].tolerance);
			assert_int_equal(stats.decode_errors, 0);
			if (k == 0) {
				first = malloc(d.n * sizeof(float));
				memcpy(first, d.pcm, d.n * sizeof(float));
			}
			assert_memory_equal(first, d.pcm, d.n * sizeof(float));
			drain_finish(&d);
		}
		free(first);
		free(b.data);
		drain_finish(&f);
	}
}

static void test_ts_wrap_and_gap(void **state)
{
	(void)state;
	make(FFMPEG "-f lavfi -i sine=440:d=6:r=48000 -c:a aac -output_ts_offset 95440 wrap.ts && "
		FFMPEG "-f lavfi -i sine=440:d=3:r=48000 -c:a aac g1.ts && " FFMPEG
		"-f lavfi -i sine=440:d=3:r=48000 -c:a aac -output_ts_offset 10 g2.ts && "
		"cat g1.ts g2.ts >gap.ts && cat g1.ts g1.ts >splice.ts");
	struct bytes b = load("wrap.ts");
	push(b, &container, 2000, 1);
	must_end();
	assert_int_equal(stats.pts_wraps, 1);
	assert_int_equal(stats.pts_jumps, 0);
	assert_int_equal(d.n_pieces, 1);
	assert_int_equal(d.pieces[0].pts_us, 0);
	drain_finish(&d);
	free(b.data);
	b = load("gap.ts");
	push(b, &container, 2000, 1);
	must_end();
	assert_int_equal(d.n_pieces, 2);
	assert_true(llabs(d.pieces[1].pts_us - 9978667) < 2000);
	drain_finish(&d);
	free(b.data);
	b = load("splice.ts");
	push(b, &container, 2000, 1);
	must_end();
	assert_int_equal(stats.pts_jumps, 1);
	assert_int_equal(d.n_pieces, 1);
	assert_true(llabs(drain_end_us(&d) - 6059000) < 60000);
	drain_finish(&d);
	free(b.data);
}

static void must_fail(const void *data, size_t len, const char *why)
{
	push((struct bytes){(uint8_t *)(uintptr_t)data, len}, &container, 5000, 1);
	if (!drain_saw(&d, LVX_SOURCE_FAILED) || !strstr(d.msg, why)) {
		print_error("not \"%s\" but \"%s\"\n", why, d.msg);
		fail();
	}
	assert_int_equal(d.n, 0);
	drain_finish(&d);
}

static void test_hostile(void **state)
{
	(void)state;
	scratch_noise("noise", 20000);
	make(FFMPEG "-i fast.mp4 -c copy late.mp4; " FFMPEG
		    "-f lavfi -i testsrc=d=1 -frames:v 1 still.png; " FFMPEG
		    "-i a.wav -c:a wmav2 a.wma");
	struct bytes b = load("late.mp4");
	must_fail(b.data, b.len, "its index (moov) must come first");
	free(b.data);
	b = load("noise");
	must_fail(b.data, b.len, "no media that can be decoded");
	free(b.data);
	b = load("a.wma"); /* a format that is not let in */
	must_fail(b.data, b.len, "no media that can be decoded");
	free(b.data);
	must_fail("", 0, "ended before any media came");
	/* Nothing outside the bytes is ever opened. */
	char list[400];
	snprintf(list, sizeof(list),
		"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://%s/av.ts\n#EXT-X-ENDLIST\n",
		scratch_dir());
	must_fail(list, strlen(list), "no media that can be decoded");
	snprintf(list, sizeof(list), "ffconcat version 1.0\nfile '%s/av.ts'\n", scratch_dir());
	must_fail(list, strlen(list), "no media that can be decoded");
	/* Everything cut short and with bytes flipped: an orderly end of either kind. */
	static const char *const names[] = {
		"av.webm", "a.ogg", "frag.mp4", "av.ts", "a.flac", "a.mp3", "a.wav"};
	unsigned seed = 99;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		b = load(names[i]);
		for (int k = 0; k < 6; k++) {
			struct bytes c = {malloc(b.len), b.len};
			memcpy(c.data, b.data, b.len);
			for (int n = 0; n < (1 << k); n++) {
				seed = seed * 1664525u + 1013904223u;
				c.data[(seed >> 4) % (k < 3 ? 2000 : b.len)] ^= (uint8_t)(seed >> 24);
			}
			if (k % 2)
				c.len = b.len / (unsigned)(k + 1);
			push(c, &container, 5000, seed);
			assert_true(drain_saw(&d, LVX_SOURCE_ENDED) ||
				    drain_saw(&d, LVX_SOURCE_FAILED));
			drain_finish(&d);
			free(c.data);
		}
		free(b.data);
	}
}

static _Atomic int rooms;

static void on_room(void *user)
{
	(void)user;
	atomic_fetch_add(&rooms, 1);
}

/* A reader that does not read: the queue fills, the caller is told and called. */
static void test_back_pressure(void **state)
{
	(void)state;
	struct lvx_push_params p = {
		.format = LVX_PUSH_S16LE, .sample_rate = 16000, .channels = 1, .channel = -1,
		.queue_bytes = 65536};
	struct lvx_push *push_;
	static uint8_t zero[200000];
	size_t taken;
	drain_init(&d, LVX_RING_PACED, 0, 0);
	assert_int_equal(lvx_push_open(&push_, &p, d.ring, &d.cb, &err), LVX_OK);
	lvx_push_set_room(push_, on_room, NULL);
	/* The ring takes 2 s = 64,000 bytes, the queue the same again. */
	size_t total = 0;
	enum lvx_status st = LVX_OK;
	for (int64_t t = lvx_now_us(); total < 128000 && lvx_now_us() - t < DRAIN_PATIENCE_US;) {
		st = lvx_push_write(push_, zero, sizeof(zero), &taken);
		total += taken;
		lvx_sleep_us(5000);
	}
	assert_int_equal(st, LVX_AGAIN);
	assert_in_range(total, 128000, 160000);
	assert_int_equal(lvx_push_write(push_, zero, sizeof(zero), &taken), LVX_AGAIN);
	int before = atomic_load(&rooms);
	DRAIN_UNTIL(&d, atomic_load(&rooms) > before);
	assert_true(atomic_load(&rooms) > before);
	assert_int_equal(lvx_push_write(push_, zero, 100, &taken), LVX_OK);
	/* Closed while it waits for room, and without having finished. */
	while (lvx_push_write(push_, zero, sizeof(zero), &taken) == LVX_OK)
		continue;
	lvx_push_close(push_);
	drain_finish(&d);
}

/* The first sound comes out long before the last byte went in. */
static void test_starts_early(void **state)
{
	(void)state;
	static const char *const names[] = {"av.webm", "a.ogg", "frag.mp4", "av.ts"};
	for (size_t i = 0; i < 4; i++) {
		struct bytes b = load(names[i]);
		struct lvx_push *p;
		size_t taken, at = 0;
		drain_init(&d, LVX_RING_LIVE, 160, 96);
		assert_int_equal(lvx_push_open(&p, &container, d.ring, &d.cb, &err), LVX_OK);
		while (at < b.len / 2 && d.n == 0) {
			lvx_push_write(p, b.data + at, 2000, &taken);
			at += 2000;
			lvx_bell_wait(d.bell, 20000);
			drain_some(&d);
		}
		DRAIN_UNTIL(&d, d.n > 0);
		print_message("# %s: sound after %.0f %% of it\n", names[i],
			100.0 * (double)at / (double)b.len);
		assert_true(d.n > 0);
		lvx_push_close(p);
		drain_finish(&d);
		free(b.data);
	}
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
	if (!run_command("ffmpeg -version >/dev/null 2>&1")) {
		printf("1..0 # SKIP the ffmpeg command is missing\n");
		return 0;
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pcm),
		cmocka_unit_test(test_pcm_params),
		cmocka_unit_test(test_containers),
		cmocka_unit_test(test_ts_wrap_and_gap),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_starts_early),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
