/* act.c: activations, gated ones, scaled sums, dropout as ops/act.h defines them, in plain loops. */
#include "kernels/ref/real.h"

static const double PI = 3.14159265358979323846;

static real sigmoid(real z) { return 1 / (1 + exp(-z)); }

/* The argument of tanh, and its derivative. */
static real inner(real z) { return (real)sqrt(2 / PI) * (z + (real)0.044715 * z * z * z); }
static real inner_slope(real z) { return (real)sqrt(2 / PI) * (1 + (real)0.134145 * z * z); }

static real value(ActKind kind, real z)
{
    switch (kind) {
    case ACT_GELU_ERF: return z / 2 * (1 + erf(z / (real)sqrt(2.0)));
    case ACT_GELU_TANH: return z / 2 * (1 + tanh(inner(z)));
    case ACT_GELU_QUICK: return z * sigmoid((real)1.702 * z);
    case ACT_RELU: return z < 0 ? 0 : z;
    default: return z * sigmoid(z);
    }
}

static real slope(ActKind kind, real z)
{
    real k = kind == ACT_GELU_QUICK ? (real)1.702 : 1, s = sigmoid(k * z), t = tanh(inner(z));
    switch (kind) {
    case ACT_GELU_ERF: return (1 + erf(z / (real)sqrt(2.0))) / 2 + z * exp(-z * z / 2) / (real)sqrt(2 * PI);
    case ACT_GELU_TANH: return (1 + t) / 2 + z / 2 * (1 - t * t) * inner_slope(z);
    case ACT_RELU: return z > 0;
    default: return s * (1 + k * z * (1 - s));
    }
}

Status REF_NAME(act_fwd)(KernelCtx *ctx, const ActFwd *a)
{
    (void)ctx;
    TRY(check_act_fwd(a));
    for (int64_t i = 0; i < a->n; i++)
        put(a->y, a->act, i, value(a->kind, get(a->x, a->act, i)));
    return OK;
}

Status REF_NAME(act_bwd)(KernelCtx *ctx, const ActBwd *a)
{
    (void)ctx;
    TRY(check_act_bwd(a));
    for (int64_t i = 0; i < a->n; i++)
        put_or_add(a->dx, a->act, i, get(a->dy, a->act, i) * slope(a->kind, get(a->x, a->act, i)), a->accumulate);
    return OK;
}

Status REF_NAME(glu_fwd)(KernelCtx *ctx, const GluFwd *a)
{
    (void)ctx;
    TRY(check_glu_fwd(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            real g = get(a->g, a->act, i * a->ldg + j), u = get(a->u, a->act, i * a->ldu + j);
            put(a->y, a->act, i * row_stride(a->ldy, a->cols) + j, value(a->kind, g) * u);
        }
    return OK;
}

Status REF_NAME(glu_bwd)(KernelCtx *ctx, const GluBwd *a)
{
    (void)ctx;
    TRY(check_glu_bwd(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            real g = get(a->g, a->act, i * a->ldg + j), u = get(a->u, a->act, i * a->ldu + j), dy = get(a->dy, a->act, i * a->cols + j);
            if (a->y)
                put(a->y, a->act, i * row_stride(a->ldy, a->cols) + j, value(a->kind, g) * u);
            put(a->dg, a->act, i * a->lddg + j, dy * u * slope(a->kind, g));
            put(a->du, a->act, i * a->lddu + j, dy * value(a->kind, g));
        }
    return OK;
}

Status REF_NAME(add_scaled)(KernelCtx *ctx, const AddScaled *a)
{
    (void)ctx;
    TRY(check_add_scaled(a));
    for (int64_t i = 0; i < a->n; i++) {
        real y = (real)a->alpha * get(a->a, a->a_type, i);
        if (a->b)
            y += (real)a->beta * get(a->b, a->b_type, i);
        put(a->y, a->y_type, i, y);
    }
    return OK;
}

Status REF_NAME(dropout)(KernelCtx *ctx, const Dropout *a)
{
    (void)ctx;
    TRY(check_dropout(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t c = 0; c < a->cols; c++) {
            bool keep = keeps(a->key, a->p, c, a->row_pos[i], a->row_item[i]);
            real x = get(a->x, a->act, i * a->cols + c);
            put_or_add(a->y, a->act, i * a->cols + c, keep ? x * (real)dropout_scale(a->p) : 0, a->accumulate);
        }
    return OK;
}
