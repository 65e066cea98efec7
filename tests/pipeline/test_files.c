/* SPDX-License-Identifier: Apache-2.0 */
/* Files through GStreamer. The media are made here by the ffmpeg command. */
#include "drain.h"

#include "pipeline/extractor.h"

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
#define TONE(hz, seconds, rate) "-f lavfi -i sine=" #hz ":d=" #seconds ":r=" #rate " "
#define VIDEO(seconds, rate) "-f lavfi -i testsrc=s=160x120:r=" #rate ":d=" #seconds " "
#define X264 "-c:v libx264 -preset ultrafast -pix_fmt yuv420p "
#define SECOND INT64_C(1000000)

static struct drain d;
static struct lvx_source_stats stats;
static struct lvx_error err;
static char path[256];

static const char *file(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", scratch_dir(), name);
	return path;
}

/* Makes a file in the scratch directory; %s in the command is its folder. */
static void make(const char *command)
{
	assert_true(run_command("cd %s && %s", scratch_dir(), command));
}

static struct lvx_source_params defaults(void)
{
	return (struct lvx_source_params){.pace = LVX_PACE_MAX, .channel = -1};
}

static void play(const char *name, struct lvx_source_params p)
{
	memset(&stats, 0, sizeof(stats));
	memset(&err, 0, sizeof(err));
	drain_init(&d, LVX_RING_PACED, p.want_pictures ? 160 : 0, p.want_pictures ? 96 : 0);
	enum lvx_status st = drain_uri(&d, &p, file(name), &stats, &err);
	if (st != LVX_OK)
		print_error("%s: %s %s; %zu samples, %s\n", name, lvx_status_name(st), err.msg, d.n,
			d.msg);
	assert_int_equal(st, LVX_OK);
}

static void must_end(void)
{
	if (!drain_saw(&d, LVX_SOURCE_LIVE) || !drain_saw(&d, LVX_SOURCE_ENDED))
		print_error("%s; %zu samples\n", d.msg, d.n);
	assert_true(drain_saw(&d, LVX_SOURCE_LIVE));
	assert_true(drain_saw(&d, LVX_SOURCE_ENDED));
	assert_string_equal(d.msg, "");
}

static void near_us(int64_t got, int64_t want, int64_t tolerance)
{
	if (llabs(got - want) <= tolerance)
		return;
	print_error("%.6f s, not %.6f s\n", (double)got * 1e-6, (double)want * 1e-6);
	fail();
}

/* The tone is there, a second of it from a quarter second in. */
static void has_tone(double hz)
{
	assert_true(d.n >= 20000);
	assert_true(tone_share(d.pcm + 4000, 16000, hz, 16000) > 0.95);
}

static void test_8khz(void **state)
{
	(void)state;
	make(FFMPEG TONE(440, 3, 8000) "-ac 1 t8k.wav");
	play("t8k.wav", defaults());
	must_end();
	has_tone(440);
	assert_int_equal(d.n, 48000);
	assert_int_equal(d.n_pieces, 1);
	assert_int_equal(d.pieces[0].pts_us, 0);
	assert_int_equal(stats.duration_us, 3 * SECOND);
	drain_finish(&d);
}

static void test_names_with_odd_characters(void **state)
{
	(void)state;
	make("cp t8k.wav 'a b%20#?\303\274:c.wav'");
	play("a b%20#?\303\274:c.wav", defaults());
	must_end();
	has_tone(440);
	drain_finish(&d);
}

