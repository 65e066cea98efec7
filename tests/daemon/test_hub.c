/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hub over the fake model, without sockets: where the model thread, keepers,
 * a pusher and readers meet. Also run under ThreadSanitizer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bell.h"
#include "daemon/hub.h"

#include <pthread.h>

enum { SECONDS = 8, WORDS = 20, RATE = 16000 };

struct fixture {
	struct lvx_engine *engine;
	struct lvx_hub *hub;
};

struct reading {
	pthread_t thread;
	struct lvx_hub_stream *stream;
	struct lvx_bell *bell;
	int words, ends;
	uint64_t last_seq;
	bool in_order;
};

static void ring(void *user)
{
	lvx_bell_ring(user);
}

static void *read_all(void *arg)
{
	struct reading *r = arg;
	struct lvx_hub_reader reader = {.next = 1, .lanes = 1};
	struct lvx_hub_event *e;
	r->in_order = true;
	for (;;) {
		enum lvx_status st = lvx_hub_next(r->stream, &reader, &e);
		if (st == LVX_END)
			return NULL;
		if (st == LVX_AGAIN) {
			lvx_bell_wait(r->bell, 100000);
			continue;
		}
		assert_int_equal(st, LVX_OK);
		char expected[32];
		snprintf(expected, sizeof(expected), "\"text\":\"c%d\"", r->words);
		if (e->kind == LVX_HUB_TEXT)
			r->words += memmem(e->data + LVX_EVENT_HEADROOM, e->len, expected,
					    strlen(expected)) != NULL;
		r->ends += e->kind == LVX_HUB_END;
		r->in_order = r->in_order && e->seq > r->last_seq;
		r->last_seq = e->seq;
		lvx_hub_event_unref(e);
	}
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct lvx_error err;
	struct lvx_engine_params ep = {.model_dir = "/tmp", .n_rows = 2};
	assert_int_equal(lvx_engine_create(&f->engine, &ep, &err), LVX_OK);
	struct lvx_hub_params hp = {.engine = f->engine, .max_streams = 2, .history = 64};
	assert_int_equal(lvx_hub_create(&f->hub, &hp, &err), LVX_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	assert_true(lvx_hub_shutdown(f->hub, 60000000));
	lvx_hub_destroy(f->hub);
	lvx_engine_destroy(f->engine);
	free(f);
	return 0;
}

static struct lvx_hub_spec push_spec(const char *id)
{
	return (struct lvx_hub_spec){
		.id = id,
		.push = {.format = LVX_PUSH_S16LE,
			.sample_rate = RATE,
			.channels = 1,
			.channel = -1},
		.channel = -1,
		.lanes = 1,
		.over_network = true,
	};
}

/* Pushes SECONDS of silence; waits on the bell where there is no room. */
static void push_all(struct lvx_hub_stream *s, struct lvx_bell *bell)
{
	static const uint8_t silence[SECONDS * RATE * 2];
	for (size_t at = 0; at < sizeof(silence);) {
		size_t n = sizeof(silence) - at < 9999 ? sizeof(silence) - at : 9999, taken;
		enum lvx_status st = lvx_hub_push(s, silence + at, n, &taken);
		at += taken;
		if (st == LVX_AGAIN)
			lvx_bell_wait(bell, 100000);
		else
			assert_int_equal(st, LVX_OK);
	}
	lvx_hub_push_finish(s, false);
}

static void test_readers(void **state)
{
	struct fixture *f = *state;
	struct lvx_error err;
	struct lvx_bell *bells[4];
	struct reading readings[3] = {0};
	struct lvx_hub_spec spec = push_spec("p");
	struct lvx_hub_stream *s;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(lvx_bell_create(&bells[i], &err), LVX_OK);
		lvx_hub_on_news(f->hub, ring, bells[i]);
	}
	assert_int_equal(lvx_hub_open(f->hub, &spec, &s, &err), LVX_OK);
	for (int i = 0; i < 3; i++) {
		readings[i].stream = s;
		readings[i].bell = bells[i];
		pthread_create(&readings[i].thread, NULL, read_all, &readings[i]);
	}
	push_all(s, bells[3]);
	for (int i = 0; i < 3; i++) {
		pthread_join(readings[i].thread, NULL);
		assert_int_equal(readings[i].words, WORDS);
		assert_int_equal(readings[i].ends, 1);
		assert_true(readings[i].in_order);
	}
	struct lvx_hub_info info;
	lvx_hub_get_info(s, &info);
	assert_string_equal(info.reason, "ended");
	assert_int_equal(info.stream.words, WORDS);
	assert_int_equal(info.readers, 0);
	lvx_hub_unref(s);
	assert_true(lvx_hub_shutdown(f->hub, 60000000));
	for (int i = 0; i < 4; i++)
		lvx_bell_destroy(bells[i]);
}

