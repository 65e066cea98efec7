/* SPDX-License-Identifier: Apache-2.0 */
/* lumivox-bench: what a device can carry of a model. Only figures; no pass or fail. */
#include "base/clock.h"
#include "model/model_priv.h"
#include "tests/bench/ceilings.h"
#include "tests/bench/load.h"
#include "tests/bench/peer.h"
#include "tests/bench/products.h"
#include "tests/bench/shape.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICKS_MAX = 20000, DEVICES_MAX = 16, SEARCH_TICKS = 26, LATE_MAX = 12 /* slots */ };

static const char usage[] =
	"usage: lumivox-bench [options]\n"
	"  --shape NAME      random weights: nano, 1b, 1b-int8, m3-lite, m3, tiny\n"
	"  --model DIR       a model folder instead\n"
	"  --device A[,B]    numbers or names; several: streams are spread over them\n"
	"  --rows N          streams to make room for (16); fewer if they do not fit\n"
	"  --streams N       measure N streams at the clock's pace; 0: look for the most (default)\n"
	"  --seconds N       how long (60)\n"
	"  --lanes LIST      names of lanes (all)\n"
	"  --pictures        one every 2 s a stream\n"
	"  --pcm FILE        s16le mono: the sound that is heard (else noise)\n"
	"  --mel             make the features from PCM in every tick\n"
	"  --no-ceilings --no-held --no-batches   leave that part out\n"
	"  --split N         the runner's split_runs: batches of N runs or more go in two parts (0)\n"
	"  --keep N          the host keeps the rows for a lost device, copies at most N ticks old (0)\n"
	"  --exact, --plain, --gpu-kernels        the runner's parameters of these names\n"
	"  --profile         time of each operation at batch 1 and with all rows\n"
	"  --trace FILE      the same as a Chrome/Perfetto trace\n"
	"  --peer CMD        time CMD on --pcm's sound ($LVX_PCM) in alternation\n"
	"  --products[=N]    time the shape's products of many positions (N, in f16), for each form of a work group,\n"
	"                    and end\n"
	"  --write DIR       write the shape as a model folder and end\n";

struct options {
	const char *shape, *model, *lanes, *pcm, *trace, *peer, *write;
	char *devices[DEVICES_MAX];
	int n_devices;
	uint32_t rows, streams, seconds, keep, split, positions;
	bool pictures, mel, no_ceilings, no_held, no_batches, exact, plain, gpu_kernels, profile, products;
};

struct bench {
	const struct options *o;
	struct lvx_shape_model *shape;
	struct lvx_model *loaded;
	const struct lvx_model *model;
	struct lvx_ceilings best; /* zero: not measured */
	uint32_t lanes;
};

/* A device of several: its own thread, as a daemon has. */
struct worker {
	pthread_t thread;
	const struct bench *b;
	const char *device;
	struct lvx_load *load;
	pthread_barrier_t *start;
	uint32_t streams;
	bool failed;
};

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static double ms(int64_t us)
{
	return (double)us * 1e-3;
}

/* ---- ticks ---- */

struct ticks {
	int64_t p50, p99, max;
	uint32_t n;
};

/*
 * n ticks one after another, or (paced) at the clock's pace for n slots. Fewer where more than one in a
 * hundred of n have taken limit_us (0: none) and so the p99 is known to be above.
 */
