/* SPDX-License-Identifier: Apache-2.0 */
#include "model/safetensors.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum {
	HEADER_MAX = 16 << 20, /* the format allows 100 MB; no sane model needs it */
	TENSORS_MAX = 1 << 20,
	NAME_MAX_BYTES = 256,
};

struct lvx_safetensors {
	struct lvx_mapping map; /* owned; zeroed where the bytes are the caller's */
	json_t *header;		/* owns the names */
	struct lvx_tensor *tensors; /* by offset */
	struct lvx_tensor **by_name;
	size_t n;
};

static const struct {
	const char *name;
	enum lvx_dtype dtype;
	uint32_t bytes;
} dtypes[] = {
	{"F32", LVX_DTYPE_F32, 4},
	{"F16", LVX_DTYPE_F16, 2},
	{"BF16", LVX_DTYPE_BF16, 2},
	{"I8", LVX_DTYPE_I8, 1},
	{"U8", LVX_DTYPE_U8, 1},
	{"F64", LVX_DTYPE_OTHER, 8},
	{"I64", LVX_DTYPE_OTHER, 8},
	{"U64", LVX_DTYPE_OTHER, 8},
	{"I32", LVX_DTYPE_OTHER, 4},
	{"U32", LVX_DTYPE_OTHER, 4},
	{"I16", LVX_DTYPE_OTHER, 2},
	{"U16", LVX_DTYPE_OTHER, 2},
	{"BOOL", LVX_DTYPE_OTHER, 1},
	{"F8_E4M3", LVX_DTYPE_OTHER, 1},
	{"F8_E5M2", LVX_DTYPE_OTHER, 1},
};

const char *lvx_dtype_name(enum lvx_dtype dtype)
{
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
		if (dtypes[i].dtype == dtype && dtype != LVX_DTYPE_OTHER)
			return dtypes[i].name;
	return "another type";
}

static enum lvx_status read_dtype(struct lvx_tensor *t, uint32_t *size, const json_t *entry,
	const char *where, struct lvx_error *err)
{
	const char *name = json_string_value(json_object_get(entry, "dtype"));
	if (!name)
		return lvx_fail(err, LVX_EINVAL, "%s: tensor '%.100s': 'dtype' must be a string",
			where, t->name);
	for (size_t i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++) {
		if (strcmp(dtypes[i].name, name) == 0) {
			t->dtype = dtypes[i].dtype;
			*size = dtypes[i].bytes;
			return LVX_OK;
		}
	}
	return lvx_fail(err, LVX_EINVAL, "%s: tensor '%.100s': unknown dtype '%.32s'", where,
		t->name, name);
}

/* *bytes: what the shape needs, checked for overflow. */
static enum lvx_status read_shape(struct lvx_tensor *t, uint64_t *bytes, uint32_t size,
	const json_t *entry, const char *where, struct lvx_error *err)
{
	const json_t *shape = json_object_get(entry, "shape");
	if (!json_is_array(shape) || json_array_size(shape) > LVX_TENSOR_DIMS_MAX)
		return lvx_fail(err, LVX_EINVAL,
			"%s: tensor '%.100s': 'shape' must be an array of at most %d numbers",
			where, t->name, LVX_TENSOR_DIMS_MAX);
	t->n_dims = (uint32_t)json_array_size(shape);
	*bytes = size;
	for (uint32_t i = 0; i < t->n_dims; i++) {
		const json_t *v = json_array_get(shape, i);
		json_int_t dim = json_is_integer(v) ? json_integer_value(v) : -1;
		if (dim < 0 || dim > INT32_MAX ||
			__builtin_mul_overflow(*bytes, (uint64_t)dim, bytes))
			return lvx_fail(err, LVX_EINVAL,
				"%s: tensor '%.100s': dimension %u of its shape is not allowed",
				where, t->name, i);
		t->dims[i] = (uint64_t)dim;
	}
	return LVX_OK;
}

static enum lvx_status read_entry(struct lvx_tensor *t, const json_t *entry, const char *where,
	const uint8_t *data, uint64_t data_len, struct lvx_error *err)
{
	if (!json_is_object(entry))
		return lvx_fail(err, LVX_EINVAL, "%s: tensor '%.100s' must be an object", where,
			t->name);
	uint32_t size = 0;
	uint64_t need = 0;
	enum lvx_status status = read_dtype(t, &size, entry, where, err);
	if (status != LVX_OK)
		return status;
	status = read_shape(t, &need, size, entry, where, err);
	if (status != LVX_OK)
		return status;
	const json_t *offsets = json_object_get(entry, "data_offsets");
	const json_t *lo = json_array_get(offsets, 0), *hi = json_array_get(offsets, 1);
	if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !json_is_integer(lo) ||
		!json_is_integer(hi))
		return lvx_fail(err, LVX_EINVAL,
			"%s: tensor '%.100s': 'data_offsets' must be two integers", where, t->name);
	json_int_t begin = json_integer_value(lo), end = json_integer_value(hi);
	if (begin < 0 || end < begin || (uint64_t)end > data_len)
		return lvx_fail(err, LVX_EINVAL,
			"%s: tensor '%.100s': bytes %lld..%lld lie outside the file's %llu", where,
			t->name, (long long)begin, (long long)end, (unsigned long long)data_len);
	t->data = data + begin;
	t->bytes = (uint64_t)(end - begin);
	if (t->bytes != need)
		return lvx_fail(err, LVX_EINVAL,
			"%s: tensor '%.100s': %llu bytes, but its shape needs %llu", where, t->name,
			(unsigned long long)t->bytes, (unsigned long long)need);
	return LVX_OK;
}

