/* exclude.h: pictures that may not be trained on, by a list of their ids (--exclude-image-ids): a line an id, stripped; '#' begins a
 * comment line. A number fits a picture whose name without ending is that number (leading zeros aside), COCO_…_ and the number, or the
 * number and -input, -outputK or -maskK. Other text fits a file's name, with or without its ending. Called by curate, records.c and
 * prepare. */
#ifndef GENLLAVA_DATA_RECORDS_EXCLUDE_H
#define GENLLAVA_DATA_RECORDS_EXCLUDE_H

#include <stdbool.h>

#include "data/records/uids.h"
#include "kernels/base/status.h"

typedef struct Exclude {
    Table ids; /* numbers without leading zeros, and names; n = 0: none */
    /* lines that hold something else, by their looks; of the first of them its number from 1, and what is wrong */
    int64_t n_odd, odd_line;
    const char *odd;
} Exclude;

MUST_USE Status exclude_load(Exclude *e, const char *path); /* "-": standard input. What is no text is ERR_DATA */
/* Says how many ids a list has, and warns of odd lines. */
void exclude_tell(const Exclude *e, const char *path);
void exclude_free(Exclude *e);
bool exclude_fits(const Exclude *e, const char *picture_path);
#endif
