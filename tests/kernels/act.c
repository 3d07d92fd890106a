/* act, glu, add_scaled, dropout */
#include <math.h>

#include "kernels/base/philox.h"
#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

#define MATRIX .type = k->act, .rows = k->rows, .cols = k->cols, .empty = k->rows == 0

typedef struct GluCase {
    int64_t rows, cols, pad;
    DType act;
    bool in_place;
    Pattern pattern;
    double scale;
    const char *why;
} GluCase;

static const GluCase GLU_CASES[] = {
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

static void glu_fwd_kind(Comparison *c, const GluCase *k, ActKind kind)
{
    GluFwd args = {.rows = k->rows, .cols = k->cols, .ldg = k->cols + k->pad, .ldu = k->cols + 2 * k->pad, .act = k->act, .kind = kind,
                   .ldy = k->pad ? k->cols + 3 * k->pad : 0};
    GluFwd *a = compare_args(c, &args, sizeof args);
    IN(g, MATRIX, .ld = a->ldg, .pattern = k->pattern, .scale = k->scale);
    IN(u, MATRIX, .ld = a->ldu, .pattern = UNIFORM);
    OUT(y, MATRIX, .ld = a->ldy);
}
static void swiglu_fwd_case(Comparison *c, const void *row) { glu_fwd_kind(c, row, ACT_SILU); }
static void geglu_fwd_case(Comparison *c, const void *row) { glu_fwd_kind(c, row, ACT_GELU_ERF); }
KERNEL_TEST_NAMED(swiglu_fwd, glu_fwd, GLU_CASES, swiglu_fwd_case)
KERNEL_TEST_NAMED(geglu_fwd, glu_fwd, GLU_CASES, geglu_fwd_case)

static void glu_bwd_kind(Comparison *c, const GluCase *k, ActKind kind)
{
    int64_t ldg = k->cols + k->pad, ldu = k->cols + 2 * k->pad;
    GluBwd args = {.rows = k->rows, .cols = k->cols, .ldg = ldg, .ldu = ldu, .lddg = k->in_place ? ldg : ldg + 1,
                   .lddu = k->in_place ? ldu : ldu + 3, .act = k->act, .kind = kind, .ldy = k->pad ? k->cols + 3 * k->pad : 0};
    GluBwd *a = compare_args(c, &args, sizeof args);
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
static void swiglu_bwd_case(Comparison *c, const void *row) { glu_bwd_kind(c, row, ACT_SILU); }
static void geglu_bwd_case(Comparison *c, const void *row) { glu_bwd_kind(c, row, ACT_GELU_ERF); }
KERNEL_TEST_NAMED(swiglu_bwd, glu_bwd, GLU_CASES, swiglu_bwd_case)
KERNEL_TEST_NAMED(geglu_bwd, glu_bwd, GLU_CASES, geglu_bwd_case)

typedef struct ActCase {
    int64_t n;
    DType act;
    ActKind kind;
    bool in_place, accumulate;
    Pattern pattern;
    double scale;
    const char *why;
} ActCase;

static const ActCase ACT_CASES[] = {
    {    0, F32,  ACT_GELU_ERF,  false, false, UNIFORM, 1, "nothing"},
    {    1, F32,  ACT_GELU_ERF,  false, false, UNIFORM, 1, "smallest"},
    {   17, F32,  ACT_GELU_ERF,  false, true,  UNIFORM, 3, "prime, accumulate"},
    { 1001, F32,  ACT_GELU_ERF,  true,  false, UNIFORM, 3, "in place"},
    { 4099, F32,  ACT_GELU_ERF,  false, false, UNIFORM, 8, "tails"},
    {100003, F32, ACT_GELU_ERF,  false, false, UNIFORM, 3, "large enough for two threads"},
    {  257, F32,  ACT_GELU_ERF,  false, false, UNIFORM, 1e6, "large"},
    {  257, F32,  ACT_GELU_ERF,  false, true,  MIXED,   1, "subnormal numbers, zeros"},
    {  257, BF16, ACT_GELU_ERF,  false, true,  UNIFORM, 3, "bf16, accumulate"},
    { 1001, BF16, ACT_GELU_ERF,  true,  false, UNIFORM, 8, "bf16, in place"},
    {    1, F32,  ACT_GELU_TANH, false, false, EQUAL,   1, "tanh, smallest"},
    {   17, F32,  ACT_GELU_TANH, false, true,  UNIFORM, 3, "tanh, prime, accumulate"},
    { 1001, F32,  ACT_GELU_TANH, true,  true,  UNIFORM, 3, "tanh, in place"},
    { 4099, F32,  ACT_GELU_TANH, false, false, UNIFORM, 8, "tanh, tails"},
    {  257, F32,  ACT_GELU_TANH, false, false, UNIFORM, 1e6, "tanh, large"},
    {  257, F32,  ACT_GELU_TANH, false, false, MIXED,   1, "tanh, subnormal numbers, zeros"},
    {  257, BF16, ACT_GELU_TANH, false, true,  UNIFORM, 3, "tanh, bf16, accumulate"},
    {    0, F32,  ACT_GELU_QUICK, false, true, UNIFORM, 1, "quick, nothing"},
    { 1001, F32,  ACT_GELU_QUICK, false, true, UNIFORM, 3, "quick, accumulate"},
    { 4099, F32,  ACT_GELU_QUICK, true, false, UNIFORM, 30, "quick, the sigmoid saturates, in place"},
    {  257, F32,  ACT_GELU_QUICK, false, false, UNIFORM, 1e6, "quick, large"},
    {  257, BF16, ACT_GELU_QUICK, false, true, UNIFORM, 3, "quick, bf16, accumulate"},
    {    1, F32,  ACT_RELU, false, false, EQUAL,   -1, "relu, smallest"},
    {   37, F32,  ACT_RELU, false, true,  ZEROS,   1, "relu, its corner has no slope"},
    { 4099, F32,  ACT_RELU, false, false, UNIFORM, 1e30, "relu, large"},
    { 1001, F32,  ACT_RELU, true,  true,  UNIFORM, 1, "relu, in place, accumulate"},
    { 1001, BF16, ACT_RELU, false, true,  UNIFORM, 3, "relu, bf16, accumulate"},
    {    1, F32,  ACT_SILU, false, false, EQUAL,   1, "silu, smallest"},
    { 4099, F32,  ACT_SILU, false, true,  UNIFORM, 3, "silu, accumulate"},
    { 1001, F32,  ACT_SILU, true,  false, UNIFORM, 100, "silu, the sigmoid saturates, in place"},
    {  257, F32,  ACT_SILU, false, false, UNIFORM, 1e9, "silu, exp overflows"},
    {  257, F32,  ACT_SILU, false, false, MIXED,   1, "silu, subnormal numbers, zeros"},
    {100003, BF16, ACT_SILU, false, true, UNIFORM, 8, "silu, bf16, large enough for two threads"},
};

static void act_fwd_case(Comparison *c, const void *row)
{
    const ActCase *k = row;
    ActFwd *a = compare_args(c, &(ActFwd){.n = k->n, .act = k->act, .kind = k->kind}, sizeof *a);
    IN(x, .type = k->act, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    if (k->in_place)
        ALIAS(y, x);
    else
        OUT(y, .type = k->act, .cols = k->n);
}
KERNEL_TEST(act_fwd, ACT_CASES, act_fwd_case)

static void act_bwd_case(Comparison *c, const void *row)
{
    const ActCase *k = row;
    ActBwd args = {.n = k->n, .act = k->act, .kind = k->kind, .accumulate = k->accumulate};
    ActBwd *a = compare_args(c, &args, sizeof args);
    IN(x, .type = k->act, .cols = k->n, .pattern = k->pattern, .scale = k->scale);
    IN(dy, .type = k->act, .cols = k->n, .pattern = UNIFORM);
    if (k->in_place)
        ALIAS(dx, dy);
    else
        OUT_OR_SUM(dx, k->accumulate, .type = k->act, .cols = k->n);
}
KERNEL_TEST(act_bwd, ACT_CASES, act_bwd_case)

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
    static const char *const WHAT[] = {"swiglu", "geglu", "rmsnorm"};
    for (int round = 0; round < 3; round++) {
        ActKind kind = round ? ACT_GELU_ERF : ACT_SILU;
        if (round == 2) {
            CHECK_OK(b->ops.rmsnorm_fwd(&b->ctx, &(RmsNormFwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .act = F32, .w_type = F32,
                                                               .eps = 1e-5, .x = x[0], .w = x[1], .y = x[4], .rstd = x[3]}));
            CHECK_OK(b->ops.rmsnorm_bwd(&b->ctx, &(RmsNormBwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .act = F32, .w_type = F32,
                                                               .x = x[0], .w = x[1], .rstd = x[3], .dy = x[2], .dx = x[2], .y = x[5]}));
        } else {
            CHECK_OK(b->ops.glu_fwd(&b->ctx, &(GluFwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .ldg = AGAIN_COLS, .ldu = AGAIN_COLS,
                                                       .act = F32, .kind = kind, .g = x[0], .u = x[1], .y = x[4]}));
            CHECK_OK(b->ops.glu_bwd(&b->ctx, &(GluBwd){.rows = AGAIN_ROWS, .cols = AGAIN_COLS, .ldg = AGAIN_COLS, .ldu = AGAIN_COLS,
                                                       .lddg = AGAIN_COLS, .lddu = AGAIN_COLS, .act = F32, .kind = kind, .g = x[0],
                                                       .u = x[1], .dy = x[2], .dg = x[0], .du = x[1], .y = x[5]}));
        }
        for (int k = 0; k < 2; k++)
            REQUIRE_OK(b->download(b, y[k], x[4 + k], sizeof y[k]));
        CHECK_MSG(!memcmp(y[0], y[1], sizeof y[0]), "%s: %s once more is another", name, WHAT[round]);
    }
    for (int i = 0; i < 6; i++)
        b->mem_destroy(b, x[i]);
}

TEST(backwards_give_the_forwards_result_again) { compare_each(again); }

static void glu_derivative(ActKind kind, double (*f)(double))
{
    enum { N = 12 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *g = random_values(N, 1), *u = random_values(N, 2), *dy = random_values(N, 3), y[N], dg[N], du[N];
    GluFwd fwd = {.rows = 3, .cols = 4, .ldg = 4, .ldu = 4, .act = F64, .kind = kind, .g = g, .u = u, .y = y};
    REQUIRE_OK(ref.ops.glu_fwd(&ref.ctx, &fwd));
    CHECK_NEAR(y[5], f(g[5]) * u[5], 1e-15);
    GluBwd bwd = {.rows = 3, .cols = 4, .ldg = 4, .ldu = 4, .lddg = 4, .lddu = 4, .act = F64, .kind = kind, .g = g, .u = u, .dy = dy,
                  .dg = dg, .du = du};
    REQUIRE_OK(ref.ops.glu_bwd(&ref.ctx, &bwd));
    Forward loss = {&ref, OP_glu_fwd, &fwd, y, dy, N};
    CHECK_GRADIENT(&loss, g, dg, N);
    CHECK_GRADIENT(&loss, u, du, N);
}

static double silu(double z) { return z / (1 + exp(-z)); }
static double gelu(double z) { return z * erfc(-z / sqrt(2.0)) / 2; }

TEST(ref_swiglu_is_the_formula_and_its_derivative) { glu_derivative(ACT_SILU, silu); }
TEST(ref_geglu_is_the_formula_and_its_derivative) { glu_derivative(ACT_GELU_ERF, gelu); }

TEST(ref_activations_have_known_values_and_their_derivatives)
{
    enum { N = 40 };
    /* At -2, 0 and 1: Φ(1) = 0.8413447460685429, Φ(-2) = 0.022750131948179195; σ(1) = 0.7310585786300049, σ(-2) = 0.11920292202211755;
     * the others from their definitions. */
    static const double KNOWN[N_ACT_KINDS][3] = {
        [ACT_GELU_ERF] = {-2 * 0.022750131948179195, 0, 0.8413447460685429},
        [ACT_GELU_TANH] = {-0.04540230591222494, 0, 0.84119199060827676},
        [ACT_GELU_QUICK] = {-0.06434137685579186, 0, 0.8457957659328212},
        [ACT_RELU] = {0, 0, 1},
        [ACT_SILU] = {-2 * 0.11920292202211755, 0, 0.7310585786300049},
    };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    for (int kind = 0; kind < N_ACT_KINDS; kind++) {
        double z[] = {-2, 0, 1}, y[N], *x = random_values(N, 1), *dy = random_values(N, 2), dx[N];
        REQUIRE_OK(ref.ops.act_fwd(&ref.ctx, &(ActFwd){.n = 3, .act = F64, .kind = (ActKind)kind, .x = z, .y = y}));
        for (int i = 0; i < 3; i++)
            CHECK_NEAR(y[i], KNOWN[kind][i], 1e-12);
        for (int i = 0; i < N; i++)
            x[i] *= 4;
        ActFwd fwd = {.n = N, .act = F64, .kind = (ActKind)kind, .x = x, .y = y};
        ActBwd bwd = {.n = N, .act = F64, .kind = (ActKind)kind, .x = x, .dy = dy, .dx = dx};
        REQUIRE_OK(ref.ops.act_bwd(&ref.ctx, &bwd));
        Forward f = {&ref, OP_act_fwd, &fwd, y, dy, N};
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
    GluBwd glu = {.rows = 1, .cols = 4, .ldg = 4, .ldu = 4, .lddg = 3, .lddu = 4, .g = x, .u = x, .dy = x, .dg = x, .du = x};
    REFUSED(glu_bwd, &glu, ERR_INTERNAL, "glu_bwd: lddg is 3, expected 4 or more");
    GluFwd tanh = {.rows = 1, .cols = 4, .ldg = 4, .ldu = 4, .kind = ACT_GELU_TANH, .g = x, .u = x, .y = x};
    REFUSED(glu_fwd, &tanh, ERR_INTERNAL, "glu_fwd: kind is 1, expected ACT_SILU or ACT_GELU_ERF");
    ActFwd act = {.n = 4, .kind = (ActKind)7, .x = x, .y = x};
    REFUSED(act_fwd, &act, ERR_INTERNAL, "act_fwd: kind is 7, expected 0 … 4");
    Dropout drop = {.rows = 1, .cols = 4, .p = 1, .x = x, .y = x};
    REFUSED(dropout, &drop, ERR_INTERNAL, "dropout: p is 1, expected 0 <= p < 1");
    AddScaled add = {.n = 4, .a_type = F16, .a = x, .y = x};
    REFUSED(add_scaled, &add, ERR_INTERNAL, "add_scaled: a_type is F16, expected F32, BF16 or F64");
}
