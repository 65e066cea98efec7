/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect. Pure functions. */
#ifndef LVX_DAEMON_AUTH_H
#define LVX_DAEMON_AUTH_H

#include <stdbool.h>
#include <stddef.h>

/* Compares in a time that does not tell where they differ. */
bool lvx_auth_same(const char *expected, const char *given);
/* The token of an Authorization header's value ("Bearer TOKEN"), or NULL. */
const char *lvx_auth_bearer(const char *header);
/*
 * May a page of this origin talk to us? Yes if its host and port are those that
 * it addresses (the Host header), or if the comma-separated list names it.
 */
bool lvx_auth_origin(const char *origin, const char *host, const char *allowed);
/* Does a bind address or a Host header (with or without port) mean this machine only? */
bool lvx_auth_is_loopback(const char *host);

#endif
