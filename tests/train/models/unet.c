/* unet.h beside diffusers: outputs and gradients of tests/fixtures/unet (made by tests/oracle/unets.py) on ref and cpu. The same bits
 * however memory is kept, no work for gradients that nobody wants, the published counts, and what a config.json may not say. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/ops/watch.h"
#include "tests/train/models/hashed.h"
#include "tests/train/models/tiny.h"
#include "train/models/unet.h"
#include "train/models/weights.h"

enum { MEMORY = 256 << 20, SUMS = 8, ELEMS_MAX = 1 << 16 };

static const char *const NAMES[] = {"odd", "eight", "small"};
enum { N_NAMES = sizeof NAMES / sizeof *NAMES };

/* ---------------------------------------------------------------- weights drawn as the oracle draws them */

static void draw(float *to, const char *name, int64_t n, float spread)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = hashed_uniform(name, (uint64_t)i) * spread;
}

static float drawn_weight(const char *name, const StSpec *s, int64_t fan_in, int64_t i)
{
    float u = hashed_uniform(name, (uint64_t)i);
    if (s->n_dims > 1)
        return (float)((double)u * (2 / sqrt((double)fan_in)));
    size_t n = strlen(name);
    return u * 0.25f + (strstr(name, "norm") && n > 7 && !strcmp(name + n - 7, ".weight") ? 1 : 0);
}

/* ---------------------------------------------------------------- a fixture */

typedef struct Fixture {
    char folder[512], weights[1024];
    SafeTensors *st;
    const int32_t *timesteps, *shapes;
    int64_t batch, height, width, queries;
    char *names; /* of the weights, separated by NULs */
    const char *name[1024];
    int n;
} Fixture;

static const void *data_of(const Fixture *f, const char *name, int64_t n)
{
    const StTensor *t = safetensors_find(f->st, name);
    REQUIRE(t && t->n_elems == n);
    return t->data;
}

static void write_weights(const Fixture *f)
{
    static StSpec specs[1024];
    StWriter *w;
    for (int i = 0; i < f->n; i++) {
        specs[i] = (StSpec){.name = f->name[i], .type = F32};
        for (int k = 0; k < 4 && f->shapes[4 * i + k]; k++)
            specs[i].shape[specs[i].n_dims++] = f->shapes[4 * i + k];
    }
    REQUIRE_OK(stwriter_open(&w, f->weights, specs, f->n));
    for (int i = 0; i < f->n; i++) {
        static float values[ELEMS_MAX];
        int64_t n = 1;
        for (int k = 0; k < specs[i].n_dims; k++)
            n *= specs[i].shape[k];
        REQUIRE(n <= ELEMS_MAX);
        for (int64_t j = 0; j < n; j++)
            values[j] = drawn_weight(f->name[i], &specs[i], n / specs[i].shape[0], j);
        REQUIRE_OK(stwriter_write(w, values, (size_t)n * sizeof *values));
    }
    REQUIRE_OK(stwriter_close(&w));
}

static void open_fixture(Fixture *f, const char *name)
{
    char path[1024];
    *f = (Fixture){0};
    snprintf(f->folder, sizeof f->folder, "tests/fixtures/unet/%s", name);
    snprintf(f->weights, sizeof f->weights, "%s/%s.safetensors", test_dir(), name);
    snprintf(path, sizeof path, "%s/expected.safetensors", f->folder);
    REQUIRE_OK(safetensors_open(&f->st, path));
    const StTensor *shapes = safetensors_find(f->st, "shapes");
    REQUIRE(shapes != NULL);
    f->shapes = shapes->data;
    const int32_t *sizes = data_of(f, "shape", 4);
    f->batch = sizes[0];
    f->height = sizes[1];
    f->width = sizes[2];
    f->queries = sizes[3];
    f->timesteps = data_of(f, "timesteps", f->batch);
    f->names = mem_strdup(safetensors_metadata(f->st, "names"));
    for (char *at = strtok(f->names, " "); at; at = strtok(NULL, " "))
        f->name[f->n++] = at;
    CHECK_INT(shapes->n_elems, 4 * f->n);
    write_weights(f);
}

