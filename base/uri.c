/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uri.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void lvx_uri_redact(char *out, size_t size, const char *uri)
{
	const char *host = strstr(uri, "://");
	if (!host || strncasecmp(uri, "file:", 5) == 0) {
		snprintf(out, size, "%s", uri);
		return;
	}
	host += 3;
	int scheme = (int)(host - uri);
	const char *path = host + strcspn(host, "/?#");
	const char *at = memrchr(host, '@', (size_t)(path - host));
	/* udp://@239.1.2.3:5000 names nobody. */
	if (at && at > host)
		host = at + 1;
	/* librtmp's options stand behind a space. */
	const char *end = path + strcspn(path, strncasecmp(uri, "rtmp", 4) == 0 ? "?# " : "?#");
	const char *asked = *end ? "?..." : "";
	const char *key = strncasecmp(uri, "rtmp", 4) == 0
				  ? memrchr(path, '/', (size_t)(end - path))
				  : NULL;
	snprintf(out, size, "%.*s%.*s%s%s", scheme, uri, (int)((key ? key : end) - host), host,
		key ? "/..." : "", asked);
}
