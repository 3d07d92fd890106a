/* pool2d_fwd */
#include "tests/kernels/compare.h"

typedef struct PoolCase {
    int64_t images, height, width, cols, kernel_height, kernel_width, stride, top, left, bottom, right;
    DType act;
    PoolKind kind;
    Pattern pattern;
    const char *why;
} PoolCase;

static const PoolCase CASES[] = {
    /* B   Y   X  C   K  K' s  t  l  b  r  act   kind       pattern */
    {  1,  1,  1, 1,  1, 1, 1, 0, 0, 0, 0, F32,  POOL_MAX,  UNIFORM, "smallest"},
    {  0,  4,  4, 3,  3, 3, 2, 0, 0, 0, 0, F32,  POOL_MEAN, UNIFORM, "no images"},
    {  2,  5,  7, 0,  3, 3, 1, 1, 1, 1, 1, F32,  POOL_MAX,  UNIFORM, "no channels"},
    {  1,  2,  2, 5,  3, 3, 1, 0, 0, 0, 0, F32,  POOL_MAX,  UNIFORM, "a window larger than the image: no output"},
    {  2,  7,  9, 17, 3, 3, 2, 0, 0, 0, 0, F32,  POOL_MAX,  UNIFORM, "3x3, stride 2, what is left over goes unread"},
    {  2,  7,  5, 33, 3, 3, 1, 1, 1, 1, 1, F32,  POOL_MAX,  UNIFORM, "3x3, the edge has smaller windows"},
    {  2,  7,  5, 33, 3, 3, 1, 1, 1, 1, 1, F32,  POOL_MEAN, UNIFORM, "3x3, the edge divides by fewer"},
    {  3,  8,  8, 70, 8, 8, 1, 0, 0, 0, 0, F32,  POOL_MEAN, UNIFORM, "the whole image"},
    {  1,  9,  6, 20, 4, 2, 3, 2, 1, 1, 0, F32,  POOL_MEAN, UNIFORM, "4x2, pads all different"},
    {  1,  9,  6, 20, 4, 2, 3, 2, 1, 1, 0, F32,  POOL_MAX,  UNIFORM, "4x2, pads all different, largest"},
    {  2, 35, 36, 48, 3, 3, 1, 1, 1, 1, 1, F32,  POOL_MEAN, UNIFORM, "large enough for two threads"},
    {  1,  6,  5, 24, 3, 3, 1, 1, 1, 1, 1, F32,  POOL_MEAN, MIXED,   "subnormal numbers, zeros"},
    {  2,  6,  5, 31, 3, 3, 1, 1, 1, 1, 1, BF16, POOL_MEAN, UNIFORM, "bf16, odd columns"},
    {  2,  6,  5, 64, 3, 3, 2, 1, 0, 0, 1, BF16, POOL_MAX,  UNIFORM, "bf16, largest"},
};

static void pool2d_case(Comparison *c, const void *row)
{
    const PoolCase *k = row;
    const ConvShape shape = {.from = {k->images, k->height, k->width}, .in = k->cols, .out = k->cols, .kernel_height = k->kernel_height,
                             .kernel_width = k->kernel_width, .stride = k->stride, .top = k->top, .left = k->left, .bottom = k->bottom,
                             .right = k->right};
    const Plane to = conv_to(&shape);
    Pool2dFwd *a = compare_args(c, &(Pool2dFwd){.shape = shape, .act = k->act, .kind = k->kind}, sizeof *a);
    IN(x, .type = k->act, .rows = plane_rows(&shape.from), .cols = k->cols, .empty = !plane_rows(&shape.from), .pattern = k->pattern);
    OUT(y, .type = k->act, .rows = plane_rows(&to), .cols = k->cols, .empty = !plane_rows(&to), .exact = k->kind == POOL_MAX);
}
KERNEL_TEST(pool2d_fwd, CASES, pool2d_case)

TEST(ref_pool2d_leaves_out_what_is_outside)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    const double x[] = {-1, -2, -3, -4, -5, -9};
    double y[6];
    Pool2dFwd a = {.shape = {.from = {1, 2, 3}, .in = 1, .out = 1, .kernel_height = 3, .kernel_width = 3, .stride = 1, .top = 1, .left = 1,
                             .bottom = 1, .right = 1},
                   .act = F64, .kind = POOL_MEAN, .x = x, .y = y};
    CHECK_OK(ref.ops.pool2d_fwd(&ref.ctx, &a));
    CHECK(y[0] == -3 && y[1] == -4 && y[2] == -4.75 && y[4] == -4);
    a.kind = POOL_MAX;
    CHECK_OK(ref.ops.pool2d_fwd(&ref.ctx, &a));
    CHECK(y[0] == -1 && y[2] == -2 && y[5] == -2);
}

TEST(pool2d_refuses_wrong_arguments)
{
    float x[64] = {0};
    const ConvShape s = {.from = {1, 2, 2}, .in = 1, .out = 1, .kernel_height = 3, .kernel_width = 2, .stride = 1, .top = 1, .left = 1,
                         .bottom = 1, .right = 1};
    Pool2dFwd a = {.shape = s, .x = x, .y = x + 32};
    a.shape.out = 2;
    REFUSED(pool2d_fwd, &a, ERR_INTERNAL, "pool2d_fwd: 1 channels become 2");
    a.shape = s, a.shape.bottom = 3;
    REFUSED(pool2d_fwd, &a, ERR_INTERNAL, "pool2d_fwd: windows of 3x2 beside the image: 1, 3, 1, 1 rows and columns around it");
    a.shape = s, a.shape.right = 2;
    REFUSED(pool2d_fwd, &a, ERR_INTERNAL, "pool2d_fwd: windows of 3x2 beside the image: 1, 1, 1, 2 rows and columns around it");
    a.shape = s, a.shape.stride = 0;
    REFUSED(pool2d_fwd, &a, ERR_INTERNAL, "pool2d_fwd: stride is 0, expected 1 or more");
    a.shape = s, a.shape.from.images = (int64_t)1 << 30;
    REFUSED(pool2d_fwd, &a, ERR_INTERNAL, "pool2d_fwd: 2^31 pixels or more");
    a.shape = s, a.act = I32;
    REFUSED(pool2d_fwd, &a, ERR_INTERNAL, "pool2d_fwd: act is I32, expected F32, BF16 or F64");
}
