/* cross_entropy, weighted_sum, difference */
#include <float.h>
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

typedef struct LossCase {
    int64_t rows, cols, pad;
    DType act;
    bool backward;
    Pattern pattern;
    double scale;
    const char *why;
} LossCase;

static const LossCase LOSS_CASES[] = {
    {  1,     1, 0, F32,  true,  UNIFORM, 1, "smallest: one class, no loss"},
    {  0,     9, 0, F32,  true,  UNIFORM, 1, "no rows"},
    {  7,    13, 0, F32,  false, UNIFORM, 1, "loss only: logits stay"},
    {  7,    13, 5, F32,  true,  UNIFORM, 1, "strides"},
    { 33,   331, 0, F32,  true,  UNIFORM, 10, "a small vocabulary"},
    {  3, 32011, 0, F32,  true,  UNIFORM, 10, "a large vocabulary"},
    { 67,  1009, 0, F32,  true,  UNIFORM, 5, "large enough for two threads"},
    {  5,    64, 0, F32,  true,  UNIFORM, 1000, "one class takes all"},
    {  5,   200, 0, F32,  true,  SPIKE,   1e6, "exp overflows without the shift"},
    {  5,   100, 0, F32,  true,  UNIFORM, 1e-6, "nearly uniform"},
    {  5,    50, 0, F32,  true,  EQUAL,   -3e38, "the bottom of the range"},
    {  7,    13, 1, BF16, true,  UNIFORM, 4, "bf16, odd strides"},
    {  5,  1001, 0, BF16, true,  UNIFORM, 10, "bf16"},
    {  5,  1001, 3, BF16, false, UNIFORM, 10, "bf16, loss only"},
};

static int64_t label(int64_t i, const void *arg)
{
    const LossCase *k = arg;
    return i == 0 ? k->cols - 1 : i * 7919 % k->cols;
}

static void cross_entropy_case(Comparison *c, const void *row)
{
    const LossCase *k = row;
    CrossEntropy args = {.rows = k->rows, .cols = k->cols, .ldz = k->cols + k->pad, .act = k->act, .backward = k->backward};
    CrossEntropy *a = compare_args(c, &args, sizeof args);
    IN(label, .type = I32, .cols = k->rows, .data = compare_indices(c, k->rows, label, k));
    IN(weight, .type = F32, .cols = k->rows, .pattern = UNIFORM);
    if (k->backward)
        INOUT(logits, .type = k->act, .rows = k->rows, .cols = k->cols, .ld = a->ldz, .empty = k->rows == 0, .pattern = k->pattern,
              .scale = k->scale);
    else
        IN(logits, .type = k->act, .rows = k->rows, .cols = k->cols, .ld = a->ldz, .empty = k->rows == 0, .pattern = k->pattern,
           .scale = k->scale);
    OUT(loss, .type = F32, .rows = k->rows, .cols = 1, .empty = k->rows == 0);
}
KERNEL_TEST(cross_entropy, LOSS_CASES, cross_entropy_case)

TEST(ref_cross_entropy_has_known_values_and_its_derivative)
{
    enum { ROWS = 3, COLS = 4, N = ROWS * COLS };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *z = random_values(N, 1), *weight = random_values(ROWS, 2), loss[ROWS], dz[N];
    const int32_t labels[] = {3, 0, 2};
    memcpy(dz, z, sizeof dz);
    CrossEntropy fwd = {.rows = ROWS, .cols = COLS, .ldz = COLS, .act = F64, .label = labels, .weight = weight, .logits = z, .loss = loss};
    CrossEntropy bwd = fwd;
    bwd.logits = dz;
    bwd.backward = true;
    REQUIRE_OK(ref.ops.cross_entropy(&ref.ctx, &bwd));
    double sum = exp(z[0]) + exp(z[1]) + exp(z[2]) + exp(z[3]);
    CHECK_NEAR(loss[0], log(sum) - z[3], 1e-15);
    CHECK_NEAR(dz[3], weight[0] * (exp(z[3]) / sum - 1), 1e-15);
    Forward f = {&ref, OP_cross_entropy, &fwd, loss, weight, ROWS};
    CHECK_GRADIENT(&f, z, dz, N);
    for (int i = 0; i < N; i++)
        z[i] = -7;
    REQUIRE_OK(ref.ops.cross_entropy(&ref.ctx, &fwd));
    CHECK_NEAR(loss[1], log(4), 1e-15);
}

typedef struct SumCase {
    int64_t n;
    DType act;
    bool scaled, accumulate;
    Pattern pattern;
    double scale;
    const char *why;
} SumCase;

