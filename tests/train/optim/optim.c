/* optim.h against AdamW written down again in double: groups, decay, clipping, tensors not reached, steps left out. */
#include <math.h>

#include "tests/harness.h"
#include "train/optim/optim.h"

enum { N_TENSORS = 4, N_ELEMS = 5 };
static const ParamSpec SPECS[N_TENSORS] = {
    {.name = "lora", .decay = true, .n_dims = 1, .shape = {N_ELEMS}},
    {.name = "projector.bias", .n_dims = 1, .shape = {N_ELEMS}},
    {.name = "rows", .decay = true, .n_dims = 1, .shape = {N_ELEMS}},
    {.name = "frozen", .n_dims = 1, .shape = {N_ELEMS}},
};

typedef struct Truth {
    double p[N_TENSORS][N_ELEMS], m[N_TENSORS][N_ELEMS], v[N_TENSORS][N_ELEMS];
    int64_t t[N_TENSORS];
    double lr[N_TENSORS];
} Truth;

static void update_truth(Truth *x, const RunConfig *c, double g[N_TENSORS][N_ELEMS], const bool reached[N_TENSORS], double factor,
                         double scale)
{
    for (int i = 0; i < 3; i++) {
        if (!reached[i])
            continue;
        x->t[i]++;
        for (int k = 0; k < N_ELEMS; k++) {
            double lr = factor * x->lr[i], gk = g[i][k] * scale, decay = SPECS[i].decay ? c->optim.weight_decay : 0;
            x->m[i][k] = c->optim.beta1 * x->m[i][k] + (1 - c->optim.beta1) * gk;
            x->v[i][k] = c->optim.beta2 * x->v[i][k] + (1 - c->optim.beta2) * gk * gk;
            x->p[i][k] -= lr * decay * x->p[i][k];
            x->p[i][k] -= lr * (x->m[i][k] / (1 - pow(c->optim.beta1, (double)x->t[i]))) /
                          (sqrt(x->v[i][k] / (1 - pow(c->optim.beta2, (double)x->t[i]))) + c->optim.eps);
        }
    }
}

static Arena scratch;

static void make_params(Params *p, Backend *b, Param *q[N_TENSORS], Truth *x)
{
    REQUIRE_OK(ref_float_open(b));
    REQUIRE_OK(arena_create(&scratch, 4096));
    b->ctx.scratch = &scratch;
    params_init(p, b, F32);
    for (int i = 0; i < N_TENSORS; i++) {
        p->group = (ParamGroup){.trainable = i < 3, .lr = x->lr[i]};
        q[i] = params_declare(p, &SPECS[i]);
        for (int k = 0; k < N_ELEMS; k++)
            x->p[i][k] = (double)(float)(0.1 * (i + 1) - 0.03 * k);
    }
    REQUIRE_OK(params_create(p));
    for (int i = 0; i < N_TENSORS; i++) {
        float host[N_ELEMS];
        for (int k = 0; k < N_ELEMS; k++)
            host[k] = (float)x->p[i][k];
        REQUIRE_OK(params_set(p, q[i], host, F32));
    }
}

static double set_gradient(Params *p, Param *q[N_TENSORS], double g[N_TENSORS][N_ELEMS], const bool reached[N_TENSORS])
{
    double sum = 0;
    REQUIRE_OK(params_step_begin(p));
    for (int i = 0; i < 3; i++) {
        q[i]->reached = reached[i];
        for (int k = 0; k < N_ELEMS; k++) {
            g[i][k] = reached[i] ? g[i][k] : 0;
            ((float *)p->flat_grad)[q[i]->flat + k] = (float)g[i][k];
            sum += g[i][k] * g[i][k];
        }
    }
    return sqrt(sum);
}

static void check_equal(Params *p, Param *q[N_TENSORS], const Truth *x, int step)
{
    for (int i = 0; i < N_TENSORS; i++) {
        float host[N_ELEMS];
        REQUIRE_OK(params_get(p, q[i], host));
        CHECK_INT(q[i]->updates, x->t[i]);
        for (int k = 0; k < N_ELEMS; k++)
            CHECK_MSG(fabs((double)host[k] - x->p[i][k]) < 1e-6 * fabs(x->p[i][k]) + 1e-8, "step %d: %s[%d] is %.9g, wanted %.9g", step,
                      q[i]->name, k, (double)host[k], x->p[i][k]);
    }
}

TEST(optim_groups_decay_clip_and_skips)
{
    RunConfig c = {.optim = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1,
                             .max_grad_norm = 0.5}};
    static const bool REACHED[4][N_TENSORS] = {{1, 1, 1}, {1, 0, 1}, {0, 1, 0}, {1, 1, 1}};
    Dist dist;
    Backend b;
    Params p;
    Param *q[N_TENSORS];
    Truth x = {.lr = {0.01, 0.002, 0.03}};
    OptimResult r;
    REQUIRE_OK(dist_open(&dist));
    make_params(&p, &b, q, &x);
    for (int step = 0; step < 4; step++) {
        double g[N_TENSORS][N_ELEMS], factor = 1 - 0.2 * step;
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < N_ELEMS; k++)
                g[i][k] = (double)(float)sin(1.0 + i + 3 * k + 7 * step);
        double norm = set_gradient(&p, q, g, REACHED[step]);
        REQUIRE_OK(optim_reduce(&p, &dist));
        REQUIRE_OK(optim_step(&p, &c, step, factor, 1.0, &r));
        CHECK(!r.skipped && fabs(r.grad_norm - norm) < 1e-6 * norm);
        update_truth(&x, &c, g, REACHED[step], factor, fmin(1, c.optim.max_grad_norm / (norm + 1e-6)));
        check_equal(&p, q, &x, step);
    }
    CHECK_OK(dist_close(&dist, OK));
    params_destroy(&p);
    b.close(&b);
}

