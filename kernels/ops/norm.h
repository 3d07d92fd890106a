/* norm.h: RMSNorm and LayerNorm over the last axis, GroupNorm over images (Zhang & Sennrich 2019; Ba et al. 2016; Wu & He 2018).
 *
 * rmsnorm    s = x + add (add NULL: s = x);  r = (mean(s²) + eps)^-½;  y = w ∘ (s·r)
 * layernorm  s = x + add;  μ = mean(s), v = mean((s-μ)²);  r = (v + eps)^-½;  y = w ∘ ((s-μ)·r) + b
 * All of x, add, sum, y: [rows, cols] in act. sum (may be NULL, may be x or add) receives s, rounded to act; the
 * statistics are those of the ROUNDED s. w, b: [cols] in w_type. mean, rstd: [rows] F32 (F64 when act is F64), saved for
 * backward (mean only for layernorm).
 *
 * Backward, with x̂ the normalised s and g = dy∘w:
 *   rmsnorm    dx = r (g - x̂ mean(g∘x̂))
 *   layernorm  dx = r (g - mean(g) - x̂ mean(g∘x̂));  db (+)= Σ_rows dy
 *   both       dw (+)= Σ_rows dy∘x̂
 * y of rmsnorm_fwd has the optional row stride ldy, dx of rmsnorm_bwd lddx. rmsnorm_bwd may give y once more (NULL: not wanted), to the bit
 * as the forward did: it has read what that takes.
 * x of the backward is s. dx (+)= … with `accumulate`; dx may be dy. dw, db: [cols] F32 (F64 on ref), each may be NULL,
 * both obey accumulate_w. Rows are independent in dx; dw, db are summed over rows in a fixed order.
 *
 * groupnorm  μ, v over the cols/groups neighbouring channels of a group and all pixels of an image; r = (v + eps)^-½;
 *            z = w ∘ ((x-μ)·r) + b;  y = z, or with silu z·σ(z)
 *            Backward, with dz = dy, or with silu dy·σ(z)(1 + z(1-σ(z))), g = dz∘w and means over a group of an image:
 *            dx = r (g - mean(g) - x̂ mean(g∘x̂));  dw (+)= Σ dz∘x̂, db (+)= Σ dz over pixels and images
 * x, y, dy, dx: [images·pixels, cols] in act; w, b: [cols] in w_type; mean, rstd: [images, groups] F32 (F64 when act is F64). groups
 * divides cols, at most GROUPNORM_MAX_COLS; images·pixels is below 2^31. y may be x, dx may be dy. dx, dw, db may be NULL: not wanted.
 * Images are independent in y and dx. */
#ifndef GENLLAVA_KERNELS_OPS_NORM_H
#define GENLLAVA_KERNELS_OPS_NORM_H

#include "kernels/ops/common.h"

typedef struct RmsNormFwd {
    int64_t rows, cols;
    DType act, w_type;
    double eps;
    const void *x, *add, *w;
    void *sum, *y, *rstd;
    int64_t ldy;
} RmsNormFwd;

typedef struct RmsNormBwd {
    int64_t rows, cols;
    DType act, w_type;
    const void *x, *w, *rstd, *dy;
    void *dx, *dw, *y;
    bool accumulate, accumulate_w;
    int64_t lddx, ldy;
} RmsNormBwd;

typedef struct LayerNormFwd {
    int64_t rows, cols;
    DType act, w_type;
    double eps;
    const void *x, *add, *w, *b;
    void *sum, *y, *mean, *rstd;
} LayerNormFwd;

typedef struct LayerNormBwd {
    int64_t rows, cols;
    DType act, w_type;
    const void *x, *w, *mean, *rstd, *dy;
    void *dx, *dw, *db;
    bool accumulate, accumulate_w;
} LayerNormBwd;

enum { GROUPNORM_MAX_COLS = 1 << 16 };

typedef struct GroupNormFwd {
    int64_t images, pixels, cols, groups;
    DType act, w_type;
    double eps;
    bool silu;
    const void *x, *w, *b;
    void *y, *mean, *rstd;
} GroupNormFwd;

typedef struct GroupNormBwd {
    int64_t images, pixels, cols, groups;
    DType act, w_type;
    bool silu;
    const void *x, *w, *b, *mean, *rstd, *dy;
    void *dx, *dw, *db;
    bool accumulate, accumulate_w;
} GroupNormBwd;
#endif
