/* evaluate: benchmarks: asks their questions, scores answers, writes what their servers and judges take. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/ask_step.h"
#include "eval/drawings_steps.h"
#include "eval/bench/commands.h"
#include "eval/exact.h"
#include "eval/features/commands.h"
#include "eval/metrics/commands.h"
#include "eval/metrics/sets.h"
#include "eval/network_files.h"
#include "eval/ranks.h"
#include "eval/suite.h"
#include "kernels/base/cli.h"
#include "train/dist/pulse.h"
#include "train/dist/signals.h"

/* What the first word may be besides the name of a benchmark. */
typedef struct Command {
    const char *name, *usage, *about;
    Status (*run)(int argc, char **argv); /* argv[0]: the word itself */
    bool computes;                        /* with networks */
} Command;

static const Command COMMANDS[] = {
    {"exact", "evaluate exact --answers FILE.jsonl [--before FILE.jsonl]", "answers that are the expected ones, by kind of question",
     exact_run, false},
    {"pixels", "evaluate pixels --pairs FILE.jsonl [--lpips FILE.safetensors] [--format json]",
     "L1, L2, PSNR, SSIM and LPIPS of pictures against their goals", metrics_pixels, true},
    {"fid", "evaluate fid PICTURES PICTURES --inception FILE [--format json]", "the Fréchet inception distance of two sets of pictures",
     metrics_fid, true},
    {"kid", "evaluate kid PICTURES PICTURES --inception FILE [--format json]", "the kernel inception distance of two sets of pictures",
     metrics_kid, true},
    {"clip-score", "evaluate clip-score IMAGES TEXTS [--model DIR] [--format json]", "how well pictures fit their texts, by CLIP",
     metrics_clip_score, true},
    {"features", "evaluate features --model DIR --images DIR|--texts FILE.jsonl|--records FILE.jsonl --out FILE.h5",
     "what CLIP, DINO or Inception-v3 makes of pictures and texts", features_command, true},
};
enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };

/* The benchmarks, which all take the same steps. */
static void describe_benches(FILE *out)
{
    const char *names[64];
    int n = bench_names(names, 64);
    for (int i = 0; i < n; i++)
        fprintf(out, "%s%s", i ? " " : "command\t", names[i]);
    fputs("\ta benchmark: its questions, its score, what its server takes, its judge\n", out);
}

static Status help(int argc, char **argv)
{
    char usage[2048] = "evaluate BENCH ask|score|submit|judge --data DIR …\n"
                       "       evaluate --suite FILE --out DIR [--config RUN.json|--checkpoint DIR]\n       evaluate --list";
    bool done, list = false;
    CliOption options[N_COMMANDS + 4] = {
        {"--list", CLI_FLAG, &list, NULL, "the benchmarks, one a line, with their split, files, prompt and metric", 0, 0, NULL, false},
        {"--suite", CLI_COMMAND, NULL, "FILE", "several benchmarks, one after the other, and a table of their scores", 0, 0, NULL, false},
        {.kind = CLI_HEADING, .help = "commands (evaluate COMMAND --help lists their options):"}};
    for (int i = 0; i < N_COMMANDS; i++) {
        options[i + 3] = (CliOption){.name = COMMANDS[i].name, .kind = CLI_COMMAND, .help = COMMANDS[i].about};
        snprintf(usage + strlen(usage), sizeof usage - strlen(usage), "\n       %s", COMMANDS[i].usage);
    }
    const CliProgram program = {.name = "evaluate",
                                .summary = "Scores a model on public benchmarks as their authors score it, from their own files. evaluate "
                                           "BENCH STEP --help shows what a step takes.",
                                .usage = usage,
                                .options = options,
                                .describe = describe_benches};
    TRY(cli_parse(&program, argc, argv, &done));
    if (done)
        return OK;
    if (list)
        return bench_list(stdout);
    return fail(ERR_USAGE, "evaluate needs the name of a benchmark, or of a command; evaluate --list and evaluate --help show them");
}

static Status no_such(const char *word)
{
    const char *names[N_COMMANDS + 64];
    int n = 0;
    for (int i = 0; i < N_COMMANDS; i++)
        names[n++] = COMMANDS[i].name;
    n += bench_names(names + n, 64);
    const char *near = cli_nearest(word, names, n);
    return fail(ERR_USAGE, "evaluate: there is no benchmark and no command \"%s\"%s%s%s", word, near ? "; did you mean \"" : "",
                near ? near : "", near ? "\"?" : "; evaluate --list names them");
}

/* The steps of a benchmark that need a model or networks. */
static const BenchStep *const *steps_of(const char *bench)
{
    static const BenchStep *const ASKS[] = {&ASK_STEP, NULL}, *const DRAWS[] = {&ASK_DRAWINGS_STEP, &SCORE_DRAWINGS_STEP, NULL};
    return bench_draws(bench) ? DRAWS : ASKS;
}

/* Called from a signal handler. */
static void stop_now(void)
{
    pulse_stop_now();
    network_files_abandon();
    sets_remove();
    _exit(status_exit_code(ERR_PREEMPTED));
}

/* Before networks compute. */
static void settle(char **argv)
{
    cli_settle_threads(argv); /* may begin anew: nothing is said before */
    signals_install(stop_now);
}

static Status run(int argc, char **argv)
{
    if (argc > 1 && *argv[1] != '-') {
        for (int i = 0; i < N_COMMANDS; i++)
            if (!strcmp(argv[1], COMMANDS[i].name)) {
                if (COMMANDS[i].computes)
                    settle(argv);
                return COMMANDS[i].run(argc - 1, argv + 1);
            }
        if (argc > 2 && (!strcmp(argv[2], ASK_STEP.name) || bench_draws(argv[1])))
            settle(argv);
        return bench_is(argv[1]) ? bench_run(argc - 1, argv + 1, steps_of(argv[1])) : no_such(argv[1]);
    }
    for (int i = 1; i < argc; i++) /* as it was before there were benchmarks */
        if (!strncmp(argv[i], "--answers", 9) || !strncmp(argv[i], "--before", 8))
            return exact_run(argc, argv);
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], "--suite", 7)) {
            settle(argv);
            return suite_run(argc, argv);
        }
    return help(argc, argv);
}

int main(int argc, char **argv)
{
    cli_start();
    Status s = run(argc, argv);
    return s == OK && ranks_exit_code() ? ranks_exit_code() : cli_finish(s);
}
