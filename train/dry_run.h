/* dry_run.h: everything of a run but the training: checks, sizes, memory, steps. */
#ifndef GENLLAVA_TRAIN_DRY_RUN_H
#define GENLLAVA_TRAIN_DRY_RUN_H

#include "train/config.h"

/* Prints a table to stdout, or one JSON object. Nothing is written. */
MUST_USE Status dry_run(const RunConfig *cfg, bool json);
#endif
