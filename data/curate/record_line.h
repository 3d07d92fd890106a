/* record_line.h: a line of a file of records, read into a Record, for filter and stats. What is no record is ERR_DATA with FILE:line. */
#ifndef GENLLAVA_DATA_CURATE_RECORD_LINE_H
#define GENLLAVA_DATA_CURATE_RECORD_LINE_H

#include "data/formats/json.h"
#include "data/formats/rows.h"
#include "data/records/row_fields.h"

/* Zero it to begin with; used again for the next line. Texts belong to the document. */
typedef struct RecordLine {
    JsonDoc *doc;
    Record record;
    RowRoom room;
    const char *source; /* NULL: it names none */
} RecordLine;

/* name: of the file, in messages. */
MUST_USE Status record_line_read(RecordLine *r, const Row *row, const char *name);
void record_line_free(RecordLine *r);
#endif
