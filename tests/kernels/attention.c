/* attention_fwd, attention_bwd, attention_decode */
#include <float.h>
#include <math.h>

#include "tests/kernels/compare.h"
#include "tests/kernels/gradient.h"

enum { MAX_SEGMENTS = 6 };

typedef struct AttentionCase {
    int64_t heads, kv_heads, head_dim, window, pad;
    bool causal, no_lse;
    DType act;
    int64_t n_segments, lengths[MAX_SEGMENTS];
    Pattern pattern;
    double scale; /* of the entries of q, k, v */
    const char *why;
} AttentionCase;

static const AttentionCase ATTENTION_CASES[] = {
    /* h kv  Dh  win pad causal no_lse act  segments                       pattern scale */
    { 1, 1,   1,  0, 0, true,  false, F32,  1, {1},                        UNIFORM, 1, "smallest"},
    { 1, 1,   8,  0, 0, true,  false, F32,  0, {0},                        UNIFORM, 1, "no segments"},
    { 2, 1,   8,  0, 0, true,  false, F32,  4, {3, 0, 0, 5},               UNIFORM, 1, "empty segments"},
    { 2, 2,  16,  0, 0, true,  false, F32,  5, {1, 7, 1, 2, 13},           UNIFORM, 1, "one-row segments"},
    { 4, 2,  16,  5, 0, true,  false, F32,  3, {23, 4, 11},                UNIFORM, 1, "window shorter and longer than the segment"},
    { 4, 1,  16,  1, 0, true,  false, F32,  2, {9, 6},                     UNIFORM, 1, "window of one: each row sees itself"},
    { 4, 1,  16, 64, 0, true,  false, F32,  2, {130, 65},                  UNIFORM, 1, "window of a block"},
    { 2, 1,  32, 33, 0, true,  false, F32,  1, {140},                      UNIFORM, 1, "window past a block"},
    { 8, 2,  64,  0, 3, true,  false, F32,  2, {37, 70},                   UNIFORM, 1, "width 64, four queries a key, strides"},
    { 3, 3,  72,  0, 0, false, false, F32,  2, {49, 16},                   UNIFORM, 1, "width 72, full"},
    { 6, 2,  80,  0, 5, false, false, F32,  1, {77},                       UNIFORM, 1, "width 80, full, strides"},
    { 2, 1,  96,  7, 1, true,  false, F32,  2, {65, 1},                    UNIFORM, 1, "width 96, window, odd strides"},
    { 4, 4, 128,  0, 0, true,  false, F32,  1, {129},                      UNIFORM, 1, "width 128, past two blocks"},
    { 4, 1, 128,  0, 0, true,  true,  F32,  1, {67},                       UNIFORM, 1, "width 128, without lse"},
    { 2, 1, 256,  0, 0, true,  false, F32,  2, {17, 34},                   UNIFORM, 1, "width 256"},
    { 5, 5,   3,  0, 0, false, false, F32,  3, {10, 1, 66},                UNIFORM, 1, "width 3"},
    { 7, 1,  13,  4, 2, true,  false, F32,  3, {31, 2, 19},                UNIFORM, 1, "seven queries a key, width 13"},
    { 1, 1,  40,  3, 0, false, false, F32,  1, {12},                       UNIFORM, 1, "full attention knows no window"},
    { 2, 1,  32,  0, 0, true,  false, F32,  1, {70},                       UNIFORM, 40, "scores of hundreds: one key takes all"},
    { 2, 1,  32,  0, 0, false, false, F32,  1, {70},                       UNIFORM, 1e-20, "scores vanish: the mean"},
    { 2, 1,  16,  0, 0, true,  false, F32,  1, {33},                       ZEROS, 1, "all zeros"},
    { 2, 1,  16,  0, 0, true,  false, F32,  1, {33},                       MIXED, 1, "subnormal numbers, zeros"},
    { 2, 1,  16,  0, 0, true,  false, F32,  1, {33},                       SPIKE, 30, "one element dominates"},
    { 1, 1,   8,  0, 0, true,  false, F32,  1, {300},                      UNIFORM, 1, "several blocks"},
    { 2, 1,   8, 100, 0, true, false, F32,  2, {450, 70},                  UNIFORM, 1, "windows across several blocks"},
    { 1, 1,   8,  7, 0, true,  false, F32,  1, {421},                      UNIFORM, 1, "a window much shorter than a block"},
    { 2, 1,   8, 193, 1, true, false, F32,  3, {201, 1, 390},              UNIFORM, 1, "a window longer than a block"},
    { 2, 2,   8,  0, 0, false, false, F32,  2, {330, 129},                 UNIFORM, 1, "several blocks, full"},
    { 2, 1,  16, 60, 0, true,  false, BF16, 2, {340, 128},                 UNIFORM, 1, "bf16, windows across several blocks"},
    { 1, 1,   1,  0, 0, true,  false, BF16, 1, {1},                        UNIFORM, 1, "bf16, smallest"},
    { 4, 2,  16,  5, 0, true,  false, BF16, 3, {23, 1, 11},                UNIFORM, 1, "bf16, window"},
    { 8, 2,  64,  0, 3, true,  false, BF16, 2, {37, 70},                   UNIFORM, 1, "bf16, width 64, strides"},
    { 3, 3,  72,  0, 0, false, false, BF16, 2, {49, 16},                   UNIFORM, 1, "bf16, width 72, full"},
    { 2, 1, 128,  0, 0, true,  false, BF16, 1, {129},                      UNIFORM, 1, "bf16, width 128"},
    { 2, 1,  32,  0, 0, true,  false, BF16, 1, {70},                       UNIFORM, 20, "bf16, one key takes all"},
    { 4, 2,  64,  0, 8, true,  false, BF16, 2, {130, 70},                  UNIFORM, 1, "bf16, width 64, past two tiles, strides of whole vectors"},
    { 1, 1,  64, 64, 0, true,  false, BF16, 1, {200},                      UNIFORM, 1, "bf16, a window of a tile"},
    { 2, 1,  96, 37, 8, true,  false, BF16, 2, {131, 1},                   UNIFORM, 1, "bf16, width 96, window across tiles"},
    { 2, 1,  80,  0, 8, false, false, BF16, 1, {77},                       UNIFORM, 1, "bf16, width 80, full"},
    { 3, 1,   8,  0, 0, true,  true,  BF16, 4, {0, 40, 0, 5},              UNIFORM, 1, "bf16, width 8, empty segments"},
    { 2, 1,  40,  0, 8, false, false, BF16, 1, {65},                       UNIFORM, 1, "bf16, width 40, full"},
    { 1, 1, 160,  0, 0, true,  false, BF16, 1, {70},                       UNIFORM, 1, "bf16, width 160"},
    { 1, 1, 192,  9, 0, true,  false, BF16, 1, {66},                       UNIFORM, 1, "bf16, width 192, window"},
    { 2, 1, 256,  0, 0, true,  false, BF16, 2, {17, 66},                   UNIFORM, 1, "bf16, width 256"},
    { 2, 1,  32,  0, 0, false, false, BF16, 1, {70},                       UNIFORM, 1e-20, "bf16, scores vanish: the mean"},
    { 2, 1,  16,  0, 0, true,  false, BF16, 1, {33},                       SPIKE, 30, "bf16, one element dominates"},
    { 7, 1,  13,  4, 1, true,  false, BF16, 3, {31, 0, 19},                UNIFORM, 1, "bf16, width 13, odd strides"},
};

