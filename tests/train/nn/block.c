/* Blocks: the three ways of keeping memory give the same bits, on frozen and on trained inputs; what a pass needs is what the null
 * backend says. */
#include <math.h>
#include <stdio.h>

#include "tests/train/nn/rig.h"

enum { D = 16, F = 24, R = 4, HEADS = 2, HEAD = 8, LAYERS = 3, ROWS = 9 };
static const int32_t LENGTHS[] = {4, 5};

typedef struct Layer {
    Param *norm1, *norm2;
    Linear kqv[3], o, gu[2], down;
    const PackedRows *rows;
} Layer;

/* A small Mistral layer. */
static Tensor *layer_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const Layer *l = arg;
    Tensor *x = in[0], *mid = NULL;
    Tensor *kqv = nn_linear(t, nn_rmsnorm(t, x, NULL, l->norm1, 1e-5, NULL), l->kqv, 3, l->rows);
    kqv = nn_rope(t, kqv, &(RopeSpec){.n = 2 * HEADS, .head_dim = HEAD, .base = 100}, l->rows);
    Tensor *o = nn_attention(t, kqv, &(AttentionSpec){.heads = HEADS, .kv_heads = HEADS, .head_dim = HEAD, .causal = true, .scale = 0.3},
                             l->rows);
    Tensor *h = nn_rmsnorm(t, x, nn_linear(t, o, &l->o, 1, l->rows), l->norm2, 1e-5, &mid);
    Tensor *s = nn_swiglu(t, nn_linear(t, h, l->gu, 2, l->rows));
    return nn_linear_add(t, s, &l->down, l->rows, mid);
}

static Linear linear(Rig *r, const char *prefix, int layer, int which, int64_t out, int64_t in, bool full, bool lora, double dropout)
{
    char name[64];
    snprintf(name, sizeof name, "%s%d.w%d", prefix, layer, which);
    Linear l = {.w = rig_param(r, name, out, in, full), .scale = 0.7, .dropout = dropout, .site = (uint64_t)(layer * 10 + which)};
    if (lora) {
        snprintf(name, sizeof name, "%s%d.a%d", prefix, layer, which);
        l.lora_a = rig_param(r, name, R, in, true);
        snprintf(name, sizeof name, "%s%d.b%d", prefix, layer, which);
        l.lora_b = rig_param(r, name, out, R, true);
    }
    return l;
}

typedef struct Model {
    Param *x;
    Layer layer[LAYERS];
} Model;

typedef struct ModelCase {
    const char *name;
    bool train_x, full, lora;
    int first_trained; /* layers before it are frozen */
    double dropout;
    DType compute;
    bool joined;
} ModelCase;

static void declare(Rig *r, Model *m, const ModelCase *c)
{
    m->x = rig_param(r, "x", ROWS, D, c->train_x);
    for (int i = 0; i < LAYERS; i++) {
        bool full = c->full && i >= c->first_trained, lora = c->lora && i >= c->first_trained;
        Layer *l = &m->layer[i];
        char name[32];
        snprintf(name, sizeof name, "n1.%d", i);
        l->norm1 = rig_param(r, name, D, 0, full);
        snprintf(name, sizeof name, "n2.%d", i);
        l->norm2 = rig_param(r, name, D, 0, full);
        for (int j = 0; j < 3; j++)
            l->kqv[j] = linear(r, "l", i, j, HEADS * HEAD, D, full, lora, c->dropout);
        l->o = linear(r, "l", i, 3, D, HEADS * HEAD, full, lora, c->dropout);
        for (int j = 0; j < 2; j++)
            l->gu[j] = linear(r, "l", i, 4 + j, F, D, full, lora, c->dropout);
        l->down = linear(r, "l", i, 6, D, F, full, lora, c->dropout);
    }
}

static void join(Rig *r, Model *m)
{
    for (int i = 0; i < LAYERS; i++) {
        Layer *l = &m->layer[i];
        REQUIRE_OK(joint_declare(&r->params, l->kqv, 3));
        REQUIRE_OK(joint_declare(&r->params, &l->o, 1));
        REQUIRE_OK(joint_declare(&r->params, l->gu, 2));
        REQUIRE_OK(joint_declare(&r->params, &l->down, 1));
    }
    REQUIRE_OK(joint_create(&r->params));
    for (int i = 0; i < LAYERS; i++)
        CHECK((m->layer[i].down.joint != NULL) == (m->layer[i].down.lora_a != NULL));
}

