/* row_fields.h: what a row says, into a Record: both kinds of rows, LLaVA's ("conversations") and the unified one ("turns"). */
#ifndef GENLLAVA_DATA_RECORDS_ROW_FIELDS_H
#define GENLLAVA_DATA_RECORDS_ROW_FIELDS_H

#include "data/formats/json.h"
#include "data/records/records.h"

/* Fills everything of rec but number, file, row, source and uid; images, turns and scores are grown as needed (*room of each). Strings
 * belong to the row's document. A row that cannot be used gets its reject and message. *unified_uid: the row's own uid, or NULL. */
typedef struct RowRoom {
    int images, turns, scores;
} RowRoom;
/* Memory for so many pictures, turns and scores. */
MUST_USE Status row_room(Record *rec, RowRoom *room, size_t images, size_t turns, size_t scores);
/* Rejects a row whose scores are not what its source's filter wants. */
void row_check_filters(Record *rec, const MixtureSource *source);
MUST_USE Status row_fields(Record *rec, RowRoom *room, const Json *row, const MixtureSource *source, const char **unified_uid);
#endif
