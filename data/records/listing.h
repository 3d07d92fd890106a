/* listing.h: which pairs of pictures a folder in the layout of InstructPix2Pix has, and in which order: its seeds.json, or what the set's
 * own prepare_dataset.py would write into that file. Called by instructpix2pix.c. */
#ifndef GENLLAVA_DATA_RECORDS_LISTING_H
#define GENLLAVA_DATA_RECORDS_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/base/status.h"

/* The pairs of one prompt, ROOT/NAME/SEED_0.jpg and _1.jpg; valid until the next call. */
typedef struct ListedFolder {
    const char *name;
    const char **seeds;
    size_t n;
} ListedFolder;

typedef struct Listing Listing;
/* split: "train", the first 90 % of the folders, or "val", the 5 % behind them. A broken seeds.json, or a folder without any pair:
 * ERR_DATA. A seeds.json is read twice, a folder at a time. Without one the names of all folders are kept. */
MUST_USE Status listing_open(Listing **out, const char *root, const char *split);
MUST_USE Status listing_next(Listing *l, ListedFolder *f, bool *end);
/* The path of the seeds.json; NULL: there is none, the folders' names are the listing. */
const char *listing_file(const Listing *l);
void listing_close(Listing **l);
#endif
