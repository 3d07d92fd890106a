/* mathvista.c: MathVista: choices, numbers and lists. The authors let a judge model extract the answer from a reply; without it rules of
 * ours do (mathvista_answer.h). Called through benches.c. Official: testmini.json and query.json, evaluation/build_query.py,
 * extract_answer.py, calculate_score.py. */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/mathvista_answer.h"
#include "kernels/base/arena.h"

enum { MOST_CHOICES = 26, MOST_PRECISION = 300, JUDGE_TOKENS = 1024, MOST_ID = 64 };
static const size_t MOST_DEMO_BYTES = (size_t)1 << 20;

typedef struct Work {
    const BenchData *d;
    char path[PATH_MAX], query_path[PATH_MAX];
    const Json *queries; /* NULL: there are none */
    Pool pool;           /* of a problem */
    BenchVisit visit;
    JudgeVisit judge;
    void *arg;
    Span demo;
    Answers *a, *replies; /* replies NULL: our rules extract */
    Scores *s;
    int64_t right, direct;
    Groups *groups; /* by key */
    FILE *out;      /* of a submission */
    bool any;
} Work;

typedef struct Problem {
    Span pid, type;
    const Json *json;
    MathQuestion q;
} Problem;
typedef Status (*ProblemVisit)(Work *w, const Problem *p);

/* ---------------------------------------------------------------- problems */

static Status read_choices(Work *w, Problem *p)
{
    const Json *v;
    char found[96];
    TRY(official_get(&v, p->json, "choices", JSON_ARRAY, w->path));
    if (v->length < 1 || v->length > MOST_CHOICES)
        return fail(ERR_DATA, "%s:%d:%d: problem \"%s\" has %zu choices, expected 1 to %d", w->path, v->line, v->column, p->pid.s,
                    v->length, MOST_CHOICES);
    p->q.choices.item = pool_push(&w->pool, v->length * sizeof *p->q.choices.item);
    for (const Json *c = v->child; c && p->q.choices.item; c = c->next) {
        if (c->kind != JSON_STRING)
            return fail(ERR_DATA, "%s:%d:%d: a choice is %s, expected a text", w->path, c->line, c->column,
                        json_show(c, found, sizeof found));
        p->q.choices.item[p->q.choices.n++] = (Span){c->string, c->length};
    }
    return pool_status(&w->pool);
}

/* Of floats; an integer, or as pandas writes it: 2.0. */
static Status read_precision(const Work *w, Problem *p)
{
    const Json *v = json_get(p->json, "precision");
    char found[96];
    if (!v || (v->kind != JSON_INT && v->kind != JSON_REAL) || !(v->real >= 0 && v->real <= MOST_PRECISION) || v->real != floor(v->real))
        return fail(ERR_DATA, "%s:%d: \"precision\" of problem \"%s\" is %s, expected a number of decimals", w->path, p->json->line,
                    p->pid.s, v ? json_show(v, found, sizeof found) : "absent");
    p->q.precision = (int)v->real;
    return OK;
}

static Status read_problem(Work *w, Problem *p, const Json *json)
{
    *p = (Problem){.pid = span_of(json->key), .json = json};
    pool_reset(&w->pool);
    if (json->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s:%d:%d: is %s, expected a problem, an object", w->path, json->line, json->column,
                    json_kind_name(json->kind));
    TRY(official_text(&p->type, json, "question_type", w->path));
    TRY(official_text(&p->q.answer_type, json, "answer_type", w->path));
    p->q.is_choice = span_is(p->type, "multi_choice");
    if (p->q.is_choice)
        return read_choices(w, p);
    return span_is(p->q.answer_type, "float") ? read_precision(w, p) : OK;
}

static Status each_problem(Work *w, const BenchData *d, ProblemVisit visit)
{
    JsonDoc *doc, *queries = NULL;
    Problem p;
    w->d = d;
    TRY(official_json(&doc, official_path(w->path, d, "%s.json", d->split)));
    Status s = OK;
    if (file_exists(official_path(w->query_path, d, "query.json"))) {
        s = official_json(&queries, w->query_path);
        w->queries = s ? NULL : json_root(queries);
    }
    for (const Json *json = s ? NULL : json_root(doc)->child; json && !s; json = json->next) {
        s = read_problem(w, &p, json);
        if (!s)
            s = visit(w, &p);
    }
    pool_free(&w->pool);
    json_free(&queries);
    json_free(&doc);
    return s;
}

/* ---------------------------------------------------------------- questions */

