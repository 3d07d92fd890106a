/* Every operator against central differences in double; 1e-6 of the largest entry of each parameter. */
#include <math.h>

#include "kernels/ops/watch.h"
#include "tests/train/nn/rig.h"

enum { ALL = 1 << 20 };

static Param *find(Rig *r, const char *name)
{
    Param *p = params_find(&r->params, name);
    REQUIRE(p != NULL);
    return p;
}

/* Runs a check with the parameters that `declare` makes. */
static void check(void (*declare)(Rig *), RigBuild build, int samples)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    declare(&r);
    rig_create(&r);
    rig_check(&r, build, samples);
    rig_close(&r);
}

/* ---------------------------------------------------------------- linear */

static const int32_t LENGTHS[] = {3, 1, 5};
enum { ROWS = 9 };

static void linear_params(Rig *r)
{
    rig_param(r, "x", ROWS, 6, true);
    rig_param(r, "w", 5, 6, true);
    rig_param(r, "b", 5, 0, true);
}

static Tensor *linear_build(Rig *r, Tape *t)
{
    Linear l = {.w = find(r, "w"), .b = find(r, "b")};
    return nn_linear(t, rig_rows(t, find(r, "x")), &l, 1, NULL);
}

TEST(linear_gradient) { check(linear_params, linear_build, ALL); }

/* Three linears side by side with adapters of rank 4; 16 columns, so that weights and adapters touch in memory and are multiplied as
 * one. */
static void stacked_params(Rig *r, bool base_trains)
{
    static const char *const NAMES[][3] = {{"w0", "a0", "b0"}, {"w1", "a1", "b1"}, {"w2", "a2", "b2"}};
    static const int64_t OUT[] = {3, 4, 2};
    rig_param(r, "x", ROWS, 16, true);
    for (int i = 0; i < 3; i++)
        rig_param(r, NAMES[i][0], OUT[i], 16, base_trains);
    for (int i = 0; i < 3; i++)
        rig_param(r, NAMES[i][1], 4, 16, true);
    for (int i = 0; i < 3; i++)
        rig_param(r, NAMES[i][2], OUT[i], 4, true);
}
static void adapter_params(Rig *r) { stacked_params(r, false); }
static void full_params(Rig *r) { stacked_params(r, true); }

static Tensor *stacked(Rig *r, Tape *t, double dropout, int without)
{
    Linear l[3] = {{.w = find(r, "w0"), .lora_a = find(r, "a0"), .lora_b = find(r, "b0"), .scale = 2, .dropout = dropout, .site = 5},
                   {.w = find(r, "w1"), .lora_a = find(r, "a1"), .lora_b = find(r, "b1"), .scale = 2, .dropout = dropout, .site = 6},
                   {.w = find(r, "w2"), .lora_a = find(r, "a2"), .lora_b = find(r, "b2"), .scale = 0.5, .dropout = dropout, .site = 7}};
    if (without >= 0)
        l[without].lora_a = l[without].lora_b = NULL;
    return nn_linear(t, rig_rows(t, find(r, "x")), l, 3, rig_packed(t, LENGTHS, 3));
}

static Tensor *adapters_build(Rig *r, Tape *t) { return stacked(r, t, 0, -1); }
static Tensor *dropout_build(Rig *r, Tape *t) { return stacked(r, t, 0.4, -1); }

TEST(lora_gradient) { check(adapter_params, adapters_build, ALL); }
TEST(lora_gradient_with_dropout) { check(adapter_params, dropout_build, ALL); }
TEST(lora_and_base_gradient) { check(full_params, adapters_build, ALL); }

