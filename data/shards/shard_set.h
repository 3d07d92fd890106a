/* shard_set.h: a folder of shards, opened and checked to belong together. */
#ifndef GENLLAVA_DATA_SHARDS_SHARD_SET_H
#define GENLLAVA_DATA_SHARDS_SHARD_SET_H

#include "data/shards/index.h"
#include "data/shards/shard.h"

typedef struct ShardSet {
    Shard **shards;
    int64_t n, *first; /* [n+1] row of the index where each begins */
    RecordIndex index;
} ShardSet;
/* All shards of one preparation must be there: shard-KKKKK-of-NNNNN.h5 for one N, alike in what they were made from. first_visual: id of [IMG0]. */
MUST_USE Status shards_open(ShardSet *out, const char *folder, int32_t first_visual);
void shards_close(ShardSet *s);
/* The shard of a row of the index, and which sample of it that is. */
const Shard *shards_find(const ShardSet *s, uint32_t row, int64_t *sample);
#endif
