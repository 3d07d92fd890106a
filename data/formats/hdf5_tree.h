/* hdf5_tree.h: what hdf5_tree.c finds in a file and hdf5_read.c reads from it. Private to these two.
 *
 * Every structure is read through an HdfCursor, which ends where the structure ends: nothing beyond it is ever touched. */
#ifndef GENLLAVA_DATA_FORMATS_HDF5_TREE_H
#define GENLLAVA_DATA_FORMATS_HDF5_TREE_H

#include "data/formats/hdf5_read.h"

enum {
    HDF_MOST_GROUPS = 16,
    HDF_MOST_ARRAYS = 64,
    HDF_MOST_ATTRIBUTES = 64,
    HDF_MOST_NAME = 32,
    HDF_ADDRESS = 8, /* bytes of an address or length */
};

/* Bytes still to be read. `bad` once more was asked for than there are; then everything read is 0. */
typedef struct HdfCursor {
    const uint8_t *at, *end;
    bool bad;
} HdfCursor;

typedef enum HdfLayout { HDF_LAYOUT_NONE, HDF_LAYOUT_CONTIGUOUS, HDF_LAYOUT_ONE_CHUNK, HDF_LAYOUT_CHUNKS } HdfLayout;

typedef struct HdfFoundArray {
    char name[2 * HDF_MOST_NAME + 2]; /* "/group/array" */
    int type;                         /* HdfType, -1: not told */
    int rank;
    uint64_t dims[2], chunk[2];
    bool filtered, deflate;
    HdfLayout layout;
    uint64_t address, stored; /* stored: bytes of a contiguous array or of the only chunk */
    uint32_t element;         /* bytes, as the filters and the layout say */
} HdfFoundArray;

typedef struct HdfAttribute {
    char name[HDF_MOST_NAME];
    bool is_text;
    HdfCursor value;
} HdfAttribute;

/* An object found, whose header is still to be read. */
typedef struct HdfFound {
    char name[HDF_MOST_NAME];
    uint64_t header;
} HdfFound;

struct HdfTree {
    HdfBytes bytes;
    char *path;
    HdfFoundArray arrays[HDF_MOST_ARRAYS];
    HdfAttribute attributes[HDF_MOST_ATTRIBUTES];
    HdfFound groups[HDF_MOST_GROUPS], children[HDF_MOST_ARRAYS]; /* children: of the group that is being read */
    int n_arrays, n_attributes, n_groups, n_children;
};

const uint8_t *hdf_take_bytes(HdfCursor *c, uint64_t n);
uint64_t hdf_take(HdfCursor *c, int n); /* a little-endian number of n bytes, at most 8 */
/* n bytes at an address of the file; what lies outside, or reaches into the hole, makes a bad cursor. */
HdfCursor hdf_bytes_at(const HdfTree *t, uint64_t address, uint64_t n);
/* Everything from an address on to the hole or the end, beginning with a signature and a version. */
HdfCursor hdf_block_at(const HdfTree *t, uint64_t address, const char signature[4], int version);
#endif