static Tensor *build(Tape *t, Model *m)
{
    const PackedRows *rows = rig_packed(t, LENGTHS, 2);
    Tensor *x = rig_rows(t, m->x);
    for (int i = 0; i < LAYERS; i++) {
        m->layer[i].rows = rows;
        x = nn_block_inplace(t, layer_forward, &m->layer[i], &x, 1);
    }
    return x;
}

/* Everything a run leaves behind: result and flat gradient. */
typedef struct Outcome {
    size_t n_bytes, keep, scratch;
    char *bytes;
} Outcome;

static Outcome run(const ModelCase *c, Recompute recompute)
{
    Rig r;
    Model m = {0};
    rig_open(&r, c->compute, recompute);
    declare(&r, &m, c);
    rig_create(&r);
    if (c->joined)
        join(&r, &m);
    REQUIRE_OK(params_step_begin(&r.params));
    memset(r.scratch.base, 0xff, 1 << 20); /* NaN where nothing was written */
    tape_reset(r.tape, 3);
    Tensor *y = build(r.tape, &m);
    REQUIRE_OK(tape_status(r.tape));
    size_t size = (size_t)y->n_elems * dtype_size(y->type), flat = (size_t)r.params.n_flat * dtype_size(r.params.master);
    Outcome o = {.n_bytes = size + flat, .bytes = mem_alloc(size + flat + 1)};
    memcpy(o.bytes, y->data, size);
    REQUIRE_OK(tape_backward(r.tape, y, 0.5));
    if (flat)
        memcpy(o.bytes + size, r.params.flat_grad, flat);
    o.keep = r.keep.peak;
    o.scratch = r.scratch.peak;
    rig_close(&r);
    return o;
}

static const ModelCase CASES[] = {
    {"adapters on frozen inputs", false, false, true, 0, 0, F32, false},
    {"adapters with dropout", true, false, true, 0, 0.3, F32, false},
    {"adapters in upper layers", false, false, true, 2, 0.1, F32, false},
    {"full training in bf16", true, true, false, 0, 0, BF16, false},
    {"only the inputs", true, false, false, 0, 0, F32, false},
    {"adapters joined with their weights", true, false, true, 0, 0, F32, true},
    {"adapters joined in upper layers, bf16", false, false, true, 1, 0, BF16, true},
    {"adapters with dropout joined with their weights", true, false, true, 0, 0.3, F32, true},
    {"adapters with dropout joined in upper layers, bf16", false, false, true, 1, 0.2, BF16, true},
    {"nothing trains", false, false, false, 0, 0, F32, false},
};
enum { N_CASES = sizeof CASES / sizeof *CASES };

TEST(recompute_gives_the_same_bits)
{
    for (int i = 0; i < N_CASES; i++) {
        Outcome none = run(&CASES[i], RECOMPUTE_NONE);
        bool any = false;
        for (size_t k = 0; k < none.n_bytes; k++)
            any |= none.bytes[k] != 0;
        CHECK(any);
        for (Recompute mode = RECOMPUTE_SELECTIVE; mode <= RECOMPUTE_BLOCK; mode++) {
            Outcome o = run(&CASES[i], mode);
            CHECK_MSG(o.n_bytes == none.n_bytes && !memcmp(o.bytes, none.bytes, o.n_bytes), "%s: mode %d differs from none", CASES[i].name,
                      mode);
            bool trains = CASES[i].train_x || CASES[i].full || CASES[i].lora;
            CHECK_MSG(trains ? o.keep < none.keep : o.keep <= none.keep, "%s: mode %d keeps %zu bytes, none keeps %zu", CASES[i].name, mode,
                      o.keep, none.keep);
            mem_free(o.bytes);
        }
        mem_free(none.bytes);
    }
}

/* One linear between a norm and the residual: its dy is shared with the residual, to which the norm's backward adds. */
static Tensor *short_forward(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    const Layer *l = arg;
    Tensor *h = nn_rmsnorm(t, in[0], NULL, l->norm1, 1e-5, NULL);
    return nn_linear_add(t, h, &l->o, l->rows, in[0]);
}

