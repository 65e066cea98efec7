/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/av_log.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#include <libavutil/log.h>

static _Thread_local char last[200];

static void on_message(void *ptr, int level, const char *fmt, va_list ap)
{
	if (level > AV_LOG_WARNING)
		return;
	char line[256];
	int prefix = 1;
	va_list again;
	va_copy(again, ap);
	if (level <= AV_LOG_ERROR) {
		vsnprintf(last, sizeof(last), fmt, again);
		last[strcspn(last, "\n")] = '\0';
	}
	va_end(again);
	av_log_format_line2(ptr, level, fmt, ap, line, sizeof(line), &prefix);
	line[strcspn(line, "\n")] = '\0';
	lvx_log_debug("ffmpeg: %s", line);
}

void lvx_av_log_route(void)
{
	av_log_set_callback(on_message);
}

const char *lvx_av_log_last(void)
{
	return last;
}

void lvx_av_log_forget(void)
{
	last[0] = '\0';
}
