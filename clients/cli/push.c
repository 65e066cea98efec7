/* SPDX-License-Identifier: Apache-2.0 */
/* lumivox push: a recording or a microphone to the daemon, its captions back. */
#include "clients/cli/cli.h"
#include "clients/cli/feed.h"
#include "clients/cli/show.h"
#include "clients/cli/ws.h"

#include "daemon/glossary.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"Usage: lumivox push [OPTION]... FILE|-|mic:[NAME]\n"
	"Send sound or video to lumivoxd as a new stream and show its captions.\n"
	"\n"
	"  -s, --server URL               default LVX_SERVER or " WS_DEFAULT_SERVER "\n"
	"      --token TOKEN              default LVX_TOKEN\n"
	"      --insecure                 wss: accept any certificate\n"
	"      --stream ID                the stream's name; default: the daemon picks one\n"
	"      --pace clock|max           as fast as it plays, or as it is taken (default)\n"
	"      --raw FORMAT:RATE:CHANNELS bare samples: s16le or f32le, such as s16le:16000:1\n"
	"      --channel N                take one channel (from 0); default: mix all down\n"
	"  -l, --lanes NAME[,NAME]        lanes to compute and show\n"
	"  -t, --translate-to LANG\n"
	"      --language LANG            what is spoken (auto: the model finds out)\n"
	"      --delay MS                 wait so long before writing; a longer one errs less\n"
	"      --prefix TEXT              title and names that the model may expect\n"
	"      --glossary FILE            names and words to expect, and spellings (wrong => right),\n"
	"                                 one a line\n"
	"      --live                     let a late daemon skip sound (always so for mic:)\n"
	"  -f, --format txt|srt|vtt|json  json: the events as they come, one a line (default txt)\n"
	"  -q, --quiet                    no state lines on stderr\n"
	"  -h, --help\n"
	"\n"
	"Ctrl-C ends the stream in order; once more stops waiting for its last words.\n";

struct push {
	struct ws *ws;
	struct feed *feed;
	struct feed_params feed_params;
	struct show show;
	const char *stream, *translate_to, *language, *prefix;
	struct lvx_glossary *glossary;
	long channel, delay_ms;
	bool live;
	bool accepted, finished; /* the daemon wants data; all of it has been sent */
	int rc;
};

static struct push *interrupted; /* for the signal handler */
static volatile sig_atomic_t n_interrupts;

static void on_interrupt(int sig)
{
	(void)sig;
	if (n_interrupts++ || !interrupted->accepted)
		_Exit(130);
	ws_wake(interrupted->ws);
}

static void wake(void *user)
{
	struct push *p = user;
	ws_wake(p->ws);
}

static void on_open(void *user)
{
	static const char *const formats[] = {"container", "s16le", "f32le"};
	struct push *p = user;
	json_t *msg = json_pack("{s:s, s:i, s:s}", "type", "push", "ref", 1, "format",
		formats[p->feed_params.format]);
	json_t *lanes = show_lanes(&p->show);
	if (p->stream)
		json_object_set_new(msg, "stream", json_string(p->stream));
	if (p->feed_params.format != FEED_CONTAINER) {
		json_object_set_new(msg, "sample_rate", json_integer(p->feed_params.sample_rate));
		json_object_set_new(msg, "channels", json_integer(p->feed_params.channels));
	}
	if (p->channel >= 0)
		json_object_set_new(msg, "channel", json_integer(p->channel));
	if (lanes)
		json_object_set_new(msg, "lanes", lanes);
	if (p->translate_to)
		json_object_set_new(msg, "translate_to", json_string(p->translate_to));
	if (p->language)
		json_object_set_new(msg, "language", json_string(p->language));
	if (p->delay_ms >= 0)
		json_object_set_new(msg, "delay_ms", json_integer(p->delay_ms));
	if (p->prefix)
		json_object_set_new(msg, "prefix", json_string(p->prefix));
	if (p->glossary)
		json_object_set_new(msg, "glossary", lvx_glossary_to_json(p->glossary));
	if (p->live)
		json_object_set_new(msg, "live", json_true());
	ws_send(p->ws, msg);
}

