/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model as data: the list of its operations in order and the weights they
 * name, built from the configuration. It says what is computed; the kernels
 * and how they share the work are the runner's business. What differs between
 * families of models (norm, rotation, gate, biases) is a parameter here, also
 * where only one value is implemented: lvx_graph_build refuses the others.
 */
#ifndef LVX_MODEL_GRAPH_H
#define LVX_MODEL_GRAPH_H

#include "model/config.h"
#include "model/safetensors.h"

/* One matrix [rows, cols] or vector [cols] (rows 0), by its name in the file. */
struct lvx_weight {
	char name[112];
	uint32_t rows, cols;
	bool exact; /* F32, F16 or BF16 only: never quantised */
	const struct lvx_tensor *data;	/* set by lvx_graph_bind; borrowed from the file */
	const struct lvx_tensor *scale; /* quantised: f16 [rows, cols / 32], else NULL */
};

/* Index into lvx_graph.weights; LVX_NO_WEIGHT: absent. */
typedef uint32_t lvx_weight_id;
#define LVX_NO_WEIGHT UINT32_MAX

enum lvx_op_kind {
	LVX_OP_EMBED_AUDIO, /* x = N(W mel) + sum of lanes P_lane E[y] + c */
	LVX_OP_EMBED_IMAGE, /* x = N(W patch) + row + col + c */
	LVX_OP_EMBED_TEXT,  /* x = E[id] + c */
	LVX_OP_NORM,	    /* h = N x */
	LVX_OP_ATTENTION,   /* x += O attn(Q h, K h, V h) */
	LVX_OP_ROUTER,	    /* which experts get h, and how much of each */
	LVX_OP_FFN,	    /* x += down act(gate h, up h), of all positions */
	LVX_OP_EXPERTS,	    /* x += what the router chose */
	LVX_OP_LANES,	    /* logits = E H_lane h */
	LVX_OP_ACTIVITY,    /* sigmoid(A h + b) */
};

enum lvx_rope_kind { LVX_ROPE_HALF /* pairs (i, i + n/2) */, LVX_ROPE_INTERLEAVED };
enum lvx_act_kind { LVX_ACT_SWIGLUOAI /* clamped, (u + 1) g sigmoid(alpha g) */, LVX_ACT_SILU };
enum lvx_score_kind { LVX_SCORE_SIGMOID, LVX_SCORE_SOFTMAX };

struct lvx_op_norm {
	lvx_weight_id weight;
	float eps;
	bool plus_one; /* Gemma: the factor is 1 + w */
};

struct lvx_op_attention {
	lvx_weight_id q, k, v, o;	/* [heads * head_dim, D] ...; o [D, heads * head_dim] */
	lvx_weight_id bias;		/* of q, k, v; none is implemented */
	struct lvx_op_norm q_norm, k_norm; /* per head */
	uint32_t n_heads, n_kv_heads, head_dim, rotary_dim;
	enum lvx_rope_kind rope;
	double theta;
};

struct lvx_op_router {
	lvx_weight_id gate, bias;		      /* [E, D], [E] */
	lvx_weight_id cross_q, cross_k, cross_v, presence; /* or LVX_NO_WEIGHT, all of them */
	uint32_t n_experts, top_k, router_dim;
	enum lvx_score_kind score;
	float scale;
};

struct lvx_op_ffn {
	lvx_weight_id gate, up, down; /* experts: of the first; each expert has three in a row */
	uint32_t inter, n_experts;    /* n_experts 0: one unit for all positions */
	enum lvx_act_kind act;
	float alpha, limit;
};

struct lvx_op_embed {
	lvx_weight_id proj;	   /* [D, values] */
	struct lvx_op_norm norm;
	lvx_weight_id row, col;	   /* pictures */
	lvx_weight_id lane[LVX_LANES_MAX]; /* slots: P [D, D] */
	uint32_t values;
};

struct lvx_op_heads {
	lvx_weight_id lane[LVX_LANES_MAX]; /* H [D, D] */
	lvx_weight_id weight, bias;	   /* activity: A [3, D], b [3] */
};

struct lvx_op {
	enum lvx_op_kind kind;
	uint32_t layer;
	union {
		struct lvx_op_embed embed;
		struct lvx_op_norm norm;
		struct lvx_op_attention attention;
		struct lvx_op_router router;
		struct lvx_op_ffn ffn;
		struct lvx_op_heads heads;
	};
};

struct lvx_graph {
	struct lvx_op *ops;
	uint32_t n_ops;
	struct lvx_weight *weights;
	uint32_t n_weights;
	lvx_weight_id embed, conditions; /* E [V, D]; conditions [C, D] or LVX_NO_WEIGHT */
};

enum lvx_status lvx_graph_build(
	struct lvx_graph *out, const struct lvx_config *config, struct lvx_error *err);
/* Finds every weight in the file and checks its type and shape. */
enum lvx_status lvx_graph_bind(struct lvx_graph *graph, const struct lvx_safetensors *st,
	const char *where, struct lvx_error *err);
void lvx_graph_finish(struct lvx_graph *graph); /* zeroed is fine */

/*
 * One row of a bound weight as floats (dequantised), columns [0, cols): the
 * definition of what the stored formats mean.
 */
void lvx_weight_row(const struct lvx_weight *w, uint32_t row, float *out);
float lvx_half_to_float(uint16_t bits);

#endif
