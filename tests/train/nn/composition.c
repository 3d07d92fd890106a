/* Operators and blocks in every order and number: skips, other shapes, several readers of one tensor. Whoever reads what, the gradient is
 * that of the formula, and has the same bits however memory is kept. */
#include <stdio.h>

#include "tests/train/nn/sum.h"

enum { ROWS = 8, D = 8, R = 2 };
static const int32_t LENGTHS[] = {5, 3};
static Tensor *add(Tape *t, Tensor *a, Tensor *b) { return a && b ? nn_sum(t, a, b, tensor_rows(a), tensor_cols(a)) : NULL; }
static Tensor *view(Tape *t, Tensor *a, int64_t rows, int64_t cols) { return nn_sum(t, a, NULL, rows, cols); }
/* ---------------------------------------------------------------- what the cases are made of */

/* down, gates and side have adapters, and are joined with them in some ways. */
static const struct {
    const char *name;
    int64_t rows, cols;
} PARAMS[] = {{"x", ROWS, D},      {"c", ROWS, D},      {"norm", D, 0},    {"bias", D, 0},       {"w", D, D},      {"wide", 3 * D, D},
              {"narrow", D, 3 * D}, {"half", D, 2 * D},  {"double", 2 * D, D}, {"down", D, D},    {"gates", 2 * D, D}, {"down_a", R, D},
              {"down_b", D, R},     {"gates_a", R, D},   {"gates_b", 2 * D, R}, {"side", D, D},   {"side_a", R, D}, {"side_b", D, R}};
enum { N_PARAMS = sizeof PARAMS / sizeof *PARAMS };

typedef struct Toy {
    Rig rig;
    Linear down, gates, side;
    const PackedRows *rows;
    const struct Case *c;
    bool in_block;
} Toy;

static Param *find(const Toy *toy, const char *name)
{
    Param *p = params_find(&toy->rig.params, name);
    REQUIRE(p != NULL);
    return p;
}

static Tensor *linear(Tape *t, const Toy *toy, Tensor *x, const char *w) { return nn_linear(t, x, &(Linear){.w = find(toy, w)}, 1, NULL); }
static Tensor *adapted(Tape *t, const Toy *toy, Tensor *x, const Linear *l) { return nn_linear(t, x, l, 1, toy->rows); }
static Tensor *gelu(Tape *t, Tensor *x) { return nn_act(t, x, ACT_GELU_TANH); }
static Tensor *groupnorm(Tape *t, const Toy *toy, Tensor *x, int64_t images, bool silu)
{
    return nn_groupnorm(t, x, images, find(toy, "norm"), find(toy, "bias"), 4, 1e-5, silu);
}
static Tensor *norm(Tape *t, const Toy *toy, Tensor *x) { return nn_rmsnorm(t, x, NULL, find(toy, "norm"), 1e-5, NULL); }
static Tensor *norm_of_sum(Tape *t, const Toy *toy, Tensor *x, Tensor *more, Tensor **mid)
{
    return more ? nn_rmsnorm(t, x, more, find(toy, "norm"), 1e-5, mid) : NULL;
}
static Tensor *linear_add(Tape *t, const Toy *toy, Tensor *x, const char *w, Tensor *residual)
{
    return nn_linear_add(t, x, &(Linear){.w = find(toy, w)}, NULL, residual);
}
static Tensor *rope(Tape *t, const Toy *toy, Tensor *x) { return nn_rope(t, x, &(RopeSpec){.n = 1, .head_dim = D, .base = 10}, toy->rows); }
static Tensor *attend(Tape *t, const Toy *toy, Tensor *kqv)
{
    return nn_attention(t, kqv, &(AttentionSpec){.heads = 1, .kv_heads = 1, .head_dim = D, .causal = true, .scale = 0.3}, toy->rows);
}

/* ---------------------------------------------------------------- cases: functions of x and c, [ROWS, D] each */

typedef Tensor *Formula(Tape *t, const Toy *toy, Tensor *x, Tensor *c);

