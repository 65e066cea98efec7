/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/mixer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	EDGE = LVX_CLIP_RATE / 200, /* 5 ms: a clip's own first and last samples come softly */
	KEPT = LVX_CLIP_RATE / 10,  /* so long after its ramp it is known of */
};

static const float knee = 0.8f; /* sums above it are bent, and stay below 1 */
static const double peak_max_db = -1;

struct placed {
	struct lvx_clip *clip;
	float gain;
	int64_t at;
};

struct lvx_mixer {
	double duck_db;
	int64_t ramp;                              /* samples */
	int64_t mixed;                             /* up to there */
	struct placed placed[LVX_MIXER_CLIPS_MAX]; /* in order */
	size_t n;
};

struct lvx_mixer *lvx_mixer_create(const struct lvx_mixer_params *params)
{
	struct lvx_mixer *m = calloc(1, sizeof(*m));
	if (!m)
		abort();
	m->duck_db = params->duck_db;
	m->ramp = params->ramp_us * LVX_CLIP_RATE / 1000000;
	m->ramp = m->ramp > 0 ? m->ramp : 1;
	m->mixed = INT64_MIN;
	return m;
}

static void drop_first(struct lvx_mixer *m)
{
	lvx_clip_destroy(m->placed[0].clip);
	memmove(m->placed, m->placed + 1, --m->n * sizeof(m->placed[0]));
}

void lvx_mixer_destroy(struct lvx_mixer *m)
{
	while (m && m->n > 0)
		drop_first(m);
	free(m);
}

double lvx_mixer_gain_db(const struct lvx_clip *clip, double lufs)
{
	double gain_db = lufs - clip->lufs;
	double most_db = peak_max_db - 20 * log10(clip->peak);
	return gain_db < most_db ? gain_db : most_db;
}

bool lvx_mixer_add(struct lvx_mixer *m, struct lvx_clip *clip, double gain_db, int64_t at)
{
	bool after =
		m->n == 0 || at >= m->placed[m->n - 1].at + (int64_t)m->placed[m->n - 1].clip->n;
	if (m->n == LVX_MIXER_CLIPS_MAX || !after || at < m->mixed) {
		lvx_clip_destroy(clip);
		return false;
	}
	m->placed[m->n++] = (struct placed){clip, (float)pow(10, gain_db / 20), at};
	return true;
}

/* How far the programme is taken down at `at`: 0 not at all, 1 wholly. */
static double depth(const struct lvx_mixer *m, int64_t at)
{
	double most = 0;
	for (size_t i = 0; i < m->n; i++) {
		int64_t begin = m->placed[i].at;
		int64_t end = begin + (int64_t)m->placed[i].clip->n;
		int64_t away = at < begin ? begin - at : at >= end ? at - end + 1 : 0;
		if (away >= m->ramp)
			continue;
		double x = 1 - (double)away / (double)m->ramp;
		double d = (1 - cos(M_PI * x)) / 2;
		most = d > most ? d : most;
	}
	return most;
}

double lvx_mixer_duck_db(const struct lvx_mixer *m, int64_t at)
{
	return m->duck_db * depth(m, at);
}

/* True: a clip is there, and *v is its sample. */
static bool voice_at(const struct lvx_mixer *m, int64_t at, float *v)
{
	*v = 0;
	for (size_t i = 0; i < m->n; i++) {
		const struct placed *p = &m->placed[i];
		int64_t k = at - p->at, n = (int64_t)p->clip->n;
		if (k < 0 || k >= n)
			continue;
		int64_t edge = k < n - 1 - k ? k : n - 1 - k;
		*v = p->gain * p->clip->pcm[k] * (edge < EDGE ? (float)edge / EDGE : 1);
		return true;
	}
	return false;
}

static float bend(float x)
{
	float a = fabsf(x);
	if (a <= knee)
		return x;
	return copysignf(knee + (1 - knee) * tanhf((a - knee) / (1 - knee)), x);
}

bool lvx_mixer_mix(struct lvx_mixer *m, float *programme, float *voice, size_t n, int64_t at)
{
	bool heard = false;
	if (voice)
		memset(voice, 0, 2 * n * sizeof(float));
	m->mixed = at + (int64_t)n;
	while (m->n > 0 && m->placed[0].at + (int64_t)m->placed[0].clip->n + m->ramp + KEPT <= at)
		drop_first(m);
	if (m->n == 0 || m->placed[0].at - m->ramp >= m->mixed)
		return false;
	for (size_t i = 0; i < n; i++) {
		double d = depth(m, at + (int64_t)i);
		if (d == 0)
			continue;
		float gain = (float)pow(10, -m->duck_db * d / 20);
		float v;
		heard = voice_at(m, at + (int64_t)i, &v) || heard;
		for (size_t c = 0; c < 2; c++) {
			float sum = programme[2 * i + c] * gain + v;
			programme[2 * i + c] = sum + (float)d * (bend(sum) - sum);
			if (voice)
				voice[2 * i + c] = v;
		}
	}
	return heard;
}