static void close_fixture(Fixture *f)
{
    safetensors_close(&f->st);
    mem_free(f->names);
}

/* ---------------------------------------------------------------- a model of it */

typedef struct Run {
    Backend backend;
    Arena keep, scratch, kernel;
    Params params;
    Unet unet;
    Weights weights;
    Param *context;
    Tape *tape;
    Tensor *out, *loss;
} Run;

typedef enum Trains { NOTHING, CONV_IN, EVERYTHING } Trains;

static void open_run(Run *r, const Fixture *f, Status (*open)(Backend *), DType compute, Recompute recompute, Trains trains)
{
    *r = (Run){0};
    REQUIRE_OK(open(&r->backend));
    REQUIRE_OK(arena_create(&r->keep, MEMORY));
    REQUIRE_OK(arena_create(&r->scratch, MEMORY));
    REQUIRE_OK(arena_create(&r->kernel, MEMORY));
    r->backend.ctx.scratch = &r->kernel;
    params_init(&r->params, &r->backend, compute);
    REQUIRE_OK(unet_read_config(&r->unet.config, f->folder));
    r->params.group = (ParamGroup){.part = "unet", .trainable = trains != NOTHING};
    REQUIRE_OK(unet_declare_weights(&r->unet, &r->params, UNET_CONV_IN));
    r->params.group.trainable = trains == EVERYTHING;
    REQUIRE_OK(unet_declare_weights(&r->unet, &r->params, UNET_REST));
    CHECK_INT(r->params.n, f->n);
    r->params.group = (ParamGroup){.part = "test", .trainable = true};
    int64_t width = r->unet.config.context, rows = f->batch * f->queries;
    r->context = params_declare(&r->params, &(ParamSpec){.name = "context", .n_dims = 2, .shape = {rows, width}});
    REQUIRE_OK(params_create(&r->params));
    REQUIRE_OK(weights_open(&r->weights, f->weights));
    REQUIRE_OK(weights_load_part(&r->weights, &r->params, "unet", &UNET_NAMES));
    static float values[4096];
    draw(values, "context", rows * width, 2);
    REQUIRE_OK(params_set(&r->params, r->context, values, F32));
    REQUIRE_OK(tape_create(&r->tape, &(TapeOptions){.backend = &r->backend, .keep = &r->keep, .scratch = &r->scratch, .compute = compute,
                                                    .recompute = recompute}));
}

static void close_run(Run *r)
{
    tape_free(&r->tape);
    weights_close(&r->weights);
    unet_release(&r->unet);
    params_destroy(&r->params);
    arena_free(&r->keep);
    arena_free(&r->scratch);
    arena_free(&r->kernel);
    r->backend.close(&r->backend);
}

static Tensor *rows_of(Tape *t, Param *p)
{
    int64_t n = p->t.shape[0];
    int32_t *index = tape_host(t, (size_t)n * sizeof *index);
    for (int32_t i = 0; index && i < n; i++)
        index[i] = i;
    return nn_embed(t, &(EmbedSpec){.n = n, .base = p, .base_index = tape_ints(t, index, n), .base_occur = true});
}

