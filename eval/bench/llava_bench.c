/* llava_bench.c: LLaVA-Bench (In-the-Wild): open answers, which a judge compares with the reference. Official: LLaVA's
 * eval_gpt_review_bench.py and summarize_gpt_review.py; the rules are read from its rule.json. A reply that is not two numbers counts as
 * -1, -1, as there. A missing one, of which there are none there, is wrong: no mark for the model, and the mean mark for the reference. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/bench/bench.h"

/* ---------------------------------------------------------------- questions */

typedef struct Asking {
    const char *path;
    BenchVisit visit;
    void *arg;
} Asking;

static Status ask(void *arg, const Json *row)
{
    const Asking *a = arg;
    char image[PATH_MAX];
    Span picture;
    Pool pool = {0};
    BenchQuestion q = {.image = image};
    TRY(official_text(&q.prompt, row, "text", a->path));
    TRY(official_text(&picture, row, "image", a->path));
    Status s = official_id(&pool, &q.id, &q.number, row, "question_id", a->path);
    snprintf(image, sizeof image, "images/%.*s", (int)picture.n, picture.s);
    if (!s)
        s = a->visit(a->arg, &q);
    pool_free(&pool);
    return s;
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    char path[PATH_MAX];
    Asking a = {official_path(path, d, "questions.jsonl"), visit, arg};
    return official_rows(path, NULL, ask, &a);
}

/* ---------------------------------------------------------------- what lies beside them; the files are small and are read for each */

typedef struct Search {
    const char *path;
    Pool *pool;
    Span image; /* of the caption that is looked for */
    int64_t row, wanted;
    Span found;
    bool any;
} Search;

/* A text, or a list of texts, joined by line breaks. */
static Status read_caption(Search *f, const Json *row)
{
    const Json *v = json_get(row, "caption");
    Span text;
    if (!v || v->kind != JSON_ARRAY) {
        TRY(official_text(&text, row, "caption", f->path));
        f->found = span_copy(f->pool, text);
        return OK;
    }
    Span *parts = pool_push(f->pool, (v->length + 1) * sizeof *parts);
    int n = 0;
    for (const Json *e = v->child; e && parts; e = e->next) {
        if (e->kind != JSON_STRING)
            return fail(ERR_DATA, "%s:%d:%d: a caption is %s, expected a text", f->path, e->line, e->column, json_kind_name(e->kind));
        parts[n++] = (Span){e->string, e->length};
    }
    f->found = span_join(f->pool, parts, n, "\n");
    return OK;
}

static Status look_at_context(void *arg, const Json *row)
{
    Search *f = arg;
    Span image;
    TRY(official_text(&image, row, "image", f->path));
    if (f->any || !span_equal(image, f->image))
        return OK;
    f->any = true;
    return read_caption(f, row);
}

static Status look_at_reference(void *arg, const Json *row)
{
    Search *f = arg;
    Span text;
    if (f->row++ != f->wanted)
        return OK;
    TRY(official_text(&text, row, "text", f->path));
    f->any = true;
    f->found = span_copy(f->pool, text);
    return OK;
}

static Status find(Search *f, RowVisit look, const char *what)
{
    TRY(official_rows(f->path, NULL, look, f));
    return f->any ? pool_status(f->pool) : fail(ERR_DATA, "%s: has no %s", f->path, what);
}

/* ---------------------------------------------------------------- requests */

typedef struct Judging {
    const BenchData *d;
    Answers *answers;
    Scores *scores;
    JudgeVisit visit;
    void *arg;
    JsonDoc *rules;
    char path[PATH_MAX], rules_path[PATH_MAX];
    int64_t row;
} Judging;

static Span request_id(Pool *pool, int64_t row) { return span_print(pool, "llava-bench-%" PRId64, row); }

static Status rule_of(const Judging *j, Pool *pool, Span category, Span *role, Span *prompt)
{
    const Json *rule;
    Span name = span_print(pool, "llava_bench_%.*s", (int)category.n, category.s);
    TRY(pool_status(pool));
    TRY(official_get(&rule, json_root(j->rules), name.s, JSON_OBJECT, j->rules_path));
    TRY(official_text(role, rule, "role", j->rules_path));
    return official_text(prompt, rule, "prompt", j->rules_path);
}

static Status request(Judging *j, Pool *pool, const Json *row, Span candidate)
{
    char context[PATH_MAX], reference[PATH_MAX];
    Span text, image, category, role, prompt;
    TRY(official_text(&text, row, "text", j->path));
    TRY(official_text(&image, row, "image", j->path));
    TRY(official_text(&category, row, "category", j->path));
    TRY(rule_of(j, pool, category, &role, &prompt));
    Search caption = {.path = official_path(context, j->d, "context.jsonl"), .pool = pool, .image = image};
    Search answer = {.path = official_path(reference, j->d, "answers_gpt4.jsonl"), .pool = pool, .wanted = j->row};
    TRY(find(&caption, look_at_context, "caption of the picture of a question"));
    TRY(find(&answer, look_at_reference, "line for every question"));
    const Span parts[] = {SPAN("[Context]\n"), caption.found, SPAN("\n\n[Question]\n"), text,          SPAN("\n\n["), role,
                          SPAN(" 1]\n"),       answer.found,  SPAN("\n\n[End of "),      role,          SPAN(" 1]\n\n["), role,
                          SPAN(" 2]\n"),       candidate,     SPAN("\n\n[End of "),      role,          SPAN(" 2]\n\n[System]\n"), prompt,
                          SPAN("\n\n")};
    return j->visit(j->arg,
                    &(JudgeRequest){.id = request_id(pool, j->row),
                                    .system = SPAN("You are a helpful and precise assistant for checking the quality of the answer."),
                                    .user = span_join(pool, parts, sizeof parts / sizeof *parts, ""),
                                    .temperature = 0.2,
                                    .max_tokens = 1024});
}

