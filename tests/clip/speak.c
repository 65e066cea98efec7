/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Speaks lines to WAV files and tells when each word ends. A test's helper, not
 * part of the product; GPL because it links libespeak-ng.
 *
 * stdin: OUT.wav <tab> ENGINE <tab> VOICE <tab> RATE <tab> PITCH <tab> TEXT
 *   ENGINE e: espeak-ng, RATE in words a minute; ENGINE f: flite's rms, RATE a
 *   stretch factor; PITCH is 0..99 and espeak-ng's alone.
 * stdout: one JSON object a line: file, rate (Hz), and words as
 *   [text, start_ms, end_ms]. A word ends where its last sound ends: a pause
 *   after it does not belong to it.
 */
#include <espeak-ng/speak_lib.h>
#ifdef LVX_FLITE
#include <flite/flite.h>
#endif

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LVX_FLITE
cst_voice *register_cmu_us_rms(const char *dir);
#endif

enum { WORDS_MAX = 256, SECONDS_MAX = 120, RATE_MAX = 48000 };

struct word {
	const char *text;
	int len;        /* bytes */
	int at;         /* first character, counted in code points from 0 */
	int start, end; /* ms; -1: not seen */
};

static struct {
	int16_t pcm[SECONDS_MAX * RATE_MAX];
	int n;
	int rate;
	struct word words[WORDS_MAX];
	int n_words;
	int cur; /* the word being spoken, or -1 */
} out;

static void split(const char *text)
{
	int at = 0;
	bool in = false;

	out.n_words = 0;
	for (const char *p = text; *p; p++) {
		bool first = ((unsigned char)*p & 0xc0) != 0x80;
		if (*p == ' ') {
			in = false;
		} else if (!in && out.n_words < WORDS_MAX) {
			out.words[out.n_words++] =
				(struct word){.text = p, .at = at, .start = -1, .end = -1};
			in = true;
		}
		if (in)
			out.words[out.n_words - 1].len =
				(int)(p + 1 - out.words[out.n_words - 1].text);
		at += first;
	}
}

static int word_at(int pos)
{
	int k = out.n_words - 1;
	while (k > 0 && out.words[k].at > pos)
		k--;
	return k;
}

static void end_word(int ms)
{
	if (out.cur >= 0 && out.words[out.cur].end < 0)
		out.words[out.cur].end = ms;
}

/* Words that espeak-ng speaks as one ("in the") share its time by their letters. */
static void share_time(void)
{
	for (int i = 0, k; i < out.n_words; i = k) {
		int letters = out.words[i].len, end = out.words[i].end, start = out.words[i].start;
		for (k = i + 1; k < out.n_words && out.words[k].start < 0; k++)
			letters += out.words[k].len;
		int done = 0;
		for (int j = i; j < k && k > i + 1; j++) {
			out.words[j].start = start + (end - start) * done / letters;
			done += out.words[j].len;
			out.words[j].end = start + (end - start) * done / letters;
		}
	}
}

static int on_audio(short *wav, int n, espeak_EVENT *ev)
{
	for (; ev->type != espeakEVENT_LIST_TERMINATED; ev++) {
		/* One of no length comes at the end of all and points anywhere. */
		if (ev->type == espeakEVENT_WORD && ev->length > 0) {
			int k = word_at(ev->text_position - 1);
			if (k != out.cur) {
				end_word(ev->audio_position);
				out.cur = k;
				if (out.words[k].start < 0)
					out.words[k].start = ev->audio_position;
			}
			out.words[k].end = -1;
		} else if (ev->type == espeakEVENT_PHONEME) {
			if (ev->id.string[0] == '_' || ev->id.string[0] == 0)
				end_word(ev->audio_position);
		} else if (ev->type == espeakEVENT_END) {
			end_word(ev->audio_position);
		}
	}
	if (wav && n > 0) {
		if ((size_t)(out.n + n) > sizeof(out.pcm) / sizeof(out.pcm[0]))
			return 1;
		memcpy(out.pcm + out.n, wav, (size_t)n * sizeof(*wav));
		out.n += n;
	}
	return 0;
}

