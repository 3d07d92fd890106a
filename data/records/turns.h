/* turns.h: the turns of a row and their pictures, in the spellings that data sets have: {"from", "value"} of LLaVA and ShareGPT, and
 * {"role", "content"} of "messages", where a content is a text or a list of parts, texts and pictures. Called by row_fields.c. */
#ifndef GENLLAVA_DATA_RECORDS_TURNS_H
#define GENLLAVA_DATA_RECORDS_TURNS_H

#include "data/records/row_fields.h"

/* The list under `key`, and "system" beside it, of a unified row: each turn has a text, and the row has its pictures already. */
MUST_USE Status turns_unified(Record *rec, RowRoom *room, const Json *row, const char *key);
/* The same of any other row, with its pictures, which are inputs: "image" or "images" beside the turns, taken by markers and by parts that
 * name none, and those that parts name. Pictures that "messages" never mention stand before their first question, as TRL puts them. */
MUST_USE Status turns_of_row(Record *rec, RowRoom *room, const Json *row, const char *key);
#endif
