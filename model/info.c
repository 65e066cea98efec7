/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked of a model, and what is said where it may not. */
#include "model/model.h"

#include <stdio.h>

int lvx_model_info_lane(const struct lvx_model_info *info, const char *name)
{
	for (uint32_t i = 0; i < info->n_lanes; i++)
		if (strcmp(info->lanes[i].name, name) == 0)
			return (int)i;
	return -1;
}

int lvx_lane_find(const struct lvx_lane_info *lane, const char *language)
{
	for (uint32_t i = 0; i < lane->n_languages; i++)
		if (strcmp(lane->languages[i], language) == 0)
			return (int)i;
	return -1;
}

const char *lvx_lane_language(const struct lvx_lane_info *lane, const char *asked)
{
	return asked ? asked : lane->n_languages == 1 ? lane->languages[0] : NULL;
}

/* "de, fr" */
struct names {
	char text[LVX_DELAYS_MAX * 16];
};

static void add_name(struct names *n, const char *name)
{
	size_t used = strlen(n->text);
	snprintf(n->text + used, sizeof(n->text) - used, "%s%s", used > 0 ? ", " : "", name);
}

struct lvx_languages lvx_model_info_languages(const struct lvx_model_info *info, const char *lane)
{
	struct names n = {""};
	struct lvx_languages out;
	int at = lvx_model_info_lane(info, lane);
	for (uint32_t i = 0; at >= 0 && i < info->lanes[at].n_languages; i++)
		add_name(&n, info->lanes[at].languages[i]);
	snprintf(out.text, sizeof(out.text), "%.*s", (int)sizeof(out.text) - 1,
		n.text[0] ? n.text : "no language");
	return out;
}

static bool knows(const struct lvx_model_info *info, const char *lane, const char *language)
{
	int at = lvx_model_info_lane(info, lane);
	return at >= 0 && lvx_lane_find(&info->lanes[at], language) >= 0;
}

enum lvx_status lvx_model_info_check_languages(const struct lvx_model_info *info,
	const char *where, const char *language, const char *translate_to, struct lvx_error *err)
{
	if (translate_to && !knows(info, "translation", translate_to))
		return lvx_fail(err, LVX_EINVAL,
			"%s: the model does not translate to '%.16s', but to %s", where,
			translate_to, lvx_model_info_languages(info, "translation").text);
	if (!language || strcmp(language, LVX_LANGUAGE_AUTO) == 0)
		return LVX_OK;
	if (!knows(info, "caption", language))
		return lvx_fail(err, LVX_EINVAL,
			"%s: the model does not understand '%.16s', but %s (or " LVX_LANGUAGE_AUTO
			": it finds out)",
			where, language, lvx_model_info_languages(info, "caption").text);
	if (translate_to && strcmp(language, translate_to) == 0)
		return lvx_fail(err, LVX_EINVAL,
			"%s: what is spoken and what it is translated to are both '%.16s'; the "
			"captions are that already",
			where, language);
	return LVX_OK;
}

bool lvx_model_info_knows_delay(const struct lvx_model_info *info, uint32_t slots)
{
	for (uint32_t i = 0; i < info->n_delays; i++)
		if (info->delays[i] == slots)
			return true;
	return slots == info->delay_slots;
}

enum lvx_status lvx_model_info_delay(const struct lvx_model_info *info, const char *where,
	uint32_t ms, uint32_t *slots, struct lvx_error *err)
{
	struct names n = {""};
	int64_t wanted = (int64_t)ms * 1000 / info->slot_us;
	if ((int64_t)ms * 1000 % info->slot_us == 0 && wanted > 0 &&
		lvx_model_info_knows_delay(info, (uint32_t)wanted)) {
		*slots = (uint32_t)wanted;
		return LVX_OK;
	}
	for (uint32_t i = 0; i < info->n_delays; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%u",
			(unsigned)(info->delays[i] * info->slot_us / 1000));
		add_name(&n, name);
	}
	return lvx_fail(err, LVX_EINVAL, "%s: the model has no delay of %u ms, but of %s", where,
		ms, n.text);
}
