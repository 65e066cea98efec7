/* SPDX-License-Identifier: Apache-2.0 */
/* What HLS is made of: where it is cut, text segments, playlists, names of codecs, fragments. */
#include "daemon/outputs/codec_string.h"
#include "daemon/outputs/fmp4.h"
#include "daemon/outputs/hls_cut.h"
#include "daemon/outputs/hls_list.h"
#include "daemon/outputs/hls_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { S = 1000000, MS = 1000, FRAME = 40 * MS };

/* ---- cutting ---- */

struct cuts {
	struct lvx_hls_cut cut[32];
	int n, dropped;
};

static void put(struct lvx_hls_cutter *c, struct cuts *got, int64_t pts_us, int64_t dts_us,
	bool key, bool discontinuity)
{
	struct lvx_unit unit = {.media = LVX_UNIT_VIDEO,
		.pts_us = pts_us,
		.dts_us = dts_us,
		.duration_us = FRAME,
		.keyframe = key,
		.discontinuity = discontinuity};
	bool ended;
	got->dropped += !lvx_hls_cutter_put(c, &unit, &got->cut[got->n], &ended);
	got->n += ended;
	assert_true(got->n < 32);
}

/* n pictures from start_us on, a key frame every gop, in the order I P B B. */
static void run(
	struct lvx_hls_cutter *c, struct cuts *got, int64_t start_us, int n, int gop, bool breaks)
{
	for (int i = 0; i < n; i++) {
		int k = i % gop;
		int ahead = k == 0 || k == gop - 1 ? 0 : (k - 1) % 3 == 0 ? 2 : -1;
		put(c, got, start_us + (i + ahead) * FRAME, start_us + (i - 2) * FRAME, k == 0,
			breaks && i == 0);
	}
}

static void test_key_frames(void **state)
{
	(void)state;
	struct lvx_hls_cutter c;
	struct cuts got = {0};
	lvx_hls_cutter_init(&c, 4 * S);
	/* What cannot be decoded is left out; key frames every 2 s, so cuts every 4 s. */
	put(&c, &got, -80 * MS, -80 * MS, false, false);
	run(&c, &got, -1 * S, 501, 50, false);
	assert_int_equal(got.dropped, 1);
	assert_int_equal(got.n, 5);
	for (int i = 0; i < got.n; i++) {
		assert_int_equal(got.cut[i].start_us, (4 * i - 1) * S);
		assert_int_equal(got.cut[i].end_us, (4 * i + 3) * S);
		assert_false(got.cut[i].discontinuity);
	}
	/* The last ends with its last picture. */
	assert_true(lvx_hls_cutter_break(&c, &got.cut[got.n]));
	assert_int_equal(got.cut[got.n].start_us, 19 * S);
	assert_int_equal(got.cut[got.n].end_us, 19 * S + FRAME);
	assert_false(lvx_hls_cutter_break(&c, &got.cut[got.n]));
}

static void test_rare_key_frames(void **state)
{
	(void)state;
	struct lvx_hls_cutter c;
	struct cuts got = {0};
	lvx_hls_cutter_init(&c, 4 * S);
	run(&c, &got, 0, 500, 250, false); /* every 10 s */
	run(&c, &got, 20 * S, 1300, 2000, false);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.cut[1].end_us, 20 * S);
	/* Nobody keeps half an hour in memory: without any it is cut after 30 s. */
	assert_in_range(got.cut[2].end_us, 50 * S, 50 * S + 4 * FRAME);
}

