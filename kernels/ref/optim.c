/* optim.c: AdamW, sums of squares, fill as ops/optim.h defines them, in plain loops. */
#include "kernels/ref/real.h"

static void put_moment(void *x, DType t, int64_t i, real value, uint32_t random)
{
    if (t == BF16)
        ((bf16 *)x)[i] = philox_bf16((float)value, random);
    else
        put(x, t, i, value);
}

/* Of element i; optim.h. */
static uint32_t random_word(const Adamw *a, int64_t i)
{
    return philox4x32(a->key, (uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, 0).v[i % 4];
}

static void adamw_span(const Adamw *a, const AdamwSpan *s)
{
    DType t = a->type;
    real beta1 = (real)a->beta1, beta2 = (real)a->beta2, eps = (real)a->eps, scale = (real)a->grad_scale;
    real rest1 = (real)(1 - a->beta1), rest2 = (real)(1 - a->beta2);
    real correction1 = (real)(1 - pow(a->beta1, (double)s->t)), correction2 = (real)(1 - pow(a->beta2, (double)s->t));
    for (int64_t i = s->begin; i < s->end; i++) {
        real g = get(a->grad, t, i) * scale, p = get(a->param, t, i);
        real m = beta1 * get(a->m, a->moments, i) + rest1 * g;
        real v = beta2 * get(a->v, a->moments, i) + rest2 * g * g;
        uint32_t random = random_word(a, i);
        p -= (real)(s->lr * s->decay) * p;
        p -= (real)s->lr * (m / correction1) / (sqrt(v / correction2) + eps);
        put_moment(a->m, a->moments, i, m, random & 0xffff);
        put_moment(a->v, a->moments, i, v, random >> 16);
        put(a->param, t, i, p);
        if (a->copy)
            put(a->copy, BF16, i, rounded(t, p));
    }
}

Status REF_NAME(adamw)(KernelCtx *ctx, const Adamw *a)
{
    (void)ctx;
    TRY(check_adamw(a));
    for (int64_t i = 0; i < a->n_spans; i++)
        adamw_span(a, &a->spans[i]);
    return OK;
}

Status REF_NAME(sum_squares)(KernelCtx *ctx, const SumSquares *a)
{
    (void)ctx;
    TRY(check_sum_squares(a));
    double sum = 0; /* whatever `real` is: the contract says double */
    for (int64_t i = 0; i < a->n; i++) {
        double x = get(a->x, a->type, i);
        sum += x * x;
    }
    *a->out = sum;
    return OK;
}

Status REF_NAME(fill)(KernelCtx *ctx, const Fill *a)
{
    (void)ctx;
    TRY(check_fill(a));
    for (int64_t i = 0; i < a->n; i++)
        put(a->x, a->type, i, (real)a->value);
    return OK;
}