static int64_t offset(int64_t i, const void *arg)
{
    const AttentionCase *k = arg;
    int64_t rows = 0;
    for (int64_t s = 0; s < i; s++)
        rows += k->lengths[s];
    return rows;
}

static int64_t longest(const AttentionCase *k)
{
    int64_t n = 0;
    for (int64_t s = 0; s < k->n_segments; s++)
        n = k->lengths[s] > n ? k->lengths[s] : n;
    return n;
}

#define MATRIX(n_heads, stride) \
    .type = k->act, .rows = rows, .cols = (n_heads) * k->head_dim, .ld = (stride), .empty = rows == 0
#define VALUES .pattern = k->pattern, .scale = k->scale

static void attention_fwd_case(Comparison *c, const void *row)
{
    const AttentionCase *k = row;
    int64_t rows = offset(k->n_segments, k), q_width = k->heads * k->head_dim, kv_width = k->kv_heads * k->head_dim;
    AttentionFwd args = {.n_segments = k->n_segments, .rows = rows, .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim,
                         .window = k->window, .max_segment = longest(k), .ldq = q_width + k->pad, .ldk = kv_width + 2 * k->pad,
                         .ldv = kv_width + k->pad, .ldo = q_width + 3 * k->pad, .causal = k->causal, .act = k->act,
                         .scale = 1 / sqrt((double)k->head_dim)};
    AttentionFwd *a = compare_args(c, &args, sizeof args);
    IN(cu, .type = I32, .cols = k->n_segments + 1, .data = compare_indices(c, k->n_segments + 1, offset, k));
    IN(q, MATRIX(k->heads, a->ldq), VALUES);
    IN(k, MATRIX(k->kv_heads, a->ldk), VALUES);
    IN(v, MATRIX(k->kv_heads, a->ldv), VALUES);
    OUT(o, MATRIX(k->heads, a->ldo));
    if (!k->no_lse)
        OUT(lse, .type = F32, .rows = k->heads, .cols = rows);
}
KERNEL_TEST(attention_fwd, ATTENTION_CASES, attention_fwd_case)

