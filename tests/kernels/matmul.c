/* matmul, column_sum */
#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

enum { NO_BIAS = -1 };

typedef struct MatmulCase {
    int64_t m, n, k, pad; /* pad: elements between the rows of every matrix */
    DType a, b, c;
    int bias;
    bool a_trans, b_trans, frozen, accumulate;
    double alpha;
    Pattern pattern;
    double scale;
    const char *why;
} MatmulCase;

static const MatmulCase MATMUL_CASES[] = {
    /* m    n    k  pad  a     b     c     bias     aT bT fz acc alpha pattern scale */
    {   1,   1,   1,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1, "smallest"},
    {   0,   5,   7,  0, F32,  F32,  F32,  F32,     0, 1, 0, 0,  1, UNIFORM, 1, "no rows"},
    {   3,   0,   7,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1, "no columns"},
    {   3,   5,   0,  0, F32,  F32,  F32,  F32,     0, 1, 0, 0,  1, UNIFORM, 1, "an empty sum leaves the bias"},
    {  13,  17,  19,  0, F32,  F32,  F32,  NO_BIAS, 0, 0, 0, 0,  1, UNIFORM, 1, "primes, A B"},
    {  13,  17,  19,  0, F32,  F32,  F32,  F32,     0, 1, 0, 1,  1, UNIFORM, 1, "primes, A Bt, bias, accumulate"},
    {  13,  17,  19,  0, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 1,  1, UNIFORM, 1, "primes, At B, accumulate"},
    {  13,  17,  19,  0, F32,  F32,  F32,  NO_BIAS, 1, 1, 0, 0,  1, UNIFORM, 1, "primes, At Bt"},
    {  31,  33,  65,  3, F32,  F32,  F32,  F32,     0, 1, 0, 0,  0.5, UNIFORM, 1, "strides, alpha"},
    {  31,  33,  65,  5, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 1, -2, UNIFORM, 1, "strides, alpha, weight gradient"},
    {  64,  64,  64,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 1, 0,  1, UNIFORM, 1, "round sizes, frozen"},
    {  67, 129, 131,  0, F32,  F32,  F32,  F32,     0, 1, 1, 1,  1, UNIFORM, 1, "past the block, frozen, accumulate"},
    {  67, 129, 131,  0, F32,  F32,  F32,  NO_BIAS, 0, 0, 1, 0,  1, UNIFORM, 1, "past the block, frozen, not transposed"},
    {   1, 257, 300,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 1, 0,  1, UNIFORM, 1, "one row: decoding"},
    { 300,   1, 257,  0, F32,  F32,  F32,  F32,     0, 1, 0, 0,  1, UNIFORM, 1, "one column"},
    { 200,   8,  96,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1, "LoRA down"},
    { 200,  96,   8,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 1,  2, UNIFORM, 1, "LoRA up, scaled, accumulate"},
    {   8,  96, 500,  0, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 1,  1, UNIFORM, 1, "long sum: LoRA weight gradient"},
    {   5,   7, 3001, 0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1, "a sum of 3001"},
    {   9,  23,  40,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1e18, "products near the top of the range"},
    {   9,  23,  40,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1e-16, "products near the bottom of the range"},
    {   9,  23,  40,  1, F32,  F32,  F32,  F32,     0, 1, 0, 1,  1, MIXED,   1, "subnormal numbers, zeros"},
    {   9,  23,  40,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  1, SPIKE,   1000, "one element dominates"},
    {   9,  23,  40,  0, F32,  F32,  F32,  NO_BIAS, 0, 1, 0, 0,  0, UNIFORM, 1, "alpha 0"},
    {  13,  17,  19,  0, BF16, BF16, BF16, BF16,    0, 1, 0, 0,  1, UNIFORM, 1, "bf16, primes"},
    {  13,  17,  19,  1, BF16, BF16, BF16, F32,     0, 0, 0, 1,  1, UNIFORM, 1, "bf16, primes, odd strides, accumulate"},
    {  13,  17,  19,  0, BF16, BF16, F32,  NO_BIAS, 1, 0, 0, 1,  1, UNIFORM, 1, "bf16 weight gradient into f32"},
    {  13,  17,  19,  0, BF16, BF16, F32,  NO_BIAS, 1, 1, 0, 0,  1, UNIFORM, 1, "bf16, both transposed"},
    { 151, 307, 521,  0, F32,  F32,  F32,  F32,     0, 1, 1, 0,  1, UNIFORM, 1, "several blocks in every dimension"},
    { 307, 151, 521,  0, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 1,  1, UNIFORM, 1, "several blocks in every dimension, transposed"},
    { 151, 307, 521,  0, BF16, BF16, BF16, BF16,    0, 1, 1, 0,  1, UNIFORM, 1, "bf16, several blocks in every dimension"},
    { 307, 151, 521,  0, BF16, BF16, F32,  NO_BIAS, 1, 0, 0, 1,  1, UNIFORM, 1, "bf16, several blocks, transposed"},
    { 301,   8, 300,  1, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 1,  2, UNIFORM, 1, "tall and narrow weight gradient"},
    { 301,  31, 700,  0, BF16, BF16, BF16, F32,     1, 0, 0, 1,  1, UNIFORM, 1, "bf16, tall and narrow weight gradient"},
    { 301,  13, 300,  0, BF16, F32,  F32,  NO_BIAS, 1, 1, 0, 0,  1, UNIFORM, 1, "tall and narrow, both transposed, bf16 and f32"},
    {   5, 320,  40,  0, F32,  F32,  F32,  F32,     0, 0, 0, 1,  1, UNIFORM, 1, "few rows, B in place"},
    {  31,  64, 700,  4, BF16, F32,  BF16, NO_BIAS, 0, 0, 0, 0,  1, UNIFORM, 1, "few rows, B in place, bf16"},
    {  66, 128, 130,  0, BF16, BF16, BF16, NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1, "bf16, pairs as they lie"},
    { 601,  19, 1101, 0, BF16, BF16, BF16, F32,     0, 1, 0, 1,  1, UNIFORM, 1, "bf16, long sums of many rows, rounded once"},
    {  16, 512, 1024, 0, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 0,  1, UNIFORM, 1, "a sum of whole blocks, transposed"},
    {  16, 512, 1024, 0, BF16, BF16, F32,  NO_BIAS, 1, 0, 0, 0,  1, UNIFORM, 1, "bf16, a sum of whole blocks, transposed"},
    {  20,  70, 2048, 0, BF16, BF16, BF16, BF16,    0, 1, 0, 1,  1, UNIFORM, 1, "bf16, a sum of whole blocks, accumulate"},
    {   5,  37, 261,  1, F32,  BF16, BF16, F32,     1, 1, 0, 1,  1, UNIFORM, 1, "few rows, both transposed, bf16 weights"},
    {  67, 129, 131,  0, BF16, BF16, BF16, NO_BIAS, 0, 1, 1, 0,  1, UNIFORM, 1, "bf16, past the block, frozen"},
    {  67, 129, 131,  0, BF16, BF16, BF16, NO_BIAS, 0, 0, 1, 1,  1, UNIFORM, 1, "bf16 input gradient, frozen, accumulate"},
    {   1, 257, 300,  0, BF16, BF16, BF16, NO_BIAS, 0, 1, 1, 0,  1, UNIFORM, 1, "bf16, one row"},
    {   5,   7, 3001, 0, BF16, BF16, BF16, NO_BIAS, 0, 1, 0, 0,  1, UNIFORM, 1, "bf16, a sum of 3001"},
    {  37, 531, 600,  3, F32,  F32,  F32,  F32,     0, 1, 0, 1,  0.5, UNIFORM, 1, "few rows, long sums: the product transposed"},
    {  29,  75, 700,  0, F32,  F32,  BF16, BF16,    0, 1, 0, 0,  1, UNIFORM, 1, "few rows, long sums, rounded to bf16"},
    {  64,  48, 514,  0, BF16, BF16, F32,  NO_BIAS, 0, 1, 0, 1,  1, UNIFORM, 1, "few rows, long sums, bf16"},
    { 100, 1024, 300, 0, F32,  F32,  F32,  F32,     0, 0, 0, 0,  1, UNIFORM, 1, "B in place, its rows 4 KB apart"},
    { 100, 336, 700,  0, F32,  F32,  F32,  NO_BIAS, 1, 0, 0, 1,  1, UNIFORM, 1, "B in place, several blocks, transposed"},
    { 301, 335, 700,  1, F32,  F32,  F32,  NO_BIAS, 0, 0, 0, 0,  1, UNIFORM, 1, "input gradient, several blocks in every dimension"},
    {  21,  35,  70,  2, F32,  BF16, F32,  F32,     0, 1, 1, 0,  1, UNIFORM, 1, "bf16 weights, f32 activations"},
    {  21,  35,  70,  0, BF16, F32,  BF16, F32,     0, 1, 0, 0,  1, UNIFORM, 1, "f32 weights, bf16 activations"},
    {  21,  35,  70,  0, BF16, F32,  F32,  BF16,    1, 0, 0, 1,  3, UNIFORM, 1, "bf16 and f32 into f32"},
    {  21,  35,  70,  0, F32,  F32,  BF16, NO_BIAS, 0, 0, 0, 1,  1, UNIFORM, 1, "f32 into bf16, accumulate"},
    {   9,  23,  40,  1, BF16, BF16, BF16, BF16,    0, 1, 0, 1,  1, MIXED,   1, "bf16, subnormal numbers, zeros"},
};

