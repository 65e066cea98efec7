/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/describe.h"

#include "daemon/describe/voice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int64_t lvx_describe_delay_us(const struct lvx_stream_settings *s)
{
	if (s->describe <= 0)
		return 0;
	return 1000 *
	       (int64_t)(s->describe_delay_ms >= 0 ? s->describe_delay_ms : LVX_DESCRIBE_DELAY_MS);
}

enum lvx_status lvx_describe_level(
	const struct lvx_stream_settings *s, double *lufs, struct lvx_error *err)
{
	char *end = NULL;
	const char *level = s->describe_level;
	*lufs = 0;
	if (!level || strcmp(level, "programme") == 0)
		return LVX_OK;
	*lufs = strtod(level, &end);
	if (end != level && *end == '\0' && *lufs >= -40 && *lufs <= -10)
		return LVX_OK;
	return lvx_fail(err, LVX_EINVAL,
		"describe-level is '%.32s'; allowed are -40 to -10 (LUFS), and programme", level);
}

const char *lvx_describe_command(const struct lvx_stream_settings *s)
{
	return s->describe_voice ? s->describe_voice : LVX_VOICE_USUAL;
}

enum lvx_status lvx_describe_check(const struct lvx_stream_settings *s,
	const struct lvx_model_info *model, const char *where, struct lvx_error *err)
{
	if (s->describe <= 0)
		return LVX_OK;
	double lufs;
	enum lvx_status st = lvx_voice_check(lvx_describe_command(s), err);
	int64_t least_ms = lvx_describe_delay_us(s) / 1000 + LVX_DESCRIBE_LATE_MS;
	if (st == LVX_OK)
		st = lvx_describe_level(s, &lufs, err);
	if (st == LVX_OK && lvx_model_info_lane(model, "description") < 0)
		st = lvx_fail(err, LVX_EINVAL, "describe: the model has no lane 'description'");
	if (st == LVX_OK && s->describe_delay_ms >= 0 &&
		s->describe_delay_ms < LVX_DESCRIBE_DELAY_MIN_MS)
		st = lvx_fail(err, LVX_EINVAL,
			"describe-delay is %d; allowed are %d to %d: so much of the programme must "
			"be known before a gap in it is one",
			s->describe_delay_ms, LVX_DESCRIBE_DELAY_MIN_MS, LVX_OUT_DELAY_MAX_MS);
	if (st == LVX_OK && s->out && s->out[0] && s->out_delay_ms >= 0 &&
		s->out_delay_ms < least_ms)
		st = lvx_fail(err, LVX_EINVAL,
			"out-delay is %d; with describe it must be %" PRId64 " or more "
			"(describe-delay, and %d)",
			s->out_delay_ms, least_ms, LVX_DESCRIBE_LATE_MS);
	return st == LVX_OK ? st : lvx_error_context(err, "%s", where);
}
