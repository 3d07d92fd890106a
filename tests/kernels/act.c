/* swiglu, gelu, add_scaled, dropout */
#include <math.h>

#include "kernels/base/philox.h"
#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

#define MATRIX .type = k->act, .rows = k->rows, .cols = k->cols, .empty = k->rows == 0

typedef struct SwigluCase {
    int64_t rows, cols, pad;
    DType act;
    bool in_place;
    Pattern pattern;
    double scale;
    const char *why;
} SwigluCase;

static const SwigluCase SWIGLU_CASES[] = {
    /* rows cols pad act   in place pattern scale */
    {   1,   1,  0, F32,  false, UNIFORM, 1, "smallest"},
    {   0,   7,  0, F32,  false, UNIFORM, 1, "no rows"},
    {   7,  13,  0, F32,  false, UNIFORM, 4, "primes"},
    {  33, 257, 19, F32,  false, UNIFORM, 4, "strides: gate and up side by side"},
    {   9, 128,  0, F32,  true,  UNIFORM, 4, "gradients in place"},
    {   9, 127,  5, F32,  true,  UNIFORM, 4, "gradients in place, strides"},
    { 301, 259,  3, F32,  false, UNIFORM, 4, "large enough for two threads"},
    {   5,  40,  0, F32,  false, UNIFORM, 100, "the sigmoid saturates"},
    {   5,  40,  0, F32,  false, UNIFORM, 1e9, "exp overflows"},
    {   5,  40,  0, F32,  false, MIXED,   1, "subnormal numbers, zeros"},
    {   7,  13,  1, BF16, false, UNIFORM, 4, "bf16, odd strides"},
    {  33, 256,  0, BF16, true,  UNIFORM, 4, "bf16, in place"},
    {   5,  40,  0, BF16, false, UNIFORM, 100, "bf16, the sigmoid saturates"},
};

static void swiglu_fwd_case(Comparison *c, const void *row)
{
    const SwigluCase *k = row;
    SwigluFwd args = {.rows = k->rows, .cols = k->cols, .ldg = k->cols + k->pad, .ldu = k->cols + 2 * k->pad, .act = k->act,
                      .ldy = k->pad ? k->cols + 3 * k->pad : 0};
    SwigluFwd *a = compare_args(c, &args, sizeof args);
    IN(g, MATRIX, .ld = a->ldg, .pattern = k->pattern, .scale = k->scale);
    IN(u, MATRIX, .ld = a->ldu, .pattern = UNIFORM);
    OUT(y, MATRIX, .ld = a->ldy);
}
KERNEL_TEST(swiglu_fwd, SWIGLU_CASES, swiglu_fwd_case)

static void swiglu_bwd_case(Comparison *c, const void *row)
{
    const SwigluCase *k = row;
    int64_t ldg = k->cols + k->pad, ldu = k->cols + 2 * k->pad;
    SwigluBwd args = {.rows = k->rows, .cols = k->cols, .ldg = ldg, .ldu = ldu, .lddg = k->in_place ? ldg : ldg + 1,
                      .lddu = k->in_place ? ldu : ldu + 3, .act = k->act, .ldy = k->pad ? k->cols + 3 * k->pad : 0};
    SwigluBwd *a = compare_args(c, &args, sizeof args);
    IN(g, MATRIX, .ld = ldg, .pattern = k->pattern, .scale = k->scale);
    IN(u, MATRIX, .ld = ldu, .pattern = UNIFORM);
    IN(dy, MATRIX, .pattern = UNIFORM);
    if (k->in_place) {
        ALIAS(dg, g);
        ALIAS(du, u);
    } else {
        OUT(dg, MATRIX, .ld = a->lddg);
        OUT(du, MATRIX, .ld = a->lddu);
    }
    if (k->rows % 2)
        OUT(y, MATRIX, .ld = a->ldy);
}
KERNEL_TEST(swiglu_bwd, SWIGLU_CASES, swiglu_bwd_case)

typedef struct GeluCase {
    int64_t n;
    DType act;
    GeluKind kind;
    bool in_place, accumulate;
    Pattern pattern;
    double scale;
    const char *why;
} GeluCase;

