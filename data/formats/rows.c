/* rows.c: the one reader of rows: elements of a JSON array, lines, or what an object holds, one after the other (rows.h). */
#include "data/formats/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

enum { WINDOW_BYTES = 1 << 20, MAX_ROW_BYTES = 16 << 20, MAX_KEY_BYTES = 1 << 16 };

typedef enum Where {
    AT_START,
    BEFORE_FIRST,
    BEFORE_ROW,
    AFTER_ROW,
    IN_LINES,
    BEFORE_FIRST_MEMBER,
    BEFORE_MEMBER,
    AFTER_MEMBER,
    AT_END
} Where;

struct Rows {
    char *path;
    int fd;
    bool exhausted; /* no more bytes in the file */
    Status failure; /* of reading it, told at the next call */
    char *buffer;
    size_t from, to, capacity; /* bytes not yet consumed: buffer[from..to) */
    int64_t line, column;      /* of buffer[from] */
    int64_t before;            /* bytes of the file before it */
    RowsForm form;
    Where where;
    bool closed; /* the array ended as it should */
    char *key;   /* of the present member */
    char error[256];
};

/* ---------------------------------------------------------------- bytes */

/* Reads on; false at the end of the file, or with r->failure set. What is not consumed stays, at a lower place. */
static bool read_more(Rows *r)
{
    if (r->exhausted || r->failure)
        return false;
    if (r->from) {
        memmove(r->buffer, r->buffer + r->from, r->to - r->from);
        r->to -= r->from;
        r->from = 0;
    }
    if (r->capacity - r->to < WINDOW_BYTES) {
        size_t capacity = r->to + r->to / 2 + WINDOW_BYTES;
        char *grown = mem_grow(r->buffer, capacity);
        if (!grown) {
            r->failure = fail(ERR_NOMEM, "%s: no memory for a row of %zu bytes", r->path, r->to);
            return false;
        }
        r->buffer = grown;
        r->capacity = capacity;
    }
    ssize_t got;
    do
        got = read(r->fd, r->buffer + r->to, r->capacity - r->to);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        r->failure = fail(ERR_IO, "%s: cannot be read: %s", r->path, strerror(errno));
    r->exhausted = got == 0;
    r->to += got > 0 ? (size_t)got : 0;
    return got > 0;
}

/* The byte i places ahead, or -1 at the end. */
static inline int ahead(Rows *r, size_t i)
{
    while (r->to - r->from <= i)
        if (!read_more(r))
            return -1;
    return (unsigned char)r->buffer[r->from + i];
}

/* Consumes n bytes that are in the buffer. */
static void consume(Rows *r, size_t n)
{
    const char *p = r->buffer + r->from, *end = p + n;
    for (const char *stop; (stop = memchr(p, '\n', (size_t)(end - p))); p = stop + 1) {
        r->line++;
        r->column = 1;
    }
    for (; p < end; p++)
        r->column += ((unsigned char)*p & 0xC0) != 0x80;
    r->from += n;
    r->before += (int64_t)n;
}

