/* rows_gather, rows_scatter, patchify, add_rows, upsample */
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

typedef struct RowsCase {
    int64_t n, cols, pad, others; /* others: rows of src or dst */
    DType from, to;
    int64_t step;    /* index i is i·step mod others … */
    int64_t skip;    /* … and -1 when i mod skip is 0 (0: never) */
    bool accumulate; /* of scatter; needed when indices repeat */
    const char *why;
} RowsCase;

static const RowsCase ROWS_CASES[] = {
    {   1,   1, 0,   1, F32,  F32,  1, 0, false, "smallest"},
    {   0,   5, 0,   4, F32,  F32,  1, 0, false, "no rows"},
    {  13,  17, 0,  13, F32,  F32,  5, 0, false, "a permutation"},
    {  13,  17, 3,  40, F32,  F32,  3, 4, false, "strides, skipped rows"},
    {   9,   8, 1,  20, F32,  F32,  1, 1, false, "every row skipped"},
    { 100,  33, 0,   7, F32,  F32,  3, 5, true,  "repeated indices, skipped rows, accumulate"},
    { 257, 130, 0,   1, F32,  F32,  1, 0, true,  "all rows into one"},
    { 601, 259, 0,  90, F32,  F32,  7, 4, true,  "large enough for two threads"},
    {  31,  65, 2,  64, BF16, F32,  2, 3, true,  "bf16 to f32, accumulate"},
    {  31,  64, 0,  64, F32,  BF16, 2, 3, false, "f32 to bf16"},
    {  31,  63, 1,  64, BF16, BF16, 2, 0, false, "bf16, odd strides"},
    {  60,  19, 0,   5, BF16, BF16, 1, 7, true,  "bf16, repeated, accumulate"},
    {   3,   1, 0, 5000, F32, F32, 4999, 0, true, "more rows than blocks of a launch"},
};

static int64_t row_index(int64_t i, const void *arg)
{
    const RowsCase *k = arg;
    return k->skip && i % k->skip == 0 ? -1 - i % 2 : i * k->step % k->others;
}

static void rows_gather_case(Comparison *c, const void *row)
{
    const RowsCase *k = row;
    RowsGather args = {.n = k->n, .cols = k->cols, .lds = k->cols + k->pad, .ldy = k->cols + 2 * k->pad, .src_type = k->from,
                       .y_type = k->to};
    RowsGather *a = compare_args(c, &args, sizeof args);
    IN(index, .type = I32, .cols = k->n, .data = compare_indices(c, k->n, row_index, k));
    IN(src, .type = k->from, .rows = k->others, .cols = k->cols, .ld = a->lds, .pattern = UNIFORM);
    INOUT(y, .type = k->to, .rows = k->n, .cols = k->cols, .ld = a->ldy, .empty = k->n == 0, .pattern = UNIFORM, .exact = true);
}
KERNEL_TEST(rows_gather, ROWS_CASES, rows_gather_case)

static void rows_scatter_case(Comparison *c, const void *row)
{
    const RowsCase *k = row;
    RowsScatter args = {.n = k->n, .n_dst = k->others, .cols = k->cols, .ldx = k->cols + k->pad, .ldd = k->cols + 2 * k->pad,
                        .x_type = k->from, .dst_type = k->to, .accumulate = k->accumulate};
    RowsScatter *a = compare_args(c, &args, sizeof args);
    IN(index, .type = I32, .cols = k->n, .data = compare_indices(c, k->n, row_index, k));
    IN(x, .type = k->from, .rows = k->n, .cols = k->cols, .ld = a->ldx, .empty = k->n == 0, .pattern = UNIFORM);
    INOUT(dst, .type = k->to, .rows = k->others, .cols = k->cols, .ld = a->ldd, .pattern = UNIFORM, .exact = !k->accumulate);
}
KERNEL_TEST(rows_scatter, ROWS_CASES, rows_scatter_case)

typedef struct PatchifyCase {
    int64_t images, height, width, patch;
    DType act;
    double mean, std;
    const char *why;
} PatchifyCase;

static const PatchifyCase PATCHIFY_CASES[] = {
    {1,  1,  1,  1, F32,  0.5, 0.5, "smallest"},
    {0, 28, 28, 14, F32,  0.5, 0.5, "no images"},
    {2, 32, 32, 14, F32,  0.5, 0.5, "unused edge"},
    {1, 13, 29,  5, F32,  0.48145466, 0.26862954, "not square, odd patch"},
    {1,  6,  9,  7, F32,  0.5, 0.5, "smaller than a patch: none"},
    {3, 98, 84, 14, F32,  0.5, 0.5, "large enough for two threads"},
    {3, 28, 42, 14, BF16, 0.5, 0.5, "bf16"},
    {2, 16, 16, 16, BF16, 0.4, 0.3, "bf16, one patch"},
};

