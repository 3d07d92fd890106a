/* cache.h: cached results of a set of shards: what is kept of which pictures and prompts, and reading it. The files are checked when they
 * are opened, results when they are read. Used by the loader, which gives them to the model, and by cache_make.c. */
#ifndef GENLLAVA_DATA_LOADER_CACHE_H
#define GENLLAVA_DATA_LOADER_CACHE_H

#include "data/loader/prompts.h"
#include "data/shards/cache_file.h"

/* Of which targets results are kept. */
typedef struct CacheWants {
    bool task[N_TASKS];
    bool sources; /* latents: of edit rows also of the picture that the targets were made from */
} CacheWants;

/* Results are numbered over the set. Those of file k are of pictures that lie in shard k, in their order there; or of prompts that no
 * earlier shard has, in the order in which its targets ask for them. Each is kept once. */
typedef struct CacheList {
    int64_t n_files, *first; /* [n_files+1] the first result of each file */
    int64_t n;               /* results */
    uint8_t (*digest)[32];   /* [n] SHA-256 of the picture's bytes, or of the prompt */
    uint32_t *origin;        /* [n] of which image of its shard; of the prompt of which target (prompts.h) */
    int64_t *first_picture;  /* latents: [n_files+1] the number of each shard's first picture over the set */
    int32_t *result_of;      /* of each picture, or of each target; -1: none is kept */
} CacheList;
/* prompts: for clip_text. */
MUST_USE Status cache_list(CacheList *l, CacheKind kind, const CacheWants *wants, const ShardSet *set, const Prompts *prompts);
void cache_list_free(CacheList *l);

typedef struct Cache {
    CacheSpec spec;
    CacheList list;
    CacheFile *files; /* [n_files] path NULL where a file has no results */
} Cache;
/* All files must be there and belong to the set: ERR_MISSING, ERR_DATA. */
MUST_USE Status cache_open(Cache *c, CacheKind kind, const CacheSpec *spec, const CacheWants *wants, const ShardSet *set,
                           const char *folder, const Prompts *prompts);
void cache_close(Cache *c);
/* That of a picture: an image of a shard of the set. */
MUST_USE Status cache_of_picture(const Cache *c, uint32_t shard, uint32_t image, float *to);
/* That of the prompt of target k of a row of the index. */
MUST_USE Status cache_of_prompt(const Cache *c, const Prompts *prompts, uint32_t row, int k, float *to);
#endif
