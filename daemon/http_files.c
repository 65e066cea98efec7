/* SPDX-License-Identifier: Apache-2.0 */
/* Which files HTTP gives away: those of the page, and those of HLS. */
#include "base/file.h"
#include "daemon/outputs/hls_list.h"
#include "daemon/server_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLAYLIST_MAX = 16 << 20 };

const char *lvx_http_type_of(const char *path)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{".html", "text/html; charset=utf-8"},
		{".js", "text/javascript; charset=utf-8"},
		{".mjs", "text/javascript; charset=utf-8"},
		{".css", "text/css; charset=utf-8"},
		{".json", "application/json"},
		{".webmanifest", "application/manifest+json"},
		{".svg", "image/svg+xml"},
		{".png", "image/png"},
		{".ico", "image/x-icon"},
		{".woff2", "font/woff2"},
		{".txt", "text/plain; charset=utf-8"},
		{".vtt", "text/vtt; charset=utf-8"},
		{".wasm", "application/wasm"},
		{".m3u8", "application/vnd.apple.mpegurl"},
		{".m4s", "video/iso.segment"},
		{".mp4", "video/mp4"},
	};
	size_t len = strlen(path);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t n = strlen(types[i].ending);
		if (len > n && strcmp(path + len - n, types[i].ending) == 0)
			return types[i].type;
	}
	return NULL;
}

/* The file that the path means, under root (resolved) and nowhere else. */
static bool find(const char *root, const char *path, char file[PATH_MAX])
{
	char wanted[PATH_MAX];
	size_t n_root = strlen(root);
	struct stat st;
	/* No hidden files, no way up, whatever the decoding made of it. */
	if (n_root == 0 || path[0] != '/' || strstr(path, "/.") || strchr(path, '\\'))
		return false;
	int n = snprintf(wanted, sizeof(wanted), "%s%s%s", root, path,
		path[strlen(path) - 1] == '/' ? "index.html" : "");
	if (n < 0 || (size_t)n >= sizeof(wanted) || !realpath(wanted, file))
		return false;
	return strncmp(file, root, n_root) == 0 && file[n_root] == '/' && lvx_http_type_of(file) &&
	       stat(file, &st) == 0 && S_ISREG(st.st_mode);
}

/* ---- the page ---- */

const char lvx_http_page_headers[] =
	"cache-control: no-cache\r\n"
	"x-content-type-options: nosniff\r\n"
	"referrer-policy: no-referrer\r\n"
	"content-security-policy: default-src 'self'; connect-src 'self' ws: wss:; "
	"media-src * blob: data:; img-src 'self' data: blob:; worker-src 'self' blob:; "
	"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n";

bool lvx_http_find_page(struct lvx_server *server, const char *path, char *file)
{
	return find(server->web_root, path, file);
}

/* ---- HLS ---- */

/* A name never means two things (outputs/hls_dir.h). */
const char lvx_http_hls_headers[] = "cache-control: private, max-age=3600, immutable\r\n"
				    "accept-ranges: none\r\n"
				    "x-content-type-options: nosniff\r\n";

static void read_playlist(struct lws *wsi, const char *file, struct lvx_http_reply *reply)
{
	struct lvx_error err;
	char *text, token[600];
	size_t len;
	if (lvx_file_read(&text, &len, file, PLAYLIST_MAX, &err) != LVX_OK) {
		lvx_http_fail(reply, LVX_API_INTERNAL, "the playlist cannot be read");
		return;
	}
	reply->status = 200;
	reply->type = lvx_http_type_of(file);
	/* Players add nothing to the addresses that they find in it. */
	const char *given = lws_get_urlarg_by_name(wsi, "token=", token, sizeof(token));
	if (given)
		lvx_hls_add_token(&reply->body, text, len, given);
	else
		lvx_text_add(&reply->body, text, len);
	free(text);
}

bool lvx_http_has_hls(struct lvx_server *server, const char *id)
{
	char dir[PATH_MAX], master[PATH_MAX];
	if (!lvx_outputs_hls(server->params.outputs, id, dir))
		return false;
	int n = snprintf(master, sizeof(master), "%s/master.m3u8", dir);
	return n > 0 && (size_t)n < sizeof(master) && access(master, R_OK) == 0;
}

bool lvx_http_find_hls(struct lvx_server *server, struct lws *wsi, const char *path,
	char *file, struct lvx_http_reply *reply)
{
	char id[LVX_ID_MAX + 1], dir[PATH_MAX], root[PATH_MAX];
	path += strlen(LVX_HLS_PATH);
	size_t n = strcspn(path, "/");
	snprintf(id, sizeof(id), "%.*s", n < sizeof(id) ? (int)n : 0, path);
	if (!lvx_id_valid(id) || !lvx_outputs_hls(server->params.outputs, id, dir) ||
		!realpath(dir, root) || !find(root, path + n, file)) {
		lvx_http_fail(reply, LVX_API_NOT_FOUND, "there is no such HLS file (--hls)");
		return false;
	}
	n = strlen(file);
	if (n < 5 || strcmp(file + n - 5, ".m3u8") != 0)
		return true;
	read_playlist(wsi, file, reply);
	return false;
}
