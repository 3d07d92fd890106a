/* pope.c: POPE: is there such a thing in the picture, yes or no? Three files of questions, each a category with a score of its own; ids are
 * those of LLaVA's merged file, where that is at hand. Official: evaluate.py of POPE, LLaVA's eval_pope.py. */
#include <inttypes.h>
#include <limits.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/prompts.h"
#include "kernels/base/arena.h"

static const char *const CATEGORIES[] = {"adversarial", "popular", "random"};
enum { N_CATEGORIES = sizeof CATEGORIES / sizeof *CATEGORIES };
#define MERGED "llava_pope_test.jsonl"

typedef struct Question {
    Span id, image, text; /* text: as it is asked */
    bool number, yes;
    int category;
} Question;

typedef struct Questions {
    Pool pool;
    Question *item;
    int64_t n, room;
} Questions;

/* What is being read. */
typedef struct Reading {
    char path[PATH_MAX];
    Questions official[N_CATEGORIES], merged;
    int64_t taken[N_CATEGORIES]; /* labels that lines of the merged file have got */
    int category;                /* of the official file */
} Reading;

static void questions_free(Questions *q)
{
    pool_free(&q->pool);
    mem_free(q->item);
    *q = (Questions){0};
}

static Status add(Questions *to, const Question *q)
{
    if (to->n == to->room) {
        Question *more = mem_grow(to->item, (size_t)(2 * to->room + 1024) * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for the questions of POPE");
        to->item = more;
        to->room = 2 * to->room + 1024;
    }
    Question *kept = &to->item[to->n++];
    *kept = *q;
    kept->id = span_copy(&to->pool, q->id);
    kept->image = span_copy(&to->pool, q->image);
    kept->text = span_copy(&to->pool, q->text);
    return pool_status(&to->pool);
}

/* ---------------------------------------------------------------- reading */

static Status read_official(void *arg, const Json *row)
{
    Reading *r = arg;
    Question q = {.id = SPAN(""), .category = r->category, .number = true};
    Span label, text;
    TRY(official_text(&q.image, row, "image", r->path));
    TRY(official_text(&text, row, "text", r->path));
    TRY(official_text(&label, row, "label", r->path));
    q.yes = span_is(label, "yes");
    if (!q.yes && !span_is(label, "no"))
        return fail(ERR_DATA, "%s:%d:%d: \"label\" is \"%.*s\", expected \"yes\" or \"no\"", r->path, row->line, row->column, (int)label.n,
                    label.s);
    Questions *to = &r->official[r->category];
    q.text = span_print(&to->pool, "%.*s%s", (int)text.n, text.s, SHORT_ANSWER);
    return add(to, &q);
}

static Status read_merged(void *arg, const Json *row)
{
    Reading *r = arg;
    Question q = {0};
    Span category;
    TRY(official_id(&r->merged.pool, &q.id, &q.number, row, "question_id", r->path));
    TRY(official_text(&q.image, row, "image", r->path));
    TRY(official_text(&q.text, row, "text", r->path));
    TRY(official_text(&category, row, "category", r->path));
    while (q.category < N_CATEGORIES && !span_is(category, CATEGORIES[q.category]))
        q.category++;
    if (q.category == N_CATEGORIES)
        return fail(ERR_DATA, "%s:%d:%d: \"category\" is \"%.*s\", expected adversarial, popular or random", r->path, row->line,
                    row->column, (int)category.n, category.s);
    const int64_t at = r->taken[q.category]++;
    const Questions *labels = &r->official[q.category];
    if (at >= labels->n)
        return fail(ERR_DATA,
                    "%s:%d: is question %" PRId64 " of %s, and coco_pope_%s.json has %" PRId64 " labels: they are of different revisions",
                    r->path, row->line, at + 1, CATEGORIES[q.category], CATEGORIES[q.category], labels->n);
    q.yes = labels->item[at].yes;
    return add(&r->merged, &q);
}

static Status read_category(Reading *r, const BenchData *d, int category)
{
    official_path(r->path, d, "coco/coco_pope_%s.json", CATEGORIES[category]);
    if (!file_exists(r->path))
        official_path(r->path, d, "coco_pope_%s.json", CATEGORIES[category]);
    r->category = category;
    return official_rows(r->path, NULL, read_official, r);
}

/* Joins the files without LLaVA's: ids count from 1. */
static Status merge(Reading *r)
{
    Status s = OK;
    for (int c = 0; c < N_CATEGORIES; c++)
        for (int64_t i = 0; i < r->official[c].n && !s; i++) {
            Question q = r->official[c].item[i];
            q.id = span_print(&r->merged.pool, "%" PRId64, r->merged.n + 1);
            s = add(&r->merged, &q);
        }
    return s;
}

static Status take_merged(Reading *r)
{
    TRY(official_rows(r->path, NULL, read_merged, r));
    for (int c = 0; c < N_CATEGORIES; c++)
        if (r->taken[c] != r->official[c].n)
            return fail(ERR_DATA,
                        "%s: has %" PRId64 " questions of %s, and coco_pope_%s.json has %" PRId64
                        " labels: they are of different revisions",
                        r->path, r->taken[c], CATEGORIES[c], CATEGORIES[c], r->official[c].n);
    return OK;
}

/* All questions with their labels, in the order of asking. */
static Status read_questions(Questions *out, const BenchData *d)
{
    Reading r = {0};
    Status s = OK;
    for (int c = 0; c < N_CATEGORIES && !s; c++)
        s = read_category(&r, d, c);
    official_path(r.path, d, MERGED);
    if (!s)
        s = file_exists(r.path) ? take_merged(&r) : merge(&r);
    for (int c = 0; c < N_CATEGORIES; c++)
        questions_free(&r.official[c]);
    if (s)
        questions_free(&r.merged);
    *out = r.merged;
    return s;
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Questions all;
    char image[PATH_MAX];
    TRY(read_questions(&all, d));
    Status s = OK;
    for (int64_t i = 0; i < all.n && !s; i++) {
        const Question *q = &all.item[i];
        snprintf(image, sizeof image, "val2014/%.*s", (int)q->image.n, q->image.s);
        s = visit(arg, &(BenchQuestion){.id = q->id, .number = q->number, .prompt = q->text, .image = image});
    }
    questions_free(&all);
    return s;
}

/* ---------------------------------------------------------------- score */

/* The first sentence says no where one of its words does; anything else is a yes. */
static bool says_yes(Pool *p, Span text)
{
    const ptrdiff_t stop = py_find(text, SPAN("."));
    if (stop >= 0)
        text.n = (size_t)stop;
    Spans words = py_split_at(p, py_replace(p, text, ",", ""), " ");
    for (int i = 0; i < words.n; i++)
        if (span_is(words.item[i], "No") || span_is(words.item[i], "not") || span_is(words.item[i], "no"))
            return false;
    return true;
}

/* How often what was said (first) of what is so (second). */
typedef struct Table {
    int64_t yes_yes, yes_no, no_no, no_yes;
} Table;

static double share(int64_t part, int64_t whole) { return whole ? (double)part / (double)whole : 0; }

static double f1_of(const Table *t)
{
    const double precision = share(t->yes_yes, t->yes_yes + t->yes_no), recall = share(t->yes_yes, t->yes_yes + t->no_yes);
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

static int64_t answers_in(const Table *t) { return t->yes_yes + t->yes_no + t->no_no + t->no_yes; }

static void add_category(Scores *s, const char *name, const Table *t)
{
    const int64_t said_yes = t->yes_yes + t->yes_no, n = answers_in(t);
    scores_share(s, t->yes_yes + t->no_no, n, "%s/accuracy", name);
    scores_share(s, t->yes_yes, said_yes, "%s/precision", name);
    scores_share(s, t->yes_yes, t->yes_yes + t->no_yes, "%s/recall", name);
    scores_add(s, 100 * f1_of(t), "%s/f1", name);
    scores_share(s, said_yes, n, "%s/yes_ratio", name);
}

static void count(Table *t, bool said, bool yes)
{
    t->yes_yes += said && yes;
    t->yes_no += said && !yes;
    t->no_no += !said && !yes;
    t->no_yes += !said && yes;
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Questions all;
    Table table[N_CATEGORIES] = {0};
    Pool pool = {0};
    TRY(read_questions(&all, d));
    Status status = OK;
    for (int64_t i = 0; i < all.n && !status; i++) {
        const Question *q = &all.item[i];
        Span text;
        bool found = answers_find(a, q->id, &text);
        if (answers_not_asked(a, found))
            continue;
        pool_reset(&pool);
        count(&table[q->category], found ? says_yes(&pool, text) : !q->yes, q->yes); /* none is wrong, whatever is so */
        s->n++;
        s->n_missing += !found;
        status = pool_status(&pool);
    }
    double sum = 0;
    int asked = 0;
    for (int c = 0; c < N_CATEGORIES; c++) {
        asked += answers_in(&table[c]) > 0;
        sum += f1_of(&table[c]);
    }
    scores_add(s, asked ? 100 * sum / asked : 0, "f1");
    for (int c = 0; c < N_CATEGORIES; c++)
        if (answers_in(&table[c]))
            add_category(s, CATEGORIES[c], &table[c]);
    pool_free(&pool);
    questions_free(&all);
    return status;
}

const Bench BENCH_POPE = {.name = "pope",
                          .split = "coco",
                          .files = "coco_pope_{adversarial,popular,random}.json, with LLaVA's ids " MERGED,
                          .pictures = "val2014/IMAGE",
                          .suffix = SHORT_ANSWER,
                          .metric = "mean F1 of three categories",
                          .max_new_tokens = 128,
                          .questions = questions,
                          .score = score};
