/* siglip.h: the vision tower up to the feature layer; what lies behind it is neither declared nor read. Spec: model.md 2. */
#ifndef GENLLAVA_TRAIN_MODELS_SIGLIP_H
#define GENLLAVA_TRAIN_MODELS_SIGLIP_H

#include "data/formats/json_fields.h"
#include "train/config/config.h"
#include "train/models/encoder.h"
#include "train/models/genllava.h"
#include "train/models/weights.h"
#include "train/nn/ops.h"

typedef struct SiglipConfig {
    int64_t hidden, ff, layers, heads, height, width, patch;
    int64_t blocks; /* executed: feature element `blocks` of [embeddings, block 0, …] */
    ActKind act;
    double eps;
} SiglipConfig;
static inline int64_t siglip_patches(const SiglipConfig *c) { return (c->height / c->patch) * (c->width / c->patch); }

typedef struct Siglip {
    SiglipConfig config;
    Param *patch_w, *patch_b, *position;
    EncoderBlock *blocks;
} Siglip;

/* The part "vision" (parts.h). Its folder's config.json is of the tower alone, or has the tower's under vision_config; how pictures are
 * prepared is read too. */
extern const NameTable SIGLIP_NAMES;
extern const FieldClass SIGLIP_FIELDS; /* of the tower's config.json */
MUST_USE Status siglip_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status siglip_declare(GenLlava *g, const RunConfig *cfg);
void siglip_free(GenLlava *g);

/* Pixels -> features [images·patches, hidden]. */
Tensor *siglip_forward(Tape *t, const Siglip *m, const PatchSpec *pixels);
#endif
