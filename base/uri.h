/* SPDX-License-Identifier: Apache-2.0 */
/* What of a URI may be shown. Free-threaded. */
#ifndef LVX_BASE_URI_H
#define LVX_BASE_URI_H

#include <stddef.h>

/*
 * Copies a URI, or a path, for logs, messages and other people's eyes: without user and password,
 * without what is asked of the other end (an SRT passphrase, a token; "?..." stands there), and
 * for RTMP without the last part of the path, which is the stream's key. size > 0; what is longer
 * is cut.
 */
void lvx_uri_redact(char *out, size_t size, const char *uri);

#endif
