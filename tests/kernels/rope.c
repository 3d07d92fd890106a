/* rope */
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

typedef struct RopeCase {
    int64_t rows, heads, head_dim, pad;
    DType act;
    double base, factor;
    int64_t first, stride; /* positions first + i stride, restarting every 7 rows */
    bool inverse;
    const char *why;
} RopeCase;

static const RopeCase ROPE_CASES[] = {
    {  1,  1,   2, 0, F32,  1e4, 0, 0,     1,    false, "smallest: position 0 is the identity"},
    {  0,  2,   4, 0, F32,  1e4, 0, 0,     1,    false, "no rows"},
    { 13,  3,  16, 0, F32,  1e4, 0, 0,     1,    false, "heads"},
    { 13,  3,  16, 0, F32,  1e4, 0, 0,     1,    true,  "inverse"},
    {  9,  2,  64, 5, F32,  1e4, 0, 100,   7,    false, "strides"},
    {  9,  1,  72, 0, F32,  1e4, 0, 0,     129,  false, "width 72"},
    {  9,  4,  80, 0, F32,  1e6, 0, 0,     300,  true,  "width 80, base of a million"},
    {  7,  2,  96, 3, F32,  5e5, 0, 0,     1001, false, "width 96"},
    { 17,  8, 128, 0, F32,  1e4, 0, 0,     4096, false, "width 128, far positions"},
    {  5,  1, 256, 0, F32,  1e4, 0, 32760, 1,    false, "width 256, the end of the context"},
    {  5,  1, 128, 0, F32,  1e6, 0, 131000, 1,   true,  "very far"},
    {301,  4,  64, 1, F32,  1e4, 0, 0,     13,   false, "large enough for two threads"},
    {  5,  3,   6, 1, F32,  1e4, 0, 3,     1,    false, "half a width of 3"},
    { 13,  3,  16, 0, BF16, 1e4, 0, 0,     1,    false, "bf16"},
    {  9,  2, 128, 7, BF16, 1e4, 0, 0,     999,  true,  "bf16, strides, inverse"},
    {  9,  2,  10, 1, BF16, 1e6, 0, 50,    1,    false, "bf16, half a width of 5"},
    { 17,  3,  16, 0, F32,  1e4, 4, 0,  4096, false, "linear scaling by four"},
    {  9,  2, 128, 1, BF16, 1e6, 2.5, 0, 999, true,  "linear scaling by no whole number, inverse"},
};

static int64_t position(int64_t i, const void *arg)
{
    const RopeCase *k = arg;
    return k->first + i % 7 * k->stride;
}

static void rope_case(Comparison *c, const void *row)
{
    const RopeCase *k = row;
    int64_t width = k->heads * k->head_dim;
    Rope args = {.rows = k->rows, .heads = k->heads, .head_dim = k->head_dim, .ldx = width + k->pad, .act = k->act, .base = k->base,
                 .factor = k->factor, .inverse = k->inverse};
    Rope *a = compare_args(c, &args, sizeof args);
    IN(pos, .type = I32, .cols = k->rows, .data = compare_indices(c, k->rows, position, k));
    INOUT(x, .type = k->act, .rows = k->rows, .cols = width, .ld = a->ldx, .empty = k->rows == 0, .pattern = UNIFORM);
}
KERNEL_TEST(rope, ROPE_CASES, rope_case)

