/* SPDX-License-Identifier: Apache-2.0 */
/* Model folders that are broken in one place: the error says which file and what in it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model_priv.h"
#include "tiny_model.h"

static struct tiny_model t;

static int before(void **state)
{
	(void)state;
	tiny_begin(&t);
	return 0;
}

static int after(void **state)
{
	(void)state;
	tiny_finish(&t);
	return 0;
}

static void check_loads(void)
{
	struct lvx_model *m;
	struct lvx_error err;
	if (lvx_model_load(&m, t.dir, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	lvx_model_destroy(m);
}

/* The message begins with the file's path and holds `what`. */
static void check_fails(enum lvx_status status, const char *file, const char *what)
{
	struct lvx_model *m = NULL;
	struct lvx_error err = {0};
	char path[128];
	snprintf(path, sizeof(path), "%s/%s: ", t.dir, file);
	enum lvx_status st = lvx_model_load(&m, t.dir, &err);
	if (st != status || strncmp(err.msg, path, strlen(path)) != 0 || !strstr(err.msg, what))
		fail_msg("'%s' is expected, but it said (%d) '%s'", what, st, err.msg);
	assert_null(m);
	assert_int_equal(lvx_model_load(&m, t.dir, NULL), status); /* without an error to fill */
}

static void test_whole(void **state)
{
	(void)state;
	struct lvx_model *m;
	struct lvx_error err;
	if (lvx_model_load(&m, t.dir, &err) != LVX_OK)
		fail_msg("%s", err.msg);
	const struct lvx_model_info *i = lvx_model_info(m);
	assert_string_equal(i->name, strrchr(t.dir, '/') + 1);
	assert_string_equal(i->family, "delayed_streams");
	assert_int_equal(i->weight_bytes, t.data_bytes);
	assert_int_equal(i->n_params, t.data_bytes / 4);
	assert_int_equal(i->slot_us, 80000);
	assert_int_equal(i->n_lanes, 2);
	assert_int_equal(i->lanes[1].n_languages, 2);
	assert_string_equal(i->lanes[1].languages[1], "fr");
	assert_int_equal(lvx_model_lane(m, "translation"), 1);
	assert_int_equal(lvx_model_lane(m, "description"), -1);
	assert_int_equal(lvx_model_condition(m, "to:de"), 1);
	assert_int_equal(lvx_model_condition(m, ""), -1);
	lvx_model_destroy(m);
	lvx_model_destroy(NULL);

	/* Tensors that nobody asked for do no harm, nor does a name of a folder with a slash. */
	json_object_set_new(t.header, "ctc.weight",
		json_pack("{s:s, s:[i], s:[I,I]}", "dtype", "I64", "shape", 2, "data_offsets",
			(json_int_t)t.data_bytes, (json_int_t)t.data_bytes + 16));
	t.data_bytes += 16;
	json_object_set_new(t.header, "__metadata__", json_pack("{s:s}", "format", "pt"));
	tiny_write_weights(&t);
	strcat(t.dir, "//");
	check_loads();
}

