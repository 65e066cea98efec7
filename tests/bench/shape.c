/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/shape.h"

#include "model/graph.h"
#include "model/model_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, PIECE = 16 << 20 };

static const struct lvx_shape shapes[] = {
	{"nano", 384, 8, 6, 2, 64, 32, 6144, 1280, 384, 512, 8, 2, 1, 32, 160, 96, 16, 4, 125, 64,
		3, LVX_DTYPE_I8, LVX_DTYPE_U8, 8},
	/* Kyutai's stt-1b: dense, no pictures, 15 s... of 80 ms slots */
	{"1b", 2048, 16, 16, 16, 128, 128, 8000, 5632, 32, 32, 1, 1, 16, 0, 8, 8, 8, 1, 750, 0, 1,
		LVX_DTYPE_F16, LVX_DTYPE_F16, 16},
	{"1b-int8", 2048, 16, 16, 16, 128, 128, 8000, 5632, 32, 32, 1, 1, 16, 0, 8, 8, 8, 1, 750,
		0, 1, LVX_DTYPE_I8, LVX_DTYPE_I8, 16},
	/* 40.8 B, 8.1 B active: 32 experts of 4096, 5 and a shared one at a time */
	{"m3-lite", 4096, 24, 32, 4, 128, 64, 32000, 12288, 4096, 4096, 32, 5, 1, 32, 320, 192, 32,
		4, 125, 64, 3, LVX_DTYPE_I8, LVX_DTYPE_U8, 24},
	/* the public M3's layers: one dense and one of 57 with experts */
	{"m3", 6144, 2, 64, 4, 128, 64, 200064, 12288, 3072, 3072, 128, 4, 1, 32, 320, 192, 32, 4,
		125, 64, 3, LVX_DTYPE_I8, LVX_DTYPE_U8, 60},
	/* for tests of the bench itself */
	{"tiny", 64, 2, 2, 1, 32, 16, 256, 96, 64, 64, 4, 2, 1, 8, 32, 16, 8, 2, 10, 8, 2,
		LVX_DTYPE_I8, LVX_DTYPE_U8, 2},
};
enum { N_SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

/* What the bytes of a region are. */
enum region { R_BYTES, R_SCALE8, R_SCALE4, R_HALF, R_FLOAT, REGIONS };

struct lvx_shape_model {
	const struct lvx_shape *shape;
	struct lvx_model *model;
	uint8_t *map; /* as the file would be */
	size_t len;
	int piece[REGIONS]; /* memory files of PIECE bytes */
	char dir[64];       /* config.json and tokenizer.json */
};

static void write_config(FILE *f, const struct lvx_shape *s)
{
	static const char *const lanes[] = {"{\"name\":\"caption\",\"language\":\"en\"}",
		",{\"name\":\"translation\",\"languages\":[\"de\"]}",
		",{\"name\":\"description\",\"language\":\"en\"}"};
	fprintf(f,
		"{\"model_type\":\"lumivox_m3\",\"family\":\"delayed_streams\",\"pad_token_id\":3,"
		"\"text_config\":{\"hidden_size\":%u,\"num_hidden_layers\":%u,"
		"\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":%u,"
		"\"vocab_size\":%u,\"rms_norm_eps\":1e-6,\"use_gemma_norm\":true,"
		"\"rope_theta\":10000.0,\"rotary_dim\":%u,\"hidden_act\":\"swigluoai\","
		"\"swiglu_alpha\":1.702,\"swiglu_limit\":7.0,\"use_qk_norm\":true,"
		"\"qk_norm_type\":\"per_head\",\"dense_intermediate_size\":%u,"
		"\"intermediate_size\":%u,\"shared_intermediate_size\":%u,\"num_local_experts\":%u,"
		"\"num_experts_per_tok\":%u,\"n_shared_experts\":1,\"scoring_func\":\"sigmoid\","
		"\"use_routing_bias\":true,\"routed_scaling_factor\":1.0,\"moe_layer_freq\":[",
		s->hidden, s->layers, s->heads, s->kv_heads, s->head_dim, s->vocab, s->rotary,
		s->dense, s->expert, s->shared, s->experts, s->top_k);
	for (uint32_t l = 0; l < s->layers; l++)
		fprintf(f, "%s%d", l ? "," : "", l >= s->first_moe);
	fprintf(f, "],\"tie_word_embeddings\":true},\"cross_modal_router\":{\"enabled\":%s",
		s->cross ? "true" : "false");
	if (s->cross)
		fprintf(f, ",\"router_dim\":%u,\"decay_seconds\":2.0", s->cross);
	fprintf(f,
		"},\"audio_config\":{\"sampling_rate\":16000,\"window_size\":400,\"n_fft\":512,"
		"\"hop_length\":160,\"num_mel_bins\":80,\"f_min\":0.0,\"f_max\":8000.0,"
		"\"log_floor\":1e-8,\"log_offset\":4.0,\"log_scale\":0.25,\"frames_per_slot\":8,"
		"\"causal\":true},\"vision_config\":{\"image_width\":%u,\"image_height\":%u,"
		"\"patch_size\":%u,\"num_channels\":3,\"max_pictures\":%u,\"min_interval_ms\":1000,"
		"\"max_interval_ms\":2000},\"streaming\":{\"slot_ms\":80,\"delay_slots\":5,"
		"\"window_slots\":%u,\"max_prefix\":%u},\"lanes\":[",
		s->width, s->height, s->patch, s->pictures, s->window, s->prefix);
	for (uint32_t i = 0; i < s->lanes; i++)
		fputs(lanes[i], f);
	fputs("],\"activity\":[\"speech\",\"end_of_utterance\",\"speaker_change\"],"
	      "\"conditions\":[\"style:cased\",\"to:de\"]}",
		f);
}

/* 256 pieces are enough to say something. */
static void write_tokenizer(FILE *f)
{
	fputs("{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{", f);
	for (int i = 0; i < 256; i++)
		fprintf(f, "%s\"t%d\xe2\x96\x81\":%d", i ? "," : "", i, i);
	fputs("},\"merges\":[]}}", f);
}

static enum lvx_status write_file(const char *dir, const char *name,
	const struct lvx_shape *s, struct lvx_error *err)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	if (!f)
		return lvx_fail(err, LVX_EIO, "%s: %s", path, strerror(errno));
	if (strcmp(name, "config.json") == 0)
		write_config(f, s);
	else
		write_tokenizer(f);
	return fclose(f) == 0 ? LVX_OK : lvx_fail(err, LVX_EIO, "%s: %s", path, strerror(errno));
}