static void patchify_case(Comparison *c, const void *row)
{
    const PatchifyCase *k = row;
    int64_t n = k->images * (k->height / k->patch) * (k->width / k->patch);
    Patchify args = {.images = k->images, .height = k->height, .width = k->width, .patch = k->patch, .act = k->act, .rescale = 1 / 255.0,
                     .mean = {k->mean, k->mean + 0.01, k->mean - 0.02}, .std = {k->std, k->std * 1.1, k->std}};
    Patchify *a = compare_args(c, &args, sizeof args);
    IN(pixels, .type = U8, .rows = k->images, .cols = k->height * k->width * 3, .empty = k->images == 0);
    OUT(y, .type = k->act, .rows = n, .cols = 3 * k->patch * k->patch, .empty = n == 0, .exact = true);
}
KERNEL_TEST(patchify, PATCHIFY_CASES, patchify_case)

typedef struct AddRowsCase {
    int64_t rows, cols, period;
    DType act, table;
    bool in_place, accumulate;
    Pattern pattern;
    const char *why;
} AddRowsCase;

static const AddRowsCase ADD_ROWS_CASES[] = {
    {  1,   1,  1, F32,  F32,  false, false, UNIFORM, "smallest"},
    {  0,   5,  3, F32,  F32,  false, false, UNIFORM, "no rows: the gradient is 0"},
    {  0,   5,  3, F32,  F32,  false, true,  UNIFORM, "no rows, accumulate"},
    { 35,  13,  7, F32,  F32,  false, true,  UNIFORM, "five periods"},
    { 36,  67,  7, F32,  BF16, true,  false, UNIFORM, "in place, a period cut off, bf16 table"},
    {  3,  64, 10, F32,  F32,  true,  true,  UNIFORM, "shorter than the period"},
    { 40, 257,  4, F32,  F32,  false, false, MIXED,   "subnormal numbers, zeros"},
    {401, 259, 50, F32,  F32,  false, true,  UNIFORM, "large enough for two threads"},
    { 35,  13,  7, BF16, F32,  false, false, UNIFORM, "bf16"},
    { 33,  64, 16, BF16, BF16, true,  true,  UNIFORM, "bf16, in place"},
};

#define MATRIX .type = k->act, .rows = k->rows, .cols = k->cols, .empty = k->rows == 0

static void add_rows_case(Comparison *c, const void *row)
{
    const AddRowsCase *k = row;
    AddRows args = {.rows = k->rows, .cols = k->cols, .period = k->period, .act = k->act, .table_type = k->table};
    AddRows *a = compare_args(c, &args, sizeof args);
    IN(x, MATRIX, .pattern = k->pattern);
    IN(table, .type = k->table, .rows = k->period, .cols = k->cols, .pattern = k->pattern);
    if (k->in_place)
        ALIAS(y, x);
    else
        OUT(y, MATRIX);
}
KERNEL_TEST(add_rows, ADD_ROWS_CASES, add_rows_case)

static void add_rows_bwd_case(Comparison *c, const void *row)
{
    const AddRowsCase *k = row;
    AddRowsBwd args = {.rows = k->rows, .cols = k->cols, .period = k->period, .act = k->act, .table_type = F32,
                       .accumulate = k->accumulate};
    AddRowsBwd *a = compare_args(c, &args, sizeof args);
    IN(dy, MATRIX, .pattern = k->pattern);
    OUT_OR_SUM(dtable, k->accumulate, .type = F32, .rows = k->period, .cols = k->cols);
}
KERNEL_TEST(add_rows_bwd, ADD_ROWS_CASES, add_rows_bwd_case)

typedef struct UpsampleCase {
    Plane from, to;
    int64_t cols;
    DType act;
    bool accumulate;
    Pattern pattern;
    const char *why;
} UpsampleCase;

