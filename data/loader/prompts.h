/* prompts.h: what describes each target image of a set of shards to a diffusion model's text encoder, read from the rows' own text. Of the
 * loader. */
#ifndef GENLLAVA_DATA_LOADER_PROMPTS_H
#define GENLLAVA_DATA_LOADER_PROMPTS_H

#include "data/shards/shard_set.h"

typedef struct Prompts {
    char *text;      /* all of them, each with its NUL */
    uint64_t *at;    /* [targets] where each begins */
    uint64_t *first; /* [rows of the index] its first target */
    int64_t n_targets;
    size_t n, capacity;
} Prompts;
/* Those of generate and edit rows; the set must be open. */
MUST_USE Status prompts_read(Prompts *p, const ShardSet *set);
/* How many a row has. */
int prompts_count(const IndexRow *row);
/* That of target k of a row of the index, in order of its runs of visual tokens. */
const char *prompts_of(const Prompts *p, uint32_t row, int k);
void prompts_free(Prompts *p);
#endif
