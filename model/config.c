/* SPDX-License-Identifier: Apache-2.0 */
#include "model/config.h"

#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps the first failure and lets a list of keys be read without an if each. */
struct reader {
	const char *where;
	struct lvx_error *err;
	enum lvx_status status;
};

static uint32_t u32(struct reader *r, const json_t *o, const char *key, uint32_t lo, uint32_t hi)
{
	uint32_t v = lo;
	if (r->status == LVX_OK)
		r->status = lvx_json_u32(o, r->where, key, true, lo, hi, &v, r->err);
	return v;
}

static double f64(struct reader *r, const json_t *o, const char *key, double lo, double hi)
{
	double v = lo;
	if (r->status == LVX_OK)
		r->status = lvx_json_f64(o, r->where, key, true, lo, hi, &v, r->err);
	return v;
}

static bool flag(struct reader *r, const json_t *o, const char *key)
{
	bool v = false;
	if (r->status == LVX_OK)
		r->status = lvx_json_bool(o, r->where, key, true, &v, r->err);
	return v;
}

static json_t *object(struct reader *r, const json_t *o, const char *key)
{
	json_t *v = NULL;
	if (r->status == LVX_OK)
		r->status = lvx_json_object(o, r->where, key, true, &v, r->err);
	return v;
}

static json_t *array(struct reader *r, const json_t *o, const char *key, size_t lo, size_t hi)
{
	json_t *v = NULL;
	if (r->status == LVX_OK)
		r->status = lvx_json_array(o, r->where, key, true, &v, r->err);
	if (r->status == LVX_OK && (json_array_size(v) < lo || json_array_size(v) > hi))
		r->status = lvx_fail(r->err, LVX_EINVAL,
			"%s: '%s' has %zu entries; allowed are %zu to %zu", r->where, key,
			json_array_size(v), lo, hi);
	return v;
}

/* A key with one value that is implemented. */
static void only(struct reader *r, const json_t *o, const char *key, const char *allowed)
{
	const char *v = NULL;
	if (r->status == LVX_OK)
		r->status = lvx_json_str(o, r->where, key, true, &v, r->err);
	if (r->status == LVX_OK && strcmp(v, allowed) != 0)
		r->status = lvx_fail(r->err, LVX_EUNSUPPORTED,
			"%s: '%s' is '%.64s'; allowed is '%s'", r->where, key, v, allowed);
}

static void only_true(struct reader *r, const json_t *o, const char *key)
{
	if (!flag(r, o, key) && r->status == LVX_OK)
		r->status = lvx_fail(r->err, LVX_EUNSUPPORTED,
			"%s: '%s' is false; only true is implemented", r->where, key);
}

static void check(struct reader *r, bool ok, const char *what)
{
	if (r->status == LVX_OK && !ok)
		r->status = lvx_fail(r->err, LVX_EINVAL, "%s: %s", r->where, what);
}

/* A short name: printable ASCII, and it must fit. */
static void copy_name(struct reader *r, char *out, size_t size, const json_t *v, const char *key)
{
	const char *s = json_string_value(v);
	if (r->status != LVX_OK)
		return;
	bool ok = s && *s && strlen(s) < size;
	for (const char *p = s; ok && *p; p++)
		ok = *p > ' ' && *p < 127;
	if (!ok)
		r->status = lvx_fail(r->err, LVX_EINVAL,
			"%s: '%s' must be printable ASCII of 1 to %zu characters without spaces",
			r->where, key, size - 1);
	else
		snprintf(out, size, "%s", s);
}