/* The mean of the squared differences to a target. */
static void forward(Run *r, const Fixture *f, Tape *t)
{
    static float latents[8192], target[8192];
    int64_t pixels = f->batch * f->height * f->width, in = r->unet.config.in_channels, out = r->unet.config.out_channels;
    float weight[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    draw(latents, "latents", pixels * in, 2);
    draw(target, "target", pixels * out, 2);
    DifferenceLoss loss = {.kind = DIFFERENCE_MSE, .items = f->batch, .weight = weight, .scale = 1 / (double)f->batch};
    r->out = unet_forward(t, &r->unet, nn_input(t, latents, pixels, in), (Plane){f->batch, f->height, f->width}, f->timesteps,
                          rows_of(t, r->context));
    r->loss = nn_difference_loss(t, r->out, target, &loss);
    REQUIRE_OK(tape_status(t));
}

static void step(Run *r, const Fixture *f)
{
    tape_reset(r->tape, 0);
    REQUIRE_OK(params_step_begin(&r->params));
    forward(r, f, r->tape);
    REQUIRE_OK(tape_backward(r->tape, r->loss, 1));
}

/* ---------------------------------------------------------------- comparing */

static double *as_double(const void *x, DType type, int64_t n)
{
    double *y = mem_alloc((size_t)n * sizeof *y);
    REQUIRE(y != NULL);
    dtype_convert(y, F64, x, type, (size_t)n);
    return y;
}

static void check_near(const char *what, const double *x, const float *truth, int64_t n, double limit)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        error += (x[i] - (double)truth[i]) * (x[i] - (double)truth[i]);
        size += (double)truth[i] * (double)truth[i];
    }
    CHECK_MSG(sqrt(error) <= limit * sqrt(size), "%s: off by %.3g of its size, at most %.3g expected", what, sqrt(error / size), limit);
}

/* The gradient of a weight in the file's order. */
static double *gradient_of(const Run *r, const Param *q)
{
    size_t size = dtype_size(r->params.master);
    char *raw = mem_alloc((size_t)q->t.n_elems * size);
    REQUIRE(raw != NULL);
    params_to_file(q, raw, (const char *)r->params.flat_grad + (size_t)q->flat * size, q->shape[0], size);
    double *g = as_double(raw, r->params.master, q->t.n_elems);
    mem_free(raw);
    return g;
}

static void check_gradient(const Run *r, const Fixture *f, const Param *q, const char *name, double limit)
{
    double *g = gradient_of(r, q);
    check_near(q->name, g, data_of(f, name, q->t.n_elems), q->t.n_elems, limit);
    mem_free(g);
}

static void check_sketches(const Run *r, const Fixture *f, double limit)
{
    const float *sketches = data_of(f, "sketches", (int64_t)SUMS * f->n);
    for (int i = 0; i < f->n; i++) {
        char name[256];
        snprintf(name, sizeof name, "unet.%s", f->name[i]);
        const Param *q = params_find(&r->params, name);
        REQUIRE(q != NULL);
        CHECK_MSG(q->reached, "%s was not reached", name);
        double *g = gradient_of(r, q), sums[SUMS] = {0};
        char signs[300];
        snprintf(signs, sizeof signs, "%s#", f->name[i]);
        for (int64_t j = 0; j < q->t.n_elems; j++) {
            uint64_t h = hashed(signs, (uint64_t)j);
            for (int k = 0; k < SUMS; k++)
                sums[k] += h >> k & 1 ? g[j] : -g[j];
        }
        check_near(name, sums, sketches + SUMS * i, SUMS, limit);
        mem_free(g);
    }
}

static void check_run(const Run *r, const Fixture *f, Trains trains, double limit_out, double limit_grad)
{
    int64_t n = r->out->n_elems;
    double *out = as_double(r->out->data, r->out->type, n), loss;
    dtype_convert(&loss, F64, r->loss->data, r->loss->type, 1);
    check_near("output", out, data_of(f, "output", n), n, limit_out);
    check_near("loss", &loss, data_of(f, "loss", 1), 1, limit_out);
    mem_free(out);
    check_gradient(r, f, r->context, "grad.context", limit_grad);
    if (trains != NOTHING)
        check_gradient(r, f, r->unet.conv_in.w, "grad.conv_in", limit_grad);
    if (trains == EVERYTHING)
        check_sketches(r, f, limit_grad);
}

