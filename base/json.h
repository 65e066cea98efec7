/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict access to JSON from outside (jansson underneath): size and depth
 * limits, no duplicate keys, errors that name where, key and allowed range.
 * `where` is a file name or "message"; it begins every error.
 */
#ifndef LVX_BASE_JSON_H
#define LVX_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Parses text; the root must be an object. The caller owns *out (json_decref). */
enum lvx_status lvx_json_parse(
	json_t **out, const char *where, const char *text, size_t len, struct lvx_error *err);
/* Reads a whole file of at most max_bytes and parses it. */
enum lvx_status lvx_json_load(
	json_t **out, const char *path, size_t max_bytes, struct lvx_error *err);

/*
 * Members of obj. An absent key leaves *out as it was and returns LVX_OK unless
 * `required`. A wrong type or a value outside [lo, hi] is LVX_EINVAL.
 */
enum lvx_status lvx_json_u32(const json_t *obj, const char *where, const char *key, bool required,
	uint32_t lo, uint32_t hi, uint32_t *out, struct lvx_error *err);
enum lvx_status lvx_json_f64(const json_t *obj, const char *where, const char *key, bool required,
	double lo, double hi, double *out, struct lvx_error *err);
enum lvx_status lvx_json_bool(const json_t *obj, const char *where, const char *key, bool required,
	bool *out, struct lvx_error *err);
/* *out is borrowed from obj. */
enum lvx_status lvx_json_str(const json_t *obj, const char *where, const char *key, bool required,
	const char **out, struct lvx_error *err);
/* A nested object or array; *out is borrowed, NULL where absent. */
enum lvx_status lvx_json_object(const json_t *obj, const char *where, const char *key,
	bool required, json_t **out, struct lvx_error *err);
enum lvx_status lvx_json_array(const json_t *obj, const char *where, const char *key,
	bool required, json_t **out, struct lvx_error *err);
/* Every key of obj must be in the NULL-terminated list: an unknown one is an
 * error that names it and lists the allowed ones. */
enum lvx_status lvx_json_known_keys(
	const json_t *obj, const char *where, const char *const *allowed, struct lvx_error *err);

#endif