static void some_params(Rig *r)
{
    rig_param(r, "x", ROWS, 16, true);
    rig_param(r, "w0", 3, 16, false);
    rig_param(r, "w1", 4, 16, false);
    rig_param(r, "w2", 2, 16, false);
    rig_param(r, "a0", 4, 16, true);
    rig_param(r, "b0", 3, 4, true);
    rig_param(r, "a2", 4, 16, true);
    rig_param(r, "b2", 2, 4, true);
}
static Tensor *some_build(Rig *r, Tape *t)
{
    Linear l[3] = {{.w = find(r, "w0"), .lora_a = find(r, "a0"), .lora_b = find(r, "b0"), .scale = 2}, {.w = find(r, "w1")},
                   {.w = find(r, "w2"), .lora_a = find(r, "a2"), .lora_b = find(r, "b2"), .scale = 3, .dropout = 0.3, .site = 9}};
    return nn_linear(t, rig_rows(t, find(r, "x")), l, 3, rig_packed(t, LENGTHS, 3));
}
TEST(lora_gradient_on_some_of_the_linears) { check(some_params, some_build, ALL); }

/* Rows of one matrix in another order, some of them twice, as of a projection that packs queries, keys and values. */
static void packed_params(Rig *r)
{
    rig_param(r, "x", ROWS, 16, true);
    rig_param(r, "w", 9, 16, true);
    rig_param(r, "b", 9, 0, true);
    rig_param(r, "after", 2, 16, true); /* lies behind w in memory: no run of linears goes from one to the other */
}
static Tensor *packed_linears(Rig *r, Tape *t, Tensor *x)
{
    Param *w = find(r, "w"), *b = find(r, "b");
    const Linear l[4] = {{.w = w, .b = b, .first = 3, .out = 2}, {.w = w, .b = b, .out = 3}, {.w = w, .b = b, .first = 4, .out = 5},
                         {.w = find(r, "after")}};
    return nn_linear(t, x, l, 4, NULL);
}
/* A bias that stays has no gradient, its neighbours have theirs; weights are not concerned. */
TEST(gradient_of_a_bias_that_stays_is_zero)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    packed_params(&r);
    rig_create(&r);
    Param *w = find(&r, "w"), *b = find(&r, "b");
    const Linear l[3] = {
        {.w = w, .b = b, .first = 3, .out = 3, .b_stays = true}, {.w = w, .b = b, .out = 3}, {.w = w, .b = b, .first = 6, .out = 3}};
    REQUIRE_OK(params_step_begin(&r.params));
    REQUIRE_OK(tape_backward(r.tape, nn_linear(r.tape, rig_rows(r.tape, find(&r, "x")), l, 3, NULL), 1));
    const double *db = (const double *)r.params.flat_grad + b->flat, *dw = (const double *)r.params.flat_grad + w->flat;
    for (int i = 0; i < 9; i++)
        CHECK(db[i] == (i / 3 == 1 ? 0 : ROWS) && dw[16 * i] != 0);
    rig_close(&r);
}

static Tensor *packed_build(Rig *r, Tape *t) { return packed_linears(r, t, rig_rows(t, find(r, "x"))); }
static Tensor *packed_block(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    Rig *const *r = arg;
    return packed_linears(*r, t, in[0]);
}
static Tensor *packed_in_block(Rig *r, Tape *t)
{
    Tensor *x = rig_rows(t, find(r, "x"));
    Rig **arg = tape_host(t, sizeof *arg);
    *arg = r;
    return nn_block(t, packed_block, arg, &x, 1);
}
TEST(gradient_of_rows_of_a_packed_projection) { check(packed_params, packed_build, ALL); }
TEST(gradient_of_rows_of_a_packed_projection_in_a_block) { check(packed_params, packed_in_block, ALL); }

/* ---------------------------------------------------------------- norms: the sum goes on as a residual */

static void rmsnorm_params(Rig *r)
{
    rig_param(r, "x", ROWS, 7, true);
    rig_param(r, "m", 7, 7, false);
    rig_param(r, "w", 7, 0, true);
}
static void layernorm_params(Rig *r)
{
    rmsnorm_params(r);
    rig_param(r, "b", 7, 0, true);
}

