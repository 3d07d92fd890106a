/* hdf5.h: writes plain arrays into an HDF5 file. Used by data/shards; hdf5_read.h reads them.
 *
 * Format bounds V110 (all metadata checksummed), no times, fletcher32 on every chunked array, shuffle + deflate where asked, no
 * variable-length types: the same calls give the same bytes. */
#ifndef GENLLAVA_DATA_FORMATS_HDF5_H
#define GENLLAVA_DATA_FORMATS_HDF5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef enum HdfType { HDF_U8, HDF_U16, HDF_U32, HDF_U64, HDF_I32, HDF_F32, HDF_I64 } HdfType;
size_t hdf_type_size(HdfType t);
const char *hdf_type_name(HdfType t); /* "u8", … */

/* [rows] or, with columns > 1, [rows, columns]. */
typedef struct HdfArray {
    const char *name; /* "/group/array" */
    HdfType type;
    uint64_t rows, columns;
    uint64_t chunk; /* rows of a chunk */
    bool deflate;   /* shuffle + deflate 4 before fletcher32 */
} HdfArray;

typedef struct HdfFile HdfFile;

/* A file that is not there yet. user_block bytes at the front (0 or a power of two from 512) are left for the caller. */
MUST_USE Status hdf_create(HdfFile **out, const char *path, uint64_t user_block);
MUST_USE Status hdf_group(HdfFile *f, const char *name);
MUST_USE Status hdf_write(HdfFile *f, const HdfArray *a, const void *data);
/* A contiguous array of n bytes, space given at once and not filled: *offset is where it lies in the file, 0 for no bytes. */
MUST_USE Status hdf_reserve(HdfFile *f, const char *name, uint64_t n_bytes, uint64_t *offset);
MUST_USE Status hdf_set_text(HdfFile *f, const char *object, const char *name, const char *text);
MUST_USE Status hdf_set_int(HdfFile *f, const char *object, const char *name, int64_t value);

/* Also reports what could not be written; frees always. NULL is fine. */
Status hdf_close(HdfFile **f);
#endif
