/* adamw, sum_squares, fill */
#include <float.h>
#include <math.h>
#include <string.h>

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
    DType moments;
    uint64_t key;
    const char *why;
} AdamwCase;

static const AdamwCase ADAMW_CASES[] = {
    {   1, 1, {{0, 1, 1e-3, 0, 1}}, 1, false, UNIFORM, 1, F32, 0, "smallest, first update"},
    {   5, 0, {{0, 0, 0, 0, 1}}, 1, true, UNIFORM, 1, F32, 0, "no span: nothing moves"},
    {  70, 1, {{9, 9, 1e-3, 0, 1}}, 1, true, UNIFORM, 1, F32, 0, "empty span"},
    {1003, 1, {{0, 1003, 1e-3, 0, 1}}, 1, true, UNIFORM, 1, F32, 0, "prime"},
    {1003, 1, {{0, 1003, 2e-4, 0.1, 1000}}, 0.37, true, UNIFORM, 1, F32, 0, "clipped, decay"},
    { 600, 3, {{3, 130, 1e-3, 0, 7}, {130, 131, 1e-2, 0.5, 1}, {301, 597, 1e-5, 0.01, 100000}}, 1, true, UNIFORM, 1, F32, 0,
     "spans with their own settings and gaps"},
    {100003, 2, {{1, 3, 1e-3, 0, 7}, {4, 100001, 1e-2, 0.5, 9}}, 1, true, UNIFORM, 1, F32, 0, "large enough for two threads"},
    { 257, 1, {{0, 257, 1e-3, 0, 2}}, 1, false, UNIFORM, 1e15, F32, 0, "large gradients"},
    { 257, 1, {{0, 257, 1e-3, 0, 2}}, 1, false, UNIFORM, 1e-9, F32, 0, "gradients near eps"},
    { 257, 1, {{0, 257, 1e-3, 0.1, 3}}, 1, true, MIXED, 1, F32, 0, "subnormal numbers, zeros"},
    { 257, 1, {{0, 257, 0, 0.1, 3}}, 1, true, UNIFORM, 1, F32, 0, "learning rate 0: only the moments move"},
    {   1, 1, {{0, 1, 1e-3, 0, 1}}, 1, false, UNIFORM, 1, BF16, 1, "moments in bf16: smallest"},
    {1003, 1, {{0, 1003, 2e-4, 0.1, 1000}}, 0.37, true, UNIFORM, 1, BF16, 2, "moments in bf16: prime"},
    { 600, 3, {{3, 130, 1e-3, 0, 7}, {130, 131, 1e-2, 0.5, 1}, {301, 597, 1e-5, 0.01, 100000}}, 1, true, UNIFORM, 1, BF16, 3,
     "moments in bf16: spans that begin anywhere"},
    {100003, 2, {{1, 3, 1e-3, 0, 7}, {4, 100001, 1e-2, 0.5, 9}}, 1, true, UNIFORM, 1, BF16, 4, "moments in bf16: two threads"},
    { 257, 1, {{0, 257, 1e-3, 0.1, 3}}, 1, true, MIXED, 1, BF16, 5, "moments in bf16: subnormal numbers, zeros"},
};

