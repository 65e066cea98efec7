/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --print: the text of all streams on stdout. A thread of its own, a reader of
 * the hub like any viewer, so that a slow terminal holds up nobody.
 */
#ifndef LVX_DAEMON_PRINTER_H
#define LVX_DAEMON_PRINTER_H

#include "daemon/hub.h"

struct lvx_printer;

/* Before the first stream. */
enum lvx_status lvx_printer_create(
	struct lvx_printer **out, struct lvx_hub *hub, struct lvx_error *err);
/* Prints what there is, then ends. After the hub's shutdown. NULL is fine. */
void lvx_printer_destroy(struct lvx_printer *printer);

#endif
