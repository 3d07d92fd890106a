/* drawings_steps.c: the command lines of evaluate BENCH ask and score for benchmarks of pictures (drawings_steps.h). Called by evaluate. */
#include "eval/drawings_steps.h"

#include "eval/ask_drawings.h"
#include "eval/network_files.h"
#include "eval/ranks.h"
#include "kernels/base/log.h"

static struct {
    Opening model;
    DrawingArgs drawing;
    const char *data, *split, *out, *chunk, *request;
    NetworkFolders networks;
    CliList answers;
    int64_t limit, seed, ranks;
    int context, format;
    bool gill_compat, allow_missing, quiet;
} args = {.model = {.program = "evaluate"}, .drawing = DRAWING_NOT_GIVEN, .seed = 42};

static const char *const FORMATS[] = {"text", "json", NULL}, *const CONTEXTS[] = {"all", "captions", "none", NULL};

#define DATA {"--data", CLI_STRING, &args.data, "DIR", "the benchmark's official files (evaluate --list names them)", 0, 0, NULL, false}
#define SPLIT {"--split", CLI_STRING, &args.split, "NAME", "which part of the benchmark (default: the usual one)", 0, 0, NULL, false}
#define LIMIT(what) {"--limit", CLI_INT, &args.limit, "N", what, 1, 1e12, NULL, false}
#define GILL                                                                                                                               \
    {"--gill-compat", CLI_FLAG, &args.gill_compat, NULL,                                                                                   \
     "of vist: a drawing is named after the last picture of its story, as GILL's are, and stands for all stories that end with it", 0, 0,  \
     NULL, false}

static const CliOption ASK_OPTIONS[] = {
    OPENING_OPTIONS(args.model),
    DATA,
    SPLIT,
    {"--out", CLI_STRING, &args.out, "DIR", "the folder of the drawings; those that are there are kept, so the same command goes on", 0, 0,
     NULL, false},
    LIMIT("only the first N captions, stories or sessions of edits"),
    {"--chunk", CLI_STRING, &args.chunk, "K/N", "only the K-th of N pieces, K from 1; all may draw into one folder, at the same time", 0, 0,
     NULL, false},
    RANKS_OPTION(args.ranks),
    {.kind = CLI_HEADING, .help = "What is asked:"},
    {"--request", CLI_STRING, &args.request, "TEXT",
     "how a caption or instruction is asked for, {caption} in its place (default: the caption alone)", 0, 0, NULL, false},
    {"--context", CLI_CHOICE, &args.context, "all|captions|none",
     "of vist: what comes before the last caption: captions and pictures, captions, nothing (default: all)", 0, 0, CONTEXTS, false},
    GILL,
    {.kind = CLI_HEADING, .help = "How to draw:"},
    DRAWING_OPTIONS(args.drawing),
    {"--seed", CLI_INT, &args.seed, "N", "of all drawings (default 42); with its id it makes the seed of each", 0, 9e18, NULL, false},
    {"--quiet", CLI_FLAG, &args.quiet, NULL, "only errors", 0, 0, NULL, false},
    {0}};

static const CliOption SCORE_OPTIONS[] = {
    DATA,
    {"--answers", CLI_STRINGS, &args.answers, "DIR", "the folder of the drawings", 0, 0, NULL, true},
    SPLIT,
    LIMIT("only the first N captions, stories or sessions of edits were asked for"),
    GILL,
    NETWORK_OPTIONS(args.networks),
    {"--allow-missing", CLI_FLAG, &args.allow_missing, NULL, "more than 1 % of drawings may be missing (the others are scored)", 0, 0, NULL,
     false},
    {"--format", CLI_CHOICE, &args.format, "text|json", "a table, or one JSON object", 0, 0, FORMATS, false},
    {0}};

/* ---------------------------------------------------------------- what both share */

static Status need(const char *value, const char *flag, const char *step)
{
    return value ? OK : fail(ERR_USAGE, "evaluate … %s needs %s; evaluate BENCH %s --help shows all options", step, flag, step);
}

