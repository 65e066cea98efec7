/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lumivox transcribe: recordings to text in this process, with the libraries of
 * the daemon. Events come on the model thread, are copied into the recording's
 * queue and written by the main thread, in the order of the command line.
 */
#include "clients/cli/cli.h"
#include "clients/cli/lanes.h"
#include "clients/cli/output.h"

#include "base/clock.h"
#include "base/log.h"
#include "daemon/engine.h"
#include "daemon/stream.h"

#include <getopt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"Usage: lumivox transcribe [OPTION]... FILE...\n"
	"Write what is said in recordings (sound or video, also http: and https:) to stdout.\n"
	"\n"
	"  -f, --format txt|srt|vtt|json  json: one object a line for each sentence (default txt)\n"
	"  -o, --output PATH              write there; a folder gets one file a recording\n"
	"  -l, --lanes NAME[,NAME]        caption, translation, description (default caption)\n"
	"  -t, --translate-to LANG        also translate; srt and vtt then hold the translation\n"
	"      --describe                 also describe what is seen\n"
	"      --language LANG            what is spoken (default auto: the model finds out)\n"
	"      --delay MS                 wait so long before writing; a longer one errs less\n"
	"      --prefix TEXT              title and names that the model may expect\n"
	"      --glossary FILE            names and words to expect, and spellings (wrong => right),\n"
	"                                 one a line\n"
	"      --audio-track N|LANG       which of several sound tracks\n"
	"      --channel N                take one channel (from 0); default: mix all down\n"
	"  -j, --jobs N                   recordings worked off side by side (default 1)\n"
	"  -m, --model DIR                model folder (default: LVX_MODEL, or the one installed)\n"
	"  -d, --device NAME              Vulkan device, by a part of its name (default: the "
	"best)\n"
	"  -v, --verbose                  say how long each took, and the real-time factor\n"
	"  -h, --help\n"
	"\n"
	"A recording that cannot be read is named on stderr, the others go on; the exit status is\n"
	"then 1.\n";

struct options {
	const char *model, *device, *output, *prefix, *audio_track;
	struct lvx_glossary *glossary;
	struct lane_wish wish;
	enum out_format format;
	long channel, jobs;
	bool verbose;
};

struct queued {
	struct queued *next;
	enum lvx_event_kind kind;
	uint32_t lane;
	struct out_word word;
	bool segment_end;
	char text[]; /* word.text */
};

struct job {
	const char *path;
	struct lvx_bell *bell; /* borrowed: wakes the main thread */
	struct lvx_stream *stream;
	FILE *to;
	struct out *out;
	int64_t began_us, took_us, heard_us;
	pthread_mutex_t lock;
	struct queued *first, **last;                      /* {lock} */
	bool ended, failed;                                /* {lock} */
	char why[512];                                     /* {lock} */
	enum { JOB_WAITING, JOB_RUNNING, JOB_DONE } state; /* main thread */
	bool unwritable;
};

static struct {
	pthread_mutex_t lock;
	bool failed;
	char why[256];
} device = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* On the model thread. */
static void on_event(void *user, const struct lvx_event *e)
{
	struct job *j = user;
	size_t len = e->kind == LVX_EVENT_WORD ? strlen(e->text) + 1 : 1;
	if (e->kind == LVX_EVENT_ACTIVITY && !e->segment_end)
		return;
	struct queued *q = cli_alloc(sizeof(*q) + len);
	q->kind = e->kind;
	q->lane = e->lane;
	q->segment_end = e->segment_end;
	q->word = (struct out_word){.text = q->text,
		.start_us = e->start_us,
		.end_us = e->end_us,
		.confidence = (double)e->confidence};
	if (e->kind == LVX_EVENT_WORD)
		memcpy(q->text, e->text, len);
	pthread_mutex_lock(&j->lock);
	*j->last = q;
	j->last = &q->next;
	if (e->kind == LVX_EVENT_END)
		j->ended = true;
	pthread_mutex_unlock(&j->lock);
	lvx_bell_ring(j->bell);
}

/* Any thread. */
static void on_state(void *user, enum lvx_source_state state, const char *msg)
{
	struct job *j = user;
	if (state != LVX_SOURCE_FAILED)
		return;
	pthread_mutex_lock(&j->lock);
	j->failed = true;
	snprintf(j->why, sizeof(j->why), "%s", msg && *msg ? msg : "cannot be read");
	pthread_mutex_unlock(&j->lock);
	lvx_bell_ring(j->bell);
}

