/* SPDX-License-Identifier: Apache-2.0 */
/* Inside model/ only: what a loaded model holds. Immutable after loading. */
#ifndef LVX_MODEL_MODEL_PRIV_H
#define LVX_MODEL_MODEL_PRIV_H

#include "model/config.h"
#include "model/graph.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "model/tokenizer.h"

struct lvx_model {
	struct lvx_model_info info;
	struct lvx_config config;
	struct lvx_safetensors *file;
	struct lvx_graph graph; /* bound to file */
	struct lvx_tokenizer *tokenizer;
};

/* lvx_model_load with weights that are open already; takes them, also if it fails. */
enum lvx_status lvx_model_load_with(struct lvx_model **out, const char *dir,
	struct lvx_safetensors *weights, struct lvx_error *err);

#endif
