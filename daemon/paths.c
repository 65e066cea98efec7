/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Is there a folder base + up + rest? Then its resolved path is in out. */
static bool is_folder(char out[PATH_MAX], const char *base, const char *up, const char *rest)
{
	char path[PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s%s/%s", base, up, rest);
	return n > 0 && (size_t)n < sizeof(path) && realpath(path, out) && stat(out, &st) == 0 &&
	       S_ISDIR(st.st_mode);
}

bool lvx_path_find(char out[PATH_MAX], const char *installed, const char *source)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(exe, '/');
	if (slash)
		*slash = '\0';
	/* PREFIX/bin/x next to PREFIX/share/lumivox; BUILD/daemon/x next to the sources. */
	return is_folder(out, exe, "/../share/lumivox", installed) ||
	       is_folder(out, exe, "/../..", source) || is_folder(out, ".", "", source) ||
	       is_folder(out, LVX_DATADIR, "", installed);
}
