/* SPDX-License-Identifier: Apache-2.0 */
/* The encoded programme of sources and pushes is what went in, with its times. */
#include "drain.h"
#include "pipeline/tap.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* matroskademux begins with a segment from its first timestamp, then says one from 0. */
enum { N_MAX = 4096, MKV_US = 30000 };

struct taken {
	struct lvx_units *units;
	struct lvx_unit_reader *reader;
	uint64_t slices; /* hash of the coded slices' bytes */
	uint64_t n[2], n_key, n_breaks;
	int64_t pts_us[2][N_MAX];
	int64_t last_dts_us[2];
	struct lvx_unit_format format[2];
	bool bad;
};

static void take_init(struct taken *t)
{
	memset(t, 0, sizeof(*t));
	assert_int_equal(lvx_units_create(&t->units, 0, 0, NULL), LVX_OK);
	assert_int_equal(lvx_units_open(&t->reader, t->units, NULL, NULL), LVX_OK);
}

static void take_finish(struct taken *t)
{
	lvx_units_close(t->reader);
	lvx_units_unref(t->units);
}

/* Hashes the NAL units of slices; returns whether parameter sets come before the first. */
static bool hash_slices(uint64_t *hash, const uint8_t *p, size_t n, bool hevc)
{
	bool sets = false, slice = false;
	size_t at = 0;
	while (at + 3 <= n && !(p[at] == 0 && p[at + 1] == 0 && p[at + 2] == 1))
		at++;
	while (at + 3 < n) {
		size_t from = at + 3, to = from;
		while (to + 3 <= n && !(p[to] == 0 && p[to + 1] == 0 && p[to + 2] == 1))
			to++;
		at = to;
		if (to + 3 > n)
			to = at = n;
		while (to > from && p[to - 1] == 0)
			to--;
		unsigned type = hevc ? p[from] >> 1 & 0x3f : p[from] & 0x1f;
		if (type == (hevc ? 33 : 7) && !slice)
			sets = true;
		if (hevc ? type >= 32 : type != 1 && type != 5)
			continue;
		slice = true;
		for (size_t i = from; i < to; i++)
			*hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3);
	}
	return sets;
}

static void take_all(struct taken *t)
{
	const struct lvx_unit *u;
	while (lvx_units_next(t->reader, &u) == LVX_OK) {
		int m = u->media == LVX_UNIT_VIDEO;
		bool hevc = strcmp(u->format->codec, "hevc") == 0;
		if (m && (hevc || strcmp(u->format->codec, "h264") == 0)) {
			bool sets = hash_slices(&t->slices, u->data, u->len, hevc);
			t->bad |= u->keyframe && !sets;
			t->n_key += u->keyframe;
		}
		t->bad |= u->pts_us < u->dts_us;
		t->bad |= !u->discontinuity && t->n[m] && u->dts_us <= t->last_dts_us[m];
		t->bad |= m && t->n[m] == 0 && !u->keyframe;
		t->n_breaks += u->discontinuity;
		t->last_dts_us[m] = u->dts_us;
		t->format[m] = *u->format;
		t->format[m].extra = NULL;
		if (t->n[m] < N_MAX)
			t->pts_us[m][t->n[m]] = u->pts_us;
		t->n[m]++;
		lvx_unit_unref(u);
	}
}

static uint8_t *read_all(const char *name, size_t *len)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	FILE *f = fopen(path, "rb");
	assert_non_null(f);
	uint8_t *data = malloc(16 << 20);
	*len = fread(data, 1, 16 << 20, f);
	fclose(f);
	return data;
}

/* What FFmpeg finds in it. */
static uint64_t reference(const char *file, bool hevc)
{
	size_t len;
	uint64_t hash = 0;
	assert_true(run_command(
		"cd %s && ffmpeg -v error -y -i %s -map 0:v -c copy -bsf:v %s_mp4toannexb "
		"-f %s ref.bin",
		scratch_dir(), file, hevc ? "hevc" : "h264", hevc ? "hevc" : "h264"));
	uint8_t *data = read_all("ref.bin", &len);
	hash_slices(&hash, data, len, hevc);
	free(data);
	return hash;
}

