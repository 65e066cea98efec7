/* SPDX-License-Identifier: Apache-2.0 */
/* lumivox watch: a stream of a running daemon, resumed after a lost connection. */
#include "clients/cli/cli.h"
#include "clients/cli/show.h"
#include "clients/cli/ws.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"Usage: lumivox watch [OPTION]... STREAM\n"
	"Show what a stream of a running lumivoxd says, until it ends or Ctrl-C.\n"
	"\n"
	"  -s, --server URL               default LVX_SERVER or " WS_DEFAULT_SERVER "\n"
	"      --token TOKEN              default LVX_TOKEN\n"
	"      --insecure                 wss: accept any certificate\n"
	"  -l, --lanes NAME[,NAME]        caption, translation, description (default: all that are "
	"on)\n"
	"      --from now|start|N         begin now (default), with all history, or N events back\n"
	"  -f, --format txt|srt|vtt|json  json: the events as they come, one a line (default txt)\n"
	"      --wait                     wait for a stream that does not exist yet\n"
	"      --once                     give up when the connection is lost\n"
	"  -q, --quiet                    no state lines on stderr\n"
	"  -h, --help\n"
	"\n"
	"A lost connection is resumed where it broke off; what can't be had any more is said.\n";

struct watch {
	struct ws *ws;
	struct show show;
	const char *stream;
	json_t *from;        /* owned; the first subscription */
	json_t *epoch, *seq; /* owned; of the last event, or NULL */
	bool wait, once, opened;
	int delay_ms;
	int rc;
	char error[512];
};

enum { DELAY_FIRST_MS = 500, DELAY_MAX_MS = 10000 };

static void on_open(void *user)
{
	struct watch *w = user;
	json_t *from = w->seq ? json_pack("{s:O, s:O}", "epoch", w->epoch, "seq", w->seq)
			      : json_incref(w->from);
	ws_send(w->ws, json_pack("{s:s, s:i, s:s, s:o, s:o*}", "type", "subscribe", "ref", 1,
			       "stream", w->stream, "from", from, "lanes", show_lanes(&w->show)));
	w->opened = true;
}

static void remember(struct watch *w, const json_t *event)
{
	json_t *epoch = json_object_get(event, "epoch"), *seq = json_object_get(event, "seq");
	if (!epoch || !seq)
		return;
	json_decref(w->epoch);
	json_decref(w->seq);
	w->epoch = json_incref(epoch);
	w->seq = json_incref(seq);
	w->delay_ms = DELAY_FIRST_MS;
}

static void on_message(void *user, const json_t *msg)
{
	struct watch *w = user;
	const char *type = json_string_value(json_object_get(msg, "type"));
	if (!type)
		return;
	if (!strcmp(type, "error")) {
		const char *code = json_string_value(json_object_get(msg, "code"));
		const char *text = json_string_value(json_object_get(msg, "message"));
		bool may_come = code && !strcmp(code, "not_found") && (w->wait || w->seq);
		snprintf(w->error, sizeof(w->error), "%s", text ? text : "refused");
		if (!may_come) {
			cli_error("%s", w->error);
			w->rc = CLI_FAILED;
		}
		/* The stream may come (back): on_close tries again. */
		if (!may_come)
			ws_stop(w->ws);
		else
			ws_close(w->ws);
		return;
	}
	remember(w, msg);
	if (!show_event(&w->show, msg)) {
		w->rc = CLI_FAILED;
		ws_stop(w->ws);
	}
	if (!strcmp(type, "end")) {
		const char *reason = json_string_value(json_object_get(msg, "reason"));
		const char *why = json_string_value(json_object_get(msg, "message"));
		bool fine = reason && (!strcmp(reason, "ended") || !strcmp(reason, "deleted"));
		if (reason && !strcmp(reason, "shutdown") && !w->once)
			return; /* the daemon comes back, perhaps */
		if (!fine)
			cli_error("%s: the stream %s%s%s", w->stream, reason ? reason : "ended",
				why && *why ? ": " : "", why ? why : "");
		w->rc = fine ? CLI_OK : CLI_FAILED;
		ws_stop(w->ws);
	}
}

static int on_close(void *user, const char *why)
{
	struct watch *w = user;
	if (w->error[0]) {
		why = w->error;
	} else if (w->once || !w->opened) {
		/* A server that was never there is an error, not something to wait for. */
		if (w->once || !w->wait) {
			cli_error("%s", why);
			w->rc = CLI_FAILED;
			return -1;
		}
	}
	if (!w->show.quiet)
		fprintf(stderr, "[%s; trying again in %.1f s]\n", why, w->delay_ms / 1000.0);
	w->error[0] = '\0';
	int ms = w->delay_ms;
	w->delay_ms = ms * 2 > DELAY_MAX_MS ? DELAY_MAX_MS : ms * 2;
	return ms;
}

enum { OPT_TOKEN = 256, OPT_INSECURE, OPT_FROM, OPT_WAIT, OPT_ONCE };

int cmd_watch(int argc, char **argv)
{
	static const struct option longs[] = {
		{"server", required_argument, NULL, 's'},
		{"token", required_argument, NULL, OPT_TOKEN},
		{"insecure", no_argument, NULL, OPT_INSECURE},
		{"lanes", required_argument, NULL, 'l'},
		{"lane", required_argument, NULL, 'l'},
		{"from", required_argument, NULL, OPT_FROM},
		{"format", required_argument, NULL, 'f'},
		{"wait", no_argument, NULL, OPT_WAIT},
		{"once", no_argument, NULL, OPT_ONCE},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct watch w = {.delay_ms = DELAY_FIRST_MS};
	struct ws_params params = {
		.user = &w, .on_open = on_open, .on_message = on_message, .on_close = on_close};
	struct lvx_error err = {.msg = ""};
	const char *from = "now";
	long n;
	int opt;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":s:l:f:qh", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			params.server = optarg;
			break;
		case OPT_TOKEN:
			params.token = optarg;
			break;
		case OPT_INSECURE:
			params.insecure = true;
			break;
		case 'l':
			w.show.lanes = optarg;
			break;
		case OPT_FROM:
			from = optarg;
			break;
		case 'f':
			if (!out_format_parse(optarg, &w.show.format))
				return cli_usage(argv[0],
					"--format is txt, srt, vtt or json, not '%s'", optarg);
			break;
		case OPT_WAIT:
			w.wait = true;
			break;
		case OPT_ONCE:
			w.once = true;
			break;
		case 'q':
			w.show.quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			return CLI_OK;
		default:
			return cli_bad_option(argv[0], opt, argv);
		}
	}
	if (argc - optind != 1)
		return cli_usage(argv[0], "name one stream");
	w.stream = argv[optind];
	if (!strcmp(from, "now") || !strcmp(from, "start"))
		w.from = json_string(from);
	else if (cli_parse_int(from, 1, 1000000, &n))
		w.from = json_pack("{s:i}", "last", (int)n);
	else
		return cli_usage(argv[0], "--from is now, start or a number, not '%s'", from);
	if (ws_create(&w.ws, &params, &err) != LVX_OK) {
		json_decref(w.from);
		return cli_usage(argv[0], "%s", err.msg);
	}
	ws_run(w.ws);
	show_finish(&w.show);
	ws_destroy(w.ws);
	json_decref(w.from);
	json_decref(w.epoch);
	json_decref(w.seq);
	return w.rc;
}
