/* act.h: elementwise operators.
 *
 * act     f(z) by kind, and its derivative; s = σ(kz) = 1/(1+exp(-kz))
 *         GELU_ERF    z Φ(z)                                       Φ(z) + z φ(z)
 *         GELU_TANH   z/2 (1+tanh t), t = √(2/π)(z+0.044715z³)     ½(1+tanh t) + ½z(1-tanh²t)√(2/π)(1+0.134145z²)
 *         GELU_QUICK  z s, k = 1.702                               s(1 + kz(1-s))
 *         SILU        z s, k = 1                                   s(1 + z(1-s))
 *         RELU        0 below 0, else z                            1 above 0, else 0
 *         y may be x; dx may be dy.
 * glu     y = f(g)·u, f as in act: SILU (SwiGLU) or GELU_ERF (GEGLU) (Shazeer 2020, section 2). g, u: [rows, cols] with row strides ldg,
 *         ldu, so that both may lie side by side in one matrix; y: [rows, cols] with the optional row stride ldy; dy contiguous.
 *         dg = dy·u·f'(g), du = dy·f(g); dg, du with strides lddg, lddu; dg may be g and du may be u.
 *         The backward may give y once more (NULL: not wanted), to the bit as the forward did: it has read what that takes.
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

typedef enum ActKind { ACT_GELU_ERF, ACT_GELU_TANH, ACT_GELU_QUICK, ACT_RELU, ACT_SILU, N_ACT_KINDS } ActKind;

typedef struct GluFwd {
    int64_t rows, cols, ldg, ldu;
    DType act;
    ActKind kind;
    const void *g, *u;
    void *y;
    int64_t ldy;
} GluFwd;

typedef struct GluBwd {
    int64_t rows, cols, ldg, ldu, lddg, lddu;
    DType act;
    ActKind kind;
    const void *g, *u, *dy;
    void *dg, *du, *y;
    int64_t ldy;
} GluBwd;

typedef struct ActFwd {
    int64_t n;
    DType act;
    ActKind kind;
    const void *x;
    void *y;
} ActFwd;

typedef struct ActBwd {
    int64_t n;
    DType act;
    ActKind kind;
    const void *x, *dy;
    void *dx;
    bool accumulate;
} ActBwd;

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
