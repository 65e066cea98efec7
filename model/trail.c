/* SPDX-License-Identifier: Apache-2.0 */
#include "model/trail.h"

#include <stdlib.h>
#include <string.h>

struct lvx_trail *lvx_trail_create(size_t n_values)
{
	struct lvx_trail *t =
		calloc(1, sizeof(*t) + LVX_TRAIL_ENTRIES * n_values * sizeof(t->values[0]));
	if (t)
		t->n_values = n_values;
	return t;
}

void lvx_trail_add(struct lvx_trail *t, const struct lvx_trail_entry *entry, const float *values)
{
	t->entries[t->n % LVX_TRAIL_ENTRIES] = *entry;
	if (values)
		memcpy(lvx_trail_values(t, t->n), values, t->n_values * sizeof(*values));
	t->n++;
}
