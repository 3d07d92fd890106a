/* train: tunes a model as a config says. Everything happens in loop.c; here are the command line and the exit code. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/prepare/prepare.h"
#include "eval/run_suite.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "train/config/config.h"
#include "train/config/from_llava.h"
#include "train/dry_run.h"
#include "train/loop.h"
#include "train/config/options.h"
#include "train/dist/found.h"
#include "train/dist/launch.h"
#include "train/dist/pulse.h"
#include "train/dist/signals.h"
#include "train/log/samples.h"

typedef struct CommandLine {
    const char *config, *resume, *dump, *keys, *dry_run;
    CliList sets;
    CliRest llava;
    int64_t steps, ranks;
    bool change, print_schema, quiet;
} CommandLine;

static const char NOTES[] = "Exit codes: 0 done; 2 usage or configuration; 65 bad data; 66 input missing; 69 device unavailable; 70 "
                            "self-check failed; 71 out of memory; 73 cannot create output; 74 I/O error; 75 stopped by a signal, "
                            "checkpoint saved, run again.";

static Status parse(CommandLine *c, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        {.name = "--config", .kind = CLI_STRING, .value = &c->config, .argument = "FILE",
         .help = "settings of the run, JSON; - reads standard input"},
        {.name = "--set", .kind = CLI_STRINGS, .value = &c->sets, .argument = "KEY=VALUE",
         .help = "override a key, as in optim.lr=1e-4; repeatable"},
        {.name = "--resume", .kind = CLI_OPTIONAL, .value = &c->resume, .argument = "[CHECKPOINT]",
         .help = "go on from this checkpoint, else from the newest whole one"},
        {.name = "--change", .kind = CLI_FLAG, .value = &c->change,
         .help = "with --resume: go on with other settings or data than the checkpoint's"},
        {.name = "--steps", .kind = CLI_INT, .value = &c->steps, .argument = "N", .low = 1, .high = 1e15,
         .help = "stop when N steps of the schedule are finished, and save"},
        {.name = "--ranks", .kind = CLI_INT, .value = &c->ranks, .argument = "N", .low = 1, .high = 1024,
         .help = "start N ranks on this machine: a GPU each, or a part of the processors"},
        {.name = "--dry-run", .kind = CLI_OPTIONAL, .value = &c->dry_run, .argument = "[quick]",
         .help = "check everything, print sizes, memory and steps, train nothing; quick: without reading the data"},
        {.name = "--dump", .kind = CLI_STRING, .value = &c->dump, .argument = "DIR",
         .help = "write losses, logits, gradients and weights of every step"},
        {.name = "--keys", .kind = CLI_OPTIONAL, .value = &c->keys, .argument = "[SECTION]",
         .help = "explain the keys of the settings: all, or those of a section"},
        {.name = "--from-llava", .kind = CLI_REST, .value = &c->llava, .argument = "ARGS...",
         .help = "print the settings that a command line of LLaVA's train.py means, or a script (FILE.sh); of nothing, the table of flags"},
        {.name = "--print-schema", .kind = CLI_FLAG, .value = &c->print_schema, .help = "print the JSON Schema of the settings"},
        {.name = "--quiet", .kind = CLI_FLAG, .value = &c->quiet, .help = "only warnings and errors"},
        {0},
    };
    const CliProgram program = {.name = "train",
                                .summary = "Tunes a vision-language model as a JSON file says.",
                                .usage = "train --config FILE.json [--set KEY=VALUE ...] [--dry-run] [--steps N]\n"
                                         "       train --config FILE.json --resume [CHECKPOINT] [--change] [--set ...]\n"
                                         "       train --keys [SECTION] | --print-schema | --from-llava ARGS...",
                                .options = options,
                                .notes = NOTES,
                                .found = found_print,
                                .describe = options_describe};
    return cli_parse(&program, argc, argv, done);
}

static Status print_schema(void)
{
    char *text;
    TRY(config_schema(&text));
    fputs(text, stdout);
    mem_free(text);
    return OK;
}

static Status print_keys(const char *section)
{
    if (options_print(section))
        return OK;
    const char *near = option_suggest(section);
    return fail(ERR_USAGE, "--keys: there is no key or section \"%s\"%s%s%s", section, near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
}

static Status print_from_llava(const CliRest *words)
{
    char *text;
    if (!words->n) {
        from_llava_table(stdout);
        return OK;
    }
    TRY(from_llava(&text, words->words, words->n));
    fputs(text, stdout);
    mem_free(text);
    return OK;
}

/* *exit_code: of ranks that this process has started, and that have told of it. */
static Status work(const CommandLine *c, int *exit_code)
{
    RunConfig cfg;
    if (c->print_schema)
        return print_schema();
    if (c->keys)
        return print_keys(c->keys);
    if (c->llava.words)
        return print_from_llava(&c->llava);
    if (!c->config)
        return fail(ERR_USAGE, "train needs --config FILE.json; train --help shows the usage");
    if (c->change && !c->resume)
        return fail(ERR_USAGE, "--change goes with --resume: it takes settings and data that have changed since the checkpoint");
    if (c->dry_run && *c->dry_run && strcmp(c->dry_run, "quick"))
        return fail(ERR_USAGE, "--dry-run is \"%s\"; it takes quick, or nothing", c->dry_run);
    const SetupStart start = {.resume = c->resume, .change = c->change, .checkpoint = c->resume};
    TRY(config_load(&cfg, c->config, c->sets.items, c->sets.n));
    Status s = OK;
    bool trains = true;
    samples_ask(&cfg);
    if (c->ranks)
        s = launch_ranks((int)c->ranks, &trains, exit_code);
    if (s == OK && trains)
        s = c->dry_run ? dry_run(&cfg, &start, &RUN_SUITE, *c->dry_run, log_is_json(), stdout)
                       : train_run(&cfg, &(TrainFlags){.start = start, .suite = &RUN_SUITE, .steps = c->steps, .dump = c->dump});
    config_free(&cfg);
    return s;
}

/* Called from a signal handler. */
static void stop_now(void)
{
    static const char LINE[] = "\nstopped before a step was taken; nothing is lost, run the same again\n";
    ssize_t n = pulse_stop_now() ? write(STDERR_FILENO, LINE, sizeof LINE - 1) : 0;
    (void)n;
    prepare_abandon();
    _exit(status_exit_code(ERR_PREEMPTED));
}

int main(int argc, char **argv)
{
    CommandLine c = {0};
    bool done;
    int exit_code = 0;
    cli_start();
    Status s = parse(&c, argc, argv, &done);
    log_level(c.quiet ? LOG_WARN : LOG_INFO);
    if (s == OK && !done) {
        if (c.config)
            cli_settle_threads(argv);
        signals_install(stop_now);
        mem_reuse(MEM_RETURNED);
        s = work(&c, &exit_code);
    }
    return s == OK && exit_code ? exit_code : cli_finish(s);
}
