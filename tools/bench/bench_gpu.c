/* bench-gpu: what a GPU reaches: attention, convolutions, elementwise kernels, the matmuls of a step, whole steps of a config with random
 * weights, the gaps between launches and the memory in use, beside the device's own ceilings (its largest matmul, its largest copy)
 * measured in the same run. usage: bench-gpu --config RUN.json [--only attention] [--tiny] */
#include "tools/bench/bench_gpu.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "kernels/base/log.h"
#include "tools/bench/bench_clock.h"

static const char *const TABLES[] = {"all", "attention", "conv", "elementwise", "matmul", "step", NULL};

enum { MAX_OPERATORS = 1 << 15 };

static Status parse(BenchOptions *o, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        {.name = "--config", .kind = CLI_STRING, .value = &o->config, .argument = "FILE",
         .help = "settings of the run whose steps and matmuls are timed; init \"random\" needs config.json files only"},
        {.name = "--set", .kind = CLI_STRINGS, .value = &o->sets, .argument = "KEY=VALUE", .help = "override a key; repeatable"},
        {.name = "--only", .kind = CLI_CHOICE, .value = &o->only, .argument = "PART", .names = TABLES,
         .help = "all (default), attention, conv, elementwise, matmul or step"},
        {.name = "--tokens", .kind = CLI_INT, .value = &o->tokens, .argument = "N", .low = 1, .high = 1 << 24,
         .help = "of a pass (default: train.micro_tokens)"},
        {.name = "--segment", .kind = CLI_INT, .value = &o->segment, .argument = "T", .low = 1, .high = 1 << 24,
         .help = "tokens of a sample (default 1024)"},
        {.name = "--labels", .kind = CLI_INT, .value = &o->labels, .argument = "N", .low = 1, .high = 1 << 24,
         .help = "supervised tokens of a sample (default 200)"},
        {.name = "--row", .kind = CLI_STRING, .value = &o->row, .argument = "TEXT", .help = "name of the step's line"},
        {.name = "--goal", .kind = CLI_REAL, .value = &o->goal, .argument = "N", .low = 1, .high = 1e9,
         .help = "tokens a second to compare with"},
        {.name = "--tiny", .kind = CLI_FLAG, .value = &o->tiny, .help = "smallest sizes, once: shows that the program works, measures "
                                                                        "nothing"},
        {0},
    };
    const CliProgram program = {.name = "bench-gpu",
                                .summary = "Times the CUDA kernels and whole training steps on the GPU of this machine.",
                                .usage = "bench-gpu --config RUN.json [--only PART]",
                                .options = options};
    return cli_parse(&program, argc, argv, done);
}

/* ---------------------------------------------------------------- whole steps */

static void mark_before(void *arg, Op op, const void *args, const Cost *cost)
{
    Bench *x = arg;
    (void)op, (void)args, (void)cost;
    if (!x->status && x->marked < MAX_OPERATORS)
        x->status = meter_mark(x->meter, 2 * x->marked);
}

static void mark_after(void *arg, Op op, const void *args, const Cost *cost)
{
    Bench *x = arg;
    (void)op, (void)args, (void)cost;
    if (!x->status && x->marked < MAX_OPERATORS)
        x->status = meter_mark(x->meter, 2 * x->marked + 1);
    x->marked++;
}

/* G11: the share of a step in which the device waits between operators. An operator that the device had to wait for begins, for this count,
 * when its launch was asked for. */
static Status gaps(Bench *x, BenchStep *step)
{
    double busy = 0, wall, one;
    x->marked = 0;
    x->w.watcher = (Watcher){.arg = x, .before = mark_before, .after = mark_after};
    Status s = bench_step_run(step);
    x->w.watcher = (Watcher){0};
    TRY(s);
    TRY(x->status);
    if (x->marked > MAX_OPERATORS)
        return fail(ERR_INTERNAL, "a step has %d operators, there are moments for %d", x->marked, MAX_OPERATORS);
    TRY(meter_between(x->meter, 0, 2 * x->marked - 1, &wall));
    for (int i = 0; i < x->marked; i++) {
        TRY(meter_between(x->meter, 2 * i, 2 * i + 1, &one));
        busy += one;
    }
    printf("G11  gaps between %d operators: %.2f %% of %.1f ms (hold 1.5 %%)\n", x->marked, 100 * (1 - busy / wall), 1e3 * wall);
    return OK;
}

