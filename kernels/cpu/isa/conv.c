/* conv.c: convolutions (ops/conv.h) as matrix products, a tap (u,v) of the kernel at a time. Compiled once for each instruction set.
 *
 * Forward and weight gradient multiply a copy of x, moved by the tap, with zeros outside of the image; the input gradient multiplies dy and
 * adds the product where the tap points. Products are those of matmul.c: it packs, and shares work among the threads. Blocks of pixels have
 * their copies and sums in the shared memory; they are cut by the shape alone, so any number of threads gives the same bits. */
#include "kernels/ops/conv.h"

#include <string.h>

#include "kernels/cpu/isa/winograd.h"

/* BLOCK_BYTES: of copies and sums at a time, which stay in the cache. WIDE_COLS: columns up to which several taps are multiplied at a time;
 * products with few steps are slow. */
enum { BLOCK_BYTES = 8 << 20, WIDE_COLS = 512 };
static const double BYTE_NS = 0.1;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t taps_of(const ConvShape *s) { return s->kernel_height * s->kernel_width; }
static int64_t taps_together(const ConvShape *s)
{
    int64_t fit = s->in ? WIDE_COLS / s->in : taps_of(s);
    return fit < 1 ? 1 : least(fit, taps_of(s));
}

static Status too_large(const char *op, int64_t n_bytes)
{
    return fail(ERR_INTERNAL, "%s: a row of the image takes %lld bytes, the cpu backend has %d", op, (long long)n_bytes, (int)BLOCK_BYTES);
}

/* The same by minimal filtering, where that is allowed and can be. */
static bool may_filter(const ConvShape *s, bool winograd, DType act)
{
    return winograd && act == F32 && s->kernel_height == 3 && s->kernel_width == 3 && s->stride == 1;
}

static Filtering filtering_forward(const Conv2dFwd *a)
{
    const ConvShape *s = &a->shape;
    return (Filtering){.from = s->from, .to = conv_to(s), .in = s->in, .out = s->out, .top = s->top, .left = s->left, .w_out = 9 * s->in,
                       .w_tap = s->in, .w_in = 1, .w_type = a->w_type, .bias_type = a->bias_type, .x = a->x, .shift = a->shift,
                       .add = a->add, .w = a->w, .bias = a->bias, .y = a->y};
}

/* dx is dy filtered with the kernel turned by half a circle, which the last tap comes first in. */
static Filtering filtering_back(const Conv2dDx *a)
{
    const ConvShape *s = &a->shape;
    return (Filtering){.from = conv_to(s), .to = s->from, .in = s->out, .out = s->in, .top = 2 - s->top, .left = 2 - s->left, .w_out = 1,
                       .w_tap = -s->in, .w_in = 9 * s->in, .w_type = a->w_type, .x = a->dy, .add = a->accumulate ? a->dx : NULL,
                       .w = at(a->w, a->w_type, 8 * s->in), .y = a->dx};
}

/* ---------------------------------------------------------------- copies of x */

/* Output pixels first …, taps tap …: cols [pixels][n_taps][in] */
typedef struct Patches {
    const ConvShape *s;
    Plane to;
    DType act;
    int64_t first, tap, n_taps;
    const void *x;
    char *cols;
} Patches;

static void copy_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Patches *p = args;
    const ConvShape *s = p->s;
    const size_t size = (size_t)s->in * dtype_size(p->act);
    (void)workspace;
    for (int64_t row = begin; row < end; row++) {
        int64_t at = p->first + row, j = at % p->to.width, i = at / p->to.width % p->to.height, b = at / (p->to.width * p->to.height);
        char *dst = p->cols + (size_t)(row * p->n_taps) * size;
        for (int64_t tap = p->tap; tap < p->tap + p->n_taps; tap++, dst += size) {
            int64_t y = i * s->stride + tap / s->kernel_width - s->top, z = j * s->stride + tap % s->kernel_width - s->left;
            if (y >= 0 && y < s->from.height && z >= 0 && z < s->from.width)
                memcpy(dst, (const char *)p->x + (size_t)((b * s->from.height + y) * s->from.width + z) * size, size);
            else
                memset(dst, 0, size);
        }
    }
}

static void copy_patches(CpuDevice *d, const Patches *p, int64_t rows)
{
    parallel_for(d, rows, BYTE_NS * (double)(p->n_taps * p->s->in) * (double)dtype_size(p->act), copy_range, p);
}