static void test_restart(void **state)
{
	(void)state;
	struct lvx_hls_cutter c;
	struct cuts got = {0};
	lvx_hls_cutter_init(&c, 4 * S);
	run(&c, &got, 0, 130, 50, false); /* 5.2 s */
	/* It comes back 12 s in, in the midst of a group. */
	put(&c, &got, 12 * S, 12 * S, false, true);
	put(&c, &got, 12 * S + FRAME, 12 * S + FRAME, false, false);
	run(&c, &got, 13 * S, 101, 50, false);
	assert_int_equal(got.n, 3);
	assert_int_equal(got.dropped, 2);
	assert_int_equal(got.cut[1].start_us, 4 * S);
	assert_in_range(got.cut[1].end_us, 5 * S + 200 * MS, 5 * S + 300 * MS);
	assert_int_equal(got.cut[2].start_us, 13 * S);
	assert_int_equal(got.cut[2].end_us, 17 * S);
	assert_true(got.cut[2].discontinuity && !got.cut[1].discontinuity);
	/* A correction of the clock is none, nor are times that go back. */
	put(&c, &got, 17 * S + 60 * MS, 17 * S + 60 * MS, false, true);
	assert_int_equal(got.n, 3);
	run(&c, &got, 10 * S, 250, 50, true);
	assert_int_equal(got.n, 4);
	assert_int_equal(got.cut[3].start_us, 17 * S);
	assert_true(lvx_hls_cutter_break(&c, &got.cut[4]));
	assert_true(got.cut[4].discontinuity);
	assert_int_equal(got.cut[4].start_us, 18 * S);
	assert_int_equal(got.cut[4].end_us, 20 * S);
}

static void test_clock(void **state)
{
	(void)state;
	struct lvx_hls_cutter c;
	struct lvx_hls_cut cut;
	lvx_hls_cutter_init(&c, 4 * S);
	assert_false(lvx_hls_cutter_clock(&c, 3 * S, &cut));
	assert_true(lvx_hls_cutter_clock(&c, 9 * S, &cut));
	assert_int_equal(cut.end_us, 4 * S);
	assert_true(lvx_hls_cutter_clock(&c, 9 * S, &cut));
	assert_int_equal(cut.start_us, 4 * S);
	assert_false(lvx_hls_cutter_clock(&c, 9 * S, &cut));
	assert_true(lvx_hls_cutter_break(&c, &cut));
	assert_int_equal(cut.end_us, 9 * S);
}

/* ---- text ---- */

#define HEAD "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:90000\n\n"

static void check_segment(
	struct lvx_hls_text *t, int64_t start_us, int64_t end_us, const char *want)
{
	struct lvx_text out = {0};
	lvx_hls_text_segment(t, &out, start_us, end_us, 10 * S);
	assert_string_equal(out.data, want);
	lvx_text_finish(&out);
}

static void test_text(void **state)
{
	(void)state;
	struct lvx_hls_text *t = lvx_hls_text_create();
	lvx_hls_text_word(t, "One", 1 * S, 2 * S);
	lvx_hls_text_word(t, "two.", 2 * S, 3 * S);
	lvx_hls_text_break(t);
	/* Its end depends on what follows: nothing is known from its start on. */
	assert_int_equal(lvx_hls_text_time(t, 2 * S), 1 * S);
	lvx_hls_text_word(t, "A <b>", 3500 * MS, 4 * S);
	lvx_hls_text_word(t, "&", 4 * S, 6 * S);
	assert_int_equal(lvx_hls_text_time(t, 6 * S), 3500 * MS);
	lvx_hls_text_break(t);
	lvx_hls_text_word(t, "Three.", 6 * S, 7 * S);
	assert_int_equal(lvx_hls_text_time(t, 6500 * MS), 6 * S);
	check_segment(t, 0, 4 * S,
		HEAD "1\n00:00:11.000 --> 00:00:13.000\nOne two.\n\n"
		     "2\n00:00:13.500 --> 00:00:15.916\nA &lt;b&gt; &amp;\n\n");
	/* The same cue again, as part of it lies here; the third is known after a silence. */
	lvx_hls_text_break(t);
	assert_int_equal(lvx_hls_text_time(t, 60 * S), 60 * S);
	check_segment(t, 4 * S, 8 * S,
		HEAD "2\n00:00:13.500 --> 00:00:15.916\nA &lt;b&gt; &amp;\n\n"
		     "3\n00:00:16.000 --> 00:00:17.000\nThree.\n\n");
	check_segment(t, 8 * S, 12 * S, HEAD);
	lvx_hls_text_destroy(t);
}

