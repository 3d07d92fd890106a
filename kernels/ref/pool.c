/* pool.c: pooling as ops/pool.h defines it, in plain loops. */
#include "kernels/ref/real.h"

static real pooled(const Pool2dFwd *a, int64_t b, int64_t i, int64_t j, int64_t c)
{
    const ConvShape *s = &a->shape;
    real sum = 0, most = -INFINITY;
    int64_t n = 0;
    for (int64_t u = 0; u < s->kernel_height; u++)
        for (int64_t v = 0; v < s->kernel_width; v++) {
            int64_t y = i * s->stride + u - s->top, z = j * s->stride + v - s->left;
            if (y < 0 || y >= s->from.height || z < 0 || z >= s->from.width)
                continue;
            real x = get(a->x, a->act, ((b * s->from.height + y) * s->from.width + z) * s->in + c);
            sum += x;
            most = x > most ? x : most;
            n++;
        }
    return a->kind == POOL_MAX ? most : sum / (real)n;
}

Status REF_NAME(pool2d_fwd)(KernelCtx *ctx, const Pool2dFwd *a)
{
    (void)ctx;
    TRY(check_pool2d_fwd(a));
    Plane to = conv_to(&a->shape);
    int64_t at = 0;
    for (int64_t b = 0; b < to.images; b++)
        for (int64_t i = 0; i < to.height; i++)
            for (int64_t j = 0; j < to.width; j++)
                for (int64_t c = 0; c < a->shape.in; c++, at++)
                    put(a->y, a->act, at, pooled(a, b, i, j, c));
    return OK;
}