static void read_text(struct reader *r, const json_t *o, struct lvx_config *c)
{
	c->hidden = u32(r, o, "hidden_size", 32, 16384);
	c->n_layers = u32(r, o, "num_hidden_layers", 1, LVX_LAYERS_MAX);
	c->n_heads = u32(r, o, "num_attention_heads", 1, 256);
	c->n_kv_heads = u32(r, o, "num_key_value_heads", 1, 256);
	c->head_dim = u32(r, o, "head_dim", 8, 256);
	c->vocab = u32(r, o, "vocab_size", 8, 1 << 20);
	c->eps = (float)f64(r, o, "rms_norm_eps", 1e-12, 1e-1);
	c->gemma_norm = flag(r, o, "use_gemma_norm");
	c->rope_theta = f64(r, o, "rope_theta", 1.0, 1e9);
	c->rotary_dim = u32(r, o, "rotary_dim", 2, 256);
	only(r, o, "hidden_act", "swigluoai");
	c->swiglu_alpha = (float)f64(r, o, "swiglu_alpha", 1e-3, 1e3);
	c->swiglu_limit = (float)f64(r, o, "swiglu_limit", 1e-3, 1e6);
	only_true(r, o, "use_qk_norm");
	only(r, o, "qk_norm_type", "per_head");
	c->dense_inter = u32(r, o, "dense_intermediate_size", 32, 1 << 17);
	c->expert_inter = u32(r, o, "intermediate_size", 32, 1 << 17);
	c->shared_inter = u32(r, o, "shared_intermediate_size", 32, 1 << 17);
	c->n_experts = u32(r, o, "num_local_experts", 1, LVX_EXPERTS_MAX);
	c->top_k = u32(r, o, "num_experts_per_tok", 1, LVX_TOP_K_MAX);
	u32(r, o, "n_shared_experts", 1, 1);
	only(r, o, "scoring_func", "sigmoid");
	only_true(r, o, "use_routing_bias");
	c->routed_scale = (float)f64(r, o, "routed_scaling_factor", 1e-3, 1e3);
	only_true(r, o, "tie_word_embeddings");
	const json_t *moe = array(r, o, "moe_layer_freq", c->n_layers, c->n_layers);
	for (uint32_t i = 0; i < c->n_layers && r->status == LVX_OK; i++) {
		const json_t *v = json_array_get(moe, i);
		check(r, json_is_integer(v) && (json_integer_value(v) | 1) == 1,
			"'moe_layer_freq' may hold only 0 and 1");
		c->moe[i] = json_integer_value(v) == 1;
	}
	check(r, c->n_heads % c->n_kv_heads == 0,
		"'num_attention_heads' must be a multiple of 'num_key_value_heads'");
	check(r, c->n_heads / c->n_kv_heads <= 16, "more than 16 query heads share a key head");
	check(r, c->head_dim % 8 == 0, "'head_dim' must be a multiple of 8");
	check(r, c->rotary_dim <= c->head_dim && c->rotary_dim % 2 == 0,
		"'rotary_dim' must be even and at most 'head_dim'");
	check(r, (c->hidden | c->dense_inter | c->expert_inter | c->shared_inter |
			c->n_heads * c->head_dim) % 32 == 0,
		"'hidden_size', the intermediate sizes and heads x head_dim must be multiples of 32");
	check(r, c->top_k <= c->n_experts,
		"'num_experts_per_tok' must be at most 'num_local_experts'");
}

static void read_audio(struct reader *r, const json_t *o, struct lvx_audio_spec *a)
{
	a->sample_rate = u32(r, o, "sampling_rate", 4000, 192000);
	a->window_samples = u32(r, o, "window_size", 16, 16384);
	a->n_fft = u32(r, o, "n_fft", 16, 16384);
	a->hop_samples = u32(r, o, "hop_length", 8, 16384);
	a->n_mels = u32(r, o, "num_mel_bins", 4, 512);
	a->f_min_hz = (float)f64(r, o, "f_min", 0, 96000);
	a->f_max_hz = (float)f64(r, o, "f_max", 1, 96000);
	a->log_floor = (float)f64(r, o, "log_floor", 1e-30, 1);
	a->log_offset = (float)f64(r, o, "log_offset", -100, 100);
	a->log_scale = (float)f64(r, o, "log_scale", 1e-3, 100);
	a->frames_per_slot = u32(r, o, "frames_per_slot", 1, 64);
	only_true(r, o, "causal");
	check(r, a->n_fft >= a->window_samples, "'n_fft' must be at least 'window_size'");
	check(r, a->f_max_hz > a->f_min_hz && a->f_max_hz * 2 <= (float)a->sample_rate,
		"'f_max' must lie above 'f_min' and at most at half the sampling rate");
	check(r, lvx_audio_slot_values(a) % 32 == 0,
		"'num_mel_bins' x 'frames_per_slot' must be a multiple of 32");
}

