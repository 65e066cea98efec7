/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bell.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct lvx_bell {
	_Atomic bool rung; /* spares the system call when many ring */
	int fd;
};

enum lvx_status lvx_bell_create(struct lvx_bell **out, struct lvx_error *err)
{
	struct lvx_bell *bell = calloc(1, sizeof(*bell));
	if (!bell)
		return lvx_fail(err, LVX_ENOMEM, "bell: out of memory");
	bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell->fd < 0) {
		free(bell);
		return lvx_fail(err, LVX_EIO, "bell: eventfd: %s", strerror(errno));
	}
	*out = bell;
	return LVX_OK;
}

void lvx_bell_destroy(struct lvx_bell *bell)
{
	if (!bell)
		return;
	close(bell->fd);
	free(bell);
}

void lvx_bell_ring(struct lvx_bell *bell)
{
	if (atomic_exchange_explicit(&bell->rung, true, memory_order_acq_rel))
		return;
	int saved = errno;
	uint64_t one = 1;
	ssize_t w = write(bell->fd, &one, sizeof(one));
	(void)w;
	errno = saved;
}

bool lvx_bell_wait(struct lvx_bell *bell, int64_t timeout_us)
{
	struct pollfd p = {.fd = bell->fd, .events = POLLIN};
	struct timespec ts = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
	int n = ppoll(&p, 1, timeout_us < 0 ? NULL : &ts, NULL);
	if (n <= 0)
		return false;
	uint64_t count;
	ssize_t r = read(bell->fd, &count, sizeof(count));
	(void)r;
	/* Cleared after the read: a ring from here on writes again, and what its
	 * producer made before is seen by the caller, who looks after this returns. */
	atomic_exchange_explicit(&bell->rung, false, memory_order_acq_rel);
	return true;
}
