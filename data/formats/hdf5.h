/* hdf5.h: writes plain arrays into an HDF5 file, for data/shards (hdf5_read.h reads them), and reads texts and rows of numbers of files
 * that the user made with other programs, for data/curate.
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
/* A list of texts, all as long as the longest of them and NUL. */
MUST_USE Status hdf_write_texts(HdfFile *f, const char *name, const char *const *texts, uint64_t n);
MUST_USE Status hdf_set_text(HdfFile *f, const char *object, const char *name, const char *text);
MUST_USE Status hdf_set_int(HdfFile *f, const char *object, const char *name, int64_t value);

/* ---- reading, through the library: never a file that a stranger may have sent (hdf5_read.h says why) */
MUST_USE Status hdf_open(HdfFile **out, const char *path);
bool hdf_has(HdfFile *f, const char *name); /* an object of that name */
/* An attribute that is a text, into out[room], cut to that; *found: whether there is one. */
MUST_USE Status hdf_text_of(HdfFile *f, const char *object, const char *name, char *out, size_t room, bool *found);
/* Every text of a list of texts of fixed or variable length, in order. *n: how many. */
typedef Status (*HdfVisit)(void *arg, const char *text);
MUST_USE Status hdf_each_text(HdfFile *f, const char *name, uint64_t *n, HdfVisit visit, void *arg);
/* An array [rows, columns] of f32, open until its file is closed. */
typedef struct HdfRows {
    const char *name; /* borrowed */
    int64_t id;
    uint64_t rows, columns;
} HdfRows;
MUST_USE Status hdf_rows_open(HdfFile *f, HdfRows *r, const char *name);
MUST_USE Status hdf_rows_read(HdfFile *f, const HdfRows *r, uint64_t row, float *out);
/* One that is made, contiguous, in a file that is written; then rows first … first+n-1 of it, in any order. */
MUST_USE Status hdf_rows_create(HdfFile *f, HdfRows *r, const char *name, uint64_t rows, uint64_t columns);
MUST_USE Status hdf_rows_write(HdfFile *f, const HdfRows *r, uint64_t first, uint64_t n, const float *numbers);

/* Also reports what could not be written; frees always. NULL is fine. */
Status hdf_close(HdfFile **f);
#endif
