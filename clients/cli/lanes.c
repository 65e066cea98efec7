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

static bool speaks(const struct lvx_lane_info *lane, const char *language)
{
	for (uint32_t i = 0; i < lane->n_languages; i++)
		if (!strcmp(lane->languages[i], language))
			return true;
	return false;
}

static void list_languages(char *to, size_t size, const struct lvx_lane_info *lane)
{
	size_t used = 0;
	to[0] = '\0';
	for (uint32_t i = 0; i < lane->n_languages && used < size; i++)
		used += (size_t)snprintf(
			to + used, size - used, "%s%s", i ? ", " : "", lane->languages[i]);
}

bool lane_choose(struct lane_choice *out, const struct lvx_model_info *model, const char *names,
	const char *translate_to, bool one_only)
{
	struct lane_choice c = {.n = model->n_lanes};
	int caption = find(model, "caption", 7), translation = find(model, "translation", 11);
	char list[128];

	for (uint32_t i = 0; i < c.n; i++) {
		c.names[i] = model->lanes[i].name;
		if (model->lanes[i].n_languages == 1)
			c.languages[i] = model->lanes[i].languages[0];
	}
	if (translate_to) {
		if (translation < 0 || !speaks(&model->lanes[translation], translate_to)) {
			if (translation >= 0)
				list_languages(list, sizeof(list), &model->lanes[translation]);
			cli_error("the model does not translate to '%s'; it knows: %s",
				translate_to, translation < 0 ? "no language" : list);
			return false;
		}
		c.languages[translation] = translate_to;
	}
	for (const char *p = names ? names : ""; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");
		int lane = find(model, p, len);
		if (lane < 0) {
			cli_error("the model has no lane '%.*s'", (int)len, p);
			return false;
		}
		c.wanted |= 1u << lane;
		p += len;
	}
	if (!names) {
		c.wanted = 1u << (caption < 0 ? 0 : caption);
		if (translate_to && one_only)
			c.wanted = 1u << translation;
		else if (translate_to)
			c.wanted |= 1u << translation;
	}
	if (translation >= 0 && (c.wanted >> translation & 1) && !translate_to) {
		cli_error("the translation lane needs --translate-to");
		return false;
	}
	if (one_only && (c.wanted & (c.wanted - 1))) {
		cli_error("srt and vtt hold one lane: choose it with --lanes");
		return false;
	}
	c.computed = c.wanted;
	/* The translation lane reads what the caption lane said. */
	if (translation >= 0 && caption >= 0 && (c.wanted >> translation & 1))
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