static void read_image(struct reader *r, const json_t *o, struct lvx_config *c)
{
	struct lvx_image_spec *im = &c->frontend.image;
	im->enabled = true;
	im->width = u32(r, o, "image_width", 8, 4096);
	im->height = u32(r, o, "image_height", 8, 4096);
	im->patch = u32(r, o, "patch_size", 8, 64);
	u32(r, o, "num_channels", 3, 3);
	c->max_pictures = u32(r, o, "max_pictures", 1, 64);
	im->min_interval_us = 1000 * (int64_t)u32(r, o, "min_interval_ms", 1, 3600000);
	im->max_interval_us = 1000 * (int64_t)u32(r, o, "max_interval_ms", 1, 3600000);
	check(r, im->width % im->patch == 0 && im->height % im->patch == 0,
		"the picture's sides must be multiples of 'patch_size'");
	check(r, lvx_image_patches(im) <= 1024, "more than 1024 patches in a picture");
	check(r, im->min_interval_us <= im->max_interval_us,
		"'min_interval_ms' must be at most 'max_interval_ms'");
}

static void read_lanes(struct reader *r, const json_t *root, struct lvx_config *c)
{
	const json_t *lanes = array(r, root, "lanes", 1, LVX_LANES_MAX);
	c->n_lanes = (uint32_t)json_array_size(lanes);
	for (uint32_t i = 0; i < c->n_lanes && r->status == LVX_OK; i++) {
		const json_t *o = json_array_get(lanes, i);
		struct lvx_lane_info *lane = &c->lanes[i];
		check(r, json_is_object(o), "'lanes' must hold objects");
		copy_name(r, lane->name, sizeof(lane->name), json_object_get(o, "name"), "name");
		for (uint32_t k = 0; k < i; k++)
			check(r, strcmp(c->lanes[k].name, lane->name) != 0,
				"two lanes have one name");
		if (json_object_get(o, "language")) {
			lane->n_languages = 1;
			copy_name(r, lane->languages[0], sizeof(lane->languages[0]),
				json_object_get(o, "language"), "language");
			continue;
		}
		const json_t *list = array(r, o, "languages", 1, LVX_LANGUAGES_MAX);
		lane->n_languages = (uint32_t)json_array_size(list);
		for (uint32_t k = 0; k < lane->n_languages && r->status == LVX_OK; k++)
			copy_name(r, lane->languages[k], sizeof(lane->languages[k]),
				json_array_get(list, k), "languages");
	}
}

/* "activity_levels": {"speech": [0.6, 0.4], "speaker_change": null}: null where the head knows nothing of it. */
static void read_levels(struct reader *r, const json_t *root, struct lvx_config *c,
	const char *const names[LVX_ACTIVITY_OUTPUTS])
{
	memcpy(c->activity_levels, lvx_activity_usual, sizeof(c->activity_levels));
	if (r->status != LVX_OK || !json_object_get(root, "activity_levels"))
		return;
	const json_t *o = object(r, root, "activity_levels");
	const char *const keys[] = {names[0], names[1], names[2], NULL};
	if (r->status == LVX_OK)
		r->status = lvx_json_known_keys(o, r->where, keys, r->err);
	for (int i = 0; i < LVX_ACTIVITY_OUTPUTS && r->status == LVX_OK; i++) {
		const json_t *v = json_object_get(o, names[i]);
		double on = json_number_value(json_array_get(v, 0));
		double off = json_number_value(json_array_get(v, 1));
		if (json_is_null(v))
			c->activity_levels[i] = (struct lvx_activity_level){2.0f, 0.0f};
		else if (v)
			c->activity_levels[i] = (struct lvx_activity_level){(float)on, (float)off};
		check(r, !v || json_is_null(v) ||
				(json_array_size(v) == 2 && off > 0 && off <= on && on < 1),
			"a value of 'activity_levels' must be null or [on, off] with 0 < off <= on < 1");
	}
}