static void test_text_late(void **state)
{
	(void)state;
	struct lvx_hls_text *t = lvx_hls_text_create();
	lvx_hls_text_word(t, "late", 3 * S, 4 * S);
	check_segment(t, 0, 8 * S, HEAD); /* nobody waited for it */
	lvx_hls_text_word(t, "on time", 9 * S, 10 * S);
	lvx_hls_text_finish(t);
	assert_true(lvx_hls_text_time(t, 0) == INT64_MAX);
	check_segment(t, 8 * S, 12 * S,
		HEAD "1\n00:00:18.000 --> 00:00:18.833\nlate\n\n"
		     "2\n00:00:19.000 --> 00:00:20.000\non time\n\n");
	lvx_hls_text_destroy(t);

	/* A segment that could not be written takes its cues along. */
	t = lvx_hls_text_create();
	lvx_hls_text_word(t, "lost", 1 * S, 2 * S);
	lvx_hls_text_word(t, "kept", 5 * S, 6 * S);
	lvx_hls_text_finish(t);
	lvx_hls_text_skip(t, 4 * S);
	check_segment(t, 4 * S, 8 * S, HEAD "2\n00:00:15.000 --> 00:00:16.000\nkept\n\n");
	lvx_hls_text_destroy(t);
}

/* ---- playlists ---- */

static void test_list(void **state)
{
	(void)state;
	struct lvx_hls_list l = {.target_s = 4};
	struct lvx_hls_rendition video = {"video", 0, 1}, text = {"caption-en", -1, 3};
	for (int i = 1; i <= 5; i++) {
		struct lvx_hls_segment s = {.number = (uint64_t)i,
			.start_us = 4 * S * (i - 1),
			.end_us = 4 * S * i + (i == 5 ? 1600 * MS : 0),
			.wall_us = INT64_C(1764037451250000) + 4 * S * (i - 1),
			.discontinuity = i == 2 || i == 4,
			.missing = i == 5,
			.init = {i < 4 ? 1 : 2}};
		lvx_hls_list_add(&l, &s);
	}
	lvx_hls_list_drop(&l);
	lvx_hls_list_drop(&l);
	struct lvx_text t = {0};
	lvx_hls_playlist(&t, &l, &video);
	assert_string_equal(t.data,
		"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:2\n"
		"#EXT-X-DISCONTINUITY-SEQUENCE:1\n"
		"#EXT-X-MAP:URI=\"video-init-1.mp4\"\n"
		"#EXT-X-PROGRAM-DATE-TIME:2025-11-25T02:24:19.250Z\n#EXTINF:4.000000,\nvideo-3."
		"m4s\n"
		"#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"video-init-2.mp4\"\n"
		"#EXT-X-PROGRAM-DATE-TIME:2025-11-25T02:24:23.250Z\n#EXTINF:4.000000,\nvideo-4."
		"m4s\n"
		"#EXT-X-PROGRAM-DATE-TIME:2025-11-25T02:24:27.250Z\n#EXT-X-GAP\n#EXTINF:5.600000,\n"
		"video-5.m4s\n");
	lvx_text_clear(&t);
	/* A rendition that began later has the same numbers. */
	text.first = 5;
	l.ended = l.event = true;
	lvx_hls_playlist(&t, &l, &text);
	assert_string_equal(t.data,
		"#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:4\n"
		"#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n"
		"#EXT-X-PROGRAM-DATE-TIME:2025-11-25T02:24:27.250Z\n#EXTINF:5.600000,\n"
		"caption-en-5.vtt\n#EXT-X-ENDLIST\n");
	lvx_text_finish(&t);
	lvx_hls_list_finish(&l);
}

