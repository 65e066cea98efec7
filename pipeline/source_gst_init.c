/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/source_gst.h"

#include "base/log.h"

#include <gio/gio.h>
#include <gst/tag/tag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GQuark source_quark(void)
{
	return g_quark_from_static_string("lvx-source");
}

void lvx_gst_watch_log(GstElement *pipeline, struct lvx_gst *g)
{
	g_object_set_qdata(G_OBJECT(pipeline), source_quark(), g);
}

/*
 * Two things are told by the log only: that a decoder gave up a frame ("error:
 * ..." of its base class), and why an HTTP connection failed. They are counted
 * and kept for the source in whose pipeline the element is.
 */
static void heed(GObject *object, const char *category, const char *text)
{
	static const char failed[] = "Sending message failed: ";
	bool decoder = (strcmp(category, "audiodecoder") == 0 ||
			       strcmp(category, "videodecoder") == 0) &&
		       strncmp(text, "error: ", 7) == 0;
	bool http = strcmp(category, "souphttpsrc") == 0 &&
		    strncmp(text, failed, sizeof(failed) - 1) == 0;
	bool demuxer = g_str_has_suffix(category, "demux") && strncmp(text, "error: ", 7) == 0;
	if ((!decoder && !http && !demuxer) || !object || !GST_IS_ELEMENT(object))
		return;
	GstObject *o = gst_object_ref(GST_OBJECT(object));
	while (o) {
		struct lvx_gst *g = g_object_get_qdata(G_OBJECT(o), source_quark());
		if (g && decoder) {
			atomic_fetch_add(&g->decode_errors, 1);
		} else if (g && demuxer) {
			pthread_mutex_lock(&g->lock);
			if (!g->broken[0])
				g_strlcpy(g->broken, text + 7, sizeof(g->broken));
			pthread_mutex_unlock(&g->lock);
		} else if (g) {
			pthread_mutex_lock(&g->lock);
			g_strlcpy(g->why, text + sizeof(failed) - 1, sizeof(g->why));
			pthread_mutex_unlock(&g->lock);
		}
		GstObject *parent = g ? NULL : gst_object_get_parent(o);
		gst_object_unref(o);
		o = parent;
	}
}

static void on_log(GstDebugCategory *category, GstDebugLevel level, const gchar *file,
	const gchar *function, gint line, GObject *object, GstDebugMessage *message, gpointer user)
{
	(void)file;
	(void)function;
	(void)line;
	(void)user;
	if (level > GST_LEVEL_DEBUG)
		return;
	const gchar *text = gst_debug_message_get(message);
	if (!text)
		return;
	const char *name = gst_debug_category_get_name(category);
	heed(object, name, text);
	if (level <= GST_LEVEL_WARNING)
		lvx_log_debug("gstreamer: %s: %s", name, text);
}

static struct lvx_error init_error;

/*
 * Plug-ins of the network (rtmp2, soup) meet these types first, in threads of their own. One that
 * registers a type while another sets up a class that asks for it wait for each other in GLib for
 * good; what is there before the threads are cannot.
 */
static void know_sockets(void)
{
	const GType types[] = {G_TYPE_SOCKET_ADDRESS, G_TYPE_INET_SOCKET_ADDRESS,
		G_TYPE_NETWORK_ADDRESS, G_TYPE_SOCKET, G_TYPE_SOCKET_CLIENT,
		G_TYPE_TCP_CONNECTION, G_TYPE_PROXY_ADDRESS};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		(void)g_type_class_ref(types[i]); /* kept for the life of the process */
}

static void init_once(void)
{
	GError *error = NULL;
	/* A scan of plug-ins in a fork of a process with threads can hang. */
	gst_registry_fork_set_enabled(FALSE);
	if (!gst_init_check(NULL, NULL, &error)) {
		lvx_fail(&init_error, LVX_EIO, "gstreamer: %s", error ? error->message : "init");
		g_clear_error(&error);
		return;
	}
	know_sockets();
	/* In parentheses: the macros of the same names are not ISO C. */
	(gst_debug_remove_log_function)(gst_debug_log_default);
	(gst_debug_add_log_function)(on_log, NULL, NULL);
	if (!getenv("GST_DEBUG")) {
		gst_debug_set_active(TRUE);
		gst_debug_set_default_threshold(GST_LEVEL_WARNING);
	}
	gst_debug_set_threshold_for_name("souphttpsrc", GST_LEVEL_DEBUG);
	/* Unlike rtmpsrc's, its connecting can be interrupted. */
	GstPluginFeature *f = gst_registry_lookup_feature(gst_registry_get(), "rtmp2src");
	if (f) {
		gst_plugin_feature_set_rank(f, GST_RANK_PRIMARY + 10);
		gst_object_unref(f);
	}
}