/* ---------------------------------------------------------------- forward */

/* y = sums + bias + shift + add, from output pixel `first` on. */
typedef struct Finish {
    const Conv2dFwd *a;
    const float *sums;
    int64_t first, pixels; /* pixels: of an image */
} Finish;

ALWAYS void finish_vector(const Conv2dFwd *a, const DType act, const float *sums, int64_t row, int64_t image, int64_t i, Part part)
{
    const int64_t out = a->shape.out;
    vf y = part_load(sums, F32, i, part);
    if (a->bias)
        y = v_add(y, part_load(a->bias, a->bias_type, i, part));
    if (a->shift)
        y = v_add(y, part_load(a->shift, act, image * out + i, part));
    if (a->add)
        y = v_add(y, part_load(a->add, act, row * out + i, part));
    part_store(a->y, act, row * out + i, part, y);
}

static void finish_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Finish *f = args;
    const Conv2dFwd *a = f->a;
    (void)workspace;
    for (int64_t r = begin; r < end; r++) {
        int64_t row = f->first + r, image = row / f->pixels;
        const float *sums = f->sums + r * a->shape.out;
        BY_TYPE(a->act, EACH_VECTOR(0, a->shape.out, finish_vector(a, T, sums, row, image, i, part)));
    }
}

/* Sums of a block are apart where the result is rounded, or has a shift, which a matmul does not add. */
static bool has_sums(const Conv2dFwd *a) { return a->act == BF16 || a->shift; }

/* Output pixels first … first+rows-1. */
static Status forward_block(KernelCtx *ctx, const Conv2dFwd *a, int64_t first, int64_t rows, char *cols, float *sums)
{
    CpuDevice *d = cpu_device(ctx);
    const ConvShape *s = &a->shape;
    const Plane to = conv_to(s);
    void *y = at_mut(a->y, a->act, first * s->out);
    Patches p = {.s = s, .to = to, .act = a->act, .first = first, .x = a->x, .cols = cols};
    for (int64_t n = taps_together(s); p.tap < taps_of(s); p.tap += n) {
        p.n_taps = least(n, taps_of(s) - p.tap);
        copy_patches(d, &p, rows);
        int64_t k = p.n_taps * s->in;
        Matmul m = {.m = rows, .n = s->out, .k = k, .a_type = a->act, .b_type = a->w_type, .c_type = F32, .bias_type = a->bias_type,
                    .b_trans = true, .accumulate = p.tap > 0, .lda = k, .ldb = taps_of(s) * s->in, .ldc = s->out, .a = cols,
                    .b = at(a->w, a->w_type, p.tap * s->in), .c = has_sums(a) ? sums : y, .alpha = 1};
        if (!has_sums(a) && p.tap == 0) {
            m.bias = a->bias;
            m.accumulate = a->add && a->add == a->y;
            m.add = a->add && !m.accumulate ? at(a->add, a->act, first * s->out) : NULL;
        }
        TRY(d->ops.matmul(ctx, &m));
    }
    if (has_sums(a))
        parallel_for(d, rows, BYTE_NS * (double)s->out * sizeof *sums, finish_range,
                     &(Finish){.a = a, .sums = sums, .first = first, .pixels = to.height * to.width});
    return OK;
}

static Status conv2d_fwd(KernelCtx *ctx, const Conv2dFwd *a)
{
    TRY(check_conv2d_fwd(a));
    TRY(expect_single("conv2d_fwd", a->act));
    TRY(expect_single("conv2d_fwd", a->w_type));
    const ConvShape *s = &a->shape;
    Plane to = conv_to(s);
    int64_t rows = plane_rows(&to), copied = taps_together(s) * s->in * (int64_t)dtype_size(a->act),
            summed = has_sums(a) ? s->out * (int64_t)sizeof(float) : 0;
    if (!rows || !s->out)
        return OK;
    Filtering f = filtering_forward(a);
    if (may_filter(s, a->winograd, a->act) && NAME(winograd_pays)(&f)) {
        NAME(winograd)(cpu_device(ctx), &f);
        return OK;
    }
    int64_t block = copied + summed ? (int64_t)BLOCK_BYTES / (copied + summed) : rows;
    if (!block)
        return too_large("conv2d_fwd", copied + summed);
    block = least(block, rows);
    char *shared = cpu_shared(cpu_device(ctx), block * (copied + summed));
    for (int64_t first = 0; shared && first < rows; first += block)
        TRY(forward_block(ctx, a, first, least(block, rows - first), shared + block * summed, (float *)(void *)shared));
    return OK;
}

