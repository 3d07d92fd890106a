/* ask_step.c: the command line of evaluate BENCH ask: opens a model and asks it (ask.h). Called by evaluate. */
#include "eval/ask_step.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/ask.h"
#include "eval/opening.h"
#include "eval/ranks.h"
#include "kernels/base/log.h"

static struct {
    Opening model;
    const char *data, *split, *out, *chunk;
    int64_t limit, at_once, ranks;
    bool quiet;
} args = {.model = {.program = "evaluate"}, .at_once = ASK_AT_ONCE};

static const CliOption OPTIONS[] = {
    OPENING_OPTIONS(args.model),
    {"--data", CLI_STRING, &args.data, "DIR", "the benchmark's official files (evaluate --list names them)", 0, 0, NULL, false},
    {"--split", CLI_STRING, &args.split, "NAME", "which part of the benchmark (default: the usual one)", 0, 0, NULL, false},
    {"--out", CLI_STRING, &args.out, "ANSWERS.jsonl", "the answers; FILE.partial until it is whole, from where the same command goes on", 0,
     0, NULL, false},
    {"--limit", CLI_INT, &args.limit, "N", "only the first N questions", 1, 1e12, NULL, false},
    {"--chunk", CLI_STRING, &args.chunk, "K/N", "only the K-th of N pieces, K from 1; their files one behind the other are the whole", 0, 0,
     NULL, false},
    {"--at-once", CLI_INT, &args.at_once, "N", "questions that are answered together (default 8; fewer where memory is short); the answers "
                                               "are the same", 1, ASK_AT_ONCE, NULL, false},
    RANKS_OPTION(args.ranks),
    {"--quiet", CLI_FLAG, &args.quiet, NULL, "only errors", 0, 0, NULL, false},
    {0}};

static Status ask_with(const Bench *b, const BenchData *d, AskOptions *o, RunConfig *cfg)
{
    char name[PATH_MAX], checkpoint[PATH_MAX];
    Answerer *a;
    AskCounts counts;
    Status s = opening_answerer(&a, &args.model, cfg, checkpoint);
    if (!s) {
        opening_name(name, sizeof name, cfg, checkpoint);
        o->model = name;
        s = bench_ask(b, d, a, o, &counts);
    }
    answerer_close(&a);
    return s;
}

static Status ask_ranked(const Bench *b, const BenchData *d, AskOptions *o)
{
    RunConfig cfg = {0};
    int32_t whole = file_exists(args.out);
    TRY(dist_agree(o->dist, &whole, 1));
    if (whole) {
        log_info("%s: is whole and is left alone; remove it to ask anew", args.out);
        return OK;
    }
    TRY(ask_check(b, d, args.out));
    TRY(ranks_place(o->dist, &args.model));
    Status s = ask_with(b, d, o, &cfg);
    config_free(&cfg);
    return s;
}

static Status ask(const Bench *b)
{
    Dist dist;
    AskOptions o = {.out = args.out, .at_once = (int)args.at_once, .dist = &dist};
    BenchData d;
    bool is_rank;
    log_level(args.quiet ? LOG_WARN : LOG_INFO);
    TRY(opening_check(&args.model));
    if (!args.data || !args.out)
        return fail(ERR_USAGE, "evaluate … ask needs %s; evaluate BENCH ask --help shows all options",
                    args.data ? "--out ANSWERS.jsonl" : "--data DIR");
    if (!strcmp(args.out, "-"))
        return fail(ERR_USAGE, "evaluate … ask --out: the answers grow in FILE.partial, so it cannot be standard output");
    TRY(bench_check_out(args.out, false));
    TRY(bench_data(&d, b, args.data, args.split));
    d.limit = args.limit;
    TRY(bench_chunk(&o.chunk, &o.n_chunks, args.chunk));
    Status s = ranks_open(&dist, args.ranks, &is_rank);
    if (!is_rank)
        return s;
    if (!s)
        s = ask_ranked(b, &d, &o);
    return dist_close(&dist, s);
}

const BenchStep ASK_STEP = {"ask", "evaluate BENCH ask --data DIR --config RUN.json|--checkpoint DIR --out ANSWERS.jsonl",
                            "Asks a model the benchmark's questions.", OPTIONS, ask};
