/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/auth.h"

#include "daemon/settings.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

bool lvx_auth_same(const char *expected, const char *given)
{
	size_t n = strlen(expected), m = strlen(given);
	unsigned char diff = n != m;
	/* Runs over what was given, so its time tells only what the sender knows. */
	for (size_t i = 0; i < m; i++)
		diff |= (unsigned char)(given[i] ^ expected[n > 0 ? i % n : 0]);
	return n > 0 && diff == 0;
}

const char *lvx_auth_bearer(const char *header)
{
	if (strncasecmp(header, "Bearer ", 7) != 0)
		return NULL;
	return header + 7 + strspn(header + 7, " ");
}

bool lvx_auth_origin(const char *origin, const char *host, const char *allowed)
{
	if (lvx_list_has(allowed, origin))
		return true;
	const char *authority = strstr(origin, "://");
	/* Browsers leave out the default port in both, so plain comparison does. */
	return authority && host[0] && strcasecmp(authority + 3, host) == 0;
}

bool lvx_auth_is_loopback(const char *host)
{
	char name[64];
	const char *end;
	if (host[0] == '[') {
		end = strchr(++host, ']');
	} else {
		/* A bare IPv6 address has more than one colon and no port. */
		end = strchr(host, ':');
		if (end && strchr(end + 1, ':'))
			end = NULL;
	}
	size_t n = end ? (size_t)(end - host) : strlen(host);
	if (n == 0 || n >= sizeof(name))
		return false;
	memcpy(name, host, n);
	name[n] = '\0';
	struct in_addr v4;
	struct in6_addr v6;
	if (inet_pton(AF_INET, name, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, name, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcasecmp(name, "localhost") == 0;
}
