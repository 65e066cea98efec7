/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/hls_dir.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TIME_LENGTH = 16, SAME_TIME_MAX = 99 };

struct lvx_hls_dir {
	int above, fd; /* ROOT/STREAM, and TIME in it */
	char folder[TIME_LENGTH + 8];
	char path[PATH_MAX];
};

static enum lvx_status make(const char *path, struct lvx_error *err)
{
	if (mkdir(path, 0755) == 0 || errno == EEXIST)
		return LVX_OK;
	return lvx_fail(err, LVX_EIO, "%s: cannot be made: %s", path, strerror(errno));
}

static enum lvx_status make_folder(struct lvx_hls_dir *d, int64_t epoch, struct lvx_error *err)
{
	char when[TIME_LENGTH + 1], name[TIME_LENGTH + 4];
	time_t second = (time_t)(epoch / 1000000);
	struct tm tm;
	gmtime_r(&second, &tm);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm);
	for (int again = 1; again <= SAME_TIME_MAX; again++) {
		snprintf(name, sizeof(name), again > 1 ? "%s~%d" : "%s", when, again);
		if (mkdirat(d->above, name, 0755) == 0) {
			snprintf(d->folder, sizeof(d->folder), "%s/", name);
			d->fd = openat(d->above, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			break;
		}
		if (errno != EEXIST)
			break;
	}
	if (d->fd < 0)
		return lvx_fail(
			err, LVX_EIO, "%s/%s: cannot be made: %s", d->path, when, strerror(errno));
	return LVX_OK;
}

enum lvx_status lvx_hls_dir_open(struct lvx_hls_dir **out, const char *root, const char *stream,
	int64_t epoch, struct lvx_error *err)
{
	struct lvx_hls_dir *d = calloc(1, sizeof(*d));
	if (!d)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	d->above = d->fd = -1;
	int n = snprintf(d->path, sizeof(d->path), "%s/%s", root, stream);
	enum lvx_status st = LVX_OK;
	if (n < 0 || n >= (int)sizeof(d->path) - TIME_LENGTH - 8)
		st = lvx_fail(err, LVX_EINVAL, "hls: the folder's name is too long");
	if (st == LVX_OK)
		st = make(root, err);
	if (st == LVX_OK)
		st = make(d->path, err);
	if (st == LVX_OK) {
		d->above = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		st = d->above < 0 ? lvx_fail(err, LVX_EIO, "%s: %s", d->path, strerror(errno))
				  : make_folder(d, epoch, err);
	}
	if (st != LVX_OK) {
		lvx_hls_dir_close(d);
		return st;
	}
	*out = d;
	return LVX_OK;
}

void lvx_hls_dir_close(struct lvx_hls_dir *d)
{
	if (!d)
		return;
	if (d->fd >= 0)
		close(d->fd);
	if (d->above >= 0)
		close(d->above);
	free(d);
}

const char *lvx_hls_dir_path(const struct lvx_hls_dir *d)
{
	return d->path;
}

const char *lvx_hls_dir_folder(const struct lvx_hls_dir *d)
{
	return d->folder;
}

/* ---- files ---- */

static bool write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static enum lvx_status write_file(const struct lvx_hls_dir *d, int dir, const char *name,
	const char *data, size_t len, struct lvx_error *err)
{
	char draft[NAME_MAX + 1];
	snprintf(draft, sizeof(draft), ".%.200s.new", name);
	int fd = openat(dir, draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		goto fail;
	bool ok = write_all(fd, data, len);
	int why = errno;
	/* Some file systems say only here that there is no room. */
	if (close(fd) != 0 && ok) {
		ok = false;
		why = errno;
	}
	if (ok && renameat(dir, draft, dir, name) == 0)
		return LVX_OK;
	why = ok ? errno : why;
	unlinkat(dir, draft, 0);
	errno = why;
fail:
	return lvx_fail(err, LVX_EIO, "%s/%s%s: cannot be written: %s", d->path,
		dir == d->fd ? d->folder : "", name, strerror(errno));
}

enum lvx_status lvx_hls_dir_write(struct lvx_hls_dir *d, const char *name, const char *data,
	size_t len, struct lvx_error *err)
{
	return write_file(d, d->fd, name, data, len, err);
}

enum lvx_status lvx_hls_dir_write_master(
	struct lvx_hls_dir *d, const char *data, size_t len, struct lvx_error *err)
{
	return write_file(d, d->above, "master.m3u8", data, len, err);
}

void lvx_hls_dir_remove(struct lvx_hls_dir *d, const char *name)
{
	unlinkat(d->fd, name, 0);
}

/* ---- what is left of others ---- */

static bool is_time(const char *name)
{
	static const char form[] = "ddddddddTddddddZ";
	for (int i = 0; i < TIME_LENGTH; i++) {
		bool fits =
			form[i] == 'd' ? isdigit((unsigned char)name[i]) != 0 : name[i] == form[i];
		if (!fits)
			return false;
	}
	const char *rest = name + TIME_LENGTH;
	return rest[0] == '\0' || (rest[0] == '~' && rest[1 + strspn(rest + 1, "0123456789")] == 0);
}

static bool is_ours(const char *name)
{
	static const char *const endings[] = {".m4s", ".mp4", ".vtt", ".m3u8", ".new"};
	size_t n = strlen(name);
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		size_t k = strlen(endings[i]);
		if (n > k && strcmp(name + n - k, endings[i]) == 0)
			return true;
	}
	return false;
}

static void empty_folder(int above, const char *name)
{
	int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		if (is_ours(e->d_name))
			unlinkat(dirfd(dir), e->d_name, 0);
	}
	closedir(dir);
	unlinkat(above, name, AT_REMOVEDIR); /* unless somebody's files are in it */
}

void lvx_hls_dir_remove_others(struct lvx_hls_dir *d)
{
	int fd = openat(d->above, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		size_t n = strlen(e->d_name);
		bool own = strncmp(e->d_name, d->folder, n) == 0 && d->folder[n] == '/';
		if (!own && is_time(e->d_name))
			empty_folder(d->above, e->d_name);
	}
	closedir(dir);
}
