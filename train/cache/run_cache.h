/* run_cache.h: data.cache of a run: who computes what is cached, whether it is there, and making it. The autoencoder and the text encoder
 * are opened for that alone, one after the other, and closed again before the run takes its memory. Called by setup.c and prepare. */
#ifndef GENLLAVA_TRAIN_CACHE_RUN_CACHE_H
#define GENLLAVA_TRAIN_CACHE_RUN_CACHE_H

#include "data/loader/loader.h"
#include "train/config/config.h"
#include "train/config/sizes.h"
#include "train/dist/device.h"

/* What making the results of one kind takes, a few at a time. */
typedef struct CacheCost {
    size_t keep, scratch;    /* of the tape's arenas */
    int64_t weights, mapped; /* of the network; of them, those used where they lie in their files */
    int64_t host;            /* pictures and results; where it computes, what threads and operators work in */
} CacheCost;

typedef struct RunCache {
    const RunConfig *cfg;
    ModelSizes sizes;
    DType compute;
    const char *folder;        /* of the shards; borrowed */
    bool wanted[N_CACHES];     /* by the settings, and by a loss */
    CacheSpec spec[N_CACHES];  /* no key: in a dry run whose folders hold no weights */
    char *made_from[N_CACHES]; /* JSON of which the key is a hash */
    bool bare[N_CACHES];       /* the network's weights are not there: only what was made before can be used */
    CacheCost cost[N_CACHES];
} RunCache;

/* Warns of names in data.cache whose results no loss of the run reads. */
void run_cache_say_idle(const RunConfig *cfg);
/* Finds out what is cached and by which network. A network whose weights are there is checked, and what it would need on the backend is
 * measured. Where they are not, results made earlier with the same settings are taken; ERR_MISSING when there are none. */
MUST_USE Status run_cache_identify(RunCache *c, const RunConfig *cfg, const ModelSizes *sizes, Backend *backend, DType compute,
                                   const char *folder);
/* Makes what is missing, stale or damaged, after the shards were made. verify: results that are there are read and checked. Stopped at any
 * moment, the files that were finished stay. ERR_NOMEM: what making takes is not free. */
MUST_USE Status run_cache_make(const RunCache *c, Backend *backend, const LoaderOptions *o, bool verify);
/* Says what would be made, and whether the memory for that is free; `ready`: the shards are there. Makes nothing. */
MUST_USE Status run_cache_tell(const RunCache *c, Backend *backend, const LoaderOptions *o, bool ready);
void run_cache_free(RunCache *c);

/* For run_cache.c: the key and what it is a hash of, from the part's folder; for a folder without weights from what lies in the folder of
 * the shards ("" if nothing does). */
MUST_USE Status cache_key(RunCache *c, CacheKind kind);
/* What the results were made from lies beside them: writes it where it is not there yet, after a line about what differs from another. */
MUST_USE Status cache_key_save(const RunCache *c, CacheKind kind);
/* The part that computes results of a kind, as parts.h names it. */
const char *cache_part(CacheKind kind);
#endif
