/* save.h: saves a run's checkpoint: by rank 0 alone or, with save.split, by all ranks at the same time. Called by the loop on every rank.
 */
#ifndef GENLLAVA_TRAIN_SAVE_H
#define GENLLAVA_TRAIN_SAVE_H

#include "train/dist/dist.h"
#include "train/log/runlog.h"
#include "train/run_folder.h"
#include "train/store/checkpoint.h"

/* Of a run; all of it outlives the call. */
typedef struct Saver {
    Dist *dist;
    const RunConfig *cfg;
    GenLlava *model;
    const TrainState *state;
    const char *path;        /* of the run folder */
    const RunFolder *folder; /* held by rank 0, as is the log */
    RunLog *log;
} Saver;

/* ERR_IO (a full disk, a folder that is swapped) names the rank and leaves the checkpoints as they were. */
MUST_USE Status save_checkpoint(const Saver *s);
/* Before the first step: whether every rank can write where a split save writes. ERR_CREATE. Does nothing where rank 0 saves alone. */
MUST_USE Status save_try(const Saver *s);
#endif
