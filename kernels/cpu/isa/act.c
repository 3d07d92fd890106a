/* act.c: activations, gated ones, scaled sums (ops/act.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vmath.h"

/* Nanoseconds an element, for parallel_for. */
static const double EXP_NS = 0.5, COPY_NS = 0.2;

/* ---------------------------------------------------------------- functions and their derivatives
 * TANH through the sigmoid: ½(1 + tanh t) = σ(2t), and 1 - tanh² t = 4 σ(2t) σ(-2t), which cancels nothing. */

static const float SQRT_HALF = 0.707106781f, INV_SQRT_2PI = 0.398942280f;
static const float TWO_K = 1.59576912f, CUBIC = 0.044715f; /* 2 √(2/π) */

/* What is multiplied with z inside of the sigmoid. */
ALWAYS vf sigmoid_factor(ActKind kind) { return v_set(kind == ACT_GELU_QUICK ? 1.702f : 1.0f); }
ALWAYS vf tanh_argument(vf z, vf z2) { return v_mul(v_mul(z, v_set(TWO_K)), v_fma(z2, v_set(CUBIC), v_set(1.0f))); }
ALWAYS vf normal_cumulative(vf z) { return v_fma(v_erf(v_mul(z, v_set(SQRT_HALF))), v_set(0.5f), v_set(0.5f)); }

ALWAYS vf act_value(ActKind kind, vf z)
{
    switch (kind) {
    case ACT_GELU_ERF: return v_mul(z, normal_cumulative(z));
    case ACT_GELU_TANH: return v_mul(z, v_sigmoid(tanh_argument(z, v_mul(z, z))));
    case ACT_RELU: return v_max(v_zero(), z); /* a NaN stays one */
    default: return v_mul(z, v_sigmoid(v_mul(z, sigmoid_factor(kind))));
    }
}

ALWAYS vf act_slope(ActKind kind, vf z)
{
    vf z2 = v_mul(z, z), s, complement;
    if (kind == ACT_GELU_ERF)
        return v_fma(z, v_mul(v_exp(v_mul(z2, v_set(-0.5f))), v_set(INV_SQRT_2PI)), normal_cumulative(z));
    if (kind == ACT_RELU)
        return v_if_less(v_zero(), z, v_set(1.0f), v_zero());
    if (kind == ACT_GELU_TANH) {
        v_sigmoids(tanh_argument(z, z2), &s, &complement);
        vf dt = v_mul(v_set(TWO_K), v_fma(z2, v_set(3 * CUBIC), v_set(1.0f))); /* of 2t */
        return v_fma(v_mul(z, v_mul(s, complement)), dt, s);
    }
    vf kz = v_mul(z, sigmoid_factor(kind));
    v_sigmoids(kz, &s, &complement);
    return v_mul(s, v_fma(kz, complement, v_set(1.0f)));
}

/* Both at once, for gates. The value has the same bits whether the slope is wanted or not. */
ALWAYS vf gate_value(ActKind kind, vf z, vf *gradient)
{
    if (kind == ACT_GELU_ERF) {
        *gradient = act_slope(kind, z);
        return act_value(kind, z);
    }
    vf s, complement;
    v_sigmoids(z, &s, &complement);
    *gradient = v_mul(s, v_fma(z, complement, v_set(1.0f)));
    return v_mul(z, s);
}

/* Runs `call` with the constant K standing for the kind. */
#define AS_KIND(kind, call)         \
    case kind: {                    \
        const ActKind K = kind;     \
        call;                       \
        break;                      \
    }

/* ---------------------------------------------------------------- act */

ALWAYS void act_vector(const ActFwd *a, DType t, ActKind kind, int64_t i, Part part)
{
    part_store(a->y, t, i, part, act_value(kind, part_load(a->x, t, i, part)));
}

#define ACT_RANGE(kind) AS_KIND(kind, BY_TYPE(a->act, EACH_VECTOR(begin, end, act_vector(a, T, K, i, part))))

static void act_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const ActFwd *a = args;
    (void)workspace;
    switch (a->kind) {
        ACT_RANGE(ACT_GELU_ERF)
        ACT_RANGE(ACT_GELU_TANH)
        ACT_RANGE(ACT_GELU_QUICK)
        ACT_RANGE(ACT_RELU)
        ACT_RANGE(ACT_SILU)
    default: break;
    }
}

