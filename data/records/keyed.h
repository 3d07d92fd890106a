/* keyed.h: texts that are found by a key: what one part of a file says of what another part names, COCO's files by the ids of pictures.
 * Called by the feeds of such layouts. */
#ifndef GENLLAVA_DATA_RECORDS_KEYED_H
#define GENLLAVA_DATA_RECORDS_KEYED_H

#include <stddef.h>

#include "kernels/base/table.h"

/* Places in one text, "KEY\0TEXT\0" each. Zero it to begin with. */
typedef struct Keyed {
    Table places; /* + 1 */
    char *text;
    size_t text_n, text_capacity;
} Keyed;

/* Of two equal keys the first counts. */
MUST_USE Status keyed_add(Keyed *k, const char *key, const char *text);
const char *keyed_find(const Keyed *k, const char *key); /* NULL: there is none. Valid until the next one is added */
void keyed_free(Keyed *k);
#endif
