/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doors: paths on which clients of other speech services connect as they are.
 * A protocol is one file that translates its messages to and from a pushed
 * stream of the hub; door.c has the connection, sound.c the stream. All on the
 * socket thread.
 */
#ifndef LVX_DAEMON_DOORS_DOOR_H
#define LVX_DAEMON_DOORS_DOOR_H

#include "daemon/messages.h"
#include "daemon/text.h"

enum {
	LVX_DOOR_ARGS_MAX = 64,
	LVX_DOOR_FLUSH_SLOTS =
		8, /* of silence beyond the stream's delay that bring the last word out */
};

/* What followed the path: "name=value" each, percent-decoded. */
struct lvx_door_args {
	size_t n;
	const char *arg[LVX_DOOR_ARGS_MAX];
};
/* The value if this is argument `name`, or NULL. */
const char *lvx_door_arg(const char *arg, const char *name);

enum lvx_door_encoding {
	LVX_DOOR_S16LE,
	LVX_DOOR_MULAW,
	LVX_DOOR_ALAW,
	LVX_DOOR_CONTAINER,
};
struct lvx_door_sound {
	enum lvx_door_encoding encoding;
	uint32_t sample_rate, channels; /* raw only */
};

struct lvx_door_event {
	enum lvx_hub_event_kind kind; /* TEXT, ACTIVITY or GAP */
	/* TEXT */
	bool translation;         /* of the translation lane, else of the caption's */
	const char *word;         /* NULL: only the end of a segment; borrowed */
	int64_t start_us, end_us; /* in the client's sound; GAP too */
	int64_t stream_us;        /* end_us on the stream's own timeline */
	double confidence;
	bool segment_end;
	/* ACTIVITY */
	int64_t at_us;
	bool speech, utterance_end;
};

struct lvx_door;

struct lvx_door_protocol {
	const char *name; /* for the log */
	const char *paths[3];
	size_t state_size, text_max; /* bytes: of what `state` holds, zeroed; of one text message */
	/* May this handshake pass? The error is the client's to read. NULL: any may. */
	enum lvx_status (*check)(const struct lvx_door_args *args,
		const struct lvx_model_info *model, struct lvx_error *err);
	/* The body of a refused handshake, and if it likes further header lines. */
	void (*refuse)(enum lvx_api_code code, const char *why, struct lvx_text *head,
		struct lvx_text *body);
	void (*on_open)(struct lvx_door *d, const struct lvx_door_args *args);
	void (*on_text)(struct lvx_door *d, const char *text, size_t len);
	/* Part of a binary message; last: its end. */
	void (*on_binary)(struct lvx_door *d, const uint8_t *data, size_t len, bool last);
	void (*on_event)(struct lvx_door *d, const struct lvx_door_event *e);
	/* The model has heard what was sent before lvx_door_await or _flush; one call each. */
	void (*on_heard)(struct lvx_door *d);
	/* Ten times a second. heard_us: all words that end before it, in the client's sound, were
	 * sent; -1 before the stream is started. May be NULL. */
	void (*on_tick)(struct lvx_door *d, int64_t heard_us);
	/* The stream has ended, and all its events were told. reason "ended": after
	 * lvx_door_finish. */
	void (*on_end)(struct lvx_door *d, const char *reason, const char *message);
	/* An error that is not the protocol's: too long a message, a binary one without on_binary.
	 */
	void (*on_error)(struct lvx_door *d, enum lvx_api_code code, const char *message);
	void (*on_close)(struct lvx_door *d); /* frees what state owns */
};
/* The protocol of a path, or NULL. */
const struct lvx_door_protocol *lvx_door_find(const char *path);

extern const struct lvx_door_protocol lvx_door_deepgram, lvx_door_openai, lvx_door_translations,
	lvx_door_vosk;

/* ---- what a protocol may call ---- */
void *lvx_door_state(struct lvx_door *d);
const struct lvx_model_info *lvx_door_model(const struct lvx_door *d);
const char *lvx_door_id(const struct lvx_door *d); /* a random UUID */
/* One text message; t is cleared. */
void lvx_door_send(struct lvx_door *d, struct lvx_text *t);
/* When all was sent. The first close stays. */
void lvx_door_close(struct lvx_door *d, int code, const char *reason);
/* Since when nothing has come although we read. */
int64_t lvx_door_idle_us(const struct lvx_door *d);
/* Counts; too many and the connection is closed with 1008. */
void lvx_door_count_error(struct lvx_door *d);

/* As in struct lvx_hub_spec; what is NULL or 0 is left to the daemon. */
struct lvx_door_wish {
	const char *translate_to, *language, *prefix;
	bool prefix_is_terms;
	struct lvx_glossary *glossary; /* borrowed for the call */
	uint32_t delay_slots;
};
/*
 * Opens the stream that is to be fed. Lanes: captions, and with translate_to the
 * translation. Errors as of lvx_hub_open.
 */
enum lvx_status lvx_door_start(struct lvx_door *d, const struct lvx_door_sound *sound,
	const struct lvx_door_wish *wish, struct lvx_error *err);
bool lvx_door_started(const struct lvx_door *d);
/* What is spoken; NULL: the model finds out, or nothing has been started. */
const char *lvx_door_language(const struct lvx_door *d);
/* Sound for the stream, in the encoding it was started with; ignored once it was finished. */
void lvx_door_sound(struct lvx_door *d, const uint8_t *data, size_t len);
/* Where the sound sent so far ends, in the client's time; 0 for containers. */
int64_t lvx_door_sent_us(const struct lvx_door *d);
/* on_heard is called when the model is nearly there: up to now, without waiting for words. */
void lvx_door_await(struct lvx_door *d);
/*
 * Brings out all words of the sound so far, by silence that the client's time does not
 * count, and then calls on_heard. A container cannot be flushed: on_heard comes at once.
 */
void lvx_door_flush(struct lvx_door *d);
/* Where the last flush began, on the stream's timeline: words at or before it are its. */
int64_t lvx_door_flushed_stream_us(const struct lvx_door *d);
/* How long the silence of a flush is. */
int64_t lvx_door_flush_us(const struct lvx_door *d);
void lvx_door_finish(struct lvx_door *d); /* no more sound; on_end follows */

/* ---- small things that several protocols need ---- */
/*
 * Was it silent for pause_us from from_us, the end of the last word, to to_us? All words that end before to_us are
 * known; one may be under way there, unless nobody has spoken since quiet_since_us (INT64_MAX: someone is speaking).
 */
bool lvx_door_is_pause(int64_t from_us, int64_t to_us, int64_t pause_us, int64_t quiet_since_us);
/* Bit of the model's lane of that name; 0: there is none. */
uint32_t lvx_door_lane(const struct lvx_model_info *model, const char *name);
/* *out: the model's name of a language that is spoken ("en" of "en-GB"). LVX_EINVAL: it knows
 * no such, and *out stays. */
enum lvx_status lvx_door_read_language(const char **out, const struct lvx_model_info *model,
	const char *where, const char *language, struct lvx_error *err);
/* Microseconds as seconds with three digits, whatever the locale. */
void lvx_door_seconds(struct lvx_text *t, int64_t us);
/* 0..1 with four digits. */
void lvx_door_fraction(struct lvx_text *t, double x);
/* Random, as 8-4-4-4-12 hexadecimal digits. */
void lvx_door_uuid(char out[37]);

#endif
