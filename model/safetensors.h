/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader of the safetensors format: 8 bytes of header length, a JSON header,
 * the tensors. The file is mapped, not read; every size and offset is checked
 * against the file before a tensor is handed out. Immutable after opening,
 * free-threaded.
 */
#ifndef LVX_MODEL_SAFETENSORS_H
#define LVX_MODEL_SAFETENSORS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { LVX_TENSOR_DIMS_MAX = 8 };

/* LVX_DTYPE_OTHER: a type of the format that no graph uses; its size is checked all the same. */
enum lvx_dtype {
	LVX_DTYPE_F32,
	LVX_DTYPE_F16,
	LVX_DTYPE_BF16,
	LVX_DTYPE_I8,
	LVX_DTYPE_U8,
	LVX_DTYPE_OTHER,
};

/* Borrowed from its file. data may be unaligned: the format promises nothing. */
struct lvx_tensor {
	const char *name;
	enum lvx_dtype dtype;
	uint32_t n_dims;
	uint64_t dims[LVX_TENSOR_DIMS_MAX];
	const uint8_t *data;
	uint64_t bytes;
};

struct lvx_safetensors;

enum lvx_status lvx_safetensors_open(
	struct lvx_safetensors **out, const char *path, struct lvx_error *err);
/* The same over bytes in memory, which must outlive *out. */
enum lvx_status lvx_safetensors_parse(struct lvx_safetensors **out, const char *where,
	const uint8_t *data, size_t len, struct lvx_error *err);
void lvx_safetensors_destroy(struct lvx_safetensors *st);

size_t lvx_safetensors_count(const struct lvx_safetensors *st);
/* In the order of their data. */
const struct lvx_tensor *lvx_safetensors_get(const struct lvx_safetensors *st, size_t index);
/* NULL: no such tensor. */
const struct lvx_tensor *lvx_safetensors_find(const struct lvx_safetensors *st, const char *name);

const char *lvx_dtype_name(enum lvx_dtype dtype);

#endif
