/* SPDX-License-Identifier: Apache-2.0 */
/* lumivoxd: reads its settings, starts the threads, waits for a signal or the end. */
#include "base/bell.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/auth.h"
#include "daemon/caption_file.h"
#include "daemon/hub.h"
#include "daemon/messages.h"
#include "daemon/outputs/broadcast.h"
#include "daemon/outputs/describe.h"
#include "daemon/outputs/hls.h"
#include "daemon/outputs/outputs.h"
#include "daemon/paths.h"
#include "daemon/printer.h"
#include "daemon/recorder.h"
#include "daemon/server.h"
#include "daemon/settings.h"

#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, SHUTDOWN_US = 5000000, DEVICES_MAX = 32, TOKEN_BYTES_MAX = 4096 };

struct daemon {
	struct lvx_settings settings;
	struct lvx_engine *engine;
	struct lvx_hub *hub;
	struct lvx_printer *printer;
	struct lvx_recorder *recorder;
	struct lvx_outputs *outputs;
	struct lvx_server *server;
	struct lvx_glossary *glossary; /* of streams that name none; or NULL */
	char web_root[PATH_MAX];
};

static struct lvx_bell *g_bell; /* rung by signals and news; the main thread waits on it */
static volatile sig_atomic_t g_signals;

static void on_signal(int signal_number)
{
	(void)signal_number;
	/* Who asks a third time does not want to wait. */
	if (g_signals++ > 1)
		_exit(EXIT_FAILURE);
	lvx_bell_ring(g_bell);
}

static void on_news(void *user)
{
	(void)user;
	lvx_bell_ring(g_bell);
}

/* ---- listing ---- */

static enum lvx_status list_compute(struct lvx_error *err)
{
	struct lvx_device_info devices[DEVICES_MAX];
	int n = lvx_runner_list_devices(devices, DEVICES_MAX, err);
	if (n < 0)
		return err->status;
	if (n == 0)
		printf("no compute devices (is a Vulkan driver installed?)\n");
	for (int i = 0; i < n && i < DEVICES_MAX; i++) {
		const struct lvx_device_info *d = &devices[i];
		printf("compute %d: %s (%s, Vulkan %u.%u, %" PRIu64 " MiB)%s%s\n", i, d->name,
			d->type, d->api_major, d->api_minor, d->memory_bytes >> 20,
			d->usable ? "" : " not usable: ", d->usable ? "" : d->why_not);
	}
	return LVX_OK;
}

static enum lvx_status list_mics(struct lvx_error *err)
{
	struct lvx_audio_device devices[DEVICES_MAX];
	int n = lvx_mic_list(devices, DEVICES_MAX, err);
	if (n < 0)
		return err->status;
	if (n == 0)
		printf("no microphones\n");
	for (int i = 0; i < n && i < DEVICES_MAX; i++)
		printf("mic:%s (%d channels, %g Hz)%s\n", devices[i].name, devices[i].max_channels,
			devices[i].default_rate, devices[i].is_default ? " default" : "");
	return LVX_OK;
}

