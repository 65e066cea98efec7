/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/lanes.h"

#include "clients/cli/cli.h"

#include "daemon/paths.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int find(const struct lvx_model_info *model, const char *name, size_t len)
{
	for (uint32_t i = 0; i < model->n_lanes; i++)
		if (strlen(model->lanes[i].name) == len &&
			!strncmp(model->lanes[i].name, name, len))
			return (int)i;
	return -1;
}

/* Of the names in the list. False: there is one that the model does not have. */
static bool add_names(struct lane_choice *c, const struct lvx_model_info *model, const char *names)
{
	for (const char *p = names; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");
		int lane = find(model, p, len);
		if (lane < 0) {
			cli_error("the model has no lane '%.*s'", (int)len, p);
			return false;
		}
		c->wanted |= 1u << lane;
		p += len;
	}
	return true;
}

bool lane_choose(
	struct lane_choice *out, const struct lvx_model_info *model, const struct lane_wish *w)
{
	struct lane_choice c = {.n = model->n_lanes, .translate_to = w->translate_to};
	int caption = find(model, "caption", 7), translation = find(model, "translation", 11);
	uint32_t translated = translation < 0 ? 0 : 1u << translation;
	bool told = w->language && strcmp(w->language, LVX_LANGUAGE_AUTO) != 0;
	struct lvx_error err;

	if (lvx_model_info_check_languages(model, "--language", w->language, NULL, &err) != LVX_OK ||
		lvx_model_info_check_languages(
			model, "--translate-to", w->language, w->translate_to, &err) != LVX_OK ||
		(w->delay_ms >= 0 &&
			lvx_model_info_delay(model, "--delay", (uint32_t)w->delay_ms,
				&c.delay_slots, &err) != LVX_OK)) {
		cli_error("%s", err.msg);
		return false;
	}
	if (w->lanes && !add_names(&c, model, w->lanes))
		return false;
	if (!w->lanes) {
		c.wanted = 1u << (caption < 0 ? 0 : caption);
		if (w->translate_to && w->one_only)
			c.wanted = translated;
		else if (w->translate_to)
			c.wanted |= translated;
	}
	if (w->describe && !add_names(&c, model, "description"))
		return false;
	if ((c.wanted & translated) && !c.translate_to)
		c.translate_to = lvx_lane_language(&model->lanes[translation], NULL);
	if ((c.wanted & translated) && !c.translate_to) {
		cli_error("the translation lane needs --translate-to: %s",
			lvx_model_info_languages(model, "translation").text);
		return false;
	}
	if (w->one_only && (c.wanted & (c.wanted - 1))) {
		cli_error("srt and vtt hold one lane: choose it with --lanes");
		return false;
	}
	for (int i = 0; i < (int)c.n; i++) {
		c.names[i] = model->lanes[i].name;
		c.languages[i] = lvx_lane_language(&model->lanes[i],
			i == translation	   ? c.translate_to
			: i == caption && told ? w->language
					       : NULL);
	}
	c.computed = c.wanted;
	/* The translation lane reads what the caption lane said. */
	if (caption >= 0 && (c.wanted & translated))
		c.computed |= 1u << caption;
	*out = c;
	return true;
}

const char *lane_default_model(void)
{
	static char path[PATH_MAX];
	const char *env = getenv("LVX_MODEL");
	if (env && *env)
		return env;
	return lvx_path_default_model(path) ? path : "model/weights/m3-nano";
}
