/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/mel.h"

#include <kiss_fftr.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One triangle: weights of the DFT bins first .. first + n - 1. */
struct band {
	uint32_t first, n, at; /* at: where its weights begin */
};

struct lvx_mel {
	struct lvx_audio_spec spec;
	uint32_t history;  /* window - hop: samples kept from before the slot */
	kiss_fftr_cfg fft;
	float *window;	   /* [window_samples] periodic Hann */
	float *samples;	   /* [history + slot] */
	float *windowed;   /* [n_fft], zero behind the window */
	kiss_fft_cpx *bins; /* [n_fft / 2 + 1] */
	float *power;	   /* [n_fft / 2 + 1] */
	struct band *bands; /* [n_mels] */
	float *weights;	   /* all bands' weights, one after another */
};

/* Slaney's scale: linear to 1 kHz, logarithmic above. */
static double hz_to_mel(double hz)
{
	return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + log(hz / 1000.0) * 27.0 / log(6.4);
}

static double mel_to_hz(double mel)
{
	return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * exp((mel - 15.0) * log(6.4) / 27.0);
}

static double weight(double hz, double lo, double mid, double hi)
{
	double up = (hz - lo) / (mid - lo), down = (hi - hz) / (hi - mid);
	double w = up < down ? up : down;
	return w > 0.0 ? w * 2.0 / (hi - lo) : 0.0;
}

/* Fills bands, and weights unless it is NULL; returns the number of weights. */
static uint32_t fill_bands(const struct lvx_audio_spec *spec, struct band *bands, float *weights)
{
	uint32_t total = 0;
	double lowest = hz_to_mel(spec->f_min_hz);
	double step = (hz_to_mel(spec->f_max_hz) - lowest) / (spec->n_mels + 1);
	for (uint32_t m = 0; m < spec->n_mels; m++) {
		double lo = mel_to_hz(lowest + m * step);
		double mid = mel_to_hz(lowest + (m + 1) * step);
		double hi = mel_to_hz(lowest + (m + 2) * step);
		struct band b = {.at = total};
		for (uint32_t k = 0; k <= spec->n_fft / 2; k++) {
			double hz = (double)k * spec->sample_rate / spec->n_fft;
			double w = weight(hz, lo, mid, hi);
			if (w <= 0.0)
				continue;
			if (b.n == 0)
				b.first = k;
			if (weights)
				weights[total] = (float)w;
			b.n++;
			total++;
		}
		bands[m] = b;
	}
	return total;
}

static enum lvx_status check(const struct lvx_audio_spec *s, struct lvx_error *err)
{
	if (s->sample_rate < 1000 || s->sample_rate > 768000)
		return lvx_fail(err, LVX_EINVAL, "front end: sample rate %u", s->sample_rate);
	if (s->n_fft < 2 || s->n_fft > 65536 || s->n_fft % 2 || s->window_samples < 1 ||
		s->window_samples > s->n_fft || s->hop_samples < 1 ||
		s->hop_samples > s->window_samples)
		return lvx_fail(err, LVX_EINVAL,
			"front end: hop %u <= window %u <= DFT %u (even, at most 65536) is not so",
			s->hop_samples, s->window_samples, s->n_fft);
	if (s->n_mels < 1 || s->n_mels > 1024 || s->frames_per_slot < 1 ||
		s->frames_per_slot > 1024)
		return lvx_fail(err, LVX_EINVAL, "front end: %u mel bins, %u frames a slot",
			s->n_mels, s->frames_per_slot);
	if (!(s->f_min_hz >= 0.0f) || !(s->f_max_hz > s->f_min_hz) ||
		!(s->f_max_hz <= (float)s->sample_rate / 2.0f))
		return lvx_fail(err, LVX_EINVAL, "front end: mel range %g to %g Hz", s->f_min_hz,
			s->f_max_hz);
	if (!(s->log_floor > 0.0f))
		return lvx_fail(err, LVX_EINVAL, "front end: log floor %g", s->log_floor);
	return LVX_OK;
}

