/* What is the cpu backend's own: the choice of instruction set, and that threads do not change a bit. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/philox.h"
#include "kernels/cpu/cpu.h"
#include "kernels/ops/table.h"
#include "tests/harness.h"

TEST(cpu_isa_is_forced_down_by_the_environment)
{
    Backend b;
    setenv("GENLLAVA_ISA", "sse9", 1);
    CHECK_FAILS(cpu_open(&b), ERR_USAGE, "GENLLAVA_ISA is \"sse9\", expected ref, avx2, avx512 or avx512bf16");
    setenv("GENLLAVA_ISA", "ref", 1);
    REQUIRE_OK(cpu_open(&b));
    CHECK_STR(b.name, "cpu");
    CHECK(strstr(b.description, "reference kernels"));
    CHECK(!b.native_bf16);
    b.close(&b);
    setenv("GENLLAVA_ISA", "avx2", 1);
    if (cpu_open(&b) != OK)
        test_skip("no AVX2 here");
    CHECK(strstr(b.description, ", avx2, "));
    CHECK(!b.native_bf16);
    b.close(&b);
}

/* What an instruction set leaves to ref, by decision: " name" each. adapter_up_bwd: models call it where matmuls are joined, on a GPU. */
static const struct {
    const char *isa, *left;
} LEFT_TO_REF[] = {{"avx2", " adapter_up_bwd"}, {"avx512", " adapter_up_bwd"}, {"avx512bf16", " adapter_up_bwd"}};

