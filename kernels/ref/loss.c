/* loss.c: cross entropy and weighted sums as ops/loss.h defines them, in plain loops. */
#include "kernels/ref/real.h"

Status REF_NAME(cross_entropy)(KernelCtx *ctx, const CrossEntropy *a)
{
    (void)ctx;
    TRY(check_cross_entropy(a));
    TRY(check_range("cross_entropy", "label", a->label, a->rows, 0, a->cols));
    DType row_type = stat_type(a->act);
    for (int64_t i = 0; i < a->rows; i++) {
        int64_t row = i * a->ldz, label = a->label[i];
        real largest = -(real)INFINITY, total = 0;
        for (int64_t j = 0; j < a->cols; j++)
            largest = fmax(largest, get(a->logits, a->act, row + j));
        for (int64_t j = 0; j < a->cols; j++)
            total += exp(get(a->logits, a->act, row + j) - largest);
        put(a->loss, row_type, i, largest - get(a->logits, a->act, row + label) + log(total));
        for (int64_t j = 0; j < a->cols && a->backward; j++) {
            real softmax = exp(get(a->logits, a->act, row + j) - largest) / total;
            put(a->logits, a->act, row + j, get(a->weight, row_type, i) * (softmax - (j == label)));
        }
    }
    return OK;
}

/* In double also where the arithmetic is float: so says the contract. */
Status REF_NAME(weighted_sum)(KernelCtx *ctx, const WeightedSum *a)
{
    (void)ctx;
    TRY(check_weighted_sum(a));
    double sum = 0;
    for (int64_t i = 0; i < a->n; i++)
        sum += (double)a->weight[i] * (double)get(a->x, a->type, i);
    *a->total = a->accumulate ? *a->total + sum : sum;
    if (a->scaled)
        put(a->scaled, a->act, 0, (real)(a->scale * sum));
    return OK;
}
