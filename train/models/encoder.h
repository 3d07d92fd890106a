/* encoder.h: the pre-norm transformer blocks that vision towers (siglip.c) and CLIP's text encoder (clip_text.c) are stacks of. Spec:
 * model.md 2.3, 5.1. */
#ifndef GENLLAVA_TRAIN_MODELS_ENCODER_H
#define GENLLAVA_TRAIN_MODELS_ENCODER_H

#include "data/formats/json_fields.h"
#include "train/models/declare.h"

typedef struct EncoderShape {
    int64_t hidden, ff, heads;
    ActKind act;
    double eps;
    bool causal;
} EncoderShape;

typedef struct EncoderBlock {
    Param *norm1_w, *norm1_b, *norm2_w, *norm2_b;
    Linear kqv[3], out, fc1, fc2;
} EncoderBlock;

/* hidden_act of a config.json; absent: what its class does then. */
ActKind encoder_read_act(JsonFields *f, const Json *o, const char *absent);
/* Refuses heads that do not divide the width or are too wide. */
void encoder_check_heads(JsonFields *f, const Json *o, int64_t hidden, int64_t heads);

/* encoder.layers.0 … n-1 under d; *blocks is the caller's, mem_free. Weights are drawn uniformly as declare_xavier says. */
MUST_USE Status encoder_declare(const Declare *d, const EncoderShape *c, EncoderBlock **blocks, int64_t n);
/* Rows index[0 … n-1] (device memory) of a table [*,D] -> [n,D]. */
Tensor *encoder_rows(Tape *t, Param *table, const int32_t *index, int64_t n);
/* x [rows,D], to which `add` [rows,D] (may be NULL) is added first, through n blocks -> [rows,D]. Nothing else may read x. */
Tensor *encoder_forward(Tape *t, const EncoderShape *c, const EncoderBlock *blocks, int64_t n, Tensor *x, Tensor *add,
                        const PackedRows *rows);
#endif