TEST(cpu_leaves_to_ref_what_is_listed)
{
    Backend b, ref;
    REQUIRE_OK(ref_open(&ref));
    for (size_t i = 0; i < sizeof LEFT_TO_REF / sizeof *LEFT_TO_REF; i++) {
        char left[2048] = "";
        size_t n = 0;
        setenv("GENLLAVA_ISA", LEFT_TO_REF[i].isa, 1);
        if (cpu_open(&b) != OK)
            continue;
#define LEFT(name_, Args)                                          \
    if (cpu_device(&b.ctx)->ops.name_ == ref.ops.name_)            \
        n += (size_t)snprintf(left + n, sizeof left - n, " " #name_);
        KERNEL_LIST(LEFT)
#undef LEFT
        CHECK_MSG(!strcmp(left, LEFT_TO_REF[i].left), "%s leaves to ref:%s, expected:%s", LEFT_TO_REF[i].isa, left, LEFT_TO_REF[i].left);
        b.close(&b);
    }
}

/* ---------------------------------------------------------------- any number of threads, the same bits */

enum { MEMORY = 4 << 20 }; /* floats */

/* One call with everything it reads and writes in memory; what it writes must come out the same. */
typedef void (*Call)(Backend *b, float *memory);

static void product(Backend *b, float *memory, Matmul a)
{
    a.a = memory;
    a.b = memory + (1 << 20);
    a.c = memory + (2 << 20);
    a.bias = memory + (3 << 20);
    CHECK_OK(b->ops.matmul(&b->ctx, &a));
}

static void wide_product(Backend *b, float *memory)
{
    product(b, memory, (Matmul){.m = 97, .n = 391, .k = 601, .b_trans = true, .accumulate = true, .lda = 601, .ldb = 601, .ldc = 391,
                                .alpha = 0.3});
}

static void transposed_product(Backend *b, float *memory)
{
    product(b, memory, (Matmul){.m = 501, .n = 24, .k = 700, .a_trans = true, .lda = 501, .ldb = 24, .ldc = 24, .alpha = 1});
}

static void few_rows(Backend *b, float *memory)
{
    product(b, memory, (Matmul){.m = 3, .n = 1021, .k = 517, .b_trans = true, .lda = 517, .ldb = 517, .ldc = 1021, .alpha = 1});
}

static void mixed_product(Backend *b, float *memory)
{
    product(b, memory, (Matmul){.m = 301, .n = 130, .k = 515, .a_type = BF16, .b_type = BF16, .c_type = BF16, .lda = 515, .ldb = 130,
                                .ldc = 130, .alpha = 1});
}

static void attention(Backend *b, float *memory)
{
    enum { ROWS = 500, HEADS = 4, KV = 2, Dh = 24, Q = HEADS * Dh, K = KV * Dh };
    static const int32_t cu[] = {0, 1, 130, 450, ROWS};
    float *q = memory, *k = q + ROWS * Q, *v = k + ROWS * K, *d_o = v + ROWS * K, *o = memory + (2 << 20), *lse = o + ROWS * Q;
    float *dq = lse + ROWS * HEADS, *dk = dq + ROWS * Q, *dv = dk + ROWS * K;
    AttentionFwd f = {.n_segments = 4, .rows_q = ROWS, .rows_k = ROWS, .heads = HEADS, .kv_heads = KV, .head_dim = Dh, .max_q = 320,
                      .max_k = 320, .window = 100,
                      .ldq = Q, .ldk = K, .ldv = K, .ldo = Q, .causal = true, .scale = 0.2, .cu_q = cu, .cu_k = cu, .q = q, .k = k, .v = v,
                              .o = o, .lse = lse};
    CHECK_OK(b->ops.attention_fwd(&b->ctx, &f));
    AttentionBwd g = {.n_segments = 4, .rows_q = ROWS, .rows_k = ROWS, .heads = HEADS, .kv_heads = KV, .head_dim = Dh, .max_q = 320,
                      .max_k = 320, .window = 100,
                      .ldq = Q, .ldk = K, .ldv = K, .ldo = Q, .lddo = Q, .lddq = Q, .lddk = K, .lddv = K, .causal = true, .scale = 0.2,
                      .cu_q = cu, .cu_k = cu, .q = q, .k = k, .v = v, .o = o, .lse = lse, .d_o = d_o, .dq = dq, .dk = dk, .dv = dv};
    CHECK_OK(b->ops.attention_bwd(&b->ctx, &g));
}

static void norms_and_sums(Backend *b, float *memory)
{
    enum { ROWS = 700, COLS = 333 };
    float *x = memory, *dy = memory + (1 << 20), *y = memory + (2 << 20), *w = memory + (3 << 20), *mean = w + 3 * COLS,
          *rstd = mean + ROWS;
    double *sum = (double *)(void *)(w + 4096); /* behind the others, aligned */
    CHECK_OK(b->ops.layernorm_fwd(&b->ctx, &(LayerNormFwd){.rows = ROWS, .cols = COLS, .eps = 1e-5, .x = x, .w = w, .b = w + COLS, .y = y,
                                                           .mean = mean, .rstd = rstd}));
    CHECK_OK(b->ops.layernorm_bwd(&b->ctx, &(LayerNormBwd){.rows = ROWS, .cols = COLS, .x = x, .w = w, .mean = mean, .rstd = rstd, .dy = dy,
                                                           .dx = y, .dw = w + COLS, .db = w + 2 * COLS}));
    CHECK_OK(b->ops.column_sum(&b->ctx, &(ColumnSum){.rows = ROWS, .cols = COLS, .ldx = COLS, .x = x, .out = w}));
    CHECK_OK(b->ops.sum_squares(&b->ctx, &(SumSquares){.n = ROWS * COLS, .x = x, .out = sum}));
}

/* Images of more chunks than threads. */
static void images(Backend *b, float *memory)
{
    enum { IMAGES = 3, SIDE = 65, PIXELS = SIDE * SIDE, COLS = 66, GROUPS = 6 };
    float *x = memory, *dy = memory + (1 << 20), *y = memory + (2 << 20), *w = memory + (3 << 20), *mean = w + 4 * COLS,
          *rstd = mean + IMAGES * GROUPS, *loss = rstd + IMAGES * GROUPS;
    const Plane whole = {IMAGES, SIDE, SIDE}, part = {IMAGES, SIDE / 2, SIDE / 3};
    CHECK_OK(b->ops.groupnorm_fwd(&b->ctx, &(GroupNormFwd){.images = IMAGES, .pixels = PIXELS, .cols = COLS, .groups = GROUPS, .eps = 1e-5,
                                                           .silu = true, .x = x, .w = w, .b = w + COLS, .y = y, .mean = mean,
                                                           .rstd = rstd}));
    CHECK_OK(b->ops.groupnorm_bwd(&b->ctx, &(GroupNormBwd){.images = IMAGES, .pixels = PIXELS, .cols = COLS, .groups = GROUPS,
                                                           .silu = true, .x = x, .w = w, .b = w + COLS, .mean = mean, .rstd = rstd,
                                                           .dy = y, .dx = dy, .dw = w + 2 * COLS, .db = w + 3 * COLS, .accumulate = true,
                                                           .accumulate_w = true}));
    CHECK_OK(b->ops.upsample_bwd(&b->ctx, &(UpsampleBwd){.from = part, .to = whole, .cols = COLS, .dy = y, .dx = x, .accumulate = true}));
    CHECK_OK(b->ops.upsample_fwd(&b->ctx, &(UpsampleFwd){.from = part, .to = whole, .cols = COLS, .x = x, .y = y}));
    const ConvShape windows = {.from = whole, .in = COLS, .out = COLS, .kernel_height = 3, .kernel_width = 3, .stride = 1, .top = 1,
                               .left = 1, .bottom = 1, .right = 1};
    CHECK_OK(b->ops.pool2d_fwd(&b->ctx, &(Pool2dFwd){.shape = windows, .kind = POOL_MEAN, .x = y, .y = x}));
    for (DifferenceKind kind = DIFFERENCE_MSE; kind <= DIFFERENCE_L2NORM; kind++) {
        CHECK_OK(b->ops.difference_fwd(&b->ctx, &(DifferenceFwd){.items = IMAGES, .rows = PIXELS, .cols = COLS, .kind = kind, .u = y,
                                                                 .v = dy, .loss = loss + (int)kind * IMAGES}));
        CHECK_OK(b->ops.difference_bwd(&b->ctx, &(DifferenceBwd){.items = IMAGES, .rows = PIXELS, .cols = COLS, .kind = kind, .scale = 1,
                                                                 .weight = w, .u = y, .v = dy, .dloss = w, .du = x,
                                                                 .accumulate = true}));
    }
}

/* A Linear with its adapter and a residual, in one go and, transposed differently, as the input gradient. */
static void two_products(Backend *b, float *memory)
{
    static const DType TYPE[] = {F32, BF16};
    for (int i = 0; i < 2; i++) {
        Matmul a = {.m = 97, .n = 390, .k = 602, .a_type = TYPE[i], .b_type = TYPE[i], .c_type = TYPE[i], .b2_type = TYPE[i],
                    .b_trans = true,
                    .lda = 618, .ldb = 618, .ldc = 390, .alpha = 1, .k2 = 16, .lda2 = 618, .ldb2 = 16, .a2 = memory + 700,
                    .b2 = memory + (1 << 18), .add = memory + (3 << 19)};
        product(b, memory, a);
        a.n = 24, a.ldc = 24, a.b_trans = false, a.ldb = 32, a.ldb2 = 24, a.accumulate = true, a.add = NULL;
        product(b, memory, a);
    }
}

/* All three, plain and with everything added. */
static void convolutions(Backend *b, float *memory)
{
    float *x = memory, *dy = memory + (1 << 20), *w = memory + (2 << 20), *more = memory + (3 << 20);
    for (int i = 0; i < 6; i++) { /* the last two times filtered */
        const ConvShape s = {.from = {3, 21, 19}, .in = 50, .out = 70, .kernel_height = 3, .kernel_width = 3,
                             .stride = i < 4 ? 1 + i % 2 : 1, .top = 1, .left = 1, .bottom = 1,
                             .right = 1};
        const DType t = i / 2 == 1 ? BF16 : F32;
        CHECK_OK(b->ops.conv2d_dx(
            &b->ctx, &(Conv2dDx){.shape = s, .act = t, .w_type = t, .winograd = i >= 4, .accumulate = i % 2, .dy = dy, .w = w, .dx = x}));
        CHECK_OK(b->ops.conv2d_dw(&b->ctx, &(Conv2dDw){.shape = s, .act = t, .accumulate = true, .x = x, .dy = dy, .dw = more}));
        CHECK_OK(b->ops.conv2d_fwd(&b->ctx, &(Conv2dFwd){.shape = s, .act = t, .w_type = t, .winograd = i >= 4, .x = x, .w = w,
                                                         .bias = more,
                                                         .shift = i % 2 ? more + 100 : NULL, .add = dy, .y = dy}));
    }
}

static void elementwise(Backend *b, float *memory)
{
    enum { ROWS = 311, COLS = 333 };
    float *g = memory, *dy = memory + (1 << 20), *y = memory + (2 << 20), *x = memory + (3 << 20), *rstd = y + ROWS * COLS;
    int32_t *pos = (int32_t *)(void *)(rstd + 2 * ROWS), *item = pos + ROWS;
    for (int i = 0; i < ROWS; i++)
        pos[i] = i * 7 % ROWS, item[i] = i % 5;
    CHECK_OK(b->ops.glu_bwd(&b->ctx, &(GluBwd){.rows = ROWS, .cols = COLS, .ldg = 2 * COLS, .ldu = 2 * COLS, .lddg = 2 * COLS,
                                                     .lddu = 2 * COLS, .kind = ACT_SILU,
                                                     .g = g, .u = g + COLS, .dy = dy, .dg = g, .du = g + COLS, .y = y}));
    CHECK_OK(b->ops.rmsnorm_fwd(&b->ctx, &(RmsNormFwd){.rows = ROWS, .cols = COLS, .eps = 1e-5, .x = y, .w = dy, .y = y, .rstd = rstd}));
    CHECK_OK(b->ops.dropout(&b->ctx, &(Dropout){.rows = ROWS, .cols = COLS, .p = 0.3, .key = 99, .row_pos = pos, .row_item = item, .x = dy,
                                                .y = y,
                                                .accumulate = true}));
    CHECK_OK(b->ops.rope(&b->ctx, &(Rope){.rows = ROWS, .heads = 3, .head_dim = 54, .ldx = COLS, .base = 1e4, .pos = pos, .x = y}));
    for (int kind = 0; kind < N_ACT_KINDS; kind++)
        CHECK_OK(b->ops.act_bwd(&b->ctx, &(ActBwd){.n = ROWS * COLS, .kind = (ActKind)kind, .x = y, .dy = dy, .dx = x,
                                                   .accumulate = true}));
    CHECK_OK(b->ops.rows_scatter(&b->ctx, &(RowsScatter){.n = ROWS, .n_dst = 5, .cols = COLS, .ldx = COLS, .ldd = COLS, .index = item,
                                                         .x = y, .dst = dy,
                                                         .accumulate = true}));
    CHECK_OK(b->ops.add_rows_bwd(&b->ctx, &(AddRowsBwd){.rows = ROWS, .cols = COLS, .period = 4, .dy = x, .dtable = dy + 5 * COLS}));
    CHECK_OK(b->ops.cross_entropy(&b->ctx, &(CrossEntropy){.rows = ROWS, .cols = COLS, .ldz = COLS, .label = pos, .weight = rstd,
                                                           .logits = y,
                                                           .loss = rstd + ROWS, .backward = true}));
    AdamwSpan span = {.begin = 16, .end = ROWS * COLS, .lr = 1e-2, .decay = 0.1, .t = 3};
    CHECK_OK(b->ops.fill(&b->ctx, &(Fill){.n = ROWS * COLS, .value = 0.25, .x = g}));
    CHECK_OK(b->ops.adamw(&b->ctx, &(Adamw){.n_spans = 1, .spans = &span, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .grad_scale = 1,
                                            .grad = y,
                                            .param = x, .m = dy, .v = g}));
}

/* Wide enough that a block has only some of the rows (SHARED_BYTES); the memory is x or dx, both A, both dA, u. */
enum { WIDE_ROWS = 37, WIDE = 1 << 16, WIDE_R = 5 };

static AdapterGroup wide_group(const float *memory, int32_t pos[WIDE_ROWS])
{
    const float *a = memory + WIDE_ROWS * WIDE;
    for (int i = 0; i < WIDE_ROWS; i++)
        pos[i] = i * 7 % 23;
    return (AdapterGroup){.rows = WIDE_ROWS, .in = WIDE, .ldu = WIDE_R, .n = 2, .row_pos = pos, .row_item = pos,
                          .part = {{.r = 2, .p = 0.3, .key = 1, .scale = 2, .a = a},
                                   {.r = 3, .p = 0.1, .key = 2, .scale = 1, .a = a + 2 * WIDE}}};
}

static void adapters(Backend *b, float *memory)
{
    int32_t pos[WIDE_ROWS];
    float *da = memory + (WIDE_ROWS + WIDE_R) * WIDE, *u = da + WIDE_R * WIDE;
    AdapterGroup g = wide_group(memory, pos);
    g.part[0].da = da, g.part[1].da = da + 2 * WIDE;
    CHECK_OK(b->ops.adapter_down(&b->ctx, &(AdapterDown){.g = g, .ldx = WIDE, .x = memory, .u = u}));
    CHECK_OK(b->ops.adapter_down_grad(&b->ctx, &(AdapterDownGrad){.g = g, .ldx = WIDE, .x = memory, .du = u}));
    CHECK_OK(b->ops.adapter_down_bwd(&b->ctx, &(AdapterDownBwd){.g = g, .du = u, .dx = memory, .accumulate = true}));
}

/* Numbers in (-1, 1), whether read as F32 or as BF16. */
static float *random_memory(void)
{
    float *memory = mem_alloc(MEMORY * sizeof *memory);
    REQUIRE(memory);
    bf16 *half = (bf16 *)(void *)memory;
    for (uint32_t i = 0; i < 2 * MEMORY; i++)
        half[i] = f32_to_bf16(2 * philox_uniform(philox4x32(7, i, 0, 0, 0).v[0]) - 1);
    return memory;
}

/* alone: as parallel_for does after a wait out of all proportion. */
static void run_with(int threads, bool alone, Call call, const float *start, float *memory)
{
    Backend b;
    omp_set_num_threads(threads);
    REQUIRE_OK(cpu_open(&b));
    cpu_device(&b.ctx)->alone_until_ns = alone ? INT64_MAX : 0;
    memcpy(memory, start, MEMORY * sizeof *memory);
    call(&b, memory);
    b.close(&b);
}

TEST(cpu_gives_the_same_bits_with_any_number_of_threads)
{
    static const struct {
        const char *name;
        Call call;
    } CALLS[] = {{"wide product", wide_product}, {"transposed product", transposed_product}, {"few rows", few_rows},
                 {"bf16 product", mixed_product}, {"two products", two_products}, {"attention", attention}, {"convolutions", convolutions},
                 {"elementwise", elementwise}, {"norms and sums", norms_and_sums}, {"images", images}, {"adapters", adapters}};
    static const char *const ISAS[] = {"avx2", "avx512", "avx512bf16"};
    float *start = random_memory(), *one = mem_alloc(MEMORY * sizeof *one), *many = mem_alloc(MEMORY * sizeof *many);
    REQUIRE(one && many);
    for (size_t isa = 0; isa < sizeof ISAS / sizeof *ISAS; isa++) {
        Backend b;
        setenv("GENLLAVA_ISA", ISAS[isa], 1);
        if (cpu_open(&b) != OK)
            continue;
        b.close(&b);
        for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
            run_with(1, false, CALLS[i].call, start, one);
            for (int n = 2; n <= 6; n++) { /* the last time five threads of which one works */
                int threads = n < 6 ? n : 5;
                run_with(threads, n == 6, CALLS[i].call, start, many);
                CHECK_MSG(!memcmp(one, many, MEMORY * sizeof *one), "%s on %s: %d threads%s differ from one", CALLS[i].name, ISAS[isa],
                          threads, n == 6 ? ", one working," : "");
            }
        }
    }
    mem_free(start);
    mem_free(one);
    mem_free(many);
}

