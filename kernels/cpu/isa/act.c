/* act.c: SwiGLU, GELU, scaled sums (ops/act.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vmath.h"

/* Nanoseconds an element, for parallel_for. */
static const double EXP_NS = 0.5, COPY_NS = 0.2;

/* ---------------------------------------------------------------- swiglu */

ALWAYS void swiglu_vector(const SwigluFwd *a, DType t, int64_t row, int64_t i, Part part)
{
    vf g = part_load(a->g, t, row * a->ldg + i, part), u = part_load(a->u, t, row * a->ldu + i, part);
    vf s, complement;
    v_sigmoids(g, &s, &complement); /* as the backward's */
    part_store(a->y, t, row * row_stride(a->ldy, a->cols) + i, part, v_mul(v_mul(g, s), u));
}

static void swiglu_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const SwigluFwd *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(a->act, EACH_VECTOR(0, a->cols, swiglu_vector(a, T, row, i, part)));
}

static Status swiglu_fwd(KernelCtx *ctx, const SwigluFwd *a)
{
    TRY(check_swiglu_fwd(a));
    TRY(expect_single("swiglu_fwd", a->act));
    parallel_for(cpu_device(ctx), a->rows, EXP_NS * (double)a->cols, swiglu_rows, a);
    return OK;
}

ALWAYS void swiglu_gradient(const SwigluBwd *a, DType t, int64_t row, int64_t i, Part part)
{
    vf g = part_load(a->g, t, row * a->ldg + i, part), u = part_load(a->u, t, row * a->ldu + i, part);
    vf dy = part_load(a->dy, t, row * a->cols + i, part), s, complement;
    v_sigmoids(g, &s, &complement);
    if (a->y)
        part_store(a->y, t, row * row_stride(a->ldy, a->cols) + i, part, v_mul(v_mul(g, s), u));
    vf slope = v_mul(s, v_fma(g, complement, v_set(1.0f)));
    part_store(a->dg, t, row * a->lddg + i, part, v_mul(v_mul(dy, u), slope));
    part_store(a->du, t, row * a->lddu + i, part, v_mul(v_mul(dy, g), s));
}

static void swiglu_gradient_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const SwigluBwd *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(a->act, EACH_VECTOR(0, a->cols, swiglu_gradient(a, T, row, i, part)));
}

static Status swiglu_bwd(KernelCtx *ctx, const SwigluBwd *a)
{
    TRY(check_swiglu_bwd(a));
    TRY(expect_single("swiglu_bwd", a->act));
    parallel_for(cpu_device(ctx), a->rows, EXP_NS * (double)a->cols, swiglu_gradient_rows, a);
    return OK;
}

/* ---------------------------------------------------------------- gelu
 * TANH through the sigmoid: ½(1 + tanh t) = σ(2t), and 1 - tanh² t = 4 σ(2t) σ(-2t), which cancels nothing. */

static const float SQRT_HALF = 0.707106781f, INV_SQRT_2PI = 0.398942280f;
static const float TWO_K = 1.59576912f, CUBIC = 0.044715f; /* 2 √(2/π) */

ALWAYS vf gelu_value(GeluKind kind, vf z)
{
    if (kind == GELU_ERF) {
        vf half = v_mul(z, v_set(0.5f));
        return v_fma(half, v_erf(v_mul(z, v_set(SQRT_HALF))), half);
    }
    vf z2 = v_mul(z, z), t = v_mul(v_mul(z, v_set(TWO_K)), v_fma(z2, v_set(CUBIC), v_set(1.0f)));
    return v_mul(z, v_sigmoid(t));
}

ALWAYS vf gelu_slope(GeluKind kind, vf z)
{
    vf z2 = v_mul(z, z);
    if (kind == GELU_ERF) {
        vf phi = v_mul(v_exp(v_mul(z2, v_set(-0.5f))), v_set(INV_SQRT_2PI));
        vf cumulative = v_fma(v_erf(v_mul(z, v_set(SQRT_HALF))), v_set(0.5f), v_set(0.5f));
        return v_fma(z, phi, cumulative);
    }
    vf s, complement, t = v_mul(v_mul(z, v_set(TWO_K)), v_fma(z2, v_set(CUBIC), v_set(1.0f)));
    v_sigmoids(t, &s, &complement);
    vf dt = v_mul(v_set(TWO_K), v_fma(z2, v_set(3 * CUBIC), v_set(1.0f))); /* of 2t */
    return v_fma(v_mul(z, v_mul(s, complement)), dt, s);
}