/* The sentence that names the form of the answer. */
static const char *hint_of(const MathQuestion *q)
{
    if (q->is_choice)
        return "\nHint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.";
    if (span_is(q->answer_type, "integer"))
        return "\nHint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, at the end.";
    if (span_is(q->answer_type, "float") && q->precision == 1)
        return "\nHint: Please answer the question requiring a floating-point number with one decimal place and provide the final value, "
               "e.g., 1.2, 1.3, 1.4, at the end.";
    if (span_is(q->answer_type, "float") && q->precision == 2)
        return "\nHint: Please answer the question requiring a floating-point number with two decimal places and provide the final value, "
               "e.g., 1.23, 1.34, 1.45, at the end.";
    if (span_is(q->answer_type, "list"))
        return "\nHint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., [1, 2, 3], [1.2, "
               "1.3, 1.4], at the end.";
    return "";
}

/* The query of a problem that query.json lacks, as build_query.py makes it without examples. */
static Status build_query(Work *w, const Problem *p, Span *out)
{
    Span parts[7 + 2 * MOST_CHOICES], unit = SPAN("");
    const Json *v = json_get(p->json, "unit");
    int n = 0;
    parts[n++] = SPAN("Question: ");
    TRY(official_text(&parts[n++], p->json, "question", w->path));
    if (v && v->kind != JSON_NULL)
        TRY(official_text(&unit, p->json, "unit", w->path));
    if (unit.n)
        parts[n++] = span_print(&w->pool, " (Unit: %s)", unit.s);
    for (int i = 0; i < p->q.choices.n; i++) {
        parts[n++] = span_print(&w->pool, "%s(%c) ", i ? "\n" : "\nChoices:\n", 'A' + i);
        parts[n++] = p->q.choices.item[i];
    }
    parts[n++] = span_of(hint_of(&p->q));
    parts[n++] = SPAN("\nSolution:");
    *out = py_strip(span_join(&w->pool, parts, n, ""));
    return pool_status(&w->pool);
}

static Status query_of(Work *w, const Problem *p, Span *out)
{
    return json_get(w->queries, p->pid.s) ? official_text(out, w->queries, p->pid.s, w->query_path) : build_query(w, p, out);
}

static Status give_question(Work *w, const Problem *p)
{
    Span query, image;
    TRY(query_of(w, p, &query));
    TRY(official_text(&image, p->json, "image", w->path));
    return w->visit(w->arg, &(BenchQuestion){.id = p->pid, .prompt = query, .image = image.s});
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Work w = {.visit = visit, .arg = arg};
    return each_problem(&w, d, give_question);
}

/* ---------------------------------------------------------------- the judge */

/* It is asked for what is no answer as it stands. */
static Status put_request(Work *w, const Problem *p)
{
    Span reply, query, extraction;
    const bool found = answers_find(w->a, p->pid, &reply);
    if (answers_not_asked(w->a, found))
        return OK;
    w->s->n++;
    w->s->n_missing += !found;
    if (!found || mathvista_is_direct(reply, &p->q, &extraction))
        return OK;
    for (size_t i = 0; i < p->pid.n; i++)
        if (p->pid.n > MOST_ID || !(isalnum((unsigned char)p->pid.s[i]) || strchr("_-", p->pid.s[i])))
            return fail(ERR_DATA, "%s:%d: \"%s\" cannot name a request: expected at most %d of A-Z a-z 0-9 _ -", w->path, p->json->line,
                        p->pid.s, MOST_ID);
    TRY(query_of(w, p, &query));
    const Span user = span_join(&w->pool, (const Span[]){w->demo, query, reply, SPAN("Extracted answer: ")}, 4, "\n\n");
    TRY(pool_status(&w->pool));
    return w->judge(w->arg, &(JudgeRequest){.id = p->pid, .system = SPAN(""), .user = user, .max_tokens = JUDGE_TOKENS});
}

static Status judge(const BenchData *d, Answers *a, Scores *s, JudgeVisit visit, void *arg)
{
    char path[PATH_MAX], *demo;
    size_t n;
    TRY(file_read(&demo, &n, official_path(path, d, "ext_ans.txt"), MOST_DEMO_BYTES));
    Work w = {.a = a, .s = s, .judge = visit, .arg = arg, .demo = py_strip((Span){demo, n})};
    Status status = each_problem(&w, d, put_request);
    mem_free(demo);
    return status;
}

/* ---------------------------------------------------------------- score */

static const char *const KEYS[] = {"question_type", "answer_type", "language", "source", "category", "task", "context", "grade", "skills"};
enum { N_KEYS = sizeof KEYS / sizeof *KEYS };

static Status label_of(const Work *w, const Problem *p, Span *out)
{
    const Json *v = json_get(p->json, "answer");
    if (!v || v->kind == JSON_NULL || (v->kind == JSON_STRING && !v->length))
        return fail(ERR_DATA,
                    "%s:%d: problem \"%s\" has no \"answer\": this split has no labels to score with; evaluate … submit writes "
                    "what the benchmark's server takes",
                    w->path, p->json->line, p->pid.s);
    return official_text(out, p->json, "answer", w->path);
}

