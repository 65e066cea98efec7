/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model folder: config.json, model.safetensors, tokenizer.json. Loaded once,
 * read-only afterwards and shared by any number of threads. Everything in the
 * folder is hostile until checked: sizes, shapes and offsets are bounded before
 * use, and errors name file, key and what is allowed.
 */
#ifndef LVX_MODEL_MODEL_H
#define LVX_MODEL_MODEL_H

#include "base/error.h"
#include "base/frontend_spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
	LVX_LANES_MAX = 4,
	LVX_LANGUAGES_MAX = 8,
	LVX_ACTIVITY_MAX = 4,
	LVX_CONDITIONS_MAX = 32,
	LVX_DELAYS_MAX = 16,
	LVX_DELAY_MAX = 200, /* slots */
};

struct lvx_model;

struct lvx_lane_info {
	char name[24];		   /* "caption", "translation", "description" */
	char languages[LVX_LANGUAGES_MAX][12]; /* what it can speak */
	uint32_t n_languages;
};

/* What the outside needs to know of a model; borrowed from it. */
struct lvx_model_info {
	char name[64];		   /* the folder's name */
	char family[32];	   /* "delayed_streams" */
	uint64_t n_params, weight_bytes;
	struct lvx_frontend_spec frontend;
	int64_t slot_us;	   /* 80,000 */
	uint32_t delay_slots;      /* what a row has that asks for none */
	uint32_t delays[LVX_DELAYS_MAX]; /* those that it may ask for, in slots, ascending */
	uint32_t n_delays;
	uint32_t window_slots, max_prefix, max_pictures;
	struct lvx_lane_info lanes[LVX_LANES_MAX];
	uint32_t n_lanes;
	char conditions[LVX_CONDITIONS_MAX][24];
	uint32_t n_conditions;
};

enum lvx_status lvx_model_load(struct lvx_model **out, const char *dir, struct lvx_error *err);
void lvx_model_destroy(struct lvx_model *model);
const struct lvx_model_info *lvx_model_info(const struct lvx_model *model);

/*
 * What may be asked of a model (info.c). An index is -1 for what there is not; `where`
 * begins the message of an error, which names what there is.
 */
#define LVX_LANGUAGE_AUTO "auto" /* in place of a language that is spoken: as if none were said */

int lvx_model_info_lane(const struct lvx_model_info *info, const char *name);
int lvx_lane_find(const struct lvx_lane_info *lane, const char *language);
/* In what a lane speaks: what was asked for, or else its only language; NULL: it varies. */
const char *lvx_lane_language(const struct lvx_lane_info *lane, const char *asked);
struct lvx_languages {
	char text[LVX_LANGUAGES_MAX * 14];
};
/* "de, fr" of the lane of that name, for messages. */
struct lvx_languages lvx_model_info_languages(const struct lvx_model_info *info, const char *lane);
/* What is spoken and what to translate to, either NULL where nothing is said. LVX_EINVAL. */
enum lvx_status lvx_model_info_check_languages(const struct lvx_model_info *info,
	const char *where, const char *language, const char *translate_to, struct lvx_error *err);
bool lvx_model_info_knows_delay(const struct lvx_model_info *info, uint32_t slots);
/* The delay in slots. LVX_EINVAL: the model has none of so many ms. */
enum lvx_status lvx_model_info_delay(const struct lvx_model_info *info, const char *where,
	uint32_t ms, uint32_t *slots, struct lvx_error *err);

/* Index of a lane or condition by name, or -1. */
int lvx_model_lane(const struct lvx_model *model, const char *name);
int lvx_model_condition(const struct lvx_model *model, const char *name);

#endif