static Status read_data(BenchData *d, const Bench *b)
{
    TRY(bench_data(d, b, args.data, args.split));
    d->limit = args.limit;
    d->context = (BenchContext)args.context;
    d->gill_compat = args.gill_compat;
    if (args.context && !b->has_context)
        return fail(ERR_USAGE, "evaluate %s: --context is for vist; what is asked for here has none", b->name);
    if (args.gill_compat && !b->has_context)
        return fail(ERR_USAGE, "evaluate %s: --gill-compat is for vist", b->name);
    return OK;
}

/* ---------------------------------------------------------------- ask */

static Status draw_with(const Bench *b, const BenchData *d, DrawingsOptions *o)
{
    DrawingModel m = {.answerer = NULL};
    Status s = drawing_open(&m, &args.model, &args.drawing, b->name, &o->how);
    o->model = m.name;
    if (!s)
        s = bench_draw(b, d, m.painter, &m.cfg, o);
    drawing_close(&m);
    return s;
}

static Status ask_ranked(const Bench *b, const BenchData *d, DrawingsOptions *o)
{
    bool whole;
    TRY(ask_drawings_check(b, d, o, &whole));
    int32_t all_whole = whole; /* no rank draws before all have looked */
    TRY(dist_agree(o->dist, &all_whole, 1));
    TRY(ranks_place(o->dist, &args.model));
    if (!all_whole)
        return draw_with(b, d, o);
    log_info("%s: is whole and is left alone; remove it to draw anew", args.out);
    return OK;
}

static Status ask(const Bench *b)
{
    Dist dist;
    DrawingsOptions o = {
        .out = args.out, .request = args.request, .seed = (uint64_t)args.seed, .how = ask_drawings_how(&args.drawing), .dist = &dist};
    BenchData d;
    bool is_rank;
    log_level(args.quiet ? LOG_WARN : LOG_INFO);
    TRY(opening_check(&args.model));
    TRY(need(args.data, "--data DIR", "ask"));
    TRY(need(args.out, "--out DIR", "ask"));
    TRY(bench_check_out(args.out, true));
    TRY(read_data(&d, b));
    TRY(bench_chunk(&o.chunk, &o.n_chunks, args.chunk));
    Status s = ranks_open(&dist, args.ranks, &is_rank);
    if (!is_rank)
        return s;
    if (!s)
        s = ask_ranked(b, &d, &o);
    return dist_close(&dist, s);
}

/* ---------------------------------------------------------------- score */

static Status score_with(const Bench *b, const BenchData *d, Networks *n)
{
    Scores scores;
    Status s = bench_score_drawings(&scores, b, d, args.answers.items[0], n, args.allow_missing);
    if (!s && !scores.n_scores)
        s = fail(ERR_USAGE, "evaluate %s: is scored by what networks make of its drawings: give their weights, or --features DIR "
                            "(evaluate %s score --help)", b->name, b->name);
    if (!s)
        s = bench_tell(b, d, &scores, 0, args.format != 0);
    scores_free(&scores);
    return s;
}

static Status score(const Bench *b)
{
    BenchData d;
    Networks *n;
    TRY(need(args.data, "--data DIR", "score"));
    TRY(need(args.answers.n ? "" : NULL, "--answers DIR", "score"));
    if (args.answers.n != 1)
        return fail(ERR_USAGE, "evaluate %s: --answers is the folder of its pictures, one, not %d", b->name, args.answers.n);
    TRY(read_data(&d, b));
    Status s = network_files_open(&n, &args.networks, b, &d, args.answers.items[0]);
    if (!s)
        s = score_with(b, &d, n);
    networks_close(&n);
    return s;
}

const BenchStep ASK_DRAWINGS_STEP = {"ask", "evaluate BENCH ask --data DIR --config RUN.json|--checkpoint DIR --out DIR",
                                     "Has a model draw the pictures that the benchmark asks for, a file each.", ASK_OPTIONS, ask},
                SCORE_DRAWINGS_STEP = {"score", "evaluate BENCH score --data DIR --answers DIR [--model DIR] [--inception DIR]",
                                       "Scores drawings as the benchmark's authors do.", SCORE_OPTIONS, score};
