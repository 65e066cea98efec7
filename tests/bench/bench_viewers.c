/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many viewers of one stream: from the moment an event is in the hub to its last byte at
 * each viewer, and the memory that a viewer costs the daemon. The server, over a model
 * that hears nothing, is this process; the viewers are a child of it, one thread with epoll.
 *
 *	bench_viewers [-n VIEWERS] [-s SECONDS] [-t] [-z]     -t: TLS, -z: permessage-deflate
 *
 * Without -t and -z it runs all four, each in a process of its own. Loopback only.
 */
#include "base/clock.h"
#include "base/log.h"
#include "daemon/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

enum {
	EVENTS_MAX = 1 << 16,
	IN_FLIGHT = 64,		 /* handshakes at a time */
	PER_ADDRESS = 20000,	 /* ports of one loopback address */
	FRAME_MAX = 16384,
	CONNECT_S = 60,
};

/* What both processes see. */
struct shared {
	_Atomic int64_t event_us[EVENTS_MAX]; /* when seq was in the hub */
	_Atomic uint32_t n_ready;
	_Atomic int failed;
	_Atomic int phase; /* 0: connecting; 1: counting; 2: over */
	/* Of the viewers, at the end. */
	uint64_t n_samples, n_events_all, n_missing, n_bytes;
	double p50_ms, p95_ms, p99_ms, max_ms, all_p95_ms;
	double connect_s;
};

static struct shared *shared;
static int n_viewers = 5000, seconds = 20;
static bool tls, deflated;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_viewers: %s: %s\n", what, strerror(errno));
	if (shared)
		atomic_store(&shared->failed, 1);
	exit(EXIT_FAILURE);
}

static void raise_descriptors(void)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)n_viewers + 256;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		die("getrlimit");
	if (limit.rlim_max < wanted) {
		errno = EMFILE;
		die("the hard limit of open files is too low (ulimit -Hn)");
	}
	limit.rlim_cur = wanted > limit.rlim_cur ? wanted : limit.rlim_cur;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		die("setrlimit");
}

/* ---- the viewers ---- */

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
} arrived[EVENTS_MAX];

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
	if (seq == 0 || seq >= EVENTS_MAX || atomic_load(&shared->phase) != 1)
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
	for (size_t seq = 1; seq < EVENTS_MAX; seq++)
		if (arrived[seq].n == (uint32_t)n_viewers)
			samples_us[n++] = (uint32_t)(arrived[seq].last_us - shared->event_us[seq]);
	qsort(samples_us, n, sizeof(*samples_us), by_value);
	shared->n_events_all = n;
	shared->all_p95_ms = quantile_ms(samples_us, n, 0.95);
}