TEST(ref_rope_turns_by_the_published_angles)
{
    enum { DIM = 128, HALF = DIM / 2 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double x[DIM], y[DIM];
    for (int j = 0; j < DIM; j++)
        y[j] = x[j] = 1 + j;
    int32_t pos = 1;
    Rope rope = {.rows = 1, .heads = 1, .head_dim = DIM, .ldx = DIM, .act = F64, .base = 10000, .pos = &pos, .x = y};
    REQUIRE_OK(ref.ops.rope(&ref.ctx, &rope));
    /* Position 1 turns the pair (0, 64) by 1 rad and the pair (63, 127) by 10000^(-126/128) rad. */
    CHECK_NEAR(y[0], x[0] * cos(1) - x[HALF] * sin(1), 1e-13);
    CHECK_NEAR(y[HALF], x[HALF] * cos(1) + x[0] * sin(1), 1e-13);
    CHECK_NEAR(atan2(y[127], y[63]) - atan2(x[127], x[63]), 1.1547819846894581e-4, 1e-15);
    rope.inverse = true;
    REQUIRE_OK(ref.ops.rope(&ref.ctx, &rope));
    for (int j = 0; j < DIM; j++)
        CHECK_NEAR(y[j], x[j], 1e-12);
    rope = (Rope){.rows = 1, .heads = 1, .head_dim = DIM, .ldx = DIM, .act = F64, .base = 10000, .factor = 4, .pos = &pos, .x = y};
    REQUIRE_OK(ref.ops.rope(&ref.ctx, &rope));
    CHECK_NEAR(y[0], x[0] * cos(0.25) - x[HALF] * sin(0.25), 1e-12); /* as far as a quarter of the position */
}

TEST(rope_angles_are_rounded_as_pytorch_rounds_them)
{
    /* 1 / (base ** (arange(0, d, 2).float() / d)) of PyTorch 2. */
    static const struct {
        double base;
        int j, head_dim;
        float theta;
        double factor;
    } KNOWN[] = {
        {10000, 1, 128, 0x1.bb5fae0000000p-1f, 0},
        {10000, 17, 128, 0x1.62b2f00000000p-4f, 0},
        {10000, 40, 128, 0x1.9e7c700000000p-9f, 0},
        {10000, 63, 128, 0x1.e459c40000000p-14f, 0},
        {1e+06, 1, 128, 0x1.9c975a0000000p-1f, 0},
        {1e+06, 17, 128, 0x1.a183500000000p-6f, 0},
        {1e+06, 63, 128, 0x1.4d1c980000000p-20f, 0},
        {10000, 5, 64, 0x1.e5a8460000000p-3f, 0},
        {10000, 31, 64, 0x1.17a8e40000000p-13f, 0},
        {500000, 7, 72, 0x1.3f520e0000000p-4f, 0},
        {500000, 35, 72, 0x1.827ee80000000p-19f, 0},
        {10000, 11, 80, 0x1.455b5a0000000p-4f, 0},
        {10000, 39, 80, 0x1.0804080000000p-13f, 0},
        {100, 1, 6, 0x1.b93a6a0000000p-3f, 0},
        {100, 2, 6, 0x1.7c3d2a0000000p-5f, 0},
        {10000, 0, 128, 0x1.0000000000000p-2f, 4}, /* transformers' linear scaling */
        {10000, 17, 128, 0x1.62b2f00000000p-6f, 4},
        {10000, 63, 128, 0x1.e459c40000000p-16f, 4},
        {1e+06, 1, 80, 0x1.21f97e0000000p-2f, 2.5},
        {1e+06, 39, 80, 0x1.2f570c0000000p-21f, 2.5},
    };
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
        CHECK_NEAR(rope_theta(&(Rope){.base = KNOWN[i].base, .factor = KNOWN[i].factor, .head_dim = KNOWN[i].head_dim}, KNOWN[i].j),
                   KNOWN[i].theta, 0);
}

TEST(rope_refuses_wrong_arguments)
{
    float x[16] = {0};
    int32_t pos[2] = {0, -1};
    Rope good = {.rows = 2, .heads = 2, .head_dim = 4, .ldx = 8, .base = 1e4, .pos = pos, .x = x}, bad = good;
    REFUSED(rope, &bad, ERR_DATA, "rope: pos[1] is -1, expected 0 … 2147483647");
    bad.head_dim = 3;
    REFUSED(rope, &bad, ERR_INTERNAL, "rope: head_dim is 3, expected an even number");
    bad = good;
    bad.factor = 0.5;
    REFUSED(rope, &bad, ERR_INTERNAL, "rope: factor is 0.5, expected 1 or more, or 0");
    bad = good;
    bad.ldx = 7;
    REFUSED(rope, &bad, ERR_INTERNAL, "rope: ldx is 7, expected 8 or more");
}
