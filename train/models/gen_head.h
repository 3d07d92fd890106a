/* gen_head.h: the generation head: states of visual output tokens to the context of Stable Diffusion's cross attention. GILL's mapper,
 * which is MGIE's too: a linear, torch's nn.Transformer with learned queries, a linear. Spec: model.md 4.3. */
#ifndef GENLLAVA_TRAIN_MODELS_GEN_HEAD_H
#define GENLLAVA_TRAIN_MODELS_GEN_HEAD_H

#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/names.h"
#include "train/nn/ops.h"

typedef struct GenHeadConfig {
    int64_t in, visual; /* D; N, the visual output tokens of a picture */
    int64_t width, heads, ff, encoder_layers, decoder_layers;
    int64_t queries, context; /* rows of a picture's context, and their width C: what the diffusion folder says */
    bool before;              /* loss.image_align: reads the states that predict the tokens */
} GenHeadConfig;

/* torch packs a projection's queries, keys and values in one tensor: linears of its rows. */
typedef struct GenHeadLayer {
    Linear kqv[3], out;                     /* self-attention */
    Linear cross_q, cross_kv[2], cross_out; /* of decoder layers */
    Linear ff1, ff2;
    Param *norm_w[3], *norm_b[3]; /* the third: of decoder layers */
} GenHeadLayer;

typedef struct GenHead {
    GenHeadConfig config;
    Linear fc, model;             /* in -> width; width -> context */
    Param *query;                 /* [1,queries,width] */
    GenHeadLayer *layers;         /* of the encoder, then of the decoder */
    Param *norm_w[2], *norm_b[2]; /* after the encoder, after the decoder */
} GenHead;

/* The part "gen_head" (parts.h). A file of it may have GILL's names or MGIE's, with anything before them. */
extern const NameTable GEN_HEAD_NAMES;
MUST_USE Status gen_head_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status gen_head_declare(GenLlava *g, const RunConfig *cfg);
MUST_USE Status gen_head_load(GenLlava *g, const RunConfig *cfg, const char *file);
/* Writes FOLDER/gen_head_config.json. */
MUST_USE Status gen_head_describe(const GenLlava *g, const RunConfig *cfg, const char *folder);
void gen_head_free(GenLlava *g);

/* rows [items·N,D], embeddings of the visual output tokens, and states [items·N,D] after the final norm -> [items·queries,C]. states NULL:
 * they are zero, as for the null context. */
Tensor *gen_head_forward(Tape *t, const GenHead *m, Tensor *states, Tensor *rows, int64_t items);
#endif
