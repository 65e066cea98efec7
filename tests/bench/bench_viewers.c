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
#include "tests/bench/viewers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONNECT_S = 60 };

static struct viewers_shared *shared;
static int n_viewers = 5000, seconds = 20;
static bool tls, deflated;

static _Noreturn void die(const char *what)
{
	viewers_die(shared, what);
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
		if (e->seq < VIEWERS_EVENTS_MAX && atomic_load(&shared->phase) == 1)
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
	uint32_t n = (uint32_t)s * 16000 * 2, all = n + 36, rate = 16000, bytes = 32000,
		 sixteen = 16;
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
	printf("%-9s %-8s %5d viewers  fan-out p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms;  to all "
	       "of "
	       "them p95 %.1f ms (%" PRIu64 " events)\n",
		tls ? "TLS" : "plain", deflated ? "deflate" : "", n_viewers, shared->p50_ms,
		shared->p95_ms, shared->p99_ms, shared->max_ms, shared->all_p95_ms,
		shared->n_events_all);
	printf("%18s memory a viewer %.1f KiB (and %.1f KiB of the kernel's, both ends);  CPU %.0f "
	       "%% of "
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
	shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
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
		exit(viewers_watch(&(struct viewers_params){.shared = shared,
					   .n = n_viewers,
					   .seconds = seconds,
					   .tls = tls,
					   .deflated = deflated},
			pipe_fds[0]));
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