static void matmul_case(Comparison *c, const void *row)
{
    const MatmulCase *k = row;
    int64_t a_rows = k->a_trans ? k->k : k->m, a_cols = k->a_trans ? k->m : k->k;
    int64_t b_rows = k->b_trans ? k->n : k->k, b_cols = k->b_trans ? k->k : k->n;
    Matmul args = {.m = k->m, .n = k->n, .k = k->k, .a_type = k->a, .b_type = k->b, .c_type = k->c, .a_trans = k->a_trans,
                   .b_trans = k->b_trans, .b_frozen = k->frozen, .accumulate = k->accumulate, .lda = a_cols + k->pad,
                   .ldb = b_cols + k->pad, .ldc = k->n + k->pad, .alpha = k->alpha};
    Matmul *a = compare_args(c, &args, sizeof args);
    IN(a, .type = k->a, .rows = a_rows, .cols = a_cols, .ld = a->lda, .empty = a_rows == 0, .pattern = k->pattern, .scale = k->scale);
    IN(b, .type = k->b, .rows = b_rows, .cols = b_cols, .ld = a->ldb, .empty = b_rows == 0, .pattern = k->pattern, .scale = k->scale);
    if (k->bias != NO_BIAS) {
        a->bias_type = (DType)k->bias;
        IN(bias, .type = a->bias_type, .cols = k->n, .pattern = UNIFORM);
    }
    OUT_OR_SUM(c, k->accumulate, .type = k->c, .rows = k->m, .cols = k->n, .ld = a->ldc, .empty = k->m == 0);
}
KERNEL_TEST(matmul, MATMUL_CASES, matmul_case)

