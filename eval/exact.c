/* exact.c: scores the answers of `generate --batch`: exact match by question kind, beside another model's answers and the majority answer
 * (exact.h). Called by evaluate. */
#include "eval/exact.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "eval/text.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

static struct {
    const char *answers, *before, *label;
} args = {.label = "accuracy"};

static const CliOption OPTIONS[] = {
    {"--answers", CLI_STRING, &args.answers, "FILE", "answers.jsonl (-: standard input): objects with \"answer\", \"expected\" and, if "
                                                     "there are several, \"kind\"", 0, 0, NULL, false},
    {"--before", CLI_STRING, &args.before, "FILE", "the same questions answered by another model, to compare with", 0, 0, NULL, false},
    {"--label", CLI_STRING, &args.label, "TEXT", "what the last line calls the result (default: accuracy)", 0, 0, NULL, false},
    {0}};

static const CliProgram PROGRAM = {.name = "evaluate",
                                   .summary = "Scores answers by exact match (case, outer blanks, a final full stop and how accents are "
                                              "encoded do not count).",
                                   .usage = "evaluate exact --answers FILE.jsonl [--before FILE.jsonl]",
                                   .options = OPTIONS};

enum { MAX_KINDS = 64, KIND_COLUMNS = 20, SHOWN_BYTES = 100 };

typedef struct Scored {
    Text expected, answer;
    int kind;
} Scored;

typedef struct Table {
    Scored *rows;
    int n, capacity, n_kinds;
    int unscored; /* rows without "expected" */
    int damaged;  /* rows that held bytes or surrogates that are no characters */
    Text kinds[MAX_KINDS];
} Table;

static void table_free(Table *t)
{
    for (int i = 0; i < t->n; i++) {
        mem_free(t->rows[i].expected.bytes);
        mem_free(t->rows[i].answer.bytes);
    }
    for (int i = 0; i < t->n_kinds; i++)
        mem_free(t->kinds[i].bytes);
    mem_free(t->rows);
}

static bool is_right(const Scored *r) { return !text_compare(&r->answer, &r->expected); }

/* *index: of the kind among the table's, or MAX_KINDS when there are too many. */
static Status find_kind(Table *t, const Json *kind, int *index)
{
    static const char ALL[] = "all";
    bool named = kind && kind->kind == JSON_STRING;
    Text name;
    TRY(text_copy(&name, named ? kind->string : ALL, named ? kind->length : sizeof ALL - 1));
    for (*index = 0; *index < t->n_kinds && text_compare(&t->kinds[*index], &name); ++*index)
        ;
    if (*index < t->n_kinds || *index == MAX_KINDS)
        mem_free(name.bytes);
    else
        t->kinds[t->n_kinds++] = name;
    return OK;
}

static Status grow(Table *t)
{
    if (t->n < t->capacity)
        return OK;
    if (t->capacity > INT_MAX / 4)
        return fail(ERR_DATA, "more than %d answers", t->n);
    t->capacity = 2 * t->capacity + 256;
    Scored *grown = mem_grow(t->rows, (size_t)t->capacity * sizeof *grown);
    if (!grown)
        return fail(ERR_NOMEM, "no memory for %d answers", t->capacity);
    t->rows = grown;
    return OK;
}

static Status add_row(Table *t, const char *file, int line, const Json *o)
{
    const Json *answer = json_get(o, "answer"), *expected = json_get(o, "expected");
    if (!answer || answer->kind != JSON_STRING || (expected && expected->kind != JSON_STRING))
        return fail(ERR_DATA, "%s:%d: needs \"answer\" and \"expected\", both text", file, line);
    if (!expected) { /* a question whose answer nobody gave */
        t->unscored++;
        return OK;
    }
    TRY(grow(t));
    Scored *r = &t->rows[t->n++];
    *r = (Scored){.kind = 0};
    TRY(text_normalise(&r->answer, answer->string, answer->length));
    TRY(text_normalise(&r->expected, expected->string, expected->length));
    TRY(find_kind(t, json_get(o, "kind"), &r->kind));
    return r->kind < MAX_KINDS ? OK : fail(ERR_DATA, "%s:%d: more than %d kinds of question", file, line, MAX_KINDS);
}

