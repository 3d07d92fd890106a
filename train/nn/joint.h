/* joint.h: frozen weights and the adapters beside them as one matrix, for backends whose matmul wants one (Backend.joins).
 *
 *      [ W  B ]   W [out, in]: the weights of some linears of the same input, one below the other.
 *      [ A  . ]   B [out, R]: their adapters' B, each beside its weight, zero elsewhere; A [R, in]: their A. Rows are in + R long, and
 *                 padded to whole 128 bytes.
 *
 * So y = [x u] [W B]ᵀ is a product with the first `out` rows, dx = [dy du] [W; A] one with its first `in` columns: adapters cost no pass
 * over the data. With dropout the adapters' share of dx has masks of its own and comes apart from it (kernels/ops/adapter.h).
 * For that, u lies behind the rows of x and du behind those of dy, in the room that uses.c finds out.
 * W lies here alone; A and B are copies, to be refreshed when their masters have changed. Where W is held in codes (coded.h) the matrix
 * is made in scratch memory for each product, as far as that reads it. The Params own the joints. */
#ifndef GENLLAVA_TRAIN_NN_JOINT_H
#define GENLLAVA_TRAIN_NN_JOINT_H

#include "train/nn/params.h"
#include "train/nn/tape.h"

typedef struct Linear Linear;

typedef struct Joint {
    struct Joint *next;
    Linear *lin; /* [n] */
    int n;
    int64_t out, in, r; /* of all linears */
    DType type;
    void *data;                 /* [out + r, joint_ld]; NULL: they cannot be joined, or … */
    bool coded;                 /* … W is held in codes */
    const int32_t *iota, *none; /* 0, 1, …; zeros: indices, and a row of B beside another's weight */
} Joint;

/* The room that R columns take behind rows of `cols`: all rows begin at multiples of 128 bytes, what tiles of a product are fetched in. */
static inline int64_t joint_room(int64_t cols, int64_t r, DType type)
{
    int64_t step = 128 / (int64_t)dtype_size(type);
    return r ? (cols + r + step - 1) / step * step - cols : 0;
}
static inline int64_t joint_ld(const Joint *j) { return j->in + joint_room(j->in, j->r, j->type); }

/* lin[0 … n-1], which live as long as the Params, are read together: joint_create may join them. */
MUST_USE Status joint_declare(Params *p, Linear *lin, int n);
/* When all weights have values: moves those of every declared group into a new matrix and copies the adapters. Leaves a group alone where
 * there is no adapter, a weight trains or has a bias, or the types differ. */
MUST_USE Status joint_create(Params *p);
/* Copies A and B of every joint again. */
MUST_USE Status joint_refresh(Params *p);
/* The matrix as the forward (its first `out` rows) or the backward (its first `in` columns) reads it: in scratch, if it is not there. */
void *joint_operand(Tape *t, const Joint *j, bool forward);
#endif
