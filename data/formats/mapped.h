/* mapped.h: a file read in place (mmap), for the readers of containers. */
#ifndef GENLLAVA_DATA_FORMATS_MAPPED_H
#define GENLLAVA_DATA_FORMATS_MAPPED_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef struct Mapped {
    char *path;
    const uint8_t *bytes; /* NULL for an empty file */
    size_t n;
} Mapped;

/* kind: what messages say that was expected, "a GGUF file". A zeroed struct may be closed. */
MUST_USE Status mapped_open(Mapped *m, const char *path, const char *kind);
void mapped_close(Mapped *m);
/* Pages of these n bytes leave this process until they are read again. */
void mapped_release(const void *map, size_t map_bytes, const void *data, size_t n);

/* A little-endian number of 1 to 8 bytes. */
static inline uint64_t mapped_number(const uint8_t *p, int n_bytes)
{
    uint64_t v = 0;
    while (n_bytes-- > 0)
        v = v << 8 | p[n_bytes];
    return v;
}
#endif
