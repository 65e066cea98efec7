/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/doors/deepgram.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char where[] = "query";

static enum lvx_status read_bool(
	bool *out, const char *name, const char *value, struct lvx_error *err)
{
	bool yes = strcmp(value, "true") == 0;
	if (!yes && strcmp(value, "false") != 0)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.32s'; allowed are true, false",
			where, name, value);
	*out = yes;
	return LVX_OK;
}

static enum lvx_status read_number(uint32_t *out, const char *name, const char *value, uint32_t lo,
	uint32_t hi, struct lvx_error *err)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || n < lo || n > hi)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.32s'; allowed are %u to %u", where,
			name, value, lo, hi);
	*out = (uint32_t)n;
	return LVX_OK;
}

static enum lvx_status read_encoding(
	struct lvx_deepgram_params *p, const char *value, struct lvx_error *err)
{
	static const struct {
		const char *name;
		enum lvx_door_encoding encoding;
	} known[] = {
		{"linear16", LVX_DOOR_S16LE},
		{"mulaw", LVX_DOOR_MULAW},
		{"alaw", LVX_DOOR_ALAW},
		{"flac", LVX_DOOR_CONTAINER},
		{"ogg-opus", LVX_DOOR_CONTAINER},
	};
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, value) == 0) {
			p->sound.encoding = known[i].encoding;
			return LVX_OK;
		}
	}
	return lvx_fail(err, LVX_EINVAL,
		"%s: encoding '%.32s' is not supported; linear16, mulaw, alaw, flac, ogg-opus are, "
		"and containers without 'encoding'",
		where, value);
}

static enum lvx_status add_term(
	struct lvx_deepgram_params *p, const char *name, const char *value, struct lvx_error *err)
{
	/* keywords=WORD:BOOST; all are favoured alike. */
	size_t n = strcmp(name, "keywords") == 0 ? strcspn(value, ":") : strlen(value);
	size_t used = strlen(p->prefix);
	if (used + n + 2 > LVX_PREFIX_MAX)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s': all together may have %d bytes", where,
			name, LVX_PREFIX_MAX);
	snprintf(p->prefix + used, sizeof(p->prefix) - used, "%s%.*s", used > 0 ? ", " : "", (int)n,
		value);
	return LVX_OK;
}

/* replace=WRONG:RIGHT, as often as one likes. */
static enum lvx_status add_replacement(struct lvx_deepgram_params *p, const char *name, const char *value,
	struct lvx_error *err)
{
	size_t n = strcspn(value, ":"), used = strlen(p->replace);
	if (n == 0 || value[n] == '\0' || value[n + 1] == '\0' || value[0] == '#' || strchr(value, '\n') ||
		strstr(value, "=>"))
		return lvx_fail(err, LVX_EINVAL,
			"%s: '%s' is '%.64s'; allowed is WORDS:OTHER WORDS, both sides with words, without '=>', "
			"no '#' first", where, name, value);
	int m = snprintf(p->replace + used, sizeof(p->replace) - used, "%.*s => %s\n", (int)n, value, value + n + 1);
	if (m < 0 || (size_t)m >= sizeof(p->replace) - used)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s': all together may have %zu bytes", where, name,
			sizeof(p->replace));
	return LVX_OK;
}

enum lvx_status lvx_deepgram_glossary(
	struct lvx_glossary **out, const struct lvx_deepgram_params *p, struct lvx_error *err)
{
	*out = NULL;
	return p->replace[0] ? lvx_glossary_parse(out, "query: 'replace'", p->replace, strlen(p->replace), err)
			     : LVX_OK;
}

/* One value, or several as a JSON array of strings, as Deepgram's own package writes them. */
static enum lvx_status read_list(struct lvx_deepgram_params *p, const char *name, const char *value,
	enum lvx_status (*add)(struct lvx_deepgram_params *, const char *, const char *, struct lvx_error *),
	struct lvx_error *err)
{
	json_t *list = value[0] == '[' ? json_loads(value, JSON_REJECT_DUPLICATES, NULL) : NULL;
	enum lvx_status st = LVX_OK;
	size_t i;
	json_t *one;
	if (!list)
		return add(p, name, value, err);
	json_array_foreach(list, i, one)
	{
		st = json_is_string(one) ? add(p, name, json_string_value(one), err)
					 : lvx_fail(err, LVX_EINVAL, "%s: '%s' has an element that is no string", where, name);
		if (st != LVX_OK)
			break;
	}
	json_decref(list);
	return st;
}

/* Features that are off anyway: only being asked for is an error. */
static bool is_feature(const char *name)
{
	static const char *const names[] = {"multichannel", "diarize", "detect_entities", "redact",
		"search", "numerals", "profanity_filter", "dictation", "callback",
		"callback_method", "filler_words", "measurements",
		"alternatives", "paragraphs", "utterances", "summarize", "sentiment", "topics",
		"intents", "diarize_model", NULL};
	for (const char *const *p = names; *p; p++) {
		if (strcmp(*p, name) == 0)
			return true;
	}
	return false;
}