static uint16_t to_half(float v)
{
	uint32_t bits;
	memcpy(&bits, &v, 4);
	int exp = (int)(bits >> 23 & 255) - 112;
	if (exp <= 0) /* too small to matter here */
		return (uint16_t)(bits >> 16 & 0x8000);
	return (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exp << 10 | (bits >> 13 & 1023));
}

/* Weights of about 0.02, whatever the format: norms keep everything else in bounds. */
static int make_piece(enum region r)
{
	int fd = memfd_create("weights", MFD_CLOEXEC);
	uint8_t *p = fd >= 0 && ftruncate(fd, PIECE) == 0
			     ? mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			     : MAP_FAILED;
	if (p == MAP_FAILED) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	uint64_t x = 88172645463325252u + r;
	for (size_t at = 0; at < PIECE; at += 4) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		float unit = (float)(int32_t)(x >> 32) * 0x1p-31f; /* [-1, 1) */
		uint16_t half[2] = {to_half(0.04f * unit), to_half(-0.04f * unit)};
		if (r == R_SCALE8 || r == R_SCALE4)
			half[0] = half[1] = to_half((r == R_SCALE8 ? 0.00027f : 0.0043f) *
						    (1.0f + 0.1f * unit));
		float f32 = 0.2f * unit;
		uint32_t raw = (uint32_t)(x >> 16);
		memcpy(p + at, r == R_BYTES ? (void *)&raw : r == R_FLOAT ? (void *)&f32 : half, 4);
	}
	munmap(p, PIECE);
	return fd;
}

struct layout {
	FILE *header;
	uint64_t size[REGIONS], base[REGIONS];
	bool first;
};

