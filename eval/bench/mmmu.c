/* mmmu.c: MMMU: thirty subjects, a letter or a free answer. Called through benches.c.
 * Official: the data set's rows, mmmu/configs/llava1.5.yaml, data_utils.py, eval_utils.py (mmmu_reply.h) and main_eval_only.py. */
#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/mmmu_reply.h"
#include "eval/bench/prompts.h"
#include "eval/bench/pylist.h"

enum { MOST_OPTIONS = 26 };

static const struct {
    const char *domain, *subjects[8];
} DOMAINS[] = {
    {"Art and Design", {"Art", "Art_Theory", "Design", "Music"}},
    {"Business", {"Accounting", "Economics", "Finance", "Manage", "Marketing"}},
    {"Science", {"Biology", "Chemistry", "Geography", "Math", "Physics"}},
    {"Health and Medicine",
     {"Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine", "Pharmacy", "Public_Health"}},
    {"Humanities and Social Science", {"History", "Literature", "Sociology", "Psychology"}},
    {"Tech and Engineering",
     {"Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics", "Energy_and_Power", "Materials",
      "Mechanical_Engineering"}},
};

static const char *domain_of(Span subject)
{
    for (size_t d = 0; d < sizeof DOMAINS / sizeof *DOMAINS; d++)
        for (int i = 0; i < 8 && DOMAINS[d].subjects[i]; i++)
            if (span_is(subject, DOMAINS[d].subjects[i]))
                return DOMAINS[d].domain;
    return NULL;
}

typedef struct Work {
    const BenchData *d;
    char path[PATH_MAX];
    Pool pool; /* of a row */
    BenchVisit visit;
    void *arg;
    Answers *a;
    Scores *s;
    int64_t right, fallback;
    Groups subjects, domains;
    FILE *out; /* of a submission */
    bool any;
} Work;

typedef struct Item {
    Span id;
    bool is_choice;
    Spans options;
} Item;

static Status texts_of(Pool *pool, Spans *out, const Json *array, const char *where)
{
    char found[96];
    *out = (Spans){pool_push(pool, (array->length + 1) * sizeof *out->item), 0};
    for (const Json *v = array->child; v && out->item; v = v->next) {
        if (v->kind != JSON_STRING)
            return fail(ERR_DATA, "%s:%d:%d: is %s, expected a text", where, v->line, v->column, json_show(v, found, sizeof found));
        out->item[out->n++] = (Span){v->string, v->length};
    }
    return pool_status(pool);
}

static Status read_options(Work *w, Spans *out, const Json *row)
{
    Span text;
    const Json *v = json_get(row, "options");
    if (v && v->kind == JSON_ARRAY)
        return texts_of(&w->pool, out, v, w->path);
    TRY(official_text(&text, row, "options", w->path));
    if (py_list(&w->pool, text, out))
        return OK;
    TRY(pool_status(&w->pool));
    return fail(ERR_DATA, "%s:%d:%d: \"options\" is \"%.*s\", expected a list of texts as Python writes it", w->path, v->line, v->column,
                (int)(text.n < 60 ? text.n : 60), text.s);
}

static Status read_item(Work *w, Item *item, const Json *row)
{
    Span type;
    pool_reset(&w->pool);
    TRY(official_text(&item->id, row, "id", w->path));
    TRY(official_text(&type, row, "question_type", w->path));
    item->is_choice = span_is(type, "multiple-choice");
    item->options = (Spans){0};
    if (!item->is_choice)
        return OK;
    TRY(read_options(w, &item->options, row));
    if (item->options.n < 1 || item->options.n > MOST_OPTIONS)
        return fail(ERR_DATA, "%s:%d: question \"%s\" has %d options, expected 1 to %d", w->path, row->line, item->id.s, item->options.n,
                    MOST_OPTIONS);
    return OK;
}

static Status each_row(Work *w, const BenchData *d, RowVisit visit)
{
    w->d = d;
    Status s = official_rows(official_path(w->path, d, "%s.jsonl", d->split), NULL, visit, w);
    pool_free(&w->pool);
    return s;
}

/* ---------------------------------------------------------------- questions */

static Span prompt_of(Pool *pool, Span question, const Item *item)
{
    Spans parts = {pool_push(pool, (size_t)(3 * item->options.n + 4) * sizeof *parts.item), 0};
    if (!parts.item)
        return SPAN("");
    parts.item[parts.n++] = question;
    parts.item[parts.n++] = item->is_choice ? SPAN("\n\n") : SPAN("\n" SHORT_ANSWER);
    for (int i = 0; i < item->options.n; i++) {
        parts.item[parts.n++] = span_print(pool, "(%c) ", 'A' + i);
        parts.item[parts.n++] = item->options.item[i];
        parts.item[parts.n++] = SPAN("\n");
    }
    if (item->is_choice)
        parts.item[parts.n++] = SPAN("\n" OPTION_LETTER);
    return span_join(pool, parts.item, parts.n, "");
}

/* Pictures that stand for options: of several none is shown, as the authors' loader does. */
static int pictures_in(Spans options)
{
    int n = 0;
    for (int i = 0; i < options.n; i++) {
        Span left = options.item[i];
        for (ptrdiff_t at; (at = py_find(left, SPAN("<image "))) >= 0; n++)
            left = (Span){left.s + at + 1, left.n - (size_t)at - 1};
    }
    return n;
}

