/* act.h: elementwise operators.
 *
 * swiglu  y = silu(g)·u, silu(z) = z σ(z) (Shazeer 2020, section 2). g, u: [rows, cols] with row strides ldg, ldu, so that both may lie
 *         side by side in one matrix; y: [rows, cols] with the optional row stride ldy; dy contiguous.
 *         dg = dy·u·s(1 + g(1-s)), du = dy·g·s, s = σ(g); dg, du with strides lddg, lddu; dg may be g and du may be u.
 *         The backward may give y once more (NULL: not wanted), to the bit as the forward did: it has read what that takes.
 * gelu    ERF:  z Φ(z)                                   derivative Φ(z) + z φ(z)
 *         TANH: z/2 (1+tanh t), t = √(2/π)(z+0.044715z³)   derivative ½(1+tanh t) + ½z(1-tanh²t)√(2/π)(1+0.134145z²)
 *         y may be x; dx may be dy.
 * add     y = alpha·a + beta·b (b NULL: y = alpha·a); y may be a or b; types may differ per array (a cast is add with b NULL).
 * dropout y (+)= keep ? x/(1-p') : 0 (inverted dropout; its own backward with x = dy). The mask is a function of the key and of where
 *         the element stands in its sample: column group c/8, row_pos[row], row_item[row] are Philox counters 0, 1, 2
 *         (counter 3 is 0), which give eight numbers of 16 bits, lower half of a word first (philox_half); column c has number c%8.
 *         keep iff it is at least p·65536, rounded (dropout_threshold). p' is the share that this really drops, so that the mean of y is
 *         x. So packing, ranks and recompute do not change the mask. */
#ifndef GENLLAVA_KERNELS_OPS_ACT_H
#define GENLLAVA_KERNELS_OPS_ACT_H

#include "kernels/base/philox.h"
#include "kernels/ops/common.h"

typedef struct SwigluFwd {
    int64_t rows, cols, ldg, ldu;
    DType act;
    const void *g, *u;
    void *y;
    int64_t ldy;
} SwigluFwd;

typedef struct SwigluBwd {
    int64_t rows, cols, ldg, ldu, lddg, lddu;
    DType act;
    const void *g, *u, *dy;
    void *dg, *du, *y;
    int64_t ldy;
} SwigluBwd;

typedef enum GeluKind { GELU_ERF, GELU_TANH } GeluKind;

typedef struct GeluFwd {
    int64_t n;
    DType act;
    GeluKind kind;
    const void *x;
    void *y;
} GeluFwd;

typedef struct GeluBwd {
    int64_t n;
    DType act;
    GeluKind kind;
    const void *x, *dy;
    void *dx;
    bool accumulate;
} GeluBwd;

typedef struct AddScaled {
    int64_t n;
    DType a_type, b_type, y_type;
    double alpha, beta;
    const void *a, *b;
    void *y;
} AddScaled;

typedef struct Dropout {
    int64_t rows, cols;
    DType act;
    double p; /* 0 <= p < 1 */
    uint64_t key;
    const int32_t *row_pos, *row_item; /* [rows] */
    const void *x;
    void *y;
    bool accumulate;
} Dropout;

/* Numbers below it are dropped, of 65536; some are always kept. */
static inline uint32_t dropout_threshold(double p)
{
    double below = floor(p * 65536 + 0.5);
    return below < 65535 ? (uint32_t)below : 65535;
}
/* 1/(1-p') */
static inline double dropout_scale(double p) { return 65536.0 / (65536 - dropout_threshold(p)); }
#endif