static Status act_fwd(KernelCtx *ctx, const ActFwd *a)
{
    TRY(check_act_fwd(a));
    TRY(expect_single("act_fwd", a->act));
    parallel_for(cpu_device(ctx), a->n, EXP_NS, act_range, a);
    return OK;
}

ALWAYS void act_gradient(const ActBwd *a, DType t, ActKind kind, int64_t i, Part part)
{
    vf dx = v_mul(part_load(a->dy, t, i, part), act_slope(kind, part_load(a->x, t, i, part)));
    if (a->accumulate)
        dx = v_add(dx, part_load(a->dx, t, i, part));
    part_store(a->dx, t, i, part, dx);
}

#define ACT_GRADIENT(kind) AS_KIND(kind, BY_TYPE(a->act, EACH_VECTOR(begin, end, act_gradient(a, T, K, i, part))))

static void act_gradient_range(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const ActBwd *a = args;
    (void)workspace;
    switch (a->kind) {
        ACT_GRADIENT(ACT_GELU_ERF)
        ACT_GRADIENT(ACT_GELU_TANH)
        ACT_GRADIENT(ACT_GELU_QUICK)
        ACT_GRADIENT(ACT_RELU)
        ACT_GRADIENT(ACT_SILU)
    default: break;
    }
}

static Status act_bwd(KernelCtx *ctx, const ActBwd *a)
{
    TRY(check_act_bwd(a));
    TRY(expect_single("act_bwd", a->act));
    parallel_for(cpu_device(ctx), a->n, EXP_NS, act_gradient_range, a);
    return OK;
}

/* ---------------------------------------------------------------- glu */

ALWAYS void glu_vector(const GluFwd *a, DType t, ActKind kind, int64_t row, int64_t i, Part part)
{
    vf g = part_load(a->g, t, row * a->ldg + i, part), u = part_load(a->u, t, row * a->ldu + i, part), gradient;
    part_store(a->y, t, row * row_stride(a->ldy, a->cols) + i, part, v_mul(gate_value(kind, g, &gradient), u));
}

#define GLU_ROW(kind) AS_KIND(kind, BY_TYPE(a->act, EACH_VECTOR(0, a->cols, glu_vector(a, T, K, row, i, part))))

static void glu_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const GluFwd *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        switch (a->kind) {
            GLU_ROW(ACT_SILU)
            GLU_ROW(ACT_GELU_ERF)
        default: break;
        }
}

static Status glu_fwd(KernelCtx *ctx, const GluFwd *a)
{
    TRY(check_glu_fwd(a));
    TRY(expect_single("glu_fwd", a->act));
    parallel_for(cpu_device(ctx), a->rows, EXP_NS * (double)a->cols, glu_rows, a);
    return OK;
}

ALWAYS void glu_gradient(const GluBwd *a, DType t, ActKind kind, int64_t row, int64_t i, Part part)
{
    vf g = part_load(a->g, t, row * a->ldg + i, part), u = part_load(a->u, t, row * a->ldu + i, part);
    vf dy = part_load(a->dy, t, row * a->cols + i, part), gradient, value = gate_value(kind, g, &gradient);
    if (a->y)
        part_store(a->y, t, row * row_stride(a->ldy, a->cols) + i, part, v_mul(value, u));
    part_store(a->dg, t, row * a->lddg + i, part, v_mul(v_mul(dy, u), gradient));
    part_store(a->du, t, row * a->lddu + i, part, v_mul(dy, value));
}

#define GLU_GRADIENT_ROW(kind) AS_KIND(kind, BY_TYPE(a->act, EACH_VECTOR(0, a->cols, glu_gradient(a, T, K, row, i, part))))

static void glu_gradient_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const GluBwd *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        switch (a->kind) {
            GLU_GRADIENT_ROW(ACT_SILU)
            GLU_GRADIENT_ROW(ACT_GELU_ERF)
        default: break;
        }
}

static Status glu_bwd(KernelCtx *ctx, const GluBwd *a)
{
    TRY(check_glu_bwd(a));
    TRY(expect_single("glu_bwd", a->act));
    parallel_for(cpu_device(ctx), a->rows, EXP_NS * (double)a->cols, glu_gradient_rows, a);
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
    t->glu_fwd = glu_fwd;
    t->glu_bwd = glu_bwd;
    t->act_fwd = act_fwd;
    t->act_bwd = act_bwd;
    t->add_scaled = add_scaled;
}
