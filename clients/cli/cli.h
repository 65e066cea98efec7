/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of `lumivox` share. */
#ifndef LVX_CLIENTS_CLI_H
#define LVX_CLIENTS_CLI_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CLI_OK = 0,
	CLI_FAILED = 1, /* something could not be done; stderr says what */
	CLI_USAGE = 2,  /* the command line is wrong */
};

/* The commands; each parses its own options, argv[0] being its name. */
int cmd_transcribe(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_push(int argc, char **argv);

/* "lumivox: ..." on stderr, after clearing a progress bar that may stand there. */
void cli_error(const char *fmt, ...) LVX_PRINTF(1, 2);
/* The same with a hint at --help; returns CLI_USAGE. */
int cli_usage(const char *command, const char *fmt, ...) LVX_PRINTF(2, 3);
/* After getopt_long() said '?' or ':' with opterr 0. */
int cli_bad_option(const char *command, int opt, char **argv);

/* Zeroed memory, or the program ends: for the small allocations of a command. */
void *cli_alloc(size_t size);
void *cli_grow(void *p, size_t size);
char *cli_strdup(const char *s);

bool cli_parse_int(const char *s, long lo, long hi, long *out);

/* A bar on stderr, if that is a terminal: part of 0..1, or < 0 when unknown. */
void cli_progress(const char *name, double part, double seconds_done, double speed);
void cli_progress_clear(void);

#endif
