/* SPDX-License-Identifier: Apache-2.0 */
/* The mixer: ramps, gains, no click; clips of WAV; how loud a programme's speech is. */
#include "daemon/describe/clip.h"
#include "daemon/describe/hearing.h"
#include "daemon/describe/mixer.h"
#include "daemon/describe/sound.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RATE = LVX_CLIP_RATE };

static struct lvx_clip *tone(size_t n, float peak)
{
	struct lvx_clip *c = malloc(sizeof(*c) + n * sizeof(float));
	*c = (struct lvx_clip){.n = n, .lufs = -20, .peak = peak};
	for (size_t i = 0; i < n; i++)
		c->pcm[i] = peak * sinf(2 * (float)M_PI * 300 * (float)i / RATE);
	return c;
}

/* n samples from `at` on, in pieces of any size, as one. */
static void mix(struct lvx_mixer *m, float *pcm, float *voice, size_t n, int64_t at)
{
	static const size_t sizes[] = {480, 1, 4800, 1023, 77};
	for (size_t i = 0, k = 0; i < n; k++) {
		size_t step = sizes[k % 5] < n - i ? sizes[k % 5] : n - i;
		lvx_mixer_mix(m, pcm + 2 * i, voice ? voice + 2 * i : NULL, step, at + (int64_t)i);
		i += step;
	}
}

/* A constant programme shows the gain itself. */
static void test_ramps(void **state)
{
	(void)state;
	enum { N = 4 * RATE, RAMP = RATE * 3 / 10, AT = RATE, LEN = RATE };
	struct lvx_mixer *m =
		lvx_mixer_create(&(struct lvx_mixer_params){.duck_db = 12, .ramp_us = 300000});
	float *pcm = malloc(2 * N * sizeof(float)), *voice = malloc(2 * N * sizeof(float));
	for (size_t i = 0; i < 2 * N; i++)
		pcm[i] = 0.25f;
	assert_true(lvx_mixer_add(m, tone(LEN, 0.1f), 0, 1000 + AT));
	mix(m, pcm, voice, N, 1000);
	float ducked = 0.25f * powf(10, -12.0f / 20);
	for (size_t i = 0; i < N; i++) {
		float gain = pcm[2 * i] - voice[2 * i];
		assert_true(pcm[2 * i] == pcm[2 * i + 1]);
		if (i <= AT - RAMP || i >= AT + LEN + RAMP)
			assert_true(gain == 0.25f && voice[2 * i] == 0); /* bit for bit */
		if (i >= AT && i < AT + LEN)
			assert_float_equal(gain, ducked, 1e-5f);
		/* No step, neither up nor down: 12 dB in 0.3 s, at most twice as fast. */
		if (i > 0) {
			float before = pcm[2 * i - 2] - voice[2 * i - 2];
			assert_true(fabsf(gain - before) < 2 * 0.19f / RAMP * 2);
			if (i < AT)
				assert_true(gain <= before + 1e-7f);
			if (i > AT + LEN)
				assert_true(gain >= before - 1e-7f);
		}
	}
	/* The voice is there, and begins and ends softly. */
	assert_float_equal(
		voice[2 * (AT + 10040)], 0.1f * sinf(2 * (float)M_PI * 300 * 10040 / RATE), 1e-5f);
	assert_true(voice[2 * AT] == 0 && voice[2 * (AT + LEN - 1)] == 0);
	lvx_mixer_destroy(m);
	free(pcm);
	free(voice);
}

static void test_two(void **state)
{
	(void)state;
	enum { N = 3 * RATE };
	struct lvx_mixer *m =
		lvx_mixer_create(&(struct lvx_mixer_params){.duck_db = 6, .ramp_us = 300000});
	float *pcm = malloc(2 * N * sizeof(float));
	for (size_t i = 0; i < 2 * N; i++)
		pcm[i] = 0.99f; /* as loud as it gets */
	assert_true(lvx_mixer_add(m, tone(RATE / 2, 0.9f), 0, RATE / 2));
	/* It would overlap; it fits behind it. */
	assert_false(lvx_mixer_add(m, tone(RATE / 2, 0.9f), 0, RATE / 2 + 100));
	assert_true(lvx_mixer_add(m, tone(RATE / 2, 0.9f), 0, RATE + RATE / 10));
	mix(m, pcm, NULL, N, 0);
	for (size_t i = 1; i < N; i++) {
		assert_true(fabsf(pcm[2 * i]) <= 1);
		assert_true(fabsf(pcm[2 * i] - pcm[2 * i - 2]) < 0.05f);
	}
	/* What has been mixed cannot be changed any more; there is room for so many. */
	assert_false(lvx_mixer_add(m, tone(10, 0.5f), 0, N - 1));
	for (int i = 0; i < LVX_MIXER_CLIPS_MAX; i++)
		assert_true(lvx_mixer_add(m, tone(10, 0.5f), 0, N + 100 * i));
	assert_false(lvx_mixer_add(m, tone(10, 0.5f), 0, N + 10000));
	lvx_mixer_destroy(m);
	free(pcm);
}

