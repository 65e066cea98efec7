/* SPDX-License-Identifier: Apache-2.0 */
/* The lumivox command: watch, push, transcribe. */
#include "clients/cli/cli.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
	"Usage: lumivox COMMAND [OPTION]... [ARGUMENT]...\n"
	"Live captions, translation and description of sound and pictures.\n"
	"\n"
	"  watch STREAM           show a stream of a running lumivoxd as it is captioned\n"
	"  push FILE|mic:[NAME]   send a recording or a microphone to lumivoxd, show its captions\n"
	"  transcribe FILE...     caption recordings here, without a server\n"
	"\n"
	"lumivox COMMAND --help tells more. Exit status: 0 fine, 1 something failed, 2 wrong "
	"usage.\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"watch", cmd_watch},
	{"push", cmd_push},
	{"transcribe", cmd_transcribe},
};

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs(help, stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		fputs(help, stdout);
		return CLI_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("lumivox " LVX_VERSION);
		return CLI_OK;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "lumivox: unknown command '%s'\nTry 'lumivox --help'.\n", argv[1]);
	return CLI_USAGE;
}
