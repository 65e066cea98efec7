/* SPDX-License-Identifier: Apache-2.0 */
/* What the protocols have in common; no sockets here. */
#include "daemon/doors/door.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

enum { WORD_US = 1000000 }; /* hardly one is longer */

bool lvx_door_is_pause(int64_t from_us, int64_t to_us, int64_t pause_us, int64_t quiet_since_us)
{
	return to_us - from_us >= pause_us + (to_us < quiet_since_us ? WORD_US : 0);
}

const char *lvx_door_arg(const char *arg, const char *name)
{
	size_t n = strlen(name);
	return strncmp(arg, name, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

uint32_t lvx_door_lane(const struct lvx_model_info *model, const char *name)
{
	int lane = lvx_model_info_lane(model, name);
	return lane >= 0 ? 1u << lane : 0;
}

enum lvx_status lvx_door_read_language(const char **out, const struct lvx_model_info *model,
	const char *where, const char *language, struct lvx_error *err)
{
	int lane = lvx_model_info_lane(model, "caption");
	char name[12];
	size_t len = strcspn(language, "-_");
	snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : 0, language);
	int at = lane >= 0 ? lvx_lane_find(&model->lanes[lane], name) : -1;
	if (at < 0)
		return lvx_fail(err, LVX_EINVAL,
			"%s: '%.32s' is not a language that is understood here: %s", where,
			language, lvx_model_info_languages(model, "caption").text);
	*out = model->lanes[lane].languages[at];
	return LVX_OK;
}

void lvx_door_seconds(struct lvx_text *t, int64_t us)
{
	int64_t ms = us > 0 ? (us + 500) / 1000 : 0;
	lvx_text_printf(t, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
}

void lvx_door_fraction(struct lvx_text *t, double x)
{
	int n = x > 0 ? x < 1 ? (int)(x * 10000 + 0.5) : 10000 : 0;
	lvx_text_printf(t, "%d.%04d", n / 10000, n % 10000);
}

void lvx_door_uuid(char out[37])
{
	unsigned char r[16] = {0};
	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		lvx_log_warn("no random bytes; the ids of doors repeat");
	r[6] = (unsigned char)((r[6] & 15) | 64);
	r[8] = (unsigned char)((r[8] & 63) | 128);
	char *p = out;
	for (int i = 0; i < 16; i++)
		p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", r[i]);
}
