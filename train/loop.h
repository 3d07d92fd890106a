/* loop.h: a training run from its config to its last checkpoint. */
#ifndef GENLLAVA_TRAIN_LOOP_H
#define GENLLAVA_TRAIN_LOOP_H

#include "train/setup.h"

typedef struct TrainFlags {
    SetupStart start;
    const SuiteKind *suite; /* who asks eval.suite */
    int64_t steps;          /* stop when so many steps are finished; 0: at the end */
    const char *dump;       /* folder, or NULL */
} TrainFlags;

/* ERR_PREEMPTED: a signal asked to stop; a checkpoint is saved. */
MUST_USE Status train_run(RunConfig *cfg, const TrainFlags *flags);
#endif