static Tensor *rope_of_what_others_read(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *h = linear(t, toy, x, "w"), *before = gelu(t, h), *r = rope(t, toy, h), *after = gelu(t, h);
    return add(t, add(t, before, gelu(t, r)), add(t, after, c));
}

static Tensor *rope_of_rope(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *once = rope(t, toy, linear(t, toy, x, "w"));
    return add(t, add(t, rope(t, toy, once), rope(t, toy, c)), gelu(t, c));
}

static Tensor *rope_of_what_can_be_dropped(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    return add(t, gelu(t, rope(t, toy, gelu(t, x))), gelu(t, rope(t, toy, norm(t, toy, c))));
}

/* The gradient that rope turns back is the residual's as well. */
static Tensor *rope_added_to_a_residual(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *mid, *h = norm_of_sum(t, toy, gelu(t, x), rope(t, toy, linear(t, toy, c, "w")), &mid);
    return add(t, gelu(t, h), mid);
}

static Tensor *attention_of_what_others_read(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *kqv = linear(t, toy, x, "wide"), *before = linear(t, toy, gelu(t, kqv), "narrow"), *o = attend(t, toy, kqv);
    return add(t, add(t, before, o), add(t, linear(t, toy, gelu(t, kqv), "narrow"), c));
}

/* Queries from keys and values, from the very same columns, and from what others read. */
static Tensor *cross_attention(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    const AttentionSpec two = {.heads = 2, .kv_heads = 1, .head_dim = D, .scale = 0.3};
    Tensor *q = linear(t, toy, x, "double"), *kv = linear(t, toy, c, "double"), *before = gelu(t, q);
    Tensor *o = nn_cross_attention(t, q, kv, &two, toy->rows, toy->rows), *same = nn_cross_attention(t, kv, kv, &two, toy->rows, toy->rows);
    return linear(t, toy, add(t, add(t, o, gelu(t, kv)), add(t, same, before)), "half");
}

/* Its backward reads its output, so nobody may write there. */
static Tensor *attention_overwritten(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *o = attend(t, toy, linear(t, toy, x, "wide")), *r = attend(t, toy, linear(t, toy, c, "wide"));
    return add(t, nn_swiglu(t, o), nn_swiglu(t, rope(t, toy, r)));
}

static Tensor *swiglu_of_what_others_read(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *gu = linear(t, toy, x, "double"), *first = nn_swiglu(t, gu), *other = linear(t, toy, gelu(t, gu), "half");
    return add(t, add(t, first, other), add(t, nn_swiglu(t, gu), c));
}

static Tensor *swiglu_of_inputs(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    (void)toy;
    return add(t, add(t, nn_swiglu(t, x), nn_swiglu(t, c)), nn_swiglu(t, gelu(t, x)));
}

static Tensor *norm_whose_residual_is_read_meanwhile(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *r = gelu(t, x), *more = linear(t, toy, c, "w"), *meanwhile = gelu(t, r), *mid, *h = norm_of_sum(t, toy, r, more, &mid);
    return add(t, add(t, h, meanwhile), add(t, gelu(t, mid), gelu(t, r)));
}

static Tensor *norm_whose_addend_is_read_before_and_after(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *more = linear(t, toy, c, "w"), *before = gelu(t, more), *r = gelu(t, x), *mid, *h = norm_of_sum(t, toy, r, more, &mid);
    return add(t, add(t, h, before), add(t, mid, gelu(t, more)));
}

/* The addend is made from the residual itself. */
static Tensor *norm_of_a_sum_with_itself(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *mid, *last, *h = norm_of_sum(t, toy, x, x, &mid), *r = add(t, gelu(t, h), c);
    h = norm_of_sum(t, toy, r, gelu(t, r), &last);
    return add(t, h, linear_add(t, toy, last, "w", mid));
}

