/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/pcm.h"

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCKS_PER_SECOND = 100,
	JUMP_US = 40000, /* as in the ring */
	OUT_MAX = 16384, /* samples of one conversion: 10 ms and what a flush holds */
};

static const float SAMPLE_MAX = 8.0f;

struct lvx_pcm {
	uint32_t out_rate;
	int channel;
	lvx_pcm_emit emit;
	void *user;

	struct lvx_pcm_format format; /* rate 0: none yet */
	float weight[LVX_PCM_CHANNELS_MAX];
	SwrContext *swr; /* NULL: the rates are the same */
	float *block;	 /* [block_size] mono at the input's rate */
	size_t block_size, fill;
	float *out;	 /* [OUT_MAX] */

	int64_t base_us;	 /* PTS of the first sample since the last flush */
	uint64_t in_count, out_count; /* samples since then */
	bool running;
};

void lvx_pcm_default_roles(struct lvx_pcm_format *f)
{
	/* FL FR FC LFE BL BR SL SR; fewer than six are not always that. */
	static const uint8_t order[8] = {LVX_PCM_FRONT, LVX_PCM_FRONT, LVX_PCM_CENTRE, LVX_PCM_LFE,
		LVX_PCM_SURROUND, LVX_PCM_SURROUND, LVX_PCM_SURROUND, LVX_PCM_SURROUND};
	memset(f->role, LVX_PCM_OTHER, sizeof(f->role));
	if (f->channels >= 6 && f->channels <= 8)
		memcpy(f->role, order, f->channels);
}

enum lvx_status lvx_pcm_create(struct lvx_pcm **out, uint32_t out_rate, int channel,
	lvx_pcm_emit emit, void *user, struct lvx_error *err)
{
	struct lvx_pcm *pcm = calloc(1, sizeof(*pcm));
	if (!pcm)
		return lvx_fail(err, LVX_ENOMEM, "sound: out of memory");
	pcm->out = malloc(OUT_MAX * sizeof(float));
	if (!pcm->out) {
		free(pcm);
		return lvx_fail(err, LVX_ENOMEM, "sound: out of memory");
	}
	pcm->out_rate = out_rate;
	pcm->channel = channel;
	pcm->emit = emit;
	pcm->user = user;
	*out = pcm;
	return LVX_OK;
}

void lvx_pcm_destroy(struct lvx_pcm *pcm)
{
	if (!pcm)
		return;
	swr_free(&pcm->swr);
	free(pcm->block);
	free(pcm->out);
	free(pcm);
}

static void set_weights(struct lvx_pcm *pcm)
{
	static const float by_role[] = {
		[LVX_PCM_OTHER] = 1.0f,
		[LVX_PCM_CENTRE] = 1.0f,
		[LVX_PCM_FRONT] = 0.70710678f,
		[LVX_PCM_SURROUND] = 0.5f,
		[LVX_PCM_LFE] = 0.0f,
	};
	const struct lvx_pcm_format *f = &pcm->format;
	float sum = 0.0f;
	for (uint32_t c = 0; c < f->channels; c++) {
		pcm->weight[c] = by_role[f->role[c]];
		sum += pcm->weight[c];
	}
	for (uint32_t c = 0; c < f->channels; c++)
		pcm->weight[c] = sum > 0.0f ? pcm->weight[c] / sum : 1.0f / (float)f->channels;
}

static enum lvx_status set_format(struct lvx_pcm *pcm, const struct lvx_pcm_format *format)
{
	if (format->channels < 1 || format->channels > LVX_PCM_CHANNELS_MAX ||
		format->rate < 1000 || format->rate > 768000 ||
		pcm->channel >= (int)format->channels)
		return LVX_EINVAL;
	bool same_rate = pcm->format.rate == format->rate;
	pcm->format = *format;
	set_weights(pcm);
	if (same_rate)
		return LVX_OK;

	pcm->format.rate = 0; /* until all is there */
	free(pcm->block);
	pcm->block_size = format->rate / BLOCKS_PER_SECOND;
	pcm->block = malloc(pcm->block_size * sizeof(float));
	swr_free(&pcm->swr);
	if (!pcm->block)
		return LVX_ENOMEM;
	if (format->rate != pcm->out_rate) {
		AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
		if (swr_alloc_set_opts2(&pcm->swr, &mono, AV_SAMPLE_FMT_FLT, (int)pcm->out_rate,
			    &mono, AV_SAMPLE_FMT_FLT, (int)format->rate, 0, NULL) < 0)
			return LVX_ENOMEM;
	}
	pcm->format.rate = format->rate;
	return LVX_OK;
}

