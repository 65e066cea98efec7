/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/messages.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char where[] = "message";

static const struct {
	const char *name;
	int http;
} codes[] = {
	[LVX_API_INVALID] = {"invalid", 400},
	[LVX_API_UNAUTHORIZED] = {"unauthorized", 401},
	[LVX_API_FORBIDDEN] = {"forbidden", 403},
	[LVX_API_NOT_FOUND] = {"not_found", 404},
	[LVX_API_METHOD] = {"method", 405},
	[LVX_API_EXISTS] = {"exists", 409},
	[LVX_API_TOO_LARGE] = {"too_large", 413},
	[LVX_API_MEDIA_TYPE] = {"media_type", 415},
	[LVX_API_OVER_LIMIT] = {"over_limit", 503},
	[LVX_API_DEVICE] = {"device", 503},
	[LVX_API_INTERNAL] = {"internal", 500},
};

const char *lvx_api_code_name(enum lvx_api_code code)
{
	return codes[code].name;
}

int lvx_api_code_http(enum lvx_api_code code)
{
	return codes[code].http;
}

enum lvx_api_code lvx_api_code_of(enum lvx_status status)
{
	switch (status) {
	case LVX_EINVAL:
	case LVX_EUNSUPPORTED:
		return LVX_API_INVALID;
	case LVX_ENOENT:
		return LVX_API_NOT_FOUND;
	case LVX_ELIMIT:
		return LVX_API_OVER_LIMIT;
	case LVX_EDEVICE:
		return LVX_API_DEVICE;
	default:
		return LVX_API_INTERNAL;
	}
}

/* ---- lanes and languages ---- */

/* 0: there is no such lane; err lists those that there are. */
static uint32_t lane_bit(const struct lvx_model_info *model, const char *at, const char *name,
	size_t len, struct lvx_error *err)
{
	char known[128] = "";
	size_t used = 0;
	for (uint32_t i = 0; i < model->n_lanes; i++) {
		const char *lane = model->lanes[i].name;
		if (strlen(lane) == len && memcmp(lane, name, len) == 0)
			return 1u << i;
		if (used < sizeof(known))
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
				i > 0 ? ", " : "", lane);
	}
	lvx_fail(err, LVX_EINVAL, "%s: the model has no lane '%.*s'; it has %s", at,
		(int)(len < 32 ? len : 32), name, known);
	return 0;
}

enum lvx_status lvx_lanes_parse(uint32_t *lanes, const struct lvx_model_info *model, const char *at,
	const char *list, struct lvx_error *err)
{
	uint32_t mask = 0;
	for (const char *p = list; *p;) {
		p += strspn(p, ", ");
		size_t len = strcspn(p, ", ");
		if (len == 0)
			break;
		uint32_t bit = lane_bit(model, at, p, len, err);
		if (bit == 0)
			return LVX_EINVAL;
		mask |= bit;
		p += len;
	}
	if (mask == 0)
		return lvx_fail(err, LVX_EINVAL, "%s: at least one lane is needed", at);
	*lanes = mask;
	return LVX_OK;
}

static enum lvx_status read_lanes(uint32_t *lanes, const json_t *root,
	const struct lvx_model_info *model, bool required, struct lvx_error *err)
{
	json_t *array;
	enum lvx_status st = lvx_json_array(root, where, "lanes", required, &array, err);
	if (st != LVX_OK || !array)
		return st;
	uint32_t mask = 0;
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item)
	{
		if (!json_is_string(item))
			return lvx_fail(err, LVX_EINVAL, "%s: 'lanes' must hold strings", where);
		uint32_t bit = lane_bit(
			model, where, json_string_value(item), json_string_length(item), err);
		if (bit == 0)
			return LVX_EINVAL;
		mask |= bit;
	}
	if (mask == 0)
		return lvx_fail(err, LVX_EINVAL, "%s: 'lanes' names no lane", where);
	*lanes = mask;
	return LVX_OK;
}

/* ---- parts ---- */

