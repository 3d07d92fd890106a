/* export.c: the rows that the shards would hold, as one file of unified lines (prepare.h). Called by `prepare --export`. */
#include <errno.h>
#include <string.h>

#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { ROWS_AT_ONCE = 1024 };

typedef struct Export {
    const ScanFiles *scan;
    const char *path;
    ScanRow *rows; /* [ROWS_AT_ONCE] */
    char *line;
    size_t capacity;
} Export;

static Status write_line(Export *e, const ScanRow *row, FILE *out)
{
    if (row->n_text > e->capacity) {
        mem_free(e->line);
        e->capacity = 2 * (size_t)row->n_text;
        e->line = mem_alloc(e->capacity);
    }
    if (!e->line) {
        e->capacity = 0;
        return fail(ERR_NOMEM, "no memory for a row of %u bytes", row->n_text);
    }
    TRY(scan_row_contents(e->scan, row, NULL, NULL, NULL, e->line));
    if (fwrite(e->line, 1, row->n_text, out) != row->n_text || putc('\n', out) == EOF)
        return fail(ERR_IO, "%s: cannot be written: %s", strcmp(e->path, "-") ? e->path : "standard output", strerror(errno));
    return OK;
}

static Status write_lines(void *export, FILE *out)
{
    Export *e = export;
    const int64_t good = e->scan->totals.good;
    for (int64_t first = 0; first < good; first += ROWS_AT_ONCE) {
        const int64_t n = good - first < ROWS_AT_ONCE ? good - first : ROWS_AT_ONCE;
        TRY(scan_rows(e->scan, first, n, e->rows));
        for (int64_t i = 0; i < n; i++)
            TRY(write_line(e, &e->rows[i], out));
        log_progress("writing rows: %lld of %lld", (long long)(first + n), (long long)good);
    }
    return OK;
}

static Status export_scan(void *export, const ScanFiles *scan)
{
    Export *e = export;
    e->scan = scan;
    e->rows = mem_alloc(ROWS_AT_ONCE * sizeof *e->rows);
    return e->rows ? file_deliver(e->path, write_lines, e) : fail(ERR_NOMEM, "no memory for rows");
}

Status prepare_export(const PrepareOptions *o, const char *path, PrepareResult *result)
{
    Export e = {.path = path};
    TRY(file_check_delivery(path));
    Status s = survey_run(o, SCAN_LINES, export_scan, &e, result);
    mem_free(e.rows);
    mem_free(e.line);
    return s;
}
