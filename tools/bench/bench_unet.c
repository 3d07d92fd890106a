/* How fast a UNet is, forward and back to the context: what a frozen UNet costs a step of the noise loss. For tools/bench/bench.sh, which
 * times diffusers' beside it.
 *
 * usage: bench-unet FOLDER SIDE f32|bf16   of one picture's latents, SIDE x SIDE; FOLDER holds the UNet's config.json, weights are drawn.
 *        Prints the median seconds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_clock.h"
#include "train/models/unet.h"

enum { WARM_UP = 1, RUNS = 3, QUERIES = 77, MOST = 1 << 10 };

typedef struct Bench {
    Unet unet;
    Params params;
    Param *context;
    Arena keep, scratch;
    Tape *tape;
    Plane latents;
} Bench;

/* Of the size that keeps activations as large as their inputs; norms leave theirs as they are. */
static Status draw_weights(Bench *b)
{
    for (int i = 0; i < b->params.n; i++) {
        Param *q = b->params.list[i];
        q->init = q->t.n_dims > 1 ? INIT_UNIFORM : strstr(q->name, "norm") && strstr(q->name, "weight") ? INIT_ONE : INIT_ZERO;
        q->init_scale = q->t.n_dims > 1 ? 1 / sqrt((double)param_row(q)) : 0;
        TRY(params_draw(&b->params, q, 1));
    }
    return OK;
}

/* capacity: of keep and scratch; NULL: they are measured. */
static Status open_bench(Bench *b, Backend *backend, const UnetConfig *config, DType compute, int64_t side, const size_t capacity[2])
{
    *b = (Bench){.unet = {.config = *config}, .latents = {1, side, side}};
    params_init(&b->params, backend, compute);
    TRY(unet_declare_weights(&b->unet, &b->params, UNET_ALL));
    b->context =
        params_declare(&b->params, &(ParamSpec){.name = "context", .trainable = true, .n_dims = 2, .shape = {QUERIES, config->context}});
    TRY(params_create(&b->params));
    TRY(draw_weights(b));
    arena_measure(&b->keep);
    arena_measure(&b->scratch);
    if (capacity) {
        TRY(arena_create(&b->keep, capacity[0]));
        TRY(arena_create(&b->scratch, capacity[1]));
    }
    backend->ctx.scratch = &b->scratch;
    return tape_create(&b->tape, &(TapeOptions){.backend = backend, .keep = &b->keep, .scratch = &b->scratch, .compute = compute,
                                                .recompute = RECOMPUTE_SELECTIVE, .winograd = true});
}

static void close_bench(Bench *b)
{
    tape_free(&b->tape);
    arena_free(&b->keep);
    arena_free(&b->scratch);
    unet_release(&b->unet);
    params_destroy(&b->params);
}

static float *numbers(Tape *t, int64_t n)
{
    float *x = tape_host(t, (size_t)n * sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (float)(i * 37 % 101) / 50 - 1;
    return x;
}

static Status once(Bench *b)
{
    static const float weight[] = {1};
    static const int32_t timestep[] = {500};
    Tape *t = b->tape;
    const UnetConfig *c = &b->unet.config;
    const int64_t rows = plane_rows(&b->latents);
    int32_t *index = NULL;
    tape_reset(t, 0);
    TRY(params_step_begin(&b->params));
    index = tape_host(t, QUERIES * sizeof *index);
    for (int32_t i = 0; index && i < QUERIES; i++)
        index[i] = i;
    Tensor *context =
        nn_embed(t, &(EmbedSpec){.n = QUERIES, .base = b->context, .base_index = tape_ints(t, index, QUERIES), .base_occur = true});
    Tensor *latents = nn_input(t, numbers(t, rows * c->in_channels), rows, c->in_channels);
    Tensor *found = unet_forward(t, &b->unet, latents, b->latents, timestep, context);
    DifferenceLoss loss = {.kind = DIFFERENCE_MSE, .items = 1, .weight = weight, .scale = 1};
    return tape_backward(t, nn_difference_loss(t, found, numbers(t, rows * c->out_channels), &loss), 1);
}

/* What the arenas must hold, by a walk that computes nothing. */
static Status measure(const UnetConfig *config, DType compute, int64_t side, size_t capacity[2])
{
    Backend null;
    Bench b;
    TRY(null_open(&null));
    Status s = open_bench(&b, &null, config, compute, side, NULL);
    if (s == OK)
        s = once(&b);
    capacity[0] = b.keep.peak + ARENA_ALIGN;
    capacity[1] = b.scratch.peak + ARENA_ALIGN;
    close_bench(&b);
    null.close(&null);
    return s;
}

static Status run(double *seconds, const char *folder, DType compute, int64_t side)
{
    UnetConfig config;
    Backend backend;
    Bench b;
    double times[RUNS];
    size_t capacity[2];
    TRY(unet_read_config(&config, folder));
    TRY(measure(&config, compute, side, capacity));
    TRY(cpu_open(&backend));
    Status s = open_bench(&b, &backend, &config, compute, side, capacity);
    for (int i = -WARM_UP; i < RUNS && s == OK; i++) {
        double start = bench_now();
        s = once(&b);
        if (i >= 0)
            times[i] = bench_now() - start;
    }
    close_bench(&b);
    backend.close(&backend);
    if (s == OK)
        *seconds = bench_median(times, RUNS);
    return s;
}

int main(int argc, char **argv)
{
    double seconds;
    char *end = NULL;
    long side = argc == 4 ? strtol(argv[2], &end, 10) : 0;
    bool narrow = argc == 4 && !strcmp(argv[3], "bf16");
    if (side < 1 || side > MOST || *end || (!narrow && strcmp(argv[3], "f32"))) {
        fprintf(stderr, "usage: bench-unet FOLDER SIDE f32|bf16\n");
        return status_exit_code(ERR_USAGE);
    }
    Status s = run(&seconds, argv[1], narrow ? BF16 : F32, side);
    if (s)
        fprintf(stderr, "bench-unet: %s\n", status_message());
    else
        printf("%.4f\n", seconds);
    return status_exit_code(s);
}