static const UpsampleCase UPSAMPLE_CASES[] = {
    {{1, 1, 1}, {1, 1, 1},     1, F32,  false, UNIFORM, "smallest"},
    {{0, 3, 3}, {0, 6, 6},     5, F32,  false, UNIFORM, "no images"},
    {{2, 3, 5}, {2, 6, 10},   17, F32,  false, UNIFORM, "twice as large"},
    {{3, 4, 4}, {3, 8, 8},    64, F32,  true,  UNIFORM, "twice as large, accumulate"},
    {{2, 3, 4}, {2, 5, 7},    33, F32,  true,  UNIFORM, "odd sizes: the last line comes once"},
    {{1, 2, 3}, {1, 7, 11},   20, F32,  false, UNIFORM, "by no whole number"},
    {{2, 5, 7}, {2, 3, 2},    20, F32,  false, UNIFORM, "smaller: what nothing is made from has gradient 0"},
    {{2, 5, 7}, {2, 3, 2},    20, F32,  true,  UNIFORM, "smaller, accumulate"},
    {{1, 3, 3}, {1, 0, 6},     8, F32,  false, UNIFORM, "no pixels are made"},
    {{2, 20, 21}, {2, 40, 42}, 65, F32, true,  UNIFORM, "large enough for two threads"},
    {{2, 4, 4}, {2, 8, 8},    24, F32,  false, MIXED,   "subnormal numbers, zeros"},
    {{2, 3, 5}, {2, 6, 10},   31, BF16, false, UNIFORM, "bf16, odd columns"},
    {{2, 4, 4}, {2, 7, 8},    64, BF16, true,  UNIFORM, "bf16, accumulate"},
};

static void upsample_fwd_case(Comparison *c, const void *row)
{
    const UpsampleCase *k = row;
    UpsampleFwd *a = compare_args(c, &(UpsampleFwd){.from = k->from, .to = k->to, .cols = k->cols, .act = k->act}, sizeof *a);
    IN(x, .type = k->act, .rows = plane_rows(&k->from), .cols = k->cols, .empty = !plane_rows(&k->from), .pattern = UNIFORM);
    OUT(y, .type = k->act, .rows = plane_rows(&k->to), .cols = k->cols, .empty = !plane_rows(&k->to), .exact = true);
}
KERNEL_TEST(upsample_fwd, UPSAMPLE_CASES, upsample_fwd_case)

static void upsample_bwd_case(Comparison *c, const void *row)
{
    const UpsampleCase *k = row;
    UpsampleBwd args = {.from = k->from, .to = k->to, .cols = k->cols, .act = k->act, .accumulate = k->accumulate};
    UpsampleBwd *a = compare_args(c, &args, sizeof args);
    IN(dy, .type = k->act, .rows = plane_rows(&k->to), .cols = k->cols, .empty = !plane_rows(&k->to), .pattern = k->pattern);
    OUT_OR_SUM(dx, k->accumulate, .type = k->act, .rows = plane_rows(&k->from), .cols = k->cols, .empty = !plane_rows(&k->from));
}
KERNEL_TEST(upsample_bwd, UPSAMPLE_CASES, upsample_bwd_case)

/* ---------------------------------------------------------------- the specification itself */

TEST(ref_upsample_takes_the_nearest_and_its_backward_is_the_derivative)
{
    enum { FROM = 2 * 2 * 3, TO = 2 * 4 * 5, COLS = 2 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *x = random_values(FROM * COLS, 1), *dy = random_values(TO * COLS, 2), y[TO * COLS], dx[FROM * COLS];
    const Plane from = {2, 2, 3}, to = {2, 4, 5};
    static const int64_t ROW[] = {0, 0, 1, 1}, COLUMN[] = {0, 0, 1, 1, 2}; /* ⌊j·3/5⌋ */
    UpsampleFwd fwd = {.from = from, .to = to, .cols = COLS, .act = F64, .x = x, .y = y};
    REQUIRE_OK(ref.ops.upsample_fwd(&ref.ctx, &fwd));
    for (int64_t b = 0; b < 2; b++)
        for (int64_t i = 0; i < 4; i++)
            for (int64_t j = 0; j < 5; j++)
                for (int64_t k = 0; k < COLS; k++)
                    CHECK(y[((b * 4 + i) * 5 + j) * COLS + k] == x[((b * 2 + ROW[i]) * 3 + COLUMN[j]) * COLS + k]);
    UpsampleBwd bwd = {.from = from, .to = to, .cols = COLS, .act = F64, .dy = dy, .dx = dx};
    REQUIRE_OK(ref.ops.upsample_bwd(&ref.ctx, &bwd));
    Forward f = {&ref, OP_upsample_fwd, &fwd, y, dy, TO * COLS};
    CHECK_GRADIENT(&f, x, dx, FROM * COLS);
    for (int64_t i = 0; i < 5; i++) /* which pixels are made from pixel 1 of a line */
        CHECK((i >= upsample_first(1, 3, 5) && i < upsample_first(2, 3, 5)) == (COLUMN[i] == 1));
}

TEST(ref_gather_and_scatter_move_known_rows)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    const double src[] = {1, 2, 3, 4, 5, 6};
    double y[] = {0, 0, -1, -1, 0, 0};
    const int32_t index[] = {2, -1, 0};
    REQUIRE_OK(ref.ops.rows_gather(&ref.ctx, &(RowsGather){.n = 3, .cols = 2, .lds = 2, .ldy = 2, .src_type = F64, .y_type = F64,
                                                           .index = index, .src = src, .y = y}));
    CHECK(y[0] == 5 && y[1] == 6 && y[2] == -1 && y[3] == -1 && y[4] == 1 && y[5] == 2);
    double dst[] = {10, 10, 20, 20};
    const int32_t to[] = {1, -1, 1};
    REQUIRE_OK(ref.ops.rows_scatter(&ref.ctx, &(RowsScatter){.n = 3, .n_dst = 2, .cols = 2, .ldx = 2, .ldd = 2, .x_type = F64,
                                                             .dst_type = F64, .index = to, .x = src, .dst = dst, .accumulate = true}));
    CHECK(dst[0] == 10 && dst[1] == 10 && dst[2] == 26 && dst[3] == 28);
}

