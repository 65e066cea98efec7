/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/outputs/a53.h"

#include <string.h>

enum { SEI_T35 = 4 }; /* user_data_registered_itu_t_t35 */

/* United States, ATSC, "GA94", cc_data. */
static const uint8_t ga94[] = {0xb5, 0x00, 0x31, 'G', 'A', '9', '4', 0x03};

/* ---- NAL units ---- */

struct nal {
	const uint8_t *data; /* its header */
	size_t len;          /* without the zeros behind it */
};

static const uint8_t *find_start(const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 3) {
		const uint8_t *one = memchr(p + 2, 1, (size_t)(end - p - 2));
		if (!one)
			return end;
		if (one[-1] == 0 && one[-2] == 0)
			return one - 2;
		p = one - 1;
	}
	return end;
}

/* The first NAL unit at or after *p, which is then its end. */
static bool next_nal(const uint8_t **p, const uint8_t *end, struct nal *nal)
{
	const uint8_t *start = find_start(*p, end);
	if (end - start < 4)
		return false;
	nal->data = start + 3;
	*p = find_start(nal->data, end);
	const uint8_t *last = *p;
	while (last > nal->data && last[-1] == 0)
		last--;
	nal->len = (size_t)(last - nal->data);
	return true;
}

enum nal_kind { OTHER, SLICE, SEI, PARAMETERS };

static size_t header_len(enum lvx_a53_codec codec)
{
	return codec == LVX_A53_H264 ? 1 : 2;
}

/* What is shorter than its header, or has nuh_temporal_id_plus1 0, is none and goes. */
static bool is_nal(enum lvx_a53_codec codec, const struct nal *nal)
{
	return nal->len >= header_len(codec) && (codec == LVX_A53_H264 || (nal->data[1] & 7) != 0);
}

static enum nal_kind kind_of(enum lvx_a53_codec codec, const struct nal *nal)
{
	if (codec == LVX_A53_H264) {
		unsigned type = nal->data[0] & 0x1f;
		return type >= 1 && type <= 5   ? SLICE
		       : type == 6              ? SEI
		       : type == 7 || type == 8 ? PARAMETERS
						: OTHER;
	}
	unsigned type = nal->data[0] >> 1 & 0x3f;
	return type < 32 ? SLICE : type == 39 ? SEI : type <= 34 ? PARAMETERS : OTHER;
}

/* ---- bytes ---- */

static void add(struct lvx_text *t, const uint8_t *bytes, size_t n)
{
	lvx_text_add(t, (const char *)bytes, n);
}

static void add_nal(struct lvx_text *t, const struct nal *nal)
{
	static const uint8_t start_code[] = {0, 0, 0, 1};
	add(t, start_code, sizeof(start_code));
	add(t, nal->data, nal->len);
}

/* Without emulation prevention bytes. */
static void unescape(struct lvx_text *out, const uint8_t *p, size_t n)
{
	unsigned zeros = 0;
	for (size_t i = 0; i < n; i++) {
		if (zeros >= 2 && p[i] == 3) {
			zeros = 0;
			continue;
		}
		zeros = p[i] == 0 ? zeros + 1 : 0;
		add(out, &p[i], 1);
	}
}

static void escape(struct lvx_text *out, const uint8_t *p, size_t n)
{
	unsigned zeros = 0;
	for (size_t i = 0; i < n; i++) {
		if (zeros >= 2 && p[i] <= 3) {
			add(out, &(uint8_t){3}, 1);
			zeros = 0;
		}
		zeros = p[i] == 0 ? zeros + 1 : 0;
		add(out, &p[i], 1);
	}
}

/* ---- SEI ---- */

/* A number of SEI's: any bytes FF, then one less than that. */
static bool read_number(const uint8_t **p, const uint8_t *end, size_t *out)
{
	*out = 0;
	while (*p < end && **p == 0xff) {
		*out += 255;
		(*p)++;
	}
	if (*p == end)
		return false;
	*out += *(*p)++;
	return true;
}

