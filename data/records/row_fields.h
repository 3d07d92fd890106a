/* row_fields.h: what a row says, into a Record: LLaVA's and ShareGPT's rows ("conversations"), chat messages ("messages") and unified ones
 * ("turns"). */
#ifndef GENLLAVA_DATA_RECORDS_ROW_FIELDS_H
#define GENLLAVA_DATA_RECORDS_ROW_FIELDS_H

#include "data/formats/json.h"
#include "data/records/records.h"

/* What of a record is reused from one row to the next; row_room_free frees it. */
typedef struct RowRoom {
    int images, turns, scores; /* of the record's arrays */
    char *text;                /* of turns that are put together from parts */
    size_t text_bytes;
} RowRoom;
/* Memory for so many pictures, turns and scores. */
MUST_USE Status row_room(Record *rec, RowRoom *room, size_t images, size_t turns, size_t scores);
/* Rejects a row whose scores are not what its source's filter wants. */
void row_check_filters(Record *rec, const MixtureSource *source, const RecordScore *scores, int n);
void row_room_free(Record *rec, RowRoom *room);
/* The first cause stays. */
void row_reject(Record *rec, Reject why, const char *format, ...) PRINTF_LIKE(3, 4);
/* Where in the file a value is wrong, what it is, and what it should be. */
void row_wrong(Record *rec, Reject why, const Json *v, const char *key, const char *expected);

/* Fills everything of rec but number, file, row, source and uid; images, turns and scores are grown as needed. Strings belong to the row's
 * document or to the room. A row that cannot be used gets its reject and message. *unified_uid: the row's own uid, or NULL. */
MUST_USE Status row_fields(Record *rec, RowRoom *room, const Json *row, const MixtureSource *source, const char **unified_uid);
#endif