/* ---------------------------------------------------------------- input gradient */

/* Rows y … of so many images from `image` on (several: all rows), and what a tap adds to them: a product for each output pixel from the
 * row i of these images on. */
typedef struct Back {
    const Conv2dDx *a;
    Plane to;
    int64_t image, images, y, n_y; /* of dx */
    int64_t i, n_i;                /* of dy */
    int64_t tap;
    float *products, *sums; /* sums: of a BF16 dx */
} Back;

ALWAYS void back_vector(const Back *k, const DType act, const float *product, int64_t row, int64_t dx_row, int64_t i, Part part)
{
    const Conv2dDx *a = k->a;
    const int64_t in = a->shape.in, to = dx_row * in + i;
    const bool first = k->tap == 0, last = k->tap == taps_of(&a->shape) - 1;
    vf v = v_zero();
    if (!first)
        v = act == BF16 ? part_load(k->sums, F32, row * in + i, part) : part_load(a->dx, F32, to, part);
    else if (a->accumulate)
        v = part_load(a->dx, act, to, part);
    if (product)
        v = v_add(v, part_load(product, F32, i, part));
    if (act == F32 || last)
        part_store(a->dx, act, to, part, v);
    else
        part_store(k->sums, F32, row * in + i, part, v);
}

static void back_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Back *k = args;
    const Conv2dDx *a = k->a;
    const ConvShape *s = &a->shape;
    const int64_t taps = taps_of(s), width = s->from.width;
    (void)workspace;
    for (int64_t row = begin; row < end; row++) {
        int64_t b = row / (k->n_y * width), y = k->y + row / width % k->n_y, z = row % width;
        int64_t up = y + s->top - k->tap / s->kernel_width, along = z + s->left - k->tap % s->kernel_width;
        int64_t from_y = up / s->stride - k->i, from_z = along / s->stride;
        const float *product = NULL;
        if (up % s->stride == 0 && along % s->stride == 0 && from_y >= 0 && from_y < k->n_i && from_z >= 0 && from_z < k->to.width)
            product = k->products + ((b * k->n_i + from_y) * k->to.width + from_z) * s->in;
        else if (k->tap > 0 && !(a->act == BF16 && k->tap == taps - 1))
            continue;
        int64_t dx_row = ((k->image + b) * s->from.height + y) * width + z;
        BY_TYPE(a->act, EACH_VECTOR(0, s->in, back_vector(k, T, product, row, dx_row, i, part)));
    }
}

/* ⌊a/b⌋ */
static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static Status back_block(KernelCtx *ctx, Back *k)
{
    CpuDevice *d = cpu_device(ctx);
    const Conv2dDx *a = k->a;
    const ConvShape *s = &a->shape;
    for (k->tap = 0; k->tap < taps_of(s); k->tap++) {
        int64_t u = k->tap / s->kernel_width, end = k->to.height;
        k->i = 0;
        if (k->images == 1) { /* those with k->y <= i·stride + u - top < k->y + k->n_y */
            int64_t low = floor_div(k->y + s->top - u + s->stride - 1, s->stride),
                    high = floor_div(k->y + k->n_y - 1 + s->top - u, s->stride) + 1;
            k->i = low > 0 ? low : 0;
            end = least(high, k->to.height);
        }
        k->n_i = end > k->i ? end - k->i : 0;
        int64_t m = k->images * k->n_i * k->to.width, from = (k->image * k->to.height + k->i) * k->to.width;
        Matmul product = {.m = m, .n = s->in, .k = s->out, .a_type = a->act, .b_type = a->w_type, .c_type = F32, .lda = s->out,
                          .ldb = taps_of(s) * s->in, .ldc = s->in, .a = at(a->dy, a->act, from * s->out),
                          .b = at(a->w, a->w_type, k->tap * s->in), .c = k->products, .alpha = 1};
        TRY(d->ops.matmul(ctx, &product));
        parallel_for(d, k->images * k->n_y * s->from.width, 3 * BYTE_NS * (double)s->in * sizeof(float), back_range, k);
    }
    return OK;
}

