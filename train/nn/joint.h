/* joint.h: frozen weights and the adapters beside them as one matrix, for backends whose matmul wants one (Backend.joins).
 *
 *      [ W  B ]   W [out, in]: the weights of some linears of the same input, one below the other; B [out, R]: their adapters' B, each beside its weight, zero
 *      [ A  . ]   elsewhere; A [R, in]: their adapters' A. Rows are in + R long.
 *
 * So y = [x u]·[W B]ᵀ is a product with its first `out` rows, dx = [dy du]·[W; A] one with its first `in` columns: an adapter costs no pass over the data.
 * With dropout the adapters' share of dx has masks of its own and comes apart from it (kernels/ops/adapter.h); y = [x u]·[W B]ᵀ all the same.
 * W lies here alone; A and B are copies, to be refreshed when their masters have changed. */
#ifndef GENLLAVA_TRAIN_NN_JOINT_H
#define GENLLAVA_TRAIN_NN_JOINT_H

#include "train/nn/params.h"

typedef struct Linear Linear;

typedef struct Joint {
    int64_t out, in, r; /* of all linears */
    DType type;
    void *data; /* [out + r, in + r] */
    const int32_t *iota; /* backend memory: 0, 1, … */
} Joint;

static inline int64_t joint_ld(const Joint *j) { return j->in + j->r; }

/* Moves the weights of lin[0 … n-1], which have values, into a new matrix and copies the adapters. Does nothing (j->data stays NULL) where there is no
 * adapter, a weight trains or has a bias, or the types differ. iota: from joint_iota, at
 * least as many as a weight or an adapter has rows. */
MUST_USE Status joint_create(Joint *j, Params *p, Linear *lin, int n, const int32_t *iota);
/* Copies A and B again. */
MUST_USE Status joint_refresh(const Joint *j, Params *p, const Linear *lin, int n);
/* 0 … n-1 in backend memory that lives as long as the Params. */
MUST_USE Status joint_iota(const int32_t **out, Params *p, int64_t n);
#endif
