/* matmul.h: C = alpha · op(A) · op(B) + op(A2) · op(B2) (+ bias) (+ C or D).  op(A) is [m,k], op(B) is [k,n], C is [m,n].
 *
 * A is stored [m,k] (a_trans false) or [k,m] (true); B is stored [k,n] (b_trans false) or [n,k] (true: a Linear's
 * weight, [out,in]). lda, ldb, ldc: elements between consecutive stored rows, at least the stored row's length.
 * The second product (k2 > 0) is the first's extension, C = [A A2]·[B; B2]: a Linear and its adapter in one pass over C. A2 [m,k2] has A's
 * type, B2 is stored as B is but may have its own type; A is not transposed then. Where A2 lies right behind A's columns and B2 right
 * behind the part of B that is along k, with equal strides, the two are really one product. A backend may round C between them.
 * Types: A, B and C are each F32 or BF16 in any combination (F64 on ref). With both A and B in BF16 the products are
 * those of the bf16 values, accumulated in f32; with either in F32 the other is widened (exact) and the product is f32.
 * bias: [n] in bias_type, added once to every row, also when accumulating.
 * add: D [m,n] of C's type and row stride, instead of C (accumulate is then false): a residual, without a pass of its own.
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
    int64_t k2, lda2, ldb2; /* 0: no second product */
    DType b2_type;
    const void *a2, *b2;
    const void *add; /* may be NULL */
} Matmul;

/* What is added to the products, with C's type and stride; NULL: nothing. */
static inline const void *matmul_addend(const Matmul *a) { return a->add ? a->add : a->accumulate ? a->c : NULL; }

/* The second product lies where it continues the first. */
static inline bool matmul_continues(const Matmul *a)
{
    size_t a_size = dtype_size(a->a_type), b_size = dtype_size(a->b_type);
    int64_t behind = a->b_trans ? a->k : a->k * a->ldb;
    return a->alpha == 1 && a->b2_type == a->b_type && a->lda2 == a->lda && a->ldb2 == a->ldb &&
           (const char *)a->a2 == (const char *)a->a + (size_t)a->k * a_size &&
           (const char *)a->b2 == (const char *)a->b + (size_t)behind * b_size;
}
/* The same without its second product. */
static inline Matmul matmul_first(const Matmul *a)
{
    Matmul m = *a;
    m.k2 = 0;
    return m;
}
/* The second product alone, to C (+ C). */
static inline Matmul matmul_second(const Matmul *a)
{
    Matmul m = matmul_first(a);
    m.k = a->k2, m.lda = a->lda2, m.ldb = a->ldb2;
    m.b_type = a->b2_type;
    m.a = a->a2, m.b = a->b2, m.bias = NULL;
    m.b_frozen = false;
    m.alpha = 1;
    return m;
}

/* The same as plain products, one after the other; returns how many. The short one comes first: it only writes C, and the long one has time
 * to read it while it multiplies. */
static inline int matmul_parts(const Matmul *a, Matmul part[2])
{
    part[0] = matmul_first(a);
    if (!a->k2)
        return 1;
    if (matmul_continues(a)) {
        part[0].k += a->k2;
        return 1;
    }
    part[1] = part[0];
    part[1].accumulate = true;
    part[1].add = NULL;
    part[0] = matmul_second(a);
    return 2;
}

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
