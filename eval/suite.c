/* suite.c: several benchmarks in one run (suite.h): asks what has no answers yet, scores, and puts one table beside published figures.
 * Called by evaluate. */
#include "eval/suite.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "eval/ask.h"
#include "eval/published.h"
#include "eval/ranks.h"
#include "eval/suite_line.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

typedef enum Format { TEXT, JSON, MARKDOWN } Format;
static const char *const FORMATS[] = {"text", "json", "markdown", NULL};

static struct {
    Opening model;
    const char *suite, *out;
    int format, device;
    DrawingArgs drawing;
    int64_t seed, ranks;
    bool allow_missing, quiet;
} args = {.model = {.program = "evaluate"}, .drawing = DRAWING_NOT_GIVEN, .seed = 42};

static const CliOption OPTIONS[] = {
    {"--suite", CLI_STRING, &args.suite, "FILE", "{\"benchmarks\": [{\"bench\": \"pope\", \"data\": \"DIR\"}, …]}", 0, 0, NULL, false},
    {"--out", CLI_STRING, &args.out, "DIR", "answers, DIR/BENCH.jsonl, and drawings, DIR/BENCH/: those that are there are scored, the "
                                        "others are asked for", 0, 0, NULL, false},
    {"--format", CLI_CHOICE, &args.format, "text|json|markdown", "how the table is written", 0, 0, FORMATS, false},
    {"--allow-missing", CLI_FLAG, &args.allow_missing, NULL, "more than 1 % of answers may be missing (they are wrong)", 0, 0, NULL, false},
    {"--device", CLI_CHOICE, &args.device, "auto|cpu|cuda", "where networks compute that score drawings", 0, 0, PICTURE_NET_DEVICES,
     false},
    {"--quiet", CLI_FLAG, &args.quiet, NULL, "only the table and errors", 0, 0, NULL, false},
    {.kind = CLI_HEADING, .help = "The model that is asked:"},
    OPENING_OPTIONS(args.model),
    RANKS_OPTION(args.ranks),
    {.kind = CLI_HEADING, .help = "How it draws:"},
    DRAWING_OPTIONS(args.drawing),
    {"--seed", CLI_INT, &args.seed, "N", "of all drawings (default 42)", 0, 9e18, NULL, false},
    {0}};

static const CliProgram PROGRAM = {.name = "evaluate",
                                   .summary = "Asks and scores several benchmarks, and puts their scores beside published ones.",
                                   .usage = "evaluate --suite FILE --out DIR [--config RUN.json|--checkpoint DIR] [--format markdown]",
                                   .options = OPTIONS};

typedef struct Run {
    Dist dist;
    Suite suite;
    SuiteLine *line;    /* [suite.n] */
    bool draws;         /* some drawings are to be made */
    DrawingModel model; /* answerer NULL: nothing was asked so far; painter NULL: nothing is drawn */
} Run;

/* ---------------------------------------------------------------- asking */

static bool has_model(void) { return args.model.config || args.model.checkpoint; }

static DrawingsOptions drawings_options(void)
{
    return (DrawingsOptions){.seed = (uint64_t)args.seed, .how = ask_drawings_how(&args.drawing)};
}

static Status open_model(Run *r)
{
    DrawingModel *m = &r->model;
    TRY(ranks_place(&r->dist, &args.model));
    const DrawOptions how = ask_drawings_how(&args.drawing);
    if (r->draws)
        return drawing_open(m, &args.model, &args.drawing, "--suite", &how);
    TRY(opening_answerer(&m->answerer, &args.model, &m->cfg, m->checkpoint));
    opening_name(m->name, sizeof m->name, &m->cfg, m->checkpoint);
    return OK;
}

/* Before anything is asked: whether it can be. */
static Status check(SuiteLine *l)
{
    const Bench *b = l->entry->bench;
    DrawingsOptions o = drawings_options();
    o.out = l->answers;
    if (b->drawings && has_model())
        TRY(ask_drawings_check(b, &l->entry->data, &o, &l->whole));
    else if ((l->whole = file_exists(l->answers)) == false)
        TRY(b->drawings ? OK : ask_check(b, &l->entry->data, l->answers));
    return OK;
}