static Status conv2d_dx(KernelCtx *ctx, const Conv2dDx *a)
{
    TRY(check_conv2d_dx(a));
    TRY(expect_single("conv2d_dx", a->act));
    TRY(expect_single("conv2d_dx", a->w_type));
    const ConvShape *s = &a->shape;
    const int64_t pixel = s->in * (int64_t)sizeof(float), summed = a->act == BF16 ? s->from.width * pixel : 0;
    if (!plane_rows(&s->from) || !s->in)
        return OK;
    Filtering f = filtering_back(a);
    if (may_filter(s, a->winograd, a->act) && NAME(winograd_pays)(&f)) {
        NAME(winograd)(cpu_device(ctx), &f);
        return OK;
    }
    Back k = {.a = a, .to = conv_to(s), .n_y = s->from.height, .images = 1};
    const int64_t row = k.to.width * pixel, image = k.to.height * row + s->from.height * summed;
    if (image <= (int64_t)BLOCK_BYTES)
        k.images = image ? least((int64_t)BLOCK_BYTES / image, s->from.images) : s->from.images;
    else
        k.n_y = ((int64_t)BLOCK_BYTES - row) / (row + summed); /* of n rows of dx n/stride + 1 of dy know at most */
    if (k.n_y <= 0)
        return too_large("conv2d_dx", 2 * row + summed);
    const int64_t images = k.images, n_y = k.n_y, n_i = images > 1 ? k.to.height : least((n_y - 1) / s->stride + 1, k.to.height);
    k.sums = cpu_shared(cpu_device(ctx), images * (n_y * summed + n_i * row));
    if (!k.sums)
        return OK;
    k.products = k.sums + images * n_y * summed / (int64_t)sizeof(float);
    for (k.image = 0; k.image < s->from.images; k.image += images) {
        k.images = least(images, s->from.images - k.image);
        for (k.y = 0; k.y < s->from.height; k.y += n_y) {
            k.n_y = least(n_y, s->from.height - k.y);
            TRY(back_block(ctx, &k));
        }
    }
    return OK;
}

/* ---------------------------------------------------------------- weight gradient */

static Status conv2d_dw(KernelCtx *ctx, const Conv2dDw *a)
{
    TRY(check_conv2d_dw(a));
    TRY(expect_single("conv2d_dw", a->act));
    TRY(expect_single("conv2d_dw", a->dw_type));
    CpuDevice *d = cpu_device(ctx);
    const ConvShape *s = &a->shape;
    Patches p = {.s = s, .to = conv_to(s), .act = a->act, .x = a->x};
    const int64_t rows = plane_rows(&p.to), copied = taps_together(s) * s->in * (int64_t)dtype_size(a->act);
    if (!s->in || !s->out)
        return OK;
    const int64_t block = (int64_t)BLOCK_BYTES / copied;
    if (!block)
        return too_large("conv2d_dw", copied);
    p.cols = cpu_shared(d, least(block, rows) * copied);
    if (!p.cols)
        return OK;
    do { /* without any pixels, sums are empty */
        const int64_t n = least(block, rows - p.first), taps = taps_together(s);
        for (p.tap = 0; p.tap < taps_of(s); p.tap += taps) {
            p.n_taps = least(taps, taps_of(s) - p.tap);
            copy_patches(d, &p, n);
            Matmul m = {.m = s->out, .n = p.n_taps * s->in, .k = n, .a_type = a->act, .b_type = a->act, .c_type = a->dw_type,
                        .a_trans = true, .accumulate = a->accumulate || p.first, .lda = s->out, .ldb = p.n_taps * s->in,
                        .ldc = taps_of(s) * s->in, .a = at(a->dy, a->act, p.first * s->out), .b = p.cols,
                        .c = at_mut(a->dw, a->dw_type, p.tap * s->in), .alpha = 1};
            TRY(d->ops.matmul(ctx, &m));
        }
        p.first += block;
    } while (p.first < rows);
    return OK;
}

void NAME(conv)(KernelTable *t)
{
    t->conv2d_fwd = conv2d_fwd;
    t->conv2d_dx = conv2d_dx;
    t->conv2d_dw = conv2d_dw;
}
