/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one source and says what came out: for looking at media by hand. */
#include "drain.h"

#include "base/clock.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s URI [pictures] [clock] [live] [push] [track=T] [channel=N]\n",
			argv[0]);
		return 2;
	}
	struct lvx_source_params p = {.pace = LVX_PACE_MAX, .channel = -1};
	bool push = false;
	for (int i = 2; i < argc; i++) {
		push |= strcmp(argv[i], "push") == 0;
		if (strcmp(argv[i], "pictures") == 0)
			p.want_pictures = true;
		else if (strcmp(argv[i], "clock") == 0)
			p.pace = LVX_PACE_CLOCK;
		else if (strcmp(argv[i], "live") == 0)
			p.live = true;
		else if (strncmp(argv[i], "track=", 6) == 0)
			p.audio_track = argv[i] + 6;
		else if (strncmp(argv[i], "channel=", 8) == 0)
			p.channel = atoi(argv[i] + 8);
	}
	struct drain d;
	struct lvx_source_stats s = {0};
	struct lvx_error err = {0};
	drain_init(&d, LVX_RING_PACED, p.want_pictures ? 160 : 0, p.want_pictures ? 96 : 0);
	int64_t t = lvx_now_us();
	enum lvx_status st;
	char *bytes;
	size_t len;
	if (!push)
		st = drain_uri(&d, &p, argv[1], &s, &err);
	else if ((st = lvx_file_read(&bytes, &len, argv[1], SIZE_MAX / 2, &err)) == LVX_OK) {
		struct lvx_push_params pp = {
			.format = LVX_PUSH_CONTAINER,
			.channel = p.channel,
			.want_pictures = p.want_pictures,
		};
		st = drain_push(&d, &pp, (const uint8_t *)bytes, len, 5000, 1, &s, &err);
		free(bytes);
	}
	printf("%s %s\n", lvx_status_name(st), err.msg);
	for (int i = 0; i < d.n_states; i++)
		printf("%s ", lvx_source_state_name(d.states[i]));
	printf("[%s]\n", d.msg);
	printf("%.3f s wall; samples %zu (%.3f s) rms %.4f; pictures %d\n",
		(double)(lvx_now_us() - t) * 1e-6, d.n, (double)d.n / 16000, rms(d.pcm, d.n),
		d.n_pictures);
	for (int i = 0; i < d.n_pieces && i < 20; i++)
		printf("  piece at %zu pts %.6f\n", d.pieces[i].at, (double)d.pieces[i].pts_us * 1e-6);
	for (int i = 0; i < d.n_pictures && i < 10; i++)
		printf("  picture %.6f  %d %d %d\n", (double)d.picture_us[i] * 1e-6,
			d.picture_mid[i][0], d.picture_mid[i][1], d.picture_mid[i][2]);
	printf("wraps %llu jumps %llu reconnects %llu errors %llu drift %.1f duration %.3f end %.6f\n",
		(unsigned long long)s.pts_wraps, (unsigned long long)s.pts_jumps,
		(unsigned long long)s.reconnects, (unsigned long long)s.decode_errors, s.drift_ppm,
		(double)s.duration_us * 1e-6, (double)drain_end_us(&d) * 1e-6);
	drain_finish(&d);
	return st != LVX_OK;
}
