/* run_data.h: samples of a run, from the list of their sources to a loader: those that it learns from (data.mixture), and those that are
 * held out (data.validation), which are prepared and cached alike. Called by setup.c and prepare. */
#ifndef GENLLAVA_TRAIN_RUN_DATA_H
#define GENLLAVA_TRAIN_RUN_DATA_H

#include <limits.h>

#include "data/loader/loader.h"
#include "data/prepare/prepare.h"
#include "data/records/records.h"
#include "train/cache/run_cache.h"
#include "train/config/config.h"
#include "train/dist/dist.h"

typedef struct RunData {
    const RunConfig *cfg;
    const ModelSizes *sizes;
    const Preprocessor *preprocessor; /* NULL: no tower */
    bool held;                        /* out: of data.validation */
    Mixture mixture;                  /* without sources: there are none */
    char shards[PATH_MAX], tokenizer[PATH_MAX];
    double *source_weight;
    PrepareOptions prepare;
    PrepareResult prepared; /* known to the first rank, which also tells of it */
    RecordIndex index;      /* in place of shards, in a dry run */
    RunCache cache;
    Loader *loader;
} RunData;

/* Puts the defaults of data.shards in place, and what is prepared where. rows and held have their mixtures, borrow cfg, sizes and
 * preprocessor, and stay where they are. absent: the files are not there, so nothing can be told from them. */
MUST_USE Status run_data_place(RunData *rows, RunData *held, RunConfig *cfg, bool absent);
static inline bool run_data_any(const RunData *d) { return d->mixture.n_sources > 0; }
/* What the loader of these samples, or the making of their cached results, is asked for. */
MUST_USE Status run_data_options(RunData *d, LoaderOptions *options);
/* Shards, where they are missing or stale; *made whether they were. own: a folder of ours, beneath which no link is followed, or NULL. */
MUST_USE Status run_data_prepare(RunData *d, const char *own, bool *made);
/* The loader. */
MUST_USE Status run_data_open(RunData *d, const Dist *dist);
/* In place of both, in a dry run: a loader that can only plan; nothing is written. */
MUST_USE Status run_data_plan(RunData *d, Backend *backend, const Dist *dist);
void run_data_close(RunData *d);
#endif
