/* dry_run.h: everything of a run but the training: checks, sizes, memory, steps. */
#ifndef GENLLAVA_TRAIN_DRY_RUN_H
#define GENLLAVA_TRAIN_DRY_RUN_H

#include <stdio.h>

#include "train/setup.h"

/* Prints a table to `results`, or one JSON object, with a line for each rank. No file is written. how: as for setup_start;
 * but that a folder holds checkpoints already is only said. quick: nothing of the data is read or counted. */
MUST_USE Status dry_run(RunConfig *cfg, const SetupStart *how, const SuiteKind *suite, bool quick, bool json, FILE *results);
#endif
