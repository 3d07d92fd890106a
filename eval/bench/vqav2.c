/* vqav2.c: VQAv2: one word or phrase, beside those of ten annotators. Official: data files and vqaEval.py of VQA, LLaVA's
 * convert_vqav2_for_submission.py. The files are hundreds of MB, so they are read a question at a time. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/normalise.h"
#include "eval/bench/prompts.h"
#include "eval/bench/soft.h"

static const char WHOLE_TEST[] = "test2015";

static bool is_test(const BenchData *d) { return !strncmp(d->split, "test", 4); }

static char *questions_path(char *path, const BenchData *d, const char *split)
{
    return official_path(path, d, "v2_OpenEnded_mscoco_%s_questions.json", split);
}

/* ---------------------------------------------------------------- questions */

typedef struct Asking {
    char path[PATH_MAX];
    const char *pictures; /* their folder: test-dev is a part of test */
    BenchVisit visit;
    void *arg;
    Pool pool;
} Asking;

static Status ask_row(void *arg, const Json *row)
{
    Asking *k = arg;
    Span text;
    int64_t id, image;
    TRY(official_int(&id, row, "question_id", k->path));
    TRY(official_int(&image, row, "image_id", k->path));
    TRY(official_text(&text, row, "question", k->path));
    pool_reset(&k->pool);
    BenchQuestion q = {.id = span_print(&k->pool, "%" PRId64, id),
                       .number = true,
                       .prompt = span_print(&k->pool, "%.*s%s", (int)text.n, text.s, SHORT_ANSWER),
                       .image = span_print(&k->pool, "%s/COCO_%s_%012" PRId64 ".jpg", k->pictures, k->pictures, image).s};
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &q);
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Asking k = {.pictures = is_test(d) ? WHOLE_TEST : d->split, .visit = visit, .arg = arg};
    if (!file_exists(questions_path(k.path, d, d->split)) && is_test(d))
        questions_path(k.path, d, WHOLE_TEST); /* of which the others are parts */
    Status s = official_rows(k.path, "questions", ask_row, &k);
    pool_free(&k.pool);
    return s;
}

/* ---------------------------------------------------------------- score */

typedef struct Scoring {
    char path[PATH_MAX];
    Answers *a;
    Scores *s;
    SoftSums sums;
    Pool pool;
} Scoring;

/* The official script compares as they are what all annotators agree on. */
static double accuracy_of(Pool *p, Spans truths, Span answer)
{
    bool differ = false;
    for (int i = 0; i < truths.n; i++)
        truths.item[i] = answer_trim(p, truths.item[i]);
    for (int i = 1; i < truths.n; i++)
        differ |= !span_equal(truths.item[i], truths.item[0]);
    answer = answer_trim(p, answer);
    if (differ) {
        answer = answer_words(p, answer);
        for (int i = 0; i < truths.n; i++)
            truths.item[i] = answer_words(p, truths.item[i]);
    }
    return soft_accuracy(truths, answer);
}

static Status score_row(void *arg, const Json *row)
{
    Scoring *k = arg;
    int64_t id;
    Spans truths;
    Span text = SPAN("");
    pool_reset(&k->pool);
    TRY(official_int(&id, row, "question_id", k->path));
    TRY(soft_truths(&k->pool, &truths, row, k->path));
    bool found = answers_find(k->a, span_print(&k->pool, "%" PRId64, id), &text);
    if (answers_not_asked(k->a, found))
        return pool_status(&k->pool);
    double value = found ? accuracy_of(&k->pool, truths, text) : 0;
    TRY(pool_status(&k->pool));
    return soft_count(&k->sums, k->s, row, found, value);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Scoring k = {.a = a, .s = s};
    if (is_test(d))
        return fail(ERR_DATA, "vqav2: the labels of %s are not public; evaluate vqav2 submit writes what their server takes", d->split);
    Status status = official_rows(official_path(k.path, d, "v2_mscoco_%s_annotations.json", d->split), "annotations", score_row, &k);
    soft_end(&k.sums, s);
    pool_free(&k.pool);
    return status;
}

/* ---------------------------------------------------------------- submission */

typedef struct Submitting {
    char path[PATH_MAX];
    Answers *a;
    FILE *out;
    bool any;
    Pool pool;
} Submitting;

static Status submit_row(void *arg, const Json *row)
{
    Submitting *k = arg;
    int64_t id;
    Span text = SPAN("");
    pool_reset(&k->pool);
    TRY(official_int(&id, row, "question_id", k->path));
    if (answers_find(k->a, span_print(&k->pool, "%" PRId64, id), &text))
        text = answer_m4c(&k->pool, text);
    fprintf(k->out, "%s{\"question_id\": %" PRId64 ", \"answer\": ", k->any ? ", " : "", id);
    json_put_text(k->out, text.s, text.n);
    fputc('}', k->out);
    k->any = true;
    return pool_status(&k->pool);
}

/* All questions of the file, those without an answer too; the server takes test-dev as a part of the whole test. */
static Status submit(const BenchData *d, Answers *a, const char *path)
{
    Submitting k = {.a = a};
    FileDraft draft;
    TRY(file_draft(&draft, path));
    k.out = draft.out;
    fputc('[', k.out);
    Status s = official_rows(questions_path(k.path, d, is_test(d) ? WHOLE_TEST : d->split), "questions", submit_row, &k);
    fputs("]\n", k.out);
    pool_free(&k.pool);
    return file_publish(&draft, s ? s : answers_all_known(a));
}

const Bench BENCH_VQAV2 = {.name = "vqav2",
                           .split = "val2014",
                           .files = "v2_OpenEnded_mscoco_SPLIT_questions.json, v2_mscoco_SPLIT_annotations.json",
                           .pictures = "SPLIT/COCO_SPLIT_IMAGEID.jpg",
                           .suffix = SHORT_ANSWER,
                           .note = "scored on val2014 with its labels; published figures are those of the server on test-dev",
                           .metric = "soft accuracy",
                           .max_new_tokens = 128,
                           .questions = questions,
                           .score = score,
                           .submit = submit};
