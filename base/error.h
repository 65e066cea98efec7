/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. Two styles for two paths: on the data path a bare enum; at set-up
 * the enum plus a message in a struct on the caller's stack. A failing set-up
 * function leaves its out parameters untouched.
 */
#ifndef LVX_BASE_ERROR_H
#define LVX_BASE_ERROR_H

#include <stdarg.h>

#if defined(__GNUC__)
#define LVX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define LVX_PRINTF(fmt, args)
#endif

enum lvx_status {
	LVX_OK = 0,
	LVX_AGAIN,	 /* nothing yet; try after the bell rings */
	LVX_END,	 /* orderly end of the stream */
	LVX_GAP,	 /* data are missing; the timeline says how much */
	LVX_EINVAL,	 /* the input breaks its format, or a value is not allowed */
	LVX_ENOENT,	 /* file, device, stream or key does not exist */
	LVX_EIO,	 /* the system or the network failed */
	LVX_ENOMEM,	 /* host or device memory */
	LVX_ELIMIT,	 /* over a stated limit */
	LVX_EUNSUPPORTED, /* well-formed, but not something we do */
	LVX_EDEVICE,	 /* the compute device failed or was lost */
};

struct lvx_error {
	enum lvx_status status;
	char msg[512];
};

/* Fills *err (which may be NULL) and returns status, so that one can write
 * `return lvx_fail(err, LVX_EINVAL, "%s: ...", path);` */
enum lvx_status lvx_fail(struct lvx_error *err, enum lvx_status status, const char *fmt, ...)
	LVX_PRINTF(3, 4);

/* Puts "context: " before the message that is there. Returns err->status. */
enum lvx_status lvx_error_context(struct lvx_error *err, const char *fmt, ...) LVX_PRINTF(2, 3);

/* A short English name of the status, for logs and protocol errors. Static storage. */
const char *lvx_status_name(enum lvx_status status);

#endif