/* Converts n mono samples, or drains the resampler (in NULL), and emits. */
static enum lvx_status convert(struct lvx_pcm *pcm, const float *in, size_t n)
{
	const float *out = in;
	size_t n_out = n;
	if (pcm->swr) {
		uint8_t *to[1] = {(uint8_t *)pcm->out};
		const uint8_t *from[1] = {(const uint8_t *)in};
		int got = swr_convert(pcm->swr, to, OUT_MAX, in ? from : NULL, (int)n);
		if (got < 0)
			return LVX_ENOMEM;
		out = pcm->out;
		n_out = (size_t)got;
	}
	if (n_out == 0)
		return LVX_OK;
	int64_t pts_us = pcm->base_us + (int64_t)(pcm->out_count * 1000000 / pcm->out_rate);
	pcm->out_count += n_out;
	return pcm->emit(pcm->user, out, n_out, pts_us);
}

enum lvx_status lvx_pcm_flush(struct lvx_pcm *pcm)
{
	if (!pcm->running)
		return LVX_OK;
	pcm->running = false;
	enum lvx_status st = LVX_OK;
	if (pcm->fill)
		st = convert(pcm, pcm->block, pcm->fill);
	pcm->fill = 0;
	if (pcm->swr && st == LVX_OK) {
		/* The filter's tail runs a little past the last input: cut there. */
		uint64_t due = pcm->in_count * pcm->out_rate / pcm->format.rate;
		uint8_t *to[1] = {(uint8_t *)pcm->out};
		int got = swr_convert(pcm->swr, to, OUT_MAX, NULL, 0);
		uint64_t want = due > pcm->out_count ? due - pcm->out_count : 0;
		size_t n = got < 0 ? 0 : (size_t)got < want ? (size_t)got : (size_t)want;
		int64_t pts_us =
			pcm->base_us + (int64_t)(pcm->out_count * 1000000 / pcm->out_rate);
		if (n)
			st = pcm->emit(pcm->user, pcm->out, n, pts_us);
	}
	return st;
}

static enum lvx_status begin(struct lvx_pcm *pcm, int64_t pts_us)
{
	if (pcm->swr) {
		/* swr_init alone also drops what the filter remembers. */
		swr_close(pcm->swr);
		if (swr_init(pcm->swr) < 0)
			return LVX_ENOMEM;
	}
	pcm->base_us = pts_us;
	pcm->in_count = pcm->out_count = 0;
	pcm->fill = 0;
	pcm->running = true;
	return LVX_OK;
}

enum lvx_status lvx_pcm_push(struct lvx_pcm *pcm, const struct lvx_pcm_format *format,
	const float *interleaved, size_t frames, int64_t pts_us)
{
	enum lvx_status st = LVX_OK;
	bool changed = format->rate != pcm->format.rate ||
		       format->channels != pcm->format.channels ||
		       memcmp(format->role, pcm->format.role, format->channels) != 0;
	if (pcm->running) {
		int64_t off = pts_us - pcm->base_us -
			      (int64_t)(pcm->in_count * 1000000 / pcm->format.rate);
		if (changed || off > JUMP_US || off < -JUMP_US)
			st = lvx_pcm_flush(pcm);
	}
	if (st == LVX_OK && changed)
		st = set_format(pcm, format);
	if (st == LVX_OK && !pcm->running)
		st = begin(pcm, pts_us);
	for (size_t i = 0; i < frames && st == LVX_OK; i++) {
		float sum = 0.0f;
		if (pcm->channel >= 0)
			sum = interleaved[pcm->channel];
		else
			for (uint32_t c = 0; c < format->channels; c++)
				sum += interleaved[c] * pcm->weight[c];
		interleaved += format->channels;
		/* What is no sound (a stranger's floats) must not reach the model. */
		pcm->block[pcm->fill++] = sum > -SAMPLE_MAX && sum < SAMPLE_MAX ? sum : 0.0f;
		pcm->in_count++;
		if (pcm->fill == pcm->block_size) {
			pcm->fill = 0;
			st = convert(pcm, pcm->block, pcm->block_size);
		}
	}
	return st;
}
