/* rmsnorm, layernorm, groupnorm */
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

typedef enum Sum { NO_SUM, SUM_APART, SUM_IS_X, SUM_IS_ADD } Sum;

typedef struct NormCase {
    int64_t rows, cols;
    DType act, w;
    bool add;
    Sum sum;
    double eps;
    Pattern pattern;
    double scale;
    const char *why;
} NormCase;

static const NormCase NORM_CASES[] = {
    /* rows cols  act   w     add    sum         eps    pattern scale */
    {   1,    1,  F32,  F32,  false, NO_SUM,     1e-5,  UNIFORM, 1, "smallest"},
    {   0,    9,  F32,  F32,  true,  SUM_APART,  1e-5,  UNIFORM, 1, "no rows"},
    {   5,    7,  F32,  F32,  false, SUM_APART,  1e-6,  UNIFORM, 1, "the sum of one term is a copy"},
    {  33,  257,  F32,  F32,  true,  NO_SUM,     1e-5,  UNIFORM, 1, "no dimension divides the block"},
    {  33,  257,  F32,  F32,  true,  SUM_APART,  1e-5,  UNIFORM, 1, "residual kept"},
    {   7,   64,  F32,  F32,  true,  SUM_IS_X,   1e-5,  UNIFORM, 1, "residual in place of x"},
    {   7,   65,  F32,  BF16, true,  SUM_IS_ADD, 1e-5,  UNIFORM, 1, "residual in place of the addend, bf16 weights"},
    {   3, 1152,  F32,  F32,  false, NO_SUM,     1e-6,  UNIFORM, 100, "a tower's width"},
    {   4, 4099,  F32,  F32,  true,  SUM_APART,  1e-5,  UNIFORM, 1, "long rows"},
    { 301,  259,  F32,  F32,  true,  SUM_APART,  1e-5,  UNIFORM, 1, "large enough for two threads"},
    {   9,   31,  F32,  F32,  false, NO_SUM,     1e-5,  UNIFORM, 1e17, "squares near the top of the range"},
    {   9,   31,  F32,  F32,  false, NO_SUM,     1e-5,  UNIFORM, 1e-18, "squares near the bottom: eps decides"},
    {   9,   31,  F32,  F32,  true,  SUM_APART,  1e-5,  MIXED,   1, "subnormal numbers, zeros"},
    {   9,   31,  F32,  F32,  false, NO_SUM,     1e-5,  SPIKE,   1000, "one element dominates"},
    {   4,   16,  F32,  F32,  false, NO_SUM,     1e-5,  ZEROS,   1, "all zeros"},
    {   4,   48,  F32,  F32,  false, NO_SUM,     1e-5,  EQUAL,   3, "no variance"},
    {   9,  200,  F32,  F32,  false, NO_SUM,     1e-6,  OFFSET,  300, "mean far from zero"},
    {   1,    1,  BF16, BF16, false, NO_SUM,     1e-5,  UNIFORM, 1, "bf16, smallest"},
    {  33,  257,  BF16, BF16, true,  SUM_APART,  1e-5,  UNIFORM, 1, "bf16, residual kept"},
    {  33,  129,  BF16, F32,  true,  SUM_IS_X,   1e-5,  UNIFORM, 1, "bf16, f32 weights, in place"},
    {   5,  136,  BF16, F32,  true,  SUM_APART,  1e-5,  UNIFORM, 1, "bf16, whole vectors beside two of f32 weights"},
    {   5,   68,  F32,  BF16, false, NO_SUM,     1e-5,  UNIFORM, 1, "whole vectors beside halves of bf16 weights"},
    {   6,   33,  F32,  F32,  true,  SUM_APART,  1e-5,  UNIFORM, 1, "rows apart"},
    {   6,  256,  BF16, BF16, true,  SUM_APART,  1e-5,  UNIFORM, 1, "bf16, rows apart by whole vectors"},
    {   7,   63,  BF16, BF16, true,  NO_SUM,     1e-6,  UNIFORM, 1, "bf16, statistics of the rounded sum"},
    {   9,   31,  BF16, BF16, false, NO_SUM,     1e-5,  UNIFORM, 1e17, "bf16, near the top"},
    {   9,   40,  BF16, BF16, true,  SUM_IS_ADD, 1e-5,  MIXED,   1, "bf16, subnormal numbers, zeros"},
};

