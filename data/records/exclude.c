/* exclude.c: a list of ids of pictures, and which pictures it means (exclude.h). */
#include "data/records/exclude.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

static size_t count_digits(const char *text)
{
    size_t n = 0;
    while (text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

/* The form of an id that is stored: a number without its leading zeros. */
static const char *canonical(const char *id)
{
    const size_t n = count_digits(id);
    if (!n || id[n])
        return id;
    while (*id == '0' && id[1])
        id++;
    return id;
}

/* What a line seems to be in place of an id, or NULL. */
static const char *odd_of(const char *id)
{
    if (strchr("[{\"", *id))
        return "looks like JSON, expected an id a line";
    if (strchr(id, '/'))
        return "names a folder, and names are compared without";
    if (strstr(id, " #"))
        return "has # behind an id, and comments are lines of their own";
    if (strpbrk(id, ", \t;") && !id[strspn(id, "0123456789, \t;")])
        return "holds several ids, expected an id a line";
    return NULL;
}

static void note_odd(Exclude *e, const char *id, int64_t number)
{
    const char *odd = odd_of(id);
    if (odd && !e->n_odd++) {
        e->odd = odd;
        e->odd_line = number;
    }
}

static Status add_line(Exclude *e, const Row *row, const char *path)
{
    char line[PATH_MAX]; /* what is longer is the name of no picture, as its beginning is none */
    const char *id = line;
    bool added;
    size_t n = row->n < sizeof line ? row->n : sizeof line - 1;
    if (row->error)
        return fail(ERR_DATA, "%s:%s", file_name(path), row->error);
    if (memchr(row->text, 0, row->n))
        return fail(ERR_DATA, "%s:%d: is no text in UTF-8 (it has zero bytes), expected an id of a picture a line", file_name(path),
                    row->line);
    memcpy(line, row->text, n);
    utf8_strip(&id, &n);
    if (!n || *id == '#')
        return OK;
    line[id - line + (ptrdiff_t)n] = 0;
    note_odd(e, id, row->line);
    return uids_add(&e->ids, canonical(id), &added);
}

Status exclude_load(Exclude *e, const char *path)
{
    Rows *rows;
    Row row;
    bool end = false;
    *e = (Exclude){.ids = {.kind = TABLE_SET}};
    TRY(rows_open(&rows, path, ROWS_RAW_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        s = add_line(e, &row, path);
    rows_close(&rows);
    if (s)
        exclude_free(e);
    return s;
}

void exclude_tell(const Exclude *e, const char *path)
{
    log_info("%s: %zu id%s of pictures to leave out", file_name(path), e->ids.n, status_plural(e->ids.n));
    if (e->n_odd)
        log_warn("%s:%" PRId64 ": this line %s (%" PRId64 " such line%s)", file_name(path), e->odd_line, e->odd, e->n_odd,
                 status_plural(e->n_odd));
}

void exclude_free(Exclude *e) { table_free(&e->ids); }

/* The number that a name without ending stands for, in its place; false: it is no picture of a number. */
static bool find_number(char *stem)
{
    char *start = stem, *last = strrchr(stem, '_');
    if (!strncmp(stem, "COCO_", 5) && last)
        start = last + 1;
    const size_t n = count_digits(start);
    const char *end = start + n;
    if (start == stem && !strncmp(end, "-input", 6))
        end += 6;
    else if (start == stem && (!strncmp(end, "-output", 7) || !strncmp(end, "-mask", 5))) {
        end += end[1] == 'o' ? 7 : 5;
        const size_t k = count_digits(end);
        end = k ? end + k : start + n;
    }
    if (!n || *end)
        return false;
    memmove(stem, start, n);
    stem[n] = 0;
    return true;
}

bool exclude_fits(const Exclude *e, const char *picture_path)
{
    char name[NAME_MAX + 1];
    const char *slash = strrchr(picture_path, '/');
    const int n = snprintf(name, sizeof name, "%s", slash ? slash + 1 : picture_path);
    if (!e->ids.n || n >= (int)sizeof name)
        return false;
    if (uids_has(&e->ids, name))
        return true;
    char *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
    return uids_has(&e->ids, name) || (find_number(name) && uids_has(&e->ids, canonical(name)));
}