/* A gradient that goes through two sums has three owners. */
static Tensor *sums_of_sums(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *early = gelu(t, c), *mid, *last, *h = norm_of_sum(t, toy, gelu(t, x), linear(t, toy, x, "w"), &mid);
    Tensor *k = norm_of_sum(t, toy, mid, early, &last);
    return add(t, add(t, h, k), add(t, last, gelu(t, early)));
}

/* The product's own gradient waits for the norm to come again, and meanwhile everybody adds to the residual's. */
static Tensor *linear_add_whose_residual_is_read_meanwhile(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *r = gelu(t, x), *h = norm(t, toy, r), *meanwhile = linear(t, toy, r, "w"), *y = linear_add(t, toy, h, "w", r);
    return add(t, add(t, y, gelu(t, r)), add(t, meanwhile, linear_add(t, toy, c, "w", c)));
}

static Tensor *adapters_with_another_reader(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *h = norm(t, toy, x), *k = norm(t, toy, c);
    Tensor *s = nn_swiglu(t, adapted(t, toy, h, &toy->gates)), *more = add(t, gelu(t, h), adapted(t, toy, s, &toy->down));
    return add(t, more, add(t, adapted(t, toy, k, &toy->down), nn_swiglu(t, adapted(t, toy, k, &toy->gates))));
}

/* Gradients with room behind their rows reach operators that know none. */
static Tensor *adapters_whose_gradient_is_read_by_all(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *r = gelu(t, x), *meanwhile = linear(t, toy, c, "w"), *inner = add(t, meanwhile, r),
           *more = adapted(t, toy, norm(t, toy, c), &toy->down);
    Tensor *other = gelu(t, inner), *mid, *h = norm_of_sum(t, toy, inner, more, &mid), *gu = adapted(t, toy, h, &toy->gates);
    Tensor *y = nn_linear_add(t, nn_swiglu(t, gu), &toy->down, toy->rows, mid);
    return add(t, add(t, y, gelu(t, more)), add(t, other, linear(t, toy, gelu(t, gu), "half")));
}

/* … and are added to by them. */
static Tensor *adapters_whose_gradient_others_add_to(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *r = gelu(t, x), *more = adapted(t, toy, norm(t, toy, c), &toy->down), *meanwhile = gelu(t, r), *mid;
    Tensor *gu = adapted(t, toy, norm_of_sum(t, toy, r, more, &mid), &toy->gates), *other = linear(t, toy, gelu(t, gu), "half");
    Tensor *y = nn_linear_add(t, nn_swiglu(t, gu), &toy->down, toy->rows, mid);
    return add(t, norm(t, toy, y), add(t, meanwhile, other));
}

/* Two products whose gradients lie in one memory, room and all, while the first still waits. */
static Tensor *adapters_that_share_a_gradient(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *h = norm(t, toy, x), *y = adapted(t, toy, norm(t, toy, c), &toy->down);
    return norm(t, toy, nn_linear_add(t, h, &toy->side, toy->rows, y));
}

/* Attention adds to a gradient with room, which gets memory of its own for that. */
static Tensor *attention_to_what_has_adapters(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    const AttentionSpec one = {.heads = 1, .kv_heads = 1, .head_dim = D, .scale = 0.3},
                        two = {.heads = 2, .kv_heads = 1, .head_dim = D, .scale = 0.3};
    Tensor *q = adapted(t, toy, norm(t, toy, x), &toy->down), *kv = adapted(t, toy, norm(t, toy, c), &toy->gates);
    Tensor *o = nn_cross_attention(t, q, kv, &one, toy->rows, toy->rows), *again = nn_cross_attention(t, q, kv, &one, toy->rows, toy->rows);
    Tensor *both = adapted(t, toy, x, &toy->gates), *same = nn_cross_attention(t, both, both, &two, toy->rows, toy->rows);
    return add(t, add(t, gelu(t, o), again), linear(t, toy, same, "half"));
}