static Tensor *residual(Rig *r, Tape *t, bool layernorm)
{
    Linear m = {.w = find(r, "m")};
    Param *w = find(r, "w"), *b = layernorm ? find(r, "b") : NULL;
    Tensor *x = rig_rows(t, find(r, "x")), *mid = NULL;
    Tensor *h = layernorm ? nn_layernorm(t, x, NULL, w, b, 1e-5, NULL) : nn_rmsnorm(t, x, NULL, w, 1e-5, NULL);
    Tensor *o = nn_linear(t, h, &m, 1, NULL);
    h = layernorm ? nn_layernorm(t, x, o, w, b, 1e-5, &mid) : nn_rmsnorm(t, x, o, w, 1e-5, &mid);
    return nn_linear_add(t, h, &m, NULL, mid);
}
static Tensor *layernorm_build(Rig *r, Tape *t) { return residual(r, t, true); }
static Tensor *rmsnorm_build(Rig *r, Tape *t) { return residual(r, t, false); }

TEST(layernorm_and_add_gradient) { check(layernorm_params, layernorm_build, ALL); }
TEST(rmsnorm_and_add_gradient) { check(rmsnorm_params, rmsnorm_build, ALL); }

/* ---------------------------------------------------------------- attention */

enum { HEADS = 4, KV = 2, HEAD = 6 };
static void attention_params(Rig *r) { rig_param(r, "x", ROWS, (HEADS + 2 * KV) * HEAD, true); }

static Tensor *attention(Rig *r, Tape *t, bool causal, int64_t window)
{
    const PackedRows *rows = rig_packed(t, LENGTHS, 3);
    Tensor *kqv = nn_rope(t, rig_rows(t, find(r, "x")), &(RopeSpec){.n = KV + HEADS, .head_dim = HEAD, .base = 10}, rows);
    return nn_attention(t, kqv, &(AttentionSpec){.heads = HEADS, .kv_heads = KV, .head_dim = HEAD, .window = window, .causal = causal,
                                                 .scale = 0.4},
                        rows);
}
static Tensor *causal_build(Rig *r, Tape *t) { return attention(r, t, true, 0); }
static Tensor *window_build(Rig *r, Tape *t) { return attention(r, t, true, 2); }
static Tensor *full_build(Rig *r, Tape *t) { return attention(r, t, false, 0); }

TEST(rope_and_attention_gradient) { check(attention_params, causal_build, ALL); }
TEST(sliding_window_gradient) { check(attention_params, window_build, ALL); }
TEST(full_attention_gradient) { check(attention_params, full_build, ALL); }

/* Queries of LENGTHS to keys of other lengths, of which the second segment has none. */
static const int32_t KEY_LENGTHS[] = {4, 0, 3};
enum { KEY_ROWS = 7 };

static void cross_params_of(Rig *r, bool q_trains, bool kv_trains)
{
    rig_param(r, "q", ROWS, HEADS * HEAD, q_trains);
    rig_param(r, "kv", KEY_ROWS, 2 * KV * HEAD, kv_trains);
}
static void cross_params(Rig *r) { cross_params_of(r, true, true); }
static void cross_q_params(Rig *r) { cross_params_of(r, true, false); }
static void cross_kv_params(Rig *r) { cross_params_of(r, false, true); }

static Tensor *cross_build(Rig *r, Tape *t)
{
    const AttentionSpec spec = {.heads = HEADS, .kv_heads = KV, .head_dim = HEAD, .scale = 0.4};
    return nn_cross_attention(t, rig_rows(t, find(r, "q")), rig_rows(t, find(r, "kv")), &spec, rig_packed(t, LENGTHS, 3),
                              rig_packed(t, KEY_LENGTHS, 3));
}

TEST(cross_attention_gradient) { check(cross_params, cross_build, ALL); }
TEST(cross_attention_gradient_of_the_queries_alone) { check(cross_q_params, cross_build, ALL); }
TEST(cross_attention_gradient_of_keys_and_values_alone) { check(cross_kv_params, cross_build, ALL); }

