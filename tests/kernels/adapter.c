/* adapter_down, adapter_down_grad, adapter_down_bwd, adapter_up_bwd */
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

typedef struct AdapterCase {
    int64_t rows, in, r[ADAPTERS_MAX], pad; /* pad: elements between the rows of x, dx, u and du */
    double p[ADAPTERS_MAX];
    DType act, a_type;
    bool accumulate;
    const char *why;
} AdapterCase;

static const AdapterCase CASES[] = {
    /* rows  in   r                pad p                        act   a     acc */
    {   1,    1, {1},               0, {0.5},                   F32,  F32,  0, "smallest"},
    {   0,    8, {4},               0, {0.5},                   F32,  F32,  0, "no rows"},
    {   5,    0, {4, 3},            0, {0.5},                   F32,  F32,  1, "no columns"},
    {   5,    9, {0, 0},            3, {0.5},                   F32,  F32,  0, "no adapter"},
    {   7,   13, {3},               0, {0.3},                   F32,  F32,  1, "primes, accumulate"},
    {  33,   70, {5, 0, 7},         3, {0.05, 0.5, 0},          F32,  F32,  0, "one without a mask, one that is none; strides"},
    {  33,   70, {4, 4, 4, 4},      1, {0.9, 0.1, 0.99, 0.5},   F32,  F32,  1, "four, accumulate"},
    {   9,   40, {2, 3},            0, {0, 0},                  F32,  F32,  1, "no mask"},
    { 300,  100, {8},               0, {0.05},                  F32,  BF16, 0, "bf16 weights"},
    {  33,   72, {5, 6},            0, {0.4, 0.4},              BF16, F32,  1, "f32 weights"},
    {  33,   71, {5, 6},            1, {0.4, 0.4},              BF16, BF16, 1, "bf16, nothing is aligned"},
    {   1,    8, {8},               0, {0.5},                   BF16, BF16, 0, "bf16, smallest that is aligned"},
    {   0,   16, {8},               0, {0.5},                   BF16, BF16, 0, "bf16, no rows"},
    {  70,   80, {8},               0, {0.05},                  BF16, BF16, 0, "bf16, tails everywhere"},
    { 130,  200, {16, 16, 16},      8, {0.05, 0.05, 0.3},       BF16, BF16, 1, "bf16, three of a small rank, accumulate"},
    {  65,  136, {24, 3},           0, {0.5, 0.1},              BF16, BF16, 0, "bf16, a rank that is no multiple of 8 at the end"},
    {  66,  136, {40, 0, 72},      16, {0.05, 0.05, 0},         BF16, BF16, 1, "bf16, one without a mask, one that is none; strides"},
    {  64,   64, {64},              0, {0.05},                  BF16, BF16, 0, "bf16, whole tiles"},
    {  40,  264, {136, 100},        4, {0.2, 0.6},              BF16, BF16, 1, "bf16, ranks beyond a tile"},
    { 200,  136, {40, 72, 8, 24},    0, {0.05, 0.3, 0.05, 0.9},  BF16, BF16, 1, "bf16, four, accumulate"},
    {1300,   40, {8, 8},            0, {0.05, 0.05},            BF16, BF16, 1, "bf16, many rows: ranges of several steps"},
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

static AdapterGroup group(const AdapterCase *k)
{
    AdapterGroup g = {.rows = k->rows, .in = k->in, .n = ADAPTERS_MAX, .act = k->act, .a_type = k->a_type};
    for (int i = 0; i < ADAPTERS_MAX; i++)
        g.part[i] = (Adapter){.r = k->r[i], .p = k->p[i], .key = 0x123456789abcdef0 + (uint64_t)i, .scale = 0.5 + i,
                              .accumulate = k->accumulate != (i == 1)};
    g.ldu = adapter_columns(&g) + k->pad;
    return g;
}

static void places(Comparison *c, AdapterGroup *g)
{
    compare_array(c, (Array){.name = "row_pos", .slot = &g->row_pos, .type = I32, .cols = g->rows,
                             .data = compare_indices(c, g->rows, position, NULL)});
    compare_array(c, (Array){.name = "row_item", .slot = &g->row_item, .type = I32, .cols = g->rows,
                             .data = compare_indices(c, g->rows, item, NULL)});
}

static void matrices(Comparison *c, AdapterGroup *g)
{
    static const char *const NAME[] = {"a_0", "a_1", "a_2", "a_3"};
    for (int i = 0; i < g->n; i++)
        if (g->part[i].r)
            compare_array(c, (Array){.name = NAME[i], .slot = &g->part[i].a, .type = g->a_type, .rows = g->part[i].r, .cols = g->in,
                                     .pattern = UNIFORM});
}

#define ROWS_OF(columns) .type = k->act, .rows = k->rows, .cols = (columns), .empty = k->rows == 0

static void down_case(Comparison *c, const void *row)
{
    const AdapterCase *k = row;
    AdapterDown *a = compare_args(c, &(AdapterDown){.g = group(k), .ldx = k->in + k->pad}, sizeof *a);
    places(c, &a->g);
    matrices(c, &a->g);
    IN(x, ROWS_OF(k->in), .ld = a->ldx, .pattern = UNIFORM);
    OUT(u, ROWS_OF(adapter_columns(&a->g)), .ld = a->g.ldu);
}
KERNEL_TEST(adapter_down, CASES, down_case)

static void down_grad_case(Comparison *c, const void *row)
{
    static const char *const NAME[] = {"da_0", "da_1", "da_2", "da_3"};
    const AdapterCase *k = row;
    AdapterDownGrad *a = compare_args(c, &(AdapterDownGrad){.g = group(k), .ldx = k->in + k->pad, .grad_type = F32}, sizeof *a);
    places(c, &a->g);
    for (int i = 0; i < a->g.n; i++)
        if (k->r[i] && (i != 1 || !k->r[3])) /* of four the second is not wanted */
            compare_array(c, (Array){.name = NAME[i], .slot = &a->g.part[i].da, .type = F32, .rows = k->r[i], .cols = k->in, .output = true,
                                     .pattern = a->g.part[i].accumulate ? UNIFORM : UNSET});
    IN(x, ROWS_OF(k->in), .ld = a->ldx, .pattern = UNIFORM);
    IN(du, ROWS_OF(adapter_columns(&a->g)), .ld = a->g.ldu, .pattern = UNIFORM);
}
KERNEL_TEST(adapter_down_grad, CASES, down_grad_case)

static void down_bwd_case(Comparison *c, const void *row)
{
    const AdapterCase *k = row;
    AdapterDownBwd *a = compare_args(c, &(AdapterDownBwd){.g = group(k), .lddx = k->pad ? k->in + k->pad : 0, .accumulate = k->accumulate},
                                     sizeof *a);
    places(c, &a->g);
    matrices(c, &a->g);
    IN(du, ROWS_OF(adapter_columns(&a->g)), .ld = a->g.ldu, .pattern = UNIFORM);
    OUT_OR_SUM(dx, k->accumulate, ROWS_OF(k->in), .ld = a->lddx);
}
KERNEL_TEST(adapter_down_bwd, CASES, down_bwd_case)

typedef struct UpCase {
    int64_t rows, out, r, pad; /* pad: elements between the rows of dy, u and du */
    DType act, b_type;
    bool db, accumulate;
    const char *why;
} UpCase;

static const UpCase UP_CASES[] = {
    {1, 1, 1, 0, F32, F32, true, false, "smallest"},
    {0, 8, 4, 0, F32, F32, true, false, "no rows"},
    {5, 0, 4, 0, F32, F32, true, true, "no columns"},
    {5, 9, 0, 3, F32, F32, true, false, "no rank"},
    {33, 70, 5, 3, F32, F32, true, true, "strides, accumulate"},
    {300, 100, 8, 0, F32, BF16, false, false, "bf16 weights, du alone"},
    {33, 71, 5, 1, BF16, BF16, true, true, "bf16, nothing is aligned"},
    {33, 72, 8, 0, BF16, F32, true, false, "f32 weights"},
    {1, 8, 8, 0, BF16, BF16, true, false, "bf16, smallest that is aligned"},
    {0, 16, 8, 0, BF16, BF16, true, true, "bf16, no rows, accumulate"},
    {70, 264, 16, 8, BF16, BF16, true, true, "bf16, tails everywhere, strides, accumulate"},
    {64, 256, 32, 0, BF16, BF16, true, false, "bf16, whole tiles"},
    {200, 520, 24, 0, BF16, BF16, true, false, "bf16, three ranges of columns"},
    {65, 136, 16, 0, BF16, BF16, false, false, "bf16, du alone"},
    {40, 72, 40, 0, BF16, BF16, true, true, "bf16, a rank beyond a tile"},
    {600, 40, 8, 0, BF16, BF16, true, true, "bf16, many ranges of rows"},
};

static void up_bwd_case(Comparison *c, const void *row)
{
    const UpCase *k = row;
    AdapterUpBwd *a = compare_args(c,
                                   &(AdapterUpBwd){.rows = k->rows,
                                                   .out = k->out,
                                                   .r = k->r,
                                                   .lddy = k->out + k->pad,
                                                   .ldu = k->r + k->pad,
                                                   .lddu = k->r + k->pad,
                                                   .act = k->act,
                                                   .b_type = k->b_type,
                                                   .grad_type = F32,
                                                   .scale = 0.5,
                                                   .accumulate = k->accumulate},
                                   sizeof *a);
    IN(dy, ROWS_OF(k->out), .ld = a->lddy, .pattern = UNIFORM);
    IN(b, .type = k->b_type, .rows = k->out, .cols = k->r, .empty = k->out == 0, .pattern = UNIFORM);
    OUT(du, ROWS_OF(k->r), .ld = a->lddu);
    if (!k->db)
        return;
    IN(u, ROWS_OF(k->r), .ld = a->ldu, .pattern = UNIFORM);
    OUT_OR_SUM(db, k->accumulate, .type = F32, .rows = k->out, .cols = k->r, .empty = k->out == 0);
}
KERNEL_TEST(adapter_up_bwd, UP_CASES, up_bwd_case)

/* ---------------------------------------------------------------- the specification itself */

enum { ROWS = 5, IN_COLS = 19, R0 = 3, R1 = 2, R = R0 + R1 };

/* Two adapters of one x. */
static AdapterGroup two(const double *a0, const double *a1, const int32_t *pos, const int32_t *items)
{
    return (AdapterGroup){.rows = ROWS, .in = IN_COLS, .ldu = R, .n = 2, .act = F64, .a_type = F64, .row_pos = pos, .row_item = items,
                          .part = {{.r = R0, .p = 0.4, .key = 3, .scale = 2, .a = a0},
                                   {.r = R1, .p = 0.2, .key = 4, .scale = 0.5, .a = a1}}};
}

TEST(ref_adapters_are_the_formula_and_its_derivative)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    const int32_t pos[ROWS] = {0, 1, 2, 0, 1}, items[ROWS] = {5, 5, 5, 6, 6};
    double *x = random_values(ROWS * IN_COLS, 1), *a0 = random_values(R0 * IN_COLS, 2), *a1 = random_values(R1 * IN_COLS, 3);
    double *dy = random_values(ROWS * R, 4), du[ROWS * R], u[ROWS * R], dx[ROWS * IN_COLS], da0[R0 * IN_COLS], da1[R1 * IN_COLS];
    AdapterDown fwd = {.g = two(a0, a1, pos, items), .ldx = IN_COLS, .x = x, .u = u};
    REQUIRE_OK(ref.ops.adapter_down(&ref.ctx, &fwd));
    double dropped[ROWS * IN_COLS], sum = 0; /* the same by way of dropout */
    REQUIRE_OK(ref.ops.dropout(&ref.ctx, &(Dropout){.rows = ROWS, .cols = IN_COLS, .act = F64, .p = 0.2, .key = 4, .row_pos = pos,
                                                    .row_item = items, .x = x,
                                                    .y = dropped}));
    for (int c = 0; c < IN_COLS; c++)
        sum += dropped[3 * IN_COLS + c] * a1[IN_COLS + c];
    CHECK_NEAR(u[3 * R + R0 + 1], 0.5 * sum, 1e-14);
    for (int i = 0; i < ROWS * R; i++)
        du[i] = dy[i] * (i % R < R0 ? 2 : 0.5);
    AdapterDownGrad grad = {.g = fwd.g, .ldx = IN_COLS, .grad_type = F64, .x = x, .du = du};
    grad.g.part[0].da = da0, grad.g.part[1].da = da1;
    REQUIRE_OK(ref.ops.adapter_down_grad(&ref.ctx, &grad));
    REQUIRE_OK(ref.ops.adapter_down_bwd(&ref.ctx, &(AdapterDownBwd){.g = fwd.g, .du = du, .dx = dx}));
    Forward f = {&ref, OP_adapter_down, &fwd, u, dy, ROWS * R};
    CHECK_GRADIENT(&f, x, dx, ROWS * IN_COLS);
    CHECK_GRADIENT(&f, a0, da0, R0 * IN_COLS);
    CHECK_GRADIENT(&f, a1, da1, R1 * IN_COLS);
}

