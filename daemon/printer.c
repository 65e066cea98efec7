/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/printer.h"

#include "base/log.h"
#include "daemon/event_json.h"
#include "daemon/text.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS_MAX = 512, LINE = 72 };

struct followed {
	struct lvx_hub_stream *stream; /* referenced */
	struct lvx_hub_reader reader;
	struct lvx_text lines[LVX_LANES_MAX]; /* words of a line that is not full yet */
	int64_t begin_us[LVX_LANES_MAX];
	char names[LVX_LANES_MAX][24];
};

struct lvx_printer {
	struct lvx_hub *hub;
	struct lvx_bell *bell;
	pthread_t thread;
	_Atomic bool stop;
	struct followed *followed; /* [n]; the thread only */
	size_t n;
};

static void ring(void *user)
{
	struct lvx_printer *p = user;
	lvx_bell_ring(p->bell);
}

static void print_line(struct followed *f, uint32_t lane)
{
	struct lvx_text *line = &f->lines[lane];
	if (line->len == 0)
		return;
	int64_t s = f->begin_us[lane] / 1000000;
	printf("%s %2" PRId64 ":%02d.%d %s %s\n", lvx_hub_id(f->stream), s / 60, (int)(s % 60),
		(int)(f->begin_us[lane] / 100000 % 10), f->names[lane], line->data);
	lvx_text_clear(line);
}

static void print_text(struct followed *f, const struct lvx_hub_event *e)
{
	json_t *root = lvx_event_json(e);
	if (!root)
		return;
	struct lvx_text *line = &f->lines[e->lane];
	const char *lane = json_string_value(json_object_get(root, "lane"));
	snprintf(f->names[e->lane], sizeof(f->names[0]), "%s", lane ? lane : "");
	struct lvx_event_word w;
	for (size_t i = 0; lvx_event_word(root, &i, &w);) {
		if (line->len == 0)
			f->begin_us[e->lane] = w.start_us;
		lvx_text_word(line, w.text);
	}
	if (lvx_event_ends_segment(root) || line->len > LINE)
		print_line(f, e->lane);
	json_decref(root);
}

static struct followed *follow(struct lvx_printer *p, struct lvx_hub_stream *stream)
{
	for (size_t i = 0; i < p->n; i++) {
		if (p->followed[i].stream == stream)
			return &p->followed[i];
	}
	struct followed *more = realloc(p->followed, (p->n + 1) * sizeof(*more));
	if (!more)
		abort();
	p->followed = more;
	struct followed *f = &more[p->n++];
	*f = (struct followed){.stream = stream, .reader = {.next = 1, .lanes = UINT32_MAX}};
	return f;
}

static void unfollow(struct lvx_printer *p, size_t i)
{
	struct followed *f = &p->followed[i];
	for (uint32_t lane = 0; lane < LVX_LANES_MAX; lane++) {
		print_line(f, lane);
		lvx_text_finish(&f->lines[lane]);
	}
	lvx_hub_unref(f->stream);
	*f = p->followed[--p->n];
}

/* Prints all that is new of one stream. */
static void print_news(struct followed *f)
{
	struct lvx_hub_event *e;
	for (;;) {
		enum lvx_status st = lvx_hub_next(f->stream, &f->reader, &e);
		if (st == LVX_GAP) {
			uint64_t next;
			printf("%s: the terminal was too slow; some text is missing\n",
				lvx_hub_id(f->stream));
			lvx_hub_range(f->stream, &f->reader.next, &next);
			continue;
		}
		if (st != LVX_OK)
			return;
		if (e->kind == LVX_HUB_TEXT)
			print_text(f, e);
		lvx_hub_event_unref(e);
	}
}

static void *printer_thread(void *arg)
{
	struct lvx_printer *p = arg;
	struct lvx_hub_stream *streams[STREAMS_MAX];
	bool stop;
	do {
		stop = atomic_load(&p->stop);
		size_t n = lvx_hub_list(p->hub, streams, STREAMS_MAX);
		for (size_t i = 0; i < n; i++) {
			size_t before = p->n;
			struct followed *f = follow(p, streams[i]);
			if (p->n == before)
				lvx_hub_unref(streams[i]); /* it has one already */
			print_news(f);
		}
		/* Those that are no longer listed. */
		for (size_t i = p->n; i-- > 0;) {
			bool listed = false;
			for (size_t k = 0; k < n; k++)
				listed = listed || streams[k] == p->followed[i].stream;
			if (!listed || stop) {
				print_news(&p->followed[i]);
				unfollow(p, i);
			}
		}
		fflush(stdout);
		if (!stop)
			lvx_bell_wait(p->bell, -1);
	} while (!stop);
	return NULL;
}

enum lvx_status lvx_printer_create(
	struct lvx_printer **out, struct lvx_hub *hub, struct lvx_error *err)
{
	struct lvx_printer *p = calloc(1, sizeof(*p));
	if (!p)
		return lvx_fail(err, LVX_ENOMEM, "printer: out of memory");
	p->hub = hub;
	enum lvx_status st = lvx_bell_create(&p->bell, err);
	if (st != LVX_OK)
		goto fail;
	int rc = pthread_create(&p->thread, NULL, printer_thread, p);
	if (rc != 0) {
		st = lvx_fail(err, LVX_EIO, "printer: no thread: %s", strerror(rc));
		goto fail;
	}
	lvx_hub_on_news(hub, ring, p);
	*out = p;
	return LVX_OK;
fail:
	lvx_bell_destroy(p->bell);
	free(p);
	return st;
}

void lvx_printer_destroy(struct lvx_printer *p)
{
	if (!p)
		return;
	atomic_store(&p->stop, true);
	lvx_bell_ring(p->bell);
	pthread_join(p->thread, NULL);
	free(p->followed);
	lvx_bell_destroy(p->bell);
	free(p);
}