static void attention_bwd_case(Comparison *c, const void *row)
{
    const AttentionCase *k = row;
    int64_t rows = offset(k->n_segments, k), q_width = k->heads * k->head_dim, kv_width = k->kv_heads * k->head_dim;
    AttentionBwd args = {.n_segments = k->n_segments, .rows = rows, .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim,
                         .window = k->window, .max_segment = longest(k), .ldq = q_width + k->pad, .ldk = kv_width + 2 * k->pad,
                         .ldv = kv_width + k->pad, .ldo = q_width + 3 * k->pad, .lddo = q_width + 2 * k->pad, .lddq = q_width + k->pad,
                         .lddk = kv_width + 3 * k->pad, .lddv = kv_width + 4 * k->pad, .causal = k->causal, .act = k->act,
                         .scale = 1 / sqrt((double)k->head_dim)};
    AttentionBwd *a = compare_args(c, &args, sizeof args);
    int32_t *cu = IN(cu, .type = I32, .cols = k->n_segments + 1, .data = compare_indices(c, k->n_segments + 1, offset, k));
    void *q = IN(q, MATRIX(k->heads, a->ldq), VALUES);
    void *key = IN(k, MATRIX(k->kv_heads, a->ldk), VALUES);
    void *v = IN(v, MATRIX(k->kv_heads, a->ldv), VALUES);
    /* o and lse as the forward leaves them, rounded. */
    void *o = compare_memory(c, (size_t)(rows * q_width) * sizeof(float)), *lse = compare_memory(c, (size_t)(k->heads * rows) * sizeof(float));
    AttentionFwd fwd = {.n_segments = k->n_segments, .rows = rows, .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim,
                        .window = k->window, .max_segment = longest(k), .ldq = q_width, .ldk = kv_width, .ldv = kv_width, .ldo = q_width,
                        .causal = k->causal, .act = k->act, .scale = args.scale, .cu = cu, .q = q, .k = key, .v = v, .o = o, .lse = lse};
    REQUIRE_OK(op_call(compare_truth(c), OP_attention_fwd, &fwd));
    IN(o, MATRIX(k->heads, a->ldo), .data = o);
    IN(lse, .type = F32, .rows = k->heads, .cols = rows, .data = lse);
    IN(d_o, MATRIX(k->heads, a->lddo), .pattern = UNIFORM);
    /* In a row that sees one key dP - D is 0, yet both are sums of Dh products, each in an order of the backend's own (ref's two
     * orders agree): they differ by about eps √Dh |do||v|, which enters dq and dk times scale |k| = |k| / √Dh. */
    double cancelled = FLT_EPSILON * k->scale * k->scale;
    OUT(dq, MATRIX(k->heads, a->lddq), .floor = cancelled);
    /* P and dS rounded to bf16: a term is off by up to 2^-9 of itself, a row whose terms cancel by more of what is left. Measured beyond the rule
     * on tensor cores: 4.5e-3 of the row's largest in dk, 9.4e-4 in dv. */
    bool tiles = k->act == BF16 && k->head_dim % 8 == 0;
    OUT(dk, MATRIX(k->kv_heads, a->lddk), .floor = cancelled, .slack = tiles ? 5e-3 : 0);
    OUT(dv, MATRIX(k->kv_heads, a->lddv), .slack = tiles ? 1e-3 : 0);
}
KERNEL_TEST(attention_bwd, ATTENTION_CASES, attention_bwd_case)