static enum lvx_status read_param(struct lvx_deepgram_params *p, const char *name,
	const char *value, const struct lvx_model_info *model, struct lvx_error *err)
{
	bool flag;
	uint32_t ms = 0;
	enum lvx_status st;
	/* The model is ours whatever it is called; the rest says nothing about the result. */
	static const char *const inert[] = {
		"model", "version", "tag", "extra", "mip_opt_out", "no_delay", "token", NULL};
	for (const char *const *i = inert; *i; i++) {
		if (strcmp(*i, name) == 0)
			return LVX_OK;
	}
	if (strcmp(name, "encoding") == 0)
		return read_encoding(p, value, err);
	if (strcmp(name, "sample_rate") == 0)
		return read_number(&p->sound.sample_rate, name, value, 8000, 192000, err);
	if (strcmp(name, "channels") == 0)
		return read_number(&p->sound.channels, name, value, 1, 8, err);
	if (strcmp(name, "language") == 0 && strcmp(value, "multi") != 0)
		return lvx_door_read_language(&p->language, model, where, value, err);
	if (strcmp(name, "language") == 0) {
		p->language = LVX_LANGUAGE_AUTO;
		return LVX_OK;
	}
	if (strcmp(name, "detect_language") == 0)
		return read_bool(&p->detect, name, value, err);
	if (strcmp(name, "interim_results") == 0)
		return read_bool(&p->interim, name, value, err);
	if (strcmp(name, "vad_events") == 0)
		return read_bool(&p->vad_events, name, value, err);
	if (strcmp(name, "punctuate") == 0 || strcmp(name, "smart_format") == 0) {
		st = read_bool(&flag, name, value, err);
		p->punctuate = p->punctuate || (st == LVX_OK && flag);
		return st;
	}
	if (strcmp(name, "keyterm") == 0 || strcmp(name, "keywords") == 0)
		return read_list(p, name, value, add_term, err);
	if (strcmp(name, "replace") == 0 && strcmp(value, "false") != 0)
		return read_list(p, name, value, add_replacement, err);
	if (strcmp(name, "replace") == 0)
		return LVX_OK;
	if (strcmp(name, "utterance_end_ms") == 0) {
		st = read_number(&ms, name, value, 1000, 5000, err);
		p->utterance_end_us = (int64_t)ms * 1000;
		return st;
	}
	if (strcmp(name, "endpointing") == 0) {
		if (strcmp(value, "true") == 0)
			return LVX_OK;
		st = strcmp(value, "false") == 0 ? LVX_OK
						 : read_number(&ms, name, value, 0, 10000, err);
		p->endpointing_us = strcmp(value, "false") == 0 ? -1 : (int64_t)ms * 1000;
		return st;
	}
	if (!is_feature(name))
		return lvx_fail(err, LVX_EINVAL, "%s: there is no parameter '%.32s'", where, name);
	if (strcmp(value, "false") == 0 ||
		(strcmp(name, "alternatives") == 0 && strcmp(value, "1") == 0))
		return LVX_OK;
	return lvx_fail(err, LVX_EINVAL, "%s: '%s' is not supported", where, name);
}

enum lvx_status lvx_deepgram_params_parse(struct lvx_deepgram_params *p,
	const struct lvx_door_args *args, const struct lvx_model_info *model, struct lvx_error *err)
{
	*p = (struct lvx_deepgram_params){
		.sound = {.encoding = LVX_DOOR_CONTAINER, .channels = 1}, .endpointing_us = 300000};
	for (size_t i = 0; i < args->n; i++) {
		char name[33];
		size_t n = strcspn(args->arg[i], "=");
		snprintf(name, sizeof(name), "%.*s", (int)(n < 32 ? n : 32), args->arg[i]);
		const char *value = args->arg[i] + n;
		enum lvx_status st = read_param(p, name, *value ? value + 1 : value, model, err);
		if (st != LVX_OK)
			return st;
	}
	if (p->detect)
		p->language = LVX_LANGUAGE_AUTO;
	bool raw = p->sound.encoding != LVX_DOOR_CONTAINER;
	if (raw && p->sound.sample_rate == 0)
		return lvx_fail(err, LVX_EINVAL, "%s: 'encoding' needs 'sample_rate'", where);
	if (p->utterance_end_us > 0 && !p->interim)
		return lvx_fail(err, LVX_EINVAL,
			"%s: 'utterance_end_ms' needs 'interim_results=true'", where);
	struct lvx_glossary *glossary;
	enum lvx_status st = lvx_deepgram_glossary(&glossary, p, err);
	lvx_glossary_unref(glossary);
	return st;
}

enum lvx_status lvx_deepgram_message_parse(
	enum lvx_deepgram_message *out, const char *text, size_t len, struct lvx_error *err)
{
	static const char *const names[] = {"KeepAlive", "Finalize", "CloseStream"};
	const char *type = NULL;
	json_t *root;
	enum lvx_status st = lvx_json_parse(&root, "message", text, len, err);
	if (st != LVX_OK)
		return st;
	uint32_t channel = 0; /* there is but one */
	st = lvx_json_str(root, "message", "type", true, &type, err);
	if (st == LVX_OK)
		st = lvx_json_u32(root, "message", "channel", false, 0, 0, &channel, err);
	if (st == LVX_OK) {
		size_t i = 0;
		while (i < 3 && strcmp(names[i], type) != 0)
			i++;
		if (i == 3)
			st = lvx_fail(err, LVX_EINVAL,
				"message: 'type' is '%.32s'; allowed are KeepAlive, Finalize, "
				"CloseStream",
				type);
		*out = (enum lvx_deepgram_message)i;
	}
	json_decref(root);
	return st;
}

void lvx_deepgram_bare_word(const char *word, char *out, size_t size)
{
	size_t n = strlen(word);
	bool tag = n > 2 && word[0] == '[' && word[n - 1] == ']'; /* [music]: not a word */
	while (!tag && n > 0 && ispunct((unsigned char)word[n - 1]))
		n--;
	while (!tag && n > 0 && ispunct((unsigned char)*word)) {
		word++;
		n--;
	}
	n = n < size - 1 ? n : size - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
	out[n] = '\0';
}
