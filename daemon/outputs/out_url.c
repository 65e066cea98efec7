/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/out_url.h"

#include "daemon/outputs/mux.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *prefix;
	enum lvx_out_sound sound;
} sounds[] = {{"mix=", LVX_OUT_MIX}, {"voice=", LVX_OUT_VOICE}};

/* One of the list, without what says which sound it is to have. */
static void set(struct lvx_out_url *out, const char *item, size_t len, const char *stream)
{
	out->sound = LVX_OUT_ALL;
	for (size_t i = 0; i < sizeof(sounds) / sizeof(sounds[0]); i++) {
		size_t n = strlen(sounds[i].prefix);
		if (out->sound == LVX_OUT_ALL && len > n && strncmp(item, sounds[i].prefix, n) == 0) {
			out->sound = sounds[i].sound;
			item += n;
			len -= n;
		}
	}
	while (len > 0 && item[len - 1] == ' ')
		len--;
	const char *mark = memmem(item, len, "{stream}", 8);
	int before = (int)(mark ? mark - item : (long)len);
	int after = mark ? (int)len - before - 8 : 0;
	if (asprintf(&out->url, "%.*s%s%.*s", before, item, mark ? stream : "", after,
		    mark ? mark + 8 : "") < 0)
		abort();
	if (out->sound == LVX_OUT_ALL && lvx_mux_sounds(out->url) == 1)
		out->sound = LVX_OUT_PROGRAMME;
}

bool lvx_out_url_get(struct lvx_out_url *out, const char *list, size_t index, const char *stream)
{
	while (list && *list) {
		list += strspn(list, ", ");
		size_t len = strcspn(list, ",");
		if (len > 0 && index-- == 0) {
			set(out, list, len, stream);
			return true;
		}
		list += len;
	}
	return false;
}

void lvx_out_url_finish(struct lvx_out_url *out)
{
	free(out->url);
	out->url = NULL;
}

enum lvx_status lvx_out_url_check(
	const struct lvx_out_url *out, bool described, struct lvx_error *err)
{
	enum lvx_status st = lvx_mux_check(out->url, err);
	bool mix = out->sound == LVX_OUT_MIX, voice = out->sound == LVX_OUT_VOICE;
	if (st != LVX_OK)
		return st;
	if ((mix || voice) && !described)
		return lvx_fail(err, LVX_EINVAL, "%s=: the stream is not described (describe)",
			mix ? "mix" : "voice");
	if (voice && !lvx_mux_signals_voice(out->url))
		return lvx_fail(err, LVX_EINVAL,
			"voice=: only MPEG-TS can say what it is: srt://, udp:// and .ts are allowed");
	return LVX_OK;
}

bool lvx_out_sound_has(enum lvx_out_sound sound, enum lvx_unit_role role)
{
	static const bool has[][3] = {
		[LVX_OUT_ALL] = {[LVX_UNIT_MAIN] = true, [LVX_UNIT_DESCRIBES_VIDEO] = true},
		[LVX_OUT_PROGRAMME] = {[LVX_UNIT_MAIN] = true},
		[LVX_OUT_MIX] = {[LVX_UNIT_DESCRIBES_VIDEO] = true},
		[LVX_OUT_VOICE] = {[LVX_UNIT_MAIN] = true, [LVX_UNIT_DESCRIPTION] = true},
	};
	return has[sound][role];
}

bool lvx_out_urls_want_voice(const char *list)
{
	struct lvx_out_url out;
	bool any = false;
	for (size_t i = 0; lvx_out_url_get(&out, list, i, ""); i++) {
		any = any || out.sound == LVX_OUT_VOICE;
		lvx_out_url_finish(&out);
	}
	return any;
}