static void test_51(void **state)
{
	(void)state;
	make(FFMPEG TONE(300, 3, 48000) TONE(500, 3, 48000) TONE(700, 3, 48000) TONE(60, 3, 48000)
		     TONE(1100, 3, 48000) TONE(1300, 3, 48000)
		"-filter_complex '[0][1][2][3][4][5]join=inputs=6:channel_layout=5.1[a]' "
		"-map '[a]' -c:a flac s51.mkv");
	struct lvx_source_params p = defaults();
	/* ffmpeg's join puts the first mono input into the centre. */
	static const double hz[] = {500, 700, 300, 60, 1100, 1300};
	for (p.channel = 0; p.channel < 6; p.channel++) {
		play("s51.mkv", p);
		must_end();
		has_tone(hz[p.channel]);
		drain_finish(&d);
	}
	/* Mixed down: the centre weighs most, the bass nothing. */
	p.channel = -1;
	play("s51.mkv", p);
	must_end();
	double centre = tone_share(d.pcm + 4000, 16000, 300, 16000);
	assert_true(centre > tone_share(d.pcm + 4000, 16000, 700, 16000) * 1.5);
	assert_true(centre > tone_share(d.pcm + 4000, 16000, 1100, 16000) * 3.0);
	assert_true(tone_share(d.pcm + 4000, 16000, 60, 16000) < 0.001);
	drain_finish(&d);
	p.channel = 6;
	play("s51.mkv", p);
	assert_true(drain_saw(&d, LVX_SOURCE_FAILED));
	assert_non_null(strstr(d.msg, "no channel 6"));
	drain_finish(&d);
}

static void test_pictures_only(void **state)
{
	(void)state;
	make(FFMPEG VIDEO(4, 25) X264 "vonly.mp4");
	struct lvx_source_params p = defaults();
	play("vonly.mp4", p);
	assert_true(drain_saw(&d, LVX_SOURCE_FAILED));
	assert_non_null(strstr(d.msg, "has no sound, and pictures are not wanted"));
	drain_finish(&d);
	p.want_pictures = true;
	play("vonly.mp4", p);
	must_end();
	/* Silence along the pictures, so that there are slots. */
	assert_int_equal(d.n, 64000);
	assert_true(rms(d.pcm, d.n) == 0.0);
	assert_int_equal(d.n_pictures, 20); /* no more than five a second */
	for (int i = 0; i < 20; i++)
		near_us(d.picture_us[i], i * 200000, 1);
	drain_finish(&d);
}

static void test_colours_and_variable_rate(void **state)
{
	(void)state;
	/* Red, then (from 2 s on) blue; 3 pictures a second, then 30. */
	make(FFMPEG "-f lavfi -i color=red:s=320x180:r=30:d=2 "
		    "-f lavfi -i color=blue:s=320x180:r=30:d=2 " TONE(440, 4, 44100)
		"-filter_complex \"[0][1]concat,select='if(lt(t,2),not(mod(n,10)),1)'[v]\" "
		"-map '[v]' -map 2 -vsync vfr " X264 "-c:a aac vfr.mp4");
	struct lvx_source_params p = defaults();
	p.want_pictures = true;
	play("vfr.mp4", p);
	must_end();
	has_tone(440);
	assert_in_range(d.n_pictures, 14, 18);
	for (int i = 0; i < d.n_pictures; i++) {
		const uint8_t *rgb = d.picture_mid[i];
		bool red = d.picture_us[i] < 2 * SECOND;
		if (i > 0 && red)
			near_us(d.picture_us[i] - d.picture_us[i - 1], 333333, 1000);
		assert_true(red ? rgb[0] > 240 && rgb[2] < 15 : rgb[0] < 15 && rgb[2] > 240);
	}
	drain_finish(&d);
}

static void test_tracks(void **state)
{
	(void)state;
	static const char *const names[] = {"two.mkv", "two.mp4", "two.ts"};
	static const struct {
		const char *track;
		double hz;
	} cases[] = {{NULL, 300}, {"0", 300}, {"1", 900}, {"en", 300}, {"de", 900}, {"ger", 900},
		{"deu", 900}, {"de-AT", 900}, {"fr", 0}, {"2", 0}};
	for (int f = 0; f < 3; f++) {
		char command[400];
		snprintf(command, sizeof(command),
			FFMPEG TONE(300, 3, 44100) TONE(900, 3, 44100) "-map 0 -map 1 "
			"-metadata:s:a:0 language=eng -metadata:s:a:1 language=ger -c:a %s %s",
			f == 2 ? "mp2" : "aac", names[f]);
		make(command);
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct lvx_source_params p = defaults();
			p.audio_track = cases[i].track;
			play(names[f], p);
			if (cases[i].hz > 0) {
				must_end();
				if (d.n < 20000)
					print_error("%s track %s: %zu samples from %lld\n", names[f],
						cases[i].track, d.n,
						(long long)(d.n_pieces ? d.pieces[0].pts_us : -1));
				has_tone(cases[i].hz);
			} else {
				assert_true(drain_saw(&d, LVX_SOURCE_FAILED));
				assert_non_null(strstr(d.msg, "has no audio track \""));
			}
			drain_finish(&d);
		}
	}
}

