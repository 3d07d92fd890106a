/* loader.h: serves the micro-batches of optimiser steps. What step k holds is a function of (shards, seed, step) alone, the same for any
 * number of ranks: items [k·batch, (k+1)·batch) of the endless sequence of epochs (spec: order). */
#ifndef GENLLAVA_DATA_LOADER_LOADER_H
#define GENLLAVA_DATA_LOADER_LOADER_H

#include "data/loader/batch.h"
#include "data/loader/cache.h"
#include "data/loader/worst.h"
#include "data/shards/index.h"
#include "data/pictures/preprocessor.h"

typedef struct LoaderOptions {
    const char *shards;       /* folder */
    const RecordIndex *index; /* instead of shards: only totals and passes can be asked for (dry run). Borrowed */
    int64_t batch;            /* samples of a step over all ranks */
    int64_t micro_tokens;     /* budget of one pass */
    int64_t steps;            /* of the whole run, 0: from epochs */
    double epochs;
    int64_t most; /* of a run by epochs: at most so many samples; 0: all */
    int64_t seed;
    bool shuffle;
    int64_t workers;                            /* decoding threads; -1: auto */
    const Preprocessor *preprocessor;           /* NULL: the model sees no pictures */
    int32_t target_size;                        /* S: side of target and source pictures in pixels */
    bool target_pixels[N_TASKS], source_pixels; /* whose targets' pictures are loaded; whether sources of edit rows with such targets are */
    int64_t max_pixels;                         /* of a target or source in its file */
    bool target_prompts[N_TASKS];               /* whose targets' prompts are wanted */
    bool cached[N_CACHES];     /* results that come from files beside the shards (cache.h): of those pictures, in place of them; of those
                                  prompts */
    CacheSpec cache[N_CACHES]; /* of them; without a key nothing is opened, and only totals and passes can be asked for */
    VisualLabels visual_labels;
    int32_t first_visual_id;     /* id of [IMG0], -1 when there is none */
    int64_t n_ids;               /* token ids of the run: vocabulary and added tokens; 0: whatever the shards were made for */
    const double *source_weight; /* [n_sources] of the mixture */
    int n_sources;
    int64_t mixture_seed;
    double mixture_epoch; /* Mixture.epoch; 0: weights as they are */
} LoaderOptions;

/* Of which targets the results of a kind are wanted. */
CacheWants loader_wants(const LoaderOptions *o, CacheKind kind);

typedef struct Loader Loader;
MUST_USE Status loader_open(Loader **out, const LoaderOptions *opt, int rank, int n_ranks);
void loader_close(Loader **ld);

typedef struct LoaderTotals {
    int64_t samples, steps;                      /* usable records of the shards; steps of the run */
    int64_t tokens;                              /* expanded, over the whole run */
    int64_t longest;                             /* expanded length of the longest sample */
    int64_t drawing;                             /* samples of task generate or edit */
    int64_t own_samples, own_tokens, own_passes; /* of the run, this rank's */
} LoaderTotals;
const LoaderTotals *loader_totals(const Loader *ld);

/* Calls visit with each prompt of the target images, in order of rows; ends with what it returns, if not OK. Without
 * LoaderOptions.target_prompts, and where the loader only plans, there are none. */
typedef Status (*PromptVisit)(void *arg, const IndexRow *row, const char *prompt);
MUST_USE Status loader_prompts(const Loader *ld, PromptVisit visit, void *arg);

/* The worst passes of the run for this rank, which the memory plan needs (order and packing are deterministic). Returns their number. Of
 * runs beyond 2^25 items the only one is the largest of every measure. They belong to the loader. */
int loader_worst_passes(const Loader *ld, const PassShape **out);

typedef struct StepPlan {
    int64_t step;
    int32_t items;              /* over all ranks */
    int32_t n_passes;           /* of this rank */
    LossTerms of_step, of_rank; /* over all ranks, over this one */
    int64_t tokens, images;     /* of all ranks */
} StepPlan;
/* Starts step k (any k, in any order; reading ahead assumes k+1 follows). */
MUST_USE Status loader_step(Loader *ld, int64_t step, StepPlan *plan);
/* Pass p of the step begun, in order 0 … n_passes-1. */
MUST_USE Status loader_pass(Loader *ld, int32_t p, const Batch **batch);
#endif
