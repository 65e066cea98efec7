/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's glossary: names and words that the model may expect, and spellings. A line is
 *     Ghent                      a term: its words go to the model before the stream
 *     lumi vox => Lumivox        a rule: what is heard so is written so; the right side is a
 *                                term too
 *     # a comment                as is an empty line
 * Terms that stand first count most: the model takes as many words as fit into its prefix.
 * Immutable, counted by reference, free-threaded.
 */
#ifndef LVX_DAEMON_GLOSSARY_H
#define LVX_DAEMON_GLOSSARY_H

#include "base/error.h"
#include "model/spelling.h"

#include <jansson.h>

enum {
	LVX_GLOSSARY_BYTES_MAX = 65536,
	LVX_GLOSSARY_LINES_MAX = 2000,
	LVX_GLOSSARY_TERM_BYTES_MAX = 160,
};

struct lvx_glossary;

/* Errors begin with `where`:line. *out is referenced. */
enum lvx_status lvx_glossary_parse(struct lvx_glossary **out, const char *where, const char *text,
	size_t len, struct lvx_error *err);
enum lvx_status lvx_glossary_load(
	struct lvx_glossary **out, const char *path, struct lvx_error *err);
/* An array of lines. Errors begin with `where` and name the element, from 0. */
enum lvx_status lvx_glossary_read_json(
	struct lvx_glossary **out, const char *where, const json_t *lines, struct lvx_error *err);
/* The same lines as an array; the caller's reference. */
json_t *lvx_glossary_to_json(const struct lvx_glossary *g);

struct lvx_glossary *lvx_glossary_ref(struct lvx_glossary *g);
void lvx_glossary_unref(struct lvx_glossary *g); /* NULL is fine */

/* The terms' words with a space between, each once, without punctuation around them, as in
 * training. "" where there is none. */
const char *lvx_glossary_words(const struct lvx_glossary *g);
const struct lvx_spelling *lvx_glossary_spelling(const struct lvx_glossary *g); /* never NULL */

#endif