static void entry(struct layout *l, const char *name, const char *dtype, uint32_t rows,
	uint32_t cols, uint64_t bytes, enum region r)
{
	uint64_t at = l->base[r] + l->size[r];
	l->size[r] += bytes;
	fprintf(l->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", l->first ? "{" : ",", name,
		dtype);
	l->first = false;
	if (rows)
		fprintf(l->header, "%u,", rows);
	fprintf(l->header, "%u],\"data_offsets\":[%llu,%llu]}", cols, (unsigned long long)at,
		(unsigned long long)(at + bytes));
}

static bool is_unit(const char *name)
{
	return strstr(name, ".experts.") || strstr(name, ".shared_experts.");
}

static void weight(struct layout *l, const struct lvx_shape *s, const struct lvx_weight *w)
{
	char scale[160];
	uint64_t n = (uint64_t)(w->rows ? w->rows : 1) * w->cols;
	enum lvx_dtype t = w->exact || w->rows == 0 ? LVX_DTYPE_F32
			   : is_unit(w->name)       ? s->units
						    : s->matrices;
	snprintf(scale, sizeof(scale), "%s_scale", w->name);
	switch (t) {
	case LVX_DTYPE_I8:
		entry(l, w->name, "I8", w->rows, w->cols, n, R_BYTES);
		entry(l, scale, "F16", w->rows, w->cols / 32, n / 16, R_SCALE8);
		break;
	case LVX_DTYPE_U8:
		entry(l, w->name, "U8", w->rows, w->cols / 2, n / 2, R_BYTES);
		entry(l, scale, "F16", w->rows, w->cols / 32, n / 16, R_SCALE4);
		break;
	case LVX_DTYPE_F16:
		entry(l, w->name, "F16", w->rows, w->cols, n * 2, R_HALF);
		break;
	default:
		entry(l, w->name, "F32", w->rows, w->cols, n * 4, R_FLOAT);
	}
}

/* Every region's tensors, then one that fills its last page. */
static void entries(struct layout *l, const struct lvx_shape *s, const struct lvx_graph *g)
{
	l->first = true;
	memset(l->size, 0, sizeof(l->size));
	for (uint32_t i = 0; i < g->n_weights; i++)
		weight(l, s, &g->weights[i]);
	for (int r = 0; r < REGIONS; r++) {
		char name[16];
		uint64_t pad = (PAGE - l->size[r] % PAGE) % PAGE;
		snprintf(name, sizeof(name), "pad.%d", r);
		if (pad)
			entry(l, name, "U8", 0, (uint32_t)pad, pad, (enum region)r);
	}
	fputc('}', l->header);
}

static enum lvx_status map_weights(
	struct lvx_shape_model *m, const struct lvx_graph *g, struct lvx_error *err)
{
	struct layout l = {0};
	char *text = NULL;
	size_t text_len = 0;
	/* Twice: the regions' sizes give their places. */
	for (int pass = 0; pass < 2; pass++) {
		free(text);
		l.header = open_memstream(&text, &text_len);
		if (!l.header)
			return lvx_fail(err, LVX_ENOMEM, "out of memory");
		for (int r = 1; r < REGIONS; r++)
			l.base[r] = l.base[r - 1] + l.size[r - 1];
		entries(&l, m->shape, g);
		fclose(l.header);
	}
	size_t head = (8 + text_len + PAGE - 1) / PAGE * PAGE;
	m->len = head + l.base[REGIONS - 1] + l.size[REGIONS - 1];
	m->map = mmap(NULL, m->len, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->map == MAP_FAILED) {
		m->map = NULL;
		free(text);
		return lvx_fail(err, LVX_ENOMEM, "no address space for %zu bytes", m->len);
	}
	memset(m->map, ' ', head);
	uint64_t header_len = head - 8;
	memcpy(m->map, &header_len, 8);
	memcpy(m->map + 8, text, text_len);
	free(text);
	for (int r = 0; r < REGIONS; r++)
		for (uint64_t at = 0; at < l.size[r]; at += PIECE) {
			uint64_t n = l.size[r] - at < PIECE ? l.size[r] - at : PIECE;
			if (mmap(m->map + head + l.base[r] + at, n, PROT_READ,
				    MAP_SHARED | MAP_FIXED, m->piece[r], 0) == MAP_FAILED)
				return lvx_fail(err, LVX_ENOMEM, "mapping: %s", strerror(errno));
		}
	return LVX_OK;
}

static enum lvx_status prepare(struct lvx_shape_model *m, struct lvx_error *err)
{
	struct lvx_config config;
	struct lvx_graph graph;
	char path[128];
	snprintf(m->dir, sizeof(m->dir), "/tmp/lumivox-%s-XXXXXX", m->shape->name);
	if (!mkdtemp(m->dir)) {
		m->dir[0] = '\0';
		return lvx_fail(err, LVX_EIO, "/tmp: %s", strerror(errno));
	}
	for (int r = 0; r < REGIONS; r++)
		if ((m->piece[r] = make_piece((enum region)r)) < 0)
			return lvx_fail(err, LVX_ENOMEM, "no memory for weights");
	enum lvx_status st = write_file(m->dir, "config.json", m->shape, err);
	if (st == LVX_OK)
		st = write_file(m->dir, "tokenizer.json", m->shape, err);
	snprintf(path, sizeof(path), "%s/config.json", m->dir);
	if (st == LVX_OK)
		st = lvx_config_load(&config, path, err);
	if (st == LVX_OK)
		st = lvx_graph_build(&graph, &config, err);
	if (st != LVX_OK)
		return st;
	st = map_weights(m, &graph, err);
	lvx_graph_finish(&graph);
	return st;
}

const struct lvx_shape *lvx_shape_find(const char *name, struct lvx_error *err)
{
	for (size_t i = 0; i < N_SHAPES; i++)
		if (strcmp(shapes[i].name, name) == 0)
			return &shapes[i];
	lvx_fail(err, LVX_ENOENT, "there is no shape '%s'; there are nano, 1b, 1b-int8, m3-lite, m3, tiny",
		name);
	return NULL;
}

static enum lvx_status open_shape(
	struct lvx_shape_model **out, const struct lvx_shape *shape, struct lvx_error *err)
{
	struct lvx_shape_model *m = calloc(1, sizeof(*m));
	if (!m)
		return lvx_fail(err, LVX_ENOMEM, "out of memory");
	m->shape = shape;
	for (int r = 0; r < REGIONS; r++)
		m->piece[r] = -1;
	enum lvx_status st = prepare(m, err);
	if (st != LVX_OK) {
		lvx_shape_close(m);
		return st;
	}
	*out = m;
	return LVX_OK;
}

enum lvx_status lvx_shape_open(
	struct lvx_shape_model **out, const struct lvx_shape *shape, struct lvx_error *err)
{
	struct lvx_shape_model *m;
	struct lvx_safetensors *file;
	enum lvx_status st = open_shape(&m, shape, err);
	if (st != LVX_OK)
		return st;
	st = lvx_safetensors_parse(&file, m->shape->name, m->map, m->len, err);
	if (st == LVX_OK)
		st = lvx_model_load_with(&m->model, m->dir, file, err);
	if (st != LVX_OK) {
		lvx_shape_close(m);
		return st;
	}
	snprintf(m->model->info.name, sizeof(m->model->info.name), "%s", m->shape->name);
	*out = m;
	return LVX_OK;
}

void lvx_shape_close(struct lvx_shape_model *m)
{
	static const char *const names[] = {"config.json", "tokenizer.json"};
	char path[128];
	if (!m)
		return;
	lvx_model_destroy(m->model);
	for (int r = 0; r < REGIONS; r++)
		if (m->piece[r] >= 0)
			close(m->piece[r]);
	if (m->map)
		munmap(m->map, m->len);
	for (size_t i = 0; m->dir[0] && i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", m->dir, names[i]);
		unlink(path);
	}
	if (m->dir[0])
		rmdir(m->dir);
	free(m);
}

const struct lvx_model *lvx_shape_get(const struct lvx_shape_model *m)
{
	return m->model;
}

uint32_t lvx_shape_layers(const struct lvx_shape_model *m)
{
	return m->shape->stands_for;
}

enum lvx_status lvx_shape_write(
	const struct lvx_shape *shape, const char *dir, struct lvx_error *err)
{
	struct lvx_shape_model *m;
	char path[512];
	enum lvx_status st = open_shape(&m, shape, err);
	if (st != LVX_OK)
		return st;
	mkdir(dir, 0777);
	st = write_file(dir, "config.json", m->shape, err);
	if (st == LVX_OK)
		st = write_file(dir, "tokenizer.json", m->shape, err);
	snprintf(path, sizeof(path), "%s/model.safetensors", dir);
	int fd = st == LVX_OK ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
	for (size_t at = 0; fd >= 0 && at < m->len;) {
		ssize_t n = write(fd, m->map + at, m->len - at < PIECE ? m->len - at : PIECE);
		if (n <= 0)
			break;
		at += (size_t)n;
		st = at == m->len ? LVX_OK : LVX_EIO;
	}
	if ((fd < 0 || close(fd) != 0 || st == LVX_EIO) && st != LVX_EINVAL)
		st = lvx_fail(err, LVX_EIO, "%s: %s", path, strerror(errno));
	lvx_shape_close(m);
	return st;
}