/* A picture of 2·2 pixels for each two images: normed, halved and enlarged again, and every step is read once more. */
static Tensor *images_that_others_read(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    const Plane whole = {2, 2, 2}, larger = {2, 3, 4};
    Tensor *h = groupnorm(t, toy, x, 2, true), *up = nn_upsample(t, linear(t, toy, h, "w"), whole, larger);
    Tensor *again = nn_upsample(t, nn_act(t, up, ACT_SILU), larger, whole), *down = nn_upsample(t, up, larger, whole);
    Tensor *k = groupnorm(t, toy, gelu(t, c), 1, false), *side = linear(t, toy, nn_concat(t, h, nn_concat(t, again, k)), "narrow");
    return add(t, add(t, groupnorm(t, toy, linear(t, toy, k, "w"), 2, true), down), add(t, side, gelu(t, h)));
}

static Tensor *concat_of_what_can_be_dropped(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *h = norm(t, toy, x), *both = nn_concat(t, h, linear(t, toy, c, "w")), *s = nn_geglu(t, nn_concat(t, gelu(t, c), h));
    return add(t, linear(t, toy, both, "half"), add(t, nn_geglu(t, both), add(t, s, h)));
}

static Tensor *geglu_of_what_others_read(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *ag = linear(t, toy, x, "double"), *first = nn_geglu(t, ag), *other = linear(t, toy, gelu(t, ag), "half");
    return add(t, add(t, first, other), add(t, nn_geglu(t, ag), nn_geglu(t, linear(t, toy, c, "double"))));
}

/* ---------------------------------------------------------------- the same of blocks */

static Tensor *resnet(Tape *t, const void *arg, Tensor *const *in, int n)
{
    const Toy *toy = arg;
    (void)n;
    return linear_add(t, toy, gelu(t, norm(t, toy, in[0])), "w", in[0]);
}

/* [rows, D] -> [rows/2, D] and back */
static Tensor *halve(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    return linear(t, arg, view(t, in[0], tensor_rows(in[0]) / 2, 2 * D), "half");
}
static Tensor *redouble(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    return view(t, linear(t, arg, gelu(t, in[0]), "double"), 2 * tensor_rows(in[0]), D);
}

/* A result of four dimensions, from two inputs. */
static Tensor *meet(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    Tensor *mid, *h = norm_of_sum(t, arg, in[0], linear(t, arg, in[1], "w"), &mid), *y = add(t, gelu(t, h), mid);
    if (y) {
        y->n_dims = 4;
        const int64_t shape[] = {1, 2, tensor_rows(in[0]) / 2, D};
        memcpy(y->shape, shape, sizeof shape);
    }
    return y;
}

static Tensor *run(Tape *t, const Toy *toy, BlockFn fn, Tensor *a, Tensor *b)
{
    return nn_block(t, fn, toy, (Tensor *[]){a, b}, b ? 2 : 1);
}

static Tensor *unet(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *top = run(t, toy, resnet, x, NULL), *low = run(t, toy, halve, top, NULL), *context = run(t, toy, halve, c, NULL);
    Tensor *bottom = run(t, toy, meet, low, context), *again = run(t, toy, resnet, bottom, NULL);
    if (again && !toy->in_block)
        CHECK(bottom->n_dims == 4 && bottom->shape[1] == 2 && bottom->shape[2] == ROWS / 4);
    Tensor *up = run(t, toy, meet, run(t, toy, redouble, again, NULL), top),
           *skip = run(t, toy, meet, run(t, toy, redouble, bottom, NULL), c);
    return run(t, toy, meet, run(t, toy, meet, up, x), add(t, skip, top));
}

static Tensor *identity(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)t;
    (void)arg;
    return in[n - 1];
}
static Tensor *second_result(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    Tensor *mid;
    return norm_of_sum(t, arg, in[0], gelu(t, in[1]), &mid) ? mid : NULL;
}
static Tensor *gelu_alone(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)arg;
    (void)n;
    return gelu(t, in[0]);
}
static Tensor *rope_alone(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    return rope(t, arg, linear(t, arg, in[0], "w"));
}

static Tensor *read_by_the_way(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    Tensor *h = linear(t, arg, in[0], "w");
    return rope(t, arg, h) ? h : NULL;
}

