/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/extractor.h"
#include "pipeline/mel.h"
#include "pipeline/patches.h"
#include "pipeline/pcm.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000, SLOT = 1280, VALUES = 640 };
#define SECOND INT64_C(1000000)

static const struct lvx_frontend_spec spec = {
	.audio = {16000, 400, 512, 160, 80, 8, 0.0f, 8000.0f, 1e-8f, 4.0f, 0.25f},
	.image = {true, 160, 96, 16, 1000000, 2000000},
};

/* Tones, a chirp and noise, from a formula. */
static float *signal(size_t n)
{
	float *x = malloc(n * sizeof(float));
	uint32_t seed = 12345;
	for (size_t i = 0; i < n; i++) {
		double t = (double)i / RATE;
		seed = seed * 1664525u + 1013904223u;
		double noise = (double)(seed >> 8) / (1 << 24) - 0.5;
		double v = 0.3 * sin(2.0 * M_PI * 220.0 * t) +
			   0.2 * sin(2.0 * M_PI * (300.0 + 900.0 * t) * t) +
			   0.05 * sin(2.0 * M_PI * 5512.3 * t) + 0.02 * noise;
		x[i] = (float)(v * (0.6 + 0.4 * sin(2.0 * M_PI * 1.7 * t)));
	}
	return x;
}

/* ---- an independent way to docs/MODEL.md section 1: direct DFT in double ---- */

static double slaney_hz(double mel)
{
	return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * pow(6.4, (mel - 15.0) / 27.0);
}

/* Frame f of x: samples that end at 160 (f + 1), zero before the stream. */
static void reference_frame(const float *x, long f, double *out)
{
	static double cosine[512], power[257];
	double frame[400];
	for (int i = 0; i < 512; i++)
		cosine[i] = cos(2.0 * M_PI * i / 512.0);
	for (long i = 0; i < 400; i++) {
		long at = 160 * (f + 1) - 400 + i;
		double hann = 0.5 * (1.0 - cos(2.0 * M_PI * (double)i / 400.0));
		frame[i] = at < 0 ? 0.0 : (double)x[at] * hann;
	}
	for (int k = 0; k <= 256; k++) {
		double re = 0.0, im = 0.0;
		for (int i = 0; i < 400; i++) {
			re += frame[i] * cosine[k * i % 512];
			im -= frame[i] * cosine[(k * i + 384) % 512]; /* sine */
		}
		power[k] = re * re + im * im;
	}
	double top = 15.0 + 27.0 * log(8.0) / log(6.4);
	for (int m = 0; m < 80; m++) {
		double lo = slaney_hz(top * m / 81.0), mid = slaney_hz(top * (m + 1) / 81.0),
		       hi = slaney_hz(top * (m + 2) / 81.0), sum = 0.0;
		for (int k = 0; k <= 256; k++) {
			double hz = k * 31.25;
			double w = fmax(0.0, fmin((hz - lo) / (mid - lo), (hi - hz) / (hi - mid)));
			sum += w * 2.0 / (hi - lo) * power[k];
		}
		out[m] = (log10(fmax(sum, 1e-8)) + 4.0) / 4.0;
	}
}

static void test_mel_against_dft(void **state)
{
	(void)state;
	enum { SLOTS = 12 };
	float *x = signal(SLOTS * SLOT), out[VALUES];
	struct lvx_mel *mel;
	assert_int_equal(lvx_mel_create(&mel, &spec.audio, NULL), LVX_OK);
	double worst = 0.0;
	for (long s = 0; s < SLOTS; s++) {
		lvx_mel_slot(mel, x + s * SLOT, out);
		for (int f = 0; f < 8; f++) {
			double want[80];
			reference_frame(x, s * 8 + f, want);
			for (int m = 0; m < 80; m++)
				worst = fmax(worst, fabs(want[m] - (double)out[f * 80 + m]));
		}
	}
	print_message("# largest difference %.2g\n", worst);
	assert_true(worst < 1e-4);
	/* Silence is the floor: (log10(1e-8) + 4) / 4. */
	lvx_mel_reset(mel);
	float zero[SLOT] = {0};
	lvx_mel_slot(mel, zero, out);
	for (int i = 0; i < VALUES; i++)
		assert_true(fabsf(out[i] + 1.0f) < 1e-6f);
	/* What is not a number counts as silence too. */
	for (int i = 0; i < SLOT; i++)
		zero[i] = NAN;
	lvx_mel_slot(mel, zero, out);
	for (int i = 0; i < VALUES; i++)
		assert_true(isfinite(out[i]));
	lvx_mel_destroy(mel);
	free(x);
}

