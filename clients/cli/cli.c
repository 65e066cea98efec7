/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool bar_shown;

void cli_progress_clear(void)
{
	if (bar_shown)
		fputs("\r\033[K", stderr);
	bar_shown = false;
}

void cli_progress(const char *name, double part, double seconds_done, double speed)
{
	enum { WIDTH = 30 };
	char bar[WIDTH + 1];
	if (!isatty(STDERR_FILENO))
		return;
	int full = part < 0 ? 0 : part > 1 ? WIDTH : (int)(part * WIDTH);
	memset(bar, '#', (size_t)full);
	memset(bar + full, '.', (size_t)(WIDTH - full));
	bar[WIDTH] = '\0';
	const char *slash = strrchr(name, '/');
	fprintf(stderr, "\r\033[K%.30s  [%s]", slash && slash[1] ? slash + 1 : name, bar);
	if (part >= 0)
		fprintf(stderr, " %3.0f %%", part * 100);
	fprintf(stderr, "  %.0f s, %.1fx", seconds_done, speed);
	fflush(stderr);
	bar_shown = true;
}

void cli_error(const char *fmt, ...)
{
	va_list ap;
	cli_progress_clear();
	fputs("lumivox: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	putc('\n', stderr);
}

int cli_usage(const char *command, const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "lumivox %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nTry 'lumivox %s --help'.\n", command);
	return CLI_USAGE;
}

int cli_bad_option(const char *command, int opt, char **argv)
{
	const char *word = argv[optind - 1];
	if (opt == ':')
		return cli_usage(command, "option '%s' needs a value", word);
	if (optopt && word[0] == '-' && word[1] != '-')
		return cli_usage(command, "unknown option '-%c'", optopt);
	return cli_usage(command, "unknown option '%s'", word);
}

void *cli_grow(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);
	if (!q) {
		fputs("lumivox: out of memory\n", stderr);
		exit(CLI_FAILED);
	}
	return q;
}

void *cli_alloc(size_t size)
{
	return memset(cli_grow(NULL, size), 0, size);
}

char *cli_strdup(const char *s)
{
	size_t len = strlen(s) + 1;
	return memcpy(cli_grow(NULL, len), s, len);
}

bool cli_parse_int(const char *s, long lo, long hi, long *out)
{
	char *end;
	long v = strtol(s, &end, 10);
	if (end == s || *end || v < lo || v > hi)
		return false;
	*out = v;
	return true;
}
