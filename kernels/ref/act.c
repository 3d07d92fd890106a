/* act.c: SwiGLU, GELU, scaled sums as ops/act.h defines them, in plain loops. */
#include "kernels/ref/real.h"

static real sigmoid(real z) { return 1 / (1 + exp(-z)); }

Status REF_NAME(swiglu_fwd)(KernelCtx *ctx, const SwigluFwd *a)
{
    (void)ctx;
    TRY(check_swiglu_fwd(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            real g = get(a->g, a->act, i * a->ldg + j), u = get(a->u, a->act, i * a->ldu + j);
            put(a->y, a->act, i * row_stride(a->ldy, a->cols) + j, g * sigmoid(g) * u);
        }
    return OK;
}

Status REF_NAME(swiglu_bwd)(KernelCtx *ctx, const SwigluBwd *a)
{
    (void)ctx;
    TRY(check_swiglu_bwd(a));
    for (int64_t i = 0; i < a->rows; i++)
        for (int64_t j = 0; j < a->cols; j++) {
            real g = get(a->g, a->act, i * a->ldg + j), u = get(a->u, a->act, i * a->ldu + j);
            real dy = get(a->dy, a->act, i * a->cols + j), s = sigmoid(g);
            if (a->y)
                put(a->y, a->act, i * row_stride(a->ldy, a->cols) + j, g * s * u);
            put(a->dg, a->act, i * a->lddg + j, dy * u * s * (1 + g * (1 - s)));
            put(a->du, a->act, i * a->lddu + j, dy * g * s);
        }
    return OK;
}

static const double PI = 3.14159265358979323846;

static real gelu(GeluKind kind, real z)
{
    const real k = (real)sqrt(2 / PI), c = (real)0.044715;
    if (kind == GELU_ERF)
        return z / 2 * (1 + erf(z / (real)sqrt(2.0)));
    return z / 2 * (1 + tanh(k * (z + c * z * z * z)));
}

static real gelu_derivative(GeluKind kind, real z)
{
    const real k = (real)sqrt(2 / PI), c = (real)0.044715;
    if (kind == GELU_ERF)
        return (1 + erf(z / (real)sqrt(2.0))) / 2 + z * exp(-z * z / 2) / (real)sqrt(2 * PI);
    real t = tanh(k * (z + c * z * z * z));
    return (1 + t) / 2 + z / 2 * (1 - t * t) * k * (1 + 3 * c * z * z);
}

Status REF_NAME(gelu_fwd)(KernelCtx *ctx, const GeluFwd *a)
{
    (void)ctx;
    TRY(check_gelu_fwd(a));
    for (int64_t i = 0; i < a->n; i++)
        put(a->y, a->act, i, gelu(a->kind, get(a->x, a->act, i)));
    return OK;
}

Status REF_NAME(gelu_bwd)(KernelCtx *ctx, const GeluBwd *a)
{
    (void)ctx;
    TRY(check_gelu_bwd(a));
    for (int64_t i = 0; i < a->n; i++) {
        real slope = gelu_derivative(a->kind, get(a->x, a->act, i));
        put_or_add(a->dx, a->act, i, get(a->dy, a->act, i) * slope, a->accumulate);
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