/* Results of blocks that are dropped, shared, an input, or made by the way. */
static Tensor *results(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *same = run(t, toy, identity, c, x), *mid = run(t, toy, second_result, same, c), *g = run(t, toy, gelu_alone, mid, NULL);
    if (mid)
        CHECK(same == x);
    Tensor *r = run(t, toy, rope_alone, run(t, toy, read_by_the_way, g, NULL), NULL), *last, *h = norm_of_sum(t, toy, g, r, &last);
    return add(t, add(t, h, run(t, toy, identity, x, mid)), add(t, last, r));
}

/* In place, where something else reads the input first. */
static Tensor *in_place(Tape *t, const Toy *toy, Tensor *x, Tensor *c)
{
    Tensor *k = gelu(t, c), *before = run(t, toy, resnet, linear(t, toy, k, "w"), NULL), *y = gelu(t, x), *seen = run(t, toy, meet, k, y),
           *first = linear(t, toy, y, "w");
    for (int i = 0; i < 2; i++) {
        k = nn_block_inplace(t, gelu_alone, toy, &k, 1);
        y = nn_block_inplace(t, i ? gelu_alone : resnet, toy, &y, 1);
    }
    return add(t, add(t, add(t, before, seen), k), add(t, first, y));
}

/* ---------------------------------------------------------------- every case, in every way */

typedef struct Case {
    const char *name;
    Formula *formula;
    const char *trains; /* besides x and c */
} Case;

#define CASE(formula, trains) {#formula, formula, trains}
#define ADAPTERS " down_a down_b gates_a gates_b "
static const Case CASES[] = {
    CASE(rope_of_what_others_read, " w "),
    CASE(rope_of_rope, " w "),
    CASE(rope_of_what_can_be_dropped, " norm "),
    CASE(rope_added_to_a_residual, " w norm "),
    CASE(attention_of_what_others_read, " wide narrow "),
    CASE(cross_attention, " double half "),
    CASE(attention_overwritten, " wide "),
    CASE(swiglu_of_what_others_read, " double half "),
    CASE(swiglu_of_inputs, ""),
    CASE(norm_whose_residual_is_read_meanwhile, " w norm "),
    CASE(norm_whose_addend_is_read_before_and_after, " w norm "),
    CASE(norm_of_a_sum_with_itself, " w norm "),
    CASE(sums_of_sums, " w norm "),
    CASE(linear_add_whose_residual_is_read_meanwhile, " w norm "),
    CASE(adapters_with_another_reader, ADAPTERS " norm "),
    CASE(adapters_whose_gradient_is_read_by_all, ADAPTERS " norm w half "),
    CASE(adapters_whose_gradient_others_add_to, ADAPTERS " norm half "),
    CASE(adapters_that_share_a_gradient, " down_a down_b side_a side_b norm "),
    CASE(attention_to_what_has_adapters, ADAPTERS " norm half "),
    CASE(images_that_others_read, " w norm bias narrow "),
    CASE(concat_of_what_can_be_dropped, " w norm half "),
    CASE(geglu_of_what_others_read, " double half "),
    CASE(unet, " w norm half double "),
    CASE(results, " w norm "),
    CASE(in_place, " w norm "),
};
enum { N_CASES = sizeof CASES / sizeof *CASES };

/* A way to run a case: bit 0: in a block; what is frozen: bit 1: x, bit 2: c, bit 3: everything else; bit 4: adapters are joined. */
enum { IN_BLOCK = 1, X_FROZEN = 2, C_FROZEN = 4, REST_FROZEN = 8, ALL_FROZEN = 14, JOINED = 16, WAYS = 32 };
/* Only adapters can be joined. */
static bool is_a_way(const Case *c, int way) { return !(way & JOINED) || strstr(c->trains, "_a "); }

