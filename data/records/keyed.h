/* keyed.h: texts that are found by a key: what one part of a file says of what another part names, COCO's files by the ids of pictures and
 * MagicBrush's captions by the names of files. Called by the feeds of such layouts. */
#ifndef GENLLAVA_DATA_RECORDS_KEYED_H
#define GENLLAVA_DATA_RECORDS_KEYED_H

#include <stddef.h>

#include "kernels/base/status.h"

/* A table of places in one text, "KEY\0TEXT\0" each: about 10 bytes an entry besides that. Zero it to begin with. */
typedef struct Keyed {
    size_t *slots; /* place + 1; 0: empty */
    size_t n, capacity;
    char *text;
    size_t text_n, text_capacity;
} Keyed;

/* Of two equal keys the first counts. */
MUST_USE Status keyed_add(Keyed *k, const char *key, const char *text);
const char *keyed_find(const Keyed *k, const char *key); /* NULL: there is none. Valid until the next one is added */
void keyed_free(Keyed *k);
#endif