static void test_master(void **state)
{
	(void)state;
	struct lvx_hls_rendition video = {"video", 0, 1}, sound = {"audio", 1, 1},
				 described = {"audio-description", 2, 1}, text = {"caption", -1, 1};
	struct lvx_unit_format pictures = {
		.codec = "h264", .width = 1920, .height = 1080, .fps_num = 30000, .fps_den = 1001};
	struct lvx_hls_group_entry entries[] = {
		{&sound, false, "Programme (en)", "en", true, NULL, 2},
		{&described, false, "Audio description (en)", "en", false,
			"public.accessibility.describes-video", 1},
		{&text, true, "Cap\"tions\n", "", false,
			"public.accessibility.transcribes-spoken-dialog", 0},
	};
	struct lvx_hls_master m = {&video, 5000000, "avc1.640028,mp4a.40.2", &pictures, entries, 3};
	struct lvx_text t = {0};
	lvx_hls_master(&t, &m, "T/");
	assert_string_equal(t.data,
		"#EXTM3U\n#EXT-X-VERSION:7\n"
		"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Programme "
		"(en)\",LANGUAGE=\"en\","
		"DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"T/audio.m3u8\"\n"
		"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Audio description (en)\","
		"LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=YES,"
		"CHARACTERISTICS=\"public.accessibility.describes-video\",CHANNELS=\"1\","
		"URI=\"T/audio-description.m3u8\"\n"
		"#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"text\",NAME=\"Cap_tions_\",DEFAULT=NO,"
		"AUTOSELECT=YES,CHARACTERISTICS=\"public.accessibility.transcribes-spoken-dialog\","
		"URI=\"T/caption.m3u8\"\n"
		"#EXT-X-STREAM-INF:BANDWIDTH=5000000,CODECS=\"avc1.640028,mp4a.40.2\","
		"RESOLUTION=1920x1080,FRAME-RATE=29.970,AUDIO=\"sound\",SUBTITLES=\"text\"\n"
		"T/video.m3u8\n");
	/* Sound alone: the variant is the sound. */
	lvx_text_clear(&t);
	m = (struct lvx_hls_master){&sound, 130000, NULL, NULL, entries, 1};
	lvx_hls_master(&t, &m, "");
	assert_string_equal(t.data,
		"#EXTM3U\n#EXT-X-VERSION:7\n"
		"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Programme "
		"(en)\",LANGUAGE=\"en\","
		"DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\"\n"
		"#EXT-X-STREAM-INF:BANDWIDTH=130000,AUDIO=\"sound\"\naudio.m3u8\n");
	lvx_text_finish(&t);
}

static void test_token(void **state)
{
	(void)state;
	static const char list[] =
		"#EXTM3U\n#EXT-X-MAP:URI=\"a.mp4\",BYTERANGE=\"1\"\n#EXTINF:4,\n\nb.m4s\n"
		"#X:URI=\"open\nc.m4s";
	struct lvx_text t = {0};
	lvx_hls_add_token(&t, list, strlen(list), "a b&\xc3\xbc");
	assert_string_equal(t.data,
		"#EXTM3U\n#EXT-X-MAP:URI=\"a.mp4?token=a%20b%26%C3%BC\",BYTERANGE=\"1\"\n#EXTINF:4,"
		"\n\n"
		"b.m4s?token=a%20b%26%C3%BC\n#X:URI=\"open?token=a%20b%26%C3%BC\n"
		"c.m4s?token=a%20b%26%C3%BC");
	lvx_text_finish(&t);
}

/* ---- codecs ---- */

static void check_codec(const char *codec, const void *extra, size_t n_extra, const void *sets,
	size_t n_sets, const char *want)
{
	struct lvx_unit_format f = {.extra = extra, .n_extra = n_extra};
	char got[LVX_CODEC_STRING_SIZE] = "";
	snprintf(f.codec, sizeof(f.codec), "%s", codec);
	assert_int_equal(lvx_codec_string(got, &f, sets, n_sets), want != NULL);
	if (want)
		assert_string_equal(got, want);
}

