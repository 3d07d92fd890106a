/* optim.c: an update: sum over ranks, norm, clip, AdamW (optim.h). Called by the loop. */
#include "train/optim/optim.h"

#include <math.h>

/* A TapeWatch. The flat gradient lies in the order of the forward, so it becomes final from its end on. */
static Status sum_what_is_final(void *arg, int64_t from)
{
    EarlySum *s = arg;
    const Params *p = s->params;
    for (; s->open > 0; s->open--) {
        Param *q = p->list[s->open - 1];
        if (!q->trainable)
            continue;
        if (q->first_node >= 0 && q->first_node < from)
            break;
        q->is_final = true;
        s->from = q->flat;
    }
    return dist_sum_early(s->dist, p->backend, p->flat_grad, p->n_flat, p->master, s->from);
}

void optim_reduce_early(EarlySum *s, Params *p, Dist *dist, Tape *tape)
{
    *s = (EarlySum){.params = p, .dist = dist, .open = p->n, .from = p->n_flat};
    if (!dist->overlaps)
        return;
    for (int i = 0; i < p->n; i++)
        p->list[i]->first_node = -1;
    tape_watch(tape, sum_what_is_final, s);
}

static Status agree_on_reached(Params *p, Dist *dist)
{
    int32_t *reached = mem_alloc((size_t)p->n * sizeof *reached);
    if (!reached)
        return fail(ERR_NOMEM, "which of %d tensors were reached: out of memory", p->n);
    for (int i = 0; i < p->n; i++)
        reached[i] = p->list[i]->reached;
    Status s = dist_agree(dist, reached, p->n);
    for (int i = 0; i < p->n && s == OK; i++)
        p->list[i]->reached = reached[i];
    mem_free(reached);
    return s;
}

Status optim_reduce(Params *p, Dist *dist)
{
    const double waited = dist->waited;
    TRY(dist_sum_early(dist, p->backend, p->flat_grad, p->n_flat, p->master, 0));
    TRY(agree_on_reached(p, dist));
    TRY(dist_sum(dist, p->backend, p->flat_grad, p->n_flat, p->master));
    if (dist->bucket) /* meanwhile the device has worked on; how long it waited, it says itself (Backend.waited) */
        dist->waited = waited;
    return OK;
}

Status optim_squares(Params *p, double *squares)
{
    return p->backend->ops.sum_squares(&p->backend->ctx,
                                       &(SumSquares){.n = p->n_flat, .type = p->master, .x = p->flat_grad, .out = squares});
}

/* Tensors that lie side by side and are updated alike go as one span: the padding between them is zero and stays so. */
static bool joins(const AdamwSpan *last, const AdamwSpan *next, double eps)
{
    return next->begin - last->end < PARAMS_PAD && next->lr == last->lr && next->decay == last->decay && next->t == last->t && eps > 0;
}

static Status update(Params *p, const RunConfig *cfg, int64_t step, double factor, double grad_scale)
{
    AdamwSpan *spans = mem_alloc((size_t)p->n * sizeof *spans);
    if (!spans)
        return fail(ERR_NOMEM, "optimiser: %d spans: out of memory", p->n);
    int64_t n = 0;
    for (int i = 0; i < p->n; i++) {
        Param *q = p->list[i];
        if (!q->trainable || !q->reached)
            continue;
        AdamwSpan span = {.begin = q->flat,
                          .end = q->flat + q->t.n_elems,
                          .lr = factor * q->group.lr,
                          .decay = q->decay ? cfg->optim.weight_decay : 0,
                          .t = ++q->updates};
        if (n && joins(&spans[n - 1], &span, cfg->optim.eps))
            spans[n - 1].end = span.end;
        else
            spans[n++] = span;
    }
    Status s = p->backend->ops.adamw(&p->backend->ctx, &(Adamw){.n_spans = n,
                                                               .type = p->master,
                                                               .moments = p->moments,
                                                               .key = philox_key((uint64_t)cfg->seed, RANDOM_MOMENTS, (uint64_t)step, 0),
                                                               .spans = spans,
                                                               .beta1 = cfg->optim.beta1,
                                                               .beta2 = cfg->optim.beta2,
                                                               .eps = cfg->optim.eps,
                                                               .grad_scale = grad_scale,
                                                               .grad = p->flat_grad,
                                                               .param = p->flat_master,
                                                               .m = p->flat_m,
                                                               .v = p->flat_v,
                                                               .copy = p->flat_copy});
    mem_free(spans);
    return s;
}

Status optim_update(Params *p, const RunConfig *cfg, int64_t step, double factor, double loss, OptimResult *result)
{
    const double largest = 1e18; /* the second moment holds the square, and f32 ends at 3e38 */
    double max = cfg->optim.max_grad_norm;
    result->skipped = !isfinite(loss) || !(result->grad_norm <= largest);
    if (result->skipped)
        return OK;
    double scale = max > 0 ? fmin(1, max / (result->grad_norm + 1e-6)) : 1;
    return update(p, cfg, step, factor, scale);
}

Status optim_step(Params *p, const RunConfig *cfg, int64_t step, double factor, double loss, OptimResult *result)
{
    Backend *b = p->backend;
    double sum = 0;
    ArenaMark mark = arena_mark(b->ctx.scratch);
    double *squares = arena_push(b->ctx.scratch, sizeof *squares);
    if (!squares)
        return fail(ERR_NOMEM, "norm of the gradient: the workspace is full");
    Status s = optim_squares(p, squares);
    if (s == OK)
        s = b->download(b, &sum, squares, sizeof sum);
    arena_release(b->ctx.scratch, mark);
    TRY(s);
    *result = (OptimResult){.grad_norm = sqrt(sum)};
    return optim_update(p, cfg, step, factor, loss, result);
}
