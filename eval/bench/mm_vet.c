/* mm_vet.c: MM-Vet: open answers, which a judge marks from 0 to 1. Official: mm-vet_evaluator.py; its prompt is read from
 * mm-vet-prompt.txt. A reply that is no number from 0 to 1 counts as 0. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "kernels/base/arena.h"

enum { MAX_PROMPT_BYTES = 1 << 20, MAX_CAPABILITIES = 32 };

/* LLaVA's answers call question "v1_7" 7. */
static Span number_of(Span id) { return py_starts(id, "v1_") ? (Span){id.s + 3, id.n - 3} : id; }

static Status key(Pool *pool, const Json *answer, Span *out)
{
    (void)pool;
    (void)answer;
    *out = number_of(*out);
    return OK;
}

static bool is_number(Span id)
{
    int64_t n;
    return id.n && id.n < 18 && strspn(id.s, "0123456789") == id.n && (*id.s != '0' || id.n == 1) && py_int(id, &n);
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    char path[PATH_MAX], image[PATH_MAX];
    JsonDoc *doc;
    TRY(official_json(&doc, official_path(path, d, "mm-vet.json")));
    Status s = OK;
    for (const Json *q = json_root(doc)->child; q && !s; q = q->next) {
        Span text, picture, id = number_of(span_of(q->key ? q->key : ""));
        s = official_text(&text, q, "question", path);
        if (!s)
            s = official_text(&picture, q, "imagename", path);
        if (s)
            break;
        snprintf(image, sizeof image, "images/%.*s", (int)picture.n, picture.s);
        s = visit(arg, &(BenchQuestion){.id = id, .number = is_number(id), .prompt = text, .image = image});
    }
    json_free(&doc);
    return s;
}

static Span request_id(Pool *pool, int64_t row) { return span_print(pool, "mm-vet-%" PRId64, row); }

/* ---------------------------------------------------------------- requests */

static Status request(Pool *pool, const char *path, const Json *q, int64_t row, Span prompt, Span prediction, JudgeVisit visit, void *arg)
{
    Span question, truth;
    TRY(official_text(&question, q, "question", path));
    TRY(official_text(&truth, q, "answer", path));
    truth = py_replace(pool, py_replace(pool, truth, "<AND>", " <AND> "), "<OR>", " <OR> ");
    const Span parts[] = {prompt, SPAN("\n"), question, SPAN(" | "), truth, SPAN(" | "), prediction, SPAN(" | ")};
    Span user = span_join(pool, parts, sizeof parts / sizeof *parts, "");
    TRY(pool_status(pool));
    return visit(arg, &(JudgeRequest){.id = request_id(pool, row), .user = user, .system = SPAN(""), .temperature = 0, .max_tokens = 3});
}

static Status judge_all(const char *path, const Json *root, Span prompt, Answers *a, Scores *scores, JudgeVisit visit, void *arg)
{
    int64_t row = 0;
    for (const Json *q = root->child; q; q = q->next, row++) {
        Pool pool = {0};
        Span prediction;
        bool found = answers_find(a, number_of(span_of(q->key ? q->key : "")), &prediction);
        Status s = found ? request(&pool, path, q, row, prompt, prediction, visit, arg) : OK;
        const bool asked = !answers_not_asked(a, found);
        scores->n += asked;
        scores->n_missing += asked && !found;
        pool_free(&pool);
        TRY(s);
    }
    return OK;
}

static Status judge(const BenchData *d, Answers *a, Scores *scores, JudgeVisit visit, void *arg)
{
    char path[PATH_MAX], prompt_path[PATH_MAX], *prompt;
    size_t n;
    JsonDoc *doc;
    TRY(file_read(&prompt, &n, official_path(prompt_path, d, "mm-vet-prompt.txt"), MAX_PROMPT_BYTES));
    Status s = official_json(&doc, official_path(path, d, "mm-vet.json"));
    if (!s) {
        s = judge_all(path, json_root(doc), (Span){prompt, n}, a, scores, visit, arg);
        json_free(&doc);
    }
    mem_free(prompt);
    return s;
}

/* ---------------------------------------------------------------- score */

/* The part before the first blank, as a mark; false: there is none. */
static bool read_mark(Pool *pool, Span reply, double *mark)
{
    Spans parts = py_split_at(pool, reply, " ");
    return parts.n && py_float(parts.item[0], mark) && *mark >= 0 && *mark <= 1;
}

