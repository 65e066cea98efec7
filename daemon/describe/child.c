/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/child.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP_MS = 50, WAIT_MS = 2, READ_BYTES = 65536, SAID_MAX = 200 };

extern char **environ;

struct child {
	const struct lvx_child_params *params;
	int64_t until_us;
	pid_t pid;
	int in, out, errors; /* our ends; -1: closed */
	size_t written;
	char said[SAID_MAX + 1]; /* on stderr */
	size_t n_said;
	const char *why; /* it is to be killed */
};

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool make_pipes(int pipes[3][2])
{
	for (int i = 0; i < 3; i++)
		pipes[i][0] = pipes[i][1] = -1;
	for (int i = 0; i < 3; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) != 0)
			return false;
		/* Ours does not block; the child's does. */
		int ours = pipes[i][i == 0];
		fcntl(ours, F_SETFL, O_NONBLOCK);
	}
	return true;
}

/* In a group of its own, so that all of it can be killed, and with signals as programs expect. */
static int spawn(pid_t *pid, const char *command, int pipes[3][2])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	char sh[] = "sh", c[] = "-c";
	char *argv[] = {sh, c, (char *)(uintptr_t)command, NULL};
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&files, pipes[i][i != 0], i);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setflags(
		&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int rc = posix_spawn(pid, "/bin/sh", &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

static void write_some(struct child *c)
{
	static const struct timespec none;
	size_t left = strlen(c->params->input) - c->written;
	sigset_t broken, before;
	/* Whatever the process thinks of SIGPIPE: a child may end without reading. */
	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken, &before);
	ssize_t n = left > 0 ? write(c->in, c->params->input + c->written, left) : 0;
	int e = errno;
	if (n < 0 && e == EPIPE && !sigismember(&before, SIGPIPE))
		sigtimedwait(&broken, NULL, &none);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = e;
	c->written += n > 0 ? (size_t)n : 0;
	/* One that does not want to read on need not. */
	if ((n < 0 && errno != EAGAIN && errno != EINTR) || c->written == strlen(c->params->input))
		shut(&c->in);
}

static void read_some(struct child *c, struct lvx_text *out)
{
	char buffer[READ_BYTES];
	ssize_t n = read(c->out, buffer, sizeof(buffer));
	if (n > 0 && out->len + (size_t)n > c->params->bytes_max)
		c->why = "writes too much";
	else if (n > 0)
		lvx_text_add(out, buffer, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		shut(&c->out);
}

static void read_errors(struct child *c)
{
	char buffer[512];
	ssize_t n = read(c->errors, buffer, sizeof(buffer));
	for (ssize_t i = 0; i < n && c->n_said < SAID_MAX; i++)
		c->said[c->n_said++] = buffer[i] >= ' ' && buffer[i] < 0x7f ? buffer[i] : ' ';
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		shut(&c->errors);
}

/* It stays a zombie, so that its group's number is nobody else's. */
static bool has_ended(const struct child *c)
{
	siginfo_t info = {0};
	return waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == c->pid;
}

static int attend(struct child *c, struct lvx_text *out)
{
	int status = 0;
	bool ended = false;
	while (!c->why && (c->out >= 0 || !ended)) {
		struct pollfd fds[] = {
			{c->in, POLLOUT, 0}, {c->out, POLLIN, 0}, {c->errors, POLLIN, 0}};
		poll(fds, 3, c->out >= 0 ? STEP_MS : WAIT_MS);
		if (fds[0].revents)
			write_some(c);
		if (fds[1].revents)
			read_some(c, out);
		if (fds[2].revents)
			read_errors(c);
		ended = has_ended(c);
		if (atomic_load(c->params->stop))
			c->why = "is not needed any more";
		else if (lvx_now_us() >= c->until_us)
			c->why = "takes too long";
	}
	kill(-c->pid, SIGKILL); /* and all that it started */
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (c->errors >= 0)
		read_errors(c);
	return status;
}

enum lvx_status lvx_child_run(
	struct lvx_text *out, const struct lvx_child_params *params, struct lvx_error *err)
{
	struct child c = {.params = params, .until_us = lvx_now_us() + params->timeout_us};
	int pipes[3][2];
	bool ok = make_pipes(pipes);
	int rc = ok ? spawn(&c.pid, params->command, pipes) : errno;
	c.in = pipes[0][1];
	c.out = pipes[1][0];
	c.errors = pipes[2][0];
	for (int i = 0; i < 3; i++)
		shut(&pipes[i][i != 0]);
	enum lvx_status st = LVX_OK;
	if (rc != 0) {
		st = lvx_fail(err, LVX_EIO, "cannot be started: %s", strerror(rc));
	} else {
		int status = attend(&c, out);
		const char *sep = c.n_said > 0 ? ": " : "";
		if (c.why)
			st = lvx_fail(err, LVX_EIO, "%s, and was killed%s%s", c.why, sep, c.said);
		else if (WIFSIGNALED(status))
			st = lvx_fail(err, LVX_EIO, "was ended by signal %d%s%s", WTERMSIG(status),
				sep, c.said);
		else if (WEXITSTATUS(status) != 0)
			st = lvx_fail(err, LVX_EIO, "ended with %d%s%s", WEXITSTATUS(status), sep,
				c.said);
	}
	shut(&c.in);
	shut(&c.out);
	shut(&c.errors);
	return st;
}