/* "marks": {"speaker_change": true, "tag_confidence": 0.5} */
static void read_marks(struct reader *r, const json_t *root, struct lvx_config *c)
{
	static const char *const keys[] = {"speaker_change", "tag_confidence", NULL};
	double tag = 0;
	if (r->status != LVX_OK || !json_object_get(root, "marks"))
		return;
	const json_t *o = object(r, root, "marks");
	if (r->status == LVX_OK)
		r->status = lvx_json_known_keys(o, r->where, keys, r->err);
	if (r->status == LVX_OK)
		r->status = lvx_json_bool(
			o, r->where, "speaker_change", false, &c->marks_speakers, r->err);
	if (r->status == LVX_OK)
		r->status = lvx_json_f64(o, r->where, "tag_confidence", false, 0, 1, &tag, r->err);
	c->tag_confidence = (float)tag;
}

static void read_heads(struct reader *r, const json_t *root, struct lvx_config *c)
{
	static const char *const names[] = {"speech", "end_of_utterance", "speaker_change"};
	const json_t *list = array(r, root, "activity", 3, 3);
	c->n_activity = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; i < c->n_activity && r->status == LVX_OK; i++) {
		const char *s = json_string_value(json_array_get(list, i));
		check(r, s && strcmp(s, names[i]) == 0,
			"'activity' must be speech, end_of_utterance, speaker_change in this order");
	}
	read_levels(r, root, c, names);
	read_marks(r, root, c);
	list = array(r, root, "conditions", 0, LVX_CONDITIONS_MAX);
	c->n_conditions = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; i < c->n_conditions && r->status == LVX_OK; i++)
		copy_name(r, c->conditions[i], sizeof(c->conditions[i]), json_array_get(list, i),
			"conditions");
}

/* The delays that a row may ask for: ascending, delay_slots among them, each with its condition. */
static void read_delays(struct reader *r, const json_t *streaming, struct lvx_config *c)
{
	bool own = false;
	c->delays[0] = c->delay_slots;
	c->n_delays = 1;
	if (r->status != LVX_OK || !json_object_get(streaming, "delays"))
		return;
	const json_t *list = array(r, streaming, "delays", 1, LVX_DELAYS_MAX);
	c->n_delays = (uint32_t)json_array_size(list);
	for (uint32_t i = 0; i < c->n_delays && r->status == LVX_OK; i++) {
		const json_t *v = json_array_get(list, i);
		json_int_t slots = json_is_integer(v) ? json_integer_value(v) : -1;
		check(r, slots >= (i ? (json_int_t)c->delays[i - 1] + 1 : 0) && slots <= LVX_DELAY_MAX,
			"'delays' must be whole numbers of slots from 0 to 200, each once, ascending");
		c->delays[i] = (uint32_t)slots;
		own |= c->delays[i] == c->delay_slots;
	}
	check(r, own, "'delay_slots' must be one of 'delays'");
}

static bool has_condition(const struct lvx_config *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_conditions; i++)
		if (strcmp(c->conditions[i], name) == 0)
			return true;
	return false;
}

static void check_delays(struct reader *r, const struct lvx_config *c)
{
	for (uint32_t i = 0; c->n_delays > 1 && i < c->n_delays && r->status == LVX_OK; i++) {
		char name[24];
		snprintf(name, sizeof(name), "delay:%u", c->delays[i]);
		check(r, has_condition(c, name), "'conditions' must have a 'delay:N' for each of 'delays'");
	}
}

static void read_confidence(struct reader *r, const json_t *root, struct lvx_config *c)
{
	c->confidence_scale = 1.0f;
	if (r->status != LVX_OK || !json_object_get(root, "confidence"))
		return;
	const json_t *o = object(r, root, "confidence");
	c->confidence_scale = (float)f64(r, o, "scale", 1e-3, 1e3);
	c->confidence_offset = (float)f64(r, o, "offset", -1e3, 1e3);
}

