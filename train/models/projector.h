/* projector.h: image features to token embeddings: linear, or mlpKx_gelu with exact GELU between K linears. Spec: model.md 3. */
#ifndef GENLLAVA_TRAIN_MODELS_PROJECTOR_H
#define GENLLAVA_TRAIN_MODELS_PROJECTOR_H

#include "train/models/weights.h"
#include "train/nn/ops.h"

typedef struct Projector {
    int64_t depth;
    Linear *layers;
} Projector;

/* in: width of the features; out: width of the language model. */
MUST_USE Status projector_declare(Projector *m, Params *p, int64_t depth, int64_t in, int64_t out, bool trainable);
void projector_free(Projector *m);
/* A safetensors file in any of the spellings of LLaVA, Hugging Face or PEFT. Whatever else it holds is listed. */
MUST_USE Status projector_load(Projector *m, Params *p, const char *file);
MUST_USE Status projector_draw(Projector *m, Params *p, uint64_t seed);

/* [rows, in] -> [rows, out] */
Tensor *projector_forward(Tape *t, const Projector *m, Tensor *x);
#endif