static enum lvx_status read_string(const char **out, const json_t *root, const char *key,
	bool required, size_t max, struct lvx_error *err)
{
	enum lvx_status st = lvx_json_str(root, where, key, required, out, err);
	if (st != LVX_OK || !*out)
		return st;
	size_t len = strlen(*out);
	if (len == 0 || len > max)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' has %zu bytes; allowed are 1 to %zu",
			where, key, len, max);
	return LVX_OK;
}

static enum lvx_status read_id(
	const char **out, const json_t *root, const char *key, bool required, struct lvx_error *err)
{
	enum lvx_status st = lvx_json_str(root, where, key, required, out, err);
	if (st == LVX_OK && *out && !lvx_id_valid(*out))
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' must be 1 to %d of A-Z a-z 0-9 _ -",
			where, key, LVX_ID_MAX);
	return st;
}

static enum lvx_status read_delay(uint32_t *slots, const json_t *root,
	const struct lvx_model_info *model, struct lvx_error *err)
{
	uint32_t ms = 0;
	enum lvx_status st =
		lvx_json_u32(root, where, "delay_ms", false, 0, INT32_MAX, &ms, err);
	if (st != LVX_OK || !json_object_get(root, "delay_ms"))
		return st;
	return lvx_model_info_delay(model, where, ms, slots, err);
}

/* What a push and a stream created by POST have in common. */
static enum lvx_status read_common(struct lvx_hub_spec *spec, const json_t *root,
	const struct lvx_model_info *model, struct lvx_error *err)
{
	uint32_t channel = UINT32_MAX;
	enum lvx_status st = read_lanes(&spec->lanes, root, model, false, err);
	if (st == LVX_OK)
		st = read_string(&spec->translate_to, root, "translate_to", false, 11, err);
	if (st == LVX_OK)
		st = read_string(&spec->language, root, "language", false, 11, err);
	if (st == LVX_OK)
		st = lvx_model_info_check_languages(
			model, where, spec->language, spec->translate_to, err);
	if (st == LVX_OK)
		st = read_delay(&spec->delay_slots, root, model, err);
	if (st == LVX_OK)
		st = read_string(&spec->prefix, root, "prefix", false, LVX_PREFIX_MAX, err);
	const json_t *glossary = json_object_get(root, "glossary");
	if (st == LVX_OK && glossary)
		st = lvx_glossary_read_json(&spec->glossary, where, glossary, err);
	if (st == LVX_OK)
		st = lvx_json_u32(root, where, "channel", false, 0, 63, &channel, err);
	spec->channel = channel == UINT32_MAX ? -1 : (int)channel;
	spec->over_network = true;
	return st;
}

static enum lvx_status read_choice(int *out, const json_t *root, const char *key, bool required,
	const char *const *names, struct lvx_error *err)
{
	const char *value = NULL;
	enum lvx_status st = lvx_json_str(root, where, key, required, &value, err);
	if (st != LVX_OK || !value)
		return st;
	char known[64] = "";
	size_t used = 0;
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], value) == 0) {
			*out = i;
			return LVX_OK;
		}
		used += (size_t)snprintf(
			known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "", names[i]);
	}
	return lvx_fail(
		err, LVX_EINVAL, "%s: '%s' is '%.32s'; allowed are %s", where, key, value, known);
}

/* ---- WebSocket messages ---- */

static enum lvx_status read_from(struct lvx_request *r, struct lvx_error *err)
{
	const json_t *from = json_object_get(r->root, "from");
	if (!from)
		return LVX_OK;
	if (json_is_string(from)) {
		static const char *const names[] = {"now", "start", NULL};
		int choice = 0;
		enum lvx_status st = read_choice(&choice, r->root, "from", true, names, err);
		r->from = choice == 0 ? LVX_FROM_NOW : LVX_FROM_START;
		return st;
	}
	const json_t *last = json_object_get(from, "last");
	const json_t *epoch = json_object_get(from, "epoch");
	const json_t *seq = json_object_get(from, "seq");
	if (json_object_size(from) == 1 && json_is_integer(last) && json_integer_value(last) >= 0) {
		r->from = LVX_FROM_LAST;
		r->last = (uint64_t)json_integer_value(last);
		return LVX_OK;
	}
	if (json_object_size(from) == 2 && json_is_integer(epoch) && json_is_integer(seq) &&
		json_integer_value(seq) >= 0) {
		r->from = LVX_FROM_KEY;
		r->epoch = json_integer_value(epoch);
		r->seq = (uint64_t)json_integer_value(seq);
		return LVX_OK;
	}
	return lvx_fail(err, LVX_EINVAL,
		"%s: 'from' must be \"now\", \"start\", {\"last\":N} or {\"epoch\":E,\"seq\":S}",
		where);
}

