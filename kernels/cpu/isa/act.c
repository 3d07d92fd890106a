#include <math.h>

#include "kernels/base/philox.h"
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

Status NAME(swiglu_fwd)(KernelCtx *ctx, const SwigluFwd *a)
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

Status NAME(swiglu_bwd)(KernelCtx *ctx, const SwigluBwd *a)
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

Status NAME(gelu_fwd)(KernelCtx *ctx, const GeluFwd *a)
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

Status NAME(gelu_bwd)(KernelCtx *ctx, const GeluBwd *a)
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

Status NAME(add_scaled)(KernelCtx *ctx, const AddScaled *a)
{
    TRY(check_add_scaled(a));
    TRY(expect_single("add_scaled", a->a_type));
    TRY(expect_single("add_scaled", a->y_type));
    if (a->b)
        TRY(expect_single("add_scaled", a->b_type));
    parallel_for(cpu_device(ctx), a->n, COPY_NS, add_range, a);
    return OK;
}

/* ---------------------------------------------------------------- dropout
 * Philox for VL groups of four columns at once. Lane 4b+i computes group i·VL/4 + b, so that after exchanging words within every four
 * lanes vector i holds the columns i·VL … in order. */

enum { ROUNDS = 10, BLOCK_COLS = 4 * VL };

typedef struct Mask {
    const Dropout *a;
    uint32_t key0[ROUNDS], key1[ROUNDS], group[VL], threshold;
    float scale;
} Mask;

static Mask dropout_mask(const Dropout *a)
{
    Mask m = {.a = a, .threshold = (uint32_t)ceil(a->p * 0x1p24), .scale = (float)(1 / (1 - a->p))};
    for (uint32_t r = 0; r < ROUNDS; r++) {
        m.key0[r] = (uint32_t)a->key + r * 0x9E3779B9u;
        m.key1[r] = (uint32_t)(a->key >> 32) + r * 0xBB67AE85u;
    }
    for (uint32_t lane = 0; lane < VL; lane++)
        m.group[lane] = lane % 4 * (VL / 4) + lane / 4;
    return m;
}

/* Random words of the columns col … col+BLOCK_COLS-1 of a row. */
ALWAYS void random_words(const Mask *m, int64_t row, int64_t col, vu word[4])
{
    vu c[4] = {vu_add(vu_load(m->group), vu_set((uint32_t)(col / 4))), vu_set((uint32_t)m->a->row_pos[row]),
               vu_set((uint32_t)m->a->row_item[row]), vu_set(0)};
    for (int r = 0; r < ROUNDS; r++) {
        vu high0, low0, high1, low1;
        vu_multiply(c[0], vu_set(0xD2511F53u), &high0, &low0);
        vu_multiply(c[2], vu_set(0xCD9E8D57u), &high1, &low1);
        c[0] = vu_xor(vu_xor(high1, c[1]), vu_set(m->key0[r]));
        c[2] = vu_xor(vu_xor(high0, c[3]), vu_set(m->key1[r]));
        c[1] = low1;
        c[3] = low0;
    }
    vu_transpose4(c, word);
}

ALWAYS void drop_vector(const Mask *m, DType t, vu word, int64_t at_, Part part)
{
    const Dropout *a = m->a;
    vf y = vu_keep(word, m->threshold, v_mul(part_load(a->x, t, at_, part), v_set(m->scale)));
    if (a->accumulate)
        y = v_add(y, part_load(a->y, t, at_, part));
    part_store(a->y, t, at_, part, y);
}

ALWAYS void drop_row(const Mask *m, DType t, int64_t row)
{
    int64_t cols = m->a->cols;
    for (int64_t col = 0; col < cols; col += BLOCK_COLS) {
        vu word[4];
        random_words(m, row, col, word);
        UNROLL for (int v = 0; v < 4; v++) {
            int64_t first = col + v * VL;
            const Part all = part_whole();
            if (first + VL <= cols)
                drop_vector(m, t, word[v], row * cols + first, all);
            else if (first < cols)
                drop_vector(m, t, word[v], row * cols + first, part_first(cols - first));
        }
    }
}

static void drop_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Mask *m = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(m->a->act, drop_row(m, T, row));
}

Status NAME(dropout)(KernelCtx *ctx, const Dropout *a)
{
    TRY(check_dropout(a));
    TRY(expect_single("dropout", a->act));
    Mask m = dropout_mask(a);
    parallel_for(cpu_device(ctx), a->rows, EXP_NS * (double)a->cols, drop_rows, &m);
    return OK;
}
