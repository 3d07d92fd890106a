/* adamw, sum_squares, fill */
#include <float.h>
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

enum { MAX_SPANS = 3 };

typedef struct AdamwCase {
    int64_t n, n_spans;
    AdamwSpan spans[MAX_SPANS];
    double grad_scale;
    bool copy;
    Pattern pattern;
    double scale; /* of the gradient */
    const char *why;
} AdamwCase;

static const AdamwCase ADAMW_CASES[] = {
    {   1, 1, {{0, 1, 1e-3, 0, 1}}, 1, false, UNIFORM, 1, "smallest, first update"},
    {   5, 0, {{0, 0, 0, 0, 1}}, 1, true, UNIFORM, 1, "no span: nothing moves"},
    {  70, 1, {{9, 9, 1e-3, 0, 1}}, 1, true, UNIFORM, 1, "empty span"},
    {1003, 1, {{0, 1003, 1e-3, 0, 1}}, 1, true, UNIFORM, 1, "prime"},
    {1003, 1, {{0, 1003, 2e-4, 0.1, 1000}}, 0.37, true, UNIFORM, 1, "clipped, decay"},
    { 600, 3, {{3, 130, 1e-3, 0, 7}, {130, 131, 1e-2, 0.5, 1}, {301, 597, 1e-5, 0.01, 100000}}, 1, true, UNIFORM, 1,
     "spans with their own settings and gaps"},
    {100003, 2, {{1, 3, 1e-3, 0, 7}, {4, 100001, 1e-2, 0.5, 9}}, 1, true, UNIFORM, 1, "large enough for two threads"},
    { 257, 1, {{0, 257, 1e-3, 0, 2}}, 1, false, UNIFORM, 1e15, "large gradients"},
    { 257, 1, {{0, 257, 1e-3, 0, 2}}, 1, false, UNIFORM, 1e-9, "gradients near eps"},
    { 257, 1, {{0, 257, 1e-3, 0.1, 3}}, 1, true, MIXED, 1, "subnormal numbers, zeros"},
    { 257, 1, {{0, 257, 0, 0.1, 3}}, 1, true, UNIFORM, 1, "learning rate 0: only the moments move"},
};

static void adamw_case(Comparison *c, const void *row)
{
    const AdamwCase *k = row;
    Adamw args = {.n_spans = k->n_spans, .type = F32, .spans = k->spans, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                  .grad_scale = k->grad_scale};
    Adamw *a = compare_args(c, &args, sizeof args);
    IN(grad, .type = F32, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    INOUT(param, .type = F32, .cols = k->n, .pattern = UNIFORM);
    INOUT(m, .type = F32, .cols = k->n, .pattern = UNIFORM, .scale = k->scale);
    float *v = INOUT(v, .type = F32, .cols = k->n, .pattern = UNIFORM, .scale = k->scale * k->scale);
    for (int64_t i = 0; i < k->n; i++)
        v[i] = fabsf(v[i]);
    if (k->copy)
        INOUT(copy, .type = BF16, .cols = k->n, .pattern = UNIFORM);
}
KERNEL_TEST(adamw, ADAMW_CASES, adamw_case)

typedef struct VectorCase {
    int64_t n;
    DType type;
    Pattern pattern;
    double scale;
    const char *why;
} VectorCase;

static const VectorCase VECTOR_CASES[] = {
    {      0, F32,  UNIFORM, 1, "nothing"},
    {      1, F32,  UNIFORM, 1, "smallest"},
    {     17, F32,  UNIFORM, 1, "prime"},
    { 100003, F32,  UNIFORM, 1, "many blocks"},
    {   1000, F32,  UNIFORM, 1e30, "squares beyond the range of f32"},
    {   1000, F32,  UNIFORM, 1e-30, "squares below the range of f32"},
    {   1000, F32,  SPIKE,   1e6, "one element dominates"},
    {   4097, BF16, UNIFORM, 3, "bf16"},
};

static void sum_squares_case(Comparison *c, const void *row)
{
    const VectorCase *k = row;
    SumSquares *a = compare_args(c, &(SumSquares){.n = k->n, .type = k->type}, sizeof *a);
    IN(x, .type = k->type, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    /* Every backend sums in double, ref_float too, but in its own order: n roundings of the running sum at the worst. */
    OUT(out, .type = F64, .cols = 1, .slack = (double)k->n * DBL_EPSILON);
}
KERNEL_TEST(sum_squares, VECTOR_CASES, sum_squares_case)

static void fill_case(Comparison *c, const void *row)
{
    const VectorCase *k = row;
    Fill *a = compare_args(c, &(Fill){.n = k->n, .type = k->type, .value = k->scale == 3 ? 0 : -0.3 * k->scale}, sizeof *a);
    OUT(x, .type = k->type, .cols = k->n);
}
KERNEL_TEST(fill, VECTOR_CASES, fill_case)

TEST(ref_adamw_repeats_pytorch)
{
    /* torch.optim.AdamW in float64: lr 0.1, weight_decay 0.1, betas 0.9 and 0.999, eps 1e-8; three updates. */
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double p[] = {1, -2}, m[2] = {0}, v[2] = {0};
    const double grads[3][2] = {{0.5, -3}, {-1, 0.25}, {2, 0}};
    static const double wanted[3][2] = {{0.89000000199999996, -1.8800000003333333}, {0.91771035422056535, -1.8006086508038162},
                                        {0.86656768915589888, -1.7357652755489454}};
    for (int step = 0; step < 3; step++) {
        double doubled[] = {2 * grads[step][0], 2 * grads[step][1]};
        AdamwSpan span = {.begin = 0, .end = 2, .lr = 0.1, .decay = 0.1, .t = step + 1};
        Adamw a = {.n_spans = 1, .type = F64, .spans = &span, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 0.5,
                   .grad = doubled, .param = p, .m = m, .v = v};
        REQUIRE_OK(ref.ops.adamw(&ref.ctx, &a));
        CHECK_NEAR(p[0], wanted[step][0], 1e-15);
        CHECK_NEAR(p[1], wanted[step][1], 1e-15);
    }
}

TEST(sum_of_squares_shows_what_is_not_finite)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    float x[] = {1, 2, INFINITY};
    double sum;
    SumSquares a = {.n = 3, .x = x, .out = &sum};
    REQUIRE_OK(ref.ops.sum_squares(&ref.ctx, &a));
    CHECK(isinf(sum));
    x[1] = NAN;
    REQUIRE_OK(ref.ops.sum_squares(&ref.ctx, &a));
    CHECK(isnan(sum));
}

TEST(optimiser_refuses_wrong_arguments)
{
    float x[4] = {0};
    AdamwSpan span = {.begin = 3, .end = 2, .t = 1};
    Adamw a = {.n_spans = 1, .spans = &span, .grad = x, .param = x, .m = x, .v = x};
    REFUSED(adamw, &a, ERR_INTERNAL, "adamw: span 0 is 3 … 2, expected 0 <= begin <= end");
    span = (AdamwSpan){.end = 2};
    REFUSED(adamw, &a, ERR_INTERNAL, "adamw: span 0 is at update 0, expected 1 or more");
    Fill fill = {.n = 4, .type = I32, .x = x};
    REFUSED(fill, &fill, ERR_INTERNAL, "fill: type is I32, expected F32, BF16 or F64");
    SumSquares sum = {.n = -4};
    REFUSED(sum_squares, &sum, ERR_INTERNAL, "sum_squares: n is -4, expected 0 or more");
}
