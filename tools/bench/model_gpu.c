/* model-gpu: what a training step should take on a GPU, on paper. The model of a config runs forward, backward and update over the null
 * backend while every operator is noted with its shape; times come from published ceilings and stated fractions of them. Nothing here is a
 * measurement.
 * usage: model-gpu --config RUN.json [--device h100] [--tokens N] … */
#include <stdio.h>
#include <string.h>

#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "tools/bench/bench_step.h"
#include "tools/bench/roofline.h"
#include "tools/bench/scaling.h"

typedef struct Options {
    const char *config;
    CliList sets;
    int device;
    int64_t tokens, segment, labels;
    double matmul, attention, convolution, adapters, bandwidth, integer, gap, goal, fit;
    bool shapes, ranks;
    const char *shards;
    int64_t samples;
    Wires wires;
    double efficiency;
} Options;

enum { MAX_DEVICES = 8 };

static Status parse(Options *o, int argc, char **argv, bool *done)
{
    static const char *names[MAX_DEVICES];
    for (int i = 0; DEVICES[i].name; i++)
        names[i] = DEVICES[i].name;
    const CliOption options[] = {
        {.name = "--config", .kind = CLI_STRING, .value = &o->config, .argument = "FILE",
         .help = "settings of a run; of the model only config.json is read where init is \"random\""},
        {.name = "--set", .kind = CLI_STRINGS, .value = &o->sets, .argument = "KEY=VALUE", .help = "override a key; repeatable"},
        {.name = "--device", .kind = CLI_CHOICE, .value = &o->device, .argument = "NAME", .names = names,
         .help = "h100 (default), h200 or a100"},
        {.name = "--tokens", .kind = CLI_INT, .value = &o->tokens, .argument = "N", .low = 1, .high = 1 << 24,
         .help = "of a pass (default: train.micro_tokens)"},
        {.name = "--segment", .kind = CLI_INT, .value = &o->segment, .argument = "T", .low = 1, .high = 1 << 24,
         .help = "tokens of a sample (default 1024), one picture in each that has room for it"},
        {.name = "--labels", .kind = CLI_INT, .value = &o->labels, .argument = "N", .low = 1, .high = 1 << 24,
         .help = "supervised tokens of a sample (default 200)"},
        {.name = "--matmul", .kind = CLI_REAL, .value = &o->matmul, .argument = "X", .low = 0.01, .high = 1,
         .help = "of the published rate that large matmuls reach (default 0.73)"},
        {.name = "--attention", .kind = CLI_REAL, .value = &o->attention, .argument = "X", .low = 0.01, .high = 1,
         .help = "the same of attention (default 0.19)"},
        {.name = "--convolution", .kind = CLI_REAL, .value = &o->convolution, .argument = "X", .low = 0.01, .high = 1,
         .help = "the same of convolutions and their gradients of images (default 0.5)"},
        {.name = "--adapters", .kind = CLI_REAL, .value = &o->adapters, .argument = "X", .low = 0.01, .high = 1,
         .help = "the same of products of our own: adapters with dropout, gradients of convolutions' weights (default 0.3)"},
        {.name = "--bandwidth", .kind = CLI_REAL, .value = &o->bandwidth, .argument = "X", .low = 0.01, .high = 1,
         .help = "of the published memory bandwidth (default 0.78)"},
        {.name = "--integer", .kind = CLI_REAL, .value = &o->integer, .argument = "X", .low = 0.01, .high = 1,
         .help = "of the rate of integer instructions, for the random numbers of dropout (default 0.8)"},
        {.name = "--gap", .kind = CLI_REAL, .value = &o->gap, .argument = "US", .low = 0, .high = 1000,
         .help = "microseconds from one operator to the next (default 1.5)"},
        {.name = "--goal", .kind = CLI_REAL, .value = &o->goal, .argument = "N", .low = 1, .high = 1e9,
         .help = "tokens a second to compare with"},
        {.name = "--fit", .kind = CLI_REAL, .value = &o->fit, .argument = "GB", .low = 0.001, .high = 1e6,
         .help = "memory of the device to compare with"},
        {.name = "--ranks", .kind = CLI_FLAG, .value = &o->ranks, .help = "steps of 1 to 1024 GPUs besides"},
        {.name = "--shards", .kind = CLI_STRING, .value = &o->shards, .argument = "DIR",
         .help = "--ranks: shards whose samples are dealt (default: lengths that are made up)"},
        {.name = "--samples", .kind = CLI_INT, .value = &o->samples, .argument = "N", .low = 1, .high = 4096,
         .help = "--ranks: of a GPU and step (default 16)"},
        {.name = "--nvlink", .kind = CLI_REAL, .value = &o->wires.nvlink, .argument = "X", .low = 0.01, .high = 1,
         .help = "--ranks: of NVLink's published bandwidth that sums reach (default 0.8)"},
        {.name = "--network", .kind = CLI_REAL, .value = &o->wires.network, .argument = "X", .low = 0.01, .high = 1,
         .help = "--ranks: the same of a card of 400 Gb/s for each GPU (default 0.85)"},
        {.name = "--efficiency", .kind = CLI_REAL, .value = &o->efficiency, .argument = "X", .low = 0, .high = 100,
         .help = "--ranks: percent of the speed of so many single GPUs to compare with, over one machine"},
        {.name = "--shapes", .kind = CLI_FLAG, .value = &o->shapes, .help = "a line for every shape"},
        {0},
    };
    const CliProgram program = {.name = "model-gpu",
                                .summary = "Predicts the step time and memory of a run on a GPU from published ceilings; measures nothing.",
                                .usage = "model-gpu --config RUN.json [--device h100] [--tokens N]",
                                .options = options};
    return cli_parse(&program, argc, argv, done);
}