/*
 * Frames 0, 10 and 40 of a tone of 1 kHz and 0.5 whose numbers come from NumPy:
 *   x = 0.5 * sin(2 pi 1000 n / 16000) as f32; model/training/features.py's
 *   filters; bins 0, 20, 25, 26, 27, 30, 50.
 */
static void test_mel_committed(void **state)
{
	(void)state;
	static const int frames[] = {0, 10, 40}, bins[] = {0, 20, 25, 26, 27, 30, 50};
	static const double want[3][7] = {
		{0.651748, 0.877242, 1.210696, 1.212187, 1.172397, 0.868011, 0.306702},
		{-0.782042, 0.139653, 1.398808, 1.454407, 1.316837, 0.141361, -1.000000},
		{-0.782042, 0.139653, 1.398808, 1.454407, 1.316837, 0.141361, -1.000000},
	};
	float x[6 * SLOT], out[VALUES];
	for (int i = 0; i < 6 * SLOT; i++)
		x[i] = (float)(0.5 * sin(2.0 * M_PI * 1000.0 * i / 16000.0));
	struct lvx_mel *mel;
	assert_int_equal(lvx_mel_create(&mel, &spec.audio, NULL), LVX_OK);
	for (int s = 0, j = 0; s < 6; s++) {
		lvx_mel_slot(mel, x + s * SLOT, out);
		for (; j < 3 && frames[j] / 8 == s; j++)
			for (int b = 0; b < 7; b++) {
				double got = (double)out[frames[j] % 8 * 80 + bins[b]];
				assert_true(fabs(got - want[j][b]) < 1e-4);
			}
	}
	lvx_mel_destroy(mel);
}

static void test_bad_specs(void **state)
{
	(void)state;
	struct lvx_error err;
	struct lvx_mel *mel = NULL;
	struct lvx_audio_spec a = spec.audio;
	a.window_samples = 600;
	assert_int_equal(lvx_mel_create(&mel, &a, &err), LVX_EINVAL);
	a = spec.audio;
	a.f_max_hz = 9000.0f;
	assert_int_equal(lvx_mel_create(&mel, &a, &err), LVX_EINVAL);
	a = spec.audio;
	a.f_min_hz = NAN;
	assert_int_equal(lvx_mel_create(&mel, &a, &err), LVX_EINVAL);
	assert_null(mel);
	struct lvx_image_spec im = spec.image;
	im.patch = 17;
	assert_int_equal(lvx_image_spec_check(&im, &err), LVX_EINVAL);
}

/* ---- the extractor ---- */

struct run {
	struct lvx_ring *ring;
	struct lvx_extractor *ex;
	float *values;
};

static struct run start(int64_t capacity_us)
{
	struct run r;
	struct lvx_ring_params p = {RATE, capacity_us, LVX_RING_LIVE, 160, 96, 8};
	assert_int_equal(lvx_ring_create(&r.ring, &p, NULL), LVX_OK);
	assert_int_equal(lvx_extractor_create(&r.ex, r.ring, &spec, false, NULL), LVX_OK);
	r.values = malloc(lvx_extractor_max_values(&spec) * sizeof(float));
	return r;
}

static void stop(struct run *r)
{
	lvx_extractor_destroy(r->ex);
	lvx_ring_destroy(r->ring);
	free(r->values);
}

static void test_spec_must_fit_ring(void **state)
{
	(void)state;
	struct lvx_ring *ring;
	struct lvx_extractor *ex = NULL;
	struct lvx_error err;
	struct lvx_ring_params p = {48000, SECOND, LVX_RING_LIVE, 160, 96, 8};
	assert_int_equal(lvx_ring_create(&ring, &p, NULL), LVX_OK);
	assert_int_equal(lvx_extractor_create(&ex, ring, &spec, false, &err), LVX_EINVAL);
	lvx_ring_destroy(ring);
	p.sample_rate = RATE;
	p.picture_width = 80;
	assert_int_equal(lvx_ring_create(&ring, &p, NULL), LVX_OK);
	assert_int_equal(lvx_extractor_create(&ex, ring, &spec, false, &err), LVX_EINVAL);
	assert_null(ex);
	lvx_ring_destroy(ring);
}