/* No rank asks before all have looked. */
static Status check_all(Run *r)
{
    for (int i = 0; i < r->suite.n; i++)
        TRY_IN(check(&r->line[i]), "%s", r->line[i].name);
    for (int i = 0; i < r->suite.n; i++) {
        int32_t whole = r->line[i].whole;
        TRY(dist_agree(&r->dist, &whole, 1));
        r->line[i].whole = whole;
        r->draws |= r->line[i].entry->bench->drawings && !whole;
    }
    return OK;
}

static Status ask(Run *r, const SuiteLine *l)
{
    if (l->whole)
        return OK;
    if (!has_model())
        return fail(ERR_USAGE, "%s: %s is not there, and there is no model to ask: give --config RUN.json or --checkpoint DIR", l->name,
                    l->answers);
    if (!r->model.answerer)
        TRY(open_model(r));
    return l->entry->bench->drawings ? suite_line_draw(l, &r->model, drawings_options(), &r->dist)
                                     : suite_line_ask(l, r->model.answerer, r->model.name, &r->dist);
}

/* ---------------------------------------------------------------- the table */

static void put_number(FILE *out, double value, int width, int decimals)
{
    if (isnan(value))
        fprintf(out, "%*s", width, "-");
    else
        fprintf(out, "%*.*f", width, decimals, value);
}

/* Of drawings numbers are small. */
static void put_score(FILE *out, const SuiteLine *l, int width)
{
    put_number(out, suite_line_number(l), width, l->scores.decimals ? l->scores.decimals : 1);
}

/* A benchmark of pictures whose score needs what networks make of them. */
static bool lacks_networks(const SuiteLine *l) { return l->entry->bench->drawings && !l->scores.n_scores; }

static void put_note(FILE *out, const SuiteLine *l)
{
    if (l->judged_later)
        fprintf(out, "its judge has not replied; the requests are in %s", l->requests);
    else if (l->scores.n_no_picture)
        fprintf(out, "%" PRId64 " of its answers are empty, as their PICTURE IS MISSING", l->scores.n_no_picture);
    else if (lacks_networks(l))
        fputs("is scored by what networks make of its drawings: name their weights (\"model\", …) or \"features\"", out);
    else if (l->entry->bench->note)
        fputs(l->entry->bench->note, out);
}

static bool has_note(const SuiteLine *l) { return l->judged_later || l->scores.n_no_picture || lacks_networks(l) || l->entry->bench->note; }

static void put_notes(FILE *out, const Run *r, const char *before)
{
    int n = 0;
    for (int i = 0; i < r->suite.n; i++)
        if (has_note(&r->line[i])) {
            fprintf(out, "%s%d: %s: ", before, ++n, r->line[i].entry->bench->name);
            put_note(out, &r->line[i]);
            fputc('\n', out);
        }
}

static void put_text(FILE *out, const Run *r, const JsonDoc *published)
{
    enum { NAME = 12, NUMBER = 9 };
    int notes = 0;
    fprintf(out, "%-*s %-18s %*s %*s   %-16s", NAME, "benchmark", "split", NUMBER, "questions", NUMBER, "score", "95 %");
    for (int m = 0; published_model(published, m); m++)
        fprintf(out, "  %s", json_get(published_model(published, m), "name")->string);
    fputc('\n', out);
    for (int i = 0; i < r->suite.n; i++) {
        const SuiteLine *l = &r->line[i];
        char interval[48] = "", mark[16] = "";
        if (l->scores.n_scores && !isnan(l->scores.score[0].low))
            snprintf(interval, sizeof interval, "%.1f to %.1f", l->scores.score[0].low, l->scores.score[0].high);
        if (has_note(l))
            snprintf(mark, sizeof mark, "[%d]", ++notes);
        fprintf(out, "%-*s ", NAME, l->entry->bench->name);
        utf8_cell(out, l->entry->data.split, 18);
        fprintf(out, " %*lld ", NUMBER, (long long)l->scores.n);
        put_score(out, l, NUMBER);
        fprintf(out, "   %-16s", interval);
        for (int m = 0; published_model(published, m); m++) {
            const Json *model = published_model(published, m);
            fputs("  ", out);
            put_number(out, published_score(model, l->entry->bench->name), (int)strlen(json_get(model, "name")->string), 1);
        }
        fprintf(out, "  %s\n", mark);
    }
    put_notes(out, r, "");
}