/* Queries and keys that have other readers: their gradients are sums. */
static void cross_twice_params(Rig *r)
{
    cross_params(r);
    rig_param(r, "w", HEADS * HEAD, 0, true);
}
static Tensor *cross_twice_build(Rig *r, Tape *t)
{
    const AttentionSpec spec = {.heads = HEADS, .kv_heads = KV, .head_dim = HEAD, .scale = 0.4};
    const PackedRows *rows = rig_packed(t, LENGTHS, 3), *key_rows = rig_packed(t, KEY_LENGTHS, 3);
    Tensor *q = rig_rows(t, find(r, "q")), *kv = rig_rows(t, find(r, "kv"));
    Tensor *once = nn_cross_attention(t, q, kv, &spec, rows, key_rows), *twice = nn_cross_attention(t, once, kv, &spec, rows, key_rows);
    return nn_rmsnorm(t, q, twice, find(r, "w"), 1e-5, NULL);
}
TEST(cross_attention_gradient_adds_to_others) { check(cross_twice_params, cross_twice_build, ALL); }

/* Queries, keys and values apart, of the same rows, are self-attention. */
TEST(cross_attention_of_the_same_rows_is_self_attention)
{
    enum { QW = HEADS * HEAD, KW = KV * HEAD };
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    Param *kqv = rig_param(&r, "x", ROWS, QW + 2 * KW, true), *q = rig_param(&r, "q", ROWS, QW, true),
          *kv = rig_param(&r, "kv", ROWS, 2 * KW, true);
    rig_create(&r);
    const double *x = kqv->t.data;
    for (int64_t i = 0; i < ROWS; i++, x += QW + 2 * KW) {
        memcpy((double *)q->t.data + i * QW, x + KW, QW * sizeof *x);
        memcpy((double *)kv->t.data + i * 2 * KW, x, KW * sizeof *x);
        memcpy((double *)kv->t.data + i * 2 * KW + KW, x + KW + QW, KW * sizeof *x);
    }
    tape_reset(r.tape, 1);
    const PackedRows *rows = rig_packed(r.tape, LENGTHS, 3);
    const AttentionSpec spec = {.heads = HEADS, .kv_heads = KV, .head_dim = HEAD, .causal = true, .scale = 0.4};
    Tensor *self = nn_attention(r.tape, rig_rows(r.tape, kqv), &spec, rows);
    Tensor *cross = nn_cross_attention(r.tape, rig_rows(r.tape, q), rig_rows(r.tape, kv), &spec, rows, rows);
    REQUIRE_OK(tape_status(r.tape));
    CHECK(!memcmp(self->data, cross->data, ROWS * QW * sizeof(double)));
    CHECK(!nn_cross_attention(r.tape, rig_rows(r.tape, q), rig_rows(r.tape, kv), &spec, rows, rig_packed(r.tape, KEY_LENGTHS, 3)));
    CHECK_STR(status_message(), "nn_cross_attention: [9, 24] and [9, 24], expected [9, 24] and [7, 24], of 3 and 3 segments");
    rig_close(&r);
}

/* ---------------------------------------------------------------- elementwise */

static void act_params(Rig *r)
{
    rig_param(r, "x", ROWS, 8, true);
    rig_param(r, "m", 6, 4, false);
}
static Tensor *act_build(Rig *r, Tape *t)
{
    Linear m = {.w = find(r, "m")};
    Tensor *y = nn_swiglu(t, nn_act(t, rig_rows(t, find(r, "x")), ACT_GELU_TANH));
    return nn_act(t, nn_linear(t, y, &m, 1, NULL), ACT_GELU_ERF);
}
TEST(swiglu_and_gelu_gradient) { check(act_params, act_build, ALL); }

/* ---------------------------------------------------------------- rows */

