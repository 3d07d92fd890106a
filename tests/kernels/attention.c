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
    { 4, 2,  64,  0, 8, true,  false, BF16, 2, {130, 70},                  UNIFORM, 1,
     "bf16, width 64, past two tiles, strides of whole vectors"},
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
    { 2, 1, 512,  0, 0, true,  false, F32,  2, {19, 40},                   UNIFORM, 1, "width 512"},
    { 1, 1, 512,  0, 8, false, false, BF16, 1, {35},                       UNIFORM, 1, "bf16, width 512, full"},
};

/* Cross attention: segments of keys of their own, no mask. */
typedef enum Wanted { BOTH, ONLY_Q, ONLY_KV } Wanted;
typedef struct CrossCase {
    int64_t heads, kv_heads, head_dim, pad;
    bool no_lse;
    Wanted wanted; /* gradients */
    DType act;
    int64_t n_segments, queries[MAX_SEGMENTS], keys[MAX_SEGMENTS];
    const char *why;
} CrossCase;

static const CrossCase CROSS_CASES[] = {
    /* h kv  Dh pad no_lse wanted  act   segments of queries and of keys   */
    { 1, 1,   1, 0, false, BOTH,    F32,  1, {1}, {2},                      "smallest"},
    { 1, 1,   8, 0, false, BOTH,    F32,  0, {0}, {0},                      "no segments"},
    { 2, 1,   8, 0, false, BOTH,    F32,  1, {5}, {9},                      "more keys than queries"},
    { 2, 2,  16, 0, false, BOTH,    F32,  1, {9}, {5},                      "more queries than keys"},
    { 2, 1,   8, 0, false, BOTH,    F32,  5, {3, 0, 4, 0, 2}, {5, 6, 0, 0, 3}, "segments that are empty on one side or on both"},
    { 1, 1,   8, 0, false, BOTH,    F32,  1, {7}, {0},                      "no keys at all"},
    { 1, 1,   8, 0, false, BOTH,    F32,  1, {0}, {7},                      "no queries at all"},
    { 2, 1,   8, 0, false, BOTH,    F32,  3, {200, 3, 1}, {1, 450, 129},    "several blocks of either"},
    { 4, 4,  40, 3, false, BOTH,    F32,  2, {130, 64}, {77, 77},           "width 40, strides"},
    { 4, 2,  64, 0, true,  BOTH,    F32,  2, {33, 70}, {65, 7},             "width 64, two queries a key, without lse"},
    { 2, 2,  80, 0, false, ONLY_Q,  F32,  2, {33, 70}, {65, 7},             "width 80, the gradient of q alone"},
    { 2, 2, 128, 0, false, ONLY_KV, F32,  2, {33, 70}, {65, 7},             "width 128, the gradients of k and v alone"},
    { 2, 2,  80, 0, false, BOTH,    F32,  2, {33, 70}, {65, 7},             "width 80"},
    { 2, 2, 128, 0, false, BOTH,    F32,  2, {33, 70}, {65, 7},             "width 128"},
    { 1, 1, 160, 1, false, BOTH,    F32,  2, {20, 3}, {5, 34},              "width 160, odd strides"},
    { 1, 1, 512, 0, false, BOTH,    F32,  2, {20, 3}, {5, 34},              "width 512"},
    { 2, 1,   8, 0, false, BOTH,    BF16, 5, {3, 0, 4, 0, 2}, {5, 6, 0, 0, 3}, "bf16, segments that are empty on one side or on both"},
    { 2, 2,  16, 0, false, BOTH,    BF16, 1, {0}, {130},                    "bf16, no queries at all"},
    { 2, 2,  16, 0, false, BOTH,    BF16, 1, {130}, {0},                    "bf16, no keys at all"},
    { 4, 4,  40, 8, false, BOTH,    BF16, 2, {130, 64}, {77, 77},           "bf16, width 40, strides of whole vectors"},
    { 4, 2,  64, 0, true,  BOTH,    BF16, 3, {33, 1, 131}, {130, 64, 7},    "bf16, width 64, two queries a key, without lse"},
    { 2, 2,  80, 0, false, ONLY_Q,  BF16, 2, {33, 70}, {65, 7},             "bf16, width 80, the gradient of q alone"},
    { 2, 2, 128, 0, false, ONLY_KV, BF16, 2, {33, 70}, {65, 7},             "bf16, width 128, the gradients of k and v alone"},
    { 2, 2,  80, 0, false, BOTH,    BF16, 2, {33, 70}, {65, 77},            "bf16, width 80"},
    { 2, 2, 128, 0, false, BOTH,    BF16, 2, {33, 70}, {65, 77},            "bf16, width 128"},
    { 1, 1, 160, 8, false, BOTH,    BF16, 2, {70, 3}, {5, 77},              "bf16, width 160, past a tile, strides of whole vectors"},
    { 1, 1, 160, 0, false, BOTH,    BF16, 2, {20, 3}, {5, 34},              "bf16, width 160"},
    { 1, 1, 256, 0, false, BOTH,    BF16, 2, {20, 3}, {5, 34},              "bf16, width 256"},
    { 1, 1, 512, 0, false, BOTH,    BF16, 2, {20, 3}, {5, 34},              "bf16, width 512"},
    { 3, 1,  13, 1, false, BOTH,    BF16, 2, {20, 3}, {5, 34},              "bf16, width 13, odd strides"},
};

