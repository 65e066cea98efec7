/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/describe/hearing.h"

#include <ebur128.h>
#include <math.h>
#include <stdlib.h>

/*
 * WebRTC's voice activity detector (common_audio/vad/include/webrtc_vad.h), which Debian's
 * libwebrtc-audio-processing has and exports, but without that header.
 */
typedef struct WebRtcVadInst VadInst;
VadInst *WebRtcVad_Create(void);
void WebRtcVad_Free(VadInst *vad);
int WebRtcVad_Init(VadInst *vad);
int WebRtcVad_set_mode(VadInst *vad, int mode);
int WebRtcVad_Process(VadInst *vad, int rate, const int16_t *pcm, size_t n);

enum {
	RATE = 48000,
	FRAME = RATE / 50,
	MODE = 2,       /* of 0 to 3: the higher, the less noise is taken for speech */
	MEASURED = 150, /* frames in 3 s: short-term loudness */
	EVERY = 50,     /* it is looked at once a second */
};

static const double usual_lufs = -23, least_lufs = -50;
static const double newest = 0.05; /* the share of the last 3 s in the loudness of speech */

struct lvx_hearing {
	VadInst *vad;
	ebur128_state *loudness;
	void (*on_speech)(void *user, int64_t start_us, int64_t end_us);
	void *user;
	int16_t frame[FRAME];
	size_t n;
	int64_t at; /* of the frame's first sample */
	uint64_t n_frames;
	bool spoken[MEASURED];
	size_t n_spoken;
	double speech_power; /* of LUFS; 0: none yet */
};

enum lvx_status lvx_hearing_create(struct lvx_hearing **out,
	void (*on_speech)(void *user, int64_t start_us, int64_t end_us), void *user,
	struct lvx_error *err)
{
	struct lvx_hearing *h = calloc(1, sizeof(*h));
	if (!h)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	h->on_speech = on_speech;
	h->user = user;
	h->vad = WebRtcVad_Create();
	h->loudness =
		ebur128_init(2, RATE, EBUR128_MODE_S | EBUR128_MODE_I | EBUR128_MODE_HISTOGRAM);
	if (!h->vad || !h->loudness || WebRtcVad_Init(h->vad) != 0 ||
		WebRtcVad_set_mode(h->vad, MODE) != 0) {
		lvx_hearing_destroy(h);
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	}
	*out = h;
	return LVX_OK;
}

void lvx_hearing_destroy(struct lvx_hearing *h)
{
	if (!h)
		return;
	if (h->vad)
		WebRtcVad_Free(h->vad);
	ebur128_destroy(&h->loudness);
	free(h);
}

static int64_t us_of(int64_t samples)
{
	return samples * 125 / 6; /* 1000000 / 48000 */
}

static void measure(struct lvx_hearing *h)
{
	double lufs;
	if (2 * h->n_spoken < MEASURED ||
		ebur128_loudness_shortterm(h->loudness, &lufs) != EBUR128_SUCCESS ||
		!(lufs > least_lufs))
		return;
	double power = pow(10, lufs / 10);
	h->speech_power =
		h->speech_power > 0 ? h->speech_power + newest * (power - h->speech_power) : power;
}

static void end_frame(struct lvx_hearing *h)
{
	bool speech = WebRtcVad_Process(h->vad, RATE, h->frame, FRAME) == 1;
	bool *slot = &h->spoken[h->n_frames % MEASURED];
	h->n_spoken = h->n_spoken - *slot + speech;
	*slot = speech;
	if (++h->n_frames % EVERY == 0)
		measure(h);
	int64_t start_us = us_of(h->at);
	h->at += FRAME;
	h->n = 0;
	if (speech)
		h->on_speech(h->user, start_us, us_of(h->at));
}

void lvx_hearing_hear(struct lvx_hearing *h, const float *pcm, size_t n, int64_t at)
{
	if (at != h->at + (int64_t)h->n) { /* it does not follow */
		h->at = at;
		h->n = 0;
	}
	ebur128_add_frames_float(h->loudness, pcm, n);
	for (size_t i = 0; i < n; i++) {
		float x = 16384 * (pcm[2 * i] + pcm[2 * i + 1]);
		h->frame[h->n++] = (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
		if (h->n == FRAME)
			end_frame(h);
	}
}

int64_t lvx_hearing_known_us(const struct lvx_hearing *h)
{
	return us_of(h->at);
}

double lvx_hearing_lufs(const struct lvx_hearing *h)
{
	double lufs;
	if (h->speech_power > 0)
		return 10 * log10(h->speech_power);
	if (ebur128_loudness_global(h->loudness, &lufs) == EBUR128_SUCCESS && lufs > least_lufs)
		return lufs;
	return usual_lufs;
}