static bool run_ticks(struct lvx_load *l, uint32_t streams, uint32_t n, int64_t pace_us, int64_t limit_us,
	struct ticks *out)
{
	uint32_t n_over = 0, may = n / 100;
	static _Thread_local int64_t t[TICKS_MAX];
	int64_t begin = lvx_now_us();
	uint32_t done = 0;
	n = n < TICKS_MAX ? n : TICKS_MAX;
	for (uint32_t i = 0; i < n && n_over <= may; i++) {
		if (pace_us) {
			int64_t wait = begin + (int64_t)i * pace_us - lvx_now_us();
			if (wait > 0)
				lvx_sleep_us(wait);
		}
		enum lvx_status st = lvx_load_tick(l, streams, &t[i]);
		int64_t idle = lvx_now_us();
		if (st == LVX_OK)
			st = lvx_load_idle(l, pace_us ? begin + (i + 1) * pace_us : INT64_MAX);
		if (!pace_us) /* all that there is to do counts */
			t[i] += lvx_now_us() - idle;
		if (st != LVX_OK) {
			printf("  %u streams: %s\n", streams, lvx_status_name(st));
			return false;
		}
		n_over += limit_us && t[i] >= limit_us;
		done = i + 1;
	}
	n = done;
	qsort(t, n, sizeof(t[0]), by_value);
	*out = (struct ticks){t[n / 2], t[n - 1 - n / 100], t[n - 1], n};
	return true;
}

static void batches(const struct bench *b, struct lvx_load *l)
{
	uint32_t rows = lvx_load_rows(l);
	double one_stream = (double)lvx_load_ring_bytes(l), flop = lvx_load_flop(l);
	printf("%8s %9s %9s %9s %9s %9s %9s\n", "streams", "tick ms", "p99 ms", "streams/ms",
		"GB/s", "of copy", "TFLOP/s");
	for (uint32_t n = 1;; n = n * 2 > rows && n < rows ? rows : n * 2) {
		struct ticks t;
		if (n > rows || !run_ticks(l, n, 2, 0, 0, &t))
			break;
		/* about 0.6 s, at least 7 */
		uint32_t rounds = (uint32_t)(600000 / (t.p50 + 1));
		rounds = rounds < 7 ? 7 : rounds > 200 ? 200 : rounds;
		if (!run_ticks(l, n, rounds, 0, 0, &t))
			break;
		double s = (double)t.p50 * 1e-6;
		double gbs = ((double)lvx_load_weight_bytes(l, n) + n * one_stream) / s * 1e-9;
		printf("%8u %9.3f %9.3f %9.2f %9.1f", n, ms(t.p50), ms(t.p99), n / ms(t.p50), gbs);
		if (b->best.copy_gbs > 0.0)
			printf(" %8.2f%%", 100.0 * gbs / b->best.copy_gbs);
		printf(" %9.3f\n", n * flop / s * 1e-12);
		if (t.p50 > 4 * b->model->info.slot_us)
			break;
	}
}

/* At batch 1, and what it would be at the speed at which weights can be read. */
static void single(const struct bench *b, struct lvx_load *l)
{
	struct ticks t;
	if (!run_ticks(l, 1, 10, 0, 0, &t) || !run_ticks(l, 1, 101, 0, 0, &t))
		return;
	double bytes = (double)lvx_load_weight_bytes(l, 1), rings = (double)lvx_load_ring_bytes(l);
	printf("batch 1: %.3f ms a token of each lane; %.1f MB of weights are read", ms(t.p50),
		bytes * 1e-6);
	if (b->best.copy_gbs > 0.0) {
		double at_matvec = bytes / b->best.matvec_gbs * 1e-6;
		double at_copy = (bytes + rings) / b->best.copy_gbs * 1e-6;
		printf("; %.2f times those at the int8 matrix-vector speed (%.3f ms), %.2f times "
		       "weights and rings at the copy speed (%.3f ms)",
			ms(t.p50) / at_matvec, at_matvec, ms(t.p50) / at_copy, at_copy);
	}
	printf("\n");
}

/* ---- the most streams in real time ---- */

static bool holds(struct lvx_load *l, uint32_t n, int64_t slot_us)
{
	struct ticks t;
	return run_ticks(l, n, 3, 0, 0, &t) && t.p50 < slot_us &&
	       run_ticks(l, n, SEARCH_TICKS, 0, slot_us, &t) && t.p99 < slot_us;
}

