/* rope.h: rotary position embedding in the Hugging Face layout (pairs (j, j+half), half = head_dim/2), in place.
 *
 * For each row t and head: θ_j = base^(-2j/head_dim), φ = pos[t]·θ_j (times -1 when `inverse`: the backward),
 *   x'_j = x_j cos φ - x_{j+half} sin φ,   x'_{j+half} = x_{j+half} cos φ + x_j sin φ.
 * x: [rows, heads, head_dim] in act with row stride ldx (elements); head_dim even. φ is formed as the reference does: θ_j and
 * pos·θ_j in f32 (in double on the f64 ref), cos and sin of that; they are NOT rounded to bf16.
 * Source: Su et al. 2021; layout of transformers' modeling_mistral. */
#ifndef GENLLAVA_KERNELS_OPS_ROPE_H
#define GENLLAVA_KERNELS_OPS_ROPE_H

#include "kernels/ops/common.h"

typedef struct Rope {
    int64_t rows, heads, head_dim, ldx;
    DType act;
    double base;
    const int32_t *pos; /* [rows], >= 0 */
    void *x;
    bool inverse;
} Rope;
#endif
