/* SPDX-License-Identifier: Apache-2.0 */
/* The options that there are, and values as text into the settings. */
#include "daemon/settings_priv.h"

#include "daemon/caption_file.h"
#include "daemon/hold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#define D(field) offsetof(struct lvx_settings, field)
#define S(field) offsetof(struct lvx_stream_settings, field)

/* Short names for the table. */
enum { FLAG = LVX_OPTION_FLAG, DAEMON = LVX_OPTION_DAEMON, STREAM = LVX_OPTION_STREAM };
#define STRING LVX_OPTION_STRING
#define LIST LVX_OPTION_LIST
#define NUMBER LVX_OPTION_NUMBER
#define SECONDS LVX_OPTION_SECONDS
#define BOOL LVX_OPTION_BOOL
#define CHOICE LVX_OPTION_CHOICE
#define ACTION LVX_OPTION_ACTION

const struct lvx_option lvx_options[] = {
	{"config", FLAG, STRING, 0, 0, 0, "FILE", "read FILE (INI: [daemon], [stream ID])"},
	{"model", FLAG | DAEMON, STRING, D(model), 0, 0, "DIR", "the model's folder"},
	{"device", FLAG | DAEMON, STRING, D(device), 0, 0, "NAME",
		"compute device: an index of --list-compute, or a part of its name; several with commas "
		"between, or all: the streams are spread (the best; of a CPU one for each core)"},
	{"trace", FLAG | DAEMON, STRING, D(trace), 0, 0, "FILE",
		"write what the devices do and when, for Chrome's tracing page or Perfetto"},
	{"rows", FLAG | DAEMON, NUMBER, D(rows), 1, 4096, "N", "streams at once (16)"},
	{"viewer-rows", FLAG | DAEMON, NUMBER, D(viewer_rows), 0, 4096, "N",
		"of these, rows for languages and lanes that viewers ask for (half)"},
	{"viewer-linger", FLAG | DAEMON, SECONDS, D(viewer_linger_s), 0, 3600, "SEC",
		"they stay so long without a viewer (10)"},
	{"max-streams", FLAG | DAEMON, NUMBER, D(rows), 1, 4096, "N", "the same"},
	{"port", FLAG | DAEMON, NUMBER, D(port), 0, 65535, "N", "port (8437); 0: any free one"},
	{"bind", FLAG | DAEMON, STRING, D(bind), 0, 0, "ADDR",
		"address (127.0.0.1); others than loopback need a token"},
	{"token", FLAG | DAEMON, STRING, D(token), 0, 0, "TOKEN",
		"clients must show it (better: --token-file, or LVX_TOKEN)"},
	{"token-file", FLAG | DAEMON, STRING, D(token_file), 0, 0, "FILE",
		"the first line of FILE"},
	{"operator-token", FLAG | DAEMON, STRING, D(operator_token), 0, 0, "TOKEN",
		"who changes streams or corrects lines must show this one"},
	{"operator-token-file", FLAG | DAEMON, STRING, D(operator_token_file), 0, 0, "FILE",
		"the first line of FILE"},
	{"allow-origin", FLAG | DAEMON, LIST, D(allow_origin), 0, 0, "ORIGIN",
		"web origins besides our own, e.g. https://example.org; may be repeated"},
	{"allow-schemes", FLAG | DAEMON, STRING, D(allow_schemes), 0, 0, "LIST",
		"what streams made over the network may use (https,http,rtsp,srt,rtmp)"},
	{"tls-cert", FLAG | DAEMON, STRING, D(tls_cert), 0, 0, "FILE", "PEM certificate chain"},
	{"tls-key", FLAG | DAEMON, STRING, D(tls_key), 0, 0, "FILE", "PEM key"},
	{"web-root", FLAG | DAEMON, STRING, D(web_root), 0, 0, "DIR", "the page's folder"},
	{"history", FLAG | DAEMON, NUMBER, D(history), 16, 1 << 20, "N",
		"events kept of a stream (4096)"},
	{"slow-after", FLAG | DAEMON, SECONDS, D(slow_after_s), 0.1, 3600, "SEC",
		"drop a viewer that has not read for so long (20)"},
	{"max-connections", FLAG | DAEMON, NUMBER, D(max_connections), 1, 100000, "N",
		"WebSockets at once (1024)"},
	{"compress", FLAG | DAEMON, BOOL, D(compress), 0, 0, NULL,
		"compress WebSockets (permessage-deflate), for some 70 KiB each"},
	{"log-level", FLAG | DAEMON, STRING, D(log_level), 0, 0, "LEVEL",
		"error, warn, info or debug"},
	{"exit-when-done", FLAG | DAEMON, BOOL, D(exit_when_done), 0, 0, NULL,
		"end when every stream has ended; 1 if one failed"},
	{"print", FLAG | DAEMON, BOOL, D(print), 0, 0, NULL, "print the text on stdout"},
	{"quiet", FLAG | DAEMON, BOOL, D(quiet), 0, 0, NULL, "warnings and errors only"},

	{"uri", STREAM, STRING, S(uri), 0, 0, "URI", ""},
	{"pace", FLAG | DAEMON | STREAM, CHOICE, S(pace), 0, 0, "clock|max",
		"files at their own speed (clock), or as fast as can be"},
	{"live", FLAG | DAEMON | STREAM, BOOL, S(live), 0, 0, NULL,
		"reconnect, also where the scheme does not tell that it is live"},
	{"audio-track", FLAG | DAEMON | STREAM, STRING, S(audio_track), 0, 0, "N|LANG",
		"audio track by number or language"},
	{"channel", FLAG | DAEMON | STREAM, NUMBER, S(channel), 0, 63, "N",
		"take this channel rather than mix all"},
	{"lanes", FLAG | DAEMON | STREAM, STRING, S(lanes), 0, 0, "LIST",
		"lanes to compute (caption, and translation with --translate-to)"},
	{"translate-to", FLAG | DAEMON | STREAM, STRING, S(translate_to), 0, 0, "LANG",
		"language of the translation lane"},
	{"language", FLAG | DAEMON | STREAM, STRING, S(language), 0, 0, "LANG",
		"language that is spoken (auto: the model finds out)"},
	{"delay", FLAG | DAEMON | STREAM, NUMBER, S(delay_ms), 0, 60000, "MS",
		"how long the model waits before it writes, of those that it knows"},
	{"prefix", FLAG | DAEMON | STREAM, STRING, S(prefix), 0, 0, "TEXT",
		"title and names, pinned before the stream"},
	{"glossary", FLAG | DAEMON | STREAM, STRING, S(glossary), 0, 0, "FILE",
		"names and words to expect, and spellings (wrong => right), one a line"},
	{"stall", FLAG | DAEMON | STREAM, SECONDS, S(stall_s), 0.1, 3600, "SEC",
		"a live source silent so long is stalled (5)"},
	{"give-up", FLAG | DAEMON | STREAM, SECONDS, S(give_up_s), 0, 1e6, "SEC",
		"reconnect no longer than this (0: for ever)"},
	{"dead-air", FLAG | DAEMON | STREAM, SECONDS, S(dead_air_s), 0, 86400, "SEC",
		"what is live and silent for so long is told (30; 0: never)"},
	{"record", FLAG | DAEMON | STREAM, STRING, S(record), 0, 0, "DIR",
		"write the text as subtitle files into DIR"},
	{"record-formats", FLAG | DAEMON | STREAM, STRING, S(record_formats), 0, 0, "LIST",
		"their formats (srt,vtt,ttml,jsonl, and events: all that went out)"},
	{"record-roll", FLAG | DAEMON | STREAM, NUMBER, S(record_roll_min), 0, 10080, "MIN",
		"begin new files every MIN minutes of the stream (0: never)"},
	{"record-hold", FLAG | DAEMON | STREAM, SECONDS, S(record_hold_s), 0, LVX_HOLD_MAX_S, "SEC",
		"write text only after SEC seconds, within which it can be corrected (0)"},

	{"out", FLAG | DAEMON | STREAM, LIST, S(out), 0, 0, "URL",
		"pass the programme on with captions in the picture: srt://, udp://, rtmp://, or a "
		"file (.ts, .mp4, .flv); {stream} is its id; may be repeated; mix=URL, voice=URL: with "
		"the described sound only, with the describer's voice apart"},
	{"out-delay", FLAG | DAEMON | STREAM, NUMBER, S(out_delay_ms), 0, LVX_OUT_DELAY_MAX_MS,
		"MS", "how late it leaves, so that captions match (600 over --delay)"},
	{"out-cc1", FLAG | DAEMON | STREAM, STRING, S(out_cc1), 0, 0, "LANE[:MODE]",
		"what CC1 shows (caption:roll2); modes: roll2, roll3, pop"},
	{"out-cc3", FLAG | DAEMON | STREAM, STRING, S(out_cc3), 0, 0, "LANE[:MODE]",
		"what CC3 shows (translation:pop)"},

	{"hls", FLAG | DAEMON | STREAM, STRING, S(hls), 0, 0, "DIR",
		"write HLS with live subtitles into DIR/STREAM, and serve it at "
		"/hls/STREAM/master.m3u8"},
	{"hls-segment", FLAG | DAEMON | STREAM, NUMBER, S(hls_segment_s), 1, 30, "SEC",
		"length of its segments, at least; they begin with key frames (4)"},
	{"hls-window", FLAG | DAEMON | STREAM, NUMBER, S(hls_window_s), 0, 86400, "SEC",
		"how much of the stream its playlists have (60); 0: all"},
	{"hls-languages", FLAG | DAEMON | STREAM, LIST, S(hls_languages), 0, 0, "LANG",
		"further languages of the translation there, each a row; may be repeated"},
	{"hls-hold", FLAG | DAEMON | STREAM, SECONDS, S(hls_hold_s), 0, LVX_HOLD_MAX_S, "SEC",
		"text is SEC seconds late there, within which it can be corrected (0)"},

	{"describe", FLAG | DAEMON | STREAM, BOOL, S(describe), 0, 0, NULL,
		"speak the descriptions into gaps of the speech: a further sound track for --out and --hls"},
	{"describe-voice", FLAG | DAEMON | STREAM, STRING, S(describe_voice), 0, 0, "COMMAND",
		"reads text on stdin, writes WAV to stdout (espeak-ng); {wpm}, {language} are replaced"},
	{"describe-delay", FLAG | DAEMON | STREAM, NUMBER, S(describe_delay_ms), 0,
		LVX_OUT_DELAY_MAX_MS, "MS", "how late that track is mixed: gaps must be known (8000)"},
	{"describe-within", FLAG | DAEMON | STREAM, SECONDS, S(describe_within_s), 0, 600, "SEC",
		"what finds no gap so soon after it was seen is not said (10)"},
	{"describe-duck", FLAG | DAEMON | STREAM, NUMBER, S(describe_duck_db), 0, 60, "DB",
		"how far the programme is taken down under the voice (12)"},
	{"describe-level", FLAG | DAEMON | STREAM, STRING, S(describe_level), 0, 0, "LUFS",
		"loudness of the voice, e.g. -23 (programme: as the speech of the programme)"},

	{"list-devices", FLAG, ACTION, LVX_ACTION_LIST_DEVICES, 0, 0, NULL,
		"list compute devices and microphones"},
	{"list-compute", FLAG, ACTION, LVX_ACTION_LIST_COMPUTE, 0, 0, NULL, "list compute devices"},
	{"list-mics", FLAG, ACTION, LVX_ACTION_LIST_MICS, 0, 0, NULL, "list microphones"},
	{"help", FLAG, ACTION, LVX_ACTION_HELP, 0, 0, NULL, "this"},
	{"version", FLAG, ACTION, LVX_ACTION_VERSION, 0, 0, NULL, "the version"},
};
const int lvx_n_options = sizeof(lvx_options) / sizeof(lvx_options[0]);
_Static_assert(sizeof(lvx_options) / sizeof(lvx_options[0]) <= LVX_OPTIONS_MAX, "");

