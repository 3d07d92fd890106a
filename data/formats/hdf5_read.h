/* hdf5_read.h: reads the HDF5 files that hdf5.c writes, and no others. Used by data/shards.
 *
 * The HDF5 library is kept away from files that somebody may have sent: it crashes on some. This reader knows one version of each
 * structure, the one written here. Whatever else a file holds is refused with the object's name. Checksums inside the file are not looked
 * at: the caller has checked all of its bytes (the seal of a shard). Format: "HDF5 File Format Specification Version 3.0". */
#ifndef GENLLAVA_DATA_FORMATS_HDF5_READ_H
#define GENLLAVA_DATA_FORMATS_HDF5_READ_H

#include "data/formats/hdf5.h"

/* A file in memory, but for a hole that its reader left where it lies: data holds n_bytes - hole_bytes bytes. Borrowed until hdf_tree_free.
 */
typedef struct HdfBytes {
    const uint8_t *data;
    uint64_t n_bytes, hole_offset, hole_bytes;
    uint64_t user_block; /* where HDF5 begins */
} HdfBytes;

typedef struct HdfTree HdfTree;

/* Finds every group, array and attribute. path stands in messages. */
MUST_USE Status hdf_tree_read(HdfTree **out, const char *path, const HdfBytes *bytes);
void hdf_tree_free(HdfTree **t); /* NULL is fine */
/* The name of array i, NULL from the number of arrays on. */
const char *hdf_array_name(const HdfTree *t, int i);
/* The whole array into new memory (mem_free). It must be what hdf_write makes of *a: type, rows, columns, chunks, filters. */
MUST_USE Status hdf_read(const HdfTree *t, const HdfArray *a, void **data);
/* Rows first … first+n-1 of it into `data`. */
MUST_USE Status hdf_read_range(const HdfTree *t, const HdfArray *a, uint64_t first, uint64_t n, void *data);
/* Where the bytes of an array of hdf_reserve lie in the file. */
MUST_USE Status hdf_locate(const HdfTree *t, const char *name, uint64_t *offset, uint64_t *n_bytes);
/* Attributes of the root. */
MUST_USE Status hdf_get_int(const HdfTree *t, const char *name, int64_t *value);
MUST_USE Status hdf_get_text(const HdfTree *t, const char *name, char **text); /* mem_free */
#endif