static int64_t offset(int64_t i, const void *lengths)
{
    int64_t rows = 0;
    for (int64_t s = 0; s < i; s++)
        rows += ((const int64_t *)lengths)[s];
    return rows;
}

static int64_t longest(const int64_t *lengths, int64_t n_segments)
{
    int64_t n = 0;
    for (int64_t s = 0; s < n_segments; s++)
        n = lengths[s] > n ? lengths[s] : n;
    return n;
}

static AttentionCase without_mask(const CrossCase *x)
{
    AttentionCase k = {.heads = x->heads, .kv_heads = x->kv_heads, .head_dim = x->head_dim, .pad = x->pad, .no_lse = x->no_lse,
                       .act = x->act,
                       .n_segments = x->n_segments, .pattern = UNIFORM, .scale = 1, .why = x->why};
    memcpy(k.lengths, x->queries, sizeof k.lengths);
    return k;
}

#define MATRIX(n_rows, n_heads, stride) \
    .type = k->act, .rows = (n_rows), .cols = (n_heads) * k->head_dim, .ld = (stride), .empty = (n_rows) == 0
#define VALUES .pattern = k->pattern, .scale = k->scale
/* Both lists of segments, or one that serves as both. */
#define SEGMENTS(a, keys)                                                                                                            \
    do {                                                                                                                             \
        IN(cu_q, .type = I32, .cols = k->n_segments + 1, .data = compare_indices(c, k->n_segments + 1, offset, k->lengths));         \
        if (keys)                                                                                                                    \
            IN(cu_k, .type = I32, .cols = k->n_segments + 1, .data = compare_indices(c, k->n_segments + 1, offset, keys));           \
        else                                                                                                                         \
            compare_slice(c, "cu_k", &a->cu_k, "cu_q", 0);                                                                           \
    } while (0)

static AttentionFwd forward_shape(const AttentionCase *k, const int64_t *keys)
{
    const int64_t *of_keys = keys ? keys : k->lengths;
    int64_t q_width = k->heads * k->head_dim, kv_width = k->kv_heads * k->head_dim;
    return (AttentionFwd){.n_segments = k->n_segments, .rows_q = offset(k->n_segments, k->lengths),
                          .rows_k = offset(k->n_segments, of_keys),
                          .max_q = longest(k->lengths, k->n_segments), .max_k = longest(of_keys, k->n_segments), .heads = k->heads,
                          .kv_heads = k->kv_heads, .head_dim = k->head_dim, .window = k->window, .ldq = q_width + k->pad,
                                  .ldk = kv_width + 2 * k->pad,
                          .ldv = kv_width + k->pad, .ldo = q_width + 3 * k->pad, .causal = k->causal, .act = k->act,
                          .scale = 1 / sqrt((double)k->head_dim)};
}

