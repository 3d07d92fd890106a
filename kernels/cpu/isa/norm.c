/* norm.c: RMSNorm and LayerNorm (ops/norm.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/isa.h"

/* Nanoseconds an element, for parallel_for. */
static const double NORM_NS = 0.4;

/* ---------------------------------------------------------------- forward: RMSNorm is LayerNorm without a mean and a bias */

typedef struct Forward {
    int64_t rows, cols;
    DType act, w_type;
    bool subtract_mean;
    double eps;
    const void *x, *add, *w, *b;
    void *sum, *y;
    float *mean, *rstd;
    int64_t ldy;
} Forward;

/* s = x + add, rounded and kept; returns s. */
ALWAYS vf residual(const Forward *a, DType t, int64_t i, Part part)
{
    vf s = part_load(a->x, t, i, part);
    if (a->add)
        s = rounded(v_add(s, part_load(a->add, t, i, part)), t);
    if (a->sum)
        part_store(a->sum, t, i, part, s);
    return s;
}

/* s again: from where residual() left it. */
ALWAYS vf residual_again(const Forward *a, DType t, int64_t i, Part part)
{
    if (a->sum)
        return part_load(a->sum, t, i, part);
    vf s = part_load(a->x, t, i, part);
    return a->add ? rounded(v_add(s, part_load(a->add, t, i, part)), t) : s;
}

ALWAYS vf squared_distance(const Forward *a, DType t, int64_t i, Part part, vf mean, vf total)
{
    vf d = part_or(part, v_sub(residual_again(a, t, i, part), mean), v_zero());
    return v_fma(d, d, total);
}

ALWAYS vf plus_square(vf total, vf s) { return v_fma(s, s, total); }

ALWAYS void normalise(const Forward *a, DType t, int64_t row, int64_t y_row, int64_t i, Part part, vf mean, vf rstd)
{
    vf s = residual_again(a, t, row + i, part);
    vf unit = v_mul(a->subtract_mean ? v_sub(s, mean) : s, rstd), y = v_mul(part_load(a->w, a->w_type, i, part), unit);
    if (a->b)
        y = v_add(y, part_load(a->b, a->w_type, i, part));
    part_store(a->y, t, y_row + i, part, y);
}

ALWAYS void forward_row(const Forward *a, DType t, int64_t i_row)
{
    int64_t row = i_row * a->cols;
    vf total = v_zero();
    float mean = 0;
    if (a->subtract_mean) {
        vd sum = vd_zero();
        EACH_VECTOR(0, a->cols, sum = vd_add(sum, residual(a, t, row + i, part)));
        mean = (float)(vd_sum(sum) / (double)a->cols);
        EACH_VECTOR(0, a->cols, total = squared_distance(a, t, row + i, part, v_set(mean), total));
        a->mean[i_row] = mean;
    } else
        EACH_VECTOR(0, a->cols, total = plus_square(total, residual(a, t, row + i, part)));
    float rstd = (float)(1 / sqrt((double)v_sum(total) / (double)a->cols + a->eps));
    a->rstd[i_row] = rstd;
    EACH_VECTOR(0, a->cols, normalise(a, t, row, i_row * a->ldy, i, part, v_set(mean), v_set(rstd)));
}

static void forward_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Forward *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(a->act, forward_row(a, T, row));
}

static Status forward(const KernelCtx *ctx, const char *op, const Forward *a)
{
    TRY(expect_single(op, a->act));
    TRY(expect_single(op, a->w_type));
    parallel_for(cpu_device(ctx), a->rows, NORM_NS * (double)a->cols, forward_rows, a);
    return OK;
}

static Status rmsnorm_fwd(KernelCtx *ctx, const RmsNormFwd *a)
{
    TRY(check_rmsnorm_fwd(a));
    return forward(ctx, "rmsnorm_fwd", &(Forward){.rows = a->rows, .cols = a->cols, .act = a->act, .w_type = a->w_type, .eps = a->eps,
                                                  .x = a->x, .add = a->add, .w = a->w, .sum = a->sum, .y = a->y, .rstd = a->rstd,
                                                  .ldy = row_stride(a->ldy, a->cols)});
}

static Status layernorm_fwd(KernelCtx *ctx, const LayerNormFwd *a)
{
    TRY(check_layernorm_fwd(a));
    return forward(ctx, "layernorm_fwd",
                   &(Forward){.rows = a->rows, .cols = a->cols, .act = a->act, .w_type = a->w_type, .subtract_mean = true, .eps = a->eps,
                              .x = a->x, .add = a->add, .w = a->w, .b = a->b, .sum = a->sum, .y = a->y, .mean = a->mean, .rstd = a->rstd,
                              .ldy = a->cols});
}

/* ---------------------------------------------------------------- backward */

typedef struct Backward {
    int64_t rows, cols;
    DType act, w_type;
    bool subtract_mean, accumulate, accumulate_w;
    const void *x, *w, *dy;
    const float *mean, *rstd;
    void *dx;
    float *dw, *db;
    int64_t lddx;
    void *y; /* NULL: not wanted */
    int64_t ldy;
} Backward;

ALWAYS vf normalised(const Backward *a, DType t, int64_t i, Part part, vf mean, vf rstd)
{
    vf x = part_load(a->x, t, i, part);
    return v_mul(a->subtract_mean ? v_sub(x, mean) : x, rstd);
}

