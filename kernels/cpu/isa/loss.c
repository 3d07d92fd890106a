/* loss.c: cross entropy and weighted sums (ops/loss.h), compiled once for each instruction set. */
#include <math.h>

#include "kernels/cpu/isa/isa.h"
#include "kernels/cpu/isa/vmath.h"

ALWAYS vf larger(const CrossEntropy *a, DType t, int64_t row, int64_t i, Part part, vf largest)
{
    return v_max(largest, part_or(part, part_load(a->logits, t, row + i, part), v_set(-INFINITY)));
}

/* Σ exp(z - largest). F32 logits that become gradients are replaced by the exponentials at once. */
ALWAYS vf plus_exp(const CrossEntropy *a, DType t, int64_t row, int64_t i, Part part, vf largest, vf total)
{
    vf e = v_exp(v_sub(part_load(a->logits, t, row + i, part), largest));
    if (t == F32 && a->backward)
        part_store(a->logits, t, row + i, part, e);
    return v_add(total, part_or(part, e, v_zero()));
}

ALWAYS void gradient(const CrossEntropy *a, DType t, int64_t row, int64_t i, Part part, vf largest, vf scale)
{
    vf e = part_load(a->logits, t, row + i, part);
    if (t != F32)
        e = v_exp(v_sub(e, largest));
    part_store(a->logits, t, row + i, part, v_mul(e, scale));
}

ALWAYS void cross_entropy_row(const CrossEntropy *a, DType t, int64_t i_row)
{
    const int64_t row = i_row * a->ldz, label = row + a->label[i_row];
    const float at_label = get(a->logits, t, label);
    vf best = v_set(-INFINITY), total = v_zero();
    EACH_VECTOR(0, a->cols, best = larger(a, t, row, i, part, best));
    float largest = v_largest(best);
    EACH_VECTOR(0, a->cols, total = plus_exp(a, t, row, i, part, v_set(largest), total));
    double sum = v_sum(total);
    ((float *)a->loss)[i_row] = (float)((double)largest - (double)at_label + log(sum));
    if (!a->backward)
        return;
    float weight = ((const float *)a->weight)[i_row];
    EACH_VECTOR(0, a->cols, gradient(a, t, row, i, part, v_set(largest), v_set((float)(weight / sum))));
    put(a->logits, t, label, (float)(weight * (exp((double)at_label - (double)largest) / sum - 1)));
}

static void cross_entropy_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const CrossEntropy *a = args;
    (void)workspace;
    for (int64_t row = begin; row < end; row++)
        BY_TYPE(a->act, cross_entropy_row(a, T, row));
}

static Status cross_entropy(KernelCtx *ctx, const CrossEntropy *a)
{
    const double ns = 1; /* an element */
    TRY(check_cross_entropy(a));
    TRY(expect_single("cross_entropy", a->act));
    TRY(check_range("cross_entropy", "label", a->label, a->rows, 0, a->cols));
    parallel_for(cpu_device(ctx), a->rows, ns * (double)a->cols, cross_entropy_rows, a);
    return OK;
}

/* One sum a row of the logits: nothing to share out. */
static Status weighted_sum(KernelCtx *ctx, const WeightedSum *a)
{
    (void)ctx;
    TRY(check_weighted_sum(a));
    TRY(expect_single("weighted_sum", a->type));
    TRY(expect_single("weighted_sum", a->act));
    const float *x = a->x;
    double sum = 0;
    for (int64_t i = 0; i < a->n; i++)
        sum += (double)a->weight[i] * (double)x[i];
    *a->total = a->accumulate ? *a->total + sum : sum;
    if (a->scaled)
        BY_TYPE(a->act, put(a->scaled, T, 0, (float)(a->scale * sum)));
    return OK;
}

void NAME(loss)(KernelTable *t)
{
    t->cross_entropy = cross_entropy;
    t->weighted_sum = weighted_sum;
}