static Status judge_row(void *arg, const Json *row)
{
    Judging *j = arg;
    Pool pool = {0};
    Span id, candidate;
    bool number;
    Status s = official_id(&pool, &id, &number, row, "question_id", j->path);
    bool found = !s && answers_find(j->answers, id, &candidate);
    const bool asked = !answers_not_asked(j->answers, found);
    j->scores->n += asked;
    j->scores->n_missing += asked && !found;
    if (found)
        s = request(j, &pool, row, candidate);
    if (!s)
        s = pool_status(&pool);
    pool_free(&pool);
    j->row++;
    return s;
}

static Status judge(const BenchData *d, Answers *a, Scores *scores, JudgeVisit visit, void *arg)
{
    Judging j = {.d = d, .answers = a, .scores = scores, .visit = visit, .arg = arg};
    official_path(j.path, d, "questions.jsonl");
    TRY(official_json(&j.rules, official_path(j.rules_path, d, "rule.json")));
    Status s = official_rows(j.path, NULL, judge_row, &j);
    json_free(&j.rules);
    return s;
}

/* ---------------------------------------------------------------- score */

typedef struct Review {
    Span category;
    double reference, model;
    int64_t n, asked; /* replies; questions */
} Review;

typedef struct Reviews {
    const char *path;
    Answers *replies;
    Scores *scores;
    int64_t row, malformed;
    Review all, of[16];
    int n;
} Reviews;

/* The first line, commas as blanks, two numbers with one blank between them. */
static bool read_review(Pool *pool, Span text, double *reference, double *model)
{
    Spans lines = py_split_at(pool, text, "\n");
    if (!lines.n)
        return false;
    Spans parts = py_split_at(pool, py_replace(pool, lines.item[0], ",", " "), " ");
    return parts.n == 2 && py_float(parts.item[0], reference) && py_float(parts.item[1], model);
}

static void add(Review *r, double reference, double model)
{
    r->reference += reference;
    r->model += model;
    r->n++;
}

static Review *review_of(Reviews *r, Span category)
{
    for (int i = 0; i < r->n; i++)
        if (span_equal(r->of[i].category, category))
            return &r->of[i];
    if (r->n == (int)(sizeof r->of / sizeof *r->of))
        return NULL;
    r->of[r->n] = (Review){.category = span_copy(&r->scores->pool, category)};
    return &r->of[r->n++];
}

static Status score_row(void *arg, const Json *row)
{
    Reviews *r = arg;
    Pool pool = {0};
    Span category, text;
    double reference = -1, model = -1;
    TRY(official_text(&category, row, "category", r->path));
    bool found = answers_find(r->replies, request_id(&pool, r->row++), &text);
    const bool asked = !answers_not_asked(r->replies, found);
    r->scores->n += asked;
    r->scores->n_missing += asked && !found;
    bool read = found && read_review(&pool, text, &reference, &model);
    Status s = pool_status(&pool);
    pool_free(&pool);
    TRY(s);
    if (!asked)
        return OK;
    Review *of = review_of(r, category);
    if (!of)
        return fail(ERR_DATA, "%s:%d: more than %d categories", r->path, row->line, r->n);
    of->asked++;
    r->all.asked++;
    if (!found)
        return OK;
    if (!read)
        reference = model = -1;
    r->malformed += !read;
    add(of, reference, model);
    add(&r->all, reference, model);
    return OK;
}

/* round(x, 3) of Python. */
static double rounded(double x)
{
    char text[64];
    snprintf(text, sizeof text, "%.3f", x);
    return strtod(text, NULL);
}

static void tell(Scores *s, const Review *r, const char *name)
{
    const double reference = rounded(r->reference / (double)r->n), model = rounded(r->model / (double)r->asked);
    scores_add(s, model / reference * 100, "%s", name);
    scores_add(s, reference * 10, "%s/reference", name);
    scores_add(s, model * 10, "%s/model", name);
}

static Status score(const BenchData *d, Answers *replies, Scores *s)
{
    char path[PATH_MAX];
    Reviews r = {.path = official_path(path, d, "questions.jsonl"), .replies = replies, .scores = s};
    TRY(official_rows(path, NULL, score_row, &r));
    tell(s, &r.all, "all");
    for (int i = 0; i < r.n; i++)
        tell(s, &r.of[i], r.of[i].category.s);
    scores_count(s, r.malformed, "malformed");
    return OK;
}

const Bench BENCH_LLAVA = {.name = "llava-bench",
                           .split = "in-the-wild",
                           .files = "questions.jsonl, context.jsonl, answers_gpt4.jsonl, rule.json",
                           .pictures = "images/IMAGE",
                           .suffix = "",
                           .note = "published scores are those of gpt-4-0314, which is retired; other judges score otherwise",
                           .metric = "score beside the reference's, by a judge",
                           .max_new_tokens = 1024,
                           .questions = questions,
                           .score = score,
                           .judge = judge,
                           .judge_model = "gpt-4-0314"};