/* dw and db of the columns from col on, summed in double. */
ALWAYS void weight_columns(const Backward *a, DType t, int64_t col, Part part)
{
    vd dw = vd_zero(), db = vd_zero();
    for (int64_t r = 0; r < a->rows; r++) {
        vf dy = part_load(a->dy, t, r * a->cols + col, part);
        dw = vd_fma(dy, normalised(a, t, r * a->cols + col, part, v_set(a->subtract_mean ? a->mean[r] : 0.0f), v_set(a->rstd[r])), dw);
        db = vd_add(db, dy);
    }
    float *out[2] = {a->dw, a->db};
    vd sum[2] = {dw, db};
    for (int k = 0; k < 2; k++)
        if (out[k]) {
            if (a->accumulate_w)
                sum[k] = vd_add(sum[k], part_load(out[k], F32, col, part));
            part_store(out[k], F32, col, part, vd_round(sum[k]));
        }
}

static void weight_gradients(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Backward *a = args;
    (void)workspace;
    int64_t last = end * VL < a->cols ? end * VL : a->cols;
    BY_TYPE(a->act, EACH_VECTOR(begin * VL, last, weight_columns(a, T, i, part)));
}

typedef struct RowSums {
    vf g, gx;
} RowSums;

ALWAYS RowSums add_products(const Backward *a, DType t, int64_t row, int64_t i, Part part, vf mean, vf rstd, RowSums s)
{
    vf g = v_mul(part_load(a->dy, t, row + i, part), part_load(a->w, a->w_type, i, part));
    return (RowSums){v_add(s.g, g), v_fma(g, normalised(a, t, row + i, part, mean, rstd), s.gx)};
}

ALWAYS void input_gradient(const Backward *a, DType t, int64_t row, int64_t i_row, int64_t i, Part part, vf mean, vf rstd, vf mean_g,
                           vf mean_gx)
{
    vf w = part_load(a->w, a->w_type, i, part), g = v_mul(part_load(a->dy, t, row + i, part), w),
            unit = normalised(a, t, row + i, part, mean, rstd);
    if (a->y)
        part_store(a->y, t, i_row * a->ldy + i, part, v_mul(w, unit));
    if (a->subtract_mean)
        g = v_sub(g, mean_g);
    vf dx = v_mul(rstd, v_fnma(unit, mean_gx, g));
    if (a->accumulate)
        dx = v_add(dx, part_load(a->dx, t, i_row * a->lddx + i, part));
    part_store(a->dx, t, i_row * a->lddx + i, part, dx);
}

ALWAYS void backward_row(const Backward *a, DType t, int64_t i_row)
{
    int64_t row = i_row * a->cols;
    vf mean = v_set(a->subtract_mean ? a->mean[i_row] : 0.0f), rstd = v_set(a->rstd[i_row]);
    RowSums s = {v_zero(), v_zero()};
    EACH_VECTOR(0, a->cols, s = add_products(a, t, row, i, part, mean, rstd, s));
    vf mean_g = v_set(v_sum(s.g) / (float)a->cols), mean_gx = v_set(v_sum(s.gx) / (float)a->cols);
    EACH_VECTOR(0, a->cols, input_gradient(a, t, row, i_row, i, part, mean, rstd, mean_g, mean_gx));
}

static void backward_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Backward *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(a->act, backward_row(a, T, row));
}

static Status backward(const KernelCtx *ctx, const char *op, const Backward *a)
{
    TRY(expect_single(op, a->act));
    TRY(expect_single(op, a->w_type));
    if (a->dw || a->db) /* first: dx may be dy */
        parallel_for(cpu_device(ctx), (a->cols + VL - 1) / VL, NORM_NS * VL * (double)a->rows, weight_gradients, a);
    parallel_for(cpu_device(ctx), a->rows, NORM_NS * (double)a->cols, backward_rows, a);
    return OK;
}

static Status rmsnorm_bwd(KernelCtx *ctx, const RmsNormBwd *a)
{
    TRY(check_rmsnorm_bwd(a));
    return backward(ctx, "rmsnorm_bwd",
                    &(Backward){.rows = a->rows, .cols = a->cols, .act = a->act, .w_type = a->w_type, .accumulate = a->accumulate,
                                .accumulate_w = a->accumulate_w, .x = a->x, .w = a->w, .rstd = a->rstd, .dy = a->dy, .dx = a->dx,
                                .dw = a->dw, .lddx = row_stride(a->lddx, a->cols), .y = a->y, .ldy = row_stride(a->ldy, a->cols)});
}

static Status layernorm_bwd(KernelCtx *ctx, const LayerNormBwd *a)
{
    TRY(check_layernorm_bwd(a));
    return backward(ctx, "layernorm_bwd",
                    &(Backward){.rows = a->rows, .cols = a->cols, .act = a->act, .w_type = a->w_type, .subtract_mean = true,
                                .accumulate = a->accumulate, .accumulate_w = a->accumulate_w, .x = a->x, .w = a->w, .mean = a->mean,
                                .rstd = a->rstd, .dy = a->dy, .dx = a->dx, .dw = a->dw, .db = a->db,
                                .lddx = a->cols});
}

void NAME(norm)(KernelTable *t)
{
    t->rmsnorm_fwd = rmsnorm_fwd;
    t->layernorm_fwd = layernorm_fwd;
    t->rmsnorm_bwd = rmsnorm_bwd;
    t->layernorm_bwd = layernorm_bwd;
}
