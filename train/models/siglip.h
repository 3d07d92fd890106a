/* siglip.h: the vision tower up to the feature layer; what lies behind it is neither declared nor read. Spec: model.md 2. */
#ifndef GENLLAVA_TRAIN_MODELS_SIGLIP_H
#define GENLLAVA_TRAIN_MODELS_SIGLIP_H

#include "train/models/weights.h"
#include "train/nn/ops.h"

typedef struct SiglipConfig {
    int64_t hidden, ff, layers, heads, height, width, patch;
    int64_t blocks; /* executed: feature element `blocks` of [embeddings, block 0, …] */
    GeluKind act;
    double eps;
} SiglipConfig;
/* FOLDER/config.json, of the tower alone or with the tower's under vision_config. layer: model.vision.layer. */
MUST_USE Status siglip_config(SiglipConfig *c, const char *folder, int64_t layer);
static inline int64_t siglip_patches(const SiglipConfig *c) { return (c->height / c->patch) * (c->width / c->patch); }

typedef struct SiglipBlock {
    Param *norm1_w, *norm1_b, *norm2_w, *norm2_b;
    Linear kqv[3], out, fc1, fc2;
} SiglipBlock;

typedef struct Siglip {
    SiglipConfig config;
    Param *patch_w, *patch_b, *position;
    SiglipBlock *blocks;
} Siglip;

MUST_USE Status siglip_declare(Siglip *m, Params *p, const SiglipConfig *c, bool trainable);
void siglip_free(Siglip *m);
MUST_USE Status siglip_load(Siglip *m, Params *p, Weights *w);
MUST_USE Status siglip_draw(Siglip *m, Params *p, uint64_t seed);

/* Pixels -> features [images·patches, hidden]. */
Tensor *siglip_forward(Tape *t, const Siglip *m, const PatchSpec *pixels);
#endif
