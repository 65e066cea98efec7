/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the runner only. runner.c: life and steps; runner_pack.c: weights as
 * the kernels read them; runner_plan.c: buffers, pipelines, descriptor sets; runner_products.c: the kernels of products;
 * runner_record.c: command buffers; runner_batch.c: rows and what a batch uploads;
 * runner_long.c: long runs in pieces; runner_keep.c: what the host keeps, and a lost device.
 */
#ifndef LVX_MODEL_RUNNER_PRIV_H
#define LVX_MODEL_RUNNER_PRIV_H

#include "model/favour.h"
#include "model/model_priv.h"
#include "model/runner.h"
#include "model/vk_device.h"

enum { LVX_ROWS_MAX = 16384, LVX_SHAPES = 64, LVX_MARKS_MAX = 2048 };

/* The kernels of a product by how many positions one takes: linear.comp or matvec.comp up to
 * LVX_TILE_FEW, matmul.comp beyond. */
enum { LVX_TILE_FEW = 2, LVX_TILES = 12, LVX_CPU_GROUP = 8 /* invocations: a SIMD register of floats */ };
/* Work groups of matvec.comp: 128, 256 or 512 invocations. */
enum { LVX_WIDTHS = 3 };

/* A part of a buffer, as a descriptor binds it. */
struct lvx_view {
	VkBuffer buffer;
	VkDeviceSize offset, size;
};

enum lvx_format { LVX_FMT_F32, LVX_FMT_F16, LVX_FMT_I8, LVX_FMT_Q4, LVX_FMTS };

/*
 * A matrix, or one for each expert or lane ("group"), packed: rows in tiles of
 * 8, in a tile 16 bytes of each row in turn; scales [tile][block of 32][8] f32, on GPUs f16.
 */
struct lvx_matrix {
	struct lvx_view weights, scales;
	enum lvx_format format;
	uint32_t rows, cols; /* of one group; gated: gate and up rows, tiles alternating */
	uint32_t n_groups;
	uint32_t w_group, s_group; /* distance of groups: 16-byte units, scales */
	bool gated;
	bool halves;    /* matmul.comp's positions come in f16 */
	uint32_t width; /* on a GPU, for few positions */
};

struct lvx_layer {
	struct lvx_view norm1, norm2, q_norm, k_norm;
	struct lvx_matrix qkv, out;
	struct lvx_matrix up, down;               /* dense, or shared expert */
	struct lvx_matrix expert_up, expert_down; /* moe */
	struct lvx_matrix router;                 /* [W; V; K; Q] packed f32 */
	struct lvx_view router_bias;              /* bias, presence */
	struct lvx_view k_cache, v_cache, memory; /* [rows]... */
	bool moe;
	float alpha, limit;
};

/* What the shaders call Pos and Run. */
struct lvx_pos {
	uint32_t row, kind, index, run;
	uint32_t write, patch_no, off0, n0;
	uint32_t off1, n1, off2, n2;
	uint32_t item[LVX_LANES_MAX];
};

struct lvx_run_rec {
	uint32_t row, modality, first, n;
	uint32_t present;
	float keep, add;
	uint32_t conditions;
};

/* Of a slot that wants the first lane, in the order of that lane's items. */
struct lvx_favoured {
	uint32_t n;
	float by; /* logits */
	int32_t token[LVX_FAVOURED_MAX];
};

/* Device results of one head item. */
struct lvx_best {
	uint32_t token;
	float logprob, margin, logit;
};

/* Of a row, on the host. Keys: [prefix | audio ring | picture ring]. */
struct lvx_row {
	uint32_t n_prefix;
	uint64_t n_slots, n_pictures;
	double n[LVX_MODALITIES];     /* weight of each modality memory; 0: not seen */
	int64_t last[LVX_MODALITIES]; /* its last run's slot */
};

/* Everything that decides which dispatches are needed; the rest is in buffers. */
struct lvx_shape {
	uint32_t place, layer, end_layer; /* where, and which layers: all, or a piece of long runs */
	uint32_t n_slots, n_patches, n_tokens, n_long_runs;
	uint32_t n_items[LVX_LANES_MAX];
};

struct lvx_recorded {
	struct lvx_shape shape;
	VkCommandBuffer cmd;
	uint64_t used; /* step of last use; 0: empty */
	struct lvx_runner_mark *marks; /* with `profile`: [LVX_MARKS_MAX], names only */
	uint32_t n_marks;
};

/* A descriptor set for each dispatch of the plan. */
struct lvx_layer_sets {
	VkDescriptorSet norm1, qkv, rope, attention, out, route, router, memory, group;
	VkDescriptorSet norm2, up, down, expert_up, expert_down, expert_up_direct,
		expert_down_direct;
	VkDescriptorSet qkv_normed, up_normed, expert_down_summed; /* few positions on a GPU */
};

/*
 * Where a batch is computed: its inputs, activations and results. Of a large one on a GPU the
 * second part has a place that differs in what the host writes and reads, so that it fills one
 * while the device reads the other. Long runs that are taken in pieces have a place
 * of their own, where they stay while slots are run.
 */
