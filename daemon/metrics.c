/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus text exposition, version 0.0.4. */
#include "daemon/server_priv.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STREAMS_MAX = 1024 };

static void head(struct lvx_text *t, const char *name, const char *type, const char *help)
{
	lvx_text_printf(t, "# HELP lumivox_%s %s\n# TYPE lumivox_%s %s\n", name, help, name, type);
}

static void single(
	struct lvx_text *t, const char *name, const char *type, const char *help, double value)
{
	head(t, name, type, help);
	lvx_text_printf(t, "lumivox_%s %.15g\n", name, value);
}

static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*s %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void of_daemon(struct lvx_server *server, struct lvx_text *t)
{
	struct lvx_engine_stats e;
	lvx_engine_get_stats(server->params.engine, &e);
	single(t, "up_seconds", "gauge", "Since the daemon began to serve.",
		(double)(lvx_now_us() - server->start_us) / 1e6);
	single(t, "device_failed", "gauge", "1 if the compute device failed.", e.failed);
	single(t, "device_recoveries_total", "counter",
		"Times that the compute device was lost and opened again.",
		(double)e.runner.recoveries);
	single(t, "rows", "gauge", "Streams that fit at once.", e.n_rows);
	single(t, "rows_used", "gauge", "Streams that run.", e.n_rows_used);
	single(t, "slots_total", "counter", "Slots of sound worked off.", (double)e.runner.slots);
	single(t, "pictures_total", "counter", "Pictures worked off.", (double)e.runner.pictures);
	single(t, "steps_total", "counter", "Batches run.", (double)e.runner.steps);
	single(t, "busy_seconds_total", "counter", "Time in ticks that did work.",
		(double)e.busy_us / 1e6);
	head(t, "tick_seconds", "gauge", "Duration of the last 1,024 ticks that did work.");
	lvx_text_printf(
		t, "lumivox_tick_seconds{quantile=\"0.5\"} %.6f\n", (double)e.tick_p50_us / 1e6);
	lvx_text_printf(
		t, "lumivox_tick_seconds{quantile=\"0.99\"} %.6f\n", (double)e.tick_p99_us / 1e6);
	single(t, "device_bytes", "gauge", "Memory taken on the compute device.",
		(double)e.device_bytes);
	single(t, "resident_bytes", "gauge", "Resident memory of the process.",
		(double)resident_bytes());
	single(t, "connections", "gauge", "Open WebSockets.", server->n_sessions);
	single(t, "http_requests_total", "counter", "HTTP requests.", (double)server->n_requests);
	single(t, "requests_refused_total", "counter", "HTTP requests and handshakes refused.",
		(double)server->requests_refused);
	single(t, "subscribers_dropped_total", "counter", "Viewers dropped for being too slow.",
		(double)server->subscribers_dropped);
}

enum field { WORDS, EVENTS, GAPS, OVERRUNS, RECONNECTS, READERS, HEARD, LIVE };

static double value(const struct lvx_hub_info *i, enum field field)
{
	switch (field) {
	case WORDS:
		return (double)i->stream.words;
	case EVENTS:
		return (double)i->events;
	case GAPS:
		return (double)i->gaps;
	case OVERRUNS:
		return (double)i->stream.overruns;
	case RECONNECTS:
		return (double)i->stream.source.reconnects;
	case READERS:
		return i->readers;
	case HEARD:
		return (double)i->stream.heard_us / 1e6;
	case LIVE:
		return i->stream.state == LVX_SOURCE_LIVE && !i->reason[0];
	}
	return 0;
}

static void histogram(struct lvx_text *t, const struct lvx_hub_info *i)
{
	uint64_t sum = 0;
	for (int k = 0; k < LVX_LATENCY_BUCKETS; k++) {
		sum += i->latency_count[k];
		lvx_text_printf(t,
			"lumivox_latency_seconds_bucket{stream=\"%s\",le=\"%g\"} %" PRIu64 "\n",
			i->id, lvx_latency_buckets_s[k], sum);
	}
	sum += i->latency_count[LVX_LATENCY_BUCKETS];
	lvx_text_printf(t,
		"lumivox_latency_seconds_bucket{stream=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
		"lumivox_latency_seconds_sum{stream=\"%s\"} %.6f\n"
		"lumivox_latency_seconds_count{stream=\"%s\"} %" PRIu64 "\n",
		i->id, sum, i->id, i->latency_sum_s, i->id, sum);
}

void lvx_metrics(struct lvx_server *server, struct lvx_text *t)
{
	static const struct {
		enum field field;
		const char *name, *type, *help;
	} fields[] = {
		{WORDS, "words_total", "counter", "Words of all lanes."},
		{EVENTS, "events_total", "counter", "Events made."},
		{GAPS, "media_gaps_total", "counter", "Gaps in the media."},
		{OVERRUNS, "overrun_samples_total", "counter",
			"Samples the model was too late for."},
		{RECONNECTS, "reconnects_total", "counter", "Reconnects of the source."},
		{READERS, "subscribers", "gauge", "Subscriptions."},
		{HEARD, "heard_seconds", "gauge", "Timeline heard by the model."},
		{LIVE, "live", "gauge", "1 while media come."},
	};
	of_daemon(server, t);
	struct lvx_hub_stream *streams[STREAMS_MAX];
	size_t n = lvx_hub_list(server->params.hub, streams, STREAMS_MAX);
	struct lvx_hub_info *infos = n > 0 ? malloc(n * sizeof(*infos)) : NULL;
	if (n > 0 && !infos)
		abort();
	for (size_t i = 0; i < n; i++)
		lvx_hub_get_info(streams[i], &infos[i]);
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
		head(t, fields[f].name, fields[f].type, fields[f].help);
		for (size_t i = 0; i < n; i++)
			lvx_text_printf(t, "lumivox_%s{stream=\"%s\"} %.15g\n", fields[f].name,
				infos[i].id, value(&infos[i], fields[f].field));
	}
	head(t, "latency_seconds", "histogram", "From the end of a word to its event.");
	for (size_t i = 0; i < n; i++)
		histogram(t, &infos[i]);
	lvx_outputs_metrics(server->params.outputs, t);
	for (size_t i = 0; i < n; i++)
		lvx_hub_unref(streams[i]);
	free(infos);
}
