/* cache_make.h: makes the files of cached results that are missing, stale or damaged, with whatever computes results. What is finished
 * stays when it is stopped, so the next call goes on. Called by train/cache. */
#ifndef GENLLAVA_DATA_LOADER_CACHE_MAKE_H
#define GENLLAVA_DATA_LOADER_CACHE_MAKE_H

#include "data/loader/cache.h"

typedef struct CacheMaker {
    CacheKind kind;
    CacheSpec spec;
    CacheWants wants;
    const char *folder; /* of the shards */
    bool verify;        /* results in files that are there are checked, too */
    /* Latents: how pictures are prepared, and by how many threads (LoaderOptions). */
    int32_t size;
    int64_t max_pixels, workers;
    int64_t at_once; /* pictures or prompts of a call of compute */
    /* Results [n, n_elems] of pixels [n, size, size, 3], or of prompts [n]. NULL: only what would be made is told. */
    Status (*compute)(void *arg, const uint8_t *pixels, const char *const *prompts, int64_t n, float *results);
    void *arg;
} CacheMaker;

typedef struct CacheMade {
    int64_t files, results;      /* of the set */
    int64_t new_files, new_ones; /* of them, those that were made, or would be */
} CacheMade;
/* prompts: for clip_text. */
MUST_USE Status cache_make(const CacheMaker *m, const ShardSet *set, const Prompts *prompts, CacheMade *made);
#endif
