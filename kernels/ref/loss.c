/* loss.c: cross entropy, weighted sums and distances as ops/loss.h defines them, in plain loops. */
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

/* ‖u_r - v_r‖² of row r */
static real square_distance(const void *u, const void *v, DType act, int64_t r, int64_t cols)
{
    real sum = 0;
    for (int64_t i = r * cols; i < (r + 1) * cols; i++) {
        real d = get(u, act, i) - get(v, stat_type(act), i);
        sum += d * d;
    }
    return sum;
}

Status REF_NAME(difference_fwd)(KernelCtx *ctx, const DifferenceFwd *a)
{
    (void)ctx;
    TRY(check_difference_fwd(a));
    for (int64_t item = 0; item < a->items; item++) {
        real loss = 0;
        for (int64_t r = item * a->rows; r < (item + 1) * a->rows; r++) {
            real square = square_distance(a->u, a->v, a->act, r, a->cols);
            loss += a->kind == DIFFERENCE_MSE ? square / (real)(a->rows * a->cols) : sqrt(square) / (real)a->rows;
        }
        put(a->loss, stat_type(a->act), item, loss);
    }
    return OK;
}

Status REF_NAME(difference_bwd)(KernelCtx *ctx, const DifferenceBwd *a)
{
    (void)ctx;
    TRY(check_difference_bwd(a));
    for (int64_t r = 0; r < a->items * a->rows; r++) {
        real c = get(a->dloss, a->act, 0) * (real)(a->scale * (double)a->weight[r / a->rows]);
        real norm = sqrt(square_distance(a->u, a->v, a->act, r, a->cols));
        real factor = a->kind == DIFFERENCE_MSE ? 2 / (real)(a->rows * a->cols) : 1 / fmax(norm, (real)1e-12) / (real)a->rows;
        for (int64_t i = r * a->cols; i < (r + 1) * a->cols; i++) {
            real d = c * factor * (get(a->u, a->act, i) - get(a->v, stat_type(a->act), i));
            put_or_add(a->du, a->act, i, d, a->accumulate);
        }
    }
    return OK;
}
