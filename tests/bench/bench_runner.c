/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_runner MODEL [DEVICE]: what a step costs with several rows, with full
 * windows; medians, and what one stream needs of real time. LVX_MODEL names
 * another model folder, LVX_DEVICE another device. No pass or fail.
 */
#include "base/clock.h"
#include "model/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ROWS = 16, ROUNDS = 31 };

struct bench {
	struct lvx_runner *runner;
	const struct lvx_model_info *info;
	float *mel, *picture;
	uint32_t patches;
	uint32_t first; /* row */
	int64_t slot[ROWS];
};

static void must(enum lvx_status st)
{
	if (st == LVX_OK)
		return;
	fprintf(stderr, "bench_runner: %s\n", lvx_status_name(st));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static const int32_t tokens[LVX_LANES_MAX] = {5, 6, 7, 8}, conditions[1] = {0};

/* One step of n rows from b->first; the first n_pictures of them bring a picture instead of a slot.
 */
static int64_t step(struct bench *b, uint32_t n, uint32_t n_pictures, uint32_t lanes)
{
	struct lvx_run runs[ROWS];
	struct lvx_output out[ROWS];
	for (uint32_t i = 0; i < n; i++) {
		bool picture = i < n_pictures;
		runs[i] = (struct lvx_run){.row = b->first + i,
			.kind = picture ? LVX_RUN_PICTURE : LVX_RUN_SLOT,
			.n = picture ? b->patches : 1,
			.position = b->slot[b->first + i],
			.features = picture ? b->picture : b->mel,
			.tokens = picture ? NULL : tokens,
			.conditions = conditions,
			.n_conditions = b->info->n_conditions > 0,
			.want_lanes = picture ? 0 : lanes};
		b->slot[b->first + i] += !picture;
	}
	int64_t t = lvx_now_us();
	must(lvx_runner_step(b->runner, runs, n, out));
	return lvx_now_us() - t;
}

static double median_ms(struct bench *b, uint32_t n, uint32_t n_pictures, uint32_t lanes)
{
	int64_t t[ROUNDS];
	step(b, n, n_pictures, lanes); /* this shape's commands are recorded */
	for (int i = 0; i < ROUNDS; i++)
		t[i] = step(b, n, n_pictures, lanes);
	qsort(t, ROUNDS, sizeof(t[0]), by_value);
	return (double)t[ROUNDS / 2] * 1e-3;
}

static double resident_mb(void)
{
	long pages = 0, all = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f && fscanf(f, "%ld %ld", &all, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) * 1e-6;
}

static void fill(float *v, size_t n)
{
	uint32_t x = 1;
	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		v[i] = (float)(x >> 24) / 127.5f - 1.0f;
	}
}

static void run(struct bench *b)
{
	static const uint32_t counts[] = {1, 2, 5, 8, 16};
	double slot_ms = (double)b->info->slot_us * 1e-3;
	uint32_t every = (uint32_t)(b->info->frontend.image.max_interval_us / b->info->slot_us);
	/* full windows and picture rings: the steady state */
	for (uint32_t i = 0; i < b->info->window_slots; i++)
		step(b, ROWS, 0, 0);
	for (uint32_t i = 0; i < b->info->max_pictures * ROWS && b->patches; i++) {
		b->first = i % ROWS;
		step(b, 1, 1, 0);
	}
	b->first = 0;
	double one = 0.0, two = 0.0;
	printf("%-8s %12s %12s %16s\n", "rows", "1 lane, ms", "2 lanes, ms", "ms a row, 2 lanes");
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		double a = median_ms(b, counts[i], 0, 1), c = median_ms(b, counts[i], 0, 3);
		printf("%-8u %12.2f %12.2f %16.2f\n", counts[i], a, c, c / counts[i]);
		if (i == 0)
			one = a, two = c;
	}
	if (!b->patches)
		return;
	double picture = median_ms(b, 1, 1, 0), both = median_ms(b, 5, 1, 3);
	printf("a picture alone %.2f ms; with 4 rows' slots %.2f ms\n", picture, both);
	printf("one stream with a picture every %u slots: %.1f %% of real time (1 lane), %.1f %% "
	       "(2 lanes)\n",
		every, (one + picture / every) / slot_ms * 100,
		(two + picture / every) / slot_ms * 100);
}

int main(int argc, char **argv)
{
	const char *env = getenv("LVX_MODEL"), *dir = env ? env : argc > 1 ? argv[1] : "";
	struct lvx_error err;
	struct lvx_model *model;
	if (access(dir, R_OK) != 0) {
		printf("skipped: no model at '%s'; LVX_MODEL names another folder\n", dir);
		return 77;
	}
	struct bench b = {0};
	struct lvx_runner_params params = {
		.device = argc > 2 ? argv[2] : getenv("LVX_DEVICE"), .n_rows = ROWS};
	int64_t t = lvx_now_us();
	if (lvx_model_load(&model, dir, &err) != LVX_OK ||
		lvx_runner_create(&b.runner, model, &params, &err) != LVX_OK) {
		fprintf(stderr, "bench_runner: %s\n", err.msg);
		return 1;
	}
	b.info = lvx_model_info(model);
	printf("%s on %s, ready in %.0f ms\n", b.info->name, lvx_runner_device(b.runner)->name,
		(double)(lvx_now_us() - t) * 1e-3);
	b.patches = b.info->frontend.image.enabled ? lvx_image_patches(&b.info->frontend.image) : 0;
	size_t n_mel = lvx_audio_slot_values(&b.info->frontend.audio);
	size_t n_picture = (size_t)b.patches * lvx_image_patch_values(&b.info->frontend.image);
	b.mel = malloc(n_mel * sizeof(float));
	b.picture = malloc((n_picture + 1) * sizeof(float));
	if (!b.mel || !b.picture)
		abort();
	fill(b.mel, n_mel);
	fill(b.picture, n_picture);
	run(&b);
	printf("resident %.0f MB, of it on the device %.0f MB\n", resident_mb(),
		(double)lvx_runner_device_bytes(b.runner) * 1e-6);
	free(b.mel);
	free(b.picture);
	lvx_runner_destroy(b.runner);
	lvx_model_destroy(model);
	return 0;
}
