/* mistral.h: the language model, any config.json of the Mistral family (v0.1 to v0.3) or of the Llama family whose vocabulary is
 * SentencePiece's (Llama 2, Vicuna), in old and new spellings: the same network. Spec: model.md 1. */
#ifndef GENLLAVA_TRAIN_MODELS_MISTRAL_H
#define GENLLAVA_TRAIN_MODELS_MISTRAL_H

#include "data/formats/json_fields.h"
#include "train/config/config.h"
#include "train/models/genllava.h"
#include "train/models/weights.h"
#include "train/nn/ops.h"

typedef struct MistralConfig {
    const char *type; /* model_type: "mistral" or "llama" */
    int64_t vocab, hidden, ff, layers, heads, kv_heads, head_dim;
    int64_t window;    /* 0: none */
    int64_t positions; /* that it was trained for, scaling counted; 0: not told */
    double eps, rope_base, initializer_range;
    double rope_factor; /* positions are divided by it (linear scaling); 1: they are not */
    bool tied;          /* and no other head in the file */
    CodeFormat codes;   /* of its linears in the folder (bnb.h); CODES_NONE: they have float types */
} MistralConfig;

/* In the order of their outputs: keys, queries, values lie side by side, so do gate and up. */
typedef enum MistralLinear { LIN_K, LIN_Q, LIN_V, LIN_O, LIN_GATE, LIN_UP, LIN_DOWN, N_LINEARS } MistralLinear;
extern const char *const MISTRAL_LINEAR_NAME[N_LINEARS]; /* "self_attn.k_proj", … */

/* Linears with the same input: keys, queries and values; output; gate and up; down. */
enum { MISTRAL_GROUPS = 4 };
typedef struct MistralGroup {
    MistralLinear first;
    int n;
} MistralGroup;
extern const MistralGroup MISTRAL_GROUP[MISTRAL_GROUPS];

typedef struct MistralLayer {
    Param *input_norm, *post_norm;
    Linear lin[N_LINEARS];
} MistralLayer;

typedef struct Mistral {
    MistralConfig config;
    Param *embed, *norm, *head; /* tied: head == embed */
    MistralLayer *layers;
} Mistral;

/* The part "llm" (parts.h). Its folder's config.json, absent: ERR_MISSING; damaged or of another architecture: ERR_DATA. */
extern const NameTable MISTRAL_NAMES;
extern const FieldClass MISTRAL_FIELDS; /* of config.json */
extern const FieldClass LLAVA_FIELDS;   /* what LLaVA's own models have in theirs beside it */
MUST_USE Status mistral_configure(GenLlava *g, const RunConfig *cfg);
MUST_USE Status mistral_declare(GenLlava *g, const RunConfig *cfg);
/* Without embeddings and head. */
MUST_USE Status mistral_declare_layers(GenLlava *g, const RunConfig *cfg);
void mistral_free(GenLlava *g);

/* Keys and values of the positions so far of several sequences, per layer [sequences, capacity, kv_heads, head_dim] in the compute type,
 * and what the rows of a pass are. */
typedef struct KvCache {
    int64_t sequences, capacity;
    void **k, **v;         /* [layers] */
    bool begins;           /* the rows are one sequence from its first position on; else row i is the next one of sequence i */
    const int32_t *to;     /* device [rows]: the row of k and v that each enters; -1: none */
    const int32_t *length; /* device [sequences]: positions with this pass's, at least 1; not read where a sequence begins */
    const int32_t *first;  /* device [rows - sequences], zeros, where a step has more rows than sequences: those count for nothing */
} KvCache;

/* x [T,D] token embeddings -> [T,D] after the last layer, before the final norm; nothing else may read x. cache NULL while training;
 * otherwise the rows enter it. */
Tensor *mistral_layers(Tape *t, const Mistral *m, Tensor *x, const PackedRows *rows, const KvCache *cache);
/* The final norm. */
Tensor *mistral_norm(Tape *t, const Mistral *m, Tensor *x);
#endif