/* keys: lengths of the segments of keys; NULL: self-attention */
static void forward_case(Comparison *c, const AttentionCase *k, const int64_t *keys)
{
    AttentionFwd args = forward_shape(k, keys), *a = compare_args(c, &args, sizeof args);
    SEGMENTS(a, keys);
    IN(q, MATRIX(a->rows_q, k->heads, a->ldq), VALUES);
    IN(k, MATRIX(a->rows_k, k->kv_heads, a->ldk), VALUES);
    IN(v, MATRIX(a->rows_k, k->kv_heads, a->ldv), VALUES);
    OUT(o, MATRIX(a->rows_q, k->heads, a->ldo));
    if (!k->no_lse)
        OUT(lse, .type = F32, .rows = k->heads, .cols = a->rows_q);
}

static void attention_fwd_case(Comparison *c, const void *row) { forward_case(c, row, NULL); }
KERNEL_TEST(attention_fwd, ATTENTION_CASES, attention_fwd_case)

static void cross_fwd_case(Comparison *c, const void *row)
{
    AttentionCase k = without_mask(row);
    forward_case(c, &k, ((const CrossCase *)row)->keys);
}
KERNEL_TEST_NAMED(cross_attention_fwd, attention_fwd, CROSS_CASES, cross_fwd_case)

static void backward_case(Comparison *c, const AttentionCase *k, const int64_t *keys, Wanted wanted)
{
    int64_t q_width = k->heads * k->head_dim, kv_width = k->kv_heads * k->head_dim;
    AttentionFwd f = forward_shape(k, keys);
    AttentionBwd args = {.n_segments = f.n_segments, .rows_q = f.rows_q, .rows_k = f.rows_k, .max_q = f.max_q, .max_k = f.max_k,
                         .heads = f.heads,
                         .kv_heads = f.kv_heads, .head_dim = f.head_dim, .window = f.window, .ldq = f.ldq, .ldk = f.ldk, .ldv = f.ldv,
                                 .ldo = f.ldo,
                         .lddo = q_width + 2 * k->pad, .lddq = q_width + k->pad, .lddk = kv_width + 3 * k->pad,
                                 .lddv = kv_width + 4 * k->pad,
                         .causal = f.causal, .act = f.act, .scale = f.scale};
    AttentionBwd *a = compare_args(c, &args, sizeof args);
    SEGMENTS(a, keys);
    f.q = IN(q, MATRIX(a->rows_q, k->heads, a->ldq), VALUES);
    f.k = IN(k, MATRIX(a->rows_k, k->kv_heads, a->ldk), VALUES);
    f.v = IN(v, MATRIX(a->rows_k, k->kv_heads, a->ldv), VALUES);
    /* o and lse as the forward leaves them, rounded. */
    f.ldq = f.ldo = q_width, f.ldk = f.ldv = kv_width;
    f.cu_q = f.cu_k = compare_indices(c, k->n_segments + 1, offset, k->lengths);
    if (keys)
        f.cu_k = compare_indices(c, k->n_segments + 1, offset, keys);
    f.o = compare_memory(c, (size_t)(f.rows_q * q_width) * sizeof(float));
    f.lse = compare_memory(c, (size_t)(k->heads * f.rows_q) * sizeof(float));
    REQUIRE_OK(op_call(compare_truth(c), OP_attention_fwd, &f));
    IN(o, MATRIX(a->rows_q, k->heads, a->ldo), .data = f.o);
    IN(lse, .type = F32, .rows = k->heads, .cols = a->rows_q, .data = f.lse);
    IN(d_o, MATRIX(a->rows_q, k->heads, a->lddo), .pattern = UNIFORM);
    /* In a row that sees one key dP - D is 0, yet both are sums of Dh products, each in an order of the backend's own (ref's two
     * orders agree): they differ by about eps √Dh |do||v|, which enters dq and dk times scale |k| = |k| / √Dh. */
    double cancelled = FLT_EPSILON * k->scale * k->scale;
    if (wanted != ONLY_KV)
        OUT(dq, MATRIX(a->rows_q, k->heads, a->lddq), .floor = cancelled);
    if (wanted == ONLY_Q)
        return;
    /* P and dS rounded to bf16: a term is off by up to 2^-9 of itself, a row whose terms cancel by more of what is left. Measured beyond
     * the rule on tensor cores: 4.5e-3 of the row's largest in dk, 9.4e-4 in dv. */
    bool tiles = k->act == BF16 && k->head_dim % 8 == 0;
    OUT(dk, MATRIX(a->rows_k, k->kv_heads, a->lddk), .floor = cancelled, .slack = tiles ? 5e-3 : 0);
    OUT(dv, MATRIX(a->rows_k, k->kv_heads, a->lddv), .slack = tiles ? 1e-3 : 0);
}

