/* rows.h: the one reader of JSON lines: the rows of a file as pieces of text, one after the other. Data files and questions may be a JSON
 * array instead, whose rows are its elements. Memory is bounded by the longest row (16 MiB are allowed), never by the file. A byte order
 * mark, blank lines and blanks around a row are passed over.
 *
 * Two more forms are for the layouts of public data sets: lines as they are, which need not be JSON, and what stands in the members of one
 * large object. */
#ifndef GENLLAVA_DATA_FORMATS_ROWS_H
#define GENLLAVA_DATA_FORMATS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct Row {
    const char *text; /* valid until the next call */
    size_t n;
    const char *key;   /* of ROWS_MEMBERS: the member that it is, or is an element of; else NULL */
    int line, column;  /* where it begins in the file */
    bool element;      /* of an array, no line, and of ROWS_MEMBERS no member itself */
    bool whole;        /* a newline follows: it is no line that is still being written, or was cut short */
    int64_t start;     /* bytes of the file before it */
    int64_t end;       /* of a line: bytes of the file up to its end, its newline included */
    const char *error; /* not NULL: no row could be cut out here, and why ("3:14: expected …"); the text is then empty */
    bool last;         /* with an error: the file cannot be read any further */
    bool cut_off;      /* … because it ends too early */
} Row;

typedef enum RowsForm {
    ROWS_LINES,
    ROWS_LINES_OR_ARRAY, /* the first character says what the file is: '{' or '[' */
    ROWS_RAW_LINES,      /* with their blanks and carriage returns; blank lines too */
    ROWS_MEMBERS         /* of one object: the elements of members that are arrays, and the values of all other members. Damage outside of a
                            row ends the file */
} RowsForm;
typedef struct Rows Rows;
MUST_USE Status rows_open(Rows **out, const char *path, RowsForm form); /* "-": standard input */
/* *end: no more. Damage is given as a row with an error; reading goes on after it where the next row can be found. */
MUST_USE Status rows_next(Rows *r, Row *row, bool *end);
void rows_close(Rows **r);
/* Of a file that begins so and holds rows in another form: what it is and how it becomes JSON, a sentence; NULL: none that is known. */
const char *rows_other(const char *start, size_t n);
#endif