static const char *const pace_names[] = {"clock", "max"};

/* ---- values ---- */

const struct lvx_option *lvx_option_find(const char *name, int scope)
{
	for (int i = 0; i < lvx_n_options; i++) {
		if ((lvx_options[i].scopes & scope) && strcmp(lvx_options[i].name, name) == 0)
			return &lvx_options[i];
	}
	return NULL;
}

static char *copy(const char *s)
{
	char *c = strdup(s);
	if (!c)
		abort();
	return c;
}

static void set_string(char **to, char *value)
{
	free(*to);
	*to = value;
}

static enum lvx_status parse_number(double *out, const struct lvx_option *o, const char *where,
	const char *value, struct lvx_error *err)
{
	char *end;
	double x = strtod(value, &end);
	bool whole = o->type == LVX_OPTION_SECONDS || x == floor(x);
	/* Digits only: no hex, no exponents, no infinity. */
	if (value[0] == '\0' || *end != '\0' || value[strspn(value, "0123456789.")] != '\0' ||
		!whole || x < o->lo || x > o->hi)
		return lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.64s'; allowed are %g to %.15g",
			where, o->name, value, o->lo, o->hi);
	*out = x;
	return LVX_OK;
}

static enum lvx_status parse_bool(int *out, const struct lvx_option *o, const char *where,
	const char *value, struct lvx_error *err)
{
	static const char *const yes[] = {"true", "yes", "on", "1"};
	static const char *const no[] = {"false", "no", "off", "0"};
	for (int i = 0; i < 4; i++) {
		if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
			*out = strcmp(value, yes[i]) == 0;
			return LVX_OK;
		}
	}
	return lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.64s'; allowed are true and false", where,
		o->name, value);
}