TEST(adapters_refuse_wrong_arguments)
{
    float x[64] = {0};
    AdapterDown a = {.g = {.rows = 1, .in = 8, .ldu = 4, .n = 1, .part = {{.r = 4, .p = 0.5, .a = x}}}, .ldx = 8, .x = x, .u = x};
    REFUSED(adapter_down, &a, ERR_INTERNAL, "adapter_down: dropout without row_pos and row_item");
    a.g.part[0].p = 1;
    REFUSED(adapter_down, &a, ERR_INTERNAL, "adapter_down: p is 1, expected 0 <= p < 1");
    a.g.part[0].p = 0;
    a.ldx = 7;
    REFUSED(adapter_down, &a, ERR_INTERNAL, "adapter_down: ldx is 7, expected 8 or more");
    a.g.n = 5;
    REFUSED(adapter_down, &a, ERR_INTERNAL, "adapter_down: n is 5, expected 0 … 4");
    AdapterDownGrad g = {.g = {.rows = 1, .in = 8, .ldu = 3, .n = 1, .part = {{.r = 4, .da = x}}}, .ldx = 8, .x = x, .du = x};
    REFUSED(adapter_down_grad, &g, ERR_INTERNAL, "adapter_down_grad: ldu is 3, expected 4 or more");
    g.grad_type = BF16, g.g.ldu = 4;
    REFUSED(adapter_down_grad, &g, ERR_INTERNAL, "adapter_down_grad: grad_type is BF16, expected F32 or F64");
    AdapterDownBwd d = {.g = {.rows = 1, .in = 1 << 19, .ldu = 4, .n = 1}, .du = x, .dx = x};
    REFUSED(adapter_down_bwd, &d, ERR_INTERNAL, "adapter_down_bwd: in is 524288, expected at most 262144");
    d.g.in = 8, d.lddx = 5;
    REFUSED(adapter_down_bwd, &d, ERR_INTERNAL, "adapter_down_bwd: lddx is 5, expected 8 or more");
}