static void test_missing(void **state)
{
	(void)state;
	static const char *const files[] = {"tokenizer.json", "model.safetensors", "config.json"};
	for (int i = 0; i < 3; i++) {
		tiny_remove(&t, files[i]);
		check_fails(LVX_ENOENT, files[i], "cannot open");
	}
	char path[128];
	snprintf(path, sizeof(path), "%s/config.json", t.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	check_fails(LVX_EINVAL, "config.json", "not a regular file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	check_fails(LVX_EINVAL, "config.json", "not a regular file");
	unlink(path);

	char *far = malloc(9001);
	memset(far, 'x', 9000);
	far[9000] = '\0';
	struct lvx_error err;
	struct lvx_model *m;
	assert_int_equal(lvx_model_load(&m, far, &err), LVX_ELIMIT);
	assert_non_null(strstr(err.msg, "too long"));
	free(far);
}

static void test_not_json(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "{", "[]", "\"x\"", "{\"a\":1,\"a\":2}", "{} {}",
		"{\"a\":\"\xff\"}", "nonsense"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		tiny_write(&t, "tokenizer.json", texts[i], strlen(texts[i]));
		check_fails(LVX_EINVAL, "tokenizer.json", "");
		tiny_write(&t, "config.json", texts[i], strlen(texts[i]));
		check_fails(LVX_EINVAL, "config.json", "");
		tiny_write_config(&t);
	}
	char *deep = malloc(100001);
	memset(deep, '[', 100000);
	memcpy(deep, "{\"a\":", 5);
	tiny_write(&t, "config.json", deep, 100000);
	check_fails(LVX_EINVAL, "config.json", "");
	free(deep);
	char *big = calloc(1, (1 << 20) + 1);
	memset(big, ' ', (1 << 20) + 1);
	tiny_write(&t, "config.json", big, (1 << 20) + 1);
	check_fails(LVX_ELIMIT, "config.json", "at most 1048576");
	free(big);
}

static void test_config(void **state)
{
	(void)state;
	static const struct {
		const char *old, *with, *what;
		enum lvx_status status;
	} cases[] = {
		{"lumivox_m3", "llama", "'model_type' is 'llama'; allowed is 'lumivox_m3'",
			LVX_EUNSUPPORTED},
		{"delayed_streams", "prompt", "'family'", LVX_EUNSUPPORTED},
		{"\"pad_token_id\": 3", "\"pad_token_id\": 12",
			"'pad_token_id' is 12; allowed are 0 to 11", LVX_EINVAL},
		{"\"pad_token_id\": 3", "\"pad_token\": 3", "'pad_token_id' is missing",
			LVX_EINVAL},
		{"\"hidden_size\": 32", "\"hidden_size\": \"32\"",
			"'hidden_size' must be an integer", LVX_EINVAL},
		{"\"hidden_size\": 32", "\"hidden_size\": 40", "multiples of 32", LVX_EINVAL},
		{"\"hidden_size\": 32", "\"hidden_size\": -32", "'hidden_size' is -32", LVX_EINVAL},
		{"\"hidden_size\": 32", "\"hidden_size\": 99999999999999999999", "", LVX_EINVAL},
		{"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 129", "'num_hidden_layers'",
			LVX_EINVAL},
		{"\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3",
			"'num_key_value_heads'", LVX_EINVAL},
		{"\"head_dim\": 16", "\"head_dim\": 12", "'head_dim'", LVX_EINVAL},
		{"\"rotary_dim\": 8", "\"rotary_dim\": 18", "'rotary_dim'", LVX_EINVAL},
		{"\"rotary_dim\": 8", "\"rotary_dim\": 7", "'rotary_dim'", LVX_EINVAL},
		{"1e-6", "0", "'rms_norm_eps' is 0", LVX_EINVAL},
		{"1e-6", "1e999", "", LVX_EINVAL},
		{"swigluoai", "gelu", "'hidden_act' is 'gelu'", LVX_EUNSUPPORTED},
		{"\"use_qk_norm\": true", "\"use_qk_norm\": false", "'use_qk_norm'",
			LVX_EUNSUPPORTED},
		{"\"num_experts_per_tok\": 1", "\"num_experts_per_tok\": 3",
			"'num_experts_per_tok'", LVX_EINVAL},
		{"[0, 1]", "[0, 1, 1]", "'moe_layer_freq' has 3 entries; allowed are 2 to 2",
			LVX_EINVAL},
		{"[0, 1]", "[0, 2]", "'moe_layer_freq'", LVX_EINVAL},
		{"[0, 1]", "[0, \"1\"]", "'moe_layer_freq'", LVX_EINVAL},
		{"\"n_fft\": 512", "\"n_fft\": 256", "'n_fft'", LVX_EINVAL},
		{"\"f_max\": 8000.0", "\"f_max\": 8001", "'f_max'", LVX_EINVAL},
		{"1e-8", "0", "'log_floor'", LVX_EINVAL},
		{"\"causal\": true", "\"causal\": false", "'causal'", LVX_EUNSUPPORTED},
		{"\"num_mel_bins\": 8", "\"num_mel_bins\": 9", "'num_mel_bins'", LVX_EINVAL},
		{"\"image_width\": 32", "\"image_width\": 33", "'patch_size'", LVX_EINVAL},
		{"\"image_height\": 16", "\"image_height\": 4096", "patches", LVX_EINVAL},
		{"\"min_interval_ms\": 1000", "\"min_interval_ms\": 3000", "'min_interval_ms'",
			LVX_EINVAL},
		{"\"slot_ms\": 80", "\"slot_ms\": 81", "'slot_ms'", LVX_EINVAL},
		{"\"delay_slots\": 5", "\"delay_slots\": 201", "'delay_slots'", LVX_EINVAL},
		{"\"window_slots\": 16", "\"window_slots\": 0", "'window_slots'", LVX_EINVAL},
		{"\"window_slots\": 16", "\"window_slots\": 16, \"anew_slots\": 24",
			"'anew_slots' is 24; allowed are 25 to 1000000", LVX_EINVAL},
		{"\"window_slots\": 16", "\"window_slots\": 16, \"anew_slots\": \"long\"",
			"'anew_slots' must be an integer", LVX_EINVAL},
		{"\"streaming\": {",
			"\"activity_levels\": {\"speech\": null}, \"streaming\": {\"anew_slots\": 125,",
			"'anew_slots' needs an activity head", LVX_EINVAL},
		{"\"name\": \"translation\"", "\"name\": \"caption\"", "two lanes", LVX_EINVAL},
		{"\"name\": \"translation\"", "\"name\": \"\"", "'name'", LVX_EINVAL},
		{"\"name\": \"translation\"", "\"name\": \"a b\"", "'name'", LVX_EINVAL},
		{"\"name\": \"translation\"", "\"name\": \"abcdefghijklmnopqrstuvwxyz\"", "1 to 23",
			LVX_EINVAL},
		{"\"language\": \"en\"", "\"language\": 1", "'language'", LVX_EINVAL},
		{"[\"de\", \"fr\"]", "[]", "'languages' has 0 entries", LVX_EINVAL},
		{"[\"de\", \"fr\"]", "[null]", "'languages'", LVX_EINVAL},
		{"\"activity\": [\"speech\", ", "\"activity\": [\"music\", ", "'activity'",
			LVX_EINVAL},
		{"\"conditions\": [", "\"conditions\": [[], ", "'conditions'", LVX_EINVAL},
		{"\"to:fr\"", "\"to:\"", "1 to 11", LVX_EINVAL},
		{"\"to:fr\"", "\"to:abcdefghijkl\"", "1 to 11", LVX_EINVAL},
		{"\"to:fr\"",
			"\"to:a\",\"to:b\",\"to:c\",\"to:d\",\"to:e\",\"to:f\",\"to:g\",\"to:h\"",
			"more than 8 languages", LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": 5,", "'delays' must be an array",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [],",
			"'delays' has 0 entries; allowed are 1 to 16", LVX_EINVAL},
		{"\"streaming\": {",
			"\"streaming\": {\"delays\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17],",
			"'delays' has 17 entries", LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, 3],", "'delays' must be",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, 5],", "'delays' must be",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, 201],", "'delays' must be",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [-1, 5],", "'delays' must be",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, 4294967301],",
			"'delays' must be", LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, 6.5],", "'delays' must be",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, \"6\"],", "'delays' must be",
			LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [199, 200],",
			"'delay_slots' must be one of 'delays'", LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": {\"delays\": [5, 6],",
			"'conditions' must have a 'delay:N'", LVX_EINVAL},
		{"\"streaming\": {", "\"confidence\": 1, \"streaming\": {",
			"'confidence' must be an object", LVX_EINVAL},
		{"\"streaming\": {", "\"confidence\": {\"scale\": 1}, \"streaming\": {",
			"'offset' is missing", LVX_EINVAL},
		{"\"streaming\": {", "\"confidence\": {\"scale\": 0, \"offset\": 0}, \"streaming\": {",
			"'scale' is 0; allowed are 0.001 to 1000", LVX_EINVAL},
		{"\"streaming\": {",
			"\"confidence\": {\"scale\": 1, \"offset\": -1e9}, \"streaming\": {",
			"'offset'", LVX_EINVAL},
		{"\"streaming\": {", "\"activity_levels\": {\"speech\": [0.4, 0.6]}, \"streaming\": {",
			"a value of 'activity_levels' must be null or [on, off]", LVX_EINVAL},
		{"\"streaming\": {", "\"activity_levels\": {\"speech\": [0.4]}, \"streaming\": {",
			"a value of 'activity_levels' must be", LVX_EINVAL},
		{"\"streaming\": {", "\"activity_levels\": {\"speech\": true}, \"streaming\": {",
			"a value of 'activity_levels' must be", LVX_EINVAL},
		{"\"streaming\": {", "\"activity_levels\": {\"music\": null}, \"streaming\": {",
			"music", LVX_EINVAL},
		{"\"streaming\": {", "\"marks\": {\"speaker_change\": 1}, \"streaming\": {",
			"'speaker_change' must be", LVX_EINVAL},
		{"\"streaming\": {", "\"marks\": {\"tag_confidence\": 2}, \"streaming\": {",
			"'tag_confidence' is 2; allowed are 0 to 1", LVX_EINVAL},
		{"\"streaming\": {", "\"streaming\": 7, \"x\": {", "'streaming' must be an object",
			LVX_EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = tiny_replaced(t.config, cases[i].old, cases[i].with);
		tiny_write(&t, "config.json", text, strlen(text));
		check_fails(cases[i].status, "config.json", cases[i].what);
		free(text);
	}
	tiny_write_config(&t);
	check_loads();
}