/* From a guess by proportion in steps of a tenth, until one holds and the next does not. */
static uint32_t search(struct lvx_load *l, int64_t slot_us)
{
	uint32_t rows = lvx_load_rows(l), good = 0, bad = rows + 1;
	struct ticks t;
	uint32_t n = rows < 4 ? 1 : rows / 4;
	if (!run_ticks(l, n, 3, 0, 0, &t) || !run_ticks(l, n, 7, 0, 0, &t))
		return 0;
	double guess = 0.9 * n * (double)slot_us / (double)(t.p50 + 1);
	n = guess >= rows ? rows : guess < 1.0 ? 1 : (uint32_t)guess;
	while (n > good && n < bad) {
		bool ok = holds(l, n, slot_us);
		good = ok ? n : good;
		bad = ok ? bad : n;
		n = ok ? n + n / 10 + 1 : n - n / 10 - (n < 10);
		n = ok && n > rows && good < rows ? rows : n;
	}
	return good;
}

static void *hold(void *arg)
{
	struct worker *w = arg;
	const struct options *o = w->b->o;
	int64_t slot_us = w->b->model->info.slot_us;
	struct ticks t;
	pthread_barrier_wait(w->start);
	uint32_t n = o->streams ? o->streams : w->load ? search(w->load, slot_us) : 0;
	pthread_barrier_wait(w->start); /* all are measured at once */
	uint32_t slots = (uint32_t)(o->seconds * 1000000ull / (uint64_t)slot_us);
	struct lvx_runner_stats begin, end;
	for (bool ok = false; n && !ok; n = ok ? n : n - n / 10 - 1) {
		lvx_runner_get_stats(lvx_load_runner(w->load), &begin);
		if (!run_ticks(w->load, n, slots, slot_us, o->streams ? 0 : slot_us, &t))
			break;
		int64_t late = lvx_load_late(w->load);
		ok = t.p99 < slot_us && late <= LATE_MAX;
		printf("%s: %u streams for %.0f s: tick p50 %.2f, p99 %.2f, most %.2f ms%s%s\n",
			w->device ? w->device : "device", n, t.n * (double)slot_us * 1e-6, ms(t.p50),
			ms(t.p99), ms(t.max), ok ? "" : " (too slow)",
			late > LATE_MAX ? " (pictures too late)" : "");
		lvx_runner_get_stats(lvx_load_runner(w->load), &end);
		printf("  of a tick: %.2f ms in steps, %.2f of them filling in, %.2f waiting for the device\n",
			ms(end.busy_us - begin.busy_us) / t.n, ms(end.fill_us - begin.fill_us) / t.n,
			ms(end.wait_us - begin.wait_us) / t.n);
		w->streams = ok ? n : 0;
		if (o->streams)
			break;
	}
	return NULL;
}

static void held(struct worker *workers, int n)
{
	pthread_barrier_t start;
	uint32_t total = 0;
	pthread_barrier_init(&start, NULL, (unsigned)n);
	for (int i = 0; i < n; i++) {
		workers[i].start = &start;
		if (pthread_create(&workers[i].thread, NULL, hold, &workers[i]) != 0)
			abort();
	}
	for (int i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		total += workers[i].streams;
	}
	pthread_barrier_destroy(&start);
	printf("held in real time: %u streams on %d device%s\n", total, n, n > 1 ? "s" : "");
}

/* ---- where the time goes ---- */

struct op {
	const char *name;
	double us;
	uint32_t n;
};

static int by_time(const void *a, const void *b)
{
	const struct op *x = a, *y = b;
	return (x->us < y->us) - (x->us > y->us);
}

