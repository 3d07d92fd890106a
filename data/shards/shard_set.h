/* shard_set.h: a folder of shards, opened and checked to belong together. */
#ifndef GENLLAVA_DATA_SHARDS_SHARD_SET_H
#define GENLLAVA_DATA_SHARDS_SHARD_SET_H

#include "data/kinds.h"
#include "data/shards/index.h"
#include "data/shards/shard.h"

typedef struct ShardSet {
    Shard **shards;
    int64_t n, *first; /* [n+1] row of the index where each begins */
    RecordIndex index;
} ShardSet;
/* All shards of one preparation must be there: shard-KKKKK-of-NNNNN.h5 for one N, alike in what they were made from, with every picture
 * that they refer to. first_visual: id of [IMG0]. n_ids: token ids of the run (vocabulary and added tokens), which the shards must have
 * been made for; 0: any. */
MUST_USE Status shards_open(ShardSet *out, const char *folder, int32_t first_visual, int64_t n_ids);
void shards_close(ShardSet *s);

/* Samples that have target pictures, and how many these are, by task. */
typedef struct ShardTargets {
    int64_t rows[N_TASKS], pictures[N_TASKS];
} ShardTargets;
/* Whether shards_open would open them, in the memory of one shard and four bytes for each picture of the others. */
MUST_USE Status shards_check(const char *folder, int64_t n_ids, ShardTargets *targets);

/* The shard of a row of the index, and which sample of it that is. */
const Shard *shards_find(const ShardSet *s, uint32_t row, int64_t *sample);

/* Another shard of the set that s belongs to, from the same folder. */
MUST_USE Status shard_open_beside(Shard **out, const Shard *s, int64_t index);
enum { SHARDS_MOST = 99999 }; /* of a set: their names have five digits */
/* shard-KKKKK-of-NNNNN.h5 */
void shard_file_name(char *out, size_t n, int64_t index, int64_t count);
/* The numbers in a name that begins so. Returns what follows, NULL when it is no shard's name. */
const char *shard_read_name(const char *name, int64_t *index, int64_t *count);
#endif
