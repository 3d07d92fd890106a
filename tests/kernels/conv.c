/* conv2d_fwd, conv2d_dx, conv2d_dw */
#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

typedef struct ConvCase {
    int64_t images, height, width, in, out, kernel_height, kernel_width, stride, top, left, bottom, right;
    DType act, w;
    bool bias, shift, add; /* of the forward */
    bool accumulate;       /* of the backward */
    Pattern pattern;
    double scale;
    const char *why;
} ConvCase;

static const ConvCase CASES[] = {
    /* B   Y   X   in  out K  K' s t  l  b  r  act   w     bias shift add acc pattern scale */
    {  1,  1,  1,   1,   1, 1, 1, 1, 0, 0, 0, 0, F32,  F32,  0, 0, 0, 0, UNIFORM, 1, "smallest"},
    {  0,  4,  4,   3,   5, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 1, 1, 1, UNIFORM, 1, "no images"},
    {  2,  5,  4,   0,   3, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 1, 0, 1, UNIFORM, 1, "no channels: bias and shift"},
    {  2,  2,  1,   3,   4, 4, 4, 1, 0, 0, 0, 0, F32,  F32,  1, 0, 0, 0, UNIFORM, 1, "a kernel larger than the image: no output"},
    {  2,  3,  2,   5,   4, 1, 1, 1, 0, 0, 0, 0, F32,  F32,  1, 1, 1, 1, UNIFORM, 1, "1x1"},
    {  3,  1,  1,   7,   5, 1, 1, 1, 0, 0, 0, 0, F32,  F32,  0, 1, 0, 1, UNIFORM, 1, "1x1, images of one pixel"},
    {  3,  1,  1,   7,   5, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 0, 1, 0, UNIFORM, 1, "3x3, images of one pixel"},
    {  2,  5,  7,   3,  11, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 1, 1, 1, UNIFORM, 1, "3x3, primes, everything added"},
    {  2,  6,  4,   9,   6, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  0, 0, 0, 0, UNIFORM, 1, "3x3, nothing added"},
    {  1,  8,  9,  20,  17, 3, 3, 1, 1, 1, 1, 1, F32,  BF16, 1, 0, 1, 1, UNIFORM, 1, "bf16 weights, f32 activations"},
    {  2,  7,  8,   5,   6, 3, 3, 2, 1, 1, 1, 1, F32,  F32,  1, 0, 0, 1, UNIFORM, 1, "stride 2"},
    {  2,  8,  6,   5,   6, 3, 3, 2, 0, 0, 1, 1, F32,  F32,  1, 1, 1, 0, UNIFORM, 1, "stride 2, zeros below and right alone"},
    {  1,  5,  5,   4,   4, 3, 3, 2, 0, 0, 1, 1, F32,  F32,  0, 0, 1, 1, UNIFORM, 1, "stride 2, odd size, zeros below and right alone"},
    {  1,  9,  5,   3,   4, 2, 2, 3, 2, 0, 1, 3, F32,  F32,  1, 0, 0, 1, UNIFORM, 1, "a stride larger than the kernel, pads all different"},
    {  2,  6,  7,   3,   4, 5, 5, 1, 2, 3, 0, 1, F32,  F32,  1, 0, 0, 0, UNIFORM, 1, "5x5, pads all different"},
    {  1,  4,  5,  33,  40, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 1, 0, 0, MIXED,   1, "subnormal numbers, zeros"},
    {  1,  4,  5,  33,  40, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  0, 0, 0, 1, SPIKE, 100, "one element dominates"},
    {  2,  5,  7,   3,  11, 3, 3, 1, 1, 1, 1, 1, BF16, BF16, 1, 1, 1, 1, UNIFORM, 1, "bf16, primes, everything added"},
    {  1,  6,  7,  66,  70, 3, 3, 1, 1, 1, 1, 1, BF16, BF16, 1, 0, 0, 0, UNIFORM, 1, "bf16, past the vector"},
    {  2,  9,  7,  40,  72, 3, 3, 1, 1, 1, 1, 1, BF16, BF16, 1, 1, 1, 1, UNIFORM, 1, "bf16, multiples of eight"},
    {  2,  7,  9, 136, 152, 3, 3, 2, 0, 0, 1, 1, BF16, BF16, 0, 0, 0, 0, UNIFORM, 1, "bf16, multiples of eight, past the tiles, stride 2"},
    {  2,  8,  6,  13,   6, 3, 3, 2, 0, 0, 1, 1, BF16, BF16, 1, 1, 1, 1, UNIFORM, 1, "bf16, stride 2, zeros below and right alone"},
    {  2,  6,  5,  12,  14, 3, 3, 2, 1, 1, 1, 1, BF16, BF16, 0, 0, 1, 1, UNIFORM, 1, "bf16, stride 2"},
    {  2,  3,  2,   5,   4, 1, 1, 1, 0, 0, 0, 0, BF16, F32,  1, 1, 1, 1, UNIFORM, 1, "bf16 activations, f32 weights, 1x1"},
    {  2,  5,  9,   3,  11, 1, 7, 1, 0, 3, 0, 3, F32,  F32,  1, 1, 1, 1, UNIFORM, 1, "1x7"},
    {  2,  9,  5,  20,   6, 7, 1, 1, 3, 0, 3, 0, F32,  F32,  1, 0, 0, 0, UNIFORM, 1, "7x1"},
    {  1,  7,  6,   5,   4, 3, 2, 2, 0, 1, 2, 0, F32,  F32,  0, 0, 1, 1, UNIFORM, 1, "3x2, stride 2, pads all different"},
    {  1,  6,  7, 345,   9, 2, 3, 1, 1, 0, 0, 1, F32,  BF16, 0, 1, 0, 1, UNIFORM, 1, "2x3, many channels, bf16 weights"},
    {  2,  6,  7,  40,  72, 1, 3, 1, 0, 1, 0, 1, BF16, BF16, 1, 1, 1, 1, UNIFORM, 1, "bf16, 1x3, multiples of eight"},
    {  2,  6,  7,  13,   6, 3, 1, 1, 1, 0, 1, 0, BF16, BF16, 0, 0, 0, 0, UNIFORM, 1, "bf16, 3x1"},
};

