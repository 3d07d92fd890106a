/* extra_rows.c: a table with rows of its mean behind its own (extra_rows.h). */
#include "tools/convert/extra_rows.h"

#include <string.h>

#include "kernels/base/arena.h"

typedef struct Extended {
    const Stored *table;
    float mean[]; /* a row */
} Extended;

enum { PIECE_ROWS = 1024 };

static Status take_mean(Extended *e, int64_t v)
{
    const int64_t d = stored_row(e->table);
    double *sum = mem_alloc((size_t)d * sizeof *sum);
    float *rows = mem_alloc((size_t)(PIECE_ROWS * d) * sizeof *rows);
    Status s = sum && rows ? OK : fail(ERR_NOMEM, "out of memory for the mean of %s", e->table->name);
    for (int64_t at = 0; at < v && !s; at += PIECE_ROWS) {
        const int64_t n = v - at < PIECE_ROWS ? v - at : PIECE_ROWS;
        s = stored_rows(e->table, at, n, rows);
        for (int64_t i = 0; i < n && !s; i++)
            for (int64_t k = 0; k < d; k++)
                sum[k] += (double)rows[i * d + k];
    }
    for (int64_t k = 0; k < d && !s; k++)
        e->mean[k] = (float)(sum[k] / (double)v);
    mem_free(rows);
    mem_free(sum);
    return s;
}

static Status rows_extended(const Stored *t, int64_t first, int64_t n, float *out)
{
    const Extended *e = t->source;
    const int64_t d = stored_row(t), own = e->table->shape[0], of_table = first >= own ? 0 : first + n <= own ? n : own - first;
    if (of_table)
        TRY(stored_rows(e->table, first, of_table, out));
    for (int64_t i = of_table; i < n; i++)
        memcpy(out + i * d, e->mean, (size_t)d * sizeof *out);
    return OK;
}

Status extra_rows_add(Model *m, const Stored *table, int64_t n, Stored *out)
{
    Extended *e = mem_alloc(sizeof *e + (size_t)stored_row(table) * sizeof *e->mean);
    if (!e)
        return fail(ERR_NOMEM, "out of memory for the mean of %s", table->name);
    e->table = table;
    TRY(stored_keep(&m->whole, e, mem_free));
    TRY(take_mean(e, m->vocab));
    *out = *table;
    out->type = F32;
    out->data = NULL;
    out->rows = rows_extended;
    out->source = e;
    out->shape[0] += n;
    return OK;
}