/* Bit for bit the same, whatever the sizes of the chunks. */
static void test_random_chunks(void **state)
{
	(void)state;
	enum { SLOTS = 50, N = SLOTS * SLOT + 333 };
	float *x = signal(N);
	float *want = malloc((SLOTS + 1) * VALUES * sizeof(float));
	for (unsigned seed = 0; seed < 20; seed++) {
		struct run r = start(30 * SECOND);
		uint32_t s = seed;
		int64_t slot = 0;
		size_t written;
		for (size_t at = 0; at <= N;) {
			s = s * 1664525u + 1013904223u;
			size_t most = seed % 4 == 1 ? 7 : seed % 4 == 2 ? 500 : 5000;
			size_t n = seed == 0 ? N : 1 + (s >> 8) % most;
			if (n > N - at)
				n = N - at;
			int64_t pts = (int64_t)(at * 1000000 / RATE);
			assert_int_equal(lvx_ring_write(r.ring, x + at, n, pts, &written), LVX_OK);
			at += n;
			if (at == N) {
				lvx_ring_finish(r.ring);
				at++;
			}
			struct lvx_feature f;
			while (lvx_extractor_next(r.ex, &f, r.values) == LVX_OK) {
				assert_int_equal(f.kind, LVX_FEATURE_SLOT);
				assert_int_equal(f.slot, slot);
				assert_int_equal(f.pts_us, slot * 80000);
				assert_int_equal(f.gap_us, 0);
				assert_int_equal(f.n_values, VALUES);
				if (seed == 0)
					memcpy(want + slot * VALUES, r.values,
						VALUES * sizeof(float));
				else
					assert_memory_equal(want + slot * VALUES, r.values,
						VALUES * sizeof(float));
				slot++;
			}
		}
		assert_int_equal(slot, SLOTS + 1); /* the last one padded with silence */
		stop(&r);
	}
	free(want);
	free(x);
}

static void test_gap(void **state)
{
	(void)state;
	struct run r = start(10 * SECOND);
	float *x = signal(4 * SLOT), fresh[VALUES];
	size_t written;
	struct lvx_feature f;
	/* A slot and a half, then three seconds are missing. */
	lvx_ring_write(r.ring, x, SLOT * 3 / 2, SECOND, &written);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_OK);
	assert_int_equal(f.pts_us, SECOND);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_AGAIN);
	lvx_ring_write(r.ring, x, SLOT, 4 * SECOND + 120000, &written);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_OK);
	assert_int_equal(f.slot, 1);
	assert_int_equal(f.pts_us, SECOND + 80000);
	assert_int_equal(f.gap_us, 0);
	/* The half that is missing is silence. */
	for (int i = 7 * 80; i < VALUES; i++)
		assert_true(fabsf(r.values[i] + 1.0f) < 1e-6f);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_OK);
	assert_int_equal(f.slot, 2);
	assert_int_equal(f.pts_us, 4 * SECOND + 120000);
	assert_int_equal(f.gap_us, 3 * SECOND);
	/* Its frames see silence before it, as at the start of a stream. */
	struct lvx_mel *mel;
	assert_int_equal(lvx_mel_create(&mel, &spec.audio, NULL), LVX_OK);
	lvx_mel_slot(mel, x, fresh);
	assert_memory_equal(fresh, r.values, sizeof(fresh));
	lvx_mel_destroy(mel);
	/* A gap right at the border of a slot pads nothing. */
	lvx_ring_write(r.ring, x, SLOT, 9 * SECOND, &written);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_OK);
	assert_int_equal(f.slot, 3);
	assert_int_equal(f.gap_us, 9 * SECOND - (4 * SECOND + 200000));
	lvx_ring_finish(r.ring);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_END);
	stop(&r);
	free(x);
}

static void test_overrun_is_a_gap(void **state)
{
	(void)state;
	struct run r = start(SECOND);
	float *x = signal(RATE * 3);
	size_t written;
	struct lvx_feature f;
	lvx_ring_write(r.ring, x, RATE * 3, 0, &written);
	assert_int_equal(lvx_extractor_next(r.ex, &f, r.values), LVX_OK);
	uint64_t lost = lvx_extractor_overruns(r.ex);
	assert_true(lost > 0);
	assert_int_equal(f.slot, 0);
	assert_int_equal(f.gap_us, lost * 1000000 / RATE);
	assert_int_equal(f.pts_us, lost * 1000000 / RATE);
	stop(&r);
	free(x);
}

/* ---- pictures ---- */

static void fill(uint8_t *rgb, int r, int g, int b)
{
	for (int i = 0; i < 160 * 96; i++) {
		rgb[3 * i] = (uint8_t)r;
		rgb[3 * i + 1] = (uint8_t)g;
		rgb[3 * i + 2] = (uint8_t)b;
	}
}