TEST(ref_patchify_orders_channel_row_column)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    uint8_t pixels[2 * 5 * 3]; /* one image, 2 rows, 5 columns; the fifth is cut off */
    for (int i = 0; i < 2 * 5 * 3; i++)
        pixels[i] = (uint8_t)i;
    float y[2 * 12];
    Patchify p = {.images = 1, .height = 2, .width = 5, .patch = 2, .act = F32, .rescale = 1 / 255.0, .mean = {0.5, 0.5, 0.5},
                  .std = {0.5, 0.5, 0.5}, .pixels = pixels, .y = y};
    REQUIRE_OK(ref.ops.patchify(&ref.ctx, &p));
    for (int patch = 0; patch < 2; patch++)
        for (int channel = 0; channel < 3; channel++)
            for (int i = 0; i < 4; i++) {
                int value = ((i / 2) * 5 + patch * 2 + i % 2) * 3 + channel;
                CHECK(y[patch * 12 + channel * 4 + i] == ((float)(value * (1 / 255.0)) - 0.5f) / 0.5f);
            }
}

TEST(ref_add_rows_backward_is_the_derivative)
{
    enum { ROWS = 7, COLS = 3, PERIOD = 2, N = ROWS * COLS };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *x = random_values(N, 1), *table = random_values(PERIOD * COLS, 2), *dy = random_values(N, 3), y[N], dtable[PERIOD * COLS];
    AddRows fwd = {.rows = ROWS, .cols = COLS, .period = PERIOD, .act = F64, .table_type = F64, .x = x, .table = table, .y = y};
    AddRowsBwd bwd = {.rows = ROWS, .cols = COLS, .period = PERIOD, .act = F64, .table_type = F64, .dy = dy, .dtable = dtable};
    REQUIRE_OK(ref.ops.add_rows_bwd(&ref.ctx, &bwd));
    Forward f = {&ref, OP_add_rows, &fwd, y, dy, N};
    CHECK_GRADIENT(&f, table, dtable, PERIOD * COLS);
}

TEST(row_operators_refuse_wrong_arguments)
{
    float x[16] = {0}, y[16] = {0};
    int32_t index[2] = {0, 3};
    RowsScatter scatter = {.n = 2, .n_dst = 3, .cols = 4, .ldx = 4, .ldd = 4, .index = index, .x = x, .dst = y};
    REFUSED(rows_scatter, &scatter, ERR_DATA, "rows_scatter: index[1] is 3, expected less than 3");
    RowsGather gather = {.n = 2, .cols = 4, .lds = 3, .ldy = 4, .index = index, .src = x, .y = y};
    REFUSED(rows_gather, &gather, ERR_INTERNAL, "rows_gather: lds is 3, expected 4 or more");
    AddRows add = {.rows = 2, .cols = 4, .period = 0, .x = x, .table = x, .y = y};
    REFUSED(add_rows, &add, ERR_INTERNAL, "add_rows: period is 0, expected 1 or more");
    Patchify patchify = {.images = 1, .height = 2, .width = 2, .patch = 0, .y = y};
    REFUSED(patchify, &patchify, ERR_INTERNAL, "patchify: patch is 0, expected 1 or more");
    UpsampleFwd upsample = {.from = {2, 1, 1}, .to = {1, 1, 1}, .cols = 4, .x = x, .y = y};
    REFUSED(upsample_fwd, &upsample, ERR_INTERNAL, "upsample_fwd: 2 images become 1");
    upsample.from = (Plane){1, 0, 1};
    REFUSED(upsample_fwd, &upsample, ERR_INTERNAL, "upsample_fwd: from.height is 0, expected 1 or more");
    upsample.from = (Plane){1, 1, 32769};
    REFUSED(upsample_fwd, &upsample, ERR_INTERNAL, "upsample_fwd: 1·32769 pixels become 1·1, expected at most 32768 on a side");
}
