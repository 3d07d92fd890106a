/* bench-gpu: what a GPU reaches: attention, convolutions, elementwise kernels, the matmuls of a step, whole steps of a config with random
 * weights, the gaps between launches and the memory in use, beside the device's own ceilings (its largest matmul, its largest copy)
 * measured in the same run. Called by tools/bench/gpu_check.sh, which reads the lines that begin with a row of tools/bench/gpu/targets.txt.
 * usage: bench-gpu --config RUN.json [--only attention] [--step 'G6 RUN.json'] [--tiny] */
#include "tools/bench/bench_gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/base/log.h"
#include "tools/bench/bench_clock.h"

static const char *const TABLES[] = {"all", "device", "attention", "conv", "elementwise", "matmul", "step", "unet", "once", NULL};

enum { MAX_OPERATORS = 1 << 15, STEP_WORDS = 16, STEP_BYTES = 1024 };

static Status parse(BenchOptions *o, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        {.name = "--config", .kind = CLI_STRING, .value = &o->config, .argument = "FILE",
         .help = "settings of the run whose steps and matmuls are timed; init \"random\" needs config.json files only"},
        {.name = "--set", .kind = CLI_STRINGS, .value = &o->sets, .argument = "KEY=VALUE", .help = "override a key; repeatable"},
        {.name = "--only", .kind = CLI_CHOICE, .value = &o->only, .argument = "PART", .names = TABLES,
         .help = "all (default), device (its name), attention, conv, elementwise, matmul, step, unet, or once: operators launched once "
                 "each, for a profiler"},
        {.name = "--tokens", .kind = CLI_INT, .value = &o->tokens, .argument = "N", .low = 1, .high = 1 << 24,
         .help = "of a pass (default: train.micro_tokens)"},
        {.name = "--segment", .kind = CLI_INT, .value = &o->segment, .argument = "T", .low = 1, .high = 1 << 24,
         .help = "tokens of a sample (default 1024)"},
        {.name = "--labels", .kind = CLI_INT, .value = &o->labels, .argument = "N", .low = 1, .high = 1 << 24,
         .help = "supervised tokens of a sample (default 200)"},
        {.name = "--step", .kind = CLI_STRINGS, .value = &o->steps, .argument = "TEXT",
         .help = "steps of a run, in this process after what else is asked for: 'ROW[,MEMORY[,GAPS]] RUN.json [tokens=N] [KEY=VALUE ...]', "
                 "the rows that its speed, its memory and the gaps between its launches are called; repeatable"},
        {.name = "--tiny", .kind = CLI_FLAG, .value = &o->tiny, .help = "smallest sizes, once: shows that the program works, measures "
                                                                        "nothing"},
        {0},
    };
    const CliProgram program = {.name = "bench-gpu",
                                .summary = "Times the CUDA kernels and whole training steps on the GPU of this machine.",
                                .usage = "bench-gpu --config RUN.json [--only PART] [--step TEXT]...\nbench-gpu --step TEXT...",
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
static Status gaps(Bench *x, BenchStep *step, const char *row)
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
    bench_gpu_result(row, 100 * (1 - busy / wall), "%", "gaps between %d operators, of %.1f ms", x->marked, 1e3 * wall);
    return OK;
}

static Status step_work(Bench *x, const void *arg)
{
    (void)x;
    return bench_step_run((BenchStep *)(uintptr_t)arg);
}

/* What a line of steps is called in the table; "" or "-": it is in no table. */
typedef struct StepRows {
    const char *speed, *memory, *gaps;
} StepRows;

static Status time_steps(Bench *x, BenchStep *step, const StepRows *rows)
{
    double all[16], seconds;
    size_t used, total;
    char drawn[48] = "";
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
    const Batch *b = &step->pass.batch;
    if (b->n_targets)
        snprintf(drawn, sizeof drawn, ", %d pictures to draw", b->n_targets);
    bench_gpu_result(rows->speed, b->n_tokens / seconds, "tokens/s",
                     "step of %s: %d tokens, %d pictures, %d labels%s: %.1f ms (%.1f to %.1f); loss %.3f, then %.3f", step->cfg->name,
                     b->n_tokens, b->n_images, b->n_labels, drawn, 1e3 * seconds, 1e3 * least, 1e3 * most, first, step->loss);
    TRY(meter_memory(&used, &total));
    bench_gpu_result(rows->memory, 1e-9 * (double)used, "GB",
                     "in use on the device, of %.2f; the plan was %.2f without what the runtime takes, %.2f before the model was there",
                     1e-9 * (double)total, 1e-9 * (double)step->plan.total, 1e-9 * (double)x->used_before);
    return gaps(x, step, rows->gaps);
}

static Status steps(Bench *x, const RunConfig *cfg, const PassShape *shape, const StepRows *rows)
{
    BenchStep step;
    size_t total;
    TRY(meter_memory(&x->used_before, &total));
    Status s = bench_step_open(&step, &x->w.b, cfg, bench_gpu_compute(cfg), shape);
    if (s == OK)
        s = time_steps(x, &step, rows);
    bench_step_close(&step);
    return s;
}

static Status load(RunConfig *cfg, const char *path, const char *const *sets, int n_sets)
{
    TRY(config_load(cfg, path, sets, n_sets));
    cfg->plan_only = true; /* folders need not have weights */
    return OK;
}