static void toy_open(Toy *toy, const Case *c, int way, DType compute, Recompute recompute)
{
    *toy = (Toy){.c = c, .in_block = way & IN_BLOCK};
    rig_open(&toy->rig, compute, recompute);
    for (int i = 0; i < N_PARAMS; i++) {
        char word[32];
        snprintf(word, sizeof word, " %s ", PARAMS[i].name);
        rig_param(&toy->rig, PARAMS[i].name, PARAMS[i].rows, PARAMS[i].cols,
                  i < 2 ? !(way & (i ? C_FROZEN : X_FROZEN)) : !(way & REST_FROZEN) && strstr(c->trains, word));
    }
    rig_create(&toy->rig);
    toy->down = (Linear){.w = find(toy, "down"), .lora_a = find(toy, "down_a"), .lora_b = find(toy, "down_b"), .scale = 0.7};
    toy->gates = (Linear){.w = find(toy, "gates"), .lora_a = find(toy, "gates_a"), .lora_b = find(toy, "gates_b"), .scale = 0.7};
    toy->side = (Linear){.w = find(toy, "side"), .lora_a = find(toy, "side_a"), .lora_b = find(toy, "side_b"), .scale = 0.7};
    Linear *lin[] = {&toy->down, &toy->gates, &toy->side};
    for (int i = 0; i < 3 && way & JOINED; i++)
        REQUIRE_OK(joint_declare(&toy->rig.params, lin[i], 1));
    REQUIRE_OK(joint_create(&toy->rig.params));
    CHECK((toy->side.joint != NULL) == !!(way & JOINED));
}

static Tensor *formula_as_block(Tape *t, const void *arg, Tensor *const *in, int n)
{
    const Toy *toy = arg;
    (void)n;
    return toy->c->formula(t, toy, in[0], in[1]);
}

static Tensor *build(Rig *rig, Tape *t)
{
    Toy *toy = (Toy *)(void *)rig;
    toy->rows = rig_packed(t, LENGTHS, 2);
    REQUIRE_OK(joint_refresh(&rig->params));
    Tensor *in[] = {rig_rows(t, find(toy, "x")), rig_rows(t, find(toy, "c"))};
    return toy->in_block ? nn_block(t, formula_as_block, toy, in, 2) : toy->c->formula(t, toy, in[0], in[1]);
}

TEST(whoever_reads_what_the_gradient_is_that_of_the_formula)
{
    for (int i = 0; i < N_CASES * WAYS; i++) {
        if (!is_a_way(&CASES[i / WAYS], i % WAYS) || (i & ALL_FROZEN) == ALL_FROZEN)
            continue;
        Toy toy;
        toy_open(&toy, &CASES[i / WAYS], i % WAYS, F64, (Recompute)(i % 3));
        rig_check(&toy.rig, build, 8);
        rig_close(&toy.rig);
    }
}

/* Result and flat gradient. */
static char *bytes_of(const Case *c, int way, DType compute, Recompute mode, size_t *n_bytes)
{
    Toy toy;
    toy_open(&toy, c, way, compute, mode);
    memset(toy.rig.scratch.base, 0xff, 1 << 20); /* NaN where nothing was written */
    memset(toy.rig.keep.base, 0xff, 1 << 20);
    tape_reset(toy.rig.tape, 3);
    REQUIRE_OK(params_step_begin(&toy.rig.params));
    Tensor *y = build(&toy.rig, toy.rig.tape);
    REQUIRE_OK(tape_status(toy.rig.tape));
    size_t size = (size_t)y->n_elems * dtype_size(y->type), flat = (size_t)toy.rig.params.n_flat * dtype_size(toy.rig.params.master);
    char *bytes = mem_alloc(size + flat + 1);
    memcpy(bytes, y->data, size);
    REQUIRE_OK(tape_backward(toy.rig.tape, y, 0.5));
    if (flat)
        memcpy(bytes + size, toy.rig.params.flat_grad, flat);
    *n_bytes = size + flat;
    rig_close(&toy.rig);
    return bytes;
}

