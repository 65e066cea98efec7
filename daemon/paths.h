/* SPDX-License-Identifier: Apache-2.0 */
/* Where things lie that come with the program. Free-threaded. */
#ifndef LVX_DAEMON_PATHS_H
#define LVX_DAEMON_PATHS_H

#include <limits.h>
#include <stdbool.h>

/*
 * A folder that came with the program: `installed` below its data folder
 * ("weights/m3-nano"), or `source` below the source tree that it was built in or
 * the working directory ("model/weights/m3-nano"). False: it is in none of them.
 */
bool lvx_path_find(char out[PATH_MAX], const char *installed, const char *source);

/* The model that ships with Lumivox. */
static inline bool lvx_path_default_model(char out[PATH_MAX])
{
	return lvx_path_find(out, "weights/m3-nano", "model/weights/m3-nano");
}

#endif