static void check_against_diffusers(Status (*open)(Backend *), DType compute, double limit_out, double limit_grad)
{
    for (int i = 0; i < N_NAMES; i++)
        for (Trains trains = NOTHING; trains <= EVERYTHING; trains++) {
            Fixture f;
            Run r;
            open_fixture(&f, NAMES[i]);
            open_run(&r, &f, open, compute, RECOMPUTE_SELECTIVE, trains);
            step(&r, &f);
            check_run(&r, &f, trains, limit_out, limit_grad);
            close_run(&r);
            close_fixture(&f);
        }
}

/* In double what is left is the last bit of sines, which torch takes in f32. */
TEST(unet_is_that_of_diffusers_in_double) { check_against_diffusers(ref_open, F64, 1e-6, 1e-6); }
TEST(unet_is_that_of_diffusers_on_ref) { check_against_diffusers(ref_open, F32, 1e-5, 5e-5); }
TEST(unet_is_that_of_diffusers_on_cpu) { check_against_diffusers(cpu_open, F32, 1e-5, 5e-5); }

TEST(unet_recompute_gives_the_same_bits)
{
    for (int i = 0; i < N_NAMES; i++) {
        Fixture f;
        open_fixture(&f, NAMES[i]);
        float *first = NULL;
        size_t peak[3];
        for (int mode = RECOMPUTE_NONE; mode <= RECOMPUTE_BLOCK; mode++) {
            Run r;
            open_run(&r, &f, cpu_open, F32, (Recompute)mode, EVERYTHING);
            step(&r, &f);
            size_t n_bytes = (size_t)r.params.n_flat * sizeof *first;
            if (!first) {
                first = mem_alloc(n_bytes);
                memcpy(first, r.params.flat_grad, n_bytes);
            }
            CHECK_MSG(!memcmp(first, r.params.flat_grad, n_bytes), "%s: other bits with recompute %d", NAMES[i], mode);
            peak[mode] = r.keep.peak;
            close_run(&r);
        }
        CHECK(peak[RECOMPUTE_BLOCK] < peak[RECOMPUTE_SELECTIVE] && peak[RECOMPUTE_SELECTIVE] < peak[RECOMPUTE_NONE]);
        mem_free(first);
        close_fixture(&f);
    }
}

/* ---------------------------------------------------------------- work */

typedef struct Count {
    int of[N_OPS];
    int queries;              /* backwards of attention that give the gradient of queries */
    double products, of_time; /* arithmetic of matmuls; of those with one row an image */
} Count;

static void count(void *arg, Op op, const void *args, const Cost *cost)
{
    Count *c = arg;
    c->of[op]++;
    if (op == OP_attention_bwd)
        c->queries += ((const AttentionBwd *)args)->dq != NULL;
    if (op == OP_matmul) {
        c->products += cost->flops;
        c->of_time += cost->m == 1 ? cost->flops : 0;
    }
}

/* Walks the network of a fixture forwards and backwards, computing nothing. */
static void count_work(const char *name, Trains trains, Count *forwards, Count *backwards, double *first_transformer)
{
    Fixture f;
    Run r;
    open_fixture(&f, name);
    open_run(&r, &f, ref_open, F32, RECOMPUTE_NONE, trains);
    Watched w = {.b = {0}};
    Arena keep, scratch;
    arena_measure(&keep);
    arena_measure(&scratch);
    REQUIRE_OK(null_open(&w.b));
    *forwards = *backwards = (Count){0};
    watch_start(&w, (Watcher){.arg = forwards, .before = count});
    Tape *t;
    REQUIRE_OK(tape_create(&t, &(TapeOptions){.backend = &w.b, .keep = &keep, .scratch = &scratch, .compute = F32}));
    forward(&r, &f, t);
    w.watcher.arg = backwards;
    REQUIRE_OK(tape_backward(t, r.loss, 1));
    int64_t channels = r.unet.config.level[0].channels;
    *first_transformer = 2.0 * 6 * (double)(f.height * f.width * channels * channels); /* proj_in, k, q, v, self_out, query */
    tape_free(&t);
    w.b.close(&w.b);
    close_run(&r);
    close_fixture(&f);
}

