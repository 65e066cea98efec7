/* SPDX-License-Identifier: Apache-2.0 */
/* Which lanes of a loaded model a command line asks for. */
#ifndef LVX_CLIENTS_LANES_H
#define LVX_CLIENTS_LANES_H

#include "clients/cli/output.h"
#include "model/model.h"

struct lane_wish {
	const char *lanes;        /* comma separated, or NULL: captions, and what else is asked for */
	const char *translate_to; /* or NULL */
	const char *language;     /* that is spoken; NULL: the model finds out */
	bool describe;            /* the description lane too */
	bool one_only;            /* srt and vtt hold one lane */
	long delay_ms;            /* -1: the model's usual one */
};

struct lane_choice {
	uint32_t n;                           /* lanes of the model */
	const char *names[OUT_LANES_MAX];     /* borrowed from the model */
	const char *languages[OUT_LANES_MAX]; /* NULL where it could be one of several */
	uint32_t computed, wanted;            /* bits */
	const char *translate_to;             /* or NULL */
	uint32_t delay_slots;                 /* 0: the model's usual one */
};

/* The choice borrows from the wish. False: wrong usage, which has been said on stderr. */
bool lane_choose(struct lane_choice *out, const struct lvx_model_info *model,
	const struct lane_wish *wish);

/* LVX_MODEL, the folder of a checkout, or where it is installed. Static storage. */
const char *lane_default_model(void);

#endif