static void give_up(struct push *p, const char *why)
{
	cli_error("%s", why);
	p->rc = CLI_FAILED;
	ws_stop(p->ws);
}

/* The daemon has taken the stream: watch it from its start, and begin to send. */
static void begin(struct push *p, const json_t *msg)
{
	struct lvx_error err = {.msg = ""};
	json_t *id = json_object_get(msg, "stream");
	ws_send(p->ws, json_pack("{s:s, s:i, s:O, s:s, s:o*}", "type", "subscribe", "ref", 2,
			       "stream", id, "from", "start", "lanes", show_lanes(&p->show)));
	if (!p->show.quiet && !p->stream)
		fprintf(stderr, "[stream %s]\n", json_string_value(id));
	if (feed_open(&p->feed, &p->feed_params, &err) != LVX_OK) {
		give_up(p, err.msg);
		return;
	}
	p->accepted = true;
}

static void on_message(void *user, const json_t *msg)
{
	struct push *p = user;
	const char *type = json_string_value(json_object_get(msg, "type"));
	const char *text = json_string_value(json_object_get(msg, "message"));
	if (!type)
		return;
	if (!strcmp(type, "error")) {
		give_up(p, text ? text : "the daemon refused");
	} else if (!strcmp(type, "pushing")) {
		begin(p, msg);
	} else if (!strcmp(type, "pushed")) {
		const char *reason = json_string_value(json_object_get(msg, "reason"));
		if (!reason || strcmp(reason, "ended") != 0) {
			cli_error("%s: the stream %s%s%s", p->feed_params.what,
				reason ? reason : "ended", text && *text ? ": " : "",
				text ? text : "");
			p->rc = CLI_FAILED;
		}
		ws_stop(p->ws);
	} else if (!show_event(&p->show, msg)) {
		give_up(p, "stdout: writing failed");
	}
}

static size_t on_room(void *user, uint8_t *to, size_t max)
{
	struct push *p = user;
	char why[256];
	bool end;
	if (!p->accepted || p->finished)
		return 0;
	if (n_interrupts)
		feed_stop(p->feed);
	size_t n = feed_take(p->feed, to, max, &end, why);
	if (end) {
		if (why[0]) {
			cli_error("%s: %s", p->feed_params.what, why);
			p->rc = CLI_FAILED;
		}
		ws_send(p->ws, json_pack("{s:s}", "type", "finish"));
		p->finished = true;
	}
	return n;
}

static int on_close(void *user, const char *why)
{
	struct push *p = user;
	cli_error("%s", why);
	p->rc = CLI_FAILED;
	return -1; /* what was sent cannot be sent again */
}

static bool parse_raw(const char *s, struct feed_params *p)
{
	char format[8];
	unsigned rate, channels;
	int used = 0;
	if (sscanf(s, "%7[a-z0-9]:%u:%u%n", format, &rate, &channels, &used) != 3 || s[used])
		return false;
	if (!strcmp(format, "s16le"))
		p->format = FEED_S16LE;
	else if (!strcmp(format, "f32le"))
		p->format = FEED_F32LE;
	else
		return false;
	p->sample_rate = rate;
	p->channels = channels;
	return rate >= 8000 && rate <= 192000 && channels >= 1 && channels <= 8;
}

static int run(struct push *p, struct ws_params *params)
{
	struct lvx_error err = {.msg = ""};
	struct sigaction sa = {.sa_handler = on_interrupt};
	const char *what = p->feed_params.what;
	/* No stream is begun for a file that is not there. */
	if (!feed_is_mic(what) && strcmp(what, "-") != 0 && access(what, R_OK)) {
		cli_error("%s: %s", what, strerror(errno));
		return CLI_FAILED;
	}
	if (ws_create(&p->ws, params, &err) != LVX_OK)
		return cli_usage("push", "%s", err.msg);
	interrupted = p;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	ws_run(p->ws);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	show_finish(&p->show);
	feed_close(p->feed);
	ws_destroy(p->ws);
	return p->rc;
}

