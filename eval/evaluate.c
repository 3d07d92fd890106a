/* evaluate: scores the answers of `generate --batch`: exact match by question kind, beside another model's answers and the majority answer. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/rows.h"
#include "eval/text.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

static struct {
    const char *answers, *before, *label;
} args = {.label = "accuracy"};

static const CliOption OPTIONS[] = {
    {"--answers", CLI_STRING, &args.answers, "FILE", "answers.jsonl (-: standard input): objects with \"answer\", \"expected\" and, if there are several, \"kind\"", 0, 0, NULL, false},
    {"--before", CLI_STRING, &args.before, "FILE", "the same questions answered by another model, to compare with", 0, 0, NULL, false},
    {"--label", CLI_STRING, &args.label, "TEXT", "what the last line calls the result (default: accuracy)", 0, 0, NULL, false},
    {0}};

static const CliProgram PROGRAM = {.name = "evaluate",
                                   .summary = "Scores answers by exact match (case, outer blanks and a final full stop do not count).",
                                   .usage = "evaluate --answers FILE.jsonl [--before FILE.jsonl]",
                                   .options = OPTIONS};

enum { MAX_KINDS = 64, KIND_BYTES = 64 };

typedef struct Scored {
    Text expected, answer;
    int kind;
} Scored;

typedef struct Table {
    Scored *rows;
    int n, capacity, n_kinds;
    char kinds[MAX_KINDS][KIND_BYTES];
} Table;

static void table_free(Table *t)
{
    for (int i = 0; i < t->n; i++) {
        mem_free(t->rows[i].expected.bytes);
        mem_free(t->rows[i].answer.bytes);
    }
    mem_free(t->rows);
}

static bool among(char c, const char *set) { return c && strchr(set, c); }
static bool same(const Text *a, const Text *b) { return a->n == b->n && !memcmp(a->bytes, b->bytes, a->n); }

static Status normalise(Text *out, const Json *string)
{
    const char *text = string->string;
    size_t n = string->length;
    for (; n && among(*text, " \t\r\n"); text++)
        n--;
    while (n && among(text[n - 1], " \t\r\n."))
        n--;
    TRY(text_copy(out, text, n));
    for (size_t i = 0; i < n; i++)
        out->bytes[i] = (char)tolower((unsigned char)out->bytes[i]);
    return OK;
}

static int kind_index(Table *t, const char *kind)
{
    for (int i = 0; i < t->n_kinds; i++)
        if (!strncmp(t->kinds[i], kind, KIND_BYTES - 1))
            return i;
    if (t->n_kinds == MAX_KINDS)
        return -1;
    snprintf(t->kinds[t->n_kinds], KIND_BYTES, "%s", kind);
    return t->n_kinds++;
}

static Status add_row(Table *t, const char *file, int line, const Json *o)
{
    const Json *answer = json_get(o, "answer"), *expected = json_get(o, "expected"), *kind = json_get(o, "kind");
    if (!answer || answer->kind != JSON_STRING || !expected || expected->kind != JSON_STRING)
        return fail(ERR_DATA, "%s:%d: needs \"answer\" and \"expected\", both text", file, line);
    if (t->n == t->capacity) {
        t->capacity = 2 * t->capacity + 256;
        Scored *grown = mem_grow(t->rows, (size_t)t->capacity * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for %d answers", t->capacity);
        t->rows = grown;
    }
    Scored *r = &t->rows[t->n++];
    *r = (Scored){0};
    TRY(normalise(&r->answer, answer));
    TRY(normalise(&r->expected, expected));
    r->kind = kind_index(t, kind && kind->kind == JSON_STRING ? kind->string : "all");
    return r->kind < 0 ? fail(ERR_DATA, "%s:%d: more than %d kinds of question", file, line, MAX_KINDS) : OK;
}

static Status read_table(Table *t, const char *path)
{
    Rows *rows;
    Row row;
    const char *file = file_name(path);
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        JsonDoc *doc = NULL;
        s = row.error ? fail(ERR_DATA, "%s:%s", file, row.error) : json_parse_at(&doc, row.text, row.n, file, row.line, row.column);
        if (!s)
            s = add_row(t, file, row.line, json_root(doc));
        json_free(&doc);
    }
    rows_close(&rows);
    return !s && t->n == 0 ? fail(ERR_DATA, "%s: holds no answers", file) : s;
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
        log_warn("%d of %d rows of the batch had no answer (%s); the score is over the other %d", left_out, left_out + t->n, path, t->n);
    return s;
}

static int right(const Table *t, int kind)
{
    int n = 0;
    for (int i = 0; i < t->n; i++)
        n += (kind < 0 || t->rows[i].kind == kind) && same(&t->rows[i].answer, &t->rows[i].expected);
    return n;
}

static int asked(const Table *t, int kind)
{
    int n = 0;
    for (int i = 0; i < t->n; i++)
        n += t->rows[i].kind == kind;
    return n;
}

/* How often the most frequent expected answer of a kind is right, and which it is. */
static int majority(const Table *t, int kind, const char **answer)
{
    int best = 0;
    for (int i = 0; i < t->n; i++) {
        if (t->rows[i].kind != kind)
            continue;
        int n = 0;
        for (int j = 0; j < t->n; j++)
            n += t->rows[j].kind == kind && same(&t->rows[j].expected, &t->rows[i].expected);
        if (n > best) {
            best = n;
            *answer = t->rows[i].expected.bytes;
        }
    }
    return best;
}

static Status same_questions(const Table *a, const Table *b)
{
    bool equal = a->n == b->n;
    for (int i = 0; equal && i < a->n; i++)
        equal = same(&a->rows[i].expected, &b->rows[i].expected);
    return equal ? OK : fail(ERR_DATA, "%s and %s do not answer the same questions (%d and %d rows)", args.answers, args.before, a->n, b->n);
}

static void print_scores(const Table *t, const Table *before)
{
    int all_majority = 0;
    const char *answer = "";
    fprintf(stdout, "%-20s %9s %9s %9s %9s\n", "kind", "questions", "accuracy", before ? "before" : "", "majority");
    for (int k = 0; k < t->n_kinds; k++) {
        int n = asked(t, k), m = majority(t, k, &answer);
        all_majority += m;
        fprintf(stdout, "%-20s %9d %7.1f %% ", t->kinds[k], n, 100.0 * right(t, k) / n);
        if (before)
            fprintf(stdout, "%7.1f %% ", 100.0 * right(before, k) / n);
        else
            fprintf(stdout, "%9s ", "");
        fprintf(stdout, "%7.1f %%  (\"%s\")\n", 100.0 * m / n, answer);
    }
    fprintf(stdout, "%s: %.1f %% (", args.label, 100.0 * right(t, -1) / t->n);
    if (before)
        fprintf(stdout, "before %.1f %%, ", 100.0 * right(before, -1) / t->n);
    fprintf(stdout, "majority %.1f %%)\n", 100.0 * all_majority / t->n);
}

static Status run(int argc, char **argv)
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
        print_scores(&after, args.before ? &before : NULL);
    table_free(&after);
    table_free(&before);
    return s;
}

int main(int argc, char **argv)
{
    cli_start();
    return cli_finish(run(argc, argv));
}