enum { LVX_PLACE_STEP, LVX_PLACE_SECOND, LVX_PLACE_LONG, LVX_PLACES };

struct lvx_place {
	uint32_t max_positions; /* 0: there is no such place */
	struct lvx_vk_buffer scratch, upload, readback; /* SECOND: scratch and inputs are STEP's */
	struct lvx_vk_buffer inputs; /* what upload is copied to, where the host shares no memory */
	struct {
		struct lvx_view pos, runs, rope, mel, lane_ids, patches, token_ids, favoured;
		struct lvx_view lane_tokens, tokens, audio, lanes, image, x, h, qkv, q, attention,
			unit, expert_unit, expert_sum, kvh, choice, share, list, dispatch, heads,
			lane_heads, logits, routed, key_parts;
		/* f16, on a GPU. Where attention, unit and expert_unit are f16 they are nothing else. */
		struct lvx_view h16;
		struct lvx_view best, activity;
	} v;
	VkDescriptorPool sets_pool;
	VkBufferView *texels; /* owned */
	uint32_t n_texels;
	struct lvx_layer_sets *sets;
	struct {
		VkDescriptorSet lane_tokens, tokens, audio, lanes_in, image, embed, final, lanes_out, vocab, argmax;
	} s;
	/* the batch that is in it */
	struct lvx_shape shape;
	uint32_t *order;                  /* [max runs] its runs, slots first */
	uint32_t (*items)[LVX_LANES_MAX]; /* of run i: head item or ~0 */
	uint64_t ticket;
	int64_t submit_us;
};

/* Long runs on their way. */
struct lvx_long {
	struct lvx_run *runs; /* [n_rows]; what they point to is the caller's */
	int32_t (*conditions)[LVX_CONDITIONS_MAX];
	bool *busy;             /* [n_rows] the row has one of them */
	uint32_t n, layer;      /* layer: the next; 0: nothing is done */
	struct lvx_shape shape; /* of all layers */
};

struct lvx_keep; /* runner_keep.c */

struct lvx_runner {
	const struct lvx_model *model; /* borrowed */
	struct lvx_runner_params params; /* its device: owned */
	struct lvx_device_info info;     /* of the first device; never changes */
	struct lvx_runner_stats stats;
	struct lvx_keep *keep; /* NULL without keep_steps */
	struct lvx_long along;
	struct lvx_vk_instance *instance; /* outlives a device that is lost */
	bool gone;                       /* lost, and did not come back */

	/* From here on all belongs to one device and is made anew with another. */
	struct lvx_vk *vk;
	uint32_t n_rows;
	uint32_t piece_layers; /* of a piece of long runs */
	uint32_t key_cap;       /* keys of a row */
	uint32_t n_patches;     /* of a picture */
	uint32_t nm;            /* floats of a modality memory */
	uint32_t split;         /* of params.split_runs, resolved */
	uint32_t group;         /* invocations of a work group that takes a position */
	bool exact;             /* of the params */
	bool half_cache;        /* keys and values are f16 */
	uint32_t patch_queries; /* patches that one work group of the attention takes */

	/* weights */
	struct lvx_vk_buffer *blobs; /* owned */
	uint32_t n_blobs;
	struct lvx_layer *layers;
	struct lvx_matrix audio, lanes_in, image, lanes_out, embed;
	struct lvx_view audio_norm, image_norm, final_norm, place, activity, conditions;

	/* state on the device */
	struct lvx_vk_buffer memory;
	struct lvx_view ended; /* attention.comp's count of work groups, at the end of `memory` */
	struct lvx_vk_buffer *kv_layers; /* 2 a layer: keys, values */

	/* pipelines, descriptor sets, command buffers */
	VkPipeline linear[LVX_FMTS][LVX_TILES]; /* on a GPU beyond LVX_TILE_FEW */
	VkPipeline halved[LVX_FMTS][LVX_TILES]; /* of these, for positions in f16 */
	VkPipeline few[LVX_FMTS][LVX_TILE_FEW + 1][LVX_WIDTHS];
	VkPipeline few_normed[LVX_FMTS][LVX_TILE_FEW + 1][LVX_WIDTHS];
	VkPipeline tokens_p, embed_p, norm_p, rope_p, attention_p, attention_slots_p /* GPUs only */,
		attention_patches_p, router_p, memory_p, group_p, argmax_p;
	struct lvx_place places[LVX_PLACES];
	struct lvx_place *at; /* of the batch in hand */
	struct lvx_recorded recorded[LVX_SHAPES];
	VkQueryPool queries;       /* with `profile` */
	struct lvx_recorded *last; /* of the last step */
	struct lvx_runner_mark *marks;

	/* rows and the batch in hand */
	struct lvx_row *rows;
	struct lvx_row *next;               /* as they will be if the step succeeds */
	uint64_t *seen;                     /* the batch that last had a run of the row */
	uint64_t batch;
	double *rope_freq;                           /* [rotary_dim / 2] */
	uint32_t last_place, last_from; /* of the last step's last part; its first run */
	bool lost;
	uint64_t step;
};

