/* siglip.h: the vision tower up to the feature layer, SigLIP's or CLIP's; what lies behind it is neither declared nor read. CLIP's has a
 * class token before the patches, a norm before its blocks and no bias of patches; the class token's feature is dropped, as LLaVA 1.5 does
 * ("patch", in transformers "default"). Spec: model.md 2. */
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
    bool clip;                      /* a class token stands before the patches */
    double init_range, init_factor; /* of CLIP's initial values */
} SiglipConfig;
/* Features of a picture. */
static inline int64_t siglip_patches(const SiglipConfig *c) { return (c->height / c->patch) * (c->width / c->patch); }

typedef struct Siglip {
    SiglipConfig config;
    Param *patch_w, *patch_b, *position;                /* patch_b: NULL in CLIP, which has a row of positions more */
    Param *class_token, *before_norm_w, *before_norm_b; /* CLIP's; NULL in SigLIP. A plain ViT has the token and no such norm */
    EncoderBlock *blocks;
} Siglip;

/* The part "vision" (parts.h). Its folder's config.json is of the tower alone, or has the tower's under vision_config; how pictures are
 * prepared is read too. */
extern const NameTable SIGLIP_NAMES;
extern const FieldClass SIGLIP_FIELDS, CLIP_VISION_FIELDS; /* of the tower's config.json */
MUST_USE Status siglip_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status siglip_declare(GenLlava *g, const RunConfig *cfg);
void siglip_free(GenLlava *g);

/* The parts of these for networks that are no part of a GenLlava (eval/features): the settings in an open config.json, all blocks; weights
 * under "vision_model."; *blocks is the caller's, mem_free. */
void siglip_read(JsonFields *f, SiglipConfig *c);
MUST_USE Status siglip_declare_in(Params *p, Siglip *m);
/* Pixels -> all rows behind the last block, the class token's first: [images·(patches+1), hidden], of SigLIP [images·patches, hidden]. */
Tensor *siglip_sequences(Tape *t, const Siglip *m, const PatchSpec *pixels);

/* Pixels -> features [images·patches, hidden], without that of the class token. */
Tensor *siglip_forward(Tape *t, const Siglip *m, const PatchSpec *pixels);
#endif
