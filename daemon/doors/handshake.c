/* SPDX-License-Identifier: Apache-2.0 */
/* Before a door opens: its arguments, and the places where clients put their token. */
#include "daemon/doors/door_priv.h"

#include "daemon/auth.h"

#include <string.h>
#include <strings.h>

bool lvx_door_read_args(struct lws *wsi, struct lvx_door_args *args, struct lvx_text *text)
{
	size_t starts[LVX_DOOR_ARGS_MAX];
	char arg[1024];
	bool whole = true;
	args->n = 0;
	for (int i = 0; lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i) > 0; i++) {
		int n = lws_hdr_copy_fragment(wsi, arg, sizeof(arg), WSI_TOKEN_HTTP_URI_ARGS, i);
		if (n < 0 || args->n == LVX_DOOR_ARGS_MAX) {
			whole = false;
			break;
		}
		starts[args->n++] = text->len;
		lvx_text_add(text, arg, (size_t)n);
		lvx_text_add(text, "", 1);
	}
	for (size_t i = 0; i < args->n; i++)
		args->arg[i] = text->data + starts[i];
	return whole;
}

bool lvx_door_check(struct lws *wsi, const struct lvx_door_protocol *protocol,
	const struct lvx_model_info *model, struct lvx_http_reply *reply)
{
	struct lvx_door_args args;
	struct lvx_text text = {0};
	struct lvx_error err = {0};
	enum lvx_status st = LVX_OK;
	if (!lvx_door_read_args(wsi, &args, &text))
		st = lvx_fail(&err, LVX_EINVAL, "query: at most %d parameters of 1,023 bytes",
			LVX_DOOR_ARGS_MAX);
	else if (protocol->check)
		st = protocol->check(&args, model, &err);
	if (st != LVX_OK)
		lvx_http_fail(reply, lvx_api_code_of(st), "%s", err.msg);
	lvx_text_finish(&text);
	return st == LVX_OK;
}

/* "token, KEY", "bearer, KEY" or "realtime, openai-insecure-api-key.KEY". */
static bool subprotocol_fits(char *list, const char *token)
{
	static const char openai[] = "openai-insecure-api-key.";
	bool named = false;
	char *rest = NULL;
	for (char *p = strtok_r(list, ", ", &rest); p; p = strtok_r(NULL, ", ", &rest)) {
		if (named && lvx_auth_same(token, p))
			return true;
		if (strncmp(p, openai, sizeof(openai) - 1) == 0 &&
			lvx_auth_same(token, p + sizeof(openai) - 1))
			return true;
		named = strcmp(p, "token") == 0 || strcmp(p, "bearer") == 0;
	}
	return false;
}

bool lvx_door_token_fits(struct lws *wsi, const char *token)
{
	char value[600];
	if (lws_hdr_copy(wsi, value, sizeof(value), WSI_TOKEN_HTTP_AUTHORIZATION) > 0 &&
		strncasecmp(value, "Token ", 6) == 0 &&
		lvx_auth_same(token, value + 6 + strspn(value + 6, " ")))
		return true;
	return lws_hdr_copy(wsi, value, sizeof(value), WSI_TOKEN_PROTOCOL) > 0 &&
	       subprotocol_fits(value, token);
}
