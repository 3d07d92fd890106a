/* quantize_rows, matmul_fp8 */
#include <math.h>

#include "tests/kernels/compare.h"

/* ---------------------------------------------------------------- the format */

/* Every code there and back; every number halfway between two, and its neighbours. */
TEST(fp8_rounds_to_nearest_even)
{
    int wrong = 0;
    for (uint32_t code = 0; code < 0x7f; code++) {
        const float x = fp8_to_f32((uint8_t)code);
        const int exponent = (int)(code >> 3), fraction = (int)(code & 7);
        wrong += x != ldexpf(exponent ? 8.0f + (float)fraction : (float)fraction, (exponent ? exponent : 1) - 10);
        wrong += f32_to_fp8(x) != code || f32_to_fp8(-x) != (0x80 | code) || fp8_to_f32((uint8_t)(0x80 | code)) != -x;
        if (code == 0x7e)
            continue;
        const float next = fp8_to_f32((uint8_t)(code + 1)), half = x + (next - x) / 2;
        wrong += f32_to_fp8(half) != code + (code & 1) || f32_to_fp8(nextafterf(half, 0)) != code ||
                 f32_to_fp8(nextafterf(half, next)) != code + 1;
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(f32_to_fp8(449), 0x7e);
    CHECK_INT(f32_to_fp8(-INFINITY), 0xfe);
    CHECK_INT(f32_to_fp8(-1e-30f), 0x80);
    CHECK(isnan(fp8_to_f32(f32_to_fp8(NAN))) && isnan(fp8_to_f32(0xff)));
    CHECK(isnan(fp8_row_scale(INFINITY)) && fp8_row_factor(INFINITY) == 0);
    CHECK(fp8_row_scale(0) == 0 && fp8_row_factor(0x1p-101f) == 0 && fp8_row_scale(896) == 2 && fp8_row_factor(896) == 0.5f);
}

/* ---------------------------------------------------------------- quantize_rows */

typedef struct QuantizeCase {
    int64_t rows, cols, pad;
    DType type;
    bool transposed;
    Pattern pattern;
    double scale;
    int special; /* 1: NaN, an infinity and zeros, each in a row of its own */
    const char *why;
} QuantizeCase;

static const QuantizeCase QUANTIZE_CASES[] = {
    {  1,     1, 0, F32,  false, UNIFORM, 1,     0, "smallest"},
    {  0,     7, 0, F32,  false, UNIFORM, 1,     0, "no rows"},
    {  3,     0, 0, F32,  false, UNIFORM, 1,     0, "empty rows are zero"},
    {  3,     0, 0, F32,  true,  UNIFORM, 1,     0, "empty rows are zero, transposed"},
    { 13,    17, 0, F32,  false, UNIFORM, 1,     0, "primes"},
    { 13,    17, 3, BF16, false, UNIFORM, 7,     0, "bf16, primes, strides"},
    { 13,    17, 3, BF16, true,  UNIFORM, 7,     0, "bf16, primes, strides, transposed"},
    { 67,   130, 0, F32,  true,  UNIFORM, 1e-6,  0, "several tiles, transposed"},
    {257,   391, 0, BF16, true,  SPIKE,   3,     0, "bf16, several tiles, transposed, one element dominates"},
    {  9,   256, 8, BF16, false, SPIKE,   1000,  0, "bf16, one element dominates"},
    {  5,  4096, 0, BF16, false, UNIFORM, 1e-3,  0, "bf16, a model's width"},
    {  3,  9000, 0, BF16, false, UNIFORM, 1,     0, "bf16, wide"},
    {  2, 40000, 0, BF16, false, UNIFORM, 1,     0, "bf16, too wide to be kept"},
    {  2, 40000, 0, F32,  false, MIXED,   1,     0, "too wide to be kept, subnormal numbers, zeros"},
    {  7,   640, 0, F32,  false, MIXED,   1,     0, "subnormal numbers, zeros"},
    {  7,   640, 0, F32,  false, UNIFORM, 1e38,  0, "near the top of the range"},
    {  7,   640, 0, F32,  false, UNIFORM, 1e-30, 0, "around the least row"},
    {  7,    64, 0, F32,  true,  UNIFORM, 1e-30, 0, "around the least row, transposed"},
    {  6,    96, 0, BF16, false, EQUAL,   3,     0, "all the largest"},
    {  6,   128, 0, BF16, false, UNIFORM, 1,     1, "bf16, numbers that are not finite"},
    {  6,   127, 0, F32,  false, UNIFORM, 1,     1, "numbers that are not finite"},
    {  6,    41, 0, F32,  true,  UNIFORM, 1,     1, "numbers that are not finite, transposed"},
};

static void put_special(const QuantizeCase *k, void *x, int64_t row, int64_t col, double value)
{
    int64_t at = k->transposed ? col * k->rows + row : row * k->cols + col;
    dtype_convert((char *)x + (size_t)at * dtype_size(k->type), k->type, &value, F64, 1);
}

static void quantize_rows_case(Comparison *c, const void *row)
{
    const QuantizeCase *k = row;
    int64_t rows = k->transposed ? k->cols : k->rows, cols = k->transposed ? k->rows : k->cols;
    QuantizeRows *a = compare_args(c,
                                   &(QuantizeRows){.rows = k->rows, .cols = k->cols, .ldx = cols + k->pad, .x_type = k->type,
                                                   .transposed = k->transposed},
                                   sizeof(QuantizeRows));
    void *x =
        IN(x, .type = k->type, .rows = rows, .cols = cols, .ld = a->ldx, .empty = rows == 0, .pattern = k->pattern, .scale = k->scale);
    if (k->special) {
        put_special(k, x, 0, k->cols - 1, NAN);
        put_special(k, x, 2, 3, -INFINITY);
        put_special(k, x, 2, 4, NAN);
        put_special(k, x, 3, 5, NAN);
        put_special(k, x, 3, 4, INFINITY);
        for (int64_t j = 0; j < k->cols; j++)
            put_special(k, x, 4, j, j % 2 ? 0.0 : -0.0);
    }
    OUT(code, .type = U8, .rows = k->rows, .cols = k->cols, .empty = k->rows == 0, .exact = true);
    OUT(scale, .type = F32, .rows = k->rows, .cols = 1, .empty = k->rows == 0, .exact = true);
}
KERNEL_TEST(quantize_rows, QUANTIZE_CASES, quantize_rows_case)

/* ---------------------------------------------------------------- matmul_fp8 */

typedef struct MatmulFp8Case {
    int64_t m, n, k, pad;
    DType type;
    int added; /* 1: to what is there, 2: another matrix */
    int special;
    const char *why;
} MatmulFp8Case;

static const MatmulFp8Case MATMUL_FP8_CASES[] = {
    {  1,   1,    1, 0, F32,  0, 0, "smallest"},
    {  0,   5,    7, 0, F32,  0, 0, "no rows"},
    {  3,   0,    7, 0, F32,  0, 0, "no columns"},
    {  3,   5,    0, 0, F32,  0, 0, "an empty sum is 0"},
    {  3,   5,    0, 0, BF16, 2, 0, "an empty sum leaves the residual"},
    { 13,  17,   19, 3, F32,  0, 0, "primes, strides"},
    { 13,  17,   19, 0, BF16, 1, 0, "bf16, primes, accumulate"},
    { 13,  17,   19, 5, BF16, 2, 0, "bf16, primes, strides, residual"},
    { 64,  48,   80, 0, F32,  0, 0, "round sizes"},
    { 61,  48,   80, 0, BF16, 0, 0, "bf16, round sizes, odd rows"},
    { 61,  64,  160, 8, BF16, 1, 0, "bf16, round sizes, strides, accumulate"},
    { 61,  64,  160, 0, F32,  2, 0, "round sizes, residual"},
    {  1, 256, 1152, 0, BF16, 2, 0, "one row: decoding"},
    {258, 272,   32, 0, BF16, 2, 0, "bf16, several blocks of rows and columns, residual"},
    {  5, 259, 1301, 0, F32,  1, 0, "several blocks of columns and along the sum, accumulate"},
    { 16,  32, 4096, 0, F32,  0, 0, "a long sum"},
    { 20,  32,   64, 0, BF16, 2, 1, "rows that are zero, rows that are not finite"},
};

/* Codes that are numbers. */
static void make_numbers(uint8_t *code, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        code[i] = (uint8_t)((code[i] & FP8_NAN) == FP8_NAN ? code[i] - 1 : code[i]);
}

static void make_scales(float *scale, int64_t n, int special)
{
    for (int64_t i = 0; i < n; i++)
        scale[i] = fabsf(scale[i]) + 0x1p-7f;
    if (special)
        scale[1] = 0, scale[2] = NAN;
}

static void matmul_fp8_case(Comparison *c, const void *row)
{
    const MatmulFp8Case *k = row;
    MatmulFp8 args = {.m = k->m, .n = k->n, .k = k->k, .ldc = k->n + k->pad, .c_type = k->type, .accumulate = k->added == 1};
    MatmulFp8 *a = compare_args(c, &args, sizeof args);
    make_numbers(IN(a, .type = U8, .rows = k->m, .cols = k->k, .empty = k->m == 0), k->m * k->k);
    make_numbers(IN(b, .type = U8, .rows = k->n, .cols = k->k, .empty = k->n == 0), k->n * k->k);
    make_scales(IN(a_scale, .type = F32, .cols = k->m), k->m, k->special);
    make_scales(IN(b_scale, .type = F32, .cols = k->n), k->n, 0);
    if (k->added == 2)
        IN(add, .type = k->type, .rows = k->m, .cols = k->n, .ld = a->ldc, .pattern = UNIFORM, .scale = 1e5);
    /* slack: what a tensor core keeps of a sum (ops/fp8.h) */
    OUT_OR_SUM(c, a->accumulate, .type = k->type, .rows = k->m, .cols = k->n, .ld = a->ldc, .empty = k->m == 0,
               .slack = k->type == F32 ? 0x1p-12 : 0);
}
KERNEL_TEST(matmul_fp8, MATMUL_FP8_CASES, matmul_fp8_case)

TEST(matmul_fp8_by_hand)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    const float x[6] = {1, -2, 4, 0, 0, 0}, w[6] = {448, 224, -448, 3, 0.5f, 3};
    uint8_t a[6], b[6], t[6];
    float as[2], bs[2], ts[3];
    double c[4] = {1, 1, 1, 1};
    REQUIRE_OK(ref.ops.quantize_rows(&ref.ctx, &(QuantizeRows){.rows = 2, .cols = 3, .ldx = 3, .x = x, .code = a, .scale = as}));
    REQUIRE_OK(ref.ops.quantize_rows(&ref.ctx, &(QuantizeRows){.rows = 2, .cols = 3, .ldx = 3, .x = w, .code = b, .scale = bs}));
    CHECK(as[0] == 4 / 448.0f && as[1] == 0 && bs[0] == 1 && bs[1] == 3 / 448.0f);
    CHECK(fp8_to_f32(a[0]) == 112 && fp8_to_f32(a[1]) == -224 && a[2] == 0x7e && a[3] == 0);
    CHECK(fp8_to_f32(b[4]) == 72); /* of 74 2/3 */
    REQUIRE_OK(ref.ops.matmul_fp8(&ref.ctx, &(MatmulFp8){.m = 2, .n = 2, .k = 3, .ldc = 2, .c_type = F64, .accumulate = true, .a = a,
                                                         .b = b, .a_scale = as, .b_scale = bs, .c = c}));
    const double s = (double)as[0] * (double)bs[1];
    CHECK(c[0] == 1 + (double)as[0] * (112 * 448 - 224 * 224 - 448 * 448) && c[1] == 1 + s * (112 * 448 - 224 * 72 + 448 * 448));
    CHECK(c[2] == 1 && c[3] == 1);
    /* the same weights by columns */
    REQUIRE_OK(ref.ops.quantize_rows(&ref.ctx, &(QuantizeRows){.rows = 3, .cols = 2, .ldx = 3, .transposed = true, .x = w, .code = t,
                                                               .scale = ts}));
    CHECK(ts[0] == 1 && ts[1] == 0.5f && ts[2] == 1 && t[0] == 0x7e && fp8_to_f32(t[1]) == 3 && t[2] == 0x7e && fp8_to_f32(t[3]) == 1);
    ref.close(&ref);
}