/*
 * What the translation lane can speak is what the row can be told to: each to:LANG of the
 * conditions. Where there is none, the lane's own list stands.
 */
static void read_targets(struct reader *r, struct lvx_config *c)
{
	struct lvx_lane_info *lane = NULL;
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->n_lanes; i++)
		if (strcmp(c->lanes[i].name, "translation") == 0)
			lane = &c->lanes[i];
	for (uint32_t i = 0; i < c->n_conditions && lane && r->status == LVX_OK; i++) {
		const char *language = c->conditions[i] + 3;
		if (strncmp(c->conditions[i], "to:", 3) != 0)
			continue;
		size_t len = strlen(language);
		check(r, n < LVX_LANGUAGES_MAX, "'conditions' has more than 8 languages 'to:'");
		check(r, len > 0 && len < sizeof(lane->languages[0]),
			"a language of 'conditions' must have 1 to 11 characters");
		if (r->status == LVX_OK)
			memcpy(lane->languages[n++], language, len + 1);
	}
	if (lane && n > 0)
		lane->n_languages = n;
}

static void read_root(struct reader *r, const json_t *root, struct lvx_config *c)
{
	only(r, root, "model_type", "lumivox_m3");
	only(r, root, "family", "delayed_streams");
	snprintf(c->family, sizeof(c->family), "delayed_streams");
	read_text(r, object(r, root, "text_config"), c);
	c->pad_token = (int32_t)u32(r, root, "pad_token_id", 0, c->vocab - 1);

	const json_t *o = object(r, root, "cross_modal_router");
	c->cross_modal = flag(r, o, "enabled");
	if (c->cross_modal) {
		c->router_dim = u32(r, o, "router_dim", 4, 256);
		c->decay_seconds = f64(r, o, "decay_seconds", 1e-3, 1e6);
	}
	read_audio(r, object(r, root, "audio_config"), &c->frontend.audio);
	read_image(r, object(r, root, "vision_config"), c);
	check(r, lvx_image_patch_values(&c->frontend.image) % 32 == 0,
		"the values of a patch must be a multiple of 32");

	o = object(r, root, "streaming");
	c->slot_ms = u32(r, o, "slot_ms", 10, 1000);
	c->delay_slots = u32(r, o, "delay_slots", 0, LVX_DELAY_MAX);
	read_delays(r, o, c);
	c->window_slots = u32(r, o, "window_slots", 1, 8192);
	c->max_prefix = u32(r, o, "max_prefix", 0, 4096);
	if (r->status == LVX_OK && json_object_get(o, "anew_slots"))
		c->anew_slots = u32(r, o, "anew_slots", 25, 1000000);
	const struct lvx_audio_spec *a = &c->frontend.audio;
	check(r, (uint64_t)lvx_audio_slot_samples(a) * 1000 ==
			(uint64_t)c->slot_ms * a->sample_rate,
		"'slot_ms' does not match 'frames_per_slot' x 'hop_length'");
	read_lanes(r, root, c);
	read_heads(r, root, c);
	check(r, c->anew_slots == 0 || c->activity_levels[LVX_SPEECH].on < 1,
		"'anew_slots' needs an activity head that knows of speech");
	read_targets(r, c);
	check_delays(r, c);
	read_confidence(r, root, c);
}

enum lvx_status lvx_config_parse(struct lvx_config *out, const char *where, const char *json,
	size_t len, struct lvx_error *err)
{
	json_t *root;
	struct reader r = {.where = where, .err = err};
	r.status = lvx_json_parse(&root, where, json, len, err);
	if (r.status != LVX_OK)
		return r.status;
	struct lvx_config c = {0};
	read_root(&r, root, &c);
	json_decref(root);
	if (r.status == LVX_OK)
		*out = c;
	return r.status;
}

enum lvx_status lvx_config_load(struct lvx_config *out, const char *path, struct lvx_error *err)
{
	char *text;
	size_t len;
	enum lvx_status status = lvx_file_read(&text, &len, path, 1 << 20, err);
	if (status != LVX_OK)
		return status;
	status = lvx_config_parse(out, path, text, len, err);
	free(text);
	return status;
}