static bool is_space(int c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static int skip_space(Rows *r)
{
    int c;
    while (is_space(c = ahead(r, 0)))
        consume(r, 1);
    return c;
}

static int clamp(int64_t n) { return n < INT_MAX ? (int)n : INT_MAX; }

/* ---------------------------------------------------------------- messages */

static void no_row(Rows *r, Row *row, const char *expected)
{
    char what[32];
    int c = ahead(r, 0), n = 0;
    for (int i = 1; c >= 0 && i <= 4 && ahead(r, (size_t)i - 1) >= 0; i++) /* the whole character */
        if ((n = utf8_decode(r->buffer + r->from, (size_t)i, NULL)))
            break;
    if (c < 0)
        snprintf(what, sizeof what, "the end of the file");
    else if (c < 0x20 || !n)
        snprintf(what, sizeof what, "the byte 0x%02x", c);
    else
        snprintf(what, sizeof what, "'%.*s'", n, r->buffer + r->from);
    *row = (Row){.text = "", .line = clamp(r->line), .column = clamp(r->column), .error = r->error, .cut_off = c < 0};
    snprintf(r->error, sizeof r->error, "%d:%d: expected %s, found %s", row->line, row->column, expected, what);
}

static void says(Rows *r, Row *row, int64_t line, int64_t column, const char *sentence)
{
    *row = (Row){.text = "", .line = clamp(line), .column = clamp(column), .error = r->error};
    snprintf(r->error, sizeof r->error, "%d:%d: %s", row->line, row->column, sentence);
}

/* ---------------------------------------------------------------- elements of an array */

/* The closing quote of a string that a line break at i, which JSON forbids, interrupts: the next quote, if what follows it may follow a
 * string. 0: that quote opens another string, this one lacks its own. */
static size_t closing_quote(Rows *r, size_t i)
{
    int c;
    while ((c = ahead(r, i)) >= 0 && c != '"' && i < MAX_ROW_BYTES)
        i += c == '\\' ? 2 : 1;
    size_t quote = c == '"' ? i : 0;
    while (quote && is_space(c = ahead(r, ++i)) && i < MAX_ROW_BYTES)
        ;
    return c == ',' || c == ':' || c == '}' || c == ']' ? quote : 0;
}

/* Length of the value that begins here, or 0 when the file ends inside it or it is too long (*cause says which). A missing quote or a
 * line break inside a string spoils one row and not the rest of the file. */
static size_t value_length(Rows *r, const char **cause)
{
    int depth = 0, c = ahead(r, 0);
    bool in_string = false, nested = c == '{' || c == '[';
    size_t i = 0;
    for (; (c = ahead(r, i)) >= 0 && i < MAX_ROW_BYTES; i++) {
        if (in_string) {
            if (c == '\\') {
                i += ahead(r, i + 1) >= 0; /* a file may end there */
            } else if (c == '\n') {
                size_t quote = closing_quote(r, i);
                i = quote ? quote : i;
            }
            in_string = c != '"' && c != '\n';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (nested && (c == '}' || c == ']')) {
            if (--depth == 0)
                return i + 1;
        } else if (!nested && (c == ',' || c == ']' || c == '}' || is_space(c))) {
            return i ? i : 1;
        }
    }
    *cause = c < 0 ? "the file ends inside this row" : "a row of more than 16 MiB";
    return c < 0 && !nested ? i : 0;
}

static void next_value(Rows *r, Row *row)
{
    const char *cause = NULL;
    int64_t line = r->line, column = r->column;
    size_t n = value_length(r, &cause);
    if (!n) {
        says(r, row, line, column, cause);
        row->cut_off = r->exhausted && r->to - r->from <= MAX_ROW_BYTES;
        r->where = AT_END; /* where the next row would begin is not known */
        return;
    }
    *row = (Row){.text = r->buffer + r->from, .n = n, .line = clamp(line), .column = clamp(column), .element = true, .start = r->before};
    consume(r, n);
    r->where = AFTER_ROW;
}

/* The comma or bracket after a row. True when `row` holds an error. */
static bool after_row(Rows *r, Row *row)
{
    int c = skip_space(r);
    if (c == ',') {
        int64_t line = r->line, column = r->column;
        consume(r, 1);
        r->where = BEFORE_ROW;
        if (skip_space(r) != ']')
            return false;
        says(r, row, line, column, "trailing comma: remove the ',' before ']'");
        r->closed = true;
        consume(r, 1);
        r->where = AT_END;
        return true;
    }
    if (c == ']') {
        consume(r, 1);
        r->where = AT_END;
        if ((c = skip_space(r)) < 0)
            return false;
        if (c == '[') { /* another array, as of files that were put together */
            consume(r, 1);
            r->where = BEFORE_FIRST;
            return false;
        }
        no_row(r, row, "nothing after the array");
        return true;
    }
    no_row(r, row, "',' or ']' after a row");
    r->where = c == '{' ? BEFORE_ROW : AT_END;
    return true;
}

/* True when `row` was filled. */
static bool next_element(Rows *r, Row *row)
{
    if (r->where == AFTER_ROW) {
        if (after_row(r, row))
            return true;
        if (r->where == AT_END)
            return false;
    }
    int c = skip_space(r);
    if (r->where == BEFORE_FIRST && c == ']') {
        r->where = AFTER_ROW;
        return next_element(r, row);
    }
    if (c < 0 || c == ',' || c == ']' || c == '}') {
        no_row(r, row, "a row");
        if (c == ',')
            consume(r, 1);
        r->where = c == ',' ? BEFORE_ROW : AT_END;
        return true;
    }
    next_value(r, row);
    return true;
}

/* ---------------------------------------------------------------- members of an object */

/* Bytes of the key that begins here, with its quotes; 0: it does not end. */
static size_t key_length(Rows *r)
{
    int c;
    for (size_t i = 1; i < MAX_KEY_BYTES && (c = ahead(r, i)) >= 0 && c != '\n'; i += c == '\\' ? 2 : 1)
        if (c == '"')
            return i + 1;
    return 0;
}

/* The next key and its colon. True when `row` holds an error, or reading failed. */
static bool read_key(Rows *r, Row *row)
{
    JsonDoc *doc;
    const int64_t line = r->line, column = r->column;
    size_t n = ahead(r, 0) == '"' ? key_length(r) : 0;
    r->where = AT_END;
    if (!n) {
        no_row(r, row, "a key");
        return true;
    }
    Status s = json_parse(&doc, r->buffer + r->from, n, "key");
    if (s == ERR_DATA)
        says(r, row, line, column, "this key is no JSON string");
    if (s) {
        r->failure = s == ERR_DATA ? OK : s;
        return true;
    }
    mem_free(r->key);
    r->key = mem_strdup(json_root(doc)->string);
    r->failure = r->key ? OK : fail(ERR_NOMEM, "%s: no memory for a key", r->path);
    json_free(&doc);
    consume(r, n);
    if (r->failure)
        return true;
    if (skip_space(r) != ':') {
        no_row(r, row, "':' after a key");
        return true;
    }
    consume(r, 1);
    return false;
}

/* Begins the next member: its array is entered, any other value is a row. True when `row` was filled. */
static bool next_member(Rows *r, Row *row)
{
    int c = skip_space(r);
    if (r->where == BEFORE_FIRST_MEMBER && c == '}') {
        r->where = AFTER_MEMBER;
        return false;
    }
    if (read_key(r, row))
        return true;
    c = skip_space(r);
    if (c == '[') {
        consume(r, 1);
        r->where = BEFORE_FIRST;
        return false;
    }
    if (c < 0 || c == ',' || c == ']' || c == '}') {
        no_row(r, row, "a value");
        return true;
    }
    next_value(r, row);
    row->key = r->key;
    row->element = false;
    r->where = r->where == AFTER_ROW ? AFTER_MEMBER : r->where;
    return true;
}

/* What follows an element: the next one, or the end of its array. True when `row` holds an error. */
static bool end_element(Rows *r, Row *row)
{
    int c = skip_space(r);
    if (c != ',' && c != ']') {
        no_row(r, row, "',' or ']' after a row");
        r->where = AT_END;
        return true;
    }
    consume(r, 1);
    r->where = c == ',' ? BEFORE_ROW : AFTER_MEMBER;
    return false;
}

/* What follows a member: the next one, or the end of the object and of the file. True when `row` holds an error. */
static bool end_member(Rows *r, Row *row)
{
    int c = skip_space(r);
    r->where = AT_END;
    if (c != ',' && c != '}') {
        no_row(r, row, "',' or '}' after a value");
        return true;
    }
    consume(r, 1);
    if (c == ',')
        r->where = BEFORE_MEMBER;
    else if (skip_space(r) >= 0)
        no_row(r, row, "nothing after the object");
    return row->error;
}

/* True when `row` was filled. */
static bool next_in_members(Rows *r, Row *row)
{
    *row = (Row){.text = ""};
    while (r->where != AT_END && !r->failure) {
        if (r->where == AFTER_ROW ? end_element(r, row) : r->where == AFTER_MEMBER && end_member(r, row))
            return true;
        if ((r->where == BEFORE_FIRST_MEMBER || r->where == BEFORE_MEMBER) && next_member(r, row))
            return !r->failure;
        if (r->where != BEFORE_FIRST && r->where != BEFORE_ROW)
            continue;
        int c = skip_space(r);
        if (r->where == BEFORE_FIRST && c == ']') {
            consume(r, 1);
            r->where = AFTER_MEMBER;
        } else if (c < 0 || c == ',' || c == ']' || c == '}') {
            no_row(r, row, "a row");
            r->where = AT_END;
            return true;
        } else {
            next_value(r, row);
            row->key = r->key;
            return true;
        }
    }
    return false;
}

/* ---------------------------------------------------------------- lines */

static bool next_line(Rows *r, Row *row)
{
    const bool raw = r->form == ROWS_RAW_LINES;
    if ((raw ? ahead(r, 0) : skip_space(r)) < 0)
        return false;
    int64_t line = r->line, column = r->column;
    size_t n = 0;
    bool too_long = false;
    const char *stop;
    for (;;) {
        const char *start = r->buffer + r->from;
        stop = memchr(start + n, '\n', r->to - r->from - n);
        n = (size_t)((stop ? stop : r->buffer + r->to) - start);
        too_long |= n > MAX_ROW_BYTES;
        if (stop)
            break;
        if (too_long) { /* let it pass by */
            consume(r, n);
            n = 0;
        }
        if (!read_more(r))
            break;
    }
    if (too_long) {
        says(r, row, line, column, "a row of more than 16 MiB");
        consume(r, n + (stop != NULL));
        return true;
    }
    *row = (Row){.text = r->buffer + r->from,
                 .n = n,
                 .line = clamp(line),
                 .column = clamp(column),
                 .whole = stop,
                 .start = r->before,
                 .end = r->before + (int64_t)n + (stop != NULL)};
    consume(r, n + (stop != NULL));
    while (!raw && row->n && is_space(row->text[row->n - 1]))
        row->n--;
    return true;
}

/* ---------------------------------------------------------------- files */

const char *rows_other(const char *start, size_t n)
{
    static const struct {
        const char *begins, *sentence;
    } OTHERS[] = {
        {"PAR1", "this is a Parquet file; python3 -c \"import pandas; pandas.read_parquet('FILE').to_json('FILE.jsonl', orient='records', "
                 "lines=True)\" makes rows of it"},
        {"ARROW1", "this is an Arrow file; python3 -c \"import pandas; pandas.read_feather('FILE').to_json('FILE.jsonl', orient='records', "
                   "lines=True)\" makes rows of it"},
        {"\x1f\x8b", "this is a gzip file; gunzip FILE unpacks it"},
        {"PK\x03\x04", "this is a zip archive; unzip FILE unpacks it"},
        {"\x28\xb5\x2f\xfd", "this is a zstd file; unzstd FILE unpacks it"},
        {"\xFF\xFE", "this is a UTF-16 file; iconv -f UTF-16 -t UTF-8 FILE > FILE.utf8 makes UTF-8 of it"},
        {"\xFE\xFF", "this is a UTF-16 file; iconv -f UTF-16 -t UTF-8 FILE > FILE.utf8 makes UTF-8 of it"},
        {"\x89HDF", "this is an HDF5 file; rows are read from JSON"},
    };
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        if (n >= strlen(OTHERS[i].begins) && !memcmp(start, OTHERS[i].begins, strlen(OTHERS[i].begins)))
            return OTHERS[i].sentence;
    return NULL;
}

/* What kind of file it is. True when `row` holds an error. */
static bool begin(Rows *r, Row *row)
{
    if (ahead(r, 0) == 0xEF && ahead(r, 1) == 0xBB && ahead(r, 2) == 0xBF)
        r->from += 3, r->before += 3; /* a byte order mark takes no column */
    const bool raw = r->form == ROWS_RAW_LINES, members = r->form == ROWS_MEMBERS;
    int c = raw ? ahead(r, 0) : skip_space(r);
    if (r->form == ROWS_LINES) {
        r->where = IN_LINES;
        return false;
    }
    const char *other = NULL;
    if (c >= 0 && c != '[' && c != '{') {
        ahead(r, 7); /* so much of it, or all */
        other = rows_other(r->buffer + r->from, r->to - r->from);
    }
    if (members)
        r->where = c == '{' ? BEFORE_FIRST_MEMBER : AT_END;
    else if (raw)
        r->where = other ? AT_END : IN_LINES;
    else
        r->where = c == '[' ? BEFORE_FIRST : c == '{' ? IN_LINES : AT_END;
    if (r->where == BEFORE_FIRST || r->where == BEFORE_FIRST_MEMBER)
        consume(r, 1);
    if (r->where != AT_END || (c < 0 && !members))
        return false;
    if (other)
        says(r, row, r->line, r->column, other);
    else
        no_row(r, row, members ? "'{' of a JSON object" : "'[' of a JSON array or '{' of JSON lines");
    return true;
}

Status rows_next(Rows *r, Row *row, bool *end)
{
    bool filled = false;
    if (r->where == AT_START)
        filled = begin(r, row);
    if (!filled && r->where == IN_LINES)
        filled = next_line(r, row);
    else if (!filled && r->form == ROWS_MEMBERS)
        filled = next_in_members(r, row);
    else if (!filled && r->where != AT_END)
        filled = next_element(r, row);
    if (filled)
        row->last = row->error && r->where == AT_END && !r->closed;
    *end = !filled;
    return r->failure;
}

Status rows_open(Rows **out, const char *path, RowsForm form)
{
    *out = NULL;
    Rows *r = mem_alloc(sizeof *r);
    if (r)
        r->path = mem_strdup(file_name(path));
    if (!r || !r->path) {
        mem_free(r);
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    }
    r->line = r->column = 1;
    r->form = form;
    r->fd = strcmp(path, "-") ? held_open(path, O_RDONLY | O_CLOEXEC, 0) : dup(STDIN_FILENO);
    if (r->fd < 0) {
        Status s = fail(ERR_MISSING, "%s: cannot be opened: %s", path, strerror(errno));
        rows_close(&r);
        return s;
    }
    Status s = strcmp(path, "-") ? file_check_kind(r->fd, path) : OK;
    if (s) {
        rows_close(&r);
        return s;
    }
    *out = r;
    return OK;
}

void rows_close(Rows **r)
{
    if (!r || !*r)
        return;
    if ((*r)->fd >= 0)
        close((*r)->fd);
    mem_free((*r)->path);
    mem_free((*r)->key);
    mem_free((*r)->buffer);
    mem_free(*r);
    *r = NULL;
}