typedef struct DecodeCase {
    int64_t n, capacity, heads, kv_heads, head_dim, window;
    DType act;
    double scale;
    const char *why;
} DecodeCase;

static const DecodeCase DECODE_CASES[] = {
    {1,   1, 1, 1,   1,  0, F32,  1, "smallest"},
    {0,   4, 1, 1,   8,  0, F32,  1, "no sequences"},
    {5,  17, 4, 2,  16,  0, F32,  1, "lengths from 1 to the capacity"},
    {5,  40, 4, 1,  64,  7, F32,  1, "window"},
    {2, 300, 8, 2, 128,  0, F32,  1, "long cache"},
    {3,  70, 7, 7,  13, 64, F32,  1, "odd width"},
    {9, 201, 8, 4,  64,  0, F32,  1, "large enough for two threads"},
    {2,  33, 2, 1, 256,  1, F32,  1, "window of one"},
    {2,  33, 2, 1,  32,  0, F32, 40, "one key takes all"},
    {5,  17, 4, 2,  16,  0, BF16, 1, "bf16"},
    {3,  70, 6, 2,  80, 33, BF16, 1, "bf16, width 80, window"},
};

static int64_t cached(int64_t s, const void *arg)
{
    const DecodeCase *k = arg;
    return k->n == 1 ? k->capacity : 1 + s * (k->capacity - 1) / (k->n - 1);
}

/* What lies beyond a sequence's length is NaN: nothing may read it. */
static void hide_unused(const DecodeCase *k, void *cache)
{
    size_t row = (size_t)(k->kv_heads * k->head_dim) * dtype_size(k->act);
    for (int64_t s = 0; s < k->n; s++)
        memset((char *)cache + (size_t)(s * k->capacity + cached(s, k)) * row, 0xff, (size_t)(k->capacity - cached(s, k)) * row);
}

static void attention_decode_case(Comparison *c, const void *row)
{
    const DecodeCase *k = row;
    AttentionDecode args = {.n = k->n, .capacity = k->capacity, .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim,
                            .window = k->window, .act = k->act, .scale = 1 / sqrt((double)k->head_dim)};
    AttentionDecode *a = compare_args(c, &args, sizeof args);
    Array cache = {.type = k->act, .rows = k->n, .cols = k->capacity * k->kv_heads * k->head_dim, .empty = k->n == 0, .pattern = UNIFORM,
                   .scale = k->scale};
    IN(length, .type = I32, .cols = k->n, .data = compare_indices(c, k->n, cached, k));
    IN(q, .type = k->act, .rows = k->n, .cols = k->heads * k->head_dim, .empty = k->n == 0, .pattern = UNIFORM, .scale = k->scale);
    cache.name = "k", cache.slot = &a->k;
    hide_unused(k, compare_array(c, cache));
    cache.name = "v", cache.slot = &a->v;
    hide_unused(k, compare_array(c, cache));
    OUT(o, .type = k->act, .rows = k->n, .cols = k->heads * k->head_dim, .empty = k->n == 0);
}
KERNEL_TEST(attention_decode, DECODE_CASES, attention_decode_case)