static void attention_bwd_case(Comparison *c, const void *row) { backward_case(c, row, NULL, BOTH); }
KERNEL_TEST(attention_bwd, ATTENTION_CASES, attention_bwd_case)

static void cross_bwd_case(Comparison *c, const void *row)
{
    const CrossCase *x = row;
    AttentionCase k = without_mask(x);
    backward_case(c, &k, x->keys, x->wanted);
}
KERNEL_TEST_NAMED(cross_attention_bwd, attention_bwd, CROSS_CASES, cross_bwd_case)

typedef struct DecodeCase {
    int64_t n, capacity, heads, kv_heads, head_dim, window;
    DType act;
    double scale;
    const char *why;
    int64_t pad; /* elements behind the rows of q; the rows of o have one more */
} DecodeCase;

static const DecodeCase DECODE_CASES[] = {
    {1,   1, 1, 1,   1,  0, F32,  1, "smallest", 0},
    {0,   4, 1, 1,   8,  0, F32,  1, "no sequences", 0},
    {5,  17, 4, 2,  16,  0, F32,  1, "lengths from 1 to the capacity", 0},
    {5,  40, 4, 1,  64,  7, F32,  1, "window", 0},
    {5,  17, 4, 2,  16,  0, F32,  1, "rows with something behind them", 3},
    {2, 300, 8, 2, 128,  0, F32,  1, "long cache", 0},
    {3,  70, 7, 7,  13, 64, F32,  1, "odd width", 0},
    {9, 201, 8, 4,  64,  0, F32,  1, "large enough for two threads", 0},
    {2,  33, 2, 1, 256,  1, F32,  1, "window of one", 0},
    {2,  33, 2, 1,  32,  0, F32, 40, "one key takes all", 0},
    {2,  20, 2, 1, 512,  0, F32,  1, "width 512", 0},
    {5,  17, 4, 2,  16,  0, BF16, 1, "bf16", 0},
    {3,  70, 6, 2,  80, 33, BF16, 1, "bf16, width 80, window", 0},
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
    const int64_t width = k->heads * k->head_dim;
    AttentionDecode args = {.n = k->n, .capacity = k->capacity, .heads = k->heads, .kv_heads = k->kv_heads, .head_dim = k->head_dim,
                            .window = k->window, .ldq = k->pad ? width + k->pad : 0, .ldo = k->pad ? width + k->pad + 1 : 0,
                            .act = k->act, .scale = 1 / sqrt((double)k->head_dim)};
    AttentionDecode *a = compare_args(c, &args, sizeof args);
    Array cache = {.type = k->act, .rows = k->n, .cols = k->capacity * k->kv_heads * k->head_dim, .empty = k->n == 0, .pattern = UNIFORM,
                   .scale = k->scale};
    IN(length, .type = I32, .cols = k->n, .data = compare_indices(c, k->n, cached, k));
    IN(q, .type = k->act, .rows = k->n, .cols = width, .ld = args.ldq, .empty = k->n == 0, .pattern = UNIFORM, .scale = k->scale);
    cache.name = "k", cache.slot = &a->k;
    hide_unused(k, compare_array(c, cache));
    cache.name = "v", cache.slot = &a->v;
    hide_unused(k, compare_array(c, cache));
    OUT(o, .type = k->act, .rows = k->n, .cols = width, .ld = args.ldo, .empty = k->n == 0);
}
KERNEL_TEST(attention_decode, DECODE_CASES, attention_decode_case)

/* ---------------------------------------------------------------- the specification itself */