TEST(however_memory_is_kept_the_bits_are_the_same)
{
    for (int i = 0; i < N_CASES * WAYS; i++)
        for (int k = 0; k < 2; k++) {
            const Case *c = &CASES[i / WAYS];
            if (!is_a_way(c, i % WAYS))
                continue;
            size_t n, n_none;
            char *none = bytes_of(c, i % WAYS, k ? BF16 : F32, RECOMPUTE_NONE, &n_none);
            for (Recompute mode = RECOMPUTE_SELECTIVE; mode <= RECOMPUTE_BLOCK; mode++) {
                char *other = bytes_of(c, i % WAYS, k ? BF16 : F32, mode, &n);
                CHECK_MSG(n == n_none && !memcmp(none, other, n), "%s, way %d, mode %d", c->name, i % WAYS, mode);
                mem_free(other);
            }
            mem_free(none);
        }
}

/* ---------------------------------------------------------------- what the tape refuses */

/* Not a function: it makes something else every time. */
static Tensor *changing(Tape *t, const void *arg, Tensor *const *in, int n)
{
    int64_t k = 1 + (**(int64_t *const *)arg)++ % 2;
    (void)n;
    return view(t, in[0], ROWS / k, D * k);
}

/* … and this one nothing the second time. */
static Tensor *ceasing(Tape *t, const void *arg, Tensor *const *in, int n)
{
    Tensor *y = view(t, in[0], ROWS, D);
    (void)n;
    return (**(int64_t *const *)arg)++ ? y : view(t, y, ROWS / 2, D * 2);
}

static Tensor *loss_alone(Tape *t, const void *arg, Tensor *const *in, int n)
{
    (void)n;
    LmLoss loss = {.n = ROWS, .head = find(arg, "w"), .scale = 1};
    return nn_lm_loss(t, in[0], &loss);
}

static Tensor *read_the_replaced(Tape *t, const Toy *toy, Tensor *x)
{
    Tensor *y = nn_block_inplace(t, gelu_alone, toy, &x, 1);
    return add(t, y, gelu(t, x));
}
static Tensor *block_of_the_replaced(Tape *t, const Toy *toy, Tensor *x)
{
    nn_block_inplace(t, gelu_alone, toy, &x, 1);
    return nn_block(t, gelu_alone, toy, &x, 1);
}
static Tensor *replace_by_another_shape(Tape *t, const Toy *toy, Tensor *x) { return nn_block_inplace(t, halve, toy, &x, 1); }
static Tensor *count_calls(Tape *t, BlockFn fn, Tensor *x)
{
    int64_t calls = 0, *arg = &calls;
    return nn_block(t, fn, &arg, &x, 1);
}
static Tensor *change(Tape *t, const Toy *toy, Tensor *x) { return toy ? count_calls(t, changing, x) : NULL; }
static Tensor *cease(Tape *t, const Toy *toy, Tensor *x) { return toy ? count_calls(t, ceasing, x) : NULL; }
static Tensor *loss_in_a_block(Tape *t, const Toy *toy, Tensor *x) { return nn_block(t, loss_alone, toy, &x, 1); }

/* In the first forward, whether it records or not. */
TEST(a_broken_promise_fails_in_the_first_forward)
{
    static const struct {
        Tensor *(*formula)(Tape *t, const Toy *toy, Tensor *x);
        const char *sentence;
    } BROKEN[] = {
        {read_the_replaced, "nn_act reads a tensor [8, 8] that nn_block_inplace has replaced by its result"},
        {block_of_the_replaced, "nn_block reads a tensor [8, 8] that nn_block_inplace has replaced by its result"},
        {replace_by_another_shape, "nn_block_inplace: the result is [4, 8], its first input [8, 8]"},
        {change, "nn_block: its function made a tensor [4, 16] that it did not make when it was walked"},
        {cease, "nn_block: its function did not make a tensor [4, 16] that it made when it was walked"},
        {loss_in_a_block, "nn_lm_loss: reads [8, 8] in a block, which may run twice, and so write the head's gradient twice"},
    };
    for (size_t i = 0; i < 2 * sizeof BROKEN / sizeof *BROKEN; i++) {
        Toy toy;
        toy_open(&toy, &CASES[0], 0, F32, RECOMPUTE_NONE);
        tape_record(toy.rig.tape, i % 2);
        CHECK(!BROKEN[i / 2].formula(toy.rig.tape, &toy, rig_rows(toy.rig.tape, find(&toy, "x"))));
        CHECK_INT(tape_status(toy.rig.tape), ERR_INTERNAL);
        CHECK_STR(status_message(), BROKEN[i / 2].sentence);
        rig_close(&toy.rig);
    }
}