/* Rate and channels change in the middle, of MPEG-TS and of chained Ogg. */
static void test_format_change(void **state)
{
	(void)state;
	make(FFMPEG TONE(440, 3, 48000) "-ac 2 -c:a aac a1.ts && " FFMPEG TONE(440, 3, 44100)
		"-ac 1 -c:a aac -output_ts_offset 3 a2.ts && cat a1.ts a2.ts >change.ts");
	play("change.ts", defaults());
	must_end();
	has_tone(440);
	assert_true(tone_share(d.pcm + d.n - 30000, 16000, 440, 16000) > 0.95);
	near_us(drain_end_us(&d), 6 * SECOND, 150000);
	drain_finish(&d);
	/* Another codec under the same PID; chained Ogg. */
	make(FFMPEG TONE(880, 3, 44100) "-ac 1 -c:a mp2 b2.ts && cat a1.ts b2.ts >codec.ts && " FFMPEG
		TONE(440, 3, 48000) "-c:a libopus c1.ogg && " FFMPEG TONE(880, 3, 48000)
		"-ac 2 -c:a libopus c2.ogg && cat c1.ogg c2.ogg >opus.ogg && " FFMPEG
		TONE(440, 3, 48000) "-c:a libvorbis v1.ogg && " FFMPEG TONE(880, 3, 44100)
		"-ac 2 -c:a libvorbis v2.ogg && cat v1.ogg v2.ogg >vorbis.ogg");
	static const char *const names[] = {"codec.ts", "opus.ogg", "vorbis.ogg"};
	for (int i = 0; i < 3; i++) {
		play(names[i], defaults());
		must_end();
		has_tone(440);
		assert_true(tone_share(d.pcm + d.n - 30000, 16000, 880, 16000) > 0.95);
		near_us(drain_end_us(&d), 6 * SECOND, 150000);
		drain_finish(&d);
	}
}

static void test_ts_wrap(void **state)
{
	(void)state;
	make(FFMPEG VIDEO(8, 25) TONE(440, 8, 48000) X264
		"-c:a aac -output_ts_offset 95440 -muxdelay 0 wrap.ts");
	struct lvx_source_params p = defaults();
	p.want_pictures = true;
	play("wrap.ts", p);
	must_end();
	assert_int_equal(stats.pts_wraps, 1);
	assert_int_equal(stats.pts_jumps, 0);
	assert_int_equal(d.n_pieces, 1);
	near_us(drain_end_us(&d), 8 * SECOND, 50000);
	assert_int_equal(d.n_pictures, 40);
	for (int i = 1; i < 40; i++)
		near_us(d.picture_us[i] - d.picture_us[i - 1], 200000, 1000);
	drain_finish(&d);
}

static void test_ts_gap(void **state)
{
	(void)state;
	make(FFMPEG TONE(440, 3, 48000) "-ac 1 -c:a aac g1.ts && " FFMPEG TONE(440, 3, 48000)
		"-ac 1 -c:a aac -output_ts_offset 10 g2.ts && cat g1.ts g2.ts >gap.ts");
	play("gap.ts", defaults());
	must_end();
	assert_int_equal(d.n_pieces, 2);
	near_us(d.pieces[0].pts_us, 0, 0);
	/* 10 s, less the 21 ms by which AAC begins early. */
	near_us(d.pieces[1].pts_us, 9978667, 1000);
	near_us((int64_t)d.pieces[1].at * 1000000 / 16000, 3029000, 30000);
	struct lvx_ring_stats rs;
	lvx_ring_get_stats(d.ring, &rs);
	assert_int_equal(rs.n_gaps, 1);
	drain_finish(&d);
}