/* base: the lvx_settings or lvx_stream_settings that the option belongs to. */
enum lvx_status lvx_option_set(char *base, const struct lvx_option *o, const char *where,
	const char *value, struct lvx_error *err)
{
	/* Each field has the type that the table says; the bases are structs of ours. */
	void *field = base + o->offset;
	double x = 0;
	enum lvx_status st = LVX_OK;
	switch (o->type) {
	case LVX_OPTION_STRING:
		set_string(field, copy(value));
		break;
	case LVX_OPTION_LIST: {
		char **list = field;
		char *joined;
		if (asprintf(&joined, "%s%s%s", *list ? *list : "", *list ? "," : "", value) < 0)
			abort();
		set_string(list, joined);
		break;
	}
	case LVX_OPTION_NUMBER:
		st = parse_number(&x, o, where, value, err);
		if (st == LVX_OK)
			*(int *)field = (int)x;
		break;
	case LVX_OPTION_SECONDS:
		st = parse_number(&x, o, where, value, err);
		if (st == LVX_OK)
			*(double *)field = x;
		break;
	case LVX_OPTION_BOOL:
		st = parse_bool(field, o, where, value, err);
		break;
	case LVX_OPTION_CHOICE:
		for (int i = 0; i < 2; i++) {
			if (strcmp(value, pace_names[i]) == 0) {
				*(int *)field = i;
				return LVX_OK;
			}
		}
		st = lvx_fail(err, LVX_EINVAL, "%s: '%s' is '%.64s'; allowed are %s", where,
			o->name, value, o->arg);
		break;
	case LVX_OPTION_ACTION:
		break;
	}
	return st;
}
