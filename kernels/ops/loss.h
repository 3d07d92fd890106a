/* loss.h: losses: cross entropy over the rows of a logits matrix, forward and gradient in one pass; the distance of a matrix from what it
 * should be.
 *
 * ce_i = logsumexp(z_i) - z_i[label_i];  loss[i] = ce_i (unweighted);  dz_i = weight[i]·(softmax(z_i) - onehot(label_i))
 * logits: [rows, cols] in act with stride ldz; the gradient overwrites them when `backward` is set.
 * label: [rows] in 0 … cols-1. weight, loss: [rows] F32 (F64 when act is F64). Everything in f32 or better.
 *
 * weighted_sum   s = Σ weight_i · x_i, in double;  total[0] (F64, backend memory) (+)= s;  scaled[0] = scale · s
 * weight: [n] F32. x: [n] F32 (F64 on ref). scaled: NULL, or one element of type `act`.
 *
 * difference_fwd   loss[i], of item i:  MSE     Σ (u-v)² / (rows·cols)
 *                                       L2NORM  Σ_rows ‖u_r - v_r‖₂ / rows
 * difference_bwd   with c_i = dloss·scale·weight[i], du (+)= c_i · d loss[i]/du:
 *                                       MSE     2(u-v) / (rows·cols)
 *                                       L2NORM  (u_r-v_r) / max(‖u_r-v_r‖₂, 1e-12) / rows
 * u, du: [items, rows, cols] in act. v, what u should be: of the same shape, F32 (F64 when act is F64) whatever u is rounded to.
 * loss: [items], of v's type. weight: [items] F32. dloss: one element in act. */
#ifndef GENLLAVA_KERNELS_OPS_LOSS_H
#define GENLLAVA_KERNELS_OPS_LOSS_H

#include "kernels/ops/common.h"

typedef struct CrossEntropy {
    int64_t rows, cols, ldz;
    DType act;
    const int32_t *label;
    const void *weight;
    void *logits, *loss;
    bool backward;
} CrossEntropy;

typedef struct WeightedSum {
    int64_t n;
    DType type, act; /* of x, of scaled */
    double scale;
    const float *weight;
    const void *x;
    void *scaled;
    double *total;
    bool accumulate;
} WeightedSum;

typedef enum DifferenceKind { DIFFERENCE_MSE, DIFFERENCE_L2NORM } DifferenceKind;

typedef struct DifferenceFwd {
    int64_t items, rows, cols;
    DType act;
    DifferenceKind kind;
    const void *u, *v;
    void *loss;
} DifferenceFwd;

typedef struct DifferenceBwd {
    int64_t items, rows, cols;
    DType act;
    DifferenceKind kind;
    double scale;
    const float *weight;
    const void *u, *v, *dloss;
    void *du;
    bool accumulate;
} DifferenceBwd;
#endif