/* Shapes that are filtered in tiles of 4×4 (`winograd`). */
static const ConvCase WINOGRAD_CASES[] = {
    /* B   Y   X   in  out K  K' s t  l  b  r  act   w     bias shift add acc pattern scale */
    {  1,  8,  8,  64,  64, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  0, 0, 0, 0, UNIFORM, 1, "whole tiles"},
    {  2,  9, 11,  37,  41, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 1, 1, 1, UNIFORM, 1, "parts of tiles, primes, everything added"},
    {  3, 12,  6,  40,  33, 3, 3, 1, 0, 2, 1, 0, F32,  F32,  1, 0, 0, 1, UNIFORM, 1, "pads all different"},
    {  1, 14, 14,  70,  49, 3, 3, 1, 0, 0, 0, 0, F32,  F32,  0, 1, 0, 0, UNIFORM, 1, "no zeros around"},
    {  1, 10, 12, 345,  70, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  1, 0, 1, 1, UNIFORM, 1, "several chunks of channels"},
    {  1, 12, 10,  33, 360, 3, 3, 1, 1, 1, 1, 1, F32,  BF16, 0, 0, 1, 1, UNIFORM, 1, "bf16 weights, several chunks of channels backwards"},
    {  1, 12, 12,  40,  40, 3, 3, 1, 1, 1, 1, 1, F32,  F32,  0, 0, 0, 0, OFFSET, 10, "sums that are large beside what makes them differ"},
    {  2,  7,  8,  34,  36, 3, 3, 2, 1, 1, 1, 1, F32,  F32,  1, 0, 0, 1, UNIFORM, 1, "stride 2 is not filtered"},
    {  2,  8,  8,  34,  36, 3, 1, 1, 1, 0, 1, 0, F32,  F32,  1, 0, 0, 1, UNIFORM, 1, "3x1 is not filtered"},
    {  2,  8,  8,  34,  36, 3, 3, 1, 1, 1, 1, 1, BF16, BF16, 1, 0, 0, 1, UNIFORM, 1, "bf16 is not filtered"},
};

