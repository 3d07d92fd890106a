/* caption_table.c: captions and files as lines of two fields with a tab between them (CC3M). A first line that names the columns "caption"
 * and "image" says where they are; without it they are the first and the second. Quotes are letters. Called by captions.c. */
#include <string.h>
#include <strings.h>

#include "data/formats/rows.h"
#include "data/records/captions.h"
#include "data/records/draft.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

enum { CAPTION_COLUMN, FILE_COLUMN, N_COLUMNS };

typedef struct Table {
    const MixtureSource *s;
    Rows *lines;
    size_t column[N_COLUMNS];
    int64_t n; /* rows so far */
    bool begun;
    char *file; /* the present row's */
    size_t file_capacity;
} Table;

static Status open_table(void **feed, const MixtureSource *s, const char *path)
{
    Table *t = *feed = mem_alloc(sizeof *t);
    if (!t)
        return fail(ERR_NOMEM, "%s: no memory to read it", path);
    *t = (Table){.s = s, .column = {CAPTION_COLUMN, FILE_COLUMN}};
    return rows_open(&t->lines, path, ROWS_RAW_LINES);
}

/* Field number i of a line, stripped; false: there are not so many. */
static bool field_of(const Row *line, size_t i, RecordText *out)
{
    const char *at = line->text, *end = line->text + line->n;
    for (; i; i--) {
        const char *tab = memchr(at, '\t', (size_t)(end - at));
        if (!tab)
            return false;
        at = tab + 1;
    }
    const char *stop = memchr(at, '\t', (size_t)(end - at));
    *out = (RecordText){at, (size_t)((stop ? stop : end) - at)};
    utf8_strip(&out->text, &out->length);
    return true;
}

static bool says(RecordText t, const char *word) { return t.length == strlen(word) && !strncasecmp(t.text, word, t.length); }

/* Whether the line names the columns, in any case. */
static bool read_header(Table *t, const Row *line)
{
    static const char *const NAMES[N_COLUMNS] = {[CAPTION_COLUMN] = "caption", [FILE_COLUMN] = "image"};
    size_t column[N_COLUMNS];
    for (int k = 0; k < N_COLUMNS; k++) {
        RecordText field;
        bool more = false;
        size_t i = 0;
        while ((more = field_of(line, i, &field)) && !says(field, NAMES[k]))
            i++;
        if (!more)
            return false;
        column[k] = i;
    }
    memcpy(t->column, column, sizeof column);
    return true;
}

static Status keep_file(Table *t, RecordText file)
{
    if (file.length >= t->file_capacity) {
        char *grown = mem_grow(t->file, file.length + 256);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for a name of %zu bytes", file.length);
        t->file = grown;
        t->file_capacity = file.length + 256;
    }
    memcpy(t->file, file.text, file.length);
    t->file[file.length] = 0;
    return OK;
}

/* Bytes of the line before the first that is no UTF-8. */
static size_t valid_bytes(const Row *line)
{
    size_t i = 0;
    for (int k; i < line->n && (k = utf8_decode(line->text + i, line->n - i, NULL)); i += (size_t)k)
        ;
    return i;
}

static Status take_line(Table *t, Draft *d, const Row *line)
{
    RecordText caption = {"", 0}, file = {"", 0};
    const size_t valid = valid_bytes(line);
    if (valid < line->n) {
        draft_reject(d, REJECT_BAD_JSON, "%d:%d: expected UTF-8, found the byte 0x%02x", line->line,
                     line->column + utf8_columns(line->text, valid), (unsigned char)line->text[valid]);
        return OK;
    }
    if (field_of(line, t->column[CAPTION_COLUMN], &caption))
        d->caption = caption;
    const bool there = field_of(line, t->column[FILE_COLUMN], &file);
    if (memchr(file.text, 0, file.length)) {
        draft_reject(d, REJECT_BAD_JSON, "%d:%d: a NUL in the name of its file", line->line, line->column);
        return OK;
    }
    if (!there)
        draft_reject(d, REJECT_MISSING, "%d:%d: no field for a file; between caption and file is a tab", line->line, line->column);
    TRY(keep_file(t, file));
    draft_picture(d, t->s, t->file);
    return OK;
}

/* A line without a tab that holds nothing but white space is none. */
static bool is_blank(const Row *line)
{
    const char *text = line->text;
    size_t n = line->n;
    if (memchr(text, '\t', n))
        return false;
    utf8_strip(&text, &n);
    return !n;
}

static Status next_line(void *feed, Draft *d, bool *end)
{
    Table *t = feed;
    for (Row line;;) {
        TRY(rows_next(t->lines, &line, end));
        if (*end)
            return OK;
        if (!line.error && is_blank(&line))
            continue;
        const bool header = !line.error && !t->begun && read_header(t, &line);
        t->begun = true;
        if (header)
            continue;
        d->row = t->n++;
        d->line = line.line;
        d->column = line.column;
        d->ends_file = line.error && line.last;
        if (!line.error)
            return take_line(t, d, &line);
        draft_reject(d, REJECT_BAD_JSON, "%s", line.error);
        return OK;
    }
}

static void close_table(void **feed)
{
    Table *t = *feed;
    rows_close(&t->lines);
    mem_free(t->file);
    mem_free(t);
    *feed = NULL;
}

const Feed TSV_FEED = {.open = open_table, .next = next_line, .close = close_table};