static void show_ops(const struct bench *b, const struct lvx_runner_mark *m, uint32_t n)
{
	struct op ops[64];
	double layers[2] = {0}; /* dense, with experts */
	uint32_t n_ops = 0, counts[2] = {0};
	const struct lvx_config *c = &b->model->config;
	for (uint32_t i = 0; i < c->n_layers; i++)
		counts[c->moe[i]]++;
	for (uint32_t i = 1; i < n; i++) {
		double us = m[i].end_us - m[i - 1].end_us;
		uint32_t k = 0;
		while (k < n_ops && strcmp(ops[k].name, m[i].name) != 0)
			k++;
		if (k == n_ops && n_ops < 64)
			ops[n_ops++] = (struct op){.name = m[i].name};
		ops[k].us += us;
		ops[k].n++;
		if (m[i].layer != LVX_NO_LAYER)
			layers[c->moe[m[i].layer]] += us;
	}
	double all = n ? m[n - 1].end_us : 0.0;
	qsort(ops, n_ops, sizeof(ops[0]), by_time);
	for (uint32_t k = 0; k < n_ops; k++)
		printf("    %-12s %5u x %9.2f us = %10.1f us  %5.1f%%\n", ops[k].name, ops[k].n,
			ops[k].us / ops[k].n, ops[k].us, 100.0 * ops[k].us / all);
	printf("    all %.1f us", all);
	for (int k = 0; k < 2; k++)
		if (counts[k])
			printf("; a layer %s %.1f us", k ? "with experts" : "without", layers[k] / counts[k]);
	uint32_t whole = b->shape ? lvx_shape_layers(b->shape) : c->n_layers;
	if (whole > c->n_layers && counts[1]) {
		double rest = all - layers[0] - layers[1], moe = layers[1] / counts[1];
		double dense = counts[0] ? layers[0] / counts[0] : 0.0;
		printf("; the whole model of %u layers (3 without experts): %.2f ms", whole,
			(rest + 3.0 * dense + (whole - 3) * moe) * 1e-3);
	}
	printf("\n");
}

static void write_trace(const char *path, const struct lvx_runner_mark *m, uint32_t n)
{
	FILE *f = fopen(path, "w");
	if (!f) {
		perror(path);
		return;
	}
	fputs("{\"traceEvents\":[", f);
	for (uint32_t i = 1; i < n; i++) {
		fprintf(f, "%s{\"name\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f",
			i > 1 ? ",\n" : "", m[i].name, m[i - 1].end_us,
			m[i].end_us - m[i - 1].end_us);
		if (m[i].layer != LVX_NO_LAYER)
			fprintf(f, ",\"args\":{\"layer\":%u}", m[i].layer);
		fputs("}", f);
	}
	fputs("]}\n", f);
	if (fclose(f) != 0)
		perror(path);
}

static void profile(const struct bench *b, struct lvx_load *l)
{
	const struct lvx_runner_mark *m;
	uint32_t sizes[2] = {1, lvx_load_rows(l)};
	for (int i = 0; i < 2; i++) {
		struct ticks t;
		if ((i && sizes[1] == 1) || !run_ticks(l, sizes[i], 20, 0, 0, &t))
			continue;
		uint32_t n = lvx_runner_marks(lvx_load_runner(l), &m);
		printf("  one step of %u streams:\n", sizes[i]);
		show_ops(b, m, n);
		if (b->o->trace)
			write_trace(b->o->trace, m, n);
	}
}

/* ---- */

static bool open_model(struct bench *b, struct lvx_error *err)
{
	if (b->o->shape) {
		const struct lvx_shape *shape = lvx_shape_find(b->o->shape, err);
		if (!shape || lvx_shape_open(&b->shape, shape, err) != LVX_OK)
			return false;
		b->model = lvx_shape_get(b->shape);
	} else {
		if (lvx_model_load(&b->loaded, b->o->model, err) != LVX_OK)
			return false;
		b->model = b->loaded;
	}
	for (uint32_t i = 0; i < b->model->info.n_lanes; i++)
		if (!b->o->lanes || strstr(b->o->lanes, b->model->info.lanes[i].name))
			b->lanes |= 1u << i;
	return true;
}

