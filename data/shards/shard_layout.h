/* shard_layout.h: what a shard holds, once: writer, reader and SCHEMA.md follow this table. Of data/shards
 * alone, and of prepare, which gathers what goes into one. */
#ifndef GENLLAVA_DATA_SHARDS_SHARD_LAYOUT_H
#define GENLLAVA_DATA_SHARDS_SHARD_LAYOUT_H

#include "data/formats/hdf5_read.h"
#include "data/shards/shard.h"

#define SHARD_SCHEMA "genllava.shard/2"
#define SHARD_IMAGE_DATA "/image/data"
#define SHARD_TEXT_DATA "/text/data"
enum { TEXT_CHUNK = 1 << 20 };
/* More stands in no shard: tokens, bytes of an image, bytes of a row's text. */
enum { SHARD_TOKENS_MOST = 1 << 27, SHARD_IMAGE_MOST = 1 << 30, SHARD_TEXT_MOST = 1 << 26 };

typedef enum ShardCount { COUNT_SAMPLES, COUNT_SAMPLES_1, COUNT_TOKENS, COUNT_REFS, COUNT_IMAGES, COUNT_IMAGES_1 } ShardCount;

typedef struct ShardArray {
    const char *name;
    HdfType type;
    uint32_t columns;
    ShardCount count;
    uint32_t chunk; /* rows */
    bool deflate;
    size_t member; /* offset in Shard of the pointer to it */
} ShardArray;

typedef struct ShardField {
    const char *name;
    size_t member, size; /* offset in ShardAttributes; bytes of a text buffer */
    int64_t least, most; /* of an integer */
} ShardField;

extern const ShardArray SHARD_ARRAYS[];
extern const int N_SHARD_ARRAYS;
extern const ShardField SHARD_INTS[], SHARD_TEXTS[];
extern const int N_SHARD_INTS, N_SHARD_TEXTS;

static inline uint64_t shard_rows(const ShardAttributes *a, ShardCount c)
{
    int64_t n = c <= COUNT_SAMPLES_1 ? a->n_samples : c == COUNT_TOKENS ? a->n_tokens : c == COUNT_REFS ? a->n_refs : a->n_images;
    return (uint64_t)n + (c == COUNT_SAMPLES_1 || c == COUNT_IMAGES_1);
}

static inline HdfArray shard_array(const ShardArray *a, const ShardAttributes *attr)
{
    return (HdfArray){.name = a->name, .type = a->type, .rows = shard_rows(attr, a->count), .columns = a->columns, .chunk = a->chunk,
                      .deflate = a->deflate};
}
#endif
