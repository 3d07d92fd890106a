/* sqa.c: ScienceQA: a letter among up to five; the score that is reported counts the questions with a picture. Called through benches.c.
 * Official: problems.json and pid_splits.json of ScienceQA, LLaVA's convert_sqa_to_llava.py, model_vqa_science.py, eval_science_qa.py. */
#include <limits.h>

#include "eval/bench/bench.h"
#include "eval/bench/prompts.h"

enum { MOST_CHOICES = 5 };
static const char LETTERS[] = "ABCDE";

typedef struct Problem {
    Span pid, image; /* image without bytes: none */
    const Json *json, *choices;
} Problem;
typedef Status (*ProblemVisit)(void *arg, const Problem *p, const char *where);

static Status read_problem(Problem *p, const Json *problems, const Json *pid, const char *where, const char *splits)
{
    char found[96];
    if (pid->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d:%d: is %s, expected the id of a problem, a text", splits, pid->line, pid->column,
                    json_show(pid, found, sizeof found));
    p->pid = (Span){pid->string, pid->length};
    p->json = json_get(problems, pid->string);
    p->image = SPAN("");
    if (!p->json || p->json->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s: has no problem \"%s\", which %s:%d names", where, pid->string, splits, pid->line);
    const Json *image = json_get(p->json, "image");
    if (image && image->kind != JSON_NULL)
        TRY(official_text(&p->image, p->json, "image", where));
    TRY(official_get(&p->choices, p->json, "choices", JSON_ARRAY, where));
    if (p->choices->length < 1 || p->choices->length > MOST_CHOICES)
        return fail(ERR_DATA, "%s:%d:%d: problem \"%s\" has %zu choices, expected 1 to %d", where, p->choices->line, p->choices->column,
                    pid->string, p->choices->length, MOST_CHOICES);
    for (const Json *c = p->choices->child; c; c = c->next)
        if (c->kind != JSON_STRING)
            return fail(ERR_DATA, "%s:%d:%d: a choice is %s, expected a text", where, c->line, c->column,
                        json_show(c, found, sizeof found));
    return OK;
}

/* Problems of the split, in its order. */
static Status each_problem(const BenchData *d, ProblemVisit visit, void *arg)
{
    char splits_path[PATH_MAX], path[PATH_MAX];
    JsonDoc *splits, *problems = NULL;
    const Json *ids;
    TRY(official_json(&splits, official_path(splits_path, d, "pid_splits.json")));
    Status s = official_get(&ids, json_root(splits), d->split, JSON_ARRAY, splits_path);
    if (!s)
        s = official_json(&problems, official_path(path, d, "problems.json"));
    for (const Json *pid = s ? NULL : ids->child; pid && !s; pid = pid->next) {
        Problem p;
        s = read_problem(&p, json_root(problems), pid, path, splits_path);
        if (!s)
            s = visit(arg, &p, path);
    }
    json_free(&problems);
    json_free(&splits);
    return s;
}

/* ---------------------------------------------------------------- questions */

/* Form CQM-A: context, question, options. */
static Status prompt_of(Pool *pool, Span *out, const Problem *p, const char *where)
{
    Span question, hint, option[MOST_CHOICES];
    int n = 0;
    TRY(official_text(&question, p->json, "question", where));
    TRY(official_text(&hint, p->json, "hint", where));
    hint = py_strip(hint);
    for (const Json *c = p->choices->child; c; c = c->next, n++)
        option[n] = span_join(pool, (const Span[]){span_print(pool, "(%c) ", LETTERS[n]), {c->string, c->length}}, 2, "");
    const Span options = span_join(pool, option, n, " ");
    const Span text = span_join(
        pool, (const Span[]){SPAN("Context: "), hint.n ? hint : SPAN("N/A"), SPAN("\nQuestion: "), question, SPAN("\nOptions: "), options},
        6, "");
    const Span tidy = py_strip(py_replace(pool, text, "  ", " "));
    *out = span_join(pool, (const Span[]){p->image.n ? SPAN("<image>\n") : SPAN(""), tidy, SPAN(OPTION_LETTER)}, 3, "");
    return pool_status(pool);
}

