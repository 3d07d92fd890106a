/* norm.c: RMSNorm, LayerNorm and GroupNorm as ops/norm.h defines them, in plain loops. */
#include "kernels/ref/real.h"

/* s = x + add at element i, rounded to act; stored in sum when someone wants it. */
static real residual(DType act, const void *x, const void *add, void *sum, int64_t i)
{
    real s = get(x, act, i);
    if (add)
        s = rounded(act, s + get(add, act, i));
    if (sum)
        put(sum, act, i, s);
    return s;
}

/* y may not overlap anything, so it holds s until the statistics of the row are known. */
Status REF_NAME(rmsnorm_fwd)(KernelCtx *ctx, const RmsNormFwd *a)
{
    (void)ctx;
    TRY(check_rmsnorm_fwd(a));
    for (int64_t i = 0; i < a->rows; i++) {
        int64_t row = i * a->cols, y_row = i * row_stride(a->ldy, a->cols);
        real mean_square = 0;
        for (int64_t j = 0; j < a->cols; j++) {
            real s = residual(a->act, a->x, a->add, a->sum, row + j);
            put(a->y, a->act, y_row + j, s);
            mean_square += s * s;
        }
        mean_square /= (real)a->cols;
        put(a->rstd, stat_type(a->act), i, 1 / sqrt(mean_square + (real)a->eps));
        real r = get(a->rstd, stat_type(a->act), i); /* rounded, as the backward finds it */
        for (int64_t j = 0; j < a->cols; j++)
            put(a->y, a->act, y_row + j, get(a->w, a->w_type, j) * (get(a->y, a->act, y_row + j) * r));
    }
    return OK;
}

Status REF_NAME(layernorm_fwd)(KernelCtx *ctx, const LayerNormFwd *a)
{
    (void)ctx;
    TRY(check_layernorm_fwd(a));
    for (int64_t i = 0; i < a->rows; i++) {
        int64_t row = i * a->cols;
        real mean = 0, variance = 0;
        for (int64_t j = 0; j < a->cols; j++) {
            real s = residual(a->act, a->x, a->add, a->sum, row + j);
            put(a->y, a->act, row + j, s);
            mean += s;
        }
        mean /= (real)a->cols;
        for (int64_t j = 0; j < a->cols; j++) {
            real d = get(a->y, a->act, row + j) - mean;
            variance += d * d;
        }
        variance /= (real)a->cols;
        real r = 1 / sqrt(variance + (real)a->eps);
        for (int64_t j = 0; j < a->cols; j++) {
            real normalised = (get(a->y, a->act, row + j) - mean) * r;
            put(a->y, a->act, row + j, get(a->w, a->w_type, j) * normalised + get(a->b, a->w_type, j));
        }
        put(a->mean, stat_type(a->act), i, mean);
        put(a->rstd, stat_type(a->act), i, r);
    }
    return OK;
}

/* Both backwards: RMSNorm is LayerNorm without a mean, neither of x nor of g. */
typedef struct Backward {
    int64_t rows, cols;
    DType act, w_type;
    bool subtract_mean, accumulate, accumulate_w;
    const void *x, *w, *mean, *rstd, *dy;
    void *dx, *dw, *db;
    int64_t lddx;
    void *y;
    int64_t ldy;
} Backward;

static real normalised(const Backward *a, int64_t i, int64_t j)
{
    DType t = stat_type(a->act);
    real mean = a->subtract_mean ? get(a->mean, t, i) : 0;
    return (get(a->x, a->act, i * a->cols + j) - mean) * get(a->rstd, t, i);
}

static void weight_gradients(const Backward *a)
{
    for (int64_t j = 0; j < a->cols; j++) {
        real dw = 0, db = 0;
        for (int64_t i = 0; i < a->rows; i++) {
            real dy = get(a->dy, a->act, i * a->cols + j);
            dw += dy * normalised(a, i, j);
            db += dy;
        }
        if (a->dw)
            put_or_add(a->dw, stat_type(a->act), j, dw, a->accumulate_w);
        if (a->db)
            put_or_add(a->db, stat_type(a->act), j, db, a->accumulate_w);
    }
}

static void backward(const Backward *a)
{
    weight_gradients(a); /* first: dx may be dy */
    for (int64_t i = 0; i < a->rows; i++) {
        int64_t row = i * a->cols;
        real mean_g = 0, mean_gx = 0;
        for (int64_t j = 0; j < a->cols; j++) {
            real g = get(a->dy, a->act, row + j) * get(a->w, a->w_type, j);
            mean_g += a->subtract_mean ? g : 0;
            mean_gx += g * normalised(a, i, j);
        }
        mean_g /= (real)a->cols;
        mean_gx /= (real)a->cols;
        for (int64_t j = 0; j < a->cols; j++) {
            real g = get(a->dy, a->act, row + j) * get(a->w, a->w_type, j);
            real r = get(a->rstd, stat_type(a->act), i);
            if (a->y)
                put(a->y, a->act, i * a->ldy + j, get(a->w, a->w_type, j) * normalised(a, i, j));
            put_or_add(a->dx, a->act, i * a->lddx + j, r * (g - mean_g - normalised(a, i, j) * mean_gx), a->accumulate);
        }
    }
}

