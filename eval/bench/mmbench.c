/* mmbench.c: MMBench, English and Chinese: a question is right when it is with its options in every rotation. Pictures lie in the table.
 * Called through benches.c. Official: mmbench_*.tsv, LLaVA's model_vqa_mmbench.py and convert_mmbench_for_submission.py; VLMEvalKit's
 * exact matching (choice.h). */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/base64.h"
#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/bench/choice.h"
#include "eval/bench/prompts.h"
#include "eval/bench/tsv.h"
#include "eval/bench/xlsx.h"
#include "kernels/base/arena.h"

enum { ROTATION = 1000000, REFERENCE_CHARACTERS = 64, PREDICTION_COLUMN = 6, MOST_COLUMNS = 64 };

static const char *const OPTION_NAMES[CHOICES] = {"A", "B", "C", "D"};

typedef struct Table {
    Tsv tsv;
    char path[PATH_MAX];
    int index, question, option[CHOICES], hint, image, answer, category, l2_category; /* columns; -1: none */
} Table;

static Span field(const Table *t, int64_t row, int column) { return column < 0 ? SPAN("") : t->tsv.field[row * t->tsv.n_columns + column]; }

static Status need_column(int *out, const Table *t, const char *name)
{
    *out = tsv_column(&t->tsv, name);
    return *out >= 0 ? OK : fail(ERR_DATA, "%s:1: the header has no column \"%s\"", t->path, name);
}

static void close_table(Table *t) { tsv_free(&t->tsv); }

static Status open_table(Table *t, const BenchData *d, bool chinese)
{
    official_path(t->path, d, chinese ? "mmbench_%s_cn_20231003.tsv" : "mmbench_%s_20230712.tsv", d->split);
    TRY(tsv_read(&t->tsv, t->path));
    Status s = need_column(&t->index, t, "index");
    if (!s)
        s = need_column(&t->question, t, "question");
    for (int i = 0; i < CHOICES && !s; i++)
        s = need_column(&t->option[i], t, OPTION_NAMES[i]);
    if (!s)
        s = need_column(&t->image, t, "image");
    t->hint = tsv_column(&t->tsv, "hint");
    t->answer = tsv_column(&t->tsv, "answer");
    t->category = tsv_column(&t->tsv, "category");
    t->l2_category = tsv_column(&t->tsv, "l2-category");
    if (s)
        close_table(t);
    return s;
}

static Status index_of(int64_t *out, const Table *t, int64_t row)
{
    const Span text = field(t, row, t->index);
    if (!py_int(text, out) || *out < 0)
        return fail(ERR_DATA, "%s:%d: \"index\" is \"%.*s\", expected the number of a question", t->path, t->tsv.line[row],
                    (int)(text.n < 40 ? text.n : 40), text.s);
    return OK;
}

/* ---------------------------------------------------------------- questions */

/* What LLaVA takes for nothing: what pandas does, and these two in any case. */
static bool is_none(Span text)
{
    return tsv_is_missing(text) || (text.n == 3 && !strncasecmp(text.s, "nan", 3)) || (text.n == 4 && !strncasecmp(text.s, "none", 4));
}

/* Options up to the first that is empty. */
static int options_of(Span out[CHOICES], const Table *t, int64_t row)
{
    int n = 0;
    for (; n < CHOICES && !is_none(field(t, row, t->option[n])); n++)
        out[n] = field(t, row, t->option[n]);
    return n;
}

static Span prompt_of(Pool *pool, const Table *t, int64_t row, const Span *option, int n)
{
    Span parts[3 + 2 * CHOICES], hint = field(t, row, t->hint);
    int k = 0;
    if (!is_none(hint)) {
        parts[k++] = hint;
        parts[k++] = SPAN("\n");
    }
    parts[k++] = field(t, row, t->question);
    for (int i = 0; i < n; i++) {
        parts[k++] = span_print(pool, "\n%s. ", OPTION_NAMES[i]);
        parts[k++] = option[i];
    }
    return span_join(pool, parts, k, "");
}

/* "options" and "option_char" of an answer line. */
static Status members_of(Pool *pool, Span *out, const Span *option, int n)
{
    cJSON *o = cJSON_CreateObject(), *texts = cJSON_AddArrayToObject(o, "options"), *letters = cJSON_AddArrayToObject(o, "option_char");
    char *json;
    for (int i = 0; i < n; i++) {
        json_add_bytes(texts, NULL, option[i].s, option[i].n);
        json_add_text(letters, NULL, OPTION_NAMES[i]);
    }
    TRY(json_to_text(&json, &o, JSON_INLINE, "an answer"));
    *out = span_copy(pool, (Span){json + 1, strlen(json) - 2}); /* without the braces */
    mem_free(json);
    return pool_status(pool);
}

/* The letters of a row's picture: its own, or those of the row whose index it has in their place. */
static Status picture_of(Span *out, const Table *t, int64_t row)
{
    int64_t index, other;
    *out = field(t, row, t->image);
    if (out->n > REFERENCE_CHARACTERS || !py_int(*out, &index))
        return OK;
    for (int64_t i = 1; i < t->tsv.n_rows; i++) {
        TRY(index_of(&other, t, i));
        if (other == index) {
            *out = field(t, i, t->image);
            return OK;
        }
    }
    return fail(ERR_DATA, "%s:%d: \"image\" is %" PRId64 ", which is the index of no row", t->path, t->tsv.line[row], index);
}

