/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a line or subtitle may end between two words, without knowing the language for sure:
 * after punctuation, before words that begin a phrase, not within a name or after an article
 * (BBC Subtitle Guidelines, "line breaks"). Free-threaded.
 */
#ifndef LVX_DAEMON_PHRASES_H
#define LVX_DAEMON_PHRASES_H

/* The better, the more; 0: neither good nor bad. In columns that a more even break is worth. */
int lvx_phrase_break(const char *left, const char *right);

#endif