/* 22 residual blocks, 16 transformers, 6 samplers, as Stable Diffusion 1.4. */
enum { RESNETS = 22, TRANSFORMERS = 16, SAMPLERS = 6, CONVS = 2 * RESNETS + SAMPLERS + 2, NORMS = 2 * RESNETS + TRANSFORMERS + 1 };

/* Spec 6.2: a frozen UNet goes backwards from the noise to the first context, and nothing else. */
TEST(a_frozen_unet_does_no_work_for_gradients_that_nobody_wants)
{
    Count forwards, backwards;
    double first;
    count_work("small", NOTHING, &forwards, &backwards, &first);
    CHECK_INT(forwards.of[OP_conv2d_fwd], CONVS);
    CHECK_INT(forwards.of[OP_groupnorm_fwd], NORMS);
    CHECK_INT(forwards.of[OP_attention_fwd], 2 * TRANSFORMERS);
    CHECK_INT(backwards.of[OP_conv2d_dx], CONVS - 3);     /* conv_in and the first residual block */
    CHECK_INT(backwards.of[OP_groupnorm_bwd], NORMS - 3); /* … and the first transformer's own */
    CHECK_INT(backwards.of[OP_attention_bwd], 2 * TRANSFORMERS - 1);
    CHECK_INT(backwards.queries, 2 * TRANSFORMERS - 2);
    CHECK_INT(backwards.of[OP_layernorm_bwd], 3 * TRANSFORMERS - 2);
    CHECK_INT(backwards.of[OP_glu_bwd], TRANSFORMERS);
    CHECK_INT(backwards.of[OP_conv2d_dw], 0);
    CHECK_INT(backwards.of[OP_column_sum], 0);
    CHECK_INT(backwards.of[OP_act_bwd], 0); /* of the time embedding */
    CHECK(backwards.products == forwards.products - forwards.of_time - first);
    for (int op = 0; op < N_OPS; op++) /* but for the gradient of the context, which is gathered */
        CHECK_MSG(!strstr(op_name((Op)op), "_fwd") || !backwards.of[op], "the way back computes %s again", op_name((Op)op));
}

/* Only conv_in trains: all the way back, but no weight's gradient except its own, and nothing of the time embedding. */
TEST(a_unet_that_trains_conv_in_does_no_work_for_other_weights)
{
    Count forwards, backwards;
    double first;
    count_work("small", CONV_IN, &forwards, &backwards, &first);
    CHECK_INT(backwards.of[OP_conv2d_dx], CONVS - 1);
    CHECK_INT(backwards.of[OP_conv2d_dw], 1);
    CHECK_INT(backwards.of[OP_column_sum], 1); /* its bias */
    CHECK_INT(backwards.of[OP_groupnorm_bwd], NORMS);
    CHECK_INT(backwards.of[OP_attention_bwd], 2 * TRANSFORMERS);
    CHECK_INT(backwards.queries, 2 * TRANSFORMERS);
    CHECK_INT(backwards.of[OP_layernorm_bwd], 3 * TRANSFORMERS);
    CHECK_INT(backwards.of[OP_glu_bwd], TRANSFORMERS);
    CHECK_INT(backwards.of[OP_act_bwd], 0);
    CHECK(backwards.products == forwards.products - forwards.of_time);
}

/* ---------------------------------------------------------------- the published network */