/* ---------------------------------------------------------------- with a second product */

typedef struct SecondCase {
    int64_t m, n, k, k2, pad;
    DType a, b, b2, c;
    bool b_trans, accumulate, bias;
    bool joined; /* A2 behind A, B2 behind B */
    double alpha;
    bool add; /* a residual */
    const char *why;
} SecondCase;

static const SecondCase SECOND_CASES[] = {
    /* m   n    k    k2 pad a     b     b2    c    bT acc bias joined alpha add */
    { 13,  17,  19,   3, 0, F32,  F32,  F32,  F32,  1, 0, 0, 0, 1, 0, "primes"},
    { 13,  17,  19,   3, 1, F32,  F32,  F32,  F32,  0, 1, 0, 0, 1, 0, "primes, input gradient, strides, accumulate"},
    {200, 300, 256,  16, 0, F32,  F32,  F32,  F32,  1, 0, 0, 0, 1, 0, "a Linear with adapter"},
    {200, 256, 300,  16, 0, F32,  F32,  F32,  F32,  0, 1, 0, 0, 1, 0, "its input gradient, accumulate"},
    {200, 300, 700,   8, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 0, "several stretches of k, bias"},
    { 20,  64, 700,   8, 0, F32,  F32,  F32,  F32,  0, 0, 0, 0, 1, 0, "few rows, B in place"},
    {  5, 257, 300,   8, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 0, "very few rows, bias"},
    { 33,  70, 100, 150, 0, F32,  F32,  F32,  F32,  1, 0, 0, 0, 1, 0, "a long second product"},
    { 33,  70, 100,   8, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 3, 0, "alpha is the first's"},
    { 33,  70, 100,   8, 2, F32,  BF16, F32,  F32,  1, 0, 0, 0, 1, 0, "bf16 weights, f32 adapters"},
    { 33,  70, 100,   8, 0, F32,  F32,  F32,  BF16, 1, 1, 0, 0, 1, 0, "f32 into bf16, accumulate"},
    {200, 300, 256,  16, 0, BF16, BF16, BF16, BF16, 1, 0, 0, 0, 1, 0, "bf16"},
    {200, 130, 1100, 16, 2, BF16, BF16, BF16, BF16, 1, 0, 1, 0, 1, 0, "bf16, several stretches of k, bias, strides"},
    {200, 256, 301,  16, 0, BF16, BF16, BF16, BF16, 0, 1, 0, 0, 1, 0, "bf16 input gradient, odd k, accumulate"},
    { 33,  70, 100,   7, 1, BF16, BF16, BF16, F32,  1, 0, 0, 0, 1, 0, "bf16, odd k2 and strides"},
    { 33,  70, 100,   7, 0, BF16, BF16, F32,  F32,  1, 0, 0, 0, 1, 0, "bf16 weights, f32 adapters, bf16 activations"},
    {  4,   9,   0,   5, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 0, "the first is empty"},
    { 50,  70, 100,  12, 0, F32,  F32,  F32,  F32,  1, 0, 0, 1, 1, 0, "side by side"},
    { 50,  70, 100,  12, 3, F32,  F32,  F32,  F32,  0, 1, 0, 1, 1, 0, "side by side, input gradient, strides, accumulate"},
    { 50,  70,  96,  16, 0, BF16, BF16, BF16, BF16, 1, 0, 1, 1, 1, 0, "bf16, side by side, bias"},
    { 50,  70,  96,  16, 8, BF16, BF16, BF16, BF16, 0, 1, 0, 1, 1, 0, "bf16, side by side, input gradient, accumulate"},
    {200, 300, 256,  16, 0, F32,  F32,  F32,  F32,  1, 0, 0, 0, 1, 1, "with a residual"},
    {200, 300, 700,  16, 1, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 1, "several stretches of k, bias, strides, residual"},
    {  5, 257, 300,   8, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 1, "very few rows, bias, residual"},
    { 33,  70, 600,   8, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 1, "few rows, long sums, bias, residual"},
    { 33,  70, 100, 150, 0, F32,  F32,  F32,  F32,  1, 0, 0, 0, 1, 1, "a long second product, residual"},
    {200, 130, 1100, 16, 2, BF16, BF16, BF16, BF16, 1, 0, 1, 0, 1, 1, "bf16, several stretches of k, bias, strides, residual"},
    { 50,  70,  96,  16, 0, BF16, BF16, BF16, BF16, 1, 0, 0, 1, 1, 1, "bf16, side by side, residual"},
    { 33,  70, 100,   8, 0, F32,  F32,  F32,  BF16, 1, 0, 0, 0, 1, 1, "f32 into bf16, residual"},
    { 33,  70, 100,   0, 0, F32,  BF16, F32,  F32,  1, 0, 1, 0, 2, 1, "no second product, alpha, bias, residual"},
    {  4,   9,   0,   5, 0, F32,  F32,  F32,  F32,  1, 0, 1, 0, 1, 1, "the first is empty, residual"},
};