/* What a model may say besides: several delays, and what its confidence is worth. */
static void test_more(void **state)
{
	(void)state;
	struct lvx_config c;
	struct lvx_error err;
	char *some = tiny_replaced(t.config, "\"streaming\": {",
		"\"confidence\": {\"scale\": 0.5, \"offset\": -0.25}, \"activity_levels\": "
		"{\"speech\": [0.75, 0.5], \"speaker_change\": null}, \"marks\": "
		"{\"speaker_change\": true, \"tag_confidence\": 0.5}, \"streaming\": {"
		"\"delays\": [3, 5, 30],");
	char *text = tiny_replaced(some, "\"conditions\": [",
		"\"conditions\": [\"delay:3\", \"delay:5\", \"delay:30\", ");
	if (lvx_config_parse(&c, "more", text, strlen(text), &err) != LVX_OK)
		fail_msg("%s", err.msg);
	free(text);
	free(some);
	assert_int_equal(c.delay_slots, 5);
	assert_int_equal(c.n_delays, 3);
	assert_int_equal(c.delays[2], 30);
	assert_true(c.confidence_scale == 0.5f && c.confidence_offset == -0.25f);
	assert_true(c.activity_levels[LVX_SPEECH].on == 0.75f && c.activity_levels[LVX_SPEECH].off == 0.5f);
	assert_true(c.activity_levels[LVX_UTTERANCE_END].on == 0.5f && c.activity_levels[LVX_SPEAKER_CHANGE].on > 1);
	assert_true(c.marks_speakers && c.tag_confidence == 0.5f);
	/* Without them: the one delay, and confidence as it is. */
	assert_int_equal(lvx_config_parse(&c, "tiny", t.config, strlen(t.config), &err), LVX_OK);
	assert_int_equal(c.n_delays, 1);
	assert_int_equal(c.delays[0], 5);
	assert_true(c.confidence_scale == 1.0f && c.confidence_offset == 0.0f);
	assert_memory_equal(c.activity_levels, lvx_activity_usual, sizeof(lvx_activity_usual));
	assert_true(!c.marks_speakers && c.tag_confidence == 0);
}