static int by_time(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

/* Every picture there, one frame apart, from about first_us on; slack: the container's rounding. */
static void check_pictures(struct taken *t, uint64_t n, double frame_us, int64_t slack_us)
{
	assert_int_equal(t->n[1], n);
	assert_false(t->bad);
	qsort(t->pts_us[1], n, sizeof(int64_t), by_time);
	for (uint64_t i = 0; i < n; i++) {
		int64_t off_us = t->pts_us[1][n - 1] - t->pts_us[1][i] -
				 (int64_t)((double)(n - 1 - i) * frame_us);
		if (off_us <= -slack_us || off_us >= slack_us)
			print_message("# picture %d is off by %lld\n", (int)i, (long long)off_us);
		assert_true(off_us > -slack_us && off_us < slack_us);
	}
}

static void run_source(struct taken *t, const char *file, struct lvx_source_params *p)
{
	struct drain d;
	char path[256];
	struct lvx_error err = {0};
	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), file);
	drain_init(&d, LVX_RING_PACED, p->want_pictures ? 64 : 0, p->want_pictures ? 36 : 0);
	take_init(t);
	p->units = t->units;
	p->pace = LVX_PACE_MAX;
	p->channel = -1;
	assert_int_equal(drain_uri(&d, p, path, NULL, &err), LVX_OK);
	assert_true(drain_saw(&d, LVX_SOURCE_ENDED));
	drain_finish(&d);
	take_all(t);
	take_finish(t);
}

static void run_push(struct taken *t, const char *file, bool pictures)
{
	struct drain d;
	struct lvx_error err = {0};
	size_t len;
	uint8_t *data = read_all(file, &len);
	drain_init(&d, LVX_RING_PACED, pictures ? 64 : 0, pictures ? 36 : 0);
	take_init(t);
	struct lvx_push_params p = {.format = LVX_PUSH_CONTAINER,
		.channel = -1,
		.want_pictures = pictures,
		.units = t->units};
	assert_int_equal(drain_push(&d, &p, data, len, 20000, 7, NULL, &err), LVX_OK);
	assert_true(drain_saw(&d, LVX_SOURCE_ENDED));
	drain_finish(&d);
	take_all(t);
	take_finish(t);
	free(data);
}

static struct taken taken; /* large */

static int make_clips(void **state)
{
	(void)state;
	bool ok = run_command(
		"cd %s && "
		"ffmpeg -v error -y -f lavfi -i testsrc2=size=192x108:rate=30000/1001:duration=4 "
		"-f lavfi -i sine=440:duration=4 -c:v libx264 -preset fast -bf 3 -g 30 -c:a aac "
		"a.mp4 && "
		"ffmpeg -v error -y -i a.mp4 -c copy a.ts && ffmpeg -v error -y -i a.mp4 -c copy "
		"a.mkv && "
		"ffmpeg -v error -y -i a.mp4 -c copy a.flv && "
		"ffmpeg -v error -y -i a.mp4 -c copy -movflags +frag_keyframe+empty_moov f.mp4 && "
		"ffmpeg -v error -y -i a.mp4 -c:v libx265 -preset ultrafast "
		"-x265-params log-level=none:bframes=3:keyint=30 -c:a libopus h.mkv && "
		"ffmpeg -v error -y -i a.mp4 -r 25 -c:v libvpx -deadline realtime -c:a libopus "
		"v.webm",
		scratch_dir());
	return ok ? 0 : -1;
}

static int remove_clips(void **state)
{
	(void)state;
	scratch_remove();
	return 0;
}

static void test_files(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		bool pictures;
		int64_t slack_us;
	} cases[] = {{"a.mp4", false, 1000}, {"a.mp4", true, 1000}, {"a.ts", false, 1000},
		{"a.mkv", false, MKV_US}, {"a.flv", true, 2000}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lvx_source_params p = {.want_pictures = cases[i].pictures};
		run_source(&taken, cases[i].file, &p);
		print_message("# %s: %llu pictures, %llu of sound\n", cases[i].file,
			(unsigned long long)taken.n[1], (unsigned long long)taken.n[0]);
		check_pictures(&taken, 120, 1e6 * 1001 / 30000, cases[i].slack_us);
		assert_true(taken.slices == reference(cases[i].file, false));
		assert_string_equal(taken.format[1].codec, "h264");
		assert_int_equal(taken.format[1].width, 192);
		assert_string_equal(taken.format[0].codec, "aac");
		assert_true(taken.format[0].n_extra >= 2);
		assert_true(taken.n[0] > 165 && taken.n[0] < 180);
		assert_int_equal(taken.n_key, 4);
		assert_int_equal(taken.n_breaks, 0);
	}
}