static Status give_question(void *arg, const Json *row)
{
    Work *w = arg;
    Item item;
    Span question, image = SPAN("");
    TRY(read_item(w, &item, row));
    TRY(official_text(&question, row, "question", w->path));
    const Json *first = json_get(row, "image_1");
    if (first && first->kind != JSON_NULL)
        TRY(official_text(&image, row, "image_1", w->path));
    const bool shown = image.n && pictures_in(item.options) < 2;
    const Span prompt = prompt_of(&w->pool, question, &item);
    TRY(pool_status(&w->pool));
    return w->visit(w->arg, &(BenchQuestion){.id = item.id, .prompt = prompt, .image = shown ? image.s : NULL});
}

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    Work w = {.visit = visit, .arg = arg};
    return each_row(&w, d, give_question);
}

/* ---------------------------------------------------------------- score */

/* "validation_Art_Theory_12": Art_Theory. */
static Status subject_of(Work *w, Span *subject, Span id, int line)
{
    const ptrdiff_t first = py_find(id, SPAN("_")), last = py_rfind(id, SPAN("_"));
    *subject = last > first ? (Span){id.s + first + 1, (size_t)(last - first - 1)} : SPAN("");
    if (domain_of(*subject))
        return OK;
    return fail(ERR_DATA, "%s:%d: \"id\" is \"%s\", expected SPLIT_SUBJECT_NUMBER with one of MMMU's thirty subjects", w->path, line, id.s);
}

/* The answers of which one is to be given. */
static Status labels_of(Work *w, Spans *out, const Json *row)
{
    const Json *v = json_get(row, "answer");
    if (v && v->kind == JSON_ARRAY)
        return texts_of(&w->pool, out, v, w->path);
    if (!v || v->kind != JSON_STRING || !v->length || !strcmp(v->string, "?"))
        return fail(ERR_DATA,
                    "%s:%d: has no \"answer\": this split has no labels to score with; evaluate … submit writes what the "
                    "benchmark's server takes",
                    w->path, row->line);
    const Span text = {v->string, v->length};
    if (py_list(&w->pool, text, out))
        return OK;
    *out = (Spans){pool_push(&w->pool, sizeof *out->item), 1};
    TRY(pool_status(&w->pool));
    *out->item = text;
    return OK;
}

static bool is_right_letter(char letter, Spans labels)
{
    for (int i = 0; i < labels.n; i++)
        if (letter && labels.item[i].n == 1 && *labels.item[i].s == letter)
            return true;
    return false;
}

static Status count(Work *w, Span subject, bool right)
{
    Group *of[2] = {groups_at(w->s, &w->subjects, subject), groups_at(w->s, &w->domains, span_of(domain_of(subject)))};
    for (int i = 0; i < 2 && of[i]; i++) {
        of[i]->n++;
        of[i]->right += right;
    }
    w->right += right;
    w->s->n++;
    return scores_status(w->s);
}

static Status score_row(void *arg, const Json *row)
{
    Work *w = arg;
    Item item;
    Spans labels;
    Span subject, text = SPAN("");
    bool right = false;
    TRY(read_item(w, &item, row));
    TRY(subject_of(w, &subject, item.id, row->line));
    TRY(labels_of(w, &labels, row));
    const bool found = answers_find(w->a, item.id, &text);
    if (answers_not_asked(w->a, found))
        return OK;
    w->s->n_missing += !found;
    if (found && item.is_choice) {
        const char letter = mmmu_letter(&w->pool, text, item.options);
        w->fallback += !letter;
        right = is_right_letter(letter, labels);
    } else if (found)
        right = mmmu_is_right(&w->pool, text, labels);
    TRY(pool_status(&w->pool));
    return count(w, subject, right);
}

static Status score(const BenchData *d, Answers *a, Scores *s)
{
    Work w = {.a = a, .s = s};
    Status status = each_row(&w, d, score_row);
    scores_share(s, w.right, s->n, "overall");
    groups_share(s, &w.subjects, "subject");
    groups_share(s, &w.domains, "domain");
    scores_count(s, w.fallback, "fallback");
    groups_free(&w.subjects);
    groups_free(&w.domains);
    return status;
}

/* ---------------------------------------------------------------- submission */

/* {id: letter, or the whole reply to an open question}; a reply without a letter has an empty one. */
static Status put_row(void *arg, const Json *row)
{
    Work *w = arg;
    Item item;
    Span text;
    TRY(read_item(w, &item, row));
    if (!answers_find(w->a, item.id, &text))
        return OK;
    if (item.is_choice) {
        const char letter = mmmu_letter(&w->pool, text, item.options);
        text = span_print(&w->pool, "%.*s", letter != 0, &letter);
    }
    fputs(w->any ? ",\n    " : "{\n    ", w->out);
    json_put_text(w->out, item.id.s, item.id.n);
    fputs(": ", w->out);
    json_put_text(w->out, text.s, text.n);
    w->any = true;
    return pool_status(&w->pool);
}

static Status submit(const BenchData *d, Answers *a, const char *path)
{
    FileDraft draft;
    TRY(file_draft(&draft, path));
    Work w = {.a = a, .out = draft.out};
    Status s = each_row(&w, d, put_row);
    fputs(w.any ? "\n}\n" : "{}\n", draft.out);
    return file_publish(&draft, s ? s : answers_all_known(a));
}

const Bench BENCH_MMMU = {
    .name = "mmmu",
    .split = "validation",
    .files = "SPLIT.jsonl, the rows of the data set, their pictures as paths",
    .pictures = "image_1 of the row",
    .suffix = "\n" OPTION_LETTER,
    .metric = "accuracy; letters that cannot be read are wrong, never drawn",
    .note = "greedy, and a letter that cannot be read is wrong; the authors' run of LLaVA sampled with five beams, and drew such letters",
    .max_new_tokens = 128,
    .questions = questions,
    .score = score,
    .submit = submit};