/* Cuts words apart where they stand, at any of the characters; returns how many there are, or -1 for too many. */
static int cut(char *text, const char *at, const char *words[STEP_WORDS])
{
    char *rest;
    int n = 0;
    for (char *word = strtok_r(text, at, &rest); word; word = strtok_r(NULL, at, &rest)) {
        if (n == STEP_WORDS)
            return -1;
        words[n++] = word;
    }
    return n;
}

static Status step_from_text(Bench *x, const char *text)
{
    char copy[STEP_BYTES];
    const char *words[STEP_WORDS], *rows[STEP_WORDS] = {NULL};
    RunConfig cfg;
    PassShape shape;
    char *end = NULL;
    if (strlen(text) >= sizeof copy)
        return fail(ERR_USAGE, "--step: longer than %zu bytes", sizeof copy - 1);
    memcpy(copy, text, strlen(text) + 1);
    int n = cut(copy, " ", words), first = 2;
    if (n < 2)
        return fail(ERR_USAGE, "--step is \"%s\", expected ROW[,MEMORY[,GAPS]] RUN.json [tokens=N] [KEY=VALUE ...]", text);
    char *names = copy + (words[0] - copy);
    int n_rows = cut(names, ",", rows);
    int64_t tokens = 0;
    if (n > first && !strncmp(words[first], "tokens=", strlen("tokens="))) {
        tokens = strtoll(words[first] + strlen("tokens="), &end, 10);
        if (tokens < 1 || tokens > 1 << 24 || *end)
            return fail(ERR_USAGE, "--step: %s, expected tokens=1 … %d", words[first], 1 << 24);
        first++;
    }
    TRY(load(&cfg, words[1], words + first, n - first));
    const StepRows found = {n_rows > 0 ? rows[0] : "", n_rows > 1 ? rows[1] : "", n_rows > 2 ? rows[2] : ""};
    const bool cannot = cfg.model.llm.multiply == MULTIPLY_FP8 && !x->w.b.multiplies_fp8;
    Status s = bench_step_shape(&shape, &cfg, tokens ? tokens : cfg.train.micro_tokens, x->o->segment, x->o->labels);
    if (s == OK && cannot)
        printf("%s: not measured: this device has no tensor cores for 8-bit floats\n", found.speed);
    else if (s == OK)
        s = steps(x, &cfg, &shape, &found);
    config_free(&cfg);
    return s;
}

/* ---------------------------------------------------------------- a run */

static Status run_config(Bench *x, const RunConfig *cfg)
{
    static const StepRows ROWS = {"step", "", ""};
    const int only = x->o->only;
    PassShape shape;
    TRY(bench_step_shape(&shape, cfg, x->o->tokens ? x->o->tokens : cfg->train.micro_tokens, x->o->segment, x->o->labels));
    if (only != ONLY_STEP && only != ONLY_UNET && only != ONLY_DEVICE)
        TRY(bench_gpu_kernels(x, cfg, &shape));
    if (only == ONLY_UNET || (only == ONLY_ALL && cfg->model.diffusion.path))
        TRY(bench_gpu_unet(x, cfg));
    return only == ONLY_ALL || only == ONLY_STEP ? steps(x, cfg, &shape, &ROWS) : OK;
}

static Status run(Bench *x)
{
    const BenchOptions *o = x->o;
    RunConfig cfg;
    int driver, runtime;
    char day[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(day, sizeof day, "%Y-%m-%d", &utc);
    TRY(meter_open(&x->meter, &x->w.b, 2 * MAX_OPERATORS));
    TRY(meter_versions(&driver, &runtime));
    printf("device: %s; driver for CUDA %d.%d, runtime %d.%d; %s%s\n", x->w.b.description, driver / 1000, driver % 1000 / 10,
           runtime / 1000, runtime % 1000 / 10, day, o->tiny ? "; --tiny: no figure below means anything" : "");
    if (o->config) {
        TRY(load(&cfg, o->config, o->sets.items, o->sets.n));
        Status s = run_config(x, &cfg);
        config_free(&cfg);
        TRY(s);
    }
    for (int i = 0; i < o->steps.n; i++)
        TRY(step_from_text(x, o->steps.items[i]));
    return OK;
}

static Status work(const BenchOptions *o)
{
    Bench x = {.o = o, .sizes = o->tiny ? &BENCH_GPU_TINY : &BENCH_GPU_LARGE};
    if (!o->config && !o->steps.n)
        return fail(ERR_USAGE, "bench-gpu needs --config RUN.json or --step TEXT");
    TRY(cuda_open(&x.w.b, 0));
    x.w.b.time_choices(&x.w.b, BENCH_GPU_OFFERS);
    watch_start(&x.w, (Watcher){0});
    Status s = run(&x);
    meter_close(&x.meter);
    x.w.b.close(&x.w.b);
    return s;
}

int main(int argc, char **argv)
{
    BenchOptions o = {.segment = 1024, .labels = 200};
    bool done;
    cli_start();
    log_level(LOG_WARN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    Status s = parse(&o, argc, argv, &done);
    if (s == OK && !done)
        s = work(&o);
    return cli_finish(s);
}