static void test_codecs(void **state)
{
	(void)state;
	static const uint8_t avc[] = {
		0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 0x64, 0, 0x28, 0xac, 0, 0, 1, 0x68};
	/* Main, level 3.1, progressive: two zeros are followed by an emulation prevention byte. */
	static const uint8_t hevc[] = {0, 0, 0, 1, 0x40, 1, 0x0c, 0, 0, 0, 1, 0x42, 1, 1, 1, 0x60,
		0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x5d, 0xa0, 0x02, 0x80};
	check_codec("h264", NULL, 0, avc, sizeof(avc), "avc1.640028");
	check_codec("h264", NULL, 0, avc, 12, NULL);
	check_codec("h264", NULL, 0, NULL, 0, NULL);
	check_codec("hevc", NULL, 0, hevc, sizeof(hevc), "hvc1.1.6.L93.90");
	check_codec("hevc", NULL, 0, hevc, 20, NULL);
	check_codec("aac", "\x12\x10", 2, NULL, 0, "mp4a.40.2");
	check_codec("aac", "\x2b\x92", 2, NULL, 0, "mp4a.40.5");
	check_codec("aac", "\xf9\x48", 2, NULL, 0, "mp4a.40.42"); /* xHE-AAC */
	check_codec("opus", NULL, 0, NULL, 0, "opus");
	check_codec("vp8", NULL, 0, NULL, 0, NULL);
}

/* ---- fragments ---- */

static const uint8_t *find_box(const struct lvx_text *t, const char *name)
{
	const uint8_t *at = memmem(t->data, t->len, name, 4);
	assert_non_null(at);
	return at;
}

static uint64_t decode_time(const struct lvx_text *t)
{
	const uint8_t *p = find_box(t, "tfdt");
	uint64_t v = 0;
	for (int i = 0; i < (p[4] ? 8 : 4); i++)
		v = v << 8 | p[8 + i];
	return v;
}

static void test_fragments(void **state)
{
	(void)state;
	static const uint8_t config[] = {0x11, 0x90}; /* AAC-LC, 48 kHz, two channels */
	struct lvx_unit_format format = {.codec = "aac",
		.sample_rate = 48000,
		.channels = 2,
		.extra = config,
		.n_extra = sizeof(config)};
	struct lvx_mux_track track = {.media = LVX_UNIT_AUDIO, .language = "en", .format = &format};
	struct lvx_fmp4 *f;
	struct lvx_error err;
	const struct lvx_text *out;
	static const uint8_t data[64 + LVX_UNIT_PADDING];
	assert_int_equal(lvx_fmp4_open(&f, &track, 10 * S, &err), LVX_OK);
	assert_int_equal(lvx_fmp4_cut(f, &out, &err), LVX_EINVAL);
	int64_t n = 0;
	for (int fragment = 0; fragment < 3; fragment++) {
		/* 5 s are missing before the last one. */
		int64_t gap = fragment == 2 ? 5 * 48000 : 0;
		uint64_t want = 480000 + (uint64_t)(n + gap);
		for (int i = 0; i < 100; i++, n += 1024) {
			int64_t us = (n + gap) * S / 48000; /* rounded down: never quite right */
			struct lvx_unit unit = {.media = LVX_UNIT_AUDIO,
				.format = &format,
				.pts_us = us,
				.dts_us = us,
				.keyframe = true,
				.len = 64,
				.data = data};
			assert_int_equal(lvx_fmp4_add(f, &unit, 21333), LVX_OK);
			assert_int_equal(lvx_fmp4_add(f, &unit, 21333), LVX_EINVAL);
		}
		assert_int_equal(lvx_fmp4_cut(f, &out, &err), LVX_OK);
		find_box(out, "moof");
		find_box(out, "mdat");
		assert_null(memmem(out->data, out->len, "moov", 4));
		assert_in_range(decode_time(out), want - 1, want + 1);
		find_box(lvx_fmp4_init(f), "moov");
		assert_null(memmem(lvx_fmp4_init(f)->data, lvx_fmp4_init(f)->len, "elst", 4));
	}
	lvx_fmp4_close(f);
	strcpy(format.codec, "vorbis");
	assert_int_equal(lvx_fmp4_open(&f, &track, 0, &err), LVX_EUNSUPPORTED);
	assert_non_null(strstr(err.msg, "does not carry vorbis; it carries H.264"));
	strcpy(format.codec, "aac");
	format.sample_rate = format.channels = 0;
	assert_int_not_equal(lvx_fmp4_open(&f, &track, 0, &err), LVX_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_frames),
		cmocka_unit_test(test_rare_key_frames),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_late),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_master),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_codecs),
		cmocka_unit_test(test_fragments),
	};
	return cmocka_run_group_tests_name("hls", tests, NULL, NULL);
}
