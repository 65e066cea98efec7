/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/event_log.h"

#include "base/clock.h"
#include "daemon/caption_file.h"
#include "daemon/json_out.h"

#include <inttypes.h>
#include <stdlib.h>

struct range {
	uint64_t from, to; /* seq; to 0: nothing */
};

struct lvx_event_log {
	struct lvx_caption_file_params file_params;
	int64_t roll_us;
	struct lvx_caption_file *file; /* NULL: nothing has been written yet */
	struct lvx_text lines;
	struct range gathered, lost;
};

struct lvx_event_log *lvx_event_log_create(
	const char *dir, struct lvx_hub_stream *stream, int64_t roll_us)
{
	struct lvx_event_log *log = calloc(1, sizeof(*log));
	if (!log)
		abort();
	log->roll_us = roll_us;
	log->file_params = (struct lvx_caption_file_params){.dir = dir,
		.stream = lvx_hub_id(stream),
		.epoch = lvx_hub_epoch(stream),
		.part = 1,
		.format = LVX_CAPTION_EVENTS};
	return log;
}

void lvx_event_log_destroy(struct lvx_event_log *log)
{
	if (!log)
		return;
	lvx_caption_file_close(log->file);
	lvx_text_finish(&log->lines);
	free(log);
}

static void gather(struct lvx_event_log *log, uint64_t from, uint64_t to)
{
	if (log->gathered.to == 0)
		log->gathered.from = from;
	log->gathered.to = to;
}

/* A JSON object as it went out, and when. */
static void add_line(struct lvx_text *lines, const char *json, size_t len)
{
	lvx_text_add(lines, json, len - 1);
	lvx_text_printf(lines, ",\"wall_us\":%" PRId64 "}\n", lvx_wall_us());
}

static void add_gap(
	struct lvx_event_log *log, struct lvx_text *lines, struct range missing, const char *why)
{
	struct lvx_event_key key = {log->file_params.stream, log->file_params.epoch, 0};
	struct lvx_text t = {0};
	lvx_json_out_event_gap(&t, &key, missing.from, missing.to, why);
	add_line(lines, t.data, t.len);
	lvx_text_finish(&t);
}

void lvx_event_log_add(struct lvx_event_log *log, const struct lvx_hub_event *e)
{
	gather(log, e->seq, e->seq);
	add_line(&log->lines, e->data + LVX_EVENT_HEADROOM, e->len);
}

void lvx_event_log_miss(struct lvx_event_log *log, uint64_t from_seq, uint64_t to_seq)
{
	gather(log, from_seq, to_seq);
	add_gap(log, &log->lines, (struct range){from_seq, to_seq}, "history");
}

size_t lvx_event_log_gathered(const struct lvx_event_log *log)
{
	return log->lines.len;
}

static enum lvx_status write_lines(
	struct lvx_event_log *log, const struct lvx_text *lines, struct lvx_error *err)
{
	enum lvx_status st = LVX_OK;
	if (!log->file)
		st = lvx_caption_file_create(&log->file, &log->file_params, err);
	if (st == LVX_OK)
		st = lvx_caption_file_add_lines(log->file, lines->data, lines->len, err);
	return st;
}

enum lvx_status lvx_event_log_write(struct lvx_event_log *log, int64_t at_us, struct lvx_error *err)
{
	uint32_t part = 1 + (log->roll_us > 0 && at_us > 0 ? (uint32_t)(at_us / log->roll_us) : 0);
	struct lvx_text lines = {0};
	if (log->gathered.to == 0)
		return LVX_OK;
	if (part != log->file_params.part) {
		lvx_caption_file_close(log->file);
		log->file = NULL;
		log->file_params.part = part;
	}
	if (log->lost.to > 0)
		add_gap(log, &lines, log->lost, "disk");
	lvx_text_add(&lines, log->lines.data, log->lines.len);
	enum lvx_status st = write_lines(log, &lines, err);
	if (st == LVX_OK)
		log->lost = (struct range){0};
	else if (log->lost.to > 0)
		log->lost.to = log->gathered.to;
	else
		log->lost = log->gathered;
	log->gathered = (struct range){0};
	lvx_text_clear(&log->lines);
	lvx_text_finish(&lines);
	return st;
}