static int watch(int port_pipe)
{
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

/* ---- the daemon ---- */

static struct lvx_hub *hub;
static struct lvx_hub_stream *stream;
static struct lvx_hub_reader reader = {.next = 1, .lanes = UINT32_MAX, .activity = true};

/* The first listener: nobody has been told yet. */
static void on_news(void *user)
{
	(void)user;
	struct lvx_hub_event *e;
	while (stream && lvx_hub_next(stream, &reader, &e) == LVX_OK) {
		if (e->seq < EVENTS_MAX && atomic_load(&shared->phase) == 1)
			atomic_store(&shared->event_us[e->seq], lvx_now_us());
		lvx_hub_event_unref(e);
	}
}

static double resident_kib(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f || fscanf(f, "%*s %ld", &pages) != 1)
		die("statm");
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* Pages that the kernel holds for all TCP sockets, those of the viewers included. */
static double kernel_tcp_kib(void)
{
	char line[256];
	long pages = 0;
	FILE *f = fopen("/proc/net/sockstat", "re");
	while (f && fgets(line, sizeof(line), f)) {
		const char *mem = strncmp(line, "TCP:", 4) == 0 ? strstr(line, "mem ") : NULL;
		pages = mem ? atol(mem + 4) : pages;
	}
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double cpu_s(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void write_sound(const char *path, int s)
{
	uint32_t n = (uint32_t)s * 16000 * 2, all = n + 36, rate = 16000, bytes = 32000, sixteen = 16;
	uint16_t head[] = {1, 1}, align[] = {2, 16};
	FILE *f = fopen(path, "wbe");
	static const char zeros[32000];
	if (!f)
		die(path);
	fwrite("RIFF", 1, 4, f);
	fwrite(&all, 4, 1, f);
	fwrite("WAVEfmt ", 1, 8, f);
	fwrite(&sixteen, 4, 1, f);
	fwrite(head, 2, 2, f);
	fwrite(&rate, 4, 1, f);
	fwrite(&bytes, 4, 1, f);
	fwrite(align, 2, 2, f);
	fwrite("data", 1, 4, f);
	fwrite(&n, 4, 1, f);
	for (int i = 0; i < s; i++)
		fwrite(zeros, 1, sizeof(zeros), f);
	fclose(f);
}

static void wait_for_viewers(void)
{
	for (int i = 0; i < CONNECT_S * 20; i++) {
		if (atomic_load(&shared->n_ready) == (uint32_t)n_viewers)
			return;
		if (atomic_load(&shared->failed))
			exit(EXIT_FAILURE);
		lvx_sleep_us(50000);
	}
	errno = ETIMEDOUT;
	die("not all viewers are connected");
}

static int serve(int port_pipe, const char *dir)
{
	char wav[64], cert[64], key[64];
	snprintf(wav, sizeof(wav), "%s/a.wav", dir);
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	struct lvx_error err;
	struct lvx_engine *engine;
	struct lvx_engine_params ep = {.model_dir = "/tmp", .n_rows = 2};
	struct lvx_server *server;
	lvx_log_set_level(LVX_LOG_WARN);
	if (lvx_engine_create(&engine, &ep, &err) != LVX_OK)
		goto fail;
	struct lvx_hub_params hp = {.engine = engine, .max_streams = 2, .history = 4096};
	if (lvx_hub_create(&hub, &hp, &err) != LVX_OK)
		goto fail;
	lvx_hub_on_news(hub, on_news, NULL);
	struct lvx_server_params sp = {.hub = hub,
		.engine = engine,
		.bind = "127.0.0.1",
		.allow_schemes = "http",
		.tls_cert = tls ? cert : NULL,
		.tls_key = tls ? key : NULL,
		.compress = deflated,
		.slow_after_us = 20000000,
		.max_connections = (uint32_t)n_viewers + 16,
		.max_streams = 2};
	if (lvx_server_create(&server, &sp, &err) != LVX_OK)
		goto fail;
	write_sound(wav, CONNECT_S + seconds + 30);
	struct lvx_hub_spec spec = {
		.id = "news", .uri = wav, .lanes = 3, .translate_to = "de", .channel = -1};
	if (lvx_hub_open(hub, &spec, &stream, &err) != LVX_OK)
		goto fail;
	lvx_sleep_us(1000000);
	double before = resident_kib(), kernel_before = kernel_tcp_kib();
	uint16_t p = lvx_server_port(server);
	if (write(port_pipe, &p, sizeof(p)) != sizeof(p))
		die("pipe");
	wait_for_viewers();
	lvx_sleep_us(1000000);
	atomic_store(&shared->phase, 1);
	double cpu = cpu_s();
	lvx_sleep_us((int64_t)seconds * 1000000);
	cpu = cpu_s() - cpu;
	double after = resident_kib(), kernel_after = kernel_tcp_kib();
	atomic_store(&shared->phase, 2);
	int status;
	wait(&status);
	if (status != 0)
		return EXIT_FAILURE;
	printf("%-9s %-8s %5d viewers  fan-out p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms;  to all of "
	       "them p95 %.1f ms (%" PRIu64 " events)\n",
		tls ? "TLS" : "plain", deflated ? "deflate" : "", n_viewers, shared->p50_ms,
		shared->p95_ms, shared->p99_ms, shared->max_ms, shared->all_p95_ms,
		shared->n_events_all);
	printf("%18s memory a viewer %.1f KiB (and %.1f KiB of the kernel's, both ends);  CPU %.0f %% of "
	       "a core;  %.0f bytes an event;  connected in %.1f s;  %" PRIu64 " missed\n",
		"", (after - before) / n_viewers, (kernel_after - kernel_before) / n_viewers,
		100 * cpu / seconds, (double)shared->n_bytes / (double)shared->n_samples,
		shared->connect_s, shared->n_missing);
	fflush(stdout);
	lvx_hub_unref(stream);
	stream = NULL;
	if (!lvx_hub_shutdown(hub, 5000000))
		_exit(EXIT_FAILURE);
	lvx_server_destroy(server);
	lvx_hub_destroy(hub);
	lvx_engine_destroy(engine);
	return shared->n_missing == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
fail:
	fprintf(stderr, "bench_viewers: %s\n", err.msg);
	kill(0, SIGTERM);
	return EXIT_FAILURE;
}

static int run_one(void)
{
	char dir[] = "/tmp/lvx-viewers-XXXXXX", command[320];
	int pipe_fds[2];
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || pipe(pipe_fds) != 0 || !mkdtemp(dir))
		die("set-up");
	snprintf(command, sizeof(command),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
		"-subj /CN=localhost -keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
		dir, dir);
	if (tls && system(command) != 0)
		die("openssl req");
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN);
	pid_t child = fork();
	if (child == 0) {
		close(pipe_fds[1]);
		exit(watch(pipe_fds[0]));
	}
	close(pipe_fds[0]);
	int rc = serve(pipe_fds[1], dir);
	kill(child, SIGKILL);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) == 0 ? rc : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	int opt;
	bool one = false;
	while ((opt = getopt(argc, argv, "n:s:tzp")) != -1) {
		one |= opt == 't' || opt == 'z' || opt == 'p';
		if (opt == 'n')
			n_viewers = atoi(optarg);
		else if (opt == 's')
			seconds = atoi(optarg);
		else if (opt == 't')
			tls = true;
		else if (opt == 'z')
			deflated = true;
		else if (opt != 'p')
			return 2;
	}
	if (n_viewers < 1 || n_viewers > 200000 || seconds < 1 || seconds > 600)
		return 2;
	if (one)
		return run_one();
	int rc = EXIT_SUCCESS;
	for (int i = 0; i < 4; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			tls = i & 1;
			deflated = i & 2;
			exit(run_one());
		}
		int status;
		waitpid(pid, &status, 0);
		rc = status == 0 ? rc : EXIT_FAILURE;
	}
	return rc;
}