static void embed_params(Rig *r)
{
    rig_param(r, "base", 5, 3, true);
    rig_param(r, "rows", 2, 3, true);
    rig_param(r, "features", 3, 3, true);
}
static Tensor *embed_build(Rig *r, Tape *t)
{
    static const int32_t BASE[] = {4, -1, 0, 4, -1, -1, -1, 4}, ADDED[] = {-1, 1, -1, -1, -1, 1, -1, -1},
            IMAGE[] = {-1, -1, -1, -1, 0, -1, 1, -1};
    static const int32_t TAKE[] = {6, 0, 5, 1};
    int32_t two[] = {2, 0};
    Tensor *f = nn_gather_rows(t, rig_rows(t, find(r, "features")), tape_ints(t, two, 2), 2);
    Tensor *x = nn_embed(t, &(EmbedSpec){.n = 8, .base = find(r, "base"), .rows = find(r, "rows"), .features = f,
                                         .base_index = tape_ints(t, BASE, 8),
                                         .rows_index = tape_ints(t, ADDED, 8), .image_index = tape_ints(t, IMAGE, 8), .base_occur = true,
                                         .rows_occur = true});
    return nn_gather_rows(t, x, tape_ints(t, TAKE, 4), 4);
}
TEST(embedding_and_gather_gradient) { check(embed_params, embed_build, ALL); }

/* A row taken several times, as a nearest neighbour is. */
static void repeat_params(Rig *r) { rig_param(r, "features", 3, 3, true); }
static Tensor *repeat_build(Rig *r, Tape *t)
{
    static const int32_t TAKE[] = {1, 1, 0, 2, 2, 1};
    return nn_gather_rows(t, rig_rows(t, find(r, "features")), tape_ints(t, TAKE, 6), 6);
}
TEST(gather_of_repeated_rows_gradient) { check(repeat_params, repeat_build, ALL); }

static void patch_params(Rig *r)
{
    rig_param(r, "w", 4, 3 * 4, true);
    rig_param(r, "b", 4, 0, true);
    rig_param(r, "position", 2, 4, true);
}
static void bare_patch_params(Rig *r) { rig_param(r, "w", 4, 3 * 4, true); }
static Tensor *embed_patches(Tape *t, Param *w, Param *b, Param *position)
{
    uint8_t *pixels = tape_host(t, 2 * 3 * 5 * 3);
    for (int i = 0; i < 2 * 3 * 5 * 3; i++)
        pixels[i] = (uint8_t)(i * 37);
    PatchSpec spec = {.images = 2, .height = 3, .width = 5, .patch = 2, .rescale = 1 / 255.0, .mean = {0.5, 0.4, 0.3},
                      .std = {0.5, 0.6, 0.7},
                      .pixels = tape_bytes(t, pixels, 2 * 3 * 5 * 3)};
    return nn_patch_embed(t, &spec, w, b, position);
}
static Tensor *patch_build(Rig *r, Tape *t) { return embed_patches(t, find(r, "w"), find(r, "b"), find(r, "position")); }
static Tensor *bare_patch_build(Rig *r, Tape *t) { return embed_patches(t, find(r, "w"), NULL, NULL); }
TEST(patch_embedding_gradient) { check(patch_params, patch_build, ALL); }
TEST(patch_embedding_without_bias_and_positions_gradient) { check(bare_patch_params, bare_patch_build, ALL); }

/* ---------------------------------------------------------------- loss */

enum { LABELS = 9 };
static int32_t LABEL[LABELS];
static float WEIGHT[LABELS];

static Tensor *loss_of(Rig *r, Tape *t, const char *rows, int64_t chunk, float *logits)
{
    Param *x = find(r, "x"), *head = find(r, "head"), *added = rows ? find(r, rows) : NULL;
    int64_t n = x->t.shape[0], width = head->t.shape[0] + (added ? added->t.shape[0] : 0);
    for (int i = 0; i < n; i++) {
        LABEL[i] = (int32_t)((i * 7 + 3) % width);
        WEIGHT[i] = (float)(i % 3);
    }
    LmLoss loss = {.n = n, .head = head, .rows = added, .label = LABEL, .weight = WEIGHT, .scale = 0.3, .chunk = chunk, .logits = logits};
    Tensor *l = nn_lm_loss(t, rig_rows(t, x), &loss);
    if (l)
        CHECK(fabs(loss.weighted_sum * 0.3 - *(double *)l->data) <= 1e-15 * fabs(loss.weighted_sum));
    return l;
}
static void loss_params(Rig *r)
{
    rig_param(r, "x", 9, 5, true);
    rig_param(r, "head", 11, 5, true);
    rig_param(r, "rows", 3, 5, true);
}
static Tensor *loss_build(Rig *r, Tape *t) { return loss_of(r, t, "rows", 0, NULL); }
TEST(loss_gradient) { check(loss_params, loss_build, ALL); }

