/* large_step.c: losses and gradients of one step over weights of real width, on two backends (large_step.h). */
#include "tests/train/large_step.h"

#include <math.h>
#include <stdio.h>

#include "tests/harness.h"
#include "tools/bench/bench_step.h"

/* As of tests/train/parity_case.c, where both sides are small; of a gradient that is nothing beside the whole only that is asked. */
static const double TOL_LOSS = 1e-5, TOL_GRAD = 5e-5, NEGLIGIBLE = 1e-6;
/* Of a loss in bf16, whose errors partly cancel: those of the CPU may do so by chance. */
static const double TOL_LOSS_BF16 = 4e-3;

typedef struct Outcome {
    Backend b;
    RunConfig cfg;
    BenchStep step;
    double loss;
    float *grad; /* [n_flat] */
} Outcome;

static void run(Outcome *o, const LargeStep *l, Status (*open)(Backend *b), DType compute)
{
    PassShape shape;
    int n_sets = 0;
    while (l->sets[n_sets])
        n_sets++;
    *o = (Outcome){0};
    REQUIRE_OK(config_load(&o->cfg, l->config, l->sets, n_sets));
    REQUIRE_OK(open(&o->b));
    REQUIRE_OK(bench_step_shape(&shape, &o->cfg, l->tokens, l->segment, l->labels));
    REQUIRE_OK(bench_step_open(&o->step, &o->b, &o->cfg, compute, &shape));
    REQUIRE_OK(bench_step_stir(&o->step));
    REQUIRE_OK(bench_step_run(&o->step));
    const Params *p = genllava_params(o->step.model);
    o->loss = o->step.loss;
    o->grad = mem_alloc((size_t)p->n_flat * sizeof *o->grad);
    REQUIRE(o->grad);
    REQUIRE_OK(o->b.download(&o->b, o->grad, p->flat_grad, (size_t)p->n_flat * sizeof *o->grad));
}

static void end(Outcome *o)
{
    mem_free(o->grad);
    bench_step_close(&o->step);
    o->b.close(&o->b);
    config_free(&o->cfg);
}

static double norm(const float *x, const float *minus, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (minus ? (double)minus[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

/* Relative error of a gradient. */
static double error_of(const Outcome *truth, const Outcome *o, const Param *q)
{
    return norm(o->grad + q->flat, truth->grad + q->flat, q->t.n_elems) / norm(truth->grad + q->flat, NULL, q->t.n_elems);
}

/* honest: who may be half as far off; NULL: tolerances as they stand. */
static void compare(const Outcome *truth, const Outcome *honest, const Outcome *o)
{
    const Params *p = genllava_params(truth->step.model);
    const double whole = norm(truth->grad, NULL, p->n_flat);
    double worst = 0;
    const char *worst_name = "none";
    int n = 0;
    CHECK_MSG(isfinite(whole) && whole > 0, "the gradient's norm is %g", whole);
    for (int i = 0; i < p->n; i++) {
        const Param *q = p->list[i];
        if (!q->trainable)
            continue;
        if (norm(truth->grad + q->flat, NULL, q->t.n_elems) <= NEGLIGIBLE * whole) {
            CHECK_MSG(norm(o->grad + q->flat, NULL, q->t.n_elems) <= 10 * NEGLIGIBLE * whole, "%s should vanish", q->name);
            continue;
        }
        const double allowed = honest ? 2 * error_of(truth, honest, q) : TOL_GRAD, error = error_of(truth, o, q);
        CHECK_MSG(error <= allowed, "the gradient of %s is off by %.3g, allowed %.3g", q->name, error, allowed);
        if (!(error / allowed <= worst)) {
            worst = error / allowed;
            worst_name = q->name;
        }
        n++;
    }
    const double off = fabs(o->loss - truth->loss) / truth->loss;
    printf("    loss %.6f, off by %.1e; %d gradients, at worst %.2f of what is allowed: %s\n", truth->loss, off, n, worst, worst_name);
    CHECK_MSG(off <= (honest ? TOL_LOSS_BF16 : TOL_LOSS), "the loss is %.9g, on the CPU in f32 %.9g", o->loss, truth->loss);
    CHECK(n > 0);
}

void large_step(const LargeStep *l, Status (*open)(Backend *b))
{
    Outcome truth, honest, o;
    run(&truth, l, cpu_open, F32);
    run(&o, l, open, F32);
    compare(&truth, NULL, &o);
    end(&o);
    run(&honest, l, cpu_open, BF16);
    run(&o, l, open, BF16);
    compare(&truth, &honest, &o);
    end(&o);
    end(&honest);
    end(&truth);
}