TEST(fp8_refuses_wrong_arguments)
{
    float x[64] = {0};
    uint8_t code[64];
    QuantizeRows q = {.rows = 2, .cols = 3, .ldx = 2, .x = x, .code = code, .scale = x + 32};
    REFUSED(quantize_rows, &q, ERR_INTERNAL, "quantize_rows: ldx is 2, expected 3 or more");
    q.transposed = true, q.rows = 4;
    REFUSED(quantize_rows, &q, ERR_INTERNAL, "quantize_rows: ldx is 2, expected 4 or more");
    q.ldx = 4, q.x_type = U8;
    REFUSED(quantize_rows, &q, ERR_INTERNAL, "quantize_rows: x_type is U8, expected F32, BF16 or F64");
    MatmulFp8 m = {.m = 2, .n = 3, .k = 4, .ldc = 2, .a = code, .b = code, .a_scale = x, .b_scale = x, .c = x + 32};
    REFUSED(matmul_fp8, &m, ERR_INTERNAL, "matmul_fp8: ldc is 2, expected 3 or more");
    m.ldc = 3, m.k = -1;
    REFUSED(matmul_fp8, &m, ERR_INTERNAL, "matmul_fp8: k is -1, expected 0 or more");
    m.k = 4, m.add = x, m.accumulate = true;
    REFUSED(matmul_fp8, &m, ERR_INTERNAL, "matmul_fp8: both C and another matrix are to be added");
}