static enum lvx_status read_sound(struct lvx_request *r, struct lvx_error *err)
{
	const char *name = NULL;
	enum lvx_status st = read_string(&name, r->root, "sound", false, 11, err);
	if (st != LVX_OK || !name)
		return st;
	for (int i = LVX_SOUND_MIX; i < LVX_SOUNDS; i++) {
		if (strcmp(name, lvx_hub_sound_name((enum lvx_hub_sound)i)) == 0)
			r->sound = (enum lvx_hub_sound)i;
	}
	if (r->sound == LVX_SOUND_NONE)
		return lvx_fail(err, LVX_EINVAL, "%s: 'sound' must be \"mix\" or \"voice\"", where);
	return LVX_OK;
}

static enum lvx_status read_subscribe(
	struct lvx_request *r, const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const keys[] = {
		"type", "ref", "stream", "lanes", "translate_to", "from", "activity", "sound", NULL};
	enum lvx_status st = lvx_json_known_keys(r->root, where, keys, err);
	if (st == LVX_OK)
		st = read_id(&r->stream, r->root, "stream", true, err);
	if (st == LVX_OK)
		st = read_lanes(&r->lanes, r->root, model, false, err);
	if (st == LVX_OK)
		st = read_string(&r->translate_to, r->root, "translate_to", false, 11, err);
	if (st == LVX_OK)
		st = lvx_model_info_check_languages(model, where, NULL, r->translate_to, err);
	if (st == LVX_OK)
		st = lvx_json_bool(r->root, where, "activity", false, &r->activity, err);
	if (st == LVX_OK)
		st = read_sound(r, err);
	return st == LVX_OK ? read_from(r, err) : st;
}

static enum lvx_status read_push(
	struct lvx_request *r, const struct lvx_model_info *model, struct lvx_error *err)
{
	static const char *const keys[] = {"type", "ref", "stream", "format", "sample_rate",
		"channels", "channel", "lanes", "translate_to", "language", "delay_ms", "prefix",
		"glossary", "live", NULL};
	static const char *const formats[] = {"s16le", "f32le", "container", NULL};
	struct lvx_hub_spec *spec = &r->spec;
	int format = 0;
	enum lvx_status st = lvx_json_known_keys(r->root, where, keys, err);
	if (st == LVX_OK)
		st = read_id(&spec->id, r->root, "stream", false, err);
	if (st == LVX_OK)
		st = read_choice(&format, r->root, "format", true, formats, err);
	if (st == LVX_OK)
		st = read_common(spec, r->root, model, err);
	if (st == LVX_OK)
		st = lvx_json_bool(r->root, where, "live", false, &spec->live, err);
	if (st != LVX_OK)
		return st;
	spec->push.format = (enum lvx_push_format)format;
	spec->push.channel = spec->channel;
	if (spec->push.format == LVX_PUSH_CONTAINER) {
		if (json_object_get(r->root, "sample_rate") || json_object_get(r->root, "channels"))
			return lvx_fail(err, LVX_EINVAL,
				"%s: a container says its 'sample_rate' and 'channels' itself",
				where);
		return LVX_OK;
	}
	st = lvx_json_u32(
		r->root, where, "sample_rate", true, 8000, 192000, &spec->push.sample_rate, err);
	if (st == LVX_OK)
		st = lvx_json_u32(
			r->root, where, "channels", true, 1, 8, &spec->push.channels, err);
	if (st == LVX_OK && spec->channel >= (int)spec->push.channels)
		return lvx_fail(err, LVX_EINVAL, "%s: 'channel' is %d of %u (from 0)", where,
			spec->channel, spec->push.channels);
	return st;
}

