/* xlsx.h: a workbook of one sheet, as pandas' to_excel makes them: a ZIP of five small XML files, stored as they are. Called by mmbench.c.
 */
#ifndef GENLLAVA_EVAL_BENCH_XLSX_H
#define GENLLAVA_EVAL_BENCH_XLSX_H

#include <stdio.h>

#include "eval/bench/span.h"

typedef struct XlsxCell {
    Span text; /* without bytes: an empty cell */
    bool number;
} XlsxCell;

typedef struct Xlsx {
    FILE *sheet;
    char *bytes; /* of the sheet, once closed */
    size_t n;
    int64_t n_rows;
} Xlsx;

MUST_USE Status xlsx_begin(Xlsx *x);
/* At most 702 cells. Texts lose the control characters that XML cannot hold, and what is behind 32767 characters, as Excel has no more. */
void xlsx_row(Xlsx *x, const XlsxCell *cells, int n);
/* Writes the workbook, unless s is an error, and frees. Returns s, or what went wrong. */
MUST_USE Status xlsx_end(Xlsx *x, FILE *out, Status s);
#endif