static bool speak_espeak(const char *voice, int rate, int pitch, const char *text, int hz)
{
	char name[64];
	/* The British voice is called "en"; "en-gb" is only its language, and choosing by language
	 * would drop the variant. */
	if (!strncmp(voice, "en-gb", 5) && (voice[5] == '+' || !voice[5]))
		snprintf(name, sizeof(name), "en%s", voice + 5);
	else
		snprintf(name, sizeof(name), "%s", voice);
	if (espeak_SetVoiceByName(name) != EE_OK) {
		fprintf(stderr, "speak: no espeak-ng voice '%s'\n", voice);
		return false;
	}
	espeak_SetParameter(espeakRATE, rate, 0);
	espeak_SetParameter(espeakPITCH, pitch, 0);
	out.rate = hz;
	espeak_Synth(text, strlen(text) + 1, 0, POS_CHARACTER, 0, espeakCHARS_UTF8, NULL, NULL);
	espeak_Synchronize();
	end_word((int)((int64_t)out.n * 1000 / hz));
	share_time();
	return out.n > 0;
}

static bool speak_flite(float stretch, const char *text)
{
#ifdef LVX_FLITE
	static cst_voice *rms;
	if (!rms) {
		flite_init();
		rms = register_cmu_us_rms(NULL);
	}
	feat_set_float(rms->features, "duration_stretch", stretch);
	cst_utterance *u = flite_synth_text(text, rms);
	cst_wave *w = u ? utt_wave(u) : NULL;
	bool ok = w && (size_t)w->num_samples <= sizeof(out.pcm) / sizeof(out.pcm[0]);
	if (ok) {
		memcpy(out.pcm, w->samples, (size_t)w->num_samples * sizeof(int16_t));
		out.n = w->num_samples;
		out.rate = w->sample_rate;
	}
	if (u)
		delete_utterance(u);
	return ok;
#else
	(void)stretch, (void)text;
	fprintf(stderr, "speak: built without flite\n");
	return false;
#endif
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static bool write_wav(const char *path)
{
	uint8_t h[44] = "RIFF    WAVEfmt \x10\0\0\0\1\0\1\0        \2\0\x10\0data";
	uint32_t bytes = (uint32_t)out.n * 2;
	put32(h + 4, 36 + bytes);
	put32(h + 24, (uint32_t)out.rate);
	put32(h + 28, (uint32_t)out.rate * 2);
	put32(h + 40, bytes);
	FILE *f = fopen(path, "wb");
	if (!f) {
		perror(path);
		return false;
	}
	bool ok = fwrite(h, 1, sizeof(h), f) == sizeof(h) &&
		  fwrite(out.pcm, 2, (size_t)out.n, f) == (size_t)out.n;
	return fclose(f) == 0 && ok;
}

static void put_json(const char *s, int len)
{
	putchar('"');
	for (int i = 0; i < len; i++) {
		if (s[i] == '"' || s[i] == '\\')
			putchar('\\');
		putchar(s[i]);
	}
	putchar('"');
}

int main(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	int rc = 0;
	int hz = espeak_Initialize(
		AUDIO_OUTPUT_SYNCHRONOUS, 0, NULL, espeakINITIALIZE_PHONEME_EVENTS);
	if (hz <= 0)
		return 1;
	espeak_SetSynthCallback(on_audio);
	while ((len = getline(&line, &cap, stdin)) > 0) {
		char *f[6] = {line};
		int n = 1;
		line[strcspn(line, "\n")] = '\0';
		for (char *p = line; n < 6 && (p = strchr(p, '\t')) != NULL;) {
			*p++ = '\0';
			f[n++] = p;
		}
		if (n != 6) {
			fprintf(stderr, "speak: six fields are expected: %s\n", line);
			rc = 1;
			continue;
		}
		out.n = 0;
		out.cur = -1;
		split(f[5]);
		bool ok = f[1][0] == 'f' ? speak_flite(strtof(f[3], NULL), f[5])
					 : speak_espeak(f[2], atoi(f[3]), atoi(f[4]), f[5], hz);
		if (!ok || !write_wav(f[0])) {
			rc = 1;
			continue;
		}
		printf("{\"file\": ");
		put_json(f[0], (int)strlen(f[0]));
		printf(", \"rate\": %d, \"words\": [", out.rate);
		for (int i = 0; i < out.n_words && f[1][0] != 'f'; i++) {
			const struct word *w = &out.words[i];
			printf("%s[", i ? ", " : "");
			put_json(w->text, w->len);
			printf(", %d, %d]", w->start, w->end);
		}
		printf("]}\n");
	}
	free(line);
	return rc;
}