static void test_patch_order(void **state)
{
	(void)state;
	static uint8_t rgb[160 * 96 * 3];
	static float out[60 * 768];
	for (int y = 0; y < 96; y++)
		for (int x = 0; x < 160; x++) {
			uint8_t *p = rgb + (y * 160 + x) * 3;
			p[0] = (uint8_t)x;
			p[1] = (uint8_t)y;
			p[2] = 255;
		}
	lvx_patches(&spec.image, rgb, out);
	for (int patch = 0; patch < 60; patch++)
		for (int y = 0; y < 16; y++)
			for (int x = 0; x < 16; x++) {
				const float *v = out + (patch * 256 + y * 16 + x) * 3;
				int px = patch % 10 * 16 + x, py = patch / 10 * 16 + y;
				assert_true(v[0] == (float)px / 127.5f - 1.0f);
				assert_true(v[1] == (float)py / 127.5f - 1.0f);
				assert_true(v[2] == 1.0f);
			}
}

static void test_gate(void **state)
{
	(void)state;
	static uint8_t rgb[160 * 96 * 3];
	struct lvx_gate g;
	lvx_gate_init(&g, &spec.image);
	fill(rgb, 100, 100, 100);
	assert_true(lvx_gate_pass(&g, rgb, 160, 96, 0)); /* the first */
	fill(rgb, 250, 0, 0);
	assert_false(lvx_gate_pass(&g, rgb, 160, 96, 999999)); /* rate cap */
	assert_true(lvx_gate_pass(&g, rgb, 160, 96, 1000000));	 /* another scene */
	assert_true(g.changed);
	fill(rgb, 248, 3, 2);
	assert_false(lvx_gate_pass(&g, rgb, 160, 96, 2500000)); /* noise */
	assert_true(lvx_gate_pass(&g, rgb, 160, 96, 3000000));	 /* long enough */
	assert_false(g.changed);
	assert_true(lvx_gate_pass(&g, rgb, 160, 96, 1000));	 /* time went back */
}

static void test_pictures_before_their_slot(void **state)
{
	(void)state;
	struct run r = start(10 * SECOND);
	static uint8_t rgb[160 * 96 * 3];
	float *x = signal(100 * SLOT);
	size_t written;
	struct lvx_feature f;
	/* Every 200 ms for 8 s: the scene changes at 2.4 s and 2.6 s. */
	int64_t want[] = {0, 2000000, 3000000, 5000000, 7000000};
	size_t n = 0;
	int64_t slot = 0;
	for (int i = 0; i < 40; i++) {
		int64_t pts = i * 200000;
		fill(rgb, pts < 2400000 ? 50 : pts < 2600000 ? 130 : 220, 50, 50);
		assert_int_equal(lvx_ring_write_picture(r.ring, rgb, pts), LVX_OK);
		lvx_ring_write(r.ring, x, RATE / 5, pts, &written);
		while (lvx_extractor_next(r.ex, &f, r.values) == LVX_OK) {
			assert_int_equal(f.slot, slot);
			if (f.kind == LVX_FEATURE_SLOT) {
				slot++;
				continue;
			}
			assert_true(n < 5);
			assert_int_equal(f.pts_us, want[n++]);
			assert_int_equal(f.slot, f.pts_us / 80000);
			assert_int_equal(f.n_values, 60 * 768);
			assert_true(r.values[1] == 50.0f / 127.5f - 1.0f);
		}
	}
	assert_int_equal(n, 5);
	stop(&r);
	free(x);
}

/* ---- sound of any format to the ring's ---- */

struct sink {
	float *pcm;
	size_t n;
	int64_t first_us, next_us;
	int breaks;
};

static enum lvx_status take(void *user, const float *pcm, size_t n, int64_t pts_us)
{
	struct sink *s = user;
	if (s->n == 0)
		s->first_us = pts_us;
	else if (llabs(pts_us - s->next_us) > 1)
		s->breaks++;
	memcpy(s->pcm + s->n, pcm, n * sizeof(float));
	s->n += n;
	s->next_us = pts_us + (int64_t)n * 1000000 / RATE;
	return LVX_OK;
}