static Status give_question(const Table *t, int64_t row, bool chinese, Pool *pool, BenchVisit visit, void *arg)
{
    Span option[CHOICES], picture;
    int64_t index;
    BenchQuestion q = {.number = true, .suffix = span_of(chinese ? OPTION_LETTER_CN : OPTION_LETTER), .after_id = SPAN("\"round_id\": 0")};
    TRY(index_of(&index, t, row));
    TRY(picture_of(&picture, t, row));
    const int n = options_of(option, t, row);
    q.id = span_print(pool, "%" PRId64, index);
    q.prompt = prompt_of(pool, t, row, option, n);
    TRY(members_of(pool, &q.after_text, option, n));
    uint8_t *bytes = pool_push(pool, picture.n + 1);
    TRY(pool_status(pool));
    q.bytes = bytes;
    if (!base64_decode(bytes, &q.n_bytes, picture.s, picture.n) || !q.n_bytes)
        q.n_bytes = picture.n + 1; /* no picture: whoever reads it says so */
    return visit(arg, &q);
}

static Status ask_all(const BenchData *d, bool chinese, BenchVisit visit, void *arg)
{
    Table t;
    Pool pool = {0};
    TRY(open_table(&t, d, chinese));
    Status s = OK;
    for (int64_t i = 1; i < t.tsv.n_rows && !s; i++) {
        s = give_question(&t, i, chinese, &pool, visit, arg);
        pool_reset(&pool);
    }
    pool_free(&pool);
    close_table(&t);
    return s;
}

/* ---------------------------------------------------------------- score */

typedef struct Outcome {
    int64_t row, base;
    bool right, first, hit; /* first: of the rows with that base, which then says whether all are right */
} Outcome;

typedef struct Sums {
    int64_t undecided, n_vanilla, right_vanilla;
    Groups category, l2_category;
} Sums;

static Status score_row(const Table *t, Answers *a, Pool *pool, Outcome *o, Scores *s, Sums *sums)
{
    Span option[CHOICES], text = SPAN("");
    int64_t index;
    const Span answer = field(t, o->row, t->answer);
    TRY(index_of(&index, t, o->row));
    if (tsv_is_missing(answer))
        return fail(ERR_DATA,
                    "%s:%d: has no \"answer\": this split has no labels to score with; evaluate … submit writes what the "
                    "benchmark's server takes",
                    t->path, t->tsv.line[o->row]);
    for (int i = 0; i < CHOICES; i++) {
        option[i] = field(t, o->row, t->option[i]);
        if (tsv_is_missing(option[i]))
            option[i].s = NULL;
    }
    const bool found = answers_find(a, span_print(pool, "%" PRId64, index), &text);
    if (answers_not_asked(a, found))
        return pool_status(pool);
    const char letter = found ? choice_of(pool, text, option) : 0;
    o->base = index % ROTATION;
    o->right = letter && answer.n == 1 && *answer.s == letter;
    s->n++;
    s->n_missing += !found;
    sums->undecided += found && !letter;
    sums->n_vanilla += index < ROTATION;
    sums->right_vanilla += index < ROTATION && o->right;
    return pool_status(pool);
}

static int by_base(const void *x, const void *y)
{
    const Outcome *a = x, *b = y;
    if (a->base != b->base)
        return a->base < b->base ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static int by_row(const void *x, const void *y)
{
    const Outcome *a = x, *b = y;
    return (a->row > b->row) - (a->row < b->row);
}

static void join_rotations(Outcome *o, int64_t n)
{
    qsort(o, (size_t)n, sizeof *o, by_base);
    for (int64_t i = 0, first = 0; i < n; i++) {
        if (!i || o[i].base != o[i - 1].base) {
            first = i;
            o[i].first = o[i].hit = true;
        }
        o[first].hit &= o[i].right;
    }
    qsort(o, (size_t)n, sizeof *o, by_row);
}

static void count_in(Scores *s, Groups *g, Span name, bool hit)
{
    Group *group = tsv_is_missing(name) ? NULL : groups_at(s, g, name);
    if (!group)
        return;
    group->n++;
    group->right += hit;
}

static void add_scores(const Table *t, const Outcome *o, int64_t n, Scores *s, Sums *sums)
{
    int64_t n_base = 0, hits = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!o[i].first)
            continue;
        n_base++;
        hits += o[i].hit;
        count_in(s, &sums->category, field(t, o[i].row, t->category), o[i].hit);
        count_in(s, &sums->l2_category, field(t, o[i].row, t->l2_category), o[i].hit);
    }
    scores_share(s, hits, n_base, "circular");
    scores_share(s, sums->right_vanilla, sums->n_vanilla, "vanilla");
    groups_share(s, &sums->category, "category");
    groups_share(s, &sums->l2_category, "l2-category");
    scores_count(s, sums->undecided, "undecided");
    scores_count(s, n_base, "base");
}

