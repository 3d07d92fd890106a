/* unet_step.c: a UNet forwards and back to its context (unet_step.h). */
#include "tools/bench/unet_step.h"

#include <math.h>
#include <string.h>

#include "tools/bench/bench_fill.h"

enum { QUERIES = 77 };

/* Of the size that keeps activations as large as their inputs; norms leave theirs as they are. */
static Status fill_weights(UnetStep *s)
{
    BenchFill fill;
    Status status = bench_fill_make(&fill, NULL, s->params.compute);
    for (int i = 0; i < s->params.n && status == OK; i++) {
        Param *q = s->params.list[i];
        q->init = q->t.n_dims > 1 ? INIT_UNIFORM : strstr(q->name, "norm") && strstr(q->name, "weight") ? INIT_ONE : INIT_ZERO;
        q->init_scale = q->t.n_dims > 1 ? 1 / sqrt((double)param_row(q)) : 0;
        status = bench_fill_set(&fill, &s->params, q);
    }
    bench_fill_free(&fill);
    return status;
}

static Status make_items(UnetStep *s)
{
    const size_t n = (size_t)s->latents.images;
    s->timestep = mem_alloc(n * sizeof *s->timestep);
    s->weight = mem_alloc(n * sizeof *s->weight);
    if (!s->timestep || !s->weight)
        return fail(ERR_NOMEM, "pictures of a UNet: out of memory");
    for (size_t i = 0; i < n; i++) {
        s->timestep[i] = 500;
        s->weight[i] = 1;
    }
    return OK;
}

/* capacity: of keep and scratch; NULL: they are measured. */
static Status open_step(UnetStep *s, Backend *b, const UnetConfig *config, DType compute, Plane latents, const size_t capacity[2])
{
    *s = (UnetStep){.b = b, .unet = {.config = *config}, .latents = latents};
    params_init(&s->params, b, compute);
    TRY(make_items(s));
    TRY(unet_declare_weights(&s->unet, &s->params, UNET_ALL));
    s->context = params_declare(&s->params, &(ParamSpec){.name = "context", .trainable = true, .n_dims = 2,
                                                         .shape = {latents.images * QUERIES, config->context}});
    TRY(params_create(&s->params));
    TRY(fill_weights(s));
    TRY(b->mem_create(b, sizeof(double), &s->total));
    arena_measure(&s->keep);
    arena_measure(&s->scratch);
    if (capacity) {
        TRY_IN(b->mem_create(b, capacity[0], &s->keep_memory), "activations");
        TRY_IN(b->mem_create(b, capacity[1], &s->scratch_memory), "block workspace");
        arena_borrow(&s->keep, s->keep_memory, capacity[0]);
        arena_borrow(&s->scratch, s->scratch_memory, capacity[1]);
    }
    b->ctx.scratch = &s->scratch;
    return tape_create(&s->tape, &(TapeOptions){.backend = b, .keep = &s->keep, .scratch = &s->scratch, .compute = compute,
                                                .recompute = RECOMPUTE_SELECTIVE, .winograd = true});
}

void unet_step_close(UnetStep *s)
{
    if (!s->b)
        return;
    tape_free(&s->tape);
    unet_release(&s->unet);
    params_destroy(&s->params);
    void *const memory[] = {s->keep_memory, s->scratch_memory, s->total};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            s->b->mem_destroy(s->b, memory[i]);
    mem_free(s->timestep);
    mem_free(s->weight);
    s->b->ctx.scratch = NULL;
    *s = (UnetStep){0};
}

static float *numbers(Tape *t, int64_t n)
{
    float *x = tape_host(t, (size_t)n * sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (float)(i * 37 % 101) / 50 - 1;
    return x;
}

Status unet_step_run(UnetStep *s)
{
    Tape *t = s->tape;
    const UnetConfig *c = &s->unet.config;
    const int64_t rows = plane_rows(&s->latents), n = s->latents.images * QUERIES;
    tape_reset(t, 0);
    TRY(params_step_begin(&s->params));
    int32_t *index = tape_host(t, (size_t)n * sizeof *index);
    for (int32_t i = 0; index && i < n; i++)
        index[i] = i;
    Tensor *context = nn_embed(t, &(EmbedSpec){.n = n, .base = s->context, .base_index = tape_ints(t, index, n), .base_occur = true});
    Tensor *latents = nn_input(t, numbers(t, rows * c->in_channels), rows, c->in_channels);
    Tensor *found = unet_forward(t, &s->unet, latents, s->latents, s->timestep, context);
    DifferenceLoss loss = {.kind = DIFFERENCE_MSE, .items = s->latents.images, .weight = s->weight, .scale = 1, .total = s->total};
    return tape_backward(t, nn_difference_loss(t, found, numbers(t, rows * c->out_channels), &loss), 1);
}

/* What the arenas must hold, by a walk that computes nothing. */
static Status measure(const Backend *b, const UnetConfig *config, DType compute, Plane latents, size_t capacity[2])
{
    Backend null;
    UnetStep s;
    TRY(null_open(&null));
    null.joins = b->joins;
    Status status = open_step(&s, &null, config, compute, latents, NULL);
    if (status == OK)
        status = unet_step_run(&s);
    capacity[0] = s.keep.peak + ARENA_ALIGN;
    capacity[1] = s.scratch.peak + ARENA_ALIGN;
    unet_step_close(&s);
    null.close(&null);
    return status;
}

Status unet_step_open(UnetStep *s, Backend *b, const char *folder, DType compute, int64_t images, int64_t side)
{
    UnetConfig config;
    size_t capacity[2];
    const Plane latents = {images, side, side};
    *s = (UnetStep){0};
    TRY(unet_read_config(&config, folder));
    TRY(measure(b, &config, compute, latents, capacity));
    return open_step(s, b, &config, compute, latents, capacity);
}
