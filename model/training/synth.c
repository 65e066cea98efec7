// SPDX-License-Identifier: GPL-3.0-or-later
// Speaks sentences with espeak-ng and flite and writes where each word ends. A training tool of its own:
// it links libespeak-ng (GPL-3), the product does not.
//
//   synth OUT [ESPEAK_DATA_PARENT] < jobs
//
// A job is a line of tab-separated fields: id, engine (e or f), voice, rate, pitch, range, speed, text.
// espeak-ng: rate in words a minute, pitch and range 0..100. flite: rate is a duration stretch, pitch a factor.
// speed plays the result faster, formants and pitch included (1 = as it is).
// OUT.pcm gets 16-bit samples at 16 kHz; OUT.tsv a line per job: id, first sample, samples, ends of the
// space-separated words in milliseconds (comma separated), and of espeak-ng the phonemes: a word's number,
// when it begins in milliseconds, espeak's name, and so on (separated by spaces).
#include <espeak-ng/speak_lib.h>
#include <flite/flite.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cst_voice *register_cmu_us_slt(const char *);
cst_voice *register_cmu_us_rms(const char *);
cst_voice *register_cmu_us_awb(const char *);
cst_voice *register_cmu_us_kal16(const char *);

enum { MAX_WORDS = 256, MAX_PHONES = 4096, MAX_SAMPLES = 22050 * 60, OUT_RATE = 16000, TAPS = 16, PHASES = 64 };

static struct {
  short pcm[MAX_SAMPLES];
  int samples;
  int words;
  int at[MAX_WORDS];     // where each word begins in the text, in characters
  int begin[MAX_WORDS];  // when it begins, ms, -1 = unknown
  int end[MAX_WORDS];
  int end_of_speech;
  int phones;
  struct {
    int word, begin;
    char name[9];
  } phone[MAX_PHONES];
} u;

static int on_espeak(short *pcm, int n, espeak_EVENT *ev) {
  static int word;
  for (; ev->type != espeakEVENT_LIST_TERMINATED; ev++) {
    if (ev->type == espeakEVENT_WORD) {
      int k = u.words - 1;
      while (k > 0 && u.at[k] > ev->text_position - 1) k--;
      if (u.begin[k] < 0) u.begin[k] = ev->audio_position;
      word = k;
    } else if (ev->type == espeakEVENT_PHONEME && u.phones < MAX_PHONES) {
      u.phone[u.phones].word = word;
      u.phone[u.phones].begin = ev->audio_position;
      memcpy(u.phone[u.phones].name, ev->id.string, 8);
      u.phones++;
    } else if (ev->type == espeakEVENT_END) {
      u.end_of_speech = ev->audio_position;
    }
  }
  if (pcm && n > 0) {
    if (u.samples + n > MAX_SAMPLES) return 1;
    memcpy(u.pcm + u.samples, pcm, (size_t)n * sizeof *pcm);
    u.samples += n;
  }
  return 0;
}

static void find_words(const char *text) {
  int chars = 0;
  u.words = 0;
  for (const char *p = text; *p; p++) {
    if (*p != ' ' && (p == text || p[-1] == ' ') && u.words < MAX_WORDS) {
      u.begin[u.words] = -1;
      u.at[u.words++] = chars;
    }
    if ((*p & 0xC0) != 0x80) chars++;
  }
}

static int speak_espeak(const char *voice, const char *rate, const char *pitch, const char *range, const char *text) {
  u.samples = u.end_of_speech = u.phones = 0;
  if (espeak_SetVoiceByName(voice) != EE_OK) return 0;
  espeak_SetParameter(espeakRATE, atoi(rate), 0);
  espeak_SetParameter(espeakPITCH, atoi(pitch), 0);
  espeak_SetParameter(espeakRANGE, atoi(range), 0);
  espeak_Synth(text, strlen(text) + 1, 0, POS_CHARACTER, 0, espeakCHARS_UTF8, NULL, NULL);
  espeak_Synchronize();
  // a word ends where the next one begins
  int last = u.end_of_speech;
  for (int k = u.words - 1; k >= 0; k--) {
    u.end[k] = last;
    if (u.begin[k] >= 0) last = u.begin[k];
  }
  return u.samples > 0 && last > 0 ? u.samples : u.samples * (u.end_of_speech > 0);
}

// End of a flite token in ms: the end of the last segment of its last word, or -1.
static int token_end(const cst_item *token) {
  float end = -1;
  for (const cst_item *word = item_daughter(token); word; word = item_next(word)) {
    const cst_item *s = item_as(word, "SylStructure");
    for (const cst_item *syl = s ? item_daughter(s) : NULL; syl; syl = item_next(syl))
      for (const cst_item *seg = item_daughter(syl); seg; seg = item_next(seg))
        end = item_feat_float(item_as(seg, "Segment"), "end");
  }
  return end < 0 ? -1 : (int)(end * 1000);
}

