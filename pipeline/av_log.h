/* SPDX-License-Identifier: Apache-2.0 */
/* What FFmpeg's libraries say, into our log at the level debug. Free-threaded. */
#ifndef LVX_PIPELINE_AV_LOG_H
#define LVX_PIPELINE_AV_LOG_H

/* Before each opening: others (GStreamer's plugin) route it elsewhere when they are loaded. */
void lvx_av_log_route(void);
/* This thread's last error since lvx_av_log_forget, in FFmpeg's words; "": none. May hold what
 * nobody else may see: URLs. */
const char *lvx_av_log_last(void);
void lvx_av_log_forget(void);

#endif
