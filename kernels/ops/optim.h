/* optim.h: the optimiser over one flat buffer of master weights.
 *
 * adamw, per span (Loshchilov & Hutter 2019; PyTorch's order of operations):
 *   g' = g·grad_scale;  m = β1 m + (1-β1) g';  v = β2 v + (1-β2) g'²;  p -= lr·decay·p (value before the step);
 *   p -= lr · (m / (1-β1^t)) / (√(v / (1-β2^t)) + eps)
 * Spans are disjoint ranges of the flat arrays with their own lr, decay and t (their own count of updates, from 1).
 * param, grad: [*] F32 (F64 on ref). copy: NULL, or BF16 [*] with the same indices, which receives the rounded new weights.
 * m, v: [*] of the type `moments`, that of param, or BF16 beside F32. Then the new m and v are computed in f32, the update takes these, and
 * for storage they are rounded at random (philox_bf16, so v never falls below zero): Philox of `key`, whose counter (c0, c1) is the
 * element's index in the flat arrays divided by 4, c2 = c3 = 0, gives that element word index%4, the lower half for m and the upper one for
 * v. So the bits depend neither on how spans are cut nor on threads; other backends have the same where their f32 values are the same.
 *
 * sum_squares  out[0] (F64, backend memory) = Σ x², summed in double over fixed blocks; non-finite inputs give a non-finite sum.
 * fill         x[i] = value. */
#ifndef GENLLAVA_KERNELS_OPS_OPTIM_H
#define GENLLAVA_KERNELS_OPS_OPTIM_H

#include "kernels/base/philox.h"
#include "kernels/ops/common.h"

typedef struct AdamwSpan {
    int64_t begin, end; /* elements */
    double lr, decay;
    int64_t t;
} AdamwSpan;

typedef struct Adamw {
    int64_t n_spans;
    DType type, moments;
    uint64_t key;           /* of the random rounding: another one each step */
    const AdamwSpan *spans; /* host memory */
    double beta1, beta2, eps, grad_scale;
    const void *grad;
    void *param, *m, *v, *copy;
} Adamw;

typedef struct SumSquares {
    int64_t n;
    DType type;
    const void *x;
    double *out;
} SumSquares;

typedef struct Fill {
    int64_t n;
    DType type;
    double value;
    void *x;
} Fill;
#endif
