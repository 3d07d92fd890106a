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

static Span id_of(const Json *q) { return span_of(q->key); }

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    char path[PATH_MAX], image[PATH_MAX];
    JsonDoc *doc;
    Pool pool = {0};
    TRY(official_json(&doc, official_path(path, d, "%s_questions.json", d->split)));
    Status s = OK;
    for (const Json *q = json_root(doc)->child; q && !s; q = q->next) {
        Span text, picture;
        if (!is_balanced(q))
            continue;
        s = official_text(&text, q, "question", path);
        if (!s)
            s = official_text(&picture, q, "imageId", path);
        if (s)
            break;
        snprintf(image, sizeof image, "images/%.*s.jpg", (int)picture.n, picture.s);
        Span prompt = span_print(&pool, "%.*s%s", (int)text.n, text.s, SHORT_ANSWER);
        s = pool_status(&pool);
        if (!s)
            s = visit(arg, &(BenchQuestion){.id = id_of(q), .prompt = prompt, .image = image});
        pool_reset(&pool);
    }
    pool_free(&pool);
    json_free(&doc);
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

static Status score_question(const Json *q, const char *path, Answers *a, Scores *s, Sums *sums)
{
    Pool pool = {0};
    Span text = SPAN(""), answer;
    bool found = answers_find(a, id_of(q), &text);
    if (!is_balanced(q) || answers_not_asked(a, found))
        return OK;
    TRY(official_text(&answer, q, "answer", path));
    s->n_missing += !found;
    bool right = found && span_equal(prediction_of(&pool, text), answer);
    Status status = pool_status(&pool);
    pool_free(&pool);
    return status ? status : count(q, path, right, s, sums);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    Sums sums = {0};
    TRY(official_json(&doc, official_path(path, d, "%s_questions.json", d->split)));
    Status status = OK;
    for (const Json *q = json_root(doc)->child; q && !status; q = q->next)
        status = score_question(q, path, a, s, &sums);
    s->n = sums.n;
    scores_share(s, sums.right, sums.n, "accuracy");
    scores_share(s, sums.right_binary, sums.n_binary, "binary");
    scores_share(s, sums.right - sums.right_binary, sums.n - sums.n_binary, "open");
    groups_share(s, &sums.structural, "structural");
    groups_share(s, &sums.semantic, "semantic");
    groups_free(&sums.structural);
    groups_free(&sums.semantic);
    json_free(&doc);
    return status;
}

static Status put_answers(FILE *out, const Json *root, Answers *a)
{
    bool any = false;
    Pool pool = {0};
    fputc('[', out);
    for (const Json *q = root->child; q; q = q->next) {
        Span text;
        if (!answers_find(a, id_of(q), &text))
            continue;
        Span prediction = prediction_of(&pool, text), id = id_of(q);
        fputs(any ? ", {\"questionId\": " : "{\"questionId\": ", out);
        json_put_text(out, id.s, id.n);
        fputs(", \"prediction\": ", out);
        json_put_text(out, prediction.s, prediction.n);
        fputc('}', out);
        any = true;
    }
    fputs("]\n", out);
    Status s = pool_status(&pool);
    pool_free(&pool);
    return s ? s : answers_all_known(a);
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    char from[PATH_MAX];
    JsonDoc *doc;
    FileDraft draft;
    TRY(official_json(&doc, official_path(from, d, "%s_questions.json", d->split)));
    Status s = file_draft(&draft, path);
    if (!s)
        s = file_publish(&draft, put_answers(draft.out, json_root(doc), a));
    json_free(&doc);
    return s;
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
