/* run_suite.c: see run_suite.h. */
#include "eval/run_suite.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "eval/ask.h"
#include "eval/suite_line.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

typedef struct RunningSuite {
    Suite suite;
    const RunConfig *cfg;
    const Preprocessor *preprocessor;
    SuiteLine line[SUITE_MOST]; /* of the step that is asked last */
    SuiteScore score[SUITE_MOST];
} RunningSuite;

static void close_suite(void **suite)
{
    RunningSuite *r = *suite;
    for (int i = 0; r && i < r->suite.n; i++)
        scores_free(&r->line[i].scores);
    if (r)
        suite_free(&r->suite);
    mem_free(r);
    *suite = NULL;
}

static Status open_suite(void **suite, const RunConfig *cfg, const Preprocessor *preprocessor)
{
    RunningSuite *r = *suite = mem_alloc(sizeof *r);
    if (!r)
        return fail(ERR_NOMEM, "no memory for eval.suite");
    r->cfg = cfg;
    r->preprocessor = preprocessor;
    Status s = fail_context(suite_read(&r->suite, cfg->eval.suite), "eval.suite");
    if (s)
        close_suite(suite);
    return s;
}

/* ---------------------------------------------------------------- before the first step */

typedef struct Pictures {
    const BenchData *data;
    int64_t seen, n, missing; /* questions; of them with a picture; … which is not there */
    char first[PATH_MAX];     /* that is missing */
} Pictures;

static Status look_for_picture(void *arg, const BenchQuestion *q)
{
    Pictures *p = arg;
    char path[PATH_MAX];
    const int64_t limit = p->data->limit;
    if ((limit && p->seen++ >= limit) || (!q->image && !q->bytes))
        return OK;
    p->n++;
    if (q->bytes || file_exists(official_path(path, p->data, "%s", q->image)))
        return OK;
    if (!p->missing++)
        memcpy(p->first, path, sizeof path);
    return OK;
}

/* A picture that is missing makes its answer empty; if all are, the folder is meant to be another. */
static Status check_bench(const RunningSuite *r, const SuiteEntry *e)
{
    Pictures p = {.data = &e->data};
    if (!e->bench->questions)
        return fail(ERR_USAGE, "asks no questions, so a run cannot be judged by it");
    TRY(e->bench->questions(&e->data, look_for_picture, &p));
    if (p.n && !r->cfg->model.vision.path)
        return fail(ERR_USAGE, "asks about pictures, and this model has no vision tower (model.vision.path is null)");
    if (p.n && p.missing == p.n)
        return fail(ERR_MISSING, "none of its pictures is there; the first is %s", p.first);
    if (p.missing)
        log_warn("eval.suite: %s: %" PRId64 " of %" PRId64 " questions will have an empty answer, as their picture is missing: %s%s",
                 e->bench->name, p.missing, p.n, p.first, p.missing > 1 ? " and others" : "");
    if (e->bench->judge && !e->bench->score_replies)
        log_info("eval.suite: %s is scored by a judge: each validation writes its requests, and has no score of it", e->bench->name);
    return OK;
}

static Status check(void *suite, int i, bool *end)
{
    const RunningSuite *r = suite;
    *end = i == r->suite.n;
    if (*end)
        return OK;
    return fail_context(check_bench(r, &r->suite.entry[i]), "eval.suite: %s", r->suite.entry[i].bench->name);
}

static Status memory(void *suite, GenLlava *g, Backend *null, int64_t *n_bytes, int64_t *host)
{
    const RunningSuite *r = suite;
    Answerer *a;
    *n_bytes = *host = 0;
    Status s = answerer_borrow(&a, r->cfg, g, null, r->preprocessor);
    for (int i = 0; i < r->suite.n && !s; i++) {
        int64_t own, own_host;
        s = fail_context(bench_ask_bytes(r->suite.entry[i].bench, &r->suite.entry[i].data, a, &own, &own_host), "eval.suite: %s",
                         r->suite.entry[i].bench->name);
        if (s)
            break;
        *n_bytes = own > *n_bytes ? own : *n_bytes;
        *host = own_host > *host ? own_host : *host;
    }
    answerer_close(&a);
    return s;
}

/* ---------------------------------------------------------------- after a step */

static Status write_scores(const RunningSuite *r, const char *folder)
{
    char path[PATH_MAX];
    FileDraft draft;
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "benchmarks");
    Status s = OK;
    for (int i = 0; i < r->suite.n && !s; i++) {
        cJSON *line = NULL;
        s = suite_line_json(&line, &r->line[i]);
        json_add(list, NULL, line);
    }
    if (!s)
        s = file_draft(&draft, file_join(path, folder, "scores.json"));
    if (!s)
        s = file_publish(&draft, json_print(draft.out, &o, JSON_LINE, path));
    cJSON_Delete(o);
    return s;
}

static Status ask(void *suite, Answerer *a, const char *folder, const char *model, const SuiteScore **scores, int *n)
{
    RunningSuite *r = suite;
    *n = 0;
    for (int i = 0; i < r->suite.n; i++) {
        scores_free(&r->line[i].scores);
        suite_line_place(&r->line[i], &r->suite.entry[i], folder);
        TRY(suite_line_ask(&r->line[i], a, model, NULL));
        TRY(suite_line_score(&r->line[i], (BenchFiles){NULL, 0}, false));
        if (!isnan(suite_line_number(&r->line[i])))
            r->score[(*n)++] = (SuiteScore){r->line[i].name, suite_line_number(&r->line[i])};
    }
    *scores = r->score;
    return write_scores(r, folder);
}

const SuiteKind RUN_SUITE = {.open = open_suite, .check = check, .memory = memory, .ask = ask, .close = close_suite};