static Status step_work(Bench *x, const void *arg)
{
    (void)x;
    return bench_step_run((BenchStep *)(uintptr_t)arg);
}

static Status time_steps(Bench *x, BenchStep *step)
{
    double all[16], seconds;
    size_t used, total;
    TRY(bench_gpu_batch(x, step_work, step, 1, &seconds));
    double first = step->loss;
    for (int i = 0; i < x->sizes->steps; i++)
        TRY(bench_gpu_batch(x, step_work, step, 1, &all[i]));
    double least = all[0], most = all[0];
    for (int i = 1; i < x->sizes->steps; i++) {
        least = fmin(least, all[i]);
        most = fmax(most, all[i]);
    }
    seconds = bench_median(all, x->sizes->steps);
    int32_t tokens = step->pass.batch.n_tokens;
    printf("%-4s step of %s: %d tokens, %d pictures, %d labels", x->o->row, step->cfg->name, tokens, step->pass.batch.n_images,
           step->pass.batch.n_labels);
    if (step->pass.batch.n_targets)
        printf(", %d pictures to draw", step->pass.batch.n_targets);
    printf(": %.1f ms (%.1f to %.1f), %.0f tokens/s", 1e3 * seconds, 1e3 * least, 1e3 * most, tokens / seconds);
    if (x->o->goal > 0)
        printf(" (hold %.0f)", x->o->goal);
    printf("; loss %.3f, then %.3f\n", first, step->loss);
    TRY(meter_memory(&used, &total));
    printf("G7   memory in use on the device: %.2f GB of %.2f; the plan was %.2f without what the runtime takes\n", 1e-9 * (double)used,
           1e-9 * (double)total, 1e-9 * (double)step->plan.total);
    return gaps(x, step);
}

static Status steps(Bench *x, const RunConfig *cfg, const PassShape *shape)
{
    BenchStep step;
    Status s = bench_step_open(&step, &x->w.b, cfg, bench_gpu_compute(cfg), shape);
    if (s == OK)
        s = time_steps(x, &step);
    bench_step_close(&step);
    return s;
}

/* ---------------------------------------------------------------- a run */

static Status run(Bench *x, const RunConfig *cfg)
{
    PassShape shape;
    int driver, runtime;
    char day[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(day, sizeof day, "%Y-%m-%d", &utc);
    TRY(bench_step_shape(&shape, cfg, x->o->tokens ? x->o->tokens : cfg->train.micro_tokens, x->o->segment, x->o->labels));
    TRY(meter_open(&x->meter, &x->w.b, 2 * MAX_OPERATORS));
    TRY(meter_versions(&driver, &runtime));
    printf("%s; driver for CUDA %d.%d, runtime %d.%d; %s%s\n", x->w.b.description, driver / 1000, driver % 1000 / 10, runtime / 1000,
           runtime % 1000 / 10, day, x->o->tiny ? "; --tiny: no figure below means anything" : "");
    if (x->o->only != ONLY_STEP)
        TRY(bench_gpu_kernels(x, cfg, &shape));
    return x->o->only == ONLY_ALL || x->o->only == ONLY_STEP ? steps(x, cfg, &shape) : OK;
}

static Status work(const BenchOptions *o)
{
    Bench x = {.o = o, .sizes = o->tiny ? &BENCH_GPU_TINY : &BENCH_GPU_LARGE};
    RunConfig cfg;
    if (!o->config)
        return fail(ERR_USAGE, "bench-gpu needs --config RUN.json");
    TRY(config_load(&cfg, o->config, o->sets.items, o->sets.n));
    cfg.plan_only = true; /* folders need not have weights */
    Status s = cuda_open(&x.w.b, 0);
    if (s == OK) {
        watch_start(&x.w, (Watcher){0});
        s = run(&x, &cfg);
        meter_close(&x.meter);
        x.w.b.close(&x.w.b);
    }
    config_free(&cfg);
    return s;
}

int main(int argc, char **argv)
{
    BenchOptions o = {.segment = 1024, .labels = 200, .row = "step"};
    bool done;
    cli_start();
    log_level(LOG_WARN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    Status s = parse(&o, argc, argv, &done);
    if (s == OK && !done)
        s = work(&o);
    return cli_finish(s);
}