/* How a piece behind another is given to the backends: as a slice of one array. */
static void second_case(Comparison *c, const void *row)
{
    const SecondCase *k = row;
    int64_t wide = k->k + (k->joined ? k->k2 : 0), b_rows = k->b_trans ? k->n : wide, b_cols = k->b_trans ? wide : k->n;
    Matmul args = {.m = k->m, .n = k->n, .k = k->k, .k2 = k->k2, .a_type = k->a, .b_type = k->b, .b2_type = k->b2, .c_type = k->c,
                   .bias_type = F32,
                   .b_trans = k->b_trans, .accumulate = k->accumulate, .lda = wide + k->pad, .ldb = b_cols + k->pad, .ldc = k->n + k->pad,
                   .alpha = k->alpha};
    args.lda2 = k->joined ? args.lda : k->k2 + k->pad;
    args.ldb2 = k->joined ? args.ldb : (k->b_trans ? k->k2 : k->n) + k->pad;
    Matmul *a = compare_args(c, &args, sizeof args);
    IN(a, .type = k->a, .rows = k->m, .cols = wide, .ld = a->lda, .pattern = UNIFORM);
    IN(b, .type = k->b, .rows = b_rows, .cols = b_cols, .ld = a->ldb, .empty = b_rows == 0, .pattern = UNIFORM);
    if (k->add)
        IN(add, .type = k->c, .rows = k->m, .cols = k->n, .ld = a->ldc, .pattern = UNIFORM);
    if (k->joined) {
        compare_slice(c, "a2", &a->a2, "a", k->k);
        compare_slice(c, "b2", &a->b2, "b", k->b_trans ? k->k : k->k * a->ldb);
    } else if (k->k2) {
        IN(a2, .type = k->a, .rows = k->m, .cols = k->k2, .ld = a->lda2, .pattern = UNIFORM);
        IN(b2, .type = k->b2, .rows = k->b_trans ? k->n : k->k2, .cols = k->b_trans ? k->k2 : k->n, .ld = a->ldb2, .pattern = UNIFORM);
    }
    if (k->bias)
        IN(bias, .type = F32, .cols = k->n, .pattern = UNIFORM);
    OUT_OR_SUM(c, k->accumulate, .type = k->c, .rows = k->m, .cols = k->n, .ld = a->ldc);
}
KERNEL_TEST_NAMED(matmul_with_a_second_product, matmul, SECOND_CASES, second_case)