enum lvx_status lvx_mel_create(
	struct lvx_mel **out, const struct lvx_audio_spec *spec, struct lvx_error *err)
{
	enum lvx_status st = check(spec, err);
	if (st != LVX_OK)
		return st;
	struct lvx_mel *mel = calloc(1, sizeof(*mel));
	if (!mel)
		return lvx_fail(err, LVX_ENOMEM, "front end: out of memory");
	mel->spec = *spec;
	mel->history = spec->window_samples - spec->hop_samples;
	mel->fft = kiss_fftr_alloc((int)spec->n_fft, 0, NULL, NULL);
	mel->window = calloc(spec->window_samples, sizeof(float));
	mel->samples = calloc(mel->history + lvx_audio_slot_samples(spec), sizeof(float));
	mel->windowed = calloc(spec->n_fft, sizeof(float));
	mel->bins = calloc(spec->n_fft / 2 + 1, sizeof(*mel->bins));
	mel->power = calloc(spec->n_fft / 2 + 1, sizeof(float));
	mel->bands = calloc(spec->n_mels, sizeof(*mel->bands));
	if (!mel->fft || !mel->window || !mel->samples || !mel->windowed || !mel->bins ||
		!mel->power || !mel->bands)
		goto fail;
	mel->weights = calloc(fill_bands(spec, mel->bands, NULL) + 1, sizeof(float));
	if (!mel->weights)
		goto fail;
	fill_bands(spec, mel->bands, mel->weights);
	for (uint32_t i = 0; i < spec->window_samples; i++)
		mel->window[i] = (float)(0.5 - 0.5 * cos(2.0 * M_PI * i / spec->window_samples));
	*out = mel;
	return LVX_OK;
fail:
	lvx_mel_destroy(mel);
	return lvx_fail(err, LVX_ENOMEM, "front end: out of memory");
}

void lvx_mel_destroy(struct lvx_mel *mel)
{
	if (!mel)
		return;
	free(mel->weights);
	free(mel->bands);
	free(mel->power);
	free(mel->bins);
	free(mel->windowed);
	free(mel->samples);
	free(mel->window);
	kiss_fftr_free(mel->fft);
	free(mel);
}

void lvx_mel_reset(struct lvx_mel *mel)
{
	memset(mel->samples, 0, mel->history * sizeof(float));
}

static void frame(struct lvx_mel *mel, const float *pcm, float *out)
{
	const struct lvx_audio_spec *s = &mel->spec;
	for (uint32_t i = 0; i < s->window_samples; i++)
		mel->windowed[i] = pcm[i] * mel->window[i];
	kiss_fftr(mel->fft, mel->windowed, mel->bins);
	for (uint32_t k = 0; k <= s->n_fft / 2; k++)
		mel->power[k] = mel->bins[k].r * mel->bins[k].r + mel->bins[k].i * mel->bins[k].i;
	for (uint32_t m = 0; m < s->n_mels; m++) {
		const struct band *b = &mel->bands[m];
		const float *w = mel->weights + b->at;
		const float *p = mel->power + b->first;
		float sum = 0.0f;
		for (uint32_t k = 0; k < b->n; k++)
			sum += w[k] * p[k];
		/* Not fmaxf alone: samples that are not numbers count as silence. */
		if (!(sum > s->log_floor))
			sum = s->log_floor;
		out[m] = (log10f(sum) + s->log_offset) * s->log_scale;
	}
}

void lvx_mel_slot(struct lvx_mel *mel, const float *pcm, float *out)
{
	const struct lvx_audio_spec *s = &mel->spec;
	uint32_t n = lvx_audio_slot_samples(s);
	memcpy(mel->samples + mel->history, pcm, n * sizeof(float));
	for (uint32_t f = 0; f < s->frames_per_slot; f++)
		frame(mel, mel->samples + f * s->hop_samples, out + f * s->n_mels);
	memmove(mel->samples, mel->samples + n, mel->history * sizeof(float));
}