/* What a work group of a product takes on a GPU; beyond LVX_TILE_FEW also how: matmul.comp's constants. */
struct lvx_tile {
	uint32_t positions, rows;
	uint32_t step, parts_m, parts_n, parts_k, buffers, depth;
};
extern const struct lvx_tile lvx_tiles[LVX_TILES];
/* Rows of an invocation on a CPU, in a work group of 8: as many as its registers hold. */
static inline uint32_t lvx_cpu_tile_rows(uint32_t tile)
{
	return tile == 0 ? 8 : 4;
}

/* weights.glsl's push constants. */
struct lvx_push_product {
	uint32_t blocks, rows, n_items;
	uint32_t x_base, x_stride, y_base, y_stride;
	uint32_t w_base, w_group, s_base, s_group;
	uint32_t mode, divide, items_at, gated, adds, y_halves;
	float alpha, limit, eps;
};

/* Whether a work group of matmul.comp fits into the device's shared memory; its pipeline, with halves for
 * positions in f16 (runner_products.c). */
bool lvx_many_fits(const struct lvx_vk *vk, const struct lvx_tile *tile);
enum lvx_status lvx_many_pipeline(struct lvx_vk *vk, VkPipeline *out, enum lvx_format f,
	const struct lvx_tile *tile, bool halves, struct lvx_error *err);
/* Whether a format has this kernel on this device; its widest one; and the pipeline: normed up to
 * LVX_TILE_FEW, halves beyond. */
bool lvx_has_tile(const struct lvx_vk *vk, enum lvx_format f, uint32_t tile);
uint32_t lvx_top_tile(const struct lvx_vk *vk, enum lvx_format f);
enum lvx_status lvx_product_pipeline(struct lvx_vk *vk, VkPipeline *out, enum lvx_format f,
	uint32_t tile, uint32_t width, bool normed, bool halves, struct lvx_error *err);
/* Those of all matrices of r. */
enum lvx_status lvx_runner_products(struct lvx_runner *r, struct lvx_error *err);
/* Parts of the keys of each of so many slots: work groups of the attention. */
uint32_t lvx_key_parts(const struct lvx_runner *r, uint32_t n_slots);
/* Work groups along the rows (runner_record.c). */
uint32_t lvx_product_groups(const struct lvx_vk *vk, uint32_t rows, uint32_t tile);

/* runner_pack.c */
enum lvx_status lvx_runner_pack(struct lvx_runner *r, struct lvx_error *err);
/* runner_plan.c */
enum lvx_status lvx_runner_buffers(struct lvx_runner *r, struct lvx_error *err);
enum lvx_status lvx_runner_pipelines(struct lvx_runner *r, struct lvx_error *err);
enum lvx_status lvx_runner_sets(struct lvx_runner *r, struct lvx_error *err);
/* runner_record.c: the command buffer of r->at->shape, recorded or re-used. */
enum lvx_status lvx_runner_command(struct lvx_runner *r, VkCommandBuffer *out);
/* runner_batch.c: whether it may be run there. */
enum lvx_status lvx_runner_check(struct lvx_runner *r, const struct lvx_place *place,
	const struct lvx_run *runs, uint32_t n_runs);
/* Fills r->at and r->next with a batch, or a part of one, that was checked. */
void lvx_runner_fill(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs);

/* runner.c */
enum lvx_status lvx_runner_build(struct lvx_runner *r, struct lvx_error *err);
void lvx_runner_unbuild(struct lvx_runner *r); /* of a zeroed one too */
/* One batch on the device that there is. */
enum lvx_status lvx_runner_try_step(struct lvx_runner *r, const struct lvx_run *runs,
	uint32_t n_runs, struct lvx_output *out);

/* LVX_EDEVICE, said and noted, unless it is a success. */
enum lvx_status lvx_runner_result(struct lvx_runner *r, VkResult result);
/* A submission that began then is done: for who wants its marks. */
void lvx_runner_tell_marks(struct lvx_runner *r, int64_t begin_us);

/* runner_long.c */
enum lvx_status lvx_long_create(struct lvx_runner *r, struct lvx_error *err);
void lvx_long_destroy(struct lvx_runner *r);
void lvx_long_drop(struct lvx_runner *r, uint32_t row); /* the row's run no longer matters */

/* runner_keep.c */
enum lvx_status lvx_keep_create(struct lvx_runner *r, struct lvx_error *err);
void lvx_keep_destroy(struct lvx_keep *keep); /* NULL is fine */
void lvx_keep_reset_row(struct lvx_keep *keep, uint32_t row);
/* These runs are done. */
void lvx_keep_took(struct lvx_runner *r, const struct lvx_run *runs, uint32_t n_runs);
/* Opens the device again and brings every row to where it was. */
enum lvx_status lvx_keep_recover(struct lvx_runner *r);

static inline void *lvx_mapped(const struct lvx_vk_buffer *buffer, const struct lvx_view *view)
{
	return (char *)buffer->map + view->offset;
}

#endif
