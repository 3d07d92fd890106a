/* attention.h: softmax attention over packed segments, flash style (no matrix of all scores), grouped queries.
 *
 * Segment s holds the query rows cu_q[s] … cu_q[s+1]-1 (of q, o, lse) and the key rows cu_k[s] … cu_k[s+1]-1 (of k, v).
 * Self-attention: cu_k is the same pointer as cu_q. Only then may causal be set: row i sees row j of its segment iff
 *   (not causal) or (j <= i and (window == 0 or i - j < window)).
 * Cross attention: the lists are two, and every query of a segment sees every key of it; window means nothing, as it does wherever causal
 * is not set. Segments may be empty on either side. A query without keys has o = 0 and lse = -inf, and no gradient; a key without queries
 * has none either. Query head h reads kv head h / (heads / kv_heads).
 *   S = scale·q kᵀ, P = softmax(S) by row in f32, o = P v, lse = log Σ exp(S)  (Dao 2023, algorithm 1).
 * Backward, with D = rowsum(do∘o) and P = exp(S - lse):
 *   dv = Pᵀ do;  dS = P∘(do vᵀ - D);  dq = scale·dS k;  dk = scale·dSᵀ q; dk, dv sum over the query heads of a kv head.
 * q, o, do, dq: [rows_q, heads, head_dim]; k, v, dk, dv: [rows_k, kv_heads, head_dim]; all in act; ld* are row strides in elements,
 * so that q, k, v may be slices of one matrix. lse: [heads, rows_q] F32 (F64 on ref). head_dim 1 … 512; kv_heads divides heads.
 * With BF16 activations P and dS may be rounded to bf16 where they are multiplied by v, do, k and q: tensor cores take no more. The sums
 * stay in f32. A backend that works in tiles may let a NaN or infinity of one row of k or v reach every query of its segment.
 * dq, dk, dv overwrite (no accumulate) and may be q, k, v only on backends that say so (none does). dq may be NULL, and so may dk and dv
 * together: that gradient is not wanted. Deterministic.
 *
 * attention_decode: one new query row per sequence against its key/value cache.
 *   q, o: [n, heads, head_dim]; cache k, v: [n, capacity, kv_heads, head_dim] in act; length[s] keys of sequence s are valid
 *   (the new one included); window as above relative to position length[s]-1. */
#ifndef GENLLAVA_KERNELS_OPS_ATTENTION_H
#define GENLLAVA_KERNELS_OPS_ATTENTION_H

#include "kernels/ops/common.h"

enum { ATTENTION_MAX_HEAD_DIM = 512 };

typedef struct AttentionFwd {
    int64_t n_segments;
    int64_t rows_q, rows_k; /* cu_q[n_segments], cu_k[n_segments] */
    int64_t max_q, max_k;   /* rows of the longest segment */
    int64_t heads, kv_heads, head_dim, window;
    int64_t ldq, ldk, ldv, ldo;
    bool causal;
    DType act;
    double scale;
    const int32_t *cu_q, *cu_k; /* [n_segments+1] */
    const void *q, *k, *v;
    void *o, *lse;          /* lse may be NULL when no backward follows */
    const int32_t *cu_host; /* of self-attention: cu_q in the host's memory, for cost.h alone; NULL: not known */
} AttentionFwd;

typedef struct AttentionBwd {
    int64_t n_segments, rows_q, rows_k, max_q, max_k;
    int64_t heads, kv_heads, head_dim, window;
    int64_t ldq, ldk, ldv, ldo, lddo, lddq, lddk, lddv;
    bool causal;
    DType act;
    double scale;
    const int32_t *cu_q, *cu_k;
    const void *q, *k, *v, *o, *lse, *d_o;
    void *dq, *dk, *dv;
    const int32_t *cu_host; /* as above */
} AttentionBwd;

typedef struct AttentionDecode {
    int64_t n, capacity, heads, kv_heads, head_dim, window;
    int64_t ldq, ldo; /* row strides; 0: heads·head_dim */
    DType act;
    double scale;
    const int32_t *length; /* [n], 1 … capacity */
    const void *q, *k, *v;
    void *o;
} AttentionDecode;
#endif