static Tensor *chunked_build(Rig *r, Tape *t) { return loss_of(r, t, "rows", 4, NULL); }
TEST(loss_gradient_in_chunks) { check(loss_params, chunked_build, ALL); }

TEST(loss_hands_out_logits)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    loss_params(&r);
    rig_create(&r);
    float logits[9 * 14];
    REQUIRE(loss_of(&r, r.tape, "rows", 2, logits) != NULL);
    const double *x = (double *)r.params.flat_master + find(&r, "x")->flat, *rows = (double *)r.params.flat_master + find(&r, "rows")->flat;
    double z = 0;
    for (int j = 0; j < 5; j++)
        z += x[8 * 5 + j] * rows[2 * 5 + j];
    CHECK(logits[9 * 14 - 1] == (float)z);
    rig_close(&r);
}

/* The shapes of the cross entropies of a loss. */
typedef struct LogitChunks {
    int n;
    int64_t rows[8], ldz;
} LogitChunks;
static void see_chunk(void *arg, Op op, const void *args, const Cost *cost)
{
    LogitChunks *c = arg;
    const CrossEntropy *a = args;
    (void)cost;
    if (op != OP_cross_entropy)
        return;
    REQUIRE(c->n < 8);
    c->rows[c->n++] = a->rows;
    c->ldz = a->ldz;
}

/* Of a vocabulary of odd width: what a GPU's matmul wants, whose numbers are only measured here. */
TEST(logits_come_in_whole_tiles)
{
    enum { N = 1200, D = 8, V = 32000, ADDED = 11, STRIDE = 32064, CHUNK = 512 };
    static int32_t label[N];
    static float weight[N];
    LogitChunks seen = {0};
    Watched w;
    Arena keep, scratch;
    Params params;
    Tape *t;
    REQUIRE_OK(null_open(&w.b));
    watch_start(&w, (Watcher){.arg = &seen, .after = see_chunk});
    arena_measure(&keep);
    arena_measure(&scratch);
    params_init(&params, &w.b, BF16);
    Param *x = params_declare(&params, &(ParamSpec){.name = "x", .trainable = true, .n_dims = 2, .shape = {N, D}});
    Param *head = params_declare(&params, &(ParamSpec){.name = "head", .n_dims = 2, .shape = {V, D}});
    Param *added = params_declare(&params, &(ParamSpec){.name = "rows", .trainable = true, .n_dims = 2, .shape = {ADDED, D}});
    REQUIRE_OK(params_create(&params));
    REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &w.b, .keep = &keep, .scratch = &scratch, .compute = BF16}));
    LmLoss loss = {.n = N, .head = head, .rows = added, .label = label, .weight = weight, .scale = 1};
    CHECK(nn_lm_loss(t, rig_rows(t, x), &loss) != NULL);
    CHECK_INT(seen.ldz, STRIDE);
    CHECK_INT(seen.n, 3);
    CHECK_INT(seen.rows[0], CHUNK);
    CHECK_INT(seen.rows[1], CHUNK);
    CHECK_INT(seen.rows[2], N - 2 * CHUNK);
    CHECK_INT(scratch.peak, CHUNK * STRIDE * 2);
    tape_free(&t);
    params_destroy(&params);
    w.b.close(&w.b);
}