static int by_offset(const void *a, const void *b)
{
	const struct lvx_tensor *x = a, *y = b;
	if (x->data != y->data)
		return x->data < y->data ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b)
{
	const struct lvx_tensor *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

/* The format wants the data without holes and without overlap. */
static enum lvx_status check_layout(const struct lvx_safetensors *st, const char *where,
	const uint8_t *data, uint64_t data_len, struct lvx_error *err)
{
	uint64_t at = 0;
	for (size_t i = 0; i < st->n; i++) {
		const struct lvx_tensor *t = &st->tensors[i];
		uint64_t begin = (uint64_t)(t->data - data);
		if (begin != at)
			return lvx_fail(err, LVX_EINVAL, "%s: tensor '%.100s' %s", where, t->name,
				begin < at ? "overlaps another" : "leaves a hole before it");
		at += t->bytes;
	}
	if (at != data_len)
		return lvx_fail(err, LVX_EINVAL, "%s: %llu bytes at its end belong to no tensor",
			where, (unsigned long long)(data_len - at));
	return LVX_OK;
}

static enum lvx_status read_entries(struct lvx_safetensors *st, const char *where,
	const uint8_t *data, uint64_t data_len, struct lvx_error *err)
{
	size_t n = json_object_size(st->header);
	if (n > TENSORS_MAX)
		return lvx_fail(err, LVX_ELIMIT, "%s: %zu tensors; at most %d are allowed", where, n,
			TENSORS_MAX);
	st->tensors = calloc(n + 1, sizeof(*st->tensors));
	st->by_name = calloc(n + 1, sizeof(*st->by_name));
	if (!st->tensors || !st->by_name)
		return lvx_fail(err, LVX_ENOMEM, "%s: out of memory", where);
	const char *key;
	json_t *entry;
	json_object_foreach(st->header, key, entry)
	{
		if (strcmp(key, "__metadata__") == 0)
			continue;
		if (strlen(key) > NAME_MAX_BYTES)
			return lvx_fail(err, LVX_ELIMIT, "%s: tensor name '%.40s...' is too long",
				where, key);
		struct lvx_tensor *t = &st->tensors[st->n];
		t->name = key;
		enum lvx_status status = read_entry(t, entry, where, data, data_len, err);
		if (status != LVX_OK)
			return status;
		st->n++;
	}
	qsort(st->tensors, st->n, sizeof(*st->tensors), by_offset);
	for (size_t i = 0; i < st->n; i++)
		st->by_name[i] = &st->tensors[i];
	qsort(st->by_name, st->n, sizeof(*st->by_name), by_name);
	return check_layout(st, where, data, data_len, err);
}

enum lvx_status lvx_safetensors_parse(struct lvx_safetensors **out, const char *where,
	const uint8_t *data, size_t len, struct lvx_error *err)
{
	if (len < 8)
		return lvx_fail(err, LVX_EINVAL, "%s: %zu bytes are too few for a safetensors file",
			where, len);
	uint64_t header_len = 0;
	for (int i = 7; i >= 0; i--)
		header_len = header_len << 8 | data[i];
	if (header_len > HEADER_MAX)
		return lvx_fail(err, LVX_ELIMIT,
			"%s: a header of %llu bytes; at most %d are allowed", where,
			(unsigned long long)header_len, HEADER_MAX);
	if (header_len > len - 8)
		return lvx_fail(err, LVX_EINVAL,
			"%s: truncated: a header of %llu bytes in a file of %zu", where,
			(unsigned long long)header_len, len);
	struct lvx_safetensors *st = calloc(1, sizeof(*st));
	if (!st)
		return lvx_fail(err, LVX_ENOMEM, "%s: out of memory", where);
	enum lvx_status status = lvx_json_parse(
		&st->header, where, (const char *)data + 8, (size_t)header_len, err);
	if (status == LVX_OK)
		status = read_entries(st, where, data + 8 + header_len, len - 8 - header_len, err);
	if (status != LVX_OK) {
		lvx_safetensors_destroy(st);
		return status;
	}
	*out = st;
	return LVX_OK;
}

enum lvx_status lvx_safetensors_open(
	struct lvx_safetensors **out, const char *path, struct lvx_error *err)
{
	struct lvx_mapping map;
	enum lvx_status status = lvx_file_map(&map, path, err);
	if (status != LVX_OK)
		return status;
	status = lvx_safetensors_parse(out, path, map.data, map.len, err);
	if (status != LVX_OK)
		lvx_file_unmap(&map);
	else
		(*out)->map = map;
	return status;
}

void lvx_safetensors_destroy(struct lvx_safetensors *st)
{
	if (!st)
		return;
	json_decref(st->header);
	free(st->tensors);
	free(st->by_name);
	lvx_file_unmap(&st->map);
	free(st);
}

size_t lvx_safetensors_count(const struct lvx_safetensors *st)
{
	return st->n;
}

const struct lvx_tensor *lvx_safetensors_get(const struct lvx_safetensors *st, size_t index)
{
	return index < st->n ? &st->tensors[index] : NULL;
}

const struct lvx_tensor *lvx_safetensors_find(const struct lvx_safetensors *st, const char *name)
{
	struct lvx_tensor key = {.name = name};
	const struct lvx_tensor *want = &key;
	struct lvx_tensor **found =
		bsearch(&want, st->by_name, st->n, sizeof(*st->by_name), by_name);
	return found ? *found : NULL;
}