static int speak_flite(cst_voice *voice, const char *rate, const char *pitch, const char *text, int *sample_rate) {
  feat_set_float(voice->features, "duration_stretch", (float)atof(rate));
  feat_set_float(voice->features, "f0_shift", (float)atof(pitch));
  cst_utterance *utt = flite_synth_text(text, voice);
  if (!utt) return 0;
  int k = 0, n = 0;
  const cst_wave *w = utt_wave(utt);
  for (const cst_item *t = relation_head(utt_relation(utt, "Token")); t && k < u.words; t = item_next(t), k++) {
    int end = token_end(t);
    u.end[k] = end >= 0 ? end : k ? u.end[k - 1] : 0;
  }
  if (w && k == u.words && w->num_samples <= MAX_SAMPLES) {
    n = u.samples = w->num_samples;
    *sample_rate = w->sample_rate;
    memcpy(u.pcm, w->samples, (size_t)n * sizeof *u.pcm);
  }
  delete_utterance(utt);
  return n;
}

// Windowed-sinc resampling by `step` input samples an output sample; returns the output's length.
static int resample(const short *in, int n, double step, short *out, int room) {
  static float table[PHASES + 1][2 * TAPS];
  static double table_step;
  double cut = step > 1 ? 0.97 / step : 0.97;
  if (table_step != step) {
    table_step = step;
    for (int p = 0; p <= PHASES; p++)
      for (int k = 0; k < 2 * TAPS; k++) {
        double x = k - TAPS + 1 - (double)p / PHASES, a = M_PI * cut * x;
        double w = 0.5 + 0.5 * cos(M_PI * x / TAPS);
        table[p][k] = (float)(fabs(x) >= TAPS ? 0 : w * cut * (fabs(a) < 1e-9 ? 1 : sin(a) / a));
      }
  }
  int m = 0;
  for (; m < room && m * step < n; m++) {
    double at = m * step;
    int i = (int)at;
    const float *t = table[(int)((at - i) * PHASES + 0.5)];
    float y = 0;
    for (int k = 0; k < 2 * TAPS; k++) {
      int j = i - TAPS + 1 + k;
      if (j >= 0 && j < n) y += t[k] * in[j];
    }
    out[m] = (short)(y > 32767 ? 32767 : y < -32768 ? -32768 : lrintf(y));
  }
  return m;
}

static FILE *open_out(const char *base, const char *suffix) {
  char name[1024];
  snprintf(name, sizeof name, "%s%s", base, suffix);
  FILE *f = fopen(name, "wb");
  if (!f) {
    perror(name);
    exit(1);
  }
  return f;
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: synth OUT [ESPEAK_DATA_PARENT] < jobs\n");
    return 2;
  }
  FILE *pcm = open_out(argv[1], ".pcm"), *tsv = open_out(argv[1], ".tsv");
  int espeak_rate = espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, argc > 2 ? argv[2] : NULL, espeakINITIALIZE_PHONEME_EVENTS);
  espeak_SetSynthCallback(on_espeak);
  flite_init();
  const struct {
    const char *name;
    cst_voice *voice;
  } voices[] = {{"slt", register_cmu_us_slt(NULL)},
                {"rms", register_cmu_us_rms(NULL)},
                {"awb", register_cmu_us_awb(NULL)},
                {"kal16", register_cmu_us_kal16(NULL)}};
  char *line = NULL;
  size_t room = 0;
  long total = 0;
  while (getline(&line, &room, stdin) > 0) {
    char *f[8], *p = line;
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (; n < 8 && p; n++) {
      f[n] = p;
      if (n < 7 && (p = strchr(p, '\t'))) *p++ = 0;
    }
    if (n < 8) continue;
    find_words(f[7]);
    int rate = espeak_rate, samples = 0;
    if (f[1][0] == 'e') samples = speak_espeak(f[2], f[3], f[4], f[5], f[7]);
    for (size_t k = 0; f[1][0] == 'f' && k < sizeof voices / sizeof *voices; k++)
      if (!strcmp(voices[k].name, f[2])) samples = speak_flite(voices[k].voice, f[3], f[4], f[7], &rate);
    if (samples <= 0) continue;
    double speed = atof(f[6]);
    static short out[MAX_SAMPLES];
    samples = resample(u.pcm, samples, rate * speed / OUT_RATE, out, MAX_SAMPLES);
    fwrite(out, sizeof *out, (size_t)samples, pcm);
    fprintf(tsv, "%s\t%ld\t%d\t", f[0], total, samples);
    for (int k = 0; k < u.words; k++) fprintf(tsv, "%s%d", k ? "," : "", (int)(u.end[k] / speed));
    fputc('\t', tsv);
    for (int k = 0; k < u.phones && f[1][0] == 'e'; k++)
      if (strcspn(u.phone[k].name, " \t\n") > 0)
        fprintf(tsv, "%d %d %s ", u.phone[k].word, (int)(u.phone[k].begin / speed), u.phone[k].name);
    fputc('\n', tsv);
    total += samples;
  }
  free(line);
  return fclose(pcm) | fclose(tsv);
}