#define MATRIX .type = k->act, .rows = k->rows, .cols = k->cols, .empty = k->rows == 0
/* Where rmsnorm may leave room behind its rows, it is asked to in cases of six rows. */
static int64_t apart(int64_t rows, int64_t cols) { return rows == 6 ? cols + (cols % 16 ? 3 : 16) : 0; }
#define ROWS   .type = F32, .rows = k->rows, .cols = 1, .empty = k->rows == 0

static void rmsnorm_fwd_case(Comparison *c, const void *row)
{
    const NormCase *k = row;
    RmsNormFwd args = {.rows = k->rows, .cols = k->cols, .act = k->act, .w_type = k->w, .eps = k->eps, .ldy = apart(k->rows, k->cols)};
    RmsNormFwd *a = compare_args(c, &args, sizeof args);
    IN(x, MATRIX, .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    if (k->add)
        IN(add, MATRIX, .pattern = k->pattern, .scale = k->scale);
    if (k->sum == SUM_APART)
        OUT(sum, MATRIX);
    else if (k->sum == SUM_IS_X)
        ALIAS(sum, x);
    else if (k->sum == SUM_IS_ADD)
        ALIAS(sum, add);
    OUT(y, MATRIX, .ld = a->ldy);
    OUT(rstd, ROWS);
}
KERNEL_TEST(rmsnorm_fwd, NORM_CASES, rmsnorm_fwd_case)

static void layernorm_fwd_case(Comparison *c, const void *row)
{
    const NormCase *k = row;
    LayerNormFwd args = {.rows = k->rows, .cols = k->cols, .act = k->act, .w_type = k->w, .eps = k->eps};
    LayerNormFwd *a = compare_args(c, &args, sizeof args);
    IN(x, MATRIX, .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    IN(b, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    if (k->add)
        IN(add, MATRIX, .pattern = k->pattern, .scale = k->scale);
    if (k->sum == SUM_APART)
        OUT(sum, MATRIX);
    else if (k->sum == SUM_IS_X)
        ALIAS(sum, x);
    else if (k->sum == SUM_IS_ADD)
        ALIAS(sum, add);
    OUT(y, MATRIX);
    OUT(mean, ROWS);
    OUT(rstd, ROWS);
}
KERNEL_TEST(layernorm_fwd, NORM_CASES, layernorm_fwd_case)

typedef struct NormBwdCase {
    int64_t rows, cols;
    DType act, w;
    bool in_place, accumulate, accumulate_w, dw, db;
    Pattern pattern;
    double scale;
    const char *why;
} NormBwdCase;

static const NormBwdCase NORM_BWD_CASES[] = {
    /* rows cols  act   w     in place acc    acc_w  dw     db     pattern scale */
    {   1,    1,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1e-3, "smallest"},
    {   0,    9,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1, "no rows: weight gradients are 0"},
    {   0,    9,  F32,  F32,  false,   false, true,  true,  true,  UNIFORM, 1, "no rows, accumulate"},
    {  33,  257,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1, "no dimension divides the block"},
    {  33,  257,  F32,  F32,  false,   true,  true,  true,  true,  UNIFORM, 1, "accumulate both"},
    {  17,   65,  F32,  BF16, true,    false, false, true,  true,  UNIFORM, 1, "in place, bf16 weights"},
    {  17,   65,  F32,  F32,  true,    true,  false, false, false, UNIFORM, 1, "in place, accumulate, frozen"},
    {  17,   65,  F32,  F32,  false,   false, true,  false, true,  UNIFORM, 1, "bias only"},
    {  17,   65,  F32,  F32,  false,   true,  true,  true,  false, UNIFORM, 1, "weight only"},
    { 300,    8,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1, "many rows"},
    {   4, 4099,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1, "long rows"},
    { 301,  259,  F32,  F32,  false,   true,  true,  true,  true,  UNIFORM, 1, "large enough for two threads"},
    {   9,   31,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1e12, "large"},
    {   9,   31,  F32,  F32,  false,   false, false, true,  true,  UNIFORM, 1e-12, "tiny"},
    {   9,   31,  F32,  F32,  false,   true,  true,  true,  true,  MIXED,   1, "subnormal numbers, zeros"},
    {   9,   31,  F32,  F32,  false,   false, false, true,  true,  SPIKE,   1000, "one element dominates"},
    {   9,  200,  F32,  F32,  false,   false, false, true,  true,  OFFSET,  300, "mean far from zero"},
    {  33,  257,  BF16, BF16, false,   false, false, true,  true,  UNIFORM, 1, "bf16"},
    {  33,  129,  BF16, F32,  false,   true,  true,  true,  true,  UNIFORM, 1, "bf16, f32 weights, accumulate"},
    { 301,  259,  BF16, BF16, false,   false, false, true,  true,  UNIFORM, 1, "bf16, large enough for two threads"},
    {  17,   64,  BF16, BF16, true,    false, false, false, false, UNIFORM, 1, "bf16, in place, frozen"},
    {   5,  136,  BF16, F32,  false,   true,  false, true,  true,  UNIFORM, 1, "bf16, whole vectors beside two of f32 weights"},
    {   5,   68,  F32,  BF16, false,   false, false, true,  true,  UNIFORM, 1, "whole vectors beside halves of bf16 weights"},
    {   6,   33,  F32,  F32,  false,   true,  false, true,  false, UNIFORM, 1, "rows apart, accumulate"},
    {   6,  256,  BF16, BF16, false,   true,  false, false, false, UNIFORM, 1, "bf16, rows apart by whole vectors, accumulate"},
    {   6,  256,  BF16, BF16, false,   false, false, false, false, UNIFORM, 1, "bf16, rows apart by whole vectors"},
};

/* Statistics as the forward leaves them. */
static void *saved(Comparison *c, int64_t n) { return compare_memory(c, (size_t)n * sizeof(double)); }

static void rmsnorm_bwd_case(Comparison *c, const void *row)
{
    const NormBwdCase *k = row;
    RmsNormBwd args = {.rows = k->rows, .cols = k->cols, .act = k->act, .w_type = k->w, .accumulate = k->accumulate,
                       .accumulate_w = k->accumulate_w, .lddx = apart(k->rows, k->cols), .ldy = 2 * apart(k->rows, k->cols)};
    RmsNormBwd *a = compare_args(c, &args, sizeof args);
    void *x = IN(x, MATRIX, .pattern = k->pattern, .scale = k->scale), *w = IN(w, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    void *y = saved(c, k->rows * k->cols), *rstd = saved(c, k->rows);
    REQUIRE_OK(op_call(compare_truth(c), OP_rmsnorm_fwd, &(RmsNormFwd){.rows = k->rows, .cols = k->cols, .act = k->act,
                       .w_type = k->w, .eps = 1e-5, .x = x, .w = w, .y = y, .rstd = rstd}));
    IN(rstd, ROWS, .data = rstd);
    IN(dy, MATRIX, .pattern = UNIFORM);
    if (k->in_place)
        ALIAS(dx, dy);
    else
        OUT_OR_SUM(dx, k->accumulate, MATRIX, .ld = a->lddx);
    if (k->rows == 6 || k->rows == 33)
        OUT(y, MATRIX, .ld = a->ldy);
    if (k->dw)
        OUT_OR_SUM(dw, k->accumulate_w, .type = F32, .cols = k->cols);
}
KERNEL_TEST(rmsnorm_bwd, NORM_BWD_CASES, rmsnorm_bwd_case)

static void layernorm_bwd_case(Comparison *c, const void *row)
{
    const NormBwdCase *k = row;
    LayerNormBwd args = {.rows = k->rows, .cols = k->cols, .act = k->act, .w_type = k->w, .accumulate = k->accumulate,
                         .accumulate_w = k->accumulate_w};
    LayerNormBwd *a = compare_args(c, &args, sizeof args);
    void *x = IN(x, MATRIX, .pattern = k->pattern, .scale = k->scale), *w = IN(w, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    void *y = saved(c, k->rows * k->cols), *mean = saved(c, k->rows), *rstd = saved(c, k->rows);
    REQUIRE_OK(op_call(compare_truth(c), OP_layernorm_fwd, &(LayerNormFwd){.rows = k->rows, .cols = k->cols, .act = k->act,
                       .w_type = k->w, .eps = 1e-5, .x = x, .w = w, .b = w, .y = y, .mean = mean, .rstd = rstd}));
    IN(mean, ROWS, .data = mean);
    IN(rstd, ROWS, .data = rstd);
    IN(dy, MATRIX, .pattern = UNIFORM);
    if (k->in_place)
        ALIAS(dx, dy);
    else
        OUT_OR_SUM(dx, k->accumulate, MATRIX);
    if (k->dw)
        OUT_OR_SUM(dw, k->accumulate_w, .type = F32, .cols = k->cols);
    if (k->db)
        OUT_OR_SUM(db, k->accumulate_w, .type = F32, .cols = k->cols);
}
KERNEL_TEST(layernorm_bwd, NORM_BWD_CASES, layernorm_bwd_case)

typedef struct GroupNormCase {
    int64_t images, pixels, cols, groups;
    DType act, w;
    bool silu, in_place, accumulate, accumulate_w, dx, sums;
    double eps;
    Pattern pattern;
    double scale;
    const char *why;
} GroupNormCase;

static const GroupNormCase GROUPNORM_CASES[] = {
    /* images pixels cols groups act w    silu  place  acc    acc_w  dx     sums   eps    pattern  scale */
    { 1,    1,   1,  1, F32,  F32,  false, false, false, false, true,  true,  1e-5,  UNIFORM, 1e-3, "smallest"},
    { 0,    9,   6,  3, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1, "no images: weight gradients are 0"},
    { 0,    9,   6,  3, F32,  F32,  true,  false, false, true,  true,  true,  1e-5,  UNIFORM, 1, "no images, accumulate"},
    { 2,   35,  30,  6, F32,  F32,  false, false, false, false, true,  true,  1e-5,  UNIFORM, 1, "groups of five channels"},
    { 3,   49,  64, 32, F32,  F32,  true,  false, true,  true,  true,  true,  1e-5,  UNIFORM, 1, "groups of two, silu, accumulate"},
    { 2,   64, 320, 32, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1, "groups of ten, as of a concatenation"},
    { 2,   25,  96, 32, F32,  BF16, true,  true,  true,  false, true,  false, 1e-6,  UNIFORM, 3, "in place, bf16 weights, frozen"},
    { 1,   63,  65,  5, F32,  F32,  false, true,  false, true,  true,  true,  1e-5,  UNIFORM, 1, "in place, odd columns"},
    { 2,   31,  34,  1, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1, "one group"},
    { 2,   31,  34, 34, F32,  F32,  true,  false, false, false, false, true,  1e-5,  UNIFORM, 1, "a group a channel; weights alone"},
    { 2, 1501,  40,  8, F32,  F32,  true,  false, true,  true,  true,  true,  1e-5,  UNIFORM, 1, "large enough for two threads"},
    { 1, 9001,   8,  4, F32,  F32,  false, false, false, false, true,  true,  1e-5,  UNIFORM, 1, "many pixels"},
    { 3,   16, 1280, 32, F32, F32,  true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1, "few pixels, many channels"},
    { 2,   40,  24,  4, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1e12, "large"},
    { 2,   40,  24,  4, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1e-12, "tiny: eps decides"},
    { 2,   40,  24,  4, F32,  F32,  true,  false, true,  true,  true,  true,  1e-5,  MIXED,   1, "subnormal numbers, zeros"},
    { 2,   40,  24,  4, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  ZEROS,   1, "all zeros"},
    { 2,   40,  24,  4, F32,  F32,  false, false, false, false, true,  true,  1e-5,  EQUAL,   3, "no variance"},
    { 2,   40,  24,  4, F32,  F32,  false, false, false, false, true,  true,  1e-6,  OFFSET,  300, "mean far from zero"},
    { 2,   40,  24,  4, F32,  F32,  true,  false, false, false, true,  true,  1e-5,  SPIKE,   1000, "one element a row dominates"},
    { 2,   64, 320, 32, BF16, BF16, true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1, "bf16"},
    { 3,   49,  60, 12, BF16, F32,  true,  false, true,  true,  true,  true,  1e-5,  UNIFORM, 1, "bf16, f32 weights, accumulate"},
    { 2,   49,  67,  1, BF16, BF16, false, true,  false, false, true,  false, 1e-5,  UNIFORM, 1, "bf16, odd columns, in place, frozen"},
    { 2, 1501,  40,  8, BF16, BF16, true,  false, false, false, true,  true,  1e-5,  UNIFORM, 1, "bf16, large enough for two threads"},
};

#define PIXELS .type = k->act, .rows = k->images * k->pixels, .cols = k->cols, .empty = k->images == 0
#define GROUPS .type = F32, .rows = k->images * k->groups, .cols = 1, .empty = k->images == 0

static void groupnorm_fwd_case(Comparison *c, const void *row)
{
    const GroupNormCase *k = row;
    GroupNormFwd args = {.images = k->images, .pixels = k->pixels, .cols = k->cols, .groups = k->groups, .act = k->act, .w_type = k->w,
                         .eps = k->eps, .silu = k->silu};
    GroupNormFwd *a = compare_args(c, &args, sizeof args);
    IN(x, PIXELS, .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    IN(b, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    if (k->in_place)
        ALIAS(y, x);
    else
        OUT(y, PIXELS);
    OUT(mean, GROUPS);
    OUT(rstd, GROUPS);
}
KERNEL_TEST(groupnorm_fwd, GROUPNORM_CASES, groupnorm_fwd_case)

static void groupnorm_bwd_case(Comparison *c, const void *row)
{
    const GroupNormCase *k = row;
    GroupNormBwd args = {.images = k->images, .pixels = k->pixels, .cols = k->cols, .groups = k->groups, .act = k->act, .w_type = k->w,
                         .silu = k->silu, .accumulate = k->accumulate, .accumulate_w = k->accumulate_w};
    GroupNormBwd *a = compare_args(c, &args, sizeof args);
    void *x = IN(x, PIXELS, .pattern = k->pattern, .scale = k->scale), *w = IN(w, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    void *b = IN(b, .type = k->w, .cols = k->cols, .pattern = UNIFORM);
    void *y = saved(c, k->images * k->pixels * k->cols), *mean = saved(c, k->images * k->groups), *rstd = saved(c, k->images * k->groups);
    REQUIRE_OK(op_call(compare_truth(c), OP_groupnorm_fwd, &(GroupNormFwd){.images = k->images, .pixels = k->pixels, .cols = k->cols,
                       .groups = k->groups, .act = k->act, .w_type = k->w, .eps = k->eps, .x = x, .w = w, .b = b, .y = y, .mean = mean,
                       .rstd = rstd}));
    IN(mean, GROUPS, .data = mean);
    IN(rstd, GROUPS, .data = rstd);
    IN(dy, PIXELS, .pattern = UNIFORM);
    if (k->dx && k->in_place)
        ALIAS(dx, dy);
    else if (k->dx)
        OUT_OR_SUM(dx, k->accumulate, PIXELS);
    if (k->sums) {
        OUT_OR_SUM(dw, k->accumulate_w, .type = F32, .cols = k->cols);
        OUT_OR_SUM(db, k->accumulate_w, .type = F32, .cols = k->cols);
    }
}
KERNEL_TEST(groupnorm_bwd, GROUPNORM_CASES, groupnorm_bwd_case)

TEST(ref_groupnorm_backward_is_the_derivative)
{
    enum { IMAGES = 2, PIXELS_ = 3, COLS = 6, GROUPS_ = 3, N = IMAGES * PIXELS_ * COLS, WIDTH = COLS / GROUPS_ };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    for (int silu = 0; silu < 2; silu++) {
        double *x = random_values(N, 1), *w = random_values(COLS, 2), *b = random_values(COLS, 4), *dy = random_values(N, 3);
        double y[N], mean[IMAGES * GROUPS_], rstd[IMAGES * GROUPS_], dx[N], dw[COLS], db[COLS], mu = 0, v = 0;
        GroupNormFwd fwd = {.images = IMAGES, .pixels = PIXELS_, .cols = COLS, .groups = GROUPS_, .act = F64, .w_type = F64, .eps = 1e-3,
                            .silu = silu, .x = x, .w = w, .b = b, .y = y, .mean = mean, .rstd = rstd};
        REQUIRE_OK(ref.ops.groupnorm_fwd(&ref.ctx, &fwd));
        /* group 1 of the second image: channels 2 and 3 of pixels 3 … 5 */
        for (int i = 0; i < PIXELS_ * WIDTH; i++)
            mu += x[(PIXELS_ + i / WIDTH) * COLS + WIDTH + i % WIDTH] / (PIXELS_ * WIDTH);
        for (int i = 0; i < PIXELS_ * WIDTH; i++)
            v += pow(x[(PIXELS_ + i / WIDTH) * COLS + WIDTH + i % WIDTH] - mu, 2) / (PIXELS_ * WIDTH);
        CHECK_NEAR(mean[GROUPS_ + 1], mu, 1e-15);
        CHECK_NEAR(rstd[GROUPS_ + 1], 1 / sqrt(v + 1e-3), 1e-12);
        double z = w[3] * (x[4 * COLS + 3] - mu) / sqrt(v + 1e-3) + b[3];
        CHECK_NEAR(y[4 * COLS + 3], silu ? z / (1 + exp(-z)) : z, 1e-14);
        GroupNormBwd bwd = {.images = IMAGES, .pixels = PIXELS_, .cols = COLS, .groups = GROUPS_, .act = F64, .w_type = F64, .silu = silu,
                            .x = x, .w = w, .b = b, .mean = mean, .rstd = rstd, .dy = dy, .dx = dx, .dw = dw, .db = db};
        REQUIRE_OK(ref.ops.groupnorm_bwd(&ref.ctx, &bwd));
        Forward f = {&ref, OP_groupnorm_fwd, &fwd, y, dy, N};
        CHECK_GRADIENT(&f, x, dx, N);
        CHECK_GRADIENT(&f, w, dw, COLS);
        CHECK_GRADIENT(&f, b, db, COLS);
    }
}

TEST(ref_rmsnorm_backward_is_the_derivative)
{
    enum { ROWS_ = 3, COLS = 5, N = ROWS_ * COLS };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *x = random_values(N, 1), *w = random_values(COLS, 2), *dy = random_values(N, 3);
    double y[N], rstd[ROWS_], dx[N], dw[COLS];
    RmsNormFwd fwd = {.rows = ROWS_, .cols = COLS, .act = F64, .w_type = F64, .eps = 1e-3, .x = x, .w = w, .y = y, .rstd = rstd};
    REQUIRE_OK(ref.ops.rmsnorm_fwd(&ref.ctx, &fwd));
    double square = 0;
    for (int j = 0; j < COLS; j++)
        square += x[j] * x[j] / COLS;
    CHECK_NEAR(y[1], w[1] * x[1] / sqrt(square + 1e-3), 1e-15);
    RmsNormBwd bwd = {.rows = ROWS_, .cols = COLS, .act = F64, .w_type = F64, .x = x, .w = w, .rstd = rstd, .dy = dy, .dx = dx, .dw = dw};
    REQUIRE_OK(ref.ops.rmsnorm_bwd(&ref.ctx, &bwd));
    Forward f = {&ref, OP_rmsnorm_fwd, &fwd, y, dy, N};
    CHECK_GRADIENT(&f, x, dx, N);
    CHECK_GRADIENT(&f, w, dw, COLS);
}

TEST(ref_layernorm_backward_is_the_derivative)
{
    enum { ROWS_ = 3, COLS = 5, N = ROWS_ * COLS };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *x = random_values(N, 1), *w = random_values(COLS, 2), *b = random_values(COLS, 4), *dy = random_values(N, 3);
    double y[N], mean[ROWS_], rstd[ROWS_], dx[N], dw[COLS], db[COLS];
    LayerNormFwd fwd = {.rows = ROWS_, .cols = COLS, .act = F64, .w_type = F64, .eps = 1e-3, .x = x, .w = w, .b = b, .y = y,
                        .mean = mean, .rstd = rstd};
    REQUIRE_OK(ref.ops.layernorm_fwd(&ref.ctx, &fwd));
    double mu = 0, v = 0;
    for (int j = 0; j < COLS; j++)
        mu += x[j] / COLS;
    for (int j = 0; j < COLS; j++)
        v += (x[j] - mu) * (x[j] - mu) / COLS;
    CHECK_NEAR(y[1], w[1] * (x[1] - mu) / sqrt(v + 1e-3) + b[1], 1e-15);
    LayerNormBwd bwd = {.rows = ROWS_, .cols = COLS, .act = F64, .w_type = F64, .x = x, .w = w, .mean = mean, .rstd = rstd, .dy = dy,
                        .dx = dx, .dw = dw, .db = db};
    REQUIRE_OK(ref.ops.layernorm_bwd(&ref.ctx, &bwd));
    Forward f = {&ref, OP_layernorm_fwd, &fwd, y, dy, N};
    CHECK_GRADIENT(&f, x, dx, N);
    CHECK_GRADIENT(&f, w, dw, COLS);
    CHECK_GRADIENT(&f, b, db, COLS);
}

TEST(norms_refuse_wrong_arguments)
{
    float x[8] = {0};
    RmsNormFwd fwd = {.rows = -2, .cols = 4, .x = x, .w = x, .y = x, .rstd = x};
    REFUSED(rmsnorm_fwd, &fwd, ERR_INTERNAL, "rmsnorm_fwd: rows is -2, expected 0 or more");
    LayerNormBwd bwd = {.rows = 1, .cols = 4, .w_type = U8};
    REFUSED(layernorm_bwd, &bwd, ERR_INTERNAL, "layernorm_bwd: w_type is U8, expected F32, BF16 or F64");
    GroupNormFwd group = {.images = 1, .pixels = 2, .cols = 4, .groups = 3, .x = x, .w = x, .b = x, .y = x, .mean = x, .rstd = x};
    REFUSED(groupnorm_fwd, &group, ERR_INTERNAL, "groupnorm_fwd: 3 groups do not divide 4 channels");
    group.cols = 1 << 17;
    REFUSED(groupnorm_fwd, &group, ERR_INTERNAL, "groupnorm_fwd: cols is 131072, expected at most 65536");
    group.images = 1 << 30;
    REFUSED(groupnorm_fwd, &group, ERR_INTERNAL, "groupnorm_fwd: 1073741824 images of 2 pixels, expected less than 2^31 rows");
    group.images = 1;
    group.groups = 0;
    REFUSED(groupnorm_fwd, &group, ERR_INTERNAL, "groupnorm_fwd: groups is 0, expected 1 or more");
}