/* ---------------------------------------------------------------- what runs */

/* auto: every such device multiplies bf16 */
static DType compute_of(const RunConfig *cfg) { return cfg->train.compute == COMPUTE_F32 ? F32 : BF16; }

typedef struct Walk {
    Watched w;
    Roofline *r;
} Walk;

/* What opening the model takes is no part of a step. */
static void opened(void *arg)
{
    Walk *k = arg;
    watch_start(&k->w, roofline_watcher(k->r));
}

static Status walk(Roofline *r, MemoryPlan *plan, const RunConfig *cfg, const PassShape *pass)
{
    Walk k = {.r = r};
    TRY(null_open(&k.w.b));
    k.w.b.joins = true; /* as the cuda backend */
    Status s = memory_walk(plan, &k.w.b, cfg, compute_of(cfg), &(MemoryRun){.passes = pass, .n_passes = 1}, opened, &k);
    k.w.b.close(&k.w.b);
    return s == OK && r->failed ? fail(ERR_NOMEM, "the list of operators: out of memory") : s;
}

/* ---------------------------------------------------------------- what is printed */

static void print_lines(const Roofline *r, double total, bool shapes)
{
    printf("%-24s%s %8s %9s %6s %11s %9s  waits for\n", "operator", shapes ? "       m       n       k" : "", "launches", "ms", "share",
           "TFLOP", "GB");
    for (int i = 0; i < r->n; i++) {
        const Line *l = &r->lines[i];
        char name[64];
        snprintf(name, sizeof name, "%s%s", op_name(l->op), l->narrow ? ", narrow" : "");
        printf("%-24s", name);
        if (shapes)
            printf(" %7lld %7lld %7lld", (long long)l->m, (long long)l->n, (long long)l->k);
        printf(" %8lld %9.3f %5.1f%% %11.3f %9.3f  %s\n", (long long)l->launches, 1e3 * l->seconds, 100 * l->seconds / total,
               1e-12 * l->flops, 1e-9 * l->bytes, l->memory_bound ? "memory" : "arithmetic");
    }
}

static double sum_of(const Roofline *r, double (*what)(const Line *))
{
    double sum = 0;
    for (int i = 0; i < r->n; i++)
        sum += what(&r->lines[i]);
    return sum;
}
static double seconds_of(const Line *l) { return l->seconds; }
static double ideal_of(const Line *l) { return l->ideal; }
static double launches_of(const Line *l) { return (double)l->launches; }

