/* SPDX-License-Identifier: Apache-2.0 */
/* Shows what the daemon sends: words as text or subtitles, or the events as they are. */
#ifndef LVX_CLIENTS_SHOW_H
#define LVX_CLIENTS_SHOW_H

#include "clients/cli/output.h"

#include <jansson.h>

struct show {
	enum out_format format;
	const char *lanes; /* comma separated, or NULL: all */
	bool quiet;        /* no state and gap lines on stderr */
	/* From here on the module's own. */
	struct out *out;
	char names[OUT_LANES_MAX][32];
	uint32_t n_lanes;
};

/* The wanted lanes as an array for a request, or NULL for all. The caller owns it. */
json_t *show_lanes(const struct show *s);
/* One text, state, gap, activity or end event. False: stdout does not take it. */
bool show_event(struct show *s, const json_t *event);
void show_finish(struct show *s);

#endif
