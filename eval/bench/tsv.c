/* tsv.c: see tsv.h. Called by mmbench.c. */
#include "eval/bench/tsv.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

static const size_t MOST_BYTES = (size_t)2 << 30;

typedef struct Reader {
    const char *path;
    char *at, *end;
    int line;
    bool row_ends; /* behind the field that was read last */
} Reader;

/* Whether a line ends at r->at; passes over it. */
static bool pass_line_end(Reader *r)
{
    if (r->at == r->end || (*r->at != '\n' && *r->at != '\r'))
        return false;
    r->at += r->at[0] == '\r' && r->at + 1 < r->end && r->at[1] == '\n' ? 2 : 1;
    r->line++;
    return true;
}

/* A field, unquoted where it lies, as pandas' tokenizer does it: quotes count where a field begins, and text may follow the closing one. */
static Status read_field(Reader *r, Span *field)
{
    char *to = r->at;
    bool quoted = r->at < r->end && *r->at == '"';
    const int first = r->line;
    field->s = to;
    r->at += quoted;
    for (; r->at < r->end; r->at++) {
        const char c = *r->at;
        if (quoted && c == '"' && r->at + 1 < r->end && r->at[1] == '"')
            r->at++;
        else if (quoted && c == '"') {
            quoted = false;
            continue;
        } else if (!quoted && (c == '\t' || c == '\n' || c == '\r'))
            break;
        r->line += c == '\n';
        *to++ = c;
    }
    if (quoted)
        return fail(ERR_DATA, "%s:%d: nothing closes the quote of a field that begins here: the file is cut short", r->path, first);
    field->n = (size_t)(to - field->s);
    r->row_ends = r->at == r->end || *r->at != '\t';
    if (r->row_ends)
        pass_line_end(r);
    else
        r->at++;
    return OK;
}

static Status make_room(Tsv *t, int64_t n_fields)
{
    if (n_fields < t->room)
        return OK;
    const int64_t room = 2 * t->room + 4096;
    Span *field = mem_grow(t->field, (size_t)room * sizeof *field);
    if (field)
        t->field = field;
    int *line = field ? mem_grow(t->line, (size_t)room * sizeof *line) : NULL;
    if (!line)
        return fail(ERR_NOMEM, "no memory for a table of %" PRId64 " fields", room);
    t->line = line;
    t->room = room;
    return OK;
}

static Status read_row(Tsv *t, Reader *r, int64_t *n)
{
    const int line = r->line;
    int64_t columns = 0;
    do {
        TRY(make_room(t, *n));
        TRY(read_field(r, &t->field[(*n)++]));
        columns++;
    } while (!r->row_ends);
    if (!t->n_rows)
        t->n_columns = columns;
    if (columns != t->n_columns)
        return fail(ERR_DATA, "%s:%d: has %" PRId64 " fields, expected %" PRId64 " as in the header", r->path, line, columns, t->n_columns);
    t->line[t->n_rows++] = line;
    return OK;
}

Status tsv_read(Tsv *t, const char *path)
{
    size_t n_bytes;
    int64_t n = 0;
    *t = (Tsv){0};
    TRY(file_read(&t->bytes, &n_bytes, path, MOST_BYTES));
    Reader r = {.path = path, .at = t->bytes, .end = t->bytes + n_bytes, .line = 1};
    if (n_bytes >= 3 && !memcmp(t->bytes, "\xEF\xBB\xBF", 3))
        r.at += 3;
    Status s = OK;
    while (!s && r.at < r.end)
        if (!pass_line_end(&r)) /* blank lines are none */
            s = read_row(t, &r, &n);
    if (!s && !t->n_rows)
        s = fail(ERR_DATA, "%s: is empty, expected a header of names between tabs", path);
    if (s)
        tsv_free(t);
    return s;
}

void tsv_free(Tsv *t)
{
    mem_free(t->bytes);
    mem_free(t->field);
    mem_free(t->line);
    *t = (Tsv){0};
}

int tsv_column(const Tsv *t, const char *name)
{
    for (int i = 0; i < (int)t->n_columns; i++)
        if (span_is(t->field[i], name))
            return i;
    return -1;
}

bool tsv_is_missing(Span field)
{
    static const char *const NAMES[] = {"",     "#N/A", "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
                                        "<NA>", "N/A",  "NA",       "NULL", "NaN",     "None",     "n/a",  "nan",  "null"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (span_is(field, NAMES[i]))
            return true;
    return false;
}