static int list_devices(enum lvx_action action)
{
	struct lvx_error err = {0};
	enum lvx_status st = LVX_OK;
	if (action != LVX_ACTION_LIST_MICS)
		st = list_compute(&err);
	if (st != LVX_OK)
		fprintf(stderr, "lumivoxd: compute devices: %s\n", err.msg);
	if (action == LVX_ACTION_LIST_COMPUTE)
		return st == LVX_OK ? EXIT_SUCCESS : EXIT_FAILURE;
	enum lvx_status mics = list_mics(&err);
	if (mics != LVX_OK)
		fprintf(stderr, "lumivoxd: microphones: %s\n", err.msg);
	return st == LVX_OK && mics == LVX_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- starting ---- */

static enum lvx_status read_token(char **token, const char *file, struct lvx_error *err)
{
	if (!file)
		return LVX_OK;
	char *text;
	size_t len;
	enum lvx_status st = lvx_file_read(&text, &len, file, TOKEN_BYTES_MAX, err);
	if (st != LVX_OK)
		return st;
	text[strcspn(text, "\r\n")] = '\0';
	if (text[0] == '\0') {
		free(text);
		return lvx_fail(err, LVX_EINVAL, "%s: the first line is empty", file);
	}
	*token = text;
	return LVX_OK;
}

/* *out stays NULL where path is; "": an empty one. */
static enum lvx_status read_glossary(
	struct lvx_glossary **out, const char *path, struct lvx_error *err)
{
	if (!path)
		return LVX_OK;
	return path[0] ? lvx_glossary_load(out, path, err)
		       : lvx_glossary_parse(out, "glossary", "", 0, err);
}

/* What can be said to be wrong before any thread runs: a usage error. */
static enum lvx_status check(struct daemon *d, struct lvx_error *err)
{
	struct lvx_settings *s = &d->settings;
	enum lvx_status st = read_token(&s->token, s->token_file, err);
	if (st == LVX_OK)
		st = read_token(&s->operator_token, s->operator_token_file, err);
	if (st == LVX_OK)
		st = read_glossary(&d->glossary, s->defaults.glossary, err);
	if (st != LVX_OK)
		return st;
	if ((s->token && s->token[0] == '\0') || (s->operator_token && s->operator_token[0] == '\0'))
		return lvx_fail(err, LVX_EINVAL, "the token is empty");
	if (!lvx_auth_is_loopback(s->bind) && !s->token)
		return lvx_fail(err, LVX_EINVAL,
			"--bind %s can be reached from elsewhere: it needs a token "
			"(--token-file FILE, or LVX_TOKEN)",
			s->bind);
	for (size_t i = 0; i < s->n_streams; i++) {
		st = lvx_source_check_uri(s->streams[i].uri, err);
		if (st != LVX_OK) {
			lvx_error_context(err, "stream %s", s->streams[i].id);
			return st;
		}
	}
	return LVX_OK;
}

/* The lanes and languages of one stream, now that the model is known. */
static enum lvx_status resolve(const struct daemon *d, const struct lvx_stream_settings *given,
	struct lvx_hub_spec *spec, struct lvx_error *err)
{
	const struct lvx_model_info *model = lvx_engine_model(d->engine);
	struct lvx_stream_settings r = lvx_settings_resolved(&d->settings, given);
	*spec = (struct lvx_hub_spec){
		.id = r.id,
		.uri = r.uri,
		/* What is not said here the hub fills in, as for streams over the network. */
		.translate_to = given->translate_to,
		.language = given->language,
		.described = r.describe > 0,
		.prefix = r.prefix,
		.audio_track = r.audio_track,
		.channel = r.channel,
		.pace = r.pace == 1 ? LVX_PACE_MAX : LVX_PACE_CLOCK,
		.live = r.live == 1,
		.stall_us = r.stall_s > 0 ? (int64_t)(r.stall_s * 1e6) : 0,
		.give_up_us = r.give_up_s > 0 ? (int64_t)(r.give_up_s * 1e6) : 0,
		.dead_air_us = r.dead_air_s > 0 ? (int64_t)(r.dead_air_s * 1e6) : -1,
	};
	char where[LVX_ID_MAX + 16];
	snprintf(where, sizeof(where), "stream %s", r.id);
	if (r.prefix && strlen(r.prefix) > LVX_PREFIX_MAX)
		return lvx_fail(err, LVX_EINVAL, "%s: prefix has %zu bytes; allowed are %d", where,
			strlen(r.prefix), LVX_PREFIX_MAX);
	enum lvx_status st = lvx_model_info_check_languages(
		model, where, r.language, given->translate_to, err);
	if (st == LVX_OK && given->delay_ms >= 0)
		st = lvx_model_info_delay(
			model, where, (uint32_t)given->delay_ms, &spec->delay_slots, err);
	if (st == LVX_OK)
		st = lvx_broadcast_check(&r, model, where, err);
	if (st == LVX_OK)
		st = lvx_describe_check(&r, model, where, err);
	if (st == LVX_OK)
		st = lvx_hls_check(&r, model, where, err);
	if (st == LVX_OK && given->lanes)
		st = lvx_lanes_parse(&spec->lanes, model, where, given->lanes, err);
	if (st == LVX_OK)
		st = read_glossary(&spec->glossary, given->glossary, err);
	return st;
}

static enum lvx_status open_streams(struct daemon *d, struct lvx_error *err)
{
	for (size_t i = 0; i < d->settings.n_streams; i++) {
		struct lvx_hub_spec spec;
		struct lvx_hub_stream *stream;
		enum lvx_status st = resolve(d, &d->settings.streams[i], &spec, err);
		if (st == LVX_OK)
			st = lvx_hub_open(d->hub, &spec, &stream, err);
		lvx_glossary_unref(spec.glossary);
		if (st != LVX_OK)
			return st;
		lvx_hub_unref(stream);
	}
	return LVX_OK;
}

static bool is_recording(const struct lvx_settings *s)
{
	bool any = s->defaults.record && s->defaults.record[0];
	for (size_t i = 0; i < s->n_streams; i++)
		any = any || (s->streams[i].record && s->streams[i].record[0]);
	return any;
}

static enum lvx_status start(struct daemon *d, struct lvx_error *err)
{
	struct lvx_settings *s = &d->settings;
	char model[PATH_MAX];
	if (!s->model && !lvx_path_default_model(model))
		return lvx_fail(err, LVX_ENOENT, "the model m3-nano is not found; say --model DIR");
	struct lvx_engine_params ep = {
		.model_dir = s->model ? s->model : model,
		.device = s->device,
		.trace = s->trace,
		.n_rows = (uint32_t)s->rows,
	};
	enum lvx_status st = lvx_engine_create(&d->engine, &ep, err);
	if (st != LVX_OK)
		return st;
	const struct lvx_model_info *info = lvx_engine_model(d->engine);
	uint32_t lanes = 0, delay_slots = 0;
	st = lvx_model_info_check_languages(
		info, "daemon", s->defaults.language, s->defaults.translate_to, err);
	if (st == LVX_OK && s->defaults.delay_ms >= 0)
		st = lvx_model_info_delay(
			info, "delay", (uint32_t)s->defaults.delay_ms, &delay_slots, err);
	if (st == LVX_OK && s->defaults.lanes)
		st = lvx_lanes_parse(&lanes, info, "lanes", s->defaults.lanes, err);
	if (st == LVX_OK)
		st = lvx_broadcast_check(&s->defaults, info, "out", err);
	if (st == LVX_OK)
		st = lvx_describe_check(&s->defaults, info, "daemon", err);
	if (st == LVX_OK)
		st = lvx_hls_check(&s->defaults, info, "daemon", err);
	if (st != LVX_OK)
		return st;
	struct lvx_hub_params hp = {
		.engine = d->engine,
		.default_lanes = lanes,
		.default_described = s->defaults.describe > 0,
		.default_translate_to = s->defaults.translate_to,
		.default_language = s->defaults.language,
		.default_delay_slots = delay_slots,
		.default_glossary = d->glossary,
		.dead_air_us = (int64_t)(s->defaults.dead_air_s * 1e6),
		.max_streams = (uint32_t)s->rows,
		.history = (uint32_t)s->history,
		.linger_us = 600000000,
		.max_further = (uint32_t)s->viewer_rows,
		.further_linger_us = (int64_t)(s->viewer_linger_s * 1e6),
	};
	st = lvx_hub_create(&d->hub, &hp, err);
	if (st != LVX_OK)
		return st;
	lvx_hub_on_news(d->hub, on_news, NULL);
	if (s->print)
		st = lvx_printer_create(&d->printer, d->hub, err);
	if (st == LVX_OK && is_recording(s))
		st = lvx_recorder_create(&d->recorder, d->hub, s, err);
	if (st == LVX_OK && lvx_outputs_wanted(s))
		st = lvx_outputs_create(&d->outputs, d->hub, s, err);
	if (st != LVX_OK)
		return st;
	if (!s->web_root && lvx_path_find(d->web_root, "web", "clients/web"))
		s->web_root = strdup(d->web_root);
	struct lvx_server_params sp = {
		.hub = d->hub,
		.engine = d->engine,
		.outputs = d->outputs,
		.bind = s->bind,
		.port = (uint16_t)s->port,
		.token = s->token,
		.operator_token = s->operator_token,
		.allow_origin = s->allow_origin,
		.allow_schemes = s->allow_schemes,
		.tls_cert = s->tls_cert,
		.tls_key = s->tls_key,
		.web_root = s->web_root,
		.compress = s->compress,
		.slow_after_us = (int64_t)(s->slow_after_s * 1e6),
		.max_connections = (uint32_t)s->max_connections,
		.max_streams = (uint32_t)s->rows,
	};
	st = lvx_server_create(&d->server, &sp, err);
	return st == LVX_OK ? open_streams(d, err) : st;
}

static void say_ready(const struct daemon *d)
{
	const struct lvx_settings *s = &d->settings;
	bool any = strcmp(s->bind, "*") == 0 || strcmp(s->bind, "0.0.0.0") == 0 ||
		   strcmp(s->bind, "::") == 0;
	const char *open = strchr(s->bind, ':') && !any ? "[" : "";
	const char *shut = open[0] ? "]" : "";
	uint32_t n = lvx_engine_n_devices(d->engine);
	char times[16] = "";
	if (n > 1)
		snprintf(times, sizeof(times), " x %u", n);
	lvx_log_info("READY %s://%s%s%s:%u/ model %s on %s%s, %d rows, %zu streams",
		s->tls_cert ? "https" : "http", open, any ? "localhost" : s->bind, shut,
		lvx_server_port(d->server), lvx_engine_model(d->engine)->name,
		lvx_engine_device(d->engine)->name, times, s->rows, s->n_streams);
}

/* ---- running and stopping ---- */

static int wait_for_end(struct daemon *d)
{
	uint32_t failed = 0;
	while (g_signals == 0) {
		if (d->settings.exit_when_done && lvx_hub_all_ended(d->hub, &failed)) {
			if (failed > 0)
				lvx_log_error("%u of the streams failed", failed);
			return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		}
		lvx_bell_wait(g_bell, -1);
	}
	lvx_log_info("stopping");
	return EXIT_SUCCESS;
}

/* The reverse of start, from wherever that came to. False: a stream does not end. */
static bool stop(struct daemon *d)
{
	if (d->hub && !lvx_hub_shutdown(d->hub, SHUTDOWN_US))
		return false;
	lvx_printer_destroy(d->printer);
	lvx_recorder_destroy(d->recorder);
	lvx_server_destroy(d->server);
	lvx_outputs_destroy(d->outputs);
	lvx_hub_destroy(d->hub);
	lvx_engine_destroy(d->engine);
	return true;
}

/* Each viewer is a descriptor, each file that is recorded too, and media sources take several. */
static void raise_descriptors(const struct lvx_settings *s)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)s->max_connections + 2048;
	if (is_recording(s))
		wanted += (rlim_t)s->rows * LVX_HUB_LANES * LVX_CAPTION_FORMATS;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		lvx_log_warn("the limit of open files stays as it is");
}

