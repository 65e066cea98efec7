/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/extractor.h"

#include "pipeline/mel.h"
#include "pipeline/patches.h"

#include <stdlib.h>
#include <string.h>

struct lvx_extractor {
	struct lvx_frontend_spec spec;
	struct lvx_cursor *cursor;
	struct lvx_mel *mel;
	struct lvx_gate gate;
	float *pcm;   /* one slot's samples */
	uint8_t *rgb; /* one picture */

	bool whole;	    /* pcm holds a slot whose feature is still to come */
	int64_t slot;	    /* its number; else that of the next */
	int64_t pts_us;	    /* where it starts */
	int64_t gap_us;	    /* missing right before it (or before the next) */
	bool reset;	    /* what comes before it is not the last slot */
	bool reset_after;   /* nor is it what comes before the next */
	int64_t gap_after_us;
};

enum lvx_status lvx_extractor_create(struct lvx_extractor **out, struct lvx_ring *ring,
	const struct lvx_frontend_spec *spec, bool blocking_cursor, struct lvx_error *err)
{
	struct lvx_ring_params rp;
	lvx_ring_get_params(ring, &rp);
	if (rp.sample_rate != spec->audio.sample_rate)
		return lvx_fail(err, LVX_EINVAL, "front end wants %u Hz, the ring holds %u Hz",
			spec->audio.sample_rate, rp.sample_rate);
	if (spec->image.enabled) {
		enum lvx_status st = lvx_image_spec_check(&spec->image, err);
		if (st != LVX_OK)
			return st;
		if (rp.picture_width != spec->image.width ||
			rp.picture_height != spec->image.height)
			return lvx_fail(err, LVX_EINVAL,
				"front end wants pictures of %u x %u, the ring holds %u x %u",
				spec->image.width, spec->image.height, rp.picture_width,
				rp.picture_height);
	}

	struct lvx_extractor *ex = calloc(1, sizeof(*ex));
	if (!ex)
		return lvx_fail(err, LVX_ENOMEM, "extractor: out of memory");
	ex->spec = *spec;
	enum lvx_status st = lvx_mel_create(&ex->mel, &spec->audio, err);
	if (st != LVX_OK)
		goto fail;
	uint32_t slot = lvx_audio_slot_samples(&spec->audio);
	if ((int64_t)slot * 2000000 / rp.sample_rate > rp.capacity_us) {
		st = lvx_fail(err, LVX_EINVAL, "extractor: the ring holds less than two slots");
		goto fail;
	}
	ex->pcm = calloc(slot, sizeof(float));
	if (spec->image.enabled)
		ex->rgb = malloc((size_t)spec->image.width * spec->image.height * 3);
	if (!ex->pcm || (spec->image.enabled && !ex->rgb)) {
		st = lvx_fail(err, LVX_ENOMEM, "extractor: out of memory");
		goto fail;
	}
	st = lvx_cursor_open(&ex->cursor, ring, blocking_cursor, err);
	if (st != LVX_OK)
		goto fail;
	if (spec->image.enabled) {
		lvx_gate_init(&ex->gate, &spec->image);
		lvx_cursor_follow_pictures(ex->cursor);
	}
	*out = ex;
	return LVX_OK;
fail:
	lvx_extractor_destroy(ex);
	return st;
}

void lvx_extractor_destroy(struct lvx_extractor *ex)
{
	if (!ex)
		return;
	lvx_cursor_close(ex->cursor);
	free(ex->rgb);
	free(ex->pcm);
	lvx_mel_destroy(ex->mel);
	free(ex);
}

uint32_t lvx_extractor_max_values(const struct lvx_frontend_spec *spec)
{
	uint32_t slot = lvx_audio_slot_values(&spec->audio);
	if (!spec->image.enabled)
		return slot;
	uint32_t picture = lvx_image_patches(&spec->image) * lvx_image_patch_values(&spec->image);
	return picture > slot ? picture : slot;
}

/* Reads the next slot's samples into pcm, padding it where the timeline breaks off. */
static enum lvx_status read_slot(struct lvx_extractor *ex)
{
	uint32_t n = lvx_audio_slot_samples(&ex->spec.audio);
	for (;;) {
		size_t got;
		int64_t pts_us, resume_us;
		enum lvx_status st =
			lvx_cursor_read(ex->cursor, ex->pcm, n, &got, &pts_us, &resume_us);
		if (st == LVX_AGAIN || (st == LVX_END && got == 0))
			return st;
		int64_t end_us = pts_us + (int64_t)got * 1000000 / ex->spec.audio.sample_rate;
		int64_t gap_us = st == LVX_GAP && resume_us > end_us ? resume_us - end_us : 0;
		if (got == 0) {
			ex->gap_us += gap_us;
			ex->reset = true;
			continue;
		}
		memset(ex->pcm + got, 0, (n - got) * sizeof(float));
		ex->pts_us = pts_us;
		ex->reset_after = st == LVX_GAP;
		ex->gap_after_us = gap_us;
		ex->whole = true;
		return LVX_OK;
	}
}

/* The next picture that belongs before the slot in hand and passes the gate. */
static bool next_picture(struct lvx_extractor *ex, struct lvx_feature *out, float *values)
{
	const struct lvx_image_spec *im = &ex->spec.image;
	const struct lvx_audio_spec *au = &ex->spec.audio;
	if (!im->enabled)
		return false;
	int64_t last_us = ex->pts_us - 1 +
			  (int64_t)lvx_audio_slot_samples(au) * 1000000 / au->sample_rate;
	int64_t pts_us;
	while (lvx_cursor_read_picture(ex->cursor, ex->rgb, last_us, &pts_us) == LVX_OK) {
		if (!lvx_gate_pass(&ex->gate, ex->rgb, im->width, im->height, pts_us))
			continue;
		lvx_patches(im, ex->rgb, values);
		*out = (struct lvx_feature){
			.kind = LVX_FEATURE_PICTURE,
			.pts_us = pts_us,
			.slot = ex->slot,
			.changed = ex->gate.changed,
			.n_values = lvx_image_patches(im) * lvx_image_patch_values(im),
		};
		return true;
	}
	return false;
}

enum lvx_status lvx_extractor_next(
	struct lvx_extractor *ex, struct lvx_feature *out, float *values)
{
	if (!ex->whole) {
		enum lvx_status st = read_slot(ex);
		if (st != LVX_OK)
			return st;
	}
	if (next_picture(ex, out, values))
		return LVX_OK;

	if (ex->reset)
		lvx_mel_reset(ex->mel);
	lvx_mel_slot(ex->mel, ex->pcm, values);
	*out = (struct lvx_feature){
		.kind = LVX_FEATURE_SLOT,
		.pts_us = ex->pts_us,
		.slot = ex->slot++,
		.gap_us = ex->gap_us,
		.n_values = lvx_audio_slot_values(&ex->spec.audio),
	};
	ex->whole = false;
	ex->reset = ex->reset_after;
	ex->gap_us = ex->gap_after_us;
	return LVX_OK;
}

uint64_t lvx_extractor_overruns(const struct lvx_extractor *ex)
{
	return lvx_cursor_overruns(ex->cursor);
}