static void put_markdown(FILE *out, const Run *r, const JsonDoc *published)
{
    int notes = 0;
    fputs("| benchmark | split | questions | score | 95 % |", out);
    for (int m = 0; published_model(published, m); m++)
        fprintf(out, " %s |", json_get(published_model(published, m), "name")->string);
    fputs("\n|---|---|---|---|---|", out);
    for (int m = 0; published_model(published, m); m++)
        fputs("---|", out);
    fputc('\n', out);
    for (int i = 0; i < r->suite.n; i++) {
        const SuiteLine *l = &r->line[i];
        fprintf(out, "| %s", l->entry->bench->name);
        if (has_note(l))
            fprintf(out, " [%d]", ++notes);
        fputs(" | ", out);
        utf8_cell(out, l->entry->data.split, 0);
        fprintf(out, " | %lld | ", (long long)l->scores.n);
        put_score(out, l, 0);
        if (l->scores.n_scores && !isnan(l->scores.score[0].low))
            fprintf(out, " | %.1f to %.1f |", l->scores.score[0].low, l->scores.score[0].high);
        else
            fputs(" | |", out);
        for (int m = 0; published_model(published, m); m++) {
            fputc(' ', out);
            put_number(out, published_score(published_model(published, m), l->entry->bench->name), 0, 1);
            fputs(" |", out);
        }
        fputc('\n', out);
    }
    fputc('\n', out);
    put_notes(out, r, "- ");
}

static Status put_json(FILE *out, const Run *r, const JsonDoc *published)
{
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "benchmarks");
    for (int i = 0; i < r->suite.n; i++) {
        const SuiteLine *l = &r->line[i];
        cJSON *line = NULL;
        Status s = suite_line_json(&line, l);
        json_add(list, NULL, line);
        if (s) {
            cJSON_Delete(o);
            return s;
        }
    }
    json_add_value(o, "published", json_get(json_root(published), "models"));
    return json_print(out, &o, JSON_LINE, "evaluate");
}

static Status tell(const Run *r)
{
    JsonDoc *published;
    TRY(published_read(&published));
    Status s = OK;
    if (args.format == JSON || log_is_json())
        s = put_json(stdout, r, published);
    else if (args.format == MARKDOWN)
        put_markdown(stdout, r, published);
    else
        put_text(stdout, r, published);
    json_free(&published);
    return s;
}

/* ---------------------------------------------------------------- the whole */

/* By one rank. */
static Status score(void *arg)
{
    Run *r = arg;
    for (int i = 0; i < r->suite.n; i++)
        TRY(suite_line_score(&r->line[i], (BenchFiles){r->suite.entry[i].replies, r->suite.entry[i].n_replies}, args.allow_missing));
    return tell(r);
}

static Status run(Run *r)
{
    TRY(suite_read(&r->suite, args.suite));
    TRY(file_make_folders(args.out));
    r->line = pool_push(&r->suite.pool, (size_t)r->suite.n * sizeof *r->line);
    TRY(pool_status(&r->suite.pool));
    for (int i = 0; i < r->suite.n; i++) {
        r->suite.entry[i].networks.device = args.device;
        suite_line_place(&r->line[i], &r->suite.entry[i], args.out);
    }
    TRY(check_all(r));
    for (int i = 0; i < r->suite.n; i++)
        TRY(ask(r, &r->line[i]));
    drawing_close(&r->model); /* networks may need its memory */
    r->model = (DrawingModel){.answerer = NULL};
    return dist_first(&r->dist, score, r, NULL, 0);
}

Status suite_run(int argc, char **argv)
{
    Run *r;
    bool done, is_rank;
    TRY(cli_parse(&PROGRAM, argc, argv, &done));
    if (done)
        return OK;
    log_level(args.quiet ? LOG_WARN : LOG_INFO);
    if (!args.suite || !args.out)
        return fail(ERR_USAGE, "evaluate --suite FILE needs --out DIR; evaluate --suite --help shows all options");
    if (args.model.config || args.model.checkpoint)
        TRY(opening_check(&args.model));
    if (!(r = mem_alloc(sizeof *r)))
        return fail(ERR_NOMEM, "no memory for a suite");
    Status s = ranks_open(&r->dist, args.ranks, &is_rank);
    if (!s && is_rank)
        s = run(r);
    for (int i = 0; i < r->suite.n && r->line; i++)
        scores_free(&r->line[i].scores);
    drawing_close(&r->model);
    suite_free(&r->suite);
    s = dist_close(&r->dist, s);
    mem_free(r);
    return s;
}