static void *open_worker(void *arg)
{
	struct worker *w = arg;
	const struct options *o = w->b->o;
	struct lvx_error err;
	struct lvx_load_params p = {.model = w->b->model,
		.runner = {.device = w->device,
			.n_rows = o->rows,
			.keep_steps = o->keep,
			.split_runs = o->split,
			.profile = o->profile || o->trace,
			.exact = o->exact,
			.plain_products = o->plain,
			.gpu_kernels = o->gpu_kernels},
		.pcm = o->pcm,
		.lanes = w->b->lanes,
		.pictures = o->pictures,
		.mel = o->mel};
	w->failed = lvx_load_create(&w->load, &p, &err) != LVX_OK;
	if (w->failed)
		fprintf(stderr, "lumivox-bench: %s\n", err.msg);
	return NULL;
}

static enum lvx_status products(
	const struct options *o, const struct lvx_shape *s, struct lvx_error *err)
{
	uint32_t heads = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
	const struct lvx_product list[] = {{"qkv", s->matrices, heads + 2 * kv, s->hidden, false},
		{"out", s->matrices, s->hidden, heads, false},
		{"up", s->matrices, 2 * s->dense, s->hidden, true},
		{"down", s->matrices, s->hidden, s->dense, false}};
	return lvx_products(list, sizeof(list) / sizeof(list[0]),
		o->n_devices ? o->devices[0] : getenv("LVX_DEVICE"), o->positions, o->gpu_kernels, o->plain, err);
}

static int run(const struct options *o)
{
	struct lvx_error err;
	struct bench b = {.o = o};
	struct worker workers[DEVICES_MAX] = {0};
	int rc = 1, n = o->n_devices ? o->n_devices : 1;
	const char *first = o->n_devices ? o->devices[0] : getenv("LVX_DEVICE");
	if (!open_model(&b, &err))
		goto fail;
	printf("%s: %.2f G parameters, %.2f GB; ", b.model->info.name,
		(double)b.model->info.n_params * 1e-9, (double)b.model->info.weight_bytes * 1e-9);
	if (!o->no_ceilings) {
		if (lvx_ceilings_measure(&b.best, first, &err) != LVX_OK)
			goto fail;
		printf("copy %.1f GB/s, int8 matrix-vector %.1f GB/s, product %.3f TFLOP/s; ",
			b.best.copy_gbs, b.best.matvec_gbs, b.best.product_tfs);
		if (b.best.half_tfs > 0.0)
			printf("f16 product %.3f TFLOP/s; ", b.best.half_tfs);
	}
	int64_t t = lvx_now_us();
	for (int i = 0; i < n; i++) {
		workers[i].b = &b;
		workers[i].device = i ? o->devices[i] : first;
		if (pthread_create(&workers[i].thread, NULL, open_worker, &workers[i]) != 0)
			abort();
	}
	bool failed = false;
	for (int i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		failed |= workers[i].failed;
	}
	if (failed)
		goto out;
	struct lvx_load *l = workers[0].load;
	printf("ready in %.1f s\n", (double)(lvx_now_us() - t) * 1e-6);
	printf("%s; room for %u streams; %.2f GB on the device, %.2f MB a stream (rings %.2f), "
	       "%.3f GFLOP a slot\n",
		lvx_runner_device(lvx_load_runner(l))->name, lvx_load_rows(l),
		(double)lvx_runner_device_bytes(lvx_load_runner(l)) * 1e-9,
		(double)lvx_load_stream_bytes(l) * 1e-6, (double)lvx_load_ring_bytes(l) * 1e-6,
		lvx_load_flop(l) * 1e-9);
	single(&b, l);
	if (o->profile || o->trace)
		profile(&b, l);
	if (!o->no_batches)
		batches(&b, l);
	if (!o->no_held)
		held(workers, n);
	if (o->peer)
		lvx_peer(l, o->pcm, o->peer, b.model->info.slot_us);
	rc = 0;
out:
	for (int i = 0; i < n; i++)
		lvx_load_destroy(workers[i].load);
	lvx_shape_close(b.shape);
	lvx_model_destroy(b.loaded);
	return rc;
fail:
	fprintf(stderr, "lumivox-bench: %s\n", err.msg);
	goto out;
}