/* On the model thread. */
static void on_device_failure(void *user, const char *why)
{
	pthread_mutex_lock(&device.lock);
	device.failed = true;
	snprintf(device.why, sizeof(device.why), "%s", why);
	pthread_mutex_unlock(&device.lock);
	lvx_bell_ring(user);
}

static bool open_output(struct job *j, const struct options *o)
{
	struct stat sb;
	char path[4096];
	j->to = stdout;
	if (!o->output)
		return true;
	if (stat(o->output, &sb) || !S_ISDIR(sb.st_mode)) {
		/* One file for all: opened by the first, then added to. */
		static bool begun;
		j->to = fopen(o->output, begun ? "a" : "w");
		begun = true;
		snprintf(path, sizeof(path), "%s", o->output);
	} else {
		const char *base = strrchr(j->path, '/');
		base = base ? base + 1 : j->path;
		const char *dot = strrchr(base, '.');
		int len = dot && dot != base ? (int)(dot - base) : (int)strlen(base);
		snprintf(path, sizeof(path), "%s/%.*s.%s", o->output, len, base,
			out_format_suffix(o->format));
		j->to = fopen(path, "w");
	}
	if (!j->to)
		cli_error("%s: cannot write", path);
	return j->to != NULL;
}

static void start(struct job *j, struct lvx_engine *engine, const struct options *o,
	const struct lane_choice *lanes)
{
	struct lvx_error err = {.msg = ""};
	struct lvx_source_params source = {
		.uri = j->path,
		.pace = LVX_PACE_MAX,
		.audio_track = o->audio_track,
		.channel = (int)o->channel,
	};
	struct lvx_stream_params params = {.source = &source,
		.lanes = lanes->computed,
		.translate_to = lanes->translate_to,
		.language = o->wish.language,
		.delay_slots = lanes->delay_slots,
		.prefix = o->prefix,
		.glossary = o->glossary};
	struct lvx_stream_callbacks cb = {.user = j, .on_event = on_event, .on_state = on_state};

	j->state = JOB_RUNNING;
	j->began_us = lvx_now_us();
	if (lvx_stream_open(&j->stream, engine, &params, &cb, &err) != LVX_OK) {
		pthread_mutex_lock(&j->lock);
		j->ended = j->failed = true;
		snprintf(j->why, sizeof(j->why), "%s", err.msg);
		pthread_mutex_unlock(&j->lock);
	}
}

/* True once every event of the recording is in the queue; closes the stream then. */
static bool settle(struct job *j)
{
	struct lvx_stream_stats stats;
	pthread_mutex_lock(&j->lock);
	bool ended = j->ended;
	pthread_mutex_unlock(&j->lock);
	if (!ended)
		return false;
	j->took_us = lvx_now_us() - j->began_us;
	if (j->stream) {
		lvx_stream_get_stats(j->stream, &stats);
		j->heard_us = stats.heard_us;
		lvx_stream_close(j->stream);
		j->stream = NULL;
	}
	j->state = JOB_DONE;
	return true;
}

/* No callback comes any more. */
static void say_failed(const struct job *j)
{
	/* Some messages name the file themselves. */
	if (!strncmp(j->why, j->path, strlen(j->path)))
		cli_error("%s", j->why);
	else
		cli_error("%s: %s", j->path, j->why);
}

static void open_writer(struct job *j, const struct options *o, const struct lane_choice *lanes)
{
	if (!open_output(j, o)) {
		j->unwritable = true;
		return;
	}
	struct out_params p = {.to = j->to,
		.format = o->format,
		.file = j->path,
		.n_lanes = lanes->n,
		.wanted = lanes->wanted};
	memcpy(p.lanes, lanes->names, sizeof(p.lanes));
	memcpy(p.languages, lanes->languages, sizeof(p.languages));
	j->out = out_create(&p);
}

/* Writes what has come for the recording whose turn it is. */
static void drain(struct job *j, const struct options *o, const struct lane_choice *lanes)
{
	pthread_mutex_lock(&j->lock);
	struct queued *q = j->first;
	j->first = NULL;
	j->last = &j->first;
	bool failed = j->failed;
	pthread_mutex_unlock(&j->lock);
	/* One without words gets its empty file, one that cannot be read gets none. */
	bool begin = (q && q->kind == LVX_EVENT_WORD) || (j->state == JOB_DONE && !failed);
	if (begin && !j->out && !j->unwritable)
		open_writer(j, o, lanes);
	if (q && j->to == stdout && isatty(STDOUT_FILENO))
		cli_progress_clear();
	while (q) {
		struct queued *next = q->next;
		if (j->out && q->kind == LVX_EVENT_WORD)
			out_word(j->out, q->lane, &q->word);
		if (j->out && q->segment_end)
			out_segment_end(j->out, q->lane);
		free(q);
		q = next;
	}
}