/* A recording spliced onto itself: its clock jumps back, the timeline goes on. */
static void test_ts_splice(void **state)
{
	(void)state;
	make("cat g1.ts g1.ts >splice.ts");
	play("splice.ts", defaults());
	must_end();
	near_us(drain_end_us(&d), 6059000, 400000);
	assert_true(stats.pts_jumps >= 1);
	for (int i = 1; i < d.n_pieces; i++)
		assert_true(d.pieces[i].pts_us > d.pieces[i - 1].pts_us);
	drain_finish(&d);
}

static void must_fail(const char *name, const char *why)
{
	struct lvx_source_params p = defaults();
	p.want_pictures = true;
	play(name, p);
	assert_true(drain_saw(&d, LVX_SOURCE_FAILED));
	if (!strstr(d.msg, why)) {
		print_error("%s: %s\n", name, d.msg);
		fail();
	}
	assert_non_null(strstr(d.msg, name));
	assert_int_equal(d.n, 0);
	drain_finish(&d);
}

static void test_not_media(void **state)
{
	(void)state;
	scratch_noise("garbage.bin", 100000);
	make(": >empty.wav; "
	     "echo 'This is text, no media.' >text.mkv; head -c 30 t8k.wav >short.wav");
	must_fail("garbage.bin", "no media");
	must_fail("text.mkv", "no media");
	must_fail("short.wav", "no media");
	/* MP4 that ends before its index. */
	make(FFMPEG VIDEO(10, 25) TONE(440, 10, 44100) X264 "-c:a aac full.mp4 && "
		"head -c 60000 full.mp4 >noindex.mp4");
	must_fail("noindex.mp4", "broken or truncated");
	make(FFMPEG TONE(440, 3, 44100) "-c:a aac -encryption_scheme cenc-aes-ctr "
		"-encryption_key 76a6c65c5ea762046bd749a2e632ccbb "
		"-encryption_kid a7e61c373e219033c21091fa607bf3b8 enc.mp4");
	must_fail("enc.mp4", "can be decoded");

	struct lvx_source *s = NULL;
	struct lvx_source_params p = defaults();
	drain_init(&d, LVX_RING_PACED, 0, 0);
	static const struct {
		const char *uri;
		enum lvx_status st;
		const char *why;
	} cases[] = {
		{"/nowhere/x.wav", LVX_ENOENT, "No such file"},
		{"file:///nowhere/x.wav", LVX_ENOENT, "No such file"},
		{"/tmp", LVX_EINVAL, "is a directory"},
		{"", LVX_EINVAL, "empty"},
		{"gopher://x/", LVX_EUNSUPPORTED, "not a kind of source"},
		{"http:", LVX_EINVAL, "want http://"},
		{"file:relative", LVX_EINVAL, "want file:/path"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		p.uri = cases[i].uri;
		assert_int_equal(lvx_source_open(&s, &p, d.ring, &d.cb, &err), cases[i].st);
		assert_non_null(strstr(err.msg, cases[i].why));
	}
	p.uri = file("empty.wav");
	assert_int_equal(lvx_source_open(&s, &p, d.ring, &d.cb, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "is empty"));
	assert_null(s);
	drain_finish(&d);
}

/* What is there plays; nothing hangs, nothing crashes. */
static void test_truncated_and_corrupt(void **state)
{
	(void)state;
	scratch_noise("noise", 480);
	make(FFMPEG "-i full.mp4 -c copy -movflags faststart fast.mp4 && " FFMPEG
		"-i full.mp4 -c copy full.ts && " FFMPEG
		"-i full.mp4 -c:v libvpx -b:v 300k -c:a libopus full.webm && "
		"for f in fast.mp4 full.ts full.webm; do n=$(stat -c %s $f); "
		"head -c $((n * 6 / 10)) $f >trunc_$f; cp $f corrupt_$f; "
		"for i in 1 2 3 4 5 6 7 8; do dd if=noise of=corrupt_$f bs=1 count=60 "
		"skip=$((i * 60 - 60)) seek=$((n * (i + 1) / 11)) conv=notrunc status=none; done; done");
	static const char *const names[] = {"fast.mp4", "full.ts", "full.webm"};
	struct lvx_source_params p = defaults();
	p.want_pictures = true;
	for (int i = 0; i < 3; i++) {
		char name[64];
		play(names[i], p);
		must_end();
		near_us(drain_end_us(&d), 10 * SECOND, 100000);
		assert_int_equal(d.n_pictures, 50);
		assert_int_equal(stats.decode_errors, 0);
		drain_finish(&d);
		snprintf(name, sizeof(name), "trunc_%s", names[i]);
		play(name, p);
		assert_true(drain_saw(&d, LVX_SOURCE_ENDED) || drain_saw(&d, LVX_SOURCE_FAILED));
		assert_in_range(drain_end_us(&d), 4 * SECOND, 8 * SECOND);
		has_tone(440);
		drain_finish(&d);
		snprintf(name, sizeof(name), "corrupt_%s", names[i]);
		play(name, p);
		assert_true(drain_saw(&d, LVX_SOURCE_ENDED) || drain_saw(&d, LVX_SOURCE_FAILED));
		drain_finish(&d);
	}
}

/* How much before its time a sample came, seen from the first. */
static int64_t pace_once(void)
{
	struct lvx_source_params p = defaults();
	p.pace = LVX_PACE_CLOCK;
	p.want_pictures = true;
	p.uri = file("pace.mp4");
	struct lvx_source *s;
	drain_init(&d, LVX_RING_LIVE, 160, 96);
	int64_t opened_us = lvx_now_us();
	assert_int_equal(lvx_source_open(&s, &p, d.ring, &d.cb, &err), LVX_OK);
	int64_t begun = 0, earliest = 0, most = 0, latest = 0;
	while (!d.ended && lvx_now_us() - opened_us < DRAIN_PATIENCE_US) {
		size_t before = d.n;
		lvx_bell_wait(d.bell, 100000);
		drain_some(&d);
		int64_t now = lvx_now_us();
		if (!begun && d.n)
			begun = now - drain_end_us(&d);
		if (d.n > before) {
			int64_t late = now - begun - drain_end_us(&d);
			latest = late > latest ? late : latest;
			earliest = late < earliest ? late : earliest;
			most = (int64_t)(d.n - before) > most ? (int64_t)(d.n - before) : most;
			/* The first block of 10 ms is handed over at once. */
			assert_true(drain_end_us(&d) <= now - opened_us + 20000);
		}
	}
	assert_true(d.ended);
	assert_true(lvx_now_us() - opened_us >= 1900000);
	print_message("# at most %lld samples at once, %.1f ms late, %.1f ms early\n",
		(long long)most, (double)latest * 1e-3, (double)-earliest * 1e-3);
	assert_int_equal(d.n_pictures, 10);
	lvx_source_close(s);
	drain_finish(&d);
	return -earliest;
}

/*
 * By the clock: as long as it lasts, and no sample before it would be heard. On a busy machine the
 * first may come late, and all others before their time by that: it is tried again.
 */
static void test_pace(void **state)
{
	(void)state;
	make(FFMPEG VIDEO(2, 25) TONE(440, 2, 44100) X264 "-c:a flac -strict -2 pace.mp4");
	int64_t early_us = pace_once();
	for (int i = 0; i < 9 && early_us >= 20000; i++)
		early_us = pace_once();
	assert_true(early_us < 20000);
}

/* The same every time, and pictures always before the same slot. */
static void test_deterministic(void **state)
{
	(void)state;
	const struct lvx_frontend_spec spec = {
		.audio = {16000, 400, 512, 160, 80, 8, 0.0f, 8000.0f, 1e-8f, 4.0f, 0.25f},
		.image = {true, 160, 96, 16, 1000000, 2000000},
	};
	uint64_t first = 0;
	float *values = malloc(lvx_extractor_max_values(&spec) * sizeof(float));
	for (int i = 0; i < 4; i++) {
		struct lvx_ring *ring;
		struct lvx_extractor *ex;
		struct lvx_source *s;
		struct lvx_ring_params rp = {16000, 2000000, LVX_RING_PACED, 160, 96, 8};
		struct lvx_source_params p = defaults();
		struct lvx_source_callbacks none = {0};
		p.uri = file("full.ts");
		p.want_pictures = true;
		assert_int_equal(lvx_ring_create(&ring, &rp, NULL), LVX_OK);
		assert_int_equal(lvx_extractor_create(&ex, ring, &spec, true, NULL), LVX_OK);
		assert_int_equal(lvx_source_open(&s, &p, ring, &none, &err), LVX_OK);
		uint64_t hash = 14695981039346656037u;
		int n_pictures = 0, n_slots = 0;
		for (;;) {
			struct lvx_feature f;
			enum lvx_status st = lvx_extractor_next(ex, &f, values);
			if (st == LVX_END)
				break;
			if (st == LVX_AGAIN) {
				lvx_sleep_us(500 * (i % 2));
				continue;
			}
			n_pictures += f.kind == LVX_FEATURE_PICTURE;
			n_slots += f.kind == LVX_FEATURE_SLOT;
			hash = (hash ^ (uint64_t)f.slot ^ (uint64_t)f.kind << 40) * 1099511628211u;
			for (uint32_t k = 0; k < f.n_values; k++) {
				uint32_t bits;
				memcpy(&bits, &values[k], 4);
				hash = (hash ^ bits) * 1099511628211u;
			}
		}
		assert_in_range(n_slots, 125, 127);
		assert_in_range(n_pictures, 5, 10);
		if (i == 0)
			first = hash;
		assert_int_equal(hash, first);
		lvx_source_close(s);
		lvx_extractor_destroy(ex);
		lvx_ring_destroy(ring);
	}
	free(values);
}

/* Closing in the middle, at once and while it waits for room. */
static void test_close_early(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		struct lvx_source *s;
		struct lvx_source_params p = defaults();
		p.uri = file("full.ts");
		p.want_pictures = true;
		p.pace = i % 2 ? LVX_PACE_CLOCK : LVX_PACE_MAX;
		drain_init(&d, LVX_RING_PACED, 160, 96);
		assert_int_equal(lvx_source_open(&s, &p, d.ring, &d.cb, &err), LVX_OK);
		lvx_sleep_us(i * 40000);
		int64_t t = lvx_now_us();
		lvx_source_close(s);
		assert_true(lvx_now_us() - t < DRAIN_CLOSE_US);
		drain_finish(&d);
	}
}