static const GeluCase GELU_CASES[] = {
    {    0, F32,  GELU_ERF,  false, false, UNIFORM, 1, "nothing"},
    {    1, F32,  GELU_ERF,  false, false, UNIFORM, 1, "smallest"},
    {   17, F32,  GELU_ERF,  false, true,  UNIFORM, 3, "prime, accumulate"},
    { 1001, F32,  GELU_ERF,  true,  false, UNIFORM, 3, "in place"},
    { 4099, F32,  GELU_ERF,  false, false, UNIFORM, 8, "tails"},
    {100003, F32, GELU_ERF,  false, false, UNIFORM, 3, "large enough for two threads"},
    {  257, F32,  GELU_ERF,  false, false, UNIFORM, 1e6, "large"},
    {  257, F32,  GELU_ERF,  false, true,  MIXED,   1, "subnormal numbers, zeros"},
    {  257, BF16, GELU_ERF,  false, true,  UNIFORM, 3, "bf16, accumulate"},
    { 1001, BF16, GELU_ERF,  true,  false, UNIFORM, 8, "bf16, in place"},
    {    1, F32,  GELU_TANH, false, false, EQUAL,   1, "tanh, smallest"},
    {   17, F32,  GELU_TANH, false, true,  UNIFORM, 3, "tanh, prime, accumulate"},
    { 1001, F32,  GELU_TANH, true,  true,  UNIFORM, 3, "tanh, in place"},
    { 4099, F32,  GELU_TANH, false, false, UNIFORM, 8, "tanh, tails"},
    {  257, F32,  GELU_TANH, false, false, UNIFORM, 1e6, "tanh, large"},
    {  257, F32,  GELU_TANH, false, false, MIXED,   1, "tanh, subnormal numbers, zeros"},
    {  257, BF16, GELU_TANH, false, true,  UNIFORM, 3, "tanh, bf16, accumulate"},
};

