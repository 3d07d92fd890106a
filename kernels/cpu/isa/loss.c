/* loss.c: cross entropy, weighted sums and distances (ops/loss.h), compiled once for each instruction set. */
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

/* ---------------------------------------------------------------- distances */

/* Nanoseconds an element, for parallel_for. */
static const double DIFFERENCE_NS = 0.3;

ALWAYS vf plus_square(const void *u, const void *v, DType t, int64_t i, Part part, vf total)
{
    vf d = v_sub(part_load(u, t, i, part), part_load(v, F32, i, part));
    return v_fma(d, d, total);
}

/* ‖u_r - v_r‖² */
ALWAYS double square_distance(const void *u, const void *v, DType t, int64_t row, int64_t cols)
{
    vf total = v_zero();
    EACH_VECTOR(0, cols, total = plus_square(u, v, t, row * cols + i, part, total));
    return v_sum(total);
}

/* Some rows of one item; what each has goes to the shared memory, so that the sum has one order. */
typedef struct Distances {
    const DifferenceFwd *a;
    int64_t first;
    double *of_row;
} Distances;

static void difference_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const Distances *d = args;
    (void)workspace;
    for (int64_t r = begin; r < end; r++) {
        double square = 0;
        BY_TYPE(d->a->act, square = square_distance(d->a->u, d->a->v, T, d->first + r, d->a->cols));
        d->of_row[r] = d->a->kind == DIFFERENCE_MSE ? square / (double)d->a->cols : sqrt(square);
    }
}

static Status difference_fwd(KernelCtx *ctx, const DifferenceFwd *a)
{
    TRY(check_difference_fwd(a));
    TRY(expect_single("difference_fwd", a->act));
    CpuDevice *device = cpu_device(ctx);
    Distances d = {.a = a};
    const int64_t fit = SHARED_BYTES / (int64_t)sizeof *d.of_row, most = a->rows < fit ? a->rows : fit;
    d.of_row = cpu_shared(device, most * (int64_t)sizeof *d.of_row);
    for (int64_t item = 0; d.of_row && item < a->items; item++) {
        double sum = 0;
        for (int64_t done = 0, n; done < a->rows; done += n) {
            n = a->rows - done < most ? a->rows - done : most;
            d.first = item * a->rows + done;
            parallel_for(device, n, DIFFERENCE_NS * (double)a->cols, difference_rows, &d);
            for (int64_t r = 0; r < n; r++)
                sum += d.of_row[r];
        }
        ((float *)a->loss)[item] = (float)(a->rows ? sum / (double)a->rows : 0);
    }
    return OK;
}

ALWAYS void difference_vector(const DifferenceBwd *a, DType t, int64_t i, Part part, vf factor)
{
    vf d = v_mul(factor, v_sub(part_load(a->u, t, i, part), part_load(a->v, F32, i, part)));
    part_store(a->du, t, i, part, a->accumulate ? v_add(part_load(a->du, t, i, part), d) : d);
}

static void difference_gradient_rows(const void *args, int64_t begin, int64_t end, void *workspace)
{
    const DifferenceBwd *a = args;
    (void)workspace;
    const double least = 1e-12;
    for (int64_t r = begin; r < end; r++) {
        double factor = a->scale * (double)a->weight[r / a->rows] * (double)get(a->dloss, a->act, 0) / (double)a->rows;
        if (a->kind == DIFFERENCE_MSE)
            factor *= 2 / (double)a->cols;
        else {
            double norm = 0;
            BY_TYPE(a->act, norm = sqrt(square_distance(a->u, a->v, T, r, a->cols)));
            factor /= norm > least ? norm : least;
        }
        BY_TYPE(a->act, EACH_VECTOR(r * a->cols, (r + 1) * a->cols, difference_vector(a, T, i, part, v_set((float)factor))));
    }
}

static Status difference_bwd(KernelCtx *ctx, const DifferenceBwd *a)
{
    TRY(check_difference_bwd(a));
    TRY(expect_single("difference_bwd", a->act));
    parallel_for(cpu_device(ctx), a->items * a->rows, 2 * DIFFERENCE_NS * (double)a->cols, difference_gradient_rows, a);
    return OK;
}

void NAME(loss)(KernelTable *t)
{
    t->cross_entropy = cross_entropy;
    t->weighted_sum = weighted_sum;
    t->difference_fwd = difference_fwd;
    t->difference_bwd = difference_bwd;
}