int main(int argc, char **argv)
{
	enum { SHAPE = 256, MODEL, DEVICE, ROWS, STREAMS, SECONDS, LANES, PCM, TRACE, PEER, WRITE,
		KEEP, SPLIT, PRODUCTS };
	struct options o = {.rows = 16, .seconds = 60};
	setvbuf(stdout, NULL, _IOLBF, 0); /* what a time-out cuts off is kept up to there */
	int flags[9] = {0}, c;
	const struct option list[] = {{"shape", 1, NULL, SHAPE}, {"model", 1, NULL, MODEL},
		{"device", 1, NULL, DEVICE}, {"rows", 1, NULL, ROWS}, {"streams", 1, NULL, STREAMS},
		{"seconds", 1, NULL, SECONDS}, {"lanes", 1, NULL, LANES}, {"pcm", 1, NULL, PCM},
		{"trace", 1, NULL, TRACE}, {"peer", 1, NULL, PEER}, {"write", 1, NULL, WRITE}, {"keep", 1, NULL, KEEP},
		{"split", 1, NULL, SPLIT},
		{"pictures", 0, &flags[0], 1}, {"mel", 0, &flags[1], 1},
		{"no-ceilings", 0, &flags[2], 1}, {"no-held", 0, &flags[3], 1},
		{"no-batches", 0, &flags[4], 1}, {"exact", 0, &flags[5], 1},
		{"plain", 0, &flags[6], 1}, {"gpu-kernels", 0, &flags[7], 1},
		{"profile", 0, &flags[8], 1}, {"products", 2, NULL, PRODUCTS}, {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
	while ((c = getopt_long(argc, argv, "h", list, NULL)) >= 0) {
		char *save = NULL;
		switch (c) {
		case 0:
			break;
		case SHAPE:
			o.shape = optarg;
			break;
		case MODEL:
			o.model = optarg;
			break;
		case DEVICE:
			for (char *d = strtok_r(optarg, ",", &save); d && o.n_devices < DEVICES_MAX;
				d = strtok_r(NULL, ",", &save))
				o.devices[o.n_devices++] = d;
			break;
		case ROWS:
			o.rows = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case STREAMS:
			o.streams = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case SECONDS:
			o.seconds = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case LANES:
			o.lanes = optarg;
			break;
		case KEEP:
			o.keep = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case SPLIT:
			o.split = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case PRODUCTS:
			o.products = true;
			o.positions = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
			break;
		case PCM:
			o.pcm = optarg;
			break;
		case TRACE:
			o.trace = optarg;
			break;
		case PEER:
			o.peer = optarg;
			break;
		case WRITE:
			o.write = optarg;
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	o.pictures = flags[0], o.mel = flags[1], o.no_ceilings = flags[2], o.no_held = flags[3];
	o.no_batches = flags[4], o.exact = flags[5], o.plain = flags[6], o.gpu_kernels = flags[7];
	o.profile = flags[8];
	if (!o.shape == !o.model || ((o.write || o.products) && !o.shape) || o.rows == 0 || o.streams > o.rows ||
		(o.peer && !o.pcm) || optind != argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.write || o.products) {
		struct lvx_error err;
		const struct lvx_shape *shape = lvx_shape_find(o.shape, &err);
		enum lvx_status st = LVX_ENOENT;
		if (shape)
			st = o.write ? lvx_shape_write(shape, o.write, &err) : products(&o, shape, &err);
		if (st == LVX_OK)
			return 0;
		fprintf(stderr, "lumivox-bench: %s\n", err.msg);
		return 1;
	}
	return run(&o);
}
