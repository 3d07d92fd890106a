/* rope.c: rotary position embedding as ops/rope.h defines it, in plain loops. */
#include "kernels/ref/real.h"

/* pos·θ_j: in f32, as the model was trained with, unless everything is F64. */
static real angle(const Rope *a, int64_t row, int64_t j)
{
    if (a->act == F64)
        return (real)(a->pos[row] * pow(a->base, -2.0 * (double)j / (double)a->head_dim) / (a->factor > 0 ? a->factor : 1));
    return (float)a->pos[row] * rope_theta(a, j);
}

Status REF_NAME(rope)(KernelCtx *ctx, const Rope *a)
{
    (void)ctx;
    TRY(check_rope(a));
    TRY(check_range("rope", "pos", a->pos, a->rows, 0, (int64_t)INT32_MAX + 1));
    int64_t half = a->head_dim / 2;
    for (int64_t t = 0; t < a->rows; t++)
        for (int64_t j = 0; j < half; j++) {
            real c = cos(angle(a, t, j)), s = sin(angle(a, t, j));
            if (a->inverse)
                s = -s;
            for (int64_t h = 0; h < a->heads; h++) {
                int64_t at = t * a->ldx + h * a->head_dim + j;
                real lower = get(a->x, a->act, at), upper = get(a->x, a->act, at + half);
                put(a->x, a->act, at, lower * c - upper * s);
                put(a->x, a->act, at + half, upper * c + lower * s);
            }
        }
    return OK;
}
