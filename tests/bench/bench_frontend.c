/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the path from sound and pictures to the model's inputs costs, in one run:
 * no pass or fail, only figures.
 */
#include "base/clock.h"
#include "pipeline/extractor.h"
#include "pipeline/mel.h"
#include "pipeline/patches.h"
#include "pipeline/pcm.h"
#include "pipeline/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000, SLOT = 1280, ROUNDS = 2000 };

static const struct lvx_frontend_spec spec = {
	.audio = {16000, 400, 512, 160, 80, 8, 0.0f, 8000.0f, 1e-8f, 4.0f, 0.25f},
	.image = {true, 160, 96, 16, 1000000, 2000000},
};
static float pcm[RATE * 10];
static float values[60 * 768];
static uint8_t rgb[1920 * 1080 * 3];
static float stereo[2 * 480];

static void must(enum lvx_status st)
{
	if (st != LVX_OK)
		abort();
}

static void say(const char *what, int64_t begun_us, double n, const char *unit, double each)
{
	double us = (double)(lvx_now_us() - begun_us) / n;
	printf("%-34s %9.2f us a %s", what, us, unit);
	if (each > 0.0)
		printf("   %8.0f times real time", each / us);
	printf("\n");
}

static enum lvx_status ignore(void *user, const float *p, size_t n, int64_t pts_us)
{
	(void)user, (void)p, (void)n, (void)pts_us;
	return LVX_OK;
}

static void bench_mel(void)
{
	struct lvx_mel *mel;
	must(lvx_mel_create(&mel, &spec.audio, NULL));
	int64_t t = lvx_now_us();
	for (int i = 0; i < ROUNDS; i++)
		lvx_mel_slot(mel, pcm + i % 100 * SLOT, values);
	say("log-mel (8 frames, 80 bins)", t, ROUNDS, "slot", 80000.0);
	lvx_mel_destroy(mel);
}

static void bench_resampler(uint32_t rate)
{
	struct lvx_pcm *p;
	struct lvx_pcm_format format = {.rate = rate, .channels = 2};
	char what[64];
	lvx_pcm_default_roles(&format);
	must(lvx_pcm_create(&p, RATE, -1, ignore, NULL, NULL));
	int64_t t = lvx_now_us();
	for (int i = 0; i < ROUNDS; i++)
		must(lvx_pcm_push(p, &format, stereo, 480, (int64_t)i * 480 * 1000000 / rate));
	snprintf(what, sizeof(what), "mix and resample stereo %u Hz", rate);
	say(what, t, ROUNDS, "480 frames", 480e6 / rate);
	lvx_pcm_destroy(p);
}

static void bench_ring(void)
{
	struct lvx_ring *ring;
	struct lvx_cursor *c;
	struct lvx_ring_params rp = {RATE, 30000000, LVX_RING_LIVE, 160, 96, 8};
	size_t n;
	int64_t pts, resume;
	must(lvx_ring_create(&ring, &rp, NULL));
	must(lvx_cursor_open(&c, ring, false, NULL));
	enum { BLOCKS = 20000 };
	int64_t t = lvx_now_us();
	for (int i = 0; i < BLOCKS; i++) {
		must(lvx_ring_write(ring, pcm, SLOT, (int64_t)i * 80000, &n));
		must(lvx_cursor_read(c, values, SLOT, &n, &pts, &resume));
	}
	double s = (double)(lvx_now_us() - t) * 1e-6;
	printf("%-34s %9.0f MB/s written and read\n", "ring", BLOCKS * SLOT * 4.0 / s * 1e-6);
	t = lvx_now_us();
	for (int i = 0; i < ROUNDS; i++) {
		must(lvx_ring_write_picture(ring, rgb, i));
		must(lvx_cursor_read_picture(c, rgb, i, &pts));
	}
	say("ring, a picture of 160 x 96", t, ROUNDS, "picture", 0.0);
	lvx_cursor_close(c);
	lvx_ring_destroy(ring);
}

static void bench_pictures(void)
{
	struct lvx_scaler *scaler;
	struct lvx_gate gate;
	must(lvx_scaler_create(&scaler, 160, 96, NULL));
	struct lvx_picture p = {.format = "yuv420p", .width = 1920, .height = 1080,
		.plane = {rgb, rgb + 1920 * 1080, rgb + 1920 * 1080 * 5 / 4}, .stride = {1920, 960, 960},
		.matrix = LVX_PICTURE_BT709};
	int64_t t = lvx_now_us();
	for (int i = 0; i < 100; i++)
		if (!lvx_scaler_run(scaler, &p))
			abort();
	say("scale 1920 x 1080 to 160 x 96", t, 100, "picture", 0.0);
	lvx_scaler_destroy(scaler);
	lvx_gate_init(&gate, &spec.image);
	t = lvx_now_us();
	for (int i = 0; i < ROUNDS; i++)
		lvx_gate_pass(&gate, rgb, 160, 96, (int64_t)i * 1000000);
	say("scene gate", t, ROUNDS, "picture", 0.0);
	t = lvx_now_us();
	for (int i = 0; i < ROUNDS; i++)
		lvx_patches(&spec.image, rgb, values);
	say("patches", t, ROUNDS, "picture", 0.0);
}

int main(void)
{
	uint32_t seed = 1;
	for (size_t i = 0; i < sizeof(pcm) / sizeof(pcm[0]); i++) {
		seed = seed * 1664525u + 1013904223u;
		pcm[i] = (float)(0.3 * sin((double)i * 0.05)) + (float)(seed >> 8) * 1e-9f;
	}
	for (size_t i = 0; i < sizeof(stereo) / sizeof(stereo[0]); i++)
		stereo[i] = pcm[i];
	for (size_t i = 0; i < sizeof(rgb); i++)
		rgb[i] = (uint8_t)(i * 7 / 1000);
	bench_mel();
	bench_resampler(48000);
	bench_resampler(44100);
	bench_ring();
	bench_pictures();
	return 0;
}
