/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thirty streams of the bundled clip with the shipped model on whatever device
 * there is: each joins at some tick, some leave before their end, and each says
 * exactly what it says alone; also where the runner takes its batches in two parts.
 */
#include "base/clock.h"
#include "pipeline/extractor.h"
#include "pipeline/source.h"
#include "streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	STREAMS = 30,
	ROWS = 20,      /* at once; who leaves makes room */
	PIECE_MIN = 14, /* slots of a stream */
	PIECE_MAX = 34,
	JOIN_WITHIN = 50, /* ticks */
};

static struct lvx_model *model;
static struct lvx_runner *runner;
static struct stream_input *clip; /* slots of the whole clip */
static uint32_t clip_slots;
static float *clip_values;
static uint32_t seed = 20;

static uint32_t pick(uint32_t lo, uint32_t hi)
{
	seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
	return lo + seed % (hi - lo + 1);
}

/* Every slot of the clip, as the daemon would hear it. */
static void hear_clip(void)
{
	const struct lvx_frontend_spec *spec = &lvx_model_info(model)->frontend;
	uint32_t n_values = lvx_audio_slot_values(&spec->audio), room = 1024;
	struct lvx_ring_params rp = {.sample_rate = spec->audio.sample_rate,
		.capacity_us = 10000000,
		.mode = LVX_RING_PACED};
	struct lvx_source_params sp = {.uri = LVX_CLIP, .pace = LVX_PACE_MAX, .channel = -1};
	struct lvx_source_callbacks cb = {0};
	struct lvx_frontend_spec sound = *spec;
	struct lvx_ring *ring = NULL;
	struct lvx_extractor *ex = NULL;
	struct lvx_source *source = NULL;
	struct lvx_feature f;
	struct lvx_error err;
	enum lvx_status st;
	sound.image.enabled = false;
	if (lvx_ring_create(&ring, &rp, &err) != LVX_OK ||
		lvx_extractor_create(&ex, ring, &sound, true, &err) != LVX_OK ||
		lvx_source_open(&source, &sp, ring, &cb, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	clip = calloc(room, sizeof(*clip));
	clip_values = calloc((size_t)room * n_values, sizeof(*clip_values));
	float *values = calloc(lvx_extractor_max_values(&sound), sizeof(*values));
	assert_true(clip && clip_values && values);
	while ((st = lvx_extractor_next(ex, &f, values)) != LVX_END) {
		assert_true(st == LVX_OK || st == LVX_AGAIN);
		if (st == LVX_AGAIN) {
			lvx_sleep_us(1000);
			continue;
		}
		assert_true(f.kind == LVX_FEATURE_SLOT && clip_slots < room);
		float *to = clip_values + (size_t)clip_slots * n_values;
		memcpy(to, values, n_values * sizeof(*to));
		clip[clip_slots++] = (struct stream_input){
			.item = {.kind = LVX_FEED_SLOT, .pts_us = f.pts_us}, .values = to};
	}
	free(values);
	lvx_source_close(source);
	lvx_extractor_destroy(ex);
	lvx_ring_destroy(ring);
	assert_true(clip_slots > 2 * PIECE_MAX);
}

static void open_runner(uint32_t split_runs)
{
	struct lvx_error err;
	struct lvx_runner_params params = {.device = getenv("LVX_DEVICE"),
		.n_rows = ROWS,
		.split_runs = split_runs,
		.exact = true};
	lvx_runner_destroy(runner);
	if (lvx_runner_create(&runner, model, &params, &err) != LVX_OK)
		fail_msg("%s", err.msg);
}

static int set_up(void **state)
{
	(void)state;
	struct lvx_error err;
	if (lvx_model_load(&model, LVX_WEIGHTS, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	open_runner(0);
	hear_clip();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(clip);
	free(clip_values);
	lvx_runner_destroy(runner);
	lvx_model_destroy(model);
	return 0;
}

struct plan {
	struct stream alone, among, in_parts;
	uint32_t join, leave_at; /* ticks; inputs heard: then it leaves, 0: it stays */
};

static struct lvx_scheduler *open_scheduler(void)
{
	struct lvx_scheduler *s;
	struct lvx_error err;
	if (lvx_scheduler_create(&s, model, runner, ROWS, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	return s;
}

/* Who is at the end, or is to leave now, leaves. */
static void leave_if_due(struct lvx_scheduler *s, struct stream *stream, uint32_t leave_at)
{
	if (stream->in && (stream->ended || (leave_at && stream->at >= leave_at)))
		stream_leave(stream, s);
}

static void run_alone(struct plan *p)
{
	struct lvx_scheduler *s = open_scheduler();
	uint32_t n_done;
	stream_join(&p->alone, s);
	while (!p->alone.ended) {
		assert_int_equal(lvx_scheduler_tick(s, &n_done), LVX_OK);
		leave_if_due(s, &p->alone, p->leave_at);
	}
	lvx_scheduler_destroy(s);
}

static void run_among(struct plan *plans, bool in_parts)
{
	struct lvx_scheduler *s = open_scheduler();
	uint32_t n_done, n_in = 0, n_ended = 0, most = 0;
	for (uint32_t t = 0; n_ended < STREAMS; t++) {
		for (uint32_t i = 0; i < STREAMS; i++) {
			struct stream *stream = in_parts ? &plans[i].in_parts : &plans[i].among;
			if (!stream->in && !stream->ended && plans[i].join <= t && n_in < ROWS) {
				stream_join(stream, s);
				n_in++;
			}
		}
		most = n_in > most ? n_in : most;
		assert_int_equal(lvx_scheduler_tick(s, &n_done), LVX_OK);
		n_ended = n_in = 0;
		for (uint32_t i = 0; i < STREAMS; i++) {
			struct stream *stream = in_parts ? &plans[i].in_parts : &plans[i].among;
			leave_if_due(s, stream, plans[i].leave_at);
			n_ended += stream->ended;
			n_in += stream->in;
		}
	}
	print_message("# at most %u at once\n", most);
	assert_true(most > ROWS / 2);
	lvx_scheduler_destroy(s);
}

static void same(uint32_t i, const struct stream *alone, const struct stream *among, const char *how)
{
	if (alone->len != among->len || memcmp(alone->said, among->said, alone->len) != 0)
		fail_msg("stream %u says alone\n%.*sand among others%s\n%.*s", i, (int)alone->len,
			alone->said, how, (int)among->len, among->said);
}

static void test_join_and_leave(void **state)
{
	(void)state;
	static struct plan plans[STREAMS];
	const struct lvx_model_info *info = lvx_model_info(model);
	int caption = lvx_model_info_lane(info, "caption");
	assert_true(caption >= 0);
	uint32_t words = 0;
	for (uint32_t i = 0; i < STREAMS; i++) {
		struct plan *p = &plans[i];
		uint32_t n = pick(PIECE_MIN, PIECE_MAX);
		p->among = (struct stream){.params = {.lanes = 1u << caption},
			.inputs = clip + pick(0, clip_slots - n),
			.slot_values = lvx_audio_slot_values(&info->frontend.audio),
			.n = n};
		p->join = pick(0, JOIN_WITHIN);
		p->leave_at = pick(0, 3) ? 0 : n - pick(1, 5);
		p->alone = p->in_parts = p->among;
		run_alone(p);
		words += p->alone.words;
	}
	print_message("# %u words\n", words);
	assert_true(words > STREAMS);
	run_among(plans, false);
	open_runner(2);
	run_among(plans, true);
	for (uint32_t i = 0; i < STREAMS; i++) {
		struct plan *p = &plans[i];
		same(i, &p->alone, &p->among, "");
		same(i, &p->alone, &p->in_parts, ", in parts,");
		stream_free(&p->alone);
		stream_free(&p->among);
		stream_free(&p->in_parts);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_join_and_leave)};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