static void print_losses(const Roofline *r, double total, double ideal)
{
    bool told[N_OPS + 1] = {0};
    printf("matmuls alone, at their rate: %.1f ms of %.1f ms; the largest losses besides:\n", 1e3 * ideal, 1e3 * total);
    for (int rank = 1; rank <= 3; rank++) {
        const Line *most = NULL;
        for (int i = 0; i < r->n; i++) {
            const Line *l = &r->lines[i];
            int id = l->narrow ? N_OPS : (int)l->op;
            if (!told[id] && (!most || l->seconds - l->ideal > most->seconds - most->ideal))
                most = l;
        }
        if (!most)
            return;
        told[most->narrow ? N_OPS : (int)most->op] = true;
        printf("  %d. %s%s: %.1f ms (%.1f%%)\n", rank, op_name(most->op), most->narrow ? ", narrow (adapters and other small ones)" : "",
               1e3 * (most->seconds - most->ideal), 100 * (most->seconds - most->ideal) / total);
    }
}

/* What a device holds: the model's plan, and what the runtime takes for itself, which no plan can know. */
static void print_memory(const MemoryPlan *m, double fit)
{
    double gb = 1e-9 * (double)m->total;
    printf("memory: %.2f GB (weights %.2f, trained %.2f, moments %.2f, activations %.2f, workspace %.2f), without what the CUDA runtime "
           "takes for itself",
           gb, 1e-9 * (double)m->weights, 1e-9 * (double)m->trainable, 1e-9 * (double)m->optimizer, 1e-9 * (double)m->activations,
                   1e-9 * (double)m->workspace);
    if (fit > 0)
        printf("; %s %.0f GB by %.2f GB", gb <= fit ? "fits" : "exceeds", fit, gb <= fit ? fit - gb : gb - fit);
    printf("\n");
}

static void print_speed(const Options *o, const Roofline *r, const PassShape *p, double total)
{
    double flops = 0;
    for (int i = 0; i < r->n; i++)
        flops += r->lines[i].op == OP_matmul || r->lines[i].op == OP_matmul_fp8 ? r->lines[i].flops : 0;
    printf("predicted: %.1f ms a step of one pass, %.0f tokens/s, matmuls at %.1f%% of the published rate of %.0f TFLOP/s (bf16)",
           1e3 * total, p->tokens / total, 1e-10 * flops / total / r->device->bf16_tflops, r->device->bf16_tflops);
    if (o->goal > 0)
        printf("; goal %.0f: %s", o->goal, p->tokens / total >= o->goal ? "reached on paper" : "missed on paper");
    printf("\n");
}

/* The same number of samples for each GPU, whatever their number: its time grows with its tokens, and all wait for the one with most. A
 * sum begins when backward has ended, or runs beside it (in which case what exceeds half of the step is waited for). */
static Status print_ranks(const Options *o, const RunConfig *cfg, const Device *d, const MemoryPlan *m, double token_seconds)
{
    enum { MOST = 1024 };
    const double bytes = 4.0 * (double)m->trainable_parameters;
    const Wires *w = &o->wires;
    Lengths *l = NULL;
    Status s = lengths_open(&l, o->shards, m->sizes.patches, cfg->data.max_tokens);
    if (s == OK) {
        printf("several GPUs: %.1f MB of gradients (%.2f M weights in f32) are summed by a ring. Published: NVLink %.0f GB/s, a card of "
               "%.0f GB/s for each GPU between machines of %d. ",
               1e-6 * bytes, 1e-6 * (double)m->trainable_parameters, d->nvlink_gbytes, SCALING_NETWORK_GBYTES, SCALING_NODE);
        printf("Assumed: %.2f and %.2f of them, %.0f and %.0f us a hop; %lld samples a GPU and step; a GPU's time grows with its tokens\n",
               w->nvlink, w->network, w->nvlink_us, w->network_us, (long long)o->samples);
        printf("lengths: %s\n", o->shards ? o->shards : LENGTHS_MADE_UP);
        printf("%6s %8s %11s %10s %8s %12s %18s %12s\n", "GPUs", "samples", "tokens/s", "step ms", "waiting", "sum ms",
               "sum after backward", "beside it");
    }
    for (int n = 1; n <= MOST && s == OK; n *= 2) {
        Shares share;
        s = lengths_share(l, &share, o->samples, n);
        double mean = share.mean * token_seconds, most = share.most * token_seconds, sum = scaling_sum_seconds(d, w, bytes, n);
        double beside = most + fmax(0, sum - most / 2), after = most + sum;
        if (s == OK)
            printf("%6d %8lld %11.0f %10.1f %7.2f%% %12.2f %17.1f%% %11.1f%%\n", n, (long long)o->samples * n, share.mean * n / after,
                   1e3 * after, 100 * (most - mean) / most, 1e3 * sum, 100 * mean / after, 100 * mean / beside);
        if (s == OK && n == SCALING_NODE && o->efficiency > 0)
            printf("%6s goal %.0f%% over %d GPUs: %s on paper\n", "", o->efficiency, n,
                   100 * mean / after >= o->efficiency    ? "reached"
                   : 100 * mean / beside >= o->efficiency ? "reached beside backward"
                                                          : "missed");
    }
    lengths_close(&l);
    return s;
}