static void adamw_case(Comparison *c, const void *row)
{
    const AdamwCase *k = row;
    Adamw args = {.n_spans = k->n_spans, .type = F32, .moments = k->moments, .key = k->key, .spans = k->spans, .beta1 = 0.9, .beta2 = 0.999,
                  .eps = 1e-8, .grad_scale = k->grad_scale};
    Adamw *a = compare_args(c, &args, sizeof args);
    IN(grad, .type = F32, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    INOUT(param, .type = F32, .cols = k->n, .pattern = UNIFORM);
    INOUT(m, .type = k->moments, .cols = k->n, .pattern = UNIFORM, .scale = k->scale);
    void *v = INOUT(v, .type = k->moments, .cols = k->n, .pattern = UNIFORM, .scale = k->scale * k->scale);
    for (int64_t i = 0; i < k->n; i++)
        if (k->moments == BF16)
            ((bf16 *)v)[i] &= 0x7fff;
        else
            ((float *)v)[i] = fabsf(((float *)v)[i]);
    if (k->copy)
        INOUT(copy, .type = BF16, .cols = k->n, .pattern = UNIFORM);
}
KERNEL_TEST(adamw, ADAMW_CASES, adamw_case)

/* Numbers for which all arithmetic of the moments is exact in f32, whatever its order, so that every backend must round alike. */
static const AdamwCase EXACT_CASES[] = {
    { 1003, 1, {{0, 1003, 1e-3, 0, 1}}, 1, true, UNIFORM, 1, BF16, 6, "prime"},
    { 1003, 3, {{1, 6, 1e-3, 0, 1}, {6, 15, 1e-3, 0, 1}, {77, 1001, 1e-3, 0, 1}}, 1, false, UNIFORM, 1, BF16, 7,
     "spans that begin anywhere"},
    {40000, 2, {{2, 17, 1e-3, 0, 1}, {19, 39999, 1e-3, 0, 1}}, 1, true, UNIFORM, 1, BF16, (uint64_t)8 << 40, "two threads"},
};

static void exact_case(Comparison *c, const void *row)
{
    const AdamwCase *k = row;
    Adamw args = {.n_spans = k->n_spans, .type = F32, .moments = BF16, .key = k->key, .spans = k->spans, .beta1 = 0.5, .beta2 = 0.75,
                  .eps = 1e-8, .grad_scale = 1};
    Adamw *a = compare_args(c, &args, sizeof args);
    float *grad = IN(grad, .type = F32, .cols = k->n, .pattern = UNIFORM);
    INOUT(param, .type = F32, .cols = k->n, .pattern = UNIFORM);
    bf16 *m = INOUT(m, .type = BF16, .cols = k->n, .pattern = UNIFORM, .exact = true);
    bf16 *v = INOUT(v, .type = BF16, .cols = k->n, .pattern = UNIFORM, .exact = true);
    for (int64_t i = 0; i < k->n; i++) { /* m, v: 8 bits; g: 9 bits, of about the same size */
        grad[i] = (float)((i * 37 % 511) - 255) / 64.0f;
        m[i] = f32_to_bf16((float)((i * 101 % 255) - 127) / 32.0f);
        v[i] = f32_to_bf16((float)(i * 53 % 255) / 16.0f);
    }
    if (k->copy)
        INOUT(copy, .type = BF16, .cols = k->n, .pattern = UNIFORM);
}
KERNEL_TEST_NAMED(adamw_rounds_moments_alike, adamw, EXACT_CASES, exact_case)

enum { DRIFTING = 4000, UPDATES = 50 };

/* One element's moments are moved by less than half of what tells two bf16 apart, so to nearest they would stay where they are. */
static void drift(Backend *b, double mean[2])
{
    static float g[DRIFTING], p[DRIFTING];
    static bf16 m[DRIFTING], v[DRIFTING];
    for (int i = 0; i < DRIFTING; i++) {
        g[i] = 1.25f;
        p[i] = 0;
        m[i] = v[i] = f32_to_bf16(1);
    }
    for (int t = 1; t <= UPDATES; t++) {
        AdamwSpan span = {.end = DRIFTING, .lr = 1e-4, .t = t};
        Adamw a = {.n_spans = 1, .type = F32, .moments = BF16, .key = philox_key(1, RANDOM_MOMENTS, (uint64_t)t, 0), .spans = &span,
                   .beta1 = 0.99, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1, .grad = g, .param = p, .m = m, .v = v};
        REQUIRE_OK(b->ops.adamw(&b->ctx, &a));
    }
    mean[0] = mean[1] = 0;
    for (int i = 0; i < DRIFTING; i++) {
        mean[0] += (double)bf16_to_f32(m[i]) / DRIFTING;
        mean[1] += (double)bf16_to_f32(v[i]) / DRIFTING;
    }
}

TEST(moments_in_bf16_move_as_far_on_average_as_in_f32)
{
    const double wanted[2] = {1.25 - 0.25 * pow(0.99, UPDATES), 1.5625 - 0.5625 * pow(0.999, UPDATES)};
    double mean[2];
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    drift(&ref, mean);
    /* An update rounds with a deviation of at most 2^-8 (half of the distance 2^-7), so a mean has one of at most 50^½ 2^-8 4000^-½. */
    const double deviation = sqrt(UPDATES) / 256 / sqrt(DRIFTING);
    CHECK_MSG(fabs(mean[0] - wanted[0]) < 4 * deviation, "m is %.6f on average, wanted %.6f", mean[0], wanted[0]);
    CHECK_MSG(fabs(mean[1] - wanted[1]) < 4 * deviation, "v is %.6f on average, wanted %.6f", mean[1], wanted[1]);
    ref.close(&ref);
}

TEST(rounding_at_random_keeps_what_is_exact_signs_and_what_is_not_finite)
{
    const float exact[] = {0.0f, -0.0f, 1.0f, -1.0078125f, 0x1p-133f, INFINITY, -INFINITY};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        for (uint32_t random = 0; random <= 0xffff; random += 0xffff)
            CHECK_INT(philox_bf16(exact[i], random), f32_to_bf16(exact[i]));
    CHECK(isnan(bf16_to_f32(philox_bf16(NAN, 0xffff))) && isnan(bf16_to_f32(philox_bf16(-NAN, 0xffff))));
    const float just = 1 + 0x1p-23f; /* 1 of 2^16 ways up */
    CHECK_INT(philox_bf16(just, 0xfffe), 0x3f80);
    CHECK_INT(philox_bf16(just, 0xffff), 0x3f81);
    CHECK_INT(philox_bf16(-just, 0xffff), 0xbf81);
    CHECK_INT(philox_bf16(0x1p-149f, 0xfffe), 0);
    CHECK_INT(philox_bf16(0x1p-149f, 0xffff), 1);
}

/* Beyond 2^34 elements the group of four has more than 32 bits: both words of the counter count, and a vector of groups may lie across. */
TEST(moments_of_the_largest_buffers_have_numbers_of_their_own)
{
    enum { N = 300 };
    const int64_t first = ((int64_t)1 << 34) - 100;
    for (const TestedBackend *t = TESTED_BACKENDS; t->name; t++) {
        Backend ref, b;
        bf16 m[2][N], v[2][N];
        REQUIRE_OK(ref_open(&ref));
        if (t->open(&b) != OK || !b.host_memory)
            continue;
        for (int k = 0; k < 2; k++) {
            float g[N], p[N] = {0};
            for (int i = 0; i < N; i++) {
                g[i] = (float)(i % 255 - 100) / 64.0f;
                m[k][i] = v[k][i] = f32_to_bf16((float)(i % 100) / 32.0f);
            }
            AdamwSpan span = {.begin = first, .end = first + N, .lr = 1e-3, .t = 1};
            const uintptr_t before = (uintptr_t)first;
            Adamw a = {.n_spans = 1, .type = F32, .moments = BF16, .key = 9, .spans = &span, .beta1 = 0.5, .beta2 = 0.75, .eps = 1e-8,
                       .grad_scale = 1, .grad = (void *)((uintptr_t)g - before * sizeof *g),
                       .param = (void *)((uintptr_t)p - before * sizeof *p), .m = (void *)((uintptr_t)m[k] - before * sizeof **m),
                       .v = (void *)((uintptr_t)v[k] - before * sizeof **v)};
            Backend *on = k ? &b : &ref;
            REQUIRE_OK(on->ops.adamw(&on->ctx, &a));
        }
        CHECK_MSG(!memcmp(m[0], m[1], sizeof *m) && !memcmp(v[0], v[1], sizeof *v), "%s rounds otherwise than ref", t->name);
        b.close(&b);
        ref.close(&ref);
    }
}

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
        Adamw a = {.n_spans = 1, .type = F64, .moments = F64, .spans = &span, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 0.5,
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
    a.type = F64, a.moments = BF16;
    REFUSED(adamw, &a, ERR_INTERNAL, "adamw: moments are BF16 beside weights in F64, expected F64");
    a = (Adamw){.n_spans = 1, .moments = F64, .spans = &span};
    REFUSED(adamw, &a, ERR_INTERNAL, "adamw: moments are F64 beside weights in F32, expected F32 or BF16");
    Fill fill = {.n = 4, .type = I32, .x = x};
    REFUSED(fill, &fill, ERR_INTERNAL, "fill: type is I32, expected F32, BF16 or F64");
    SumSquares sum = {.n = -4};
    REFUSED(sum_squares, &sum, ERR_INTERNAL, "sum_squares: n is -4, expected 0 or more");
}