TEST(a_gradient_shared_with_the_residual_is_read_in_time)
{
    const ModelCase full = {"short", true, true, false, 0, 0, F32, false};
    float *flat[2] = {NULL, NULL};
    size_t n_bytes = 0;
    for (int i = 0; i < 2; i++) {
        Rig r;
        Model m = {0};
        rig_open(&r, F32, i ? RECOMPUTE_SELECTIVE : RECOMPUTE_NONE);
        declare(&r, &m, &full);
        rig_create(&r);
        REQUIRE_OK(params_step_begin(&r.params));
        Tensor *x = rig_rows(r.tape, m.x);
        for (int layer = 0; layer < LAYERS; layer++)
            x = nn_block(r.tape, short_forward, &m.layer[layer], &x, 1);
        REQUIRE_OK(tape_backward(r.tape, x, 0.5));
        n_bytes = (size_t)r.params.n_flat * sizeof(float);
        flat[i] = mem_alloc(n_bytes);
        memcpy(flat[i], r.params.flat_grad, n_bytes);
        rig_close(&r);
    }
    CHECK(!memcmp(flat[0], flat[1], n_bytes));
    for (int i = 0; i < 2; i++)
        mem_free(flat[i]);
}

static int n_swiglu, n_rmsnorm;
static Status (*swiglu)(KernelCtx *ctx, const GluFwd *a), (*rmsnorm)(KernelCtx *ctx, const RmsNormFwd *a);
static Status count_swiglu(KernelCtx *ctx, const GluFwd *a)
{
    n_swiglu++;
    return swiglu(ctx, a);
}
static Status count_rmsnorm(KernelCtx *ctx, const RmsNormFwd *a)
{
    n_rmsnorm++;
    return rmsnorm(ctx, a);
}

/* What selective drops comes again out of the backwards: no forward runs twice. */
TEST(selective_runs_no_forward_twice)
{
    const ModelCase adapters = {"adapters", true, false, true, 0, 0, F32, false};
    Rig r;
    Model m = {0};
    rig_open(&r, F32, RECOMPUTE_SELECTIVE);
    declare(&r, &m, &adapters);
    rig_create(&r);
    swiglu = r.backend.ops.glu_fwd;
    rmsnorm = r.backend.ops.rmsnorm_fwd;
    r.backend.ops.glu_fwd = count_swiglu;
    r.backend.ops.rmsnorm_fwd = count_rmsnorm;
    n_swiglu = n_rmsnorm = 0;
    REQUIRE_OK(params_step_begin(&r.params));
    REQUIRE_OK(tape_backward(r.tape, build(r.tape, &m), 1));
    CHECK_INT(n_swiglu, LAYERS);
    CHECK_INT(n_rmsnorm, 2 * LAYERS);
    rig_close(&r);
}

/* A joint is a way to multiply, not another result; in double, so that only the order of sums is left. */
TEST(joined_adapters_give_the_same_gradients)
{
    static const double DROPOUT[] = {0, 0.3};
    for (int k = 0; k < 2; k++) {
        const ModelCase apart = {"apart", true, false, true, 0, DROPOUT[k], F64, false};
        const ModelCase joined = {"joined", true, false, true, 0, DROPOUT[k], F64, true};
        Outcome a = run(&apart, RECOMPUTE_SELECTIVE), b = run(&joined, RECOMPUTE_SELECTIVE);
        const double *x = (const double *)(const void *)a.bytes, *y = (const double *)(const void *)b.bytes;
        REQUIRE(a.n_bytes == b.n_bytes);
        for (size_t i = 0; i < a.n_bytes / sizeof *x; i++)
            CHECK_MSG(fabs(x[i] - y[i]) <= 1e-13 + 1e-11 * fabs(x[i]), "element %zu: %.17g apart, %.17g joined", i, x[i], y[i]);
        mem_free(a.bytes);
        mem_free(b.bytes);
    }
}

static int n_one_product, n_two_products;
static Status (*matmul)(KernelCtx *ctx, const Matmul *a);
static Status count_products(KernelCtx *ctx, const Matmul *a)
{
    *(a->k2 && matmul_continues(a) ? &n_one_product : &n_two_products) += a->k2 > 0;
    return matmul(ctx, a);
}

