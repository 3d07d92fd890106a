/* slips.h: what of a row is passed over though somebody meant something by it: keys that nearly are ours, values that nothing reads. Told
 * as warnings. Called by row_fields.c. */
#ifndef GENLLAVA_DATA_RECORDS_SLIPS_H
#define GENLLAVA_DATA_RECORDS_SLIPS_H

#include "data/formats/json.h"
#include "data/record.h"

void slips_of_unified(Record *rec, const Json *row);
/* Rows of other people have many keys: one is taken for ours only where it begins with the same letter, and where the row lacks ours. */
void slips_of_row(Record *rec, const Json *row);
#endif