static ConvShape shape_of(const ConvCase *k)
{
    return (ConvShape){.from = {k->images, k->height, k->width}, .in = k->in, .out = k->out, .kernel_height = k->kernel_height,
                       .kernel_width = k->kernel_width, .stride = k->stride,
                       .top = k->top, .left = k->left, .bottom = k->bottom, .right = k->right};
}

static int64_t weights_of(const ConvCase *k) { return k->kernel_height * k->kernel_width * k->in; }

/* Images [rows of the plane, channels], of which there may be none. */
#define IMAGES(plane, channels) .rows = plane_rows(&(plane)), .cols = (channels), .empty = !plane_rows(&(plane))

static void conv2d_fwd_case(Comparison *c, const void *row)
{
    const ConvCase *k = row;
    Conv2dFwd *a = compare_args(c, &(Conv2dFwd){.shape = shape_of(k), .act = k->act, .w_type = k->w, .bias_type = F32}, sizeof *a);
    Plane to = conv_to(&a->shape);
    IN(x, .type = k->act, IMAGES(a->shape.from, k->in), .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .rows = k->out, .cols = weights_of(k), .pattern = k->pattern, .scale = k->scale);
    if (k->bias)
        IN(bias, .type = F32, .cols = k->out);
    if (k->shift)
        IN(shift, .type = k->act, .rows = k->images, .cols = k->out, .empty = !k->images);
    if (k->add)
        IN(add, .type = k->act, IMAGES(to, k->out));
    OUT(y, .type = k->act, IMAGES(to, k->out));
}
KERNEL_TEST(conv2d_fwd, CASES, conv2d_fwd_case)

/* What conv.h allows, where a tile has one scale. */
#define FILTERED .times = k->act == F32 ? 3 : 0, .most = 3e-5

static void winograd_fwd_case(Comparison *c, const void *row)
{
    const ConvCase *k = row;
    Conv2dFwd *a = compare_args(c, &(Conv2dFwd){.shape = shape_of(k), .act = k->act, .w_type = k->w, .winograd = true}, sizeof *a);
    Plane to = conv_to(&a->shape);
    IN(x, .type = k->act, IMAGES(a->shape.from, k->in), .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .rows = k->out, .cols = weights_of(k), .pattern = k->pattern, .scale = k->scale);
    if (k->bias)
        IN(bias, .type = F32, .cols = k->out);
    if (k->shift)
        IN(shift, .type = k->act, .rows = k->images, .cols = k->out);
    if (k->add && k->accumulate) {
        INOUT(y, .type = k->act, IMAGES(to, k->out), FILTERED);
        ALIAS(add, y);
        return;
    }
    if (k->add)
        IN(add, .type = k->act, IMAGES(to, k->out));
    OUT(y, .type = k->act, IMAGES(to, k->out), FILTERED);
}
KERNEL_TEST_NAMED(winograd_fwd, conv2d_fwd, WINOGRAD_CASES, winograd_fwd_case)

static void conv2d_in_place_case(Comparison *c, const void *row)
{
    const ConvCase *k = row;
    Conv2dFwd *a = compare_args(c, &(Conv2dFwd){.shape = shape_of(k), .act = k->act, .w_type = k->w}, sizeof *a);
    Plane to = conv_to(&a->shape);
    IN(x, .type = k->act, IMAGES(a->shape.from, k->in), .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .rows = k->out, .cols = weights_of(k), .pattern = k->pattern, .scale = k->scale);
    INOUT(y, .type = k->act, IMAGES(to, k->out));
    ALIAS(add, y);
}
KERNEL_TEST_NAMED(conv2d_onto_its_addend, conv2d_fwd, CASES, conv2d_in_place_case)

