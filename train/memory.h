/* memory.h: what a run will need, known before step 0. The model's own code runs once over arenas that only measure, on a backend that
 * computes nothing, for the largest passes of the whole run (order and packing are deterministic). */
#ifndef GENLLAVA_TRAIN_MEMORY_H
#define GENLLAVA_TRAIN_MEMORY_H

#include "data/loader.h"
#include "train/config.h"
#include "train/models/genllava.h"

typedef struct MemoryPlan {
    size_t keep, scratch;                      /* bytes of the tape's two arenas */
    int64_t parameters[N_PARAM_MODULES], trainable_parameters;
    int64_t weights, trainable, optimizer;     /* frozen weights; masters, copies and gradients; moments */
    int64_t activations, workspace, total;     /* keep; scratch, and from memory_measure pictures, data and the rest of the process */
    int32_t pass_tokens;                       /* rows of the pass that `keep` is for */
    ModelSizes sizes;
} MemoryPlan;

/* One step of these passes over `null`, an opened null backend that says what the device says of itself and that somebody may watch: forward, backward and update, with nothing computed. The plan is that
 * of the model alone. opened (may be NULL) is called with arg between opening the model and the step. */
MUST_USE Status memory_walk(MemoryPlan *m, Backend *null, const RunConfig *cfg, DType compute, const PassShape *passes, int n_passes,
                            void (*opened)(void *arg), void *arg);
/* device: what the run will be on. passes: from loader_worst_passes. planned: the index that a dry run plans with, whose shards will have to be read; NULL when they are open. */
MUST_USE Status memory_measure(MemoryPlan *m, const RunConfig *cfg, const Backend *device, DType compute, const PassShape *passes, int n_passes,
                               const RecordIndex *planned);
/* "needs 1.2 GiB (weights …), 7.7 GiB of 23.4 GiB are free"; warns instead when it does not fit. */
void memory_say(const MemoryPlan *m);
/* Bytes that can be had now: free memory, or less where a control group says so. */
int64_t memory_available(void);
#endif
