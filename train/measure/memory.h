/* memory.h: what a run will need, known before step 0. The model's own code runs once over arenas that only measure, on a backend that
 * computes nothing, for the largest passes of the whole run (order and packing are deterministic). */
#ifndef GENLLAVA_TRAIN_MEASURE_MEMORY_H
#define GENLLAVA_TRAIN_MEASURE_MEMORY_H

#include "data/loader/loader.h"
#include "train/config/config.h"
#include "train/models/parts.h"
#include "train/log/samples.h"

typedef struct MemoryPlan {
    size_t keep, scratch; /* bytes of the tape's two arenas; scratch with StepNumbers at its beginning */
    int64_t parameters[PARTS_MAX], trainable_parameters;
    int64_t weights, trainable, optimizer; /* frozen weights; masters, copies and gradients; moments */
    /* keep; scratch and what answering samples takes, and from memory_measure what else lies in the memory that is planned for: on a device
     * the backend's own; on the host pictures, data and the rest of the process */
    int64_t activations, workspace, total;
    int64_t available; /* of that memory */
    bool on_device;
    int64_t host;        /* on_device: what the process needs of the host's memory besides */
    int32_t pass_tokens; /* rows of the pass that `keep` is for */
    ModelSizes sizes;
} MemoryPlan;

/* One step of these passes over `null`, an opened null backend that says what the device says of itself and that somebody may watch:
 * forward, backward and update, with nothing computed; and the samples (may be NULL). The plan is that of the model alone. opened (may be
 * NULL) is called with arg between opening the model and the step. */
MUST_USE Status memory_walk(MemoryPlan *m, Backend *null, const RunConfig *cfg, DType compute, const PassShape *passes, int n_passes,
                            const Samples *samples, void (*opened)(void *arg), void *arg);
/* device: what the run will be on. passes: from loader_worst_passes. planned: the index that a dry run plans with, whose shards will have
 * to be read; NULL when they are open. */
MUST_USE Status memory_measure(MemoryPlan *m, const RunConfig *cfg, Backend *device, DType compute, const PassShape *passes, int n_passes,
                               const Samples *samples, const RecordIndex *planned);
/* "needs 1.2 GiB (weights …), 7.7 GiB are free"; a warning where it is more than the host has. */
void memory_say(const MemoryPlan *m);
/* ERR_DEVICE when it does not fit on the device, with the plan and what to change. */
MUST_USE Status memory_check(const MemoryPlan *m, const RunConfig *cfg);
/* Bytes that can be had now: free memory, or less where a control group says so. */
int64_t memory_available(void);
#endif