static void test_tokenizer(void **state)
{
	(void)state;
	static const struct {
		const char *old, *with, *what;
		enum lvx_status status;
	} cases[] = {
		{"\"\u00e9\": 11", "\"\u00e9\": 12", "must lie in 0..11 (vocab_size)", LVX_EINVAL},
		{"\"\u00e9\": 11", "\"\u00e9\": -1", "must lie in 0..11", LVX_EINVAL},
		{"\"\u00e9\": 11", "\"\u00e9\": 1.5", "must lie in 0..11", LVX_EINVAL},
		{"\"\u00e9\": 11", "\"\u00e9\": 10", "two pieces have the id 10", LVX_EINVAL},
		{"\"\u00e9\": 11", "\"\": 11", "must have 1 to 256 bytes", LVX_EINVAL},
		{"\"BPE\"", "\"Unigram\"", "'type' is 'Unigram'; allowed is 'BPE'",
			LVX_EUNSUPPORTED},
		{"\"vocab\": {", "\"vocab\": {}, \"x\": {", "'vocab' has no pieces", LVX_EINVAL},
		{"\"vocab\": {", "\"vocab\": [], \"x\": {", "'vocab' must be an object",
			LVX_EINVAL},
		{"\"model\": {", "\"modell\": {", "'model' is missing", LVX_EINVAL},
		{"\"id\": 3", "\"id\": 12", "'id' is 12; allowed are 0 to 11", LVX_EINVAL},
		{"\"added_tokens\": [", "\"added_tokens\": [1, ", "'added_tokens'", LVX_EINVAL},
		{"\"id\": 3, \"content\": \"<pad>\", \"special\": true",
			"\"id\": 3, \"special\": \"yes\"", "'special'", LVX_EINVAL},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = tiny_replaced(t.tokenizer, cases[i].old, cases[i].with);
		tiny_write(&t, "tokenizer.json", text, strlen(text));
		check_fails(cases[i].status, "tokenizer.json", cases[i].what);
		free(text);
	}
	/* Ids without a piece are fine. */
	char *text = tiny_replaced(t.tokenizer, ", \"\u00e9\": 11", "");
	tiny_write(&t, "tokenizer.json", text, strlen(text));
	check_loads();
	free(text);
}