enum { T = 7, HEADS = 4, KV = 2, DIM = 3 };
static const int32_t CU[] = {0, 5, 5, 7};
static const int32_t CU_KEYS[] = {0, 3, 7, 7}; /* the last segment has none, the one before no queries */

typedef struct Mask {
    bool causal;
    int64_t window;
    bool cross;
} Mask;
static const Mask MASKS[] = {{true, 0, false}, {true, 2, false}, {true, 1, false}, {false, 0, false}, {false, 2, false}, {false, 0, true}};
enum { N_MASKS = sizeof MASKS / sizeof *MASKS };

static AttentionFwd small_forward(const Mask *m)
{
    static double o[T * HEADS * DIM], lse[HEADS * T];
    return (AttentionFwd){.n_segments = 3, .rows_q = T, .rows_k = T, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .window = m->window,
                          .max_q = 5,
                          .max_k = 5, .ldq = HEADS * DIM, .ldk = KV * DIM, .ldv = KV * DIM, .ldo = HEADS * DIM, .causal = m->causal,
                                  .act = F64,
                          .scale = 0.7, .cu_q = CU, .cu_k = m->cross ? CU_KEYS : CU, .q = random_values(T * HEADS * DIM, 1),
                          .k = random_values(T * KV * DIM, 2), .v = random_values(T * KV * DIM, 3), .o = o, .lse = lse};
}

static int segment_of(const int32_t *cu, int row)
{
    int s = 0;
    while (row >= cu[s + 1])
        s++;
    return s;
}

/* The whole matrix of probabilities, rows and columns of all segments, masked: the textbook instead of the loops of ref. */
static void textbook(const AttentionFwd *a, const double *q, const double *k, const double *v, int h, double o[T * DIM], double lse[T])
{
    for (int i = 0; i < T; i++) {
        double p[T], total = 0;
        for (int j = 0; j < T; j++) {
            bool same = segment_of(a->cu_q, i) == segment_of(a->cu_k, j),
                 visible = !a->causal || (j <= i && (!a->window || i - j < a->window));
            double s = 0;
            for (int d = 0; d < DIM; d++)
                s += q[(i * HEADS + h) * DIM + d] * k[(j * KV + h / 2) * DIM + d];
            p[j] = same && visible ? exp(a->scale * s) : 0;
            total += p[j];
        }
        for (int d = 0; d < DIM; d++) {
            o[i * DIM + d] = 0;
            for (int j = 0; j < T && total > 0; j++)
                o[i * DIM + d] += p[j] / total * v[(j * KV + h / 2) * DIM + d];
        }
        lse[i] = log(total);
    }
}

