/* safetensors.h: the container of weights, read in place (mmap) and written atomically by the caller's choice of name.
 *
 * Layout: u64 little-endian n; n bytes of JSON {name: {dtype, shape, data_offsets:[begin,end)}, "__metadata__": {string: string}}; data.
 * Enforced to the byte: header within the file and at most 100 MB, JSON an object, known dtypes, sizes equal to shape × dtype without
 * overflow, offsets in increasing order without holes or overlap and covering the buffer exactly, names unique. Pickle and zip files are
 * refused by their magic. Alignment is not assumed. */
#ifndef GENLLAVA_DATA_FORMATS_SAFETENSORS_H
#define GENLLAVA_DATA_FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"

enum { ST_MAX_DIMS = 8 };

typedef struct StTensor {
    const char *name;
    DType type;
    int n_dims;
    int64_t shape[ST_MAX_DIMS];
    int64_t n_elems;
    const void *data; /* in the mapping; may be misaligned */
    size_t n_bytes;
    const char *file; /* path of the file it lies in */
    const void *map;  /* where that is mapped, and its bytes */
    size_t map_bytes;
} StTensor;

/* One file, or a folder's model.safetensors, or its shards by NAME.safetensors.index.json. Tensors sorted by name. */
typedef struct SafeTensors SafeTensors;

MUST_USE Status safetensors_open(SafeTensors **out, const char *file);
/* stem "model" or "diffusion_pytorch_model": STEM.safetensors, else STEM.safetensors.index.json, else STEM.fp16.safetensors.
 * Every tensor of the index must be in the file it names and nowhere else. */
MUST_USE Status safetensors_open_folder(SafeTensors **out, const char *folder, const char *stem);
/* ERR_MISSING when it holds none of them. */
MUST_USE Status safetensors_check_folder(const char *folder, const char *stem);
/* The folder holds nothing that could be such weights, in no format. */
bool safetensors_folder_is_bare(const char *folder, const char *stem);
void safetensors_close(SafeTensors **st);
int safetensors_count(const SafeTensors *st);
const StTensor *safetensors_at(const SafeTensors *st, int i);
const StTensor *safetensors_find(const SafeTensors *st, const char *name); /* NULL when absent */
const char *safetensors_metadata(const SafeTensors *st, const char *key);  /* NULL when absent */

/* Its pages leave this process until it is read again: for a tensor that has been copied. */
void safetensors_release(const StTensor *t);
/* The pages of all tensors: a fault maps more than was asked for, as much as the file's cache has in one piece, and so brings back some
 * that have left. */
void safetensors_release_all(const SafeTensors *st);

/* Writing. The header is made from the specs; data is then written tensor by tensor, in the order of the specs, in pieces of any size.
 * Metadata always holds format=pt; the data buffer starts at a multiple of 8. Any error leaves the file to the caller to unlink. */
typedef struct StSpec {
    const char *name;
    DType type;
    int n_dims;
    int64_t shape[ST_MAX_DIMS];
} StSpec;
typedef struct StWriter StWriter;
MUST_USE Status stwriter_open(StWriter **out, const char *path, const StSpec *specs, int n);
MUST_USE Status stwriter_write(StWriter *w, const void *bytes, size_t n);
/* Checks that exactly the announced bytes came, fsyncs and closes. On any failure the writer is freed too. */
MUST_USE Status stwriter_close(StWriter **w);
void stwriter_abandon(StWriter **w);

/* "[2, 3]" into buf; returns buf. */
const char *shape_text(char *buf, size_t n, const int64_t *shape, int n_dims);
#endif
