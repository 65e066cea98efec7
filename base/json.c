/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lvx_status lvx_json_parse(
	json_t **out, const char *where, const char *text, size_t len, struct lvx_error *err)
{
	json_error_t jerr;
	/* jansson itself limits the depth to 2048. */
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &jerr);
	if (!root)
		return lvx_fail(err, LVX_EINVAL, "%s: line %d, column %d: %s", where, jerr.line,
			jerr.column, jerr.text);
	if (!json_is_object(root)) {
		json_decref(root);
		return lvx_fail(err, LVX_EINVAL, "%s: a JSON object is expected", where);
	}
	*out = root;
	return LVX_OK;
}

enum lvx_status lvx_json_load(
	json_t **out, const char *path, size_t max_bytes, struct lvx_error *err)
{
	char *text;
	size_t len;
	enum lvx_status st = lvx_file_read(&text, &len, path, max_bytes, err);
	if (st != LVX_OK)
		return st;
	st = lvx_json_parse(out, path, text, len, err);
	free(text);
	return st;
}

static enum lvx_status find(const json_t *obj, const char *where, const char *key, bool required,
	json_t **out, struct lvx_error *err)
{
	*out = json_object_get(obj, key);
	if (!*out && required)
		return lvx_fail(err, LVX_EINVAL, "%s: key '%s' is missing", where, key);
	return LVX_OK;
}

static const char *type_name(const json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static enum lvx_status wrong_type(const char *where, const char *key, const char *want,
	const json_t *got, struct lvx_error *err)
{
	return lvx_fail(
		err, LVX_EINVAL, "%s: '%s' must be %s, not %s", where, key, want, type_name(got));
}

enum lvx_status lvx_json_u32(const json_t *obj, const char *where, const char *key, bool required,
	uint32_t lo, uint32_t hi, uint32_t *out, struct lvx_error *err)
{
	json_t *v;
	enum lvx_status st = find(obj, where, key, required, &v, err);
	if (st != LVX_OK || !v)
		return st;
	if (!json_is_integer(v))
		return wrong_type(where, key, "an integer", v, err);
	json_int_t n = json_integer_value(v);
	if (n < (json_int_t)lo || n > (json_int_t)hi)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is %lld; allowed are %u to %u", where,
			key, (long long)n, lo, hi);
	*out = (uint32_t)n;
	return LVX_OK;
}

enum lvx_status lvx_json_f64(const json_t *obj, const char *where, const char *key, bool required,
	double lo, double hi, double *out, struct lvx_error *err)
{
	json_t *v;
	enum lvx_status st = find(obj, where, key, required, &v, err);
	if (st != LVX_OK || !v)
		return st;
	if (!json_is_number(v))
		return wrong_type(where, key, "a number", v, err);
	double x = json_number_value(v);
	if (!isfinite(x) || x < lo || x > hi)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is %g; allowed are %g to %g", where, key,
			x, lo, hi);
	*out = x;
	return LVX_OK;
}

enum lvx_status lvx_json_bool(const json_t *obj, const char *where, const char *key, bool required,
	bool *out, struct lvx_error *err)
{
	json_t *v;
	enum lvx_status st = find(obj, where, key, required, &v, err);
	if (st != LVX_OK || !v)
		return st;
	if (!json_is_boolean(v))
		return wrong_type(where, key, "true or false", v, err);
	*out = json_is_true(v);
	return LVX_OK;
}

enum lvx_status lvx_json_str(const json_t *obj, const char *where, const char *key, bool required,
	const char **out, struct lvx_error *err)
{
	json_t *v;
	enum lvx_status st = find(obj, where, key, required, &v, err);
	if (st != LVX_OK || !v)
		return st;
	if (!json_is_string(v))
		return wrong_type(where, key, "a string", v, err);
	*out = json_string_value(v);
	return LVX_OK;
}

enum lvx_status lvx_json_object(const json_t *obj, const char *where, const char *key,
	bool required, json_t **out, struct lvx_error *err)
{
	enum lvx_status st = find(obj, where, key, required, out, err);
	if (st == LVX_OK && *out && !json_is_object(*out))
		return wrong_type(where, key, "an object", *out, err);
	return st;
}

enum lvx_status lvx_json_array(const json_t *obj, const char *where, const char *key,
	bool required, json_t **out, struct lvx_error *err)
{
	enum lvx_status st = find(obj, where, key, required, out, err);
	if (st == LVX_OK && *out && !json_is_array(*out))
		return wrong_type(where, key, "an array", *out, err);
	return st;
}

enum lvx_status lvx_json_known_keys(
	const json_t *obj, const char *where, const char *const *allowed, struct lvx_error *err)
{
	const char *key;
	json_t *value;
	/* jansson's iterator takes a non-const object, but only reads it. */
	json_object_foreach((json_t *)(uintptr_t)obj, key, value)
	{
		bool known = false;
		for (size_t i = 0; allowed[i] && !known; i++)
			known = strcmp(key, allowed[i]) == 0;
		if (known)
			continue;
		char list[256] = "";
		size_t at = 0;
		for (size_t i = 0; allowed[i] && at < sizeof(list); i++) {
			int n = snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "",
				allowed[i]);
			at += n > 0 ? (size_t)n : 0;
		}
		return lvx_fail(
			err, LVX_EINVAL, "%s: unknown key '%.64s'; known are %s", where, key, list);
	}
	return LVX_OK;
}