static void test_gain(void **state)
{
	(void)state;
	struct lvx_clip c = {.lufs = -20, .peak = 0.1f};
	assert_float_equal(lvx_mixer_gain_db(&c, -23), -3, 1e-6);
	assert_float_equal(lvx_mixer_gain_db(&c, -10), 10, 1e-6);
	c.peak = 0.5f; /* 6 dB below full scale: 5 dB to go */
	assert_float_equal(lvx_mixer_gain_db(&c, -10), 20 * log10(2) - 1, 1e-5);
}

/* ---- clips ---- */

/* A WAV of 16 bits, mono; returns its length. */
static size_t wav(uint8_t *out, uint32_t rate, const int16_t *pcm, size_t n, uint32_t said_bytes)
{
	uint32_t u[] = {0x46464952, 36 + said_bytes, 0x45564157, 0x20746d66, 16, 1 | 1 << 16, rate,
		2 * rate, 2 | 16 << 16, 0x61746164, said_bytes};
	memcpy(out, u, sizeof(u));
	memcpy(out + sizeof(u), pcm, 2 * n);
	return sizeof(u) + 2 * n;
}

static void test_clip(void **state)
{
	(void)state;
	enum { N = 22050 * 3 };
	static int16_t pcm[N];
	static uint8_t bytes[2 * N + 64];
	struct lvx_clip *clip = NULL;
	struct lvx_error err;
	/* One second of a tone, silence around it. 997 Hz at -20 dBFS peak is -20 LUFS in two
	 * loudspeakers (R128: -23.0 for a stereo tone of -23 dBFS). */
	for (size_t i = 22050; i < 44100; i++)
		pcm[i] = (int16_t)(3276.8 * sin(2 * M_PI * 997 * (double)i / 22050));
	size_t len = wav(bytes, 22050, pcm, N, 2 * N);
	assert_int_equal(lvx_clip_read(&clip, bytes, len, &err), LVX_OK);
	assert_in_range(clip->n, RATE, RATE + 2 * RATE / 50 + 200);
	assert_float_equal(clip->lufs, -20, 0.2);
	assert_float_equal(clip->peak, 0.1, 0.002);
	double whole = clip->lufs;
	lvx_clip_destroy(clip);
	/* A voice that streams says 0x7ffff000 bytes, or 0. */
	len = wav(bytes, 22050, pcm, N, 0x7ffff000);
	assert_int_equal(lvx_clip_read(&clip, bytes, len, &err), LVX_OK);
	lvx_clip_destroy(clip);
	/* Half a second less, and too short for R128: still measured. */
	len = wav(bytes, 22050, pcm + 22050, 4410, 2 * 4410);
	assert_int_equal(lvx_clip_read(&clip, bytes, len, &err), LVX_OK);
	assert_float_equal(clip->lufs, whole, 0.5);
	lvx_clip_destroy(clip);
	/* What is none. */
	memset(pcm, 0, sizeof(pcm));
	len = wav(bytes, 22050, pcm, N, 2 * N);
	assert_int_equal(lvx_clip_read(&clip, bytes, len, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "nothing is to be heard"));
	assert_int_equal(lvx_clip_read(&clip, (const uint8_t *)"rubbish", 7, &err), LVX_EINVAL);
	assert_int_equal(lvx_clip_read(&clip, bytes, 30, &err), LVX_EINVAL);
	len = wav(bytes, 1000, pcm, N, 2 * N);
	assert_int_equal(lvx_clip_read(&clip, bytes, len, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "allowed are PCM, 4000"));
	/* Longer than 30 s. */
	for (size_t i = 0; i < N; i++)
		pcm[i] = i % 2 ? 9000 : -9000;
	static uint8_t longer[8 * 2 * N + 64];
	len = wav(longer, 8000, pcm, N, 16 * N);
	for (int i = 1; i < 8; i++)
		memcpy(longer + len + (size_t)(i - 1) * 2 * N, pcm, 2 * N);
	assert_int_equal(lvx_clip_read(&clip, longer, len + 7 * 2 * N, &err), LVX_EINVAL);
	assert_non_null(strstr(err.msg, "longer than 30 s"));
}

/* ---- the programme ---- */

static int64_t speech_us;

static void on_speech(void *user, int64_t start_us, int64_t end_us)
{
	(void)user;
	speech_us += end_us - start_us;
}