TEST(an_operator_that_hides_what_it_reads_fails)
{
    Toy toy;
    toy_open(&toy, &CASES[0], 0, F32, RECOMPUTE_NONE);
    Tape *t = toy.rig.tape;
    Tensor *x = rig_rows(t, find(&toy, "x")), *y = tape_output(t, ROWS, D, true, PLACE_KEEP);
    SumNode *s = tape_node(t, sizeof *s, sum_bwd, y);
    REQUIRE(s != NULL);
    s->a = s->b = x;
    CHECK_INT(tape_backward(t, gelu(t, y), 1), ERR_INTERNAL);
    CHECK_STR(status_message(), "tape: an operator did not say that it reads a tensor [8, 8]");
    rig_close(&toy.rig);
}

/* Frozen blocks whose results are wanted later keep their results and nothing else; in place they keep nothing. */
TEST(frozen_blocks_keep_their_results_alone)
{
    size_t used[2], result = ROWS * D * sizeof(float);
    for (int inplace = 0; inplace < 2; inplace++) {
        Toy toy;
        toy_open(&toy, &CASES[0], ALL_FROZEN, F32, RECOMPUTE_NONE);
        Tape *t = toy.rig.tape;
        Tensor *x = rig_rows(t, find(&toy, "x"));
        size_t before = toy.rig.keep.used;
        for (int i = 0; i < 3; i++)
            x = inplace ? nn_block_inplace(t, resnet, &toy, &x, 1) : nn_block(t, resnet, &toy, &x, 1);
        REQUIRE_OK(tape_status(t));
        used[inplace] = toy.rig.keep.used - before;
        rig_close(&toy.rig);
    }
    CHECK_INT(used[0], 3 * result);
    CHECK_INT(used[1], 0);
}

TEST(the_null_backend_measures_every_composition)
{
    for (int i = 0; i < N_CASES * WAYS * 3; i++) {
        if (!is_a_way(&CASES[i / 3 / WAYS], i / 3 % WAYS))
            continue;
        Toy toy;
        size_t peaks[2][2];
        toy_open(&toy, &CASES[i / 3 / WAYS], i / 3 % WAYS, F32, (Recompute)(i % 3));
        Tape *real = toy.rig.tape, *t;
        Arena keep, scratch;
        Backend null;
        arena_measure(&keep);
        arena_measure(&scratch);
        REQUIRE_OK(null_open(&null));
        REQUIRE_OK(tape_create(
            &t, &(TapeOptions){.backend = &null, .keep = &keep, .scratch = &scratch, .compute = F32, .recompute = (Recompute)(i % 3)}));
        for (int k = 0; k < 2; k++) {
            Tape *tape = k ? t : real;
            REQUIRE_OK(params_step_begin(&toy.rig.params));
            REQUIRE_OK(tape_backward(tape, build(&toy.rig, tape), 1));
            peaks[k][0] = k ? keep.peak : toy.rig.keep.peak;
            peaks[k][1] = k ? scratch.peak : toy.rig.scratch.peak;
        }
        CHECK_MSG(!memcmp(peaks[0], peaks[1], sizeof peaks[0]), "%s, way %d, mode %d: %zu + %zu used, %zu + %zu measured",
                  CASES[i / 3 / WAYS].name, i / 3 % WAYS, i % 3, peaks[0][0], peaks[0][1], peaks[1][0], peaks[1][1]);
        tape_free(&t);
        null.close(&null);
        rig_close(&toy.rig);
    }
}
