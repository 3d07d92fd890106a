/* matmul.h: C = alpha · op(A) · op(B) (+ bias) (+ C).  op(A) is [m,k], op(B) is [k,n], C is [m,n].
 *
 * A is stored [m,k] (a_trans false) or [k,m] (true); B is stored [k,n] (b_trans false) or [n,k] (true: a Linear's
 * weight, [out,in]). lda, ldb, ldc: elements between consecutive stored rows, at least the stored row's length.
 * Types: A, B and C are each F32 or BF16 in any combination (F64 on ref). With both A and B in BF16 the products are
 * those of the bf16 values, accumulated in f32; with either in F32 the other is widened (exact) and the product is f32.
 * bias: [n] in bias_type, added once to every row, also when accumulating.
 * b_frozen promises that B's contents never change while the pointer lives, so a backend may keep a packed copy.
 * Order of summation is fixed for equal shapes and threads. */
#ifndef GENLLAVA_KERNELS_OPS_MATMUL_H
#define GENLLAVA_KERNELS_OPS_MATMUL_H

#include "kernels/ops/common.h"

typedef struct Matmul {
    int64_t m, n, k;
    DType a_type, b_type, c_type, bias_type;
    bool a_trans, b_trans, b_frozen, accumulate;
    int64_t lda, ldb, ldc;
    const void *a, *b, *bias; /* bias may be NULL */
    void *c;
    double alpha;
} Matmul;

/* Column sums of a matrix: out[j] (+)= Σ_i x[i,j], x [rows,cols] in x_type (row stride ldx), out [cols] in F32 (F64 on ref).
 * The gradient of a bias. */
typedef struct ColumnSum {
    int64_t rows, cols, ldx;
    DType x_type, out_type;
    const void *x;
    void *out;
    bool accumulate;
} ColumnSum;
#endif
