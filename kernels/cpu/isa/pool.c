/* pool.c: pooling (ops/pool.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/isa.h"

/* Nanoseconds an element of a window, for parallel_for. */
static const double READ_NS = 0.1;

/* Rows of x that a window has: lines of `pixels` each. */
typedef struct Window {
    int64_t first, lines, pixels;
} Window;

ALWAYS void pool_vector(const Pool2dFwd *a, DType t, const Window *w, int64_t row, int64_t i, Part part)
{
    const int64_t cols = a->shape.in;
    vf most = v_set(-INFINITY), sum = v_zero();
    for (int64_t line = 0; line < w->lines; line++)
        for (int64_t j = 0; j < w->pixels; j++) {
            vf x = part_load(a->x, t, (w->first + line * a->shape.from.width + j) * cols + i, part);
            if (a->kind == POOL_MAX)
                most = v_max(x, most);
            else
                sum = v_add(sum, x);
        }
    part_store(a->y, t, row * cols + i, part, a->kind == POOL_MAX ? most : v_div(sum, v_set((float)(w->lines * w->pixels))));
}

static void pool_lines(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Pool2dFwd *a = args;
    const ConvShape *s = &a->shape;
    const Plane to = conv_to(s);
    (void)workspace;
    for (int64_t line = begin; line < end; line++) {
        const int64_t image = line / to.height;
        const PoolSpan y = pool_span(line % to.height, s->stride, s->top, s->kernel_height, s->from.height);
        for (int64_t j = 0; j < to.width; j++) {
            const PoolSpan x = pool_span(j, s->stride, s->left, s->kernel_width, s->from.width);
            const Window w = {(image * s->from.height + y.first) * s->from.width + x.first, y.end - y.first, x.end - x.first};
            BY_TYPE(a->act, EACH_VECTOR(0, s->in, pool_vector(a, T, &w, line * to.width + j, i, part)));
        }
    }
}

static Status pool2d_fwd(KernelCtx *ctx, const Pool2dFwd *a)
{
    TRY(check_pool2d_fwd(a));
    TRY(expect_single("pool2d_fwd", a->act));
    const ConvShape *s = &a->shape;
    const Plane to = conv_to(s);
    const double reads = (double)(to.width * s->in * s->kernel_height * s->kernel_width);
    parallel_for(cpu_device(ctx), to.images * to.height, READ_NS * reads, pool_lines, a);
    return OK;
}

void NAME(pool)(KernelTable *t) { t->pool2d_fwd = pool2d_fwd; }