typedef struct ColumnSumCase {
    int64_t rows, cols, pad;
    DType x;
    bool accumulate;
    Pattern pattern;
    const char *why;
} ColumnSumCase;

static const ColumnSumCase COLUMN_SUM_CASES[] = {
    {   1,   1, 0, F32,  false, UNIFORM, "smallest"},
    {   0,   5, 0, F32,  false, UNIFORM, "an empty sum is 0"},
    {   0,   5, 0, F32,  true,  UNIFORM, "an empty sum adds nothing"},
    {   1, 257, 3, F32,  true,  UNIFORM, "one row, strides, accumulate"},
    { 999,   3, 0, F32,  false, UNIFORM, "long"},
    { 130,  67, 1, F32,  true,  MIXED,   "subnormal numbers, zeros"},
    {  65,  64, 0, F32,  false, SPIKE,   "one element dominates"},
    { 701, 301, 0, F32,  true,  UNIFORM, "large enough for two threads"},
    { 131,  33, 0, BF16, false, UNIFORM, "bf16"},
    { 131, 130, 7, BF16, true,  MIXED,   "bf16, strides, accumulate"},
};

static void column_sum_case(Comparison *c, const void *row)
{
    const ColumnSumCase *k = row;
    ColumnSum args = {.rows = k->rows, .cols = k->cols, .ldx = k->cols + k->pad, .x_type = k->x, .out_type = F32,
                      .accumulate = k->accumulate};
    ColumnSum *a = compare_args(c, &args, sizeof args);
    IN(x, .type = k->x, .rows = k->rows, .cols = k->cols, .ld = a->ldx, .empty = k->rows == 0, .pattern = k->pattern);
    OUT_OR_SUM(out, k->accumulate, .type = F32, .cols = k->cols);
}
KERNEL_TEST(column_sum, COLUMN_SUM_CASES, column_sum_case)

