/* npy.h: reads arrays that NumPy saved: .npy, and the members of .npz (stored or deflated). Called by feature_set.c and fid.c. */
#ifndef GENLLAVA_EVAL_METRICS_NPY_H
#define GENLLAVA_EVAL_METRICS_NPY_H

#include <stdbool.h>

#include "data/formats/mapped.h"

/* An array of one or two axes, of little-endian f32 or f64; its numbers stay where they are read. */
typedef struct Npy {
    int rank;
    int64_t shape[2]; /* shape[1] is 1 for one axis */
    bool is_double, by_columns;
    const uint8_t *data;
} Npy;

/* where: what messages call it. All bytes that the shape asks for must be there, and no more. */
MUST_USE Status npy_parse(Npy *out, const uint8_t *bytes, size_t n, const char *where);
double npy_at(const Npy *a, int64_t row, int64_t column);
/* The bytes of a member ("mu.npy") of a zip archive; mem_free. Its checksum must hold. */
MUST_USE Status npz_read(uint8_t **bytes, size_t *n, const Mapped *file, const char *member);
#endif