static Status read_row(Table *t, const char *file, const Row *row)
{
    JsonDoc *doc = NULL;
    Text text;
    bool damaged = false;
    if (row->error)
        return fail(ERR_DATA, "%s:%s", file, row->error);
    TRY(text_repair(&text, row->text, row->n, &damaged));
    Status s = json_parse_at(&doc, text.bytes, text.n, file, row->line, row->column);
    mem_free(text.bytes);
    if (!s) {
        t->damaged += damaged || json_replaced_surrogates(doc);
        s = add_row(t, file, row->line, json_root(doc));
    }
    json_free(&doc);
    return s;
}

static Status fail_array(const char *file)
{
    return fail(ERR_DATA, "%s: is a JSON array, expected an answer a line, as `generate --batch` writes them: {\"answer\": text, "
                          "\"expected\": text}", file);
}

static Status read_table(Table *t, const char *path)
{
    Rows *rows;
    Row row;
    const char *file = file_name(path);
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = !t->n && !row.error && row.n && *row.text == '[' ? fail_array(file) : read_row(t, file, &row);
    rows_close(&rows);
    if (!s && t->n == 0)
        s = fail(ERR_DATA, t->unscored ? "%s: none of its answers has an \"expected\" beside it" : "%s: holds no answers", file);
    if (!s && t->unscored)
        log_warn("%s: %d of %d answers have no \"expected\" beside them and are not scored", file, t->unscored, t->unscored + t->n);
    if (!s && t->damaged)
        log_warn("%s: %d rows hold what is no character (bytes that are not UTF-8, lone surrogates); it is read as U+FFFD", file,
                 t->damaged);
    return s;
}

/* Says how many rows `generate --batch` left out: they are listed beside its answers.jsonl. */
static Status warn_of_left_out(const Table *t, const char *file)
{
    char path[PATH_MAX], folder[PATH_MAX];
    const char *slash = strrchr(file, '/');
    file_join(path, file_folder(folder, file), "bad_rows.jsonl");
    if (strcmp(slash ? slash + 1 : file, "answers.jsonl") || !file_exists(path))
        return OK;
    Rows *rows;
    Row row;
    int left_out = 0;
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        left_out++;
    rows_close(&rows);
    if (!s && left_out)
        log_warn("%d of %d questions of the batch had no answer (%s); the score is over the other %d", left_out,
                 left_out + t->n + t->unscored, path, t->n);
    return s;
}

/* What is told of one kind of question. */
typedef struct Score {
    int asked, right, right_before;
    int majority;           /* how often its most frequent expected answer is right; the first in the file of equally frequent ones */
    const Scored *frequent; /* the first row that expects it */
} Score;

static int by_expected(const void *a, const void *b)
{
    const Scored *x = *(const Scored *const *)a, *y = *(const Scored *const *)b;
    int order = x->kind - y->kind;
    if (!order)
        order = text_compare(&x->expected, &y->expected);
    return order ? order : (x > y) - (x < y);
}

static Status find_majorities(const Table *t, Score scores[MAX_KINDS])
{
    const Scored **sorted = mem_alloc((size_t)t->n * sizeof *sorted);
    if (!sorted)
        return fail(ERR_NOMEM, "no memory to sort %d answers", t->n);
    for (int i = 0; i < t->n; i++)
        sorted[i] = &t->rows[i];
    qsort(sorted, (size_t)t->n, sizeof *sorted, by_expected);
    for (int i = 0, next; i < t->n; i = next) {
        const Scored *first = sorted[i];
        for (next = i + 1; next < t->n && sorted[next]->kind == first->kind && !text_compare(&sorted[next]->expected, &first->expected);
             next++)
            ;
        Score *k = &scores[first->kind];
        if (next - i > k->majority || (next - i == k->majority && first < k->frequent))
            k->majority = next - i, k->frequent = first;
    }
    mem_free(sorted);
    return OK;
}

/* before: the same questions, or NULL. The kinds are those of t. */
static Status score(const Table *t, const Table *before, Score scores[MAX_KINDS])
{
    for (int i = 0; i < t->n; i++) {
        Score *k = &scores[t->rows[i].kind];
        k->asked++;
        k->right += is_right(&t->rows[i]);
        k->right_before += before && is_right(&before->rows[i]);
    }
    return find_majorities(t, scores);
}

static Status same_questions(const Table *a, const Table *b)
{
    bool equal = a->n == b->n;
    for (int i = 0; equal && i < a->n; i++)
        equal = !text_compare(&a->rows[i].expected, &b->rows[i].expected);
    return equal ? OK
                 : fail(ERR_DATA, "%s and %s do not answer the same questions (%d and %d rows)", args.answers, args.before, a->n, b->n);
}

