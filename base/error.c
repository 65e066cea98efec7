/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

enum lvx_status lvx_fail(struct lvx_error *err, enum lvx_status status, const char *fmt, ...)
{
	if (err) {
		va_list args;
		va_start(args, fmt);
		vsnprintf(err->msg, sizeof(err->msg), fmt, args);
		va_end(args);
		err->status = status;
	}
	return status;
}

enum lvx_status lvx_error_context(struct lvx_error *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	memcpy(old, err->msg, sizeof(old));
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", old);
	return err->status;
}

const char *lvx_status_name(enum lvx_status status)
{
	static const char *const names[] = {
		[LVX_OK] = "ok",
		[LVX_AGAIN] = "again",
		[LVX_END] = "end",
		[LVX_GAP] = "gap",
		[LVX_EINVAL] = "invalid",
		[LVX_ENOENT] = "not_found",
		[LVX_EIO] = "io",
		[LVX_ENOMEM] = "out_of_memory",
		[LVX_ELIMIT] = "over_limit",
		[LVX_EUNSUPPORTED] = "unsupported",
		[LVX_EDEVICE] = "device",
	};
	if ((unsigned)status >= sizeof(names) / sizeof(names[0]) || !names[status])
		return "unknown";
	return names[status];
}