enum {
	OPT_TOKEN = 256,
	OPT_INSECURE,
	OPT_STREAM,
	OPT_PACE,
	OPT_RAW,
	OPT_CHANNEL,
	OPT_LANGUAGE,
	OPT_DELAY,
	OPT_PREFIX,
	OPT_GLOSSARY,
	OPT_LIVE
};

int cmd_push(int argc, char **argv)
{
	static const struct option longs[] = {
		{"server", required_argument, NULL, 's'},
		{"token", required_argument, NULL, OPT_TOKEN},
		{"insecure", no_argument, NULL, OPT_INSECURE},
		{"stream", required_argument, NULL, OPT_STREAM},
		{"pace", required_argument, NULL, OPT_PACE},
		{"raw", required_argument, NULL, OPT_RAW},
		{"channel", required_argument, NULL, OPT_CHANNEL},
		{"lanes", required_argument, NULL, 'l'},
		{"lane", required_argument, NULL, 'l'},
		{"translate-to", required_argument, NULL, 't'},
		{"language", required_argument, NULL, OPT_LANGUAGE},
		{"delay", required_argument, NULL, OPT_DELAY},
		{"prefix", required_argument, NULL, OPT_PREFIX},
		{"glossary", required_argument, NULL, OPT_GLOSSARY},
		{"live", no_argument, NULL, OPT_LIVE},
		{"format", required_argument, NULL, 'f'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct push p = {.channel = -1, .delay_ms = -1, .feed_params = {.user = &p, .wake = wake}};
	struct ws_params params = {.user = &p,
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
		.on_room = on_room};
	const char *glossary = NULL;
	struct lvx_error err = {.msg = ""};
	int opt;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":s:l:t:f:qh", longs, NULL)) != -1) {
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
		case OPT_STREAM:
			p.stream = optarg;
			break;
		case OPT_PACE:
			if (strcmp(optarg, "clock") != 0 && strcmp(optarg, "max") != 0)
				return cli_usage(
					argv[0], "--pace is clock or max, not '%s'", optarg);
			p.feed_params.clock = !strcmp(optarg, "clock");
			break;
		case OPT_RAW:
			if (!parse_raw(optarg, &p.feed_params))
				return cli_usage(argv[0],
					"--raw is like s16le:16000:1 (s16le or f32le, 8000 to "
					"192000 "
					"Hz, 1 to 8 channels), not '%s'",
					optarg);
			break;
		case OPT_CHANNEL:
			if (!cli_parse_int(optarg, 0, 63, &p.channel))
				return cli_usage(argv[0], "--channel is 0 to 63, not '%s'", optarg);
			break;
		case 'l':
			p.show.lanes = optarg;
			break;
		case 't':
			p.translate_to = optarg;
			break;
		case OPT_LANGUAGE:
			p.language = optarg;
			break;
		case OPT_DELAY:
			if (!cli_parse_int(optarg, 0, 60000, &p.delay_ms))
				return cli_usage(argv[0],
					"--delay is in milliseconds, not '%s'", optarg);
			break;
		case OPT_PREFIX:
			p.prefix = optarg;
			break;
		case OPT_GLOSSARY:
			glossary = optarg;
			break;
		case OPT_LIVE:
			p.live = true;
			break;
		case 'f':
			if (!out_format_parse(optarg, &p.show.format))
				return cli_usage(argv[0],
					"--format is txt, srt, vtt or json, not '%s'", optarg);
			break;
		case 'q':
			p.show.quiet = true;
			break;
		case 'h':
			fputs(help, stdout);
			return CLI_OK;
		default:
			return cli_bad_option(argv[0], opt, argv);
		}
	}
	if (argc - optind != 1)
		return cli_usage(argv[0], "name one recording, '-' or mic:");
	p.feed_params.what = argv[optind];
	if (feed_is_mic(argv[optind])) {
		p.feed_params.format = FEED_F32LE;
		p.feed_params.sample_rate = 16000;
		p.feed_params.channels = 1;
		p.live = true;
	}
	if (glossary && lvx_glossary_load(&p.glossary, glossary, &err) != LVX_OK) {
		cli_error("%s", err.msg);
		return CLI_USAGE;
	}
	int rc = run(&p, &params);
	lvx_glossary_unref(p.glossary);
	return rc;
}
