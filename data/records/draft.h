/* draft.h: what a row of a public layout says, made into a record. Called by records.c. */
#ifndef GENLLAVA_DATA_RECORDS_DRAFT_H
#define GENLLAVA_DATA_RECORDS_DRAFT_H

#include <stdio.h>

#include "data/records/format.h"
#include "data/records/records.h"
#include "data/records/row_fields.h"

/* Texts of the last record that was made; reused. Zero it to begin with. */
typedef struct DraftText {
    FILE *turns, *json; /* memory streams */
    char *turns_text, *json_text;
    size_t turns_n, json_n;
} DraftText;
void draft_text_free(DraftText *t);

/* For feeds. The first cause stays. */
void draft_reject(Draft *d, Reject why, const char *format, ...) PRINTF_LIKE(3, 4);
/* The picture of a row of captions: the target of a generate row, the input of an understand row. NULL or "": there is none; an address in
 * the web counts as none. */
void draft_picture(Draft *d, const MixtureSource *s, const char *file);
/* Whether the row stands, as far as its own fields and its source's filter say: for feeds that keep some rows of a picture. */
bool draft_stands(const Draft *d, const MixtureSource *s);

/* Fills everything of rec but number, file, row, source, id and uid. rec->uid is set: it chooses the request template. A generate row: the
 * request with its caption, answered by <gen>, sd.prompt the caption. An understand row: the request, answered by the caption. An edit row:
 * the instruction behind its pictures, answered by <gen>. rec->json is its text as a unified row. A row that cannot be used gets its reject
 * and message. */
MUST_USE Status draft_record(Record *rec, RowRoom *room, DraftText *text, const Draft *d, const MixtureSource *s);
#endif