/* ---------------------------------------------------------------- the specification itself */

enum { T = 7, HEADS = 4, KV = 2, DIM = 3 };
static const int32_t CU[] = {0, 5, 5, 7};

static AttentionFwd small_forward(bool causal, int64_t window)
{
    static double o[T * HEADS * DIM], lse[HEADS * T];
    return (AttentionFwd){.n_segments = 3, .rows = T, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .window = window, .max_segment = 5,
                          .ldq = HEADS * DIM, .ldk = KV * DIM, .ldv = KV * DIM, .ldo = HEADS * DIM, .causal = causal, .act = F64,
                          .scale = 0.7, .cu = CU, .q = random_values(T * HEADS * DIM, 1), .k = random_values(T * KV * DIM, 2),
                          .v = random_values(T * KV * DIM, 3), .o = o, .lse = lse};
}

/* The whole matrix of probabilities, rows and columns of all segments, masked: the textbook instead of the loops of ref. */
static void textbook(const AttentionFwd *a, const double *q, const double *k, const double *v, int h, double o[T * DIM], double lse[T])
{
    for (int i = 0; i < T; i++) {
        double p[T], total = 0;
        for (int j = 0; j < T; j++) {
            bool same = (i < 5) == (j < 5), visible = !a->causal || (j <= i && (!a->window || i - j < a->window));
            double s = 0;
            for (int d = 0; d < DIM; d++)
                s += q[(i * HEADS + h) * DIM + d] * k[(j * KV + h / 2) * DIM + d];
            p[j] = same && visible ? exp(a->scale * s) : 0;
            total += p[j];
        }
        for (int d = 0; d < DIM; d++) {
            o[i * DIM + d] = 0;
            for (int j = 0; j < T; j++)
                o[i * DIM + d] += p[j] / total * v[(j * KV + h / 2) * DIM + d];
        }
        lse[i] = log(total);
    }
}

static const struct {
    bool causal;
    int64_t window;
} MASKS[] = {{true, 0}, {true, 2}, {true, 1}, {false, 0}, {false, 2}};
enum { N_MASKS = sizeof MASKS / sizeof *MASKS };

TEST(ref_attention_is_the_textbook)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    for (int mask = 0; mask < N_MASKS; mask++) {
        AttentionFwd a = small_forward(MASKS[mask].causal, MASKS[mask].window);
        REQUIRE_OK(ref.ops.attention_fwd(&ref.ctx, &a));
        const double *found = a.o, *found_lse = a.lse;
        for (int h = 0; h < HEADS; h++) {
            double o[T * DIM], lse[T];
            textbook(&a, a.q, a.k, a.v, h, o, lse);
            for (int i = 0; i < T; i++) {
                CHECK_NEAR(found_lse[h * T + i], lse[i], 1e-14);
                for (int d = 0; d < DIM; d++)
                    CHECK_NEAR(found[(i * HEADS + h) * DIM + d], o[i * DIM + d], 1e-14);
            }
        }
    }
}

TEST(ref_attention_backward_is_the_derivative)
{
    enum { NQ = T * HEADS * DIM, NK = T * KV * DIM };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    for (int mask = 0; mask < N_MASKS; mask++) {
        AttentionFwd fwd = small_forward(MASKS[mask].causal, MASKS[mask].window);
        double *q = random_values(NQ, 1), *k = random_values(NK, 2), *v = random_values(NK, 3), *d_o = random_values(NQ, 4);
        double dq[NQ], dk[NK], dv[NK];
        fwd.q = q, fwd.k = k, fwd.v = v;
        REQUIRE_OK(ref.ops.attention_fwd(&ref.ctx, &fwd));
        AttentionBwd bwd = {.n_segments = 3, .rows = T, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .window = fwd.window, .max_segment = 5,
                            .ldq = HEADS * DIM, .ldk = KV * DIM, .ldv = KV * DIM, .ldo = HEADS * DIM, .lddo = HEADS * DIM,
                            .lddq = HEADS * DIM, .lddk = KV * DIM, .lddv = KV * DIM, .causal = fwd.causal, .act = F64, .scale = fwd.scale,
                            .cu = CU, .q = q, .k = k, .v = v, .o = fwd.o, .lse = fwd.lse, .d_o = d_o, .dq = dq, .dk = dk, .dv = dv};
        REQUIRE_OK(ref.ops.attention_bwd(&ref.ctx, &bwd));
        Forward f = {&ref, OP_attention_fwd, &fwd, fwd.o, d_o, NQ};
        CHECK_GRADIENT(&f, q, dq, NQ);
        CHECK_GRADIENT(&f, k, dk, NK);
        CHECK_GRADIENT(&f, v, dv, NK);
    }
}