TEST(ref_matmul_gives_known_products)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    /* A = [1 2 3; 4 5 6], B = [1 2; 3 4; 5 6], A B = [22 28; 49 64] in all four storages. */
    const double a[] = {1, 2, 3, 4, 5, 6}, a_t[] = {1, 4, 2, 5, 3, 6}, b[] = {1, 2, 3, 4, 5, 6}, b_t[] = {1, 3, 5, 2, 4, 6};
    const double bias[] = {100, 200};
    for (int variant = 0; variant < 4; variant++) {
        bool at = variant & 1, bt = variant & 2;
        double c[] = {1, 1, 1, 1};
        Matmul args = {.m = 2, .n = 2, .k = 3, .a_type = F64, .b_type = F64, .c_type = F64, .bias_type = F64, .a_trans = at,
                       .b_trans = bt, .lda = at ? 2 : 3, .ldb = bt ? 3 : 2, .ldc = 2, .a = at ? a_t : a, .b = bt ? b_t : b,
                       .bias = bias, .c = c, .alpha = 2, .accumulate = true};
        CHECK_OK(ref.ops.matmul(&ref.ctx, &args));
        CHECK(c[0] == 145 && c[1] == 257 && c[2] == 199 && c[3] == 329);
    }
    double sum[] = {7, 7, 7};
    CHECK_OK(ref.ops.column_sum(&ref.ctx, &(ColumnSum){.rows = 2, .cols = 3, .ldx = 3, .x_type = F64, .out_type = F64, .x = a,
                                                       .out = sum}));
    CHECK(sum[0] == 5 && sum[1] == 7 && sum[2] == 9);
}

/* A backend may keep a packed copy of a frozen matrix, but not longer than the memory that holds it. */
static void frozen_then_gone(Backend *b, const char *name)
{
    enum { N = 48 };
    static float weight[N * N], x[N * N], y[N * N];
    for (int round = 1; round <= 3; round++) {
        void *device[3];
        for (int i = 0; i < N * N; i++) {
            weight[i] = (float)round;
            x[i] = 1;
        }
        for (int i = 0; i < 3; i++)
            REQUIRE_OK(b->mem_create(b, sizeof weight, &device[i]));
        REQUIRE_OK(b->upload(b, device[0], x, sizeof x));
        REQUIRE_OK(b->upload(b, device[1], weight, sizeof weight));
        Matmul a = {.m = N, .n = N, .k = N, .b_trans = true, .b_frozen = true, .lda = N, .ldb = N, .ldc = N, .a = device[0], .b = device[1],
                    .c = device[2], .alpha = 1};
        for (int again = 0; again < 2; again++)
            REQUIRE_OK(b->ops.matmul(&b->ctx, &a));
        REQUIRE_OK(b->download(b, y, device[2], sizeof y));
        CHECK_MSG(y[0] == (float)(round * N) && y[N * N - 1] == y[0], "%s, round %d: %g, wanted %d", name, round, (double)y[0], round * N);
        for (int i = 2; i >= 0; i--)
            b->mem_destroy(b, device[i]);
    }
}

TEST(matmul_forgets_frozen_weights_with_their_memory) { compare_each(frozen_then_gone); }

TEST(matmul_refuses_wrong_arguments)
{
    float x[64] = {0};
    Matmul good = {.m = 2, .n = 3, .k = 4, .lda = 4, .ldb = 4, .ldc = 3, .b_trans = true, .a = x, .b = x + 8, .c = x + 32, .alpha = 1};
    Matmul bad = good;
    bad.m = -1;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: m is -1, expected 0 or more");
    bad = good;
    bad.lda = 3;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: lda is 3, expected 4 or more");
    bad = good;
    bad.b_trans = false;
    bad.ldb = 2;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: ldb is 2, expected 3 or more");
    bad = good;
    bad.c_type = I32;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: c_type is I32, expected F32, BF16 or F64");
    bad = good;
    bad.k2 = 2, bad.lda2 = 1, bad.ldb2 = 2;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: lda2 is 1, expected 2 or more");
    bad.lda2 = 2, bad.ldb2 = 1;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: ldb2 is 1, expected 2 or more");
    bad.a_trans = true, bad.ldb2 = 2;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: a second product beside a transposed A");
    bad = good;
    bad.add = x + 48, bad.accumulate = true;
    REFUSED(matmul, &bad, ERR_INTERNAL, "matmul: both C and another matrix are to be added");
    ColumnSum sum = {.rows = 2, .cols = 3, .ldx = 2, .x = x, .out = x + 32};
    REFUSED(column_sum, &sum, ERR_INTERNAL, "column_sum: ldx is 2, expected 3 or more");
    sum.ldx = 3;
    sum.out_type = BF16;
    REFUSED(column_sum, &sum, ERR_INTERNAL, "column_sum: out_type is BF16, expected F32 or F64");
}