TEST(ref_attention_is_the_textbook)
{
    Backend ref;
    REQUIRE_OK(ref_open(&ref));
    for (int mask = 0; mask < N_MASKS; mask++) {
        AttentionFwd a = small_forward(&MASKS[mask]);
        REQUIRE_OK(ref.ops.attention_fwd(&ref.ctx, &a));
        const double *found = a.o, *found_lse = a.lse;
        for (int h = 0; h < HEADS; h++) {
            double o[T * DIM], lse[T];
            textbook(&a, a.q, a.k, a.v, h, o, lse);
            for (int i = 0; i < T; i++) {
                if (isinf(lse[i])) /* no keys */
                    CHECK(MASKS[mask].cross && i >= 5 && found_lse[h * T + i] == lse[i]);
                else
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
        AttentionFwd fwd = small_forward(&MASKS[mask]);
        double *q = random_values(NQ, 1), *k = random_values(NK, 2), *v = random_values(NK, 3), *d_o = random_values(NQ, 4);
        double dq[NQ], dk[NK], dv[NK];
        fwd.q = q, fwd.k = k, fwd.v = v;
        REQUIRE_OK(ref.ops.attention_fwd(&ref.ctx, &fwd));
        AttentionBwd bwd = {.n_segments = 3, .rows_q = T, .rows_k = T, .heads = HEADS, .kv_heads = KV, .head_dim = DIM,
                            .window = fwd.window, .max_q = 5,
                            .max_k = 5, .ldq = HEADS * DIM, .ldk = KV * DIM, .ldv = KV * DIM, .ldo = HEADS * DIM, .lddo = HEADS * DIM,
                            .lddq = HEADS * DIM, .lddk = KV * DIM, .lddv = KV * DIM, .causal = fwd.causal, .act = F64, .scale = fwd.scale,
                            .cu_q = fwd.cu_q, .cu_k = fwd.cu_k, .q = q, .k = k, .v = v, .o = fwd.o, .lse = fwd.lse, .d_o = d_o, .dq = dq,
                                    .dk = dk,
                            .dv = dv};
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
    AttentionFwd fwd = {.n_segments = 1, .rows_q = N, .rows_k = N, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .window = WINDOW,
                        .max_q = N, .max_k = N,
                        .ldq = HEADS * DIM, .ldk = KV * DIM, .ldv = KV * DIM, .ldo = HEADS * DIM, .causal = true, .act = F64, .scale = 0.7,
                        .cu_q = cu, .cu_k = cu, .q = q, .k = k, .v = v, .o = o};
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
    int32_t cu[] = {0, 2, 4}, cu_k[] = {0, 1, 3};
    AttentionFwd good = {.n_segments = 2, .rows_q = 4, .rows_k = 4, .heads = 4, .kv_heads = 2, .head_dim = 2, .max_q = 2, .max_k = 2,
                         .ldq = 8, .ldk = 4,
                         .ldv = 4, .ldo = 8, .causal = true, .scale = 1, .cu_q = cu, .cu_k = cu, .q = x, .k = x, .v = x, .o = x + 32},
                 bad = good;
    bad.kv_heads = 3;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: 3 kv_heads do not divide 4 heads");
    bad = good;
    bad.head_dim = 513;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: head_dim is 513, expected 1 … 512");
    bad = good;
    bad.window = -1;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: window is -1, expected 0 or more");
    bad = good;
    bad.ldk = 3;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: ldk is 3, expected 4 or more");
    bad = good;
    bad.rows_q = bad.rows_k = 5;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: cu_q[2] is 4, expected 5 rows");
    bad = good;
    bad.max_q = bad.max_k = 1;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: segment 0 of cu_q has 2 rows, expected 0 … 1");
    bad = good;
    bad.max_k = 3;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: one list of segments for 4 queries and 4 keys (longest 2, 3)");
    bad = good;
    bad.cu_k = cu_k, bad.rows_k = 3;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: causal, but the keys have segments of their own");
    bad.causal = false, bad.rows_k = 4;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: cu_k[2] is 3, expected 4 rows");
    bad.rows_k = -1;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: rows_k is -1, expected 0 or more");
    bad = good;
    cu[1] = 5;
    bad.max_q = bad.max_k = 5;
    REFUSED(attention_fwd, &bad, ERR_INTERNAL, "attention_fwd: segment 1 of cu_q has -1 rows, expected 0 … 5");
    AttentionBwd bwd = {.n_segments = 0, .heads = 4, .kv_heads = 2, .head_dim = 2, .ldq = 8, .ldk = 4, .ldv = 4, .ldo = 8, .lddo = 8,
                        .lddq = 7, .lddk = 4, .lddv = 4, .cu_q = cu, .cu_k = cu, .dq = x, .dk = x, .dv = x};
    REFUSED(attention_bwd, &bwd, ERR_INTERNAL, "attention_bwd: lddq is 7, expected 8 or more");
    bwd.dq = bwd.dv = NULL;
    REFUSED(attention_bwd, &bwd, ERR_INTERNAL, "attention_bwd: one of dk and dv is wanted, the other is not");
    int32_t length = 5;
    AttentionDecode decode = {.n = 1, .capacity = 4, .ldo = 3, .heads = 2, .kv_heads = 1, .head_dim = 2, .length = &length, .q = x,
                              .k = x, .v = x, .o = x + 32};
    REFUSED(attention_decode, &decode, ERR_INTERNAL, "attention_decode: ldo is 3, expected 4 or more");
    decode.ldo = 0;
    REFUSED(attention_decode, &decode, ERR_DATA, "attention_decode: length[0] is 5, expected 1 … 4");
}