/* The recording whose turn it was is done: flush, report. */
static bool finish(struct job *j, const struct options *o)
{
	bool ok = !j->unwritable && !j->failed;
	if (j->out) {
		out_finish(j->out);
		out_destroy(j->out);
		j->out = NULL;
		if (ferror(j->to)) {
			cli_error("%s: writing failed", o->output ? o->output : "stdout");
			ok = false;
		}
		if (j->to != stdout)
			ok = fclose(j->to) == 0 && ok;
	}
	if (j->failed)
		say_failed(j);
	if (o->verbose && !j->failed) {
		double heard = (double)j->heard_us / 1e6, took = (double)j->took_us / 1e6;
		cli_progress_clear();
		fprintf(stderr, "%s: %.1f s in %.1f s, real-time factor %.3f\n", j->path, heard,
			took, heard > 0 ? took / heard : 0);
	}
	return ok;
}

static void show_progress(const struct job *j)
{
	struct lvx_stream_stats s;
	if (j->state != JOB_RUNNING || !j->stream || !isatty(STDERR_FILENO))
		return;
	lvx_stream_get_stats(j->stream, &s);
	double heard = (double)s.heard_us / 1e6, took = (double)(lvx_now_us() - j->began_us) / 1e6;
	cli_progress(j->path, s.duration_us > 0 ? (double)s.heard_us / (double)s.duration_us : -1,
		heard, took > 0 ? heard / took : 0);
}

static int run(struct job *jobs, int n, struct lvx_engine *engine, struct lvx_bell *bell,
	const struct options *o, const struct lane_choice *lanes)
{
	int head = 0, next = 0, running = 0, rc = CLI_OK;
	while (head < n) {
		while (next < n && running < o->jobs) {
			start(&jobs[next++], engine, o, lanes);
			running++;
		}
		for (int i = head; i < next; i++)
			if (jobs[i].state == JOB_RUNNING && settle(&jobs[i]))
				running--;
		drain(&jobs[head], o, lanes);
		if (jobs[head].state == JOB_DONE) {
			if (!finish(&jobs[head], o))
				rc = CLI_FAILED;
			head++;
			continue;
		}
		pthread_mutex_lock(&device.lock);
		bool lost = device.failed;
		pthread_mutex_unlock(&device.lock);
		if (lost) {
			cli_error("the compute device failed: %s", device.why);
			rc = CLI_FAILED;
			break;
		}
		if (running < o->jobs && next < n)
			continue;
		show_progress(&jobs[head]);
		lvx_bell_wait(bell, 200000);
	}
	cli_progress_clear();
	return rc;
}

static void discard(struct job *j)
{
	lvx_stream_close(j->stream);
	for (struct queued *q = j->first, *next; q; q = next) {
		next = q->next;
		free(q);
	}
	out_destroy(j->out);
	pthread_mutex_destroy(&j->lock);
}

static int transcribe(const struct options *o, char **files, int n)
{
	struct lvx_error err = {.msg = ""};
	struct lvx_engine *engine = NULL;
	struct lvx_bell *bell = NULL;
	struct lane_choice lanes;
	int rc = CLI_FAILED;
	struct lvx_engine_params params = {.model_dir = o->model,
		.device = o->device,
		.n_rows = (uint32_t)(o->jobs < n ? o->jobs : n)};

	struct job *jobs = cli_alloc((size_t)n * sizeof(*jobs));
	if (lvx_bell_create(&bell, &err) != LVX_OK ||
		lvx_engine_create(&engine, &params, &err) != LVX_OK) {
		cli_error("%s", err.msg);
		goto done;
	}
	lvx_engine_on_failure(engine, on_device_failure, bell);
	if (!lane_choose(&lanes, lvx_engine_model(engine), &o->wish)) {
		rc = CLI_USAGE;
		goto done;
	}
	for (int i = 0; i < n; i++) {
		jobs[i].path = files[i];
		jobs[i].bell = bell;
		jobs[i].last = &jobs[i].first;
		pthread_mutex_init(&jobs[i].lock, NULL);
	}
	rc = run(jobs, n, engine, bell, o, &lanes);
	for (int i = 0; i < n; i++)
		discard(&jobs[i]);
done:
	lvx_engine_destroy(engine);
	lvx_bell_destroy(bell);
	free(jobs);
	return rc;
}