static Status report(const Options *o, const RunConfig *cfg)
{
    PassShape pass;
    MemoryPlan plan;
    Roofline r = {.device = &DEVICES[o->device],
                  .reached = {.matmul = o->matmul, .attention = o->attention, .convolution = o->convolution, .adapters = o->adapters,
                              .bandwidth = o->bandwidth, .integer = o->integer, .gap_us = o->gap}};
    TRY(bench_step_shape(&pass, cfg, o->tokens ? o->tokens : cfg->train.micro_tokens, o->segment, o->labels));
    Status s = walk(&r, &plan, cfg, &pass);
    if (s == OK) {
        printf("%s: a pass of %d tokens in %d samples of %d, %d pictures, %d labels, %d targets; adapters r %lld, recompute %s\n",
               cfg->name, pass.tokens, pass.segments, pass.max_segment, pass.images, pass.labels, pass.generate + pass.edit,
               cfg->model.llm.train == TRAIN_LORA ? (long long)cfg->model.lora.r : 0LL,
               (const char *const[]){"none", "selective", "block"}[cfg->train.recompute]);
        printf("%s, published: %.0f TFLOP/s bf16, %.2f TB/s. Assumed: %.2f of it in large matmuls (128 x 128 tiles in waves), %.2f in "
               "attention, %.2f in convolutions, %.2f in adapters with dropout, %.2f of the bandwidth, %.2f of %.1f T integer "
               "instructions/s, %.1f us between operators; each reads and writes once\n", r.device->text, r.device->bf16_tflops,
               r.device->tbytes, o->matmul, o->attention, o->convolution, o->adapters, o->bandwidth, o->integer, r.device->integer_tops,
               o->gap);
        if (!o->shapes)
            roofline_by_operator(&r);
        double total = sum_of(&r, seconds_of), ideal = sum_of(&r, ideal_of);
        print_lines(&r, total, o->shapes);
        printf("%-24s %8.0f %9.3f\n", "all", sum_of(&r, launches_of), 1e3 * total);
        roofline_by_operator(&r);
        print_losses(&r, total, ideal);
        print_speed(o, &r, &pass, total);
        print_memory(&plan, o->fit);
        if (o->ranks)
            s = print_ranks(o, cfg, r.device, &plan, total / pass.tokens);
    }
    roofline_free(&r);
    return s;
}

static Status work(const Options *o)
{
    RunConfig cfg;
    if (!o->config)
        return fail(ERR_USAGE, "model-gpu needs --config RUN.json");
    TRY(config_load(&cfg, o->config, o->sets.items, o->sets.n));
    cfg.plan_only = true;
    Status s = report(o, &cfg);
    config_free(&cfg);
    return s;
}

int main(int argc, char **argv)
{
    /* 0.73: what cuBLAS is known to reach in bf16 on such devices when they draw full power; 0.19: what the project wants of its attention;
     * 0.5: a guess for cuDNN; 0.3: one for kernels on mma.sync, which is not the instruction that an H100 is fastest with; 0.78: 0.85 of a
     * copy that reaches 0.92. Wires: what NCCL's own tests are known to show for large sums, and 3 us a hop; 8 us through cards is a guess.
     */
    Options o = {.segment = 1024, .labels = 200, .matmul = 0.73, .attention = 0.19, .convolution = 0.5, .adapters = 0.3,
                 .bandwidth = 0.78, .integer = 0.8, .gap = 1.5, .samples = 16,
                 .wires = {.nvlink = 0.8, .network = 0.85, .nvlink_us = 3, .network_us = 8}};
    bool done;
    cli_start();
    log_level(LOG_WARN);
    Status s = parse(&o, argc, argv, &done);
    if (s == OK && !done)
        s = work(&o);
    return cli_finish(s);
}