static bool catch_signals(struct lvx_error *err)
{
	if (lvx_bell_create(&g_bell, err) != LVX_OK)
		return false;
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file over its limit: the write says so */
	return true;
}

static void set_log_level(const struct lvx_settings *s)
{
	enum lvx_log_level level;
	if (s->log_level && lvx_log_level_parse(s->log_level, &level))
		lvx_log_set_level(level);
	else if (s->quiet)
		lvx_log_set_level(LVX_LOG_WARN);
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct lvx_error err = {0};
	int code = EXIT_USAGE;
	enum lvx_status st = lvx_settings_load(&d.settings, argc, argv, &err);
	if (st != LVX_OK)
		goto out;
	code = EXIT_SUCCESS;
	switch (d.settings.action) {
	case LVX_ACTION_RUN:
		break;
	case LVX_ACTION_HELP:
		lvx_settings_usage(stdout);
		goto out;
	case LVX_ACTION_VERSION:
		printf("lumivoxd %s\n", LVX_VERSION);
		goto out;
	default:
		code = list_devices(d.settings.action);
		goto out;
	}
	set_log_level(&d.settings);
	st = check(&d, &err);
	if (st != LVX_OK) {
		code = EXIT_USAGE;
		goto out;
	}
	code = EXIT_FAILURE;
	raise_descriptors(&d.settings);
	if (!catch_signals(&err))
		goto out;
	st = start(&d, &err);
	if (st == LVX_OK) {
		say_ready(&d);
		code = wait_for_end(&d);
	} else if (st == LVX_EINVAL) {
		code = EXIT_USAGE;
	}
	if (!stop(&d))
		_exit(EXIT_FAILURE);
	/* The bell stays: a signal may come until the very end. */
out:
	if (st != LVX_OK)
		fprintf(stderr, "lumivoxd: %s\n", err.msg);
	lvx_glossary_unref(d.glossary);
	lvx_settings_finish(&d.settings);
	return code;
}