/* Everything that an adapter adds lies where it continues the product with its weight, forwards and backwards, however memory is kept. */
TEST(joined_adapters_cost_no_product_of_their_own)
{
    static const int32_t EVERY[ROWS] = {8, 7, 6, 5, 4, 3, 2, 1, 0};
    for (int i = 0; i < 2 * 3; i++) {
        const ModelCase joined = {"joined", true, false, true, 0, i % 2 ? 0.1 : 0, F32, true};
        Recompute mode = (Recompute)(i / 2);
        Rig r;
        Model m = {0};
        rig_open(&r, F32, mode);
        declare(&r, &m, &joined);
        rig_create(&r);
        join(&r, &m);
        matmul = r.backend.ops.matmul;
        r.backend.ops.matmul = count_products;
        n_one_product = n_two_products = 0;
        REQUIRE_OK(params_step_begin(&r.params));
        Tensor *y = nn_gather_rows(r.tape, build(r.tape, &m), tape_ints(r.tape, EVERY, ROWS), ROWS); /* as the rows with labels are taken */
        REQUIRE_OK(tape_backward(r.tape, y, 1));
        CHECK_INT(n_two_products, 0);
        CHECK_INT(n_one_product, (4 * (mode == RECOMPUTE_BLOCK) + (i % 2 ? 4 : 8)) * LAYERS); /* with dropout only forwards */
        rig_close(&r);
    }
}

static size_t aligned(size_t n_bytes) { return (n_bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN; }

/* What a layer with adapters on frozen weights keeps under `selective`: its two residuals, keys, queries and values, the attention's
 * output, gate and up, and of every row the statistics of the two norms, the softmax's sums and the adapters' inner values. Not the norms'
 * and SwiGLU's outputs. */
TEST(selective_keeps_what_the_backward_reads)
{
    const size_t rows = ROWS * sizeof(float);
    const size_t layer = 2 * aligned(D * rows) + aligned(3 * HEADS * HEAD * rows) + aligned(HEADS * HEAD * rows) + aligned(2 * F * rows) +
                         2 * aligned(rows) + aligned(HEADS * rows) + aligned(3 * R * rows) + aligned(2 * R * rows) + 2 * aligned(R * rows);
    const ModelCase adapters = {"adapters", true, false, true, 0, 0, F32, false};
    Outcome nothing = run(&CASES[N_CASES - 1], RECOMPUTE_BLOCK), o = run(&adapters, RECOMPUTE_SELECTIVE);
    size_t gradient = aligned(D * rows); /* of the result; those of the layers below take its place one after the other */
    CHECK_INT(o.keep, nothing.keep + LAYERS * layer + gradient);
    mem_free(nothing.bytes);
    mem_free(o.bytes);
}

/* A frozen stack keeps one activation and works in the memory of one layer. */
TEST(frozen_blocks_take_the_memory_of_one)
{
    Outcome o = run(&CASES[N_CASES - 1], RECOMPUTE_BLOCK);
    CHECK(o.keep < 4 * ROWS * D * sizeof(float) + 4096);
    mem_free(o.bytes);
}

TEST(the_null_backend_measures_what_a_pass_needs)
{
    for (int i = 0; i < N_CASES; i++)
        for (Recompute mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++) {
            Outcome truth = run(&CASES[i], mode);
            Rig r;
            Model m = {0};
            rig_open(&r, CASES[i].compute, mode);
            declare(&r, &m, &CASES[i]);
            rig_create(&r);
            if (CASES[i].joined)
                join(&r, &m);
            Backend null;
            Arena keep, scratch;
            arena_measure(&keep);
            arena_measure(&scratch);
            REQUIRE_OK(null_open(&null));
            Tape *t;
            REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &null, .keep = &keep, .scratch = &scratch, .compute = CASES[i].compute,
                                                      .recompute = mode}));
            Tensor *y = build(t, &m);
            REQUIRE_OK(tape_status(t));
            REQUIRE_OK(tape_backward(t, y, 1));
            CHECK_MSG(keep.peak == truth.keep && scratch.peak == truth.scratch, "%s, mode %d: %zu + %zu measured, %zu + %zu used",
                      CASES[i].name, mode, keep.peak, scratch.peak, truth.keep, truth.scratch);
            tape_free(&t);
            null.close(&null);
            rig_close(&r);
            mem_free(truth.bytes);
        }
}