static void test_names_and_limits(void **state)
{
	struct fixture *f = *state;
	struct lvx_error err;
	struct lvx_hub_stream *a, *b, *c;
	struct lvx_hub_spec spec = push_spec("a");
	assert_int_equal(lvx_hub_open(f->hub, &spec, &a, &err), LVX_OK);
	assert_int_equal(lvx_hub_open(f->hub, &spec, &b, &err), LVX_EINVAL);
	assert_string_equal(err.msg, "there is already a stream 'a'");
	spec = push_spec(NULL);
	assert_int_equal(lvx_hub_open(f->hub, &spec, &b, &err), LVX_OK);
	assert_string_equal(lvx_hub_id(b), "push-1");
	assert_int_equal(lvx_hub_open(f->hub, &spec, &c, &err), LVX_ELIMIT);
	spec = push_spec("a b");
	lvx_hub_delete(b);
	assert_null(lvx_hub_find(f->hub, "push-1"));
	assert_int_equal(lvx_hub_open(f->hub, &spec, &c, &err), LVX_EINVAL);
	/* The place of a deleted stream is free at once; its row follows. */
	for (int i = 0; i < 50; i++) {
		spec = push_spec(NULL);
		assert_int_equal(lvx_hub_open(f->hub, &spec, &c, &err), LVX_OK);
		assert_true(lvx_hub_epoch(c) > lvx_hub_epoch(b));
		lvx_hub_delete(c);
		lvx_hub_unref(c);
		lvx_hub_reap(f->hub);
	}
	assert_int_equal(lvx_hub_running(f->hub), 1);
	lvx_hub_unref(a);
	lvx_hub_unref(b);
}

static void test_short_history(void **state)
{
	struct fixture *f = *state;
	struct lvx_error err;
	struct lvx_hub_event *e;
	struct lvx_hub_stream *s;
	struct lvx_hub_reader reader = {.next = 1, .lanes = 1};
	setenv("LVX_FAKE_FLOOD", "2", 1);
	struct lvx_hub_spec spec = push_spec("p");
	assert_int_equal(lvx_hub_open(f->hub, &spec, &s, &err), LVX_OK);
	struct lvx_bell *bell;
	assert_int_equal(lvx_bell_create(&bell, &err), LVX_OK);
	push_all(s, bell);
	while (!lvx_hub_has_ended(s))
		lvx_bell_wait(bell, 1000);
	unsetenv("LVX_FAKE_FLOOD");
	assert_int_equal(lvx_hub_next(s, &reader, &e), LVX_GAP);
	uint64_t oldest, next;
	lvx_hub_range(s, &oldest, &next);
	assert_int_equal(next - oldest, 64);
	reader.next = oldest;
	int n = 0;
	while (lvx_hub_next(s, &reader, &e) == LVX_OK) {
		assert_int_equal(e->seq >= oldest, 1);
		lvx_hub_event_unref(e);
		n++;
	}
	assert_true(n > 40);
	lvx_hub_unref(s);
	lvx_bell_destroy(bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_readers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_and_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_short_history, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