/* The messages of an SEI without the captions, and whether there were any. False: it is broken. */
static bool filter(struct lvx_text *kept, bool *found, const uint8_t *p, const uint8_t *end)
{
	*found = false;
	/* Two bytes are a message at least; before the end is rbsp_trailing_bits. */
	while (end - p > 2) {
		const uint8_t *message = p;
		size_t type, size;
		if (!read_number(&p, end, &type) || !read_number(&p, end, &size) ||
			size > (size_t)(end - p))
			return false;
		bool captions = type == SEI_T35 && size >= sizeof(ga94) &&
				memcmp(p, ga94, sizeof(ga94)) == 0;
		p += size;
		*found = *found || captions;
		if (!captions)
			add(kept, message, (size_t)(p - message));
	}
	return true;
}

/* Appends what is left of an SEI. */
static void copy_sei(struct lvx_text *out, enum lvx_a53_codec codec, const struct nal *nal)
{
	static const uint8_t stop = 0x80;
	size_t header = header_len(codec);
	struct lvx_text rbsp = {0}, kept = {0};
	bool found = false;
	unescape(&rbsp, nal->data + header, nal->len - header);
	const uint8_t *p = (const uint8_t *)rbsp.data;
	if (rbsp.len > 0 && !filter(&kept, &found, p, p + rbsp.len))
		found = false;
	if (!found) {
		add_nal(out, nal);
	} else if (kept.len > 0) {
		add(&kept, &stop, 1);
		add_nal(out, &(struct nal){nal->data, header});
		escape(out, (const uint8_t *)kept.data, kept.len);
	}
	lvx_text_finish(&rbsp);
	lvx_text_finish(&kept);
}

static void add_captions(struct lvx_text *out, enum lvx_a53_codec codec, const struct nal *slice,
	const struct lvx_a53_cc *cc)
{
	uint8_t rbsp[2 + sizeof(ga94) + 2 + 3 * LVX_A53_COUNT_MAX + 2];
	size_t n = 2;
	memcpy(rbsp + n, ga94, sizeof(ga94));
	n += sizeof(ga94);
	rbsp[n++] = 0xc0 | cc->count;
	rbsp[n++] = 0xff; /* em_data */
	for (int i = 0; i < cc->count; i++) {
		static const uint8_t padding[] = {0xfa, 0, 0};
		memcpy(rbsp + n, padding, 3);
		if (i < cc->n_pairs) {
			rbsp[n] = 0xfc | cc->pairs[i].field;
			memcpy(rbsp + n + 1, cc->pairs[i].bytes, 2);
		}
		n += 3;
	}
	rbsp[n++] = 0xff; /* marker_bits */
	rbsp[0] = SEI_T35;
	rbsp[1] = (uint8_t)(n - 2);
	rbsp[n++] = 0x80;
	uint8_t header[2] = {6};
	if (codec == LVX_A53_H265) {
		/* PREFIX_SEI_NUT, of the layer and sub-layer of the picture. */
		header[0] = (uint8_t)(39 << 1 | (slice->data[0] & 1));
		header[1] = slice->data[1];
	}
	add_nal(out, &(struct nal){header, header_len(codec)});
	escape(out, rbsp, n);
}

enum lvx_status lvx_a53_insert(struct lvx_text *out, enum lvx_a53_codec codec, const uint8_t *au,
	size_t len, const struct lvx_a53_cc *cc)
{
	const uint8_t *p = au, *end = au + len;
	struct nal nal;
	bool inserted = false;
	while (next_nal(&p, end, &nal)) {
		if (!is_nal(codec, &nal))
			continue;
		enum nal_kind kind = kind_of(codec, &nal);
		if (kind == SEI) {
			copy_sei(out, codec, &nal);
			continue;
		}
		if (kind == SLICE && !inserted) {
			add_captions(out, codec, &nal, cc);
			inserted = true;
		}
		add_nal(out, &nal);
	}
	return inserted ? LVX_OK : LVX_EINVAL;
}

void lvx_a53_parameter_sets(
	struct lvx_text *out, enum lvx_a53_codec codec, const uint8_t *au, size_t len)
{
	const uint8_t *p = au, *end = au + len;
	struct nal nal;
	while (next_nal(&p, end, &nal)) {
		if (is_nal(codec, &nal) && kind_of(codec, &nal) == PARAMETERS)
			add_nal(out, &nal);
	}
}