/* Faults R10: whatever is not finite, or too large for the second moment, changes nothing at all. */
TEST(optim_leaves_out_what_is_not_finite)
{
    RunConfig c = {.optim = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8}};
    const double BAD[] = {NAN, INFINITY, -INFINITY, 1e30};
    const bool all[N_TENSORS] = {1, 1, 1};
    Backend b;
    Params p;
    Param *q[N_TENSORS];
    Truth x = {.lr = {0.01, 0.01, 0.01}};
    OptimResult r;
    make_params(&p, &b, q, &x);
    for (size_t i = 0; i < 4; i++) {
        double g[N_TENSORS][N_ELEMS] = {{1, 2, 3}};
        set_gradient(&p, q, g, all);
        ((float *)p.flat_grad)[q[2]->flat + 1] = (float)BAD[i];
        REQUIRE_OK(optim_step(&p, &c, 0, 1, 1.0, &r));
        CHECK(r.skipped);
        set_gradient(&p, q, g, all);
        if (!isfinite(BAD[i])) {
            REQUIRE_OK(optim_step(&p, &c, 0, 1, BAD[i], &r));
            CHECK(r.skipped);
        }
        check_equal(&p, q, &x, (int)i);
    }
    for (int64_t i = 0; i < p.n_flat; i++)
        CHECK(((float *)p.flat_m)[i] == 0 && ((float *)p.flat_v)[i] == 0);
    params_destroy(&p);
    b.close(&b);
}

static int64_t n_spans, n_elems_updated;
static uint64_t key_given;
static Status count_spans(KernelCtx *ctx, const Adamw *a)
{
    (void)ctx;
    n_spans = a->n_spans;
    key_given = a->key;
    n_elems_updated = 0;
    for (int64_t i = 0; i < a->n_spans; i++)
        n_elems_updated += a->spans[i].end - a->spans[i].begin;
    return OK;
}

/* Adapters side by side are one span whatever their number; one that was not reached, or has another count of updates, parts them. */
TEST(optim_updates_neighbours_as_one)
{
    enum { N = 6, EACH = 20, PADDED = 32 };
    RunConfig c = {.seed = 5, .optim = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1}};
    static const struct {
        int left_out; /* -1: none */
        int64_t spans, elems;
    } STEPS[] = {{-1, 1, (N - 1) * PADDED + EACH}, {2, 2, (N - 2) * PADDED + 2 * EACH - PADDED},
                 {-1, 3, (N - 1) * PADDED + EACH - 2 * (PADDED - EACH)}};
    Backend b;
    Params p;
    Param *q[N];
    OptimResult r;
    REQUIRE_OK(ref_float_open(&b));
    REQUIRE_OK(arena_create(&scratch, 4096));
    b.ctx.scratch = &scratch;
    b.ops.adamw = count_spans;
    params_init(&p, &b, F32);
    p.group = (ParamGroup){.trainable = true, .lr = 0.01};
    for (int i = 0; i < N; i++)
        q[i] = params_declare(&p, &(ParamSpec){.name = (const char[]){(char)('a' + i), 0}, .decay = true, .n_dims = 1, .shape = {EACH}});
    REQUIRE_OK(params_create(&p));
    for (size_t step = 0; step < sizeof STEPS / sizeof *STEPS; step++) {
        REQUIRE_OK(params_step_begin(&p));
        for (int i = 0; i < N; i++)
            q[i]->reached = i != STEPS[step].left_out;
        REQUIRE_OK(optim_step(&p, &c, (int64_t)step, 1, 1.0, &r));
        CHECK_INT(n_spans, STEPS[step].spans);
        CHECK_INT(n_elems_updated, STEPS[step].elems);
        CHECK(key_given == philox_key(5, RANDOM_MOMENTS, step, 0)); /* of the run's step and seed */
    }
    params_destroy(&p);
    b.close(&b);
}

/* Neighbours with other settings keep them: decay, and the learning rate of their group. */
TEST(optim_parts_neighbours_of_other_settings)
{
    static const ParamSpec OF[] = {
        {.name = "a", .decay = true, .n_dims = 1, .shape = {16}},
        {.name = "b", .n_dims = 1, .shape = {16}},
        {.name = "c", .n_dims = 1, .shape = {16}},
    };
    RunConfig c = {.optim = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1}};
    Backend b;
    Params p;
    Param *q[3];
    OptimResult r;
    REQUIRE_OK(ref_float_open(&b));
    REQUIRE_OK(arena_create(&scratch, 4096));
    b.ctx.scratch = &scratch;
    b.ops.adamw = count_spans;
    params_init(&p, &b, F32);
    for (int i = 0; i < 3; i++) {
        p.group = (ParamGroup){.trainable = true, .lr = i < 2 ? 0.01 : 0.02};
        q[i] = params_declare(&p, &OF[i]);
    }
    REQUIRE_OK(params_create(&p));
    REQUIRE_OK(params_step_begin(&p));
    for (int i = 0; i < 3; i++)
        q[i]->reached = true;
    REQUIRE_OK(optim_step(&p, &c, 0, 1, 1.0, &r));
    CHECK_INT(n_spans, 3);
    params_destroy(&p);
    b.close(&b);
}
