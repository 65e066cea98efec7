/* SPDX-License-Identifier: Apache-2.0 */
/* How loud a stream is, and since when it is silent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "pipeline/ring.h"

#include <math.h>

enum { RATE = 16000, BLOCK = RATE * 2 / 5 };

static struct lvx_ring_stats write_tone(
	struct lvx_ring *ring, float amplitude, size_t n, size_t *at)
{
	float pcm[160];
	struct lvx_ring_stats stats;
	size_t written;
	for (size_t done = 0; done < n; done += 160) {
		for (size_t i = 0; i < 160; i++)
			pcm[i] = amplitude * sinf((float)(*at + i) * 6.2831853F * 500 / RATE);
		assert_int_equal(
			lvx_ring_write(ring, pcm, 160, (int64_t)*at * 1000000 / RATE, &written),
			LVX_OK);
		*at += written;
	}
	lvx_ring_get_stats(ring, &stats);
	return stats;
}

static void test_levels(void **state)
{
	(void)state;
	struct lvx_ring *ring;
	struct lvx_error err;
	size_t at = 0;
	struct lvx_ring_params p = {
		.sample_rate = RATE, .capacity_us = 2000000, .mode = LVX_RING_LIVE};
	assert_int_equal(lvx_ring_create(&ring, &p, &err), LVX_OK);
	struct lvx_ring_stats s = write_tone(ring, 0.5F, BLOCK / 2, &at);
	assert_true(s.rms < 0 && s.peak < 0); /* no whole block yet */
	s = write_tone(ring, 0.5F, BLOCK / 2, &at);
	assert_float_equal(s.rms, 0.5F / sqrtf(2), 1e-3F);
	assert_float_equal(s.peak, 0.5F, 1e-3F);
	assert_int_equal(s.silent_us, 0);
	/* -62 dBFS is silence, and its time adds up; a sound ends it. */
	s = write_tone(ring, 0.0011F, 10 * BLOCK, &at);
	assert_int_equal(s.silent_us, 4000000);
	s = write_tone(ring, 0.0F, 5 * BLOCK, &at);
	assert_int_equal(s.silent_us, 6000000);
	assert_true(s.rms == 0.0F && s.peak == 0.0F);
	s = write_tone(ring, 0.002F, BLOCK, &at);
	assert_int_equal(s.silent_us, 0);
	lvx_ring_destroy(ring);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