ALWAYS void gelu_vector(const GeluFwd *a, DType t, GeluKind kind, int64_t i, Part part)
{
    part_store(a->y, t, i, part, gelu_value(kind, part_load(a->x, t, i, part)));
}

static void gelu_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const GeluFwd *a = args;
    (void)workspace;
    if (a->kind == GELU_ERF)
        BY_TYPE(a->act, EACH_VECTOR(begin, end, gelu_vector(a, T, GELU_ERF, i, part)));
    else
        BY_TYPE(a->act, EACH_VECTOR(begin, end, gelu_vector(a, T, GELU_TANH, i, part)));
}

static Status gelu_fwd(KernelCtx *ctx, const GeluFwd *a)
{
    TRY(check_gelu_fwd(a));
    TRY(expect_single("gelu_fwd", a->act));
    parallel_for(cpu_device(ctx), a->n, EXP_NS, gelu_range, a);
    return OK;
}

ALWAYS void gelu_gradient(const GeluBwd *a, DType t, GeluKind kind, int64_t i, Part part)
{
    vf dx = v_mul(part_load(a->dy, t, i, part), gelu_slope(kind, part_load(a->x, t, i, part)));
    if (a->accumulate)
        dx = v_add(dx, part_load(a->dx, t, i, part));
    part_store(a->dx, t, i, part, dx);
}

static void gelu_gradient_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const GeluBwd *a = args;
    (void)workspace;
    if (a->kind == GELU_ERF)
        BY_TYPE(a->act, EACH_VECTOR(begin, end, gelu_gradient(a, T, GELU_ERF, i, part)));
    else
        BY_TYPE(a->act, EACH_VECTOR(begin, end, gelu_gradient(a, T, GELU_TANH, i, part)));
}

static Status gelu_bwd(KernelCtx *ctx, const GeluBwd *a)
{
    TRY(check_gelu_bwd(a));
    TRY(expect_single("gelu_bwd", a->act));
    parallel_for(cpu_device(ctx), a->n, EXP_NS, gelu_gradient_range, a);
    return OK;
}

/* ---------------------------------------------------------------- add */

ALWAYS void add_vector(const AddScaled *a, DType at_, DType bt, DType yt, int64_t i, Part part)
{
    vf y = v_mul(part_load(a->a, at_, i, part), v_set((float)a->alpha));
    if (a->b)
        y = v_fma(part_load(a->b, bt, i, part), v_set((float)a->beta), y);
    part_store(a->y, yt, i, part, y);
}

static void add_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const AddScaled *a = args;
    (void)workspace;
    DType b_type = a->b ? a->b_type : a->a_type;
    if (a->a_type == a->y_type && b_type == a->y_type)
        BY_TYPE(a->y_type, EACH_VECTOR(begin, end, add_vector(a, T, T, T, i, part)));
    else
        EACH_VECTOR(begin, end, add_vector(a, a->a_type, b_type, a->y_type, i, part));
}

static Status add_scaled(KernelCtx *ctx, const AddScaled *a)
{
    TRY(check_add_scaled(a));
    TRY(expect_single("add_scaled", a->a_type));
    TRY(expect_single("add_scaled", a->y_type));
    if (a->b)
        TRY(expect_single("add_scaled", a->b_type));
    parallel_for(cpu_device(ctx), a->n, COPY_NS, add_range, a);
    return OK;
}

void NAME(act)(KernelTable *t)
{
    t->swiglu_fwd = swiglu_fwd;
    t->swiglu_bwd = swiglu_bwd;
    t->gelu_fwd = gelu_fwd;
    t->gelu_bwd = gelu_bwd;
    t->add_scaled = add_scaled;
}
