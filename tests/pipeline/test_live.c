/* SPDX-License-Identifier: Apache-2.0 */
/* Live sources that drop, stall, or never answer: a small HTTP server of our own. */
#include "drain.h"

#include "base/file.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FFMPEG "ffmpeg -nostdin -v error -y "
#define SECOND INT64_C(1000000)

/* ---- the server ---- */

enum { MEDIA_SECONDS = 20 };

static struct server {
	pthread_t thread;
	_Atomic bool stop, deaf; /* deaf: accepts, never answers */
	_Atomic bool missing;	 /* 404 */
	/* In time of the media, which a busy machine does not change. */
	_Atomic int64_t serve_us; /* hang up after so much, once; 0: never */
	_Atomic int64_t pause_at_us; /* send nothing from here on, until this is 0 */
	_Atomic int n_connections;
	_Atomic int64_t accepted_us; /* local time of the last connection */
	int port;
	int fd;
	uint8_t *media; /* MPEG-TS */
	size_t media_len;
} server;

static void listen_on(struct server *s)
{
	int one = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s->fd, 8) < 0)
		abort();
	socklen_t len = sizeof(a);
	getsockname(s->fd, (struct sockaddr *)&a, &len);
	s->port = ntohs(a.sin_port);
}

/* At the speed at which it plays. */
static void send_media(struct server *s, int fd)
{
	int64_t begun = lvx_now_us(), rate = (int64_t)s->media_len / MEDIA_SECONDS;
	for (size_t at = 0; at < s->media_len && !s->stop;) {
		int64_t now = lvx_now_us() - begun, sent_us = (int64_t)at * SECOND / rate;
		if (s->serve_us && sent_us >= s->serve_us) {
			s->serve_us = 0;
			return;
		}
		if (s->pause_at_us && sent_us >= s->pause_at_us) {
			while (s->pause_at_us && !s->stop)
				lvx_sleep_us(5000);
			begun = lvx_now_us() - sent_us;
			continue;
		}
		/* A little ahead at the start, as servers do. */
		size_t due = (size_t)((now + 300000) * rate / SECOND) / 188 * 188;
		if (due > s->media_len)
			due = s->media_len;
		if (due > at + 188 * 20)
			due = at + 188 * 20;
		if (due <= at) {
			lvx_sleep_us(10000);
			continue;
		}
		ssize_t n = send(fd, s->media + at, due - at, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

static void *serve(void *user)
{
	struct server *s = user;
	while (!s->stop) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		if (s->fd < 0 || poll(&p, 1, 20) <= 0) {
			lvx_sleep_us(2000);
			continue;
		}
		int fd = accept(s->fd, NULL, NULL);
		if (fd < 0)
			continue;
		s->accepted_us = lvx_now_us();
		s->n_connections++;
		char request[4096];
		ssize_t n = recv(fd, request, sizeof(request), 0);
		while (s->deaf && !s->stop)
			lvx_sleep_us(10000);
		static const char found[] = "HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n",
				  missing[] = "HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n";
		const char *head = s->missing ? missing : found;
		if (n > 0 && send(fd, head, strlen(head), MSG_NOSIGNAL) > 0 && !s->missing)
			send_media(s, fd);
		close(fd);
	}
	return NULL;
}

static void start_server(void)
{
	size_t len = server.media_len;
	uint8_t *media = server.media;
	memset(&server, 0, sizeof(server));
	server.media = media;
	server.media_len = len;
	listen_on(&server);
	pthread_create(&server.thread, NULL, serve, &server);
}

static void stop_server(void)
{
	server.stop = true;
	pthread_join(server.thread, NULL);
	close(server.fd);
}

/* ---- tests ---- */

static struct drain d;
static struct lvx_source *source;
static struct lvx_source_stats stats;
static struct lvx_error err;

/* What only a busy machine holds back so long is no stall; a test of stalls wants less. */
static int64_t stall_us = 5 * SECOND;

static struct lvx_source_params live(const char *format)
{
	static char uri[128];
	snprintf(uri, sizeof(uri), format, server.port);
	return (struct lvx_source_params){
		.uri = uri, .channel = -1, .live = true, .stall_us = stall_us};
}

#define URI "http://127.0.0.1:%d/stream.ts"

static void begin(struct lvx_source_params p)
{
	drain_init(&d, LVX_RING_LIVE, 0, 0);
	assert_int_equal(lvx_source_open(&source, &p, d.ring, &d.cb, &err), LVX_OK);
}

static void end(void)
{
	lvx_source_get_stats(source, &stats);
	int64_t t = lvx_now_us();
	lvx_source_close(source);
	assert_true(lvx_now_us() - t < DRAIN_CLOSE_US);
	drain_finish(&d);
}

static enum lvx_source_state state_now(void)
{
	pthread_mutex_lock(&d.lock);
	enum lvx_source_state s = d.n_states ? d.states[d.n_states - 1] : LVX_SOURCE_STARTING;
	pthread_mutex_unlock(&d.lock);
	return s;
}

static void wait_state(enum lvx_source_state want)
{
	DRAIN_UNTIL(&d, state_now() == want);
	if (state_now() == want)
		return;
	print_error("state %s, not %s; %s\n", lvx_source_state_name(state_now()),
		lvx_source_state_name(want), d.msg);
	fail();
}

/* For states that pass. */
static void wait_seen(enum lvx_source_state want)
{
	DRAIN_UNTIL(&d, drain_saw(&d, want));
	if (!drain_saw(&d, want))
		wait_state(want);
}

static void test_drops_and_comes_back(void **state)
{
	(void)state;
	start_server();
	server.serve_us = 1500000;
	begin(live(URI));
	DRAIN_UNTIL(&d, d.n > 0);
	assert_true(d.n > 0);
	int64_t came_us = lvx_now_us(), accepted_us = server.accepted_us;
	wait_seen(LVX_SOURCE_RECONNECTING);
	/* What came of the first connection, then a gap. */
	DRAIN_UNTIL(&d, d.n_pieces >= 2);
	assert_true(d.n_pieces >= 2);
	int64_t again_us = lvx_now_us(), accepted_again_us = server.accepted_us;
	assert_int_equal(server.n_connections, 2);
	const struct piece *p = &d.pieces[1];
	int64_t first_us = d.pieces[0].pts_us;
	int64_t end_us = first_us + (int64_t)p->at * SECOND / 16000;
	assert_true(p->at > 8000);
	print_message("# gap of %.2f s\n", (double)(p->pts_us - end_us) * 1e-6);
	assert_true(p->pts_us > end_us + 100000);
	/* It is as long as it was: the first samples came between being let in and being seen. */
	assert_true(p->pts_us - first_us > accepted_again_us - came_us - SECOND / 2);
	assert_true(p->pts_us - first_us < again_us - accepted_us + SECOND / 2);
	size_t n = d.n;
	DRAIN_UNTIL(&d, d.n > n + 16000 && state_now() == LVX_SOURCE_LIVE);
	assert_true(d.n > n + 16000);
	assert_int_equal(state_now(), LVX_SOURCE_LIVE);
	assert_int_equal(d.n_pieces, 2);
	end();
	assert_int_equal(stats.reconnects, 1);
	assert_int_equal(stats.pts_jumps, 0);
	stop_server();
}

static void test_stalls_and_goes_on(void **state)
{
	(void)state;
	start_server();
	server.pause_at_us = 1500000;
	stall_us = 3 * SECOND; /* and as long again until it reconnects */
	begin(live(URI));
	wait_seen(LVX_SOURCE_LIVE);
	wait_state(LVX_SOURCE_STALLED);
	server.pause_at_us = 0;
	wait_state(LVX_SOURCE_LIVE);
	size_t n = d.n;
	DRAIN_UNTIL(&d, d.n > n + 8000);
	assert_true(d.n > n + 8000);
	end();
	assert_int_equal(stats.reconnects, 0);
	stop_server();
}

static void test_half_dead(void **state)
{
	(void)state;
	start_server();
	server.deaf = true;
	stall_us = SECOND;
	begin(live(URI));
	wait_seen(LVX_SOURCE_RECONNECTING);
	assert_int_equal(d.n, 0);
	server.deaf = false;
	wait_state(LVX_SOURCE_LIVE);
	end();
	stop_server();
}

static void test_first_failures(void **state)
{
	(void)state;
	start_server();
	stall_us = 5 * SECOND;
	server.missing = true;
	struct lvx_source_params p = live("http://user:secret@127.0.0.1:%d/a.ts?key=secret");
	p.live = false;
	begin(p);
	wait_state(LVX_SOURCE_FAILED);
	assert_non_null(strstr(d.msg, "not found"));
	assert_null(strstr(d.msg, "secret"));
	end();
	assert_int_equal(server.n_connections, 1);
	/* A live one may come yet. */
	begin(live(URI));
	wait_seen(LVX_SOURCE_RECONNECTING);
	server.missing = false;
	wait_state(LVX_SOURCE_LIVE);
	end();
	stop_server();

	/* No one listens on that port any more: a few tries. */
	p = live(URI);
	p.live = false;
	begin(p);
	wait_state(LVX_SOURCE_FAILED);
	assert_true(drain_saw(&d, LVX_SOURCE_RECONNECTING));
	print_message("# %s\n", d.msg);
	end();
	p = live(URI);
	p.give_up_us = SECOND;
	begin(p);
	wait_state(LVX_SOURCE_FAILED);
	assert_non_null(strstr(d.msg, "gave up"));
	end();
	/* Other schemes say why, and wait for nothing when closed. */
	static const char *const uris[] = {"rtsp://127.0.0.1:%d/x", "rtmp://127.0.0.1:%d/live/x",
		"srt://127.0.0.1:%d", "v4l2:///dev/video%d"};
	for (int i = 0; i < 4; i++) {
		begin(live(uris[i]));
		wait_seen(LVX_SOURCE_RECONNECTING);
		print_message("# %s\n", d.msg);
		assert_true(d.msg[0]);
		end();
	}
}

/* A file over HTTP is no live source: it plays and ends. */
static void test_file_over_http(void **state)
{
	(void)state;
	start_server();
	server.serve_us = 1500000;
	struct lvx_source_params p = live(URI);
	p.live = false;
	p.pace = LVX_PACE_MAX;
	begin(p);
	wait_state(LVX_SOURCE_ENDED);
	assert_true(d.n > 16000);
	assert_true(tone_share(d.pcm + 4000, 8000, 440, 16000) > 0.95);
	end();
	stop_server();
}

static int teardown(void **state)
{
	(void)state;
	free(server.media);
	scratch_remove();
	return 0;
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (!run_command("ffmpeg -version >/dev/null 2>&1")) {
		printf("1..0 # SKIP the ffmpeg command is missing\n");
		return 0;
	}
	char path[256];
	if (!run_command("cd %s && " FFMPEG "-f lavfi -i testsrc=s=160x120:r=25 -f lavfi -i "
			 "sine=440:r=48000 -t 20 -c:v libx264 -preset ultrafast -pix_fmt yuv420p "
			 "-g 25 -c:a aac live.ts", scratch_dir()))
		return 1;
	snprintf(path, sizeof(path), "%s/live.ts", scratch_dir());
	if (lvx_file_read((char **)&server.media, &server.media_len, path, 1 << 26, NULL) != LVX_OK)
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drops_and_comes_back),
		cmocka_unit_test(test_stalls_and_goes_on),
		cmocka_unit_test(test_half_dead),
		cmocka_unit_test(test_first_failures),
		cmocka_unit_test(test_file_over_http),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
