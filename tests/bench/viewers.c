/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/viewers.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

enum {
	IN_FLIGHT = 64,      /* handshakes at a time */
	PER_ADDRESS = 20000, /* ports of one loopback address */
	FRAME_MAX = 16384,
};

static struct viewers_shared *shared;
static int n_viewers, seconds;
static bool tls, deflated;

_Noreturn void viewers_die(struct viewers_shared *s, const char *what)
{
	fprintf(stderr, "bench_viewers: %s: %s\n", what, strerror(errno));
	if (s)
		atomic_store(&s->failed, 1);
	exit(EXIT_FAILURE);
}

static _Noreturn void die(const char *what)
{
	viewers_die(shared, what);
}

enum state { CONNECTING, SECURING, UPGRADING, SUBSCRIBING, WATCHING };

struct viewer {
	int fd;
	SSL *ssl;
	enum state state;
	size_t len;
	uint64_t last_seq;
	uint8_t *in; /* [len] of a frame that is not whole yet, or NULL */
	z_stream *inflater;
};

static struct viewer *viewers;
static int epoll_fd, n_watching;
static uint16_t port;
static SSL_CTX *ssl_ctx;
static uint32_t *samples_us;
static size_t n_samples, samples_max;
static struct {
	int64_t last_us;
	uint32_t n;
} arrived[VIEWERS_EVENTS_MAX];

static void send_all(struct viewer *v, const void *data, size_t n)
{
	ssize_t sent = v->ssl ? SSL_write(v->ssl, data, (int)n) : write(v->fd, data, n);
	if (sent != (ssize_t)n)
		die("a viewer cannot write");
}

static void upgrade(struct viewer *v)
{
	char text[512];
	int n = snprintf(text, sizeof(text),
		"GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		"Sec-WebSocket-Version: 13\r\n%s\r\n",
		port, deflated ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
	send_all(v, text, (size_t)n);
	v->state = UPGRADING;
}

/* A masked frame; the mask is zero. */
static void send_frame(struct viewer *v, int opcode, const void *data, size_t n)
{
	uint8_t frame[256] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | n)};
	memcpy(frame + 6, data, n);
	send_all(v, frame, n + 6);
}

static void on_text(struct viewer *v, const char *text)
{
	if (v->state == SUBSCRIBING) {
		if (strncmp(text, "{\"type\":\"subscribed\"", 20) == 0) {
			v->state = WATCHING;
			n_watching++;
		}
		return;
	}
	const char *at = strstr(text, "\"seq\":");
	uint64_t seq = at ? strtoull(at + 6, NULL, 10) : 0;
	if (seq == 0 || seq >= VIEWERS_EVENTS_MAX || atomic_load(&shared->phase) != 1)
		return;
	int64_t now_us = lvx_now_us(), event_us = atomic_load(&shared->event_us[seq]);
	if (event_us == 0)
		return; /* from before the count began */
	if (n_samples < samples_max)
		samples_us[n_samples++] = (uint32_t)(now_us - event_us);
	arrived[seq].last_us = now_us;
	arrived[seq].n++;
	shared->n_missing += v->last_seq && seq != v->last_seq + 1;
	v->last_seq = seq;
}

static void on_frame(struct viewer *v, int head, const uint8_t *data, size_t n)
{
	static char text[65536];
	int opcode = head & 15;
	if (opcode == 9)
		send_frame(v, 10, data, n < 100 ? n : 100);
	if (opcode == 8) {
		errno = ECONNRESET;
		die("a viewer was sent away");
	}
	if (opcode != 1)
		return;
	if (!(head & 0x40)) {
		memcpy(text, data, n);
		text[n] = '\0';
		on_text(v, text);
		return;
	}
	static const uint8_t tail[] = {0, 0, 0xff, 0xff};
	uint8_t whole[FRAME_MAX + sizeof(tail)];
	memcpy(whole, data, n);
	memcpy(whole + n, tail, sizeof(tail));
	z_stream *z = v->inflater;
	if (!z) {
		z = v->inflater = calloc(1, sizeof(*z));
		if (inflateInit2(z, -15) != Z_OK)
			die("zlib");
	}
	z->next_in = whole;
	z->avail_in = (uInt)(n + sizeof(tail));
	z->next_out = (uint8_t *)text;
	z->avail_out = sizeof(text) - 1;
	int rc = inflate(z, Z_SYNC_FLUSH);
	if (rc != Z_OK && rc != Z_BUF_ERROR) {
		errno = EBADMSG;
		die("a frame cannot be inflated");
	}
	text[sizeof(text) - 1 - z->avail_out] = '\0';
	on_text(v, text);
}

static void on_handshake(struct viewer *v, char *text, size_t *used)
{
	char *end = memmem(text, v->len, "\r\n\r\n", 4);
	*used = 0;
	if (!end)
		return;
	*end = '\0';
	if (strncmp(text, "HTTP/1.1 101", 12) != 0 ||
		(deflated && !strcasestr(text, "permessage-deflate"))) {
		errno = EPROTO;
		die("no WebSocket");
	}
	*used = (size_t)(end + 4 - text);
	static const char wish[] = "{\"type\":\"subscribe\",\"stream\":\"news\",\"activity\":true}";
	send_frame(v, 1, wish, sizeof(wish) - 1);
	v->state = SUBSCRIBING;
}

