/* validate.c: held-out rows, forward only (validate.h). Called by the loop. */
#include "train/validate.h"

static void add_terms(Terms *to, const Terms *from)
{
    to->n += from->n;
    to->weight += from->weight;
}

/* The passes of this rank's share of one batch of them. No step of training has these keys of random numbers. */
static Status run_rows(Setup *s, int64_t step, LossTerms *all)
{
    StepPlan plan;
    TRY(loader_step(s->held.loader, step, &plan));
    add_terms(&all->labels, &plan.of_step.labels);
    add_terms(&all->generate, &plan.of_step.generate);
    add_terms(&all->edit, &plan.of_step.edit);
    for (int32_t p = 0; p < plan.n_passes; p++) {
        const Batch *b;
        LossRequest request = {.totals = s->numbers->sums};
        LossResult result;
        TRY(loader_pass(s->held.loader, p, &b));
        tape_reset(s->tape, UINT64_MAX - (uint64_t)step);
        tape_record(s->tape, false);
        TRY_IN(genllava_loss(s->tape, s->model, b, &request, &result), "row %d", b->record[0]);
    }
    return OK;
}

Status validate(Setup *s, StepLosses *losses)
{
    Backend *b = &s->backend;
    StepNumbers numbers = {0};
    LossTerms all = {0};
    TRY(b->upload(b, s->numbers, &numbers, sizeof numbers));
    for (int64_t step = 0; step < loader_totals(s->held.loader)->steps; step++)
        TRY_IN(run_rows(s, step, &all), "data.validation");
    TRY(b->download(b, &numbers, s->numbers, sizeof numbers));
    TRY(dist_sum_host(&s->dist, numbers.sums, N_LOSSES));
    *losses = losses_of_step(s->cfg, numbers.sums, &all);
    return OK;
}