enum { OPT_TRACK = 256, OPT_CHANNEL, OPT_PREFIX, OPT_GLOSSARY, OPT_DESCRIBE, OPT_LANGUAGE,
	OPT_DELAY };

int cmd_transcribe(int argc, char **argv)
{
	static const struct option longs[] = {
		{"format", required_argument, NULL, 'f'},
		{"output", required_argument, NULL, 'o'},
		{"lanes", required_argument, NULL, 'l'},
		{"lane", required_argument, NULL, 'l'},
		{"translate-to", required_argument, NULL, 't'},
		{"describe", no_argument, NULL, OPT_DESCRIBE},
		{"language", required_argument, NULL, OPT_LANGUAGE},
		{"delay", required_argument, NULL, OPT_DELAY},
		{"prefix", required_argument, NULL, OPT_PREFIX},
		{"glossary", required_argument, NULL, OPT_GLOSSARY},
		{"audio-track", required_argument, NULL, OPT_TRACK},
		{"channel", required_argument, NULL, OPT_CHANNEL},
		{"jobs", required_argument, NULL, 'j'},
		{"model", required_argument, NULL, 'm'},
		{"device", required_argument, NULL, 'd'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options o = {.model = lane_default_model(),
		.channel = -1,
		.jobs = 1,
		.wish = {.delay_ms = -1}};
	struct stat sb;
	const char *glossary = NULL;
	struct lvx_error err = {.msg = ""};
	int opt;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":f:o:l:t:j:m:d:vh", longs, NULL)) != -1) {
		switch (opt) {
		case 'f':
			if (!out_format_parse(optarg, &o.format))
				return cli_usage(argv[0],
					"--format is txt, srt, vtt or json, not '%s'", optarg);
			break;
		case 'o':
			o.output = optarg;
			break;
		case 'l':
			o.wish.lanes = optarg;
			break;
		case 't':
			o.wish.translate_to = optarg;
			break;
		case OPT_DESCRIBE:
			o.wish.describe = true;
			break;
		case OPT_LANGUAGE:
			o.wish.language = optarg;
			break;
		case OPT_DELAY:
			if (!cli_parse_int(optarg, 0, 60000, &o.wish.delay_ms))
				return cli_usage(argv[0],
					"--delay is in milliseconds, not '%s'", optarg);
			break;
		case OPT_PREFIX:
			o.prefix = optarg;
			break;
		case OPT_GLOSSARY:
			glossary = optarg;
			break;
		case OPT_TRACK:
			o.audio_track = optarg;
			break;
		case OPT_CHANNEL:
			if (!cli_parse_int(optarg, 0, 63, &o.channel))
				return cli_usage(argv[0], "--channel is 0 to 63, not '%s'", optarg);
			break;
		case 'j':
			if (!cli_parse_int(optarg, 1, 64, &o.jobs))
				return cli_usage(argv[0], "--jobs is 1 to 64, not '%s'", optarg);
			break;
		case 'm':
			o.model = optarg;
			break;
		case 'd':
			o.device = optarg;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			fputs(help, stdout);
			return CLI_OK;
		default:
			return cli_bad_option(argv[0], opt, argv);
		}
	}
	if (optind == argc)
		return cli_usage(argv[0], "name at least one recording");
	if (argc - optind > 1 && (o.format == OUT_SRT || o.format == OUT_VTT) &&
		(!o.output || stat(o.output, &sb) || !S_ISDIR(sb.st_mode)))
		return cli_usage(argv[0], "several recordings as %s need --output FOLDER",
			out_format_suffix(o.format));
	o.wish.one_only = o.format == OUT_SRT || o.format == OUT_VTT;
	if (glossary && lvx_glossary_load(&o.glossary, glossary, &err) != LVX_OK) {
		cli_error("%s", err.msg);
		return CLI_USAGE;
	}
	lvx_log_set_level(o.verbose ? LVX_LOG_INFO : LVX_LOG_ERROR);
	int rc = transcribe(&o, argv + optind, argc - optind);
	lvx_glossary_unref(o.glossary);
	return rc;
}