static enum lvx_status read_ref(struct lvx_request *r, struct lvx_error *err)
{
	const json_t *ref = json_object_get(r->root, "ref");
	if (!ref)
		return LVX_OK;
	if (!json_is_integer(ref) && !(json_is_string(ref) && json_string_length(ref) <= 64))
		return lvx_fail(err, LVX_EINVAL,
			"%s: 'ref' must be an integer or a string of at most 64 bytes", where);
	r->ref = ref;
	return LVX_OK;
}

enum lvx_status lvx_request_parse(struct lvx_request *r, const struct lvx_model_info *model,
	const char *text, size_t len, struct lvx_error *err)
{
	static const char *const types[] = {
		"subscribe", "unsubscribe", "push", "finish", "ping", NULL};
	static const char *const stream_keys[] = {"type", "ref", "stream", NULL};
	*r = (struct lvx_request){0};
	r->spec.channel = -1;
	if (len > LVX_MESSAGE_BYTES_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "%s: longer than %d bytes", where, LVX_MESSAGE_BYTES_MAX);
	enum lvx_status st = lvx_json_parse(&r->root, where, text, len, err);
	if (st == LVX_OK)
		st = read_ref(r, err);
	int type = 0;
	if (st == LVX_OK)
		st = read_choice(&type, r->root, "type", true, types, err);
	if (st != LVX_OK)
		return st;
	r->type = (enum lvx_request_type)type;
	switch (r->type) {
	case LVX_REQUEST_SUBSCRIBE:
		return read_subscribe(r, model, err);
	case LVX_REQUEST_PUSH:
		return read_push(r, model, err);
	case LVX_REQUEST_UNSUBSCRIBE:
		st = lvx_json_known_keys(r->root, where, stream_keys, err);
		return st == LVX_OK ? read_id(&r->stream, r->root, "stream", true, err) : st;
	case LVX_REQUEST_FINISH:
	case LVX_REQUEST_PING:
		break;
	}
	static const char *const bare_keys[] = {"type", "ref", NULL};
	return lvx_json_known_keys(r->root, where, bare_keys, err);
}

void lvx_request_finish(struct lvx_request *r)
{
	json_decref(r->root);
	lvx_glossary_unref(r->spec.glossary);
	*r = (struct lvx_request){0};
}

/* ---- HTTP bodies ---- */

void lvx_uri_scheme(const char *uri, char scheme[16])
{
	size_t n = strcspn(uri, ":/?#");
	if (uri[n] != ':' || n == 0 || n > 15) {
		strcpy(scheme, "file");
		return;
	}
	for (size_t i = 0; i < n; i++)
		scheme[i] = (char)tolower((unsigned char)uri[i]);
	scheme[n] = '\0';
}

static enum lvx_status parse_body(
	json_t **root, const char *text, size_t len, struct lvx_error *err)
{
	if (len > LVX_MESSAGE_BYTES_MAX)
		return lvx_fail(
			err, LVX_EINVAL, "%s: longer than %d bytes", where, LVX_MESSAGE_BYTES_MAX);
	return lvx_json_parse(root, where, text, len, err);
}

enum lvx_status lvx_create_parse(struct lvx_hub_spec *spec, json_t **out,
	const struct lvx_model_info *model, const char *text, size_t len, struct lvx_error *err)
{
	static const char *const keys[] = {"id", "uri", "lanes", "translate_to", "language",
		"delay_ms", "prefix", "glossary", "audio_track", "channel", "pace", NULL};
	static const char *const paces[] = {"clock", "max", NULL};
	int pace = 0;
	json_t *root;
	enum lvx_status st = parse_body(&root, text, len, err);
	if (st != LVX_OK)
		return st;
	*spec = (struct lvx_hub_spec){0};
	st = lvx_json_known_keys(root, where, keys, err);
	if (st == LVX_OK)
		st = read_id(&spec->id, root, "id", false, err);
	if (st == LVX_OK)
		st = read_string(&spec->uri, root, "uri", true, 4096, err);
	if (st == LVX_OK)
		st = read_common(spec, root, model, err);
	if (st == LVX_OK)
		st = read_string(&spec->audio_track, root, "audio_track", false, 32, err);
	if (st == LVX_OK)
		st = read_choice(&pace, root, "pace", false, paces, err);
	if (st != LVX_OK) {
		json_decref(root);
		lvx_glossary_unref(spec->glossary);
		spec->glossary = NULL;
		return st;
	}
	spec->pace = pace == 1 ? LVX_PACE_MAX : LVX_PACE_CLOCK;
	*out = root;
	return LVX_OK;
}

