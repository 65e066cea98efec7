/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as a struct: docs/MODEL.md section 5. Every value is checked
 * against what the kernels and buffers can do; what is well-formed but not
 * implemented (another norm, another activation) is LVX_EUNSUPPORTED.
 */
#ifndef LVX_MODEL_CONFIG_H
#define LVX_MODEL_CONFIG_H

#include "model/activity.h"
#include "model/model.h"

enum { LVX_LAYERS_MAX = 128, LVX_EXPERTS_MAX = 256, LVX_TOP_K_MAX = 8 };

/* The modalities, in the order of presence_bias's rows. */
enum lvx_modality { LVX_TEXT, LVX_AUDIO, LVX_IMAGE, LVX_MODALITIES };

struct lvx_config {
	char family[32];
	int32_t pad_token;

	uint32_t hidden, n_layers, n_heads, n_kv_heads, head_dim, vocab;
	float eps;
	double rope_theta;
	uint32_t rotary_dim;
	bool gemma_norm; /* the weight of a norm is 1 + w */
	float swiglu_alpha, swiglu_limit;
	uint32_t dense_inter, expert_inter, shared_inter; /* shared_inter: of all shared experts */
	uint32_t n_experts, top_k;
	float routed_scale;
	bool moe[LVX_LAYERS_MAX]; /* false: a dense layer */

	bool cross_modal;
	uint32_t router_dim; /* 0 without cross_modal */
	double decay_seconds;

	struct lvx_frontend_spec frontend;
	uint32_t slot_ms, delay_slots, window_slots, max_prefix, max_pictures;
	uint32_t anew_slots; /* a row so old begins anew in a pause; 0: never */
	uint32_t delays[LVX_DELAYS_MAX], n_delays; /* at least delay_slots itself */
	float confidence_scale, confidence_offset; /* of a word's log-odds; 1 and 0: as they are */
	struct lvx_lane_info lanes[LVX_LANES_MAX];
	uint32_t n_lanes;
	uint32_t n_activity;
	struct lvx_activity_level activity_levels[LVX_ACTIVITY_OUTPUTS];
	bool marks_speakers;  /* captions have a ">>" where another voice begins */
	float tag_confidence; /* the tag of a sound that is less sure is not told */
	char conditions[LVX_CONDITIONS_MAX][24];
	uint32_t n_conditions;
};

enum lvx_status lvx_config_load(struct lvx_config *out, const char *path, struct lvx_error *err);
enum lvx_status lvx_config_parse(struct lvx_config *out, const char *where, const char *json,
	size_t len, struct lvx_error *err);

#endif