static void conv2d_dx_case(Comparison *c, const void *row)
{
    const ConvCase *k = row;
    Conv2dDx *a = compare_args(c, &(Conv2dDx){.shape = shape_of(k), .act = k->act, .w_type = k->w, .accumulate = k->accumulate}, sizeof *a);
    Plane to = conv_to(&a->shape);
    IN(dy, .type = k->act, IMAGES(to, k->out), .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .rows = k->out, .cols = weights_of(k), .pattern = k->pattern, .scale = k->scale);
    OUT_OR_SUM(dx, k->accumulate, .type = k->act, IMAGES(a->shape.from, k->in));
}
KERNEL_TEST(conv2d_dx, CASES, conv2d_dx_case)

static void winograd_dx_case(Comparison *c, const void *row)
{
    const ConvCase *k = row;
    Conv2dDx args = {.shape = shape_of(k), .act = k->act, .w_type = k->w, .winograd = true, .accumulate = k->accumulate};
    Conv2dDx *a = compare_args(c, &args, sizeof args);
    Plane to = conv_to(&a->shape);
    IN(dy, .type = k->act, IMAGES(to, k->out), .pattern = k->pattern, .scale = k->scale);
    IN(w, .type = k->w, .rows = k->out, .cols = weights_of(k), .pattern = k->pattern, .scale = k->scale);
    OUT_OR_SUM(dx, k->accumulate, .type = k->act, IMAGES(a->shape.from, k->in), FILTERED);
}
KERNEL_TEST_NAMED(winograd_dx, conv2d_dx, WINOGRAD_CASES, winograd_dx_case)

static void conv2d_dw_case(Comparison *c, const void *row)
{
    const ConvCase *k = row;
    Conv2dDw *a = compare_args(c, &(Conv2dDw){.shape = shape_of(k), .act = k->act, .dw_type = F32, .accumulate = k->accumulate}, sizeof *a);
    Plane to = conv_to(&a->shape);
    IN(x, .type = k->act, IMAGES(a->shape.from, k->in), .pattern = k->pattern, .scale = k->scale);
    IN(dy, .type = k->act, IMAGES(to, k->out), .pattern = k->pattern, .scale = k->scale);
    OUT_OR_SUM(dw, k->accumulate, .type = F32, .rows = k->out, .cols = weights_of(k));
}
KERNEL_TEST(conv2d_dw, CASES, conv2d_dw_case)

TEST(ref_conv2d_gives_known_sums)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    /* A picture 1 … 6 of two rows, a kernel that takes what lies above and ten times what lies right. */
    const double x[] = {1, 2, 3, 4, 5, 6}, w[] = {0, 1, 0, 0, 0, 10, 0, 0, 0}, bias[] = {100}, shift[] = {1000}, add[] = {1, 1, 1, 1, 1, 1};
    double y[6];
    Conv2dFwd a = {.shape = {.from = {1, 2, 3}, .in = 1, .out = 1, .kernel_height = 3, .kernel_width = 3, .stride = 1, .top = 1,
                             .left = 1, .bottom = 1, .right = 1},
                   .act = F64, .w_type = F64, .bias_type = F64, .x = x, .w = w, .bias = bias, .shift = shift, .add = add, .y = y};
    CHECK_OK(ref.ops.conv2d_fwd(&ref.ctx, &a));
    const double wanted[] = {1121, 1131, 1101, 1152, 1163, 1104};
    for (int i = 0; i < 6; i++)
        CHECK(y[i] == wanted[i]);
    /* Every second pixel, zeros below and right alone. */
    a.shape.stride = 2, a.shape.top = a.shape.left = 0;
    a.bias = a.shift = a.add = NULL;
    CHECK(conv_to(&a.shape).height == 1 && conv_to(&a.shape).width == 1);
    CHECK_OK(ref.ops.conv2d_fwd(&ref.ctx, &a));
    CHECK(y[0] == 2 + 60);
}