Status REF_NAME(rmsnorm_bwd)(KernelCtx *ctx, const RmsNormBwd *a)
{
    (void)ctx;
    TRY(check_rmsnorm_bwd(a));
    backward(&(Backward){.rows = a->rows, .cols = a->cols, .act = a->act, .w_type = a->w_type, .accumulate = a->accumulate,
                         .accumulate_w = a->accumulate_w, .x = a->x, .w = a->w, .rstd = a->rstd, .dy = a->dy, .dx = a->dx,
                         .dw = a->dw, .lddx = row_stride(a->lddx, a->cols), .y = a->y, .ldy = row_stride(a->ldy, a->cols)});
    return OK;
}

Status REF_NAME(layernorm_bwd)(KernelCtx *ctx, const LayerNormBwd *a)
{
    (void)ctx;
    TRY(check_layernorm_bwd(a));
    backward(&(Backward){.rows = a->rows, .cols = a->cols, .act = a->act, .w_type = a->w_type, .subtract_mean = true,
                         .accumulate = a->accumulate, .accumulate_w = a->accumulate_w, .x = a->x, .w = a->w, .mean = a->mean,
                         .rstd = a->rstd, .dy = a->dy, .dx = a->dx, .dw = a->dw, .db = a->db, .lddx = a->cols});
    return OK;
}

/* ---------------------------------------------------------------- groupnorm */

/* f(i) over the elements i of group k of an image. */
#define EACH_OF_GROUP(a, image, k, i, j)                                                                      \
    for (int64_t width_ = (a)->cols / (a)->groups, p_ = (image) * (a)->pixels; p_ < ((image) + 1) * (a)->pixels; p_++) \
        for (int64_t j = (k) * width_, i = p_ * (a)->cols + j; j < ((k) + 1) * width_; j++, i++)

Status REF_NAME(groupnorm_fwd)(KernelCtx *ctx, const GroupNormFwd *a)
{
    (void)ctx;
    TRY(check_groupnorm_fwd(a));
    real n = (real)(a->pixels * (a->cols / a->groups));
    for (int64_t image = 0; image < a->images; image++)
        for (int64_t k = 0; k < a->groups; k++) {
            real mean = 0, variance = 0;
            EACH_OF_GROUP(a, image, k, i, j)
            mean += get(a->x, a->act, i);
            mean = n > 0 ? mean / n : 0;
            EACH_OF_GROUP(a, image, k, i, j)
            {
                real d = get(a->x, a->act, i) - mean;
                variance += d * d;
            }
            real r = 1 / sqrt((n > 0 ? variance / n : 0) + (real)a->eps);
            EACH_OF_GROUP(a, image, k, i, j)
            {
                real z = get(a->w, a->w_type, j) * ((get(a->x, a->act, i) - mean) * r) + get(a->b, a->w_type, j);
                put(a->y, a->act, i, a->silu ? z / (1 + exp(-z)) : z);
            }
            put(a->mean, stat_type(a->act), image * a->groups + k, mean);
            put(a->rstd, stat_type(a->act), image * a->groups + k, r);
        }
    return OK;
}

/* x̂ and dz of element i, of channel j. */
static real group_normalised(const GroupNormBwd *a, int64_t i, int64_t j)
{
    int64_t at = i / a->cols / a->pixels * a->groups + j / (a->cols / a->groups);
    return (get(a->x, a->act, i) - get(a->mean, stat_type(a->act), at)) * get(a->rstd, stat_type(a->act), at);
}

static real group_dz(const GroupNormBwd *a, int64_t i, int64_t j)
{
    real dy = get(a->dy, a->act, i), z = get(a->w, a->w_type, j) * group_normalised(a, i, j) + get(a->b, a->w_type, j);
    real s = 1 / (1 + exp(-z));
    return a->silu ? dy * s * (1 + z * (1 - s)) : dy;
}

static void group_input_gradient(const GroupNormBwd *a, int64_t image, int64_t k)
{
    real n = (real)(a->pixels * (a->cols / a->groups)), mean_g = 0, mean_gx = 0;
    real r = get(a->rstd, stat_type(a->act), image * a->groups + k);
    EACH_OF_GROUP(a, image, k, i, j)
    {
        real g = group_dz(a, i, j) * get(a->w, a->w_type, j);
        mean_g += g;
        mean_gx += g * group_normalised(a, i, j);
    }
    mean_g /= n;
    mean_gx /= n;
    EACH_OF_GROUP(a, image, k, i, j)
    {
        real g = group_dz(a, i, j) * get(a->w, a->w_type, j);
        put_or_add(a->dx, a->act, i, r * (g - mean_g - group_normalised(a, i, j) * mean_gx), a->accumulate);
    }
}

Status REF_NAME(groupnorm_bwd)(KernelCtx *ctx, const GroupNormBwd *a)
{
    (void)ctx;
    TRY(check_groupnorm_bwd(a));
    for (int64_t j = 0; j < a->cols; j++) { /* first: dx may be dy */
        real dw = 0, db = 0;
        for (int64_t i = j; i < a->images * a->pixels * a->cols; i += a->cols) {
            dw += group_dz(a, i, j) * group_normalised(a, i, j);
            db += group_dz(a, i, j);
        }
        if (a->dw)
            put_or_add(a->dw, stat_type(a->act), j, dw, a->accumulate_w);
        if (a->db)
            put_or_add(a->db, stat_type(a->act), j, db, a->accumulate_w);
    }
    for (int64_t image = 0; a->dx && image < a->images; image++)
        for (int64_t k = 0; k < a->groups; k++)
            group_input_gradient(a, image, k);
    return OK;
}
