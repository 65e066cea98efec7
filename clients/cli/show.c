/* SPDX-License-Identifier: Apache-2.0 */
#include "clients/cli/show.h"

#include "clients/cli/cli.h"

#include <string.h>

json_t *show_lanes(const struct show *s)
{
	if (!s->lanes)
		return NULL;
	json_t *list = json_array();
	for (const char *p = s->lanes; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");
		json_array_append_new(list, json_stringn(p, len));
		p += len;
	}
	return list;
}

static const char *str(const json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));
	return s ? s : "";
}

/* The writer is made with the first words, when it is known how many lanes there are. */
static void show_hello(struct show *s, const json_t *lanes)
{
	size_t n = json_array_size(lanes);
	json_t *wanted = show_lanes(s);
	struct out_params p = {.to = stdout, .format = s->format, .as_they_come = true};
	for (size_t i = 0; i < n && p.n_lanes < OUT_LANES_MAX; i++) {
		const char *name = json_string_value(json_array_get(lanes, i));
		bool want = !wanted;
		for (size_t k = 0; k < json_array_size(wanted); k++)
			want = want || !strcmp(json_string_value(json_array_get(wanted, k)), name);
		snprintf(s->names[p.n_lanes], sizeof(s->names[0]), "%s", name);
		p.lanes[p.n_lanes] = s->names[p.n_lanes];
		p.wanted |= (uint32_t)want << p.n_lanes;
		p.n_lanes++;
	}
	json_decref(wanted);
	if (s->format == OUT_SRT || s->format == OUT_VTT)
		p.wanted &= ~p.wanted + 1; /* one lane: the first */
	s->n_lanes = p.n_lanes;
	s->out = out_create(&p);
}

static void show_text(struct show *s, const json_t *event)
{
	size_t i;
	const json_t *w;
	uint32_t lane = 0;
	const char *name = str(event, "lane");
	while (lane < s->n_lanes && strcmp(s->names[lane], name) != 0)
		lane++;
	if (!s->out)
		return;
	json_array_foreach(json_object_get(event, "words"), i, w)
	{
		out_word(s->out, lane,
			&(struct out_word){.text = str(w, "text"),
				.start_us = json_integer_value(json_object_get(w, "start_us")),
				.end_us = json_integer_value(json_object_get(w, "end_us")),
				.confidence = json_number_value(json_object_get(w, "confidence"))});
	}
	if (json_is_true(json_object_get(event, "segment_end")))
		out_segment_end(s->out, lane);
}

bool show_event(struct show *s, const json_t *event)
{
	const char *type = str(event, "type");
	if (!strcmp(type, "subscribed")) {
		if (!s->out && s->format != OUT_JSON)
			show_hello(s, json_object_get(event, "lanes"));
		return true;
	}
	if (!json_object_get(event, "stream")) /* hello, pong: not of the stream */
		return true;
	if (s->format == OUT_JSON) {
		json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
		putchar('\n');
		return fflush(stdout) == 0;
	}
	if (!strcmp(type, "text")) {
		show_text(s, event);
	} else if (!strcmp(type, "state") && !s->quiet) {
		const char *message = str(event, "message");
		fprintf(stderr, "[%s%s%s]\n", str(event, "state"), *message ? ": " : "", message);
	} else if (!strcmp(type, "gap")) {
		if (!strcmp(str(event, "what"), "media"))
			fprintf(stderr, "[%.1f s of the programme are missing]\n",
				(double)(json_integer_value(json_object_get(event, "end_us")) -
					 json_integer_value(json_object_get(event, "start_us"))) /
					1e6);
		else
			fprintf(stderr, "[some captions are missing: %s]\n", str(event, "reason"));
	}
	return !ferror(stdout);
}

void show_finish(struct show *s)
{
	if (s->out) {
		out_finish(s->out);
		out_destroy(s->out);
		s->out = NULL;
	}
}
