/* rig.c: a tape in double and central differences of what is built on it (rig.h). */
#include "tests/train/nn/rig.h"

#include <math.h>

enum { MEMORY = 256 << 20 };

void rig_open(Rig *r, DType compute, Recompute recompute)
{
    *r = (Rig){0};
    REQUIRE_OK(ref_open(&r->backend));
    REQUIRE_OK(arena_create(&r->keep, MEMORY));
    REQUIRE_OK(arena_create(&r->scratch, MEMORY));
    REQUIRE_OK(arena_create(&r->kernel, MEMORY));
    r->backend.ctx.scratch = &r->kernel;
    params_init(&r->params, &r->backend, compute);
    REQUIRE_OK(tape_create(&r->tape, &(TapeOptions){.backend = &r->backend, .keep = &r->keep, .scratch = &r->scratch, .compute = compute,
                                                    .recompute = recompute, .seed = 42, .step = 3}));
}

void rig_close(Rig *r)
{
    tape_free(&r->tape);
    params_destroy(&r->params);
    arena_free(&r->keep);
    arena_free(&r->scratch);
    arena_free(&r->kernel);
    r->backend.close(&r->backend);
}

Param *rig_param(Rig *r, const char *name, int64_t rows, int64_t cols, bool trainable)
{
    Param *p = params_declare(&r->params, &(ParamSpec){.name = name, .trainable = trainable, .init = INIT_NORMAL, .init_scale = 0.7,
                                                       .n_dims = cols ? 2 : 1, .shape = {rows, cols}});
    REQUIRE(p != NULL);
    return p;
}

void rig_create(Rig *r)
{
    REQUIRE_OK(params_create(&r->params));
    for (int i = 0; i < r->params.n; i++)
        REQUIRE_OK(params_draw(&r->params, r->params.list[i], 7));
}

Tensor *rig_rows(Tape *t, Param *p)
{
    int64_t n = p->t.shape[0];
    int32_t *index = tape_host(t, (size_t)n * sizeof *index);
    for (int32_t i = 0; index && i < n; i++)
        index[i] = i;
    return nn_embed(t, &(EmbedSpec){.n = n, .base = p, .base_index = tape_ints(t, index, n), .base_occur = true});
}

const PackedRows *rig_packed(Tape *t, const int32_t *lengths, int n)
{
    PackedRows *rows = tape_host(t, sizeof *rows);
    int32_t *cu = tape_host(t, (size_t)(n + 1) * sizeof *cu);
    for (int s = 0; s < n; s++) {
        cu[s + 1] = cu[s] + lengths[s];
        rows->max_segment = lengths[s] > rows->max_segment ? lengths[s] : rows->max_segment;
    }
    rows->n_rows = cu[n];
    rows->n_segments = n;
    int32_t *pos = tape_host(t, (size_t)rows->n_rows * sizeof *pos), *item = tape_host(t, (size_t)rows->n_rows * sizeof *item);
    for (int32_t s = 0; s < n; s++)
        for (int32_t i = 0; i < lengths[s]; i++) {
            pos[cu[s] + i] = i;
            item[cu[s] + i] = s;
        }
    rows->cu = tape_ints(t, cu, n + 1);
    rows->pos = tape_ints(t, pos, rows->n_rows);
    rows->item = tape_ints(t, item, rows->n_rows);
    return rows;
}

/* A TapeWatch: a gradient that is written later is an error. */
static Status make_final(void *arg, int64_t from)
{
    Rig *r = arg;
    for (int i = 0; i < r->params.n; i++)
        if (r->params.list[i]->first_node < 0 || r->params.list[i]->first_node >= from)
            r->params.list[i]->is_final = true;
    return OK;
}

void rig_watch(Rig *r)
{
    for (int i = 0; i < r->params.n; i++)
        r->params.list[i]->first_node = -1;
    tape_watch(r->tape, make_final, r);
}

double rig_loss(Rig *r, RigBuild build, bool backward)
{
    tape_reset(r->tape, 3);
    if (backward) {
        REQUIRE_OK(params_step_begin(&r->params)); /* before the forward: the head's gradient is written there */
        rig_watch(r);
    }
    Tensor *out = build(r, r->tape);
    Tensor *y = out && out->n_elems > 1 ? nn_act(r->tape, out, ACT_GELU_ERF) : out;
    REQUIRE_OK(tape_status(r->tape));
    REQUIRE(y != NULL);
    if (backward) {
        REQUIRE_OK(tape_backward_all(r->tape, &y, 1, 1));
        for (int i = 0; i < r->params.n; i++) {
            CHECK_MSG(r->params.list[i]->is_final || !y->needs_grad, "%s is never final", r->params.list[i]->name);
            r->params.list[i]->is_final = false; /* forwards follow that write the head's */
        }
    }
    double sum = 0;
    for (int64_t i = 0; i < y->n_elems; i++) {
        double v;
        dtype_convert(&v, F64, (char *)y->data + (size_t)i * dtype_size(y->type), y->type, 1);
        sum += v;
    }
    return sum;
}

static void check_param(Rig *r, RigBuild build, const Param *p, const double *grad, int samples)
{
    const double h = 1e-5;
    double *value = (double *)r->params.flat_master + p->flat, largest = 0, worst = 0;
    int64_t step = p->t.n_elems / samples > 1 ? p->t.n_elems / samples : 1, at = 0;
    for (int64_t i = 0; i < p->t.n_elems; i += step) {
        double was = value[i];
        value[i] = was + h;
        double up = rig_loss(r, build, false);
        value[i] = was - h;
        double down = rig_loss(r, build, false);
        value[i] = was;
        double slope = (up - down) / (2 * h), error = fabs(slope - grad[i]);
        largest = fabs(slope) > largest ? fabs(slope) : largest;
        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
    }
    CHECK_MSG(worst <= 1e-6 * largest, "%s: element %lld: gradient %.12g is off by %.3g, the largest is %.6g", p->name, (long long)at,
              grad[at], worst, largest);
}

void rig_check(Rig *r, RigBuild build, int samples)
{
    rig_loss(r, build, true);
    double *grad = mem_alloc((size_t)r->params.n_flat * sizeof *grad);
    if (r->params.n_flat)
        memcpy(grad, r->params.flat_grad, (size_t)r->params.n_flat * sizeof *grad);
    for (int i = 0; i < r->params.n; i++)
        if (r->params.list[i]->trainable) {
            CHECK_MSG(r->params.list[i]->reached, "%s was not reached", r->params.list[i]->name);
            check_param(r, build, r->params.list[i], grad + r->params.list[i]->flat, samples);
        }
    mem_free(grad);
}