/* The beginning of a long text, on one line. */
static const char *shown(char buf[5 * SHOWN_BYTES], const Text *text)
{
    size_t n = utf8_whole(text->bytes, text->n < SHOWN_BYTES ? text->n : SHOWN_BYTES);
    n = utf8_show(buf, 4 * SHOWN_BYTES + 1, text->bytes, n, UTF8_LINE); /* a byte becomes four at most */
    snprintf(buf + n, SHOWN_BYTES, "%s", text->n > SHOWN_BYTES ? "…" : "");
    return buf;
}

static void print_scores(const Table *t, const Score *scores, bool with_before)
{
    char text[5 * SHOWN_BYTES];
    Score all = {.asked = 0};
    fprintf(stdout, "%-*s %9s %9s %9s %9s\n", KIND_COLUMNS, "kind", "questions", "accuracy", with_before ? "before" : "", "majority");
    for (int i = 0; i < t->n_kinds; i++) {
        const Score *k = &scores[i];
        utf8_cell(stdout, shown(text, &t->kinds[i]), KIND_COLUMNS);
        fprintf(stdout, " %9d %7.1f %% ", k->asked, 100.0 * k->right / k->asked);
        if (with_before)
            fprintf(stdout, "%7.1f %% ", 100.0 * k->right_before / k->asked);
        else
            fprintf(stdout, "%9s ", "");
        fprintf(stdout, "%7.1f %%  (\"%s\")\n", 100.0 * k->majority / k->asked, shown(text, &k->frequent->expected));
        all.right += k->right, all.right_before += k->right_before, all.majority += k->majority;
    }
    utf8_cell(stdout, args.label, 0);
    fprintf(stdout, ": %.1f %% (", 100.0 * all.right / t->n);
    if (with_before)
        fprintf(stdout, "before %.1f %%, ", 100.0 * all.right_before / t->n);
    fprintf(stdout, "majority %.1f %%)\n", 100.0 * all.majority / t->n);
}

static void add_score(cJSON *to, const Score *s, bool with_before)
{
    json_add_int(to, "questions", s->asked);
    json_add_int(to, "right", s->right);
    if (with_before)
        json_add_int(to, "right_before", s->right_before);
    json_add_int(to, "right_by_majority", s->majority);
}

/* One object: label and sums, and of each kind the same. */
static Status print_json(const Table *t, const Score *scores, bool with_before)
{
    Score all = {.asked = t->n};
    cJSON *o = cJSON_CreateObject(), *kinds = cJSON_CreateArray();
    for (int i = 0; i < t->n_kinds; i++) {
        cJSON *kind = json_add(kinds, NULL, cJSON_CreateObject());
        json_add_bytes(kind, "kind", t->kinds[i].bytes, t->kinds[i].n);
        add_score(kind, &scores[i], with_before);
        json_add_bytes(kind, "majority", scores[i].frequent->expected.bytes, scores[i].frequent->expected.n);
        all.right += scores[i].right, all.right_before += scores[i].right_before, all.majority += scores[i].majority;
    }
    json_add_text(o, "label", args.label);
    add_score(o, &all, with_before);
    json_add_real(o, "accuracy", (double)all.right / t->n);
    json_add(o, "kinds", kinds);
    return json_print(stdout, &o, JSON_LINE, "evaluate");
}

Status exact_run(int argc, char **argv)
{
    bool done;
    TRY(cli_parse(&PROGRAM, argc, argv, &done));
    if (done)
        return OK;
    if (args.answers && args.before && !strcmp(args.answers, "-") && !strcmp(args.before, "-"))
        return fail(ERR_USAGE, "evaluate: standard input can be --answers or --before, not both");
    if (!args.answers)
        return fail(ERR_USAGE, "evaluate: --answers FILE.jsonl is missing; evaluate --help shows the usage");
    Table after = {0}, before = {0};
    Score scores[MAX_KINDS] = {0};
    Status s = read_table(&after, args.answers);
    if (!s && args.before)
        s = read_table(&before, args.before);
    if (!s)
        s = warn_of_left_out(&after, args.answers);
    if (!s && args.before)
        s = warn_of_left_out(&before, args.before);
    if (!s && args.before)
        s = same_questions(&after, &before);
    if (!s)
        s = score(&after, args.before ? &before : NULL, scores);
    if (!s && log_is_json())
        s = print_json(&after, scores, args.before);
    else if (!s)
        print_scores(&after, scores, args.before);
    table_free(&after);
    table_free(&before);
    return s;
}
