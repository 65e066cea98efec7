/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: read into memory, or mapped read-only. */
#ifndef LVX_BASE_FILE_H
#define LVX_BASE_FILE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* Reads a regular file of at most max_bytes; a NUL is put behind it. The caller
 * frees *out with free(). */
enum lvx_status lvx_file_read(
	char **out, size_t *len, const char *path, size_t max_bytes, struct lvx_error *err);

struct lvx_mapping {
	const uint8_t *data;
	size_t len;
};

/* Maps a regular, non-empty file read-only. */
enum lvx_status lvx_file_map(struct lvx_mapping *out, const char *path, struct lvx_error *err);
void lvx_file_unmap(struct lvx_mapping *mapping); /* zeroed is fine */

#endif
