/* conv.c: convolutions as ops/conv.h defines them, in plain loops. */
#include "kernels/ref/real.h"

/* Element (b,y,z,c) of images [images, height, width, channels]. */
static int64_t pixel(const Plane *p, int64_t channels, int64_t b, int64_t y, int64_t z, int64_t c)
{
    return ((b * p->height + y) * p->width + z) * channels + c;
}

static bool is_inside(const Plane *p, int64_t y, int64_t z) { return y >= 0 && y < p->height && z >= 0 && z < p->width; }

static int64_t weight(const ConvShape *s, int64_t o, int64_t u, int64_t v, int64_t c)
{
    return ((o * s->kernel_height + u) * s->kernel_width + v) * s->in + c;
}

static real convolved(const Conv2dFwd *a, int64_t b, int64_t i, int64_t j, int64_t o)
{
    const ConvShape *s = &a->shape;
    real sum = 0;
    for (int64_t u = 0; u < s->kernel_height; u++)
        for (int64_t v = 0; v < s->kernel_width; v++) {
            int64_t y = i * s->stride + u - s->top, z = j * s->stride + v - s->left;
            for (int64_t c = 0; c < s->in && is_inside(&s->from, y, z); c++)
                sum += get(a->w, a->w_type, weight(s, o, u, v, c)) * get(a->x, a->act, pixel(&s->from, s->in, b, y, z, c));
        }
    return sum;
}

Status REF_NAME(conv2d_fwd)(KernelCtx *ctx, const Conv2dFwd *a)
{
    (void)ctx;
    TRY(check_conv2d_fwd(a));
    Plane to = conv_to(&a->shape);
    int64_t at = 0;
    for (int64_t b = 0; b < to.images; b++)
        for (int64_t i = 0; i < to.height; i++)
            for (int64_t j = 0; j < to.width; j++)
                for (int64_t o = 0; o < a->shape.out; o++, at++) {
                    real y = convolved(a, b, i, j, o);
                    if (a->bias)
                        y += get(a->bias, a->bias_type, o);
                    if (a->shift)
                        y += get(a->shift, a->act, b * a->shape.out + o);
                    if (a->add)
                        y += get(a->add, a->act, at);
                    put(a->y, a->act, at, y);
                }
    return OK;
}

/* Σ_{u,v,o} of dx[b,y,z,c]. */
static real convolved_back(const Conv2dDx *a, const Plane *to, int64_t b, int64_t y, int64_t z, int64_t c)
{
    const ConvShape *s = &a->shape;
    real sum = 0;
    for (int64_t u = 0; u < s->kernel_height; u++)
        for (int64_t v = 0; v < s->kernel_width; v++) {
            int64_t i = y + s->top - u, j = z + s->left - v;
            if (i % s->stride || j % s->stride || !is_inside(to, i / s->stride, j / s->stride))
                continue;
            for (int64_t o = 0; o < s->out; o++)
                sum +=
                    get(a->w, a->w_type, weight(s, o, u, v, c)) * get(a->dy, a->act, pixel(to, s->out, b, i / s->stride, j / s->stride, o));
        }
    return sum;
}

Status REF_NAME(conv2d_dx)(KernelCtx *ctx, const Conv2dDx *a)
{
    (void)ctx;
    TRY(check_conv2d_dx(a));
    const Plane *from = &a->shape.from, to = conv_to(&a->shape);
    int64_t at = 0;
    for (int64_t b = 0; b < from->images; b++)
        for (int64_t y = 0; y < from->height; y++)
            for (int64_t z = 0; z < from->width; z++)
                for (int64_t c = 0; c < a->shape.in; c++, at++)
                    put_or_add(a->dx, a->act, at, convolved_back(a, &to, b, y, z, c), a->accumulate);
    return OK;
}

static real correlated(const Conv2dDw *a, const Plane *to, int64_t o, int64_t u, int64_t v, int64_t c)
{
    const ConvShape *s = &a->shape;
    real sum = 0;
    for (int64_t b = 0; b < to->images; b++)
        for (int64_t i = 0; i < to->height; i++)
            for (int64_t j = 0; j < to->width; j++) {
                int64_t y = i * s->stride + u - s->top, z = j * s->stride + v - s->left;
                if (is_inside(&s->from, y, z))
                    sum += get(a->dy, a->act, pixel(to, s->out, b, i, j, o)) * get(a->x, a->act, pixel(&s->from, s->in, b, y, z, c));
            }
    return sum;
}

Status REF_NAME(conv2d_dw)(KernelCtx *ctx, const Conv2dDw *a)
{
    (void)ctx;
    TRY(check_conv2d_dw(a));
    const ConvShape *s = &a->shape;
    Plane to = conv_to(s);
    int64_t at = 0;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t u = 0; u < s->kernel_height; u++)
            for (int64_t v = 0; v < s->kernel_width; v++)
                for (int64_t c = 0; c < s->in; c++, at++)
                    put_or_add(a->dw, a->dw_type, at, correlated(a, &to, o, u, v, c), a->accumulate);
    return OK;
}
