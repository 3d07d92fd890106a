/* bench_step.c: whole training steps over made-up passes (bench_step.h). Called by bench-gpu, model-gpu and doctor. */
#include "tools/bench/bench_step.h"

#include <math.h>

#include "tools/bench/bench_fill.h"
#include "train/config/plan.h"
#include "train/optim/optim.h"

Status bench_step_shape(PassShape *p, const RunConfig *cfg, int64_t tokens, int64_t segment, int64_t labels)
{
    ModelSizes sizes;
    TRY(genllava_sizes(&sizes, cfg));
    if (!segment || segment > tokens)
        segment = tokens;
    int64_t segments = tokens / segment;
    if (labels > segment)
        labels = segment;
    bool room = sizes.patches > 0 && sizes.patches < segment;
    *p = (PassShape){.tokens = (int32_t)(segments * segment), .segments = (int32_t)segments, .max_segment = (int32_t)segment,
                     .images = room ? (int32_t)segments : 0, .labels = (int32_t)(segments * labels)};
    if (!cfg->model.diffusion.path)
        return OK;
    p->generate = p->edit = (int32_t)(segments / 3);
    p->images -= room ? p->generate : 0;
    if (plan_predicts_noise(cfg)) {
        p->target_size = (int32_t)cfg->model.diffusion.size;
        p->target_pictures = p->generate + p->edit;
        p->source_pictures = cfg->model.diffusion.edit == EDIT_LLM_ONLY ? 0 : p->target_pictures;
    }
    return OK;
}

static Status measure(BenchStep *s, DType compute, const PassShape *shape)
{
    Backend null;
    TRY(null_open(&null));
    null.host_memory = s->b->host_memory;
    null.joins = s->b->joins;
    Status status = memory_walk(&s->plan, &null, s->cfg, compute, &(MemoryRun){.passes = shape, .n_passes = 1}, NULL, NULL);
    null.close(&null);
    return status;
}

static Status take(BenchStep *s, Arena *a, void **memory, size_t n_bytes)
{
    TRY(s->b->mem_create(s->b, n_bytes + ARENA_ALIGN, memory));
    arena_borrow(a, *memory, n_bytes + ARENA_ALIGN);
    return OK;
}

static Status open_model(BenchStep *s, DType compute)
{
    BenchFill fill;
    Status status = bench_fill_make(&fill, s->cfg, compute == BF16 ? BF16 : F32);
    if (status == OK)
        status = genllava_open_filled(&s->model, s->b, compute, s->cfg, &(ParamFill){bench_fill_set, &fill});
    bench_fill_free(&fill);
    return status;
}

Status bench_step_open(BenchStep *s, Backend *b, const RunConfig *cfg, DType compute, const PassShape *shape)
{
    *s = (BenchStep){.b = b, .cfg = cfg};
    TRY(measure(s, compute, shape));
    TRY_IN(take(s, &s->keep, &s->keep_memory, s->plan.keep), "activations");
    TRY_IN(take(s, &s->scratch, &s->scratch_memory, s->plan.scratch), "block workspace");
    TRY(b->mem_create(b, sizeof(StepNumbers), &s->numbers));
    b->ctx.scratch = &s->scratch;
    TRY(tape_create(&s->tape, &(TapeOptions){.backend = b,
                                             .keep = &s->keep,
                                             .scratch = &s->scratch,
                                             .compute = compute,
                                             .recompute = (Recompute)cfg->train.recompute,
                                             .seed = (uint64_t)cfg->seed}));
    TRY(open_model(s, compute));
    return pass_make(&s->pass, shape, genllava_model_sizes(s->model));
}

Status bench_step_stir(BenchStep *s)
{
    Params *p = genllava_params(s->model);
    for (int i = 0; i < p->n; i++) {
        Param *q = p->list[i];
        if (!q->trainable || q->init != INIT_ZERO)
            continue;
        q->init = INIT_NORMAL;
        q->init_scale = 0.02;
        TRY(params_draw(p, q, (uint64_t)s->cfg->seed));
    }
    return genllava_updated(s->model);
}

void bench_step_close(BenchStep *s)
{
    pass_free(&s->pass);
    tape_free(&s->tape);
    genllava_close(&s->model);
    if (s->keep_memory)
        s->b->mem_destroy(s->b, s->keep_memory);
    if (s->scratch_memory)
        s->b->mem_destroy(s->b, s->scratch_memory);
    if (s->numbers)
        s->b->mem_destroy(s->b, s->numbers);
    if (s->b)
        s->b->ctx.scratch = NULL;
    *s = (BenchStep){0};
}

/* As train/loop.c does it: the device is waited for once, for the loss and the norm. */
Status bench_step_run(BenchStep *s)
{
    StepNumbers numbers = {0}, *on_device = s->numbers;
    LossResult result;
    const Batch *b = &s->pass.batch;
    Params *p = genllava_params(s->model);
    TRY(s->b->upload(s->b, on_device, &numbers, sizeof numbers));
    TRY(params_step_begin(p));
    tape_reset(s->tape, 0);
    LossRequest request = {.totals = on_device->sums};
    for (Loss l = 0; l < N_LOSSES; l++)
        request.scale[l] = loss_scale(s->cfg, l, &b->terms, 1);
    TRY(genllava_loss(s->tape, s->model, b, &request, &result));
    TRY(tape_backward_all(s->tape, result.losses, N_LOSSES, 1));
    TRY(optim_squares(p, &on_device->squares));
    TRY(s->b->download(s->b, &numbers, on_device, sizeof numbers));
    OptimResult done = {.grad_norm = sqrt(numbers.squares)};
    s->loss = numbers.sums[LOSS_TEXT] / b->n_labels;
    TRY(optim_update(p, s->cfg, 0, 1, s->loss, &done));
    if (done.skipped)
        return fail(ERR_INTERNAL, "a step over random weights gave loss %g and a gradient of norm %g: the backend computes wrongly",
                    s->loss, done.grad_norm);
    return genllava_updated(s->model);
}