static void test_resampling_by_chunks(void **state)
{
	(void)state;
	static const uint32_t rates[] = {8000, 11025, 16000, 22050, 44100, 48000, 96000};
	for (size_t k = 0; k < sizeof(rates) / sizeof(rates[0]); k++) {
		struct lvx_pcm_format format = {.rate = rates[k], .channels = 2};
		lvx_pcm_default_roles(&format);
		size_t frames = rates[k] * 2 + 17;
		float *in = malloc(frames * 2 * sizeof(float));
		for (size_t i = 0; i < frames; i++) {
			double w = 2.0 * M_PI * 440.0 * (double)i / rates[k];
			in[2 * i] = (float)(0.5 * sin(w));
			in[2 * i + 1] = (float)(0.3 * sin(w));
		}
		struct sink whole = {.pcm = malloc(RATE * 3 * sizeof(float))}, parts = whole;
		parts.pcm = malloc(RATE * 3 * sizeof(float));
		struct lvx_pcm *pcm;
		assert_int_equal(lvx_pcm_create(&pcm, RATE, -1, take, &whole, NULL), LVX_OK);
		assert_int_equal(lvx_pcm_push(pcm, &format, in, frames, 5000), LVX_OK);
		assert_int_equal(lvx_pcm_flush(pcm), LVX_OK);
		lvx_pcm_destroy(pcm);
		/* Length to a sample, time unbroken, and the tone in place. */
		assert_int_equal(whole.n, (uint64_t)frames * RATE / rates[k]);
		assert_int_equal(whole.first_us, 5000);
		assert_int_equal(whole.breaks, 0);
		for (size_t i = 200; i < whole.n - 200; i++) {
			double v = 0.4 * sin(2.0 * M_PI * 440.0 * (double)i / RATE);
			assert_true(fabs(v - (double)whole.pcm[i]) < 2e-3);
		}
		assert_int_equal(lvx_pcm_create(&pcm, RATE, -1, take, &parts, NULL), LVX_OK);
		uint32_t seed = (uint32_t)k;
		for (size_t at = 0; at < frames;) {
			seed = seed * 1664525u + 1013904223u;
			size_t n = 1 + (seed >> 8) % 3000;
			if (n > frames - at)
				n = frames - at;
			int64_t pts = 5000 + (int64_t)(at * 1000000 / rates[k]);
			assert_int_equal(lvx_pcm_push(pcm, &format, in + at * 2, n, pts), LVX_OK);
			at += n;
		}
		lvx_pcm_flush(pcm);
		lvx_pcm_destroy(pcm);
		assert_int_equal(parts.n, whole.n);
		assert_memory_equal(parts.pcm, whole.pcm, whole.n * sizeof(float));
		free(whole.pcm);
		free(parts.pcm);
		free(in);
	}
}

static void test_mixing(void **state)
{
	(void)state;
	struct sink s = {.pcm = malloc(RATE * sizeof(float))};
	struct lvx_pcm *pcm;
	struct lvx_pcm_format f51 = {.rate = RATE, .channels = 6};
	lvx_pcm_default_roles(&f51);
	float in[160 * 6];
	for (int i = 0; i < 160; i++)
		for (int c = 0; c < 6; c++)
			in[i * 6 + c] = c == 2 ? 0.5f : c == 3 ? 1.0f : 0.0f;
	assert_int_equal(lvx_pcm_create(&pcm, RATE, -1, take, &s, NULL), LVX_OK);
	assert_int_equal(lvx_pcm_push(pcm, &f51, in, 160, 0), LVX_OK);
	/* The voice in the centre, not the bass. */
	assert_true(fabsf(s.pcm[0] - 0.5f / (1.0f + 2.0f * 0.70710678f + 2.0f * 0.5f)) < 1e-6f);
	/* Not a number, or absurd: silence. */
	in[0] = NAN;
	in[6] = INFINITY;
	in[12] = 1e30f;
	assert_int_equal(lvx_pcm_push(pcm, &f51, in, 160, 10000), LVX_OK);
	for (int i = 160; i < 163; i++)
		assert_true(s.pcm[i] == 0.0f);
	lvx_pcm_destroy(pcm);
	s.n = 0;
	assert_int_equal(lvx_pcm_create(&pcm, RATE, 3, take, &s, NULL), LVX_OK);
	assert_int_equal(lvx_pcm_push(pcm, &f51, in, 160, 0), LVX_OK);
	assert_true(s.pcm[0] == 1.0f);
	struct lvx_pcm_format stereo = {.rate = RATE, .channels = 2};
	assert_int_equal(lvx_pcm_push(pcm, &stereo, in, 160, 10000), LVX_EINVAL);
	lvx_pcm_destroy(pcm);
	free(s.pcm);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mel_against_dft),
		cmocka_unit_test(test_mel_committed),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_spec_must_fit_ring),
		cmocka_unit_test(test_random_chunks),
		cmocka_unit_test(test_gap),
		cmocka_unit_test(test_overrun_is_a_gap),
		cmocka_unit_test(test_patch_order),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_pictures_before_their_slot),
		cmocka_unit_test(test_resampling_by_chunks),
		cmocka_unit_test(test_mixing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
