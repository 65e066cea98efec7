/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: opening a FIFO must not hang before it is refused. */
static enum lvx_status open_regular(
	int *out_fd, size_t *out_len, const char *path, struct lvx_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return lvx_fail(err, errno == ENOENT ? LVX_ENOENT : LVX_EIO, "%s: cannot open: %s",
			path, strerror(errno));
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return lvx_fail(err, LVX_EINVAL, "%s: not a regular file", path);
	}
	*out_fd = fd;
	*out_len = (size_t)st.st_size;
	return LVX_OK;
}

enum lvx_status lvx_file_read(
	char **out, size_t *len, const char *path, size_t max_bytes, struct lvx_error *err)
{
	int fd;
	size_t size;
	enum lvx_status st = open_regular(&fd, &size, path, err);
	if (st != LVX_OK)
		return st;
	char *buf = NULL;
	if (size > max_bytes) {
		st = lvx_fail(err, LVX_ELIMIT, "%s: %zu bytes; at most %zu are allowed", path, size,
			max_bytes);
		goto out_close;
	}
	buf = malloc(size + 1);
	if (!buf) {
		st = lvx_fail(err, LVX_ENOMEM, "%s: out of memory", path);
		goto out_close;
	}
	size_t at = 0;
	while (at < size) {
		ssize_t n = read(fd, buf + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			st = lvx_fail(err, LVX_EIO, "%s: cannot read: %s", path,
				n < 0 ? strerror(errno) : "it shrank");
			free(buf);
			goto out_close;
		}
		at += (size_t)n;
	}
	buf[size] = '\0';
	*out = buf;
	*len = size;
out_close:
	close(fd);
	return st;
}

enum lvx_status lvx_file_map(struct lvx_mapping *out, const char *path, struct lvx_error *err)
{
	int fd;
	size_t size;
	enum lvx_status st = open_regular(&fd, &size, path, err);
	if (st != LVX_OK)
		return st;
	if (size == 0) {
		st = lvx_fail(err, LVX_EINVAL, "%s: the file is empty", path);
		goto out_close;
	}
	void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED) {
		st = lvx_fail(err, LVX_EIO, "%s: cannot map: %s", path, strerror(errno));
		goto out_close;
	}
	out->data = data;
	out->len = size;
out_close:
	close(fd);
	return st;
}

void lvx_file_unmap(struct lvx_mapping *mapping)
{
	if (mapping->data)
		munmap((void *)(uintptr_t)mapping->data, mapping->len);
	*mapping = (struct lvx_mapping){0};
}