/* ---- model.safetensors ---- */

static const char *const matrix = "language_model.model.layers.0.mlp.up_proj.weight";

static json_t *tensor(const char *name)
{
	json_t *o = json_object_get(t.header, name);
	assert_non_null(o);
	return o;
}

static void test_header(void **state)
{
	(void)state;
	uint8_t bytes[64] = {0};
	tiny_write(&t, "model.safetensors", bytes, 0);
	check_fails(LVX_EINVAL, "model.safetensors", "");
	tiny_write(&t, "model.safetensors", bytes, 7);
	check_fails(LVX_EINVAL, "model.safetensors", "7 bytes are too few");
	tiny_write(&t, "model.safetensors", bytes, 64); /* a header of no bytes */
	check_fails(LVX_EINVAL, "model.safetensors", "");
	bytes[0] = 57;
	tiny_write(&t, "model.safetensors", bytes, 64);
	check_fails(LVX_EINVAL, "model.safetensors", "truncated");
	memset(bytes, 0xff, 8);
	tiny_write(&t, "model.safetensors", bytes, 64);
	check_fails(LVX_ELIMIT, "model.safetensors", "header of 18446744073709551615 bytes");
	memcpy(bytes, "\2\0\0\0\0\0\0\0{}", 10);
	tiny_write(&t, "model.safetensors", bytes, 64);
	check_fails(LVX_EINVAL, "model.safetensors", "54 bytes at its end belong to no tensor");
	tiny_write(&t, "model.safetensors", bytes, 10);
	check_fails(LVX_ENOENT, "model.safetensors", "embed_tokens.weight' is missing");
}

/* Sets a member of the matrix, loads, and sets it back. */
static void check_member(const char *key, json_t *value, enum lvx_status status, const char *what)
{
	json_t *o = tensor(matrix);
	json_t *was = json_deep_copy(json_object_get(o, key));
	if (value)
		json_object_set_new(o, key, value);
	else
		json_object_del(o, key);
	tiny_write_weights(&t);
	char both[256];
	snprintf(both, sizeof(both), "tensor '%s'", matrix);
	check_fails(status, "model.safetensors", both);
	check_fails(status, "model.safetensors", what);
	json_object_set_new(o, key, was);
}

