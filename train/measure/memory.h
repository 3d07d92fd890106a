/* memory.h: what a run will need, known before step 0. The model's own code runs once over arenas that only measure, on a backend that
 * computes nothing, for the largest passes of the whole run (order and packing are deterministic). */
#ifndef GENLLAVA_TRAIN_MEASURE_MEMORY_H
#define GENLLAVA_TRAIN_MEASURE_MEMORY_H

#include "data/loader/loader.h"
#include "train/config/config.h"
#include "train/infer/suite.h"
#include "train/models/parts.h"
#include "train/log/samples.h"

/* What a run asks of memory besides its settings. */
typedef struct MemoryRun {
    const PassShape *passes;       /* from loader_worst_passes */
    int n_forward;                 /* so many of them, the last, are only computed forward (validation) */
    int n_passes;                  /* 0: only what no shorter pass makes smaller is of interest */
    const Samples *samples;        /* may be NULL */
    const RunSuite *suite;         /* may be NULL */
    const RecordIndex *planned[2]; /* the indices that a dry run plans with, whose shards will have to be read; NULL when they are open */
    int64_t tokens;                /* of the whole run */
    bool resumed;
    int64_t sums; /* bytes of the device that are taken already, for sums over the ranks */
} MemoryRun;

typedef struct MemoryPlan {
    size_t keep, scratch;                                /* bytes of the tape's two arenas; scratch with StepNumbers at its beginning */
    int64_t parameters[PARTS_MAX], trainable_parameters; /* by part, in the order of PARTS */
    int32_t tensors, trainable_tensors;
    int64_t weights, trainable, optimizer; /* frozen weights; masters, copies and gradients; moments */
    int64_t activations, workspace,
        total; /* keep; scratch and what samples take, and from memory_measure what else lies in the memory that is
                  planned for: on a device the backend's own and NCCL's; on the host pictures, data and the rest of the process */
    int64_t mapped,
        needed;    /* of the total: weights used where they lie in their files, whose pages the system may drop and read again; all else */
    int64_t pages; /* what the mapped weights take of a host's memory: whole pages, but for rows of a table that no token asks for */
    bool on_device;
    int64_t available;           /* on_device: of its memory */
    int64_t host;                /* what the process needs of the host's memory that cannot be dropped: on the host, `needed` */
    int64_t sampling;            /* of `host`: what drawing samples, or asking benchmarks, takes besides the backend's memory */
    int64_t held, files, stacks; /* of `host` what it has already; addresses of files and of threads that are yet to come */
    int32_t pass_tokens;         /* rows of the pass that `keep` is for */
    ModelSizes sizes;
} MemoryPlan;

/* One step of these passes over `null`, an opened null backend that says what the device says of itself and that somebody may watch:
 * forward, backward and update, with nothing computed; and the samples. The plan is that of the model alone. opened (may be NULL) is called
 * with arg between opening the model and the step. */
MUST_USE Status memory_walk(MemoryPlan *m, Backend *null, const RunConfig *cfg, DType compute, const MemoryRun *run,
                            void (*opened)(void *arg), void *arg);
/* device: what the run will be on. */
MUST_USE Status memory_measure(MemoryPlan *m, const RunConfig *cfg, Backend *device, DType compute, const MemoryRun *run);
/* "needs 1.2 GiB (weights …), 7.7 GiB are free" */
void memory_say(const MemoryPlan *m);
/* ERR_NOMEM when it does not fit, with the plan and what to change; a warning where only mapped weights do not fit, or train.memory is
 * "ignore". processes: ranks on this machine, each with such a plan. */
MUST_USE Status memory_check(const MemoryPlan *m, const RunConfig *cfg, int processes);
#endif
