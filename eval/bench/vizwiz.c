/* vizwiz.c: VizWiz-VQA: one word or phrase, or "unanswerable", beside those of ten annotators. Questions are known by their picture.
 * Official: the data files, LLaVA's convert_vizwiz_for_submission.py; the score is that of lmms-eval. The server's own evaluator reads
 * the annotators' answers as they are, so that one with an article or a point fits no reply: its figure may be a little lower. */
#include <limits.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/normalise.h"
#include "eval/bench/prompts.h"
#include "eval/bench/soft.h"

#define SUFFIX "\nWhen the provided information is insufficient, respond with 'Unanswerable'." SHORT_ANSWER

/* What a pass over the questions works on; a step uses its part. */
typedef struct Pass {
    char path[PATH_MAX];
    const char *split;
    BenchVisit visit;
    void *arg;
    Answers *a;
    Scores *s;
    SoftSums sums;
    FILE *out;
    bool any;
    Pool pool;
} Pass;

static Status over_questions(Pass *k, const BenchData *d, RowVisit visit)
{
    k->split = d->split;
    Status s = official_rows(official_path(k->path, d, "%s.json", d->split), NULL, visit, k);
    pool_free(&k->pool);
    return s;
}

static Status ask_row(void *arg, const Json *row)
{
    Pass *k = arg;
    Span text, image;
    pool_reset(&k->pool);
    TRY(official_text(&image, row, "image", k->path));
    TRY(official_text(&text, row, "question", k->path));
    BenchQuestion q = {.id = image,
                       .prompt = span_print(&k->pool, "%.*s%s", (int)text.n, text.s, SUFFIX),
                       .image = span_print(&k->pool, "%s/%.*s", k->split, (int)image.n, image.s).s};
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &q);
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    return over_questions(&(Pass){.visit = visit, .arg = arg}, d, ask_row);
}

static Status score_row(void *arg, const Json *row)
{
    Pass *k = arg;
    Span image, text = SPAN("");
    Spans truths;
    pool_reset(&k->pool);
    TRY(official_text(&image, row, "image", k->path));
    TRY(soft_truths(&k->pool, &truths, row, k->path));
    for (int i = 0; i < truths.n; i++)
        truths.item[i] = answer_m4c(&k->pool, truths.item[i]);
    bool found = answers_find(k->a, image, &text);
    if (answers_not_asked(k->a, found))
        return pool_status(&k->pool);
    double value = found ? soft_accuracy(truths, answer_m4c(&k->pool, text)) : 0;
    TRY(pool_status(&k->pool));
    return soft_count(&k->sums, k->s, row, found, value);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Pass k = {.a = a, .s = s};
    Status status = over_questions(&k, d, score_row);
    soft_end(&k.sums, s);
    return status;
}

static Status submit_row(void *arg, const Json *row)
{
    Pass *k = arg;
    Span image, text;
    pool_reset(&k->pool);
    TRY(official_text(&image, row, "image", k->path));
    if (!answers_find(k->a, image, &text))
        return fail(ERR_DATA, "vizwiz: the question of %.*s has no answer, and the server takes no submission that lacks one", (int)image.n,
                    image.s);
    text = answer_m4c(&k->pool, text);
    fputs(k->any ? ", {\"image\": " : "{\"image\": ", k->out);
    json_put_text(k->out, image.s, image.n);
    fputs(", \"answer\": ", k->out);
    json_put_text(k->out, text.s, text.n);
    fputc('}', k->out);
    k->any = true;
    return pool_status(&k->pool);
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    Pass k = {.a = a};
    FileDraft draft;
    TRY(file_draft(&draft, path));
    k.out = draft.out;
    fputc('[', k.out);
    Status s = over_questions(&k, d, submit_row);
    fputs("]\n", k.out);
    return file_publish(&draft, s ? s : answers_all_known(a));
}

const Bench BENCH_VIZWIZ = {.name = "vizwiz",
                            .split = "val",
                            .files = "SPLIT.json",
                            .pictures = "SPLIT/IMAGE",
                            .suffix = SUFFIX,
                            .note = "scored on val with its labels; published figures are those of the server on test",
                            .metric = "soft accuracy",
                            .max_new_tokens = 128,
                            .questions = questions,
                            .score = score,
                            .submits_all = true,
                            .submit = submit};