typedef struct Asked {
    const BenchData *d;
    BenchVisit visit;
    void *arg;
    Pool pool;
} Asked;

static Status give_question(void *arg, const Problem *p, const char *where)
{
    Asked *k = arg;
    Span prompt;
    pool_reset(&k->pool);
    TRY(prompt_of(&k->pool, &prompt, p, where));
    const Span image = span_print(&k->pool, "images/%s/%s/%s", k->d->split, p->pid.s, p->image.s);
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &(BenchQuestion){.id = p->pid, .prompt = prompt, .image = p->image.n ? image.s : NULL});
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Asked k = {.d = d, .visit = visit, .arg = arg};
    Status s = each_problem(d, give_question, &k);
    pool_free(&k.pool);
    return s;
}

/* ---------------------------------------------------------------- score */

static bool is_capital(char c) { return c >= 'A' && c <= 'Z'; }

/* The letter of the only "The answer is X" that any character but a newline follows; 0: none, or several. */
static char letter_of_sentence(Span text)
{
    const Span sentence = SPAN("The answer is ");
    char letter = 0;
    for (ptrdiff_t at; (at = py_find(text, sentence)) >= 0;) {
        const char *x = text.s + at + sentence.n;
        const size_t left = text.n - (size_t)at - sentence.n;
        const bool matches = left >= 2 && is_capital(x[0]) && x[1] != '\n';
        if (matches && letter)
            return 0;
        letter = matches ? x[0] : letter;
        text = matches ? (Span){x + 2, left - 2} : (Span){x, left};
    }
    return letter;
}

/* 0: no letter could be read. */
static char letter_of(Span text)
{
    const bool begins = text.n && text.s[0] >= 'A' && text.s[0] < 'A' + MOST_CHOICES;
    if (begins && (text.n == 1 || (text.n >= 3 && text.s[1] == '.' && text.s[2] == ' ')))
        return text.s[0];
    return letter_of_sentence(text);
}

typedef struct Sums {
    Answers *a;
    Scores *s;
    int64_t right, n_image, right_image, failed, out_of_range;
} Sums;

static Status score_problem(void *arg, const Problem *p, const char *where)
{
    Sums *k = arg;
    Span text = SPAN("FAILED");
    int64_t answer;
    TRY(official_int(&answer, p->json, "answer", where));
    if (answer < 0 || answer >= (int64_t)p->choices->length)
        return fail(ERR_DATA, "%s: problem \"%s\" has the answer %lld, expected one of its %zu choices, from 0", where, p->pid.s,
                    (long long)answer, p->choices->length);
    const bool found = answers_find(k->a, p->pid, &text);
    if (answers_not_asked(k->a, found))
        return OK;
    k->s->n++;
    k->s->n_missing += !found;
    const char letter = letter_of(text);
    const bool right = letter && letter - 'A' == answer;
    k->failed += !letter;
    k->out_of_range += letter && letter - 'A' >= (int64_t)p->choices->length;
    k->right += right;
    k->n_image += p->image.n > 0;
    k->right_image += p->image.n > 0 && right;
    return OK;
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Sums k = {.a = a, .s = s};
    TRY(each_problem(d, score_problem, &k));
    scores_share(s, k.right_image, k.n_image, "image");
    scores_share(s, k.right, s->n, "all");
    scores_count(s, k.failed, "failed");
    scores_count(s, k.out_of_range, "out_of_range");
    return OK;
}

const Bench BENCH_SQA = {.name = "sqa",
                         .split = "test",
                         .files = "pid_splits.json, problems.json",
                         .pictures = "images/SPLIT/PID/IMAGE",
                         .suffix = OPTION_LETTER,
                         .metric = "accuracy on questions with a picture",
                         .max_new_tokens = 1024,
                         .questions = questions,
                         .score = score};