static void count_in(Work *w, int key, const Json *v, bool right)
{
    Group *g = v->kind == JSON_STRING ? groups_at(w->s, &w->groups[key], (Span){v->string, v->length}) : NULL;
    if (g) {
        g->n++;
        g->right += right;
    }
}

/* Whether an earlier element of the list is the same. */
static bool is_repeated(const Json *list, const Json *element)
{
    for (const Json *v = list->child; v != element; v = v->next)
        if (v->kind == JSON_STRING && element->kind == JSON_STRING && !strcmp(v->string, element->string))
            return true;
    return false;
}

static Status count(Work *w, const Problem *p, bool right)
{
    const Json *metadata;
    TRY(official_get(&metadata, p->json, "metadata", JSON_OBJECT, w->path));
    for (int k = 0; k < N_KEYS; k++) {
        const Json *v = json_get(k < 2 ? p->json : metadata, KEYS[k]);
        if (v && v->kind != JSON_ARRAY)
            count_in(w, k, v, right);
        for (const Json *one = v && v->kind == JSON_ARRAY ? v->child : NULL; one; one = one->next)
            if (!is_repeated(v, one))
                count_in(w, k, one, right);
    }
    w->right += right;
    w->s->n++;
    return scores_status(w->s);
}

/* What the reply answers; false: nothing is there to be read. */
static bool extraction_of(Work *w, const Problem *p, Span *extraction)
{
    Span reply, judged = SPAN("");
    const bool is_judged = w->replies && answers_find(w->replies, p->pid, &judged);
    if (!answers_find(w->a, p->pid, &reply))
        return false;
    const bool direct = mathvista_is_direct(reply, &p->q, extraction);
    w->direct += direct && reply.n > 0;
    if (direct)
        return true;
    *extraction = w->replies ? py_strip(judged) : mathvista_extract(&w->pool, reply, &p->q);
    return !w->replies || is_judged;
}

static Status score_problem(Work *w, const Problem *p)
{
    Span label, extraction, answer;
    if (answers_not_asked(w->a, answers_find(w->a, p->pid, &answer)))
        return OK;
    TRY(label_of(w, p, &label));
    const bool found = extraction_of(w, p, &extraction);
    w->s->n_missing += !found;
    const bool right = found && mathvista_normalise(&w->pool, extraction, &p->q, &answer) && span_equal(answer, label);
    TRY(pool_status(&w->pool));
    return count(w, p, right);
}

static Status score_replies(const BenchData *d, Answers *a, Answers *replies, Scores *s)
{
    Groups groups[N_KEYS] = {{0}};
    Work w = {.a = a, .replies = replies, .s = s, .groups = groups};
    Status status = each_problem(&w, d, score_problem);
    scores_share(s, w.right, s->n, "average");
    for (int k = 0; k < N_KEYS; k++) {
        groups_share(s, &groups[k], KEYS[k]);
        groups_free(&groups[k]);
    }
    scores_count(s, w.direct, "direct");
    return status;
}

static Status score(const BenchData *d, Answers *a, Scores *s) { return score_replies(d, a, NULL, s); }

/* ---------------------------------------------------------------- submission */

/* The problem with query and response, as the authors' generate_response.py leaves it. */
static Status put_problem(Work *w, const Problem *p)
{
    Span query, reply;
    if (!answers_find(w->a, p->pid, &reply))
        return OK;
    TRY(query_of(w, p, &query));
    cJSON *o = json_copy(p->json);
    if (!json_get(p->json, "pid"))
        json_add_bytes(o, "pid", p->pid.s, p->pid.n);
    cJSON_DeleteItemFromObjectCaseSensitive(o, "query");
    json_add_bytes(o, "query", query.s, query.n);
    json_add_bytes(o, "response", reply.s, reply.n);
    fputs(w->any ? ",\n" : "{\n", w->out);
    json_put_text(w->out, p->pid.s, p->pid.n);
    fputs(": ", w->out);
    w->any = true;
    return json_print(w->out, &o, JSON_INLINE, "the submission");
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    FileDraft draft;
    TRY(file_draft(&draft, path));
    Work w = {.a = a, .out = draft.out};
    Status s = each_problem(&w, d, put_problem);
    fputs(w.any ? "\n}\n" : "{}\n", draft.out);
    return file_publish(&draft, s ? s : answers_all_known(a));
}

const Bench BENCH_MATHVISTA = {.name = "mathvista",
                               .split = "testmini",
                               .files = "SPLIT.json, query.json, for the judge ext_ans.txt",
                               .pictures = "IMAGE",
                               .suffix = "",
                               .metric = "accuracy, answers extracted by rules, or by a judge",
                               .max_new_tokens = 1024,
                               .questions = questions,
                               .score = score,
                               .score_replies = score_replies,
                               .submit = submit,
                               .judge = judge,
                               .judge_model = "gpt-4-0613"};