static void test_entries(void **state)
{
	(void)state;
	const json_t *offsets = json_object_get(tensor(matrix), "data_offsets");
	json_int_t lo = json_integer_value(json_array_get(offsets, 0));
	json_int_t hi = json_integer_value(json_array_get(offsets, 1));
	check_member("dtype", json_string("F33"), LVX_EINVAL, "unknown dtype 'F33'");
	check_member("dtype", json_integer(7), LVX_EINVAL, "'dtype' must be a string");
	check_member("dtype", NULL, LVX_EINVAL, "'dtype' must be a string");
	check_member(
		"dtype", json_string("F16"), LVX_EINVAL, "8192 bytes, but its shape needs 4096");
	check_member("dtype", json_string("I32"), LVX_EINVAL, "allowed are F32, F16, BF16, I8, U8");
	check_member("shape", json_pack("[i,i]", 32, 64), LVX_EINVAL,
		"has the shape [32, 64]; config.json wants [64, 32]");
	check_member("shape", json_pack("[i]", 2048), LVX_EINVAL, "has the shape [2048]");
	check_member("shape", json_pack("[i,i,i]", 64, 32, 1), LVX_EINVAL, "[64, 32, 1]");
	check_member("shape", json_pack("[i,i]", 64, -32), LVX_EINVAL, "dimension 1 of its shape");
	check_member("shape", json_pack("[i,s]", 64, "x"), LVX_EINVAL, "dimension 1 of its shape");
	/* More than 2^64 bytes: it must not wrap around. */
	check_member("shape", json_pack("[i,i,i]", 2147483647, 2147483647, 4), LVX_EINVAL,
		"dimension 2 of its shape");
	check_member("shape", json_pack("[i,i,i,i,i,i,i,i,i]", 1, 1, 1, 1, 1, 1, 1, 64, 32),
		LVX_EINVAL, "at most 8 numbers");
	check_member("shape", json_string("64x32"), LVX_EINVAL, "'shape' must be an array");
	check_member("data_offsets", json_pack("[I]", lo), LVX_EINVAL, "'data_offsets'");
	check_member("data_offsets", json_pack("[s,s]", "0", "1"), LVX_EINVAL, "'data_offsets'");
	check_member("data_offsets", json_pack("[I,I]", (json_int_t)-4, hi), LVX_EINVAL, "outside");
	check_member("data_offsets", json_pack("[I,I]", hi, lo), LVX_EINVAL, "outside");
	check_member("data_offsets", json_pack("[I,I]", lo, (json_int_t)t.data_bytes + 1),
		LVX_EINVAL, "outside");
	check_member("data_offsets", json_pack("[I,I]", lo, hi + 4), LVX_EINVAL, "shape needs");
	tiny_write_weights(&t);
	check_loads();
	json_object_set_new(t.header, matrix, json_integer(1));
	tiny_write_weights(&t);
	check_fails(LVX_EINVAL, "model.safetensors", "must be an object");
}

static void test_layout(void **state)
{
	(void)state;
	json_t *o = tensor(matrix);
	json_t *was = json_deep_copy(json_object_get(o, "data_offsets"));
	/* Over another, which then is no longer in place. */
	json_object_set_new(o, "data_offsets", json_pack("[I,I]", (json_int_t)0, (json_int_t)8192));
	tiny_write_weights(&t);
	check_fails(LVX_EINVAL, "model.safetensors", "overlaps another");
	json_object_set(o, "data_offsets", was);
	json_t *gone = json_deep_copy(tensor(matrix));
	json_object_del(t.header, matrix);
	tiny_write_weights(&t);
	check_fails(LVX_EINVAL, "model.safetensors", "leaves a hole before it");
	json_object_set_new(t.header, "another.name", gone);
	tiny_write_weights(&t);
	check_fails(LVX_ENOENT, "model.safetensors", "mlp.up_proj.weight' is missing");
	json_object_set(t.header, matrix, gone);
	json_object_del(t.header, "another.name");
	t.data_bytes -= 4; /* cut off */
	tiny_write_weights(&t);
	check_fails(LVX_EINVAL, "model.safetensors", "lie outside the file's");
	t.data_bytes += 8;
	tiny_write_weights(&t);
	check_fails(LVX_EINVAL, "model.safetensors", "4 bytes at its end");
	t.data_bytes -= 4;
	char name[400];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	json_object_set_new(t.header, name, json_object());
	tiny_write_weights(&t);
	check_fails(LVX_ELIMIT, "model.safetensors", "is too long");
	json_decref(was);
}

static void set_tensor(const char *name, const char *dtype, int rows, int cols, size_t bytes)
{
	json_object_set_new(t.header, name,
		json_pack("{s:s, s:[i,i], s:[I,I]}", "dtype", dtype, "shape", rows, cols,
			"data_offsets", (json_int_t)t.data_bytes,
			(json_int_t)(t.data_bytes + bytes)));
	t.data_bytes += bytes;
}

