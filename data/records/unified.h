/* unified.h: writes records as unified JSON (genllava.sample/1), a line each. Called by records/, prepare --export and curate. */
#ifndef GENLLAVA_DATA_RECORDS_UNIFIED_H
#define GENLLAVA_DATA_RECORDS_UNIFIED_H

#include <stdio.h>

#include "data/record.h"

/* One object without its newline. source: what "source" says. root: relative picture paths are written behind it (an absolute folder),
 * NULL: as they are. What is NULL, empty or at its default (weight 1) is left out. */
void unified_write(FILE *out, const Record *rec, const char *source, const char *root);
#endif