static const SumCase SUM_CASES[] = {
    {    1, F32,  true,  false, UNIFORM, 1, "smallest"},
    {    0, F32,  true,  false, UNIFORM, 1, "nothing: zero"},
    {    0, F32,  false, true,  UNIFORM, 1, "nothing: what was there"},
    { 1003, F32,  false, true,  UNIFORM, 1, "added to an earlier pass"},
    { 1537, F32,  true,  false, UNIFORM, 1e18, "large losses"},
    {  511, F32,  true,  true,  MIXED,   1, "subnormal numbers, zeros"},
    {  700, BF16, true,  true,  UNIFORM, 3, "bf16"},
    {   33, BF16, true,  false, SPIKE,   100, "one loss dominates, bf16"},
};

static void weighted_sum_case(Comparison *c, const void *row)
{
    const SumCase *k = row;
    WeightedSum *a = compare_args(c, &(WeightedSum){.n = k->n, .type = F32, .act = k->act, .scale = 0.3, .accumulate = k->accumulate},
                                  sizeof *a);
    IN(weight, .type = F32, .cols = k->n, .pattern = UNIFORM);
    IN(x, .type = F32, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    /* Every backend sums in double, ref_float too, but in its own order: n roundings of the running sum at the worst. */
    double slack = (double)(k->n + 1) * DBL_EPSILON, floor = slack * (double)k->n * k->scale;
    OUT_OR_SUM(total, k->accumulate, .type = F64, .cols = 1, .slack = slack, .floor = floor);
    if (k->scaled)
        OUT(scaled, .type = k->act, .cols = 1, .slack = slack, .floor = floor);
}
KERNEL_TEST(weighted_sum, SUM_CASES, weighted_sum_case)

/* ---------------------------------------------------------------- distances */

typedef struct DifferenceCase {
    int64_t items, rows, cols;
    DType act;
    DifferenceKind kind;
    bool accumulate;
    Pattern pattern;
    double scale;
    const char *why;
} DifferenceCase;

static const DifferenceCase DIFFERENCE_CASES[] = {
    { 1,   1,    1, F32,  DIFFERENCE_MSE,    false, UNIFORM, 1, "smallest"},
    { 0,   4,    5, F32,  DIFFERENCE_MSE,    false, UNIFORM, 1, "no items"},
    { 3,  25,    4, F32,  DIFFERENCE_MSE,    false, UNIFORM, 1, "of four channels"},
    { 5,  13,   67, F32,  DIFFERENCE_MSE,    true,  UNIFORM, 3, "odd sizes, accumulate"},
    { 2, 301,  259, F32,  DIFFERENCE_MSE,    false, UNIFORM, 1, "large enough for two threads"},
    { 1, 5000,   8, F32,  DIFFERENCE_MSE,    true,  UNIFORM, 1, "many rows"},
    { 3,   7,   33, F32,  DIFFERENCE_MSE,    false, UNIFORM, 1e15, "large"},
    { 3,   7,   33, F32,  DIFFERENCE_MSE,    false, ZEROS,   1, "no difference"},
    { 3,   7,   33, BF16, DIFFERENCE_MSE,    true,  UNIFORM, 1, "bf16"},
    { 4,  64,   16, BF16, DIFFERENCE_MSE,    false, UNIFORM, 1, "bf16, whole vectors"},
    { 1,   1,    1, F32,  DIFFERENCE_L2NORM, false, UNIFORM, 1, "norm, smallest"},
    { 0,   4,    5, F32,  DIFFERENCE_L2NORM, false, UNIFORM, 1, "norm, no items"},
    { 3,  77,  768, F32,  DIFFERENCE_L2NORM, false, UNIFORM, 1, "norm, of a context"},
    { 5,  13,   67, F32,  DIFFERENCE_L2NORM, true,  UNIFORM, 3, "norm, odd sizes, accumulate"},
    { 2, 301,  259, F32,  DIFFERENCE_L2NORM, false, UNIFORM, 1, "norm, large enough for two threads"},
    { 3,   7,   33, F32,  DIFFERENCE_L2NORM, false, ZEROS,   1, "norm, no difference: no gradient"},
    { 3,   7,   33, F32,  DIFFERENCE_L2NORM, false, UNIFORM, 1e-14, "norm, less than 1e-12: its gradient is that of less"},
    { 3,   7,   33, F32,  DIFFERENCE_L2NORM, false, UNIFORM, 1e15, "norm, large"},
    { 3,   7,   33, F32,  DIFFERENCE_L2NORM, true,  SPIKE,   1e4, "norm, one element dominates"},
    { 3,   7,   33, BF16, DIFFERENCE_L2NORM, true,  UNIFORM, 1, "norm, bf16"},
};

#define ITEMS .rows = k->items * k->rows, .cols = k->cols, .empty = k->items == 0, .pattern = k->pattern, .scale = k->scale

static void difference_fwd_case(Comparison *c, const void *row)
{
    const DifferenceCase *k = row;
    DifferenceFwd args = {.items = k->items, .rows = k->rows, .cols = k->cols, .act = k->act, .kind = k->kind};
    DifferenceFwd *a = compare_args(c, &args, sizeof args);
    IN(u, .type = k->act, ITEMS);
    IN(v, .type = F32, ITEMS);
    OUT(loss, .type = F32, .rows = k->items, .cols = 1, .empty = k->items == 0);
}
KERNEL_TEST(difference_fwd, DIFFERENCE_CASES, difference_fwd_case)

static void difference_bwd_case(Comparison *c, const void *row)
{
    const DifferenceCase *k = row;
    DifferenceBwd args = {.items = k->items, .rows = k->rows, .cols = k->cols, .act = k->act, .kind = k->kind, .scale = 0.3,
                          .accumulate = k->accumulate};
    DifferenceBwd *a = compare_args(c, &args, sizeof args);
    IN(u, .type = k->act, ITEMS);
    IN(v, .type = F32, ITEMS);
    IN(weight, .type = F32, .cols = k->items, .pattern = UNIFORM);
    IN(dloss, .type = k->act, .cols = 1, .pattern = UNIFORM);
    OUT_OR_SUM(du, k->accumulate, .type = k->act, .rows = k->items * k->rows, .cols = k->cols, .empty = k->items == 0);
}
KERNEL_TEST(difference_bwd, DIFFERENCE_CASES, difference_bwd_case)

TEST(ref_difference_has_known_values_and_its_derivative)
{
    enum { ITEMS_ = 2, ROWS = 3, COLS = 2, N = ITEMS_ * ROWS * COLS };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    const float weight[] = {0.5f, 2};
    for (DifferenceKind kind = DIFFERENCE_MSE; kind <= DIFFERENCE_L2NORM; kind++) {
        double *u = random_values(N, 1), *v = random_values(N, 2), loss[ITEMS_], du[N], dloss[] = {0.7}, dy[ITEMS_], mean = 0;
        DifferenceFwd fwd = {.items = ITEMS_, .rows = ROWS, .cols = COLS, .act = F64, .kind = kind, .u = u, .v = v, .loss = loss};
        REQUIRE_OK(ref.ops.difference_fwd(&ref.ctx, &fwd));
        for (int r = ROWS; r < 2 * ROWS; r++) {
            double x = u[r * COLS] - v[r * COLS], y = u[r * COLS + 1] - v[r * COLS + 1];
            mean += kind == DIFFERENCE_MSE ? (x * x + y * y) / (ROWS * COLS) : hypot(x, y) / ROWS;
        }
        CHECK_NEAR(loss[1], mean, 1e-15);
        DifferenceBwd bwd = {.items = ITEMS_, .rows = ROWS, .cols = COLS, .act = F64, .kind = kind, .scale = 3, .weight = weight, .u = u,
                             .v = v, .dloss = dloss, .du = du};
        REQUIRE_OK(ref.ops.difference_bwd(&ref.ctx, &bwd));
        for (int i = 0; i < ITEMS_; i++)
            dy[i] = 0.7 * 3 * (double)weight[i];
        Forward f = {&ref, OP_difference_fwd, &fwd, loss, dy, ITEMS_};
        CHECK_GRADIENT(&f, u, du, N);
    }
}

TEST(losses_refuse_wrong_arguments)
{
    float z[8] = {0}, weight[2] = {1, 1}, loss[2];
    int32_t labels[2] = {3, 4};
    CrossEntropy a = {.rows = 2, .cols = 4, .ldz = 4, .label = labels, .weight = weight, .logits = z, .loss = loss};
    REFUSED(cross_entropy, &a, ERR_DATA, "cross_entropy: label[1] is 4, expected 0 … 3");
    labels[1] = -100;
    REFUSED(cross_entropy, &a, ERR_DATA, "cross_entropy: label[1] is -100, expected 0 … 3");
    a.ldz = 3;
    REFUSED(cross_entropy, &a, ERR_INTERNAL, "cross_entropy: ldz is 3, expected 4 or more");
    DifferenceFwd difference = {.items = 1, .rows = 2, .cols = 4, .kind = (DifferenceKind)2, .u = z, .v = z, .loss = loss};
    REFUSED(difference_fwd, &difference, ERR_INTERNAL, "difference_fwd: kind is 2, expected DIFFERENCE_MSE or DIFFERENCE_L2NORM");
}
