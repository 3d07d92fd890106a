/* rows.h: the rows of a data file as pieces of text, one after the other: the elements of a JSON array, or lines. Memory is bounded by the
 * longest row, never by the file; what the file is, its first character says ('[' or '{'). */
#ifndef GENLLAVA_DATA_RECORDS_ROWS_H
#define GENLLAVA_DATA_RECORDS_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

typedef struct Row {
    const char *text; /* valid until the next call */
    size_t n;
    int line, column; /* where it begins in the file */
    const char *error; /* not NULL: no row could be cut out here, and why ("3:14: expected …"); the text is then empty */
} Row;

typedef struct Rows Rows;
MUST_USE Status rows_open(Rows **out, const char *path);
/* *end: no more. Damage is given as a row with an error; reading goes on after it where the next row can be found. */
MUST_USE Status rows_next(Rows *r, Row *row, bool *end);
void rows_close(Rows **r);
#endif