static void test_recordings(void **state)
{
	(void)state;
	const char *data = getenv("LVX_DATA");
	char name[512];
	/* cmocka's own skip() is a failure to those who read TAP. */
	if (!data || !run_command("test -d '%s/video'", data)) {
		print_message("# skipped: LVX_DATA does not name the test data\n");
		return;
	}
	struct lvx_source_params p = defaults();
	p.want_pictures = true;
	static const struct {
		const char *name;
		int64_t end_us;
		int pictures;
	} files[] = {
		{"tears-of-steel-battle-clip-medium.webm", 70545000, 339},
		{"flower.mp4", 5055000, 25},
		{"webrtc-two-people-silent.webm", 37880000, 190},
	};
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s/video/%s", data, files[i].name);
		drain_init(&d, LVX_RING_PACED, 160, 96);
		assert_int_equal(drain_uri(&d, &p, name, &stats, &err), LVX_OK);
		must_end();
		near_us(drain_end_us(&d), files[i].end_us, 60000);
		assert_in_range(d.n_pictures, files[i].pictures - 3, files[i].pictures + 3);
		assert_int_equal(stats.decode_errors, 0);
		drain_finish(&d);
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
		cmocka_unit_test(test_8khz),
		cmocka_unit_test(test_names_with_odd_characters),
		cmocka_unit_test(test_51),
		cmocka_unit_test(test_pictures_only),
		cmocka_unit_test(test_colours_and_variable_rate),
		cmocka_unit_test(test_tracks),
		cmocka_unit_test(test_format_change),
		cmocka_unit_test(test_ts_wrap),
		cmocka_unit_test(test_ts_gap),
		cmocka_unit_test(test_ts_splice),
		cmocka_unit_test(test_not_media),
		cmocka_unit_test(test_truncated_and_corrupt),
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_close_early),
		cmocka_unit_test(test_recordings),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
