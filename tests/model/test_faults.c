/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device with too little memory, at every point of the way; rows that are too many for it; a
 * cache of compiled kernels that is damaged, cut or another driver's.
 */
#include "tests/bench/shape.h"

#include "model/vk_device.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 3 };

static struct lvx_shape_model *shape;
static const struct lvx_model *model;
static char home[64]; /* of the cache */

static int set_up(void **state)
{
	(void)state;
	struct lvx_error err;
	const struct lvx_shape *tiny = lvx_shape_find("tiny", &err);
	strcpy(home, "/tmp/lvx-faults-XXXXXX");
	assert_non_null(mkdtemp(home));
	setenv("XDG_CACHE_HOME", home, 1);
	if (!tiny || lvx_shape_open(&shape, tiny, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	model = lvx_shape_get(shape);
	return 0;
}

static enum lvx_status create(
	struct lvx_runner **out, const struct lvx_runner_params *p, struct lvx_error *err)
{
	struct lvx_runner_params params = *p;
	params.device = getenv("LVX_DEVICE");
	params.n_rows = p->n_rows ? p->n_rows : ROWS;
	*out = NULL;
	return lvx_runner_create(out, model, &params, err);
}

/* A slot, and what it says. */
static struct lvx_output step(struct lvx_runner *r)
{
	static const int32_t tokens[LVX_LANES_MAX] = {0};
	static float values[4096];
	struct lvx_run run = {.kind = LVX_RUN_SLOT,
		.n = 1,
		.features = values,
		.tokens = tokens,
		.want_lanes = 1};
	struct lvx_output out;
	assert_true(lvx_audio_slot_values(&lvx_model_info(model)->frontend.audio) <= 4096);
	assert_int_equal(lvx_runner_step(r, &run, 1, &out), LVX_OK);
	return out;
}

static void test_memory(void **state)
{
	(void)state;
	enum { POINTS = 23 };
	struct lvx_runner *r;
	struct lvx_error err;
	bool weights = false, keys = false;
	assert_int_equal(create(&r, &(struct lvx_runner_params){0}, &err), LVX_OK);
	uint64_t all = lvx_runner_device_bytes(r);
	lvx_runner_destroy(r);
	for (uint64_t i = 1; i < POINTS; i++) {
		struct lvx_runner_params p = {.memory_max = all * i / POINTS};
		assert_int_equal(create(&r, &p, &err), LVX_ENOMEM);
		assert_null(r);
		if (!strstr(err.msg, "MiB for") || !strstr(err.msg, "out of device memory"))
			fail_msg("%s", err.msg);
		weights |= strstr(err.msg, "weights") != NULL;
		keys |= strstr(err.msg, "the cache of") != NULL;
	}
	assert_true(weights && keys);
	assert_int_equal(create(&r, &(struct lvx_runner_params){.memory_max = all}, &err), LVX_OK);
	step(r);
	lvx_runner_destroy(r);
}

/* ---- the cache ---- */

static struct lvx_vk_instance *instance;

static struct lvx_vk *open_vk(void)
{
	struct lvx_vk *vk;
	struct lvx_error err;
	if (lvx_vk_create(&vk, instance, getenv("LVX_DEVICE"), &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return vk;
}

static void store(const char *path, const uint8_t *data, size_t n)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

/* A head as this driver writes it (VkPipelineCacheHeaderVersionOne), and nothing of sense behind
 * it. */
static void make_cache(const struct lvx_vk *vk, uint8_t *out, size_t n)
{
	const uint32_t head[] = {32, VK_PIPELINE_CACHE_HEADER_VERSION_ONE, vk->properties.vendorID,
		vk->properties.deviceID};
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(i * 37);
	memcpy(out, head, sizeof(head));
	memcpy(out + 16, vk->properties.pipelineCacheUUID, VK_UUID_SIZE);
}

static void test_cache(void **state)
{
	(void)state;
	enum { BYTES = 500, KINDS = 7 };
	static const struct {
		size_t n;
		int flip; /* the byte that is wrong, -1: none */
		bool taken;
	} kinds[KINDS] = {
		{BYTES, -1, true}, /* its head is ours; the driver finds out that it is damaged */
		{0, -1, false}, {20, -1, false}, /* less than a head */
		{BYTES, 1, false},               /* says that its head is longer than all */
		{BYTES, 8, false},               /* another maker's */
		{BYTES, 12, false},              /* another device's */
		{BYTES, 16, false},              /* another driver's */
	};
	struct lvx_runner *r;
	struct lvx_error err;
	uint8_t data[BYTES];
	char path[sizeof(((struct lvx_vk *)NULL)->cache_path)];
	if (lvx_vk_instance_create(&instance, false, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	struct lvx_vk *vk = open_vk();
	strcpy(path, vk->cache_path);
	assert_int_equal(strncmp(path, home, strlen(home)), 0);
	lvx_vk_destroy(vk);
	assert_int_equal(create(&r, &(struct lvx_runner_params){0}, &err), LVX_OK);
	struct lvx_output first = step(r);
	lvx_runner_destroy(r);
	for (int k = 0; k < KINDS; k++) {
		vk = open_vk();
		make_cache(vk, data, BYTES);
		lvx_vk_destroy(vk);
		if (kinds[k].flip >= 0)
			data[kinds[k].flip] ^= 0xff;
		store(path, data, kinds[k].n);
		vk = open_vk();
		assert_int_equal(vk->cache_len, kinds[k].taken ? kinds[k].n : 0);
		lvx_vk_destroy(vk);
		store(path, data, kinds[k].n);
		if (create(&r, &(struct lvx_runner_params){0}, &err) != LVX_OK)
			fail_msg("kind %d: %s", k, err.msg);
		struct lvx_output out = step(r);
		assert_memory_equal(&out, &first, sizeof(out));
		lvx_runner_destroy(r);
	}
	/* a place where nothing can be read or written */
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(create(&r, &(struct lvx_runner_params){0}, &err), LVX_OK);
	lvx_runner_destroy(r);
	assert_int_equal(rmdir(path), 0);
	lvx_vk_instance_destroy(instance);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	lvx_shape_close(shape);
	return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS); /* drivers keep things there too */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_cache),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