/* One matrix for the embedding and the head. */
static void tied_params(Rig *r) { rig_param(r, "x", 9, 5, true); }
static Tensor *tied_build(Rig *r, Tape *t)
{
    Param *x = find(r, "x");
    for (int i = 0; i < 9; i++) {
        LABEL[i] = (i * 5 + 1) % 9;
        WEIGHT[i] = 1;
    }
    LmLoss loss = {.n = 9, .head = x, .label = LABEL, .weight = WEIGHT, .scale = 1};
    return nn_lm_loss(t, rig_rows(t, x), &loss);
}
TEST(tied_head_gradient) { check(tied_params, tied_build, ALL); }

/* ---------------------------------------------------------------- what frozen things cost */

static Tensor *frozen_build(Rig *r, Tape *t)
{
    Linear m = {.w = find(r, "m")};
    return nn_linear(t, nn_act(t, rig_rows(t, find(r, "x")), ACT_GELU_ERF), &m, 1, NULL);
}

TEST(frozen_inputs_record_nothing)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    rig_param(&r, "x", ROWS, 4, false);
    rig_param(&r, "m", 6, 4, false);
    rig_create(&r);
    Tensor *y = frozen_build(&r, r.tape);
    REQUIRE(y != NULL);
    CHECK(!y->needs_grad);
    size_t used = r.keep.used;
    CHECK_OK(tape_backward(r.tape, y, 1));
    CHECK(r.keep.used == used);
    rig_close(&r);
}

/* Backward from two results at once gives the sum of what each gives alone. */
TEST(backward_from_several_losses_is_the_sum)
{
    double grad[3][ROWS * 6];
    for (int which = 0; which < 3; which++) { /* the first, the second, both */
        Rig r;
        rig_open(&r, F64, RECOMPUTE_NONE);
        Param *x = rig_param(&r, "x", ROWS, 6, true);
        rig_create(&r);
        Tensor *rows = rig_rows(r.tape, x);
        Tensor *losses[] = {which != 1 ? nn_act(r.tape, rows, ACT_GELU_ERF) : NULL, NULL,
                            which != 0 ? nn_act(r.tape, rows, ACT_GELU_TANH) : NULL};
        REQUIRE_OK(params_step_begin(&r.params));
        REQUIRE_OK(tape_backward_all(r.tape, losses, 3, 0.5));
        memcpy(grad[which], (double *)r.params.flat_grad + x->flat, sizeof grad[0]);
        rig_close(&r);
    }
    for (int i = 0; i < ROWS * 6; i++)
        CHECK(grad[0][i] != 0 && fabs(grad[2][i] - grad[0][i] - grad[1][i]) < 1e-15);
}

TEST(a_missing_input_gives_no_output_and_the_first_error_stays)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    rig_param(&r, "x", ROWS, 6, true);
    rig_param(&r, "m", 6, 4, false);
    rig_create(&r);
    CHECK(frozen_build(&r, r.tape) == NULL);
    CHECK(tape_status(r.tape) == ERR_INTERNAL);
    CHECK_STR(status_message(), "nn_linear: m does not take 6 columns");
    CHECK(nn_act(r.tape, rig_rows(r.tape, find(&r, "x")), ACT_GELU_ERF) == NULL);
    CHECK_STR(status_message(), "nn_linear: m does not take 6 columns");
    tape_reset(r.tape, 0);
    CHECK_OK(tape_status(r.tape));
    rig_close(&r);
}

TEST(a_full_arena_says_so)
{
    Rig r;
    rig_open(&r, F64, RECOMPUTE_NONE);
    rig_param(&r, "x", ROWS, 6, true);
    rig_create(&r);
    Arena small;
    REQUIRE_OK(arena_create(&small, 256));
    Tape *t;
    REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &r.backend, .keep = &small, .scratch = &small, .compute = F64}));
    CHECK(rig_rows(t, find(&r, "x")) == NULL);
    CHECK(tape_status(t) == ERR_NOMEM);
    CHECK_STR(status_message(), "432 bytes are wanted of the arena \"keep\" and 220 of its 256 are left: the plan of memory counted too "
                                "few, which is an error of this program; please report it");
    tape_free(&t);
    arena_free(&small);
    rig_close(&r);
}