static const char SD14[] =
    "{\"_class_name\":\"UNet2DConditionModel\",\"_diffusers_version\":\"0.2.2\",\"act_fn\":\"silu\",\"attention_head_dim\":8,"
    "\"block_out_channels\":[320,640,1280,1280],\"center_input_sample\":false,\"cross_attention_dim\":768,\"down_block_types\":["
    "\"CrossAttnDownBlock2D\",\"CrossAttnDownBlock2D\",\"CrossAttnDownBlock2D\",\"DownBlock2D\"],\"downsample_padding\":1,"
    "\"flip_sin_to_cos\":true,\"freq_shift\":0,\"in_channels\":%d,\"layers_per_block\":2,\"mid_block_scale_factor\":1,\"norm_eps\":1e-05,"
    "\"norm_num_groups\":32,\"out_channels\":4,\"sample_size\":64,\"up_block_types\":[\"UpBlock2D\",\"CrossAttnUpBlock2D\","
    "\"CrossAttnUpBlock2D\",\"CrossAttnUpBlock2D\"]}";

TEST(the_published_unet_has_the_published_counts)
{
    for (int in = 4; in <= 8; in += 4) {
        char text[2048];
        Backend null;
        Params p;
        Unet m = {.n_units = 0};
        snprintf(text, sizeof text, SD14, in);
        tiny_write(test_dir(), "config.json", text);
        REQUIRE_OK(null_open(&null));
        params_init(&p, &null, BF16);
        REQUIRE_OK(unet_read_config(&m.config, test_dir()));
        REQUIRE_OK(unet_declare_weights(&m, &p, UNET_ALL));
        int64_t n = 0;
        for (int i = 0; i < p.n; i++)
            n += p.list[i]->t.n_elems;
        CHECK_INT(p.n, 686);
        CHECK_INT(n, in == 4 ? 859520964 : 859532484);
        unet_release(&m);
        params_destroy(&p);
        null.close(&null);
    }
}

/* ---------------------------------------------------------------- settings */

static void check_refused(const char *members, const char *message)
{
    char text[1024], wanted[1024];
    UnetConfig c;
    snprintf(text, sizeof text, "{%s}", members);
    snprintf(wanted, sizeof wanted, "%s/config.json:1:%s", test_dir(), message);
    tiny_write(test_dir(), "config.json", text);
    CHECK_FAILS(unet_read_config(&c, test_dir()), ERR_DATA, wanted);
}

TEST(what_a_unet_does_not_do_is_refused_by_name)
{
    check_refused("\"class_embed_type\":\"timestep\"", "21: class_embed_type is \"timestep\", which is not supported");
    check_refused("\"mid_block_type\":null", "19: mid_block_type is null, expected \"UNetMidBlock2DCrossAttn\"");
    check_refused("\"act_fn\":\"gelu\"", "11: act_fn is \"gelu\", expected \"silu\" or \"swish\"");
    check_refused("\"transformer_layers_per_block\":[1,2,10]", "33: transformer_layers_per_block is an array, expected 1");
    check_refused("\"block_out_channels\":[]", "23: block_out_channels is not a list of 1 to 8 sizes");
    check_refused("\"block_out_channels\":[320,0]", "28: block_out_channels is 0, expected an integer from 1 to 1048576 or a list of them");
    check_refused("\"layers_per_block\":[2,2]", "21: layers_per_block has 2 elements, expected 4, as many as block_out_channels");
    check_refused("\"down_block_types\":[\"SkipDownBlock2D\",1,1,1]",
                  "22: down_block_types names \"SkipDownBlock2D\", expected \"CrossAttnDownBlock2D\" or \"DownBlock2D\"");
    check_refused("\"norm_num_groups\":30", "20: norm_num_groups is 30, expected a divisor of all block_out_channels, of which one is 320");
    check_refused("\"attention_head_dim\":7", "23: attention_head_dim (the number of heads) is 7 at 320 channels, expected a divisor with "
                                              "heads of at most 512");
    check_refused("\"norm_eps\":-1e-5", "13: norm_eps is -1e-05, expected a number of at least 0");
    check_refused("\"freq_shift\":160", "15: freq_shift is 160, half of the first of block_out_channels: frequencies of the timestep are "
                                         "divided by the difference");
    check_refused("\"wings\":2", "10: wings is 2; this key is not known, so it passes only as null, false, 0, {} or []");
}
