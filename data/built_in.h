/* built_in.h: files of configs/ that the programs carry in themselves, so that they work wherever they lie. */
#ifndef GENLLAVA_DATA_BUILT_IN_H
#define GENLLAVA_DATA_BUILT_IN_H

#include <stddef.h>

/* The text of a file by its path in configs/ ("requests.json"), with its length; NULL: there is none of that name. */
const char *built_in(const char *name, size_t *n);
/* The i-th path, in a fixed order; NULL behind the last. */
const char *built_in_name(int i);
#endif