TEST(ref_conv2d_backwards_are_derivatives)
{
    static const ConvCase SHAPES[] = {
        {.images = 2, .height = 3, .width = 4, .in = 3, .out = 2, .kernel_height = 3, .kernel_width = 3, .stride = 1,
         .top = 1, .left = 1, .bottom = 1, .right = 1},
        {.images = 1, .height = 5, .width = 4, .in = 2, .out = 3, .kernel_height = 3, .kernel_width = 3, .stride = 2,
         .bottom = 1, .right = 1},
        {.images = 1, .height = 5, .width = 6, .in = 2, .out = 3, .kernel_height = 2, .kernel_width = 2, .stride = 3, .top = 2, .right = 3},
        {.images = 2, .height = 4, .width = 5, .in = 2, .out = 3, .kernel_height = 1, .kernel_width = 4, .stride = 1,
         .left = 2, .right = 1},
        {.images = 1, .height = 6, .width = 3, .in = 2, .out = 2, .kernel_height = 5, .kernel_width = 2, .stride = 2, .top = 2, .left = 1}};
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        const ConvCase *k = &SHAPES[i];
        ConvShape s = shape_of(k);
        Plane to = conv_to(&s);
        int64_t n_x = plane_rows(&s.from) * k->in, n_y = plane_rows(&to) * k->out, n_w = k->out * weights_of(k);
        double *x = random_values(n_x, 1), *w = random_values(n_w, 2), *dy = random_values(n_y, 3), *y = zero_values(n_y),
               *dx = zero_values(n_x), *dw = zero_values(n_w);
        Conv2dFwd a = {.shape = s, .act = F64, .w_type = F64, .x = x, .w = w, .y = y};
        CHECK_OK(ref.ops.conv2d_dx(&ref.ctx, &(Conv2dDx){.shape = s, .act = F64, .w_type = F64, .dy = dy, .w = w, .dx = dx}));
        CHECK_OK(ref.ops.conv2d_dw(&ref.ctx, &(Conv2dDw){.shape = s, .act = F64, .dw_type = F64, .x = x, .dy = dy, .dw = dw}));
        Forward f = {.ref = &ref, .op = OP_conv2d_fwd, .args = &a, .y = y, .dy = dy, .n = n_y};
        CHECK_GRADIENT(&f, x, dx, n_x);
        CHECK_GRADIENT(&f, w, dw, n_w);
    }
}

TEST(conv2d_refuses_wrong_arguments)
{
    float x[64] = {0};
    ConvShape s = {.from = {1, 2, 2},
                   .in = 1,
                   .out = 1,
                   .kernel_height = 3,
                   .kernel_width = 3,
                   .stride = 1,
                   .top = 1,
                   .left = 1,
                   .bottom = 1,
                   .right = 1};
    Conv2dFwd fwd = {.shape = s, .x = x, .w = x + 8, .y = x + 32};
    fwd.shape.stride = 0;
    REFUSED(conv2d_fwd, &fwd, ERR_INTERNAL, "conv2d_fwd: stride is 0, expected 1 or more");
    fwd.shape = s, fwd.shape.left = -1;
    REFUSED(conv2d_fwd, &fwd, ERR_INTERNAL, "conv2d_fwd: left is -1, expected 0 or more");
    fwd.shape = s, fwd.w_type = I32;
    REFUSED(conv2d_fwd, &fwd, ERR_INTERNAL, "conv2d_fwd: w_type is I32, expected F32, BF16 or F64");
    Conv2dDx dx = {.shape = s, .dy = x, .w = x + 8, .dx = x + 32};
    dx.shape.kernel_height = 0;
    REFUSED(conv2d_dx, &dx, ERR_INTERNAL, "conv2d_dx: kernel_height is 0, expected 1 or more");
    dx.shape = s, dx.shape.kernel_width = 0;
    REFUSED(conv2d_dx, &dx, ERR_INTERNAL, "conv2d_dx: kernel_width is 0, expected 1 or more");
    Conv2dDw dw = {.shape = s, .x = x, .dy = x + 8, .dw = x + 32, .dw_type = BF16};
    REFUSED(conv2d_dw, &dw, ERR_INTERNAL, "conv2d_dw: dw_type is BF16, expected F32 or F64");
}
