/* gqa.c: GQA: one word or phrase, equal to the answer or not. Only balanced questions are asked and scored; answers to others pass into the
 * submission. Official: data files and eval.py of GQA, LLaVA's convert_gqa_for_eval.py. */
#include <limits.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/prompts.h"

static bool is_balanced(const Json *q)
{
    const Json *balanced = json_get(q, "isBalanced");
    return balanced && balanced->kind == JSON_BOOL && balanced->boolean;
}

static char *questions_path(char path[PATH_MAX], const BenchData *d) { return official_path(path, d, "%s_questions.json", d->split); }

typedef struct Asking {
    char path[PATH_MAX];
    Pool pool;
    BenchVisit visit;
    void *arg;
} Asking;

static Status ask_question(void *arg, const char *id, const Json *q)
{
    Asking *k = arg;
    char image[PATH_MAX];
    Span text, picture;
    if (!is_balanced(q))
        return OK;
    TRY(official_text(&text, q, "question", k->path));
    TRY(official_text(&picture, q, "imageId", k->path));
    snprintf(image, sizeof image, "images/%.*s.jpg", (int)picture.n, picture.s);
    pool_reset(&k->pool);
    const Span prompt = span_print(&k->pool, "%.*s%s", (int)text.n, text.s, SHORT_ANSWER);
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &(BenchQuestion){.id = span_of(id), .prompt = prompt, .image = image});
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Asking k = {.visit = visit, .arg = arg};
    Status s = official_members(questions_path(k.path, d), ask_question, &k);
    pool_free(&k.pool);
    return s;
}

/* As the submission has it: lower case, no full stops at the end. */
static Span prediction_of(Pool *pool, Span text) { return py_lower(pool, py_rstrip_set(text, ".")); }

typedef struct Sums {
    int64_t right, n, right_binary, n_binary;
    Groups structural, semantic;
} Sums;

static Status count(const Json *q, const char *path, bool right, Scores *s, Sums *sums)
{
    const Json *types;
    Span structural, semantic;
    TRY(official_get(&types, q, "types", JSON_OBJECT, path));
    TRY(official_text(&structural, types, "structural", path));
    TRY(official_text(&semantic, types, "semantic", path));
    bool binary = !span_is(structural, "query");
    Group *of[2] = {groups_at(s, &sums->structural, structural), groups_at(s, &sums->semantic, semantic)};
    for (int i = 0; i < 2 && of[i]; i++) {
        of[i]->n++;
        of[i]->right += right;
    }
    sums->n++;
    sums->right += right;
    sums->n_binary += binary;
    sums->right_binary += binary && right;
    return scores_status(s);
}

typedef struct Scoring {
    char path[PATH_MAX];
    Answers *answers;
    Scores *scores;
    Sums sums;
} Scoring;

static Status score_question(void *arg, const char *id, const Json *q)
{
    Scoring *k = arg;
    Pool pool = {0};
    Span text = SPAN(""), answer;
    bool found = answers_find(k->answers, span_of(id), &text);
    if (!is_balanced(q) || answers_not_asked(k->answers, found))
        return OK;
    TRY(official_text(&answer, q, "answer", k->path));
    k->scores->n_missing += !found;
    bool right = found && span_equal(prediction_of(&pool, text), answer);
    Status status = pool_status(&pool);
    pool_free(&pool);
    return status ? status : count(q, k->path, right, k->scores, &k->sums);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Scoring k = {.answers = a, .scores = s};
    Sums *sums = &k.sums;
    Status status = official_members(questions_path(k.path, d), score_question, &k);
    s->n = sums->n;
    scores_share(s, sums->right, sums->n, "accuracy");
    scores_share(s, sums->right_binary, sums->n_binary, "binary");
    scores_share(s, sums->right - sums->right_binary, sums->n - sums->n_binary, "open");
    groups_share(s, &sums->structural, "structural");
    groups_share(s, &sums->semantic, "semantic");
    groups_free(&sums->structural);
    groups_free(&sums->semantic);
    return status;
}

typedef struct Submitting {
    FILE *out;
    Answers *answers;
    Pool pool;
    bool any;
} Submitting;

static Status put_answer(void *arg, const char *key, const Json *q)
{
    Submitting *k = arg;
    const Span id = span_of(key);
    Span text;
    (void)q;
    if (!answers_find(k->answers, id, &text))
        return OK;
    pool_reset(&k->pool);
    const Span prediction = prediction_of(&k->pool, text);
    fputs(k->any ? ", {\"questionId\": " : "{\"questionId\": ", k->out);
    json_put_text(k->out, id.s, id.n);
    fputs(", \"prediction\": ", k->out);
    json_put_text(k->out, prediction.s, prediction.n);
    fputc('}', k->out);
    k->any = true;
    return pool_status(&k->pool);
}

static Status put_answers(FILE *out, const BenchData *d, Answers *a)
{
    char path[PATH_MAX];
    Submitting k = {.out = out, .answers = a};
    fputc('[', out);
    Status s = official_members(questions_path(path, d), put_answer, &k);
    fputs("]\n", out);
    pool_free(&k.pool);
    return s ? s : answers_all_known(a);
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    FileDraft draft;
    TRY(file_draft(&draft, path));
    return file_publish(&draft, put_answers(draft.out, d, a));
}

const Bench BENCH_GQA = {.name = "gqa",
                         .split = "testdev_balanced",
                         .files = "SPLIT_questions.json",
                         .pictures = "images/IMAGEID.jpg",
                         .suffix = SHORT_ANSWER,
                         .metric = "accuracy",
                         .max_new_tokens = 128,
                         .questions = questions,
                         .score = score,
                         .submit = submit};
