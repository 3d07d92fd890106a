/* suite_line.c: see suite_line.h. */
#include "eval/suite_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "eval/ask.h"

void suite_line_place(SuiteLine *l, const SuiteEntry *e, const char *folder)
{
    char file[2 * NAME_MAX], limit[32] = "";
    const bool usual = !strcmp(e->data.split, e->bench->split);
    l->entry = e;
    snprintf(l->name, sizeof l->name, "%s%s%s", e->bench->name, usual ? "" : "-", usual ? "" : e->data.split);
    if (e->data.limit)
        snprintf(limit, sizeof limit, "-first-%" PRId64, e->data.limit);
    snprintf(file, sizeof file, "%s%s%s", l->name, limit, e->bench->drawings ? "" : ".jsonl");
    file_join(l->answers, folder, file);
    snprintf(file, sizeof file, "%s%s.requests.jsonl", l->name, limit);
    file_join(l->requests, folder, file);
}

Status suite_line_ask(const SuiteLine *l, Answerer *a, const char *model, Dist *dist)
{
    AskCounts counts;
    const AskOptions o = {.out = l->answers, .model = model, .dist = dist};
    return fail_context(bench_ask(l->entry->bench, &l->entry->data, a, &o, &counts), "%s", l->name);
}

Status suite_line_draw(const SuiteLine *l, const DrawingModel *m, DrawingsOptions o, Dist *dist)
{
    o.out = l->answers;
    o.model = m->name;
    o.dist = dist;
    return fail_context(bench_draw(l->entry->bench, &l->entry->data, m->painter, &m->cfg, &o), "%s", l->name);
}

static Status score_drawings(SuiteLine *l, bool allow_missing)
{
    const SuiteEntry *e = l->entry;
    Networks *n;
    Status s = network_files_open(&n, &e->networks, e->bench, &e->data, l->answers);
    if (!s)
        s = bench_score_drawings(&l->scores, e->bench, &e->data, l->answers, n, allow_missing);
    networks_close(&n);
    return s;
}

static Status score(SuiteLine *l, BenchFiles replies, bool allow_missing)
{
    const SuiteEntry *e = l->entry;
    const char *name = l->answers;
    const BenchFiles answers = {&name, 1};
    if (e->bench->drawings)
        return score_drawings(l, allow_missing);
    l->judged_later = e->bench->judge && !e->bench->score_replies && !replies.n;
    if (l->judged_later)
        return bench_requests(e->bench, &e->data, answers, l->requests, NULL, allow_missing);
    return bench_score(&l->scores, &l->n_duplicate, e->bench, &e->data, answers, replies, allow_missing);
}

Status suite_line_score(SuiteLine *l, BenchFiles replies, bool allow_missing)
{
    return fail_context(score(l, replies, allow_missing), "%s", l->name);
}

Status suite_line_json(cJSON **out, const SuiteLine *l)
{
    TRY(scores_json(out, &l->scores, l->entry->bench->name, l->entry->data.split, l->n_duplicate));
    json_add_text(*out, "requests", l->judged_later ? l->requests : NULL);
    json_add_text(*out, "note", l->entry->bench->note);
    return OK;
}

double suite_line_number(const SuiteLine *l) { return l->scores.n_scores ? l->scores.score[0].value : NAN; }