typedef struct Sums {
    Groups capability, set;
    double *marks;
    int64_t unparsable;
} Sums;

static int by_name(const void *a, const void *b) { return span_compare(*(const Span *)a, *(const Span *)b); }

static void add(Group *g, double mark)
{
    if (g) {
        g->sum += mark;
        g->n++;
    }
}

static Status count(Pool *pool, const char *path, const Json *q, double mark, Scores *s, Sums *sums)
{
    const Json *list;
    Span names[MAX_CAPABILITIES];
    int n = 0;
    TRY(official_get(&list, q, "capability", JSON_ARRAY, path));
    for (const Json *c = list->child; c; c = c->next) {
        if (c->kind != JSON_STRING || n == MAX_CAPABILITIES)
            return fail(ERR_DATA, "%s:%d:%d: a capability is %s, expected at most %d texts", path, c->line, c->column,
                        json_kind_name(c->kind), MAX_CAPABILITIES);
        names[n] = (Span){c->string, c->length};
        add(groups_at(s, &sums->capability, names[n++]), mark);
    }
    qsort(names, (size_t)n, sizeof *names, by_name);
    add(groups_at(s, &sums->set, span_join(pool, names, n, "_")), mark);
    return scores_status(s);
}

static Status score_question(const char *path, const Json *q, int64_t row, Answers *replies, Scores *s, Sums *sums)
{
    Pool pool = {0};
    Span reply;
    double mark = 0;
    bool found = answers_find(replies, request_id(&pool, row), &reply);
    if (answers_not_asked(replies, found)) {
        pool_free(&pool);
        return OK;
    }
    bool read = found && read_mark(&pool, reply, &mark);
    mark = read ? mark : 0;
    sums->unparsable += found && !read;
    s->n_missing += !found;
    sums->marks[s->n++] = mark;
    Status status = count(&pool, path, q, mark, s, sums);
    if (!status)
        status = pool_status(&pool);
    pool_free(&pool);
    return status;
}

static Status score(const BenchData *d, Answers *replies, Scores *s)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    TRY(official_json(&doc, official_path(path, d, "mm-vet.json")));
    Sums sums = {.marks = mem_alloc((json_root(doc)->length + 1) * sizeof *sums.marks)};
    Status status = sums.marks ? OK : fail(ERR_NOMEM, "no memory for the marks of a benchmark");
    int64_t row = 0;
    for (const Json *q = json_root(doc)->child; q && !status; q = q->next)
        status = score_question(path, q, row++, replies, s, &sums);
    if (!status) {
        scores_mean(s, sums.marks, s->n, "total");
        groups_mean(s, &sums.capability, "capability");
        groups_mean(s, &sums.set, "set");
        scores_count(s, sums.unparsable, "unparsable");
    }
    groups_free(&sums.capability);
    groups_free(&sums.set);
    mem_free(sums.marks);
    json_free(&doc);
    return status;
}

/* ---------------------------------------------------------------- submission */

static void put_results(FILE *out, const Json *root, Answers *a)
{
    bool any = false;
    fputc('{', out);
    for (const Json *q = root->child; q; q = q->next) {
        Span text;
        if (!answers_find(a, number_of(span_of(q->key ? q->key : "")), &text))
            continue;
        fputs(any ? ", " : "", out);
        json_put_text(out, q->key, strlen(q->key));
        fputs(": ", out);
        json_put_text(out, text.s, text.n);
        any = true;
    }
    fputs("}\n", out);
}

static Status submit(const BenchData *d, Answers *a, const char *out)
{
    char path[PATH_MAX];
    JsonDoc *doc;
    FileDraft draft;
    TRY(official_json(&doc, official_path(path, d, "mm-vet.json")));
    Status s = file_draft(&draft, out);
    if (!s) {
        put_results(draft.out, json_root(doc), a);
        s = file_publish(&draft, answers_all_known(a));
    }
    json_free(&doc);
    return s;
}

const Bench BENCH_MM_VET = {.name = "mm-vet",
                            .split = "v1",
                            .files = "mm-vet.json; for the judge mm-vet-prompt.txt",
                            .pictures = "images/IMAGENAME",
                            .suffix = "",
                            .note = "published marks are those of gpt-4-0613, which is retired; other judges mark otherwise",
                            .metric = "total of marks by a judge",
                            .max_new_tokens = 1024,
                            .key = key,
                            .questions = questions,
                            .score = score,
                            .submit = submit,
                            .judge = judge,
                            .judge_model = "gpt-4-0613"};
