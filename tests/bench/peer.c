/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/peer.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { ROUNDS = 5, BYTES_A_SECOND = 32000 };

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void lvx_peer(struct lvx_load *load, const char *pcm, const char *command, int64_t slot_us)
{
	struct stat st;
	double ours[ROUNDS], theirs[ROUNDS];
	if (stat(pcm, &st) != 0 || setenv("LVX_PCM", pcm, 1) != 0) {
		perror(pcm);
		return;
	}
	double seconds = (double)st.st_size / BYTES_A_SECOND;
	uint32_t slots = (uint32_t)(seconds * 1e6 / (double)slot_us);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t t = lvx_now_us(), us;
		for (uint32_t k = 0; k < slots; k++)
			if (lvx_load_tick(load, 1, &us) != LVX_OK)
				return;
		ours[i] = (double)(lvx_now_us() - t) * 1e-6;
		t = lvx_now_us();
		int rc = system(command); /* the user's own, named on the command line */
		theirs[i] = (double)(lvx_now_us() - t) * 1e-6;
		if (rc != 0) {
			printf("peer: '%s' failed\n", command);
			return;
		}
	}
	qsort(ours, ROUNDS, sizeof(ours[0]), by_value);
	qsort(theirs, ROUNDS, sizeof(theirs[0]), by_value);
	printf("%.1f s of sound: ours %.2f s (%.1f times real time), peer %.2f s (%.1f); ratio %.2f\n",
		seconds, ours[ROUNDS / 2], seconds / ours[ROUNDS / 2], theirs[ROUNDS / 2],
		seconds / theirs[ROUNDS / 2], theirs[ROUNDS / 2] / ours[ROUNDS / 2]);
}