/* What of the bytes is whole is taken. */
static size_t take(struct viewer *v, uint8_t *data, size_t len)
{
	size_t at = 0;
	if (v->state == UPGRADING) {
		v->len = len;
		on_handshake(v, (char *)data, &at);
		if (at == 0)
			return 0;
	}
	while (len - at >= 2) {
		const uint8_t *p = data + at;
		size_t head = 2, n = p[1] & 127;
		if (n == 126) {
			if (len - at < 4)
				break;
			n = (size_t)p[2] << 8 | p[3];
			head = 4;
		}
		if (n >= FRAME_MAX) {
			errno = EMSGSIZE;
			die("a frame is too long");
		}
		if (len - at < head + n)
			break;
		on_frame(v, p[0], p + head, n);
		at += head + n;
	}
	return at;
}

static void on_readable(struct viewer *v)
{
	static uint8_t buf[4 * FRAME_MAX];
	for (;;) {
		size_t len = 0;
		if (v->in) {
			len = v->len;
			memcpy(buf, v->in, len);
			free(v->in);
			v->in = NULL;
		}
		size_t room = sizeof(buf) - len;
		ssize_t n = v->ssl ? SSL_read(v->ssl, buf + len, (int)room)
				   : read(v->fd, buf + len, room);
		bool again = n < 0 && (v->ssl ? SSL_get_error(v->ssl, (int)n) == SSL_ERROR_WANT_READ
					      : errno == EAGAIN);
		if (n <= 0 && !again)
			die("a viewer has lost its connection");
		if (n > 0) {
			if (atomic_load(&shared->phase) == 1)
				shared->n_bytes += (uint64_t)n;
			len += (size_t)n;
		}
		size_t used = n > 0 ? take(v, buf, len) : 0;
		if (used < len) {
			v->len = len - used;
			v->in = malloc(v->len);
			memcpy(v->in, buf + used, v->len);
		}
		if (n <= 0 || !v->ssl)
			return;
	}
}

static void secure(struct viewer *v)
{
	int rc = SSL_connect(v->ssl);
	if (rc == 1) {
		upgrade(v);
		return;
	}
	int why = SSL_get_error(v->ssl, rc);
	if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
		die("a TLS handshake");
	v->state = SECURING;
}

static void open_viewer(int i)
{
	struct viewer *v = &viewers[i];
	struct sockaddr_in from = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / PER_ADDRESS))};
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (v->fd < 0 || bind(v->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
		(connect(v->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS))
		die("connect");
	if (tls) {
		v->ssl = SSL_new(ssl_ctx);
		SSL_set_fd(v->ssl, v->fd);
		SSL_set_mode(v->ssl, SSL_MODE_RELEASE_BUFFERS);
	}
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = (uint32_t)i};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, v->fd, &e);
}

static void on_ready(struct viewer *v, uint32_t events)
{
	if (v->state == CONNECTING && (events & EPOLLOUT)) {
		if (v->ssl)
			secure(v);
		else
			upgrade(v);
	} else if (v->state == SECURING) {
		secure(v);
	}
	if (v->state >= UPGRADING && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		on_readable(v);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static double quantile_ms(const uint32_t *sorted, size_t n, double q)
{
	return n ? sorted[(size_t)(q * (double)(n - 1))] / 1000.0 : NAN;
}

static void sum_up(void)
{
	qsort(samples_us, n_samples, sizeof(*samples_us), by_value);
	shared->n_samples = n_samples;
	shared->p50_ms = quantile_ms(samples_us, n_samples, 0.5);
	shared->p95_ms = quantile_ms(samples_us, n_samples, 0.95);
	shared->p99_ms = quantile_ms(samples_us, n_samples, 0.99);
	shared->max_ms = quantile_ms(samples_us, n_samples, 1);
	/* Of events that all have: until the last one had it. */
	size_t n = 0;
	for (size_t seq = 1; seq < VIEWERS_EVENTS_MAX; seq++)
		if (arrived[seq].n == (uint32_t)n_viewers)
			samples_us[n++] = (uint32_t)(arrived[seq].last_us - shared->event_us[seq]);
	qsort(samples_us, n, sizeof(*samples_us), by_value);
	shared->n_events_all = n;
	shared->all_p95_ms = quantile_ms(samples_us, n, 0.95);
}

int viewers_watch(const struct viewers_params *params, int port_pipe)
{
	shared = params->shared;
	n_viewers = params->n;
	seconds = params->seconds;
	tls = params->tls;
	deflated = params->deflated;
	if (read(port_pipe, &port, sizeof(port)) != sizeof(port))
		return EXIT_FAILURE;
	samples_max = (size_t)n_viewers * (size_t)seconds * 16;
	samples_us = malloc(samples_max * sizeof(*samples_us));
	viewers = calloc((size_t)n_viewers, sizeof(*viewers));
	epoll_fd = epoll_create1(0);
	ssl_ctx = SSL_CTX_new(TLS_client_method());
	if (!samples_us || !viewers || epoll_fd < 0 || !ssl_ctx)
		die("viewers");
	int n_open = 0;
	int64_t begin_us = lvx_now_us();
	while (atomic_load(&shared->phase) != 2) {
		struct epoll_event ready[512];
		while (n_open < n_viewers && n_open - n_watching < IN_FLIGHT)
			open_viewer(n_open++);
		int n = epoll_wait(epoll_fd, ready, 512, 50);
		for (int i = 0; i < n; i++)
			on_ready(&viewers[ready[i].data.u32], ready[i].events);
		if (n_watching == n_viewers && shared->connect_s <= 0)
			shared->connect_s = (double)(lvx_now_us() - begin_us) / 1e6;
		atomic_store(&shared->n_ready, (uint32_t)n_watching);
	}
	sum_up();
	return EXIT_SUCCESS;
}
