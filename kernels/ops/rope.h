/* rope.h: rotary position embedding in the Hugging Face layout (pairs (j, j+half), half = head_dim/2), in place.
 *
 * For each row t and head: θ_j = base^(-2j/head_dim) / factor, φ = pos[t]·θ_j (times -1 when `inverse`: the backward),
 *   x'_j = x_j cos φ - x_{j+half} sin φ,   x'_{j+half} = x_{j+half} cos φ + x_j sin φ.
 * x: [rows, heads, head_dim] in act with row stride ldx (elements); head_dim even. φ is formed as the reference does: θ_j = rope_theta()
 * and pos·θ_j in f32 (both in double when act is F64), cos and sin of that; they are NOT rounded to bf16.
 * A factor above 1 is linear scaling: positions are divided by it (Chen et al. 2023, "Extending Context Window"); 0 stands for 1.
 * Source: Su et al. 2021; layout of transformers' modeling_mistral. */
#ifndef GENLLAVA_KERNELS_OPS_ROPE_H
#define GENLLAVA_KERNELS_OPS_ROPE_H

#include <math.h>

#include "kernels/ops/common.h"

typedef struct Rope {
    int64_t rows, heads, head_dim, ldx;
    DType act;
    double base, factor;
    const int32_t *pos; /* [rows], >= 0 */
    void *x;
    bool inverse;
} Rope;

/* θ_j in f32, every step rounded as PyTorch's 1 / (base ** (arange(0, head_dim, 2).float() / head_dim)) / factor rounds it. An ulp of θ
 * is a milliradian at position 10000, so backends that share this function agree, and those that do not, do not. */
static inline float rope_theta(const Rope *a, int64_t j)
{
    float exponent = (float)(2 * j) / (float)a->head_dim;
    float theta = 1.0f / (float)pow(a->base, (double)exponent);
    return a->factor > 0 ? theta / (float)a->factor : theta;
}
#endif
