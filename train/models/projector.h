/* projector.h: image features to token embeddings: linear, or mlpKx_gelu with exact GELU between K linears. Spec: model.md 3. */
#ifndef GENLLAVA_TRAIN_MODELS_PROJECTOR_H
#define GENLLAVA_TRAIN_MODELS_PROJECTOR_H

#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/weights.h"
#include "train/nn/ops.h"

typedef struct Projector {
    int64_t depth;
    Linear *layers;
} Projector;

/* The part "projector" (parts.h). A file of it may be in any of the spellings of LLaVA, Hugging Face or PEFT. */
extern const NameTable PROJECTOR_NAMES;
MUST_USE Status projector_declare(GenLlava *g, const RunConfig *cfg);
MUST_USE Status projector_load(GenLlava *g, const RunConfig *cfg, const char *file);
void projector_free(GenLlava *g);

/* [rows, in] -> [rows, out] */
Tensor *projector_forward(Tape *t, const Projector *m, Tensor *x);
#endif
