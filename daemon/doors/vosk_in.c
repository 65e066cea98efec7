/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/doors/vosk.h"

#include <string.h>

static const char where[] = "message";

void lvx_vosk_config_init(struct lvx_vosk_config *c)
{
	*c = (struct lvx_vosk_config){.sample_rate = 8000, .words = true};
}

/* Clients write flags as true, 1 or 0. */
static enum lvx_status read_flag(
	bool *out, const json_t *object, const char *key, struct lvx_error *err)
{
	const json_t *v = json_object_get(object, key);
	if (json_is_boolean(v))
		*out = json_is_true(v);
	else if (json_is_integer(v) && (json_integer_value(v) == 0 || json_integer_value(v) == 1))
		*out = json_integer_value(v) == 1;
	else if (v)
		return lvx_fail(
			err, LVX_EINVAL, "%s: '%s' must be true, false, 1 or 0", where, key);
	return LVX_OK;
}

/* 16000 and 16000.0 alike. */
static enum lvx_status read_rate(
	struct lvx_vosk_config *c, const json_t *config, struct lvx_error *err)
{
	double rate = c->sample_rate;
	enum lvx_status st =
		lvx_json_f64(config, where, "sample_rate", false, 8000, 192000, &rate, err);
	if (st == LVX_OK)
		c->sample_rate = (uint32_t)rate;
	return st;
}

static enum lvx_status read_phrases(
	struct lvx_vosk_config *c, const json_t *config, struct lvx_error *err)
{
	json_t *list = NULL, *item;
	size_t i, used = 0;
	enum lvx_status st = lvx_json_array(config, where, "phrase_list", false, &list, err);
	if (st != LVX_OK || !list)
		return st;
	c->prefix[0] = '\0';
	json_array_foreach(list, i, item)
	{
		const char *phrase = json_string_value(item);
		if (!phrase)
			return lvx_fail(
				err, LVX_EINVAL, "%s: 'phrase_list' must hold strings", where);
		/* What follows is not heard at all: there it means "anything else". */
		if (strcmp(phrase, "[unk]") == 0 || !*phrase)
			continue;
		size_t n = strlen(phrase);
		if (used + n + 2 > LVX_PREFIX_MAX)
			return lvx_fail(err, LVX_EINVAL, "%s: 'phrase_list' may have %d bytes",
				where, LVX_PREFIX_MAX);
		used += (size_t)snprintf(c->prefix + used, sizeof(c->prefix) - used, "%s%s",
			used > 0 ? ", " : "", phrase);
	}
	return LVX_OK;
}

static enum lvx_status read_config(
	struct lvx_vosk_config *c, const json_t *config, struct lvx_error *err)
{
	static const char *const keys[] = {
		"sample_rate", "words", "max_alternatives", "phrase_list", NULL};
	if (json_object_get(config, "model"))
		return lvx_fail(err, LVX_EINVAL, "%s: 'model' cannot be chosen here", where);
	enum lvx_status st = lvx_json_known_keys(config, where, keys, err);
	if (st == LVX_OK)
		st = read_rate(c, config, err);
	if (st == LVX_OK)
		st = read_flag(&c->words, config, "words", err);
	if (st == LVX_OK)
		st = lvx_json_u32(
			config, where, "max_alternatives", false, 0, 100, &c->alternatives, err);
	return st == LVX_OK ? read_phrases(c, config, err) : st;
}

enum lvx_status lvx_vosk_parse(enum lvx_vosk_type *type, struct lvx_vosk_config *config,
	const char *text, size_t len, struct lvx_error *err)
{
	json_t *root, *inner = NULL;
	bool eof = false, reset = false;
	static const char *const keys[] = {"config", "eof", "reset", NULL};
	enum lvx_status st = lvx_json_parse(&root, where, text, len, err);
	if (st != LVX_OK)
		return st;
	st = lvx_json_known_keys(root, where, keys, err);
	if (st == LVX_OK)
		st = lvx_json_object(root, where, "config", false, &inner, err);
	if (st == LVX_OK)
		st = read_flag(&eof, root, "eof", err);
	if (st == LVX_OK)
		st = read_flag(&reset, root, "reset", err);
	if (st == LVX_OK && inner) {
		struct lvx_vosk_config changed = *config;
		*type = LVX_VOSK_CONFIG;
		st = read_config(&changed, inner, err);
		if (st == LVX_OK)
			*config = changed;
	} else if (st == LVX_OK && (eof || reset)) {
		*type = eof ? LVX_VOSK_EOF : LVX_VOSK_RESET;
	} else if (st == LVX_OK) {
		st = lvx_fail(err, LVX_EINVAL, "%s: config, eof or reset is wanted", where);
	}
	json_decref(root);
	return st;
}
