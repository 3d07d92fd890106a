/* dequantize */
#include "tests/kernels/compare.h"

typedef struct DequantizeCase {
    int64_t rows, cols, first, pad;
    CodeFormat format;
    DType y;
    const char *why;
} DequantizeCase;

static const DequantizeCase DEQUANTIZE_CASES[] = {
    {  1,   1, 0,  0, CODES_NF4,  F32,  "smallest"},
    {  0,  64, 2,  0, CODES_NF4,  F32,  "no rows"},
    {  3,   0, 0,  0, CODES_NF4,  F32,  "no columns"},
    {  5,  64, 0,  0, CODES_NF4,  F32,  "a block a row"},
    {  5, 192, 3, 64, CODES_NF4,  F32,  "rows from the middle, a stride"},
    {  7,  48, 2,  0, CODES_NF4,  F32,  "blocks across rows"},
    {  7,  50, 1,  2, CODES_NF4,  F32,  "blocks begin inside a vector"},
    { 33,  31, 3,  1, CODES_NF4,  F32,  "rows begin inside a byte"},
    {  3, 300, 1,  0, CODES_NF4,  F32,  "a tail"},
    {200, 512, 4,  0, CODES_NF4,  F32,  "large enough for two threads"},
    {  6, 128, 1,  8, CODES_NF4,  BF16, "bf16"},
    {  6, 133, 1,  3, CODES_NF4,  BF16, "bf16, odd"},
    {300, 512, 4,  0, CODES_NF4,  BF16, "bf16, large enough for two threads"},
    {  1,   1, 0,  0, CODES_INT8, F32,  "int8, smallest"},
    {  0,  64, 0,  0, CODES_INT8, F32,  "int8, no rows"},
    {  5, 192, 3, 64, CODES_INT8, F32,  "int8, rows from the middle, a stride"},
    { 33,  31, 3,  1, CODES_INT8, F32,  "int8, odd"},
    {200, 512, 4,  0, CODES_INT8, F32,  "int8, large enough for two threads"},
    {  6, 128, 1,  8, CODES_INT8, BF16, "int8, bf16"},
    {  6, 133, 1,  3, CODES_INT8, BF16, "int8, bf16, odd"},
};

static void dequantize_case(Comparison *c, const void *row)
{
    const DequantizeCase *k = row;
    const int64_t all = k->first + k->rows;
    Dequantize args = {.rows = k->rows, .cols = k->cols, .first = k->first, .ldy = k->cols + k->pad, .format = k->format, .y_type = k->y};
    Dequantize *a = compare_args(c, &args, sizeof args);
    IN(codes, .type = U8, .cols = codes_bytes(k->format, all, k->cols));
    IN(scales, .type = F32, .cols = codes_scales(k->format, all, k->cols), .pattern = UNIFORM);
    OUT(y, .type = k->y, .rows = k->rows, .cols = k->cols, .ld = a->ldy, .empty = k->rows == 0, .exact = true);
}
KERNEL_TEST(dequantize, DEQUANTIZE_CASES, dequantize_case)

TEST(dequantize_refuses_wrong_arguments)
{
    Dequantize good = {.rows = 1, .cols = 4, .ldy = 4, .format = CODES_NF4, .y_type = F32}, bad = good;
    bad.ldy = 3;
    REFUSED(dequantize, &bad, ERR_INTERNAL, "dequantize: ldy is 3, expected 4 or more");
    bad = good;
    bad.format = CODES_NONE;
    REFUSED(dequantize, &bad, ERR_INTERNAL, "dequantize: format is 0, expected int8 or nf4");
    bad = good;
    bad.y_type = U8;
    REFUSED(dequantize, &bad, ERR_INTERNAL, "dequantize: y_type is U8, expected F32, BF16 or F64");
}