/* A tone is no speech, silence neither; without speech all of it is measured. */
static void test_hearing(void **state)
{
	(void)state;
	struct lvx_hearing *h = NULL;
	struct lvx_error err;
	static float pcm[2 * RATE];
	speech_us = 0;
	assert_int_equal(lvx_hearing_create(&h, on_speech, NULL, &err), LVX_OK);
	assert_float_equal(lvx_hearing_lufs(h), -23, 1e-9);
	lvx_hearing_hear(h, pcm, RATE, 0);
	assert_int_equal(speech_us, 0);
	assert_int_equal(lvx_hearing_known_us(h), 1000000);
	assert_float_equal(lvx_hearing_lufs(h), -23, 1e-9);
	for (int k = 1; k < 6; k++) {
		for (size_t i = 0; i < RATE; i++)
			pcm[2 * i] = pcm[2 * i + 1] =
				0.05f * sinf(2 * (float)M_PI * 997 * (float)i / RATE);
		lvx_hearing_hear(h, pcm, RATE, (int64_t)k * RATE);
	}
	if (speech_us == 0)
		assert_float_equal(lvx_hearing_lufs(h), -26, 0.2);
	/* After a jump it goes on from there. */
	lvx_hearing_hear(h, pcm, RATE, 100 * (int64_t)RATE);
	assert_int_equal(lvx_hearing_known_us(h), 101000000);
	lvx_hearing_destroy(h);
}

/* ---- sound in and out ---- */

struct loop {
	struct lvx_units *units;
	struct lvx_sound_in *in;
	float *pcm;
	int64_t first_us, n; /* samples that came back */
	uint32_t n_units;
};

static void on_unit(void *user, const struct lvx_unit *unit)
{
	struct loop *l = user;
	struct lvx_unit u = *unit;
	u.track = 0;
	lvx_units_put(l->units, &u);
	l->n_units++;
}

static void on_pcm(void *user, const float *pcm, size_t n, int64_t pts_us)
{
	struct loop *l = user;
	if (l->n == 0)
		l->first_us = pts_us;
	memcpy(l->pcm + 2 * l->n, pcm, 2 * n * sizeof(float));
	l->n += (int64_t)n;
}

/* What is encoded comes back from a decoder at its own time. */
static void test_times(void **state)
{
	(void)state;
	static const char *const codecs[] = {"aac", "opus", "aac", "opus"}; /* then mono */
	enum { N = 2 * RATE, AT = 123 * RATE + 7 };
	for (int k = 0; k < 4; k++) {
		struct loop l = {.pcm = malloc(2 * (N + 4 * RATE) * sizeof(float))};
		struct lvx_error err;
		struct lvx_sound_out *out;
		struct lvx_unit_reader *reader;
		const struct lvx_unit *unit;
		static float pcm[2 * N];
		/* A click in the middle. */
		memset(pcm, 0, sizeof(pcm));
		for (size_t i = 0; i < 240; i++)
			pcm[2 * (RATE + i)] = pcm[2 * (RATE + i) + 1] =
				0.8f * sinf(2 * (float)M_PI * 1000 * (float)i / RATE);
		assert_int_equal(lvx_units_create(&l.units, 0, 0, &err), LVX_OK);
		lvx_units_add_track(l.units, &(struct lvx_unit_track){.media = LVX_UNIT_AUDIO});
		assert_int_equal(lvx_units_open(&reader, l.units, NULL, &err), LVX_OK);
		assert_int_equal(
			lvx_sound_out_create(&out,
				&(struct lvx_sound_out_params){
					codecs[k], k < 2 ? 2 : 1, 128000, on_unit, &l},
				&err),
			LVX_OK);
		for (size_t i = 0; i < N; i += 600)
			lvx_sound_out_put(out, pcm + 2 * i, 600, AT + (int64_t)i);
		lvx_sound_out_flush(out);
		l.in = lvx_sound_in_create(on_pcm, &l);
		int64_t end_us = 0;
		while (lvx_units_next(reader, &unit) == LVX_OK) {
			assert_string_equal(unit->format->codec, codecs[k]);
			assert_int_equal(unit->format->channels, k < 2 ? 2 : 1);
			assert_int_equal(lvx_sound_in_put(l.in, unit, &err), LVX_OK);
			assert_true(unit->pts_us >= end_us - 1);
			end_us = unit->pts_us + unit->duration_us;
			lvx_unit_unref(unit);
		}
		assert_true(l.n_units > 30 && l.n >= N);
		int64_t loudest = 0;
		for (int64_t i = 0; i < l.n; i++) {
			if (fabsf(l.pcm[2 * i]) > fabsf(l.pcm[2 * loudest]))
				loudest = i;
		}
		double click_s = (double)l.first_us / 1e6 + (double)loudest / RATE;
		double want_s = (double)(AT + RATE + 120) / RATE;
		assert_true(fabs(click_s - want_s) < 0.004);
		lvx_sound_in_destroy(l.in);
		lvx_sound_out_destroy(out);
		lvx_units_close(reader);
		lvx_units_unref(l.units);
		free(l.pcm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ramps),
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_gain),
		cmocka_unit_test(test_clip),
		cmocka_unit_test(test_hearing),
		cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