static void gelu_fwd_case(Comparison *c, const void *row)
{
    const GeluCase *k = row;
    GeluFwd *a = compare_args(c, &(GeluFwd){.n = k->n, .act = k->act, .kind = k->kind}, sizeof *a);
    IN(x, .type = k->act, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    if (k->in_place)
        ALIAS(y, x);
    else
        OUT(y, .type = k->act, .cols = k->n);
}
KERNEL_TEST(gelu_fwd, GELU_CASES, gelu_fwd_case)

static void gelu_bwd_case(Comparison *c, const void *row)
{
    const GeluCase *k = row;
    GeluBwd args = {.n = k->n, .act = k->act, .kind = k->kind, .accumulate = k->accumulate};
    GeluBwd *a = compare_args(c, &args, sizeof args);
    IN(x, .type = k->act, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    IN(dy, .type = k->act, .cols = k->n, .pattern = UNIFORM);
    if (k->in_place)
        ALIAS(dx, dy);
    else
        OUT_OR_SUM(dx, k->accumulate, .type = k->act, .cols = k->n);
}
KERNEL_TEST(gelu_bwd, GELU_CASES, gelu_bwd_case)

typedef enum Place { APART, Y_IS_A, Y_IS_B } Place;

typedef struct AddCase {
    int64_t n;
    DType a, b, y;
    bool has_b;
    Place place;
    double alpha, beta;
    Pattern pattern;
    double scale;
    const char *why;
} AddCase;

static const AddCase ADD_CASES[] = {
    {    1, F32,  F32,  F32,  true,  APART,  1, 1,    UNIFORM, 1, "smallest"},
    { 1025, F32,  F32,  F32,  true,  APART,  1, 1,    UNIFORM, 1, "sum"},
    { 1025, F32,  F32,  F32,  true,  Y_IS_A, 1, -2.5, UNIFORM, 1, "in place of a"},
    { 1025, F32,  F32,  F32,  true,  Y_IS_B, 3, 0.1,  UNIFORM, 1, "in place of b"},
    {  321, F32,  F32,  F32,  false, Y_IS_A, 0.3, 9,  UNIFORM, 1, "scaled in place"},
    {  321, F32,  F32,  BF16, false, APART,  1, 0,    UNIFORM, 1, "cast down"},
    {  321, BF16, F32,  F32,  false, APART,  1, 0,    UNIFORM, 1, "cast up"},
    {  321, BF16, F32,  BF16, true,  APART,  1, 1,    UNIFORM, 1, "three types"},
    { 1025, BF16, BF16, BF16, true,  Y_IS_A, 1, 1,    UNIFORM, 1, "bf16 in place"},
    { 1025, F32,  F32,  BF16, false, APART,  1, 0,    MIXED,   1, "cast down, subnormal numbers"},
    {100003, F32, F32,  BF16, true,  APART,  2, 0.5,  UNIFORM, 1, "large enough for two threads"},
    {  321, F32,  F32,  F32,  true,  APART,  1, 1,    UNIFORM, 1.5e38, "near the top of the range"},
};

static void add_scaled_case(Comparison *c, const void *row)
{
    const AddCase *k = row;
    AddScaled args = {.n = k->n, .a_type = k->a, .b_type = k->b, .y_type = k->y, .alpha = k->alpha, .beta = k->beta};
    AddScaled *a = compare_args(c, &args, sizeof args);
    IN(a, .type = k->a, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    if (k->has_b)
        IN(b, .type = k->b, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    if (k->place == Y_IS_A)
        ALIAS(y, a);
    else if (k->place == Y_IS_B)
        ALIAS(y, b);
    else
        OUT(y, .type = k->y, .cols = k->n);
}
KERNEL_TEST(add_scaled, ADD_CASES, add_scaled_case)

typedef struct DropoutCase {
    int64_t rows, cols;
    DType act;
    double p;
    bool accumulate;
    const char *why;
} DropoutCase;

static const DropoutCase DROPOUT_CASES[] = {
    {  1,   1, F32,  0.5,  false, "smallest"},
    {  0,   5, F32,  0.5,  false, "no rows"},
    {  7,  13, F32,  0.5,  false, "groups of eight cut off"},
    { 33, 258, F32,  0.05, true,  "accumulate"},
    {301, 258, F32,  0.1,  false, "large enough for two threads"},
    {  9,  64, F32,  0,    false, "keeps everything"},
    {  9,  67, F32,  0.99, false, "drops nearly everything"},
    {  7,  13, BF16, 0.3,  false, "bf16"},
    { 33,  64, BF16, 0.05, true,  "bf16, accumulate"},
};

static int64_t position(int64_t i, const void *arg)
{
    (void)arg;
    return i * 37 % 5000;
}

static int64_t item(int64_t i, const void *arg)
{
    (void)arg;
    return 1000003 * (i / 3);
}

static void dropout_case(Comparison *c, const void *row)
{
    const DropoutCase *k = row;
    Dropout args = {.rows = k->rows, .cols = k->cols, .act = k->act, .p = k->p, .key = 0x123456789abcdef0, .accumulate = k->accumulate};
    Dropout *a = compare_args(c, &args, sizeof args);
    IN(row_pos, .type = I32, .cols = k->rows, .data = compare_indices(c, k->rows, position, NULL));
    IN(row_item, .type = I32, .cols = k->rows, .data = compare_indices(c, k->rows, item, NULL));
    IN(x, MATRIX, .pattern = UNIFORM);
    OUT_OR_SUM(y, k->accumulate, MATRIX);
}
KERNEL_TEST(dropout, DROPOUT_CASES, dropout_case)

/* ---------------------------------------------------------------- the specification itself */

enum { AGAIN_ROWS = 3, AGAIN_COLS = 37, AGAIN = AGAIN_ROWS * AGAIN_COLS };

/* y from the backward has the bits of the forward's. */
static void again(Backend *b, const char *name)
{
    float host[4][AGAIN], y[2][AGAIN], *x[6];
    for (int i = 0; i < 6; i++) {
        void *p;
        REQUIRE_OK(b->mem_create(b, sizeof host[0], &p));
        x[i] = p;
    }
    for (int i = 0; i < AGAIN; i++)
        for (int k = 0; k < 4; k++)
            host[k][i] = (float)sin(1 + 7.3 * i + 2.1 * k) * (k == 2 ? 1 : 9);
    for (int k = 0; k < 4; k++)
        REQUIRE_OK(b->upload(b, x[k], host[k], sizeof host[k]));
    for (int norm = 0; norm < 2; norm++) {
        if (norm) {
            CHECK_OK(b->ops.rmsnorm_fwd(&b->ctx, &(RmsNormFwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .act = F32, .w_type = F32,
                                                               .eps = 1e-5, .x = x[0],
                                                               .w = x[1], .y = x[4], .rstd = x[3]}));
            CHECK_OK(b->ops.rmsnorm_bwd(&b->ctx, &(RmsNormBwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .act = F32, .w_type = F32,
                                                               .x = x[0], .w = x[1],
                                                               .rstd = x[3], .dy = x[2], .dx = x[2], .y = x[5]}));
        } else {
            CHECK_OK(b->ops.swiglu_fwd(&b->ctx, &(SwigluFwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .ldg = AGAIN_COLS, .ldu = AGAIN_COLS,
                                                             .act = F32,
                                                             .g = x[0], .u = x[1], .y = x[4]}));
            CHECK_OK(b->ops.swiglu_bwd(&b->ctx, &(SwigluBwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .ldg = AGAIN_COLS, .ldu = AGAIN_COLS,
                                                             .lddg = AGAIN_COLS, .lddu = AGAIN_COLS, .act = F32, .g = x[0], .u = x[1],
                                                                     .dy = x[2],
                                                             .dg = x[0], .du = x[1], .y = x[5]}));
        }
        for (int k = 0; k < 2; k++)
            REQUIRE_OK(b->download(b, y[k], x[4 + k], sizeof y[k]));
        CHECK_MSG(!memcmp(y[0], y[1], sizeof y[0]), "%s: %s once more is another", name, norm ? "rmsnorm" : "swiglu");
    }
    for (int i = 0; i < 6; i++)
        b->mem_destroy(b, x[i]);
}

TEST(backwards_give_the_forwards_result_again) { compare_each(again); }

TEST(ref_swiglu_is_the_formula_and_its_derivative)
{
    enum { N = 12 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *g = random_values(N, 1), *u = random_values(N, 2), *dy = random_values(N, 3), y[N], dg[N], du[N];
    SwigluFwd fwd = {.rows = 3, .cols = 4, .ldg = 4, .ldu = 4, .act = F64, .g = g, .u = u, .y = y};
    REQUIRE_OK(ref.ops.swiglu_fwd(&ref.ctx, &fwd));
    CHECK_NEAR(y[5], g[5] / (1 + exp(-g[5])) * u[5], 1e-16);
    SwigluBwd bwd = {.rows = 3, .cols = 4, .ldg = 4, .ldu = 4, .lddg = 4, .lddu = 4, .act = F64, .g = g, .u = u, .dy = dy, .dg = dg,
                     .du = du};
    REQUIRE_OK(ref.ops.swiglu_bwd(&ref.ctx, &bwd));
    Forward f = {&ref, OP_swiglu_fwd, &fwd, y, dy, N};
    CHECK_GRADIENT(&f, g, dg, N);
    CHECK_GRADIENT(&f, u, du, N);
}

TEST(ref_gelu_has_known_values_and_its_derivative)
{
    enum { N = 40 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    /* Φ(1) = 0.8413447460685429, Φ(-2) = 0.022750131948179195; the approximation at 1 from its published definition. */
    double z[] = {0, 1, -2}, y[N];
    REQUIRE_OK(ref.ops.gelu_fwd(&ref.ctx, &(GeluFwd){.n = 3, .act = F64, .kind = GELU_ERF, .x = z, .y = y}));
    CHECK(y[0] == 0);
    CHECK_NEAR(y[1], 0.8413447460685429, 1e-15);
    CHECK_NEAR(y[2], -2 * 0.022750131948179195, 1e-15);
    REQUIRE_OK(ref.ops.gelu_fwd(&ref.ctx, &(GeluFwd){.n = 2, .act = F64, .kind = GELU_TANH, .x = z, .y = y}));
    CHECK_NEAR(y[1], 0.84119199060827676, 1e-15);
    for (GeluKind kind = GELU_ERF; kind <= GELU_TANH; kind++) {
        double *x = random_values(N, 1), *dy = random_values(N, 2), dx[N];
        for (int i = 0; i < N; i++)
            x[i] *= 4;
        GeluFwd fwd = {.n = N, .act = F64, .kind = kind, .x = x, .y = y};
        GeluBwd bwd = {.n = N, .act = F64, .kind = kind, .x = x, .dy = dy, .dx = dx};
        REQUIRE_OK(ref.ops.gelu_bwd(&ref.ctx, &bwd));
        Forward f = {&ref, OP_gelu_fwd, &fwd, y, dy, N};
        CHECK_GRADIENT(&f, x, dx, N);
    }
}

TEST(ref_dropout_depends_on_key_position_and_item_only)
{
    enum { ROWS = 200, COLS = 50 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    static double x[ROWS * COLS], y[ROWS * COLS];
    static int32_t pos[ROWS], items[ROWS];
    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = 1;
    for (int i = 0; i < ROWS; i++) {
        pos[i] = i % 100; /* rows i and i+100 stand at the same place of the same sample */
        items[i] = 7;
    }
    Dropout d = {.rows = ROWS, .cols = COLS, .act = F64, .p = 0.25, .key = 99, .row_pos = pos, .row_item = items, .x = x, .y = y};
    REQUIRE_OK(ref.ops.dropout(&ref.ctx, &d));
    CHECK(!memcmp(y, y + ROWS / 2 * COLS, sizeof y / 2));
    int kept = 0;
    for (int i = 0; i < ROWS / 2 * COLS; i++) {
        CHECK(y[i] == 0 || y[i] == 1 / 0.75);
        kept += y[i] != 0;
    }
    CHECK_MSG(kept > 3600 && kept < 3900, "kept %d of 5000, expected about 3750", kept);
    for (int c = 0; c < COLS; c++) { /* lower half of a word first */
        uint32_t word = philox4x32(99, (uint32_t)c / 8, 3, 7, 0).v[c % 8 / 2], number = c % 2 ? word >> 16 : word & 0xffff;
        CHECK((y[3 * COLS + c] != 0) == (number >= 65536 / 4));
    }
}

TEST(dropout_keeps_the_mean_and_always_something)
{
    CHECK_INT(dropout_threshold(0), 0);
    CHECK_INT(dropout_threshold(0.05), 3277); /* 3276.8 */
    CHECK_INT(dropout_threshold(0.99999), 65535);
    CHECK_INT(dropout_threshold(1 - 1e-9), 65535);
    CHECK(dropout_scale(0) == 1);
    CHECK(dropout_scale(0.05) == 65536.0 / (65536 - 3277));
}

TEST(elementwise_operators_refuse_wrong_arguments)
{
    float x[16] = {0};
    SwigluBwd swiglu = {.rows = 1, .cols = 4, .ldg = 4, .ldu = 4, .lddg = 3, .lddu = 4, .g = x, .u = x, .dy = x, .dg = x, .du = x};
    REFUSED(swiglu_bwd, &swiglu, ERR_INTERNAL, "swiglu_bwd: lddg is 3, expected 4 or more");
    GeluFwd gelu = {.n = 4, .kind = (GeluKind)7, .x = x, .y = x};
    REFUSED(gelu_fwd, &gelu, ERR_INTERNAL, "gelu_fwd: kind is 7, expected GELU_ERF or GELU_TANH");
    Dropout drop = {.rows = 1, .cols = 4, .p = 1, .x = x, .y = x};
    REFUSED(dropout, &drop, ERR_INTERNAL, "dropout: p is 1, expected 0 <= p < 1");
    AddScaled add = {.n = 4, .a_type = F16, .a = x, .y = x};
    REFUSED(add_scaled, &add, ERR_INTERNAL, "add_scaled: a_type is F16, expected F32, BF16 or F64");
}