enum lvx_status lvx_patch_parse(uint32_t *lanes, const struct lvx_model_info *model,
	const char *text, size_t len, struct lvx_error *err)
{
	static const char *const keys[] = {"lanes", NULL};
	json_t *root;
	enum lvx_status st = parse_body(&root, text, len, err);
	if (st != LVX_OK)
		return st;
	st = lvx_json_known_keys(root, where, keys, err);
	if (st == LVX_OK)
		st = read_lanes(lanes, root, model, true, err);
	json_decref(root);
	return st;
}

/* Bytes of the space at p, 0: there is none. That of Chinese and Japanese, and one that does not
 * break, are spaces too. */
static size_t space_at(const char *p)
{
	if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')
		return 1;
	return strncmp(p, "\xe3\x80\x80", 3) == 0 ? 3 : strncmp(p, "\xc2\xa0", 2) == 0 ? 2 : 0;
}

/* Words with one space between them; the rest of what ASCII controls is refused. */
static enum lvx_status tidy_line(char *text, struct lvx_error *err)
{
	char *to = text;
	for (const char *p = text; *p;) {
		size_t space = space_at(p);
		if (!space && ((unsigned char)*p < ' ' || *p == 0x7f))
			return lvx_fail(err, LVX_EINVAL, "%s: 'text' has a control character", where);
		if (!space)
			*to++ = *p;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
		p += space ? space : 1;
	}
	if (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
	return LVX_OK;
}

enum lvx_status lvx_correction_parse(struct lvx_hub_correction *out, char **text,
	const char *body, size_t len, struct lvx_error *err)
{
	enum { TEXT_MAX = 2048 };
	static const char *const keys[] = {"epoch", "from_seq", "to_seq", "text", NULL};
	static const char *const numbers[] = {"epoch", "from_seq", "to_seq"};
	json_int_t values[3] = {0};
	const char *given = NULL;
	json_t *root;
	*text = NULL;
	enum lvx_status st = parse_body(&root, body, len, err);
	if (st != LVX_OK)
		return st;
	st = lvx_json_known_keys(root, where, keys, err);
	for (int i = 0; i < 3 && st == LVX_OK; i++) {
		const json_t *value = json_object_get(root, numbers[i]);
		values[i] = json_integer_value(value);
		if (!json_is_integer(value) || values[i] < 1)
			st = lvx_fail(err, LVX_EINVAL, "%s: '%s' must be an integer over 0", where,
				numbers[i]);
	}
	if (st == LVX_OK)
		st = lvx_json_str(root, where, "text", true, &given, err);
	if (st == LVX_OK && strlen(given) > TEXT_MAX)
		st = lvx_fail(err, LVX_EINVAL, "%s: 'text' has %zu bytes; allowed are %d", where,
			strlen(given), TEXT_MAX);
	if (st == LVX_OK) {
		*text = strdup(given);
		st = *text ? tidy_line(*text, err) : lvx_fail(err, LVX_ENOMEM, "out of memory");
	}
	json_decref(root);
	if (st != LVX_OK) {
		free(*text);
		*text = NULL;
		return st;
	}
	*out = (struct lvx_hub_correction){
		.epoch = values[0],
		.from_seq = (uint64_t)values[1],
		.to_seq = (uint64_t)values[2],
		.text = *text,
	};
	return LVX_OK;
}