/* Quantised: the scales must be there, of the right kind, and only there. */
static void test_quantised(void **state)
{
	(void)state;
	static const char *const last = "lanes.translation.out_proj.weight";
	char scale[64];
	snprintf(scale, sizeof(scale), "%s_scale", last);
	static const struct {
		const char *dtype;
		int cols;
		const char *scale_dtype;
		int scale_cols;   /* 0: no scale */
		const char *what; /* NULL: it loads */
	} cases[] = {
		{"I8", 32, "F16", 1, NULL},
		{"U8", 16, "F16", 1, NULL},
		{"BF16", 32, NULL, 0, NULL},
		{"I8", 32, NULL, 0, "I8 and U8 need"},
		{"F16", 32, "F16", 1, "others none"},
		{"U8", 32, "F16", 1, "has the shape [32, 32]; config.json wants [32, 16]"},
		{"I8", 32, "F16", 2, "must be F16 [32, 1]"},
		{"I8", 32, "BF16", 1, "must be F16 [32, 1]"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tiny_finish(&t);
		tiny_begin(&t);
		/* Its old place is taken by a tensor of another name. */
		json_object_set(t.header, "unused", tensor(last));
		size_t size = cases[i].dtype[0] == 'I' || cases[i].dtype[0] == 'U' ? 1 : 2;
		set_tensor(
			last, cases[i].dtype, 32, cases[i].cols, 32 * (size_t)cases[i].cols * size);
		if (cases[i].scale_cols)
			set_tensor(scale, cases[i].scale_dtype, 32, cases[i].scale_cols,
				64 * (size_t)cases[i].scale_cols);
		tiny_write_weights(&t);
		if (cases[i].what)
			check_fails(LVX_EINVAL, "model.safetensors", cases[i].what);
		else
			check_loads();
	}
	/* A norm is never quantised. */
	tiny_finish(&t);
	tiny_begin(&t);
	json_object_set(t.header, "unused", tensor("activity.weight"));
	set_tensor("activity.weight", "I8", 3, 32, 96);
	set_tensor("activity.weight_scale", "F16", 3, 1, 6);
	tiny_write_weights(&t);
	check_fails(LVX_EINVAL, "model.safetensors",
		"'activity.weight' has dtype I8; allowed are F32, F16, BF16");
}

static void test_rows(void **state)
{
	(void)state;
	/* Every stored format means the same numbers: 1, -2, 0.5 and so on by 32 columns. */
	static const uint8_t q4[16] = {0x79, 0x8f, 0x10};
	static const int8_t q8[32] = {1, -1, 7, 0, -8, -7};
	static const uint16_t half[32] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x8000};
	static const uint16_t scale[1] = {0x3800}; /* 0.5 */
	struct lvx_tensor s = {.dtype = LVX_DTYPE_F16, .data = (const uint8_t *)scale};
	struct lvx_tensor d = {.dtype = LVX_DTYPE_U8, .data = q4};
	struct lvx_weight w = {.rows = 1, .cols = 32, .data = &d, .scale = &s};
	float out[32];
	lvx_weight_row(&w, 0, out);
	assert_true(out[0] == 0.5f && out[1] == -0.5f && out[2] == 3.5f && out[3] == 0.0f);
	assert_true(out[4] == -4.0f && out[5] == -3.5f && out[6] == -4.0f);
	d = (struct lvx_tensor){.dtype = LVX_DTYPE_I8, .data = (const uint8_t *)q8};
	lvx_weight_row(&w, 0, out);
	assert_true(out[0] == 0.5f && out[1] == -0.5f && out[2] == 3.5f && out[3] == 0.0f);
	assert_true(out[4] == -4.0f && out[5] == -3.5f && out[6] == 0.0f);
	w.scale = NULL;
	d = (struct lvx_tensor){.dtype = LVX_DTYPE_F16, .data = (const uint8_t *)half};
	lvx_weight_row(&w, 0, out);
	assert_true(out[0] == 1.0f && out[1] == -2.0f && out[2] == 0x1p-24f && out[3] > 1e38f);
	d.dtype = LVX_DTYPE_BF16;
	lvx_weight_row(&w, 0, out);
	assert_true(out[0] == 0.0078125f && out[1] == -2.0f && out[4] == 0.0f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, before, after)
	const struct CMUnitTest tests[] = {
		TEST(test_whole),
		TEST(test_missing),
		TEST(test_not_json),
		TEST(test_config),
		TEST(test_more),
		TEST(test_tokenizer),
		TEST(test_header),
		TEST(test_entries),
		TEST(test_layout),
		TEST(test_quantised),
		TEST(test_rows),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