static Status score_table(const Table *t, Answers *a, Scores *s)
{
    Sums sums = {0};
    Pool pool = {0};
    const int64_t n = t->tsv.n_rows - 1;
    Outcome *o = mem_alloc((size_t)(n + 1) * sizeof *o);
    Status status = o ? OK : fail(ERR_NOMEM, "no memory for %" PRId64 " answers", n);
    for (int64_t row = 1; row <= n && !status; row++) {
        o[s->n].row = row;
        status = score_row(t, a, &pool, &o[s->n], s, &sums);
        pool_reset(&pool);
    }
    if (!status) {
        join_rotations(o, s->n);
        add_scores(t, o, s->n, s, &sums);
    }
    groups_free(&sums.category);
    groups_free(&sums.l2_category);
    pool_free(&pool);
    mem_free(o);
    return status;
}

static Status score(const BenchData *d, bool chinese, Answers *a, Scores *s)
{
    Table t;
    TRY(open_table(&t, d, chinese));
    Status status = score_table(&t, a, s);
    close_table(&t);
    return status;
}

/* ---------------------------------------------------------------- submission */

static bool is_submitted(Span column)
{
    static const char *const LEFT_OUT[] = {"hint", "category", "source", "image", "comment", "l2-category"};
    for (size_t i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++)
        if (span_is(column, LEFT_OUT[i]))
            return false;
    return true;
}

/* The columns of the table but those, the prediction as the seventh. Row 0: their names. */
static Status put_row(Xlsx *x, const Table *t, int64_t row, Answers *a, Pool *pool)
{
    XlsxCell cell[MOST_COLUMNS + 1], prediction = {SPAN("prediction"), false};
    int n = 0;
    if (row) {
        int64_t index;
        prediction.text = SPAN("");
        TRY(index_of(&index, t, row));
        answers_find(a, span_print(pool, "%" PRId64, index), &prediction.text);
    }
    for (int i = 0; i < (int)t->tsv.n_columns; i++) {
        if (!is_submitted(field(t, 0, i)))
            continue;
        if (n == PREDICTION_COLUMN)
            cell[n++] = prediction;
        const Span text = field(t, row, i);
        cell[n++] = (XlsxCell){row && tsv_is_missing(text) ? SPAN("") : text, row && i == t->index};
    }
    if (n <= PREDICTION_COLUMN)
        cell[n++] = prediction;
    xlsx_row(x, cell, n);
    return pool_status(pool);
}

static Status write_workbook(FILE *out, const Table *t, Answers *a)
{
    Xlsx x;
    Pool pool = {0};
    TRY(xlsx_begin(&x));
    Status s = t->tsv.n_columns <= MOST_COLUMNS
                   ? OK
                   : fail(ERR_DATA, "%s:1: has %" PRId64 " columns, expected %d at most", t->path, t->tsv.n_columns, MOST_COLUMNS);
    for (int64_t i = 0; i < t->tsv.n_rows && !s; i++) {
        s = put_row(&x, t, i, a, &pool);
        pool_reset(&pool);
    }
    pool_free(&pool);
    return xlsx_end(&x, out, s ? s : answers_all_known(a));
}

static Status submit(const BenchData *d, bool chinese, Answers *a, const char *path)
{
    Table t;
    FileDraft draft;
    TRY(open_table(&t, d, chinese));
    Status s = file_draft(&draft, path);
    if (!s)
        s = file_publish(&draft, write_workbook(draft.out, &t, a));
    close_table(&t);
    return s;
}

/* ---------------------------------------------------------------- two languages */

static Status questions_en(const BenchData *d, BenchVisit visit, void *arg) { return ask_all(d, false, visit, arg); }
static Status questions_cn(const BenchData *d, BenchVisit visit, void *arg) { return ask_all(d, true, visit, arg); }
static Status score_en(const BenchData *d, Answers *a, Scores *s) { return score(d, false, a, s); }
static Status score_cn(const BenchData *d, Answers *a, Scores *s) { return score(d, true, a, s); }
static Status submit_en(const BenchData *d, Answers *a, const char *out) { return submit(d, false, a, out); }
static Status submit_cn(const BenchData *d, Answers *a, const char *out) { return submit(d, true, a, out); }

#define NOTE "a reply that exact matching cannot decide is wrong; published figures had a language model match those"
#define METRIC "questions right in every rotation, by exact matching"
#define MMBENCH(NAME, FILES, SUFFIX, LANGUAGE)                                                                                           \
    {.name = NAME, .split = "dev", .files = FILES, .pictures = "in the file", .suffix = SUFFIX, .metric = METRIC, .note = NOTE,            \
     .max_new_tokens = 1024, .questions = questions_##LANGUAGE, .score = score_##LANGUAGE, .submit = submit_##LANGUAGE}
const Bench BENCH_MMBENCH = MMBENCH("mmbench", "mmbench_SPLIT_20230712.tsv", OPTION_LETTER, en),
            BENCH_MMBENCH_CN = MMBENCH("mmbench-cn", "mmbench_SPLIT_cn_20231003.tsv", OPTION_LETTER_CN, cn);
