/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of one stream's HLS: ROOT/STREAM/TIME/ with segments and playlists, TIME being when
 * the stream was made, and ROOT/STREAM/master.m3u8, which players are given. So no name ever
 * means two things, whatever is cached where. One thread; the disk may block it.
 */
#ifndef LVX_DAEMON_OUTPUTS_HLS_DIR_H
#define LVX_DAEMON_OUTPUTS_HLS_DIR_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct lvx_hls_dir;

/* Makes the folders; root's parent must be there. */
enum lvx_status lvx_hls_dir_open(struct lvx_hls_dir **out, const char *root, const char *stream,
	int64_t epoch, struct lvx_error *err);
void lvx_hls_dir_close(struct lvx_hls_dir *d); /* NULL is fine */
const char *lvx_hls_dir_path(const struct lvx_hls_dir *d);
const char *lvx_hls_dir_folder(const struct lvx_hls_dir *d); /* its last part, with a slash */

/* A whole file, or none: it is there under its name when all is written. */
enum lvx_status lvx_hls_dir_write(struct lvx_hls_dir *d, const char *name, const char *data,
	size_t len, struct lvx_error *err);
/* The same of ROOT/STREAM/master.m3u8. */
enum lvx_status lvx_hls_dir_write_master(
	struct lvx_hls_dir *d, const char *data, size_t len, struct lvx_error *err);
void lvx_hls_dir_remove(struct lvx_hls_dir *d, const char *name); /* if it is there */
/* What earlier streams of that name have left: in folders named as ours, files that end as ours. */
void lvx_hls_dir_remove_others(struct lvx_hls_dir *d);

#endif