enum lvx_status lvx_gst_init(struct lvx_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, init_once);
	if (init_error.status != LVX_OK)
		return lvx_fail(err, init_error.status, "%s", init_error.msg);
	return LVX_OK;
}

static const char *words(const GError *e)
{
	if (e->domain == GST_RESOURCE_ERROR) {
		switch (e->code) {
		case GST_RESOURCE_ERROR_NOT_FOUND:
			return "not found";
		case GST_RESOURCE_ERROR_NOT_AUTHORIZED:
			return "access denied";
		case GST_RESOURCE_ERROR_OPEN_READ:
		case GST_RESOURCE_ERROR_OPEN_READ_WRITE:
			return "cannot be opened";
		case GST_RESOURCE_ERROR_READ:
			return "reading failed";
		case GST_RESOURCE_ERROR_BUSY:
			return "is busy";
		default:
			return "input failed";
		}
	}
	if (e->domain == GST_STREAM_ERROR) {
		switch (e->code) {
		case GST_STREAM_ERROR_TYPE_NOT_FOUND:
		case GST_STREAM_ERROR_WRONG_TYPE:
			return "is no media that can be decoded";
		case GST_STREAM_ERROR_CODEC_NOT_FOUND:
			return "no decoder for this media";
		case GST_STREAM_ERROR_DECRYPT:
		case GST_STREAM_ERROR_DECRYPT_NOKEY:
			return "is encrypted";
		case GST_STREAM_ERROR_DEMUX:
			return "the container is broken or truncated";
		case GST_STREAM_ERROR_DECODE:
			return "decoding failed";
		default:
			return "is broken or no media";
		}
	}
	if (e->domain == GST_CORE_ERROR && e->code == GST_CORE_ERROR_MISSING_PLUGIN)
		return "no decoder for this media";
	return "failed";
}

void lvx_gst_describe(const GError *error, const char *debug, char *out, size_t size)
{
	if (debug && strstr(debug, "reason not-linked")) {
		snprintf(out, size, "its streams changed in the middle in a way that GStreamer "
				    "cannot follow");
		return;
	}
	/* GStreamer puts "file(line): function (): path:\n" before what matters. */
	const char *more = debug ? strchr(debug, '\n') : NULL;
	more = more ? more + 1 : "";
	int len = (int)strcspn(more, "\n");
	/* souphttpsrc repeats the URL, with what is secret in it. */
	const char *url = strstr(more, ", URL:");
	if (url && url - more < len)
		len = (int)(url - more);
	snprintf(out, size, "%s (%s%s%.*s)", words(error), error->message, len ? " " : "",
		len < 160 ? len : 160, more);
}

bool lvx_gst_transient(const GError *e)
{
	return e->domain == GST_RESOURCE_ERROR && e->code != GST_RESOURCE_ERROR_NOT_FOUND &&
	       e->code != GST_RESOURCE_ERROR_NOT_AUTHORIZED;
}

/* The two-letter code of a language tag of any kind, or what is given. */
static const char *short_code(const char *language, char *buf, size_t size)
{
	g_strlcpy(buf, language, size);
	buf[strcspn(buf, "-_")] = '\0';
	for (char *p = buf; *p; p++)
		*p = g_ascii_tolower(*p);
	const char *code = gst_tag_get_language_code_iso_639_1(buf);
	return code ? code : buf;
}

bool lvx_gst_has_language(const GstTagList *tags, const char *wanted)
{
	gchar *code = NULL;
	char a[16], b[16];
	bool match = gst_tag_list_get_string(tags, GST_TAG_LANGUAGE_CODE, &code) &&
		     strcmp(short_code(code, a, sizeof(a)), short_code(wanted, b, sizeof(b))) == 0;
	g_free(code);
	return match;
}