static void test_pushes(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		bool pictures;
		int64_t slack_us;
	} cases[] = {{"f.mp4", false, 1000}, {"f.mp4", true, 1000}, {"a.ts", true, 1000},
		{"a.mkv", false, 2000}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		run_push(&taken, cases[i].file, cases[i].pictures);
		print_message("# %s: %llu pictures, %llu of sound\n", cases[i].file,
			(unsigned long long)taken.n[1], (unsigned long long)taken.n[0]);
		check_pictures(&taken, 120, 1e6 * 1001 / 30000, cases[i].slack_us);
		assert_true(taken.slices == reference(cases[i].file, false));
		assert_string_equal(taken.format[0].codec, "aac");
		assert_true(taken.format[0].n_extra >= 2);
		assert_int_equal(taken.n_breaks, 0);
	}
}

static void test_other_codecs(void **state)
{
	(void)state;
	struct lvx_source_params p = {.want_pictures = false};
	run_source(&taken, "h.mkv", &p);
	check_pictures(&taken, 120, 1e6 * 1001 / 30000, MKV_US);
	assert_true(taken.slices == reference("h.mkv", true));
	assert_string_equal(taken.format[1].codec, "hevc");
	assert_string_equal(taken.format[0].codec, "opus");
	assert_int_equal(taken.format[0].n_extra, 19);
	run_push(&taken, "h.mkv", false);
	check_pictures(&taken, 120, 1e6 * 1001 / 30000, 2000);
	assert_true(taken.slices == reference("h.mkv", true));
	run_source(&taken, "v.webm", &p);
	check_pictures(&taken, 101, 40000, MKV_US);
	assert_string_equal(taken.format[1].codec, "vp8");
	run_push(&taken, "v.webm", false);
	check_pictures(&taken, 101, 40000, 2000);
}

/* ---- times, without a source ---- */

static void put(struct lvx_tap *tap, int64_t dts_us, bool known, int64_t offset_us)
{
	struct lvx_tap_packet p = {.data = (const uint8_t *)"x",
		.len = 1,
		.pts_us = dts_us,
		.dts_us = dts_us,
		.keyframe = true};
	lvx_tap_put(tap, LVX_SOUND, &p, known, offset_us, false);
}

static void test_waits_for_its_time(void **state)
{
	(void)state;
	struct lvx_tap *tap;
	struct lvx_unit_format f = {.codec = "opus"};
	take_init(&taken);
	assert_int_equal(lvx_tap_create(&tap, taken.units, NULL), LVX_OK);
	lvx_tap_add(tap, LVX_SOUND, "de");
	lvx_tap_format(tap, LVX_SOUND, &f);
	put(tap, 1000000, false, 0);
	put(tap, 1020000, false, 0);
	take_all(&taken);
	assert_int_equal(taken.n[0], 0);
	put(tap, 1040000, true, -1000000);
	take_all(&taken);
	assert_int_equal(taken.n[0], 3);
	assert_int_equal(taken.pts_us[0][0], 0);
	assert_int_equal(taken.pts_us[0][2], 40000);
	assert_int_equal(taken.n_breaks, 0);
	/* The source's clock jumps: where that lies is known when it has been decoded. */
	put(tap, 90000000, true, -1000000);
	put(tap, 90020000, true, -1000000);
	take_all(&taken);
	assert_int_equal(taken.n[0], 3);
	put(tap, 90040000, true, -89940000);
	take_all(&taken);
	assert_int_equal(taken.n[0], 6);
	assert_int_equal(taken.pts_us[0][3], 60000);
	assert_int_equal(taken.n_breaks, 1);
	/* A gap that is one: not for ever. */
	for (int i = 0; i < 100; i++)
		put(tap, 100000000 + i * 20000, true, -89940000);
	take_all(&taken);
	assert_int_equal(taken.n[0], 106);
	assert_int_equal(taken.n_breaks, 1);
	/* Lost, and back on another clock. */
	put(tap, 200000000, true, -89940000);
	lvx_tap_break(tap);
	put(tap, 5000, false, 0);
	put(tap, 25000, true, 40000000);
	take_all(&taken);
	assert_int_equal(taken.n[0], 108);
	assert_int_equal(taken.pts_us[0][106], 40005000);
	assert_int_equal(taken.n_breaks, 2);
	/* Nobody tells where it lies: bounded. */
	lvx_tap_break(tap);
	for (int i = 0; i < 10000; i++)
		put(tap, i * 20000, false, 0);
	put(tap, INT64_MAX, true, INT64_MAX);
	put(tap, INT64_MIN, true, INT64_MIN);
	lvx_tap_put(tap, LVX_SOUND, NULL, true, 0, true);
	take_all(&taken);
	assert_true(taken.n[0] <= 108 + 256 + 2);
	lvx_tap_destroy(tap);
	take_finish(&taken);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_for_its_time),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_pushes),
		cmocka_unit_test(test_other_codecs),
	};
	return cmocka_run_group_tests(tests, make_clips, remove_clips);
}
