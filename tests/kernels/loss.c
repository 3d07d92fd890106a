/* cross_entropy, weighted_sum */
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

TEST(cross_entropy_refuses_wrong_arguments)
{
    float z[8] = {0}, weight[2] = {1, 1}, loss[2];
    int32_t labels[2] = {3, 4};
    CrossEntropy a = {.rows = 2, .cols = 4, .ldz = 4, .label = labels, .weight = weight, .logits = z, .loss = loss};
    REFUSED(cross_entropy, &a, ERR_DATA, "cross_entropy: label[1] is 4, expected 0 … 3");
    labels[1] = -100;
    REFUSED(cross_entropy, &a, ERR_DATA, "cross_entropy: label[1] is -100, expected 0 … 3");
    a.ldz = 3;
    REFUSED(cross_entropy, &a, ERR_INTERNAL, "cross_entropy: ldz is 3, expected 4 or more");
}