TEST(ref_decoding_is_the_last_row_of_attention)
{
    enum { N = 9, WINDOW = 4 };
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    double *q = random_values(N * HEADS * DIM, 1), *k = random_values(N * KV * DIM, 2), *v = random_values(N * KV * DIM, 3);
    double o[N * HEADS * DIM], last[HEADS * DIM];
    const int32_t cu[] = {0, N}, length = N;
    AttentionFwd fwd = {.n_segments = 1, .rows = N, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .window = WINDOW, .max_segment = N,
                        .ldq = HEADS * DIM, .ldk = KV * DIM, .ldv = KV * DIM, .ldo = HEADS * DIM, .causal = true, .act = F64, .scale = 0.7,
                        .cu = cu, .q = q, .k = k, .v = v, .o = o};
    REQUIRE_OK(ref.ops.attention_fwd(&ref.ctx, &fwd));
    AttentionDecode decode = {.n = 1, .capacity = N, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .window = WINDOW, .act = F64,
                              .scale = 0.7, .length = &length, .q = q + (N - 1) * HEADS * DIM, .k = k, .v = v, .o = last};
    REQUIRE_OK(ref.ops.attention_decode(&ref.ctx, &decode));
    for (int d = 0; d < HEADS * DIM; d++)
        CHECK_NEAR(last[d], o[(N - 1) * HEADS * DIM + d], 1e-15);
}

TEST(attention_refuses_wrong_arguments)
{
    float x[64] = {0};
    int32_t cu[] = {0, 2, 4};
    AttentionFwd good = {.n_segments = 2, .rows = 4, .heads = 4, .kv_heads = 2, .head_dim = 2, .max_segment = 2, .ldq = 8, .ldk = 4, .ldv = 4,
                         .ldo = 8, .causal = true, .scale = 1, .cu = cu, .q = x, .k = x, .v = x, .o = x + 32},
                 bad = good;
    bad.kv_heads = 3;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: 3 kv_heads do not divide 4 heads");
    bad = good;
    bad.head_dim = 257;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: head_dim is 257, expected 1 … 256");
    bad = good;
    bad.window = -1;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: window is -1, expected 0 or more");
    bad = good;
    bad.ldk = 3;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: ldk is 3, expected 4 or more");
    bad = good;
    bad.rows = 5;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: cu[2] is 4, expected 5 rows");
    bad = good;
    bad.max_segment = 1;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: segment 0 has 2 rows, expected 0 … 1");
    cu[1] = 5;
    bad.max_segment = 5;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: segment 1 has -1 rows, expected 0 … 5");
    AttentionBwd bwd = {.n_segments = 0, .heads = 4, .kv_heads = 2, .head_dim = 2, .ldq = 8, .ldk = 4, .ldv = 4, .ldo = 8, .lddo = 8,
                        .lddq = 7, .lddk = 4, .lddv = 4, .cu = cu};
    REFUSED(attention_bwd, &bwd, ERR_INTERNAL, "attention_bwd: lddq is 7, expected 8 or more");
    int32_t length = 5;
    AttentionDecode decode = {.n = 1, .capacity = 4, .heads = 2, .kv_heads = 1, .head_dim = 2, .length = &length, .q = x, .k = x, .v = x,
                              .o = x + 32};
    REFUSED(attention_decode, &decode, ERR_DATA, "attention_decode: length[0] is 5, expected 1 … 4");
}