static double largest_difference(const float *a, const float *b, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

/* Rows 0 … m-1 of C by themselves, for every m up to ROWS_ALIKE, against all of them at once. */
static void check_rows_alike(Backend *b, const float *memory, DType a_type, DType b_type, int64_t k)
{
    enum { N = 67, LD = 1040, R = 5 };
    static float all[ROWS_ALIKE * N], some[ROWS_ALIKE * N];
    Matmul m = {.n = N, .k = k, .a_type = a_type, .b_type = b_type, .c_type = F32, .bias_type = F32, .b_trans = true, .lda = LD, .ldb = LD,
                .ldc = N, .a = memory, .b = memory + 16 * LD, .bias = memory + 99, .alpha = 1, .k2 = R, .lda2 = LD, .ldb2 = R,
                .b2_type = F32, .a2 = memory + 200 * LD, .b2 = memory + 220 * LD, .add = memory + 240 * LD};
    for (m.m = ROWS_ALIKE, m.c = all; m.m; m.m--, m.c = some) {
        REQUIRE_OK(b->ops.matmul(&b->ctx, &m));
        CHECK_MSG(!memcmp(m.c, all, (size_t)(m.m * N) * sizeof *all), "%s times %s, k %lld: %lld rows are not what they are among %d",
                  dtype_name(a_type), dtype_name(b_type), (long long)k, (long long)m.m, ROWS_ALIKE);
    }
}

/* The same of a weight in 8-bit floats, over more than one block of k. */
static void check_fp8_rows_alike(Backend *b, const float *memory, DType type, int64_t k)
{
    enum { N = 67, K = 2500 };
    static uint8_t codes[2][(ROWS_ALIKE + N) * K];
    static float scale[2][ROWS_ALIKE + N], all[ROWS_ALIKE * N], some[ROWS_ALIKE * N];
    for (int64_t m = ROWS_ALIKE; m; m--) {
        uint8_t *x = codes[m < ROWS_ALIKE], *w = x + ROWS_ALIKE * K;
        float *x_scale = scale[m < ROWS_ALIKE], *w_scale = x_scale + ROWS_ALIKE, *c = m < ROWS_ALIKE ? some : all;
        const QuantizeRows rows = {.rows = m, .cols = k, .ldx = K, .x_type = type, .x = memory, .code = x, .scale = x_scale},
                           weight = {.rows = N, .cols = k, .ldx = K, .x_type = F32, .x = memory + 16 * K, .code = w, .scale = w_scale};
        REQUIRE_OK(b->ops.quantize_rows(&b->ctx, &rows));
        REQUIRE_OK(b->ops.quantize_rows(&b->ctx, &weight));
        REQUIRE_OK(b->ops.matmul_fp8(&b->ctx, &(MatmulFp8){.m = m, .n = N, .k = k, .ldc = N, .c_type = F32, .a = x, .b = w,
                                                           .a_scale = x_scale, .b_scale = w_scale, .c = c}));
        CHECK(isfinite(all[0]) && all[0] != 0);
        CHECK_MSG(!memcmp(c, all, (size_t)(m * N) * sizeof *all), "fp8 of %s, k %lld: %lld rows are not what they are among %d",
                  dtype_name(type), (long long)k, (long long)m, ROWS_ALIKE);
    }
}

TEST(cpu_sums_a_row_alike_however_many_there_are)
{
    float *memory = random_memory();
    for (size_t i = 0; i < sizeof LEFT_TO_REF / sizeof *LEFT_TO_REF; i++) {
        Backend b;
        setenv("GENLLAVA_ISA", LEFT_TO_REF[i].isa, 1);
        if (cpu_open(&b) != OK)
            continue;
        CHECK(b.rows_alike);
        for (int types = 0; types < 4; types++)
            for (int64_t k = 1; k <= 1040; k = k == 485 ? 1040 : 3 * k + 2)
                check_rows_alike(&b, memory, types & 1 ? BF16 : F32, types & 2 ? BF16 : F32, k);
        for (int64_t k = 5; k <= 2500; k += 1247)
            for (int type = 0; type < 2; type++)
                check_fp8_rows_alike(&b, memory, type ? BF16 : F32, k);
        b.close(&b);
    }
    mem_free(memory);
}

/* Columns of C by 64 and what is left, as weights in codes are multiplied (Backend.tile_bytes), against all of them at once. */
static void check_columns_alike(Backend *b, const float *memory, DType a_type, DType b_type, int64_t m, int64_t k)
{
    enum { N = 200, LD = 1040, R = 5, TILE = 64, ROWS = 150 };
    static float all[ROWS * N], some[ROWS * N];
    const size_t size = dtype_size(b_type);
    const char *weights = (const char *)(memory + 16 * LD);
    Matmul a = {.m = m, .n = N, .k = k, .a_type = a_type, .b_type = b_type, .c_type = F32, .bias_type = F32, .b_trans = true, .lda = LD,
                .ldb = LD, .ldc = N, .a = memory, .b = weights, .bias = memory + 99, .alpha = 1, .k2 = R, .lda2 = LD, .ldb2 = R,
                .b2_type = F32, .a2 = memory + 220 * LD, .b2 = memory + 270 * LD, .add = memory + 280 * LD, .c = all};
    REQUIRE_OK(b->ops.matmul(&b->ctx, &a));
    for (int64_t first = 0; first < N; first += TILE) {
        Matmul part = a;
        part.n = N - first < TILE ? N - first : TILE;
        part.b = weights + (size_t)(first * LD) * size;
        part.bias = memory + 99 + first;
        part.b2 = memory + 270 * LD + first * R;
        part.add = memory + 280 * LD + first;
        part.c = some + first;
        REQUIRE_OK(b->ops.matmul(&b->ctx, &part));
    }
    CHECK_MSG(!memcmp(some, all, (size_t)(m * N) * sizeof *all), "%s times %s, m %lld, k %lld: columns by themselves are not what they are "
                                                                 "among others", dtype_name(a_type), dtype_name(b_type), (long long)m,
              (long long)k);
}

TEST(cpu_sums_a_column_alike_however_many_there_are)
{
    static const int64_t ROWS[] = {1, 2, 7, 40, 150}, K[] = {1, 5, 53, 512, 1039};
    float *memory = random_memory();
    for (size_t i = 0; i < sizeof LEFT_TO_REF / sizeof *LEFT_TO_REF; i++) {
        Backend b;
        setenv("GENLLAVA_ISA", LEFT_TO_REF[i].isa, 1);
        if (cpu_open(&b) != OK)
            continue;
        CHECK(b.tile_bytes);
        for (int types = 0; types < 4; types++)
            for (size_t m = 0; m < sizeof ROWS / sizeof *ROWS; m++)
                for (size_t k = 0; k < sizeof K / sizeof *K; k++)
                    check_columns_alike(&b, memory, types & 1 ? BF16 : F32, types & 2 ? BF16 : F32, ROWS[m], K[k]);
        b.close(&b);
    }
    mem_free(memory);
}

TEST(cpu_adapters_in_several_blocks_are_dropout_and_products)
{
    enum { X = WIDE_ROWS * WIDE, DA = WIDE_R * WIDE, U = WIDE_ROWS * WIDE_R };
    Backend b;
    REQUIRE_OK(cpu_open(&b));
    float *memory = random_memory(), *dropped = mem_alloc(X * sizeof *dropped), *da = mem_alloc(DA * sizeof *da),
          *dx = mem_alloc(X * sizeof *dx);
    float u[U];
    int32_t pos[WIDE_ROWS];
    REQUIRE(dropped && da && dx);
    AdapterGroup g = wide_group(memory, pos);
    memcpy(dx, memory, X * sizeof *dx);
    for (int i = 0, at = 0; i < g.n; at += (int)g.part[i++].r) {
        const Adapter *p = &g.part[i];
        Dropout drop = {.rows = WIDE_ROWS, .cols = WIDE, .p = p->p, .key = p->key, .row_pos = pos, .row_item = pos, .x = memory,
                        .y = dropped};
        CHECK_OK(b.ops.dropout(&b.ctx, &drop));
        CHECK_OK(b.ops.matmul(&b.ctx, &(Matmul){.m = WIDE_ROWS, .n = p->r, .k = WIDE, .b_trans = true, .lda = WIDE, .ldb = WIDE,
                                                .ldc = WIDE_R, .a = dropped,
                                                .b = p->a, .c = u + at, .alpha = p->scale}));
        CHECK_OK(b.ops.matmul(&b.ctx, &(Matmul){.m = p->r, .n = WIDE, .k = WIDE_ROWS, .a_trans = true, .lda = WIDE_R, .ldb = WIDE,
                                                .ldc = WIDE, .a = u + at,
                                                .b = dropped, .c = da + at * WIDE, .alpha = 1}));
        CHECK_OK(b.ops.matmul(&b.ctx, &(Matmul){.m = WIDE_ROWS, .n = WIDE, .k = p->r, .lda = WIDE_R, .ldb = WIDE, .ldc = WIDE, .a = u + at,
                                                .b = p->a,
                                                .c = dropped, .alpha = 1}));
        drop.x = dropped, drop.y = dx, drop.accumulate = true;
        CHECK_OK(b.ops.dropout(&b.ctx, &drop));
    }
    adapters(&b, memory);
    CHECK(largest_difference(memory, dx, X) < 2e-2 && largest_difference(memory + X + DA, da, DA) < 2e-2); /* of thousands */
    CHECK(largest_difference(memory + X + 2 * DA, u, U) < 2e-3);                                           /* of hundreds */
    b.close(&b);
    mem_free(memory);
    mem_free(dropped);
    mem_free(da);
    mem_free(dx);
}

/* Images of several blocks or groups of tiles, which compare.h would take too long for on other backends. */
TEST(cpu_convolutions_in_several_blocks_are_those_of_ref)
{
    static const struct {
        Plane from;
        int64_t in, out, stride;
        bool winograd;
    } CASES[] = {{{1, 65, 67}, 512, 1, 1, false}, {{3, 40, 40}, 600, 1, 1, false}, {{1, 66, 64}, 512, 1, 2, false},
                 {{1, 81, 79}, 32, 32, 1, true}, {{1, 81, 79}, 32, 32, 1, false}};
    enum { X = 3 * 40 * 40 * 600, Y = 81 * 79 * 32, W = 32 * 9 * 600 };
    Backend b, ref;
    REQUIRE_OK(cpu_open(&b));
    REQUIRE_OK(ref_open(&ref));
    float *start = random_memory(), *memory = mem_alloc((2 * X + Y + 2 * W) * sizeof *memory);
    REQUIRE(start && memory);
    float *x[2] = {memory, memory + X}, *y = memory + 2 * X, *w[2] = {y + Y, y + Y + W};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const ConvShape s = {.from = CASES[i].from, .in = CASES[i].in, .out = CASES[i].out, .kernel_height = 3, .kernel_width = 3,
                             .stride = CASES[i].stride, .top = 1, .left = 1, .bottom = 1, .right = 1};
        const Plane to = conv_to(&s);
        const int64_t n_x = plane_rows(&s.from) * s.in, n_y = plane_rows(&to) * s.out, n_w = 9 * s.in * s.out;
        Backend *const backend[] = {&b, &ref};
        float *out[2] = {mem_alloc((size_t)n_y * sizeof(float)), mem_alloc((size_t)n_y * sizeof(float))};
        REQUIRE(n_x <= X && n_y <= Y && n_w <= W && out[0] && out[1]);
        for (int k = 0; k < 2; k++) {
            Backend *on = backend[k];
            CHECK_OK(on->ops.conv2d_fwd(&on->ctx, &(Conv2dFwd){.shape = s, .winograd = CASES[i].winograd, .x = start, .w = start + 7,
                                                               .y = out[k]}));
            CHECK_OK(on->ops.conv2d_dx(&on->ctx, &(Conv2dDx){.shape = s, .winograd = CASES[i].winograd, .dy = start + 9, .w = start + 7,
                                                             .dx = x[k]}));
            CHECK_OK(on->ops.conv2d_dw(&on->ctx, &(Conv2dDw){.shape = s, .x = start, .dy = start + 9, .dw = w[k]}));
        }
        CHECK_MSG(largest_difference(out[0], out[1], n_y) < 2e-4, "case %zu: y is off by %g", i, largest_difference(out[0], out[1], n_y));
        CHECK_MSG(largest_difference(x[0], x[1], n_x) < 2e-4, "case %zu: dx is off by %g", i, largest_difference(x[0], x[1], n_x));
        CHECK_MSG(largest_difference(w[0], w[1], n_w) < 2e-3, "case %zu: dw is off by %g", i, largest_difference(w[0], w[1], n_w));
        mem_free(out[0]);
        mem_free(out[1]);
    }
    mem_free(start);
    mem_free(memory);
    b.close(&b);
    ref.close(&ref);
}
