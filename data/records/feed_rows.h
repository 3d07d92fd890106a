/* feed_rows.h: rows of JSON for the feeds of public layouts, and their fields into drafts. */
#ifndef GENLLAVA_DATA_RECORDS_FEED_ROWS_H
#define GENLLAVA_DATA_RECORDS_FEED_ROWS_H

#include "data/formats/json.h"
#include "data/formats/rows.h"
#include "data/records/format.h"
#include "data/records/parsed.h"

/* A file that is being read. Zero it before it is opened; what feed_rows_next gave is valid until the next call. */
typedef struct FeedRows {
    const struct MixtureSource *s;
    Rows *rows;
    JsonDoc *doc;
    int64_t n; /* rows so far */
    char id[ID_BYTES];
    RecordScore *scores;
    size_t scores_room;
} FeedRows;

MUST_USE Status feed_rows_open(FeedRows *f, const struct MixtureSource *s, const char *path, RowsForm form);
void feed_rows_close(FeedRows *f);
/* Takes a piece of the file as the next row: *row, or NULL and d's reject where it is no object. */
MUST_USE Status feed_rows_take(FeedRows *f, const Row *piece, Draft *d, const Json **row);
/* The next one of the file. */
MUST_USE Status feed_rows_next(FeedRows *f, Draft *d, const Json **row, bool *end);

/* Fields of a row. A value of the wrong kind is the draft's reject. */
void feed_id(FeedRows *f, Draft *d, const Json *id);
/* Rejects a row without a key that it needs, and says which ones it has in its place. */
void feed_lacks(Draft *d, Reject why, const Json *row, const char *key);
/* The caption: as feed_text, but its key must be there. */
void feed_caption_text(FeedRows *f, Draft *d, const Json *row);
void feed_text(Draft *d, RecordText *to, const Json *row, const char *key); /* absent and null: none */
/* Numbers of "scores". */
MUST_USE Status feed_scores(FeedRows *f, Draft *d, const Json *row);
/* {caption, file, ID?}: a caption of a picture. */
MUST_USE Status feed_caption(FeedRows *f, Draft *d, const Json *row, const char *id_key);
#endif
